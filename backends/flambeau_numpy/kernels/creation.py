"""Kernels of the factories: called with the record's arguments, then dtype and device index."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.dtypes import TO_NUMPY
from flambeau_numpy.quiet import quiet


def _full(size: Any, fill_value: Any, dtype: Any, index: int) -> Any:
    if fill_value.__class__ is int and fill_value == 0:  # pages of zeros come from the system for nothing
        return np.zeros(size, TO_NUMPY[dtype])
    array = np.empty(size, TO_NUMPY[dtype])
    array.fill(fill_value)
    return array


def _arange(start: Any, step: Any, count: int, dtype: Any, index: int) -> Any:
    theirs = TO_NUMPY[dtype]
    if theirs.kind in "iu" and start.__class__ is int and step.__class__ is int:
        return np.arange(start, start + step * count, step, np.int64).astype(theirs, copy=False)
    values = np.arange(count, dtype=np.float64)
    if theirs.kind in "iub":  # an integer result counts in whole steps
        start, step = int(start), int(step)
    if step != 1:
        values *= step
    if start != 0:
        values += start
    return values.astype(theirs)


def _linspace(start: Any, end: Any, steps: int, dtype: Any, index: int) -> Any:
    """From both ends to the middle, so that the two halves mirror each other as in PyTorch."""
    theirs = TO_NUMPY[dtype]
    work: Any = np.float32 if theirs.kind == "f" and theirs.itemsize == 4 else np.float64
    if theirs.kind == "c":
        work = theirs
    if steps == 1:
        return np.array([start]).astype(theirs)
    first, last = np.asarray(start, work), np.asarray(end, work)
    if theirs.kind in "iu":
        first, last = np.trunc(first), np.trunc(last)
    step = (last - first) / np.asarray(steps - 1, work)
    count = np.arange(steps).astype(work)
    values = first + step * count
    half = steps // 2
    values[half:] = last - step * (steps - 1 - count[half:])
    return values.astype(theirs)


def _eye(n: int, m: int, dtype: Any, index: int) -> Any:
    return np.eye(n, m, dtype=TO_NUMPY[dtype])


KERNELS: dict[str, Any] = {
    "full": _full,
    "arange": quiet(_arange),
    "linspace": quiet(_linspace),
    "eye": _eye,
}
