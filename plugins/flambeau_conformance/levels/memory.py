"""Memory: nothing grows over many calls, what nobody holds is freed at once, and having none left is an error.

How much a device has in use is what its backend counts. An array that is kept is also an object of Python's that is
kept, so a leak of the smallest one shows in a few dozen calls of an operator whatever the backend counts. What only a
driver sees shows in the size of the process, over a thousand calls on arrays of some size.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import flambeau
from flambeau import dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import calling
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.levels import _memory_limits
from flambeau_conformance.levels._shared import (
    case_function,
    check_equal,
    check_same,
    check_tensor,
    download,
    has_views,
    index_of,
    numbers,
    raises,
    upload,
)
from flambeau_conformance.sampling import calls, each_tensor

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context

LEVEL = "memory"
CALLS = 16            # of one operator
LEAK = 0.9            # objects per call that count as growth
DECISIVE = 100        # calls after which growth is no free list any more
MANY = 1000           # calls of a program
ENOUGH = 200          # of them on a simulated device that takes longer for all than
PATIENCE = 0.5        # seconds
GROWTH = 24 << 20     # bytes that the process may grow by over so many calls: a fifth of what the arrays would take


def cases(subject: Subject) -> Iterator[Case]:
    """All cases of this level for one device."""
    for record in calling.records():
        kind = next(calling.sampled_dtypes(subject, record), None)
        if kind is not None:
            yield Case(LEVEL, record.name, f"{kind.name}-growth", case_function(_growth, record, kind), kind)
            if kind.is_differentiable and record.vjps != "none" and record.family != "composite":
                yield Case(LEVEL, record.name, f"{kind.name}-graph", case_function(_graph, record, kind), kind)
    for name, program in PROGRAMS.items():
        if name not in _VIEWS or has_views(subject):
            yield Case(LEVEL, "thousand", name, case_function(_thousand, program), quick=name == "elementwise")
    for name, function in _FREED.items():
        yield Case(LEVEL, "freed", name, case_function(function), quick=name == "dropped")
    for name, way in _TOO_LARGE.items():
        yield Case(LEVEL, "out-of-memory", name, case_function(_out_of_memory, way), quick=name == "empty")
    yield Case(LEVEL, "out-of-memory", "recovers", case_function(_recovers))
    yield Case(LEVEL, "statistics", "counts", case_function(_statistics), quick=True)
    yield Case(LEVEL, "statistics", "peak", case_function(_peak))
    for (op, variant), function in _memory_limits.CASES.items():
        yield Case(LEVEL, op, variant, case_function(function), quick=variant == "limit")


# ---------------------------------------------------------------------------------------------- measuring
def allocated(context: Context) -> int:
    """Bytes that tensors have in use on the device, as its backend counts; 0 where it does not."""
    context.backend.synchronize(index_of(context))
    return int(context.backend.memory_stats(index_of(context)).get("allocated", 0))


def resident() -> int:
    """Bytes of memory that the process has; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _left_behind(context: Context, call: Callable[[], Any], count: int) -> tuple[int, int]:
    """(objects of Python's, bytes on the device) that are there after some calls and were not before.

    Between collections, which empty Python's free lists: those grow with every tuple that is made from a generator. And
    with the device at rest: what is on the way to it is held until it has arrived.
    """
    context.backend.synchronize(index_of(context))
    gc.collect()
    before = sys.getallocatedblocks(), allocated(context)
    for _ in range(count):
        call()
    context.backend.synchronize(index_of(context))
    gc.collect()
    return sys.getallocatedblocks() - before[0], allocated(context) - before[1]


def _check_growth(context: Context, call: Callable[[], Any], what: str, count: int = CALLS) -> None:
    """Assert that calls leave nothing behind: neither bytes on the device nor objects of Python's.

    What looks like growth is measured again, over more calls.
    """
    for _ in range(3):
        call()
    gc.freeze()      # what is there already need not be looked through again
    try:
        for times in (count, *(DECISIVE,) * 4):
            blocks, counted = _left_behind(context, call, times)
            if blocks < LEAK * times and counted <= 0:
                return
    finally:
        gc.unfreeze()
    raise AssertionError(f"{what}: {DECISIVE} calls leave {blocks} objects behind, and {counted} bytes on the device")


