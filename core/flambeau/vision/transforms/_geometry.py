"""Sizes, parts, mirrors and turns. What is drawn, is drawn as torchvision draws it, from the global generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import flambeau
from flambeau import nn
from flambeau.vision.transforms import functional as F
from flambeau.vision.transforms._kinds import size_of
from flambeau.vision.transforms.functional import InterpolationMode

__all__ = ["CenterCrop", "FiveCrop", "Pad", "RandomAffine", "RandomCrop", "RandomHorizontalFlip", "RandomPerspective",
           "RandomResizedCrop", "RandomRotation", "RandomVerticalFlip", "Resize", "TenCrop"]


def uniform(low: float, high: float) -> float:
    """One number, drawn as torchvision draws it."""
    return float(flambeau.empty(1).uniform_(float(low), float(high)).item())


def whole(low: int, high: int) -> int:
    """One whole number below `high`."""
    return int(flambeau.randint(low, high, size=(1,)).item())


def sizes_of(size: Any, op: str) -> tuple[int, int]:
    """(height, width) from one number or two."""
    if isinstance(size, int):
        return size, size
    sizes = tuple(size)
    if len(sizes) == 1:
        return sizes[0], sizes[0]
    if len(sizes) != 2:
        raise ValueError(f"{op}: Please provide only two dimensions (h, w) for size; given: {size}")
    return sizes[0], sizes[1]


class Resize(nn.Module):
    """Another size: (height, width), or one number for the smaller edge; see `functional.resize`.

    >>> import flambeau as torch
    >>> from flambeau.vision import transforms
    >>> transforms.Resize(8)(torch.zeros(3, 16, 32)).shape
    torch.Size([3, 8, 16])
    """

    def __init__(self, size: Any, interpolation: Any = InterpolationMode.BILINEAR, max_size: int | None = None,
                 antialias: bool | None = True) -> None:
        super().__init__()
        if size is not None and not isinstance(size, (int, Sequence)):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size, self.max_size = size, max_size
        self.interpolation, self.antialias = interpolation, antialias

    def forward(self, img: Any) -> Any:
        """The picture in the other size."""
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        mode = getattr(self.interpolation, "value", self.interpolation)
        return (f"{type(self).__name__}(size={self.size}, interpolation={mode}, max_size={self.max_size}, "
                f"antialias={self.antialias})")


class CenterCrop(nn.Module):
    """The middle; zeros around it where the picture is smaller."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = sizes_of(size, "CenterCrop")

    def forward(self, img: Any) -> Any:
        """The middle of the picture."""
        return F.center_crop(img, self.size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


class Pad(nn.Module):
    """A border; see `functional.pad`."""

    def __init__(self, padding: Any, fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError("Padding mode should be either constant, edge, reflect or symmetric; given: "
                             f"{padding_mode}")
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def forward(self, img: Any) -> Any:
        """The picture with its border."""
        return F.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomCrop(nn.Module):
    """A part at a random place.

    Args:
        size: (height, width), or one number for both.
        padding: a border that is added first.
        pad_if_needed: add one where the picture is smaller than the part.
        fill, padding_mode: of the border, see `functional.pad`.
    """

    def __init__(self, size: Any, padding: Any = None, pad_if_needed: bool = False, fill: Any = 0,
                 padding_mode: str = "constant") -> None:
        super().__init__()
        self.size = sizes_of(size, "RandomCrop")
        self.padding, self.pad_if_needed, self.fill, self.padding_mode = padding, pad_if_needed, fill, padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a random part."""
        width, height = size_of(img)
        wanted_height, wanted_width = output_size
        if height < wanted_height or width < wanted_width:
            raise ValueError(f"Required crop size {(wanted_height, wanted_width)} is larger than input image size "
                             f"{(height, width)}")
        if (width, height) == (wanted_width, wanted_height):
            return 0, 0, height, width
        top = whole(0, height - wanted_height + 1)
        return top, whole(0, width - wanted_width + 1), wanted_height, wanted_width

    def forward(self, img: Any) -> Any:
        """A part of the picture."""
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        width, height = size_of(img)
        if self.pad_if_needed and width < self.size[1]:
            img = F.pad(img, [self.size[1] - width, 0], self.fill, self.padding_mode)
        if self.pad_if_needed and height < self.size[0]:
            img = F.pad(img, [0, self.size[0] - height], self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


class RandomResizedCrop(nn.Module):
    """A part of random area and shape, in one size: what most image classifiers are trained on.

    Args:
        size: (height, width), or one number for both.
        scale: the least and the largest part of the picture's area.
        ratio: the least and the largest width over height.
        interpolation, antialias: see `functional.resize`.
    """

    def __init__(self, size: Any, scale: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
                 interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True) -> None:
        super().__init__()
        self.size = sizes_of(size, "RandomResizedCrop")
        for name, each in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(each, Sequence):
                raise TypeError(f"{name} should be a sequence; given: {each!r}")
        self.scale, self.ratio, self.interpolation, self.antialias = scale, ratio, interpolation, antialias

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a random part; the middle where ten draws do not fit."""
        width, height = size_of(img)
        logarithms = flambeau.log(flambeau.tensor(ratio)).tolist()
        for _ in range(10):
            area = height * width * uniform(scale[0], scale[1])
            aspect = float(flambeau.exp(flambeau.empty(1).uniform_(*logarithms)).item())
            part_width, part_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < part_width <= width and 0 < part_height <= height:
                top = whole(0, height - part_height + 1)
                return top, whole(0, width - part_width + 1), part_height, part_width
        part_width, part_height = width, height
        if width / height < min(ratio):
            part_height = round(width / min(ratio))
        elif width / height > max(ratio):
            part_width = round(height * max(ratio))
        return (height - part_height) // 2, (width - part_width) // 2, part_height, part_width

    def forward(self, img: Any) -> Any:
        """A part of the picture, resized."""
        part = self.get_params(img, self.scale, self.ratio)
        return F.resized_crop(img, *part, self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(each, 4) for each in values) for values in (self.scale, self.ratio))
        mode = getattr(self.interpolation, "value", self.interpolation)
        return (f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, interpolation={mode}, "
                f"antialias={self.antialias})")


class _Flip(nn.Module):
    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(_Flip):
    """Left and right exchanged, with probability `p`."""

    def forward(self, img: Any) -> Any:
        """The picture or its mirror image."""
        return F.hflip(img) if flambeau.rand(1) < self.p else img


class RandomVerticalFlip(_Flip):
    """Top and bottom exchanged, with probability `p`."""

    def forward(self, img: Any) -> Any:
        """The picture or its mirror image."""
        return F.vflip(img) if flambeau.rand(1) < self.p else img


def _range(value: Any, name: str) -> list[float]:
    """(-value, value), or the two numbers given."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive; given: {value}")
        return [-float(value), float(value)]
    values = [float(each) for each in value]
    if len(values) not in (2, 4):
        raise ValueError(f"{name} should be a sequence of length 2; given: {value}")
    return values


class RandomRotation(nn.Module):
    """Turned by a random angle; see `functional.rotate`.

    Args:
        degrees: the largest angle either way, or the least and the largest.
        interpolation, expand, center, fill: as in `functional.rotate`.
    """

    def __init__(self, degrees: Any, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False,
                 center: Sequence[float] | None = None, fill: Any = 0) -> None:
        super().__init__()
        self.degrees = _range(degrees, "degrees")
        self.interpolation, self.expand, self.center, self.fill = interpolation, expand, center, fill

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """A random angle."""
        return uniform(degrees[0], degrees[1])

    def forward(self, img: Any) -> Any:
        """The picture, turned."""
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        mode = getattr(self.interpolation, "value", self.interpolation)
        center = f", center={self.center}" if self.center is not None else ""
        return (f"{type(self).__name__}(degrees={self.degrees}, interpolation={mode}, expand={self.expand}{center}, "
                f"fill={self.fill})")


class RandomAffine(nn.Module):
    """Turned, moved, scaled and sheared at random; see `functional.affine`.

    Args:
        degrees: the largest angle either way, or the least and the largest.
        translate: the largest moves, as parts of (width, height); None for none.
        scale: the least and the largest factor; None for none.
        shear: degrees along x, as for `degrees`, or (least x, largest x, least y, largest y); None for none.
        interpolation, fill, center: as in `functional.affine`.
    """

    def __init__(self, degrees: Any, translate: Sequence[float] | None = None, scale: Sequence[float] | None = None,
                 shear: Any = None, interpolation: Any = InterpolationMode.NEAREST, fill: Any = 0,
                 center: Sequence[int] | None = None) -> None:
        super().__init__()
        self.degrees = _range(degrees, "degrees")
        if translate is not None and not all(0.0 <= each <= 1.0 for each in translate):
            raise ValueError(f"translation values should be between 0 and 1; given: {translate}")
        if scale is not None and not all(each > 0 for each in scale):
            raise ValueError(f"scale values should be positive; given: {scale}")
        self.translate, self.scale = translate, scale
        self.shear = None if shear is None else _range(shear, "shear")
        self.interpolation, self.fill, self.center = interpolation, fill, center

    @staticmethod
    def get_params(degrees: Sequence[float], translate: Sequence[float] | None, scale_ranges: Sequence[float] | None,
                   shears: Sequence[float] | None, img_size: Sequence[int]) -> tuple[float, Any, float, Any]:
        """(angle, (x, y), scale, (shear x, shear y)) at random; `img_size` is (width, height)."""
        angle = uniform(degrees[0], degrees[1])
        moves = (0, 0)
        if translate is not None:
            across, down = float(translate[0] * img_size[0]), float(translate[1] * img_size[1])
            moves = (round(uniform(-across, across)), round(uniform(-down, down)))
        scale = uniform(scale_ranges[0], scale_ranges[1]) if scale_ranges is not None else 1.0
        along = across_shear = 0.0
        if shears is not None:
            along = uniform(shears[0], shears[1])
            if len(shears) == 4:
                across_shear = uniform(shears[2], shears[3])
        return angle, moves, scale, (along, across_shear)

    def forward(self, img: Any) -> Any:
        """The picture, moved about."""
        drawn = self.get_params(self.degrees, self.translate, self.scale, self.shear, size_of(img))
        return F.affine(img, *drawn, interpolation=self.interpolation, fill=self.fill, center=self.center)

    def __repr__(self) -> str:
        given = [f"degrees={self.degrees}"]
        given += [f"{name}={value}" for name, value in (("translate", self.translate), ("scale", self.scale),
                                                       ("shear", self.shear)) if value is not None]
        return f"{type(self).__name__}({', '.join(given)})"


class RandomPerspective(nn.Module):
    """Seen from elsewhere, with probability `p`; corners move by up to half of `distortion_scale` of an edge."""

    def __init__(self, distortion_scale: float = 0.5, p: float = 0.5, interpolation: Any = InterpolationMode.BILINEAR,
                 fill: Any = 0) -> None:
        super().__init__()
        self.distortion_scale, self.p, self.interpolation, self.fill = distortion_scale, p, interpolation, fill

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[list[list[int]], list[list[int]]]:
        """The corners, and where they go."""
        across, down = int(distortion_scale * (width // 2)), int(distortion_scale * (height // 2))
        left, right = (0, across + 1), (width - across - 1, width)
        top, bottom = (0, down + 1), (height - down - 1, height)
        ends = [[whole(*x), whole(*y)] for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
        return [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], ends

    def forward(self, img: Any) -> Any:
        """The picture, tilted or not."""
        if not flambeau.rand(1) < self.p:
            return img
        start, end = self.get_params(*size_of(img), self.distortion_scale)
        return F.perspective(img, start, end, self.interpolation, self.fill)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class FiveCrop(nn.Module):
    """The four corners and the middle, as a tuple."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = sizes_of(size, "FiveCrop")

    def forward(self, img: Any) -> Any:
        """Five parts of the picture."""
        return F.five_crop(img, self.size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


class TenCrop(nn.Module):
    """The four corners and the middle, of the picture and of its mirror image."""

    def __init__(self, size: Any, vertical_flip: bool = False) -> None:
        super().__init__()
        self.size, self.vertical_flip = sizes_of(size, "TenCrop"), vertical_flip

    def forward(self, img: Any) -> Any:
        """Ten parts of the picture."""
        return F.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, vertical_flip={self.vertical_flip})"
