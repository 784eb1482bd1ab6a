"""Logic on the bits of integers; on bool tensors the same operators are plain logic."""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import binary, unary
from flambeau.dtypes import BOOL
from flambeau.ir import expr as ir
from flambeau.ops import rules
from flambeau.tensor import Tensor

_SHIFTED = (BOOL, *rules.INTEGRAL_ONLY)


@binary(vjp="none", excluded=rules.INTEGRAL_ONLY, expr=lambda x, y: x & y)
def bitwise_and(input: Tensor, other: Any) -> Tensor:
    """The bits set in both.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_and.html

    >>> import flambeau as torch
    >>> torch.bitwise_and(torch.tensor([6, 5]), 3)
    tensor([2, 1])
    """


@binary(vjp="none", excluded=rules.INTEGRAL_ONLY, expr=lambda x, y: x | y)
def bitwise_or(input: Tensor, other: Any) -> Tensor:
    """The bits set in either.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_or.html

    >>> import flambeau as torch
    >>> torch.bitwise_or(torch.tensor([5, 6]), 3)
    tensor([7, 7])
    """


@binary(vjp="none", excluded=rules.INTEGRAL_ONLY, expr=lambda x, y: x ^ y)
def bitwise_xor(input: Tensor, other: Any) -> Tensor:
    """The bits set in exactly one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_xor.html

    >>> import flambeau as torch
    >>> torch.bitwise_xor(torch.tensor([5, 6]), 3)
    tensor([6, 5])
    """


@unary(vjp="none", excluded=rules.INTEGRAL_ONLY, expr=lambda x: ~x)
def bitwise_not(input: Tensor) -> Tensor:
    """The bits that are not set; the opposite of a bool.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_not.html

    >>> import flambeau as torch
    >>> torch.bitwise_not(torch.tensor([True, False])), torch.bitwise_not(torch.tensor([0, 5]))
    (tensor([False,  True]), tensor([-1, -6]))
    """


@binary(vjp="none", excluded=_SHIFTED, domain=((-4, 4), (0, 4)), expr=ir.left_shift)
def bitwise_left_shift(input: Tensor, other: Any) -> Tensor:
    """The bits moved to the left.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_left_shift.html

    >>> import flambeau as torch
    >>> torch.bitwise_left_shift(torch.tensor([1, 3]), 2)
    tensor([ 4, 12])
    """


@binary(vjp="none", excluded=_SHIFTED, domain=((-4, 4), (0, 4)), expr=ir.right_shift)
def bitwise_right_shift(input: Tensor, other: Any) -> Tensor:
    """The bits moved to the right, keeping the sign.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bitwise_right_shift.html

    >>> import flambeau as torch
    >>> torch.bitwise_right_shift(torch.tensor([8, -8]), 2)
    tensor([ 2, -2])
    """


__all__ = rules.public(globals())
