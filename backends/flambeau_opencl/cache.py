"""Binaries of programs on disk: what was built once need not be built again by the next process.

A file is named after everything that the binary depends on: source, options, device, driver, and the version of
pyopencl. It is written under another name and then renamed, so that no process ever sees half of one, and begins with a
checksum of the rest: one that is damaged is deleted and built anew. Nothing here is ever an error; without a directory
to write to, programs are built in each process.

Some drivers keep such a cache themselves, per kernel and by source (PoCL, NVIDIA's). There a second one gains little
(PoCL: 2 ms instead of 25 for a program of ten kernels), and making it costs much: a binary holds all kernels of the
program, so the driver compiles those that nobody has called, too (1.2 s for these ten). So by default it is used where
the driver has none. FLAMBEAU_OPENCL_CACHE is "auto", "on", "off", or a directory, which means "on".
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyopencl as cl

if TYPE_CHECKING:
    from flambeau_opencl.device import Device

SETTING = "FLAMBEAU_OPENCL_CACHE"
BOUND = 256 << 20      # bytes of the directory
_OFTEN = 64            # after so many new files its size is looked at again
_MAGIC = b"flambeau opencl binary 1\n"
_SUFFIX = ".clbin"


class BinaryCache:
    """The binaries of one device's programs."""

    def __init__(self, device: Device, directory: Path, bound: int = BOUND) -> None:
        handle = device.handle
        self._device, self.directory, self._bound = device, directory, bound
        self._about = "\0".join((handle.name, handle.vendor, handle.driver_version, handle.version,
                                 handle.platform.name, handle.platform.version, cl.VERSION_TEXT))
        self._stored = 0

    def path(self, source: str, options: str) -> Path:
        """The file of a program."""
        key = hashlib.sha256("\0".join((self._about, options, source)).encode()).hexdigest()
        return self.directory / (key[:40] + _SUFFIX)

    def load(self, source: str, options: str) -> Any:
        """The built program from its file; None where there is none that works."""
        path = self.path(source, options)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        binary = _checked(data)
        if binary is not None:
            try:
                program = cl.Program(self._device.context, [self._device.handle], [binary]).build(options=options)
            except cl.Error:    # the driver does not take it, after all
                pass
            else:
                with contextlib.suppress(OSError):
                    os.utime(path)      # the oldest are deleted first
                return program
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def store(self, source: str, options: str, program: Any) -> None:
        """Keep a program that was built from source."""
        try:
            binary = program.get_info(cl.program_info.BINARIES)[0]
        except (cl.Error, IndexError):
            return
        if not binary:
            return
        data = b"".join((_MAGIC, hashlib.sha256(binary).digest(), binary))
        with contextlib.suppress(OSError):
            self._write(self.path(source, options), data)
            if self._stored % _OFTEN == 0:
                self._trim()
            self._stored += 1

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def _trim(self) -> None:
        """Delete the files that were not used for longest, down to three quarters of the bound."""
        files = []
        for each in self.directory.iterdir():
            if each.suffix in (_SUFFIX, ".tmp"):
                with contextlib.suppress(OSError):   # another process was faster
                    said = each.stat()
                    files.append((said.st_mtime, said.st_size, each))
        total = sum(size for _, size, _ in files)
        if total <= self._bound:
            return
        for _, size, each in sorted(files):
            with contextlib.suppress(OSError):
                each.unlink()
            total -= size
            if total <= self._bound * 3 // 4:
                return


def _checked(data: bytes) -> bytes | None:
    """The binary in a file's contents; None where they are damaged."""
    start = len(_MAGIC) + 32
    binary = data[start:]
    good = data.startswith(_MAGIC) and binary and hashlib.sha256(binary).digest() == data[len(_MAGIC):start]
    return binary if good else None


def folder() -> Path | None:
    """The directory for what is kept, as FLAMBEAU_OPENCL_CACHE says; None for none."""
    setting = os.environ.get(SETTING, "auto")
    if setting == "off":
        return None
    if setting in ("auto", "on"):
        from platformdirs import user_cache_path
        return user_cache_path("flambeau") / "opencl"
    return Path(setting).expanduser()


def cache_for(device: Device) -> BinaryCache | None:
    """The cache that a device's programs use; None for none, as where the driver has one and nobody asked for ours."""
    directory = folder()
    if directory is not None and os.environ.get(SETTING, "auto") == "auto":
        from pyopencl.characterize import has_src_build_cache
        if has_src_build_cache(device.handle):
            return None
    return None if directory is None else BinaryCache(device, directory)
