"""vision.ops: boxes and what is reckoned with them, against a plain reckoning one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.vision import ops
from flambeau.vision.ops.boxes import _below


def some_boxes(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    corner = random.random((count, 2)) * 100
    return np.concatenate([corner, corner + 1 + random.random((count, 2)) * 30], 1).astype(np.float32)


def overlap(one: Any, other: Any) -> tuple[float, float, float]:
    """Areas of what two boxes share, of what both cover, and of the box around both."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    hull = (max(one[2], other[2]) - min(one[0], other[0])) * (max(one[3], other[3]) - min(one[1], other[1]))
    return width * height, area - width * height, hull


def test_overlaps() -> None:
    first, second = some_boxes(12), some_boxes(9, 1)
    pairs = [[overlap(one, other) for other in second.astype(float)] for one in first.astype(float)]
    a, b = flambeau.from_numpy(first), flambeau.from_numpy(second)
    iou = np.array([[common / union for common, union, _ in row] for row in pairs])
    giou = np.array([[common / union - (hull - union) / hull for common, union, hull in row] for row in pairs])
    np.testing.assert_allclose(ops.box_iou(a, b).numpy(), iou, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(ops.generalized_box_iou(a, b).numpy(), giou, rtol=1e-4, atol=1e-5)
    assert (iou > 0).any()
    distance, complete = ops.distance_box_iou(a, b), ops.complete_box_iou(a, b)
    assert bool((complete <= distance + 1e-6).all()) and bool((distance <= ops.box_iou(a, b) + 1e-6).all())
    assert ops.distance_box_iou(a, a).diag().allclose(flambeau.ones(12), atol=1e-4)
    assert ops.complete_box_iou(a, a).diag().allclose(flambeau.ones(12), atol=1e-4)
    sized = ops.box_convert(a, "xyxy", "xywh")
    np.testing.assert_allclose(ops.box_iou(sized, sized, fmt="xywh").numpy(), ops.box_iou(a, a).numpy(), atol=1e-4)
    small = flambeau.tensor([[0, 0, 200, 200], [100, 100, 255, 255]], dtype=flambeau.uint8)  # bytes would overflow
    assert ops.box_area(small).tolist() == [40000, 155 * 155]
    assert ops.box_iou(small, small)[0, 1].item() == pytest.approx(10000 / (40000 + 155 * 155 - 10000))
    a.requires_grad_()
    ops.generalized_box_iou(a, b).sum().backward()
    assert bool(a.grad.isfinite().all())


def test_losses_are_what_is_missing_to_one() -> None:
    first, second = (flambeau.from_numpy(some_boxes(8, seed)).double() for seed in (4, 5))
    second[:4] = first[:4] + 2.0
    for name in ("generalized_box_iou", "distance_box_iou", "complete_box_iou"):
        loss = getattr(ops, name + "_loss")
        expected = 1 - getattr(ops, name)(first, second).diag()
        np.testing.assert_allclose(loss(first, second).numpy(), expected.numpy(), rtol=1e-5)
        assert loss(first, second, "mean").item() == pytest.approx(expected.mean().item(), rel=1e-5)
        assert loss(first, second, "sum").item() == pytest.approx(expected.sum().item(), rel=1e-5)
        assert loss(first[:0], second[:0], "mean").item() == 0
        given = first.clone().requires_grad_()
        loss(given, second, "sum").backward()
        assert bool(given.grad.isfinite().all())
        with pytest.raises(ValueError, match="Invalid Value for arg 'reduction'"):
            loss(first, second, "max")


def test_forms() -> None:
    boxes = flambeau.tensor([[10.0, 20.0, 30.0, 60.0], [0.0, 0.0, 1.0, 2.0]])
    forms = {"xyxy": boxes.tolist(), "xywh": [[10, 20, 20, 40], [0, 0, 1, 2]],
             "cxcywh": [[20, 40, 20, 40], [0.5, 1, 1, 2]]}  # fmt: skip
    for given, values in forms.items():
        for wanted, expected in forms.items():
            converted = ops.box_convert(flambeau.tensor(values), given, wanted)
            assert converted.tolist() == expected
    assert ops.box_convert(boxes, "xyxy", "xyxy") is not boxes
    assert ops.box_convert(boxes.reshape(1, 2, 4), "xyxy", "xywh").shape == (1, 2, 4)
    with pytest.raises(ValueError, match="Unsupported Bounding Box Conversions"):
        ops.box_convert(boxes, "xyxy", "yxyx")
    outside = flambeau.tensor([[-3.0, 5.0, 12.0, 40.0]])
    assert ops.clip_boxes_to_image(outside, (20, 10)).tolist() == [[0.0, 5.0, 10.0, 20.0]]
    assert ops.remove_small_boxes(boxes, 2.0).tolist() == [0]
    assert ops.remove_small_boxes(boxes, 1.0).tolist() == [0, 1]


def test_masks_to_boxes() -> None:
    random = np.random.default_rng(2)
    masks = random.random((6, 9, 11)) > 0.95
    masks[0] = False
    expected = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        expected.append([columns.min(), rows.min(), columns.max(), rows.max()] if len(rows) else [0, 0, 0, 0])
    for dtype in (np.bool_, np.uint8, np.float32):
        boxes = ops.masks_to_boxes(flambeau.from_numpy(masks.astype(dtype)))
        assert boxes.dtype == flambeau.float32
        assert boxes.tolist() == expected
    assert ops.masks_to_boxes(flambeau.zeros(0, 4, 4)).shape == (0, 4)


def plain_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Box by box."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        areas = [overlap(boxes[index], boxes[other]) for other in kept]
        if all(not common / union > threshold for common, union, _ in areas):
            kept.append(int(index))
    return kept


@pytest.mark.parametrize("count", [0, 1, 40, 300])
def test_nms(count: int) -> None:
    random = np.random.default_rng(count)
    boxes, scores = some_boxes(count, count), random.random(count).round(1).astype(np.float32)
    groups = random.integers(0, 3, count)
    for threshold in (0.1, 0.5):
        kept = ops.nms(flambeau.from_numpy(boxes), flambeau.from_numpy(scores), threshold)
        assert kept.dtype == flambeau.int64
        assert kept.tolist() == plain_nms(boxes, scores, threshold)
        apart = boxes + groups[:, None].astype(np.float32) * 1000  # so that boxes of different groups never meet
        kept = ops.batched_nms(flambeau.from_numpy(boxes), flambeau.from_numpy(scores), flambeau.from_numpy(groups),
                               threshold)
        assert kept.tolist() == plain_nms(apart, scores, threshold)


def test_nms_on_the_border() -> None:
    """Boxes whose overlap is exactly the threshold both stay."""
    boxes = flambeau.tensor([[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    scores = flambeau.tensor([1.0, 0.5])
    assert ops.nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert ops.nms(boxes, scores, 0.4999).tolist() == [0]
    for value in (0.1, 0.3, 1 / 3, 0.5, 0.7, 0.0, 1.0, 0.25 - 1e-10):
        below = np.float32(_below(value))
        assert float(below) <= value < float(np.nextafter(below, np.float32(2)))


@pytest.mark.parametrize("boxes, scores, text", [((3,), (3,), "2d tensor"), ((3, 5), (3,), "4 elements"),
                                                 ((3, 4), (3, 1), "1d tensor"), ((3, 4), (2,), "same number")])
def test_nms_errors(boxes: Any, scores: Any, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        ops.nms(flambeau.zeros(boxes), flambeau.zeros(scores), 0.5)


def test_focal_loss() -> None:
    random = np.random.default_rng(3)
    logits, targets = random.normal(size=(4, 3)), (random.random((4, 3)) > 0.5).astype(float)
    chance = 1 / (1 + np.exp(-logits))
    right = np.where(targets > 0, chance, 1 - chance)
    plain = -np.log(right)
    given = flambeau.from_numpy(logits).requires_grad_(), flambeau.from_numpy(targets)
    for alpha, gamma in ((0.25, 2), (0.6, 0.5), (-1, 2)):
        weights = np.where(targets > 0, alpha, 1 - alpha) if alpha >= 0 else 1.0
        expected = weights * plain * (1 - right) ** gamma
        result = ops.sigmoid_focal_loss(*given, alpha=alpha, gamma=gamma)
        np.testing.assert_allclose(result.detach().numpy(), expected)
        mean = ops.sigmoid_focal_loss(*given, alpha, gamma, "mean")
        assert mean.item() == pytest.approx(expected.mean())
        assert ops.sigmoid_focal_loss(*given, alpha, gamma, "sum").item() == pytest.approx(expected.sum())
    mean.backward()
    assert given[0].grad is not None
    for options in ({"reduction": "median"}, {"alpha": 2.0}):
        with pytest.raises(ValueError, match="Invalid"):
            ops.sigmoid_focal_loss(*given, **options)
