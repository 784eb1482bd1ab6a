"""Pools: each work item looks at one window, or at one plane where places may meet."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flambeau.dtypes as fd
from flambeau.ir.dialect import C_TYPES, MOVED
from flambeau_opencl.array import Array, empty
from flambeau_opencl.kernels._arithmetic import ARITHMETIC
from flambeau_opencl.kernels.movement import contiguous
from flambeau_opencl.kernels.windows import HEADER, Windows
from flambeau_opencl.launch import launch
from flambeau_opencl.program import Family

Shape = tuple[int, ...]
ORDERED = ("u8", "i8", "i16", "i32", "i64", "f32", "f64")

# A nan beats every number, and the last one the others: `value != value` holds for nothing else.
_MAX = Family("max_pool", """
KERNEL $NAME(ARRAY($T, values), ARRAY(i64, indices), ARRAY($T, input), i64 n, windows_t w) {
    OPEN($T, values); OPEN(i64, indices); OPEN($T, input);
    FOR_EACH(i, n) {
        WINDOW(i, low, high)
        const GLOBAL $T *from = input + plane * w.size[0] * w.size[1] * w.size[2];
        $T best = 0;
        index_t at = -1;
        for (index_t z = low[0]; z < high[0]; z += w.step[0])
            for (index_t y = low[1]; y < high[1]; y += w.step[1])
                for (index_t x = low[2]; x < high[2]; x += w.step[2]) {
                    index_t place = (z * w.size[1] + y) * w.size[2] + x;
                    $T value = from[place];
                    if (at < 0 || value > best || value != value) { best = value; at = place; }
                }
        values[i] = best; indices[i] = at;
    }
}""", (("T", ORDERED),), shared=HEADER)

_AVERAGE = Family("avg_pool", """
KERNEL $NAME(ARRAY($T, means), ARRAY($T, input), i64 n, i64 border_counts, i64 divisor, windows_t w) {
    OPEN($T, means); OPEN($T, input);
    FOR_EACH(i, n) {
        WINDOW(i, low, high)
        const GLOBAL $T *from = input + plane * w.size[0] * w.size[1] * w.size[2];
        $T sum = 0;
        for (index_t z = low[0]; z < high[0]; ++z)
            for (index_t y = low[1]; y < high[1]; ++y)
                for (index_t x = low[2]; x < high[2]; ++x) sum += from[(z * w.size[1] + y) * w.size[2] + x];
        index_t o[3] = {oz, oy, ox};
        means[i] = sum / ($T)(divisor ? divisor : count(&w, o, border_counts));
    }
}""", (("T", ORDERED),), shared=HEADER)

_AVERAGE_BACK = Family("avg_pool_back", """
KERNEL $NAME(ARRAY($T, input), ARRAY($T, g), i64 n, i64 border_counts, i64 divisor, windows_t w) {
    OPEN($T, input); OPEN($T, g);
    FOR_EACH(i, n) {
        index_t x = i % w.size[2], y = i / w.size[2] % w.size[1], z = i / w.size[2] / w.size[1] % w.size[0];
        const GLOBAL $T *from = g + i / w.size[2] / w.size[1] / w.size[0] * w.out[0] * w.out[1] * w.out[2];
        index_t at[3] = {z, y, x}, low[3], high[3], o[3];
        for (int d = 0; d < 3; ++d) {
            index_t reach = at[d] + w.border[d] - w.width[d] + 1;
            low[d] = reach > 0 ? (reach + w.jump[d] - 1) / w.jump[d] : 0;
            high[d] = (at[d] + w.border[d]) / w.jump[d] + 1;
            if (high[d] > w.out[d]) high[d] = w.out[d];
        }
        $T sum = 0;
        for (o[0] = low[0]; o[0] < high[0]; ++o[0])
            for (o[1] = low[1]; o[1] < high[1]; ++o[1])
                for (o[2] = low[2]; o[2] < high[2]; ++o[2])
                    sum += from[(o[0] * w.out[1] + o[1]) * w.out[2] + o[2]]
                        / ($T)(divisor ? divisor : count(&w, o, border_counts));
        input[i] = sum;
    }
}""", (("T", ORDERED),), shared=HEADER)

# One plane after the other: no two work items add to one place, and the order of additions is always the same.
_SCATTER = Family("pool_scatter", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, g), ARRAY(i64, indices), i64 planes, i64 size, i64 count, ERRORS) {
    OPEN($T, out); OPEN($T, g); OPEN(i64, indices);
    FOR_EACH(p, planes) {
        GLOBAL $T *plane = out + p * size;
        for (index_t x = 0; x < size; ++x) plane[x] = ZERO_$T;
        for (index_t x = 0; x < count; ++x) {
            i64 at = indices[p * count + x];
            if (at < 0 || at >= size) FAIL(INDEX_OUT_OF_RANGE);
            else ADD_$T(plane[at], g[p * count + x]);
        }
    }
}""", (("T", (*ORDERED, "c64", "c128")),), shared=ARITHMETIC)

