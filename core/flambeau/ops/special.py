"""Special functions, and the few of statistics that programs use every day."""

from __future__ import annotations

import math
from typing import Any

from flambeau.dispatch import binary, composite, front, int_to_float, unary
from flambeau.dispatch.inplace import check_overwrite
from flambeau.dispatch.run import wrong_type
from flambeau.dtypes import COMPLEX, INTEGER, float64, get_default_dtype, int16
from flambeau.errors import DtypeError, UnsupportedError, message
from flambeau.graph import check_inplace
from flambeau.ir import expr as ir
from flambeau.ops import _samples, rules
from flambeau.ops.selection import where
from flambeau.tensor import Tensor, attach

_TWO_OVER_SQRT_PI, _SQRT_PI_OVER_TWO = 2 / math.sqrt(math.pi), math.sqrt(math.pi) / 2


@unary(promote=int_to_float, excluded=(COMPLEX,), expr=ir.erf,
       vjp={"input": lambda g, input: g * ((input * -input).exp() * _TWO_OVER_SQRT_PI)})
def erf(input: Tensor) -> Tensor:
    """The error function.

    >>> import flambeau as torch
    >>> torch.erf(torch.tensor([0., 1.]))
    tensor([0.0000, 0.8427])
    """


@unary(promote=int_to_float, excluded=(COMPLEX,), expr=ir.erfc,
       vjp={"input": lambda g, input: g * ((input * -input).exp() * -_TWO_OVER_SQRT_PI)})
def erfc(input: Tensor) -> Tensor:
    """`1 - erf(x)` without loss of accuracy for large elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.erfc.html

    >>> import flambeau as torch
    >>> torch.erfc(torch.tensor([0., 1.]))
    tensor([1.0000, 0.1573])
    """


@unary(promote=int_to_float, excluded=(COMPLEX,), expr=ir.erfinv, domain=(-0.9, 0.9),
       vjp={"input": lambda g, result: g * ((result * result).exp() * _SQRT_PI_OVER_TWO)})
def erfinv(input: Tensor) -> Tensor:
    """The inverse of the error function; infinite at -1 and 1, nan beyond.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.erfinv.html

    >>> import flambeau as torch
    >>> torch.erfinv(torch.tensor([0., 0.5]))
    tensor([0.0000, 0.4769])
    """


@unary(promote=int_to_float, excluded=(COMPLEX,), expr=ir.lgamma, domain=(0.1, 9),
       vjp={"input": lambda g, input: g * input.digamma()})
def lgamma(input: Tensor) -> Tensor:
    """The logarithm of the absolute value of the gamma function.

    >>> import flambeau as torch
    >>> torch.lgamma(torch.tensor([0.5, 5.]))
    tensor([0.5724, 3.1781])
    """


@unary(promote=int_to_float, excluded=(COMPLEX,), expr=ir.digamma, domain=(0.1, 9),
       vjp={"input": lambda g, input: g * polygamma(1, input)})
def digamma(input: Tensor) -> Tensor:
    """The logarithmic derivative of the gamma function.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.digamma.html

    >>> import flambeau as torch
    >>> torch.digamma(torch.tensor([1., 2.]))
    tensor([-0.5772,  0.4228])
    """


@unary(promote=int_to_float, excluded=(COMPLEX,), domain=(0.1, 9), method=False, namespace="internal", inplace=False,
       vjp={"input": lambda g, input: g * polygamma(2, input)}, expr=ir.trigamma)
def _trigamma(input: Tensor) -> Tensor:
    """The derivative of `digamma`."""


@binary(name="polygamma_series", promote=int_to_float, excluded=(COMPLEX,), method=False,
        namespace="internal", inplace=False, expr=ir.polygamma_series,
        vjp={"input": lambda g, input, order: g * polygamma(int(order) + 1, input)},
        samples=_samples.on(((2, 3), 2.0), ((2, 3), 3.0), of="positive"))
def _polygamma(input: Tensor, order: float) -> Tensor:
    """A higher derivative of `digamma`."""


