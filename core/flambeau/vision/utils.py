"""Pictures for people to look at: grids of them, and boxes, masks and points drawn on them."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from typing import Any, BinaryIO

import flambeau
from flambeau import Tensor
from flambeau.dtypes import bool_ as boolean, uint8
from flambeau.errors import ArgumentTypeError, ArgumentValueError
from flambeau.vision.transforms._kinds import pil_module
from flambeau.vision.transforms._pixels import convert_image_dtype, pil_to_tensor, to_pil_image

__all__ = ["draw_bounding_boxes", "draw_keypoints", "draw_segmentation_masks", "flow_to_image", "make_grid",
           "save_image"]  # fmt: skip

Colour = str | tuple[int, int, int]
Colours = Colour | Sequence[Colour] | None
_SMALLEST_RANGE = 1e-5  # of values that are stretched to 0..1
_SEE_THROUGH = 100  # of 255: how much a filled box covers
_PALETTE = (2**25 - 1, 2**15 - 1, 2**21 - 1)


# -------------------------------------------------------------------------------------------------------- grids


@flambeau.no_grad()  # type: ignore[untyped-decorator]
def make_grid(
    tensor: Tensor | list[Tensor] | tuple[Tensor, ...],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Many pictures in one, side by side and below one another.

    Args:
        tensor: pictures (N, channels, height, width), or a list of pictures of one size. Grey ones become three equal
            channels.
        nrow: how many stand side by side.
        padding: pixels between them and around them.
        normalize: stretch the values to 0..1.
        value_range: (least, greatest), which become 0 and 1 in place of those in the pictures.
        scale_each: stretch each picture by itself.
        pad_value: the value of the pixels between them.

    Returns (channels, height of the grid, width of the grid). A single picture is returned without padding.

    >>> import flambeau as torch
    >>> torch.vision.utils.make_grid(torch.ones(3, 1, 2, 2), nrow=2, padding=1)[0]
    tensor([[0., 0., 0., 0., 0., 0., 0.],
            [0., 1., 1., 0., 1., 1., 0.],
            [0., 1., 1., 0., 1., 1., 0.],
            [0., 0., 0., 0., 0., 0., 0.],
            [0., 1., 1., 0., 0., 0., 0.],
            [0., 1., 1., 0., 0., 0., 0.],
            [0., 0., 0., 0., 0., 0., 0.]])
    """
    pictures = _stacked(tensor)
    if normalize:
        if value_range is not None and not isinstance(value_range, tuple):
            raise ArgumentTypeError("make_grid: value_range has to be a tuple (min, max) if specified. min and max are "
                                    f"numbers; got {type(value_range)}")  # fmt: skip
        pictures = _stretched(pictures, value_range, scale_each)
    count, channels, height, width = pictures.shape
    if count == 1:
        return pictures.squeeze(0)
    across = min(nrow, count)
    down = math.ceil(count / across)
    cells = pictures.new_full((down * across, channels, height + padding, width + padding), pad_value)
    cells[:count, :, padding:, padding:] = pictures
    size = (channels, down * (height + padding), across * (width + padding))
    grid = pictures.new_full((channels, size[1] + padding, size[2] + padding), pad_value)
    cells = cells.reshape(down, across, channels, height + padding, width + padding)
    grid[:, : size[1], : size[2]] = cells.permute(2, 0, 3, 1, 4).reshape(size)
    return grid


def _stacked(tensor: Any) -> Tensor:
    """The pictures as (N, channels, height, width), grey ones with three channels."""
    if isinstance(tensor, list | tuple) and all(isinstance(each, Tensor) for each in tensor):
        tensor = flambeau.stack(list(tensor))
    if not isinstance(tensor, Tensor):
        kinds = f"a {type(tensor).__name__} that holds others" if isinstance(tensor, list | tuple) else type(tensor)
        raise ArgumentTypeError(f"make_grid: tensor or list of tensors expected, got {kinds}")
    if tensor.ndim not in (2, 3, 4):
        raise ArgumentValueError("make_grid: pictures have two dimensions (height, width) to four (N, channels, "
                                 f"height, width); got shape {list(tensor.shape)}")  # fmt: skip
    pictures: Tensor = tensor.reshape((1,) * (4 - tensor.ndim) + tuple(tensor.shape))
    return pictures.repeat(1, 3, 1, 1) if pictures.shape[1] == 1 else pictures


