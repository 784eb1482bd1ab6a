"""CUDA C on the processor: programs are compiled by the machine's C++ compiler, kernels launched from their arguments.

What a CUDA compiler knows by itself is in `shim.hpp`, compiled ahead where the compiler can. Libraries are kept on disk
under a hash of all that they are made of, in the folder that CUDA_MACHINE_CACHE names.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from cuda_machine import engine
from cuda_machine.errors import (
    INVALID_HANDLE,
    INVALID_VALUE,
    NOT_FOUND,
    CompileException,
    CUDADriverError,
    CUDARuntimeError,
    MachineError,
)

CACHE = "CUDA_MACHINE_CACHE"
SHIM = Path(__file__).with_name("shim.hpp")
FLAGS = ("-std=gnu++14", "-O2", "-fPIC", "-ffp-contract=off", "-w")
MOST_ITEMS, STACK = 1024, 128 << 10
_KERNEL = re.compile(r"\b__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?([A-Za-z_]\w*)\s*\(")
_DEFINED = re.compile(r"(?:-D|--define-macro=|-U|--undefine-macro=)(.+)")
_IGNORED = re.compile(
    r"--?(std|fmad|arch|gpu-architecture|default-device|device-as-default-execution-space|lineinfo|generate-line-info"
    r"|use_fast_math|restrict|w|disable-warnings|diag-suppress|dopt|maxrregcount|ptxas-options|minimal|prec-div"
    r"|prec-sqrt|ftz|I|include-path|extra-device-vectorization|split-compile|fdevice-time-trace|no-cache)\b.*")


def compiler() -> str | None:
    """The machine's C++ compiler."""
    return next((found for name in ("g++", "c++", "clang++") if (found := shutil.which(name))), None)


@cache
def folder() -> Path:
    """Where libraries are kept."""
    named = os.environ.get(CACHE)
    try:
        import platformdirs
        made = Path(named or platformdirs.user_cache_dir("flambeau-cuda-machine"))
    except ImportError:
        made = Path(named or Path(tempfile.gettempdir()) / "flambeau-cuda-machine")
    made.mkdir(parents=True, exist_ok=True)
    return made


@cache
def _tools() -> tuple[str, Path]:
    """The compiler, and the folder with the shim for it."""
    found = compiler()
    if found is None:
        raise MachineError("there is no C++ compiler on this machine: install g++ or clang++")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    text = SHIM.read_text()
    made = folder() / _hash(version, Path(__file__).read_text(), text)
    if not made.exists():
        scratch = Path(tempfile.mkdtemp(dir=folder()))
        (scratch / SHIM.name).write_text(text)
        if "Free Software Foundation" in version:     # the other compiler writes and finds such files differently
            subprocess.run([found, *FLAGS, "-x", "c++-header", SHIM.name, "-o", f"{SHIM.name}.gch"], cwd=scratch,
                           capture_output=True, check=False)
        try:
            scratch.rename(made)
        except OSError:       # another process was faster
            shutil.rmtree(scratch, ignore_errors=True)
    return found, made


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def kernel_names(text: str, options: list[str]) -> list[str]:
    """The names of the kernels of a program, after its macros."""
    done = subprocess.run([_tools()[0], *FLAGS, *options, "-E", "-P", "-x", "c++", "-"], input=text,
                          capture_output=True, text=True, check=False)     # what is wrong shows again as it is compiled
    return list(dict.fromkeys(_KERNEL.findall(done.stdout)))


def _defines(text: str, options: tuple[str, ...], backend: str) -> list[str]:
    """The options that matter here; those that a CUDA compiler does not know are refused as it would."""
    kept = []
    for option in options:
        if _DEFINED.fullmatch(option):
            kept.append(re.sub(r"^--(define|undefine)-macro=", lambda m: "-D" if m[1] == "define" else "-U", option))
        elif not _IGNORED.fullmatch(option):
            raise CompileException(f"nvrtc: error: unrecognized option {option} found", text, "program", options,
                                   backend)
    return kept


