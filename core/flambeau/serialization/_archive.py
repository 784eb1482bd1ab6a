"""The zip archive of a `.pth` file: named records, stored without compression.

    NAME/data.pkl                 the structure, with references to storages by key
    NAME/byteorder                of the storages: "little" or "big"
    NAME/data/0, data/1, ...      the storages, each beginning at a multiple of 64 bytes
    NAME/version                  of the format: 3
    NAME/.data/serialization_id   a number made from the contents

A reader must not believe what an archive says of itself. Here every record's place is checked once, when the archive
is opened: inside the file, overlapping no other, named the same in the directory and at its place, listed once. After
that, records are read straight from the file. Names are only ever compared, never used as paths.
"""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

from flambeau.serialization._pickler import Structure
from flambeau.serialization.options import save_options, skips_data
from flambeau.serialization.storage import FileFormatError, overlapping

ALIGNMENT = 64
FORMAT_VERSION = b"3\n"
READABLE_VERSIONS = range(1, 4)
CHUNK = 1 << 24  # bytes checksummed and written at a time
UNCHECKED = 0    # instead of a checksum where the writer made none
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_PADDING_TAG = 0x4246  # "FB": the kind of zip extra field in which PyTorch's files have their padding
_ZIP64_EXTRA = 20      # bytes of the extra field that records over 2 GiB have before the padding
_ENCRYPTED = 1


# -- writing

class _WriteOnly:
    """A file object that can only be written to: the archive then needs no seeking, so any sink will do."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        self._file.write(data)
        return len(data)

    def flush(self) -> None:
        pass


def write(file: IO[bytes], name: str, structure: Structure) -> None:
    """Write a structure and its storages as an archive called `name`."""
    with zipfile.ZipFile(_WriteOnly(file), "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        _add(archive, f"{name}/data.pkl", memoryview(structure.data))
        _add(archive, f"{name}/.storage_alignment", memoryview(str(ALIGNMENT).encode()))
        _add(archive, f"{name}/byteorder", memoryview(sys.byteorder.encode()))
        for key, storage in enumerate(structure.storages):
            if skips_data():
                _add(archive, f"{name}/data/{key}", None, storage.nbytes())
            else:
                _add(archive, f"{name}/data/{key}", storage.buffer())
        _add(archive, f"{name}/version", memoryview(FORMAT_VERSION))
        _add(archive, f"{name}/.data/serialization_id", memoryview(_serialization_id(archive)))


def _add(archive: zipfile.ZipFile, name: str, data: memoryview | None, nbytes: int = 0) -> None:
    """Write a record: data, or room for `nbytes` that somebody else will fill in."""
    nbytes = nbytes if data is None else data.nbytes
    info = zipfile.ZipInfo(name)
    info.file_size = nbytes
    large = nbytes > zipfile.ZIP64_LIMIT * 0.95
    header = _LOCAL_HEADER.size + len(name.encode()) + (_ZIP64_EXTRA if large else 0)
    padding = -(archive.fp.tell() + header + 4) % ALIGNMENT  # type: ignore[union-attr]
    info.extra = struct.pack("<2H", _PADDING_TAG, padding) + b"Z" * padding
    with archive.open(info, "w", force_zip64=large) as record:
        for begin in range(0, nbytes, CHUNK):
            record.write(bytes(min(CHUNK, nbytes - begin)) if data is None else data[begin:begin + CHUNK])
        if data is None or not save_options.compute_crc32:
            record._crc = UNCHECKED  # type: ignore[attr-defined]


def _serialization_id(archive: zipfile.ZipFile) -> bytes:
    """Forty digits that are equal for equal contents."""
    import hashlib

    digest = hashlib.sha256()
    for info in archive.infolist():
        digest.update(f"{info.filename.partition('/')[2]} {info.CRC}\n".encode())
    return str(int(digest.hexdigest(), 16) % 10**40).zfill(40).encode()


# -- reading

class Record:
    """Where a record's bytes are, and their checksum."""

    __slots__ = ("begin", "checksum", "size")

    def __init__(self, begin: int, size: int, checksum: int) -> None:
        self.begin = begin
        self.size = size
        self.checksum = checksum


