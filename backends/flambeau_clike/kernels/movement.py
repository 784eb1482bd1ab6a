"""Copies between layouts and dtypes.

Bytes that only move do so by their size. A cast has one program for each dtype it starts from, with a kernel for each
dtype it ends in, between dense arrays: copies do the rest, so that the many pairs stay cheap to build. Numbers narrower
than `f32` are rounded from it, to nearest and ties to even, as PyTorch does. On the cores of a processor a kernel walks
over rows, so that dense rows become vector instructions and no element costs a division; where source and target run
across each other it goes by square tiles, whose lines stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.dtypes import BOOL, INTEGER, dtype
from flambeau.ir.dialect import MOVED, RANK
from flambeau.shapes import broadcast_shapes
from flambeau_clike.array import FROM_NUMPY, TO_NUMPY, Array, empty
from flambeau_clike.device import Device
from flambeau_clike.kernels import conversion
from flambeau_clike.lanes import Lane
from flambeau_clike.launch import Layout, launch
from flambeau_clike.program import Family

TILE = 32       # elements along each edge of a tile
CROSSED = 64    # elements along both dimensions from which tiles pay
BUFFER_COPY = 1 << 18   # bytes up to which the driver's copy of a buffer is as good as a kernel

WALK = """
typedef struct { i64 left, column, count; i64 offset[2]; i64 position[8]; } walk_t;
FUNCTION walk_t walk(const layout_t *layout, i64 n, i64 item, i64 items) {
    walk_t w;
    i64 chunk = (n + items - 1) / items, start = item * chunk, flat = start;
    w.left = start + chunk < n ? chunk : n - start;
    w.offset[0] = w.offset[1] = 0;
    for (int d = (int)layout->rank - 1; d >= 0; --d) {
        w.position[d] = flat % layout->size[d];
        flat /= layout->size[d];
        w.offset[0] += w.position[d] * layout->stride[0][d];
        w.offset[1] += w.position[d] * layout->stride[1][d];
    }
    int last = (int)layout->rank - 1;
    w.count = layout->size[last] - w.position[last];
    if (w.count > w.left) w.count = w.left;
    return w;
}
FUNCTION void walk_on(walk_t *w, const layout_t *layout) {
    int d = (int)layout->rank - 1;
    w->left -= w->count;
    if (w->left <= 0) return;
    w->offset[0] -= w->position[d] * layout->stride[0][d];
    w->offset[1] -= w->position[d] * layout->stride[1][d];
    w->position[d] = 0;
    w->count = layout->size[d] < w->left ? layout->size[d] : w->left;
    while (--d >= 0) {
        w->offset[0] += layout->stride[0][d];
        w->offset[1] += layout->stride[1][d];
        if (++w->position[d] < layout->size[d]) return;
        w->offset[0] -= w->position[d] * layout->stride[0][d];
        w->offset[1] -= w->position[d] * layout->stride[1][d];
        w->position[d] = 0;
    }
}
"""

_COPY = Family("copy", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, input), i64 n, layout_t layout) {
    OPEN($T, out); OPEN($T, input);
#ifdef CHUNKED
    int last = (int)layout.rank - 1;
    index_t step = (index_t)layout.stride[0][last], pace = (index_t)layout.stride[1][last];
    for (walk_t w = walk(&layout, n, ITEM, ITEMS); w.left > 0; walk_on(&w, &layout)) {
        GLOBAL $T *to = out + w.offset[0], *from = input + w.offset[1];
        index_t count = (index_t)w.count;
        if (step == 1 && pace == 1) for (index_t j = 0; j < count; ++j) to[j] = from[j];
        else if (step == 1 && pace == 0) { $T value = *from; for (index_t j = 0; j < count; ++j) to[j] = value; }
        else for (index_t j = 0; j < count; ++j) to[j * step] = from[j * pace];
    }
#else
    FOR_EACH(i, n) out[locate(&layout, 0, i)] = input[locate(&layout, 1, i)];
#endif
}""", (("T", tuple(MOVED.values())),), shared=WALK)

