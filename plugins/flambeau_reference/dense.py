"""A fake device without strided views: it knows dense, immutable arrays, as many compilers of array programs do.

Everything about views comes from `flambeau.dense.DenseBackend`; the device underneath is the reference device with
views and writing taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from flambeau.backend import DeviceProperties, Kernel
from flambeau.dense import DenseBackend
from flambeau.dtypes import dtype
from flambeau.shapes import is_contiguous
from flambeau_reference.array import TO_NUMPY, Array, byte_count
from flambeau_reference.backend import ReferenceBackend
from flambeau_reference.contract import broken


class _Device(ReferenceBackend):
    """The reference device, of which every array must be dense and none is ever written to."""

    name: ClassVar[str] = "reference_dense"

    def check(self, where: str, array: Any) -> None:
        super().check(where, array)
        if array.offset or not is_contiguous(array.shape, array.strides) or array.viewed is not None:
            raise broken(where, "a view", given=array.strides, promised="dense arrays")

    def copy(self, target: Array, source: Array) -> None:
        raise broken("copy", "an array would change", promised="immutable arrays")

    def as_strided(self, array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
        raise broken("as_strided", "a view", given=(shape, strides, offset), promised="dense arrays")

    def reinterpret(self, array: Array, size: tuple[int, ...], strides: tuple[int, ...], offset: int,
                    dtype: dtype) -> Array:
        """All bytes of an array as one row of another dtype: a new array."""
        if strides != (1,) or offset:
            raise broken("reinterpret", "a window", given=(size, strides, offset), promised="the whole array")
        return self.store(np.ascontiguousarray(array.values()).reshape(-1).view(TO_NUMPY[dtype]), dtype,
                          array.memory.index)


class DenseReferenceBackend(DenseBackend):
    """Two devices with dense, immutable arrays."""

    name: ClassVar[str] = "reference_dense"
    dense_type = Array
    capabilities = replace(ReferenceBackend.capabilities, strided_views=False)

    def __init__(self) -> None:
        self._device = _Device()
        self.dense_kernels: dict[str, Kernel] = self._device.kernels
        super().__init__()

    def device_count(self) -> int:
        return self._device.device_count()

    def properties(self, index: int) -> DeviceProperties:
        return self._device.properties(index)

    def memory_stats(self, index: int) -> Mapping[str, int]:
        return self._device.memory_stats(index)

    def reset_peak_memory_stats(self, index: int) -> None:
        self._device.reset_peak_memory_stats(index)

    def limit_memory(self, index: int, size: int) -> None:
        self._device.limit_memory(index, size)

    def dense_empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Array:
        return self._device.empty(shape, dtype, index)

    def dense_from_host(self, array: Any, index: int) -> Array:
        return self._device.from_host(array, index)

    def dense_to_host(self, array: Array) -> Any:
        return self._device.to_host(array)

    def dense_dtype_of(self, array: Array) -> dtype:
        return self._device.dtype_of(array)

    def window(self, array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
        array.memory.ledger.check(byte_count(shape, array.element))   # before the places take many times as much
        flat = array.values().reshape(-1)
        return self._device.store(flat[_places(shape, strides, offset)], array.element, array.memory.index)

    def replaced(self, array: Array, part: Array, strides: tuple[int, ...], offset: int) -> Array:
        flat = array.values().reshape(-1).copy()
        flat[_places(part.shape, strides, offset)] = part.values()
        return self._device.store(flat.reshape(array.shape), array.element, array.memory.index)


def _places(shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
    """Where the elements of a window lie in the row of all elements."""
    return offset + np.tensordot(np.array(strides, np.int64), np.indices(shape), 1).astype(np.int64)
