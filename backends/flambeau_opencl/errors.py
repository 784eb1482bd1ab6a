"""Errors that come late: what a kernel found wrong with its data, or a driver with its launch, after the call returned.

Kernels that can fail store a launch's number and a code (`flambeau.ir.faults`) in a small buffer of their device. The
ring remembers what the latest of these launches were: operator, shapes, dtypes and the line of the program that asked
for them. `check` is called wherever the program waits for the device; it reads the buffer only if such a launch was
queued, in any lane, that nobody has waited for yet, raises the error, clears the buffer, and the device works on.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from flambeau.errors import DeviceError, FlambeauError, OutOfMemoryError, message
from flambeau.ir.faults import FAULTS

if TYPE_CHECKING:
    from flambeau_opencl.device import Device
    from flambeau_opencl.streams import Lane

RING = 64          # launches that are remembered; one that is older is named by its number
LATEST = 6         # launches that a driver's error names
_LIBRARY = frozenset({"flambeau", "flambeau_opencl", "flambeau_conformance", "contextlib", "functools"})
_LAST = (1 << 31) - 2

_EXHAUSTED = frozenset({"MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_HOST_MEMORY"})
_HINTS = {
    "OUT_OF_RESOURCES": "drivers say so of a kernel that ran out of registers or time, or reached beyond its memory",
    "DEVICE_NOT_AVAILABLE": "the device was reset or taken away; start the program anew",
    "INVALID_COMMAND_QUEUE": "an earlier kernel has broken the queue; start the program anew",
}


class Faults:
    """The error buffer and the ring of one device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lock = threading.RLock()   # a finalizer of the program may launch kernels while it is held
        self.buffer: Any = None                # two i32: the launch that failed first, and why
        self.latest: deque[str] = deque(maxlen=LATEST)    # names of the kernels launched last, checked or not
        self._ring: list[tuple[int, str, list[tuple[Any, Any]], tuple[str, int]] | None] = [None] * RING
        self._queued = 0                       # the number of the last checked launch
        self._unread: dict[Lane, int] = {}     # by lane, its last checked launch, as long as nobody has asked about it

    def register(self, op: str, arrays: Sequence[Any]) -> tuple[Any, int]:
        """Take note of a launch that can fail: (the error buffer, the launch's number)."""
        shapes = [(each.dtype, each.shape) for each in arrays]     # put into words where there is an error
        where, lane = caller(), self._device.lane
        with self._lock:
            if self.buffer is None:
                device = self._device
                self.buffer = cl.Buffer(device.context, cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR,
                                        hostbuf=np.zeros(2, np.int32))
            number = self._queued = self._unread[lane] = self._queued % _LAST + 1
            self._ring[number % RING] = (number, op, shapes, where)
        return self.buffer, number

    def check(self, lane: Lane | None = None) -> None:
        """Raise what a checked launch found, if there are any that nobody has asked about. `lane` has been waited for,
        and is asked about as a whole; without one, it was a point in some lane."""
        if not self._unread:
            return
        with self._lock:
            last = self._unread.get(lane) if lane is not None else None
            queue = (lane or self._device.transfer).queue
            number, code = self._found(queue)
            if lane is not None and last is not None and self._unread.get(lane) == last:
                del self._unread[lane]
            if not number:
                return
            if not code:     # a kernel of another lane is just writing it
                self._device.finish()
                number, code = self._found(queue)
            cl.enqueue_fill_buffer(queue, self.buffer, b"\0", 0, 8)
            queue.finish()
            known = self._ring[number % RING]
        if known is None or known[0] != number:
            raise self._error(code, f"launch {number}")
        _, op, shapes, (file, line) = known
        raise self._error(code, f"{_called(op, shapes)} queued at {file}:{line}")

    def check_all(self) -> None:
        """The same where all lanes have been waited for."""
        for lane in list(self._unread):
            self.check(lane)

    def _found(self, queue: Any) -> tuple[int, int]:
        found = np.empty(2, np.int32)
        cl.enqueue_copy(queue, found, self.buffer, is_blocking=True)
        number, code = found.tolist()
        return number, code

    def _error(self, code: int, where: str) -> FlambeauError:
        fault = FAULTS.get(code)
        if fault is None:
            return DeviceError(message(where, f"failed with the unknown code {code}", given=self._device.label))
        return fault.error(message(f"{fault.problem}: {where}", "its result is undefined",
                                   given=f"device {self._device.label!r}, which tells of this when it is waited for",
                                   next_step=fault.next_step))

    def translated(self, error: Exception, doing: str = "") -> FlambeauError:
        """The error to raise for one of the driver's."""
        name = str(getattr(error, "routine", "")) or "OpenCL"
        code = code_name(error)
        latest = ", ".join(self.latest) or "none"
        kind = OutOfMemoryError if code in _EXHAUSTED else DeviceError
        return kind(message(
            f"device {self._device.label!r}", f"{doing or name} failed: {code}", given=f"latest launches: {latest}",
            next_step=_HINTS.get(code, "work in smaller batches" if kind is OutOfMemoryError else
                                 "if it is the program's fault, synchronize after each call to find the one")))


def described(op: str, arrays: Sequence[Any]) -> str:
    """A call, for people."""
    return _called(op, [(each.dtype, each.shape) for each in arrays])


def _called(op: str, shapes: Sequence[tuple[Any, Any]]) -> str:
    return f"{op}({', '.join([f'{dtype.name} {list(shape)}' for dtype, shape in shapes])})"


def code_name(error: Exception) -> str:
    """The driver's name of an error, as OUT_OF_RESOURCES."""
    code = getattr(error, "code", None)
    if code is None:
        return str(error)
    try:
        return str(cl.status_code.to_string(code))   # type: ignore[operator]  # its stub takes it for a constant
    except ValueError:
        return f"error {code}"


def caller() -> tuple[str, int]:
    """File and line of the innermost frame outside of this library."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__")
        inside = _inside.get(name)
        if inside is None:
            inside = _inside[name] = str(name).partition(".")[0] in _LIBRARY
        if not inside:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "an unknown place", 0


_inside: dict[Any, bool] = {}     # whether a module is of the library, by name
