"""Our arrays as CuPy's and the other way round, and kernels made of CuPy's functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cupy

from flambeau_clike.array import FROM_NUMPY, TO_NUMPY, Array, view
from flambeau_clike.kernels.movement import lane_of
from flambeau_clike.lanes import Lane
from flambeau_clike.memory import Block, Memory


class Foreign(Memory):
    """Memory that another library owns; it lives as long as this."""

    __slots__ = ("owner",)

    def __init__(self, device: Any, size: int, pointer: int, lane: Lane, owner: Any) -> None:
        super().__init__(device, size, 0, Block(Pointer(pointer), size, lane))
        self.owner = owner

    def __del__(self) -> None:
        """Nothing to give back."""


class Pointer:
    """An address of somebody else's memory, as a buffer."""

    __slots__ = ("ptr",)

    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


def to_cupy(array: Array) -> Any:
    """A CuPy array over the memory of an array, which it keeps."""
    lane_of(array)
    memory, dtype = array.memory, TO_NUMPY[array.dtype]
    whole = cupy.cuda.UnownedMemory(memory.buffer.ptr, max(memory.size, 1), memory, array.device.index)   # type: ignore[attr-defined]  # a device of this package
    size = dtype.itemsize
    pointer = cupy.cuda.MemoryPointer(whole, array.offset * size)
    return cupy.ndarray(array.shape, dtype, pointer, [each * size for each in array.strides])


def from_cupy(value: Any, device: Any) -> Array:
    """An array over the memory of a CuPy array, which it keeps; over a copy where a stride is negative."""
    if any(each < 0 or each % value.itemsize for each in value.strides):
        value = cupy.ascontiguousarray(value)
    memory = Foreign(device, value.size * value.itemsize, value.data.ptr, device.lane, value)
    if value.flags.c_contiguous:
        return Array(memory, FROM_NUMPY[value.dtype], value.shape)
    last = sum((size - 1) * stride for size, stride in zip(value.shape, value.strides, strict=True))
    memory.size = last + value.itemsize if value.size else 0
    strides = tuple(each // value.itemsize for each in value.strides)
    base = Array(memory, FROM_NUMPY[value.dtype], (memory.size // value.itemsize,))
    return view(base, value.shape, strides, 0)


def address(array: Array) -> int:
    """The device's address of the first element."""
    return int(array.memory.buffer.ptr + array.offset * array.dtype.itemsize)


def protocols(devices: Sequence[Any]) -> dict[str, Callable[..., Any]]:
    """What lets other libraries use our memory, and the other way round, without copies."""
    def exported(array: Array) -> Any:
        device = array.device
        if device.lane is not device.default:     # whoever takes it knows only of the default stream
            device.lane.finish()
        return to_cupy(array)

    def from_dlpack(tensor: Any) -> Array:
        device = devices[tensor.__dlpack_device__()[1]]
        queue = device.lane.queue
        queue.enter()
        with queue.stream:
            return from_cupy(cupy.from_dlpack(tensor), device)
    return {"exported": exported, "from_dlpack": from_dlpack}


def by_cupy(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel of one written against a NumPy-like module: its arrays are CuPy's for the time of the call."""
    def kernel(*args: Any) -> Any:
        device = next(each for each in args if each.__class__ is Array).device
        queue = device.lane.queue
        queue.enter()
        with queue.stream:
            try:
                found = function(*[to_cupy(each) if each.__class__ is Array else each for each in args])
            except ImportError:     # CUDA's library for it is not installed
                return NotImplemented
            if found is NotImplemented:
                return found
            if isinstance(found, tuple):
                return tuple(from_cupy(cupy.ascontiguousarray(each), device) for each in found)
            return from_cupy(cupy.ascontiguousarray(found), device)
    return kernel