_CASTS = {
    source: Family("cast_" + source, """
KERNEL $NAME(ARRAY($T, out), ARRAY(SOURCE, input), i64 n) {
    OPEN($T, out); OPEN(SOURCE, input);
    FOR_EACH(i, n) out[i] = ${T}_OF_SOURCE(input[i]);
}""".replace("SOURCE", source), (("T", conversion.TARGETS),), only=lambda target, source=source: target != source,
        shared=conversion.functions(source))
    for source in conversion.SOURCES}

# Tiles of the last two dimensions; the target is dense along the last one, the source along the one before.
_TILES = Family("copy_tiles", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, input), i64 tiles, layout_t layout, layout_t grid) {
    OPEN($T, out); OPEN($T, input);
    int last = (int)layout.rank - 1;
    i64 height = layout.size[last - 1], width = layout.size[last];
    index_t step = (index_t)layout.stride[0][last - 1], pace = (index_t)layout.stride[1][last];
    i64 across = (width + TILE - 1) / TILE, down = (height + TILE - 1) / TILE;
    FOR_EACH(tile, tiles) {
        i64 left = tile % across * TILE, top = tile / across % down * TILE, outer = tile / across / down;
        GLOBAL $T *to = out + locate(&grid, 0, outer) + top * step + left;
        GLOBAL $T *from = input + locate(&grid, 1, outer) + left * pace + top;
        int rows = (int)(height - top < TILE ? height - top : TILE);
        int columns = (int)(width - left < TILE ? width - left : TILE);
        for (int i = 0; i < rows; ++i)
            for (int j = 0; j < columns; ++j) to[i * step + j] = from[j * pace + i];
    }
}""", (("T", tuple(MOVED.values())),), shared=f"#define TILE {TILE}\n")


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
    shape = target.shape
    if source.shape != shape and broadcast_shapes(shape, source.shape) != shape:
        raise ValueError(f"shape {list(source.shape)} does not broadcast to {list(shape)}")
    if target.size == 0:
        return
    if target.memory is source.memory and overlap(target, source):
        source = clone(source)
    if not same_bits(target.dtype, source.dtype):
        _convert(target, source)
    elif source.shape == shape and source.dense and target.dense:
        _move_dense(target, source)
    else:
        _move(target, source)


def _convert(target: Array, source: Array) -> None:
    """Cast between dense arrays; copies bring others to that form, of what is the smaller of the two."""
    if not source.dense:
        source = clone(source)
    if source.shape == target.shape and target.dense:
        launch(_CASTS[conversion.source_word(source.dtype)], (conversion.target_word(target.dtype, source.dtype),),
               target.size, target, source, target.size)
    else:
        whole = empty(source.shape, target.dtype, target.device)
        _convert(whole, source)
        _move(target, whole)


def overlap(a: Array, b: Array) -> bool:
    """Whether two arrays over one memory may share bytes."""
    def ends(each: Array) -> tuple[int, int]:
        last = each.offset + sum([(size - 1) * stride for size, stride in zip(each.shape, each.strides, strict=True)])
        return each.offset * each.dtype.itemsize, (last + 1) * each.dtype.itemsize
    if not a.size or not b.size:
        return False
    (start, stop), (other, end) = ends(a), ends(b)
    return start < end and other < stop


def _move_dense(target: Array, source: Array) -> None:
    count, size, device = target.size, target.dtype.itemsize, target.device
    if count * size <= BUFFER_COPY or not device.traits.cpu:
        lane_of(target, source).copy(target.memory.buffer, source.memory.buffer, count * size, target.offset * size,
                                     source.offset * size)
    else:
        _move_places(target, source, [count], [1], [1])


def same_bits(target: dtype, source: dtype) -> bool:
    """Whether a cast is a copy: between integers of one size, and of bools to bytes."""
    if target is source:
        return True
    return (target.itemsize == source.itemsize and target.category == INTEGER
            and source.category in (INTEGER, BOOL))


def _move(target: Array, source: Array) -> None:
    """Copy elements of one size, in the order of the target's memory."""
    shape = target.shape
    lead = len(shape) - len(source.shape)
    strides = (0,) * lead + tuple([0 if size == 1 else stride
                                   for size, stride in zip(source.shape, source.strides, strict=True)])
    order: Sequence[int] = range(len(shape))
    if not target.dense:
        order = sorted(order, key=lambda d: -target.strides[d])
    copy_places(target, source, [shape[d] for d in order], [target.strides[d] for d in order],
                [strides[d] for d in order])


