"""Layers that put borders around their input."""

from __future__ import annotations

from flambeau.errors import ArgumentValueError
from flambeau.nn import functional as F
from flambeau.nn.modules.module import Module
from flambeau.nn.modules.utils import _ntuple
from flambeau.tensor import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

Counts = int | tuple[int, ...]


class _Pad(Module):
    """A border of so many elements on each side of the last dimensions; `spatial` says of how many."""

    spatial = 1
    padding: tuple[int, ...]

    def __init__(self, padding: Counts) -> None:
        super().__init__()
        self.padding = _ntuple(2 * self.spatial)(padding)

    def extra_repr(self) -> str:
        """How wide the border is."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    value: float

    def __init__(self, padding: Counts, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """How wide the border is, and of what."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A border of one value around the last dimension; arguments as for `ConstantPad2d`, with two counts."""


class ConstantPad2d(_ConstantPad):
    """A border of one value around the last two dimensions.

    Args:
        padding: (left, right, top, bottom), or one number for all; a negative one crops.
        value: what the border holds.

    >>> import flambeau as torch
    >>> torch.nn.ConstantPad2d((1, 0, 0, 1), 7.)(torch.zeros(1, 1, 2))
    tensor([[[7., 0., 0.],
             [7., 7., 7.]]])
    """

    spatial = 2


class ConstantPad3d(_ConstantPad):
    """A border of one value around the last three dimensions; arguments as for `ConstantPad2d`, with six counts."""

    spatial = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Counts) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """How wide the border is."""
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """A border of zeros around the last dimension: (left, right), or one number for both."""


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """A border of zeros around the last two dimensions: (left, right, top, bottom), or one number for all.

    >>> import flambeau as torch
    >>> torch.nn.ZeroPad2d(1)(torch.ones(3, 5, 6)).shape
    torch.Size([3, 7, 8])
    """


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """A border of zeros around the last three dimensions: six counts, from the last dimension on, or one for all."""


class _CircularPad(_Pad):
    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        few, many = self.spatial + 1, self.spatial + 2
        if input.dim() not in (few, many):
            raise ArgumentValueError(f"expected {few}D or {many}D input (got {input.dim()}D input)")
        return F.pad(input, self.padding, "circular")


class CircularPad1d(_CircularPad):
    """(C, W) or (N, C, W) with a border that goes on at the other end: (left, right), or one number for both.

    >>> import flambeau as torch
    >>> torch.nn.CircularPad1d((2, 1))(torch.tensor([[1., 2., 3.]]))
    tensor([[2., 3., 1., 2., 3., 1.]])
    """


class CircularPad2d(_CircularPad):
    """(C, H, W) or (N, C, H, W) with a border that goes on at the other end: (left, right, top, bottom), or one number.

    >>> import flambeau as torch
    >>> torch.nn.CircularPad2d(1)(torch.ones(3, 5, 6)).shape
    torch.Size([3, 7, 8])
    """

    spatial = 2


class CircularPad3d(_CircularPad):
    """(C, D, H, W) or (N, C, D, H, W) with a border that goes on at the other end: six counts, or one number."""

    spatial = 3


class _ReflectionPad(_Pad):
    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.pad(input, self.padding, "reflect")


class ReflectionPad1d(_ReflectionPad):
    """(C, W) or (N, C, W) with a border that mirrors it, without the outermost element: (left, right), or one number.

    >>> import flambeau as torch
    >>> torch.nn.ReflectionPad1d((2, 1))(torch.tensor([[1., 2., 3.]]))
    tensor([[3., 2., 1., 2., 3., 2.]])
    """


class ReflectionPad2d(_ReflectionPad):
    """(C, H, W) or (N, C, H, W) with a border that mirrors it: (left, right, top, bottom), or one number for all.

    >>> import flambeau as torch
    >>> torch.nn.ReflectionPad2d(1)(torch.ones(3, 5, 6)).shape
    torch.Size([3, 7, 8])
    """

    spatial = 2


class ReflectionPad3d(_ReflectionPad):
    """(C, D, H, W) or (N, C, D, H, W) with a border that mirrors it: six counts, or one number for all."""

    spatial = 3


class _ReplicationPad(_Pad):
    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.pad(input, self.padding, "replicate")


class ReplicationPad1d(_ReplicationPad):
    """(C, W) or (N, C, W) with a border of its outermost elements: (left, right), or one number for both.

    >>> import flambeau as torch
    >>> torch.nn.ReplicationPad1d((2, 1))(torch.tensor([[1., 2., 3.]]))
    tensor([[1., 1., 1., 2., 3., 3.]])
    """


class ReplicationPad2d(_ReplicationPad):
    """(C, H, W) or (N, C, H, W) with a border of its outermost elements: (left, right, top, bottom), or one number.

    >>> import flambeau as torch
    >>> torch.nn.ReplicationPad2d((1, 1, 2, 0))(torch.ones(3, 5, 6)).shape
    torch.Size([3, 7, 8])
    """

    spatial = 2


class ReplicationPad3d(_ReplicationPad):
    """(C, D, H, W) or (N, C, D, H, W) with a border of its outermost elements: six counts, or one number for all."""

    spatial = 3
