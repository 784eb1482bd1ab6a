"""The backend: one class that tells Flambeau what NewDevice is and does.

Read it with `flambeau/backend.py` at its side: every method there that has no default is here. What a program computes
goes through `kernels`; the methods are about devices, memory and views.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from flambeau.backend import Backend, Capabilities, DeviceProperties
from flambeau.dtypes import dtype
from flambeau.shapes import contiguous_strides
from flambeau_newdevice import driver
from flambeau_newdevice.array import TO_NUMPY, Array, store
from flambeau_newdevice.kernels import KERNELS


class NewDeviceBackend(Backend):
    """NewDevice, as far as it has been written."""

    name: ClassVar[str] = "newdevice"  # the device string, and the name of the entry point in pyproject.toml
    api_versions: ClassVar[tuple[int, ...]] = (1,)  # the versions of the contract that this class speaks
    array_type = Array
    capabilities = Capabilities(
        storage_dtypes=frozenset(TO_NUMPY),
        # What can be stored but not computed with, and what to compute in: {dtypes.float16: dtypes.float32}. The core
        # casts there and back, and kernels see the wider dtype only.
        emulated={},
        # TODO: delete this line when there is a device: a program that asks for the machine's accelerator gets it then.
        simulated=True,
    )

    def __init__(self) -> None:
        # Runs when a program first asks for the device, not before: open the driver here, not when this is imported.
        # What it raises disables the device, with its message as the reason in `flambeau doctor`.
        self.kernels = dict(KERNELS)

    # -- devices: "newdevice:0" up to "newdevice:<count - 1>"
    def device_count(self) -> int:
        return driver.count()

    def properties(self, index: int) -> DeviceProperties:
        return DeviceProperties(driver.name(index), driver.total_memory(index), {})

    def synchronize(self, index: int) -> None:
        driver.synchronize(index)

    # -- memory, and the way in and out
    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        size = math.prod(shape) * dtype.itemsize
        return Array(driver.Memory(size, index), dtype, shape, contiguous_strides(shape))

    def from_host(self, array: Any, index: int) -> Array:
        # `array` is a NumPy array with any strides. It belongs to the program: take a copy.
        return store(array, index)

    def to_host(self, array: Array) -> Any:
        # Also a copy. Where kernels return before they have run, this is where to wait for them.
        return array.place().copy()

    def copy(self, target: Array, source: Array) -> None:
        # `source` may be of another dtype and has to be broadcast to `target`, a view with any strides; the two may
        # overlap. In-place operators end here. TODO: on the device.
        with np.errstate(all="ignore"):
            target.place()[...] = source.place().astype(TO_NUMPY[target.element])

    # -- arrays are strided views: slicing, transposing and expanding call `as_strided` and must not copy
    def as_strided(self, array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
        # Strides and offset count elements from the beginning of the memory, whatever part of it `array` shows.
        return Array(array.memory, array.element, shape, strides, offset, self.storage(array))

    def layout(self, array: Array) -> tuple[tuple[int, ...], int]:
        return array.strides, array.offset

    def storage(self, array: Array) -> Array:
        # The same object for all views of a memory, since the core compares by identity.
        return array.viewed or array

    # -- what the core asks about arrays
    def dtype_of(self, array: Array) -> dtype:
        return array.element

    def as_array(self, value: Any) -> Array:
        # For kernels that return something else than an `Array`, as NumPy's return scalars. Ours do not.
        raise TypeError(f"a kernel returned {type(value).__name__}; it has to return an Array")
