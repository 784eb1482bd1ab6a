"""A stranger's operator, from outside the source tree: one record; the kernels are one line for each backend."""

from __future__ import annotations

from typing import Any

from flambeau.discovery import add_kernel
from flambeau.dispatch import binary, int_to_float
from flambeau.tensor import Tensor


@binary(
    promote=int_to_float,
    vjp={
        "input": lambda g, input, result: g * (result / input) * (result / input) * 0.5,
        "other": lambda g, other, result: g * (result / other) * (result / other) * 0.5,
    },
)
def harmonic_mean(input: Tensor, other: Any) -> Tensor:
    """The harmonic mean of two numbers: the reciprocal of the mean of their reciprocals."""


def _kernel(a: Any, b: Any, out: Any = None) -> Any:
    result = 2 * a * b / (a + b)
    if out is None:
        return result
    out[...] = result
    return out


add_kernel("cpu", "harmonic_mean", _kernel)  # the abacus has its own kernel among the backend's
