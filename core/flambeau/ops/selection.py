"""Choosing between elements by a condition. Gradients of many other operators are written with these."""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import front, operator, pointwise
from flambeau.dtypes import BOOL, INTEGER, dtype
from flambeau.errors import ArgumentError, ArgumentTypeError, DtypeError, message
from flambeau.ir import expr as ir
from flambeau.ops import rules
from flambeau.tensor import Tensor, TensorMethods


@pointwise(uncast=(0,), inplace=False, method=False, expr=ir.where,
           vjp={"input": lambda g, condition: g.masked_fill(~condition, 0),
                "other": lambda g, condition: g.masked_fill(condition, 0)})
def _where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """Elements of one operand or the other."""


def _nonzero(condition: Tensor) -> tuple[Tensor, ...]:
    return condition.nonzero(as_tuple=True)  # type: ignore[attr-defined,no-any-return]


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
    return where(condition, self, other)  # type: ignore[no-any-return]


TensorMethods.where = _method_where  # type: ignore[attr-defined] - its arguments come in another order
