"""Reading IDX files, the format of MNIST: a short big-endian header, then the values.

The header says how many values follow. A file that holds more or fewer is damaged, most often by a broken download,
and is refused rather than read in part; one with fewer images than usual and a header that says so is fine.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import flambeau
from flambeau.dtypes import uint8
from flambeau.tensor import Tensor

_UINT8 = 0x08  # the type code in the third byte; MNIST and its kin use no other


def read_idx(path: Path, ndim: int) -> Tensor:
    """The uint8 tensor in `path`, gzipped or not, which must have `ndim` dimensions.

    Raises ValueError, naming the file, where it is not what its name or its header promises.
    """
    raw = _content(path)
    if len(raw) < 4 or raw[0] or raw[1] or raw[2] != _UINT8:
        raise ValueError(
            f"{path}: not an IDX file of bytes; it begins with {raw[:4].hex(' ') or 'nothing'}, "
            f"expected 00 00 08 {ndim:02x}. Delete it and get it anew"
        )
    if raw[3] != ndim:
        raise ValueError(f"{path}: holds an array of {raw[3]} dimensions, expected {ndim}; is it the right file?")
    start = 4 + 4 * ndim
    if len(raw) < start:
        raise ValueError(
            f"{path}: its header promises {start} bytes of header, but the file has {len(raw)} bytes. "
            "The file is incomplete: delete it and get it anew"
        )
    shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4)]
    promised, found = math.prod(shape), len(raw) - start
    if promised != found:
        extent = " x ".join(map(str, shape))
        raise ValueError(
            f"{path}: its header promises {extent} = {promised} bytes of data, but {found} bytes follow. "
            "The file is damaged or incomplete: delete it and get it anew"
        )
    values: Tensor
    if promised:
        values = flambeau.frombuffer(raw, dtype=uint8, offset=start).reshape(shape)
    else:  # there is no buffer of no bytes
        values = flambeau.empty(shape, dtype=uint8)
    return values


def _content(path: Path) -> bytearray:
    # A bytearray, because a tensor over it must be writable.
    if path.suffix != ".gz":
        return bytearray(path.read_bytes())
    try:
        with gzip.open(path) as file:
            return bytearray(file.read())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path}: not a complete gzip file ({error}); {path.stat().st_size} bytes on disk. "
            "Delete it and get it anew"
        ) from error
