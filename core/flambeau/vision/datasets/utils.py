"""Files of datasets: downloading, checking and unpacking them, under the names of torchvision.datasets.utils.

A file or a folder's content gets its name only when it is whole, so that a program that is stopped in the middle
leaves nothing behind that a later one would take for data. What an archive may write is checked as well: nothing
outside its folder, no links out of it, no devices.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from flambeau.errors import ArgumentError, ArgumentValueError, FlambeauError
from flambeau.vision.download import download

__all__ = ["calculate_md5", "check_integrity", "check_md5", "download_and_extract_archive", "download_url",
           "extract_archive", "list_dir", "list_files", "verify_str_arg"]  # fmt: skip

PathLike = str | os.PathLike[str]

_OPENERS: dict[str, Callable[[Path], Any]] = {".bz2": bz2.open, ".gz": gzip.open, ".xz": lzma.open}
_TAR = (".tar", ".tgz", ".tbz", ".tbz2", ".txz")
_BROKEN = (EOFError, OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


class ArchiveError(FlambeauError, RuntimeError):
    """An archive that is damaged, or that would write where it must not."""


def calculate_md5(fpath: PathLike, chunk_size: int = 1024 * 1024) -> str:
    """The MD5 checksum of a file, as hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(fpath, "rb") as file:
        while chunk := file.read(chunk_size):
            digest.update(chunk)
    return digest.hexdigest()


def check_md5(fpath: PathLike, md5: str, **kwargs: Any) -> bool:
    """Whether a file has this MD5 checksum."""
    return md5 == calculate_md5(fpath, **kwargs)


def check_integrity(fpath: PathLike, md5: str | None = None) -> bool:
    """Whether there is such a file, with this MD5 checksum if one is given.

    >>> check_integrity("/no/such/file")
    False
    """
    return os.path.isfile(fpath) and (md5 is None or check_md5(fpath, md5))


def download_url(
    url: str, root: PathLike, filename: PathLike | None = None, md5: str | None = None, max_redirect_hops: int = 3
) -> None:
    """Download a file into the folder `root`, unless it lies there with the right checksum.

    Args:
        url: where the file is.
        root: the folder, which is made if need be.
        filename: what the file is called in it; by default what it is called in `url`.
        md5: its checksum; without one, a file of that name is taken as it is.
        max_redirect_hops: taken for torchvision's sake; Python's urllib decides how many redirections it follows.

    Raises RuntimeError where the file cannot be had or has another checksum; then nothing is left behind.
    """
    path = Path(os.path.expanduser(root), filename or os.path.basename(urlparse(url).path))
    if not check_integrity(path, md5):
        download([url], path, md5)


def extract_archive(from_path: PathLike, to_path: PathLike | None = None, remove_finished: bool = False) -> PathLike:
    """Unpack a file: .zip, .tar (also .tar.gz, .tgz, .tar.bz2, .tar.xz ...), or a single .gz, .bz2 or .xz.

    Args:
        from_path: the file.
        to_path: the folder that it is unpacked into, by default its own; for a single compressed file the path of
            the result, by default `from_path` without its last ending.
        remove_finished: delete `from_path` in the end.

    Returns the path that was written to. Raises RuntimeError for an archive that is damaged or would write outside of
    `to_path`; then nothing of it is kept.
    """
    source = Path(from_path)
    unpack, opener = _unpacker(source)
    if unpack is None:
        target = Path(to_path) if to_path is not None else source.with_suffix("")
        folder = target.parent
    else:
        target = folder = Path(to_path) if to_path is not None else source.parent
    folder.mkdir(parents=True, exist_ok=True)
    with _scratch(folder) as scratch:
        try:
            if unpack is not None:
                unpack(source, scratch)
            else:
                with opener(source) as packed, open(scratch / target.name, "wb") as file:
                    shutil.copyfileobj(packed, file)
        except _BROKEN as error:
            raise ArchiveError(f"{source}: cannot be unpacked ({error}); nothing of it was kept. Delete it and get it "
                               "anew") from error  # fmt: skip
        _move(scratch, folder)
    if remove_finished:
        source.unlink()
    return target if to_path is None else to_path


