"""Transforms as functions: on PIL images through Pillow, on tensors (..., channels, height, width) through operators.

Both kinds take the same arguments. What comes out of a PIL image is a PIL image, so that transforms chain; the numbers
of the two ways differ a little where pixels are interpolated, as they do in torchvision, whose names these are.

Source: https://docs.pytorch.org/vision/stable/transforms.html
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import flambeau
import flambeau.vision.transforms._colour as colour
from flambeau.nn import functional as F
from flambeau.tensor import Tensor
from flambeau.vision.transforms._kinds import (
    as_pixels,
    check_picture,
    is_pil,
    pil_module,
    size_of,
)
from flambeau.vision.transforms._pixels import convert_image_dtype, pil_to_tensor, to_pil_image, to_tensor
from flambeau.vision.transforms._warp import affine_matrix, expanded_size, perspective_coefficients, sample

__all__ = ["InterpolationMode", "adjust_brightness", "adjust_contrast", "adjust_gamma", "adjust_hue",
           "adjust_saturation", "adjust_sharpness", "affine", "autocontrast", "center_crop", "convert_image_dtype",
           "crop", "equalize", "erase", "five_crop", "gaussian_blur", "get_dimensions", "get_image_num_channels",
           "get_image_size", "hflip", "invert", "normalize", "pad", "perspective", "pil_to_tensor", "posterize",
           "resize", "resized_crop", "rgb_to_grayscale", "rotate", "solarize", "ten_crop", "to_grayscale",
           "to_pil_image", "to_tensor", "vflip"]


class InterpolationMode(enum.Enum):
    """How pixels between pixels are made."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_OF_PILLOW = {InterpolationMode.NEAREST: 0, InterpolationMode.NEAREST_EXACT: 0, InterpolationMode.LANCZOS: 1,
              InterpolationMode.BILINEAR: 2, InterpolationMode.BICUBIC: 3, InterpolationMode.BOX: 4,
              InterpolationMode.HAMMING: 5}


