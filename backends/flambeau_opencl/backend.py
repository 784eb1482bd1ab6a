"""The backend class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pyopencl as cl

import flambeau.dtypes as fd
from flambeau.backend import Backend, Capabilities, DeviceProperties
from flambeau.dtypes import dtype
from flambeau.errors import ArgumentError, message
from flambeau.queues import Queue
from flambeau_opencl import platforms, transfers
from flambeau_opencl.array import Array, empty, view
from flambeau_opencl.device import Device, Traits, pretended
from flambeau_opencl.kernels import KERNELS
from flambeau_opencl.kernels.creation import factories
from flambeau_opencl.kernels.movement import copy
from flambeau_opencl.kernels.pointwise import follow
from flambeau_opencl.kernels.random import draws
from flambeau_opencl.streams import Stream

_DOUBLE = frozenset({fd.float64, fd.complex128})


class OpenCLBackend(Backend):
    """Every OpenCL device of the machine, GPUs first."""

    name: ClassVar[str] = "opencl"
    wanted: ClassVar[str] = ""      # what a subclass for some devices only looks for
    array_type = Array

    def __init__(self) -> None:
        handles, self._remarks = platforms.devices()
        without = pretended()
        self._others = [platforms.described(each) for each in handles if not self.accepts(each)]
        self._devices = [Device(each, f"{self.name}:{index}", without)
                         for index, each in enumerate(filter(self.accepts, handles))]
        self._capabilities = [_capabilities(each.traits) for each in self._devices]
        self.capabilities = self._capabilities[0] if self._devices else _capabilities(None)
        self.kernels = dict(KERNELS)
        self.kernels.update({**factories(self._devices), **draws(self._devices)})
        self.kernels.update(reinterpret=_reinterpret, item=transfers.item)
        follow(self.kernels)    # operators that are registered later get kernels, too

    @classmethod
    def accepts(cls, handle: Any) -> bool:
        """Whether a device of the driver's is one of this backend's."""
        return True

    # -- devices
    def device_count(self) -> int:
        return len(self._devices)

    def properties(self, index: int) -> DeviceProperties:
        device = self._devices[index]
        handle, traits = device.handle, device.traits
        return DeviceProperties(handle.name.strip(), device.total_memory, {
            "type": "cpu" if traits.cpu else "gpu" if handle.type & cl.device_type.GPU else "accelerator",
            "vendor": handle.vendor, "driver": handle.driver_version, "platform": handle.platform.name,
            "version": handle.version, "multi_processor_count": traits.units, "fp64": traits.fp64,
            "unified_memory": traits.unified, "local_memory": traits.local_memory,
            "max_allocation": traits.max_allocation})

    def capabilities_of(self, index: int) -> Capabilities:
        return self._capabilities[index]

    def diagnosis(self) -> str:
        if self._others:
            return (f"OpenCL finds no {self.wanted} here. Next step: use device=\"opencl\", which has "
                    f"{', '.join(self._others)}, or install the driver of the {self.wanted}")
        looked = f"{self.wanted}s are looked for through OpenCL: " if self.wanted else ""
        return looked + platforms.advice(self._remarks)

    def synchronize(self, index: int) -> None:
        self._devices[index].synchronize()

    # -- arrays
    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        return empty(shape, dtype, self._devices[index])

    def from_host(self, array: Any, index: int) -> Array:
        return transfers.from_host(array, self._devices[index])

    def to_host(self, array: Array) -> Any:
        return transfers.to_host(array)

    def copy(self, target: Array, source: Array) -> None:
        copy(target, source)

    def as_strided(self, array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
        return view(array, tuple(shape), tuple(strides), offset)

    def layout(self, array: Array) -> tuple[tuple[int, ...], int]:
        return array.strides, array.offset

    def is_contiguous(self, array: Array) -> bool:
        return array.dense

    def storage(self, array: Array) -> Array:
        return array.viewed or array

    def dtype_of(self, array: Array) -> dtype:
        return array.dtype

    def native_dtype(self, dtype: dtype) -> Any:
        return dtype

    # -- queues
    def default_queue(self, index: int) -> Queue:
        return Stream(self, index, self._devices[index].default)

    def new_queue(self, index: int, priority: int, native: Any = None) -> Queue:
        device = self._devices[index]
        if native is None:
            return Stream(self, index, device.new_lane(priority), priority)
        try:
            queue = native if isinstance(native, cl.CommandQueue) else cl.CommandQueue.from_int_ptr(int(native))
        except (TypeError, ValueError, cl.Error) as error:
            raise ArgumentError(message(
                f"device {device.label!r}", "no command queue", given=repr(native),
                allowed="a pyopencl.CommandQueue, or the address of a cl_command_queue")) from error
        return Stream(self, index, device.foreign_lane(queue), priority)

    def use_queue(self, queue: Queue) -> None:
        assert isinstance(queue, Stream)
        queue.lane.device.choose(queue.lane)

    def keep_for(self, array: Array, queue: Queue) -> None:
        assert isinstance(queue, Stream)
        if queue.lane is not array.memory.lane:
            array.memory.use(queue.lane)

    # -- memory
    def memory_stats(self, index: int) -> Mapping[str, int]:
        return self._devices[index].allocator.stats()

    def reset_peak_memory_stats(self, index: int) -> None:
        self._devices[index].allocator.reset_peaks()

    def limit_memory(self, index: int, limit: int) -> None:
        """Let allocations fail beyond so many bytes."""
        self._devices[index].allocator.limit = limit

    def empty_cache(self) -> None:
        for each in self._devices:
            each.allocator.release()


def _reinterpret(array: Array, size: tuple[int, ...], strides: tuple[int, ...], offset: int, dtype: dtype) -> Array:
    return view(array, size, strides, offset, dtype)


def _capabilities(traits: Traits | None) -> Capabilities:
    """What a device with these traits can do; with None, what any may."""
    return Capabilities(
        storage_dtypes=frozenset(fd.ALL) - (frozenset() if traits is None or traits.fp64 else _DOUBLE),
        emulated={fd.float16: fd.float32, fd.bfloat16: fd.float32}, asynchronous=True, streams=True,
        accelerator=traits is None or not traits.cpu, unified_memory=traits is not None and traits.unified)