def _stretched(pictures: Tensor, value_range: tuple[float, float] | None, scale_each: bool) -> Tensor:
    """The values from `value_range` (that of all pictures, or of each) as 0..1."""
    low: Any
    high: Any
    if value_range is not None:
        low, high = value_range
        extent: Any = max(high - low, _SMALLEST_RANGE)
    else:
        dims = (1, 2, 3) if scale_each else (0, 1, 2, 3)
        low, high = pictures.amin(dims, keepdim=True), pictures.amax(dims, keepdim=True)
        extent = (high - low).clamp(min=_SMALLEST_RANGE)
    return pictures.clamp(low, high).sub_(low).div_(extent)


@flambeau.no_grad()  # type: ignore[untyped-decorator]
def save_image(
    tensor: Tensor | list[Tensor] | tuple[Tensor, ...],
    fp: str | os.PathLike[str] | BinaryIO,
    format: str | None = None,
    **kwargs: Any,
) -> None:
    """Write a picture, or a grid of many, to a file.

    Args:
        tensor: as for `make_grid`, with values between 0 and 1.
        fp: a path, or a file that is open for writing.
        format: "png", "jpeg" ...; by default the path's ending tells.
        kwargs: `make_grid`'s arguments.
    """
    grid = make_grid(tensor, **kwargs)
    pixels = grid.mul(255).add_(0.5).clamp_(0, 255).to(device="cpu", dtype=uint8)
    to_pil_image(pixels).save(fp, format=format)


# ------------------------------------------------------------------------------------------------------ drawing


def _check(name: str, image: Any, channels: tuple[int, ...]) -> None:
    if not isinstance(image, Tensor):
        raise ArgumentTypeError(f"{name}: Tensor expected, got {type(image)}")
    if image.dtype != uint8 and not image.is_floating_point():
        raise ArgumentValueError(f"{name}: The image dtype must be uint8 or float, got {image.dtype}")
    if image.ndim != 3:
        raise ArgumentValueError(f"{name}: Pass individual images, not batches; got shape {list(image.shape)}")
    if image.shape[0] not in channels:
        allowed = "Pass an RGB image. Other Image formats are not supported"
        if 1 in channels:
            allowed = "Only grayscale and RGB images are supported"
        raise ArgumentValueError(f"{name}: {allowed}; got {image.shape[0]} channels")


def _colours(colours: Any, count: int) -> list[tuple[int, ...]]:
    """One (red, green, blue) for each of `count` things."""
    if colours is None:
        return [tuple(number * each % 255 for each in _PALETTE) for number in range(count)]
    several = list(colours) if isinstance(colours, list) else [colours] * count
    if len(several) < count:
        raise ArgumentValueError("Number of colors must be equal or larger than the number of objects, but got "
                                 f"{len(several)} < {count}.")  # fmt: skip
    return [_rgb(each) for each in several[:count]]


def _rgb(colour: Any) -> tuple[int, ...]:
    if isinstance(colour, str):
        pil_module()
        from PIL import ImageColor

        return ImageColor.getrgb(colour)[:3]
    if not isinstance(colour, tuple):
        raise ArgumentValueError(f"colors must be a tuple or a string, or a list thereof; got {colour!r}")
    if len(colour) != 3:
        raise ArgumentValueError(f"If passed as tuple, colors should be an RGB triplet; got {colour!r}")
    return colour


def _canvas(image: Tensor) -> Any:
    """The picture as a PIL image in mode RGB."""
    pixels = convert_image_dtype(image.detach().to("cpu"), uint8)
    return to_pil_image(pixels.expand(3, -1, -1))


def _picture(canvas: Any, like: Tensor) -> Tensor:
    """What was drawn, as a tensor of the dtype and on the device of `like`."""
    return convert_image_dtype(pil_to_tensor(canvas), like.dtype).to(like.device)


def _font(font: str | None, font_size: int | None) -> Any:
    from PIL import ImageFont

    if font is not None:
        return ImageFont.truetype(font, size=font_size or 10)
    if font_size is not None:
        warnings.warn("Argument 'font_size' will be ignored since 'font' is not set.", stacklevel=3)
    return ImageFont.load_default()


