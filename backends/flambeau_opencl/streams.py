"""Lanes of OpenCL: command queues, and their events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyopencl as cl

from flambeau.queues import Marker
from flambeau_clike.lanes import Event, Lane, Stream

PATTERN = 128          # bytes that a buffer can be filled with


class CommandQueue(Lane):
    """A command queue."""

    __slots__ = ()

    @property
    def address(self) -> int:
        return int(self.queue.int_ptr)

    def marker(self) -> Any:
        event = cl.enqueue_marker(self.queue)
        self.queue.flush()
        return event

    def reached(self, event: Any) -> bool:
        return bool(event.command_execution_status <= 0)

    def after(self, events: list[Any]) -> None:
        cl.enqueue_barrier(self.queue, wait_for=events)

    def record(self, stream: Stream, timing: bool) -> Event:
        return TimedEvent(stream) if timing else Event(stream, False, self.marker())

    def drain(self) -> None:
        self.queue.finish()

    def fill(self, buffer: Any, pattern: bytes, offset: int, size: int) -> None:
        cl.enqueue_fill_buffer(self.queue, buffer, pattern, offset, size)

    def copy(self, target: Any, source: Any, size: int, target_offset: int, source_offset: int) -> None:
        cl.enqueue_copy(self.queue, target, source, byte_count=size, src_offset=source_offset,
                        dst_offset=target_offset)

    def upload(self, buffer: Any, array: Any) -> None:
        size = array.nbytes
        if size <= PATTERN:    # the driver takes a copy itself; blocks have room for the rounding up
            room = 1 << (size - 1).bit_length()
            cl.enqueue_fill_buffer(self.queue, buffer, array.tobytes().ljust(room, b"\0"), 0, room)
        else:
            self.hold(cl.enqueue_copy(self.queue, buffer, np.array(array, order="C"), is_blocking=False), size)

    def write(self, buffer: Any, array: Any) -> None:
        cl.enqueue_copy(self.queue, buffer, np.ascontiguousarray(array), is_blocking=True)

    def read(self, target: Any, buffer: Any, offset: int = 0) -> None:
        cl.enqueue_copy(self.queue, target, buffer, is_blocking=True, src_offset=offset)


class TimedEvent(Event):
    """An event in a queue beside the lane that has a clock, right behind the lane's."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream, True, stream.lane.marker())
        clock = stream.lane.device.clock    # type: ignore[attr-defined]  # a device of this package
        self._timed = cl.enqueue_marker(clock, wait_for=[self.event])
        clock.flush()

    def wait_for(self) -> None:
        self._timed.wait()

    def elapsed(self, start: Marker) -> float:
        assert isinstance(start, TimedEvent)
        self._timed.wait()
        start._timed.wait()
        return float(self._timed.profile.end - start._timed.profile.end) / 1e6
