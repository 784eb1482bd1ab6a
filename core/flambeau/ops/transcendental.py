"""Exponentials, logarithms, trigonometry and rounding.

Where C's library has a function of the name, it is a primitive of the expressions; what a backend need not have a
kernel for has a body that says how to do without.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.dispatch import alias, binary, front, int_to_float, unary
from flambeau.dispatch.run import write_out
from flambeau.dtypes import BOOL, COMPLEX, promote_types
from flambeau.ir import expr as ir
from flambeau.ops import rules
from flambeau.ops._samples import Calls
from flambeau.ops.elementwise import fmod
from flambeau.ops.selection import where
from flambeau.tensor import Tensor

_LN2, _LN10 = math.log(2), math.log(10)
_LARGE = 1e8
conj = rules.conj


# ---------------------------------------------------------------------------------------------- exponentials
@unary(promote=int_to_float, vjp={"input": lambda g, result: g * conj(result)}, expr=ir.exp)
def exp(input: Tensor) -> Tensor:
    """e to the power of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.exp.html

    >>> import flambeau as torch
    >>> torch.exp(torch.tensor([0., 1.]))
    tensor([1.0000, 2.7183])
    """


@unary(promote=int_to_float, vjp={"input": lambda g, result: g * conj(result) * _LN2}, expr=ir.exp2)
def exp2(input: Tensor) -> Tensor:
    """2 to the power of each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.exp2.html

    >>> import flambeau as torch
    >>> torch.exp2(torch.tensor([0., 3.]))
    tensor([1., 8.])
    """
    return exp(input * _LN2)


@unary(promote=int_to_float, vjp={"input": lambda g, result: g * conj(result + 1)}, expr=ir.expm1)
def expm1(input: Tensor) -> Tensor:
    """`exp(x) - 1` without loss of accuracy near 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.expm1.html

    >>> import flambeau as torch
    >>> torch.expm1(torch.tensor([0., 1.]))
    tensor([0.0000, 1.7183])
    """


@unary(promote=int_to_float, vjp={"input": lambda g, input: g / conj(input)}, expr=ir.log, domain=(0.1, 9))
def log(input: Tensor) -> Tensor:
    """The natural logarithm; -inf for 0, nan for negative elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.log.html

    >>> import flambeau as torch
    >>> torch.log(torch.tensor([1., 2.]))
    tensor([0.0000, 0.6931])
    """


@unary(promote=int_to_float, vjp={"input": lambda g, input: g / conj(input * _LN2)}, expr=ir.log2, domain=(0.1, 9))
def log2(input: Tensor) -> Tensor:
    """The logarithm to base 2.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.log2.html

    >>> import flambeau as torch
    >>> torch.log2(torch.tensor([1., 8.]))
    tensor([0., 3.])
    """
    return log(input) / _LN2


@unary(promote=int_to_float, vjp={"input": lambda g, input: g / conj(input * _LN10)}, expr=ir.log10, domain=(0.1, 9))
def log10(input: Tensor) -> Tensor:
    """The logarithm to base 10.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.log10.html

    >>> import flambeau as torch
    >>> torch.log10(torch.tensor([1., 10.]))
    tensor([0., 1.])
    """
    return log(input) / _LN10


@unary(promote=int_to_float, vjp={"input": lambda g, input: g / conj(input + 1)}, expr=ir.log1p, domain=(-0.9, 4),
       grad_name="Log1PBackward0")
def log1p(input: Tensor) -> Tensor:
    """`log(1 + x)` without loss of accuracy near 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.log1p.html

    >>> import flambeau as torch
    >>> torch.log1p(torch.tensor([0., 1.]))
    tensor([0.0000, 0.6931])
    """


# ---------------------------------------------------------------------------------------------- trigonometry
@unary(promote=int_to_float, vjp={"input": lambda g, input: g * conj(input.cos())}, expr=ir.sin)
def sin(input: Tensor) -> Tensor:
    """The sine of angles in radians.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sin.html

    >>> import flambeau as torch
    >>> torch.sin(torch.tensor([0., 1.]))
    tensor([0.0000, 0.8415])
    """


@unary(promote=int_to_float, vjp={"input": lambda g, input: -g * conj(input.sin())}, expr=ir.cos)
def cos(input: Tensor) -> Tensor:
    """The cosine of angles in radians.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cos.html

    >>> import flambeau as torch
    >>> torch.cos(torch.tensor([0., 1.]))
    tensor([1.0000, 0.5403])
    """


@unary(promote=int_to_float, vjp={"input": lambda g, result: g * conj(result * result + 1)}, expr=ir.tan,
       domain=(-1.3, 1.3))
def tan(input: Tensor) -> Tensor:
    """The tangent of angles in radians.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tan.html

    >>> import flambeau as torch
    >>> torch.tan(torch.tensor([0., 1.]))
    tensor([0.0000, 1.5574])
    """
    return sin(input) / cos(input)


@unary(promote=int_to_float, vjp={"input": lambda g, input: g * conj((1 - input * input).rsqrt())}, expr=ir.asin,
       domain=(-0.9, 0.9))
def asin(input: Tensor) -> Tensor:
    """The angle in radians whose sine is given; nan outside of [-1, 1].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.asin.html

    >>> import flambeau as torch
    >>> torch.asin(torch.tensor([0.5, 2.]))
    tensor([0.5236,    nan])
    """
    if input._kind.dtype.is_complex:
        return asinh(input * 1j) * -1j
    return atan2(input, ((1 - input) * (1 + input)).sqrt())


@unary(promote=int_to_float, vjp={"input": lambda g, input: -g * conj((1 - input * input).rsqrt())}, expr=ir.acos,
       domain=(-0.9, 0.9))
def acos(input: Tensor) -> Tensor:
    """The angle in radians whose cosine is given; nan outside of [-1, 1].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.acos.html

    >>> import flambeau as torch
    >>> torch.acos(torch.tensor([1., 0.5]))
    tensor([0.0000, 1.0472])
    """
    if input._kind.dtype.is_complex:
        return math.pi / 2 - asin(input)
    return atan2(((1 - input) * (1 + input)).sqrt(), input)


@unary(promote=int_to_float, vjp={"input": lambda g, input: g / conj(input * input + 1)}, expr=ir.atan)
def atan(input: Tensor) -> Tensor:
    """The angle in radians whose tangent is given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.atan.html

    >>> import flambeau as torch
    >>> torch.atan(torch.tensor([0., 1.]))
    tensor([0.0000, 0.7854])
    """
    if input._kind.dtype.is_complex:
        return atanh(input * 1j) * -1j
    return atan2(input, input.new_ones(()))


@binary(promote=int_to_float, excluded=(COMPLEX,), expr=ir.atan2,
        vjp={"input": lambda g, input, other: g * (other / (input * input + other * other)),
             "other": lambda g, input, other: g * (-input / (input * input + other * other))})
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle of the point with ordinate `input` and abscissa `other`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.atan2.html

    >>> import flambeau as torch
    >>> torch.atan2(torch.tensor([1.]), torch.tensor([-1.]))
    tensor([2.3562])
    """


