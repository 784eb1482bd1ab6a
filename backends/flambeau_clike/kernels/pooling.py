"""Pools: each work item looks at one window, or at one plane where places may meet."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flambeau.dtypes as fd
from flambeau.ir.dialect import C_TYPES, MOVED
from flambeau_clike.array import Array, empty
from flambeau_clike.kernels._arithmetic import ARITHMETIC
from flambeau_clike.kernels.movement import contiguous
from flambeau_clike.kernels.windows import HEADER, Windows
from flambeau_clike.launch import launch
from flambeau_clike.program import Family

Shape = tuple[int, ...]
ORDERED = ("u8", "i8", "i16", "i32", "i64", "f32", "f64")

# Windows are gone through from outside, their elements one after the other, each for a whole line of outputs: so the
# inner loop has neighbours to work on. A nan beats every number, and the last nan the others.
_MAX = Family("max_pool", """
KERNEL $NAME(ARRAY($T, values), ARRAY(i64, indices), ARRAY($T, input), i64 lines, windows_t w) {
    OPEN($T, values); OPEN(i64, indices); OPEN($T, input);
    LINES(i, lines, w.out[2]) {
        PART(i, w.out[2]);
        index_t oy = i % w.out[1], rest = i / w.out[1], oz = rest % w.out[0], plane = rest / w.out[0];
        GLOBAL $T *best = values + i * w.out[2];
        GLOBAL i64 *at = indices + i * w.out[2];
        const index_t jump = w.jump[2];
        for (index_t x = begin; x < end; ++x) { best[x] = 0; at[x] = -1; }
        for (index_t kz = 0; kz < w.width[0]; ++kz) {
            index_t z = source(&w, 0, oz, kz);
            if (outside(&w, 0, z)) continue;
            for (index_t ky = 0; ky < w.width[1]; ++ky) {
                index_t y = source(&w, 1, oy, ky), row = (z * w.size[1] + y) * w.size[2];
                if (outside(&w, 1, y)) continue;
                const GLOBAL $T *from = input + plane * w.size[0] * w.size[1] * w.size[2];
                for (index_t kx = 0; kx < w.width[2]; ++kx) {
                    index_t place = row + source(&w, 2, 0, kx);
                    INSIDE(low, high, kx);
                    for (index_t x = low; x < high; ++x) {
                        $T value = from[place + x * jump];
                        int better = (at[x] < 0) | (value > best[x]) | (value != value);
                        best[x] = better ? value : best[x];
                        at[x] = better ? (i64)(place + x * jump) : at[x];
                    }
                }
            }
        }
    }
}""", (("T", ORDERED),), shared=HEADER)

_OVER = "".join(f"#define OVER_{each}(a, n) ((a) / ({each})(n))\n" for each in ("f32", "f64")) + "".join(
    f"#define OVER_{each}(a, n) ((n) ? ({each})((a) / (n)) : 0)\n" for each in ORDERED if each[0] != "f")
_AVERAGE = Family("avg_pool", """
KERNEL $NAME(ARRAY($T, means), ARRAY($T, input), i64 lines, i64 border_counts, i64 divisor, windows_t w) {
    OPEN($T, means); OPEN($T, input);
    LINES(i, lines, w.out[2]) {
        PART(i, w.out[2]);
        index_t oy = i % w.out[1], rest = i / w.out[1], oz = rest % w.out[0], plane = rest / w.out[0];
        GLOBAL $T *sum = means + i * w.out[2];
        const index_t jump = w.jump[2];
        for (index_t x = begin; x < end; ++x) sum[x] = 0;
        for (index_t kz = 0; kz < w.width[0]; ++kz) {
            index_t z = source(&w, 0, oz, kz);
            if (outside(&w, 0, z)) continue;
            for (index_t ky = 0; ky < w.width[1]; ++ky) {
                index_t y = source(&w, 1, oy, ky);
                if (outside(&w, 1, y)) continue;
                const GLOBAL $T *from = input + ((plane * w.size[0] + z) * w.size[1] + y) * w.size[2];
                for (index_t kx = 0; kx < w.width[2]; ++kx) {
                    index_t shift = source(&w, 2, 0, kx);
                    INSIDE(low, high, kx);
                    for (index_t x = low; x < high; ++x) sum[x] += from[x * jump + shift];
                }
            }
        }
        i64 most = count(&w, 0, oz, border_counts) * count(&w, 1, oy, border_counts);
        for (index_t x = begin; x < end; ++x) {
            i64 many = divisor ? divisor : most * count(&w, 2, x, border_counts);
            sum[x] = OVER_$T(sum[x], many);
        }
    }
}""", (("T", ORDERED),), shared=HEADER + _OVER)

_AVERAGE_BACK = Family("avg_pool_back", """
KERNEL $NAME(ARRAY($T, input), ARRAY($T, g), i64 lines, i64 border_counts, i64 divisor, windows_t w) {
    OPEN($T, input); OPEN($T, g);
    FOR_EACH(i, lines) {
        index_t y = i % w.size[1], rest = i / w.size[1], z = rest % w.size[0], plane = rest / w.size[0];
        GLOBAL $T *line = input + i * w.size[2];
        const index_t begin = 0, end = w.out[2];
        for (index_t x = 0; x < w.size[2]; ++x) line[x] = 0;
        for (index_t kz = 0; kz < w.width[0]; ++kz) {
            index_t oz = z + w.border[0] - kz;
            if (oz < 0 || oz % w.jump[0] || oz / w.jump[0] >= w.out[0]) continue;
            oz /= w.jump[0];
            for (index_t ky = 0; ky < w.width[1]; ++ky) {
                index_t oy = y + w.border[1] - ky;
                if (oy < 0 || oy % w.jump[1] || oy / w.jump[1] >= w.out[1]) continue;
                oy /= w.jump[1];
                const GLOBAL $T *from = g + ((plane * w.out[0] + oz) * w.out[1] + oy) * w.out[2];
                i64 most = count(&w, 0, oz, border_counts) * count(&w, 1, oy, border_counts);
                for (index_t kx = 0; kx < w.width[2]; ++kx) {
                    index_t shift = source(&w, 2, 0, kx), jump = w.jump[2];
                    INSIDE(low, high, kx);
                    for (index_t x = low; x < high; ++x) {
                        i64 many = divisor ? divisor : most * count(&w, 2, x, border_counts);
                        line[x * jump + shift] += OVER_$T(from[x], many);
                    }
                }
            }
        }
    }
}""", (("T", ORDERED),), shared=HEADER + _OVER)

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
    launch(_MAX, (C_TYPES[input.dtype],), values.size, values, indices, contiguous(input),
           values.size // max(out[-1], 1), w.packed(), op="max_pool")
    return values, indices


def avg_pool(input: Array, kernel: Shape, stride: Shape, padding: Shape, out: Shape, count_include_pad: bool,
             divisor: int | None) -> Array:
    """Means over windows; integers are divided towards zero."""
    w = Windows(input.shape[2:], out, kernel, stride, padding, (1,) * len(kernel))
    means = empty((*input.shape[:2], *out), input.dtype, input.device)
    launch(_AVERAGE, (C_TYPES[input.dtype],), means.size, means, contiguous(input),
           means.size // max(out[-1], 1), int(count_include_pad), divisor or 0, w.packed(), op="avg_pool")
    return means


def avg_pool_input_grad(g: Array, spatial: Shape, kernel: Shape, stride: Shape, padding: Shape,
                        count_include_pad: bool, divisor: int | None) -> Array:
    """Spread each output's gradient over its window."""
    w = Windows(spatial, g.shape[2:], kernel, stride, padding, (1,) * len(kernel))
    result = empty((*g.shape[:2], *spatial), g.dtype, g.device)
    lines = result.size // max(spatial[-1], 1)
    launch(_AVERAGE_BACK, (C_TYPES[g.dtype],), result.size if g.device.traits.cpu else lines, result, contiguous(g),
           lines, int(count_include_pad), divisor or 0, w.packed(), op="avg_pool_input_grad")
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