def _mode(interpolation: Any) -> InterpolationMode:
    """An interpolation by member, by its value, or by Pillow's number."""
    if isinstance(interpolation, InterpolationMode):
        return interpolation
    for mode, number in _OF_PILLOW.items():
        if interpolation == number and mode is not InterpolationMode.NEAREST_EXACT:
            return mode
    try:
        return InterpolationMode(interpolation)
    except ValueError:
        names = ", ".join(mode.value for mode in InterpolationMode)
        raise TypeError(f"interpolation should be an InterpolationMode ({names}), got {interpolation!r}") from None


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width]."""
    width, height = size_of(img)
    return [get_image_num_channels(img), height, width]


def get_image_size(img: Any) -> list[int]:
    """[width, height]."""
    return list(size_of(img))


def get_image_num_channels(img: Any) -> int:
    """How many channels a picture has."""
    check_picture(img)
    if is_pil(img):
        return len(img.getbands())
    return int(img.shape[-3]) if img.ndim > 2 else 1


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """Subtract `mean` and divide by `std`, channel by channel; see `Normalize`.

    >>> import flambeau as torch
    >>> from flambeau.vision.transforms import functional
    >>> functional.normalize(torch.ones(1, 1, 2), (0.5,), (0.25,))
    tensor([[[2., 2.]]])
    """
    from flambeau.vision.transforms._convert import Normalize
    return Normalize(mean, std, inplace).forward(tensor)


# ------------------------------------------------------------------------------------------------- sizes
def _wanted_size(img: Any, size: Any, max_size: int | None) -> tuple[int, int]:
    """(height, width) after a resize; one number is for the smaller edge."""
    width, height = size_of(img)
    sizes = [size] if isinstance(size, int) else list(size) if size is not None else []
    if len(sizes) > 2 or (size is not None and not sizes):
        raise ValueError(f"resize: Size must be an int or a 1 or 2 element tuple/list, got {size}")
    if max_size is not None and len(sizes) == 2:
        raise ValueError("resize: max_size should only be passed if size specifies the length of the smaller edge")
    if len(sizes) == 2:
        return sizes[0], sizes[1]
    short, long = sorted((width, height))
    if not sizes:
        if max_size is None:
            raise ValueError("resize: max_size must be an integer when size is None")
        new_short, new_long = int(max_size * short / long), max_size
    else:
        new_short, new_long = sizes[0], int(sizes[0] * long / short)
        if max_size is not None:
            if max_size <= sizes[0]:
                raise ValueError(f"resize: max_size = {max_size} must be strictly greater than the requested size for "
                                 f"the smaller edge size = {size}")
            if new_long > max_size:
                new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def resize(img: Any, size: Any, interpolation: Any = InterpolationMode.BILINEAR, max_size: int | None = None,
           antialias: bool | None = True) -> Any:
    """Another size.

    Args:
        img: a PIL image or a tensor (..., height, width).
        size: (height, width), or the length of the smaller edge.
        interpolation: an InterpolationMode.
        max_size: the longer edge is no longer than this.
        antialias: blur before shrinking a tensor; PIL images always are.

    >>> import flambeau as torch
    >>> from flambeau.vision.transforms import functional
    >>> functional.resize(torch.zeros(3, 20, 40), 10).shape
    torch.Size([3, 10, 20])
    """
    mode = _mode(interpolation)
    height, width = _wanted_size(img, size, max_size)
    if size_of(img) == (width, height):
        return img
    if is_pil(img):
        return img.resize((width, height), _OF_PILLOW[mode])
    if mode.value not in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        raise ValueError(f"resize: tensors cannot be interpolated by {mode.value}; allowed: nearest, nearest-exact, "
                         "bilinear, bicubic")
    smooth = mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)
    pixels, back = as_pixels(img, real=smooth)
    options = {"align_corners": False, "antialias": bool(antialias)} if smooth else {}
    return back(F.interpolate(pixels, (height, width), mode=mode.value, **options))


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A part; zeros where it reaches beyond the picture."""
    check_picture(img)
    if is_pil(img):
        return img.crop((left, top, left + width, top + height))
    whole_width, whole_height = size_of(img)
    beyond = (max(-left, 0), max(left + width - whole_width, 0), max(-top, 0), max(top + height - whole_height, 0))
    part = img[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    return F.pad(part, beyond) if any(beyond) else part


def center_crop(img: Any, output_size: Any) -> Any:
    """The middle; zeros around it where the picture is smaller."""
    height, width = _pair(output_size, "center_crop", "output_size")
    whole_width, whole_height = size_of(img)
    if width > whole_width or height > whole_height:
        left, top = max((width - whole_width) // 2, 0), max((height - whole_height) // 2, 0)
        right = max((width - whole_width + 1) // 2, 0)
        bottom = max((height - whole_height + 1) // 2, 0)
        img = pad(img, [left, top, right, bottom], fill=0)
        whole_width, whole_height = size_of(img)
        if (whole_width, whole_height) == (width, height):
            return img
    top, left = round((whole_height - height) / 2.0), round((whole_width - width) / 2.0)
    return crop(img, top, left, height, width)


def resized_crop(img: Any, top: int, left: int, height: int, width: int, size: Any,
                 interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True) -> Any:
    """A part, in another size."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def _pair(size: Any, op: str, name: str) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    sizes = tuple(size)
    if len(sizes) == 1:
        return sizes[0], sizes[0]
    if len(sizes) != 2:
        raise ValueError(f"{op}: {name} must be one number or (height, width), got {size}")
    return sizes[0], sizes[1]


def pad(img: Any, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> Any:
    """A border.

    Args:
        img: a PIL image or a tensor (..., height, width).
        padding: its width, or (left and right, top and bottom), or (left, top, right, bottom).
        fill: what a constant border is filled with: a number, or one per channel.
        padding_mode: "constant", "edge", "reflect" or "symmetric".
    """
    check_picture(img)
    numbers = [padding] if isinstance(padding, int) else list(padding)
    if len(numbers) not in (1, 2, 4):
        raise ValueError(f"pad: Padding must be an int or a 1, 2, or 4 element tuple, not a {len(numbers)} element one")
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("pad: Padding mode should be either constant, edge, reflect or symmetric; given: "
                         f"{padding_mode}")
    left, top, right, bottom = (numbers * 4 if len(numbers) == 1 else numbers * 2 if len(numbers) == 2 else numbers)[:4]
    if is_pil(img):
        if padding_mode == "constant":
            return _pad_pil(img, (left, top, right, bottom), fill)
        return to_pil_image(pad(pil_to_tensor(img), [left, top, right, bottom], 0, padding_mode), img.mode)
    if padding_mode == "constant":
        return _pad_constant(img, (left, right, top, bottom), fill)
    rows = _border(img.shape[-2], top, bottom, padding_mode)
    columns = _border(img.shape[-1], left, right, padding_mode)
    return img[..., flambeau.tensor(rows, device=img.device), :][..., flambeau.tensor(columns, device=img.device)]


def _border(size: int, before: int, after: int, mode: str) -> list[int]:
    """Which row each row of the padded picture is."""
    places = range(-before, size + after)
    if mode == "edge":
        return [min(max(place, 0), size - 1) for place in places]
    if mode == "reflect":
        if max(before, after) >= size:
            raise ValueError(f"pad: a border of {max(before, after)} cannot mirror a picture of {size}; it must be "
                             "smaller")
        return [size - 1 - abs(size - 1 - abs(place)) for place in places]
    turn = [*range(size), *reversed(range(size))]
    return [turn[place % (2 * size)] for place in places]


def _pad_constant(img: Tensor, border: tuple[int, ...], fill: Any) -> Tensor:
    if isinstance(fill, (int, float)):
        return F.pad(img, border, value=fill) if min(border) >= 0 else _cut(img, border, fill)
    values = flambeau.as_tensor(fill, dtype=img.dtype, device=img.device).reshape(-1, 1, 1)
    left, right, top, bottom = border
    shape = (*img.shape[:-2], img.shape[-2] + top + bottom, img.shape[-1] + left + right)
    result = values.expand(shape).clone()
    result[..., top : top + img.shape[-2], left : left + img.shape[-1]] = img
    return result


def _cut(img: Tensor, border: tuple[int, ...], fill: float) -> Tensor:
    left, right, top, bottom = border
    part = crop(img, -top, -left, img.shape[-2] + top + bottom, img.shape[-1] + left + right)
    return F.pad(part, (0, 0), value=fill)


def _pad_pil(img: Any, border: tuple[int, int, int, int], fill: Any) -> Any:
    left, top, right, bottom = border
    if fill is None:
        fill = 0
    if isinstance(fill, (list, tuple)):
        fill = tuple(fill) if len(fill) > 1 else fill[0]
    if isinstance(fill, int) and len(img.getbands()) > 1:
        fill = (fill,) * len(img.getbands())
    result = pil_module().new(img.mode, (img.width + left + right, img.height + top + bottom), fill)
    if img.mode == "P":
        result.putpalette(img.getpalette())
    result.paste(img, (left, top))
    return result


# ------------------------------------------------------------------------------------------------- geometry
def hflip(img: Any) -> Any:
    """Left and right exchanged."""
    check_picture(img)
    return img.transpose(0) if is_pil(img) else img.flip(-1)


def vflip(img: Any) -> Any:
    """Top and bottom exchanged."""
    check_picture(img)
    return img.transpose(1) if is_pil(img) else img.flip(-2)


def rotate(img: Any, angle: float, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False,
           center: Sequence[float] | None = None, fill: Any = None) -> Any:
    """Turned counter-clockwise by so many degrees.

    Args:
        img: a PIL image or a tensor.
        angle: degrees.
        interpolation: NEAREST, BILINEAR, or for PIL images BICUBIC.
        expand: make room for the corners.
        center: (x, y) around which it turns; the middle if not given.
        fill: for what comes from outside; zeros if not given.
    """
    mode = _mode(interpolation)
    check_picture(img)
    if is_pil(img):
        return img.rotate(angle, _OF_PILLOW[mode], expand, center, fillcolor=_pil_fill(img, fill))
    width, height = size_of(img)
    shift = [0.0, 0.0] if center is None else [center[0] - width * 0.5, center[1] - height * 0.5]
    matrix = affine_matrix(shift, -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    size = expanded_size(matrix, width, height) if expand else (width, height)
    return sample(img, matrix, size, mode.value, fill)


def affine(img: Any, angle: float, translate: Sequence[int], scale: float, shear: Any,
           interpolation: Any = InterpolationMode.NEAREST, fill: Any = None,
           center: Sequence[int] | None = None) -> Any:
    """Turned clockwise by `angle` degrees, sheared, scaled and moved by (x, y) pixels; the size stays.

    `shear` is degrees along x, or along x and y. ValueError for a scale that is not positive.
    """
    mode = _mode(interpolation)
    check_picture(img)
    if scale <= 0.0:
        raise ValueError(f"affine: Argument scale should be positive, got {scale}")
    shears = [float(shear), 0.0] if isinstance(shear, (int, float)) else [float(each) for each in shear]
    shears = shears if len(shears) == 2 else [shears[0], shears[0]]
    width, height = size_of(img)
    if is_pil(img):
        middle = [width * 0.5, height * 0.5] if center is None else [float(each) for each in center]
        matrix = affine_matrix(middle, angle, [float(each) for each in translate], scale, shears)
        return img.transform(img.size, 0, matrix, _OF_PILLOW[mode], fillcolor=_pil_fill(img, fill))
    shift = [0.0, 0.0] if center is None else [center[0] - width * 0.5, center[1] - height * 0.5]
    matrix = affine_matrix(shift, angle, [float(each) for each in translate], scale, shears)
    return sample(img, matrix, (width, height), mode.value, fill)


def perspective(img: Any, startpoints: Sequence[Sequence[int]], endpoints: Sequence[Sequence[int]],
                interpolation: Any = InterpolationMode.BILINEAR, fill: Any = None) -> Any:
    """Seen from elsewhere: four corners, (x, y) each, go from `startpoints` to `endpoints`."""
    mode = _mode(interpolation)
    check_picture(img)
    coefficients = perspective_coefficients(startpoints, endpoints)
    if is_pil(img):
        return img.transform(img.size, 2, coefficients, _OF_PILLOW[mode], fillcolor=_pil_fill(img, fill))
    return sample(img, coefficients, size_of(img), mode.value, fill)


def _pil_fill(img: Any, fill: Any) -> Any:
    """The colour of what comes from outside, as Pillow takes it."""
    channels = len(img.getbands())
    if fill is None:
        fill = 0
    if isinstance(fill, (int, float)) and channels > 1:
        return tuple([fill] * channels)
    if isinstance(fill, (list, tuple)):
        values = tuple(fill) if len(fill) > 1 else tuple(fill) * channels
        if len(values) != channels:
            raise ValueError(f"The number of elements in 'fill' does not match the number of channels of the image "
                             f"({len(values)} != {channels})")
        return values[0] if channels == 1 else values
    return fill


def five_crop(img: Any, size: Any) -> tuple[Any, ...]:
    """The four corners (top left, top right, bottom left, bottom right) and the middle."""
    height, width = _pair(size, "five_crop", "size")
    whole_width, whole_height = size_of(img)
    if width > whole_width or height > whole_height:
        raise ValueError(f"five_crop: Requested crop size {(height, width)} is bigger than input size "
                         f"{(whole_height, whole_width)}")
    down, right = whole_height - height, whole_width - width
    corners = ((0, 0), (0, right), (down, 0), (down, right))
    return (*(crop(img, top, left, height, width) for top, left in corners), center_crop(img, [height, width]))


def ten_crop(img: Any, size: Any, vertical_flip: bool = False) -> tuple[Any, ...]:
    """`five_crop` of the picture and of its mirror image."""
    return (*five_crop(img, size), *five_crop(vflip(img) if vertical_flip else hflip(img), size))


# ------------------------------------------------------------------------------------------------- colours
def _in_colour(function: Any, img: Any, *values: Any) -> Any:
    """A function of tensors, on either kind of picture."""
    check_picture(img)
    if not is_pil(img):
        return function(img, *values)
    return to_pil_image(function(pil_to_tensor(img), *values), img.mode)


def _enhanced(img: Any, name: str, factor: float) -> Any:
    from PIL import ImageEnhance
    return getattr(ImageEnhance, name)(img).enhance(factor)


def _not_negative(op: str, name: str, value: float) -> None:
    if value < 0:
        raise ValueError(f"{op}: {name} ({value}) is not non-negative.")


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """Darker below 1, brighter above; 0 is black."""
    check_picture(img)
    _not_negative("adjust_brightness", "brightness_factor", brightness_factor)
    return _enhanced(img, "Brightness", brightness_factor) if is_pil(img) else colour.brightness(img, brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """Less contrast below 1, more above; 0 is grey."""
    check_picture(img)
    _not_negative("adjust_contrast", "contrast_factor", contrast_factor)
    return _enhanced(img, "Contrast", contrast_factor) if is_pil(img) else colour.contrast(img, contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """Paler below 1, more colourful above; 0 is black and white."""
    check_picture(img)
    _not_negative("adjust_saturation", "saturation_factor", saturation_factor)
    return _enhanced(img, "Color", saturation_factor) if is_pil(img) else colour.saturation(img, saturation_factor)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Colours moved around the circle, by -0.5 to 0.5 of it."""
    check_picture(img)
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"adjust_hue: hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if is_pil(img):
        if img.mode in ("L", "1", "I", "F"):
            return img
        hue, saturation, value = img.convert("HSV").split()
        moved = hue.point(lambda each: (each + int(hue_factor * 255)) % 256)
        return pil_module().merge("HSV", (moved, saturation, value)).convert(img.mode)
    return colour.hue(img, hue_factor)


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """gain * value ** gamma, of values between 0 and 1."""
    check_picture(img)
    _not_negative("adjust_gamma", "gamma", gamma)
    if is_pil(img):
        table = [int((255 + 1 - 1e-3) * gain * (each / 255.0) ** gamma) for each in range(256)] * 3
        return img.convert("RGB").point([min(255, each) for each in table]).convert(img.mode)
    return colour.gamma(img, gamma, gain)


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """Blurred below 1, sharper above."""
    check_picture(img)
    _not_negative("adjust_sharpness", "sharpness_factor", sharpness_factor)
    return _enhanced(img, "Sharpness", sharpness_factor) if is_pil(img) else colour.sharpness(img, sharpness_factor)


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Black and white, in 1 or 3 channels: 0.2989 red, 0.587 green and 0.114 blue."""
    check_picture(img)
    if num_output_channels not in (1, 3):
        raise ValueError(f"rgb_to_grayscale: num_output_channels should be either 1 or 3; given: {num_output_channels}")
    if is_pil(img):
        grey = img.convert("L")
        return grey if num_output_channels == 1 else pil_module().merge("RGB", (grey, grey, grey))
    return colour.grey(img).expand(*img.shape[:-3], num_output_channels, *img.shape[-2:])


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """`rgb_to_grayscale` of PIL images."""
    if not is_pil(img):
        raise TypeError("to_grayscale: Input should be PIL Image; for a tensor use rgb_to_grayscale")
    return rgb_to_grayscale(img, num_output_channels)


def invert(img: Any) -> Any:
    """The negative."""
    return _in_colour(colour.invert, img)


def posterize(img: Any, bits: int) -> Any:
    """Fewer colours: `bits` of each channel's 8 are kept."""
    if not 0 <= bits <= 8:
        raise ValueError(f"posterize: The number if bits should be between 0 and 8. Got {bits}")
    return _in_colour(colour.posterize, img, bits)


def solarize(img: Any, threshold: float) -> Any:
    """What is as bright as the threshold, or brighter, is inverted."""
    return _in_colour(colour.solarize, img, threshold)


def autocontrast(img: Any) -> Any:
    """Each channel stretched from black to white."""
    return _in_colour(colour.autocontrast, img)


def equalize(img: Any) -> Any:
    """Each channel's values spread evenly."""
    check_picture(img)
    if is_pil(img):
        from PIL import ImageOps
        return ImageOps.equalize(img)
    return colour.equalize(img)


def gaussian_blur(img: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """Blurred by a bell curve.

    Args:
        img: a PIL image or a tensor.
        kernel_size: odd pixels, or (along x, along y).
        sigma: the curve's width in pixels, or (along x, along y); 0.3 * ((kernel_size - 1) / 2 - 1) + 0.8 if not given.
    """
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != 2 or any(each % 2 == 0 or each < 0 for each in sizes):
        raise ValueError(f"gaussian_blur: kernel_size should have odd and positive integers. Got {kernel_size}")
    if sigma is None:
        sigmas = [each * 0.15 + 0.35 for each in sizes]
    else:
        sigmas = [float(sigma)] * 2 if isinstance(sigma, (int, float)) else [float(each) for each in sigma]
        sigmas = sigmas * 2 if len(sigmas) == 1 else sigmas
    if len(sigmas) != 2 or min(sigmas) <= 0:
        raise ValueError(f"gaussian_blur: sigma should have positive values. Got {sigma}")
    return _in_colour(colour.blur, img, sizes, sigmas)


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """A rectangle, h by w at row i and column j, replaced by `v`."""
    if not isinstance(img, Tensor):
        raise TypeError(f"erase: img should be Tensor Image. Got {type(img)}; put ToTensor() before it")
    result = img if inplace else img.clone()
    result[..., i : i + h, j : j + w] = v
    return result
