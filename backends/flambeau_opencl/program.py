"""Programs: families of kernels in one text, built when one of them is first launched."""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from string import Template
from typing import TYPE_CHECKING, Any

import pyopencl as cl

from flambeau.errors import BackendError, message
from flambeau.ir.dialect import OPENCL
from flambeau.ir.faults import HEADER as FAULTS
from flambeau_opencl.cache import BinaryCache, cache_for

if TYPE_CHECKING:
    from flambeau_opencl.device import Device

REBUILDS = 3      # attempts at a program whose kernels the driver's cache has lost


class Family:
    """Kernels that differ in a few words, such as types: `template` is rendered for each combination of `over`.

    `over` lists (placeholder, words); a template names its kernel `$NAME`. Building costs drivers far more per program
    than per kernel, so all kernels of a family make one program. `shared` is text before them. `only` says which
    combinations there are; those with `f64` or `c128` are left out on devices without them.
    """

    def __init__(self, name: str, template: str, over: Sequence[tuple[str, Sequence[str]]] = (), *, shared: str = "",
                 only: Callable[..., bool] | None = None) -> None:
        self.name, self.shared = name, shared
        self._template, self._over, self._only = Template(template), tuple(over), only

    def kernel_name(self, words: tuple[str, ...]) -> str:
        """The name of one kernel."""
        return "_".join((self.name, *words))

    def text(self, fp64: bool) -> str:
        """The program."""
        names = [name for name, _ in self._over]
        parts = [self.shared]
        for words in itertools.product(*[words for _, words in self._over]):
            if (fp64 or not {"f64", "c128"} & set(words)) and (self._only is None or self._only(*words)):
                wanted = dict(zip(names, words, strict=True))
                parts.append(self._template.substitute(wanted, NAME=self.kernel_name(words)))
        return "\n".join(parts)


class Programs:
    """The programs of one device, and their kernels."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.built: dict[tuple[str, bool], Any] = {}
        self.kernels: dict[tuple[Family, tuple[str, ...], bool], Any] = {}
        self._texts: dict[Family, str] = {}
        self._rebuilt: dict[tuple[str, bool], int] = {}     # how often a program came without its kernels
        self.lock = threading.RLock()

    @cached_property
    def cache(self) -> BinaryCache | None:
        """Binaries on disk."""
        return cache_for(self.device)

    def kernel(self, family: Family, words: tuple[str, ...], wide: bool = False, what: str = "") -> Any:
        """A kernel of a family, built if need be; `wide`: with 64-bit indices. Errors name `what` asked for it."""
        key = (family, words, wide)
        found = self.kernels.get(key)
        if found is None:
            with self.lock:
                text = self._texts.get(family)
                if text is None:
                    text = self._texts[family] = family.text(self.device.traits.fp64)
                found = self.kernels.get(key)
                if found is None:
                    found = self.kernels[key] = self.create(text, family.name, family.kernel_name(words), wide, what)
        return found

    def create(self, text: str, name: str, kernel: str, wide: bool = False, what: str = "") -> Any:
        """A new kernel object of a text's program.

        Where the text has the kernel and the program has not, the driver took the program from a cache of its own that
        is damaged, as by a process that was killed: the text is built anew with an option that the cache cannot know.
        """
        program = self.build(text, name, wide, what)
        try:
            return cl.Kernel(program, kernel)
        except cl.Error as error:
            refusal = error
        while re.search(rf"\b{re.escape(kernel)}\b", text):
            with self.lock:
                _keep(self.device.context)
                if self.built[text, wide] is program:    # else another thread was faster
                    tried = self._rebuilt[text, wide] = self._rebuilt.get((text, wide), 0) + 1
                    if tried > REBUILDS:
                        break
                    mark = str(tried) if tried < REBUILDS else f"{os.getpid()}_{time.time_ns()}"
                    self.built[text, wide] = self._build(text, name, wide, what, f" -DREBUILT={mark}")
                program = self.built[text, wide]
            try:
                return cl.Kernel(program, kernel)
            except cl.Error as error:
                refusal = error
        raise BackendError(message(
            what or name, f"there is no kernel {kernel} for {self.device.label!r}", given=str(refusal),
            next_step="" if self.device.traits.fp64 else "this device has no float64; use float32")) from refusal

    def build(self, text: str, name: str, wide: bool = False, what: str = "") -> Any:
        """The program of a text; BackendError with the source and the compiler's log where it does not build."""
        program = self.built.get((text, wide))
        if program is None:
            with self.lock:
                program = self.built.get((text, wide))
                if program is None:
                    program = self.built[text, wide] = self._build(text, name, wide, what)
        return program

    def _build(self, text: str, name: str, wide: bool, what: str, more: str = "") -> Any:
        options = self.options + (" -DWIDE" if wide else "") + more
        source = OPENCL.header + FAULTS + text
        if self.cache is not None:
            program = self.cache.load(source, options)
            if program is not None:
                return program
        try:     # pyopencl would keep a cache of its own, where the driver has none
            program = cl.Program(self.device.context, source).build(
                options=options, cache_dir=False)   # type: ignore[arg-type]  # its stub does not know False
        except cl.Error as error:
            if not more:     # a driver may fail over a damaged file of its cache, too
                return self._build(text, name, wide, what, " -DREBUILT=0")
            raise BackendError(message(f"{what or name}: the program {name!r} does not build on {self.device.label!r}",
                                       "\n" + excerpt(source, str(error)), given=f"options {options}",
                                       next_step="this is a fault of the kernel or the driver; please report it"
                                       )) from error
        if self.cache is not None:
            self.cache.store(source, options, program)
        return program

    @cached_property
    def options(self) -> str:
        """What programs are built with on this device."""
        traits = self.device.traits
        config = int(getattr(self.device.handle, "single_fp_config", 0))
        rounded = bool(config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT)
        return " ".join(option for option, wanted in (
            ("-w", True), ("-DCHUNKED", traits.cpu), ("-DFP64", traits.fp64),
            ("-cl-fp32-correctly-rounded-divide-sqrt", rounded)) if wanted)


def _keep(context: Any) -> None:
    """Never free a context: PoCL ends the process where one has had a program that was damaged."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(context))


def excerpt(source: str, log: str, around: int = 4, most: int = 3) -> str:
    """A compiler's log, and the lines of the source around the first errors that it names."""
    lines = source.splitlines()
    found = [int(first or second) for first, second in _ERROR.findall(log)]
    shown = [number for number in dict.fromkeys(found) if 0 < number <= len(lines)][:most]
    log = log.partition("Build on ")[2] or log     # what pyopencl puts before it says nothing
    parts = [log if len(log) <= 4000 else log[:4000] + " ..."]
    for number in shown:
        first, last = max(1, number - around), min(len(lines), number + around)
        parts.append(f"source, line {number}:")
        parts += [f"{'>' if each == number else ' '}{each:5d}  {lines[each - 1]}" for each in range(first, last + 1)]
    return "\n".join(parts)


# "<kernel>:12:5: error: ..." is what most compilers write, "error: /tmp/x.cl:12:5: ..." what PoCL does
_ERROR = re.compile(r":(\d+):(?:\d+:)?\s*(?:fatal )?error|error: [^\n:]*:(\d+):")
