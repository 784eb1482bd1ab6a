"""Pooling layers."""

from __future__ import annotations

from typing import Any

from flambeau.errors import ArgumentValueError
from flambeau.nn import functional as F
from flambeau.nn.modules.module import Module
from flambeau.nn.modules.utils import _ntuple, _single
from flambeau.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

Extent = int | tuple[int, ...]


class _MaxPoolNd(Module):
    return_indices: bool
    ceil_mode: bool

    def __init__(
        self,
        kernel_size: Extent,
        stride: Extent | None = None,
        padding: Extent = 0,
        dilation: Extent = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """The window."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """The largest value of each window of (N, C, L) or (C, L); the arguments are those of ``MaxPool2d``."""

    def forward(self, input: Tensor) -> Any:
        """Apply the layer."""
        return F.max_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode, return_indices=self.return_indices,
        )


class MaxPool2d(_MaxPoolNd):
    """The largest value of each window of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: extent of the window; one number or one per dimension, as for the next three.
        stride: step between windows; the window's extent if left out.
        padding: rows of minus infinity added on each side.
        dilation: step between the window's elements.
        return_indices: return the positions of the maxima as well.
        ceil_mode: let a window reach over the edge.

    >>> import flambeau as torch
    >>> torch.nn.MaxPool2d(2)(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 3, 4, 4])
    """

    def forward(self, input: Tensor) -> Any:
        """Apply the layer."""
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode, return_indices=self.return_indices,
        )


class MaxPool3d(_MaxPoolNd):
    """The largest value of each window of (N, C, D, H, W) or (C, D, H, W); arguments as for ``MaxPool2d``."""

    def forward(self, input: Tensor) -> Any:
        """Apply the layer."""
        return F.max_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.dilation,
            ceil_mode=self.ceil_mode, return_indices=self.return_indices,
        )


class _MaxUnpoolNd(Module):
    spatial = 1

    def __init__(self, kernel_size: Extent, stride: Extent | None = None, padding: Extent = 0) -> None:
        super().__init__()
        per_dimension = _ntuple(self.spatial)
        self.kernel_size = per_dimension(kernel_size)
        self.stride = per_dimension(kernel_size if stride is None else stride)
        self.padding = per_dimension(padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """Apply the layer."""
        unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.spatial - 1]
        result: Tensor = unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)
        return result

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """Puts what ``MaxPool1d`` kept back in its place, among zeros; the arguments are those of ``MaxUnpool2d``."""


class MaxUnpool2d(_MaxUnpoolNd):
    """Puts what ``MaxPool2d`` kept back in its place, among zeros. Called with the values and their indices.

    The size of the result is the smallest that such windows may come from, unless the call says ``output_size``.

    Args:
        kernel_size: extent of the window; one number or one per dimension, as for the next two.
        stride: step between windows; the window's extent if left out.
        padding: what was added on each side.

    >>> import flambeau as torch
    >>> torch.nn.MaxUnpool2d(2)(torch.ones(1, 1, 1), torch.tensor([[[3]]])).tolist()
    [[[0.0, 0.0], [0.0, 1.0]]]
    """

    spatial = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """Puts what ``MaxPool3d`` kept back in its place, among zeros; the arguments are those of ``MaxUnpool2d``."""

    spatial = 3


class _FractionalMaxPoolNd(Module):
    spatial = 2
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: Extent,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name, per_dimension = type(self).__name__, _ntuple(self.spatial)
        self.kernel_size = per_dimension(kernel_size)
        if self.spatial == 3 and min(self.kernel_size) <= 0:
            raise ArgumentValueError(f"kernel_size must be greater than 0, but got {kernel_size}")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else per_dimension(output_size)
        self.output_ratio = None if output_ratio is None else per_dimension(output_ratio)
        if output_size is None and output_ratio is None:
            raise ArgumentValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ArgumentValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < each < 1 for each in self.output_ratio):
            raise ArgumentValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        """Apply the layer."""
        pool = F.fractional_max_pool2d if self.spatial == 2 else F.fractional_max_pool3d
        return pool(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
            _random_samples=self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """The largest value of windows of (N, C, H, W) or (C, H, W) whose steps are drawn, so that any size can be had.

    Args:
        kernel_size: extent of the windows; one number or a pair.
        output_size: the spatial size of the result.
        output_ratio: what the result's size is of the input's, between 0 and 1; in place of ``output_size``.
        return_indices: return the positions of the maxima as well, for ``nn.MaxUnpool2d``.

    >>> import flambeau as torch
    >>> torch.nn.FractionalMaxPool2d(3, output_ratio=(0.5, 0.7))(torch.zeros(1, 4, 10, 10)).shape
    torch.Size([1, 4, 5, 7])
    """


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """The largest value of windows of (N, C, D, H, W) or (C, D, H, W); arguments as for ``FractionalMaxPool2d``."""

    spatial = 3


class _LPPoolNd(Module):
    def __init__(
        self, norm_type: float, kernel_size: Extent, stride: Extent | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """The norm and the window."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """The p-norm of each window of (N, C, L) or (C, L); the arguments are those of ``LPPool2d``."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPoolNd):
    """The p-norm of each window of (N, C, H, W) or (C, H, W).

    Args:
        norm_type: p; 1 for sums, infinity for maxima.
        kernel_size: extent of the window; one number or a pair, as for the next.
        stride: step between windows; the window's extent if left out.
        ceil_mode: let a window reach over the edge.

    >>> import flambeau as torch
    >>> torch.nn.LPPool2d(2, 2)(torch.ones(1, 2, 2))
    tensor([[[2.]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPoolNd):
    """The p-norm of each window of (N, C, D, H, W) or (C, D, H, W); the arguments are those of ``LPPool2d``."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.lp_pool3d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _AvgPoolNd(Module):

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPoolNd):
    """The mean of each window of (N, C, L) or (C, L); the arguments are those of ``AvgPool2d``."""

    def __init__(
        self,
        kernel_size: Extent,
        stride: Extent | None = None,
        padding: Extent = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = _single(kernel_size if stride is None else stride)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class AvgPool2d(_AvgPoolNd):
    """The mean of each window of (N, C, H, W) or (C, H, W).

    Args:
        kernel_size: extent of the window; one number or one per dimension, as for the next two.
        stride: step between windows; the window's extent if left out.
        padding: rows of zeros added on each side.
        ceil_mode: let a window reach over the edge.
        count_include_pad: whether the added zeros count.
        divisor_override: divide by this number, not by the window's size.

    >>> import flambeau as torch
    >>> torch.nn.AvgPool2d(2)(torch.ones(1, 1, 4, 4)).sum()
    tensor(4.)
    """

    def __init__(
        self,
        kernel_size: Extent,
        stride: Extent | None = None,
        padding: Extent = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.avg_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )


class AvgPool3d(AvgPool2d):
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W); the arguments are those of ``AvgPool2d``."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.avg_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )


class _AdaptivePoolNd(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The size asked for."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePoolNd):
    """Means over as many windows as give an output of this length."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptivePoolNd):
    """Means over as many windows as give an output of this size; ``None`` keeps a dimension.

    >>> import flambeau as torch
    >>> torch.nn.AdaptiveAvgPool2d((1, None))(torch.zeros(1, 64, 7, 9)).shape
    torch.Size([1, 64, 1, 9])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptivePoolNd):
    """Means over as many windows as give an output of this size; ``None`` keeps a dimension."""

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return F.adaptive_avg_pool3d(input, self.output_size)


class _AdaptiveMaxPoolNd(_AdaptivePoolNd):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Maxima over as many windows as give an output of this length."""

    def forward(self, input: Tensor) -> Any:
        """Apply the layer."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """Maxima over as many windows as give an output of this size; ``None`` keeps a dimension."""

    def forward(self, input: Tensor) -> Any:
        """Apply the layer."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Maxima over as many windows as give an output of this size; ``None`` keeps a dimension."""

    def forward(self, input: Tensor) -> Any:
        """Apply the layer."""
        return F.adaptive_max_pool3d(input, self.output_size, self.return_indices)
