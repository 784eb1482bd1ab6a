"""EfficientNet, versions 1 and 2.

M. Tan and Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019) and
"EfficientNetV2: Smaller Models and Faster Training" (2021). The networks B1 to B7 are B0 with more channels and more
layers; the parameters of each come with the size of picture that it was scaled for.
"""

# ruff: noqa: N801 -- the enumerations' names are torchvision's

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from flambeau import Tensor, nn
from flambeau.errors import ArgumentTypeError, ArgumentValueError
from flambeau.vision.models._api import FileWeights, WeightsEnum, builder, classes_of, imagenet, load_into
from flambeau.vision.models._common import initialise, make_divisible
from flambeau.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation
from flambeau.vision.ops.stochastic_depth import StochasticDepth

__all__ = [
    "EfficientNet", "EfficientNet_B0_Weights", "EfficientNet_B1_Weights", "EfficientNet_B2_Weights",
    "EfficientNet_B3_Weights", "EfficientNet_B4_Weights", "EfficientNet_B5_Weights", "EfficientNet_B6_Weights",
    "EfficientNet_B7_Weights", "EfficientNet_V2_S_Weights", "EfficientNet_V2_M_Weights", "EfficientNet_V2_L_Weights",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5",
    "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l",
]  # fmt: skip

Norm = Callable[..., nn.Module]


class _MBConvConfig:
    """A stage: `num_layers` blocks of one kind, of which the first has the stride.

    Args:
        expand_ratio: how many times wider a block is inside.
        kernel, stride: of the blocks' k x k convolution.
        input_channels, out_channels: numbers of channels before and after the stage.
        num_layers: how many blocks.
        block: makes a block.
    """

    def __init__(
        self,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        block: Norm,
    ) -> None:
        self.expand_ratio = expand_ratio
        self.kernel = kernel
        self.stride = stride
        self.input_channels = input_channels
        self.out_channels = out_channels
        self.num_layers = num_layers
        self.block = block

    @staticmethod
    def adjust_channels(channels: float, width_mult: float, min_value: int | None = None) -> int:
        """The number of channels at this width."""
        return make_divisible(channels * width_mult, 8, min_value)


class MBConvConfig(_MBConvConfig):
    """A stage of `MBConv` blocks, made wider by `width_mult` and longer by `depth_mult`."""

    def __init__(
        self,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        block: Norm | None = None,
    ) -> None:
        super().__init__(
            expand_ratio,
            kernel,
            stride,
            self.adjust_channels(input_channels, width_mult),
            self.adjust_channels(out_channels, width_mult),
            self.adjust_depth(num_layers, depth_mult),
            block or MBConv,
        )

    @staticmethod
    def adjust_depth(num_layers: int, depth_mult: float) -> int:
        """The number of blocks at this depth."""
        return math.ceil(num_layers * depth_mult)


class FusedMBConvConfig(_MBConvConfig):
    """A stage of `FusedMBConv` blocks."""

    def __init__(
        self,
        expand_ratio: float,
        kernel: int,
        stride: int,
        input_channels: int,
        out_channels: int,
        num_layers: int,
        block: Norm | None = None,
    ) -> None:
        super().__init__(
            expand_ratio, kernel, stride, input_channels, out_channels, num_layers, block or FusedMBConv)


class _Residual(nn.Module):
    """What both kinds of blocks share: `block`, beside a shortcut where the shapes allow one.

    Args:
        cnf: the stage that the block belongs to.
        stochastic_depth_prob: probability that training leaves the block out for a sample.
        norm_layer: makes a normalisation from the number of channels.

    Shapes: (N, input_channels, H, W) to (N, out_channels, H / stride, W / stride). Raises ValueError for another
    stride than 1 and 2.
    """

    def __init__(self, cnf: _MBConvConfig, stochastic_depth_prob: float, norm_layer: Norm, **options: Any) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ArgumentValueError(f"illegal stride value {cnf.stride}: 1 or 2 expected")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        convolution = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        middle = cnf.adjust_channels(cnf.input_channels, cnf.expand_ratio)
        self.block = nn.Sequential(*self._layers(cnf, middle, convolution, **options))
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def _layers(self, cnf: _MBConvConfig, middle: int, convolution: Norm, **options: Any) -> list[nn.Module]:
        raise NotImplementedError(f"{type(self).__name__} has to say what it is made of")

    def forward(self, input: Tensor) -> Tensor:
        """Apply the block."""
        result = self.block(input)
        if self.use_res_connect:
            result = self.stochastic_depth(result)
            result += input
        return result