class Archive:
    """An opened archive whose records have been checked."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._length = file.seek(0, io.SEEK_END)
        self._records = self._scan()

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def record(self, name: str) -> Record:
        """Where a record is. RuntimeError if there is none of this name."""
        try:
            return self._records[name]
        except KeyError:
            raise FileFormatError(f"load: the archive has no record {name[:200]!r}; it is incomplete, or no file that "
                                  "save() wrote") from None

    def read(self, name: str) -> bytearray:
        """A record's bytes. RuntimeError if their checksum is wrong."""
        record = self.record(name)
        data = bytearray(record.size)
        view = memoryview(data)
        self._file.seek(record.begin)
        checksum = 0
        for begin in range(0, record.size, CHUNK):
            piece = view[begin:begin + CHUNK]
            if not _read_into(self._file, piece):
                raise FileFormatError(f"load: the file ends inside the record {name!r}; it is truncated")
            checksum = zlib.crc32(piece, checksum)
        if checksum != record.checksum != UNCHECKED:
            raise FileFormatError(f"load: the checksum of the record {name!r} is wrong; the file is damaged, copy or "
                                  "download it again")
        return data

    def _scan(self) -> dict[str, Record]:
        try:
            with zipfile.ZipFile(self._file) as archive:
                entries = archive.infolist()
                directory = archive.start_dir
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error, EOFError) as error:
            raise FileFormatError(f"load: cannot read the zip archive: {error}; the file is truncated or damaged, copy "
                                  "or download it again") from error
        records = dict(self._checked(entries, directory))
        if overlapping([(each.begin, each.begin + each.size) for each in records.values() if each.size]):
            raise FileFormatError("load: records of the archive overlap; the file is damaged or was tampered with")
        return records

    def _checked(self, entries: list[zipfile.ZipInfo], directory: int) -> Iterator[tuple[str, Record]]:
        root = entries[0].filename.partition("/")[0] + "/" if entries else "/"
        seen: set[str] = set()
        for entry in entries:
            problem = _problem(entry, root, seen)
            begin = 0 if problem else self._begin(entry)
            if not problem and (begin < 0 or begin + entry.file_size > directory):
                problem = "does not lie where the directory says"
            if problem:
                raise FileFormatError(f"load: the record {entry.orig_filename[:200]!r} of the archive {problem}; the "
                                      "file is damaged, was tampered with, or was packed again by another program")
            seen.add(entry.filename)
            yield entry.filename.removeprefix(root), Record(begin, entry.file_size, entry.CRC)

    def _begin(self, entry: zipfile.ZipInfo) -> int:
        """Where an entry's bytes begin; -1 if its own header is not there or names another record."""
        if not 0 <= entry.header_offset <= self._length - _LOCAL_HEADER.size:
            return -1
        self._file.seek(entry.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            return -1
        magic, *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        name = self._file.read(name_length)
        if magic != b"PK\x03\x04" or name != entry.orig_filename.encode("utf-8", "surrogateescape"):
            return -1
        return entry.header_offset + _LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _problem(entry: zipfile.ZipInfo, root: str, seen: set[str]) -> str:
    """What is wrong with an entry of the directory, if anything."""
    name = entry.filename
    parts = name.split("/")
    if name != entry.orig_filename or "\\" in name or "" in parts or ".." in parts or "." in parts:
        return "has a name that no writer of this format gives"
    if not name.startswith(root):
        return f"is outside the archive's folder {root!r}"
    if name in seen:
        return "is there twice"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return "is compressed, and records of this format never are"
    return ""


def _read_into(file: IO[bytes], target: memoryview) -> bool:
    """Fill `target` from the file; False if the file ends first."""
    read_into = getattr(file, "readinto", None)
    while target.nbytes:
        if read_into is not None:
            count = read_into(target) or 0
        else:
            piece = file.read(target.nbytes)
            count = len(piece)
            target[:count] = piece
        if not count:
            return False
        target = target[count:]
    return True
