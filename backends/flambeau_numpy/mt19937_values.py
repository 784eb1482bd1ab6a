"""From drawn values to arrays: dtypes, the order of filling a strided target, bounds of integers, shuffling.

Kept apart from the generator since nothing here draws.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = int | Sequence[int]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT16, FLOAT32, FLOAT64 = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
REAL_OF = {np.dtype(np.complex64): FLOAT32, np.dtype(np.complex128): FLOAT64}
DIGITS = {FLOAT16: 11, BFLOAT16: 8, FLOAT32: 24, FLOAT64: 53}  # bits of mantissa, the hidden one included
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


LARGEST = {
    FLOAT16: 65504.0,
    BFLOAT16: 255.0 * 2.0**120,
    FLOAT32: float(np.finfo(FLOAT32).max),
    FLOAT64: float(np.finfo(FLOAT64).max),
}


def count_of(shape: Shape) -> int:
    """The number of elements of a shape."""
    return shape if isinstance(shape, int) else math.prod(shape)


def memory_order(target: Array) -> list[int]:
    """The dimensions of a strided array from the slowest to the fastest, as PyTorch's iterator walks them."""
    fastest_first = [d for d in range(target.ndim - 1, -1, -1) if target.shape[d] != 1]
    strides = target.strides
    for i in range(1, len(fastest_first)):
        moving = i
        for other in range(i - 1, -1, -1):
            a, b = abs(strides[fastest_first[other]]), abs(strides[fastest_first[moving]])
            if a == 0 or b == 0:
                continue
            if a <= b:
                break
            fastest_first[other], fastest_first[moving] = fastest_first[moving], fastest_first[other]
            moving = other
    ones = [d for d in range(target.ndim) if target.shape[d] == 1]
    return ones + fastest_first[::-1]


def deliver(values: Array, shape: Shape, out: Array | None) -> Array:
    """The flat `values`, in the order drawn, as an array of `shape` or written into `out`."""
    if out is None:
        return values.reshape(shape)
    target = out if out.flags.c_contiguous else out.transpose(memory_order(out))
    target[...] = values.reshape(target.shape)
    return out


def narrow(values: Array, dtype: np.dtype[Any]) -> Array:
    """Floats as `dtype`; to 16 bits by way of float32, as C++ converts them."""
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype.itemsize == 2 and values.dtype == FLOAT64:
            values = values.astype(np.float32)
        return values.astype(dtype)


def from_int64(values: Array, dtype: np.dtype[Any]) -> Array:
    """int64 as `dtype`; to the 16-bit floats by way of float32, as C++ converts them."""
    if dtype in (FLOAT16, BFLOAT16):
        values = values.astype(np.float32)
    with np.errstate(over="ignore"):
        return values.astype(dtype, copy=False)


def complex_parts(out: Array) -> Array:
    """A real view of a complex array: one more dimension, of two, at the end."""
    real = out.real
    return np.lib.stride_tricks.as_strided(real, (*out.shape, 2), (*out.strides, real.itemsize))


def require_float(name: str, dtype: np.dtype[Any]) -> None:
    """Refuse a dtype that holds no floats."""
    if dtype not in DIGITS:
        raise NotImplementedError(
            f"{name} draws float16, bfloat16, float32 or float64 numbers, not {dtype}; "
            "draw floats and convert them"
        )


def check_weights(weights: Array, num_samples: int, replacement: bool) -> None:
    """Refuse what `multinomial` cannot draw from."""
    if not 1 <= weights.ndim <= 2:
        raise RuntimeError(f"multinomial expects weights of 1 or 2 dimensions, but got {weights.ndim}")
    if weights.dtype not in DIGITS:
        raise RuntimeError(f"multinomial expects floating-point weights, but got {weights.dtype}")
    if num_samples <= 0:
        raise RuntimeError(f"multinomial expects num_samples >= 1, but got {num_samples}")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(
            f"multinomial without replacement expects num_samples <= {weights.shape[-1]} (the weights), "
            f"but got {num_samples}"
        )
    if not np.all((weights >= 0) & np.isfinite(weights)):
        raise RuntimeError("multinomial expects finite weights >= 0, but some are negative, infinite or nan")
    if weights.size and not np.all(weights.astype(np.float64).sum(axis=-1) > 0.0):
        raise RuntimeError("multinomial expects a positive sum of weights, but one is 0")