@flambeau.no_grad()  # type: ignore[untyped-decorator]
def draw_bounding_boxes(
    image: Tensor,
    boxes: Tensor,
    labels: Sequence[str | None] | None = None,
    colors: Colours = None,
    fill: bool = False,
    width: int = 1,
    font: str | None = None,
    font_size: int | None = None,
    label_colors: Colours = None,
    label_background_colors: Colours = None,
    fill_labels: bool = False,
) -> Tensor:
    """A copy of a picture with boxes drawn on it.

    Args:
        image: (1 or 3, height, width), uint8 or values between 0 and 1.
        boxes: (N, 4), each (left, top, right, bottom) in pixels.
        labels: a text for each box.
        colors: names, "#rrggbb" or (red, green, blue): one for all boxes, or a list of one for each.
        fill: cover the boxes with their colours, thinly.
        width: of the lines.
        font, font_size: file of a TrueType font and its size.
        label_colors, label_background_colors: of the texts, and of what is behind them with `fill_labels`; the boxes'
            colours by default.
        fill_labels: put the texts on a background.

    Returns (3, height, width) of the same dtype. Needs Pillow.
    """
    _check("draw_bounding_boxes", image, (1, 3))
    if len(boxes) == 0:
        warnings.warn("boxes doesn't contain any box. No box was drawn", stacklevel=2)
        return image
    if (boxes[:, :2] > boxes[:, 2:]).any():
        raise ArgumentValueError("draw_bounding_boxes: Boxes need to be in (xmin, ymin, xmax, ymax) format. Use "
                                 "vision.ops.box_convert to convert them")  # fmt: skip
    count = len(boxes)
    texts = [None] * count if labels is None else list(labels)
    if len(texts) != count:
        raise ArgumentValueError(f"draw_bounding_boxes: Number of boxes ({count}) and labels ({len(texts)}) mismatch. "
                                 "Please specify labels for each box.")  # fmt: skip
    canvas = _canvas(image)
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas, "RGBA" if fill else None)
    letters = _font(font, font_size)
    outlines = _colours(colors, count)
    inks = outlines if label_colors is None else _colours(label_colors, count)
    backgrounds = outlines if label_background_colors is None else _colours(label_background_colors, count)
    for box, outline, text, ink, background in zip(
        boxes.to(flambeau.int64).tolist(), outlines, texts, inks, backgrounds, strict=True
    ):
        draw.rectangle(box, width=width, outline=outline, fill=(*outline, _SEE_THROUGH) if fill else None)
        if text is not None:
            place = box[0] + width + 1, box[1] + width + 1
            _write(draw, place, text, letters, ink, background if fill_labels else None)
    return _picture(canvas, image)


def _write(draw: Any, place: tuple[int, int], text: str, font: Any, ink: Any, background: Any) -> None:
    if background is not None:
        left, top, right, bottom = draw.textbbox(place, text, font=font)
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=background)
    draw.text(place, text, fill=ink, font=font)


@flambeau.no_grad()  # type: ignore[untyped-decorator]
def draw_segmentation_masks(image: Tensor, masks: Tensor, alpha: float = 0.8, colors: Colours = None) -> Tensor:
    """A copy of a picture with masks laid over it.

    Args:
        image: (3, height, width), uint8 or values between 0 and 1.
        masks: bool, (N, height, width) or (height, width); where they overlap, the last one is seen.
        alpha: how much a mask covers, from 0 to 1.
        colors: as for `draw_bounding_boxes`.

    Returns (3, height, width) of the same dtype.

    >>> import flambeau as torch
    >>> picture, mask = torch.zeros(3, 1, 2, dtype=torch.uint8), torch.tensor([[True, False]])
    >>> torch.vision.utils.draw_segmentation_masks(picture, mask, alpha=0.5, colors=(200, 100, 0)).flatten()
    tensor([100,   0,  50,   0,   0,   0], dtype=torch.uint8)
    """
    _check("draw_segmentation_masks", image, (3,))
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3:
        raise ArgumentValueError("draw_segmentation_masks: masks must be of shape (H, W) or (batch_size, H, W); got "
                                 f"{list(masks.shape)}")  # fmt: skip
    if masks.dtype != boolean:
        raise ArgumentValueError(f"draw_segmentation_masks: The masks must be of dtype bool. Got {masks.dtype}")
    if masks.shape[-2:] != image.shape[-2:]:
        raise ArgumentValueError("draw_segmentation_masks: The image and the masks must have the same height and "
                                 f"width; got {list(image.shape)} and {list(masks.shape)}")  # fmt: skip
    if len(masks) == 0:
        warnings.warn("masks doesn't contain any mask. No mask was drawn", stacklevel=2)
        return image
    colours = flambeau.tensor(_colours(colors, len(masks)), dtype=image.dtype, device=image.device)
    if image.is_floating_point():
        colours = colours / 255
    numbers = flambeau.arange(1, len(masks) + 1, device=image.device)[:, None, None]
    last = flambeau.where(masks, numbers, 0).amax(0)  # the number of the mask that is seen, 0 for none
    painted = flambeau.where(last > 0, colours[(last - 1).clamp(min=0)].permute(2, 0, 1), image)
    return (image * (1 - alpha) + painted * alpha).to(image.dtype)


