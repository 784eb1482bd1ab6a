"""Programs of CUDA C, compiled by NVRTC through CuPy, which keeps the binaries on disk, and kernels' arguments."""

from __future__ import annotations

import ctypes
import re
import struct
from typing import Any

import cupy

from flambeau.errors import BackendError, message
from flambeau.ir.dialect import CUDA
from flambeau.ir.faults import HEADER as FAULTS
from flambeau_clike import program
from flambeau_clike.program import Family, excerpt

PARAMETERS = 256       # that a kernel may have,
BLOCK = 8192           # and bytes that they may take together with their gaps: CUDA itself stops at 4096
_pack_pointer = struct.Struct("=Q").pack_into

FILL = Family("fill", """
KERNEL $NAME(ARRAY($T, out), $T value, i64 n) {
    OPEN($T, out);
    FOR_EACH(i, n) out[i] = value;
}""", (("T", ("u16", "u32", "u64", "u128")),))


_FAILURES = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)


class Kernel:
    """A kernel with its arguments, set one by one and kept: `parameters` is the address of the pointers to them."""

    __slots__ = ("_base", "_block", "_free", "_places", "_pointers", "_view", "function_name", "owner", "parameters",
                 "ptr")

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.function_name = owner, name     # the owner keeps the module loaded
        self.ptr = int(owner.kernel.ptr)
        self._block = bytearray(BLOCK)
        self._view = memoryview(self._block)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._block))
        self._pointers = (ctypes.c_uint64 * PARAMETERS)()
        self.parameters = ctypes.addressof(self._pointers)
        self._places: dict[int, int] = {}     # by position, where the argument is in the block
        self._free = 0

    def _place(self, position: int, size: int) -> int:
        """Make room for the argument at a position."""
        place = self._places[position] = self._free
        self._free += -(-size // 16) * 16
        if self._free > BLOCK:
            raise BackendError(message(self.function_name, f"more than {BLOCK} bytes of arguments"))
        self._pointers[position] = self._base + place
        return place

    def set_arg(self, position: int, buffer: Any) -> None:
        """Let an argument be a buffer."""
        place = self._places.get(position)
        if place is None:
            place = self._place(position, 8)
        _pack_pointer(self._block, place, buffer.ptr)

    def _set_arg_buf(self, position: int, value: bytes) -> None:
        """Let an argument have some bytes, always as many at one position."""
        place = self._places.get(position)
        if place is None:
            place = self._place(position, len(value))
        self._view[place:place + len(value)] = value


class Programs(program.Programs):
    """The programs of one device, and their kernels."""

    apart = True       # NVRTC takes seconds for a family of fifty, and some 0.1 s for one of them

    def __init__(self, device: Any) -> None:
        super().__init__(device)
        self.built: dict[tuple[str, bool], Any] = {}

    def create(self, text: str, name: str, kernel: str, wide: bool = False, what: str = "") -> Kernel:
        with self.lock:
            self._device.queue.enter()
            module = self.built.get((text, wide))
            if module is None:
                module = self._module(text, name, wide, what)
            try:
                function = module.get_function(kernel)
                return Kernel(function, kernel)
            except _FAILURES as error:
                raise BackendError(message(
                    what or name, f"there is no kernel {kernel} for {self._device.label!r}", given=str(error))
                    ) from error

    def _module(self, text: str, name: str, wide: bool, what: str) -> Any:
        source = CUDA.header + FAULTS + text
        options = CUDA.options + (("-DWIDE",) if wide else ())
        module = cupy.RawModule(code=source, options=options, backend="nvrtc")
        try:
            module.compile()
        except cupy.cuda.compiler.CompileException as error:
            raise BackendError(message(
                f"{what or name}: the program {name!r} does not build on {self._device.label!r}",
                "\n" + excerpt(source, _LINE.sub(r":\1: ", str(error))), given=f"options {' '.join(options)}",
                next_step="this is a fault of the kernel or the compiler; please report it")) from error
        self.built[text, wide] = module
        return module


_LINE = re.compile(r"\((\d+)\): ")     # as NVRTC names a line: kern.cu(12): error
