"""One OpenCL device: its context, lanes, memory and programs, and what it can do.

Nothing is opened before it is used: listing the devices of a machine asks their drivers for numbers and no more.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyopencl as cl

from flambeau.errors import ArgumentValueError, FlambeauError, OutOfMemoryError, message
from flambeau_opencl.errors import Faults, code_name, described
from flambeau_opencl.memory import Allocator, Memory
from flambeau_opencl.program import Family, Programs
from flambeau_opencl.streams import LANES, Lane

WITHOUT = "FLAMBEAU_OPENCL_WITHOUT"
LIMIT = "FLAMBEAU_OPENCL_MEMORY_LIMIT"


@dataclass(frozen=True, slots=True)
class Traits:
    """What was found out about a device; decisions ask this, never a device's name."""

    cpu: bool            # its work items run on cores of a processor: chunks, local size 1, no local memory
    fp64: bool
    fp16: bool
    int64_atomics: bool
    subgroups: bool
    images: bool
    unified: bool        # its memory is the host's
    coherent: bool       # what is mapped once may be read and written whenever nothing that uses it is queued
    units: int           # compute units
    group: int           # work items of a group for kernels that do not care
    largest_group: int   # work items that a group may have
    local_memory: int    # bytes
    max_allocation: int  # bytes in one piece
    image_size: tuple[int, int]    # the largest image of two dimensions


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


def memory_limit(total: int) -> int:
    """Bytes that may be held from the driver: FLAMBEAU_OPENCL_MEMORY_LIMIT, as "2GiB", "512MiB", "0.5" or bytes."""
    given = os.environ.get(LIMIT, "").strip()
    if not given:
        return total
    number = given.lower()
    for unit, bits in (("gib", 30), ("gb", 30), ("g", 30), ("mib", 20), ("mb", 20), ("m", 20)):
        if number.endswith(unit):
            number, factor = number.removesuffix(unit), 1 << bits
            break
    else:
        factor = total if "." in number else 1
    try:
        limit = int(float(number) * factor)
    except ValueError:
        limit = -1
    if limit <= 0:
        raise ArgumentValueError(message(LIMIT, "not an amount of memory", given=repr(given),
                                         allowed="such as '2GiB', '512MiB', bytes, or a fraction as '0.5'"))
    return min(limit, total)


class _Here(threading.local):
    lane: Lane | None = None     # what this thread has chosen


