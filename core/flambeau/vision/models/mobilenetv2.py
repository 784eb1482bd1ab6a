"""MobileNetV2: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018)."""

# ruff: noqa: N801 -- the enumeration's name is torchvision's

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from flambeau import Tensor, nn
from flambeau.errors import ArgumentValueError
from flambeau.vision.models._api import WeightsEnum, builder, classes_of, imagenet, load_into
from flambeau.vision.models._common import initialise, make_divisible, small_normal
from flambeau.vision.ops.misc import Conv2dNormActivation

__all__ = ["MobileNetV2", "MobileNet_V2_Weights", "mobilenet_v2"]

Norm = Callable[..., nn.Module]

# Table 2 of the paper: expansion, channels of the output, how many blocks, stride of the first of them.
_SETTING = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow again without an activation; beside a shortcut where shapes allow.

    Args:
        inp, oup: channels of the input and of the output.
        stride: 1 or 2.
        expand_ratio: how many times wider the middle is.
        norm_layer: makes a normalisation from the number of channels.

    Shapes: (N, inp, H, W) to (N, oup, H / stride, W / stride). Raises ValueError for another stride.
    """

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: Norm | None = None) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ArgumentValueError(f"stride should be 1 or 2 instead of {stride}")
        norm_layer = norm_layer or nn.BatchNorm2d
        hidden = round(inp * expand_ratio)
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        convolution = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
        layers: list[nn.Module] = [] if expand_ratio == 1 else [convolution(inp, hidden, kernel_size=1)]
        layers.append(convolution(hidden, hidden, stride=stride, groups=hidden))
        layers += [nn.Conv2d(hidden, oup, 1, bias=False), norm_layer(oup)]
        self.conv = nn.Sequential(*layers)
        self.out_channels = oup
        self._is_cn = stride > 1

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """Inverted residuals between two convolutions.

    Args:
        num_classes: size of the output.
        width_mult: makes every layer wider or narrower.
        inverted_residual_setting: rows of (expansion, channels, blocks, stride), in place of the paper's.
        round_nearest: numbers of channels are multiples of this.
        block, norm_layer: make the blocks and the normalisations.
        dropout: probability of the dropout before the last layer.

    Shapes: (N, 3, H, W) to (N, num_classes).

    >>> import flambeau as torch
    >>> torch.vision.models.MobileNetV2(num_classes=10, width_mult=0.25)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])

    Raises ValueError for a setting that does not have this form.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        block: Norm | None = None,
        norm_layer: Norm | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        block, norm_layer = block or InvertedResidual, norm_layer or nn.BatchNorm2d
        setting = _SETTING if inverted_residual_setting is None else inverted_residual_setting
        if not setting or len(setting[0]) != 4:
            raise ArgumentValueError("inverted_residual_setting should be non-empty or a 4-element list, got "
                                     f"{inverted_residual_setting}")  # fmt: skip
        convolution = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
        channels = make_divisible(32 * width_mult, round_nearest)
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        layers: list[nn.Module] = [convolution(3, channels, stride=2)]
        for expansion, size, count, stride in setting:
            out = make_divisible(size * width_mult, round_nearest)
            for i in range(count):
                layers.append(block(channels, out, stride if i == 0 else 1, expand_ratio=expansion,
                                    norm_layer=norm_layer))  # fmt: skip
                channels = out
        layers.append(convolution(channels, self.last_channel, kernel_size=1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout), nn.Linear(self.last_channel, num_classes))
        initialise(self, small_normal)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        features = nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(features.flatten(1))


class MobileNet_V2_Weights(WeightsEnum):
    """Pretrained parameters of `mobilenet_v2`."""

    IMAGENET1K_V1 = imagenet("mobilenet_v2-b0353104.pth", 3504872, 71.878, 90.286)
    IMAGENET1K_V2 = imagenet("mobilenet_v2-7ebf99e0.pth", 3504872, 72.154, 90.822, resize=232)
    DEFAULT = IMAGENET1K_V2


@builder(MobileNet_V2_Weights)
def mobilenet_v2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> MobileNetV2:
    """MobileNetV2.

    Args:
        weights: pretrained parameters: a member of `MobileNet_V2_Weights` or its name, or the path of a `.pth` or
            `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `MobileNetV2`.
    """
    classes_of(weights, kwargs)
    return load_into(MobileNetV2(**kwargs), weights, progress)
