"""AlexNet in one tower: A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014)."""

# ruff: noqa: N801 -- the enumeration's name is torchvision's

from __future__ import annotations

from typing import Any

from flambeau import Tensor, nn
from flambeau.vision.models._api import WeightsEnum, builder, classes_of, imagenet, load_into

__all__ = ["AlexNet", "AlexNet_Weights", "alexnet"]


class AlexNet(nn.Module):
    """Five convolutions and three linear layers.

    Args:
        num_classes: size of the output.
        dropout: probability of the dropout between the linear layers.

    Shapes: (N, 3, H, W) to (N, num_classes), where H and W are at least 63.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class AlexNet_Weights(WeightsEnum):
    """Pretrained parameters of `alexnet`."""

    IMAGENET1K_V1 = imagenet("alexnet-owt-7be5be79.pth", 61100840, 56.522, 79.066, min_size=(63, 63))
    DEFAULT = IMAGENET1K_V1


@builder(AlexNet_Weights)
def alexnet(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> AlexNet:
    """AlexNet.

    Args:
        weights: pretrained parameters: a member of `AlexNet_Weights` or its name, or the path of a `.pth` or
            `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `AlexNet`.
    """
    classes_of(weights, kwargs)
    return load_into(AlexNet(**kwargs), weights, progress)
