"""Pointwise operators of three and more operands: limits, interpolation, products that are added."""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import alias, binary, front, pointwise
from flambeau.dispatch.pointwise import check_supported
from flambeau.dispatch.run import wrong_type
from flambeau.dtypes import COMPLEX, FLOAT
from flambeau.errors import ArgumentError, DtypeError, message
from flambeau.finfo import finfo
from flambeau.ir import expr as ir
from flambeau.ops import _samples, rules
from flambeau.ops.selection import where
from flambeau.tensor import Tensor


# ---------------------------------------------------------------------------------------------- clamp
def _clamp_name(number: str, tensor: str) -> Any:
    return rules.by_operand(1, number, tensor)


def _samples_limit(make: Any) -> _samples.Calls:
    yield (make(2, 3), 1), {}
    yield (make(2, 3), make(3)), {}


@binary(samples=_samples_limit, excluded=(COMPLEX,), expr=ir.maximum,
        grad_name=_clamp_name("ClampMinBackward0", "ClampMinBackward1"),
        vjp={"input": lambda g, input, min: g.masked_fill(input < min, 0),
             "min": lambda g, input, min: g.masked_fill(input >= min, 0)})
def _clamp_min(input: Tensor, min: Any) -> Tensor:
    """Elements, at least `min`."""


@binary(samples=_samples_limit, excluded=(COMPLEX,), expr=ir.minimum,
        grad_name=_clamp_name("ClampMaxBackward0", "ClampMaxBackward1"),
        vjp={"input": lambda g, input, max: g.masked_fill(input > max, 0),
             "max": lambda g, input, max: g.masked_fill(input <= max, 0)})
def _clamp_max(input: Tensor, max: Any) -> Tensor:
    """Elements, at most `max`."""


def _samples_clamp(make: Any) -> _samples.Calls:
    yield (make(2, 3), 1, 3), {}
    yield (make(2, 3), -1.5, 0.5), {}
    yield (make(2, 3), 2), {}
    yield (make(2, 3),), {"max": 1}
    yield (make(2, 3), make(3, low=0, high=2), make(2, 1, low=2, high=3)), {}


@pointwise(samples=_samples_clamp, excluded=(COMPLEX,), domain=((-4, 4), (-2, 0), (0, 2)),
           expr=lambda x, low, high: ir.minimum(ir.maximum(x, low), high),
           grad_name=_clamp_name("ClampBackward1", "ClampBackward0"),
           vjp={"input": lambda g, input, min, max: g.masked_fill((input < min) | (input > max), 0),
                "min": lambda g, input, min, max: where((min < max) & (input < min), g, 0),
                "max": lambda g, input, min, max: where((input > max) | (max < min), g, 0)})
def _clamp(input: Tensor, min: Any, max: Any) -> Tensor:
    """Elements between `min` and `max`."""


def _chosen(op: str, min: Any, max: Any) -> None:
    if min is None and max is None:
        raise ArgumentError("torch.clamp: At least one of 'min' or 'max' must not be None")


@front(_clamp)
def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """Each element limited to [min, max]; the limits are numbers or tensors, and one of them may be missing.

    Where `min` is above `max`, the result is `max`. Limits of a higher category promote the result.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.clamp.html

    >>> import flambeau as torch
    >>> torch.clamp(torch.tensor([-2., 0.5, 3.]), min=-1, max=1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if max is None:
        _chosen("clamp", min, max)
        return _clamp_min(input, min, out=out)
    if min is None:
        return _clamp_max(input, max, out=out)
    return _clamp(input, min, max, out=out)


_clamp_inplace = rules.inplace(_clamp)
_min_inplace, _max_inplace = rules.inplace(_clamp_min), rules.inplace(_clamp_max)


@rules.inplace_front(_clamp)
def clamp_(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Limit the elements in place."""
    if max is None:
        _chosen("clamp_", min, max)
        return _min_inplace(input, min)
    if min is None:
        return _max_inplace(input, max)
    return _clamp_inplace(input, min, max)


