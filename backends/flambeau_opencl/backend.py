"""The backend class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyopencl as cl

import flambeau.dtypes as fd
from flambeau.backend import Backend, Capabilities, DeviceProperties
from flambeau.dtypes import dtype
from flambeau_opencl.array import FROM_NUMPY, TO_NUMPY, Array, empty, view
from flambeau_opencl.device import Device
from flambeau_opencl.kernels import KERNELS
from flambeau_opencl.kernels.movement import contiguous, copy


class OpenCLBackend(Backend):
    """Every OpenCL device of the machine, GPUs first."""

    name: ClassVar[str] = "opencl"
    array_type = Array

    def __init__(self) -> None:
        handles = [each for platform in cl.get_platforms() for each in platform.get_devices()]
        handles.sort(key=lambda each: bool(each.type & cl.device_type.CPU))   # stable: platforms keep their order
        self._devices = [Device(each, f"{self.name}:{index}") for index, each in enumerate(handles)]
        fp64 = all(each.traits.fp64 for each in self._devices)
        self.capabilities = Capabilities(
            storage_dtypes=frozenset(each for each in fd.ALL if fp64 or each not in (fd.float64, fd.complex128)),
            emulated={fd.float16: fd.float32, fd.bfloat16: fd.float32}, asynchronous=True,
            unified_memory=all(each.traits.unified for each in self._devices))
        self.kernels = {name: each for name, each in KERNELS.items()}
        self.kernels["full"] = self._full
        self.kernels["reinterpret"] = self._reinterpret

    # -- devices
    def device_count(self) -> int:
        return len(self._devices)

    def properties(self, index: int) -> DeviceProperties:
        handle = self._devices[index].handle
        return DeviceProperties(handle.name, handle.global_mem_size,
                                {"driver": handle.driver_version, "platform": handle.platform.name,
                                 "version": handle.version})

    def synchronize(self, index: int) -> None:
        self._devices[index].synchronize()

    # -- arrays
    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        return empty(shape, dtype, self._devices[index])

    def from_host(self, array: Any, index: int) -> Array:
        device = self._devices[index]
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        result = empty(array.shape, FROM_NUMPY[array.dtype], device)
        if array.size:
            cl.enqueue_copy(device.queue, result.memory.buffer, array, is_blocking=True)
        return result

    def to_host(self, array: Array) -> Any:
        array = contiguous(array)
        result = np.empty(array.shape, TO_NUMPY[array.dtype])
        if array.size:
            cl.enqueue_copy(array.device.queue, result, array.memory.buffer, is_blocking=True,
                            src_offset=array.offset * array.dtype.itemsize)
        else:
            array.device.synchronize()
        return result

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

    # -- memory
    def memory_stats(self, index: int) -> Mapping[str, int]:
        allocator = self._devices[index].allocator
        return {"allocated": allocator.allocated, "reserved": allocator.reserved, "peak": allocator.peak}

    def reset_peak_memory_stats(self, index: int) -> None:
        self._devices[index].allocator.peak = self._devices[index].allocator.allocated

    def empty_cache(self) -> None:
        for each in self._devices:
            each.allocator.release()

    # -- kernels that need the device
    def _full(self, size: tuple[int, ...], fill_value: Any, dtype: dtype, index: int) -> Array:
        return self.from_host(np.full(size, fill_value, TO_NUMPY[dtype]), index)

    def _reinterpret(self, array: Array, size: tuple[int, ...], strides: tuple[int, ...], offset: int,
                     dtype: dtype) -> Array:
        return view(array, size, strides, offset, dtype)
