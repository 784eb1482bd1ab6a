"""Turning, shearing and tilting pictures: where in the source each pixel of the result comes from.

A matrix of six numbers (a, b, c, d, e, f) takes the point (x, y) of the result to (a x + b y + c, d x + e y + f) of the
source; a perspective has two more, for the divisor g x + h y + 1. Both are what Pillow's `transform` takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import flambeau
from flambeau.dtypes import float64
from flambeau.nn import functional as F
from flambeau.tensor import Tensor
from flambeau.vision.transforms._kinds import as_pixels


def affine_matrix(center: Sequence[float], angle: float, translate: Sequence[float], scale: float,
                  shear: Sequence[float]) -> list[float]:
    """The way back from a picture that was sheared, scaled, turned around `center` and moved."""
    turn, along, across = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    a = math.cos(turn - across) / math.cos(across)
    b = -math.cos(turn - across) * math.tan(along) / math.cos(across) - math.sin(turn)
    c = math.sin(turn - across) / math.cos(across)
    d = -math.sin(turn - across) * math.tan(along) / math.cos(across) + math.cos(turn)
    # The linear part's determinant is 1, so its inverse is its adjugate.
    back = [d / scale, -b / scale, -c / scale, a / scale]
    moved = [-center[0] - translate[0], -center[1] - translate[1]]
    return [back[0], back[1], back[0] * moved[0] + back[1] * moved[1] + center[0],
            back[2], back[3], back[2] * moved[0] + back[3] * moved[1] + center[1]]


def expanded_size(matrix: Sequence[float], width: int, height: int) -> tuple[int, int]:
    """(width, height) of the frame that holds the whole turned picture."""
    corners = [(x, y) for x in (-0.5 * width, 0.5 * width) for y in (-0.5 * height, 0.5 * height)]
    # The matrix turns back; its transpose, a rotation's inverse, turns.
    xs = [matrix[0] * x + matrix[3] * y for x, y in corners]
    ys = [matrix[1] * x + matrix[4] * y for x, y in corners]
    whole = 1e-4  # rounding must not cost a pixel
    return tuple(math.ceil(_exact(max(each)) - whole) - math.floor(_exact(min(each)) + whole)  # type: ignore
                 for each in (xs, ys))


def _exact(value: float) -> float:
    return round(value, 6)


def perspective_coefficients(start: Sequence[Sequence[int]], end: Sequence[Sequence[int]]) -> list[float]:
    """The eight numbers that take the four points `end` to `start`."""
    if len(start) != 4 or len(end) != 4:
        raise ValueError(f"perspective: four corners are needed on both sides; given: {len(start)} and {len(end)}")
    rows, wanted = [], []
    for (x, y), (u, v) in zip(end, start, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    left = flambeau.tensor(rows, dtype=float64)
    return flambeau.linalg.solve(left, flambeau.tensor(wanted, dtype=float64)).tolist()


def sample(img: Tensor, coefficients: Sequence[float], size: tuple[int, int], mode: str, fill: Any) -> Tensor:
    """The picture of `size` (width, height) that the coefficients describe.

    Six coefficients are around the middle of both pictures, eight around the corner.
    """
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"tensors cannot be turned by the interpolation {mode}; allowed: nearest, bilinear")
    pixels, back = as_pixels(img)
    grid = _grid(coefficients, size, (img.shape[-1], img.shape[-2]), pixels)
    grid = grid.expand(pixels.shape[0], *grid.shape[1:])
    if fill is None:
        return back(F.grid_sample(pixels, grid, mode=mode, padding_mode="zeros", align_corners=False))
    seen = F.grid_sample(flambeau.cat([pixels, flambeau.ones_like(pixels[:, :1])], 1), grid, mode=mode,
                         padding_mode="zeros", align_corners=False)
    found, share = seen[:, :-1], seen[:, -1:]
    values = flambeau.as_tensor(fill, dtype=pixels.dtype, device=img.device).reshape(1, -1, 1, 1)
    if mode == "nearest":
        return back(flambeau.where(share < 0.5, values, found))
    return back(found + values * (1.0 - share))  # `found` has its own share in it already


def _grid(coefficients: Sequence[float], size: tuple[int, int], source: tuple[int, int], like: Tensor) -> Tensor:
    """(1, height, width, 2): the places in the source, from -1 to 1."""
    options = {"dtype": like.dtype, "device": like.device}
    width, height = size
    xs, ys = flambeau.arange(width, **options) + 0.5, flambeau.arange(height, **options) + 0.5
    if len(coefficients) == 6:
        xs, ys = xs - width * 0.5, ys - height * 0.5
    a, b, c, d, e, f = coefficients[:6]
    x = a * xs[None, :] + b * ys[:, None] + c
    y = d * xs[None, :] + e * ys[:, None] + f
    if len(coefficients) == 8:
        g, h = coefficients[6:]
        below = g * xs[None, :] + h * ys[:, None] + 1.0
        x, y = x / below - source[0] * 0.5, y / below - source[1] * 0.5
    return flambeau.stack([x / (0.5 * source[0]), y / (0.5 * source[1])], -1)[None]
