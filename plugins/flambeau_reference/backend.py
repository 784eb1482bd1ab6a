"""The reference backend: the contract kept to the letter, and nothing besides.

Read it with `flambeau/backend.py` at its side: every method there has its counterpart here, and says no to whatever
the contract does not promise. The devices compute on the host with plain NumPy, but nobody can tell from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

import flambeau.dtypes as fd
from flambeau.backend import Backend, Capabilities, DeviceProperties, Kernel
from flambeau.dtypes import dtype
from flambeau.shapes import contiguous_strides
from flambeau_reference.array import FROM_NUMPY, TO_NUMPY, Array, Ledger, Memory, byte_count
from flambeau_reference.contract import Checked, broken, check_ints
from flambeau_reference.kernels import KERNELS, convert


class ReferenceBackend(Backend):
    """Two strict devices."""

    name: ClassVar[str] = "reference"
    array_type = Array
    capabilities = Capabilities(
        storage_dtypes=frozenset(fd.ALL), emulated={fd.float16: fd.float32, fd.bfloat16: fd.float32}, simulated=True)
    devices: ClassVar[int] = 2
    memory: ClassVar[int] = 1 << 30     # bytes of each device: few, so that to fill it takes no time

    def __init__(self) -> None:
        self.ledgers = [Ledger(f"{self.name}:{index}", self.memory) for index in range(self.devices)]
        self.late: list[list[tuple[str, Exception]]] = []   # errors in the data by device, of asynchronous devices
        self.kernels: dict[str, Kernel] = {name: Checked(self, name, each) for name, each in KERNELS.items()}
        self.kernels["reinterpret"] = self.reinterpret

    # -- devices
    def device_count(self) -> int:
        return self.devices

    def properties(self, index: int) -> DeviceProperties:
        return DeviceProperties(f"simulated device {index}", self.memory, {"numpy": np.__version__})

    # -- arrays
    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        """Full of what is no sensible result, so that reading before writing shows."""
        array = self._allocate(shape, dtype, index)
        array.memory.bytes.fill(1 if dtype is fd.bool_ else 0xFF)  # nan, or -1
        return array

    def from_host(self, array: Any, index: int) -> Array:
        if not isinstance(array, np.ndarray) or array.dtype not in FROM_NUMPY:
            raise broken("from_host", "no host array", given=type(array), promised="a NumPy array of a known dtype")
        return self.store(array, FROM_NUMPY[array.dtype], index)

    def to_host(self, array: Array) -> Any:
        self.check("to_host", array)
        self.synchronize(array.memory.index)
        return array.values().copy()

    def copy(self, target: Array, source: Array) -> None:
        for each in (target, source):
            self.check("copy", each)
        if target.memory.index != source.memory.index:
            raise broken("copy", "arrays on two devices", promised="arrays of one device")
        if target.overlaps_itself():
            raise broken("copy", "several elements of the target in one place", given=target.strides,
                         promised="each element of the target in a place of its own")
        with np.errstate(all="ignore"):
            values = convert(source.values(), TO_NUMPY[target.element])  # a copy: the two may overlap
        target.place()[...] = values

    def as_strided(self, array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
        self.check("as_strided", array)
        return self._view(array, array.element, shape, strides, offset)

    def reinterpret(self, array: Array, size: tuple[int, ...], strides: tuple[int, ...], offset: int,
                    dtype: dtype) -> Array:
        """The kernel that is a view: the array's memory, read as another dtype."""
        self.check("reinterpret", array)
        self._check_storable("reinterpret", dtype, array.memory.index)
        return self._view(array, dtype, size, strides, offset)

    def layout(self, array: Array) -> tuple[tuple[int, ...], int]:
        self.check("layout", array)
        return array.strides, array.offset

    def storage(self, array: Array) -> Array:
        self.check("storage", array)
        return array.viewed or array

    def dtype_of(self, array: Array) -> dtype:
        self.check("dtype_of", array)
        return array.element

    def as_array(self, value: Any) -> Array:
        raise broken("as_array", "this backend's kernels give arrays", given=value, promised="never called then")

    # -- optional
    def synchronize(self, index: int) -> None:
        if not 0 <= index < self.devices:
            raise broken("synchronize", "no such device", given=index, promised=f"0 to {self.devices - 1}")

    def memory_stats(self, index: int) -> Mapping[str, int]:
        ledger = self.ledgers[index]
        return {"allocated": ledger.allocated, "reserved": ledger.allocated, "peak": ledger.peak}

    def reset_peak_memory_stats(self, index: int) -> None:
        self.ledgers[index].peak = self.ledgers[index].allocated

    def limit_memory(self, index: int, size: int) -> None:
        self.ledgers[index].limit = size

    # -- what kernels and their checks use
    def check(self, where: str, array: Any) -> None:
        """Refuse what is no array of this backend."""
        if array.__class__ is not Array or array.memory.backend is not self:
            raise broken(where, "no array of this backend", given=type(array), promised=f"arrays of {self.name!r}")

    def store(self, values: Any, element: dtype, index: int) -> Array:
        """A new dense array with these values, rounded to a dtype."""
        array = self._allocate(np.shape(values), element, index)
        with np.errstate(all="ignore"):  # what is too large becomes infinite
            array.place()[...] = convert(np.asarray(values), TO_NUMPY[element])
        return array

    def _allocate(self, shape: tuple[int, ...], element: dtype, index: int) -> Array:
        check_ints("empty", "shape", shape)
        if index.__class__ is not int or not 0 <= index < self.devices:
            raise broken("empty", "no such device", given=index, promised=f"0 to {self.devices - 1}")
        self._check_storable("empty", element, index)
        shape = tuple(shape)
        return Array(self.new_memory(index, byte_count(shape, element)), element, shape, contiguous_strides(shape))

    def new_memory(self, index: int, size: int) -> Memory:
        """Bytes of a device that nobody else has."""
        return Memory(self, index, size)

    def _check_storable(self, where: str, element: dtype, index: int) -> None:
        if element not in self.capabilities_of(index).storage_dtypes:
            raise broken(where, f"dtype {element}", promised="a dtype that the device stores")

    def _view(self, array: Array, element: dtype, shape: tuple[int, ...], strides: tuple[int, ...],
              offset: int) -> Array:
        check_ints("as_strided", "shape", shape)
        check_ints("as_strided", "strides", strides)
        check_ints("as_strided", "offset", (offset,))
        if len(shape) != len(strides):
            raise broken("as_strided", "shape and strides differ in length", given=(shape, strides),
                         promised="one stride for each dimension")
        view = Array(array.memory, element, tuple(shape), tuple(strides), offset, array.viewed or array)
        if not view.fits():
            raise ValueError(f"a view of shape {list(shape)} with strides {list(strides)} and offset {offset} does not "
                             f"lie within the {len(array.memory.bytes)} bytes of its memory")
        return view
