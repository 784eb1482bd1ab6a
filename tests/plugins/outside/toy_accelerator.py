"""A backend as a stranger would write it: one class, arrays of its own, a few kernels, one entry point.

Its memory is a flat list of NumPy cells that nothing else can reach; an array is a block of it with shape, strides and
offset. It has a handful of kernels: the rest is decomposed into them or runs on the host.
"""

from __future__ import annotations

import numpy as np

from flambeau import dtypes
from flambeau.backend import Backend, Capabilities, DeviceProperties

CELLS = {each: np.dtype(each.name) for each in (dtypes.bool_, dtypes.int64, dtypes.float32)}
NAMES = {cell: each for each, cell in CELLS.items()}


class Block:
    """A strided view of a flat memory."""

    def __init__(self, memory, shape, strides, offset=0):
        self.memory, self.shape, self.strides, self.offset = memory, tuple(shape), tuple(strides), offset

    def cells(self):
        """The memory as NumPy sees it, for the kernels below."""
        size = self.memory.itemsize
        return np.ndarray(self.shape, self.memory.dtype, self.memory, self.offset * size,
                          [each * size for each in self.strides])


def block(array):
    array = np.array(array, order="C")
    return Block(array.reshape(-1), array.shape, [each // array.itemsize for each in array.strides])


def kernel(function):
    def run(*args, out=None):
        result = function(*[each.cells() if isinstance(each, Block) else
                            [one.cells() for one in each] if isinstance(each, list) else each for each in args])
        if out is None:
            return block(result)
        out.cells()[...] = result
        return out
    return run


class ToyBackend(Backend):
    name = "toy"
    array_type = Block
    capabilities = Capabilities(storage_dtypes=frozenset(CELLS), emulated={})

    def __init__(self):
        self.kernels = {
            "add": kernel(np.add), "mul": kernel(np.multiply), "div": kernel(np.true_divide),
            "sum": kernel(lambda a, dim, keepdim, dtype: a.sum(dim, CELLS[dtype], keepdims=keepdim)),
            "cast": kernel(lambda a, dtype: a.astype(CELLS[dtype])),
            "clone": kernel(np.copy),
            "full": kernel(lambda shape, value, dtype, index: np.full(shape, value, CELLS[dtype])),
        }

    def device_count(self):
        return 2

    def properties(self, index):
        return DeviceProperties(f"Toy {index}", 1 << 20, {})

    def empty(self, shape, dtype, index):
        return block(np.empty(shape, CELLS[dtype]))

    def from_host(self, array, index):
        return block(array)

    def to_host(self, array):
        return array.cells().copy()

    def copy(self, target, source):
        target.cells()[...] = source.cells()

    def as_strided(self, array, shape, strides, offset):
        return Block(array.memory, shape, strides, offset)

    def layout(self, array):
        return array.strides, array.offset

    def storage(self, array):
        return array.memory

    def dtype_of(self, array):
        return NAMES[array.memory.dtype]

    def as_array(self, value):
        return block(value)