@front(_clamp_min)
def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """Each element, at least `min`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.clamp_min.html

    >>> import flambeau as torch
    >>> torch.clamp_min(torch.tensor([-1, 2]), 0)
    tensor([0, 2])
    """
    if not isinstance(input, Tensor):
        raise wrong_type(_clamp_min.op, 0, input)
    return _clamp_min(input, min, out=out)


@front(_clamp_max)
def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """Each element, at most `max`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.clamp_max.html

    >>> import flambeau as torch
    >>> torch.clamp_max(torch.tensor([-1, 2]), 0)
    tensor([-1,  0])
    """
    if not isinstance(input, Tensor):
        raise wrong_type(_clamp_max.op, 0, input)
    return _clamp_max(input, max, out=out)


clip = alias("clip", clamp)


# ---------------------------------------------------------------------------------------------- lerp, addcmul, addcdiv
def _samples_lerp(make: Any) -> _samples.Calls:
    yield (make(2, 3), make(3), 0.25), {}
    yield (make(2, 3), make(2, 3), make(3, low=0, high=1)), {}


@pointwise(samples=_samples_lerp, excluded=rules.INEXACT_ONLY, domain=((-4, 4), (-4, 4), (0, 1)),
           expr=lambda x, end, w: ir.where(ir.apply("abs", w) < 0.5, x + w * (end - x), end - (end - x) * (1 - w)),
           grad_name=rules.by_operand(2, "LerpBackward0", "LerpBackward1"),
           vjp={"input": lambda g, weight: g * rules.conj(1 - weight),
                "end": lambda g, weight: g * rules.conj(weight),
                "weight": lambda g, input, end: g * rules.conj(end - input)})
def _lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """Linear interpolation."""
    return input + weight * (end - input)


def _check_lerp(input: Tensor, end: Tensor, weight: Any) -> None:
    check_supported(_lerp.op, input._kind.dtype)  # type: ignore[attr-defined]
    for name, value in (("end", end), ("weight", weight)):
        if isinstance(value, Tensor) and value._kind.dtype is not input._kind.dtype and not (
                name == "weight" and not value._array.shape):
            raise DtypeError(message("lerp", f"expected dtype {input._kind.dtype} for `{name}` but got dtype "
                                     f"{value._kind.dtype}", next_step="convert one of them"))


@front(_lerp, out=True)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """`input + weight * (end - input)`. `weight` is a number or a tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.lerp.html

    >>> import flambeau as torch
    >>> torch.lerp(torch.tensor([1., 2.]), torch.tensor([3., 6.]), 0.5)
    tensor([2., 4.])
    """
    _check_lerp(input, end, weight)
    return _lerp(input, end, weight)


def _samples_addcmul(make: Any) -> _samples.Calls:
    yield (make(2, 3), make(2, 1), make(3)), {}
    yield (make(3), make(2, 1), make(2, 3)), {"value": 2}


@pointwise(samples=_samples_addcmul, expr=lambda x, y, z, value: x + value * y * z,
           vjp={"input": lambda g: g, "tensor1": lambda g, tensor2, value: g * rules.conj(tensor2 * value),
                "tensor2": lambda g, tensor1, value: g * rules.conj(tensor1 * value)})
def _addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, value: float) -> Tensor:
    """A product added."""


def _samples_addcdiv(make: Any) -> _samples.Calls:
    yield (make(2, 3), make(2, 1), make.positive(3)), {}
    yield (make(3), make(2, 1), make.positive(2, 3)), {"value": 2}


@pointwise(expr=lambda x, y, z, value: x + value * (y / z), domain=((-4, 4), (-4, 4), (0.5, 4), (-2, 2)),
           excluded=rules.INEXACT_ONLY,
           vjp={"input": lambda g: g, "tensor1": lambda g, tensor2, value: g * rules.conj(value / tensor2),
                "tensor2": lambda g, tensor1, tensor2, value:
                    -g * rules.conj(value * tensor1 / (tensor2 * tensor2))}, samples=_samples_addcdiv)
def _addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, value: float) -> Tensor:
    """A quotient added."""


def _factor(op: str, value: Any, *operands: Any) -> Any:
    """The factor in the category of the operands, as PyTorch truncates it for integers."""
    common = rules.common_of(*operands)
    if common.category < FLOAT and isinstance(value, float):
        return int(value)
    if common.category < COMPLEX and isinstance(value, complex):
        raise ArgumentError(message(op, f"value cannot be converted to type {common} without overflow",
                                    given=repr(value)))
    return value


