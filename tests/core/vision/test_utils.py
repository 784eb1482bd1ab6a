"""vision.utils: grids of pictures, and what is drawn on them."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.vision import utils

grid_cases = [
    {}, {"nrow": 2}, {"nrow": 3, "padding": 0}, {"padding": 3, "pad_value": 0.5}, {"normalize": True},
    {"normalize": True, "scale_each": True}, {"normalize": True, "value_range": (-0.5, 1.0)}, {"nrow": 1},
    {"normalize": True, "value_range": (-0.5, 1.0), "scale_each": True},
]  # fmt: skip


def expected_grid(pictures: np.ndarray, nrow: int = 8, padding: int = 2, normalize: bool = False,
                  value_range: Any = None, scale_each: bool = False, pad_value: float = 0.0) -> np.ndarray:
    """The grid, picture by picture."""
    pictures = pictures.copy()
    if normalize:
        for part in pictures if scale_each else [pictures]:
            low, high = value_range or (part.min(), part.max())
            part[...] = (part.clip(low, high) - np.float32(low)) / np.float32(max(high - low, 1e-5))
    count, channels, height, width = pictures.shape
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    grid = np.full((channels, rows * (height + padding) + padding, columns * (width + padding) + padding), pad_value,
                   pictures.dtype)
    for number, picture in enumerate(pictures):
        top = (number // columns) * (height + padding) + padding
        left = (number % columns) * (width + padding) + padding
        grid[:, top:top + height, left:left + width] = picture
    return grid


@pytest.mark.parametrize("options", grid_cases)
def test_make_grid(options: dict[str, Any]) -> None:
    pictures = np.random.default_rng(0).normal(size=(5, 3, 4, 6)).astype(np.float32)
    tensor = flambeau.from_numpy(pictures.copy())
    grid = utils.make_grid(tensor, **options)
    np.testing.assert_allclose(grid.numpy(), expected_grid(pictures, **options), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(tensor.numpy(), pictures)
    np.testing.assert_array_equal(utils.make_grid(list(tensor), **options).numpy(), grid.numpy())


def test_make_grid_of_grey_and_of_single_pictures() -> None:
    grey = flambeau.arange(12).reshape(2, 1, 2, 3).to(flambeau.uint8)
    grid = utils.make_grid(grey, padding=1)
    assert (grid.dtype, grid.shape) == (flambeau.uint8, (3, 4, 9))
    assert flambeau.equal(grid[0], grid[2])
    for single in (grey[0, 0], grey[0], grey[:1]):
        assert utils.make_grid(single).tolist() == [[[0, 1, 2], [3, 4, 5]]] * 3
    weight = flambeau.ones(2, 3, 2, 2, requires_grad=True)
    assert not utils.make_grid(weight).requires_grad
    for wrong in (3, [1, 2], None):
        with pytest.raises(TypeError, match="tensor or list of tensors expected"):
            utils.make_grid(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="value_range has to be a tuple"):
        utils.make_grid(weight, normalize=True, value_range=[0, 1])  # type: ignore[arg-type]


def test_save_image(tmp_path: Path) -> None:
    library = pytest.importorskip("PIL.Image", reason="Pillow writes the files")
    values = flambeau.tensor([0.0, 0.5, 1.0, 2.0, -1.0, 0.25]).reshape(1, 2, 3).expand(3, 2, 3)
    utils.save_image(values, tmp_path / "a.png")
    expected = [[0, 128, 255], [255, 0, 64]]
    with library.open(tmp_path / "a.png") as picture:
        assert picture.mode == "RGB"
        assert np.asarray(picture)[..., 1].tolist() == expected
    buffer = io.BytesIO()
    utils.save_image([values, values], buffer, format="png", nrow=1, padding=1)
    with library.open(io.BytesIO(buffer.getvalue())) as picture:
        assert picture.size == (5, 7)


# ------------------------------------------------------------------------------------------------------ drawing


def test_bounding_boxes() -> None:
    pytest.importorskip("PIL", reason="Pillow draws")
    image = flambeau.zeros(3, 20, 30, dtype=flambeau.uint8)
    boxes = flambeau.tensor([[2, 3, 8, 9], [10, 4, 25, 15]])
    drawn = utils.draw_bounding_boxes(image, boxes, colors=["red", (0, 0, 255)], width=2)
    expected = np.zeros((3, 20, 30), np.uint8)
    for channel, (left, top, right, bottom) in zip((0, 2), boxes.tolist(), strict=True):
        expected[channel, top:bottom + 1, left:right + 1] = 255
        expected[channel, top + 2:bottom - 1, left + 2:right - 1] = 0
    np.testing.assert_array_equal(drawn.numpy(), expected)
    assert int(image.max()) == 0
    filled = utils.draw_bounding_boxes(image[:1], boxes, colors="#00ff00", fill=True)
    assert filled.shape == (3, 20, 30)
    assert filled[:, 6, 5].tolist() == [0, 100, 0]
    real = utils.draw_bounding_boxes(flambeau.zeros(3, 20, 30), boxes, colors="white")
    assert real.dtype == flambeau.float32
    assert (float(real.min()), float(real.max())) == (0.0, 1.0)
    written = utils.draw_bounding_boxes(image, boxes, ["a", None], "red", label_colors="white",
                                        label_background_colors="blue", fill_labels=True)
    assert min(written[:, 5:12, 5:12].amax((1, 2)).tolist()) > 128  # white letters on blue, red around
    palette = utils.draw_bounding_boxes(image, boxes)
    assert palette[:, 4, 12].tolist() == [(2**25 - 1) % 255, (2**15 - 1) % 255, (2**21 - 1) % 255]
    with pytest.warns(UserWarning, match="No box was drawn"):
        assert utils.draw_bounding_boxes(image, flambeau.zeros(0, 4)) is image
    with pytest.warns(UserWarning, match="'font_size' will be ignored"):
        utils.draw_bounding_boxes(image, boxes, font_size=12)


def test_segmentation_masks() -> None:
    image = flambeau.full((3, 2, 3), 100, dtype=flambeau.uint8)
    masks = flambeau.tensor([[[1, 1, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 1]]], dtype=flambeau.bool)
    drawn = utils.draw_segmentation_masks(image, masks, 0.5, [(200, 0, 0), (0, 200, 50)])
    assert drawn[0].tolist() == [[150, 50, 100], [100, 100, 50]]
    assert drawn[1].tolist() == [[50, 150, 100], [100, 100, 150]]
    assert drawn.dtype == flambeau.uint8
    real = utils.draw_segmentation_masks(flambeau.zeros(3, 2, 3), masks[0], alpha=1.0, colors=(255, 0, 51))
    assert real[:, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])
    with pytest.warns(UserWarning, match="No mask was drawn"):
        utils.draw_segmentation_masks(image, masks[:0])


def test_keypoints() -> None:
    pytest.importorskip("PIL", reason="Pillow draws")
    image = flambeau.zeros(3, 20, 20, dtype=flambeau.uint8)
    points = flambeau.tensor([[[3.0, 3.0], [15.0, 3.0], [10.0, 15.0]]])
    drawn = utils.draw_keypoints(image, points, colors="lime", radius=1)
    assert drawn[:, 3, 3].tolist() == [0, 255, 0]
    assert drawn[:, 3, 9].tolist() == [0, 0, 0]
    seen = flambeau.tensor([[True, True, False]])
    linked = utils.draw_keypoints(image, points, [(0, 1), (1, 2)], (255, 0, 0), visibility=seen)
    assert linked[:, 3, 9].tolist() == [255, 0, 0]
    assert linked[:, 15, 10].tolist() == [0, 0, 0]


def test_flow() -> None:
    angles = flambeau.tensor([0.0, math.pi / 2, math.pi, -math.pi / 2])
    flow = flambeau.stack([angles.cos(), angles.sin()]).reshape(2, 2, 2)
    picture = utils.flow_to_image(flow)
    assert (picture.dtype, picture.shape) == (flambeau.uint8, (3, 2, 2))
    assert flambeau.equal(utils.flow_to_image(flow[None])[0], picture)
    assert utils.flow_to_image(flambeau.zeros(2, 1, 1)).flatten().tolist() == [255, 255, 255]
    right = picture[:, 0, 0].tolist()
    assert right[0] >= 254 and max(right[1:]) < 50


@pytest.mark.parametrize("call, kind, text", [
    (lambda i, b: utils.draw_bounding_boxes(i.tolist(), b), TypeError, "Tensor expected"),
    (lambda i, b: utils.draw_bounding_boxes(i.int(), b), ValueError, "dtype must be uint8"),
    (lambda i, b: utils.draw_bounding_boxes(i[None], b), ValueError, "individual images"),
    (lambda i, b: utils.draw_bounding_boxes(i[:2], b), ValueError, "grayscale and RGB"),
    (lambda i, b: utils.draw_bounding_boxes(i, b.flip(1)), ValueError, "xmin, ymin, xmax, ymax"),
    (lambda i, b: utils.draw_bounding_boxes(i, b, ["a", "b"]), ValueError, "mismatch"),
    (lambda i, b: utils.draw_bounding_boxes(i, b, colors=[]), ValueError, "equal or larger"),
    (lambda i, b: utils.draw_bounding_boxes(i, b, colors=3), ValueError, "a tuple or a string"),
    (lambda i, b: utils.draw_bounding_boxes(i, b, colors=(1, 2)), ValueError, "RGB triplet"),
    (lambda i, b: utils.draw_segmentation_masks(i, i > 0, colors=["red"]), ValueError, "equal or larger"),
    (lambda i, b: utils.draw_segmentation_masks(i, i), ValueError, "dtype bool"),
    (lambda i, b: utils.draw_segmentation_masks(i, i[:, 1:] > 0), ValueError, "same height and width"),
    (lambda i, b: utils.draw_segmentation_masks(i[:1], i > 0), ValueError, "RGB image"),
    (lambda i, b: utils.draw_keypoints(i, b), ValueError, "num_instances"),
    (lambda i, b: utils.flow_to_image(i), ValueError, "dtype"),
    (lambda i, b: utils.flow_to_image(i.float()), ValueError, "shape"),
])  # fmt: skip
def test_errors(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call(flambeau.zeros(3, 8, 8, dtype=flambeau.uint8), flambeau.tensor([[1, 2, 3, 4]]))
