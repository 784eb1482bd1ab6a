"""Arithmetic, element by element: one record per operator, its scalar expression and its gradient next to it.

Gradients of complex operands follow the convention that the gradient of a real loss is the conjugate cogradient, so
every factor that multiplies `g` is conjugated; `rules.conj` costs real tensors one test.
"""

from __future__ import annotations

from typing import Any

from flambeau import dtypes
from flambeau.dispatch import alias, binary, composite, front, int_to_float, to_real, unary
from flambeau.dispatch.run import wrong_type
from flambeau.dtypes import BOOL, COMPLEX, FLOAT
from flambeau.errors import ArgumentError, DtypeError, message
from flambeau.ir import expr as ir
from flambeau.ops import _samples, rules
from flambeau.ops.selection import where
from flambeau.tensor import Tensor

_SUB_BOOL = rules.RefusingBoolOperands(
    "Subtraction, the `-` operator, with a bool tensor (or two bool tensors) is not supported. Use the `^` or "
    "`logical_xor()` operator instead; to invert a mask, use `~` or `logical_not()`.")
_NEG_BOOL = rules.refusing_bool(
    "Negation, the `-` operator, on a bool tensor is not supported. To invert a mask, use the `~` or `logical_not()` "
    "operator instead.")

_DIVISION = ((-4, 4), (0.5, 4))   # where tests take dividends and divisors from


def _scaled(op: str, input: Any, other: Any, alpha: Any) -> Any:
    """`other * alpha` in the dtype in which it will be added to `input`."""
    common = rules.common_of(input, other)
    if op not in ("add", "add_"):
        _SUB_BOOL.check((input, other))   # before the product has another dtype
    rules.check_alpha(op, alpha, common)
    if common.category == dtypes.BOOL:
        return other & bool(alpha) if isinstance(other, Tensor) else bool(other and alpha)
    if isinstance(other, Tensor) and other._kind.dtype.category < common.category:
        other = other.to(common)
    return other * alpha


# ---------------------------------------------------------------------------------------------- sums and differences
@binary(samples=_samples.scaled, vjp={"input": lambda g: g, "other": lambda g: g}, expr=lambda x, y: x + y)
def _add(input: Tensor, other: Any) -> Tensor:
    """Sum."""


