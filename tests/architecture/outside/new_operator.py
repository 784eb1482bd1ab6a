"""A stranger's operator, from outside the source tree: one record; the kernels are one line in each backend."""

from __future__ import annotations

from typing import Any

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
