"""One OpenCL device: its context, queue, memory and programs, and what it can do."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from typing import Any

import pyopencl as cl

from flambeau_opencl.memory import Allocator, Memory
from flambeau_opencl.program import Programs


@dataclass(frozen=True, slots=True)
class Traits:
    """What was found out about a device when it was opened; decisions ask this, never a device's name."""

    cpu: bool            # its work items run on cores of a processor: chunks, local size 1, no local memory
    fp64: bool
    fp16: bool
    int64_atomics: bool
    subgroups: bool
    unified: bool        # its memory is the host's
    units: int           # compute units
    group: int           # work items of a group for kernels that do not care
    local_memory: int    # bytes


def probe(handle: Any) -> Traits:
    """The traits of a device as its driver states them."""
    extensions = set(handle.extensions.split())
    cpu = bool(handle.type & cl.device_type.CPU)
    return Traits(
        cpu=cpu, fp64="cl_khr_fp64" in extensions or bool(getattr(handle, "double_fp_config", 0)),
        fp16="cl_khr_fp16" in extensions, int64_atomics="cl_khr_int64_base_atomics" in extensions,
        subgroups="cl_khr_subgroups" in extensions, unified=bool(handle.host_unified_memory),
        units=handle.max_compute_units, group=1 if cpu else min(256, handle.max_work_group_size),
        local_memory=handle.local_mem_size)


class Device:
    """An open device. `lock` is held from a kernel's first argument to its launch: kernel objects are shared."""

    def __init__(self, handle: Any, label: str) -> None:
        self.handle, self.label = handle, label
        self.traits = probe(handle)
        self.context = cl.Context([handle])
        self.queue = cl.CommandQueue(self.context, handle)
        self.total_memory: int = handle.global_mem_size
        self.max_allocation: int = handle.max_mem_alloc_size
        self.allocator = Allocator(self)
        self.programs = Programs(self)
        self.lock = threading.RLock()

    def allocate(self, size: int) -> Memory:
        """Memory for `size` bytes; OutOfMemoryError where there is no room."""
        return self.allocator.take(size)

    def sizes(self, items: int) -> tuple[tuple[int], tuple[int]]:
        """Global and local size for a loop over so many items."""
        return _sizes(self.traits, items)

    def synchronize(self) -> None:
        """Wait for everything queued."""
        self.queue.finish()


@functools.lru_cache(maxsize=4096)
def _sizes(traits: Traits, items: int) -> tuple[tuple[int], tuple[int]]:
    if traits.cpu:   # a few chunks per core; one where there is little to do
        return (max(1, min(traits.units * 16, items // 1024)),), (1,)
    groups = max(1, min(-(-items // traits.group), traits.units * 32))
    return (groups * traits.group,), (traits.group,)