@unary(promote=int_to_float, vjp={"input": lambda g, input: g * conj(input.cosh())}, expr=ir.sinh)
def sinh(input: Tensor) -> Tensor:
    """The hyperbolic sine.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sinh.html

    >>> import flambeau as torch
    >>> torch.sinh(torch.tensor([0., 1.]))
    tensor([0.0000, 1.1752])
    """
    return (expm1(input) - expm1(-input)) / 2


@unary(promote=int_to_float, vjp={"input": lambda g, input: g * conj(input.sinh())}, expr=ir.cosh)
def cosh(input: Tensor) -> Tensor:
    """The hyperbolic cosine.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.cosh.html

    >>> import flambeau as torch
    >>> torch.cosh(torch.tensor([0., 1.]))
    tensor([1.0000, 1.5431])
    """
    return (exp(input) + exp(-input)) / 2


@unary(promote=int_to_float, vjp={"input": lambda g, input: g * conj((input * input + 1).rsqrt())}, expr=ir.asinh)
def asinh(input: Tensor) -> Tensor:
    """The inverse of the hyperbolic sine.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.asinh.html

    >>> import flambeau as torch
    >>> torch.asinh(torch.tensor([0., 1.]))
    tensor([0.0000, 0.8814])
    """
    if input._kind.dtype.is_complex:
        side = rules.half_plane(input)
        return log(input * side + (input * input + 1).sqrt()) * side
    size = input.abs()
    small = size.clamp(max=_LARGE)      # beyond, the square overflows, and asinh(x) is log(2 x) to the last digit
    near = log1p(small + small * small / (1 + (small * small + 1).sqrt()))
    return where(size > _LARGE, log(size) + _LN2, near) * input.sign()


