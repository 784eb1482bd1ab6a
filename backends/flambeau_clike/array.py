"""Arrays of an OpenCL device: strided views of a memory, in elements, without OpenCL's limits on sub-buffers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

import flambeau.dtypes as fd
from flambeau.dtypes import dtype
from flambeau.shapes import contiguous_strides, is_contiguous

if TYPE_CHECKING:
    from flambeau_clike.device import Device
    from flambeau_clike.memory import Memory

TO_NUMPY: dict[dtype, np.dtype[Any]] = {
    each: np.dtype(getattr(ml_dtypes, each.name, None) or each.name) for each in fd.ALL}
FROM_NUMPY: dict[np.dtype[Any], dtype] = {theirs: ours for ours, theirs in TO_NUMPY.items()}


class Array:
    """A view: shape, strides and offset in elements of one dtype, and the memory it is over.

    `size` is the number of elements, `dense` whether they lie in row-major order without gaps, `viewed` the array that
    came with the memory (None: this one).
    """

    __slots__ = ("dense", "device", "dtype", "memory", "offset", "shape", "size", "strides", "viewed")

    def __init__(self, memory: Memory, dtype: dtype, shape: tuple[int, ...], strides: tuple[int, ...] | None = None,
                 offset: int = 0, viewed: Array | None = None) -> None:
        self.memory, self.device = memory, memory.device
        self.dtype, self.shape, self.offset, self.viewed = dtype, shape, offset, viewed
        self.size = math.prod(shape)
        if strides is None:
            self.strides, self.dense = contiguous_strides(shape), True
        else:
            self.strides, self.dense = strides, is_contiguous(shape, strides)


def empty(shape: tuple[int, ...], dtype: dtype, device: Device) -> Array:
    """A new dense array with any contents."""
    return Array(device.allocate(math.prod(shape) * dtype.itemsize), dtype, shape)


_new = object.__new__


def like(array: Array, dtype: dtype, lane: Any) -> Array:
    """A new dense array of the shape of a dense one, with any contents, for a lane; `empty` without the arithmetic."""
    result: Array = _new(Array)
    result.device = device = array.device
    result.shape, result.strides, result.size = array.shape, array.strides, array.size
    result.memory = device.allocator.take(array.size * dtype.itemsize, lane)
    result.dtype, result.offset, result.dense, result.viewed = dtype, 0, True, None
    return result


def view(array: Array, shape: tuple[int, ...], strides: tuple[int, ...], offset: int,
         dtype: dtype | None = None) -> Array:
    """Another view of the memory of an array; ValueError where it does not lie within it."""
    result = Array(array.memory, dtype or array.dtype, shape, strides, offset, array.viewed or array)
    last = -1 if result.size == 0 else offset + sum(
        [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)])
    if (last + 1) * result.dtype.itemsize > array.memory.size:
        raise ValueError(f"a view of shape {list(shape)} with strides {list(strides)} and offset {offset} does not "
                         f"lie within the {array.memory.size} bytes of its memory")
    return result
