"""What several families do in the same way: starting values, and numbers of channels that are multiples of eight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import nn

__all__ = ["initialise", "make_divisible"]


def initialise(model: nn.Module, linear: Callable[[Any], object] | None = None, mode: Any = "fan_out") -> None:
    """Draw a model's starting values.

    Convolutions keep the variance of the gradients (K. He et al., "Delving Deep into Rectifiers", 2015), normalisations
    start as the identity, and biases at zero.

    Args:
        model: the model.
        linear: draws the weight of a linear layer; None leaves linear layers as they are, with their biases.
        mode: "fan_in" to keep the variance of the signals instead.
    """
    for module in model.modules():
        weight: Any = getattr(module, "weight", None)
        bias: Any = getattr(module, "bias", None)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(weight, mode=mode)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            if weight is not None:
                nn.init.ones_(weight)
        elif isinstance(module, nn.Linear) and linear is not None:
            linear(module)
        else:
            continue
        if bias is not None:
            nn.init.zeros_(bias)


def small_normal(layer: nn.Linear) -> None:
    """The starting weight of linear layers in VGG and the MobileNets."""
    nn.init.normal_(layer.weight, 0, 0.01)


def make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """The multiple of `divisor` nearest to `v`, at least `min_value` and never more than a tenth below `v`.

    >>> make_divisible(37, 8), make_divisible(3, 8), make_divisible(11, 8)
    (40, 8, 16)
    """
    least = divisor if min_value is None else min_value
    rounded = max(least, int(v + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * v else rounded
