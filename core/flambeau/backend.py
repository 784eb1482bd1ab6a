"""The contract: what a backend is. One class, one screen.

A backend owns *arrays*: strided views (shape, strides, offset) over memory of one of its devices. The core asks an
array for its `shape`, a tuple, and for nothing else; it calls the methods below and the callables in `kernels`, from
any thread. Registering takes one entry point in the group `flambeau.backends` whose name is the device string and
whose value is the class. `flambeau_reference` keeps to all of this and checks the core's half of it at every call.

What every backend owes: the methods without a default and the kernels of the primitives (`flambeau primitives`).
Everything else has a decomposition. A kernel

- gets all arguments of the operator's signature, by position: its arrays where it says Tensor, plain Python values
  elsewhere. They are canonical: a dimension is from 0 up to below the number of dimensions (0 for an array without
  any) and none is given twice, a shape is a tuple, a dtype is never None. A factory gets dtype and device index last;
- gets arrays of one device. Where it computes they have one dtype, of `compute_dtypes` or of those that `native` says
  it takes; where it only moves data (`dtype_rule="any"`) any that is stored. What says where is int64, or a bool mask
  where the operator takes one;
- gives a contiguous array over memory of its own, or a tuple of them, of the dtype that PyTorch gives, and leaves its
  inputs as they are. (A pointwise kernel may keep the order of its operands' dimensions.) It raises ValueError,
  TypeError or IndexError for what does not fit: the core then explains. An asynchronous device may raise what
  depends on the data later, from `synchronize` or `to_host`, and works on.
- may return NotImplemented, before it has changed anything: "not for these arguments". The core goes on as if there
  were no such kernel, with the operator's decomposition, else on the host. So a kernel for speed may cover the common
  cases only. Views, "item", "cast" and factories that are primitives have nothing to go on with, and do not decline.

Pointwise kernels broadcast, take a Python number in place of an array (of the category of the array's dtype or a lower
one; OverflowError for an integer that the dtype cannot hold), and accept `out=`, an array to write to, which may be an
operand: it has the result's dtype, and ValueError says that the result has another shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from flambeau.dtypes import dtype
from flambeau.errors import UnsupportedError, message
from flambeau.queues import Queue
from flambeau.shapes import is_contiguous

API_VERSIONS = (1,)  # the versions of this contract that the core speaks, the newest last
Array = Any  # whatever the backend's arrays are; the core never assumes more than the contract says
Kernel = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend's devices can do; it drives defaults, emulation, autocast, errors and test selection."""

    storage_dtypes: frozenset[dtype]
    emulated: Mapping[dtype, dtype]  # stored dtypes that the core casts to another one for arithmetic
    # Operator name -> emulated dtypes that its kernel takes as they are, where all operands have that one. What it
    # declines is emulated after all. Pointwise operators are not asked for.
    native: Mapping[str, frozenset[dtype]] = field(default_factory=dict)
    strided_views: bool = True      # arrays are views over memory; False: dense ones, see `flambeau.dense`
    simulated: bool = False         # a fake for tests: never taken for the machine's accelerator
    accelerator: bool = True        # hardware beside the host's processor; False for that processor by another name
    host: bool = False              # its arrays are host arrays: it serves as the host for every other backend
    asynchronous: bool = False      # kernels return before they have run
    streams: bool = False           # several queues on one device
    unified_memory: bool = False
    deterministic: bool = True
    autocast_dtype: str = "float16"   # what products are computed in under autocast, where nothing else is said

    @property
    def compute_dtypes(self) -> frozenset[dtype]:
        """The dtypes that all kernels of arithmetic see: those stored, less the emulated and the storage-only ones."""
        return frozenset(each for each in self.storage_dtypes if each not in self.emulated and not each.storage_only)


@dataclass(frozen=True, slots=True)
class DeviceProperties:
    """What a device says of itself; `extra` holds what only this kind of device has, under PyTorch's names where it
    has one: "major", "minor", "multi_processor_count", "warp_size", "uuid", "gcnArchName"; and "tf32", whether it can
    multiply float32 matrices in that format."""

    name: str
    total_memory: int
    extra: Mapping[str, Any]


