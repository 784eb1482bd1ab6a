"""Residual networks: ResNet, ResNeXt and Wide ResNet.

K. He et al., "Deep Residual Learning for Image Recognition" (2015); S. Xie et al., "Aggregated Residual
Transformations for Deep Neural Networks" (2016); S. Zagoruyko and N. Komodakis, "Wide Residual Networks" (2016). The
bottleneck halves the picture in its 3 x 3 convolution, not in the 1 x 1 before it: what is known as ResNet 1.5.
"""

# ruff: noqa: N801 -- the enumerations' names are torchvision's

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from flambeau import Tensor, nn
from flambeau.errors import ArgumentValueError, UnsupportedError
from flambeau.vision.models._api import FileWeights, WeightsEnum, builder, classes_of, fix, imagenet, load_into
from flambeau.vision.models._common import initialise

__all__ = [
    "ResNet", "ResNet18_Weights", "ResNet34_Weights", "ResNet50_Weights", "ResNet101_Weights", "ResNet152_Weights",
    "ResNeXt50_32X4D_Weights", "ResNeXt101_32X8D_Weights", "ResNeXt101_64X4D_Weights", "Wide_ResNet50_2_Weights",
    "Wide_ResNet101_2_Weights", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
    "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
]  # fmt: skip

Norm = Callable[..., nn.Module]


