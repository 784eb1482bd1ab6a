"""Losses of predicted boxes: how far each is from the box that it should be, told from their overlap."""

from __future__ import annotations

import math

import flambeau
from flambeau import Tensor
from flambeau.errors import ArgumentValueError
from flambeau.vision.ops.boxes import wide

__all__ = ["complete_box_iou_loss", "distance_box_iou_loss", "generalized_box_iou_loss"]


def _overlap(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of boxes (..., 4), pair by pair: intersection over union, union, and the size (..., 2) of the box around both."""
    extent = (flambeau.minimum(boxes1[..., 2:], boxes2[..., 2:]) - flambeau.maximum(boxes1[..., :2], boxes2[..., :2]))
    common = extent.clamp(min=0).prod(-1)
    area1, area2 = ((boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (boxes1, boxes2))
    union = area1 + area2 - common
    hull = flambeau.maximum(boxes1[..., 2:], boxes2[..., 2:]) - flambeau.minimum(boxes1[..., :2], boxes2[..., :2])
    return common / (union + eps), union, hull


def _reduced(name: str, loss: Tensor, reduction: str) -> Tensor:
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentValueError(f"{name}: Invalid Value for arg 'reduction': '{reduction}'. Supported reduction "
                                 "modes: 'none', 'mean', 'sum'")  # fmt: skip
    if reduction == "mean" and loss.numel():
        return loss.mean()
    return loss if reduction == "none" else loss.sum()  # the mean of nothing is zero here


def generalized_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """One less the generalized intersection over union of boxes (N, 4) with boxes (N, 4), pair by pair.

    Args:
        boxes1, boxes2: (x1, y1, x2, y2).
        reduction: "none", "mean" or "sum".
        eps: keeps divisors from being zero.

    >>> import flambeau as torch
    >>> one, other = torch.tensor([[0.0, 0.0, 2.0, 1.0]]), torch.tensor([[1.0, 0.0, 3.0, 1.0]])
    >>> torch.vision.ops.generalized_box_iou_loss(one, other)
    tensor([0.6667])
    """
    overlap, union, hull = _overlap(wide(boxes1), wide(boxes2), eps)
    area = hull.prod(-1)
    return _reduced("generalized_box_iou_loss", 1 - overlap + (area - union) / (area + eps), reduction)


def _distance(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    overlap, _, hull = _overlap(boxes1, boxes2, eps)
    apart = (boxes1[..., :2] + boxes1[..., 2:] - boxes2[..., :2] - boxes2[..., 2:]) / 2
    return 1 - overlap + apart.square().sum(-1) / (hull.square().sum(-1) + eps), overlap


def distance_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """One less the intersection over union, and the distance of the centres; see `generalized_box_iou_loss`."""
    loss, _ = _distance(wide(boxes1), wide(boxes2), eps)
    return _reduced("distance_box_iou_loss", loss, reduction)


def complete_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """`distance_box_iou_loss`, and how much the proportions of width and height differ."""
    boxes1, boxes2 = wide(boxes1), wide(boxes2)
    loss, overlap = _distance(boxes1, boxes2, eps)
    size1, size2 = boxes1[..., 2:] - boxes1[..., :2], boxes2[..., 2:] - boxes2[..., :2]
    angles = flambeau.atan(size2[..., 0] / size2[..., 1]) - flambeau.atan(size1[..., 0] / size1[..., 1])
    differ = (4 / math.pi**2) * angles**2
    with flambeau.no_grad():
        weight = differ / (1 - overlap + differ + eps)
    return _reduced("complete_box_iou_loss", loss + weight * differ, reduction)
