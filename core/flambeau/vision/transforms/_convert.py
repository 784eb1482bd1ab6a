"""From pictures to what a model takes, and back: tensors, dtypes, and numbers of a standard size."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import flambeau
from flambeau import nn
from flambeau.dtypes import dtype as dtype_type, float32, uint8
from flambeau.tensor import Tensor
from flambeau.vision.transforms._pixels import (
    convert_image_dtype,
    pil_to_tensor,
    scaled,
    to_pil_image,
    to_tensor,
)

__all__ = ["ConvertImageDtype", "LinearTransformation", "Normalize", "PILToTensor", "ToPILImage", "ToTensor"]


class ToTensor:
    """A picture (PIL's, an array, or a dataset's own) as a tensor of shape (channels, height, width).

    Eight-bit values 0..255 become the default floating dtype in 0..1; other kinds keep their values and dtype. An
    array is (height, width) or (height, width, channels). Anything else is a TypeError.

    >>> import flambeau as torch
    >>> from flambeau.vision import transforms
    >>> from flambeau.vision.image import Image
    >>> transforms.ToTensor()(Image(torch.tensor([[0, 51, 255]], dtype=torch.uint8)))
    tensor([[[0.0000, 0.2000, 1.0000]]])
    """

    def __call__(self, pic: Any) -> Tensor:
        return to_tensor(pic)

    def batched(self, images: Tensor) -> Tensor:
        """For uint8 pictures of shape (n, height, width) or (n, height, width, channels)."""
        if images.dtype != uint8 or images.ndim not in (3, 4):
            raise TypeError(f"ToTensor: pic should be PIL Image or ndarray. Got {type(images)}")
        return scaled(images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous())

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PILToTensor:
    """A PIL image as a tensor (channels, height, width), its values as they are."""

    def __call__(self, pic: Any) -> Tensor:
        return pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToPILImage:
    """A tensor (channels, height, width) or an array (height, width, channels) as a PIL image.

    Values between 0 and 1 in floating point become bytes. Without a `mode` the number of channels decides.
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class ConvertImageDtype(nn.Module):
    """Another dtype, the values scaled to its range; see `functional.convert_image_dtype`."""

    def __init__(self, dtype: dtype_type = float32) -> None:
        super().__init__()
        if not isinstance(dtype, dtype_type):
            raise TypeError(f"ConvertImageDtype: Argument dtype should be of type torch.dtype, got {dtype!r}")
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        """The tensor in the other dtype."""
        return convert_image_dtype(image, self.dtype)


class Normalize(nn.Module):
    """Subtract `mean` and divide by `std`, channel by channel: for float tensors (..., channels, height, width).

    Raises TypeError for anything but a float tensor, ValueError for too few dimensions or a std of zero.

    >>> import flambeau as torch
    >>> from flambeau.vision import transforms
    >>> transforms.Normalize((0.5,), (0.25,))(torch.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def forward(self, tensor: Tensor) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Normalize: img should be Tensor Image. Got {type(tensor)}; put ToTensor() before it")
        if not tensor.is_floating_point():
            raise TypeError(f"Normalize: Input tensor should be a float tensor. Got {tensor.dtype}.")
        if tensor.ndim < 3:
            raise ValueError(
                "Normalize: Expected tensor to be a tensor image of size (..., C, H, W). "
                f"Got tensor.size() = {tuple(tensor.shape)}"
            )
        mean, std = _statistics(_numbers(self.mean), _numbers(self.std), tensor.dtype, tensor.device)
        result: Tensor = (tensor.sub_(mean) if self.inplace else tensor.sub(mean)).div_(std)
        return result

    def batched(self, images: Tensor) -> Tensor:
        """The same: the leading dimensions are free."""
        return self.forward(images)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean}, std={self.std})"


def _numbers(values: float | Iterable[float]) -> tuple[float, ...]:
    return tuple(map(float, values)) if isinstance(values, Iterable) else (float(values),)


@functools.lru_cache(maxsize=32)
def _statistics(mean: tuple[float, ...], std: tuple[float, ...], dtype: Any, device: Any) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation as tensors, made once and not for every batch; nobody writes to them."""
    shaped = [flambeau.as_tensor(each, dtype=dtype, device=device).reshape(-1, 1, 1) for each in (mean, std)]
    if (shaped[1] == 0).any():
        raise ValueError(f"Normalize: std evaluated to zero after conversion to {dtype}, leading to division by zero.")
    return shaped[0], shaped[1]


class LinearTransformation(nn.Module):
    """A matrix times the flattened picture less its mean: whitening.

    Args:
        transformation_matrix: (D, D) for D = channels * height * width.
        mean_vector: (D).
    """

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        super().__init__()
        rows, columns = transformation_matrix.shape
        if rows != columns:
            raise ValueError("LinearTransformation: transformation_matrix should be square. Got "
                             f"{[rows, columns]} rectangular matrix.")
        if mean_vector.shape[0] != rows:
            raise ValueError(f"LinearTransformation: mean_vector should have the same length {mean_vector.shape[0]} as "
                             f"any one of the dimensions of the transformation_matrix {[rows, columns]}")
        self.transformation_matrix, self.mean_vector = transformation_matrix, mean_vector

    def forward(self, tensor: Tensor) -> Tensor:
        """The picture, transformed, in its own shape."""
        count = tensor.shape[-3] * tensor.shape[-2] * tensor.shape[-1]
        if count != self.transformation_matrix.shape[0]:
            raise ValueError(f"LinearTransformation: Input tensor and transformation matrix have incompatible shape; "
                             f"given: {list(tensor.shape)} and {list(self.transformation_matrix.shape)}")
        flat = tensor.reshape(-1, count) - self.mean_vector
        return flat.mm(self.transformation_matrix).reshape(tensor.shape)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(transformation_matrix={self.transformation_matrix.tolist()}, "
                f"mean_vector={self.mean_vector.tolist()})")