class Backend:
    """One kind of device. Subclass it, fill in the abstract part, register the class under a device string."""

    name: ClassVar[str]                         # the device string, equal to the entry point's name
    api_versions: ClassVar[tuple[int, ...]] = (1,)   # the versions of the contract that the class speaks; a class
                                                     # that says nothing speaks the first, whatever the core's is
    api_version: ClassVar[int]                  # the highest that the core speaks, too: set before the constructor runs
    capabilities: Capabilities
    array_type: type[Any]                       # results of another class go through `as_array`
    # Operator name -> callable. Besides, the core takes shortcuts where there are any: "item" (array to number),
    # "fill_" (array, number), "data_ptr", "from_dlpack", "exported" (an array as an object that speaks DLPack), and
    # "<operator>_", which changes its first argument.
    kernels: dict[str, Kernel]

    # -- devices
    def device_count(self) -> int:
        """How many devices there are; 0 where the driver is there but no device."""
        raise NotImplementedError

    def properties(self, index: int) -> DeviceProperties:
        """Name and memory of device `index`."""
        raise NotImplementedError

    def synchronize(self, index: int) -> None:
        """Wait until everything queued on device `index`, on all its queues, has run. Nothing to do for a synchronous
        backend."""

    # -- arrays
    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        """A new contiguous array with any contents. OutOfMemoryError (of `flambeau.errors`) where there is no room."""
        raise NotImplementedError

    def from_host(self, array: Any, index: int) -> Array:
        """Copy a host array (a NumPy array, any strides) to a contiguous array on device `index`. The host array may
        change afterwards."""
        raise NotImplementedError

    def to_host(self, array: Array) -> Any:
        """Wait for the array, and copy it to a host array (a NumPy array); a host backend gives the array itself."""
        raise NotImplementedError

    def copy(self, target: Array, source: Array) -> None:
        """Write `source` (broadcast and cast as needed) into the memory of `target`, on one device. They may overlap:
        the source is read first. Each element of the target has a place of its own."""
        raise NotImplementedError

    def as_strided(self, array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
        """A view of the memory that `array` views; strides and offset in elements, from the storage's beginning, none
        negative. ValueError for a view that does not lie within the memory."""
        raise NotImplementedError

    def layout(self, array: Array) -> tuple[tuple[int, ...], int]:
        """(strides, offset) of an array in elements, offset from the storage's beginning."""
        raise NotImplementedError

    def is_contiguous(self, array: Array) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return is_contiguous(array.shape, self.layout(array)[0])

    def storage(self, array: Array) -> Array:
        """The dense array that came with the memory `array` views: the same object for all arrays over it, so
        that its identity tells whether two share memory."""
        raise NotImplementedError

    def dtype_of(self, array: Array) -> dtype:
        """The dtype of an array's elements."""
        raise NotImplementedError

    def native_dtype(self, dtype: dtype) -> Any:
        """What the attribute `dtype` of arrays with elements of this dtype is, by identity; None if there is no such
        thing. It spares the dispatcher most calls of `dtype_of`."""
        return None

    def as_array(self, value: Any) -> Array:
        """Turn what a kernel returned instead of an array (a backend's scalar type, say) into one."""
        raise NotImplementedError("a kernel gave no array, and the backend does not say how to make one of it")

    # -- optional, with defaults
    def capabilities_of(self, index: int) -> Capabilities:
        """What device `index` can do, where the devices differ: in what they store, say. `host`, `asynchronous`,
        `streams` and `strided_views` are the same for all."""
        return self.capabilities

    def diagnosis(self) -> str:
        """Why there is no device, and what to do next, for the errors and `flambeau doctor`. Asked where there is
        none."""
        return ""

    def default_queue(self, index: int) -> Queue:
        """The queue that a thread uses for device `index` while it has chosen none. The core asks once."""
        return Queue(self, index)

    def new_queue(self, index: int, priority: int, native: Any = None) -> Queue:
        """A further queue; a negative priority goes before others. `native` is one of the driver's to be used."""
        if native is not None:
            raise UnsupportedError(message(f"device {self.name!r}", "cannot use a stream that another library made"))
        return Queue(self, index, priority)

    def use_queue(self, queue: Queue) -> None:
        """What this thread asks of the queue's device from now on (kernels, copies, both ways to the host) goes there.
        Memory that nobody holds any more may be had again at once by the queue in which it was allocated."""

    def keep_for(self, array: Array, queue: Queue) -> None:
        """The memory of an array is used in another queue, too: once nobody holds it, it is not had again before that
        queue has done what it has to do by then."""

    def to_device(self, array: Array, index: int) -> Array:
        """A contiguous copy on another device of this backend, made after what is queued for the array and before what
        is queued there from now on: on the current queues of both."""
        return self.from_host(self.to_host(array), index)

    def peer_access(self, index: int, other: int) -> bool:
        """Whether device `index` reads the memory of another one directly."""
        return False

    def pinned(self, size: int) -> Any:
        """A writable Python buffer of `size` bytes of page-locked host memory, which is kept while anybody holds it;
        None where there is no such thing."""
        return None

    def is_pinned(self, array: Any) -> bool:
        """Whether a host array (a NumPy array) lies in page-locked memory."""
        return False

    def from_host_later(self, array: Any, index: int) -> Array:
        """`from_host` where the program does not wait (`non_blocking`): out of page-locked memory the copy may run
        after the call, in the current queue; the backend holds on to the host array until then."""
        return self.from_host(array, index)

    def to_host_later(self, array: Array) -> Any:
        """`to_host`, likewise: who reads the host array has waited for the current queue before."""
        return self.to_host(array)

    def versions(self) -> Mapping[str, str]:
        """Of what it stands on, by the names of `torch.version`, as {"cuda": "13.0"}, and "cudnn"."""
        return {}

    def default_generator(self, index: int) -> Any:
        """The generator of device `index` that kernels of draws get; None for `flambeau.philox.PhiloxGenerator`."""
        return None

    def set_threads(self, count: int) -> None:
        """Use up to `count` threads of the host for an operator, where that means anything."""

    def memory_stats(self, index: int) -> Mapping[str, int]:
        """Bytes by name: "allocated" and its "peak", "reserved" and its "reserved_peak", and "free" where the driver
        tells; empty where the backend does not count. Counts of events since the start are "allocations" and those of
        them by the driver, "driver_allocations", "retries" with an empty cache, and "out_of_memory". Others have names
        of its own."""
        return {}

    def reset_peak_memory_stats(self, index: int) -> None:
        """Start the peaks anew from what is allocated."""

    def limit_memory(self, index: int, size: int) -> None:
        """From now on let allocations that would need more than `size` bytes in all raise OutOfMemoryError."""
        raise UnsupportedError(message(f"device {self.name!r}", "its memory cannot be limited"))

    def empty_cache(self) -> None:
        """Give memory that is held but not used back to the driver."""


class HostBackend(Backend):
    """What the one backend whose arrays are host arrays adds: the way in and out for Python values and buffers."""

    def from_python(self, data: Any, dtype: dtype | None) -> Array:
        """An array from a number or nested sequences; without a dtype, Python's own types decide (the core maps
        float to the default dtype). Raises ValueError for ragged data, TypeError for what is no number."""
        raise NotImplementedError

    def wrap(self, array: Any) -> Array:
        """The host array itself as this backend's array, sharing memory."""
        raise NotImplementedError

    def from_buffer(self, buffer: Any, dtype: dtype, count: int, offset: int) -> Array:
        """A one-dimensional view of `count` elements of a Python buffer, from byte `offset` on."""
        raise NotImplementedError

    def to_python(self, array: Array) -> Any:
        """Nested lists of Python numbers, or one number for a 0-d array."""
        raise NotImplementedError
