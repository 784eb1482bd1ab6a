"""Memory that a backend holds for later: what it counts of it, gives back when asked, and does without when it must.

A device whose memory can be limited (`set_per_process_memory_fraction`) is brought to its limit whatever its size.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

import flambeau
from flambeau_conformance.levels._shared import check_equal, check_same, download, index_of, raises, upload

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context

ROOM = 16 << 20     # bytes beyond those in use, under a limit
LARGE = 1 << 20     # bytes that no allocator rounds up to many more
MANY = 16 << 20     # bytes of which no allocator keeps half because of a few that are in use


def _module(context: Context) -> Any:
    return flambeau.get_device_module(context.device)


def _bytes(context: Context, size: int) -> Any:
    return flambeau.empty(size // 4, dtype=flambeau.float32, device=context.device)


def _namespace(context: Context) -> None:
    """What the namespace of the device type says is what the backend counts."""
    module, stats = _module(context), context.backend.memory_stats(index_of(context))
    before = module.memory_allocated(context.device)
    x = _bytes(context, LARGE)
    after = module.memory_allocated(context.device)
    grown = after - before
    assert (LARGE <= grown <= 2 * LARGE) if stats else after == 0, f"memory_allocated() grows by {grown}"
    assert module.max_memory_allocated() >= after, "max_memory_allocated() is less than memory_allocated()"
    assert module.memory_reserved() >= (after if "reserved" in stats else 0), "memory_reserved() is too small"
    assert module.max_memory_reserved() >= module.memory_reserved(), "max_memory_reserved() is too small"
    free, total = module.mem_get_info()
    assert 0 <= free <= total, f"mem_get_info() gives {free} of {total}"
    check_equal(total, context.backend.properties(index_of(context)).total_memory, "the total of mem_get_info()")
    said = module.memory_stats()
    check_equal(said.get("allocated_bytes.all.current", 0), module.memory_allocated(), "memory_stats()")
    del x
    check_equal(module.memory_allocated(context.device), before, "memory_allocated() after all was dropped")


def _caches(context: Context) -> None:
    """Memory that nobody holds is given back when asked for; what is in use stays."""
    module, values = _module(context), np.arange(1000, dtype=np.float32)
    kept = upload(context, values)
    size = min(MANY, context.backend.properties(index_of(context)).total_memory // 64)
    dropped = [_bytes(context, size) for _ in range(4)]
    del dropped
    module.synchronize()
    held = module.memory_reserved()
    module.empty_cache()
    assert module.memory_reserved() <= held, "empty_cache() made memory_reserved() larger"
    stats = context.backend.memory_stats(index_of(context))
    if "reserved" in stats:
        slack = stats["reserved"] - stats["allocated"]
        assert slack <= 2 * size, f"empty_cache() leaves {slack} bytes that nobody holds"
    check_same(download(kept), values, "a tensor after empty_cache()")
    check_same(download(kept + 1), values + 1, "a sum after empty_cache()")
    module.empty_cache()


@contextmanager
def _limited(context: Context) -> Iterator[int]:
    """A block in which few bytes more can be allocated: how many, 0 where the backend knows no limit."""
    backend, index = context.backend, index_of(context)
    total = backend.properties(index).total_memory
    gc.collect()
    _module(context).empty_cache()
    used = backend.memory_stats(index).get("reserved", backend.memory_stats(index).get("allocated", 0))
    try:
        _module(context).set_per_process_memory_fraction(min((used + ROOM) / total, 1.0), context.device)
    except NotImplementedError:
        yield 0
        return
    try:
        yield min(ROOM, total - used)
    finally:
        _module(context).set_per_process_memory_fraction(1.0, context.device)


def _limit(context: Context) -> None:
    """Beyond the limit there is no memory, below it there is, and none is lost by the attempts."""
    with _limited(context) as room:
        if not room:
            return
        gc.collect()     # what an earlier case has left in cycles would go in between
        before = _module(context).memory_allocated()
        for _ in range(3):
            error = raises(flambeau.OutOfMemoryError, lambda: _bytes(context, 2 * room), "more than the limit")
            assert str(error), "the error says nothing"
            del error
            x = _bytes(context, room // 4).fill_(3.0)
            check_equal(x[-1].item(), 3.0, "an element of what is there")
            del x
        check_equal(_module(context).memory_allocated(), before, "bytes allocated after the errors")
    x = _bytes(context, 2 * room if context.backend.properties(index_of(context)).total_memory > 4 * room else 64)
    del x


def _reuse(context: Context) -> None:
    """Memory that was freed in small pieces can be had again as a large one, and the other way round."""
    with _limited(context) as room:
        if not room:
            return
        for _ in range(3):
            pieces = [_bytes(context, room // 16) for _ in range(12)]
            del pieces
            whole = _bytes(context, room * 7 // 16).fill_(1.0)
            check_equal(whole[-1].item(), 1.0, "an element of the large one")
            del whole


CASES: dict[tuple[str, str], Callable[[Any], None]] = {
    ("statistics", "namespace"): _namespace, ("statistics", "caches"): _caches,
    ("out-of-memory", "limit"): _limit, ("out-of-memory", "reuse"): _reuse}
