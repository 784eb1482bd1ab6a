"""softmax, its logarithm and their gradients, each with as few passes and temporaries as NumPy allows."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet

_add, _max = np.add.reduce, np.maximum.reduce


def _shifted(a: Any, dim: int) -> Any:
    return a - _max(a, dim, None, None, True)


def _softmax(a: Any, dim: int) -> Any:
    if not a.size or not a.ndim:
        return np.ones_like(a) if a.size and not np.isnan(a) and not np.isinf(a) else a * 0 if a.size else a.copy()
    result = _shifted(a, dim)
    np.exp(result, result)
    return np.divide(result, _add(result, dim, None, None, True), result)


def _log_softmax(a: Any, dim: int) -> Any:
    if not a.size or not a.ndim:
        return a - a
    result = _shifted(a, dim)
    return np.subtract(result, np.log(_add(np.exp(result), dim, None, None, True)), result)


def _softmax_backward(grad: Any, result: Any, dim: int) -> Any:
    if not result.ndim:
        return grad - grad
    weighted = grad * result
    total = _add(weighted, dim, None, None, True)
    return np.subtract(weighted, result * total, weighted)


def _log_softmax_backward(grad: Any, result: Any, dim: int) -> Any:
    if not result.ndim:
        return grad - grad
    softmax = np.exp(result)
    np.multiply(softmax, _add(grad, dim, None, None, True), softmax)
    return np.subtract(grad, softmax, softmax)


KERNELS: dict[str, Any] = {
    "softmax": quiet(_softmax),
    "log_softmax": quiet(_log_softmax),
    "softmax_backward_data": quiet(_softmax_backward),
    "log_softmax_backward_data": quiet(_log_softmax_backward),
}
