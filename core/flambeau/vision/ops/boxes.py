"""Boxes around things in a picture: their forms, areas and overlaps, and the choice among boxes that overlap.

A box is (x1, y1, x2, y2), the corners, unless it is said otherwise; many boxes are a tensor (N, 4).
"""

from __future__ import annotations

import math
import struct

import flambeau
from flambeau import Tensor
from flambeau.errors import ArgumentError, ArgumentValueError

__all__ = ["batched_nms", "box_area", "box_convert", "box_iou", "clip_boxes_to_image", "complete_box_iou",
           "distance_box_iou", "generalized_box_iou", "masks_to_boxes", "nms", "remove_small_boxes"]  # fmt: skip

_BLOCK = 256  # boxes that are looked at together in non-maximum suppression
_FORMS = ("xyxy", "xywh", "cxcywh")


def wide(values: Tensor) -> Tensor:
    """The values in a dtype whose products do not overflow: at least float32, or int32."""
    if values.is_floating_point():
        return values if values.dtype in (flambeau.float32, flambeau.float64) else values.float()
    return values if values.dtype in (flambeau.int32, flambeau.int64) else values.int()


def box_area(boxes: Tensor, fmt: str = "xyxy") -> Tensor:
    """The areas of boxes (N, 4), as a tensor (N).

    >>> import flambeau as torch
    >>> torch.vision.ops.box_area(torch.tensor([[0.0, 1.0, 2.0, 4.0]]))
    tensor([6.])
    """
    x1, y1, x2, y2 = wide(_corners(boxes, fmt)).unbind(-1)
    return (x2 - x1) * (y2 - y1)


def _corners(boxes: Tensor, fmt: str) -> Tensor:
    return boxes if fmt == "xyxy" else box_convert(boxes, fmt, "xyxy")