_GATHER = Family("pool_gather", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, input), ARRAY(i64, indices), i64 n, i64 size, i64 count, ERRORS) {
    OPEN($T, out); OPEN($T, input); OPEN(i64, indices);
    FOR_EACH(i, n) {
        i64 at = indices[i];
        if (at < 0 || at >= size) FAIL(INDEX_OUT_OF_RANGE);
        else out[i] = input[i / count * size + at];
    }
}""", (("T", tuple(MOVED.values())),))


def max_pool(input: Array, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape,
             out: Shape) -> tuple[Array, Array]:
    """(largest elements of windows, their positions in the flattened spatial dimensions)."""
    w = Windows(input.shape[2:], out, kernel, stride, padding, dilation)
    values = empty((*input.shape[:2], *out), input.dtype, input.device)
    indices = empty(values.shape, fd.int64, input.device)
    launch(_MAX, (C_TYPES[input.dtype],), values.size, values, indices, contiguous(input), values.size, w.packed(),
           op="max_pool")
    return values, indices


def avg_pool(input: Array, kernel: Shape, stride: Shape, padding: Shape, out: Shape, count_include_pad: bool,
             divisor: int | None) -> Array:
    """Means over windows; integers are divided towards zero."""
    w = Windows(input.shape[2:], out, kernel, stride, padding, (1,) * len(kernel))
    means = empty((*input.shape[:2], *out), input.dtype, input.device)
    launch(_AVERAGE, (C_TYPES[input.dtype],), means.size, means, contiguous(input), means.size,
           int(count_include_pad), divisor or 0, w.packed(), op="avg_pool")
    return means


def avg_pool_input_grad(g: Array, spatial: Shape, kernel: Shape, stride: Shape, padding: Shape,
                        count_include_pad: bool, divisor: int | None) -> Array:
    """Spread each output's gradient over its window."""
    w = Windows(spatial, g.shape[2:], kernel, stride, padding, (1,) * len(kernel))
    result = empty((*g.shape[:2], *spatial), g.dtype, g.device)
    launch(_AVERAGE_BACK, (C_TYPES[g.dtype],), result.size, result, contiguous(g), result.size,
           int(count_include_pad), divisor or 0, w.packed(), op="avg_pool_input_grad")
    return result


def pool_scatter(g: Array, indices: Array, spatial: Shape, distinct: bool) -> Array:
    """Add each element of `g` at its position in a plane of zeros."""
    planes, size, count = math.prod(g.shape[:2]), math.prod(spatial), math.prod(g.shape[2:])
    out = empty((*g.shape[:2], *spatial), g.dtype, g.device)
    if out.size:
        items = max(out.size, g.size) if g.device.traits.cpu else planes
        launch(_SCATTER, (C_TYPES[g.dtype],), items, out, contiguous(g), contiguous(indices), planes, size, count,
               op="pool_scatter", checks=True)
    return out


def pool_gather(input: Array, indices: Array) -> Array:
    """The elements of each plane at the given positions."""
    out = empty(indices.shape, input.dtype, input.device)
    size, count = math.prod(input.shape[2:]), math.prod(indices.shape[2:])
    launch(_GATHER, (MOVED[input.dtype.itemsize],), out.size, out, contiguous(input), contiguous(indices), out.size,
           size, count, op="pool_gather", checks=True)
    return out


KERNELS: dict[str, Callable[..., Any]] = {
    "max_pool": max_pool, "pool_scatter": pool_scatter, "pool_gather": pool_gather, "avg_pool": avg_pool,
    "avg_pool_input_grad": avg_pool_input_grad}
