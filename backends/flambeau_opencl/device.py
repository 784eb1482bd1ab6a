"""An OpenCL device: what its driver says of it, its context, and how it allocates, maps and reports errors."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyopencl as cl

from flambeau.errors import ArgumentValueError, message
from flambeau_clike.array import TO_NUMPY, Array
from flambeau_clike.device import Device as BaseDevice, Traits
from flambeau_clike.lanes import Lane
from flambeau_clike.memory import Memory
from flambeau_opencl.cache import folder
from flambeau_opencl.clblast import CLBlast, library
from flambeau_opencl.host import HostBlas
from flambeau_opencl.program import Programs
from flambeau_opencl.streams import CommandQueue

WITHOUT = "FLAMBEAU_OPENCL_WITHOUT"
LIMIT = "FLAMBEAU_OPENCL_MEMORY_LIMIT"
def probe(handle: Any, without: frozenset[str] = frozenset()) -> Traits:
    """The traits of a device as its driver states them, less those that are to be taken for missing."""
    extensions = set(handle.extensions.split())
    cpu = bool(handle.type & cl.device_type.CPU)
    images = bool(handle.image_support)
    found = Traits(
        cpu=cpu, fp64="cl_khr_fp64" in extensions or bool(getattr(handle, "double_fp_config", 0)),
        fp16="cl_khr_fp16" in extensions, int64_atomics="cl_khr_int64_base_atomics" in extensions,
        subgroups=bool({"cl_khr_subgroups", "cl_intel_subgroups"} & extensions), images=images,
        unified=bool(handle.host_unified_memory), coherent=cpu and _shares_memory(handle),
        units=max(1, handle.max_compute_units), group=1 if cpu else min(256, handle.max_work_group_size),
        largest_group=handle.max_work_group_size, local_memory=handle.local_mem_size,
        max_allocation=handle.max_mem_alloc_size,
        image_size=(handle.image2d_max_width, handle.image2d_max_height) if images else (0, 0))
    missing = {name: type(getattr(found, name))() for name in without if name != "image_size"}
    return replace(found, **missing)


def _shares_memory(handle: Any) -> bool:
    """Whether a device and the host may work on the same memory without handing it to one another."""
    try:
        return bool(handle.svm_capabilities & cl.device_svm_capabilities.FINE_GRAIN_BUFFER)
    except (cl.Error, AttributeError):    # before OpenCL 2.0
        return False


_OPTIONAL = ("fp64", "fp16", "int64_atomics", "subgroups", "images", "unified", "coherent", "local_memory")


def pretended() -> frozenset[str]:
    """The traits that FLAMBEAU_OPENCL_WITHOUT names, for tests: devices are taken to be without them."""
    names = frozenset(each.strip() for each in os.environ.get(WITHOUT, "").split(",") if each.strip())
    unknown = sorted(names - set(_OPTIONAL))
    if unknown:
        raise ArgumentValueError(message(WITHOUT, "unknown trait", given=", ".join(unknown),
                                         allowed=", ".join(_OPTIONAL)))
    return names


_NO_ROOM = frozenset({"MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_RESOURCES", "OUT_OF_HOST_MEMORY", "INVALID_BUFFER_SIZE"})
_EXHAUSTED = frozenset({"MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_HOST_MEMORY"})
_HINTS = {
    "OUT_OF_RESOURCES": "drivers say so of a kernel that ran out of registers or time, or reached beyond its memory",
    "DEVICE_NOT_AVAILABLE": "the device was reset or taken away; start the program anew",
    "INVALID_COMMAND_QUEUE": "an earlier kernel has broken the queue; start the program anew",
}


class Device(BaseDevice):
    """One device of a platform."""

    error = (cl.Error,)
    enqueue = staticmethod(cl.enqueue_nd_range_kernel)   # type: ignore[assignment]  # which takes more
    setting = LIMIT

    def __init__(self, handle: Any, label: str, without: frozenset[str] = frozenset()) -> None:
        self.handle = handle
        super().__init__(label, probe(handle, without), handle.global_mem_size, Programs)
        host, gpu = self.traits.cpu and self.traits.unified, not self.traits.cpu and library() is not None
        self.libraries = [HostBlas(self.traits)] if host else [CLBlast()] if gpu else []

    @cached_property
    def context(self) -> Any:
        """The driver's context, of this device alone."""
        with self._opening:
            return self.__dict__.get("context") or cl.Context([self.handle])

    @cached_property
    def clock(self) -> Any:
        """A command queue that takes the time."""
        with self._opening:
            return self.__dict__.get("clock") or cl.CommandQueue(
                self.context, self.handle, properties=cl.command_queue_properties.PROFILING_ENABLE)

    def open_lane(self, priority: int = 0) -> Lane:
        return CommandQueue(self, cl.CommandQueue(self.context, self.handle))

    def new_buffer(self, size: int) -> Any:
        integrated = self.traits.unified and not self.traits.cpu    # such drivers map what they allocated like this
        flags = cl.mem_flags.READ_WRITE | (cl.mem_flags.ALLOC_HOST_PTR if integrated else 0)
        try:
            buffer = cl.Buffer(self.context, flags, size)
        except cl.Error as error:
            if code_name(error) not in _NO_ROOM:
                raise self.faults.translated(error, f"an allocation of {size} bytes") from error
            return None
        except OverflowError:
            return None
        if not self.traits.cpu:  # some drivers allocate at first use, and fail then
            try:
                cl.enqueue_migrate_mem_objects(self.queue, [buffer], cl.mem_migration_flags.CONTENT_UNDEFINED)
            except cl.Error as error:
                if code_name(error) in _NO_ROOM:
                    return None
        return buffer

    def explained(self, error: Exception) -> tuple[str, bool, str]:
        code = code_name(error)
        return code, code in _EXHAUSTED, _HINTS.get(code, "")

    def short_of_memory(self, error: Exception) -> bool:
        return code_name(error) in ("MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_RESOURCES")

    @property
    def cache_folder(self) -> Path | None:
        return folder()

    @property
    def about(self) -> str:
        handle = self.handle
        return "\0".join((handle.name, handle.vendor, handle.driver_version, handle.platform.name))

    def through_map(self, array: Array, lane: Lane) -> Any:
        if not self.traits.unified:
            return None
        size = array.dtype.itemsize
        plain = np.dtype(f"u{size}" if size <= 8 else "c16")     # NumPy's own dtype: the others have no strided views
        last = sum([(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)])
        flat, _ = cl.enqueue_map_buffer(lane.queue, array.memory.buffer, cl.map_flags.READ,
                                        array.offset * size, (last + 1,), plain, is_blocking=True)
        view = np.lib.stride_tricks.as_strided(flat, array.shape, [each * size for each in array.strides])
        result = np.array(view, order="C")
        flat.base.release(lane.queue)
        return result.view(TO_NUMPY[array.dtype])

    def put_large(self, memory: Memory, array: Any, lane: Lane) -> None:
        if array.flags.c_contiguous or not self.traits.unified:
            lane.write(memory.buffer, array)
            return
        view, _ = cl.enqueue_map_buffer(lane.queue, memory.buffer, cl.map_flags.WRITE_INVALIDATE_REGION, 0,
                                        array.shape, array.dtype, is_blocking=True)
        np.copyto(view, array)
        view.base.release(lane.queue).wait()


def code_name(error: Exception) -> str:
    """The driver's name of an error, as OUT_OF_RESOURCES."""
    code = getattr(error, "code", None)
    if code is None:
        return str(error)
    try:
        return str(cl.status_code.to_string(code))   # type: ignore[operator]  # its stub takes it for a constant
    except ValueError:
        return f"error {code}"