class MBConv(_Residual):
    """Widen, filter each channel by itself, weigh the channels, narrow again.

    Args:
        cnf: the stage that the block belongs to.
        stochastic_depth_prob: probability that training leaves the block out for a sample.
        norm_layer: makes a normalisation from the number of channels.
        se_layer: makes the squeeze and excitation.
    """

    def __init__(
        self, cnf: _MBConvConfig, stochastic_depth_prob: float, norm_layer: Norm, se_layer: Norm = SqueezeExcitation
    ) -> None:
        super().__init__(cnf, stochastic_depth_prob, norm_layer, se_layer=se_layer)

    def _layers(self, cnf: _MBConvConfig, middle: int, convolution: Norm, **options: Any) -> list[nn.Module]:
        layers = [] if middle == cnf.input_channels else [convolution(cnf.input_channels, middle, kernel_size=1)]
        squeezed = max(1, cnf.input_channels // 4)
        return [
            *layers,
            convolution(middle, middle, kernel_size=cnf.kernel, stride=cnf.stride, groups=middle),
            options["se_layer"](middle, squeezed, activation=partial(nn.SiLU, inplace=True)),
            convolution(middle, cnf.out_channels, kernel_size=1, activation_layer=None),
        ]


class FusedMBConv(_Residual):
    """Widen with a full convolution, and narrow again: faster than `MBConv` where there are few channels.

    Args:
        cnf: the stage that the block belongs to.
        stochastic_depth_prob: probability that training leaves the block out for a sample.
        norm_layer: makes a normalisation from the number of channels.
    """

    def __init__(self, cnf: _MBConvConfig, stochastic_depth_prob: float, norm_layer: Norm) -> None:
        super().__init__(cnf, stochastic_depth_prob, norm_layer)

    def _layers(self, cnf: _MBConvConfig, middle: int, convolution: Norm, **options: Any) -> list[nn.Module]:
        if middle == cnf.input_channels:
            return [convolution(middle, cnf.out_channels, kernel_size=cnf.kernel, stride=cnf.stride)]
        return [
            convolution(cnf.input_channels, middle, kernel_size=cnf.kernel, stride=cnf.stride),
            convolution(middle, cnf.out_channels, kernel_size=1, activation_layer=None),
        ]


class EfficientNet(nn.Module):
    """Stages of blocks between two convolutions.

    Args:
        inverted_residual_setting: the stages.
        dropout: probability of the dropout before the last layer.
        stochastic_depth_prob: probability that training leaves out the last block; the ones before it have less.
        num_classes: size of the output.
        norm_layer: makes a normalisation from the number of channels.
        last_channel: channels of the last convolution; by default four times those before it.

    Shapes: (N, 3, H, W) to (N, num_classes).

    >>> import flambeau as torch
    >>> from flambeau.vision.models.efficientnet import MBConvConfig
    >>> stages = [MBConvConfig(1, 3, 1, 8, 8, 1), MBConvConfig(6, 3, 2, 8, 16, 1)]
    >>> torch.vision.models.EfficientNet(stages, 0.2, num_classes=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])

    Raises ValueError without stages, TypeError for anything but a list of them.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[_MBConvConfig],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Norm | None = None,
        last_channel: int | None = None,
    ) -> None:
        super().__init__()
        setting = inverted_residual_setting
        if not setting:
            raise ArgumentValueError("The inverted_residual_setting should not be empty")
        if not isinstance(setting, Sequence) or not all(isinstance(each, _MBConvConfig) for each in setting):
            raise ArgumentTypeError("The inverted_residual_setting should be List[MBConvConfig]")
        norm_layer = norm_layer or nn.BatchNorm2d
        convolution = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.SiLU)
        narrow = setting[-1].out_channels
        wide = 4 * narrow if last_channel is None else last_channel
        self.features = nn.Sequential(
            convolution(3, setting[0].input_channels, kernel_size=3, stride=2),
            *_stages(setting, stochastic_depth_prob, norm_layer),
            convolution(narrow, wide, kernel_size=1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(wide, num_classes))
        initialise(self, _uniform)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _uniform(layer: nn.Linear) -> None:
    bound = 1.0 / math.sqrt(layer.out_features)
    nn.init.uniform_(layer.weight, -bound, bound)


def _stages(setting: Sequence[_MBConvConfig], probability: float, norm_layer: Norm) -> list[nn.Sequential]:
    """The deeper a block stands, the more often training leaves it out."""
    total = sum(each.num_layers for each in setting)
    stages: list[nn.Sequential] = []
    before = 0
    for stage in setting:
        blocks = []
        for i in range(stage.num_layers):
            cnf = stage
            if i > 0:
                cnf = copy.copy(stage)
                cnf.input_channels, cnf.stride = stage.out_channels, 1
            blocks.append(cnf.block(cnf, probability * before / total, norm_layer))
            before += 1
        stages.append(nn.Sequential(*blocks))
    return stages


def _scaled(width_mult: float, depth_mult: float) -> list[MBConvConfig]:
    """B0 (Table 1 of the first paper), made wider and deeper."""
    rows = ((1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2), (6, 3, 2, 40, 80, 3),
            (6, 5, 1, 80, 112, 3), (6, 5, 2, 112, 192, 4), (6, 3, 1, 192, 320, 1))  # fmt: skip
    return [MBConvConfig(*row, width_mult=width_mult, depth_mult=depth_mult) for row in rows]


# The stages of version 2 (Table 4 of the second paper): fused blocks first, then the others.
_Row: TypeAlias = tuple[int, int, int, int, int, int]
_V2: dict[str, tuple[tuple[_Row, ...], tuple[_Row, ...]]] = {
    "s": (
        ((1, 3, 1, 24, 24, 2), (4, 3, 2, 24, 48, 4), (4, 3, 2, 48, 64, 4)),
        ((4, 3, 2, 64, 128, 6), (6, 3, 1, 128, 160, 9), (6, 3, 2, 160, 256, 15)),
    ),
    "m": (
        ((1, 3, 1, 24, 24, 3), (4, 3, 2, 24, 48, 5), (4, 3, 2, 48, 80, 5)),
        ((4, 3, 2, 80, 160, 7), (6, 3, 1, 160, 176, 14), (6, 3, 2, 176, 304, 18), (6, 3, 1, 304, 512, 5)),
    ),
    "l": (
        ((1, 3, 1, 32, 32, 4), (4, 3, 2, 32, 64, 7), (4, 3, 2, 64, 96, 7)),
        ((4, 3, 2, 96, 192, 10), (6, 3, 1, 192, 224, 19), (6, 3, 2, 224, 384, 25), (6, 3, 1, 384, 640, 7)),
    ),
}


def _efficientnet(
    setting: Sequence[_MBConvConfig],
    dropout: float,
    weights: WeightsEnum | FileWeights | None,
    progress: bool,
    **kwargs: Any,
) -> EfficientNet:
    classes_of(weights, kwargs)
    return load_into(EfficientNet(setting, kwargs.pop("dropout", dropout), **kwargs), weights, progress)


def _version_2(
    size: str, dropout: float, weights: WeightsEnum | FileWeights | None, progress: bool, **kwargs: Any
) -> EfficientNet:
    fused, plain = _V2[size]
    setting = [*(FusedMBConvConfig(*row) for row in fused), *(MBConvConfig(*row) for row in plain)]
    given = {"norm_layer": partial(nn.BatchNorm2d, eps=1e-3), "last_channel": 1280, **kwargs}
    return _efficientnet(setting, dropout, weights, progress, **given)


# What the published parameters of B5 to B7 were learned with.
_TENSORFLOW_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


class EfficientNet_B0_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_b0`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_b0_rwightman-7f5810bc.pth", 5288548, 77.692, 93.532, interpolation="bicubic")
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B1_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_b1`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_b1_rwightman-bac287d4.pth", 7794184, 78.642, 94.186, crop=240, interpolation="bicubic")
    IMAGENET1K_V2 = imagenet("efficientnet_b1-c27df63c.pth", 7794184, 79.838, 94.934, crop=240, resize=255)
    DEFAULT = IMAGENET1K_V2


class EfficientNet_B2_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_b2`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_b2_rwightman-c35c1473.pth", 9109994, 80.608, 95.310, crop=288, resize=288,
        interpolation="bicubic")  # fmt: skip
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B3_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_b3`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_b3_rwightman-b3899882.pth", 12233232, 82.008, 96.054, crop=300, resize=320,
        interpolation="bicubic")  # fmt: skip
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B4_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_b4`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_b4_rwightman-23ab8bcd.pth", 19341616, 83.384, 96.594, crop=380, resize=384,
        interpolation="bicubic")  # fmt: skip
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B5_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_b5`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_b5_lukemelas-1a07897c.pth", 30389784, 83.444, 96.628, crop=456, resize=456,
        interpolation="bicubic")  # fmt: skip
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B6_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_b6`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_b6_lukemelas-24a108a5.pth", 43040704, 84.008, 96.916, crop=528, resize=528,
        interpolation="bicubic")  # fmt: skip
    DEFAULT = IMAGENET1K_V1


class EfficientNet_B7_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_b7`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_b7_lukemelas-c5b4e57e.pth", 66347960, 84.122, 96.908, crop=600, resize=600,
        interpolation="bicubic")  # fmt: skip
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_S_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_v2_s`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_v2_s-dd5fe13b.pth", 21458488, 84.228, 96.878, crop=384, resize=384, min_size=(33, 33))
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_M_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_v2_m`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_v2_m-dc08266a.pth", 54139356, 85.112, 97.156, crop=480, resize=480, min_size=(33, 33))
    DEFAULT = IMAGENET1K_V1


class EfficientNet_V2_L_Weights(WeightsEnum):
    """Pretrained parameters of `efficientnet_v2_l`."""

    IMAGENET1K_V1 = imagenet(
        "efficientnet_v2_l-59c71312.pth", 118515272, 85.808, 97.788, crop=480, resize=480, min_size=(33, 33),
        interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))  # fmt: skip
    DEFAULT = IMAGENET1K_V1


@builder(EfficientNet_B0_Weights)
def efficientnet_b0(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B0, for pictures of 224 x 224.

    Args:
        weights: pretrained parameters: a member of `EfficientNet_B0_Weights` or its name, or the path of a `.pth` or
            `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `EfficientNet`.
    """
    return _efficientnet(_scaled(1.0, 1.0), 0.2, weights, progress, **kwargs)


@builder(EfficientNet_B1_Weights)
def efficientnet_b1(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B1, for pictures of 240 x 240; the arguments are those of `efficientnet_b0`."""
    return _efficientnet(_scaled(1.0, 1.1), 0.2, weights, progress, **kwargs)


@builder(EfficientNet_B2_Weights)
def efficientnet_b2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B2, for pictures of 288 x 288; the arguments are those of `efficientnet_b0`."""
    return _efficientnet(_scaled(1.1, 1.2), 0.3, weights, progress, **kwargs)


@builder(EfficientNet_B3_Weights)
def efficientnet_b3(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B3, for pictures of 300 x 300; the arguments are those of `efficientnet_b0`."""
    return _efficientnet(_scaled(1.2, 1.4), 0.3, weights, progress, **kwargs)


@builder(EfficientNet_B4_Weights)
def efficientnet_b4(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B4, for pictures of 380 x 380; the arguments are those of `efficientnet_b0`."""
    return _efficientnet(_scaled(1.4, 1.8), 0.4, weights, progress, **kwargs)


@builder(EfficientNet_B5_Weights)
def efficientnet_b5(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B5, for pictures of 456 x 456; the arguments are those of `efficientnet_b0`."""
    return _efficientnet(_scaled(1.6, 2.2), 0.4, weights, progress, **{"norm_layer": _TENSORFLOW_NORM, **kwargs})


@builder(EfficientNet_B6_Weights)
def efficientnet_b6(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B6, for pictures of 528 x 528; the arguments are those of `efficientnet_b0`."""
    return _efficientnet(_scaled(1.8, 2.6), 0.5, weights, progress, **{"norm_layer": _TENSORFLOW_NORM, **kwargs})


@builder(EfficientNet_B7_Weights)
def efficientnet_b7(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNet-B7, for pictures of 600 x 600; the arguments are those of `efficientnet_b0`."""
    return _efficientnet(_scaled(2.0, 3.1), 0.5, weights, progress, **{"norm_layer": _TENSORFLOW_NORM, **kwargs})


@builder(EfficientNet_V2_S_Weights)
def efficientnet_v2_s(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNetV2-S, for pictures of 384 x 384; the arguments are those of `efficientnet_b0`."""
    return _version_2("s", 0.2, weights, progress, **kwargs)


@builder(EfficientNet_V2_M_Weights)
def efficientnet_v2_m(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNetV2-M, for pictures of 480 x 480; the arguments are those of `efficientnet_b0`."""
    return _version_2("m", 0.3, weights, progress, **kwargs)


@builder(EfficientNet_V2_L_Weights)
def efficientnet_v2_l(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> EfficientNet:
    """EfficientNetV2-L, for pictures of 480 x 480; the arguments are those of `efficientnet_b0`."""
    return _version_2("l", 0.4, weights, progress, **kwargs)
