"""Pointwise arithmetic and comparison: one record per operator, the gradient next to it."""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import arithmetic, binary, comparison, composite, int_to_float, unary
from flambeau.dtypes import BOOL
from flambeau.tensor import Tensor


# ---------------------------------------------------------------------------------------------- arithmetic
@binary(name="add", vjp={"input": lambda g: g, "other": lambda g: g})
def add(input: Tensor, other: Any) -> Tensor:
    """Sum."""


@binary(vjp={"input": lambda g: g, "other": lambda g: -g}, excluded=(BOOL,))
def sub(input: Tensor, other: Any) -> Tensor:
    """Difference."""


@binary(vjp={"input": lambda g, other: g * other, "other": lambda g, input: g * input})
def mul(input: Tensor, other: Any) -> Tensor:
    """Product."""


@binary(promote=int_to_float, vjp={"input": lambda g, other: g / other, "other": lambda g, other, result: -g * result / other})
def true_divide(input: Tensor, other: Any) -> Tensor:
    """Quotient."""


@unary(excluded=(BOOL,), vjp={"input": lambda g: -g})
def neg(input: Tensor) -> Tensor:
    """Negation."""


@unary(promote=int_to_float, vjp={"input": lambda g, result: g * result})
def exp(input: Tensor) -> Tensor:
    """e to the power of each element."""


@unary(promote=int_to_float, vjp={"input": lambda g, result: g * (1 - result * result)})
def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""


@binary(promote=comparison, vjp="none")
def eq(input: Tensor, other: Any) -> Tensor:
    """Whether elements are equal."""
