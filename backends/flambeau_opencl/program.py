"""Programs of OpenCL C: built by the driver, or taken from the cache of binaries."""

from __future__ import annotations

import ctypes
import os
import re
import time
from functools import cached_property
from typing import Any

import pyopencl as cl

from flambeau.errors import BackendError, message
from flambeau.ir.dialect import OPENCL
from flambeau.ir.faults import HEADER as FAULTS
from flambeau_clike import program
from flambeau_clike.program import excerpt
from flambeau_opencl.cache import BinaryCache, cache_for

REBUILDS = 3      # attempts at a program whose kernels the driver's cache has lost


class Programs(program.Programs):
    """The programs of one device, and their kernels."""

    def __init__(self, device: Any) -> None:
        super().__init__(device)
        self.device = device
        self.built: dict[tuple[str, bool], Any] = {}
        self._rebuilt: dict[tuple[str, bool], int] = {}     # how often a program came without its kernels

    @cached_property
    def cache(self) -> BinaryCache | None:
        """Binaries on disk."""
        return cache_for(self.device)

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


