"""Files in memory: what the tests of saving and loading share."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import flambeau
from flambeau.dtypes import by_name
from flambeau.serialization.storage import UntypedStorage


def saved(value: Any, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    flambeau.save(value, file, **options)
    file.seek(0)
    return file


def round_trip(value: Any, **options: Any) -> Any:
    return flambeau.load(saved(value, **options))


def content(tensor: Any) -> bytes:
    """All bytes of a tensor's storage, whatever its dtype."""
    return bytes(UntypedStorage.of(tensor).buffer())


def share_memory(a: Any, b: Any) -> bool:
    return UntypedStorage.of(a) is UntypedStorage.of(b)


def counting(dtype: str) -> Any:
    """Six elements whose bytes all differ from zero and are values of the dtype."""
    itemsize = by_name(dtype).itemsize
    data = bytes([1, 0, 1, 1, 0, 1]) if dtype == "bool" else bytes(range(1, 6 * itemsize + 1))
    return UntypedStorage.from_buffer(memoryview(bytearray(data))).tensor(by_name(dtype), (2, 3), (3, 1), 0)


def repacked(file: io.BytesIO, changes: dict[str, bytes | None]) -> io.BytesIO:
    """The same archive with some records replaced, or left out."""
    result = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            data = changes.get(name.partition("/")[2], old.read(name))
            if data is not None:
                new.writestr(name, data)
    result.seek(0)
    return result
