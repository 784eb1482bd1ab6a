"""Colours, blur and holes at random. What is drawn, is drawn as torchvision draws it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import flambeau
from flambeau import nn
from flambeau.tensor import Tensor
from flambeau.vision.transforms import functional as F
from flambeau.vision.transforms._geometry import sizes_of, uniform, whole

__all__ = ["ColorJitter", "GaussianBlur", "Grayscale", "RandomAdjustSharpness", "RandomAutocontrast", "RandomEqualize",
           "RandomErasing", "RandomGrayscale", "RandomInvert", "RandomPosterize", "RandomSolarize"]


class ColorJitter(nn.Module):
    """Brightness, contrast, saturation and hue changed at random, in random order.

    Args:
        brightness, contrast, saturation: factors between max(0, 1 - value) and 1 + value, or between two numbers.
        hue: moves between -value and value, at most 0.5, or between two numbers.
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        super().__init__()
        self.brightness = self._check(brightness, "brightness")
        self.contrast = self._check(contrast, "contrast")
        self.saturation = self._check(saturation, "saturation")
        self.hue = self._check(hue, "hue", center=0.0, bound=(-0.5, 0.5))

    @staticmethod
    def _check(value: Any, name: str, center: float = 1.0,
               bound: tuple[float, float] = (0.0, float("inf"))) -> tuple[float, float] | None:
        """The range of one property; None where it stays."""
        if isinstance(value, (int, float)):
            if value < 0:
                raise ValueError(f"If {name} is a single number, it must be non negative; given: {value}")
            low, high = center - value, center + value
            low = max(low, 0.0) if center else low
        elif isinstance(value, (tuple, list)) and len(value) == 2:
            low, high = float(value[0]), float(value[1])
        else:
            raise TypeError(f"{name} should be a single number or a list/tuple with length 2; given: {value!r}")
        if not bound[0] <= low <= high <= bound[1]:
            raise ValueError(f"{name} values should be between {bound}, but got {(low, high)}.")
        return None if low == high == center else (low, high)

    @staticmethod
    def get_params(brightness: Any, contrast: Any, saturation: Any,
                   hue: Any) -> tuple[Tensor, float | None, float | None, float | None, float | None]:
        """The order of the four changes, and by how much each."""
        order = flambeau.randperm(4)
        ranges = (brightness, contrast, saturation, hue)
        first, second, third, fourth = (None if each is None else uniform(each[0], each[1]) for each in ranges)
        return order, first, second, third, fourth

    def forward(self, img: Any) -> Any:
        """The picture in other colours."""
        order, *amounts = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
        for number in order.tolist():
            if amounts[number] is not None:
                img = changes[number](img, amounts[number])
        return img

    def __repr__(self) -> str:
        names = ("brightness", "contrast", "saturation", "hue")
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)}' for name in names)})"


class Grayscale(nn.Module):
    """Black and white, in 1 or 3 channels."""

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def forward(self, img: Any) -> Any:
        """The picture without colours."""
        return F.rgb_to_grayscale(img, self.num_output_channels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_output_channels={self.num_output_channels})"


class RandomGrayscale(nn.Module):
    """Black and white with probability `p`, in as many channels as before."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p = p

    def forward(self, img: Any) -> Any:
        """The picture, with or without colours."""
        channels = F.get_image_num_channels(img)
        return F.rgb_to_grayscale(img, channels) if flambeau.rand(1) < self.p else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class GaussianBlur(nn.Module):
    """Blurred, by a bell curve of random width.

    Args:
        kernel_size: odd pixels, or (along x, along y).
        sigma: the width, or the least and the largest.
    """

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size = sizes_of(kernel_size, "GaussianBlur")
        if any(size <= 0 or size % 2 == 0 for size in self.kernel_size):
            raise ValueError(f"Kernel size value should be an odd and positive number; given: {kernel_size}")
        low, high = (sigma, sigma) if isinstance(sigma, (int, float)) else sigma
        if not 0.0 < low <= high:
            raise ValueError(f"sigma values should be positive and of the form (min, max). Got {sigma}")
        self.sigma = (float(low), float(high))

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """A random width."""
        return uniform(sigma_min, sigma_max)

    def forward(self, img: Any) -> Any:
        """The picture, blurred."""
        sigma = self.get_params(*self.sigma)
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"


class _Sometimes(nn.Module):
    """A change with probability `p`; `setting` is what the repr shows beside it."""

    setting = ""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def change(self, img: Any) -> Any:
        """What is done to the picture."""
        raise NotImplementedError

    def forward(self, img: Any) -> Any:
        """The picture, changed or not."""
        return self.change(img) if flambeau.rand(1).item() < self.p else img

    def __repr__(self) -> str:
        shown = f"{self.setting}={getattr(self, self.setting)}," if self.setting else ""
        return f"{type(self).__name__}({shown}p={self.p})"


class RandomInvert(_Sometimes):
    """The negative."""

    def change(self, img: Any) -> Any:
        return F.invert(img)


class RandomAutocontrast(_Sometimes):
    """Each channel stretched from black to white."""

    def change(self, img: Any) -> Any:
        return F.autocontrast(img)


class RandomEqualize(_Sometimes):
    """Each channel's values spread evenly."""

    def change(self, img: Any) -> Any:
        return F.equalize(img)