def shuffled(offsets: Array) -> Array:
    """0 ... n-1 after exchanging, for i = 0, 1, ..., n-2 in turn, the items i and i + offsets[i].

    The exchanges depend on one another, but on few: the item that ends at i stood at target[i] = i +
    offsets[i] at step i. That is the item that stood at j at step j, for the last j < i with the same target,
    or still the target itself. And the item that stands at i at step i is the one that stood at the last j <
    i with target[j] == i, and so on back: chains whose length grows like the logarithm of n, followed here
    for all i at once.
    """
    n = len(offsets) + 1
    if n < 400:  # few enough for a loop to be faster
        items = list(range(n))
        for i, offset in enumerate(offsets.tolist()):
            other = i + offset
            items[i], items[other] = items[other], items[i]
        return np.array(items, np.int64)
    step = np.arange(n, dtype=np.int64)
    target = step.copy()
    target[:-1] += offsets
    came_from = step.copy()  # the last earlier step that moved its item to place i, or i itself
    moved = np.flatnonzero(target != step)
    came_from[target[moved]] = moved
    standing = came_from[came_from]
    while not np.array_equal(standing, came_from):
        came_from, standing = standing, standing[standing]
    result = target.copy()
    earliest = np.empty(n, np.int64)
    earliest[target[::-1]] = step[::-1]
    rest = np.flatnonzero(earliest[target] != step)  # steps that share their target with an earlier one
    while rest.size:  # the second step to each target, then the third, and so on
        place = target[rest]
        before = earliest[place]
        earliest[place[::-1]] = rest[::-1]
        now = earliest[place] == rest
        result[rest[now]] = standing[before[now]]
        rest = rest[~now]
    return result


def as_int64(value: int, dtype: np.dtype[Any]) -> int:
    """`value` rounded to a float dtype and back, as C++ converts int64."""
    with np.errstate(over="ignore"):
        rounded = float(from_int64(np.array(value, np.int64), dtype).astype(np.float64))
    return int(rounded) if -(2.0**63) <= rounded < 2.0**63 else INT64_MIN


def representable_from(low: int, dtype: np.dtype[Any]) -> int:
    """The lower bound moved up to where rounding to `dtype` cannot undercut it."""
    rounded = as_int64(low + 1, dtype)
    if rounded < low:
        return rounded + (1 << max(abs(low + 1).bit_length() - DIGITS[dtype], 0))
    return low


def representable_to(high: int, dtype: np.dtype[Any]) -> int:
    """The upper bound moved down to where rounding to `dtype` cannot reach it."""
    rounded = as_int64(high - 1, dtype)
    if rounded >= high:
        return rounded - (1 << max(abs(high - 1).bit_length() - DIGITS[dtype], 0))
    return high


def check_bounds(low: int, last: int, dtype: np.dtype[Any]) -> None:
    """Refuse bounds that `dtype` cannot hold; warn of those where it skips whole numbers."""
    smallest: float
    largest: float
    if dtype in DIGITS:
        largest = LARGEST[dtype]
        smallest = -largest
    elif dtype == np.bool_:
        smallest, largest = 0, 1
    elif dtype.kind in "iu":
        smallest, largest = int(np.iinfo(dtype).min), min(int(np.iinfo(dtype).max), INT64_MAX)
    else:
        raise RuntimeError(f"random integers come in integer, floating-point and boolean dtypes, not {dtype}")
    for name, bound in (("low", low), ("high - 1", last)):
        if not smallest <= bound <= largest:
            raise RuntimeError(
                f"{name}={bound} is out of bounds for {dtype}, which holds {smallest} to {largest}"
            )
        if dtype in DIGITS and abs(bound) > 1 << DIGITS[dtype]:
            warnings.warn(
                f"{name}={bound} is beyond 2**{DIGITS[dtype]}: {dtype} has gaps between whole numbers there",
                stacklevel=4,
            )
