"""Loops compiled by Numba, where the extra `jit` is installed: for kernels that are many passes over memory in NumPy.

Each does per element what its NumPy form does per array, in the same order and precision, so that results are the
same with and without Numba. It is imported at the first use that is worth it, and what it compiles is kept on disk.
FLAMBEAU_JIT=0 leaves it out.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

WORTH = 1 << 14   # elements from which a compiled loop beats a dozen ufunc calls by enough to import Numba for it

_available = importlib.util.find_spec("numba") is not None and os.environ.get("FLAMBEAU_JIT", "1") != "0"
_compiled: dict[Callable[..., None], Callable[..., None]] = {}


def compiled(loop: Callable[..., None], count: int) -> Callable[..., None] | None:
    """The compiled form of one of the loops below, or None where it is not to be had.

    A call on few elements never imports Numba, but uses it once something larger has.
    """
    found = _compiled.get(loop)
    if found is None:
        if not _available or (count < WORTH and not _compiled):
            return None
        import numba
        found = _compiled[loop] = numba.njit(cache=True, nogil=True, error_model="numpy")(loop)
    return found


def adam(param: Any, grad: Any, average: Any, square: Any, beta1: Any, weight1: Any, beta2: Any, weight2: Any,
         root: Any, shift: Any) -> None:
    """`optimizer._adam_block` for flat arrays, without AMSGrad and with the folded step size."""
    for i in range(param.size):
        g = grad[i]
        average[i] = average[i] * beta1 + g * weight1
        square[i] = square[i] * beta2 + g * g * weight2
        param[i] = param[i] + average[i] / (np.sqrt(square[i]) * root + shift)


def dropout_factors(words: Any, mask: Any, limit: Any, scale: Any, out: Any) -> None:
    """`scale` where the masked word is below the limit, else 0."""
    nothing = scale - scale
    for i in range(words.size):
        out[i] = scale if words[i] & mask < limit else nothing
