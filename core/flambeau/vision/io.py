"""Files of pictures, read into tensors and written from them by Pillow, under the names of torchvision.io."""

from __future__ import annotations

import enum
import io
import os
from typing import Any

import flambeau
from flambeau import Tensor
from flambeau.dtypes import uint8, uint16
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError, FlambeauError
from flambeau.vision.transforms._kinds import pil_module
from flambeau.vision.transforms._pixels import pixels_of, to_pil_image

__all__ = ["ImageReadMode", "decode_gif", "decode_image", "decode_jpeg", "decode_png", "decode_webp", "encode_jpeg",
           "encode_png", "read_file", "read_image", "write_file", "write_jpeg", "write_png"]  # fmt: skip

Path = str | os.PathLike[str]


class ImageReadMode(enum.Enum):
    """Which channels a picture has after it was read: those of the file, or these."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


Mode = ImageReadMode | str
_PILLOWS = {ImageReadMode.GRAY: "L", ImageReadMode.GRAY_ALPHA: "LA", ImageReadMode.RGB: "RGB",
            ImageReadMode.RGB_ALPHA: "RGBA"}  # fmt: skip


class MissingFileError(FlambeauError, RuntimeError, FileNotFoundError):
    """A file that is not there: torchvision raises RuntimeError, Python's `open` FileNotFoundError."""


class DecodeError(FlambeauError, RuntimeError):
    """Bytes that are not a picture, or not a whole one."""


# ------------------------------------------------------------------------------------------------------- files


def read_file(path: Path) -> Tensor:
    """The bytes of a file, as a uint8 tensor of one dimension.

    Raises RuntimeError where there is no such file, or where it is empty.
    """
    try:
        with open(path, "rb") as file:
            content = bytearray(file.read())
    except FileNotFoundError as error:
        raise MissingFileError(f"read_file: [Errno 2] No such file or directory: '{os.fspath(path)}'") from error
    if not content:
        raise DecodeError(f"read_file: Expected a non empty file: '{os.fspath(path)}' has no bytes")
    return flambeau.frombuffer(content, dtype=uint8)


def write_file(filename: Path, data: Tensor) -> None:
    """Write a uint8 tensor of one dimension to a file."""
    _check_bytes("write_file", data)
    with open(filename, "wb") as file:
        file.write(data.to("cpu").numpy().tobytes())


def _check_bytes(name: str, data: Any) -> None:
    if not isinstance(data, Tensor):
        raise ArgumentTypeError(f"{name}: Tensor expected, got {type(data)}")
    if data.dtype != uint8:
        raise ArgumentError(f"{name}: Input tensor dtype should be uint8, got {data.dtype}")
    if data.ndim != 1:
        raise ArgumentError(f"{name}: Input data should be a 1-dimensional tensor, got {data.ndim} dimensions")


# ----------------------------------------------------------------------------------------------------- decoding


