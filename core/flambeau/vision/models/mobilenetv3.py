"""MobileNetV3: A. Howard et al., "Searching for MobileNetV3" (2019)."""

# ruff: noqa: N801 -- the enumerations' names are torchvision's

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from flambeau import Tensor, nn
from flambeau.errors import ArgumentTypeError, ArgumentValueError
from flambeau.vision.models._api import FileWeights, WeightsEnum, builder, classes_of, imagenet, load_into
from flambeau.vision.models._common import initialise, make_divisible, small_normal
from flambeau.vision.ops.misc import Conv2dNormActivation, SqueezeExcitation

__all__ = ["MobileNetV3", "MobileNet_V3_Large_Weights", "MobileNet_V3_Small_Weights", "mobilenet_v3_large",
           "mobilenet_v3_small"]  # fmt: skip

Norm = Callable[..., nn.Module]


class InvertedResidualConfig:
    """A row of the paper's tables: one block.

    Args:
        input_channels, expanded_channels, out_channels: numbers of channels before, inside and after.
        kernel: side of the depthwise convolution's kernel.
        use_se: with squeeze and excitation.
        activation: "HS" for hard swish, "RE" for ReLU.
        stride, dilation: of the depthwise convolution.
        width_mult: makes the block wider or narrower.
    """

    def __init__(
        self,
        input_channels: int,
        kernel: int,
        expanded_channels: int,
        out_channels: int,
        use_se: bool,
        activation: str,
        stride: int,
        dilation: int,
        width_mult: float,
    ) -> None:
        self.input_channels = self.adjust_channels(input_channels, width_mult)
        self.kernel = kernel
        self.expanded_channels = self.adjust_channels(expanded_channels, width_mult)
        self.out_channels = self.adjust_channels(out_channels, width_mult)
        self.use_se = use_se
        self.use_hs = activation == "HS"
        self.stride = stride
        self.dilation = dilation

    @staticmethod
    def adjust_channels(channels: int, width_mult: float) -> int:
        """The number of channels at this width."""
        return make_divisible(channels * width_mult, 8)


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, weigh the channels, narrow again; beside a shortcut where shapes allow.

    Args:
        cnf: the row that describes the block.
        norm_layer: makes a normalisation from the number of channels.
        se_layer: makes the squeeze and excitation.

    Shapes: (N, input_channels, H, W) to (N, out_channels, H / stride, W / stride).
    """

    def __init__(
        self,
        cnf: InvertedResidualConfig,
        norm_layer: Norm,
        se_layer: Norm = partial(SqueezeExcitation, scale_activation=nn.Hardsigmoid),  # noqa: B008 -- never changed
    ) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ArgumentValueError(f"illegal stride value {cnf.stride}: 1 or 2 expected")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        activation = nn.Hardswish if cnf.use_hs else nn.ReLU
        middle = cnf.expanded_channels
        convolution = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=activation)
        layers: list[nn.Module] = []
        if middle != cnf.input_channels:
            layers.append(convolution(cnf.input_channels, middle, kernel_size=1))
        layers.append(convolution(middle, middle, kernel_size=cnf.kernel, stride=1 if cnf.dilation > 1 else cnf.stride,
                                  dilation=cnf.dilation, groups=middle))  # fmt: skip
        if cnf.use_se:
            layers.append(se_layer(middle, make_divisible(middle // 4, 8)))
        layers.append(convolution(middle, cnf.out_channels, kernel_size=1, activation_layer=None))
        self.block = nn.Sequential(*layers)
        self.out_channels = cnf.out_channels
        self._is_cn = cnf.stride > 1

    def forward(self, input: Tensor) -> Tensor:
        """Apply the block."""
        result = self.block(input)
        if self.use_res_connect:
            result += input
        return result


class MobileNetV3(nn.Module):
    """Inverted residuals between two convolutions, and two linear layers.

    Args:
        inverted_residual_setting: the blocks.
        last_channel: size of the hidden linear layer.
        num_classes: size of the output.
        block, norm_layer: make the blocks and the normalisations.
        dropout: probability of the dropout before the last layer.

    Shapes: (N, 3, H, W) to (N, num_classes).

    Raises ValueError without blocks, TypeError for anything but a list of `InvertedResidualConfig`.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[InvertedResidualConfig],
        last_channel: int,
        num_classes: int = 1000,
        block: Norm | None = None,
        norm_layer: Norm | None = None,
        dropout: float = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        setting = inverted_residual_setting
        if not setting:
            raise ArgumentValueError("The inverted_residual_setting should not be empty")
        if not isinstance(setting, Sequence) or not all(isinstance(each, InvertedResidualConfig) for each in setting):
            raise ArgumentTypeError("The inverted_residual_setting should be List[InvertedResidualConfig]")
        block = block or InvertedResidual
        norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        convolution = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.Hardswish)
        narrow = setting[-1].out_channels
        wide = 6 * narrow
        self.features = nn.Sequential(
            convolution(3, setting[0].input_channels, stride=2),
            *(block(each, norm_layer) for each in setting),
            convolution(narrow, wide, kernel_size=1),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(wide, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(p=dropout, inplace=True),
            nn.Linear(last_channel, num_classes),
        )
        initialise(self, small_normal)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _large(row: Callable[..., InvertedResidualConfig], divide: int, dilation: int) -> list[InvertedResidualConfig]:
    """Table 1 of the paper."""
    last = 160 // divide
    return [
        row(16, 3, 16, 16, False, "RE", 1, 1),
        row(16, 3, 64, 24, False, "RE", 2, 1),
        row(24, 3, 72, 24, False, "RE", 1, 1),
        row(24, 5, 72, 40, True, "RE", 2, 1),
        row(40, 5, 120, 40, True, "RE", 1, 1),
        row(40, 5, 120, 40, True, "RE", 1, 1),
        row(40, 3, 240, 80, False, "HS", 2, 1),
        row(80, 3, 200, 80, False, "HS", 1, 1),
        row(80, 3, 184, 80, False, "HS", 1, 1),
        row(80, 3, 184, 80, False, "HS", 1, 1),
        row(80, 3, 480, 112, True, "HS", 1, 1),
        row(112, 3, 672, 112, True, "HS", 1, 1),
        row(112, 5, 672, last, True, "HS", 2, dilation),
        row(last, 5, 960 // divide, last, True, "HS", 1, dilation),
        row(last, 5, 960 // divide, last, True, "HS", 1, dilation),
    ]


def _small(row: Callable[..., InvertedResidualConfig], divide: int, dilation: int) -> list[InvertedResidualConfig]:
    """Table 2 of the paper."""
    last = 96 // divide
    return [
        row(16, 3, 16, 16, True, "RE", 2, 1),
        row(16, 3, 72, 24, False, "RE", 2, 1),
        row(24, 3, 88, 24, False, "RE", 1, 1),
        row(24, 5, 96, 40, True, "HS", 2, 1),
        row(40, 5, 240, 40, True, "HS", 1, 1),
        row(40, 5, 240, 40, True, "HS", 1, 1),
        row(40, 5, 120, 48, True, "HS", 1, 1),
        row(48, 5, 144, 48, True, "HS", 1, 1),
        row(48, 5, 288, last, True, "HS", 2, dilation),
        row(last, 5, 576 // divide, last, True, "HS", 1, dilation),
        row(last, 5, 576 // divide, last, True, "HS", 1, dilation),
    ]


def _mobilenet_v3(
    table: Callable[..., list[InvertedResidualConfig]],
    last_channel: int,
    weights: WeightsEnum | FileWeights | None,
    progress: bool,
    *,
    width_mult: float = 1.0,
    reduced_tail: bool = False,
    dilated: bool = False,
    **kwargs: Any,
) -> MobileNetV3:
    classes_of(weights, kwargs)
    divide = 2 if reduced_tail else 1
    setting = table(partial(InvertedResidualConfig, width_mult=width_mult), divide, 2 if dilated else 1)
    hidden = InvertedResidualConfig.adjust_channels(last_channel // divide, width_mult)
    return load_into(MobileNetV3(setting, hidden, **kwargs), weights, progress)


class MobileNet_V3_Large_Weights(WeightsEnum):
    """Pretrained parameters of `mobilenet_v3_large`."""

    IMAGENET1K_V1 = imagenet("mobilenet_v3_large-8738ca79.pth", 5483032, 74.042, 91.340)
    IMAGENET1K_V2 = imagenet("mobilenet_v3_large-5c1a4163.pth", 5483032, 75.274, 92.566, resize=232)
    DEFAULT = IMAGENET1K_V2


class MobileNet_V3_Small_Weights(WeightsEnum):
    """Pretrained parameters of `mobilenet_v3_small`."""

    IMAGENET1K_V1 = imagenet("mobilenet_v3_small-047dcff4.pth", 2542856, 67.668, 87.402)
    DEFAULT = IMAGENET1K_V1


@builder(MobileNet_V3_Large_Weights)
def mobilenet_v3_large(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> MobileNetV3:
    """MobileNetV3-Large.

    Args:
        weights: pretrained parameters: a member of `MobileNet_V3_Large_Weights` or its name, or the path of a `.pth`
            or `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `MobileNetV3`, and `width_mult`; `reduced_tail` halves the channels of the last
            blocks, `dilated` lets them keep the size of the picture, both for use inside a detector.
    """
    return _mobilenet_v3(_large, 1280, weights, progress, **kwargs)


@builder(MobileNet_V3_Small_Weights)
def mobilenet_v3_small(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> MobileNetV3:
    """MobileNetV3-Small; the arguments are those of `mobilenet_v3_large`."""
    return _mobilenet_v3(_small, 1024, weights, progress, **kwargs)
