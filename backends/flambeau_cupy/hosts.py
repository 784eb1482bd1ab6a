"""Copies that the program does not wait for, through page-locked memory of the host, and those between devices."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np
from cupy.cuda import runtime

from flambeau_clike import transfers
from flambeau_clike.array import FROM_NUMPY, TO_NUMPY, Array, empty
from flambeau_clike.kernels.movement import contiguous, copy
from flambeau_clike.transfers import join
from flambeau_cupy.arrays import address

_PAGE_LOCKED = 1     # cudaMemoryTypeHost


class Pending:
    """An event, and the host memory of the copy that it is behind."""

    __slots__ = ("array", "event")

    def __init__(self, event: Any, array: Any) -> None:
        self.event, self.array = event, array

    @property
    def done(self) -> bool:
        """Whether the copy has been made."""
        return bool(self.event.done)

    def synchronize(self) -> None:
        """Wait for it."""
        self.event.synchronize()


def pinned(size: int) -> Any:
    """Page-locked memory, as a buffer."""
    return cupy.cuda.alloc_pinned_memory(size)


def is_pinned(array: Any) -> bool:
    """Whether a NumPy array lies in page-locked memory."""
    try:
        return int(runtime.pointerGetAttributes(array.ctypes.data).type) == _PAGE_LOCKED
    except runtime.CUDARuntimeError:     # drivers before CUDA 11 say so of memory that they do not know
        return False


def from_host_later(array: Any, device: Any) -> Array:
    """Queue a copy out of page-locked memory; others are waited for."""
    if not array.size or not array.flags.c_contiguous or not is_pinned(array):
        return transfers.from_host(array, device)
    result, lane = empty(array.shape, FROM_NUMPY[array.dtype], device), device.lane
    lane.upload(result.memory.buffer, array)
    lane.hold(Pending(lane.marker(), array), array.nbytes)
    return result


def to_host_later(array: Array) -> Any:
    """Queue a copy into new page-locked memory."""
    array = contiguous(array)
    size = array.size * array.dtype.itemsize
    if not size:
        return transfers.to_host(array)
    lane = join(array)
    if array.memory.lane is not lane:
        array.memory.use(lane)
    result = np.frombuffer(pinned(size), np.uint8, size).view(TO_NUMPY[array.dtype]).reshape(array.shape)
    lane.queue.enter()
    runtime.memcpyAsync(result.ctypes.data, address(array), size, runtime.memcpyDeviceToHost,
                        lane.queue.ptr)
    lane.hold(Pending(lane.marker(), result), size)
    return result


def to_device(array: Array, device: Any) -> Array:
    """A dense copy on another device, from memory to memory where the two reach each other."""
    result = empty(array.shape, array.dtype, device)
    if device is array.device:
        copy(result, array)
        return result
    source = contiguous(array)
    size = source.size * source.dtype.itemsize
    if not size:
        return result
    behind, lane = join(source), device.lane
    lane.after([behind.marker()])
    runtime.memcpyPeerAsync(result.memory.buffer.ptr, lane.queue.index, address(source), behind.queue.index, size,
                            lane.queue.ptr)
    source.memory.use(lane)
    return result