@unary(promote=int_to_float, vjp={"input": lambda g, input: g * conj(((input - 1).sqrt() * (input + 1).sqrt())
                                                                    .reciprocal())}, expr=ir.acosh, domain=(1.1, 5))
def acosh(input: Tensor) -> Tensor:
    """The inverse of the hyperbolic cosine; nan below 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.acosh.html

    >>> import flambeau as torch
    >>> torch.acosh(torch.tensor([1., 2.]))
    tensor([0.0000, 1.3170])
    """
    return log(input + (input - 1).sqrt() * (input + 1).sqrt())


@unary(promote=int_to_float, vjp={"input": lambda g, input: g / conj(1 - input * input)}, expr=ir.atanh,
       domain=(-0.9, 0.9))
def atanh(input: Tensor) -> Tensor:
    """The inverse of the hyperbolic tangent; nan outside of [-1, 1].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.atanh.html

    >>> import flambeau as torch
    >>> torch.atanh(torch.tensor([0., 0.5]))
    tensor([0.0000, 0.5493])
    """
    return (log1p(input) - log1p(-input)) / 2


def _hypot_slope(g: Tensor, side: Tensor, result: Tensor) -> Tensor:
    return g * (side / result).masked_fill(result == 0, 0)


@binary(excluded=rules.FLOATS_ONLY, expr=ir.hypot,
        vjp={"input": lambda g, input, result: _hypot_slope(g, input, result),
             "other": lambda g, other, result: _hypot_slope(g, other, result)})
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """The length of the hypotenuse, `sqrt(x * x + y * y)`, without overflow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hypot.html

    >>> import flambeau as torch
    >>> torch.hypot(torch.tensor([3.]), torch.tensor([4.]))
    tensor([5.])
    """
    large, small = input.abs().maximum(other.abs()), input.abs().minimum(other.abs())
    ratio = (small / large).masked_fill(large == small, 1)
    length = large * (ratio * ratio + 1).sqrt()
    return length.masked_fill(input.isinf() | other.isinf(), math.inf)


arcsin, arccos, arctan = alias("arcsin", asin), alias("arccos", acos), alias("arctan", atan)
arcsinh, arccosh, arctanh = alias("arcsinh", asinh), alias("arccosh", acosh), alias("arctanh", atanh)
arctan2 = alias("arctan2", atan2)


@unary(promote=int_to_float, excluded=(COMPLEX,), vjp={"input": lambda g: g * (math.pi / 180)},
       grad_name="Deg2RadBackward0", expr=lambda x: x * (math.pi / 180))
def deg2rad(input: Tensor) -> Tensor:
    """Degrees to radians.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.deg2rad.html

    >>> import flambeau as torch
    >>> torch.deg2rad(torch.tensor([180.]))
    tensor([3.1416])
    """


@unary(promote=int_to_float, excluded=(COMPLEX,), vjp={"input": lambda g: g * (180 / math.pi)},
       grad_name="Rad2DegBackward0", expr=lambda x: x * (180 / math.pi))
