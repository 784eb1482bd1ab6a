"""Choosing by a mask: where it is true, and filling there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import flambeau.dtypes as fd
from flambeau.ir.dialect import MOVED, RANK
from flambeau.shapes import broadcast_shapes
from flambeau_clike.array import Array, empty
from flambeau_clike.kernels.creation import Bits
from flambeau_clike.kernels.gather import expanded, take
from flambeau_clike.kernels.movement import WALK, cast, clone, collapse, contiguous, fetch, upload
from flambeau_clike.launch import Layout, launch
from flambeau_clike.program import Family

CHUNK = 4096     # elements of a mask that one work item counts, where a processor's core is one
GROUP_CHUNK = 256

# In two steps: each chunk counts what is true in it, and writes their positions after those of the chunks before.
_POSITIONS = Family("positions", """
KERNEL ${NAME}_count(ARRAY(i64, counts), ARRAY(u8, mask), i64 n, i64 chunk, i64 chunks) {
    OPEN(i64, counts); OPEN(u8, mask);
    FOR_EACH(c, chunks) {
        i64 start = c * chunk;
        index_t count = (index_t)(n - start < chunk ? n - start : chunk);
        GLOBAL u8 *here = mask + start;
        i32 found = 0;
        for (index_t j = 0; j < count; ++j) found += here[j] != 0;
        counts[c] = found;
    }
}
KERNEL ${NAME}_write(ARRAY(i64, out), ARRAY(i64, starts), ARRAY(u8, mask), i64 n, i64 chunk, i64 chunks) {
    OPEN(i64, out); OPEN(i64, starts); OPEN(u8, mask);
    FOR_EACH(c, chunks) {
        i64 start = c * chunk, end = start + chunk < n ? start + chunk : n, at = starts[c], stop = starts[c + 1];
        for (i64 i = start; at < stop && i < end; ++i) if (mask[i]) out[at++] = i;
    }
}
KERNEL ${NAME}_place(ARRAY(i64, out), ARRAY(i64, positions), i64 n, layout_t layout) {
    OPEN(i64, out); OPEN(i64, positions);
    FOR_EACH(i, n) out[i] = locate(&layout, 0, positions[i]);
}""")

_FILL_WHERE = Family("fill_where", "".join("""
KERNEL ${NAME}_SOURCE(ARRAY($T, out), ARRAY(u8, mask), i64 n, PARAMETER, layout_t layout) {
    OPEN($T, out); OPEN(u8, mask); FETCH
#ifdef CHUNKED
    int last = (int)layout.rank - 1;
    index_t step = (index_t)layout.stride[0][last], pace = (index_t)layout.stride[1][last];
    for (walk_t w = walk(&layout, n, ITEM, ITEMS); w.left > 0; walk_on(&w, &layout)) {
        GLOBAL $T *to = out + w.offset[0];
        GLOBAL u8 *here = mask + w.offset[1];
        index_t count = (index_t)w.count;
        if (step == 1 && pace == 1) for (index_t j = 0; j < count; ++j) to[j] = here[j] ? value : to[j];
        else for (index_t j = 0; j < count; ++j) if (here[j * pace]) to[j * step] = value;
    }
#else
    FOR_EACH(i, n) if (mask[locate(&layout, 1, i)]) out[locate(&layout, 0, i)] = value;
#endif
}""".replace("SOURCE", name).replace("PARAMETER", parameter).replace("FETCH", fetch) for name, parameter, fetch in (
    ("number", "$T value", ""), ("array", "ARRAY($T, from)", "OPEN($T, from); $T value = *from;"))),
    (("T", tuple(MOVED.values())),), shared=WALK)


def positions(mask: Array) -> Array:
    """The flat positions of the elements that are true (or not zero), int64; the host waits for their number."""
    if mask.dtype.itemsize != 1 or mask.dtype.category > 1:
        mask = cast(mask, fd.bool_)
    mask = contiguous(mask)
    n, device = mask.size, mask.device
    chunk = CHUNK if device.traits.cpu else GROUP_CHUNK
    chunks = -(-n // chunk)
    if not chunks:
        return empty((0,), fd.int64, device)
    counts = empty((chunks,), fd.int64, device)
    work = n if device.traits.cpu else chunks
    launch(_POSITIONS, ("count",), work, counts, mask, n, chunk, chunks)
    ends = np.zeros(chunks + 1, np.int64)
    np.cumsum(fetch(counts), out=ends[1:])
    result = empty((int(ends[-1]),), fd.int64, device)
    if result.size:
        launch(_POSITIONS, ("write",), work, result, upload(ends, device), mask, n, chunk, chunks)
    return result


def offsets(found: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """Flat positions in a shape as offsets by strides."""
    sizes, (steps,) = collapse(shape, strides)
    if steps == [1] or not found.size:
        return found
    if len(sizes) > RANK:
        raise ValueError(f"a mask over more than {RANK} dimensions that cannot be merged")
    result = empty(found.shape, fd.int64, found.device)
    launch(_POSITIONS, ("place",), found.size, result, found, found.size, Layout(sizes or [1], steps or [0]))
    return result


def masked_select(input: Array, mask: Array) -> Array:
    """The elements where the mask is true; both are broadcast."""
    shape = broadcast_shapes(input.shape, mask.shape)
    if mask.shape != shape:
        mask = Array(mask.memory, mask.dtype, shape, tuple(expanded(mask, shape)), mask.offset, mask.viewed or mask)
    found = positions(mask)
    strides = tuple(expanded(input, shape))
    places = offsets(found, shape, strides)
    extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return take(input, places, found.shape, [0], [1], 0, extent, 1, "masked_select")


def fill_where(out: Array, mask: Array, value: bytes | Array) -> None:
    """Write a number, or the one element of an array, where the mask, which is broadcast, is true."""
    if not out.size:
        return
    sizes, (step, pace) = collapse(out.shape, out.strides, expanded(mask, out.shape))
    if len(sizes) > RANK:
        raise ValueError(f"masked_fill: more than {RANK} dimensions that cannot be merged")
    source = "array" if value.__class__ is Array else "number"
    launch(_FILL_WHERE, (MOVED[out.dtype.itemsize], source), out.size, out, mask, out.size, value,
           Layout(sizes or [1], step or [0], pace or [0]), op="masked_fill")


def masked_fill(input: Array, mask: Array, value: Any) -> Array:
    """The array with a number where the mask is true; the two are broadcast."""
    shape = broadcast_shapes(input.shape, mask.shape)
    if shape != input.shape:
        input = Array(input.memory, input.dtype, shape, tuple(expanded(input, shape)), input.offset, input)
    out = clone(input)
    fill_where(out, mask, Bits(value, out.dtype))
    return out


def masked_fill_(input: Array, mask: Array, value: Any) -> Array:
    """The same in place."""
    if broadcast_shapes(input.shape, mask.shape) != input.shape:
        raise ValueError(f"a mask of shape {list(mask.shape)} does not broadcast to {list(input.shape)}")
    fill_where(input, clone(mask) if mask.memory is input.memory else mask, Bits(value, input.dtype))
    return input


KERNELS: dict[str, Callable[..., Any]] = {
    "masked_select": masked_select, "masked_fill": masked_fill, "masked_fill_": masked_fill_}
