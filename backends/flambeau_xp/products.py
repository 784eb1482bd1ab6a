"""Products of matrices: BLAS and cuBLAS, and for integers what the array library has.

These are the plain forms. A backend whose library gives it more to say (threads, transposed copies, reduced
precision) replaces them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def matmul(xp: Any, a: Any, b: Any) -> Any:
    """Products of matrices and vectors as in `torch.matmul`; vectors are not conjugated."""
    return xp.matmul(a, b)


def linear(xp: Any, input: Any, weight: Any, bias: Any) -> Any:
    """input @ weight^T + bias, for any number of dimensions before the last; one product of matrices in all."""
    rows = xp.reshape(input, (math.prod(input.shape[:-1]), input.shape[-1]))
    result = xp.matmul(rows, weight.T)
    if bias is not None:
        result += bias
    return xp.reshape(result, (*input.shape[:-1], weight.shape[0]))


def linear_weight_grad(xp: Any, g: Any, input: Any) -> Any:
    """g^T @ conj(input), both as matrices of rows."""
    rows = math.prod(g.shape[:-1])
    g, input = xp.reshape(g, (rows, g.shape[-1])), xp.reshape(input, (rows, input.shape[-1]))
    return xp.matmul(g.T, xp.conj(input))


KERNELS: dict[str, Callable[..., Any]] = {
    "matmul": matmul,
    "mm": matmul,
    "bmm": matmul,
    "mv": matmul,
    "dot": matmul,
    "linear": linear,
    "linear_weight_grad": linear_weight_grad,
}

BEYOND: dict[str, str] = {}