@front(_add)
def add(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """The sum `input + alpha * other`. Bool tensors are added as by "or".

    Raises RuntimeError for a float `alpha` with integer tensors.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.add.html

    >>> import flambeau as torch
    >>> torch.add(torch.tensor([1., 2.]), torch.tensor([10., 20.]), alpha=0.5)
    tensor([ 6., 12.])
    """
    if alpha == 1 and alpha.__class__ is not bool:
        return _add(input, other, out=out)
    return _add(input, _scaled("add", input, other, alpha), out=out)


_add_inplace = rules.inplace(_add)


@rules.inplace_front(_add)
def add_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Add `alpha * other` in place."""
    return _add_inplace(input, other if alpha == 1 else _scaled("add_", input, other, alpha))


@binary(vjp={"input": lambda g: g, "other": lambda g: -g}, promote=_SUB_BOOL, expr=lambda x, y: x - y,
        samples=_samples.scaled)
def _sub(input: Tensor, other: Any) -> Tensor:
    """Difference."""


@front(_sub)
def sub(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """The difference `input - alpha * other`. Not defined for bool tensors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sub.html

    >>> import flambeau as torch
    >>> torch.sub(torch.tensor([1, 2]), 1)
    tensor([0, 1])
    """
    return _sub(input, other if alpha == 1 else _scaled("sub", input, other, alpha), out=out)


_sub_inplace = rules.inplace(_sub)


@rules.inplace_front(_sub)
def sub_(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """Subtract `alpha * other` in place."""
    return _sub_inplace(input, other if alpha == 1 else _scaled("sub_", input, other, alpha))


subtract = alias("subtract", sub)


@binary(vjp={"input": lambda g: -g, "other": lambda g: g}, promote=_SUB_BOOL, inplace=False, method=False,
        grad_name="RsubBackward1", expr=lambda x, y: y - x, samples=_samples.scaled)
def _rsub(input: Tensor, other: Any) -> Tensor:
    """Difference the other way round."""
    return _sub(other, input)  # not `other - input`, which ends here where `other` is a number


@front(_rsub)
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """The difference the other way round: `other - alpha * input`.

    >>> import flambeau as torch
    >>> torch.rsub(torch.tensor([1, 2]), 5)
    tensor([4, 3])
    """
    if not isinstance(input, Tensor):
        raise wrong_type(_rsub.op, 0, input)
    return _rsub(input if alpha == 1 else _scaled("rsub", other, input, alpha), other)


@unary(promote=_NEG_BOOL, vjp={"input": lambda g: -g}, expr=lambda x: -x)
def neg(input: Tensor) -> Tensor:
    """The negative. Not defined for bool tensors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.neg.html

    >>> import flambeau as torch
    >>> torch.neg(torch.tensor([1, -2]))
    tensor([-1,  2])
    """
    return input * -1


negative = alias("negative", neg)


@composite(samples=_samples.on(((2, 3),)))
def positive(input: Tensor) -> Tensor:
    """The tensor itself. Not defined for bool tensors, as in PyTorch.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.positive.html

    >>> import flambeau as torch
    >>> torch.positive(torch.tensor([-1, 2]))
    tensor([-1,  2])
    """
    if input._kind.dtype.category == dtypes.BOOL:
        raise ArgumentError("The `+` operator, on a bool tensor is not supported; convert it, "
                            "for example x.to(torch.int64)")
    return input


# ---------------------------------------------------------------------------------------------- products and quotients
@binary(vjp={"input": lambda g, other: g * rules.conj(other), "other": lambda g, input: g * rules.conj(input)},
        expr=lambda x, y: x * y)
def mul(input: Tensor, other: Any) -> Tensor:
    """The product.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mul.html

    >>> import flambeau as torch
    >>> torch.mul(torch.tensor([1., 2.]), 3)
    tensor([3., 6.])
    """


multiply = alias("multiply", mul)


@binary(samples=_samples.div, domain=_DIVISION, promote=int_to_float, expr=lambda x, y: x / y,
        vjp={"input": lambda g, other: g / rules.conj(other),
             "other": lambda g, input, other: -g * rules.conj((input / other) / other)})
def _div(input: Tensor, other: Any) -> Tensor:
    """Quotient."""


@binary(vjp="none", excluded=(*rules.NOT_BOOL, COMPLEX), domain=_DIVISION, expr=lambda x, y: x // y)
def floor_divide(input: Tensor, other: Any) -> Tensor:
    """The quotient rounded down. Integers stay integers; dividing them by zero raises RuntimeError.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.floor_divide.html

    >>> import flambeau as torch
    >>> torch.floor_divide(torch.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """


@binary(vjp={"input": rules.zeros, "other": rules.zeros}, excluded=(*rules.NOT_BOOL, COMPLEX), method=False,
        namespace="internal", grad_name="DivBackward2", samples=_samples.quotients, expr=lambda x, y: x // y)
def _div_floor(input: Tensor, other: Any) -> Tensor:
    """The quotient rounded down."""
    return floor_divide(input, other)


@binary(vjp={"input": rules.zeros, "other": rules.zeros}, excluded=(*rules.NOT_BOOL, COMPLEX), method=False,
        namespace="internal", grad_name="DivBackward2", samples=_samples.quotients, expr=ir.trunc_divide)
def _trunc_divide(input: Tensor, other: Any) -> Tensor:
    """The quotient rounded towards zero."""
    if any(isinstance(each, Tensor) and each._kind.dtype.category >= FLOAT for each in (input, other)):
        return _div(input, other).trunc()
    down = floor_divide(input, other)
    return down + ((down < 0) & (down * other != input))


def _rounding(op: str, mode: str | None) -> Any:
    if mode == "floor":
        return _div_floor
    if mode == "trunc":
        return _trunc_divide
    raise ArgumentError(message(op, "expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
                                f"{mode!r}"))


@front(_div)
def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None) -> Tensor:
    """The quotient; integers give the default float dtype unless a `rounding_mode`, "trunc" or "floor", is given.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.div.html

    >>> import flambeau as torch
    >>> torch.div(torch.tensor([7, -7]), 2), torch.div(torch.tensor([7, -7]), 2, rounding_mode="trunc")
    (tensor([ 3.5000, -3.5000]), tensor([ 3, -3]))
    """
    if rounding_mode is None:
        return _div(input, other, out=out)
    if rounding_mode == "trunc" and rules.common_of(input, other).is_floating_point:
        return _div(input, other).trunc() if out is None else _div(input, other).trunc(out=out)
    return _rounding("div", rounding_mode)(input, other, out=out)


_div_inplace = rules.inplace(_div)


@rules.inplace_front(_div)
def div_(input: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """Divide in place."""
    if rounding_mode == "trunc" and input._kind.dtype.is_floating_point:
        return _div_inplace(input, other).trunc_()
    chosen = _div_inplace if rounding_mode is None else rules.inplace(_rounding("div_", rounding_mode))
    return chosen(input, other)


divide = alias("divide", div)
true_divide = alias("true_divide", div)


@binary(excluded=(*rules.NOT_BOOL, COMPLEX), domain=_DIVISION, expr=lambda x, y: x % y,
        grad_name=rules.by_operand(1, "RemainderBackward0", "RemainderBackward1"),
        vjp={"input": lambda g: g, "other": lambda g, input, other: -g * floor_divide(input, other)})
def remainder(input: Tensor, other: Any) -> Tensor:
    """The remainder with the sign of the divisor, as Python's `%`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.remainder.html

    >>> import flambeau as torch
    >>> torch.remainder(torch.tensor([-3., 3.]), 2)
    tensor([1., 1.])
    """
    rest = fmod.op.call(input, other)  # type: ignore[attr-defined]
    return rest + other * ((rest != 0) & ((rest < 0) ^ (other < 0))).to(rest._kind.dtype)


@binary(excluded=(*rules.NOT_BOOL, COMPLEX), domain=_DIVISION, expr=ir.fmod,
        grad_name=rules.by_operand(1, "FmodBackward0", "FmodBackward1"),
        vjp={"input": lambda g: g, "other": lambda g, input, other: -g * div(input, other, rounding_mode="trunc")})
def fmod(input: Tensor, other: Any) -> Tensor:
    """The remainder with the sign of the dividend, as C's `fmod`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fmod.html

    >>> import flambeau as torch
    >>> torch.fmod(torch.tensor([-3., 3.]), 2)
    tensor([-1.,  1.])
    """


@unary(promote=int_to_float, vjp={"input": lambda g, result: -g * rules.conj(result * result)}, expr=lambda x: 1 / x,
       domain=(0.1, 4))
def reciprocal(input: Tensor) -> Tensor:
    """One divided by each element.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.reciprocal.html

    >>> import flambeau as torch
    >>> torch.reciprocal(torch.tensor([2, 4]))
    tensor([0.5000, 0.2500])
    """


# ---------------------------------------------------------------------------------------------- powers
def _pow_base(g: Tensor, input: Any, exponent: Any) -> Tensor:
    """The gradient of the base: 0 where the exponent is 0, also for a base of 0."""
    if not isinstance(exponent, Tensor):
        if exponent == 0:
            return rules.zeros(g)
        if exponent == 2:
            return g * (rules.conj(input) * 2)
        return g * rules.conj(input ** (exponent - 1) * exponent)
    slope = exponent * input ** (exponent - 1)
    return g * rules.conj(slope.masked_fill(exponent == 0, 0))


def _pow_exponent(g: Tensor, input: Any, exponent: Any, result: Tensor) -> Tensor:
    """The gradient of the exponent: 0 where the base is 0 and the exponent is not negative."""
    if not isinstance(input, Tensor):
        if input == 0:
            return (g * rules.conj(result * float("-inf"))).masked_fill(exponent >= 0, 0)
        import cmath
        logarithm = cmath.log(input)
        factor = logarithm if result._kind.dtype.is_complex else logarithm.real if input > 0 else float("nan")
        return g * rules.conj(result * factor)
    slope = result * input.log()
    at_zero = (input == 0) if exponent._kind.dtype.is_complex else (input == 0) & (exponent >= 0)
    return g * rules.conj(slope.masked_fill(at_zero, 0))


def _pow_name(node: Any) -> str:
    named = rules.by_operand(1, "PowBackward0", "PowBackward1")(node)
    return rules.by_operand(0, "PowBackward2", named)(node) if node.edges[0] is None else named


@binary(promote=rules.Powers(), grad_name=_pow_name, expr=lambda x, y: x ** y, domain=(0.1, 3),
        vjp={"input": _pow_base, "exponent": _pow_exponent}, samples=_samples.powers)
def _pow(input: Any, exponent: Any) -> Tensor:
    """Power."""


@front(_pow)
def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """`input` to the power of `exponent`, either of which may be a number.

    Raises RuntimeError for integers with a negative integer exponent.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.pow.html

    >>> import flambeau as torch
    >>> torch.pow(torch.tensor([1., 2., 3.]), 2), torch.pow(2, torch.tensor([1, 2, 3]))
    (tensor([1., 4., 9.]), tensor([2, 4, 8]))
    """
    return _pow(input, exponent, out=out)


def _double(value: Any, wide: Any) -> Any:
    return value.to(wide) if isinstance(value, Tensor) else value


@composite(samples=_samples.powers, out=True, inplace=True)
def float_power(input: Any, exponent: Any) -> Tensor:
    """The power, computed in float64 (complex128 for complex operands).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.float_power.html

    >>> import flambeau as torch
    >>> torch.float_power(torch.tensor([2, 3]), -1)
    tensor([0.5000, 0.3333], dtype=torch.float64)
    """
    wide = dtypes.complex128 if rules.common_of(input, exponent).is_complex else dtypes.float64
    return pow(_double(input, wide), _double(exponent, wide))


@rules.inplace_front(float_power)
def float_power_(input: Tensor, exponent: Any) -> Tensor:
    """`float_power` in place, for tensors of the dtype that it is computed in."""
    result = float_power(input, exponent)
    if result._kind is not input._kind:
        raise DtypeError(message("float_power_", f"the base has dtype {input._kind.dtype} but the operation's result "
                                 f"requires dtype {result._kind.dtype}", next_step="use float_power()"))
    return input.copy_(result)


@unary(promote=rules.integers_to_int64, vjp={"input": lambda g, input: g * rules.conj(input) * 2},
       grad_name="PowBackward0", expr=lambda x: x * x)
def square(input: Tensor) -> Tensor:
    """Each element times itself.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.square.html

    >>> import flambeau as torch
    >>> torch.square(torch.tensor([-2., 3.]))
    tensor([4., 9.])
    """


@unary(promote=int_to_float, vjp={"input": lambda g, result: g / rules.conj(result * 2)}, expr=ir.sqrt, domain=(0.1, 9))
def sqrt(input: Tensor) -> Tensor:
    """The square root; nan for negative elements.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sqrt.html

    >>> import flambeau as torch
    >>> torch.sqrt(torch.tensor([4., 9.]))
    tensor([2., 3.])
    """
    return input ** 0.5


@unary(promote=int_to_float, vjp={"input": lambda g, result: g * rules.conj(result ** 3) * -0.5},
       expr=lambda x: 1 / ir.sqrt(x), domain=(0.1, 9))
def rsqrt(input: Tensor) -> Tensor:
    """One divided by the square root.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rsqrt.html

    >>> import flambeau as torch
    >>> torch.rsqrt(torch.tensor([4., 16.]))
    tensor([0.5000, 0.2500])
    """


# ---------------------------------------------------------------------------------------------- sign and size
def _sgn_input(g: Tensor, input: Tensor, result: Tensor) -> Tensor:
    if not input._kind.dtype.is_complex:
        return rules.zeros(g)
    size = input.abs()
    across = (g - (g * rules.conj(result)).real * result) / size
    return across.masked_fill(size == 0, 0)


@unary(promote=to_real, excluded=rules.NOT_BOOL, vjp={"input": lambda g, input: g * input.sgn()},
       expr=lambda x: ir.apply("abs", x))
def abs(input: Tensor) -> Tensor:
    """The absolute value; of complex elements the modulus, which is real.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.abs.html

    >>> import flambeau as torch
    >>> torch.abs(torch.tensor([-1, 2]))
    tensor([1, 2])
    """


absolute = alias("absolute", abs)
_abs_inplace = rules.inplace(abs)


@rules.inplace_front(abs)
def abs_(input: Tensor) -> Tensor:
    """Absolute values in place; complex tensors, whose absolute values are real, are refused."""
    if input._kind.dtype.is_complex:
        raise DtypeError("In-place abs is not supported for complex tensors; use abs()")
    return _abs_inplace(input)


@unary(excluded=(COMPLEX,), vjp={"input": rules.zeros},
       expr=lambda x: ir.cast(x > 0, "result") - ir.cast(x < 0, "result"))
def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1 by the sign of each element; 0 for nan.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sign.html

    >>> import flambeau as torch
    >>> torch.sign(torch.tensor([-2., 0., 3.]))
    tensor([-1.,  0.,  1.])
    """
    kind = input._kind
    if kind.dtype.category == BOOL:
        return input.clone()
    return (input > 0).to(kind.dtype) - (input < 0).to(kind.dtype)


@unary(vjp={"input": _sgn_input}, expr=ir.sgn)
def sgn(input: Tensor) -> Tensor:
    """Each element divided by its absolute value, 0 for 0; `sign` for complex tensors too.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sgn.html

    >>> import flambeau as torch
    >>> torch.sgn(torch.tensor([3 + 4j, 0j]))
    tensor([0.6000+0.8000j, 0.0000+0.0000j])
    """
    if not input._kind.dtype.is_complex:
        return sign(input)
    size = input.abs()
    return (input / size).masked_fill(size == 0, 0)


# ---------------------------------------------------------------------------------------------- larger and smaller
def _winner(g: Tensor, mine: Any, other: Any, loses: Any) -> Tensor:
    """The gradient of `maximum` or `minimum`: all of it where `mine` is chosen, half of it on ties."""
    return where(mine == other, g / 2, g).masked_fill(loses, 0)


@binary(excluded=(COMPLEX,), inplace=False, expr=ir.maximum,
        vjp={"input": lambda g, input, other: _winner(g, input, other, input < other),
             "other": lambda g, input, other: _winner(g, other, input, other < input)})
def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger element; nan if either is nan.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.maximum.html

    >>> import flambeau as torch
    >>> torch.maximum(torch.tensor([1, 5]), torch.tensor([3, 2]))
    tensor([3, 5])
    """
    return where((input > other) | (input != input), input, other)


@binary(excluded=(COMPLEX,), inplace=False, expr=ir.minimum,
        vjp={"input": lambda g, input, other: _winner(g, input, other, input > other),
             "other": lambda g, input, other: _winner(g, other, input, other > input)})
def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller element; nan if either is nan.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.minimum.html

    >>> import flambeau as torch
    >>> torch.minimum(torch.tensor([1, 5]), torch.tensor([3, 2]))
    tensor([1, 2])
    """
    return where((input < other) | (input != input), input, other)


def _fmax_expr(x: Any, y: Any) -> Any:
    return ir.where(ir.isnan(y), x, ir.where(x >= y, x, y))


def _fmin_expr(x: Any, y: Any) -> Any:
    return ir.where(ir.isnan(y), x, ir.where(x <= y, x, y))


@binary(excluded=(COMPLEX,), inplace=False, expr=_fmax_expr,
        vjp={"input": lambda g, input, other: g.masked_fill(~((input >= other) | (other != other)), 0),
             "other": lambda g, input, other: g.masked_fill((input >= other) | (other != other), 0)})
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger element; nan only if both are nan.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fmax.html

    >>> import flambeau as torch
    >>> torch.fmax(torch.tensor([1., float('nan')]), torch.tensor([2., 3.]))
    tensor([2., 3.])
    """


@binary(excluded=(COMPLEX,), inplace=False, expr=_fmin_expr,
        vjp={"input": lambda g, input, other: g.masked_fill(~((input <= other) | (other != other)), 0),
             "other": lambda g, input, other: g.masked_fill((input <= other) | (other != other), 0)})
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller element; nan only if both are nan.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.fmin.html

    >>> import flambeau as torch
    >>> torch.fmin(torch.tensor([1., float('nan')]), torch.tensor([2., 3.]))
    tensor([1., 3.])
    """


# ---------------------------------------------------------------------------------------------- whole numbers
@binary(excluded=(dtypes.BOOL, *rules.INTEGRAL_ONLY), vjp="none", expr=ir.gcd)
def gcd(input: Tensor, other: Tensor) -> Tensor:
    """The greatest common divisor of integers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.gcd.html

    >>> import flambeau as torch
    >>> torch.gcd(torch.tensor([12, 18]), torch.tensor([8, 27]))
    tensor([4, 9])
    """


@binary(excluded=(dtypes.BOOL, *rules.INTEGRAL_ONLY), vjp="none", expr=ir.lcm)
def lcm(input: Tensor, other: Tensor) -> Tensor:
    """The least common multiple of integers; 0 where one of them is 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lcm.html

    >>> import flambeau as torch
    >>> torch.lcm(torch.tensor([4, 6]), torch.tensor([6, 9]))
    tensor([12, 18])
    """
    divisor = gcd(input, other)
    return abs(floor_divide(input, divisor.masked_fill(divisor == 0, 1)) * other)


maximum, minimum, fmax, fmin, gcd, lcm = (
    rules.tensors(each, 2) for each in (maximum, minimum, fmax, fmin, gcd, lcm))
fmod = rules.tensors(fmod, 1)


def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """The dtype of a result of arithmetic with these operands, tensors or Python numbers.

    >>> import flambeau as torch
    >>> torch.result_type(torch.tensor([1, 2]), 1.0)
    torch.float32
    """
    return rules.common_of(tensor1, tensor2)


__all__ = ["result_type", *rules.public(globals())]