@front(_addcmul)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """`input + value * tensor1 * tensor2`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addcmul.html

    >>> import flambeau as torch
    >>> torch.addcmul(torch.zeros(2), torch.tensor([1., 2.]), torch.tensor([3., 4.]), value=0.5)
    tensor([1.5000, 4.0000])
    """
    return _addcmul(input, tensor1, tensor2, _factor("addcmul", value, input, tensor1, tensor2), out=out)


@front(_addcdiv)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1, out: Tensor | None = None) -> Tensor:
    """`input + value * tensor1 / tensor2`. Not defined for integers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addcdiv.html

    >>> import flambeau as torch
    >>> torch.addcdiv(torch.zeros(2), torch.tensor([1., 2.]), torch.tensor([2., 4.]))
    tensor([0.5000, 0.5000])
    """
    _check_addcdiv(tensor1, tensor2)
    return _addcdiv(input, tensor1, tensor2, value, out=out)


def _check_addcdiv(tensor1: Tensor, tensor2: Tensor) -> None:
    if tensor1._kind.dtype.category < FLOAT and tensor2._kind.dtype.category < FLOAT:
        raise ArgumentError(message("addcdiv", "Integer division with addcdiv is no longer supported",
                                    given=f"{tensor1.dtype} and {tensor2.dtype}",
                                    next_step="use input + value * tensor1 / tensor2, or convert one to float"))


_addcmul_inplace, _addcdiv_inplace = rules.inplace(_addcmul), rules.inplace(_addcdiv)


@rules.inplace_front(_addcmul)
def addcmul_(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Add a product in place."""
    return _addcmul_inplace(input, tensor1, tensor2, _factor("addcmul_", value, input, tensor1, tensor2))


@rules.inplace_front(_addcdiv)
def addcdiv_(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """Add a quotient in place."""
    _check_addcdiv(tensor1, tensor2)
    return _addcdiv_inplace(input, tensor1, tensor2, value)


# ---------------------------------------------------------------------------------------------- nan_to_num
def _nan_to_num_expr(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    finite = ir.where(ir.eq(x, float("inf")), posinf, ir.where(ir.eq(x, float("-inf")), neginf, x))
    return ir.where(ir.isnan(x), nan, finite)


@pointwise(samples=_samples.infinities, expr=_nan_to_num_expr, excluded=rules.INEXACT_ONLY,
           vjp={"input": lambda g, input: g.masked_fill(~input.isfinite(), 0)})
def _nan_to_num(input: Tensor, nan: float, posinf: float, neginf: float) -> Tensor:
    """The elements with numbers for nan and the infinities."""


def _limits(input: Tensor, nan: Any, posinf: Any, neginf: Any) -> tuple[float, float, float]:
    limits = finfo(input._kind.dtype.to_real())
    return (0.0 if nan is None else nan, limits.max if posinf is None else posinf,
            limits.min if neginf is None else neginf)


@front(_nan_to_num, out=True)
def nan_to_num(input: Tensor, nan: float | None = 0.0, posinf: float | None = None,
               neginf: float | None = None) -> Tensor:
    """`nan`, `posinf` and `neginf` in place of what is not finite; by default 0 and the dtype's limits.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nan_to_num.html

    >>> import flambeau as torch
    >>> torch.nan_to_num(torch.tensor([float("nan"), float("inf"), 1.]), posinf=9.)
    tensor([0., 9., 1.])
    """
    if not input._kind.differentiable:
        return input.clone()
    return _nan_to_num(input, *_limits(input, nan, posinf, neginf))


_nan_to_num_inplace = rules.inplace(_nan_to_num)


@rules.inplace_front(_nan_to_num)
def nan_to_num_(input: Tensor, nan: float | None = 0.0, posinf: float | None = None,
                neginf: float | None = None) -> Tensor:
    """`nan_to_num` in place."""
    if not input._kind.differentiable:
        return input
    return _nan_to_num_inplace(input, *_limits(input, nan, posinf, neginf))


__all__ = rules.public(globals())
