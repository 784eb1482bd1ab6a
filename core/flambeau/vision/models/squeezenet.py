"""SqueezeNet: F. Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters" (2016).

Version 1.1 pools earlier and has fewer channels at the start: less than half the work of 1.0, as accurate.
"""

# ruff: noqa: N801 -- the enumerations' names are torchvision's

from __future__ import annotations

from typing import Any

import flambeau
from flambeau import Tensor, nn
from flambeau.errors import ArgumentValueError
from flambeau.vision.models._api import FileWeights, WeightsEnum, builder, classes_of, imagenet, load_into

__all__ = ["SqueezeNet", "SqueezeNet1_0_Weights", "SqueezeNet1_1_Weights", "squeezenet1_0", "squeezenet1_1"]

# The number of channels of the first convolution and its kernel, then the channels of each Fire module: squeezed, and
# expanded in either branch; None is a pooling.
_PLANS: dict[str, tuple[tuple[int, int], tuple[tuple[int, int] | None, ...]]] = {
    "1_0": ((96, 7), (None, (16, 64), (16, 64), (32, 128), None, (32, 128), (48, 192), (48, 192), (64, 256), None,
                      (64, 256))),
    "1_1": ((64, 3), (None, (16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256),
                      (64, 256))),
}  # fmt: skip


class Fire(nn.Module):
    """A 1 x 1 convolution to few channels, and from these a 1 x 1 and a 3 x 3 convolution side by side.

    Shapes: (N, inplanes, H, W) to (N, expand1x1_planes + expand3x3_planes, H, W).
    """

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int) -> None:
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, kernel_size=1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, kernel_size=1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the module."""
        x = self.squeeze_activation(self.squeeze(x))
        narrow, wide = self.expand1x1(x), self.expand3x3(x)
        return flambeau.cat([self.expand1x1_activation(narrow), self.expand3x3_activation(wide)], 1)


class SqueezeNet(nn.Module):
    """Fire modules with pooling between them.

    Args:
        version: "1_0" or "1_1".
        num_classes: size of the output.
        dropout: probability of the dropout before the last convolution.

    Shapes: (N, 3, H, W) to (N, num_classes), where H and W are at least 21 (17 for version 1.1).

    >>> import flambeau as torch
    >>> torch.vision.models.SqueezeNet("1_1", num_classes=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])

    Raises ValueError for another version.
    """

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        if version not in _PLANS:
            raise ArgumentValueError(f"Unsupported SqueezeNet version {version}: 1_0 or 1_1 expected")
        self.num_classes = num_classes
        (channels, kernel), plan = _PLANS[version]
        layers: list[nn.Module] = [nn.Conv2d(3, channels, kernel_size=kernel, stride=2), nn.ReLU(inplace=True)]
        for step in plan:
            if step is None:
                layers.append(nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True))
                continue
            squeezed, expanded = step
            layers.append(Fire(channels, squeezed, expanded, expanded))
            channels = 2 * expanded
        self.features = nn.Sequential(*layers)
        last = nn.Conv2d(512, num_classes, kernel_size=1)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), last, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is last:
                    nn.init.normal_(module.weight, mean=0.0, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.constant_(module.bias, 0)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        return self.classifier(self.features(x)).flatten(1)


def _squeezenet(version: str, weights: WeightsEnum | FileWeights | None, progress: bool, **kwargs: Any) -> SqueezeNet:
    classes_of(weights, kwargs)
    return load_into(SqueezeNet(version, **kwargs), weights, progress)


class SqueezeNet1_0_Weights(WeightsEnum):
    """Pretrained parameters of `squeezenet1_0`."""

    IMAGENET1K_V1 = imagenet("squeezenet1_0-b66bff10.pth", 1248424, 58.092, 80.420, min_size=(21, 21))
    DEFAULT = IMAGENET1K_V1


class SqueezeNet1_1_Weights(WeightsEnum):
    """Pretrained parameters of `squeezenet1_1`."""

    IMAGENET1K_V1 = imagenet("squeezenet1_1-b8a52dc0.pth", 1235496, 58.178, 80.624, min_size=(17, 17))
    DEFAULT = IMAGENET1K_V1


@builder(SqueezeNet1_0_Weights)
def squeezenet1_0(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.0.

    Args:
        weights: pretrained parameters: a member of `SqueezeNet1_0_Weights` or its name, or the path of a `.pth` or
            `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `SqueezeNet`.
    """
    return _squeezenet("1_0", weights, progress, **kwargs)


@builder(SqueezeNet1_1_Weights)
def squeezenet1_1(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.1; the arguments are those of `squeezenet1_0`."""
    return _squeezenet("1_1", weights, progress, **kwargs)
