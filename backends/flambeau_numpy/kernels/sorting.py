"""Selection and running sums in NumPy's own ways: by partition, and by the ufuncs' accumulating loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.dtypes import TO_NUMPY
from flambeau_numpy.quiet import quiet
from flambeau_xp.sorting import topk


def _topk(a: Any, k: int, dim: int, largest: bool, sorted: bool) -> Any:
    """By partition where few of many are wanted, which reads most elements once only."""
    if not a.ndim:
        return topk(np, a, k, dim, largest, sorted)
    size = a.shape[dim]
    if size > 64 and k < size // 8 and not (a.dtype.kind == "f" and np.isnan(a).any()):
        key = (-a if a.dtype.kind == "f" else ~a) if largest else a
        part = np.take(np.argpartition(key, k - 1, dim) if k else np.argsort(key, dim), np.arange(k), dim)
        inner = np.argsort(np.take_along_axis(key, part, dim), dim, kind="stable")
        order = np.take_along_axis(part, inner, dim)
        return np.take_along_axis(a, order, dim), order
    return topk(np, a, k, dim, largest, sorted)


def _cumsum(a: Any, dim: int, dtype: Any) -> Any:
    return np.add.accumulate(a, dim, TO_NUMPY[dtype]) if a.ndim else a.astype(TO_NUMPY[dtype])


def _cumprod(a: Any, dim: int, dtype: Any) -> Any:
    return np.multiply.accumulate(a, dim, TO_NUMPY[dtype]) if a.ndim else a.astype(TO_NUMPY[dtype])


KERNELS: dict[str, Any] = {
    "topk": quiet(_topk),
    "cumsum": quiet(_cumsum),
    "cumprod": quiet(_cumprod),
}
