"""Convolution layers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from flambeau.errors import ArgumentValueError, ShapeError
from flambeau.nn import functional as F, init
from flambeau.nn.modules.lazy import LazyModuleMixin
from flambeau.nn.modules.module import Module
from flambeau.nn.modules.utils import _pair, _reverse_repeat_tuple, _single, _triple
from flambeau.nn.parameter import Parameter, UninitializedParameter
from flambeau.ops.creation import empty
from flambeau.tensor import Tensor

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "LazyConv1d",
           "LazyConv2d", "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyConvTranspose3d"]

Extent = int | tuple[int, ...]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """Parameters, their starting values and printing, for every number of dimensions, transposed or not."""

    weight: Parameter
    bias: Parameter | None
    _function: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_conv(in_channels, out_channels, kernel_size, stride, padding, groups, padding_mode)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._reversed_padding_repeated_twice = _pad_list(padding, dilation, kernel_size)
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        self.weight = Parameter(empty((first, second // groups, *kernel_size), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the starting values: uniform within ``1/sqrt(inputs per output)``."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """Channels, kernel, stride, and every option that is not at its default."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * len(self.kernel_size):
            text += f", padding={self.padding}"
        if self.dilation != (1,) * len(self.kernel_size):
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * len(self.kernel_size):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if not hasattr(self, "padding_mode"):
            self.padding_mode = "zeros"

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Apply the layer with other parameters; pads the input here where the mode is not zeros."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        return type(self)._function(input, weight, bias, self.stride, padding, self.dilation, self.groups)


def _check_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: str | tuple[int, ...],
    groups: int,
    padding_mode: str,
) -> None:
    if groups <= 0:
        raise ArgumentValueError("groups must be a positive integer")
    if in_channels % groups != 0:
        raise ArgumentValueError("in_channels must be divisible by groups")
    if out_channels % groups != 0:
        raise ArgumentValueError("out_channels must be divisible by groups")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ArgumentValueError(f"Invalid padding string {padding!r}, should be one of {{'valid', 'same'}}")
        if padding == "same" and any(step != 1 for step in stride):
            raise ArgumentValueError("padding='same' is not supported for strided convolutions")
    if padding_mode not in _PADDING_MODES:
        raise ArgumentValueError(
            f"padding_mode must be one of {set(_PADDING_MODES)}, but got padding_mode='{padding_mode}'"
        )


def _pad_list(
    padding: str | tuple[int, ...], dilation: tuple[int, ...], kernel_size: tuple[int, ...]
) -> list[int]:
    """The padding as ``pad`` takes it: last dimension first, before and after."""
    if not isinstance(padding, str):
        return list(_reverse_repeat_tuple(padding, 2))
    amounts = [0] * (2 * len(kernel_size))
    if padding == "same":
        for position, (step, extent) in enumerate(zip(dilation, kernel_size, strict=True)):
            total = step * (extent - 1)
            at = 2 * (len(kernel_size) - 1 - position)
            amounts[at], amounts[at + 1] = total // 2, total - total // 2
    return amounts


def _spatial(parse: Callable[[Any], tuple[int, ...]], padding: Any) -> Any:
    return padding if isinstance(padding, str) else parse(padding)


