"""Choosing by a mask without branches.

`numpy.where` and `copyto(where=)` test one element at a time, which on random masks costs several nanoseconds each.
A mask whose elements are all zeros or all ones in binary chooses by `and` and `xor`, which run as vector instructions:
about fifteen times as fast on large arrays. It is exact, infinities and nan included, for bits are moved, not computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SMALL = 1024   # elements below which the simple way has less overhead
_BITS = {1: np.dtype(np.int8), 2: np.dtype(np.int16), 4: np.dtype(np.int32), 8: np.dtype(np.int64)}


def select(condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition holds, else `b`, which are arrays of one dtype or numbers; the three broadcast."""
    dtype = _common(a, b)
    if condition.size < SMALL or dtype is None or dtype.itemsize not in _BITS or condition.dtype != bool:
        return np.where(condition, a, b) if dtype is None else np.where(condition, _as(a, dtype), _as(b, dtype))
    bits = _BITS[dtype.itemsize]
    chosen = np.negative(condition.view(np.int8)).astype(bits)
    other = _as(b, dtype).view(bits)
    different = np.bitwise_xor(_as(a, dtype).view(bits), other)
    result = np.bitwise_and(different, chosen, chosen) if different.shape in ((), chosen.shape) else different & chosen
    result = np.bitwise_xor(result, other, result) if other.shape in ((), result.shape) else result ^ other
    return result.view(dtype)


def keep(condition: Any, a: Any) -> Any:
    """`a` where the condition does not hold, else 0."""
    bits = _BITS.get(a.dtype.itemsize)
    if a.size < SMALL or bits is None or condition.shape != a.shape:
        return np.where(condition, a.dtype.type(0), a)
    kept = np.subtract(condition.view(np.int8), 1).astype(bits)
    return np.bitwise_and(kept, a.view(bits), kept).view(a.dtype)


def limit(a: Any, low: Any, high: Any, out: Any = None) -> Any:
    """`a` between two numbers; NumPy's clip is vectorised for them, its maximum with a number is not."""
    if isinstance(low, np.ndarray) or isinstance(high, np.ndarray) or a.size < SMALL:
        return np.minimum(np.maximum(a, low), high, out=out)
    return np.clip(a, low, high, out=out)


def _common(a: Any, b: Any) -> Any:
    if isinstance(a, np.ndarray):
        return a.dtype if not isinstance(b, np.ndarray) or b.dtype == a.dtype else None
    return b.dtype if isinstance(b, np.ndarray) else None


def _as(value: Any, dtype: Any) -> Any:
    return value if isinstance(value, np.ndarray) else np.asarray(value).astype(dtype)
