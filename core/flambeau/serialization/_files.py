"""Writing a file so that it is either the old one or the whole new one, never half of it.

The bytes go to a temporary file in the same folder (a rename works only inside one file system), are forced to disk,
and then take the target's name in one step.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from flambeau.errors import FlambeauError


class FolderError(FlambeauError, RuntimeError):
    """A file that should be written into a folder that does not exist."""


@contextmanager
def open_for_writing(f: Any) -> Iterator[tuple[IO[bytes], str]]:
    """Open a path (atomically) or pass a file object through; gives the file and the name to put inside it."""
    if not isinstance(f, str | os.PathLike):
        if not hasattr(f, "write"):
            raise TypeError(f"save: expected a path or a file object with write(), got {type(f).__name__}")
        yield f, "archive"
        f.flush() if hasattr(f, "flush") else None
        return
    path = os.path.realpath(os.fspath(f))  # through a symbolic link: replace what it points at, not the link
    name = os.path.basename(os.fspath(f)).partition(".")[0] or "archive"
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FolderError(f"save: the folder {folder} does not exist; create it first, for example with "
                          "os.makedirs(folder, exist_ok=True)")
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:  # a pipe or a device file cannot be replaced, only written to
            yield file, name
        return
    with _replacing(path) as file:
        yield file, name


@contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
    temporary, descriptor = _create_beside(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    except BaseException:  # also Ctrl-C: whatever stopped it, no half file stays behind
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(path))


def _create_beside(path: str) -> tuple[str, int]:
    """A new file next to `path`, with the permissions that a plain open() would give it."""
    import secrets

    folder, name = os.path.split(path)
    while True:
        temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}.tmp")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        try:
            return temporary, os.open(temporary, flags, 0o666)
        except FileExistsError:
            continue


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where the system can sync a folder."""
    with suppress(OSError):  # Windows and some network file systems cannot; the file itself is already on disk
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
