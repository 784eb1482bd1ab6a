"""Reading files: which format it is, and the loading of the zip format."""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import IO, Any

from flambeau import dtypes
from flambeau.errors import ArgumentTypeError, ArgumentValueError
from flambeau.serialization import _legacy, _pickler, options
from flambeau.serialization._allowed import AllowList
from flambeau.serialization._archive import READABLE_VERSIONS, Archive
from flambeau.serialization._locations import Place, placing
from flambeau.serialization._names import StorageClass
from flambeau.serialization._pickler import parse_reference
from flambeau.serialization._unpickle import SafeUnpickler, UnsafePickleError
from flambeau.serialization.safe import get_safe_globals
from flambeau.serialization.storage import FileFormatError, TypedStorage, UntypedStorage

__all__ = ["FileFormatError", "load", "unsafe_globals"]

ZIP_MAGIC = b"PK\x03\x04"
Loader = Callable[[Any, Callable[[Any], Any]], Any]


def load(f: Any, map_location: Any, pickle_module: ModuleType | None, weights_only: bool, mmap: bool,
         arguments: dict[str, Any]) -> Any:
    """What the public `load` does once its arguments have been sorted out."""
    if mmap and not isinstance(f, str | os.PathLike):
        raise ArgumentValueError("load: mmap=True needs a path, because only a file on disk can be mapped; leave mmap "
                                 "out for a file object")
    place = placing(map_location)
    with _opened(f) as (file, start):
        is_zip = start.startswith(ZIP_MAGIC)
        if mmap and not is_zip:
            raise FileFormatError("load: mmap=True needs the zip format; load the file without it, save it again and "
                                  "load that with mmap=True")
        if is_zip:
            reader: Any = _ZipReader(file, place, mmap)
        else:
            reader = _legacy.LegacyReader(file, start, place)
        if not weights_only:
            return reader.load(lambda data, find: _pickler.unpickler(
                pickle_module, data if hasattr(data, "read") else io.BytesIO(data), find, arguments).load())
        try:
            return reader.load(_safely(arguments.get("encoding", "utf-8")))
        except UnsafePickleError as error:
            raise _explained(error) from error


def _safely(encoding: str) -> Loader:
    allowed = AllowList(get_safe_globals())

    def run(data: Any, find: Callable[[Any], Any]) -> Any:
        position = data.tell() if hasattr(data, "read") else 0
        view = data.getbuffer() if hasattr(data, "read") else data
        unpickler = SafeUnpickler(view, allowed, find, position, encoding)
        result = unpickler.load()
        if hasattr(data, "read"):
            data.seek(unpickler.position)
        return result
    return run


def _explained(error: UnsafePickleError) -> UnsafePickleError:
    return UnsafePickleError(f"Weights only load failed: {error}. load() with weights_only=False would run whatever "
                             "code the file contains: do that only if you trust where it comes from")


@contextmanager
def _opened(f: Any) -> Iterator[tuple[IO[bytes], bytes]]:
    """The file, positioned where it was, and its first bytes."""
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as file:
            yield file, _start(file)
    elif all(hasattr(f, name) for name in ("read", "seek", "tell")):
        yield f, _start(f)
    else:
        raise ArgumentTypeError(f"load: expected a path or a seekable file object with read(), seek() and tell(), got "
                                f"{type(f).__name__}; for other streams use load(io.BytesIO(stream.read()))")


def _start(file: IO[bytes]) -> bytes:
    position = file.tell()
    start = file.read(_legacy.START)
    file.seek(position)
    if not start:
        raise EOFError("load: the file is empty (or was read to its end: seek(0) first)")
    return start


