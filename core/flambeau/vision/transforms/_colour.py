"""Colours of tensors: brightness, contrast, hue and the like, for (..., channels, height, width).

Values are 0..1 in floating point and 0 to the largest value in integers; what leaves that range is cut.
"""

from __future__ import annotations

from typing import Any

import flambeau
from flambeau.dtypes import float32, int64, uint8
from flambeau.finfo import iinfo
from flambeau.nn import functional as F
from flambeau.tensor import Tensor
from flambeau.vision.transforms._kinds import as_pixels
from flambeau.vision.transforms._pixels import convert_image_dtype

_BINS = 256


def _bound(img: Tensor) -> float:
    return 1.0 if img.is_floating_point() else float(iinfo(img.dtype).max)


def blend(img: Tensor, other: Any, ratio: float) -> Tensor:
    """`ratio` of a picture and the rest of another."""
    mixed = img.to(float32) * ratio + other * (1.0 - ratio) if not img.is_floating_point() else (
        img * ratio + other * (1.0 - ratio))
    return mixed.clamp(0, _bound(img)).to(img.dtype)


def grey(img: Tensor) -> Tensor:
    """One channel, by how bright each colour looks."""
    if img.shape[-3] == 1:
        return img
    if img.shape[-3] != 3:
        raise TypeError(f"Input image tensor permitted channel values are 1 or 3, but found {img.shape[-3]}")
    red, green, blue = img.unbind(-3)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).to(img.dtype).unsqueeze(-3)


def brightness(img: Tensor, factor: float) -> Tensor:
    """Towards black, or away from it."""
    return blend(img, 0.0, factor)


def contrast(img: Tensor, factor: float) -> Tensor:
    """Towards the mean brightness, or away from it."""
    mean = grey(img).to(img.dtype if img.is_floating_point() else float32).mean((-3, -2, -1), keepdim=True)
    return blend(img, mean, factor)


def saturation(img: Tensor, factor: float) -> Tensor:
    """Towards black and white, or away from it."""
    return img if img.shape[-3] == 1 else blend(img, grey(img), factor)


def gamma(img: Tensor, exponent: float, gain: float) -> Tensor:
    """gain * value ** exponent."""
    values = img if img.is_floating_point() else convert_image_dtype(img)
    return convert_image_dtype((gain * values**exponent).clamp(0, 1), img.dtype)


def hue(img: Tensor, factor: float) -> Tensor:
    """Colours moved around the circle, through hue, saturation and value."""
    if img.shape[-3] == 1:
        return img
    values = convert_image_dtype(img)
    red, green, blue = values.unbind(-3)
    most, least = values.amax(-3), values.amin(-3)
    span = most - least
    flat = span == 0
    safe = flambeau.where(flat, 1.0, span)
    angle = flambeau.where(most == red, (green - blue) / safe, flambeau.where(
        most == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe))
    angle = ((angle / 6.0 + factor) % 1.0) * 6.0
    # Each colour is the brightest within a third of the circle around its own place, and falls off linearly.
    places = [(angle + offset) % 6.0 for offset in (5.0, 3.0, 1.0)]
    shares = [flambeau.minimum(place, 4.0 - place).clamp(0.0, 1.0) for place in places]
    moved = flambeau.stack([most - span * share for share in shares], -3)
    return convert_image_dtype(moved.clamp(0, 1), img.dtype)


def _smoothed(img: Tensor) -> Tensor:
    """Each inner pixel mixed with its neighbours; the border stays."""
    pixels, back = as_pixels(img)
    weights = flambeau.ones(3, 3, dtype=pixels.dtype, device=img.device)
    weights[1, 1] = 5.0
    channels = pixels.shape[1]
    inner = F.conv2d(pixels, (weights / weights.sum()).expand(channels, 1, 3, 3), groups=channels)
    result = pixels.clone()
    result[..., 1:-1, 1:-1] = inner
    return back(result)


def sharpness(img: Tensor, factor: float) -> Tensor:
    """Towards a smoothed picture, or away from it."""
    return img if min(img.shape[-2:]) <= 2 else blend(img, _smoothed(img), factor)


def invert(img: Tensor) -> Tensor:
    """The negative."""
    return (1.0 - img) if img.is_floating_point() else int(_bound(img)) - img


def posterize(img: Tensor, bits: int) -> Tensor:
    """The upper bits of bytes."""
    if img.dtype != uint8:
        raise TypeError(f"posterize: Only torch.uint8 image tensors are supported, but found {img.dtype}")
    return img & (256 - 2 ** (8 - bits))


def solarize(img: Tensor, threshold: float) -> Tensor:
    """Bright values inverted."""
    if threshold > _bound(img):
        raise TypeError(f"solarize: Threshold should be less than bound of img, {_bound(img)}; given: {threshold}")
    return flambeau.where(img >= threshold, invert(img), img)


def autocontrast(img: Tensor) -> Tensor:
    """Each channel stretched to the whole range."""
    bound = _bound(img)
    values = img if img.is_floating_point() else img.to(float32)
    least, most = values.amin((-2, -1), keepdim=True), values.amax((-2, -1), keepdim=True)
    flat = least == most
    least = flambeau.where(flat, 0.0, least)
    scale = flambeau.where(flat, 1.0, bound / flambeau.where(flat, 1.0, most - least))
    return ((values - least) * scale).clamp(0, bound).to(img.dtype)


def equalize(img: Tensor) -> Tensor:
    """Each channel's values spread evenly, by its own histogram."""
    if img.dtype != uint8:
        raise TypeError(f"equalize: Only torch.uint8 image tensors are supported, but found {img.dtype}")
    planes = img.reshape(-1, *img.shape[-2:])
    return flambeau.stack([_equalized(plane) for plane in planes.unbind(0)]).reshape(img.shape)


def _equalized(plane: Tensor) -> Tensor:
    counts = flambeau.bincount(plane.reshape(-1).to(int64), minlength=_BINS)
    used = counts[counts != 0]
    step = int(used[:-1].sum()) // (_BINS - 1)
    if step == 0:
        return plane
    table = (counts.cumsum(0) - counts + step // 2).div(step, rounding_mode="floor").clamp(0, _BINS - 1)
    return table[plane.to(int64)].to(uint8)


def blur(img: Tensor, sizes: list[int], sigmas: list[float]) -> Tensor:
    """A bell curve along each direction, (x, y); the border mirrors the picture."""
    pixels, back = as_pixels(img)
    curves = []
    for size, sigma in zip(sizes, sigmas, strict=True):
        places = flambeau.linspace(-(size - 1) / 2, (size - 1) / 2, size, dtype=pixels.dtype, device=img.device)
        curve = flambeau.exp(-0.5 * (places / sigma) ** 2)
        curves.append(curve / curve.sum())
    channels = pixels.shape[1]
    weights = (curves[1][:, None] * curves[0][None, :]).expand(channels, 1, sizes[1], sizes[0])
    border = (sizes[0] // 2, sizes[0] // 2, sizes[1] // 2, sizes[1] // 2)
    return back(F.conv2d(F.pad(pixels, border, mode="reflect"), weights, groups=channels))
