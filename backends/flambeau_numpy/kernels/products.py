"""Products of matrices: BLAS through NumPy.

`np.dot` is used where it can be: it has less overhead than `np.matmul`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet2
from flambeau_numpy.threads import product

_quiet_dot, _quiet_matmul = quiet2(np.dot), quiet2(np.matmul)


def _dot(a: Any, b: Any) -> Any:
    return product(_quiet_dot, a.size * b.shape[-1], a, b)


def _matmul(a: Any, b: Any) -> Any:
    if b.ndim == 2 and a.ndim > 2 and a.size:   # one product of matrices instead of one per batch
        return _dot(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    return product(_quiet_matmul, a.size * b.shape[-1], a, b)


def _linear(input: Any, weight: Any, bias: Any) -> Any:
    rows = input if input.ndim == 2 else input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
    if 16384 <= rows.size <= weight.size:
        # BLAS packs a transposed operand slowly: with a transposed copy of the smaller one the product takes a tenth
        # less, and the way back is part of adding the bias.
        turned = _dot(weight, rows.T.copy()).T
        result = np.empty(turned.shape, turned.dtype)
        if bias is None:
            np.copyto(result, turned)
        else:
            np.add(turned, bias, result)
    else:
        result = _dot(rows, weight.T)
        if bias is not None:
            np.add(result, bias, result)
    return result if input.ndim == 2 else result.reshape(*input.shape[:-1], weight.shape[0])


def _linear_weight_grad(g: Any, input: Any) -> Any:
    if input.ndim != 2:
        rows = math.prod(g.shape[:-1])
        g, input = g.reshape(rows, g.shape[-1]), input.reshape(rows, input.shape[-1])
    if input.dtype.kind == "c":
        input = input.conj()
    return _dot(g.T, input)


KERNELS: dict[str, Any] = {
    "linear_weight_grad": _linear_weight_grad,
    "matmul": _matmul,
    "mm": _dot,
    "bmm": _matmul,
    "mv": _dot,
    "dot": _dot,
    "linear": _linear,
}
