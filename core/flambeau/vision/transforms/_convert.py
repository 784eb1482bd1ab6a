"""Transforms: from a picture to the tensor that a model takes, under torchvision's names.

A transform works on one sample. Where it acts on every pixel alone, it can also say what it does to a whole stack of
samples: a method `batched(images)` in its own class. A dataset whose transform has that form for every step makes a
batch in a few large operations in place of many small ones; the numbers are the same to the last bit. The method is
looked for in the class itself, not in its bases, so a subclass that changes the transform never inherits a wrong one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import flambeau
from flambeau import nn
from flambeau.dtypes import float32, get_default_dtype, int16, int32, uint8
from flambeau.tensor import Tensor
from flambeau.vision.image import Image, pillow

__all__ = ["Compose", "ToTensor", "Normalize", "Lambda"]


class Compose:
    """Transforms one after the other.

    >>> from flambeau.vision import transforms
    >>> transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    Compose(
        ToTensor()
        Normalize(mean=(0.5,), std=(0.5,))
    )
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


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
        library = pillow()
        if isinstance(pic, Image):
            return _scaled(pic.pixels.unsqueeze(0))
        if library is not None and isinstance(pic, library.Image):
            return _scaled(_pil_pixels(pic).permute(2, 0, 1).contiguous())
        if hasattr(pic, "__array_interface__") and hasattr(pic, "ndim") and not isinstance(pic, Tensor):
            if pic.ndim not in (2, 3):
                raise ValueError(f"ToTensor: pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
            pixels = flambeau.as_tensor(pic)
            return _scaled((pixels if pic.ndim == 3 else pixels.unsqueeze(2)).permute(2, 0, 1).contiguous())
        raise TypeError(f"ToTensor: pic should be PIL Image or ndarray. Got {type(pic)}")

    def batched(self, images: Tensor) -> Tensor:
        """For uint8 pictures of shape (n, height, width)."""
        if images.dtype != uint8 or images.ndim != 3:
            raise TypeError(f"ToTensor: pic should be PIL Image or ndarray. Got {type(images)}")
        return _scaled(images.unsqueeze(1))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _scaled(pixels: Tensor) -> Tensor:
    if pixels.dtype != uint8:
        return pixels
    scaled: Tensor = pixels.to(get_default_dtype()).div_(255)
    return scaled


def _pil_pixels(pic: Any) -> Tensor:
    """The values of a PIL image, (height, width, channels)."""
    if pic.mode == "1":
        pic = pic.convert("L")  # one bit per pixel, packed: unpacked it is 0 or 255
    dtype = {"I": int32, "I;16": int16, "F": float32}.get(pic.mode, uint8)
    values = flambeau.frombuffer(bytearray(pic.tobytes()), dtype=dtype)
    pixels: Tensor = values.reshape(pic.height, pic.width, len(pic.getbands()))
    return pixels


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


class Lambda:
    """Any function as a transform.

    >>> from flambeau.vision import transforms
    >>> transforms.Lambda(lambda x: x + 1)(2)
    3
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def batch_form(transform: Any) -> Callable[[Tensor], Tensor] | None:
    """What `transform` does to a stack of samples, or None where it only declares what it does to one.

    >>> batch_form(Compose([ToTensor(), Lambda(abs)])) is None
    True
    """
    if type(transform) is Compose:
        steps = [form for step in transform.transforms if (form := batch_form(step)) is not None]
        return Compose(steps) if len(steps) == len(transform.transforms) else None
    hooked = getattr(transform, "_forward_hooks", None) or getattr(transform, "_forward_pre_hooks", None)
    if hooked or "batched" not in vars(type(transform)):
        return None
    own: Callable[[Tensor], Tensor] = transform.batched
    return own
