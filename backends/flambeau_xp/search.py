"""Kernels that search, count and pick by a condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def unique(xp: Any, a: Any, dim: int | None) -> tuple[Any, Any, Any]:
    """(different elements, or slices along a dimension, in order; where each is among them; how often it is)."""
    values, inverse, counts = xp.unique(a, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    return values, inverse.reshape(a.shape if dim is None else -1), counts


def searchsorted(xp: Any, sequence: Any, values: Any, right: bool) -> Any:
    """Where values would go: in one sorted sequence, or row by row in sorted rows."""
    side = "right" if right else "left"
    if sequence.ndim == 1:
        return xp.searchsorted(sequence, values, side=side)
    width, last = sequence.shape[-1], values.shape[-1]
    if 0 in values.shape or not width:
        return xp.zeros(values.shape, dtype=xp.int64)
    rows, wanted = xp.reshape(sequence, (-1, width)), xp.reshape(values, (-1, last))
    found = xp.empty(wanted.shape, dtype=xp.int64)
    for row in range(rows.shape[0]):
        found[row, :] = xp.searchsorted(rows[row, :], wanted[row, :], side=side)
    return xp.reshape(found, values.shape)


def bincount(xp: Any, a: Any, weights: Any, minlength: int) -> Any:
    """How often each number occurs, or the sum of its weights."""
    found = xp.bincount(a, weights, minlength)
    return found if weights is None else found.astype(weights.dtype, copy=False)


def isin(xp: Any, a: Any, test: Any) -> Any:
    """Which elements are among others; nan is not."""
    if a.dtype != test.dtype:
        common = xp.result_type(a, test)
        a, test = a.astype(common), test.astype(common)
    return xp.isin(a, test)


def nonzero(xp: Any, a: Any) -> Any:
    """The places of elements that are not 0, one per row."""
    return xp.argwhere(a) if a.ndim else xp.empty((int(bool(a)), 0), dtype=xp.int64)


def masked_select(xp: Any, a: Any, mask: Any) -> Any:
    """The elements where a mask holds; the two broadcast."""
    if a.shape != mask.shape:
        a, mask = xp.broadcast_arrays(a, mask)
    return a[mask]


KERNELS: dict[str, Callable[..., Any]] = {
    "unique": unique,
    "searchsorted": searchsorted,
    "bincount": bincount,
    "isin": isin,
    "nonzero": nonzero,
    "masked_select": masked_select,
}

BEYOND = {
    "unique": "the standard's unique_all has no dimension and promises no order",
    "bincount": "the standard has no bincount",
    "isin": "it casts by the method `astype`, for the standard's function is younger than NumPy 2.0",
    "nonzero": "the standard has no argwhere",
}
