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

from flambeau.errors import DeviceError, FlambeauError, OutOfMemoryError, message
from flambeau.ir.faults import FAULTS

if TYPE_CHECKING:
    from flambeau_clike.device import Device
    from flambeau_clike.lanes import Lane

RING = 64          # launches that are remembered; one that is older is named by its number
LATEST = 6         # launches that a driver's error names
_LIBRARY = frozenset({"contextlib", "functools"})
_LAST = (1 << 31) - 2


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
                self.buffer = self._device.new_buffer(8)
                if self.buffer is None:
                    raise OutOfMemoryError(message(f"device {self._device.label!r}", "no room for 8 bytes of errors"))
                lane.write(self.buffer, np.zeros(2, np.int32))
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
            reader = lane or self._device.transfer
            number, code = self._found(reader)
            if lane is not None and last is not None and self._unread.get(lane) == last:
                del self._unread[lane]
            if not number:
                return
            if not code:     # a kernel of another lane is just writing it
                self._device.finish()
                number, code = self._found(reader)
            reader.write(self.buffer, np.zeros(2, np.int32))
            known = self._ring[number % RING]
        if known is None or known[0] != number:
            raise self._error(code, f"launch {number}")
        _, op, shapes, (file, line) = known
        raise self._error(code, f"{_called(op, shapes)} queued at {file}:{line}")

    def check_all(self) -> None:
        """The same where all lanes have been waited for."""
        for lane in list(self._unread):
            self.check(lane)

    def _found(self, lane: Lane) -> tuple[int, int]:
        found = np.empty(2, np.int32)
        lane.read(found, self.buffer)
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
        code, exhausted, hint = self._device.explained(error)
        latest = ", ".join(self.latest) or "none"
        kind = OutOfMemoryError if exhausted else DeviceError
        return kind(message(
            f"device {self._device.label!r}", f"{doing or 'a call of the driver'} failed: {code}",
            given=f"latest launches: {latest}",
            next_step=hint or ("work in smaller batches" if exhausted else
                               "if it is the program's fault, synchronize after each call to find the one")))


def described(op: str, arrays: Sequence[Any]) -> str:
    """A call, for people."""
    return _called(op, [(each.dtype, each.shape) for each in arrays])


def _called(op: str, shapes: Sequence[tuple[Any, Any]]) -> str:
    return f"{op}({', '.join([f'{dtype.name} {list(shape)}' for dtype, shape in shapes])})"


def caller() -> tuple[str, int]:
    """File and line of the innermost frame outside of this library."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__")
        inside = _inside.get(name)
        if inside is None:
            root = str(name).partition(".")[0]
            inside = _inside[name] = root in _LIBRARY or root.startswith("flambeau")
        if not inside:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "an unknown place", 0


_inside: dict[Any, bool] = {}     # whether a module is of the library, by name
