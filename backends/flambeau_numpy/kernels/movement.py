"""Kernels that move data: casts, copies, joins, and the views that NumPy makes faster than `as_strided`."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.backend import TO_NUMPY
from flambeau_numpy.quiet import quiet


def _cast(a: Any, dtype: Any) -> Any:
    return a.astype(TO_NUMPY[dtype])


def _clone(a: Any) -> Any:
    return a.copy()


def _select(a: Any, dim: int, index: int) -> Any:
    return a[(slice(None),) * dim + (index, ...)]


def _slice(a: Any, dim: int, start: int, end: int, step: int) -> Any:
    return a[(slice(None),) * dim + (slice(start, end, step),)]


def _cat(arrays: Any, dim: int) -> Any:
    return np.concatenate(arrays, dim)


KERNELS: dict[str, Any] = {
    "cast": quiet(_cast),
    "clone": _clone,
    "cat": _cat,
    "select": _select,
    "slice": _slice,
    "transpose": np.swapaxes,
    "permute": np.transpose,
}
