"""Resizing, one dimension after the other: as copies where elements are repeated, else as matrix products.

The matrix of a resizing has a few weights per row, next to the diagonal of a stretched square. It is cut into blocks
of rows, of which each needs few columns, so that the product does little in vain and BLAS does it. A nan or an
infinity would spread over its block (0 times infinity is nan), so inputs that have any are gathered instead.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from flambeau.ops.resampling import NEAREST, taps
from flambeau_numpy.quiet import quiet
from flambeau_numpy.threads import product

Shape = tuple[int, ...]
BLOCK = 64   # rows of a matrix that are multiplied at a time


@functools.lru_cache(maxsize=128)
def _table(mode: str, size: int, out: int, align_corners: bool, scale: float | None, single: bool) -> Any:
    """(places, weights), one row per element of the result."""
    width, places, weights = taps(mode, size, out, align_corners, scale, single)
    return (np.array(places, np.intp).reshape(out, width),
            np.array(weights, np.float32 if single else np.float64).reshape(out, width))


@functools.lru_cache(maxsize=128)
def _blocks(mode: str, size: int, out: int, align_corners: bool, scale: float | None, single: bool,
            transposed: bool) -> list[tuple[slice, slice, Any]]:
    """The matrix from inputs to outputs, in blocks: (outputs, inputs, weights)."""
    places, weights = _table(mode, size, out, align_corners, scale, single)
    matrix = np.zeros((out, size), weights.dtype)
    np.add.at(matrix, (np.arange(out)[:, None], places), weights)
    matrix = matrix.T if transposed else matrix
    blocks = []
    for low in range(0, len(matrix), BLOCK):
        rows = matrix[low:low + BLOCK]
        used = np.flatnonzero(rows.any(0))
        first, last = (used[0], used[-1] + 1) if used.size else (0, 1)
        blocks.append((slice(low, low + len(rows)), slice(first, last), np.ascontiguousarray(rows[:, first:last])))
    return blocks


def _multiplied(x: Any, axis: int, out: int, blocks: list[tuple[slice, slice, Any]]) -> Any:
    before, size, after = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1:])
    result = np.empty((*x.shape[:axis], out, *x.shape[axis + 1:]), x.dtype)
    for rows, columns, matrix in blocks:
        work = before * after * matrix.size
        if after == 1:
            product(np.matmul, work, x.reshape(before, size)[:, columns], matrix.T,
                    result.reshape(before, out)[:, rows])
        else:
            product(np.matmul, work, matrix, x.reshape(before, size, after)[:, columns],
                    result.reshape(before, out, after)[:, rows])
    return result


def _repeated(x: Any, axis: int, times: int) -> Any:
    """Every element `times` times: as many strided copies."""
    shape = x.shape
    result = np.empty((*shape[:axis], shape[axis] * times, *shape[axis + 1:]), x.dtype)
    lead = (slice(None),) * axis
    for first in range(times):
        result[(*lead, slice(first, None, times))] = x
    return result


def _summed(g: Any, axis: int, times: int) -> Any:
    lead = (slice(None),) * axis
    result = g[(*lead, slice(0, None, times))].copy()
    for first in range(1, times):
        result += g[(*lead, slice(first, None, times))]
    return result


def _picked(x: Any, axis: int, places: Any, weights: Any) -> Any:
    total = None
    along = (-1, *(1,) * (x.ndim - axis - 1))
    for place, weight in zip(places.T, weights.T, strict=True):
        part = x.take(place, axis)
        part *= weight.reshape(along)
        total = part if total is None else np.add(total, part, total)
    return total


def _added(g: Any, axis: int, size: int, places: Any, weights: Any) -> Any:
    front = np.moveaxis(g, axis, 0)
    total = np.zeros((size, *front.shape[1:]), g.dtype)
    along = (-1, *(1,) * (g.ndim - 1))
    for place, weight in zip(places.T, weights.T, strict=True):
        np.add.at(total, place, front * weight.reshape(along))
    return np.ascontiguousarray(np.moveaxis(total, 0, axis))


def _whole_times(places: Any, size: int) -> int:
    """How often each element comes, where all come equally often and in order; else 0."""
    times, rest = divmod(len(places), size)
    return times if not rest and np.array_equal(places[:, 0], np.arange(len(places)) // max(times, 1)) else 0


def resample(x: Any, out: Shape, mode: str, align_corners: bool, scales: Any, transposed: bool = False) -> Any:
    """(N, C, *spatial) as (N, C, *out), or the gradient of the opposite."""
    single = x.dtype != np.float64
    start = x
    smooth: bool | None = None
    for axis in sorted(range(2, 2 + len(out)), key=lambda each: out[each - 2] / max(x.shape[each], 1)):
        size, wanted = x.shape[axis], out[axis - 2]
        call = (mode, *((wanted, size) if transposed else (size, wanted)), align_corners, scales[axis - 2], single)
        places, weights = _table(*call)
        times = _whole_times(places, call[1]) if places.shape[1] == 1 else 0
        if times == 1:
            continue
        if times:
            x = _summed(x, axis, times) if transposed else _repeated(x, axis, times)
            continue
        if mode in NEAREST and not transposed:
            x = x.take(places[:, 0], axis)
            continue
        if smooth is None:
            smooth = bool(np.isfinite(x.sum()))
        if smooth:
            x = _multiplied(np.ascontiguousarray(x), axis, wanted, _blocks(*call, transposed))
        else:
            x = _added(x, axis, wanted, places, weights) if transposed else _picked(x, axis, places, weights)
    return x.copy() if x is start else x


KERNELS: dict[str, Any] = {"resample": quiet(resample)}
