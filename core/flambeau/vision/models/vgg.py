"""VGG: K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2014)."""

# ruff: noqa: N801 -- the enumerations' names are torchvision's

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau import Tensor, nn
from flambeau.vision.models._api import (
    FileWeights,
    Weights,
    WeightsEnum,
    builder,
    classes_of,
    imagenet,
    load_into,
)
from flambeau.vision.models._common import initialise, small_normal

__all__ = [
    "VGG", "VGG11_Weights", "VGG11_BN_Weights", "VGG13_Weights", "VGG13_BN_Weights", "VGG16_Weights",
    "VGG16_BN_Weights", "VGG19_Weights", "VGG19_BN_Weights", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16",
    "vgg16_bn", "vgg19", "vgg19_bn",
]  # fmt: skip

# The configurations A, B, D and E of the paper: how many convolutions each of the five stages has.
_STAGES = {"A": (1, 1, 2, 2, 2), "B": (2, 2, 2, 2, 2), "D": (2, 2, 3, 3, 3), "E": (2, 2, 4, 4, 4)}
_CHANNELS = (64, 128, 256, 512, 512)


def _plan(counts: Sequence[int]) -> list[str | int]:
    plan: list[str | int] = []
    for count, size in zip(counts, _CHANNELS, strict=True):
        plan += [*[size] * count, "M"]
    return plan


cfgs = {name: _plan(counts) for name, counts in _STAGES.items()}


class VGG(nn.Module):
    """3 x 3 convolutions with pooling between them, and three linear layers.

    Args:
        features: the convolutions; `make_layers` makes them.
        num_classes: size of the output.
        init_weights: draw the starting values as the paper's successors do; otherwise they stay the layers' own.
        dropout: probability of the dropout between the linear layers.

    Shapes: (N, 3, H, W) to (N, num_classes), where H and W are at least 32.

    >>> import flambeau as torch
    >>> from flambeau.vision.models.vgg import make_layers
    >>> [type(layer).__name__ for layer in make_layers([8, "M", 512])]
    ['Conv2d', 'ReLU', 'MaxPool2d', 'Conv2d', 'ReLU']
    """

    def __init__(
        self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        if init_weights:
            initialise(self, small_normal)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def make_layers(cfg: Sequence[str | int], batch_norm: bool = False) -> nn.Sequential:
    """Convolutions with these numbers of channels, and a pooling for each "M"."""
    layers: list[nn.Module] = []
    channels = 3
    for size in cfg:
        if isinstance(size, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        layers.append(nn.Conv2d(channels, size, kernel_size=3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(size))
        layers.append(nn.ReLU(inplace=True))
        channels = size
    return nn.Sequential(*layers)


def _vgg(
    cfg: str, batch_norm: bool, weights: WeightsEnum | FileWeights | None, progress: bool, **kwargs: Any
) -> VGG:
    if weights is not None:
        kwargs["init_weights"] = False
    classes_of(weights, kwargs)
    return load_into(VGG(make_layers(cfgs[cfg], batch_norm), **kwargs), weights, progress)


def _published(file: str, num_params: int, top1: float, top5: float) -> Weights:
    return imagenet(file, num_params, top1, top5, min_size=(32, 32))


class VGG11_Weights(WeightsEnum):
    """Pretrained parameters of `vgg11`."""

    IMAGENET1K_V1 = _published("vgg11-8a719046.pth", 132863336, 69.020, 88.628)
    DEFAULT = IMAGENET1K_V1


class VGG11_BN_Weights(WeightsEnum):
    """Pretrained parameters of `vgg11_bn`."""

    IMAGENET1K_V1 = _published("vgg11_bn-6002323d.pth", 132868840, 70.370, 89.810)
    DEFAULT = IMAGENET1K_V1


class VGG13_Weights(WeightsEnum):
    """Pretrained parameters of `vgg13`."""

    IMAGENET1K_V1 = _published("vgg13-19584684.pth", 133047848, 69.928, 89.246)
    DEFAULT = IMAGENET1K_V1


class VGG13_BN_Weights(WeightsEnum):
    """Pretrained parameters of `vgg13_bn`."""

    IMAGENET1K_V1 = _published("vgg13_bn-abd245e5.pth", 133053736, 71.586, 90.374)
    DEFAULT = IMAGENET1K_V1


class VGG16_Weights(WeightsEnum):
    """Pretrained parameters of `vgg16`."""

    IMAGENET1K_V1 = _published("vgg16-397923af.pth", 138357544, 71.592, 90.382)
    DEFAULT = IMAGENET1K_V1


class VGG16_BN_Weights(WeightsEnum):
    """Pretrained parameters of `vgg16_bn`."""

    IMAGENET1K_V1 = _published("vgg16_bn-6c64b313.pth", 138365992, 73.360, 91.516)
    DEFAULT = IMAGENET1K_V1


class VGG19_Weights(WeightsEnum):
    """Pretrained parameters of `vgg19`."""

    IMAGENET1K_V1 = _published("vgg19-dcbb9e9d.pth", 143667240, 72.376, 90.876)
    DEFAULT = IMAGENET1K_V1


class VGG19_BN_Weights(WeightsEnum):
    """Pretrained parameters of `vgg19_bn`."""

    IMAGENET1K_V1 = _published("vgg19_bn-c79401a0.pth", 143678248, 74.218, 91.842)
    DEFAULT = IMAGENET1K_V1


@builder(VGG11_Weights)
def vgg11(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-11, configuration A.

    Args:
        weights: pretrained parameters: a member of `VGG11_Weights` or its name, or the path of a `.pth` or
            `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `VGG`.
    """
    return _vgg("A", False, weights, progress, **kwargs)


@builder(VGG11_BN_Weights)
def vgg11_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-11 with batch normalisation; the arguments are those of `vgg11`."""
    return _vgg("A", True, weights, progress, **kwargs)


@builder(VGG13_Weights)
def vgg13(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-13, configuration B; the arguments are those of `vgg11`."""
    return _vgg("B", False, weights, progress, **kwargs)


@builder(VGG13_BN_Weights)
def vgg13_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-13 with batch normalisation; the arguments are those of `vgg11`."""
    return _vgg("B", True, weights, progress, **kwargs)


@builder(VGG16_Weights)
def vgg16(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-16, configuration D; the arguments are those of `vgg11`."""
    return _vgg("D", False, weights, progress, **kwargs)


@builder(VGG16_BN_Weights)
def vgg16_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-16 with batch normalisation; the arguments are those of `vgg11`."""
    return _vgg("D", True, weights, progress, **kwargs)


@builder(VGG19_Weights)
def vgg19(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-19, configuration E; the arguments are those of `vgg11`."""
    return _vgg("E", False, weights, progress, **kwargs)


@builder(VGG19_BN_Weights)
def vgg19_bn(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> VGG:
    """VGG-19 with batch normalisation; the arguments are those of `vgg11`."""
    return _vgg("E", True, weights, progress, **kwargs)
