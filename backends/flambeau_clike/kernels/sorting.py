"""Sorting: every dtype by unsigned keys in the same order, of which nan is the largest.

Long rows are sorted by radix, eight bits at a time from the lowest: each work item counts the digits of its chunk, a
scan over (digit, chunk) says where each of them goes, and the same chunk is moved there in its order, so that the sort
is stable. Short rows are merged, one row per work item. Slices are merged in parallel: an element's place is its own in
its run and the number of those in the other run that come before it, found by bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flambeau.dtypes as fd
from flambeau.dtypes import dtype
from flambeau.ir.dialect import C_TYPES, MOVED, RANK
from flambeau.ir.reduction_plan import merge
from flambeau.shapes import contiguous_strides
from flambeau_clike.array import Array, empty
from flambeau_clike.kernels.creation import filled
from flambeau_clike.kernels.movement import clone, contiguous
from flambeau_clike.kernels.reduction import KEPT, breadth
from flambeau_clike.kernels.scan import scan
from flambeau_clike.launch import Layout, launch
from flambeau_clike.program import Family

SHORT = 512       # elements up to which a row is merged by one work item
DIGITS = 256
KEY_WORDS = ("u32", "u64")
KEY_DTYPES = {"u32": fd.uint32, "u64": fd.uint64}

_CHUNK = """
        i64 row = i / chunks, first = i % chunks * length, end = first + length < n ? first + length : n;
