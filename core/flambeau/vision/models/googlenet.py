"""GoogLeNet: C. Szegedy et al., "Going Deeper with Convolutions" (2014), with batch normalisation.

The branches that the paper calls 5 x 5 have 3 x 3 kernels, as in TensorFlow's implementation, which the published
parameters come from; hence also the other scale of the input where `transform_input` is set.
"""

# ruff: noqa: N801 -- the enumeration's name is torchvision's

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import flambeau
from flambeau import Tensor, nn
from flambeau.vision.models._api import WeightsEnum, builder, classes_of, fix, imagenet, load_into

__all__ = ["GoogLeNet", "GoogLeNetOutputs", "GoogLeNet_Weights", "googlenet"]


class GoogLeNetOutputs(NamedTuple):
    """What the network gives in training: the scores, and those of its two auxiliary classifiers."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


class BasicConv2d(nn.Module):
    """A convolution, batch normalisation and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **kwargs)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return nn.functional.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    """Four branches side by side: 1 x 1, two of 3 x 3 behind a 1 x 1, and pooling before a 1 x 1."""

    def __init__(
        self, in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int
    ) -> None:
        super().__init__()
        self.branch1 = BasicConv2d(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            BasicConv2d(in_channels, ch3x3red, kernel_size=1), BasicConv2d(ch3x3red, ch3x3, kernel_size=3, padding=1))
        self.branch3 = nn.Sequential(
            BasicConv2d(in_channels, ch5x5red, kernel_size=1), BasicConv2d(ch5x5red, ch5x5, kernel_size=3, padding=1))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1, ceil_mode=True),
            BasicConv2d(in_channels, pool_proj, kernel_size=1))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """The branches' channels, one behind the other."""
        return flambeau.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """A classifier in the middle of the network, which brings gradients to the layers before it."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7) -> None:
        super().__init__()
        self.conv = BasicConv2d(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        x = self.conv(nn.functional.adaptive_avg_pool2d(x, (4, 4))).flatten(1)
        return self.fc2(self.dropout(nn.functional.relu(self.fc1(x), inplace=True)))


class GoogLeNet(nn.Module):
    """Nine inception modules.

    Args:
        num_classes: size of the output.
        aux_logits: with the two auxiliary classifiers, which are used in training only.
        transform_input: change pictures normalised for the other models to the scale that this one was learned with.
        init_weights: draw the starting values from truncated normal distributions.
        dropout, dropout_aux: probabilities of the dropouts before the last layer and in the auxiliary classifiers.

    Shapes: (N, 3, H, W) to (N, num_classes), where H and W are at least 15; in training with auxiliary classifiers to
    `GoogLeNetOutputs`.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        blocks: list[Any] | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        conv, inception, aux = blocks or [BasicConv2d, Inception, InceptionAux]
        if init_weights is None:
            warnings.warn("The default weight initialization of GoogleNet will be changed in future releases of "
                          "torchvision. If you wish to keep the old behavior (which leads to long initialization "
                          "times), please set init_weights=True.", FutureWarning, stacklevel=2)  # fmt: skip
            init_weights = True
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        self.conv1 = conv(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = conv(64, 64, kernel_size=1)
        self.conv3 = conv(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(832, 384, 192, 384, 48, 128, 128)
        self.aux1 = aux(512, num_classes, dropout=dropout_aux) if aux_logits else None
        self.aux2 = aux(528, num_classes, dropout=dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(p=dropout)
        self.fc = nn.Linear(1024, num_classes)
        if init_weights:
            self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, mean=0.0, std=0.01, a=-2, b=2)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()  # to the identity

    def forward(self, x: Tensor) -> Any:
        """The scores of the classes; see the class."""
        if self.transform_input:
            x = rescaled(x)
        middle = self.training and self.aux_logits
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        first = self.aux1(x) if middle and self.aux1 is not None else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        second = self.aux2(x) if middle and self.aux2 is not None else None
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        x = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return GoogLeNetOutputs(x, second, first) if middle else x


def rescaled(x: Tensor) -> Tensor:
    """Pictures normalised with ImageNet's means and deviations, as values from -1 to 1."""
    deviations = x.new_tensor([0.229, 0.224, 0.225]).reshape(-1, 1, 1)
    means = x.new_tensor([0.485, 0.456, 0.406]).reshape(-1, 1, 1)
    return x * (deviations / 0.5) + (means - 0.5) / 0.5


class GoogLeNet_Weights(WeightsEnum):
    """Pretrained parameters of `googlenet`."""

    IMAGENET1K_V1 = imagenet("googlenet-1378be20.pth", 6624904, 69.778, 89.530, min_size=(15, 15))
    DEFAULT = IMAGENET1K_V1


@builder(GoogLeNet_Weights)
def googlenet(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> GoogLeNet:
    """GoogLeNet.

    Args:
        weights: pretrained parameters: a member of `GoogLeNet_Weights` or its name, or the path of a `.pth` or
            `.safetensors` file; None for those that the model is born with.
        progress: show a bar on standard error while parameters are downloaded.
        kwargs: the arguments of `GoogLeNet`. The published parameters have auxiliary classifiers that were not
            learned; the model has them only if `aux_logits=True` is given.
    """
    if not isinstance(weights, WeightsEnum):
        return load_into(GoogLeNet(**kwargs), weights, progress)
    classes_of(weights, kwargs)
    fix(kwargs, "init_weights", False)
    kwargs.setdefault("transform_input", True)
    kept = kwargs.pop("aux_logits", False)
    model = load_into(GoogLeNet(**kwargs, aux_logits=True), weights, progress)
    model.aux_logits = kept
    if kept:
        warnings.warn("auxiliary heads in the pretrained googlenet model are NOT pretrained, so make sure to train "
                      "them", UserWarning, stacklevel=3)  # fmt: skip
    else:
        model.aux1 = model.aux2 = None
    return model
