"""The two kinds of pictures: PIL images, and tensors whose last dimensions are (channels, height, width)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from flambeau.dtypes import float32
from flambeau.tensor import Tensor
from flambeau.vision import image


def pil_module() -> ModuleType:
    """Pillow; ModuleNotFoundError, which says how to get it, where it is missing."""
    found = image.pillow()
    if found is None:
        raise ModuleNotFoundError("pictures that are not tensors need Pillow, which is not installed; "
                                  "pip install 'flambeau[vision]'")
    return found


def is_pil(img: Any) -> bool:
    """Whether it is a PIL image."""
    found = image.pillow()
    return found is not None and isinstance(img, found.Image)


def check_picture(img: Any) -> None:
    """TypeError for what is no picture."""
    if isinstance(img, Tensor):
        if img.ndim < 2:
            raise TypeError(f"Tensor is not a torch image: it needs two dimensions; given: {list(img.shape)}")
    elif not is_pil(img):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")


def size_of(img: Any) -> tuple[int, int]:
    """(width, height)."""
    check_picture(img)
    if isinstance(img, Tensor):
        return int(img.shape[-1]), int(img.shape[-2])
    return int(img.width), int(img.height)


def as_pixels(img: Tensor, real: bool = True) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """(N, C, H, W), in floating point if `real`, and the way back to the shape and dtype of `img`."""
    pixels = img.reshape(-1, 1 if img.ndim == 2 else img.shape[-3], *img.shape[-2:])
    kind, lead = img.dtype, img.shape[:-2]
    cast = real and not kind.is_floating_point

    def back(result: Tensor) -> Tensor:
        if cast:
            result = result.round().to(kind)
        return result.reshape(*lead, *result.shape[-2:])
    return pixels.to(float32) if cast else pixels, back