# ---------------------------------------------------------------------------------------------- every operator
def _growth(context: Context, record: OpDef, kind: dtype) -> None:
    """Repeated calls keep nothing, whether the call succeeds or is refused."""
    drawn = calls(record, kind, context.seed, context.storable)[:1]
    for call in drawn:
        placed = context.put(call)

        def run(placed: Any = placed) -> None:
            with contextlib.suppress(*calling.REFUSALS):
                calling.perform(record, placed)
        _check_growth(context, run, calling.describe(record, call))
        context.samples += 1


def _graph(context: Context, record: OpDef, kind: dtype) -> None:
    """A graph goes when its result does, without the garbage collector's help, whether it was walked or not."""
    call = calls(record, kind, context.seed, context.storable)[0]

    def forward(walk: bool) -> list[weakref.ref[Any]]:
        placed = context.put(call)
        leaves = [each for each in each_tensor(placed) if each._kind.differentiable]
        for leaf in leaves:
            leaf.requires_grad_()
        results = [each for each in calling.perform(record, placed) if isinstance(each, Tensor)]
        wanted = [each for each in results if each.requires_grad]
        if walk and wanted:
            flambeau.autograd.backward(wanted, [flambeau.ones_like(each) for each in wanted])
        made = (*results, *leaves, *[leaf.grad for leaf in leaves if leaf.grad is not None])
        kept = [weakref.ref(each) for each in made]
        return kept + [weakref.ref(each.grad_fn) for each in wanted if each.grad_fn is not None]
    try:
        forward(True)   # fills what is filled once
    except calling.REFUSALS:
        return
    for walk in (False, True):
        with _uncollected():
            alive = [each() for each in forward(walk)]
        left = [type(each).__name__ for each in alive if each is not None]
        assert not left, f"{calling.describe(record, call)}: {', '.join(left)} outlive the call, in a cycle or held"
    _check_growth(context, lambda: forward(True), f"backward of {calling.describe(record, call)}", 8)
    context.samples += 1


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """A block in which the garbage collector does not run."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


# ---------------------------------------------------------------------------------------------- a thousand calls
Program = Callable[["Context"], Callable[[], Any]]


def _large(context: Context, *shape: int) -> Tensor:
    return upload(context, np.random.default_rng(context.seed).uniform(0.5, 2, shape).astype(np.float32))


def _elementwise(context: Context) -> Callable[[], Any]:
    x, y = _large(context, 128, 256), _large(context, 256)
    return lambda: (x + y).exp_().mul(x)


def _inplace(context: Context) -> Callable[[], Any]:
    x, y = _large(context, 128, 256), _large(context, 256)
    return lambda: x.mul_(0.5).add_(y).clamp_(-1, 1)


def _reductions(context: Context) -> Callable[[], Any]:
    x = _large(context, 256, 128)
    return lambda: (x.sum(), x.mean(1), x.amax(0), x.cumsum(1))


def _products(context: Context) -> Callable[[], Any]:
    x, y = _large(context, 128, 32), _large(context, 32, 256)
    return lambda: x @ y


def _moves(context: Context) -> Callable[[], Any]:
    x = _large(context, 128, 256)
    return lambda: (x.t().contiguous(), flambeau.cat([x, x]), x.clone())


def _views(context: Context) -> Callable[[], Any]:
    x = _large(context, 128, 256)
    return lambda: (x[1:, ::2], x.t()[3], x.expand(2, 128, 256), x.view(-1), x.unfold(0, 3, 1), x.diagonal())


def _index(context: Context) -> Callable[[], Any]:
    x, places = _large(context, 128, 256), upload(context, numbers(fd.int64, 100) % 128)
    return lambda: (x[places], x[x > 1], x.index_add(0, places, x[:100]))


def _sorting(context: Context) -> Callable[[], Any]:
    x = _large(context, 32, 512)
    return lambda: (x.sort(), x.topk(5))


def _factories(context: Context) -> Callable[[], Any]:
    where = context.device
    return lambda: (flambeau.zeros(128, 256, device=where), flambeau.arange(30000, device=where),
                    flambeau.empty(128, 256, device=where), flambeau.full((100, 300), 2.5, device=where))


def _draws(context: Context) -> Callable[[], Any]:
    return lambda: (flambeau.rand(64, 512, device=context.device), flambeau.randint(9, (1000,), device=context.device))


def _transfers(context: Context) -> Callable[[], Any]:
    host = np.ones((128, 256), np.float32)

    def run() -> None:
        x = upload(context, host)
        download(x)
        x.to(flambeau.int32).cpu()
    return run


def _errors(context: Context) -> Callable[[], Any]:
    x, y = _large(context, 128, 256), _large(context, 128, 256)

    def run() -> None:
        with contextlib.suppress(RuntimeError):
            _ = x @ y
        with contextlib.suppress(IndexError):
            _ = (x + 1)[500]
    return run


def _autograd(context: Context) -> Callable[[], Any]:
    x, w = _large(context, 64, 128), _large(context, 128, 256).requires_grad_()

    def run() -> None:
        w.grad = None
        (x @ w).tanh().pow(2).mean().backward()
    return run


def _training(context: Context) -> Callable[[], Any]:
    return _steps(context, [200])


def _batches(context: Context) -> Callable[[], Any]:
    """Steps of training with batches of ever other sizes."""
    return _steps(context, [200, 7, 64, 33, 128, 1, 190, 65])


def _steps(context: Context, sizes: list[int]) -> Callable[[], Any]:
    flambeau.manual_seed(0)
    model = flambeau.nn.Sequential(flambeau.nn.Linear(32, 64), flambeau.nn.ReLU(), flambeau.nn.Linear(64, 4))
    model.to(context.device)
    optimizer = flambeau.optim.Adam(model.parameters(), lr=1e-3)
    x, y, turn = _large(context, max(sizes), 32), _large(context, max(sizes), 4), itertools.cycle(sizes)

    def run() -> None:
        size = next(turn)
        optimizer.zero_grad()
        flambeau.nn.functional.mse_loss(model(x[:size]), y[:size]).backward()
        optimizer.step()
    return run


PROGRAMS: dict[str, Program] = {
    "elementwise": _elementwise, "inplace": _inplace, "reductions": _reductions, "products": _products,
    "moves": _moves, "views": _views, "index": _index, "sorting": _sorting, "factories": _factories, "draws": _draws,
    "transfers": _transfers, "errors": _errors, "autograd": _autograd, "training": _training, "batches": _batches}
_VIEWS = ("views",)


def _thousand(context: Context, program: Program) -> None:
    """Over a thousand calls, neither the device's count nor the process grows.

    A simulated device, which is slow and counts every byte, may stop early.
    """
    call = program(context)
    simulated = context.backend.capabilities.simulated
    for _ in range(30):
        call()
    gc.collect()
    before = allocated(context), resident()
    rounds, started = 0, time.perf_counter()
    while rounds < MANY and not (simulated and rounds >= ENOUGH and time.perf_counter() - started > PATIENCE):
        call()
        rounds += 1
    gc.collect()
    counted, grown = allocated(context) - before[0], resident() - before[1]
    assert counted <= 0, f"{rounds} calls leave {counted} bytes allocated on the device"
    assert grown <= GROWTH, f"{rounds} calls make the process {grown >> 20} MiB larger"
    _check_growth(context, call, "a few calls more", 10)


# ---------------------------------------------------------------------------------------------- freed when dropped
def _dropped(context: Context) -> None:
    """Tensors, their views and their arrays go with the last reference."""
    with _uncollected():
        x = upload(context, np.ones((50, 40), np.float32))
        kept = [weakref.ref(x)]
        start = allocated(context)
        y = x + 1
        view = y[3:] if has_views(context) else y
        kept += [weakref.ref(y)]
        del y
        assert view.sum().item() is not None
        check_same(download(view)[0], np.full(40, 2, np.float32), "a view whose base was dropped")
        del view
        check_equal(allocated(context), start, "bytes allocated after all results were dropped")
        assert kept[1]() is None, "a tensor outlives its last reference"
        del x
        assert kept[0]() is None, "a tensor outlives its last reference"


def _replaced(context: Context) -> None:
    """A loop that overwrites its variable needs memory for two results, not for all."""
    x = upload(context, np.ones(10000, np.float32))
    x = x * 1.5
    start = allocated(context)
    for _ in range(50):
        x = x * 1.001
    check_equal(allocated(context), start, "bytes allocated after 50 rounds")


def _long_chain(context: Context) -> None:
    """A graph of many nodes is freed without recursion."""
    x = upload(context, np.ones(2, np.float32)).requires_grad_()
    y, count = x, max(3000, 3 * sys.getrecursionlimit())
    for _ in range(count):
        y = y + 1
    last = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert last() is None, "a long graph outlives its result"


def _retained(context: Context) -> None:
    """What a graph saves is kept as long as it may be needed, and no longer."""
    x = upload(context, np.full(4000, 3, np.float32)).requires_grad_()
    y = (x * x).exp().mul(1e-3)
    saved = allocated(context)
    total = y.sum()
    total.backward()
    assert allocated(context) <= saved + 4 * 4000 + 4096, "backward() keeps more than the gradient"
    del y, total
    assert x.grad is not None, "no gradient"
    expected = 2 * 3 * np.exp(np.float32(9)) * 1e-3
    assert np.allclose(download(x.grad), expected, rtol=1e-4), "the gradient after its graph was dropped"


def _hooks(context: Context) -> None:
    """A hook that refers to its tensor is a cycle, which the garbage collector breaks."""
    def cycle() -> weakref.ref[Any]:
        y = upload(context, np.ones(5, np.float32)).requires_grad_() * 2
        y.register_hook(lambda grad: y.detach() * 0 + grad)
        y.sum().backward()
        return weakref.ref(y)
    last = cycle()
    gc.collect()
    assert last() is None, "a tensor with a hook is never freed"


def _modules(context: Context) -> None:
    model = flambeau.nn.Linear(30, 20).to(context.device)
    start = allocated(context)
    kept = [weakref.ref(each) for each in model.parameters()]
    out = model(upload(context, np.ones((3, 30), np.float32)))
    out.sum().backward()
    del out, model
    gc.collect()
    assert all(each() is None for each in kept), "parameters outlive their module"
    assert start == 0 or allocated(context) < start, "a module's memory is not freed"


_FREED: dict[str, Callable[[Any], None]] = {
    "dropped": _dropped, "replaced": _replaced, "long-chain": _long_chain, "retained": _retained, "hooks": _hooks,
    "modules": _modules}


# ---------------------------------------------------------------------------------------------- none left
HUGE = 1 << 56     # elements: no machine has them, and their bytes still count in 64 bits


def _spread(context: Context) -> Tensor:
    """One element that looks like very many."""
    return upload(context, np.ones(1, np.float32)).expand(HUGE)


_TOO_LARGE: dict[str, Callable[[Any], Any]] = {
    "empty": lambda context: flambeau.empty(HUGE, device=context.device),
    "empty-2d": lambda context: flambeau.empty(1 << 28, 1 << 28, dtype=flambeau.int64, device=context.device),
    "beyond-64-bit": lambda context: flambeau.empty(1 << 62, device=context.device),
    "zeros": lambda context: flambeau.zeros(HUGE, device=context.device),
    "full": lambda context: flambeau.full((HUGE,), 2.5, device=context.device),
    "contract": lambda context: context.backend.empty((HUGE,), fd.float32, index_of(context)),
    "new_empty": lambda context: upload(context, np.ones(1, np.float32)).new_empty((HUGE,)),
    "resize_": lambda context: flambeau.empty(0, device=context.device).resize_(HUGE),
    "clone": lambda context: _spread(context).clone(),
    "contiguous": lambda context: _spread(context).contiguous(),
    "add": lambda context: _spread(context) + 1,
    "binary": lambda context: _spread(context) * _spread(context),
    "unary": lambda context: _spread(context).exp(),
    "cast": lambda context: _spread(context).to(flambeau.bool),
    "comparison": lambda context: _spread(context) > 0,
    "where": lambda context: flambeau.where(_spread(context) > 0, 1.0, 2.0),
    "cat": lambda context: flambeau.cat([_spread(context), _spread(context)]),
    "outer": lambda context: _spread(context)[:1 << 30][:, None] * _spread(context)[:1 << 30],
    "graph": lambda context: upload(context, np.ones(1, np.float32)).requires_grad_().expand(HUGE) * 2,
}


def _out_of_memory(context: Context, way: Callable[[Any], Any]) -> None:
    """Far more than there is, is refused as PyTorch does, and nothing is lost or leaks by it."""
    values = numbers(fd.float32, 30)
    kept = upload(context, values)
    gc.collect()     # what an earlier case has left in cycles would go in between
    before = allocated(context)
    for _ in range(3):
        error = raises(flambeau.OutOfMemoryError, lambda: way(context), "more memory than there is")
        assert isinstance(error, RuntimeError), "OutOfMemoryError must be a RuntimeError"
        assert str(error), "the error says nothing"
        del error
    gc.collect()
    check_equal(allocated(context), before, "bytes allocated after the errors")
    check_tensor(kept, values, "another tensor", context)
    check_tensor(kept + 1, values + 1, "a sum after the error", context)


def _recovers(context: Context) -> None:
    """A device that counts is filled to the end; what is freed can be had again."""
    backend, index = context.backend, index_of(context)
    total = backend.properties(index).total_memory
    if not backend.memory_stats(index) or total > 1 << 33:
        raises(flambeau.OutOfMemoryError, lambda: backend.empty((max(total, HUGE),), fd.float32, index), "too much")
        return
    gc.collect()
    kept: list[Any] = []
    size = max(total // 16, 64)
    for _ in range(2):
        error = raises(flambeau.OutOfMemoryError, lambda: _fill(kept, backend, size, index), "filling the device")
        assert len(kept) >= 8, f"only {len(kept)} of 16 parts of the memory could be had: {error}"
        del error
        kept.clear()
        gc.collect()
    check_tensor(flambeau.zeros(10, device=context.device) + 1, np.ones(10, np.float32), "a sum afterwards", context)


def _fill(kept: list[Any], backend: Any, size: int, index: int) -> None:
    kind = fd.uint8 if fd.uint8 in backend.capabilities.storage_dtypes else fd.bool_
    for _ in range(40):
        kept.append(backend.empty((size,), kind, index))  # noqa: PERF401 - what was had before the error is counted


# ---------------------------------------------------------------------------------------------- statistics
def _statistics(context: Context) -> None:
    """Where the backend counts, it counts every byte of an array, and each one once."""
    backend, index = context.backend, index_of(context)
    stats = backend.memory_stats(index)
    if not stats:
        return
    assert {"allocated", "peak"} <= set(stats), f"memory_stats gives {sorted(stats)}"
    before = allocated(context)
    x = backend.from_host(np.zeros((100, 100), np.float32), index)
    more = allocated(context) - before
    assert 40000 <= more <= 40000 + 4096, f"an array of 40000 bytes counts as {more}"
    if has_views(context):
        view = backend.as_strided(x, (50, 100), (200, 1), 0)
        check_equal(allocated(context) - before, more, "bytes with a view")
        del x
        check_equal(allocated(context) - before, more, "bytes while a view keeps them")
        del view
    else:
        del x
    check_equal(allocated(context), before, "bytes after all was dropped")
    y = backend.empty((1000,), fd.float32, index)
    assert allocated(context) - before >= 4000, "empty() is not counted"
    del y
    check_equal(allocated(context), before, "bytes after an empty array was dropped")


def _peak(context: Context) -> None:
    backend, index = context.backend, index_of(context)
    if "peak" not in backend.memory_stats(index):
        return
    reset = getattr(backend, "reset_peak_memory_stats", None)
    if reset is not None:
        reset(index)
        check_equal(backend.memory_stats(index)["peak"], allocated(context), "the peak after a reset")
    before = allocated(context)
    x = backend.empty((50000,), fd.float32, index)
    del x
    check_equal(allocated(context), before, "bytes after the array was dropped")
    assert backend.memory_stats(index)["peak"] >= before + 200000, "the peak does not count an array that was dropped"
    if reset is not None:
        reset(index)
        assert backend.memory_stats(index)["peak"] < before + 200000, "the peak stays after a reset"