def _samples_polygamma(make: Any) -> _samples.Calls:
    for order in (0, 2, 3) if make.dtype is float64 else (0, 1, 2, 3):   # PyTorch's of order 1 is right to 1e-9 only
        yield (order, make.positive(2, 3)), {}


@composite(samples=_samples_polygamma, method=False, out=True)
def polygamma(n: int, input: Tensor) -> Tensor:
    """The derivative of order `n` of `digamma`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.polygamma.html

    >>> import flambeau as torch
    >>> torch.polygamma(1, torch.tensor([1., 2.]))
    tensor([1.6449, 0.6449])
    """
    if n < 0:
        raise UnsupportedError(message("polygamma", "polygamma(n, x) does not support negative n.", given=f"n={n}"))
    return digamma(input) if n == 0 else _trigamma(input) if n == 1 else _polygamma(input, float(n))


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    """`polygamma(n, self)`."""
    return polygamma(n, self)


attach(_polygamma_method, "polygamma")


@attach
def polygamma_(self: Tensor, n: int) -> Tensor:
    """`polygamma(n, self)` in place."""
    check_inplace(self, "polygamma")
    result = polygamma(n, self)
    check_overwrite("polygamma", self, result)
    return self.copy_(result)


# ---------------------------------------------------------------------------------------------- logit, xlogy
def _logit_slope(g: Tensor, input: Tensor) -> Tensor:
    return where((input < 0) | (input > 1), float("nan"), g / (input * (1 - input)))


@unary(promote=int_to_float, excluded=(COMPLEX,), vjp={"input": _logit_slope}, expr=lambda x: ir.log(x / (1 - x)),
       domain=(0.1, 0.9), samples=_samples.on(((2, 3),), ((2, 3), 0.25)))
def _logit(input: Tensor) -> Tensor:
    """The inverse of the logistic function."""


@front(_logit, out=True)
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """`log(x / (1 - x))`; with `eps` the elements are limited to [eps, 1 - eps] first.

    >>> import flambeau as torch
    >>> torch.logit(torch.tensor([0.5, 0.8]))
    tensor([0.0000, 1.3863])
    """
    if eps is not None:
        if not input._kind.differentiable:
            input = input.to(get_default_dtype())
        input = input.clamp(eps, 1 - eps)
    return _logit(input)


_logit_inplace = rules.inplace(_logit)


@rules.inplace_front(_logit)
def logit_(input: Tensor, eps: float | None = None) -> Tensor:
    """`logit` in place."""
    return _logit_inplace(input if eps is None else input.clamp_(eps, 1 - eps))


def _xlogy_name(node: Any) -> str:
    named = rules.by_operand(1, "XlogyBackward2", "XlogyBackward0")(node)
    return "XlogyBackward1" if node.edges[0] is None and node.edges[1] is None else named


def _times_log(factor: Any, other: Any) -> Any:
    logarithm = other.log() if isinstance(other, Tensor) else _log_of(other)
    return factor * logarithm


def _log_of(number: Any) -> float:
    return math.log(number) if number > 0 else float("-inf") if number == 0 else float("nan")


@binary(promote=int_to_float, excluded=(COMPLEX,), grad_name=_xlogy_name, domain=((0, 4), (0.1, 4)),
        expr=lambda x, y: ir.where(ir.isnan(y), y, ir.where(ir.eq(x, 0), 0, x * ir.log(y))),
        vjp={"input": lambda g, input, other: _times_log(g, other).masked_fill((input == 0) & (other <= 0), 0),
             "other": lambda g, input, other: g * input / other})
def xlogy(input: Tensor, other: Any) -> Tensor:
    """`x * log(y)`, 0 where `x` is 0 even if the logarithm is not finite.

    >>> import flambeau as torch
    >>> torch.xlogy(torch.tensor([0., 2.]), torch.tensor([0., 1.]))
    tensor([0., 0.])
    """