"""

_KEY_FUNCTIONS = """
FUNCTION u32 key_b8(b8 x) { return x; }
FUNCTION u32 key_u8(u8 x) { return x; }
FUNCTION u32 key_i8(i8 x) { return (u32)(u8)x ^ 0x80u; }
FUNCTION u32 key_i16(i16 x) { return (u32)(u16)x ^ 0x8000u; }
FUNCTION u32 key_i32(i32 x) { return (u32)x ^ 0x80000000u; }
FUNCTION u64 key_i64(i64 x) { return (u64)x ^ ((u64)1 << 63); }
FUNCTION u32 key_f32(f32 x) {
    union { f32 number; u32 bits; } both;
    both.number = x == 0 ? 0 : x;
    return x != x ? ~(u32)0 : both.bits >> 31 ? ~both.bits : both.bits | 0x80000000u;
}
#ifdef FP64
FUNCTION u64 key_f64(f64 x) {
    union { f64 number; u64 bits; } both;
    both.number = x == 0 ? 0 : x;
    return x != x ? ~(u64)0 : both.bits >> 63 ? ~both.bits : both.bits | (u64)1 << 63;
}
#endif
"""
_WIDE = ("i64", "f64")
_KEYS = Family("sort_keys", """
KERNEL $NAME(ARRAY($U, keys), ARRAY($T, input), layout_t kept, i64 rows, i64 n, i64 step, i64 chunks, i64 descending) {
    OPEN($U, keys); OPEN($T, input);
    i64 length = (n + chunks - 1) / chunks;
    $U flip = descending ? ~($U)0 : 0;
    FOR_EACH(i, rows * chunks) { CHUNK
        GLOBAL $T *p = input + locate(&kept, 1, row);
        GLOBAL $U *q = keys + row * n;
        if (step == 1) for (i64 j = first; j < end; ++j) q[j] = key_$T(p[j]) ^ flip;
        else for (i64 j = first; j < end; ++j) q[j] = key_$T(p[j * step]) ^ flip;
    }
}""".replace("CHUNK", _CHUNK), (("T", tuple([C_TYPES[each] for each, _ in KEPT])), ("U", KEY_WORDS)),
               shared=_KEY_FUNCTIONS, only=lambda given, key: (given in _WIDE) == (key == "u64"))

_SORT = Family("sort", """
KERNEL ${NAME}_short(ARRAY(u32, order), ARRAY(u32, spare), ARRAY($T, keys), i64 rows, i64 n) {
    OPEN(u32, order); OPEN(u32, spare); OPEN($T, keys);
    FOR_EACH(row, rows) {
        GLOBAL $T *key = keys + row * n;
        GLOBAL u32 *a = order + row * n, *b = spare + row * n;
        for (i64 start = 0; start < n; start += 8) {
            i64 end = start + 8 < n ? start + 8 : n;
            for (i64 j = start; j < end; ++j) {
                $T mine = key[j];
                i64 k = j;
                for (; k > start && key[a[k - 1]] > mine; --k) a[k] = a[k - 1];
                a[k] = (u32)j;
            }
        }
        for (i64 run = 8; run < n; run *= 2) {
            for (i64 start = 0; start < n; start += 2 * run) {
                i64 x = start, middle = start + run < n ? start + run : n, y = middle;
                i64 end = start + 2 * run < n ? start + 2 * run : n;
                for (i64 k = start; k < end; ++k)
                    b[k] = x < middle && (y >= end || key[a[x]] <= key[a[y]]) ? a[x++] : a[y++];
            }
            GLOBAL u32 *other = a; a = b; b = other;
        }
        if (a != order + row * n) for (i64 j = 0; j < n; ++j) b[j] = a[j];
    }
}
KERNEL ${NAME}_count(ARRAY(i64, counts), ARRAY($T, keys), i64 rows, i64 n, i64 chunks, i64 shift) {
    OPEN(i64, counts); OPEN($T, keys);
    i64 length = (n + chunks - 1) / chunks;
    FOR_EACH(i, rows * chunks) { CHUNK
        u32 count[256];
        GLOBAL $T *p = keys + row * n;
        for (int k = 0; k < 256; ++k) count[k] = 0;
        for (i64 j = first; j < end; ++j) ++count[p[j] >> shift & 255];
        for (int k = 0; k < 256; ++k) counts[(row * 256 + k) * chunks + i % chunks] = count[k];
    }
}
KERNEL ${NAME}_move(ARRAY($T, to), ARRAY(u32, order_to), ARRAY($T, keys), ARRAY(u32, order), ARRAY(i64, places),
                    i64 rows, i64 n, i64 chunks, i64 shift) {
    OPEN($T, to); OPEN(u32, order_to); OPEN($T, keys); OPEN(u32, order); OPEN(i64, places);
    i64 length = (n + chunks - 1) / chunks;
    FOR_EACH(i, rows * chunks) { CHUNK
        u32 place[256];
        i64 base = row * 256 * chunks + i % chunks;
        for (int k = 0; k < 256; ++k) {
            i64 at = base + k * chunks;
            place[k] = at > row * 256 * chunks ? (u32)places[at - 1] : 0;
        }
        for (i64 j = first; j < end; ++j) {
            $T key = keys[row * n + j];
            i64 at = row * n + place[key >> shift & 255]++;
            to[at] = key;
            order_to[at] = shift ? order[row * n + j] : (u32)j;
        }
    }
}
KERNEL ${NAME}_merge(ARRAY(u32, to), ARRAY(u32, order), ARRAY($T, keys), i64 n, i64 width, i64 run) {
    OPEN(u32, to); OPEN(u32, order); OPEN($T, keys);
    FOR_EACH(i, n) {
        i64 start = i / (2 * run) * (2 * run), middle = start + run < n ? start + run : n;
        i64 end = start + 2 * run < n ? start + 2 * run : n;
        int left = i < middle;
        i64 low = left ? middle : start, high = left ? end : middle, base = low;
        GLOBAL $T *mine = keys + (run == 1 ? i : order[i]) * width;
        while (low < high) {
            i64 between = (low + high) / 2, k = 0;
            GLOBAL $T *theirs = keys + (run == 1 ? between : order[between]) * width;
            while (k < width - 1 && theirs[k] == mine[k]) ++k;
            int before = left ? theirs[k] < mine[k] : theirs[k] <= mine[k];
            if (before) low = between + 1; else high = between;
        }
        to[(left ? i : start + (i - middle)) + (low - base)] = run == 1 ? (u32)i : order[i];
    }
}
""".replace("CHUNK", _CHUNK), (("T", KEY_WORDS),))

_TAKE = Family("sort_take", """
KERNEL $NAME(ARRAY($T, values), ARRAY(i64, places), ARRAY($T, input), ARRAY(u32, order), layout_t kept, i64 rows, i64 n,
             i64 step, i64 step_out, i64 stride, i64 chunks) {
    OPEN($T, values); OPEN(i64, places); OPEN($T, input); OPEN(u32, order);
    i64 length = (n + chunks - 1) / chunks;
    FOR_EACH(i, rows * chunks) { CHUNK
        GLOBAL $T *p = input + locate(&kept, 1, row);
        i64 target = locate(&kept, 0, row);
        for (i64 j = first; j < end; ++j) {
            u32 place = order[row * stride + j];
            values[target + j * step_out] = p[place * step];
            places[target + j * step_out] = place;
        }
    }
}""".replace("CHUNK", _CHUNK), (("T", tuple(MOVED.values())),))


class Rows(NamedTuple):
    """The rows of an array along a dimension: the other dimensions as layout (operand 0: a result, 1: the input)."""

    layout: Layout
    rows: int
    n: int
    step: int
    chunks: int


def rows_of(input: Array, dim: int, out_strides: tuple[int, ...]) -> Rows:
    """How a sort along a dimension goes over an array of at most RANK + 1 dimensions."""
    kept = merge([(input.shape[d], out_strides[d], input.strides[d]) for d in range(len(input.shape)) if d != dim])
    rows, n = math.prod([each[0] for each in kept]), input.shape[dim]
    wide = breadth(input.device)
    if wide.chunked:
        chunks = max(1, min(-(-wide.items // max(rows, 1)), n // 4096))
    else:
        chunks = max(1, -(-n // 512))
    layout = Layout([each[0] for each in kept], [each[1] for each in kept], [each[2] for each in kept])
    return Rows(layout, rows, n, input.strides[dim], chunks)


def key_word(kind: dtype) -> str:
    """The C type of a dtype's keys."""
    return "u64" if kind.itemsize == 8 else "u32"


