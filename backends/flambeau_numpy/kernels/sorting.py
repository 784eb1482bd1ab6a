"""Sorting, selection and running reductions. nan is larger than everything, as in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.dtypes import TO_NUMPY
from flambeau_numpy.quiet import quiet


def _sort(a: Any, dim: int, descending: bool, stable: bool) -> Any:
    if not a.ndim:
        return a.copy(), np.zeros((), np.int64)
    if not descending:
        order = np.argsort(a, dim, kind="stable")
    elif a.dtype.kind == "f" and np.isnan(a).any():
        # descending with nan first: order by (not nan, -value), the least important key first
        order = np.lexsort((np.where(np.isnan(a), 0, -a), ~np.isnan(a)), dim)
    else:
        order = np.argsort(-a if a.dtype.kind == "f" else ~a, dim, kind="stable")
    return np.take_along_axis(a, order, dim), order


def _topk(a: Any, k: int, dim: int, largest: bool, sorted: bool) -> Any:
    if not a.ndim:
        return a.copy(), np.zeros((), np.int64)
    size = a.shape[dim]
    if size > 64 and k < size // 8 and not (a.dtype.kind == "f" and np.isnan(a).any()):
        key = (-a if a.dtype.kind == "f" else ~a) if largest else a
        part = np.take(np.argpartition(key, k - 1, dim) if k else np.argsort(key, dim), np.arange(k), dim)
        inner = np.argsort(np.take_along_axis(key, part, dim), dim, kind="stable")
        order = np.take_along_axis(part, inner, dim)
        return np.take_along_axis(a, order, dim), order
    values, order = _sort(a, dim, largest, True)
    first = (slice(None),) * dim + (slice(0, k),)
    return values[first].copy(), order[first].copy()


def _cumsum(a: Any, dim: int, dtype: Any) -> Any:
    return np.add.accumulate(a, dim, TO_NUMPY[dtype]) if a.ndim else a.astype(TO_NUMPY[dtype])


def _cumprod(a: Any, dim: int, dtype: Any) -> Any:
    return np.multiply.accumulate(a, dim, TO_NUMPY[dtype]) if a.ndim else a.astype(TO_NUMPY[dtype])


def _running(accumulate: Any, a: Any, dim: int) -> Any:
    """Running extrema and the last place of each: where an element equals the extremum so far, it is the place."""
    if not a.ndim:
        return a.copy(), np.zeros((), np.int64)
    values = accumulate(a, dim)
    new = a == values
    if a.dtype.kind == "f":
        new |= np.isnan(a)
    shape = [1] * a.ndim
    shape[dim] = a.shape[dim]
    places = np.where(new, np.arange(a.shape[dim]).reshape(shape), 0)
    return values, np.maximum.accumulate(places, dim)


def _cummax(a: Any, dim: int) -> Any:
    return _running(np.maximum.accumulate, a, dim)


def _cummin(a: Any, dim: int) -> Any:
    return _running(np.minimum.accumulate, a, dim)


def _logcumsumexp(a: Any, dim: int) -> Any:
    if not a.ndim:
        return a.copy()
    if a.dtype.kind == "c":
        top = a.real.max(dim, keepdims=True) if a.size else 0
        return np.log(np.add.accumulate(np.exp(a - top), dim)) + top
    return np.logaddexp.accumulate(a, dim)


def _histc(a: Any, bins: int, low: float, high: float) -> Any:
    counts, _ = np.histogram(a.reshape(-1), bins, (low, high))
    return counts.astype(a.dtype)


KERNELS: dict[str, Any] = {
    "sort": quiet(_sort),
    "topk": quiet(_topk),
    "cumsum": quiet(_cumsum),
    "cumprod": quiet(_cumprod),
    "cummax": quiet(_cummax),
    "cummin": quiet(_cummin),
    "logcumsumexp": quiet(_logcumsumexp),
    "histc": quiet(_histc),
}
