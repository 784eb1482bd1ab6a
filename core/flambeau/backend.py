"""The contract: what a backend is. One class, one screen.

A backend owns *arrays*: strided views (shape, strides, offset) over memory of one of its devices. The core never
looks inside them; it calls the methods below and the callables in `kernels`. Registering takes one entry point in
the group `flambeau.backends` whose name is the device string and whose value is the class.

What every backend owes: the methods without a default and the kernels of the primitives (`flambeau primitives`).
Everything else has a decomposition. A kernel takes the backend's arrays where the operator's signature says Tensor,
and plain Python values elsewhere, in the order of the operator's signature; it returns an array or a tuple of arrays
and never changes its inputs. It raises ValueError for shapes that do not fit: the core then explains.
Pointwise kernels broadcast, take a Python number in place of a tensor, and accept `out=` (an array to write to).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flambeau.dtypes import dtype
from flambeau.shapes import is_contiguous

API_VERSION = 1
Array = Any  # whatever the backend's arrays are; the core never assumes more than the contract says
Kernel = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend's devices can do; it drives defaults, emulation, autocast, errors and test selection."""

    storage_dtypes: frozenset[dtype]
    emulated: Mapping[dtype, dtype]  # stored dtypes that the core casts to another one for arithmetic
    host: bool = False              # its arrays are host arrays: it serves as the host for every other backend
    asynchronous: bool = False      # kernels return before they have run
    streams: bool = False
    unified_memory: bool = False
    deterministic: bool = True
    autocast_dtype: str = "bfloat16"


@dataclass(frozen=True, slots=True)
class DeviceProperties:
    """What a device says of itself; `extra` holds what only this kind of device has."""

    name: str
    total_memory: int
    extra: Mapping[str, Any]


class Backend:
    """One kind of device. Subclass it, fill in the abstract part, register the class under a device string."""

    name: ClassVar[str]                         # the device string, equal to the entry point's name
    api_version: ClassVar[int] = API_VERSION
    capabilities: Capabilities
    array_type: type                            # results of another type go through `as_array`
    kernels: dict[str, Kernel]                  # operator name -> callable

    # -- devices
    def device_count(self) -> int:
        """How many devices there are; 0 where the driver is there but no device."""
        raise NotImplementedError

    def properties(self, index: int) -> DeviceProperties:
        """Name and memory of device `index`."""
        raise NotImplementedError

    def synchronize(self, index: int) -> None:
        """Wait until everything queued on device `index` has run. Nothing to do for a synchronous backend."""

    # -- arrays
    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        """A new contiguous array with any contents."""
        raise NotImplementedError

    def from_host(self, array: Any, index: int) -> Array:
        """Copy a host array (a NumPy array, any strides) to device `index`."""
        raise NotImplementedError

    def to_host(self, array: Array) -> Any:
        """Copy to a host array (a NumPy array); a host backend gives the array itself."""
        raise NotImplementedError

    def copy(self, target: Array, source: Array) -> None:
        """Write `source` (broadcast and cast as needed) into the memory of `target`, on one device."""
        raise NotImplementedError

    def as_strided(self, array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
        """A view of the memory that `array` views; strides and offset in elements, from the storage's beginning."""
        raise NotImplementedError

    def layout(self, array: Array) -> tuple[tuple[int, ...], int]:
        """(strides, offset) of an array in elements, offset from the storage's beginning."""
        raise NotImplementedError

    def is_contiguous(self, array: Array) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return is_contiguous(array.shape, self.layout(array)[0])

    def storage(self, array: Array) -> Array:
        """The array that owns the memory `array` views; its identity tells whether two arrays share memory."""
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
        raise NotImplementedError

    # -- optional, with defaults
    def default_generator(self, index: int) -> Any:
        """The generator of device `index` that kernels of draws get; None for `flambeau.philox.PhiloxGenerator`."""
        return None

    def set_threads(self, count: int) -> None:
        """Use up to `count` threads of the host for an operator, where that means anything."""

    def memory_stats(self, index: int) -> Mapping[str, int]:
        """Bytes by name ("allocated", "reserved", "peak"), empty where the backend does not count."""
        return {}


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