def build(text: str, options: tuple[str, ...] = (), backend: str = "nvrtc") -> Path:
    """The library of a program. CompileException with the compiler's log where it does not build."""
    kept = _defines(text, options, backend)
    found, place = _tools()
    library = place / f"{_hash(text, *kept)}.so"
    if library.exists():
        return library
    lines = "".join(f"\nMACHINE_KERNEL({name})" for name in kernel_names(text, kept))
    with tempfile.TemporaryDirectory(dir=folder()) as scratch:
        source, made = Path(scratch, "program.cpp"), Path(scratch, "program.so")
        source.write_text(f'#line 1 "program.cu"\n{text}\n#line 1 "entries"{lines}\n')
        command = [found, *FLAGS, *kept, "-include", str(place / SHIM.name), "-shared", "-Wl,-Bsymbolic",
                   str(source), "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CompileException(done.stderr, text, "program.cu", options, backend)
        made.replace(library)
    return library


class _Launch(ctypes.Structure):
    _fields_ = (("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("arguments", ctypes.c_void_p),
                ("stacks", ctypes.c_void_p), ("stack_size", ctypes.c_ulong), ("waiting", ctypes.c_uint),
                ("ended", ctypes.c_uint), ("line", ctypes.c_uint), ("other_line", ctypes.c_uint))


@cache
def _stacks() -> tuple[Any, int]:
    """Memory for the stacks of a block's work items; pages that nobody touches are never there."""
    memory = mmap.mmap(-1, MOST_ITEMS * STACK)
    return memory, ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Kernel:
    """A kernel, on the device where its program was loaded."""

    def __init__(self, library: Any, name: str, device: int) -> None:
        self.name, self.device = name, device
        size = getattr(library, f"{name}__size")
        size.restype = ctypes.c_ulong
        self.size = int(size())
        self.pack, self.run = getattr(library, f"{name}__pack"), getattr(library, f"{name}__run")
        self.pack.argtypes, self.pack.restype = (ctypes.c_void_p, ctypes.c_void_p), None

    def launch(self, arguments: Any, grid: tuple[int, ...], block: tuple[int, ...]) -> None:
        """Run all blocks. MachineError where some work items wait at a barrier for others that never come."""
        asked = _Launch(grid, block, ctypes.addressof(arguments) + -ctypes.addressof(arguments) % 16, _stacks()[1],
                        STACK)
        if self.run(ctypes.byref(asked)):
            raise MachineError(f"{self.name}: {self._fault(asked)}; a GPU would hang")

    @staticmethod
    def _fault(asked: _Launch) -> str:
        if asked.ended:
            return (f"{asked.waiting} work items wait at the barrier of line {asked.line} for {asked.ended} "
                    "that have ended")
        return f"work items of a block wait at different barriers, at lines {asked.other_line} and {asked.line}"


# ------------------------------------------------------------------------------------------------- cupy.cuda.driver
def get_build_version() -> int:
    return 13000


def launchKernel(f: int, grid_dim_x: int, grid_dim_y: int, grid_dim_z: int, block_dim_x: int, block_dim_y: int,
                 block_dim_z: int, shared_mem_bytes: int, stream: int, kernel_params: int, extra: int) -> None:
    """Queue a launch. Its arguments are read now, so that the caller may use their memory for something else."""
    kernel = engine._handles.get(f)
    if not isinstance(kernel, Kernel) or kernel.device != engine.device():
        raise CUDADriverError(INVALID_HANDLE)
    grid, block = (grid_dim_x, grid_dim_y, grid_dim_z), (block_dim_x, block_dim_y, block_dim_z)
    items = block_dim_x * block_dim_y * block_dim_z
    if (min(*grid, *block) < 1 or items > MOST_ITEMS or block_dim_z > 64 or grid_dim_x >= 1 << 31
            or max(grid_dim_y, grid_dim_z) > 65535 or shared_mem_bytes > 48 << 10 or extra):
        raise CUDADriverError(INVALID_VALUE)
    arguments = ctypes.create_string_buffer(kernel.size + 16)
    kernel.pack(kernel_params, ctypes.addressof(arguments) + -ctypes.addressof(arguments) % 16)
    engine.launches.append(kernel.name)
    try:
        engine.queue(stream, lambda: kernel.launch(arguments, grid, block))
    except CUDARuntimeError as error:
        raise CUDADriverError(error.status) from None


def funcGetAttribute(attribute: int, f: int) -> int:
    return {0: MOST_ITEMS}.get(attribute, 0)


def funcSetAttribute(f: int, attribute: int, value: int) -> None:
    pass


def moduleUnload(module: int) -> None:
    pass


# ------------------------------------------------------------------------------------------------- modules of kernels
class Function:
    """cupy.cuda.Function: what is launched."""

    def __init__(self, module: Module, funcname: str) -> None:
        self.module = module
        if not hasattr(module.library, f"{funcname}__run"):
            raise CUDADriverError(NOT_FOUND)
        self.ptr = engine.register(Kernel(module.library, funcname, module.device))

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], shared_mem: int = 0,
                 stream: Any = None) -> None:
        from cuda_machine.arrays import ndarray
        from cuda_machine.classes import get_current_stream

        kept = [each.data.ptr if isinstance(each, ndarray) else each for each in args]
        held = [ctypes.c_int64(each) if isinstance(each, int) else ctypes.create_string_buffer(each.tobytes())
                for each in kept]
        pointers = (ctypes.c_void_p * (len(held) + 1))(*(ctypes.addressof(each) for each in held))
        launchKernel(self.ptr, *(*grid, 1, 1)[:3], *(*block, 1, 1)[:3], shared_mem,
                     (stream or get_current_stream()).ptr, ctypes.addressof(pointers), 0)