def keys_of(input: Array, over: Rows, descending: bool) -> Array:
    """The keys of an array, (rows, n) dense."""
    word = key_word(input.dtype)
    keys = empty((over.rows, over.n), KEY_DTYPES[word], input.device)
    launch(_KEYS, (C_TYPES[input.dtype], word), keys.size, keys, input, over.layout, over.rows, over.n, over.step,
           over.chunks, int(descending))
    return keys


def order_of(keys: Array, over: Rows, size: int) -> Array:
    """The stable order of each row of keys, as uint32; `size` bytes of a key count."""
    device, n = keys.device, over.n
    word = C_TYPES[keys.dtype]
    order, spare = empty(keys.shape, fd.uint32, device), empty(keys.shape, fd.uint32, device)
    few = not device.traits.cpu and n > 32 and over.rows * 16 < breadth(device).items
    if n <= SHORT and not few:
        launch(_SORT, (word, "short"), keys.size if device.traits.cpu else over.rows, order, spare, keys, over.rows, n)
        return order
    source, targets = keys, [empty(keys.shape, keys.dtype, device) for _ in range(min(size, 2))]   # keys stay
    items = keys.size if device.traits.cpu else over.rows * over.chunks
    for shift in range(0, 8 * size, 8):
        counts = empty((over.rows, DIGITS * over.chunks), fd.int64, device)
        launch(_SORT, (word, "count"), items, counts, source, over.rows, n, over.chunks, shift)
        places = scan("cumsum", counts, 1, fd.int64)
        target = targets[shift // 8 % 2]
        launch(_SORT, (word, "move"), items, target, spare, source, order, places, over.rows, n, over.chunks, shift)
        source, order, spare = target, spare, order
    return order


def slices_order(keys: Array) -> Array:
    """The stable lexicographic order of the rows of keys, as uint32."""
    n, width = keys.shape
    order, spare = empty((n,), fd.uint32, keys.device), empty((n,), fd.uint32, keys.device)
    run = 1
    while run < max(n, 2):
        launch(_SORT, (C_TYPES[keys.dtype], "merge"), n * 8, spare, order, keys, n, width, run)
        order, spare, run = spare, order, run * 2
    return order


def take(values: Array, places: Array, input: Array, order: Array, over: Rows, dim: int) -> None:
    """The first elements of each row in an order, as many as there is room for, and where they were."""
    count = values.shape[dim]
    launch(_TAKE, (MOVED[input.dtype.itemsize],), values.size, values, places, input, order, over.layout, over.rows,
           count, over.step, values.strides[dim], over.n, over.chunks)


def sort(input: Array, dim: int, count: int | None = None, descending: bool = False) -> tuple[Array, Array]:
    """The first `count` elements, or all, in order along a dimension, and where they were."""
    if not input.shape:
        return clone(input), filled((), 0, fd.int64, input.device)
    count = input.shape[dim] if count is None else count
    shape = (*input.shape[:dim], count, *input.shape[dim + 1:])
    values, places = empty(shape, input.dtype, input.device), empty(shape, fd.int64, input.device)
    if not values.size:
        return values, places
    if len(shape) > RANK:
        input = contiguous(input)
    over = rows_of(input, dim, contiguous_strides(shape))
    keys = keys_of(input, over, descending)
    take(values, places, input, order_of(keys, over, input.dtype.itemsize), over, dim)
    return values, places


def _sort(input: Array, dim: int, descending: bool, stable: bool) -> tuple[Array, Array]:
    return sort(input, dim, None, descending)


def _topk(input: Array, k: int, dim: int, largest: bool, sorted: bool) -> tuple[Array, Array]:
    return sort(input, dim, k, largest)


KERNELS: dict[str, Callable[..., Any]] = {"sort": _sort, "topk": _topk}
