"""One device: its lanes, memory and programs, and what it can do. A backend says how its driver does these things.

Nothing is opened before it is used: listing the devices of a machine asks their drivers for numbers and no more.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

from flambeau.dtypes import dtype
from flambeau.errors import ArgumentValueError, FlambeauError, OutOfMemoryError, message
from flambeau_clike.faults import Faults, described
from flambeau_clike.lanes import LANES, Lane
from flambeau_clike.memory import Allocator, Memory
from flambeau_clike.program import Family, Programs


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


class Products(Protocol):
    """A library of the device's that multiplies matrices, for `kernels.matmul`."""

    name: str

    def takes(self, product: Any, few: bool) -> bool:
        """Whether a product should go there; `few`: of few and long sums."""

    def run(self, product: Any, out: Any) -> None:
        """Queue a product, which is not empty."""

    def describe(self) -> str:
        """What it does, in a few words."""


def memory_limit(setting: str, total: int) -> int:
    """Bytes that may be held from the driver: what an environment variable says ("2GiB", "512MiB", "0.5", bytes)."""
    given = os.environ.get(setting, "").strip()
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
        raise ArgumentValueError(message(setting, "not an amount of memory", given=repr(given),
                                         allowed="such as '2GiB', '512MiB', bytes, or a fraction as '0.5'"))
    return min(limit, total)


class _Here(threading.local):
    lane: Lane | None = None     # what this thread has chosen


class Device:
    """A device. `lock` is held from a kernel's first argument to its launch: kernel objects are shared.

    The driver's half is what a subclass fills in: `error`, `setting` and the methods of the first part.
    """

    error: ClassVar[tuple[type[Exception], ...]]     # what the driver raises
    simulated = False                    # whether a program stands in for the hardware, for tests
    setting: ClassVar[str]               # the environment variable that limits memory

    def __init__(self, label: str, traits: Traits, total_memory: int, programs: Callable[[Any], Programs]) -> None:
        self.label, self.traits, self.total_memory = label, traits, total_memory
        self.max_allocation = traits.max_allocation
        self.memory_limit = memory_limit(self.setting, total_memory)
        self.allocator = Allocator(self)
        self.programs = programs(self)
        self.faults = Faults(self)
        self.libraries: Sequence[Products] = ()
        self.narrow: frozenset[dtype] = frozenset()    # the floats of 16 bits that the libraries multiply
        self.plans: dict[tuple[Family, tuple[str, ...], bool], tuple[Any, str]] = {}
        self.lock = threading.RLock()
        self._here = _Here()
        self._lanes: dict[int, list[Lane]] = {}     # those of streams, by priority
        self._foreign: list[Lane] = []
        self._made = 0
        self._opening = threading.RLock()
        self._sizes: dict[int, tuple[tuple[int], tuple[int]]] = {}
        _devices.add(self)

    # -- the driver's half
    @staticmethod
    def enqueue(queue: Any, kernel: Any, global_size: tuple[int], local_size: tuple[int]) -> Any:
        """Queue a kernel whose arguments are set, over so many work items in groups of so many."""
        raise NotImplementedError

    def open_lane(self, priority: int = 0) -> Lane:
        """A new lane."""
        raise NotImplementedError

    def new_buffer(self, size: int) -> Any:
        """So many bytes from the driver; None where it has no room."""
        raise NotImplementedError

    def explained(self, error: Exception) -> tuple[str, bool, str]:
        """The driver's name of its error, whether it means that memory is out, and what a person can do (or "")."""
        raise NotImplementedError

    def short_of_memory(self, error: Exception) -> bool:
        """Whether a launch that was refused like this may succeed after memory was freed."""
        return self.explained(error)[1]

    @property
    def cache_folder(self) -> Path | None:
        """Where measurements of the device are kept for other processes; None for nowhere."""
        raise NotImplementedError

    @property
    def about(self) -> str:
        """What measurements of the device depend on: its name, its driver."""
        raise NotImplementedError

    def through_map(self, array: Any, lane: Lane) -> Any:
        """A large or scattered array's elements on the host, without the driver's copy; None where that is no use."""
        return None

    def put_large(self, memory: Memory, array: Any, lane: Lane) -> None:
        """Write a NumPy array of any strides to new memory, and wait until it has been read."""
        lane.write(memory.buffer, array)

    # -- lanes
    @cached_property
    def default(self) -> Lane:
        """The lane of threads that have chosen none."""
        with self._opening:
            return self.__dict__.get("default") or self.open_lane()

    @cached_property
    def transfer(self) -> Lane:
        """The lane of large uploads, which need not wait for what is being computed."""
        with self._opening:
            return self.__dict__.get("transfer") or self.open_lane()

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
                lanes.append(self.open_lane(priority))
                return lanes[-1]
            self._made += 1
            return lanes[self._made % LANES]

    def foreign_lane(self, lane: Lane) -> Lane:
        """The lane of a command queue that another library made, of this device; the same for the same queue."""
        with self._opening:
            for each in self._foreign:
                if each.address == lane.address:
                    return each
            self._foreign.append(lane)
            return lane

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
        if self.short_of_memory(error):
            try:
                self.finish()
                self.allocator.release(patience=1)
                again()
                return
            except self.error as repeated:
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
        with contextlib.suppress(FlambeauError):
            device.finish()


def _after_fork() -> None:
    """In a forked process, close the devices that its parent has opened: drivers' threads are not there any more."""
    for device in list(_devices):
        device.lock = threading.RLock()    # another thread may have held them
        device.allocator.lock = threading.RLock()
        device._opening = threading.RLock()
        _inherited.extend(each.close() for each in device.lanes())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _sizes(traits: Traits, items: int) -> tuple[tuple[int], tuple[int]]:
    if traits.cpu:   # a few chunks per core; one where there is little to do
        return (max(1, min(traits.units * 16, items // 1024)),), (1,)
    groups = max(1, min(-(-items // traits.group), traits.units * 32))
    return (groups * traits.group,), (traits.group,)
