"""Reductions: called with the wrapped dimensions as a tuple, and whether to keep them.

NumPy adds float32 pairwise along the fastest axis. Along any other axis it adds naively, row by row; for long columns
of float32 the rows are added in blocks, so that the error does not grow with their number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.dtypes import TO_NUMPY
from flambeau_numpy.quiet import quiet

_add, _mul, _max, _min = np.add.reduce, np.multiply.reduce, np.maximum.reduce, np.minimum.reduce
_or, _and = np.logical_or.reduce, np.logical_and.reduce
_LONG = 4096   # elements added naively before blocks pay
_F32 = np.dtype(np.float32)


def _sum(a: Any, dim: tuple[int, ...], keepdim: bool, dtype: Any) -> Any:
    wanted = TO_NUMPY[dtype]
    if a.dtype is _F32 and dim and a.size > _LONG and wanted is _F32:
        return _long_sum(a, dim, keepdim)
    return _add(a, dim, wanted, None, keepdim)


def _long_sum(a: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """A float32 sum; along a leading axis of many rows, of sums over blocks of rows."""
    axis = dim[0]
    rows = a.shape[axis]
    if len(dim) == 1 and axis == 0 and a.ndim > 1 and rows >= _LONG and a.flags.c_contiguous:
        block = int(rows**0.5)
        whole = rows // block * block
        parts = _add(a[:whole].reshape(rows // block, block, *a.shape[1:]), 1)
        total = _add(parts, 0)
        if whole != rows:
            total += _add(a[whole:], 0)
        return total[None] if keepdim else total
    if len(dim) == a.ndim and a.flags.c_contiguous:
        total = _add(a.reshape(-1))
        return total.reshape((1,) * a.ndim) if keepdim else total
    return _add(a, dim, None, None, keepdim)


def _count(a: Any, dim: tuple[int, ...]) -> int:
    if len(dim) == a.ndim:
        return int(a.size)
    count = 1
    for each in dim:
        count *= a.shape[each]
    return count


def _mean(a: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    if a.dtype is _F32 and a.size > _LONG:
        return _long_sum(a, dim, keepdim) / _count(a, dim)
    return _add(a, dim, None, None, keepdim) / _count(a, dim)


def _prod(a: Any, dim: tuple[int, ...], keepdim: bool, dtype: Any) -> Any:
    return _mul(a, dim, TO_NUMPY[dtype], None, keepdim)


def _amax(a: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    return _max(a, dim, None, None, keepdim)


def _amin(a: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    return _min(a, dim, None, None, keepdim)


def _max_all(a: Any) -> Any:
    return _max(a, None)


def _min_all(a: Any) -> Any:
    return _min(a, None)


def _argmax(a: Any, dim: int | None, keepdim: bool) -> Any:
    if a.ndim == 0:
        return np.zeros((), np.int64)
    return a.argmax(dim, keepdims=keepdim) if keepdim else a.argmax(dim)


def _argmin(a: Any, dim: int | None, keepdim: bool) -> Any:
    if a.ndim == 0:
        return np.zeros((), np.int64)
    return a.argmin(dim, keepdims=keepdim) if keepdim else a.argmin(dim)


def _max_dim(a: Any, dim: int, keepdim: bool) -> Any:
    if a.ndim == 0:
        return a.copy(), np.zeros((), np.int64)
    return _max(a, dim, None, None, keepdim), _argmax(a, dim, keepdim)


def _min_dim(a: Any, dim: int, keepdim: bool) -> Any:
    if a.ndim == 0:
        return a.copy(), np.zeros((), np.int64)
    return _min(a, dim, None, None, keepdim), _argmin(a, dim, keepdim)


def _any(a: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    return _or(a, dim, None, None, keepdim)


def _all(a: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    return _and(a, dim, None, None, keepdim)


def _moments(a: Any, dim: tuple[int, ...], keepdim: bool, correction: float) -> tuple[Any, Any]:
    """(variance, mean), in two passes over the data."""
    count = _count(a, dim)
    mean = np.asarray(_add(a, dim, None, None, True) / count)
    centred = np.asarray(a - mean)
    square = (centred * centred.conj()).real if a.dtype.kind == "c" else np.square(centred, centred)
    freedom = max(count - correction, 0.0)
    variance = np.asarray(_sum_any(square, dim, keepdim)) / square.dtype.type(freedom)
    return variance, mean if keepdim else mean.reshape(variance.shape)


def _sum_any(a: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    if a.dtype is _F32 and dim and a.size > _LONG:
        return _long_sum(a, dim, keepdim)
    return _add(a, dim, None, None, keepdim)


def _var(a: Any, dim: tuple[int, ...], correction: float, keepdim: bool) -> Any:
    return _moments(a, dim, keepdim, correction)[0]


def _std(a: Any, dim: tuple[int, ...], correction: float, keepdim: bool) -> Any:
    return np.sqrt(_moments(a, dim, keepdim, correction)[0])


def _logsumexp(a: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    if a.size == 0 or a.dtype.kind == "c":
        return np.log(_add(np.exp(a), dim, None, None, keepdim))
    top = np.asarray(_max(a, dim, None, None, True))
    top[np.isinf(top)] = 0
    shifted = np.asarray(a - top)
    result = np.log(_add(np.exp(shifted, shifted), dim, None, None, True)) + top
    return result if keepdim else np.squeeze(result, dim)


def _vector_norm(a: Any, ord: float, dim: tuple[int, ...], keepdim: bool) -> Any:
    if ord == 2:
        if len(dim) == a.ndim and not keepdim and a.dtype.kind == "f":
            flat = a.reshape(-1)
            return np.sqrt(np.dot(flat, flat))
        size = np.abs(a) if a.dtype.kind == "c" else a
        return np.sqrt(_sum_any(size * size, dim, keepdim))
    size = np.abs(a)
    if ord == float("inf"):
        return _max(size, dim, None, None, keepdim)
    if ord == float("-inf"):
        return _min(size, dim, None, None, keepdim)
    if ord == 1:
        return _sum_any(size, dim, keepdim)
    if ord == 0:
        return _add(size != 0, dim, size.dtype, None, keepdim)
    return _add(size**ord, dim, None, None, keepdim) ** (1 / ord)


KERNELS: dict[str, Any] = {
    "sum": quiet(_sum),
    "mean": quiet(_mean),
    "prod": quiet(_prod),
    "amax": quiet(_amax),
    "amin": quiet(_amin),
    "max_all": quiet(_max_all),
    "min_all": quiet(_min_all),
    "max_dim": quiet(_max_dim),
    "min_dim": quiet(_min_dim),
    "argmax": _argmax,
    "argmin": _argmin,
    "any": _any,
    "all": _all,
    "var": quiet(_var),
    "std": quiet(_std),
    "logsumexp": quiet(_logsumexp),
    "linalg_vector_norm": quiet(_vector_norm),
}
