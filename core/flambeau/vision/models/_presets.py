"""How pictures are prepared for a pretrained model: as they were when its accuracy was measured."""

from __future__ import annotations

from typing import Any

from flambeau import Tensor, nn
from flambeau.dtypes import float32

__all__ = ["ImageClassification"]


class ImageClassification(nn.Module):
    """The shorter side is resized, the middle is cut out, and the channels are normalised.

    Args:
        crop_size: both sides of what is cut out, in pixels.
        resize_size: the shorter side after resizing.
        mean, std: of the channels, on the scale 0..1.
        interpolation: an `InterpolationMode` of the transforms, or its value: "bilinear", "bicubic".
        antialias: smooth what is made smaller (a tensor; PIL's pictures always are).

    Takes a PIL picture, or pixels (..., C, H, W): whole numbers, or floating point on the scale 0..1. Gives floating
    point (..., C, crop_size, crop_size).

    >>> import flambeau as torch
    >>> from flambeau.vision.models import ResNet18_Weights
    >>> prepare = ResNet18_Weights.DEFAULT.transforms()
    >>> prepare(torch.zeros(3, 300, 500, dtype=torch.uint8)).shape
    torch.Size([3, 224, 224])
    """

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        std: tuple[float, ...] = (0.229, 0.224, 0.225),
        interpolation: Any = "bilinear",
        antialias: bool | None = True,
    ) -> None:
        from flambeau.vision.transforms import functional  # not every program that uses models prepares pictures

        super().__init__()
        self.crop_size = [crop_size]
        self.resize_size = [resize_size]
        self.mean = list(mean)
        self.std = list(std)
        self.interpolation = functional.InterpolationMode(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Tensor:
        """The picture as the model takes it."""
        from flambeau.vision.transforms import functional

        img = functional.resize(img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias)
        img = functional.center_crop(img, self.crop_size)
        if not isinstance(img, Tensor):
            img = functional.pil_to_tensor(img)
        return functional.normalize(functional.convert_image_dtype(img, float32), mean=self.mean, std=self.std)

    def __repr__(self) -> str:
        names = ("crop_size", "resize_size", "mean", "std", "interpolation")
        return "\n    ".join([f"{type(self).__name__}(", *(f"{name}={getattr(self, name)}" for name in names)]) + "\n)"