class Module:
    """cupy.cuda.Module: a program loaded on one device."""

    def __init__(self) -> None:
        self.library: Any = None
        self.device = engine.device()

    def load_file(self, filename: str) -> None:
        self.library = ctypes.CDLL(filename)

    def get_function(self, name: str) -> Function:
        return Function(self, name)


class RawKernel:
    """cupy.RawKernel."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc",
                 translate_cucomplex: bool = False, *, enable_cooperative_groups: bool = False,
                 jitify: bool | None = None) -> None:
        self.name, self.code, self.options, self.backend = name, code, options, backend
        self._module = RawModule(code=code, options=options, backend=backend)

    @property
    def kernel(self) -> Function:
        return self._module._function(self.name)

    @property
    def attributes(self) -> dict[str, int]:
        return {"max_threads_per_block": MOST_ITEMS, "shared_size_bytes": 0, "const_size_bytes": 0,
                "local_size_bytes": 0, "num_regs": 32, "ptx_version": 80, "binary_version": 80, "cache_mode_ca": 0,
                "max_dynamic_shared_size_bytes": 48 << 10, "preferred_shared_memory_carveout": -1}

    @property
    def max_threads_per_block(self) -> int:
        return MOST_ITEMS

    def compile(self, log_stream: Any = None) -> None:
        self._module.compile(log_stream)

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], **kwargs: Any) -> None:
        self.kernel(grid, block, args, **kwargs)


class RawModule:
    """cupy.RawModule: a program, compiled when a function of it is first asked for, loaded once on each device."""

    def __init__(self, code: str | None = None, *, path: str | None = None, options: tuple[str, ...] = (),
                 backend: str = "nvrtc", translate_cucomplex: bool = False, enable_cooperative_groups: bool = False,
                 name_expressions: Any = None, jitify: bool | None = None) -> None:
        if not isinstance(options, tuple):
            raise TypeError(f"Argument 'options' has incorrect type (expected tuple, got {type(options).__name__})")
        if (code is None) == (path is None):
            raise TypeError("Exactly one of keyword arguments `code` and `path` should be given.")
        if code is None or name_expressions:
            raise MachineError("the stand-in compiles text, and has no templates")
        self.code, self.file_path, self.options, self.backend = code, path, options, backend
        self._loaded: dict[int, Module] = {}
        self._functions: dict[tuple[int, str], Function] = {}

    @property
    def module(self) -> Module:
        place = engine.device()
        found = self._loaded.get(place)
        if found is None:
            found = Module()
            found.load_file(str(build(self.code, self.options, self.backend)))
            self._loaded[place] = found
        return found

    def compile(self, log_stream: Any = None) -> None:
        assert self.module

    def _function(self, name: str) -> Function:
        key = (engine.device(), name)
        if key not in self._functions:
            self._functions[key] = self.module.get_function(name)
        return self._functions[key]

    def get_function(self, name: str) -> RawKernel:
        made = RawKernel(self.code, name, self.options, self.backend)
        made._module = self
        assert made.kernel
        return made
