"""Scans: running sums, products and extrema along a dimension. The kernels are in `flambeau.ir.scan_text`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flambeau.dtypes as fd
from flambeau.dtypes import INTEGER, dtype
from flambeau.ir.dialect import C_TYPES, RANK
from flambeau.ir.scan_text import RUNNING, SCAN, Lines, lines
from flambeau_clike.array import Array, empty
from flambeau_clike.kernels.creation import filled
from flambeau_clike.kernels.movement import cast, clone, contiguous
from flambeau_clike.kernels.reduction import KEPT, WIDENED, breadth, family, packed
from flambeau_clike.launch import Layout, launch


def _prepared(input: Array, out: Array, dim: int) -> tuple[Array, Lines, tuple[Any, ...]]:
    if len(input.shape) > RANK:
        input = contiguous(input)
    over = lines(input.shape, input.strides, out.strides, dim, breadth(input.device))
    return input, over, _arguments(over)


@functools.lru_cache(maxsize=4096)
def _arguments(over: Lines) -> tuple[Any, ...]:
    """The kernels' layout and numbers."""
    return Layout(*over.kept), *packed(over.numbers)


def scan(op: str, input: Array, dim: int, kind: dtype) -> Array:
    """A running combination, with the loop of an operator's record, in a dtype."""
    out = empty(input.shape, kind, input.device)
    if not out.size:
        return out
    input, over, numbers = _prepared(input, out, dim)
    kernels, words = family(op, SCAN, WIDENED), (C_TYPES[input.dtype], C_TYPES[kind])
    work = out.size if input.device.traits.cpu else over.items
    carry, way = out, ("columns",) if over.columns > 1 else ()
    if over.lanes > 1:
        totals = empty((over.outputs, over.lanes, over.columns), kind, input.device)
        launch(kernels, (*words, "total", *way), work, totals, input, *numbers, op=op)
        carry = scan(op, totals, 1, kind)
    launch(kernels, (*words, *way), work, out, input, carry, *numbers, op=op)
    return out


def running(op: str, input: Array, dim: int) -> tuple[Array, Array]:
    """Running extrema and their places."""
    values, places = empty(input.shape, input.dtype, input.device), empty(input.shape, fd.int64, input.device)
    if not values.size:
        return values, places
    input, over, numbers = _prepared(input, values, dim)
    kernels, word = family(op, RUNNING, KEPT), C_TYPES[input.dtype]
    work = values.size if input.device.traits.cpu else over.items
    carry, carry_places, lane_places = values, places, places
    if over.lanes > 1:
        shape = (over.outputs, over.lanes, over.columns)
        totals, lane_places = empty(shape, input.dtype, input.device), empty(shape, fd.int64, input.device)
        launch(kernels, (word, "total"), work, totals, lane_places, input, *numbers, op=op)
        carry, carry_places = running(op, totals, 1)
    launch(kernels, (word,), work, values, places, input, carry, carry_places, lane_places, *numbers, op=op)
    return values, places


def _accumulated(op: str, input: Array, dim: int, dtype: dtype) -> Array:
    kind = fd.int64 if dtype.category <= INTEGER else dtype
    if input.dtype is not kind and not (kind is fd.int64 and input.dtype.category <= INTEGER):
        input = cast(input, kind)
    result = scan(op, input, dim, kind) if input.shape else cast(input, kind)
    return result if kind is dtype else cast(result, dtype)


def _cumsum(input: Array, dim: int, dtype: dtype) -> Array:
    return _accumulated("cumsum", input, dim, dtype)


def _cumprod(input: Array, dim: int, dtype: dtype) -> Array:
    return _accumulated("cumprod", input, dim, dtype)


def _extrema(op: str, input: Array, dim: int) -> tuple[Array, Array]:
    if not input.shape:
        return clone(input), filled((), 0, fd.int64, input.device)
    return running(op, input, dim)


def _cummax(input: Array, dim: int) -> tuple[Array, Array]:
    return _extrema("cummax", input, dim)


def _cummin(input: Array, dim: int) -> tuple[Array, Array]:
    return _extrema("cummin", input, dim)


KERNELS: dict[str, Callable[..., Any]] = {
    "cumsum": _cumsum,
    "cumprod": _cumprod,
    "cummax": _cummax,
    "cummin": _cummin,
}
