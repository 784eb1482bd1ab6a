"""What a dataset hands to its transform: a picture.

With Pillow installed it is a PIL image, as programs written for torchvision expect. Pillow is not needed for the
common case, a picture that becomes a tensor at once, so without it a light stand-in is used that has the size, the
mode and the bytes. `ToTensor` gives the same numbers for both.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from types import ModuleType
from typing import Any

from flambeau.tensor import Tensor


class Image:
    """A picture: `pixels` is a uint8 tensor of shape (height, width) if it is grey, (height, width, 3) in colour.

    >>> import flambeau as torch
    >>> Image(torch.zeros(28, 20, dtype=torch.uint8))
    <flambeau.vision.image.Image mode=L size=20x28>
    """

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    @property
    def mode(self) -> str:
        """Pillow's name for eight bits of grey, or of each of three colours."""
        return "L" if self.pixels.ndim == 2 else "RGB"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in Pillow's order."""
        height, width = self.pixels.shape[:2]
        return width, height

    @property
    def width(self) -> int:
        return self.size[0]

    @property
    def height(self) -> int:
        return self.size[1]

    def tobytes(self) -> bytes:
        """The values row by row."""
        return bytes(self.pixels.numpy().tobytes())

    def planes(self) -> Tensor:
        """The values as a tensor (channels, height, width)."""
        return self.pixels.unsqueeze(0) if self.pixels.ndim == 2 else self.pixels.permute(2, 0, 1).contiguous()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.pixels.numpy()
        return array.copy() if dtype is None else array.astype(dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and self.size == other.size and self.tobytes() == other.tobytes()

    __hash__ = None  # type: ignore[assignment]  # the pixels can change

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.Image mode={self.mode} size={self.width}x{self.height}>"


@functools.cache
def pillow() -> ModuleType | None:
    """Pillow's Image module, or None where Pillow is not installed."""
    if importlib.util.find_spec("PIL") is None:
        return None
    return importlib.import_module("PIL.Image")


def picture(pixels: Tensor) -> Any:
    """A picture of a uint8 tensor (height, width) or (height, width, 3): PIL's with Pillow, else an `Image`.

    >>> import flambeau as torch
    >>> picture(torch.zeros(28, 20, 3, dtype=torch.uint8)).size
    (20, 28)
    """
    library = pillow()
    image = Image(pixels)
    return image if library is None else library.frombytes(image.mode, image.size, image.tobytes())


grey_image = picture
"""The name of `picture` for a tensor (height, width)."""
