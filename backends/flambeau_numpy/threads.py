"""How many threads BLAS uses for a product: one, and one more for every `SHARE` multiply-adds, up to what
`set_num_threads` allows.

The threads of OpenBLAS wait for each other by spinning. Where a machine is busy with something else, one that does
not run holds up the others for a whole time slice, so threads for small products lose far more than they can win:
with two threads for every product, a training step on a busy machine took 40 times as long as with one. The number
depends on the size of the product only, because another number gives other last bits, and results must not depend on
what else the machine does. On a machine that is always busy, `set_num_threads(1)` is the right choice.

BLAS is told before such a product and told back after it: the number is the whole process's, and NumPy code beside
ours keeps its threads. Whoever set OPENBLAS_NUM_THREADS or OMP_NUM_THREADS has decided for himself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

SMALL = 1 << 18   # multiply-adds up to which BLAS itself takes one thread
SHARE = 1 << 19   # multiply-adds that are worth another thread: about 0.01 ms

_decided = any(os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"))
_setters: list[Callable[[int], Any]] | None = [] if _decided else None
_allowed = os.cpu_count() or 1


def _libraries() -> list[Callable[[int], Any]]:
    """What sets the number of threads of the BLAS that NumPy has loaded."""
    global _setters
    if _setters is None:
        from threadpoolctl import ThreadpoolController
        _setters = [each.set_num_threads for each in ThreadpoolController().select(user_api="blas").lib_controllers]
    return _setters


def allow(count: int) -> None:
    """Let products use up to this many threads."""
    global _allowed
    _allowed = count
    for each in _libraries():
        each(count)


def product(function: Callable[..., Any], work: int, *args: Any) -> Any:
    """`function(*args)`, a product of so many multiply-adds, with the threads that its size deserves."""
    wanted = 1 + work // SHARE
    if work <= SMALL or wanted >= _allowed:
        return function(*args)
    setters = _libraries()
    for each in setters:
        each(wanted)
    try:
        return function(*args)
    finally:
        for each in setters:
            each(_allowed)