class Conv1d(_ConvNd):
    """Convolution over (N, C, L) or (C, L); the arguments are those of ``Conv2d``.

    >>> import flambeau as torch
    >>> torch.nn.Conv1d(2, 4, 3)(torch.zeros(1, 2, 10)).shape
    torch.Size([1, 4, 8])
    """

    _function: Callable[..., Tensor] = staticmethod(F.conv1d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: str | Extent = 0,
        dilation: Extent = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, _single(kernel_size), _single(stride), _spatial(_single, padding),
            _single(dilation), False, _single(0), groups, bias, padding_mode, device, dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv2d(_ConvNd):
    """Convolution over (N, C, H, W) or (C, H, W).

    Args:
        in_channels: C of the input.
        out_channels: C of the output.
        kernel_size: extent of the kernel; one number or one per dimension, as for the next three.
        stride: step between positions.
        padding: rows added on each side, or ``"same"`` (output as large as the input), or ``"valid"`` (none).
        dilation: step between the kernel's elements.
        groups: channels are connected within as many separate groups.
        bias: whether a bias per output channel is learned.
        padding_mode: what the added rows hold: ``"zeros"``, ``"reflect"``, ``"replicate"``, ``"circular"``.
        device: where the parameters live.
        dtype: the parameters' dtype.

    ``weight`` is (out_channels, in_channels / groups, *kernel_size).

    >>> import flambeau as torch
    >>> torch.nn.Conv2d(1, 8, 3, padding=1)(torch.zeros(4, 1, 28, 28)).shape
    torch.Size([4, 8, 28, 28])
    """

    _function: Callable[..., Tensor] = staticmethod(F.conv2d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: str | Extent = 0,
        dilation: Extent = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, _pair(kernel_size), _pair(stride), _spatial(_pair, padding),
            _pair(dilation), False, _pair(0), groups, bias, padding_mode, device, dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv3d(_ConvNd):
    """Convolution over (N, C, D, H, W) or (C, D, H, W); the arguments are those of ``Conv2d``.

    >>> import flambeau as torch
    >>> torch.nn.Conv3d(1, 2, 3)(torch.zeros(1, 1, 4, 4, 4)).shape
    torch.Size([1, 2, 2, 2, 2])
    """

    _function: Callable[..., Tensor] = staticmethod(F.conv3d)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: str | Extent = 0,
        dilation: Extent = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, _triple(kernel_size), _triple(stride), _spatial(_triple, padding),
            _triple(dilation), False, _triple(0), groups, bias, padding_mode, device, dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return self._conv_forward(input, self.weight, self.bias)


class _ConvTransposeNd(_ConvNd):
    """What the transposed convolutions share: their options, and `output_size` instead of an output padding."""

    _parse: Callable[[Any], tuple[int, ...]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: Extent = 0,
        output_padding: Extent = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Extent = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        parse = type(self)._parse
        if padding_mode != "zeros":
            raise ArgumentValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels, out_channels, parse(kernel_size), parse(stride), parse(padding), parse(dilation), True,
            parse(output_padding), groups, bias, padding_mode, device, dtype,
        )

    def forward(self, input: Tensor, output_size: list[int] | tuple[int, ...] | None = None) -> Tensor:
        """Apply the layer; `output_size` chooses among the sizes that a stride above 1 leaves open."""
        extra = self._output_padding(input, output_size, self.stride, self.padding, self.kernel_size,
                                     len(self.kernel_size), self.dilation)
        return type(self)._function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
                                    self.dilation)

    def _output_padding(self, input: Tensor, output_size: Any, stride: Any, padding: Any, kernel_size: Any,
                        num_spatial_dims: int, dilation: Any = None) -> tuple[int, ...]:
        """The output padding that gives the wanted size; ValueError where none does."""
        if output_size is None:
            return self.output_padding
        dims, wanted = num_spatial_dims, tuple(output_size)
        if len(wanted) not in (dims, input.dim()):
            raise ArgumentValueError(f"ConvTranspose{dims}D: for {input.dim()}D input, output_size must have {dims} or "
                                     f"{input.dim()} elements (got {len(wanted)})")
        wanted = wanted[-dims:]
        dilation = (1,) * dims if dilation is None else dilation
        least = [(size - 1) * step - 2 * int(pad) + reach * (extent - 1) + 1 for size, step, pad, reach, extent in zip(
            input.shape[-dims:], stride, padding, dilation, kernel_size, strict=True)]
        most = [size + step - 1 for size, step in zip(least, stride, strict=True)]
        if not all(low <= size <= high for low, size, high in zip(least, wanted, most, strict=True)):
            raise ArgumentValueError(f"requested an output size of {list(wanted)}, but valid sizes range from {least} "
                                     f"to {most} (for an input of {list(input.shape[-dims:])})")
        return tuple(size - low for size, low in zip(wanted, least, strict=True))


class _ConvTransposeMixin(_ConvTransposeNd):
    """Deprecated name of ``_ConvTransposeNd``; warns that it is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn("_ConvTransposeMixin is a deprecated internal class. Use _ConvTransposeNd", FutureWarning,
                      stacklevel=2)
        super().__init__(*args, **kwargs)


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution over (N, C, L) or (C, L); the arguments are those of ``ConvTranspose2d``.

    >>> import flambeau as torch
    >>> torch.nn.ConvTranspose1d(2, 4, 3, stride=2)(torch.zeros(1, 2, 5)).shape
    torch.Size([1, 4, 11])
    """

    _parse = staticmethod(_single)
    _function: Callable[..., Tensor] = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution over (N, C, H, W) or (C, H, W): the gradient of ``Conv2d`` with respect to its input.

    The arguments are those of ``Conv2d``, with `output_padding` added to one side of the output, which `stride`
    leaves undetermined. ``weight`` is (in_channels, out_channels / groups, *kernel_size). ValueError for a padding
    mode other than zeros, and for an `output_size` in ``forward`` that the stride does not allow.

    >>> import flambeau as torch
    >>> torch.nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1)(torch.zeros(4, 8, 7, 7)).shape
    torch.Size([4, 1, 14, 14])
    """

    _parse = staticmethod(_pair)
    _function: Callable[..., Tensor] = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution over (N, C, D, H, W) or (C, D, H, W); the arguments are those of ``ConvTranspose2d``.

    >>> import flambeau as torch
    >>> torch.nn.ConvTranspose3d(1, 2, 2, stride=2)(torch.zeros(1, 1, 3, 3, 3)).shape
    torch.Size([1, 2, 6, 6, 6])
    """

    _parse = staticmethod(_triple)
    _function: Callable[..., Tensor] = staticmethod(F.conv_transpose3d)


