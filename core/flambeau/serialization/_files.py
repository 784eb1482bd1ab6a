"""Writing a file so that it is either the old one or the whole new one, never half of it.

The bytes go to a temporary file in the same folder (a rename works only inside one file system), are forced to disk,
and then take the target's name in one step.

A process that is killed while it saves leaves its temporary file behind; the next save to the same path removes it.
That a temporary file is nobody's any more is told by its lock, which the system takes from a process that dies.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from flambeau.errors import FlambeauError

try:
    import fcntl
except ImportError:  # Windows, where a file that a process has open cannot be removed: that is the lock
    fcntl = None  # type: ignore[assignment]

_TOKEN = 6          # random bytes in a temporary file's name
_NAME_LENGTH = 100  # characters of the target's name in it


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
    remove_leftovers(folder, name)
    while True:
        temporary = os.path.join(folder, f".{name[:_NAME_LENGTH]}.{secrets.token_hex(_TOKEN)}.tmp")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(temporary, flags, 0o666)
        except FileExistsError:
            continue
        if _lock(descriptor, wait=True) and not os.fstat(descriptor).st_nlink:
            os.close(descriptor)  # another process took it for a leftover before it was locked
            continue
        return temporary, descriptor


def _lock(descriptor: int, wait: bool) -> bool:
    """Lock a file; False if another process has it locked. True as well where there are no locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return wait
    return True


def remove_leftovers(folder: str, name: str) -> list[str]:
    """Remove the temporary files of saves to `name` whose process was killed; returns their names."""
    pattern = re.compile(rf"\.{re.escape(name[:_NAME_LENGTH])}\.[0-9a-f]{{{2 * _TOKEN}}}\.tmp")
    removed = []
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if pattern.fullmatch(entry.name)]
    for each in found:
        path = os.path.join(folder, each)
        with suppress(OSError):  # gone meanwhile, or not ours to touch
            descriptor = os.open(path, os.O_RDONLY)
            try:
                free = _lock(descriptor, wait=False)
                if free and fcntl is not None:
                    os.unlink(path)  # while the lock is held, so that its owner can tell
                    removed.append(each)
            finally:
                os.close(descriptor)
            if free and fcntl is None:
                os.unlink(path)  # refused where a process still has it open
                removed.append(each)
    return removed


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where the system can sync a folder."""
    with suppress(OSError):  # Windows and some network file systems cannot; the file itself is already on disk
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
