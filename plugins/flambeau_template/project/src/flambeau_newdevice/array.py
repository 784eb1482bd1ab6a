"""Arrays: strided views of a block of device memory.

The core looks at `shape` and at nothing else; the rest is between the backend and its kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau import dtypes
from flambeau.shapes import contiguous_strides
from flambeau_newdevice.driver import Memory

# The dtypes that the device can store, and what they are called on the host. TODO: yours.
TO_NUMPY = {each: np.dtype(each.name) for each in (dtypes.bool_, dtypes.uint8, dtypes.int32, dtypes.int64,
                                                   dtypes.float32)}  # fmt: skip
FROM_NUMPY = {theirs: ours for ours, theirs in TO_NUMPY.items()}


class Array:
    """A strided view: shape, strides and offset, counted in elements of one dtype."""

    __slots__ = ("element", "memory", "offset", "shape", "strides", "viewed")

    def __init__(self, memory: Memory, element: dtypes.dtype, shape: tuple[int, ...], strides: tuple[int, ...],
                 offset: int = 0, viewed: Array | None = None) -> None:  # fmt: skip
        self.memory, self.element = memory, element
        self.shape, self.strides, self.offset = shape, strides, offset
        self.viewed = viewed  # the array that came with the memory; None: this is the one

    def place(self) -> Any:
        """The elements as a NumPy array over the memory itself. TODO: goes away with the last kernel on the host."""
        theirs = TO_NUMPY[self.element]
        if 0 in self.shape:
            return np.empty(self.shape, theirs)
        strides = [stride * theirs.itemsize for stride in self.strides]
        return np.ndarray(self.shape, theirs, self.memory.bytes, self.offset * theirs.itemsize, strides)


def store(values: Any, index: int) -> Array:
    """A new contiguous array on device `index` with the values of a NumPy array."""
    values = np.ascontiguousarray(values).reshape(np.shape(values))
    memory = Memory(values.nbytes, index)
    memory.write(values.tobytes())
    return Array(memory, FROM_NUMPY[values.dtype], values.shape, contiguous_strides(values.shape))
