"""The first kernels: operator name -> callable on arrays of the device.

A kernel takes arrays where the operator takes tensors, and plain Python values elsewhere, in the order that `flambeau
primitives` shows. It gives a new array and leaves its arguments alone; shapes that do not fit raise ValueError.

TODO: each computes on the host with NumPy. Replace them one by one by kernels of your device. The first five are the
ones without which nothing runs: they make and move data, and never run elsewhere. With the others, many programs do;
whatever has no kernel here, and is not made of those that have, runs on the host until you write it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.dtypes import dtype
from flambeau_newdevice.array import TO_NUMPY, Array, store


# ---------------------------------------------------------------------------------------------- making and moving
def full(size: tuple[int, ...], fill_value: Any, dtype: dtype, index: int) -> Array:
    """One value in all places, on device `index`."""
    with np.errstate(all="ignore"):
        return store(np.full(size, fill_value, TO_NUMPY[dtype]), index)


def arange(start: Any, step: Any, count: int, dtype: dtype, index: int) -> Array:
    """`start + step * i` for i below `count`; integers count in whole steps."""
    theirs = TO_NUMPY[dtype]
    if theirs.kind in "iub":
        return store((int(start) + int(step) * np.arange(count)).astype(theirs), index)
    return store((start + step * np.arange(count, dtype=np.float64)).astype(theirs), index)


def cast(input: Array, dtype: dtype) -> Array:
    """The values in another dtype."""
    with np.errstate(all="ignore"):
        return store(input.place().astype(TO_NUMPY[dtype]), input.memory.index)


def clone(input: Array) -> Array:
    """A contiguous copy."""
    return store(input.place(), input.memory.index)


def reinterpret(input: Array, size: tuple[int, ...], strides: tuple[int, ...], offset: int, dtype: dtype) -> Array:
    """The same memory read as another dtype: a view. Strides and offset count elements of that dtype."""
    return Array(input.memory, dtype, size, strides, offset, input.viewed or input)


# ---------------------------------------------------------------------------------------------- element by element
def pointwise(function: Callable[..., Any]) -> Callable[..., Array]:
    """A kernel that computes element by element. Its operands broadcast, and all but one may be Python numbers.

    Operands have one dtype: the core promotes. With `out`, the result is written there: that is how in-place operators
    save a copy.
    """

    def kernel(*operands: Any, out: Array | None = None) -> Array:
        index = next(each.memory.index for each in operands if isinstance(each, Array))
        with np.errstate(all="ignore"):  # infinities and nan are results like others
            values = function(*[each.place() if isinstance(each, Array) else each for each in operands])
        if out is None:
            return store(values, index)
        if np.shape(values) != out.shape:
            raise ValueError(f"a result of shape {np.shape(values)} does not fit {out.shape}")
        out.place()[...] = values
        return out

    return kernel


# ---------------------------------------------------------------------------------------------- sums
def sum(input: Array, dim: tuple[int, ...], keepdim: bool, dtype: dtype) -> Array:
    """The sum over some dimensions, in the dtype that the result has."""
    with np.errstate(all="ignore"):
        return store(np.sum(input.place(), dim, TO_NUMPY[dtype], keepdims=keepdim), input.memory.index)


def matmul(input: Array, other: Array) -> Array:
    """The product of matrices, or of stacks of them."""
    with np.errstate(all="ignore"):
        return store(np.matmul(input.place(), other.place()), input.memory.index)


KERNELS: dict[str, Callable[..., Any]] = {
    "full": full,
    "arange": arange,
    "cast": cast,
    "clone": clone,
    "reinterpret": reinterpret,
    "add": pointwise(np.add),
    "sub": pointwise(np.subtract),
    "mul": pointwise(np.multiply),
    "div": pointwise(np.divide),
    "eq": pointwise(np.equal),
    "lt": pointwise(np.less),
    "exp": pointwise(np.exp),
    "where": pointwise(np.where),
    "sum": sum,
    "matmul": matmul,
}
