"""Reductions: loops of the operators' records in the kernels of `flambeau.ir.reduction_text`.

Integers and bools are summed and multiplied in int64, whatever the result's dtype: the low bits are the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flambeau.dtypes as fd
from flambeau.dtypes import FLOAT, INTEGER, dtype
from flambeau.ir.dialect import C_TYPES, RANK
from flambeau.ir.reduction_plan import Breadth, Stage, plan, search_plan
from flambeau.ir.reduction_text import REDUCTION, SEARCH, SHARED, functions
from flambeau.ir.reductions import itself
from flambeau.registry import OPERATORS
from flambeau_clike.array import Array, empty
from flambeau_clike.device import Device
from flambeau_clike.kernels.movement import cast, contiguous
from flambeau_clike.launch import Layout, Scalar, launch
from flambeau_clike.program import Family

Dims = tuple[int, ...]
REAL = (fd.bool_, fd.uint8, fd.int8, fd.int16, fd.int32, fd.int64, fd.float32, fd.float64)
COMPUTED = (*REAL, fd.complex64, fd.complex128)
WIDENED = tuple([(each, fd.int64 if each.category <= INTEGER else each) for each in COMPUTED])   # of sums
KEPT = tuple([(each, each) for each in REAL])                                                    # of extrema
ORDERED = KEPT[1:]                                                  # without bools, which have no argmax
REAL_FLOATS = tuple([(each, each) for each in REAL if each.category == FLOAT])
FLOATS = tuple([(each, each) for each in COMPUTED if each.category >= FLOAT])
TRUTH = tuple([(each, fd.bool_) for each in COMPUTED])


@functools.cache
def family(op: str, template: str, pairs: tuple[tuple[dtype, dtype], ...], again: bool = False) -> Family:
    """The kernels of an operator's loop, for these dtypes of (elements, accumulator); `again`: over its own results."""
    loop = OPERATORS[op].loop
    if again:
        op, loop = op + "_again", loop._replace(load=itself)
    words = {(C_TYPES[given], C_TYPES[kind]) for given, kind in pairs}
    over = [("T", tuple(dict.fromkeys(C_TYPES[given] for given, _ in pairs)))]
    if "$R" in template:
        over.append(("R", tuple(dict.fromkeys(C_TYPES[kind] for _, kind in pairs))))
    return Family(op, template, over, shared=SHARED + functions(loop, pairs),
                  only=lambda *chosen: len(chosen) == 1 or chosen in words)


def breadth(device: Device) -> Breadth:
    """How many work items keep a device busy."""
    traits = device.traits
    return Breadth(traits.cpu, traits.units * (8 if traits.cpu else 2048))


@functools.lru_cache(maxsize=4096)
def _arguments(stage: Stage) -> tuple[Any, ...]:
    """A stage's layouts and numbers as kernels take them."""
    kept, outer = stage.kept, stage.outer
    return Layout(*kept), Layout(*outer), *packed(stage.numbers)


def packed(numbers: Sequence[int]) -> list[Scalar]:
    """Numbers as arguments, packed once for all launches."""
    return [Scalar(each, fd.int64) for each in numbers]


def _items(stage: Stage, device: Device) -> int:
    """What decides how many work items a launch has: what there is to do on processors, else the results."""
    return stage.work if device.traits.cpu else stage.results


def few_dims(input: Array, dims: Dims) -> Array:
    """The array, or a dense copy where a layout cannot hold its dimensions."""
    return input if max(len(dims), len(input.shape) - len(dims)) <= RANK else contiguous(input)


def result_shape(shape: Dims, dims: Dims, keepdim: bool) -> Dims:
    """The shape of a reduction's result."""
    if keepdim:
        return tuple([1 if d in dims else size for d, size in enumerate(shape)])
    return tuple([size for d, size in enumerate(shape) if d not in dims])


def count_of(shape: Dims, dims: Dims) -> int:
    """The number of elements that make one result."""
    count = 1
    for d in dims:
        count *= shape[d]
    return count


def reduce(op: str, input: Array, dims: Dims, keepdim: bool, pairs: tuple[tuple[dtype, dtype], ...],
           kind: dtype) -> Array:
    """A reduction with the loop of an operator's record; `kind` is the accumulator's dtype."""
    out = empty(result_shape(input.shape, dims, keepdim), kind, input.device)
    if not out.size:
        return out
    count = count_of(input.shape, dims)
    input = few_dims(input, dims)
    kernels, device = family(op, REDUCTION, pairs), input.device
    stages = plan(input.shape, input.strides, dims, breadth(device))
    source = input
    for stage in stages:
        last = stage is stages[-1]
        target = out if last else empty((stage.results,), kind, device)
        launch(kernels, (C_TYPES[source.dtype], C_TYPES[kind], *stage.way), _items(stage, device), target, source,
               count if last else -1, *_arguments(stage), op=op)
        source = target
        if not last and OPERATORS[op].loop.load is not itself:
            kernels = family(op, REDUCTION, tuple(dict.fromkeys((each, each) for _, each in pairs)), True)
    return out


