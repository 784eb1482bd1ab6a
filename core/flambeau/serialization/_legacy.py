"""The format before the zip one: pickles one after the other, then the storages.

    a magic number, the format's version, facts about the machine: three pickles
    the structure: a pickle with references to storages
    the storages' keys in order: a pickle
    each storage: its number of elements in eight bytes, then its bytes

The storages come after the tensors that view them, so they are made empty and filled at the end. What they claim to
need is checked against what is left of the file before any memory is taken.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

from flambeau import dtypes
from flambeau.serialization._locations import Place
from flambeau.serialization._pickler import Structure, parse_reference
from flambeau.serialization._unpickle import UnsafePickleError
from flambeau.serialization.storage import FileFormatError, TypedStorage, UntypedStorage

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
PICKLES = 5
START = 512
_COUNT = struct.Struct("<q")
_TAR_MAGIC = slice(257, 262)


def write(file: IO[bytes], name: str, structure: Structure) -> None:
    """Write a structure and its storages."""
    machine = {"protocol_version": VERSION, "little_endian": sys.byteorder == "little",
               "type_sizes": {"short": 2, "int": 4, "long": 4}}
    for value in (MAGIC, VERSION, machine):
        file.write(pickle.dumps(value, structure.protocol))
    file.write(structure.data)
    file.write(pickle.dumps([str(key) for key in range(len(structure.storages))], structure.protocol))
    for storage, itemsize in zip(structure.storages, structure.itemsizes, strict=True):
        file.write(_COUNT.pack(storage.nbytes() // itemsize))
        file.write(storage.buffer())


class LegacyReader:
    """Loads one file of this format."""

    def __init__(self, file: IO[bytes], start: bytes, place: Place) -> None:
        if start[_TAR_MAGIC] == b"ustar":
            raise FileFormatError("load: this is a tar file of PyTorch before version 0.1.10; load it with PyTorch and "
                                  "save it again there, then load that here")
        self._file = io.BytesIO(file.read())
        self._left = self._file.getbuffer().nbytes
        self._place = place
        self._storages: dict[str, tuple[UntypedStorage, int]] = {}

    def load(self, run: Callable[[Any, Callable[[Any], Any]], Any]) -> Any:
        """Read the whole file."""
        try:
            magic = run(self._file, _nothing)
        except (UnsafePickleError, pickle.UnpicklingError) as error:
            raise UnsafePickleError(f"this is no file that save() wrote: it begins neither as a zip archive nor as the "
                                    f"older format ({error})") from error
        if magic != MAGIC:
            raise UnsafePickleError("this is a pickle, but no file that save() wrote")
        version = run(self._file, _nothing)
        if version != VERSION:
            raise FileFormatError(f"load: version {str(version)[:20]} of the format before the zip one is not known; "
                                  f"allowed: {VERSION}")
        machine = run(self._file, _nothing)
        if not isinstance(machine, dict) or machine.get("little_endian", True) != (sys.byteorder == "little"):
            raise FileFormatError("load: the file was written on a machine of another byte order; load it there and "
                                  "save it again in the zip format")
        result = run(self._file, self._find)
        self._fill(run(self._file, _nothing))
        return result

    def _find(self, reference: Any) -> TypedStorage:
        kind, key, location, count = parse_reference(reference, (5, 6))
        if len(reference) == 6 and reference[5] is not None:
            raise FileFormatError("load: views of storages, which PyTorch wrote before version 0.4, are not supported; "
                                  "load the file with PyTorch and save it again there")
        dtype = dtypes.by_name(kind.dtype_name or "uint8")
        nbytes = count * dtype.itemsize
        known = self._storages.get(key)
        if known is None:
            self._left -= nbytes
            if self._left < 0:
                raise FileFormatError(f"load: storage {key[:50]!r} is said to hold {nbytes} bytes, more than the file "
                                      "has; it is damaged or was tampered with")
            storage = self._place(UntypedStorage.from_buffer(memoryview(bytearray(nbytes))), location)
            storage.is_filled = False
            known = self._storages[key] = storage, dtype.itemsize
        if nbytes > known[0].nbytes():
            raise FileFormatError(f"load: storage {key[:50]!r} is said to hold {nbytes} bytes, and elsewhere fewer; "
                                  "the file is damaged or was tampered with")
        return TypedStorage(known[0], dtype)

    def _fill(self, keys: Any) -> None:
        if type(keys) is not list or sorted(map(str, keys)) != sorted(self._storages):
            raise FileFormatError("load: the file does not hold the storages that its tensors view; it is damaged")
        for key in keys:
            storage, itemsize = self._storages[key]
            head = self._file.read(_COUNT.size)
            if len(head) < _COUNT.size or _COUNT.unpack(head)[0] * itemsize != storage.nbytes():
                raise FileFormatError(f"load: storage {key!r} has another size than its tensors expect; the file is "
                                      "truncated or damaged")
            begin = self._file.tell()
            if storage.nbytes() > self._file.getbuffer().nbytes - begin:
                raise FileFormatError(f"load: the file ends inside storage {key!r}; it is truncated")
            storage.fill(self._file.getbuffer()[begin:begin + storage.nbytes()])
            self._file.seek(begin + storage.nbytes())


def _nothing(reference: Any) -> Any:
    raise UnsafePickleError("a reference to a storage where none can be")
