"""Loops compiled by Numba, where the extra `jit` is installed: for kernels that are many passes over memory in NumPy.

Each does per element what its NumPy form does per array, in the same order and precision, so that results are the
same with and without Numba. It is imported at the first use that is worth it, and what it compiles is kept on disk.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

WORTH = 1 << 14   # elements from which a compiled loop beats a dozen ufunc calls by enough to import Numba for it

_available = importlib.util.find_spec("numba") is not None and os.environ.get("FLAMBEAU_JIT", "1") != "0"
_adam: Callable[..., None] | None = None


def adam_loop(count: int) -> Callable[..., None] | None:
    """The compiled update of one block, or None where it is not to be had or not worth it for `count` elements."""
    global _adam
    if _adam is None:
        if not _available or count < WORTH:
            return None
        import numba
        _adam = numba.njit(cache=True, nogil=True, error_model="numpy")(_adam_element)
    return _adam


def _adam_element(param: Any, grad: Any, average: Any, square: Any, beta1: Any, weight1: Any, beta2: Any,
                  weight2: Any, root: Any, shift: Any) -> None:
    """`optimizer._adam_block` for flat arrays, without AMSGrad and with the folded step size."""
    for i in range(param.size):
        g = grad[i]
        average[i] = average[i] * beta1 + g * weight1
        square[i] = square[i] * beta2 + g * g * weight2
        param[i] = param[i] + average[i] / (np.sqrt(square[i]) * root + shift)