def search(op: str, input: Array, dims: Dims, keepdim: bool) -> tuple[Array, Array]:
    """Extrema and their places, counted in row-major order of the reduced dimensions."""
    _refuse_nothing(input, dims)
    shape, device, kind = result_shape(input.shape, dims, keepdim), input.device, input.dtype
    values, places = empty(shape, kind, device), empty(shape, fd.int64, device)
    if not values.size:
        return values, places
    input = few_dims(input, dims)
    kernels, word = family(op, SEARCH, ORDERED), C_TYPES[kind]
    first, merges = search_plan(input.shape, input.strides, dims, breadth(device))
    found: list[Array] = [values, places] if not merges else _pair(first.results, kind, device)
    launch(kernels, (word, *first.way), _items(first, device), *found, input, *_arguments(first), op=op)
    for number, (results, kept, numbers) in enumerate(merges, 1):
        target = [values, places] if number == len(merges) else _pair(results, kind, device)
        launch(kernels, (word, "merge"), results * 8, *target, *found, Layout(*kept), *numbers, op=op)
        found = target
    return values, places


def _pair(size: int, kind: dtype, device: Device) -> list[Array]:
    return [empty((size,), kind, device), empty((size,), fd.int64, device)]


# ---------------------------------------------------------------------------------------------- operators
def _accumulated(op: str, input: Array, dim: Dims, keepdim: bool, dtype: dtype) -> Array:
    kind = fd.int64 if dtype.category <= INTEGER else dtype
    if input.dtype is not kind and not (kind is fd.int64 and input.dtype.category <= INTEGER):
        input = cast(input, kind)
    result = reduce(op, input, dim, keepdim, WIDENED, kind)
    return result if kind is dtype else cast(result, dtype)


def _sum(input: Array, dim: Dims, keepdim: bool, dtype: dtype) -> Array:
    return _accumulated("sum", input, dim, keepdim, dtype)


def _prod(input: Array, dim: Dims, keepdim: bool, dtype: dtype) -> Array:
    return _accumulated("prod", input, dim, keepdim, dtype)


def _mean(input: Array, dim: Dims, keepdim: bool) -> Array:
    return reduce("mean", input, dim, keepdim, FLOATS, input.dtype)


def _refuse_nothing(input: Array, dim: Dims) -> None:
    if not count_of(input.shape, dim):
        raise ValueError("no elements have no extremum")


def _amax(input: Array, dim: Dims, keepdim: bool) -> Array:
    _refuse_nothing(input, dim)
    return reduce("amax", input, dim, keepdim, KEPT, input.dtype)


def _amin(input: Array, dim: Dims, keepdim: bool) -> Array:
    _refuse_nothing(input, dim)
    return reduce("amin", input, dim, keepdim, KEPT, input.dtype)


def _any(input: Array, dim: Dims, keepdim: bool) -> Array:
    return reduce("any", input, dim, keepdim, TRUTH, fd.bool_)


def _all(input: Array, dim: Dims, keepdim: bool) -> Array:
    return reduce("all", input, dim, keepdim, TRUTH, fd.bool_)


def _vector_norm(input: Array, ord: float, dim: Dims, keepdim: bool) -> Array:
    if ord != 2 or input.dtype.is_complex or not dim:
        return NotImplemented
    return reduce("linalg_vector_norm", input, dim, keepdim, REAL_FLOATS, input.dtype)


def _max_all(input: Array) -> Array:
    return _amax(input, tuple(range(len(input.shape))), False)


def _min_all(input: Array) -> Array:
    return _amin(input, tuple(range(len(input.shape))), False)


def _dims(input: Array, dim: int | None) -> Dims:
    return tuple(range(len(input.shape))) if dim is None or not input.shape else (dim,)


def _argmax(input: Array, dim: int | None, keepdim: bool) -> Array:
    return search("argmax", input, _dims(input, dim), keepdim)[1]


def _argmin(input: Array, dim: int | None, keepdim: bool) -> Array:
    return search("argmin", input, _dims(input, dim), keepdim)[1]


def _max_dim(input: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    return _found("argmax", input, dim, keepdim)


def _min_dim(input: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    return _found("argmin", input, dim, keepdim)


def _found(op: str, input: Array, dim: int, keepdim: bool) -> tuple[Array, Array]:
    if input.dtype is fd.bool_:
        values, places = search(op, cast(input, fd.uint8), _dims(input, dim), keepdim)
        return cast(values, fd.bool_), places
    return search(op, input, _dims(input, dim), keepdim)


KERNELS: dict[str, Callable[..., Any]] = {
    "sum": _sum,
    "prod": _prod,
    "mean": _mean,
    "amax": _amax,
    "amin": _amin,
    "any": _any,
    "all": _all,
    "linalg_vector_norm": _vector_norm,
    "max_all": _max_all,
    "min_all": _min_all,
    "argmax": _argmax,
    "argmin": _argmin,
    "max_dim": _max_dim,
    "min_dim": _min_dim,
}
