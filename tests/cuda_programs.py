"""Every CUDA program that the catalogue of kernels can make, found from the modules and from operators' records.

There is no list of them: families of kernels and operators with expressions are what the modules hold, wherever they
hold it; the families of reductions and scans, made when they are first asked for, are those that a device without a
driver is asked for when it computes every reduction and scan for every dtype; those of tiles are made for all tiles
that fit.

    python tests/cuda_programs.py            # compile them all, each for one architecture to machine code, for the
                                             # others to PTX; says how many kernels there are
    python tests/cuda_programs.py --full     # all to machine code, as well as the compiler can
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import time
import types
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nvrtc
from flambeau.errors import BackendError
from flambeau.ir.dialect import C_TYPES
from flambeau_clike import kernels, program
from flambeau_clike.array import Array, empty
from flambeau_clike.device import Device, Traits
from flambeau_clike.kernels import matmul, reduction, scan, tiled
from flambeau_clike.kernels.pointwise import COMPUTED, Operator
from flambeau_clike.lanes import Lane
from flambeau_clike.program import Family

FULL = "FLAMBEAU_CUDA_FULL"       # set to anything, tests compile as `--full` does
LARGE = 1 << 24                   # elements of which a reduction is made in several stages
SHARED_MEMORY = 48 << 10          # bytes that a group has on every architecture
MAKERS = {reduction.family, tiled._family}     # what makes families when they are asked for; all of them run here


class Program(NamedTuple):
    """A text, and the kernels that it says it has."""

    name: str
    text: str
    kernels: frozenset[str]


# ---------------------------------------------------------------------------------------------- what modules hold
def modules(package: types.ModuleType = kernels) -> list[types.ModuleType]:
    """Those of a package."""
    return [importlib.import_module(f"{package.__name__}.{each.name}")
            for each in pkgutil.iter_modules(package.__path__)]


def held(roots: Iterable[object]) -> list[object]:
    """What modules hold: in their names, in containers, in closures, in objects of classes of theirs."""
    found: dict[int, object] = {}
    left = [value for root in roots for value in vars(root).values()]
    while left:
        each = left.pop()
        if id(each) in found or isinstance(each, (str, bytes, int, float, type, types.ModuleType)):
            continue
        found[id(each)] = each
        if isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            left += each
        elif isinstance(each, types.FunctionType):
            left += [cell.cell_contents for cell in each.__closure__ or ()]
            left += [*(each.__defaults__ or ()), *(each.__kwdefaults__ or {}).values()]
        elif type(each).__module__.startswith("flambeau_clike.kernels"):
            left += vars(each).values() if hasattr(each, "__dict__") else []
    return list(found.values())


def makers() -> set[object]:
    """The functions of the modules that make families and keep them."""
    return {value for module in modules() for value in vars(module).values()
            if hasattr(value, "cache_info") and value.__annotations__.get("return") in ("Family", "Rows")}


# ---------------------------------------------------------------------------------------------- what is made later
class _Kernel:
    def __init__(self, name: str) -> None:
        self.function_name = name

    def set_arg(self, position: int, buffer: Any) -> None:
        """Nothing runs."""

    def _set_arg_buf(self, position: int, value: bytes) -> None:
        """Nothing runs."""


class _Programs(program.Programs):
    """Programs that are only remembered."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.asked: dict[int, Family] = {}

    def kernel(self, family: Family, words: tuple[str, ...], wide: bool = False, what: str = "") -> Any:
        found = super().kernel(family, words, wide, what)
        self.asked[id(family)] = family
        return found

    def create(self, text: str, name: str, kernel: str, wide: bool = False, what: str = "") -> Any:
        if kernel not in named(text):
            raise BackendError(f"{what}: there is no kernel {kernel}")
        return _Kernel(kernel)


class _Lane(Lane):
    __slots__ = ()

    def marker(self) -> Any:
        return None

    def reached(self, event: Any) -> bool:
        return True

    def drain(self) -> None:
        """Nothing runs."""

    def copy(self, target: Any, source: Any, size: int, target_offset: int, source_offset: int) -> None:
        """Nothing runs."""


class _Device(Device):
    """A GPU that computes nothing."""

    error = OSError
    setting = "FLAMBEAU_NO_DEVICE_MEMORY_LIMIT"

    @staticmethod
    def enqueue(queue: Any, kernel: Any, global_size: tuple[int], local_size: tuple[int]) -> Any:
        """Nothing runs."""

    def open_lane(self, priority: int = 0) -> Lane:
        return _Lane(self, object())

    def new_buffer(self, size: int) -> Any:
        return object()


def _device() -> _Device:
    return _Device("nothing", Traits(
        cpu=False, fp64=True, fp16=True, int64_atomics=True, subgroups=True, images=False, unified=False,
        coherent=False, units=100, group=256, largest_group=1024, local_memory=SHARED_MEMORY, max_allocation=1 << 40,
        image_size=(0, 0)), 1 << 40, _Programs)


def _arguments(kernel: Any, input: Array) -> dict[str, Any]:
    """A reduction's or a scan's arguments, by the names of its parameters."""
    given: dict[str, Any] = {"input": input, "keepdim": False, "dtype": input.dtype, "ord": 2}
    parameters = inspect.signature(kernel).parameters
    given["dim"] = (0,) if "dim" in parameters and parameters["dim"].annotation == "Dims" else 0
    return {name: given[name] for name in parameters}


def _reductions(device: _Device) -> Iterator[Family]:
    """The families that reductions and scans ask for."""
    for each in (*reduction.KERNELS.values(), *scan.KERNELS.values()):
        for kind in COMPUTED:
            try:
                each(**_arguments(each, empty((LARGE,), kind, device)))
            except BackendError:     # an operator without this dtype: it would be a fault of the core to ask for it
                continue
    assert isinstance(device.programs, _Programs)
    yield from device.programs.asked.values()


