"""Kernels that search and count."""

from __future__ import annotations

from typing import Any

import numpy as np


def _unique(a: Any, dim: int | None) -> Any:
    values, inverse, counts = np.unique(a, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    return values, inverse.reshape(a.shape if dim is None else -1), counts


def _searchsorted(sequence: Any, values: Any, right: bool) -> Any:
    side = "right" if right else "left"
    if sequence.ndim == 1:
        return np.searchsorted(sequence, values, side)
    width = sequence.shape[-1]
    out = np.zeros(values.shape, np.int64)
    if not values.size or not width:
        return out
    last = values.shape[-1]
    rows, wanted, found = sequence.reshape(-1, width), values.reshape(-1, last), out.reshape(-1, last)
    for row, value, place in zip(rows, wanted, found, strict=True):
        place[...] = np.searchsorted(row, value, side)
    return out


def _bincount(a: Any, weights: Any, minlength: int) -> Any:
    found = np.bincount(a, weights, minlength)
    return found if weights is None else found.astype(weights.dtype, copy=False)


def _isin(a: Any, test: Any) -> Any:
    if a.dtype != test.dtype:
        common = np.result_type(a, test)
        a, test = a.astype(common), test.astype(common)
    return np.isin(a, test)


KERNELS: dict[str, Any] = {
    "unique": _unique,
    "searchsorted": _searchsorted,
    "bincount": _bincount,
    "isin": _isin,
}
