"""A stranger's backend, from outside the source tree: one class, one entry point, one line per kernel.

The device is an abacus: its memory is a Python list, its arrays are a shape, strides and an offset over that list.
Nothing of it is NumPy's, so whatever works on it rests on the contract alone.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any

import numpy  # the contract's host arrays are NumPy's; the device's own are not

from flambeau import dtypes
from flambeau.backend import Backend, Capabilities, DeviceProperties
from flambeau.hookspecs import hookimpl
from flambeau.shapes import broadcast_shapes, contiguous_strides

REAL = frozenset({dtypes.float32, dtypes.float64, dtypes.int64, dtypes.bool_})
PYTHON = {dtypes.float32: float, dtypes.float64: float, dtypes.int64: int, dtypes.bool_: bool}


class Beads:
    """A strided view of a list."""

    def __init__(self, memory: list, dtype: Any, shape: tuple, strides: tuple | None = None, offset: int = 0) -> None:
        self.memory, self.dtype, self.shape, self.offset = memory, dtype, tuple(shape), offset
        self.strides = contiguous_strides(self.shape) if strides is None else tuple(strides)

    def places(self, shape: tuple | None = None) -> list[int]:
        """Where the elements are in memory, in row-major order of `shape` (broadcast)."""
        shape = self.shape if shape is None else shape
        strides = (0,) * (len(shape) - len(self.shape)) + tuple(
            0 if size == 1 else stride for size, stride in zip(self.shape, self.strides, strict=True)
        )
        indices = itertools.product(*map(range, shape))
        return [self.offset + sum(map(operator.mul, index, strides)) for index in indices]

    def values(self, shape: tuple | None = None) -> list:
        """The elements in row-major order of `shape` (broadcast)."""
        return [self.memory[place] for place in self.places(shape)]


def pointwise(function: Any, result: Any = None) -> Any:
    """A pointwise kernel from a function of numbers: broadcasts, takes numbers, writes to `out`."""

    def kernel(*operands: Any, out: Beads | None = None) -> Beads:
        arrays = [each for each in operands if isinstance(each, Beads)]
        shape = broadcast_shapes(*(each.shape for each in arrays))
        columns = [
            each.values(shape) if isinstance(each, Beads) else itertools.repeat(each, math.prod(shape))
            for each in operands
        ]
        values = list(map(function, *columns))
        if out is None:
            return Beads(values, result or arrays[0].dtype, shape)
        for place, value in zip(out.places(), values, strict=True):
            out.memory[place] = value
        return out

    return kernel


def total(array: Beads, dim: tuple[int, ...], keepdim: bool, dtype: Any) -> Beads:
    """The kernel of `sum`."""
    kept = [index for index in range(len(array.shape)) if index not in dim]
    sums: dict[tuple, Any] = dict.fromkeys(itertools.product(*(range(array.shape[index]) for index in kept)), 0)
    for index, value in zip(itertools.product(*map(range, array.shape)), array.values(), strict=True):
        sums[tuple(index[each] for each in kept)] += value
    shape = [1 if index in dim else size for index, size in enumerate(array.shape) if keepdim or index not in dim]
    return Beads([PYTHON[dtype](value) for value in sums.values()], dtype, tuple(shape))


def cast(array: Beads, dtype: Any) -> Beads:
    """The kernel of `cast`."""
    return Beads([PYTHON[dtype](value) for value in array.values()], dtype, array.shape)


def harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b)


class AbacusBackend(Backend):
    """Two abacuses."""

    name = "abacus"
    array_type = Beads
    capabilities = Capabilities(storage_dtypes=REAL, emulated={})
    kernels = {  # noqa: RUF012 - the contract's plain mapping
        "add": pointwise(operator.add),
        "mul": pointwise(operator.mul),
        "neg": pointwise(operator.neg),
        "div": pointwise(operator.truediv),
        "sum": total,
        "cast": cast,
        "clone": lambda array: Beads(array.values(), array.dtype, array.shape),
        "full": lambda shape, value, dtype, index: Beads([PYTHON[dtype](value)] * math.prod(shape), dtype, shape),
        "harmonic_mean": pointwise(harmonic),  # an operator that Flambeau does not have: see harmonic.py
    }

    def device_count(self) -> int:
        return 2

    def properties(self, index: int) -> DeviceProperties:
        return DeviceProperties(f"abacus {index}", 10_000, {"beads": "wood"})

    def empty(self, shape: tuple, dtype: Any, index: int) -> Beads:
        return Beads([PYTHON[dtype]()] * math.prod(shape), dtype, shape)

    def from_host(self, array: Any, index: int) -> Beads:
        dtype = dtypes.by_name(array.dtype.name)
        return Beads(array.ravel().tolist(), dtype, array.shape)

    def to_host(self, array: Beads) -> Any:
        return numpy.array(array.values(), array.dtype.name).reshape(array.shape)

    def copy(self, target: Beads, source: Beads) -> None:
        convert = PYTHON[target.dtype]
        for place, value in zip(target.places(), source.values(target.shape), strict=True):
            target.memory[place] = convert(value)

    def as_strided(self, array: Beads, shape: tuple, strides: tuple, offset: int) -> Beads:
        return Beads(array.memory, array.dtype, shape, strides, offset)

    def layout(self, array: Beads) -> tuple:
        return array.strides, array.offset

    def storage(self, array: Beads) -> Any:
        return array.memory

    def dtype_of(self, array: Beads) -> Any:
        return array.dtype

    def as_array(self, value: Any) -> Beads:
        return Beads([value], dtypes.of_python(type(value)), ())

    @hookimpl
    def flambeau_register_ops(self) -> None:
        import harmonic  # noqa: F401 - importing it registers the operator
