"""Choosing between elements by a condition. Gradients of many other operators are written with these."""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import front, operator, pointwise
from flambeau.dispatch.inplace import overlaps_itself
from flambeau.dtypes import BOOL, INTEGER, dtype
from flambeau.errors import ArgumentError, ArgumentTypeError, DtypeError, message
from flambeau.ir import expr as ir
from flambeau.ops import _samples, rules
from flambeau.ops.mutation import mutate
from flambeau.shapes import broadcast_shapes
from flambeau.tensor import Tensor, attach


def _samples_where(make: Any) -> _samples.Calls:
    yield (make.mask(2, 3), make(2, 3), make(3)), {}
    yield (make.mask(3), 1, make(2, 3)), {}
    yield (make.mask(2, 1), make(3), 0), {}
    yield (make.mask(2, 3),), {}


@pointwise(samples=_samples_where, uncast=(0,), inplace=False, method=False, expr=ir.where,
           vjp={"input": lambda g, condition: g.masked_fill(~condition, 0),
                "other": lambda g, condition: g.masked_fill(condition, 0)})
def _where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """Elements of one operand or the other."""


def _nonzero(condition: Tensor) -> tuple[Tensor, ...]:
    return condition.nonzero(as_tuple=True)


@front(_where, out=True)
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """`input` where the condition holds, else `other`; with the condition alone, the indices where it holds.

    The three broadcast, and `input` and `other` promote to the result's dtype. The condition is a bool tensor.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.where.html

    >>> import flambeau as torch
    >>> x = torch.tensor([-1., 2.])
    >>> torch.where(x > 0, x, 0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        return _nonzero(condition)
    if not isinstance(condition, Tensor):
        raise ArgumentTypeError(message("where()", "argument 'condition' (position 1) must be Tensor, not "
                                        f"{type(condition).__name__}"))
    kind = condition._kind.dtype
    if kind.category != BOOL:
        if kind.name != "uint8":
            raise DtypeError(message("where", "expected condition to be a boolean tensor, but got a tensor with dtype "
                                     f"{kind}", next_step="compare it with 0"))
        condition = condition != 0
    return _where(condition, input, other)


def _method_where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor's elements where the condition holds, else those of `other`."""
    return where(condition, self, other)


attach(_method_where, "where")  # the method's arguments come in another order


# ---------------------------------------------------------------------------------------------- masked_fill
def _samples_masked(make: Any) -> _samples.Calls:
    yield (make(2, 3), make.mask(2, 3), 1), {}
    yield (make(2, 3), make.mask(3), make()), {}


@operator(vjp={"input": lambda g, mask: g.masked_fill(mask, 0)}, inplace=True, dtype_rule="any",
          samples=_samples_masked)
def _masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """The tensor with a number where the mask holds, in the tensor's dtype."""
    return _where(mask, input.new_tensor(value), input)


def _fill_value(input: Tensor, mask: Any, value: Any) -> Any:
    """Check the arguments of masked_fill; the value as a number, or as a 0-d tensor if it wants a gradient."""
    if not isinstance(mask, Tensor):
        raise ArgumentTypeError("masked_fill(): argument 'mask' (position 1) must be Tensor, not "
                                f"{type(mask).__name__}")
    if mask._kind.dtype.category != BOOL:
        raise DtypeError(message("masked_fill", "masked_fill only supports boolean masks, but got mask with dtype "
                                 f"{mask._kind.dtype}", next_step="compare it with 0"))
    target = input._kind.dtype
    if isinstance(value, Tensor):
        if value._array.shape:
            raise ArgumentError(message("masked_fill", "masked_fill only supports a 0-dimensional value tensor, but "
                                        f"got tensor with {len(value._array.shape)} dimension(s)."))
        if value._edge is not None and value.requires_grad:
            return value.to(input._kind.device, target)
        value = value.item()
    return _as_number(value, target)


def _as_number(value: Any, target: dtype) -> Any:
    """A number that fits the dtype; fractions are cut off for integers."""
    problem = message("masked_fill", f"value cannot be converted to type {target} without overflow", given=repr(value))
    if isinstance(value, complex) and not target.is_complex:
        raise ArgumentError(problem)
    if target.category != INTEGER:
        return value
    bits = 8 * target.itemsize - target.is_signed
    if value != value or not -(1 << bits) <= value < 1 << bits:
        raise ArgumentError(problem)
    return int(value)


@front(_masked_fill)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """The tensor with `value` where the mask holds, keeping its dtype. `value` is a number or a 0-d tensor.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.masked_fill.html

    >>> import flambeau as torch
    >>> torch.masked_fill(torch.tensor([1., 2.]), torch.tensor([True, False]), -1)
    tensor([-1.,  2.])
    """
    value = _fill_value(input, mask, value)
    if isinstance(value, Tensor):
        return where(mask, value, input)
    return _masked_fill(input, mask, value)


_masked_fill_inplace = rules.inplace(_masked_fill)


@rules.inplace_front(_masked_fill)
def masked_fill_(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Put `value` where the mask holds, in place."""
    value = _fill_value(input, mask, value)
    if isinstance(value, Tensor):
        return input.copy_(where(mask, value, input))
    shape = input._array.shape
    if broadcast_shapes(shape, mask._array.shape) != shape or overlaps_itself(input):
        return _masked_fill_inplace(input, mask, value)      # which refuses
    return mutate(_masked_fill.op, (input, mask, value), input)     # type: ignore[attr-defined]


__all__ = rules.public(globals())
