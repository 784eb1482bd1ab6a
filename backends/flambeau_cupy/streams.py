"""Lanes of CUDA: streams, and their events.

The lane of threads that have chosen none is CUDA's legacy default stream, as in PyTorch and CuPy, so that their arrays
can be exchanged without a word about streams; further ones do not wait for it.
"""

from __future__ import annotations

import threading
from typing import Any

import cupy
import numpy as np
from cupy.cuda import driver, runtime

from flambeau.queues import Marker
from flambeau_clike.lanes import Event, Lane, Stream
from flambeau_cupy.program import FILL

WORDS = {2: "u16", 4: "u32", 8: "u64", 16: "u128"}


class Entered(threading.local):
    """Which device this thread has made CUDA's current one for us; a new thread has none, and no context either."""

    index = -1


class Queue:
    """A stream of CuPy's, of the device `index`; of several devices, `several` says that there are others."""

    __slots__ = ("index", "ptr", "several", "stream")

    def __init__(self, stream: Any, index: int, several: bool) -> None:
        self.stream, self.index, self.several, self.ptr = stream, index, several, int(stream.ptr)

    def enter(self) -> None:
        """Make its device CUDA's current one in this thread. A program's own use of CuPy may have chosen another."""
        if _entered.index != self.index or (self.several and runtime.getDevice() != self.index):
            runtime.setDevice(self.index)
            _entered.index = self.index


_entered = Entered()


def enqueue(queue: Queue, kernel: Any, global_size: tuple[int], local_size: tuple[int]) -> None:
    """Queue a kernel over so many work items, in blocks of so many."""
    if _entered.index != queue.index or queue.several:
        queue.enter()
    items, = global_size
    group, = local_size
    driver.launchKernel(kernel.ptr, items // group, 1, 1, group, 1, 1, 0, queue.ptr, kernel.parameters, 0)


class CudaLane(Lane):
    """A stream."""

    __slots__ = ()

    @property
    def address(self) -> int:
        return int(self.queue.ptr)

    def marker(self) -> Any:
        return self._event(timing=False)

    def _event(self, timing: bool) -> Any:
        self.queue.enter()
        event = cupy.cuda.Event(disable_timing=not timing)
        event.record(self.queue.stream)
        return event

    def reached(self, event: Any) -> bool:
        return bool(event.done)

    def after(self, events: list[Any]) -> None:
        self.queue.enter()
        for each in events:
            self.queue.stream.wait_event(each)

    def record(self, stream: Stream, timing: bool) -> Event:
        return CudaEvent(stream, timing, self._event(timing))

    def wait_for(self, event: Any) -> None:
        event.synchronize()

    def drain(self) -> None:
        self.queue.enter()
        self.queue.stream.synchronize()

    def fill(self, buffer: Any, pattern: bytes, offset: int, size: int) -> None:
        self.queue.enter()
        if pattern.count(pattern[:1]) == len(pattern):
            runtime.memsetAsync(buffer.ptr + offset, pattern[0], size, self.queue.ptr)
            return
        width = len(pattern)
        device, count = self.device, size // width
        kernel = device.programs.kernel(FILL, (WORDS[width],))
        with device.lock:
            kernel.set_arg(0, buffer)
            kernel._set_arg_buf(1, (offset // width).to_bytes(8, "little"))
            kernel._set_arg_buf(2, pattern)
            kernel._set_arg_buf(3, count.to_bytes(8, "little"))
            enqueue(self.queue, kernel, *device.sizes(count))

    def copy(self, target: Any, source: Any, size: int, target_offset: int, source_offset: int) -> None:
        self.queue.enter()
        runtime.memcpyAsync(target.ptr + target_offset, source.ptr + source_offset, size,
                            runtime.memcpyDeviceToDevice, self.queue.ptr)

    def upload(self, buffer: Any, array: Any) -> None:
        self.queue.enter()
        array = np.ascontiguousarray(array)     # CUDA has read pageable memory when the call returns
        runtime.memcpyAsync(buffer.ptr, array.ctypes.data, array.nbytes, runtime.memcpyHostToDevice, self.queue.ptr)

    def write(self, buffer: Any, array: Any) -> None:
        self.upload(buffer, array)
        self.queue.stream.synchronize()

    def read(self, target: Any, buffer: Any, offset: int = 0) -> None:
        self.queue.enter()
        runtime.memcpyAsync(target.ctypes.data, buffer.ptr + offset, target.nbytes, runtime.memcpyDeviceToHost,
                            self.queue.ptr)
        self.queue.stream.synchronize()


class CudaEvent(Event):
    """An event, which takes the time if it was asked to."""

    def elapsed(self, start: Marker) -> float:
        assert isinstance(start, CudaEvent)
        self.wait_for()
        return float(cupy.cuda.get_elapsed_time(start.event, self.event))