def conv3x3(in_planes: int, out_planes: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3 x 3 convolution without bias that keeps the size where the stride is 1."""
    return nn.Conv2d(in_planes, out_planes, 3, stride, dilation, dilation, groups, bias=False)


def conv1x1(in_planes: int, out_planes: int, stride: int = 1) -> nn.Conv2d:
    """A 1 x 1 convolution without bias."""
    return nn.Conv2d(in_planes, out_planes, 1, stride, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut: what the shallow networks are made of.

    Args:
        inplanes: channels of the input.
        planes: channels of the output.
        stride: of the first convolution.
        downsample: brings the shortcut to the output's shape; None where it has it.
        norm_layer: makes a normalisation from the number of channels.

    Raises ValueError for groups or a wider block, and NotImplementedError for a dilated one: bottlenecks have these.
    """

    expansion: ClassVar[int] = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        if groups != 1 or base_width != 64:
            raise ArgumentValueError("BasicBlock only supports groups=1 and base_width=64")
        if dilation > 1:
            raise UnsupportedError("Dilation > 1 not supported in BasicBlock; use Bottleneck")
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (N, inplanes, H, W) to (N, planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        return self.relu(out)


class Bottleneck(nn.Module):
    """A 3 x 3 convolution on few channels between two of 1 x 1, beside a shortcut: what the deep networks are made of.

    Args:
        inplanes: channels of the input.
        planes: a quarter of the channels of the output.
        stride: of the 3 x 3 convolution.
        downsample: brings the shortcut to the output's shape; None where it has it.
        groups, dilation: of the 3 x 3 convolution.
        base_width: channels of a group for 64 planes.
        norm_layer: makes a normalisation from the number of channels.
    """

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or nn.BatchNorm2d
        width = int(planes * (base_width / 64)) * groups
        self.conv1 = conv1x1(inplanes, width)
        self.bn1 = norm_layer(width)
        self.conv2 = conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = conv1x1(width, planes * self.expansion)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (N, inplanes, H, W) to (N, 4 planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += shortcut
        return self.relu(out)


class ResNet(nn.Module):
    """A residual network of four stages.

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: how many blocks each stage has.
        num_classes: size of the output.
        zero_init_residual: start every block as the identity: its last normalisation gives zeros.
        groups, width_per_group: of the 3 x 3 convolutions in bottlenecks.
        replace_stride_with_dilation: for each of the last three stages, whether it keeps the size of the picture and
            dilates its convolutions instead.
        norm_layer: makes a normalisation from the number of channels.

    Shapes: (N, 3, H, W) to (N, num_classes).

    >>> import flambeau as torch
    >>> from flambeau.vision.models.resnet import BasicBlock
    >>> torch.vision.models.ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        dilate = (False, False, False) if replace_stride_with_dilation is None else replace_stride_with_dilation
        if len(dilate) != 3:
            raise ArgumentValueError("replace_stride_with_dilation should be None or a 3-element tuple, got "
                                     f"{replace_stride_with_dilation}")  # fmt: skip
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes = 64
        self.dilation = 1
        self.groups = groups
        self.base_width = width_per_group
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(self.inplanes)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 64, layers[0])
        self.layer2 = self._make_layer(block, 128, layers[1], 2, dilate[0])
        self.layer3 = self._make_layer(block, 256, layers[2], 2, dilate[1])
        self.layer4 = self._make_layer(block, 512, layers[3], 2, dilate[2])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        self._initialise(zero_init_residual)

    def _make_layer(
        self, block: type[BasicBlock] | type[Bottleneck], planes: int, blocks: int, stride: int = 1,
        dilate: bool = False,
    ) -> nn.Sequential:  # fmt: skip
        """A stage: only its first block changes the shape, and needs more than the identity beside it."""
        first_dilation = self.dilation
        if dilate:
            self.dilation, stride = self.dilation * stride, 1
        shortcut = None
        out = planes * block.expansion
        if stride != 1 or self.inplanes != out:
            shortcut = nn.Sequential(conv1x1(self.inplanes, out, stride), self._norm_layer(out))
        common = (self.groups, self.base_width)
        stage = [block(self.inplanes, planes, stride, shortcut, *common, first_dilation, self._norm_layer)]
        self.inplanes = out
        stage += [block(out, planes, 1, None, *common, self.dilation, self._norm_layer) for _ in range(1, blocks)]
        return nn.Sequential(*stage)

    def _initialise(self, zero_init_residual: bool) -> None:
        initialise(self)
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, BasicBlock | Bottleneck):
                    last: Any = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                    if getattr(last, "weight", None) is not None:
                        nn.init.constant_(last.weight, 0)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def _resnet(
    block: type[BasicBlock] | type[Bottleneck],
    layers: Sequence[int],
    weights: WeightsEnum | FileWeights | None,
    progress: bool,
    **kwargs: Any,
) -> ResNet:
    classes_of(weights, kwargs)
    return load_into(ResNet(block, layers, **kwargs), weights, progress)


class ResNet18_Weights(WeightsEnum):
    """Pretrained parameters of `resnet18`."""

    IMAGENET1K_V1 = imagenet("resnet18-f37072fd.pth", 11689512, 69.758, 89.078)
    DEFAULT = IMAGENET1K_V1


class ResNet34_Weights(WeightsEnum):
    """Pretrained parameters of `resnet34`."""

    IMAGENET1K_V1 = imagenet("resnet34-b627a593.pth", 21797672, 73.314, 91.420)
    DEFAULT = IMAGENET1K_V1


class ResNet50_Weights(WeightsEnum):
    """Pretrained parameters of `resnet50`."""

    IMAGENET1K_V1 = imagenet("resnet50-0676ba61.pth", 25557032, 76.130, 92.862)
    IMAGENET1K_V2 = imagenet("resnet50-11ad3fa6.pth", 25557032, 80.858, 95.434, resize=232)
    DEFAULT = IMAGENET1K_V2


class ResNet101_Weights(WeightsEnum):
    """Pretrained parameters of `resnet101`."""

    IMAGENET1K_V1 = imagenet("resnet101-63fe2227.pth", 44549160, 77.374, 93.546)
    IMAGENET1K_V2 = imagenet("resnet101-cd907fc2.pth", 44549160, 81.886, 95.780, resize=232)
    DEFAULT = IMAGENET1K_V2


class ResNet152_Weights(WeightsEnum):
    """Pretrained parameters of `resnet152`."""

    IMAGENET1K_V1 = imagenet("resnet152-394f9c45.pth", 60192808, 78.312, 94.046)
    IMAGENET1K_V2 = imagenet("resnet152-f82ba261.pth", 60192808, 82.284, 96.002, resize=232)
    DEFAULT = IMAGENET1K_V2


class ResNeXt50_32X4D_Weights(WeightsEnum):
    """Pretrained parameters of `resnext50_32x4d`."""

    IMAGENET1K_V1 = imagenet("resnext50_32x4d-7cdf4587.pth", 25028904, 77.618, 93.698)
    IMAGENET1K_V2 = imagenet("resnext50_32x4d-1a0047aa.pth", 25028904, 81.198, 95.340, resize=232)
    DEFAULT = IMAGENET1K_V2


class ResNeXt101_32X8D_Weights(WeightsEnum):
    """Pretrained parameters of `resnext101_32x8d`."""

    IMAGENET1K_V1 = imagenet("resnext101_32x8d-8ba56ff5.pth", 88791336, 79.312, 94.526)
    IMAGENET1K_V2 = imagenet("resnext101_32x8d-110c445d.pth", 88791336, 82.834, 96.228, resize=232)
    DEFAULT = IMAGENET1K_V2


class ResNeXt101_64X4D_Weights(WeightsEnum):
    """Pretrained parameters of `resnext101_64x4d`."""

    IMAGENET1K_V1 = imagenet("resnext101_64x4d-173b62eb.pth", 83455272, 83.246, 96.454, resize=232)
    DEFAULT = IMAGENET1K_V1


class Wide_ResNet50_2_Weights(WeightsEnum):
    """Pretrained parameters of `wide_resnet50_2`."""

    IMAGENET1K_V1 = imagenet("wide_resnet50_2-95faca4d.pth", 68883240, 78.468, 94.086)
    IMAGENET1K_V2 = imagenet("wide_resnet50_2-9ba9bcbe.pth", 68883240, 81.602, 95.758, resize=232)
    DEFAULT = IMAGENET1K_V2


class Wide_ResNet101_2_Weights(WeightsEnum):
    """Pretrained parameters of `wide_resnet101_2`."""

    IMAGENET1K_V1 = imagenet("wide_resnet101_2-32ee1156.pth", 126886696, 78.848, 94.284)
    IMAGENET1K_V2 = imagenet("wide_resnet101_2-d733dc28.pth", 126886696, 82.510, 96.020, resize=232)
    DEFAULT = IMAGENET1K_V2


@builder(ResNet18_Weights)
def resnet18(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-18.

    Args:
        weights: pretrained parameters: a member of `ResNet18_Weights` or its name, or the path of a `.pth` or
            `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `ResNet`.

    >>> import flambeau as torch
    >>> torch.vision.models.resnet18(num_classes=10).fc
    Linear(in_features=512, out_features=10, bias=True)
    """
    return _resnet(BasicBlock, [2, 2, 2, 2], weights, progress, **kwargs)


@builder(ResNet34_Weights)
def resnet34(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-34; the arguments are those of `resnet18`."""
    return _resnet(BasicBlock, [3, 4, 6, 3], weights, progress, **kwargs)


@builder(ResNet50_Weights)
def resnet50(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-50; the arguments are those of `resnet18`."""
    return _resnet(Bottleneck, [3, 4, 6, 3], weights, progress, **kwargs)


@builder(ResNet101_Weights)
def resnet101(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-101; the arguments are those of `resnet18`."""
    return _resnet(Bottleneck, [3, 4, 23, 3], weights, progress, **kwargs)


@builder(ResNet152_Weights)
def resnet152(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNet-152; the arguments are those of `resnet18`."""
    return _resnet(Bottleneck, [3, 8, 36, 3], weights, progress, **kwargs)


@builder(ResNeXt50_32X4D_Weights)
def resnext50_32x4d(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt-50 with 32 groups of 4 channels; the arguments are those of `resnet18`."""
    return _resnet(Bottleneck, [3, 4, 6, 3], weights, progress, **_exactly(kwargs, groups=32, width_per_group=4))


@builder(ResNeXt101_32X8D_Weights)
def resnext101_32x8d(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt-101 with 32 groups of 8 channels; the arguments are those of `resnet18`."""
    return _resnet(Bottleneck, [3, 4, 23, 3], weights, progress, **_exactly(kwargs, groups=32, width_per_group=8))


@builder(ResNeXt101_64X4D_Weights)
def resnext101_64x4d(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """ResNeXt-101 with 64 groups of 4 channels; the arguments are those of `resnet18`."""
    return _resnet(Bottleneck, [3, 4, 23, 3], weights, progress, **_exactly(kwargs, groups=64, width_per_group=4))


@builder(Wide_ResNet50_2_Weights)
def wide_resnet50_2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """Wide ResNet-50: twice the channels inside the bottlenecks; the arguments are those of `resnet18`."""
    return _resnet(Bottleneck, [3, 4, 6, 3], weights, progress, **_exactly(kwargs, width_per_group=128))


@builder(Wide_ResNet101_2_Weights)
def wide_resnet101_2(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> ResNet:
    """Wide ResNet-101: twice the channels inside the bottlenecks; the arguments are those of `resnet18`."""
    return _resnet(Bottleneck, [3, 4, 23, 3], weights, progress, **_exactly(kwargs, width_per_group=128))


def _exactly(kwargs: dict[str, Any], **values: int) -> dict[str, Any]:
    for name, value in values.items():
        fix(kwargs, name, value)
    return kwargs