def download_and_extract_archive(
    url: str,
    download_root: PathLike,
    extract_root: PathLike | None = None,
    filename: PathLike | None = None,
    md5: str | None = None,
    remove_finished: bool = False,
) -> None:
    """Download an archive into `download_root` and unpack it into `extract_root`, by default the same folder.

    The other arguments are those of `download_url` and `extract_archive`.
    """
    download_root = os.path.expanduser(download_root)
    filename = filename or os.path.basename(urlparse(url).path)
    download_url(url, download_root, filename, md5)
    extract_archive(os.path.join(download_root, filename), extract_root or download_root, remove_finished)


def _unpacker(path: Path) -> tuple[Callable[[Path, Path], None] | None, Callable[[Path], Any]]:
    """How to unpack an archive (None for a single compressed file), and how to open the file as what is in it."""
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    last = endings[-1] if endings else ""
    if last == ".zip":
        return _unzip, _OPENERS[".gz"]
    if last in _TAR or (last in _OPENERS and endings[0] == ".tar"):
        return _untar, _OPENERS[".gz"]
    if last in _OPENERS:
        return None, _OPENERS[last]
    known = ", ".join((".zip", *_TAR, *(".tar" + ending for ending in _OPENERS), *_OPENERS))
    raise ArgumentError(f"extract_archive: Unknown compression or archive type: {last!r} of {path.name!r}; allowed: "
                        f"{known}")  # fmt: skip


def _untar(path: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise ArchiveError(f"{path}: this Python cannot unpack tar files safely; use 3.11.4 or later")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")


def _unzip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            parts = Path(member.filename.replace("\\", "/")).parts
            if os.path.isabs(member.filename) or ".." in parts or stat.S_ISLNK(member.external_attr >> 16):
                raise ArchiveError(f"{path}: refused, because its member {member.filename!r} would lie outside of the "
                                   "folder or is a link")  # fmt: skip
        archive.extractall(folder)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder inside of `folder`, on the same file system, that is gone in the end."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as name:
        yield Path(name)


def _move(source: Path, target: Path) -> None:
    """Put every file below `source` at the same place below `target`."""
    for here, folders, files in os.walk(source):
        there = target / Path(here).relative_to(source)
        there.mkdir(exist_ok=True)
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        for name in [*files, *links]:
            os.replace(Path(here) / name, there / name)


def list_dir(root: PathLike, prefix: bool = False) -> list[str]:
    """The names of the folders in `root`; their paths with `prefix`."""
    return _entries(root, prefix, lambda path: os.path.isdir(path))


def list_files(root: PathLike, suffix: str | tuple[str, ...], prefix: bool = False) -> list[str]:
    """The names of the files in `root` that end with `suffix`; their paths with `prefix`."""
    return _entries(root, prefix, lambda path: os.path.isfile(path) and path.endswith(suffix))


def _entries(root: PathLike, prefix: bool, wanted: Callable[[str], bool]) -> list[str]:
    root = os.path.expanduser(root)
    names = [name for name in os.listdir(root) if wanted(os.path.join(root, name))]
    return [os.path.join(root, name) for name in names] if prefix else names


def verify_str_arg(
    value: str, arg: str | None = None, valid_values: Iterable[str] | None = None, custom_msg: str | None = None
) -> str:
    """The string `value`, or a ValueError where it is none or not one of `valid_values`.

    >>> verify_str_arg("val", "split", ("train", "val"))
    'val'
    """
    if not isinstance(value, str):
        where = "" if arg is None else f" for argument {arg}"
        raise ArgumentValueError(f"Expected type str{where}, but got type {type(value)}.")
    if valid_values is not None and value not in (allowed := list(valid_values)):
        text = ", ".join(f"'{each}'" for each in allowed)
        raise ArgumentValueError(custom_msg or f"Unknown value '{value}' for argument {arg}. Valid values are "
                                               f"{{{text}}}.")  # fmt: skip
    return value