def _tiles(device: Device) -> Iterator[Family]:
    """The families of tiles: one for each of the types that there are products of."""
    types = {each for some in matmul._KINDS.values() for each in some}
    for kind in COMPUTED:
        if C_TYPES[kind] in types:
            for tile in tiled.fitting(device, kind):
                yield tiled._family(tile, C_TYPES[kind])


# ---------------------------------------------------------------------------------------------- what the driver adds
_DRIVER = """
import json
import cuda_machine
cuda_machine.install()
import cuda_programs, flambeau_cupy
held = cuda_programs.held(cuda_programs.modules(flambeau_cupy))
print(json.dumps([(each.name, each.text(True)) for each in held if isinstance(each, cuda_programs.Family)]))
"""


@functools.cache
def driver() -> list[tuple[str, str]]:
    """The names and texts of the families that the backend holds; in a process of its own, which has the stand-in for
    CuPy."""
    folder = str(Path(__file__).parent)
    output = subprocess.run([sys.executable, "-c", _DRIVER], env={**os.environ, "PYTHONPATH": folder},
                            capture_output=True, text=True, check=False, timeout=120)
    if output.returncode:
        raise RuntimeError(output.stderr)
    return [(name, text) for name, text in json.loads(output.stdout.splitlines()[-1])]


# ---------------------------------------------------------------------------------------------- all of them
def named(text: str) -> frozenset[str]:
    """The kernels in a text that GPUs have: all but those under `#ifdef CHUNKED`. Of other conditions both sides
    count, which have kernels of the same names."""
    found, open_ = set(), []       # by condition, whether what follows is for GPUs
    for line in text.splitlines():
        word = line.split(maxsplit=2)
        if word and word[0].startswith("#if"):
            open_.append({"#ifdef CHUNKED": False, "#ifndef CHUNKED": True}.get(line.strip()))
        elif word[:1] in (["#else"], ["#elif"]):
            open_[-1] = None if open_[-1] is None else not open_[-1]
        elif word[:1] == ["#endif"]:
            open_.pop()
        elif word[:1] == ["KERNEL"] and False not in open_:
            found.add(word[1].partition("(")[0])
    return frozenset(found)


@functools.cache
def families() -> list[Family]:
    """Every family of kernels."""
    device = _device()
    found = [each for each in held(modules()) if isinstance(each, Family)]
    return list({id(each): each for each in (*found, *_reductions(device), *_tiles(device))}.values())


@functools.cache
def operators() -> list[Operator]:
    """Every operator whose kernels are rendered from an expression."""
    return [each for each in held(modules()) if isinstance(each, Operator)]


@functools.cache
def programs() -> list[Program]:
    """Every program, by name."""
    texts = [*driver(), *[(each.name, each.text(True)) for each in families()]]
    texts += [(f"{each.name} of {'complex' if of_complex else 'real'} numbers", each.text(True, of_complex))
              for each in operators() for of_complex in (False, True)]
    return sorted(Program(name, text, found) for name, text in dict.fromkeys(texts) if (found := named(text)))


class Form(NamedTuple):
    """What a program is compiled for."""

    architecture: str
    wide: bool


FORMS = tuple(Form(each, wide) for each in nvrtc.ARCHITECTURES for wide in (False, True))


def whole(program: Program, form: Form) -> bool:
    """Whether a program is compiled to machine code for a form: for one of them, in turn."""
    return bool(os.environ.get(FULL)) or FORMS[zlib.crc32(min(program.kernels).encode()) % len(FORMS)] == form


def build(compiler: nvrtc.Compiler, program: Program, form: Form) -> tuple[bytes, str]:
    """Compile a program; BuildError where it does not, or where kernels are missing. Gives the code and the log."""
    full = bool(os.environ.get(FULL))
    target = form.architecture if whole(program, form) else form.architecture.replace("sm", "compute")
    try:
        code, log = compiler.build(program.text, target, wide=form.wide, fast=not full)
    except nvrtc.BuildError as error:
        raise nvrtc.BuildError(f"{program.name}: {error}") from error
    if nvrtc.entries(code) != program.kernels:
        raise nvrtc.BuildError(f"{program.name}: {sorted(nvrtc.entries(code) ^ program.kernels)} are missing, or more")
    return code, log


def main() -> int:
    """Compile everything, and say how many kernels there are."""
    parser = argparse.ArgumentParser(description="Compile every CUDA kernel of the catalogue, without a GPU.")
    parser.add_argument("--full", action="store_true", help="all to machine code, optimised: many minutes")
    parser.add_argument("--only", default="", help="a regular expression for names of programs")
    if parser.parse_args().full:
        os.environ[FULL] = "1"
    compiler = nvrtc.find()
    if compiler is None:
        print(nvrtc.MISSING)
        return 1
    chosen = [each for each in programs() if re.search(parser.parse_args().only, each.name)]
    print(f"NVRTC {'.'.join(map(str, compiler.version))} of {compiler.path}")
    bad = 0
    for form in FORMS:
        started, count = time.process_time(), 0
        for each in chosen:
            try:
                build(compiler, each, form)
                count += len(each.kernels)
            except nvrtc.BuildError as error:
                bad += 1
                print(error)
        print(f"{form.architecture}, {'64' if form.wide else '32'}-bit indices: {count} kernels of {len(chosen)} "
              f"programs in {time.process_time() - started:.1f} s of processor time", flush=True)
    print(f"{bad} programs failed" if bad else "all compile")
    return 1 if bad or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
