"""A stand-in for the parts of CuPy that the CUDA backend uses, on the processor, for machines without a GPU.

Memory is the host's, programs are compiled by the machine's C++ compiler, work items are fibres with true barriers,
streams are in order and may be late, cuBLAS is NumPy. What runs here has not run on a GPU: the device's name says so.

    install()             the modules, here and now; refuses where the real CuPy has been imported
    settings              how many devices, how much memory, whether work is late; may be changed as it runs
    launches, products    what was launched, and what was asked of cuBLAS

`python -m cuda_machine -m PROGRAM ...` runs a program, and the processes that it starts, with the stand-in.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import ModuleType
from typing import Any

VERSION = "14.2.0"
OPTIONS = "CUDA_MACHINE_SETTINGS"
_made: dict[str, ModuleType] = {}


def install(**changes: Any) -> None:
    """Put the modules into sys.modules; `changes` are those of `settings`: devices=2, memory=1 << 20, late=True."""
    from cuda_machine import engine

    real = [name for name in ("cupy", "cupy_backends") if name in sys.modules and name not in _made]
    if real:
        raise RuntimeError(f"{real[0]} has been imported: the stand-in is for machines without it")
    for name, value in changes.items():
        if name not in engine.Settings.__dataclass_fields__:
            raise TypeError(f"no such setting: {name}")
        setattr(engine.settings, name, value)
    if not _made:
        _modules()
    sys.modules.update(_made)


def __getattr__(name: str) -> Any:
    if name in ("settings", "launches", "products", "lock"):
        from cuda_machine import engine
        return getattr(engine, name)
    raise AttributeError(name)


def _module(name: str, members: dict[str, Any], rest: Callable[[str], Any] | None = None) -> None:
    """A module, known to the one that it is in."""
    made = ModuleType(name, "Not CuPy, but a stand-in for it on the processor.")
    made.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    made.__path__ = []
    made.__dict__.update(members)
    if rest is not None:
        made.__getattr__ = rest  # type: ignore[method-assign]
    _made[name] = made
    parent, _, last = name.rpartition(".")
    if parent in _made:
        setattr(_made[parent], last, made)


def _public(*modules: Any) -> dict[str, Any]:
    """What modules of the package define."""
    return {name: value for module in modules for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", module.__name__) == module.__name__
            and not isinstance(value, ModuleType)}


def _modules() -> None:
    from cuda_machine import arrays, classes, cublas, errors, program, runtime

    def members_of(module: str) -> Callable[[str], Any]:
        return lambda name: arrays.function_of(module, name)

    whole = _public(classes) | {"Function": program.Function, "Module": program.Module}
    whole |= {"is_available": lambda: True, "get_local_runtime_version": runtime.runtimeGetVersion}
    functions = {name: value for name, value in _public(runtime).items() if name not in ("NAME", "VERSION")}
    functions |= arrays.NAMES["cupy.cuda.runtime"] | {"CUDARuntimeError": errors.CUDARuntimeError}
    products = _public(cublas) | {"CUBLASError": errors.CUBLASError}
    launching = {name: getattr(program, name) for name in (
        "launchKernel", "funcGetAttribute", "funcSetAttribute", "moduleUnload", "get_build_version")}
    launching["CUDADriverError"] = errors.CUDADriverError
    _module("cupy", {"__version__": VERSION, "ndarray": arrays.ndarray, "asnumpy": arrays.asnumpy,
                     "from_dlpack": arrays.from_dlpack,
                     "RawModule": program.RawModule, "RawKernel": program.RawKernel,
                     "is_available": lambda: True}, members_of("cupy"))
    for name in ("linalg", "fft"):
        _module(f"cupy.{name}", {}, members_of(f"cupy.{name}"))
    _module("cupy.cuda", whole)
    for name in ("device", "stream", "memory", "pinned_memory", "graph", "function"):
        _module(f"cupy.cuda.{name}", whole)
    _made["cupy.cuda.memory"].OutOfMemoryError = errors.OutOfMemoryError  # type: ignore[attr-defined]
    _module("cupyx", {"errstate": lambda linalg: nullcontext()})     # NumPy's functions raise as it is
    _module("cupy.cuda.compiler", {"CompileException": errors.CompileException})
    for name in ("cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.api", "cupy_backends.cuda.libs"):
        _module(name, {})
    for name, members in (("api.runtime", functions), ("api.driver", launching), ("libs.cublas", products)):
        _module(f"cupy_backends.cuda.{name}", members)
        short = name.partition(".")[2]
        setattr(_made["cupy.cuda"], short, _made[f"cupy_backends.cuda.{name}"])
    _made["cupy.cuda.runtime"] = _made["cupy_backends.cuda.api.runtime"]     # of the three only this is a module there
