"""`torch.cuda.nvtx`: named ranges for a profiler. There is none to tell, so they are counted, and nothing more.

>>> import flambeau as torch
>>> with torch.cuda.nvtx.range("step {}", 3):
...     torch.cuda.nvtx.mark("here")
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]


class _Here(threading.local):
    depth = 0


_here = _Here()
_handles = itertools.count(1)


def range_push(msg: str) -> int:
    """Begin a range inside those that this thread is in; gives how many those are."""
    _here.depth += 1
    return _here.depth - 1


def range_pop() -> int:
    """End the innermost range of this thread; gives how many are left, -1 or less where there was none."""
    if _here.depth == 0:
        return -2
    _here.depth -= 1
    return _here.depth


def range_start(msg: str) -> int:
    """Begin a range that may end anywhere, in any thread; gives what `range_end` needs."""
    return next(_handles)


def range_end(range_id: int) -> None:
    """End a range that `range_start` began."""


def mark(msg: str) -> None:
    """Note a point in time."""


@contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A block, or a function that it decorates, as a range; the message is formatted with the arguments."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
