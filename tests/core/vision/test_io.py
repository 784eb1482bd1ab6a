"""vision.io: what Pillow reads and writes arrives in tensors, channel by channel."""

from __future__ import annotations

import io as streams
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.vision import io
from flambeau.vision.io import ImageReadMode

library = pytest.importorskip("PIL.Image", reason="Pillow reads and writes pictures")


def picture(mode: str = "RGB") -> Any:
    values = np.random.default_rng(1).integers(0, 256, (6, 9, 4), dtype=np.uint8)
    return library.fromarray(values, "RGBA").convert(mode) if mode != "RGBA" else library.fromarray(values)


def packed(image: Any, format: str, **options: Any) -> flambeau.Tensor:
    buffer = streams.BytesIO()
    image.save(buffer, format=format, **options)
    return flambeau.frombuffer(bytearray(buffer.getvalue()), dtype=flambeau.uint8)


def planes(image: Any) -> np.ndarray:
    values = np.asarray(image)
    return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_png_in_every_mode(mode: str) -> None:
    data = packed(picture(mode), "PNG")
    unchanged = io.decode_image(data)
    assert unchanged.dtype == flambeau.uint8
    np.testing.assert_array_equal(unchanged.numpy(), planes(picture(mode)))
    for wanted, target in (("GRAY", "L"), ("GRAY_ALPHA", "LA"), ("RGB", "RGB"), ("RGB_ALPHA", "RGBA")):
        for given in (ImageReadMode[wanted], wanted):
            decoded = io.decode_png(data, given)
            np.testing.assert_array_equal(decoded.numpy(), planes(picture(mode).convert(target)))


def test_palettes_bits_and_deep_grey() -> None:
    palette = picture().convert("P", palette=library.Palette.ADAPTIVE)
    np.testing.assert_array_equal(io.decode_image(packed(palette, "PNG")).numpy(), planes(palette.convert("RGB")))
    assert io.decode_image(packed(palette, "PNG", transparency=0)).shape == (4, 6, 9)
    bits = picture("L").convert("1")
    np.testing.assert_array_equal(io.decode_image(packed(bits, "PNG")).numpy(), planes(bits.convert("L")))
    deep = np.array([[0, 256, 65535], [1, 2, 40000]], dtype=np.uint16)
    data = packed(library.fromarray(deep), "PNG")
    assert io.decode_image(data).dtype == flambeau.uint16
    assert io.decode_image(data).tolist() == [deep.tolist()]
    assert io.decode_image(data, "RGB_ALPHA")[:, 1, 2].tolist() == [40000, 40000, 40000, 65535]


def test_jpeg_webp_and_gif() -> None:
    data = packed(picture(), "JPEG", quality=90)
    with library.open(streams.BytesIO(data.numpy().tobytes())) as expected:
        np.testing.assert_array_equal(io.decode_jpeg(data).numpy(), planes(expected))
    assert io.decode_jpeg([data, data], ImageReadMode.GRAY)[1].shape == (1, 6, 9)
    turned = library.Exif()
    turned[0x0112] = 6
    data = packed(picture(), "JPEG", exif=turned)
    assert io.decode_image(data).shape == (3, 6, 9)
    assert io.decode_image(data, apply_exif_orientation=True).shape == (3, 9, 6)
    webp = packed(picture(), "WEBP", lossless=True)
    np.testing.assert_array_equal(io.decode_webp(webp).numpy(), planes(picture()))
    frames = [library.new("RGB", (4, 3), colour) for colour in ("red", "lime")]
    gif = io.decode_gif(packed(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert gif.shape == (2, 3, 3, 4)
    assert gif[:, :, 0, 0].tolist() == [[255, 0, 0], [0, 255, 0]]
    assert io.decode_image(packed(frames[0], "GIF")).shape == (3, 3, 4)


def test_files(tmp_path: Path) -> None:
    for channels in (1, 3):
        tensor = flambeau.randint(0, 256, (channels, 5, 7), dtype=flambeau.uint8)
        io.write_png(tensor, tmp_path / "a.png", compression_level=9)
        assert flambeau.equal(io.read_image(tmp_path / "a.png"), tensor)
        assert flambeau.equal(io.decode_image(str(tmp_path / "a.png")), tensor)
        io.write_jpeg(tensor, tmp_path / "a.jpg", quality=100)
        assert io.read_image(str(tmp_path / "a.jpg")).shape == tensor.shape
    data = flambeau.arange(10, dtype=flambeau.uint8)
    io.write_file(tmp_path / "bytes", data)
    assert (tmp_path / "bytes").read_bytes() == bytes(range(10))
    assert flambeau.equal(io.read_file(tmp_path / "bytes"), data)
    grey = flambeau.full((3, 8, 8), 120, dtype=flambeau.uint8)
    assert all(int((io.decode_jpeg(each).int() - 120).abs().max()) <= 1 for each in io.encode_jpeg([grey, grey]))


@pytest.mark.parametrize("call, kind, text", [
    (lambda x: io.read_image("/no/such/file.png"), RuntimeError, "No such file"),
    (lambda x: io.read_image("/no/such/file.png"), FileNotFoundError, "No such file"),
    (lambda x: io.decode_image(x[0, 0]), RuntimeError, "not a picture"),
    (lambda x: io.decode_jpeg(io.encode_png(x)), RuntimeError, "not a JPEG file"),
    (lambda x: io.decode_image(io.encode_png(x)[:60]), RuntimeError, "not a picture"),
    (lambda x: io.decode_image(x), RuntimeError, "1-dimensional"),
    (lambda x: io.decode_image(io.encode_png(x), "CMYK"), ValueError, "unknown mode"),
    (lambda x: io.encode_png(x.int()), RuntimeError, "dtype should be uint8"),
    (lambda x: io.encode_png(x[0]), RuntimeError, "3-dimensional"),
    (lambda x: io.encode_jpeg(x[:2]), RuntimeError, "should be 1 or 3, got: 2"),
    (lambda x: io.encode_png(x, 10), RuntimeError, "Compression level"),
    (lambda x: io.encode_jpeg(x, 0), ValueError, "between 1 and 100"),
    (lambda x: io.write_file("unused", x), RuntimeError, "1-dimensional"),
])  # fmt: skip
def test_errors(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call(flambeau.randint(0, 256, (3, 16, 16), dtype=flambeau.uint8))
