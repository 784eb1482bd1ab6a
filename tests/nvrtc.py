"""NVIDIA's run-time compiler for tests, which needs no GPU: CUDA C to PTX, or to the machine code of an architecture.

It is called through `ctypes`, so that what a test needs is one wheel (`nvidia-cuda-nvrtc`, which the extra `test`
brings on Linux) and not an array library beside it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from flambeau.ir.dialect import CUDA
from flambeau.ir.faults import HEADER as FAULTS

MISSING = "NVIDIA's run-time compiler is not installed: pip install nvidia-cuda-nvrtc"
ARCHITECTURES = ("sm_75", "sm_80", "sm_90")
FAST = (13, 0)     # from this version on it can be told to compile fast rather than well


class BuildError(Exception):
    """A program does not compile; the compiler's log, with the lines of the program that it is about."""


class Compiler:
    """The compiler of one library."""

    def __init__(self, path: str) -> None:
        self.path, self._library = path, ctypes.CDLL(path)
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)

    def _call(self, name: str, *args: Any) -> None:
        status = getattr(self._library, name)(*args)
        if status != 0:
            raise BuildError(f"{name} gives {status}")

    def _text(self, program: ctypes.c_void_p, what: str) -> bytes:
        """What a program has: its log, its PTX or its machine code."""
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        found = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, found)
        return found.raw

    @functools.cached_property
    def architectures(self) -> list[str]:
        """Those that there is machine code for."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        found = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", found)
        return [f"sm_{each}" for each in found]

    def build(self, text: str, architecture: str = "compute_75", *, wide: bool = False, fast: bool = False,
              options: tuple[str, ...] = ()) -> tuple[bytes, str]:
        """A program in the CUDA dialect as PTX (for `compute_*`) or machine code (for `sm_*`), and the log.

        `wide`: with 64-bit indices; `fast`: without optimisation, for whether it compiles.
        """
        source = CUDA.header + FAULTS + text
        words = [f"--gpu-architecture={architecture}", "--disable-warnings", *CUDA.options, *options]
        words += ["-DWIDE"] if wide else []
        if fast and self.version >= FAST:
            words += ["--Ofast-compile=max", "--minimal"]
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"program.cu", 0, None, None)
        try:
            given = (ctypes.c_char_p * len(words))(*[each.encode() for each in words])
            status = self._library.nvrtcCompileProgram(program, len(words), given)
            log = self._text(program, "ProgramLog").rstrip(b"\0").decode()
            if status != 0:
                raise BuildError(f"{' '.join(words)}: {log[:2000]}\n{_lines(source, log)}")
            return self._text(program, "PTX" if architecture.startswith("compute") else "CUBIN"), log
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))


def _lines(source: str, log: str) -> str:
    """The lines of the source that errors are about."""
    lines = source.splitlines()
    numbers = [int(each) for each in re.findall(r"\((\d+)\): error", log)]
    return "\n".join(f"{each:5d}  {lines[each - 1]}" for each in dict.fromkeys(numbers) if each <= len(lines))


def entries(code: bytes) -> set[str]:
    """The kernels in PTX or in machine code, which has a section with the parameters of each."""
    pattern = rb"\0\.nv\.constant0\.(\w+)" if code.startswith(b"\x7fELF") else rb"\.entry\s+(\w+)"
    return {each.decode() for each in re.findall(pattern, code)}


def parameters(ptx: bytes) -> dict[str, int]:
    """For each kernel in PTX the bytes that its parameters take, not counting gaps."""
    found = {}
    for name, listed in re.findall(r"\.entry\s+(\w+)\s*\((.*?)\)", ptx.decode(errors="replace"), re.DOTALL):
        each = re.findall(r"\.param\s+(?:\.align\s+\d+\s+)?\.[a-z](\d+)\s+[^\[\],\s]+(?:\[(\d+)\])?", listed)
        found[name] = sum(int(bits) // 8 * int(count or 1) for bits, count in each)
    return found


@functools.cache
def find() -> Compiler | None:
    """The newest compiler of the pip packages, else the system's, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [path for folder in folders for path in Path(folder).glob("*/lib/libnvrtc.so.*")
             if path.suffix[1:].isdigit()]
    library = str(max(found, key=lambda path: int(path.suffix[1:]))) if found else ctypes.util.find_library("nvrtc")
    return Compiler(library) if library is not None else None


def required() -> Compiler:
    """The compiler; skips, with what mends it, where there is none."""
    found = find()
    if found is None:
        pytest.skip(MISSING)
    return found