@flambeau.no_grad()  # type: ignore[untyped-decorator]
def draw_keypoints(
    image: Tensor,
    keypoints: Tensor,
    connectivity: Sequence[tuple[int, int]] | None = None,
    colors: Colour | None = None,
    radius: int = 2,
    width: int = 3,
    visibility: Tensor | None = None,
) -> Tensor:
    """A copy of a picture with points drawn on it, and lines between them.

    Args:
        image: (3, height, width), uint8 or values between 0 and 1.
        keypoints: (N, K, 2): for each of N things K points (x, y) in pixels.
        connectivity: pairs of numbers of points that a line connects.
        colors: a colour for all points.
        radius: of the points.
        width: of the lines.
        visibility: bool, (N, K) or (N, K, 1): which points are drawn, by default all. A line needs both its points.

    Returns (3, height, width) of the same dtype. Needs Pillow.
    """
    _check("draw_keypoints", image, (3,))
    if keypoints.ndim != 3 or keypoints.shape[2] != 2:
        raise ArgumentValueError("draw_keypoints: keypoints must be of shape (num_instances, K, 2); got "
                                 f"{list(keypoints.shape)}")  # fmt: skip
    if visibility is not None and visibility.numel() != keypoints.shape[0] * keypoints.shape[1]:
        raise ArgumentValueError("draw_keypoints: keypoints and visibility must have the same dimensions; got "
                                 f"{list(keypoints.shape)} and {list(visibility.shape)}")  # fmt: skip
    canvas = _canvas(image)
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    seen = flambeau.ones(keypoints.shape[:2], dtype=boolean) if visibility is None else visibility
    colour = None if colors is None else _rgb(colors)
    for points, shown in zip(keypoints.tolist(), seen.reshape(keypoints.shape[:2]).tolist(), strict=True):
        for (x, y), visible in zip(points, shown, strict=True):
            if visible:
                draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour, outline=None, width=0)
        for start, end in connectivity or ():
            if shown[start] and shown[end]:
                draw.line((*points[start], *points[end]), width=width, fill=colour)
    return _picture(canvas, image)


# --------------------------------------------------------------------------------------------------------- flow


def _wheel() -> list[tuple[float, float, float]]:
    """Fifty-five colours around the circle, more of them where the eye tells more apart."""
    colours = []
    steps = [(15, 0, 1, 1), (6, 1, 0, -1), (4, 1, 2, 1), (11, 2, 1, -1), (13, 2, 0, 1), (6, 0, 2, -1)]
    for count, full, changing, direction in steps:
        for step in range(count):
            colour = [0.0, 0.0, 0.0]
            part = math.floor(255 * step / count)
            colour[full], colour[changing] = 255.0, float(part if direction > 0 else 255 - part)
            colours.append((colour[0], colour[1], colour[2]))
    return colours


@flambeau.no_grad()  # type: ignore[untyped-decorator]
def flow_to_image(flow: Tensor) -> Tensor:
    """Optical flow as a picture: the direction of a pixel's motion is its hue, the speed its saturation.

    Args:
        flow: float32, (2, height, width) or (N, 2, height, width): how far each pixel moves in x and y.

    Returns uint8, (3, height, width) or (N, 3, height, width).

    Source: Baker et al., "A Database and Evaluation Methodology for Optical Flow", 2011.
    """
    if flow.dtype != flambeau.float32:
        raise ArgumentValueError(f"flow_to_image: Flow should be of dtype torch.float, got {flow.dtype}.")
    if flow.ndim not in (3, 4) or flow.shape[-3] != 2:
        raise ArgumentValueError("flow_to_image: Input flow should have shape (2, H, W) or (N, 2, H, W), got "
                                 f"{list(flow.shape)}.")  # fmt: skip
    field = flow.reshape(-1, *flow.shape[-3:])
    longest = field.square().sum(1).sqrt().max()
    field = field / (longest + flambeau.finfo(flow.dtype).eps)
    wheel = flambeau.tensor(_wheel(), device=flow.device) / 255
    place = (flambeau.atan2(-field[:, 1], -field[:, 0]) / math.pi + 1) / 2 * (len(wheel) - 1)
    first = place.floor()
    part = (place - first)[..., None]
    number = first.long()
    hue = (1 - part) * wheel[number] + part * wheel[(number + 1) % len(wheel)]
    colour = 1 - field.square().sum(1).sqrt()[..., None] * (1 - hue)
    return (colour * 255).floor().to(uint8).permute(0, 3, 1, 2).reshape(*flow.shape[:-3], 3, *flow.shape[-2:])
