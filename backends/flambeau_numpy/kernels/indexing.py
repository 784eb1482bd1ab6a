"""Kernels that look values up, and write or add them, at places given by index arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

WHOLE = slice(None)


def _index_basic_backward(g: Any, size: tuple[int, ...], key: Any) -> Any:
    out = np.zeros(size, g.dtype)
    out[key] = g
    return out


def _key(indices: Any) -> Any:
    """The index arrays as NumPy's key."""
    return tuple([WHOLE if each is None else each for each in indices])


def _index(a: Any, indices: Any) -> Any:
    if len(indices) == 1 and indices[0].dtype.kind == "i":
        return a.take(indices[0], 0)
    return a[_key(indices)]


def _index_put_(a: Any, indices: Any, values: Any, accumulate: bool) -> Any:
    if not accumulate:
        a[_key(indices)] = values
        return a
    first = indices[0] if indices else None
    if len(indices) == 1 and first.dtype.kind == "i" and a.ndim > 1 and first.size and a.dtype.kind in "fiuc":
        add_rows(a, first.reshape(-1), np.broadcast_to(values, first.shape + a.shape[1:]))
        return a
    np.add.at(a, _key(indices), values)
    return a


def _index_put(a: Any, indices: Any, values: Any, accumulate: bool) -> Any:
    return _index_put_(a.copy(), indices, values, accumulate)


def add_rows(out: Any, index: Any, rows: Any) -> None:
    """Add rows to those of `out` that a flat index names; equal indices add up.

    Sorting brings the rows of one index together, so that `reduceat` sums them without a loop in Python.
    """
    rows = rows.reshape((len(index),) + out.shape[1:])
    size = len(out)
    low, high = int(index.min()), int(index.max())
    if low < -size or high >= size:
        raise IndexError("index out of bounds")
    if low < 0:
        index = np.where(index < 0, index + size, index)
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    if len(starts) == len(index):
        out[index] += rows
        return
    out[ordered[starts]] += np.add.reduceat(rows[order], starts, axis=0, dtype=out.dtype)


@lru_cache(256)
def grid(shape: tuple[int, ...], dim: int) -> tuple[Any, ...]:
    """Open index arrays that run over `shape`, for all dimensions but `dim`."""
    ndim = len(shape)
    return tuple([np.arange(size).reshape((1,) * i + (size,) + (1,) * (ndim - i - 1)) if i != dim else None
                  for i, size in enumerate(shape)])


KERNELS: dict[str, Any] = {
    "index_basic_backward": _index_basic_backward,
    "index": _index,
    "index_put": _index_put,
    "index_put_": _index_put_,
}
