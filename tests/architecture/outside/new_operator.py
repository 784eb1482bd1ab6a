"""A stranger's operator, from outside the source tree: one record; the kernels are one line in each backend."""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import binary, int_to_float
from flambeau.tensor import Tensor


@binary(
    promote=int_to_float,
    vjp={
        "input": lambda g, input, result: g * input / result,
        "other": lambda g, other, result: g * other / result,
    },
)
def hypotenuse(input: Tensor, other: Any) -> Tensor:
    """The hypotenuse of a right triangle with these legs."""