# ---------------------------------------------------------------------------------------------- lazy ones
class _LazyConvXdMixin(LazyModuleMixin):
    """What lazy convolutions share: the number of input channels is that of the first input."""

    groups: int
    transposed: bool
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    weight: Any
    bias: Any

    def _prepare(self, out_channels: int, bias: bool, device: Any, dtype: Any) -> None:
        """After the construction as an empty layer: parameters without a shape."""
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_channels = out_channels
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw the starting values, once there are parameters."""
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()  # type: ignore[misc]  # of the convolution that this is mixed with

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Make the parameters fit the input. ValueError for channels that the groups do not divide."""
        if not self.has_uninitialized_params():
            return
        self.in_channels = self._get_in_channels(input)
        if self.in_channels % self.groups != 0:
            raise ArgumentValueError("in_channels must be divisible by groups")
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        self.weight.materialize((first, second // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()

    def _get_in_channels(self, input: Tensor) -> int:
        alone = self._get_num_spatial_dims() + 1
        if input.dim() not in (alone, alone + 1):
            raise ShapeError(f"Expected {alone}D (unbatched) or {alone + 1}D (batched) input to {type(self).__name__}, "
                             f"but got input of size: {input.shape}")
        return int(input.shape[-alone])

    def _get_num_spatial_dims(self) -> int:
        return len(self.kernel_size)


class LazyConv1d(_LazyConvXdMixin, Conv1d):
    """``Conv1d`` without ``in_channels``, which its first input tells; the other arguments are the same.

    >>> import flambeau as torch
    >>> layer = torch.nn.LazyConv1d(4, 3)
    >>> layer(torch.zeros(1, 2, 5)).shape
    torch.Size([1, 4, 3])
    """

    cls_to_become = Conv1d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: str | Extent = 0,
        dilation: Extent = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype)
        self._prepare(out_channels, bias, device, dtype)


class LazyConv2d(_LazyConvXdMixin, Conv2d):
    """``Conv2d`` without ``in_channels``, which its first input tells; the other arguments are the same.

    >>> import flambeau as torch
    >>> layer = torch.nn.LazyConv2d(4, 3)
    >>> layer(torch.zeros(1, 2, 5, 5)).shape
    torch.Size([1, 4, 3, 3])
    """

    cls_to_become = Conv2d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: str | Extent = 0,
        dilation: Extent = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype)
        self._prepare(out_channels, bias, device, dtype)


class LazyConv3d(_LazyConvXdMixin, Conv3d):
    """``Conv3d`` without ``in_channels``, which its first input tells; the other arguments are the same.

    >>> import flambeau as torch
    >>> layer = torch.nn.LazyConv3d(4, 3)
    >>> layer(torch.zeros(1, 2, 5, 5, 5)).shape
    torch.Size([1, 4, 3, 3, 3])
    """

    cls_to_become = Conv3d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: str | Extent = 0,
        dilation: Extent = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(0, 0, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype)
        self._prepare(out_channels, bias, device, dtype)


class LazyConvTranspose1d(_LazyConvXdMixin, ConvTranspose1d):
    """``ConvTranspose1d`` without ``in_channels``, which its first input tells; the other arguments are the same.

    >>> import flambeau as torch
    >>> layer = torch.nn.LazyConvTranspose1d(4, 2)
    >>> layer(torch.zeros(1, 2, 3)).shape
    torch.Size([1, 4, 4])
    """

    cls_to_become = ConvTranspose1d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: Extent = 0,
        output_padding: Extent = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Extent = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode, device, dtype
        )
        self._prepare(out_channels, bias, device, dtype)


class LazyConvTranspose2d(_LazyConvXdMixin, ConvTranspose2d):
    """``ConvTranspose2d`` without ``in_channels``, which its first input tells; the other arguments are the same.

    >>> import flambeau as torch
    >>> layer = torch.nn.LazyConvTranspose2d(4, 2)
    >>> layer(torch.zeros(1, 2, 3, 3)).shape
    torch.Size([1, 4, 4, 4])
    """

    cls_to_become = ConvTranspose2d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: Extent = 0,
        output_padding: Extent = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Extent = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode, device, dtype
        )
        self._prepare(out_channels, bias, device, dtype)


class LazyConvTranspose3d(_LazyConvXdMixin, ConvTranspose3d):
    """``ConvTranspose3d`` without ``in_channels``, which its first input tells; the other arguments are the same.

    >>> import flambeau as torch
    >>> layer = torch.nn.LazyConvTranspose3d(4, 2)
    >>> layer(torch.zeros(1, 2, 3, 3, 3)).shape
    torch.Size([1, 4, 4, 4, 4])
    """

    cls_to_become = ConvTranspose3d

    def __init__(
        self,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: Extent = 0,
        output_padding: Extent = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Extent = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            0, 0, kernel_size, stride, padding, output_padding, groups, False, dilation, padding_mode, device, dtype
        )
        self._prepare(out_channels, bias, device, dtype)
