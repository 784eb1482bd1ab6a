"""Blocks that many models are made of, under the names of torchvision.ops.misc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flambeau
from flambeau import Tensor, nn

__all__ = ["Conv2dNormActivation", "Conv3dNormActivation", "ConvNormActivation", "FrozenBatchNorm2d", "MLP", "Permute",
           "SqueezeExcitation"]  # fmt: skip

Layer = Callable[..., nn.Module]


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics and parameters are constants: ``y = a x + b`` for each channel.

    Args:
        num_features: number of channels.
        eps: added to the variance.

    Shapes: (N, num_features, H, W), in and out. ``weight``, ``bias``, ``running_mean`` and ``running_var`` are buffers.

    >>> import flambeau as torch
    >>> torch.vision.ops.FrozenBatchNorm2d(3, eps=0)(torch.ones(1, 3, 1, 1)).flatten()
    tensor([1., 1., 1.])
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", flambeau.ones(num_features))
        self.register_buffer("bias", flambeau.zeros(num_features))
        self.register_buffer("running_mean", flambeau.zeros(num_features))
        self.register_buffer("running_var", flambeau.ones(num_features))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)  # what batch normalisation has and this has no use for
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.weight.shape[0]}, eps={self.eps})"


class ConvNormActivation(nn.Sequential):
    """A convolution, a normalisation and an activation, one after the other.

    Args:
        in_channels, out_channels: number of channels before and after.
        kernel_size, stride, dilation, groups: of the convolution.
        padding: by default as much as keeps the size where the stride is 1.
        norm_layer: makes the normalisation from the number of channels; None for none.
        activation_layer: makes the activation; None for none.
        inplace: whether the activation overwrites its input; None if it cannot be told.
        bias: of the convolution; by default only where no normalisation follows, which has one.
        conv_layer: makes the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...] = 3,
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] | str | None = None,
        groups: int = 1,
        norm_layer: Layer | None = nn.BatchNorm2d,
        activation_layer: Layer | None = nn.ReLU,
        dilation: int | tuple[int, ...] = 1,
        inplace: bool | None = True,
        bias: bool | None = None,
        conv_layer: Layer = nn.Conv2d,
    ) -> None:
        if padding is None:
            padding = _same(kernel_size, dilation)
        convolution = conv_layer(in_channels, out_channels, kernel_size, stride, padding, dilation=dilation,
                                 groups=groups, bias=norm_layer is None if bias is None else bias)  # fmt: skip
        layers = [convolution]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer(**_inplace(inplace)))
        super().__init__(*layers)
        self.out_channels = out_channels


def _same(kernel_size: int | tuple[int, ...], dilation: int | tuple[int, ...]) -> int | tuple[int, ...]:
    """The padding that keeps the size for odd kernels."""
    if isinstance(kernel_size, int) and isinstance(dilation, int):
        return (kernel_size - 1) // 2 * dilation
    kernels = kernel_size if isinstance(kernel_size, tuple | list) else (kernel_size,)
    dilations = dilation if isinstance(dilation, tuple | list) else (dilation,)
    count = max(len(kernels), len(dilations))
    pairs = zip(_spread(kernels, count), _spread(dilations, count), strict=True)
    return tuple((kernel - 1) // 2 * step for kernel, step in pairs)


def _spread(values: Sequence[int], count: int) -> Sequence[int]:
    return values if len(values) == count else [*values] * count


def _inplace(inplace: bool | None) -> dict[str, bool]:
    return {} if inplace is None else {"inplace": inplace}


class Conv2dNormActivation(ConvNormActivation):
    """A convolution of pictures, a normalisation and an activation; see `ConvNormActivation`.

    Shapes: (N, in_channels, H, W) to (N, out_channels, H', W'), as `torch.nn.Conv2d` has it.

    >>> import flambeau as torch
    >>> torch.vision.ops.Conv2dNormActivation(3, 8, stride=2)(torch.zeros(1, 3, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """


class Conv3dNormActivation(ConvNormActivation):
    """A convolution of volumes, a normalisation and an activation; see `ConvNormActivation`.

    Shapes: (N, in_channels, D, H, W) to (N, out_channels, D', H', W'), as `torch.nn.Conv3d` has it.

    >>> import flambeau as torch
    >>> torch.vision.ops.Conv3dNormActivation(1, 2)(torch.zeros(1, 1, 3, 4, 4)).shape
    torch.Size([1, 2, 3, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, *args: Any, **kwargs: Any) -> None:
        names = "kernel_size stride padding groups norm_layer activation_layer dilation inplace bias".split()
        given = {"norm_layer": nn.BatchNorm3d, **dict(zip(names, args, strict=False)), **kwargs}
        super().__init__(in_channels, out_channels, **given, conv_layer=nn.Conv3d)


class SqueezeExcitation(nn.Module):
    """Weighs each channel by what all channels have in the mean (Hu et al., "Squeeze-and-Excitation Networks").

    Args:
        input_channels: number of channels.
        squeeze_channels: size of the hidden layer.
        activation: makes the activation of the hidden layer.
        scale_activation: makes the activation that gives the weights.

    Shapes: (N, input_channels, H, W), in and out.

    >>> import flambeau as torch
    >>> torch.vision.ops.SqueezeExcitation(8, 2)(torch.ones(1, 8, 4, 4)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Layer = nn.ReLU,
        scale_activation: Layer = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        weights = self.activation(self.fc1(self.avgpool(input)))
        return self.scale_activation(self.fc2(weights)) * input


class MLP(nn.Sequential):
    """Linear layers with an activation between them: a multilayer perceptron.

    Args:
        in_channels: size of the input's last dimension.
        hidden_channels: sizes of the layers' outputs; the last one is the output's.
        norm_layer: makes a normalisation of each hidden layer from its size; None for none.
        activation_layer: makes the activation of a hidden layer.
        inplace: whether activations and dropouts overwrite their inputs; None leaves it to them.
        bias: of the linear layers.
        dropout: probability of the dropout behind each layer.

    >>> import flambeau as torch
    >>> torch.vision.ops.MLP(4, [8, 2])(torch.ones(3, 4)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        norm_layer: Layer | None = None,
        activation_layer: Layer | None = nn.ReLU,
        inplace: bool | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        layers: list[nn.Module] = []
        for size in hidden_channels[:-1]:
            layers.append(nn.Linear(in_channels, size, bias=bias))
            if norm_layer is not None:
                layers.append(norm_layer(size))
            if activation_layer is not None:
                layers.append(activation_layer(**_inplace(inplace)))
            layers.append(nn.Dropout(dropout, **_inplace(inplace)))
            in_channels = size
        layers.append(nn.Linear(in_channels, hidden_channels[-1], bias=bias))
        layers.append(nn.Dropout(dropout, **_inplace(inplace)))
        super().__init__(*layers)


class Permute(nn.Module):
    """Puts the dimensions into another order.

    >>> import flambeau as torch
    >>> torch.vision.ops.Permute([0, 2, 3, 1])(torch.ones(1, 2, 3, 4)).shape
    torch.Size([1, 3, 4, 2])
    """

    def __init__(self, dims: list[int]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        """The input with its dimensions in the order `dims`."""
        return x.permute(self.dims)
