"""Sorting, the largest elements, and histograms. nan is larger than everything, as in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau_xp import helpers
from flambeau_xp.helpers import along, copied

_REVERSED = slice(None, None, -1)


def sort(xp: Any, a: Any, dim: int, descending: bool, stable: bool, *,
         stable_order: Callable[..., Any] = helpers.stable_order) -> tuple[Any, Any]:
    """(sorted elements, where they were); always stable.

    Descending is ascending from the end, read from the end: equal elements then keep their order, and nan, which is
    last in one direction, is first in the other; no element is negated, so every dtype that has an order has both.
    """
    if not a.ndim:
        return copied(xp, a), xp.zeros((), dtype=xp.int64)
    if descending:
        back = along(dim, _REVERSED)
        order = (a.shape[dim] - 1) - stable_order(xp, a[back], dim)[back]
    else:
        order = stable_order(xp, a, dim)
    return xp.take_along_axis(a, order, axis=dim), order


def topk(xp: Any, a: Any, k: int, dim: int, largest: bool, sorted: bool, *,
         stable_order: Callable[..., Any] = helpers.stable_order) -> tuple[Any, Any]:
    """(the k largest or smallest elements, where they are), always in order."""
    if not a.ndim:
        return copied(xp, a), xp.zeros((), dtype=xp.int64)
    values, order = sort(xp, a, dim, largest, True, stable_order=stable_order)
    first = along(dim, slice(0, k))
    return copied(xp, values[first]), copied(xp, order[first])


def histc(xp: Any, a: Any, bins: int, low: float, high: float) -> Any:
    """How many elements are in each of equally wide bins, in the dtype of the elements."""
    counts, _ = xp.histogram(a.reshape(-1), bins, (low, high))
    return counts.astype(a.dtype)


KERNELS: dict[str, Callable[..., Any]] = {"sort": sort, "topk": topk, "histc": histc}

BEYOND = {"histc": "the standard has no histogram"}
