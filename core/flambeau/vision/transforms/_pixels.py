"""From PIL images to tensors and back, and from one dtype of pixels to another."""

from __future__ import annotations

from typing import Any

import flambeau
from flambeau.dtypes import dtype, float32, get_default_dtype, int16, int32, uint8
from flambeau.finfo import iinfo
from flambeau.tensor import Tensor
from flambeau.vision import image
from flambeau.vision.transforms._kinds import is_pil, pil_module

_OF_MODE = {"I": int32, "I;16": int16, "F": float32}
_MODES = {uint8: "L", int16: "I;16", int32: "I", float32: "F"}  # of one channel
_COLOURS = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV", "LAB"), 4: ("RGBA", "CMYK", "RGBX")}


def pixels_of(pic: Any) -> Tensor:
    """The values of a PIL image, (height, width, channels), in memory of their own."""
    if pic.mode == "1":
        pic = pic.convert("L")  # one bit per pixel, packed: unpacked it is 0 or 255
    values = flambeau.frombuffer(bytearray(pic.tobytes()), dtype=_OF_MODE.get(pic.mode, uint8))
    pixels: Tensor = values.reshape(pic.height, pic.width, len(pic.getbands()))
    return pixels


def pil_to_tensor(pic: Any) -> Tensor:
    """The values of a PIL image as they are, (channels, height, width)."""
    if not is_pil(pic):
        raise TypeError(f"pil_to_tensor: pic should be PIL Image. Got {type(pic)}")
    return pixels_of(pic).permute(2, 0, 1).contiguous()


def scaled(pixels: Tensor) -> Tensor:
    """Bytes as the default floating dtype, between 0 and 1; other kinds as they are."""
    if pixels.dtype != uint8:
        return pixels
    result: Tensor = pixels.to(get_default_dtype()).div_(255)
    return result


def to_tensor(pic: Any) -> Tensor:
    """A picture (PIL's, an array, or a dataset's own) as a tensor (channels, height, width); see `ToTensor`."""
    if isinstance(pic, image.Image):
        return scaled(pic.planes())
    if is_pil(pic):
        return scaled(pil_to_tensor(pic))
    if hasattr(pic, "__array_interface__") and hasattr(pic, "ndim") and not isinstance(pic, Tensor):
        if pic.ndim not in (2, 3):
            raise ValueError(f"ToTensor: pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        pixels = flambeau.as_tensor(pic)
        return scaled((pixels if pic.ndim == 3 else pixels.unsqueeze(2)).permute(2, 0, 1).contiguous())
    raise TypeError(f"ToTensor: pic should be PIL Image or ndarray. Got {type(pic)}")


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """A PIL image from a tensor (channels, height, width) or an array (height, width, channels).

    Floating-point values between 0 and 1 become bytes. Without a `mode` the channels decide: L, LA, RGB or RGBA.
    """
    if isinstance(pic, Tensor):
        if pic.ndim not in (2, 3):
            raise ValueError(f"to_pil_image: pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        pixels = pic.detach().to("cpu")
        pixels = pixels.unsqueeze(2) if pixels.ndim == 2 else pixels.permute(1, 2, 0)
        if pixels.is_floating_point() and mode != "F":
            pixels = pixels.mul(255).to(uint8)
    elif hasattr(pic, "__array_interface__") and hasattr(pic, "ndim"):
        if pic.ndim not in (2, 3):
            raise ValueError(f"to_pil_image: pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        pixels = flambeau.as_tensor(pic)
        pixels = pixels.unsqueeze(2) if pic.ndim == 2 else pixels
    else:
        raise TypeError(f"to_pil_image: pic should be Tensor or ndarray. Got {type(pic)}.")
    height, width, channels = pixels.shape
    chosen = _mode_of(pixels, channels, mode)
    return pil_module().frombytes(chosen, (width, height), pixels.contiguous().numpy().tobytes())


def _mode_of(pixels: Tensor, channels: int, mode: str | None) -> str:
    """The mode of a picture with these values, or an error that says which are allowed."""
    if channels == 1:
        expected = _MODES.get(pixels.dtype)
        if expected is None:
            raise TypeError(f"to_pil_image: Input type {pixels.dtype} is not supported; allowed: "
                            f"{', '.join(map(str, _MODES))}")
        if mode is not None and mode != expected:
            raise ValueError(f"to_pil_image: Incorrect mode ({mode}) supplied for input type {pixels.dtype}. Should be "
                             f"{expected}")
        return expected
    if channels > 4:
        raise ValueError(f"to_pil_image: pic should not have > 4 channels. Got {channels} channels.")
    if pixels.dtype != uint8:
        raise TypeError(f"to_pil_image: Input type {pixels.dtype} is not supported for {channels} channels; only uint8")
    allowed = _COLOURS[channels]
    if mode is not None and mode not in allowed:
        raise ValueError(f"to_pil_image: Only modes {list(allowed)} are supported for {channels}D inputs; given: "
                         f"{mode}")
    return {2: "LA", 3: "RGB", 4: "RGBA"}[channels] if mode is None else mode


def convert_image_dtype(image: Tensor, dtype: dtype = float32) -> Tensor:
    """Another dtype, with the values scaled to its range: 0..1 in floating point, 0..255 in uint8.

    >>> import flambeau as torch
    >>> from flambeau.vision.transforms import functional
    >>> functional.convert_image_dtype(torch.tensor([0.0, 0.5, 1.0]), torch.uint8)
    tensor([  0, 127, 255], dtype=torch.uint8)
    """
    if image.dtype == dtype:
        return image
    if image.is_floating_point():
        if dtype.is_floating_point:
            return image.to(dtype)
        # A hair below the next number, so that 1 becomes the largest value and each value gets an equal share.
        return image.mul(iinfo(dtype).max + 1 - 1e-3).to(dtype)
    most = iinfo(image.dtype).max
    if dtype.is_floating_point:
        return image.to(dtype) / most
    wanted = iinfo(dtype).max
    if most > wanted:
        return image.div((most + 1) // (wanted + 1), rounding_mode="floor").to(dtype)
    return image.to(dtype) * ((wanted + 1) // (most + 1))