class _ZipReader:
    """Loads one archive."""

    def __init__(self, file: IO[bytes], place: Place, mmap: bool) -> None:
        self._archive = Archive(file)
        self._place = place
        self._storages: dict[str, UntypedStorage] = {}
        if "constants.pkl" in self._archive:
            raise FileFormatError("load: this is a TorchScript archive, a compiled program and no checkpoint; in "
                                  "PyTorch, save torch.jit.load(path).state_dict() and load that here")
        self._check_version()
        self._order = bytes(self._archive.read("byteorder")).decode("latin-1") if "byteorder" in self._archive \
            else _assumed_order()
        if self._order not in ("little", "big"):
            raise FileFormatError(f"load: unknown byte order {self._order[:20]!r}; allowed: 'little', 'big'")
        self._map = _mapped(file) if mmap else None

    def _check_version(self) -> None:
        for name in ("version", ".data/version"):
            if name in self._archive:
                text = bytes(self._archive.read(name)).strip()
                if not text.isdigit() or len(text) > 9 or int(text) not in READABLE_VERSIONS:
                    raise FileFormatError(f"load: the file's format version is {text[:20]!r}; this version of Flambeau "
                                          f"reads {READABLE_VERSIONS.start} to {READABLE_VERSIONS.stop - 1}")
                return
        raise FileFormatError("load: the archive has no version record: it is incomplete, or no file that save() wrote")

    def load(self, run: Loader) -> Any:
        return run(bytes(self._archive.read("data.pkl")), self._find)

    def _find(self, reference: Any) -> TypedStorage:
        kind, key, location, count = parse_reference(reference, (5,))
        dtype = dtypes.by_name(kind.dtype_name or "uint8")
        storage = self._storages.get(key)
        if storage is None:
            storage = self._storages[key] = self._read(key, location, kind, count * dtype.itemsize)
        if count * dtype.itemsize > storage.nbytes():
            raise FileFormatError(f"load: storage {key!r} is said to hold {count} elements of {dtype}, but has only "
                                  f"{storage.nbytes()} bytes; the file is damaged or was tampered with")
        return TypedStorage(storage, dtype)

    def _read(self, key: str, location: str, kind: StorageClass, nbytes: int) -> UntypedStorage:
        name = f"data/{key}"
        record = self._archive.record(name)
        if nbytes > record.size:
            raise FileFormatError(f"load: storage {key!r} is said to hold {nbytes} bytes, but its record has only "
                                  f"{record.size}; the file is damaged or was tampered with")
        if options.skips_data():
            return self._place(UntypedStorage.from_buffer(memoryview(bytearray(record.size))), location)
        swap = self._order != sys.byteorder
        if self._map is not None and not swap and record.begin % 16 == 0:
            data = self._map[record.begin:record.begin + record.size]
        else:
            data = memoryview(self._archive.read(name))
        if swap:
            _swap_bytes(data, kind)
        return self._place(UntypedStorage.from_buffer(data), location)


def _assumed_order() -> str:
    """The byte order of a file that does not say it."""
    match options.load_options.endianness:
        case options.LoadEndianness.NATIVE:
            return sys.byteorder
        case options.LoadEndianness.BIG:
            return "big"
    return "little"


def _mapped(file: IO[bytes]) -> memoryview:
    """The whole file as memory that is read when touched; changes stay private unless the options say otherwise."""
    import mmap

    shared = options.load_options.mmap_flags == options.MAP_SHARED
    if shared:
        with open(file.name, "r+b") as writable:
            return memoryview(mmap.mmap(writable.fileno(), 0, access=mmap.ACCESS_WRITE))
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _swap_bytes(data: memoryview, kind: StorageClass) -> None:
    """Turn a storage of the other byte order into one of this machine's, in place."""
    import array

    if kind.dtype_name is None:
        raise FileFormatError(f"load: the file's byte order is not this machine's ({sys.byteorder}), and it holds a "
                              "storage without a dtype; load and save it again on a machine of its own order")
    dtype = dtypes.by_name(kind.dtype_name)
    width = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
    for code in "BHIQ":
        if array.array(code).itemsize == width:
            numbers = array.array(code, bytes(data[:data.nbytes // width * width]))
            numbers.byteswap()
            data[:numbers.itemsize * len(numbers)] = memoryview(numbers).cast("B")
            return
    raise FileFormatError(f"load: cannot change the byte order of elements of {width} bytes")


class _Collecting(AllowList):
    """An allow-list that notes what it would refuse instead of refusing it."""

    def __init__(self) -> None:
        super().__init__(get_safe_globals())
        self.refused: list[str] = []

    def note(self, module: str, name: str) -> None:
        try:
            self.find(module, name)
        except UnsafePickleError:
            full = f"{module}.{name}"
            if full not in self.refused:
                self.refused.append(full)


def unsafe_globals(f: Any) -> list[str]:
    """What the public `get_unsafe_globals_in_checkpoint` returns."""
    import pickletools

    noted = _Collecting()
    with _opened(f) as (file, start):
        if start.startswith(ZIP_MAGIC):
            data = io.BytesIO(Archive(file).read("data.pkl"))
            count = 1
        else:
            data = io.BytesIO(file.read())
            count = _legacy.PICKLES
        try:
            for _ in range(count):
                recent: list[str] = []
                for opcode, argument, _position in pickletools.genops(data):
                    if opcode.name in ("GLOBAL", "INST"):
                        noted.note(*str(argument).split(" ", 1))
                    elif opcode.name == "STACK_GLOBAL":
                        noted.note(*(recent[-2:] if len(recent) > 1 else ("?", "?")))
                    elif isinstance(argument, str):
                        recent.append(argument)
        except ValueError as error:
            raise pickle.UnpicklingError(f"the pickle is damaged: {error}") from error
    return noted.refused
