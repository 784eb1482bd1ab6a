"""Products of matrices: BLAS through NumPy.

`np.dot` is used where it can be: it has less overhead than `np.matmul` and does not look at floating-point flags.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet2

_dot = np.dot
_quiet_matmul = quiet2(np.matmul)


def _conformable(a: Any, b: Any) -> Any:
    return _dot(a, b)


def _matmul(a: Any, b: Any) -> Any:
    if b.ndim == 2 and a.ndim > 2:   # one product of matrices instead of one per batch
        return _dot(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    return _quiet_matmul(a, b)


def _linear(input: Any, weight: Any, bias: Any) -> Any:
    if input.ndim == 2:
        result = _dot(input, weight.T)
    else:
        result = _dot(input.reshape(-1, input.shape[-1]), weight.T).reshape(*input.shape[:-1], weight.shape[0])
    if bias is not None:
        np.add(result, bias, result)
    return result


KERNELS: dict[str, Any] = {
    "matmul": _matmul,
    "mm": _conformable,
    "bmm": _quiet_matmul,
    "mv": _conformable,
    "dot": _conformable,
    "linear": _linear,
}