class RandomPosterize(_Sometimes):
    """Fewer colours: `bits` of each channel's 8 are kept."""

    setting = "bits"

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def change(self, img: Any) -> Any:
        return F.posterize(img, self.bits)


class RandomSolarize(_Sometimes):
    """What is as bright as the threshold, or brighter, is inverted."""

    setting = "threshold"

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def change(self, img: Any) -> Any:
        return F.solarize(img, self.threshold)


class RandomAdjustSharpness(_Sometimes):
    """Blurred below 1, sharper above."""

    setting = "sharpness_factor"

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def change(self, img: Any) -> Any:
        return F.adjust_sharpness(img, self.sharpness_factor)


class RandomErasing(nn.Module):
    """A random rectangle of a tensor overwritten, with probability `p` (Zhong et al., 2017).

    Args:
        p: how often.
        scale: the least and the largest part of the area.
        ratio: the least and the largest height over width.
        value: what it is overwritten with: a number, one per channel, or "random".
        inplace: change the tensor itself.
    """

    def __init__(self, p: float = 0.5, scale: Sequence[float] = (0.02, 0.33), ratio: Sequence[float] = (0.3, 3.3),
                 value: Any = 0, inplace: bool = False) -> None:
        super().__init__()
        if not isinstance(value, (int, float, str, tuple, list)):
            raise TypeError(f"Argument value should be either a number or str or a sequence; given: {value!r}")
        if isinstance(value, str) and value != "random":
            raise ValueError(f"If value is str, it should be 'random'; given: {value!r}")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError(f"Scale should be between 0 and 1; given: {scale}")
        if not 0 <= p <= 1:
            raise ValueError(f"Random erasing probability should be between 0 and 1; given: {p}")
        self.p, self.scale, self.ratio, self.value, self.inplace = p, scale, ratio, value, inplace

    @staticmethod
    def get_params(img: Tensor, scale: Sequence[float], ratio: Sequence[float],
                   value: list[float] | None = None) -> tuple[int, int, int, int, Tensor]:
        """(top, left, height, width, values) at random; the whole picture where ten draws do not fit."""
        channels, height, width = (int(size) for size in img.shape[-3:])
        logarithms = flambeau.log(flambeau.tensor(ratio)).tolist()
        for _ in range(10):
            area = height * width * uniform(scale[0], scale[1])
            aspect = float(flambeau.exp(flambeau.empty(1).uniform_(*logarithms)).item())
            part_height, part_width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (part_height < height and part_width < width):
                continue
            if value is None:
                filling = flambeau.empty([channels, part_height, part_width], dtype=flambeau.float32).normal_()
            else:
                filling = flambeau.tensor(value)[:, None, None]
            top = whole(0, height - part_height + 1)
            return top, whole(0, width - part_width + 1), part_height, part_width, filling
        return 0, 0, height, width, img

    def forward(self, img: Tensor) -> Tensor:
        """The picture, with or without a hole."""
        if not flambeau.rand(1) < self.p:
            return img
        if isinstance(self.value, (int, float)):
            value: list[float] | None = [float(self.value)]
        else:
            value = None if isinstance(self.value, str) else [float(each) for each in self.value]
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(f"If value is a sequence, it should have either a single value or {img.shape[-3]} (number "
                             f"of input channels); given: {self.value}")
        top, left, height, width, filling = self.get_params(img, self.scale, self.ratio, value)
        return F.erase(img, top, left, height, width, filling.to(img.device), self.inplace)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, "
                f"inplace={self.inplace})")