# ---------------------------------------------------------------------------------------------- steps and bits
def _same_dtype(op: str, input: Any, other: Any) -> None:
    if isinstance(input, Tensor) and isinstance(other, Tensor) and input._kind.dtype is not other._kind.dtype:
        raise DtypeError(message(op, f"{op} is not yet implemented for tensors with different dtypes.",
                                       given=f"{input._kind.dtype} and {other._kind.dtype}", next_step="convert one"))


def _heaviside_expr(x: Any, y: Any) -> Any:
    return ir.where(ir.eq(x, 0), y, ir.cast(x > 0, "result"))


@binary(vjp="none", excluded=(COMPLEX,), expr=_heaviside_expr)
def _heaviside(input: Tensor, values: Tensor) -> Tensor:
    """The step function."""


@front(_heaviside, out=True)
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below zero and for nan, 1 above, and `values` at zero. Both operands have one dtype.

    >>> import flambeau as torch
    >>> torch.heaviside(torch.tensor([-1., 0., 2.]), torch.tensor([0.5]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    _same_dtype("heaviside", input, values)
    return _heaviside(input, values)


_heaviside_inplace = rules.inplace(_heaviside)


@rules.inplace_front(_heaviside)
def heaviside_(input: Tensor, values: Tensor) -> Tensor:
    """The step function in place."""
    _same_dtype("heaviside_", input, values)
    return _heaviside_inplace(input, values)


def _copysign_slope(g: Tensor, input: Tensor, result: Tensor) -> Tensor:
    return (g * where(input == 0, 0.0, result / input))


@binary(promote=int_to_float, excluded=(COMPLEX,), expr=ir.copysign,
        grad_name=rules.by_operand(1, "CopysignBackward1", "CopysignBackward0"),
        vjp={"input": _copysign_slope, "other": rules.zeros})
def copysign(input: Tensor, other: Any) -> Tensor:
    """The size of one operand with the sign of the other.

    >>> import flambeau as torch
    >>> torch.copysign(torch.tensor([1., -2.]), torch.tensor([-1., 1.]))
    tensor([-1.,  2.])
    """


@binary(excluded=rules.FLOATS_ONLY, vjp="none", expr=ir.nextafter)
def _nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next number."""


def _samples_ldexp(make: Any) -> _samples.Calls:
    yield (make(2, 3), make.index(3, high=4)), {}
    yield (make(2, 3), make(3)), {}


@composite(samples=_samples_ldexp, out=True, inplace=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """`input * 2 ** other`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.ldexp.html

    >>> import flambeau as torch
    >>> torch.ldexp(torch.tensor([1., 3.]), torch.tensor([2, -1]))
    tensor([4.0000, 1.5000])
    """
    if not isinstance(other, Tensor) or other._kind.dtype.category > INTEGER or input._kind.dtype.category <= INTEGER:
        return input * (2.0 ** other)
    wide = input._kind.compute.dtype.to_real()   # whole powers do not promote, and may exceed what the result holds
    return (input.to(input._kind.compute.dtype) * (2.0 ** other.to(wide))).to(input._kind.dtype)


copysign = rules.tensors(copysign, 1)


@front(_nextafter, out=True)
def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next number of the dtype after `input` in the direction of `other`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nextafter.html

    >>> import flambeau as torch
    >>> torch.nextafter(torch.tensor([1.]), torch.tensor([2.])) > 1
    tensor([True])
    """
    for position, each in enumerate((input, other)):
        if not isinstance(each, Tensor):
            raise wrong_type(_nextafter.op, position, each)
    if input._kind.emulated and input._kind is other._kind:
        return _next_of_bits(input, other)
    return _nextafter(input, other)


def _next_of_bits(input: Tensor, other: Tensor) -> Tensor:
    """nextafter by counting: as integers, the 16 bits of numbers of one sign are in order of size."""
    bits = input.view(int16)
    larger = other > input
    moved = where(input == 0, where(larger, 1, -0x7fff), bits + where((input > 0) == larger, 1, -1)).to(int16)
    moved = where(input == other, other.view(int16), moved).view(input._kind.dtype)
    return where(input.isnan(), input, where(other.isnan(), other, moved))


__all__ = rules.public(globals())
