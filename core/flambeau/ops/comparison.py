"""Comparisons and logic on truth values: the results are bool tensors, and nothing has a gradient."""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import alias, binary, comparison, composite, unary
from flambeau.dispatch.run import wrong_type
from flambeau.dtypes import COMPLEX, FLOAT, get_default_dtype
from flambeau.errors import ArgumentError, DtypeError, message
from flambeau.ir import expr as ir
from flambeau.ops import _samples, rules
from flambeau.tensor import Tensor


@binary(promote=comparison, vjp="none", expr=ir.eq)
def eq(input: Tensor, other: Any) -> Tensor:
    """Whether elements are equal; nan equals nothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.eq.html

    >>> import flambeau as torch
    >>> torch.eq(torch.tensor([1, 2]), 2)
    tensor([False,  True])
    """


@binary(promote=comparison, vjp="none", expr=ir.ne)
def ne(input: Tensor, other: Any) -> Tensor:
    """Whether elements differ.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ne.html

    >>> import flambeau as torch
    >>> torch.ne(torch.tensor([1, 2]), torch.tensor([1, 3]))
    tensor([False,  True])
    """
    return ~(input == other)


@binary(promote=comparison, vjp="none", excluded=(COMPLEX,), expr=lambda x, y: x < y)
def lt(input: Tensor, other: Any) -> Tensor:
    """Whether elements are less than those of `other`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lt.html

    >>> import flambeau as torch
    >>> torch.lt(torch.tensor([1, 2]), 2)
    tensor([ True, False])
    """


@binary(promote=comparison, vjp="none", excluded=(COMPLEX,), expr=lambda x, y: x <= y)
def le(input: Tensor, other: Any) -> Tensor:
    """Whether elements are less than or equal to those of `other`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.le.html

    >>> import flambeau as torch
    >>> torch.le(torch.tensor([1, 2, 3]), 2)
    tensor([ True,  True, False])
    """
    return (input < other) | (input == other)


@binary(promote=comparison, vjp="none", excluded=(COMPLEX,), expr=lambda x, y: x > y)
def gt(input: Tensor, other: Any) -> Tensor:
    """Whether elements are greater than those of `other`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gt.html

    >>> import flambeau as torch
    >>> torch.gt(torch.tensor([1, 2, 3]), 2)
    tensor([False, False,  True])
    """
    return lt.op.call(other, input)  # type: ignore[attr-defined]


@binary(promote=comparison, vjp="none", excluded=(COMPLEX,), expr=lambda x, y: x >= y)
def ge(input: Tensor, other: Any) -> Tensor:
    """Whether elements are greater than or equal to those of `other`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ge.html

    >>> import flambeau as torch
    >>> torch.ge(torch.tensor([1, 2, 3]), 2)
    tensor([False,  True,  True])
    """
    return (input > other) | (input == other)


eq, ne, lt, le, gt, ge = (rules.tensors(each, 1) for each in (eq, ne, lt, le, gt, ge))
not_equal, less, less_equal = alias("not_equal", ne), alias("less", lt), alias("less_equal", le)
greater, greater_equal = alias("greater", gt), alias("greater_equal", ge)


# ---------------------------------------------------------------------------------------------- logic
def _truth(value: Any) -> Any:
    return value != 0


@binary(promote=comparison, vjp="none", expr=ir.logical_and)
def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Whether both elements are not zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logical_and.html

    >>> import flambeau as torch
    >>> torch.logical_and(torch.tensor([0, 1]), torch.tensor([2., 3.]))
    tensor([False,  True])
    """
    return _truth(input) & _truth(other)


@binary(promote=comparison, vjp="none", expr=ir.logical_or)
def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Whether either element is not zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logical_or.html

    >>> import flambeau as torch
    >>> torch.logical_or(torch.tensor([0, 2]), torch.tensor([False, False]))
    tensor([False,  True])
    """
    return _truth(input) | _truth(other)