def rad2deg(input: Tensor) -> Tensor:
    """Radians to degrees.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rad2deg.html

    >>> import flambeau as torch
    >>> torch.rad2deg(torch.tensor([1.]))
    tensor([57.2958])
    """


def _sinc_slope(g: Tensor, input: Tensor) -> Tensor:
    angle = input * math.pi
    slope = ((angle * angle.cos() - angle.sin()) / angle) / input
    return g * conj(slope.masked_fill(input == 0, 0))


@unary(promote=int_to_float, vjp={"input": _sinc_slope},
       expr=lambda x: ir.where(ir.eq(x, 0), 1.0, ir.sin(x * math.pi) / (x * math.pi)))
def sinc(input: Tensor) -> Tensor:
    """`sin(pi x) / (pi x)`, 1 at 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sinc.html

    >>> import flambeau as torch
    >>> torch.sinc(torch.tensor([0., 0.5]))
    tensor([1.0000, 0.6366])
    """


# ---------------------------------------------------------------------------------------------- rounding
_NO_BOOL_OR_COMPLEX = (BOOL, COMPLEX)


@unary(excluded=_NO_BOOL_OR_COMPLEX, vjp={"input": rules.zeros}, expr=ir.floor)
def floor(input: Tensor) -> Tensor:
    """Each element rounded down.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.floor.html

    >>> import flambeau as torch
    >>> torch.floor(torch.tensor([1.5, -1.5]))
    tensor([ 1., -2.])
    """
    whole = trunc(input)
    return where(whole > input, whole - 1, whole)


@unary(excluded=_NO_BOOL_OR_COMPLEX, vjp={"input": rules.zeros}, expr=ir.ceil)
def ceil(input: Tensor) -> Tensor:
    """Each element rounded up.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ceil.html

    >>> import flambeau as torch
    >>> torch.ceil(torch.tensor([1.2, -1.2]))
    tensor([ 2., -1.])
    """
    return -floor(-input)


@unary(excluded=_NO_BOOL_OR_COMPLEX, vjp={"input": rules.zeros}, expr=ir.trunc)
def trunc(input: Tensor) -> Tensor:
    """Each element rounded towards zero.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.trunc.html

    >>> import flambeau as torch
    >>> torch.trunc(torch.tensor([1.7, -1.7]))
    tensor([ 1., -1.])
    """
    return where(input.isinf(), input, input - fmod(input, 1))


fix = alias("fix", trunc)


@unary(excluded=rules.FLOATS_ONLY, vjp={"input": lambda g: g}, expr=lambda x: x - ir.trunc(x))
def frac(input: Tensor) -> Tensor:
    """The part behind the point, with the sign of the element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.frac.html

    >>> import flambeau as torch
    >>> torch.frac(torch.tensor([1.5, -1.5]))
    tensor([ 0.5000, -0.5000])
    """


def _samples_round(make: Any) -> Calls:
    yield (make(3, 4),), {}
    yield (make.fixed([[0.5, 1.5, 2.5], [-0.5, -1.5, -2.5]]),), {}
    if make.dtype.is_floating_point:
        for decimals in (1, -1):
            yield (make(2, 3, low=-40, high=40),), {"decimals": decimals}


def _samples_decimals(make: Any) -> Calls:
    yield (make(2, 3), 1), {}
    yield (make(2, 3, low=-40, high=40), -1), {}


@unary(excluded=_NO_BOOL_OR_COMPLEX, vjp={"input": rules.zeros}, expr=ir.round_, samples=_samples_round)
def _round(input: Tensor) -> Tensor:
    """Rounding to the nearest integer."""


@binary(excluded=_NO_BOOL_OR_COMPLEX, vjp={"input": rules.zeros}, method=False, namespace="internal",
        grad_name="RoundBackward1", samples=_samples_decimals)