def _intersection(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """The areas that each of (N, 4) has in common with each of (M, 4), and those that both cover together: (N, M)."""
    left, top, right, bottom = wide(boxes1).t().unsqueeze(2).unbind()
    other_left, other_top, other_right, other_bottom = wide(boxes2).t().contiguous().unbind()
    width = (flambeau.minimum(right, other_right) - flambeau.maximum(left, other_left)).clamp(min=0)
    height = (flambeau.minimum(bottom, other_bottom) - flambeau.maximum(top, other_top)).clamp(min=0)
    common = width * height
    return common, box_area(boxes1)[:, None] + box_area(boxes2) - common


def box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """Intersection over union of each of (N, 4) with each of (M, 4), as a tensor (N, M).

    Args:
        boxes1, boxes2: the boxes.
        fmt: their form, as for `box_convert`.

    >>> import flambeau as torch
    >>> torch.vision.ops.box_iou(torch.tensor([[0.0, 0.0, 2.0, 1.0]]), torch.tensor([[1.0, 0.0, 3.0, 1.0]]))
    tensor([[0.3333]])
    """
    common, union = _intersection(_corners(boxes1, fmt), _corners(boxes2, fmt))
    return common / union


def _hull(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Width and height of the smallest boxes around pairs: (N, M, 2)."""
    first, second = wide(boxes1)[:, None], wide(boxes2)[None]
    return flambeau.maximum(first[..., 2:], second[..., 2:]) - flambeau.minimum(first[..., :2], second[..., :2])


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union, less the part of the smallest box around both that neither covers: (N, M).

    Source: Rezatofighi et al., "Generalized Intersection over Union", 2019.
    """
    common, union = _intersection(boxes1, boxes2)
    hull = _hull(boxes1, boxes2).clamp(min=0)
    area = hull[..., 0] * hull[..., 1]
    return common / union - (area - union) / area


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """Intersection over union, less the squared distance of the centres in units of the smallest box around: (N, M).

    Source: Zheng et al., "Distance-IoU Loss", 2020.
    """
    boxes1, boxes2 = wide(boxes1), wide(boxes2)
    hull = _hull(boxes1, boxes2).clamp(min=0)
    diagonal = hull[..., 0] ** 2 + hull[..., 1] ** 2 + eps
    apart = (boxes1[:, None, :2] + boxes1[:, None, 2:] - boxes2[None, :, :2] - boxes2[None, :, 2:]) / 2
    return box_iou(boxes1, boxes2) - (apart[..., 0] ** 2 + apart[..., 1] ** 2) / diagonal


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """`distance_box_iou`, less a penalty where the proportions of width and height differ: (N, M)."""
    boxes1, boxes2 = wide(boxes1), wide(boxes2)
    overlap = box_iou(boxes1, boxes2)
    sizes1, sizes2 = boxes1[:, 2:] - boxes1[:, :2], boxes2[:, 2:] - boxes2[:, :2]
    angles1, angles2 = (flambeau.atan(sizes[:, 0] / sizes[:, 1]) for sizes in (sizes1, sizes2))
    differ = (4 / math.pi**2) * (angles1[:, None] - angles2[None]) ** 2
    with flambeau.no_grad():
        weight = differ / (1 - overlap + differ + eps)
    return distance_box_iou(boxes1, boxes2, eps) - weight * differ


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes (..., 4) in another form.

    Args:
        boxes: the boxes.
        in_fmt, out_fmt: "xyxy" for two corners, "xywh" for a corner and the size, "cxcywh" for the centre and the size.

    >>> import flambeau as torch
    >>> torch.vision.ops.box_convert(torch.tensor([[1.0, 2.0, 3.0, 6.0]]), "xyxy", "cxcywh")
    tensor([[2., 4., 2., 4.]])

    Raises ValueError for another form.
    """
    if in_fmt not in _FORMS or out_fmt not in _FORMS:
        raise ArgumentValueError(f"box_convert: Unsupported Bounding Box Conversions for given in_fmt and out_fmt: "
                                 f"{in_fmt!r}, {out_fmt!r}; allowed: {', '.join(_FORMS)}")  # fmt: skip
    if in_fmt == out_fmt:
        return boxes.clone()
    first, second = boxes[..., :2], boxes[..., 2:]
    if in_fmt == "cxcywh":
        first = first - 0.5 * second
    if in_fmt != "xyxy":  # a size in place of the other corner
        second = first + second
    if out_fmt != "xyxy":
        size = second - first
        first, second = ((first + second) / 2 if out_fmt == "cxcywh" else first), size
    return flambeau.cat([first, second], -1)


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) without what lies outside of a picture of `size` (height, width)."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return flambeau.stack([x, y], -1).reshape(boxes.shape)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """The indices of those boxes of (N, 4) that are at least `min_size` wide and high."""
    size = boxes[:, 2:] - boxes[:, :2]
    return flambeau.where((size >= min_size).all(1))[0]


def masks_to_boxes(masks: Tensor) -> Tensor:
    """The smallest boxes around the nonzero pixels of masks (N, height, width): float, (N, 4).

    A box's second corner is its last pixel, not the one behind it. A mask without such pixels has a box of zeros.

    >>> import flambeau as torch
    >>> torch.vision.ops.masks_to_boxes(torch.tensor([[[0, 0, 0], [0, 1, 1]]]))
    tensor([[1., 1., 2., 1.]])
    """
    if masks.numel() == 0:
        return flambeau.zeros(0, 4, device=masks.device)
    edges = []
    filled = masks != 0
    for line in (filled.any(1), filled.any(2)):  # which columns, which rows
        positions = flambeau.arange(line.shape[1], device=masks.device)
        edges.append(flambeau.where(line, positions, line.shape[1]).amin(1))
        edges.append(flambeau.where(line, positions, -1).amax(1))
    left, right, top, bottom = edges
    boxes = flambeau.stack([left, top, right, bottom], 1).float()
    return flambeau.where((right < 0)[:, None], 0.0, boxes)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: the indices of the boxes that no better box overlaps too much.

    Args:
        boxes: (N, 4).
        scores: (N); of boxes with the same score the first is the better one.
        iou_threshold: of two boxes whose intersection over union is greater, the one with the lower score goes.

    Returns indices (int64), the best box's first.

    >>> import flambeau as torch
    >>> boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [5.0, 5.0, 6.0, 6.0]])
    >>> torch.vision.ops.nms(boxes, torch.tensor([0.3, 0.9, 0.5]), 0.5)
    tensor([1, 2])
    """
    _check(boxes, scores)
    return _suppress(boxes, scores, None, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """`nms` within each category: boxes whose numbers in `idxs` (N) differ do not compete.

    Returns indices (int64), the best box's first.
    """
    _check(boxes, scores)
    if idxs.shape != scores.shape:
        raise ArgumentError("batched_nms: boxes and idxs should have same number of elements in dimension 0, got "
                            f"{list(boxes.shape)} and {list(idxs.shape)}")  # fmt: skip
    return _suppress(boxes, scores, idxs, iou_threshold)


def _check(boxes: Tensor, scores: Tensor) -> None:
    if boxes.ndim != 2:
        raise ArgumentError(f"nms: boxes should be a 2d tensor, got {boxes.ndim}D")
    if boxes.shape[1] != 4:
        raise ArgumentError(f"nms: boxes should have 4 elements in dimension 1, got {boxes.shape[1]}")
    if scores.ndim != 1:
        raise ArgumentError(f"nms: scores should be a 1d tensor, got {scores.ndim}D")
    if boxes.shape[0] != scores.shape[0]:
        raise ArgumentError("nms: boxes and scores should have same number of elements in dimension 0, got "
                            f"{boxes.shape[0]} and {scores.shape[0]}")  # fmt: skip


@flambeau.no_grad()  # type: ignore[untyped-decorator]
def _suppress(boxes: Tensor, scores: Tensor, idxs: Tensor | None, iou_threshold: float) -> Tensor:
    """Go down the boxes block by block: a block's overlaps are computed at once, and decided on the host.

    That takes N / 256 rounds and (256, N) values, where box by box would take a round for each box that is kept, and
    all at once (N, N) values.
    """
    rest = scores.sort(descending=True, stable=True).indices
    threshold = _below(iou_threshold) if boxes.dtype != flambeau.float64 else iou_threshold
    kept = [rest[:0]]
    while len(rest):
        block = rest[:_BLOCK]
        over = box_iou(boxes[block], boxes[rest]) > threshold
        if idxs is not None:
            over &= idxs[block][:, None] == idxs[rest]
        chosen = flambeau.tensor(_decide(over[:, : len(block)]), device=boxes.device)
        kept.append(block[chosen])
        rest = rest[_BLOCK:][~over[chosen, _BLOCK:].any(0)]
    return flambeau.cat(kept)


def _decide(over: Tensor) -> list[int]:
    """Which rows of a square are kept: each that no kept row above it has marked."""
    rows = over.to("cpu").numpy()
    chosen = [0]
    gone = rows[0].copy()
    for index in range(1, len(rows)):
        if not gone[index]:
            chosen.append(index)
            gone |= rows[index]
    return chosen


def _below(threshold: float) -> float:
    """The largest float32 that is not greater: single-precision overlaps are to be compared with the number itself."""
    nearest: float = struct.unpack("f", struct.pack("f", threshold))[0]
    if nearest <= threshold:
        return nearest
    step = math.ulp(nearest) * 2**29  # a unit in the last place of 24 bits
    return nearest - (step if math.frexp(nearest)[0] != 0.5 else step / 2)