class Device:
    """A device. `lock` is held from a kernel's first argument to its launch: kernel objects are shared."""

    def __init__(self, handle: Any, label: str, without: frozenset[str] = frozenset()) -> None:
        self.handle, self.label = handle, label
        self.traits = probe(handle, without)
        self.total_memory: int = handle.global_mem_size
        self.max_allocation = self.traits.max_allocation
        self.memory_limit = memory_limit(self.total_memory)
        self.allocator = Allocator(self)
        self.programs = Programs(self)
        self.faults = Faults(self)
        self.plans: dict[tuple[Family, tuple[str, ...], bool], tuple[Any, str]] = {}
        self.lock = threading.RLock()
        self._here = _Here()
        self._lanes: dict[int, list[Lane]] = {}     # those of streams, by priority
        self._foreign: list[Lane] = []
        self._made = 0
        self._opening = threading.RLock()
        self._sizes: dict[int, tuple[tuple[int], tuple[int]]] = {}
        _devices.add(self)

    # -- what is opened at first use
    @cached_property
    def context(self) -> Any:
        """The driver's context, of this device alone."""
        with self._opening:
            return self.__dict__.get("context") or cl.Context([self.handle])

    @cached_property
    def default(self) -> Lane:
        """The lane of threads that have chosen none."""
        with self._opening:
            return self.__dict__.get("default") or self._open()

    @cached_property
    def transfer(self) -> Lane:
        """The lane of large uploads, which need not wait for what is being computed."""
        with self._opening:
            return self.__dict__.get("transfer") or self._open()

    @cached_property
    def clock(self) -> Any:
        """A command queue that takes the time."""
        with self._opening:
            return self.__dict__.get("clock") or cl.CommandQueue(
                self.context, self.handle, properties=cl.command_queue_properties.PROFILING_ENABLE)

    def _open(self) -> Lane:
        return Lane(self, cl.CommandQueue(self.context, self.handle))

    # -- lanes
    @property
    def lane(self) -> Lane:
        """The lane of this thread."""
        return self._here.lane or self.default

    @property
    def queue(self) -> Any:
        """The command queue of this thread."""
        return (self._here.lane or self.default).queue

    def choose(self, lane: Lane) -> None:
        """Let this thread's work go to a lane."""
        self._here.lane = lane

    def new_lane(self, priority: int = 0) -> Lane:
        """A lane beside the default one; after `LANES` of them, those there are in turn."""
        with self._opening:
            lanes = self._lanes.setdefault(priority, [])
            if len(lanes) < LANES:
                lanes.append(self._open())
                return lanes[-1]
            self._made += 1
            return lanes[self._made % LANES]

    def foreign_lane(self, queue: Any) -> Lane:
        """The lane of a command queue that another library made, of this device."""
        with self._opening:
            for each in self._foreign:
                if each.queue.int_ptr == queue.int_ptr:
                    return each
            self._foreign.append(Lane(self, queue))
            return self._foreign[-1]

    def lanes(self) -> list[Lane]:
        """Those that are open."""
        named = [self.__dict__[name] for name in ("default", "transfer") if name in self.__dict__]
        return named + [lane for lanes in list(self._lanes.values()) for lane in lanes] + self._foreign

    # -- waiting
    def finish(self) -> None:
        """Wait for all lanes."""
        for each in self.lanes():
            each.finish()

    def synchronize(self) -> None:
        """Wait for everything queued, and raise what went wrong with the data."""
        self.finish()
        self.faults.check_all()

    def check(self, lane: Lane | None = None) -> None:
        """Raise what kernels found wrong with their data. This thread has waited for the lane, or a point in one."""
        self.faults.check(lane)

    # -- memory
    def allocate(self, size: int) -> Memory:
        """Memory for `size` bytes; OutOfMemoryError where there is no room."""
        return self.allocator.take(size)

    # -- launches
    def sizes(self, items: int) -> tuple[tuple[int], tuple[int]]:
        """Global and local size for a loop over so many items."""
        found = self._sizes.get(items)
        if found is None:
            if len(self._sizes) > 4096:
                self._sizes.clear()
            found = self._sizes[items] = _sizes(self.traits, items)
        return found

    def plan(self, family: Family, words: tuple[str, ...], wide: bool, op: str,
             arrays: Sequence[Any]) -> tuple[Any, str]:
        """The kernel of a launch, and its name; built if need be."""
        kernel = self.programs.kernel(family, words, wide, described(op or family.name, arrays))
        found = self.plans[family, words, wide] = (kernel, family.kernel_name(words))
        return found

    def recover(self, error: Exception, again: Callable[[], Any]) -> None:
        """What to do when the driver refuses a launch: free memory where it has none left, and try again."""
        if code_name(error) in ("MEM_OBJECT_ALLOCATION_FAILURE", "OUT_OF_RESOURCES"):
            try:
                self.finish()
                self.allocator.release(patience=1)
                again()
                return
            except cl.Error as repeated:
                error = repeated
            except OutOfMemoryError as repeated:
                raise repeated from error
        raise self.faults.translated(error, "a launch") from error


_devices: weakref.WeakSet[Device] = weakref.WeakSet()
_inherited: list[Any] = []     # what a forked process must not even release: it belongs to its parent


def _before_fork() -> None:
    """Let what is queued run first: a driver's thread that is just loading a kernel would leave the forked process a
    dynamic loader that fails over the next library."""
    for device in list(_devices):
        if "context" in vars(device):
            with contextlib.suppress(FlambeauError):
                device.finish()


def _after_fork() -> None:
    """In a forked process, close the devices that its parent has opened: drivers' threads are not there any more."""
    for device in list(_devices):
        device.lock = threading.RLock()    # another thread may have held them
        device.allocator.lock = threading.RLock()
        device._opening = threading.RLock()
        if "context" in vars(device):
            _inherited.extend(each.close() for each in device.lanes())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _sizes(traits: Traits, items: int) -> tuple[tuple[int], tuple[int]]:
    if traits.cpu:   # a few chunks per core; one where there is little to do
        return (max(1, min(traits.units * 16, items // 1024)),), (1,)
    groups = max(1, min(-(-items // traits.group), traits.units * 32))
    return (groups * traits.group,), (traits.group,)