@binary(promote=comparison, vjp="none", expr=ir.logical_xor)
def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Whether exactly one element is not zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logical_xor.html

    >>> import flambeau as torch
    >>> torch.logical_xor(torch.tensor([0, 2]), torch.tensor([True, True]))
    tensor([ True, False])
    """
    return _truth(input) ^ _truth(other)


@unary(promote=comparison, vjp="none", expr=ir.logical_not)
def logical_not(input: Tensor) -> Tensor:
    """Whether elements are zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logical_not.html

    >>> import flambeau as torch
    >>> torch.logical_not(torch.tensor([0., 2.]))
    tensor([ True, False])
    """
    return input == 0


logical_and, logical_or, logical_xor = (rules.tensors(each, 2) for each in (logical_and, logical_or, logical_xor))


# ---------------------------------------------------------------------------------------------- kinds of numbers
@unary(promote=comparison, vjp="none", inplace=False, expr=lambda x: ir.ne(x, x))
def isnan(input: Tensor) -> Tensor:
    """Whether elements are nan.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isnan.html

    >>> import flambeau as torch
    >>> torch.isnan(torch.tensor([float("nan"), 1.]))
    tensor([ True, False])
    """
    return input != input


@unary(promote=comparison, vjp="none", inplace=False, expr=lambda x: ir.isinf(x))
def isinf(input: Tensor) -> Tensor:
    """Whether elements are infinite.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isinf.html

    >>> import flambeau as torch
    >>> torch.isinf(torch.tensor([1., float('-inf'), float('nan')]))
    tensor([False,  True, False])
    """
    if input._kind.dtype.is_complex:
        return isinf(input.real) | isinf(input.imag)
    return input.abs() == float("inf") if input._kind.dtype.category >= FLOAT else input != input


@unary(promote=comparison, vjp="none", inplace=False, expr=lambda x: ir.eq(x - x, 0))
def isfinite(input: Tensor) -> Tensor:
    """Whether elements are neither infinite nor nan.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isfinite.html

    >>> import flambeau as torch
    >>> torch.isfinite(torch.tensor([1., float('inf'), float('nan')]))
    tensor([ True, False, False])
    """
    return (input - input) == 0 if input._kind.dtype.category >= FLOAT else input == input


@unary(promote=comparison, vjp="none", inplace=False, excluded=(COMPLEX,), expr=lambda x: ir.eq(x, float("inf")))
def isposinf(input: Tensor) -> Tensor:
    """Whether elements are positive infinity.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isposinf.html

    >>> import flambeau as torch
    >>> torch.isposinf(torch.tensor([float('inf'), float('-inf')]))
    tensor([ True, False])
    """
    return input == float("inf")


@unary(promote=comparison, vjp="none", inplace=False, excluded=(COMPLEX,), expr=lambda x: ir.eq(x, float("-inf")))
def isneginf(input: Tensor) -> Tensor:
    """Whether elements are negative infinity.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isneginf.html

    >>> import flambeau as torch
    >>> torch.isneginf(torch.tensor([float('inf'), float('-inf')]))
    tensor([False,  True])
    """
    return input == float("-inf")


@unary(promote=comparison, vjp="none", inplace=False, excluded=(COMPLEX,), expr=ir.signbit)
def signbit(input: Tensor) -> Tensor:
    """Whether the sign bit is set, which tells -0.0 from 0.0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signbit.html

    >>> import flambeau as torch
    >>> torch.signbit(torch.tensor([-1., 0., -0.]))
    tensor([ True, False,  True])
    """


@composite(samples=_samples.on(((2, 3),)))
def isreal(input: Tensor) -> Tensor:
    """Whether elements have no imaginary part.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isreal.html

    >>> import flambeau as torch
    >>> torch.isreal(torch.tensor([1 + 0j, 1 + 2j]))
    tensor([ True, False])
    """
    if input._kind.dtype.is_complex:
        return input.imag == 0
    return input == input  if input._kind.dtype.category < FLOAT else isnan(input) | (input == input)


def _samples_isclose(make: Any) -> _samples.Calls:
    yield (make.fixed([1, 2, 3]), make.fixed([1, 4, 3])), {}
    yield (make.fixed([1, 2, 8]), make.fixed([[1, 3, 3]])), {"rtol": 0.25, "atol": 0.5}
    if make.dtype.is_floating_point:
        special = [float("nan"), float("inf"), 1.0]
        yield (make.fixed(special), make.fixed(special)), {"equal_nan": True}


@composite(samples=_samples_isclose)
def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether `|input - other| <= atol + rtol * |other|`, element by element. Both have one dtype.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.isclose.html

    >>> import flambeau as torch
    >>> torch.isclose(torch.tensor([1., 2.]), torch.tensor([1.000001, 2.1]))
    tensor([ True, False])
    """
    for position, each in enumerate((input, other)):
        if not isinstance(each, Tensor):
            raise wrong_type(isclose.op, position, each)
    if input._kind.dtype is not other._kind.dtype:
        raise DtypeError(message("isclose", f"{input._kind.dtype} did not match {other._kind.dtype}",
                                 next_step="convert one of them"))
    if rtol < 0 or atol < 0:
        raise ArgumentError(message("isclose", "rtol and atol must be greater than or equal to zero",
                                    given=f"rtol={rtol}, atol={atol}"))
    close = input == other
    if equal_nan and input._kind.dtype.category >= FLOAT:
        close = close | ((input != input) & (other != other))
    if rtol == 0 and atol == 0:
        return close
    if input._kind.dtype.category < FLOAT:
        input, other = input.to(get_default_dtype()), other.to(get_default_dtype())
    distance = (input - other).abs()
    allowed = atol + (rtol * other).abs()
    return close | (isfinite(distance) & (distance <= allowed))


__all__ = rules.public(globals())