def read_image(path: Path, mode: Mode = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> Tensor:
    """The picture in a file; see `decode_image`."""
    return decode_image(read_file(path), mode, apply_exif_orientation)


def decode_image(
    input: Tensor | Path, mode: Mode = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False
) -> Tensor:
    """The picture that a file's bytes stand for: uint8, (channels, height, width).

    Args:
        input: the bytes, a uint8 tensor of one dimension; or a file's path.
        mode: the channels, an `ImageReadMode` or its name. UNCHANGED: those of the file.
        apply_exif_orientation: turn the picture as the file says it was taken.

    PNG files with 16 bits of grey give uint16, GIF files with several pictures (N, 3, height, width).
    Raises RuntimeError where the bytes are not a picture.
    """
    return _decode("decode_image", input, mode, apply_exif_orientation, None)


def decode_png(input: Tensor, mode: Mode = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> Tensor:
    """The picture in the bytes of a PNG file; see `decode_image`."""
    return _decode("decode_png", input, mode, apply_exif_orientation, "PNG")


def decode_webp(input: Tensor, mode: Mode = ImageReadMode.UNCHANGED) -> Tensor:
    """The picture in the bytes of a WEBP file; see `decode_image`."""
    return _decode("decode_webp", input, mode, False, "WEBP")


def decode_gif(input: Tensor) -> Tensor:
    """The pictures in the bytes of a GIF file: (N, 3, height, width), or (3, height, width) if it is only one."""
    return _decode("decode_gif", input, ImageReadMode.RGB, False, "GIF")


def decode_jpeg(
    input: Tensor | list[Tensor],
    mode: Mode = ImageReadMode.UNCHANGED,
    device: Any = "cpu",
    apply_exif_orientation: bool = False,
) -> Any:
    """The picture in the bytes of a JPEG file, or a list of pictures for a list; see `decode_image`.

    Args:
        input, mode, apply_exif_orientation: as for `decode_image`.
        device: where the tensor is to be.
    """
    if isinstance(input, list):
        return [decode_jpeg(each, mode, device, apply_exif_orientation) for each in input]
    return _decode("decode_jpeg", input, mode, apply_exif_orientation, "JPEG").to(device)


def _mode(name: str, mode: Mode) -> ImageReadMode:
    if isinstance(mode, str):
        if mode.upper() not in ImageReadMode.__members__:
            raise ArgumentValueError(f"{name}: unknown mode {mode!r}; allowed: {', '.join(ImageReadMode.__members__)}")
        return ImageReadMode[mode.upper()]
    return mode


def _decode(name: str, input: Tensor | Path, mode: Mode, orient: bool, format: str | None) -> Tensor:
    library = pil_module()
    data = input if isinstance(input, Tensor) else read_file(input)
    _check_bytes(name, data)
    wanted = _mode(name, mode)
    try:
        with library.open(io.BytesIO(data.to("cpu").numpy().tobytes()), formats=format and (format,)) as image:
            if image.format == "GIF":
                return _frames(image)
            if image.format == "JPEG" and wanted is ImageReadMode.GRAY:
                image.draft("L", image.size)  # JPEG's own grey, not made from the colours
            image.load()
            if orient:
                from PIL import ImageOps

                image = ImageOps.exif_transpose(image)
            return _planes(image, wanted)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files, each in its place
        expected = f"a {format} file" if format else "a picture"
        count = data.numel()
        raise DecodeError(f"{name}: these {count} bytes are not {expected} that can be read ({error})") from error


def _frames(image: Any) -> Tensor:
    pictures = []
    for number in range(image.n_frames):
        image.seek(number)
        pictures.append(_planes(image, ImageReadMode.RGB))
    return pictures[0] if len(pictures) == 1 else flambeau.stack(pictures)


def _planes(image: Any, wanted: ImageReadMode) -> Tensor:
    """A PIL image as (channels, height, width)."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow cannot convert to colours
        return _deep(image, wanted)
    target = _PILLOWS.get(wanted) or _unpacked(image)
    if image.mode != target:
        image = image.convert(target)
    return pixels_of(image).permute(2, 0, 1).contiguous()


def _unpacked(image: Any) -> str:
    """The mode with one value for each channel of each pixel."""
    if image.mode in ("P", "PA"):
        return "RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB"
    return "L" if image.mode == "1" else str(image.mode)


def _deep(image: Any, wanted: ImageReadMode) -> Tensor:
    raw = bytearray(image.convert("I").tobytes())
    grey = flambeau.frombuffer(raw, dtype=flambeau.int32).reshape(1, image.height, image.width)
    planes = [grey] * (3 if wanted in (ImageReadMode.RGB, ImageReadMode.RGB_ALPHA) else 1)
    if wanted in (ImageReadMode.GRAY_ALPHA, ImageReadMode.RGB_ALPHA):
        planes.append(flambeau.full_like(grey, 0xFFFF))
    return flambeau.cat(planes).to(uint16)


# ----------------------------------------------------------------------------------------------------- encoding


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """The bytes of a PNG file of a picture.

    Args:
        input: uint8, (1 or 3, height, width).
        compression_level: from 0, quick, to 9, small.

    Returns a uint8 tensor of one dimension.
    """
    if not 0 <= compression_level <= 9:
        raise ArgumentError(f"encode_png: Compression level should be between 0 and 9, got {compression_level}")
    return _encode("encode_png", input, "PNG", compress_level=compression_level)


def encode_jpeg(input: Tensor | list[Tensor], quality: int = 75) -> Any:
    """The bytes of a JPEG file of a picture, or a list of them for a list.

    Args:
        input: uint8, (1 or 3, height, width).
        quality: from 1 to 100.

    Returns a uint8 tensor of one dimension.
    """
    if not 1 <= quality <= 100:
        raise ArgumentValueError(f"encode_jpeg: Image quality should be a positive number between 1 and 100, "
                                 f"got {quality}")  # fmt: skip
    if isinstance(input, list):
        return [encode_jpeg(each, quality) for each in input]
    return _encode("encode_jpeg", input, "JPEG", quality=quality)


def write_png(input: Tensor, filename: Path, compression_level: int = 6) -> None:
    """Write a picture to a PNG file; see `encode_png`."""
    write_file(filename, encode_png(input, compression_level))


def write_jpeg(input: Tensor, filename: Path, quality: int = 75) -> None:
    """Write a picture to a JPEG file; see `encode_jpeg`."""
    write_file(filename, encode_jpeg(input, quality))


def _encode(name: str, input: Tensor, format: str, **options: Any) -> Tensor:
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(f"{name}: Tensor expected, got {type(input)}")
    if input.dtype != uint8:
        raise ArgumentError(f"{name}: Input tensor dtype should be uint8, got {input.dtype}")
    if input.ndim != 3:
        raise ArgumentError(f"{name}: Input data should be a 3-dimensional tensor, got {input.ndim} dimensions")
    if input.shape[0] not in (1, 3):
        raise ArgumentError(f"{name}: The number of channels should be 1 or 3, got: {input.shape[0]}")
    buffer = io.BytesIO()
    to_pil_image(input).save(buffer, format=format, **options)
    return flambeau.frombuffer(bytearray(buffer.getvalue()), dtype=uint8)
