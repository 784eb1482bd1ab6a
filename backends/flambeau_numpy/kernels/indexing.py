"""Kernels that look values up, and write or add them, at places given by index arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet

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
    found = a[_key(indices)]
    return found if found.flags.c_contiguous else found.copy()  # NumPy may lay out the result in the index's order


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


def _places(a: Any, dim: int, index: Any) -> tuple[Any, ...]:
    """The key that reads `a` at `index` along a dimension, element by element. Refuses indices out of range."""
    shape = index.shape
    if len(shape) != a.ndim:
        raise IndexError("dimensions")
    if index.size:
        if np.minimum.reduce(index, axis=None) < 0:
            raise IndexError("negative")
        for number, (size, have) in enumerate(zip(shape, a.shape, strict=True)):
            if number != dim and size > have:
                raise IndexError("size")
    return tuple([index if each is None else each for each in grid(shape, dim)])


def _at_least_1d(*arrays: Any) -> list[Any]:
    return [each.reshape(1) if not each.ndim else each for each in arrays]


def _gather(a: Any, dim: int, index: Any) -> Any:
    if not index.size:
        return np.empty(index.shape, a.dtype)
    shape = index.shape
    a, index = _at_least_1d(a, index)
    return a[_places(a, dim, index)].reshape(shape)


def _scatter_(a: Any, dim: int, index: Any, src: Any) -> Any:
    out = a
    if index.size:
        out, index, src = _at_least_1d(a, index, np.asarray(src))
        out[_places(out, dim, index)] = src
    return a


def _scatter_value_(a: Any, dim: int, index: Any, value: Any) -> Any:
    if index.size:
        out, index = _at_least_1d(a, index)
        out[_places(out, dim, index)] = value
    return a


def _combine(ufunc: Any, a: Any, dim: int, index: Any, src: Any) -> None:
    """`ufunc.at` on the flat array: NumPy has a fast loop for one flat index."""
    out, index, src = _at_least_1d(a, index, src)
    places = _places(out, dim, index)
    if out.ndim == 1 or not out.flags.c_contiguous:
        if index.max() >= out.shape[dim]:
            raise IndexError("range")
        ufunc.at(out, places, src)
        return
    flat = np.ravel_multi_index(np.broadcast_arrays(*places), out.shape)
    ufunc.at(out.reshape(-1), flat.reshape(-1), src.reshape(-1))


def _scatter_add_(a: Any, dim: int, index: Any, src: Any) -> Any:
    if index.size:
        _combine(np.add, a, dim, index, src)
    return a


_UFUNCS = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _start(dtype: Any, reduce: str) -> Any:
    """The value that does not change what it is combined with."""
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    if dtype.kind == "f":
        return -np.inf if reduce == "amax" else np.inf
    if dtype.kind == "b":
        return reduce == "amin"
    return np.iinfo(dtype).min if reduce == "amax" else np.iinfo(dtype).max


def _scatter_reduce_(a: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool) -> Any:
    if not index.size:
        return a
    if not include_self:
        _scatter_value_(a, dim, index, _start(a.dtype, reduce))
    _combine(_UFUNCS[reduce], a, dim, index, src)
    if reduce == "mean":
        count = np.ones(a.shape, np.int64)
        if not include_self:
            _scatter_value_(count, dim, index, 0)
        _combine(np.add, count, dim, index, np.ones(src.shape, np.int64))
        np.maximum(count, 1, out=count)
        if a.dtype.kind in "iu":
            np.floor_divide(a, count, out=a, casting="unsafe")
        else:
            np.divide(a, count, out=a, casting="unsafe")
    return a


def copying(inplace: Any) -> Any:
    """The kernel that gives a changed copy, from the one that changes its first argument."""
    def kernel(a: Any, *args: Any) -> Any:
        out = a.copy()
        inplace(out, *args)
        return out
    return kernel


def _index_select(a: Any, dim: int, index: Any) -> Any:
    if not a.ndim or (index.size and np.minimum.reduce(index, axis=None) < 0):
        if a.ndim:
            raise IndexError("negative")
        return a.reshape(1).take(index, 0).reshape(())
    return a.take(index.reshape(-1), dim)


def _rows(a: Any, dim: int, *others: Any) -> list[Any]:
    """Arrays with a dimension in front, as views."""
    return [each.reshape(1) if not each.ndim else each.swapaxes(0, dim) for each in (a, *others)]


def _index_add_(a: Any, dim: int, index: Any, source: Any, alpha: Any) -> Any:
    if not index.size:
        return a
    out, rows = _rows(a, dim, source)
    if alpha != 1:
        rows = rows * np.asarray(alpha, rows.dtype)
    if out.ndim == 1 or out.dtype.kind not in "fiuc":
        np.add.at(out, index.reshape(-1), rows)
    else:
        add_rows(out, index.reshape(-1), rows)
    return a


def _index_copy_(a: Any, dim: int, index: Any, source: Any) -> Any:
    out, rows = _rows(a, dim, source)
    out[index.reshape(-1)] = rows
    return a


def _index_fill_(a: Any, dim: int, index: Any, value: Any) -> Any:
    out, = _rows(a, dim)
    out[index.reshape(-1)] = value
    return a


KERNELS: dict[str, Any] = {
    "index_basic_backward": _index_basic_backward,
    "index": _index,
    "index_put": _index_put,
    "index_put_": _index_put_,
    "gather": _gather,
    "scatter": copying(_scatter_),
    "scatter_": _scatter_,
    "scatter_value": copying(_scatter_value_),
    "scatter_value_": _scatter_value_,
    "scatter_add": copying(_scatter_add_),
    "scatter_add_": _scatter_add_,
    "scatter_reduce": quiet(copying(_scatter_reduce_)),
    "scatter_reduce_": quiet(_scatter_reduce_),
    "index_select": _index_select,
    "index_add": copying(_index_add_),
    "index_add_": _index_add_,
    "index_copy": copying(_index_copy_),
    "index_copy_": _index_copy_,
    "index_fill": copying(_index_fill_),
    "index_fill_": _index_fill_,
    "index_fill_tensor": copying(_index_fill_),
    "index_fill_tensor_": _index_fill_,
}
