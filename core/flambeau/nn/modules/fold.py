"""Layers that lay windows out as columns, and add them up again."""

from __future__ import annotations

from typing import Any

from flambeau.nn import functional as F
from flambeau.nn.modules.module import Module
from flambeau.tensor import Tensor

__all__ = ["Fold", "Unfold"]


class Fold(Module):
    """Columns (N, C * window size, number of windows) added up at their places in (N, C, *output_size).

    Args:
        output_size: the spatial size of the result; one number or a pair, as all that follow.
        kernel_size: extent of the windows.
        dilation: step between the elements of a window.
        padding: rows around the result that windows reach into and that are left out.
        stride: step between windows.

    >>> import flambeau as torch
    >>> torch.nn.Fold((4, 5), (2, 2))(torch.zeros(1, 3 * 2 * 2, 12)).shape
    torch.Size([1, 3, 4, 5])
    """

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The size and the windows."""
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )


class Unfold(Module):
    """All windows of (N, C, H, W) as columns: (N, C * window size, number of windows).

    Args:
        kernel_size: extent of the windows; one number or a pair, as all that follow.
        dilation: step between the elements of a window.
        padding: rows of zeros added on each side.
        stride: step between windows.

    >>> import flambeau as torch
    >>> torch.nn.Unfold((2, 3))(torch.zeros(2, 5, 3, 4)).shape
    torch.Size([2, 30, 4])
    """

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The windows."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )
