"""DenseNet: G. Huang et al., "Densely Connected Convolutional Networks" (2016)."""

# ruff: noqa: N801 -- the enumerations' names are torchvision's

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import flambeau
from flambeau import Tensor, nn
from flambeau.utils.checkpoint import checkpoint
from flambeau.vision.models._api import FileWeights, Weights, WeightsEnum, builder, classes_of, imagenet, load_into
from flambeau.vision.models._common import initialise

__all__ = [
    "DenseNet", "DenseNet121_Weights", "DenseNet161_Weights", "DenseNet169_Weights", "DenseNet201_Weights",
    "densenet121", "densenet161", "densenet169", "densenet201",
]  # fmt: skip

# Layers were called "norm.1" before names could not have dots any more; the published files still call them so.
_OLD_NAME = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)$")


class _DenseLayer(nn.Module):
    """What a dense block repeats: from all that came before, `growth_rate` more channels.

    Args:
        num_input_features: channels of all that came before.
        growth_rate: channels of the output.
        bn_size: channels in the middle, as a multiple of `growth_rate`.
        drop_rate: probability of the dropout of the output.
        memory_efficient: compute the first half again for the gradient instead of keeping its results.
    """

    def __init__(
        self, num_input_features: int, growth_rate: int, bn_size: int, drop_rate: float, memory_efficient: bool = False
    ) -> None:
        super().__init__()
        middle = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(num_input_features, middle, kernel_size=1, stride=1, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(middle, growth_rate, kernel_size=3, stride=1, padding=1, bias=False)
        self.drop_rate = float(drop_rate)
        self.memory_efficient = memory_efficient

    def _squeezed(self, *inputs: Tensor) -> Tensor:
        return self.conv1(self.relu1(self.norm1(flambeau.cat(inputs, 1))))

    def forward(self, input: Tensor | list[Tensor]) -> Tensor:
        """The new channels, from a tensor or from a list of them."""
        inputs = [input] if isinstance(input, Tensor) else input
        if self.memory_efficient and any(each.requires_grad for each in inputs):
            squeezed = checkpoint(self._squeezed, *inputs, use_reentrant=False)
        else:
            squeezed = self._squeezed(*inputs)
        new = self.conv2(self.relu2(self.norm2(squeezed)))
        return nn.functional.dropout(new, p=self.drop_rate, training=self.training) if self.drop_rate > 0 else new


class _DenseBlock(nn.ModuleDict):
    """Dense layers, each of which sees the block's input and the outputs of all before it."""

    def __init__(
        self,
        num_layers: int,
        num_input_features: int,
        bn_size: int,
        growth_rate: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        for i in range(num_layers):
            self.add_module(f"denselayer{i + 1}", _DenseLayer(
                num_input_features + i * growth_rate, growth_rate, bn_size, drop_rate, memory_efficient))

    def forward(self, init_features: Tensor) -> Tensor:
        """The input with the new channels behind it."""
        features = [init_features]
        for layer in self.values():
            features.append(layer(features))
        return flambeau.cat(features, 1)


class _Transition(nn.Sequential):
    """Halves the picture between dense blocks, and brings the channels to `num_output_features`."""

    def __init__(self, num_input_features: int, num_output_features: int) -> None:
        super().__init__(OrderedDict(
            norm=nn.BatchNorm2d(num_input_features),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(num_input_features, num_output_features, kernel_size=1, stride=1, bias=False),
            pool=nn.AvgPool2d(kernel_size=2, stride=2),
        ))


class DenseNet(nn.Module):
    """Dense blocks with transitions between them.

    Args:
        growth_rate: channels that each layer adds.
        block_config: how many layers each block has.
        num_init_features: channels of the first convolution.
        bn_size: channels in the middle of a layer, as a multiple of `growth_rate`.
        drop_rate: probability of the dropout of each layer's output.
        num_classes: size of the output.
        memory_efficient: compute parts again for the gradient instead of keeping their results.

    Shapes: (N, 3, H, W) to (N, num_classes), where H and W are at least 29. Files with the layers' old names
    ("norm.1" for "norm1") can be loaded, too.

    >>> import flambeau as torch
    >>> torch.vision.models.DenseNet(4, (2, 2), 8, num_classes=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(OrderedDict(
            conv0=nn.Conv2d(3, num_init_features, kernel_size=7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(num_init_features),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        ))
        channels = num_init_features
        for i, count in enumerate(block_config, 1):
            block = _DenseBlock(count, channels, bn_size, growth_rate, drop_rate, memory_efficient)
            self.features.add_module(f"denseblock{i}", block)
            channels += count * growth_rate
            if i < len(block_config):
                self.features.add_module(f"transition{i}", _Transition(channels, channels // 2))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        initialise(self, lambda layer: None, mode="fan_in")  # linear layers keep the weight that they have

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As every module's; the layers' old names are taken for their new ones."""
        renamed: Any = OrderedDict((_OLD_NAME.sub(r"\1\2", key), value) for key, value in state_dict.items())
        renamed._metadata = getattr(state_dict, "_metadata", None)
        return super().load_state_dict(renamed, strict, assign)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        features = nn.functional.relu(self.features(x), inplace=True)
        return self.classifier(nn.functional.adaptive_avg_pool2d(features, (1, 1)).flatten(1))


def _densenet(
    growth_rate: int,
    block_config: Sequence[int],
    num_init_features: int,
    weights: WeightsEnum | FileWeights | None,
    progress: bool,
    **kwargs: Any,
) -> DenseNet:
    classes_of(weights, kwargs)
    return load_into(DenseNet(growth_rate, block_config, num_init_features, **kwargs), weights, progress)


def _published(file: str, num_params: int, top1: float, top5: float) -> Weights:
    return imagenet(file, num_params, top1, top5, min_size=(29, 29))


class DenseNet121_Weights(WeightsEnum):
    """Pretrained parameters of `densenet121`."""

    IMAGENET1K_V1 = _published("densenet121-a639ec97.pth", 7978856, 74.434, 91.972)
    DEFAULT = IMAGENET1K_V1


class DenseNet161_Weights(WeightsEnum):
    """Pretrained parameters of `densenet161`."""

    IMAGENET1K_V1 = _published("densenet161-8d451a50.pth", 28681000, 77.138, 93.560)
    DEFAULT = IMAGENET1K_V1


class DenseNet169_Weights(WeightsEnum):
    """Pretrained parameters of `densenet169`."""

    IMAGENET1K_V1 = _published("densenet169-b2777c0a.pth", 14149480, 75.600, 92.806)
    DEFAULT = IMAGENET1K_V1


class DenseNet201_Weights(WeightsEnum):
    """Pretrained parameters of `densenet201`."""

    IMAGENET1K_V1 = _published("densenet201-c1103571.pth", 20013928, 76.896, 93.370)
    DEFAULT = IMAGENET1K_V1


@builder(DenseNet121_Weights)
def densenet121(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> DenseNet:
    """DenseNet-121.

    Args:
        weights: pretrained parameters: a member of `DenseNet121_Weights` or its name, or the path of a `.pth` or
            `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `DenseNet`.
    """
    return _densenet(32, (6, 12, 24, 16), 64, weights, progress, **kwargs)


@builder(DenseNet161_Weights)
def densenet161(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> DenseNet:
    """DenseNet-161; the arguments are those of `densenet121`."""
    return _densenet(48, (6, 12, 36, 24), 96, weights, progress, **kwargs)


@builder(DenseNet169_Weights)
def densenet169(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> DenseNet:
    """DenseNet-169; the arguments are those of `densenet121`."""
    return _densenet(32, (6, 12, 32, 32), 64, weights, progress, **kwargs)


@builder(DenseNet201_Weights)
def densenet201(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> DenseNet:
    """DenseNet-201; the arguments are those of `densenet121`."""
    return _densenet(32, (6, 12, 48, 32), 64, weights, progress, **kwargs)