def _round_decimals(input: Tensor, decimals: float) -> Tensor:
    """Rounding to a number of decimals."""
    scale = 10.0 ** abs(decimals)
    return _round(input * scale) / scale if decimals >= 0 else _round(input / scale) * scale


def _decimals(input: Tensor, decimals: int) -> bool:
    return bool(decimals) and input._kind.dtype.is_floating_point


@front(_round)
def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """Each element rounded to the nearest integer, or to a number of decimals; halves go to the even neighbour.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.round.html

    >>> import flambeau as torch
    >>> torch.round(torch.tensor([0.5, 1.5])), torch.round(torch.tensor([1.234]), decimals=1)
    (tensor([0., 2.]), tensor([1.2000]))
    """
    return _round_decimals(input, decimals, out=out) if _decimals(input, decimals) else _round(input, out=out)


_round_inplace = rules.inplace(_round)


@rules.inplace_front(_round)
def round_(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Round in place."""
    if _decimals(input, decimals):
        return rules.inplace(_round_decimals)(input, decimals)
    return _round_inplace(input)


# ---------------------------------------------------------------------------------------------- sums of exponentials
def _logaddexp_expr(x: Any, y: Any) -> Any:
    larger = ir.maximum(x, y)
    distance = ir.apply("abs", x - y)
    return ir.where(ir.eq(x, y), x + _LN2, larger + ir.log1p(ir.exp(-distance)))


def _logaddexp2_expr(x: Any, y: Any) -> Any:
    larger = ir.maximum(x, y)
    distance = ir.apply("abs", x - y)
    return ir.where(ir.eq(x, y), x + 1, larger + ir.log1p(ir.exp2(-distance)) / _LN2)


def _weight(g: Tensor, mine: Tensor, other: Tensor, grow: Any) -> Tensor:
    """The share of one of two exponentials in their sum; half for two equal infinities."""
    return g / (grow(where(mine == other, 0, other - mine)) + 1)


@binary(excluded=rules.FLOATS_ONLY, inplace=False, expr=_logaddexp_expr,
        vjp={"input": lambda g, input, other: _weight(g, input, other, exp),
             "other": lambda g, input, other: _weight(g, other, input, exp)})
def _logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """`log(exp(x) + exp(y))` of real numbers."""


@binary(excluded=rules.FLOATS_ONLY, inplace=False, expr=_logaddexp2_expr, grad_name="Logaddexp2Backward0",
        vjp={"input": lambda g, input, other: _weight(g, input, other, exp2),
             "other": lambda g, input, other: _weight(g, other, input, exp2)})
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """`log2(2 ** x + 2 ** y)` without overflow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logaddexp2.html

    >>> import flambeau as torch
    >>> torch.logaddexp2(torch.tensor([3.]), torch.tensor([3.]))
    tensor([4.])
    """


hypot, atan2, _real_logaddexp, logaddexp2 = (
    rules.tensors(each, 2) for each in (hypot, atan2, _logaddexp, logaddexp2))


def _complex_logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """The same for complex numbers, shifted by the one with the larger real part."""
    kind = promote_types(input.dtype, other.dtype)
    input, other = input.to(kind), other.to(kind)
    first = input.real >= other.real
    larger, smaller = where(first, input, other), where(first, other, input)
    return larger + log1p(exp(smaller - larger))


@front(_logaddexp)
def logaddexp(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """`log(exp(x) + exp(y))` without overflow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.logaddexp.html

    >>> import flambeau as torch
    >>> torch.logaddexp(torch.tensor([1000.]), torch.tensor([1000.]))
    tensor([1000.6932])
    """
    operands = (input, other)
    if any(isinstance(each, Tensor) and each._kind.dtype.is_complex for each in operands) and all(
            isinstance(each, Tensor) for each in operands):
        result = _complex_logaddexp(input, other)
        return result if out is None else write_out("logaddexp", out, result)
    return _real_logaddexp(input, other, out=out)


__all__ = rules.public(globals())