def copy_places(target: Array, source: Array, shape: Sequence[int], to: Sequence[int], of: Sequence[int]) -> None:
    """Copy elements of one size between places of one shape, given by strides of any sign from the arrays' offsets."""
    sizes, (step, pace) = collapse(shape, to, of)
    _move_places(target, source, sizes or [1], step or [1], pace or [1])


def _move_places(target: Array, source: Array, shape: list[int], to: list[int], of: list[int]) -> None:
    """Copy between places of one shape, given by their strides."""
    if len(shape) > RANK:
        for i in range(shape[0]):
            _move_places(shifted(target, i * to[0]), shifted(source, i * of[0]), shape[1:], to[1:], of[1:])
    elif target.device.traits.cpu and _crossed(shape, to, of):
        _move_tiles(target, source, shape, to, of)
    else:
        n = math.prod(shape)
        launch(_COPY, (MOVED[target.dtype.itemsize],), n, target, source, n, Layout(shape, to, of))


def _crossed(shape: list[int], to: list[int], of: list[int]) -> bool:
    """Whether the source's neighbours lie along another dimension than the target's, and both are long."""
    if len(shape) < 2 or to[-1] != 1 or of[-1] <= 1 or shape[-1] < TILE:
        return False
    d = next((d for d, stride in enumerate(of) if stride == 1), -1)
    return d >= 0 and shape[d] >= TILE and shape[d] * shape[-1] >= CROSSED * CROSSED


def _move_tiles(target: Array, source: Array, shape: list[int], to: list[int], of: list[int]) -> None:
    d = of.index(1)
    order = [*[each for each in range(len(shape) - 1) if each != d], d, len(shape) - 1]
    sizes, step, pace = ([each[k] for k in order] for each in (shape, to, of))
    tiles = math.prod(sizes[:-2]) * -(-sizes[-2] // TILE) * -(-sizes[-1] // TILE)
    launch(_TILES, (MOVED[target.dtype.itemsize],), tiles * TILE * TILE, target, source, tiles,
           Layout(sizes, step, pace), Layout(sizes[:-2], step[:-2], pace[:-2]))


def shifted(array: Array, places: int) -> Array:
    """The array from another element on."""
    return Array(array.memory, array.dtype, array.shape, array.strides, array.offset + places, array.viewed or array)


def clone(input: Array) -> Array:
    """A contiguous copy."""
    result = empty(input.shape, input.dtype, input.device)
    copy(result, input)
    return result


def cast(input: Array, dtype: dtype) -> Array:
    """A contiguous array of the values in another dtype."""
    result = empty(input.shape, dtype, input.device)
    copy(result, input)
    return result


def fetch(array: Array) -> Any:
    """The values of a dense array on the host, waited for: for the few numbers that decide what is queued next."""
    result = np.empty(array.shape, TO_NUMPY[array.dtype])
    lane_of(array).read(result, array.memory.buffer, array.offset * array.dtype.itemsize)
    return result


def upload(values: Any, device: Device) -> Array:
    """A new array of a few numbers of the host, which may change afterwards."""
    result = empty(values.shape, FROM_NUMPY[values.dtype], device)
    if result.size:
        lane_of(result).write(result.memory.buffer, values)
    return result


def lane_of(*arrays: Array) -> Lane:
    """This thread's lane, for a command that uses the arrays."""
    lane = arrays[0].device.lane
    for each in arrays:
        if each.memory.lane is not lane:
            each.memory.use(lane)
    return lane


def contiguous(input: Array) -> Array:
    """The array itself where it is dense, else a copy that is."""
    return input if input.dense else clone(input)


KERNELS: dict[str, Callable[..., Any]] = {"cast": cast, "clone": clone}
