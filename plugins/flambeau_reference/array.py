"""The arrays of the reference device: strided views over counted memory that nobody but this package can look into.

The core may ask an array for `shape` and nothing else; so there is nothing else that it could mistake for part of the
contract: no `dtype`, no `ndim`, no `size`, no arithmetic.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import ml_dtypes
import numpy as np

import flambeau.dtypes as fd
from flambeau.dtypes import dtype
from flambeau.errors import OutOfMemoryError, message

TO_NUMPY: dict[dtype, np.dtype[Any]] = {
    each: np.dtype(getattr(ml_dtypes, each.name, None) or each.name) for each in fd.ALL}
FROM_NUMPY: dict[np.dtype[Any], dtype] = {theirs: ours for ours, theirs in TO_NUMPY.items()}


class Ledger:
    """What is allocated on one device, in bytes, and how much there may be."""

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit = name, limit
        self.allocated = self.peak = 0
        self._lock = threading.Lock()

    def check(self, size: int) -> None:
        """OutOfMemoryError if there is no room for an allocation."""
        free = self.limit - self.allocated
        if size > free:
            raise OutOfMemoryError(message(
                f"device {self.name!r}", f"out of memory: tried to allocate {size} bytes", given=f"{free} bytes "
                f"free of {self.limit}", next_step="delete tensors that are no longer needed, or work in smaller "
                "batches"))

    def take(self, size: int) -> None:
        """Count an allocation, if there is room for it."""
        with self._lock:
            self.check(size)
            self.allocated += size
            self.peak = max(self.peak, self.allocated)

    def give_back(self, size: int) -> None:
        """Count a release."""
        with self._lock:
            self.allocated -= size


class Memory:
    """An allocation on one device of one backend; it goes back when the last array over it dies."""

    __slots__ = ("_size", "backend", "bytes", "index", "ledger")

    def __init__(self, backend: Any, index: int, size: int) -> None:
        self._size = 0
        self.ledger: Ledger = backend.ledgers[index]
        self.ledger.take(size)
        self._size = size
        self.backend, self.index = backend, index
        self.bytes = np.empty(size, np.uint8)

    def __del__(self) -> None:
        if self._size:
            self.ledger.give_back(self._size)


class Array:
    """A strided view of a memory: shape, strides and offset in elements of one dtype."""

    __slots__ = ("element", "memory", "offset", "shape", "strides", "viewed")

    def __init__(self, memory: Memory, element: dtype, shape: tuple[int, ...], strides: tuple[int, ...],
                 offset: int = 0, viewed: Array | None = None) -> None:
        self.memory, self.element = memory, element
        self.shape, self.strides, self.offset = shape, strides, offset
        self.viewed = viewed    # the array that came with the memory; None: this is the one

    def place(self) -> Any:
        """The elements as a NumPy array over the memory itself, to write to."""
        theirs = TO_NUMPY[self.element]
        size = theirs.itemsize
        if 0 in self.shape:
            return np.empty(self.shape, theirs)
        return np.ndarray(self.shape, theirs, self.memory.bytes, self.offset * size,
                          tuple([stride * size for stride in self.strides]))

    def values(self) -> Any:
        """The elements as a NumPy array that cannot be written to: what kernels are given."""
        values = self.place()
        values.flags.writeable = False
        return values

    def span(self) -> int:
        """How many elements of the memory lie before the end of the last one."""
        if 0 in self.shape:
            return 0
        return self.offset + 1 + sum((size - 1) * stride
                                     for size, stride in zip(self.shape, self.strides, strict=True))

    def fits(self) -> bool:
        """Whether the view lies within its memory."""
        return self.span() * self.element.itemsize <= len(self.memory.bytes)

    def overlaps_itself(self) -> bool:
        """Whether a stride of 0 makes several elements one."""
        return any(stride == 0 and size > 1 for size, stride in zip(self.shape, self.strides, strict=True))


def byte_count(shape: tuple[int, ...], element: dtype) -> int:
    """Bytes of a dense array."""
    return math.prod(shape) * element.itemsize
