"""Copies between layouts and dtypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.ir.dialect import MOVED
from flambeau.shapes import broadcast_shapes
from flambeau_opencl.array import Array, empty, view
from flambeau_opencl.launch import Layout, launch
from flambeau_opencl.program import Family

_COPY = Family("copy", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, input), i64 n, layout_t layout) {
    OPEN($T, out); OPEN($T, input);
    FOR_EACH(i, n) out[locate(&layout, 0, i)] = input[locate(&layout, 1, i)];
}""", (("T", tuple(MOVED.values())),))


def collapse(shape: Sequence[int], *strides: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """The same places with as few dimensions as possible: those of one element dropped, neighbours merged."""
    sizes: list[int] = []
    merged: list[list[int]] = [[] for _ in strides]
    for d, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(each[-1] == size * given[d] for each, given in zip(merged, strides, strict=True)):
            sizes[-1] *= size
            for each, given in zip(merged, strides, strict=True):
                each[-1] = given[d]
        else:
            sizes.append(size)
            for each, given in zip(merged, strides, strict=True):
                each.append(given[d])
    return sizes, merged


def copy(target: Array, source: Array) -> None:
    """Write `source`, broadcast and cast, into the places of `target`."""
    if broadcast_shapes(target.shape, source.shape) != target.shape:
        raise ValueError(f"shape {list(source.shape)} does not broadcast to {list(target.shape)}")
    if target.memory is source.memory:
        source = clone(source)
    lead = len(target.shape) - len(source.shape)
    strides = (0,) * lead + tuple([0 if size == 1 else stride
                                   for size, stride in zip(source.shape, source.strides, strict=True)])
    sizes, (to, of) = collapse(target.shape, target.strides, strides)
    launch(_COPY, (MOVED[target.dtype.itemsize],), target.size, target, source, target.size, Layout(sizes, to, of))


def clone(input: Array) -> Array:
    """A contiguous copy."""
    result = empty(input.shape, input.dtype, input.device)
    copy(result, input)
    return result


def contiguous(input: Array) -> Array:
    """The array itself where it is dense, else a copy that is."""
    return input if input.dense else clone(input)


KERNELS: dict[str, Callable[..., Any]] = {"clone": clone}
