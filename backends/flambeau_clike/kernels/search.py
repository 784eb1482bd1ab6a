"""Kernels that search and count. Where the size of a result depends on the data they wait for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flambeau.dtypes as fd
from flambeau.dtypes import COMPLEX, FLOAT, dtype
from flambeau.ir.dialect import C_TYPES, MOVED, RANK
from flambeau_clike.array import Array, empty, view
from flambeau_clike.kernels import sorting
from flambeau_clike.kernels.creation import filled
from flambeau_clike.kernels.movement import cast, contiguous
from flambeau_clike.kernels.reduction import KEPT, breadth
from flambeau_clike.kernels.scan import scan
from flambeau_clike.launch import Layout, Scalar, launch
from flambeau_clike.program import Family


def _number(array: Array, place: int) -> int:
    """One integer of a dense array, which is waited for."""
    from flambeau_clike.transfers import item  # it imports kernels
    return int(item(view(array, (), (), array.offset + place)))


# ---------------------------------------------------------------------------------------------- nonzero places
_NONZERO = Family("nonzero", """
KERNEL ${NAME}_count(ARRAY(i64, counts), ARRAY($T, input), i64 n, i64 length, u64 mask) {
    OPEN(i64, counts); OPEN($T, input);
    FOR_EACH(i, (n + length - 1) / length) {
        i64 end = (i + 1) * length < n ? (i + 1) * length : n, count = 0;
        for (i64 j = i * length; j < end; ++j) count += test_$T(input[j], mask);
        counts[i] = count;
    }
}
KERNEL $NAME(ARRAY(i64, out), ARRAY(i64, ends), ARRAY($T, input), i64 n, i64 length, u64 mask, layout_t shape,
             i64 rank, i64 start, i64 inner) {
    OPEN(i64, out); OPEN(i64, ends); OPEN($T, input);
    FOR_EACH(i, (n + length - 1) / length) {
        i64 end = (i + 1) * length < n ? (i + 1) * length : n, place = i ? ends[i - 1] : 0;
        for (i64 j = i * length; j < end; ++j)
            if (test_$T(input[j], mask)) {
                i64 flat = inner == 1 ? j : j / inner;
                for (int d = (int)shape.rank - 1; d >= 0; --d) {
                    out[place * rank + start + d] = start + d ? flat % shape.size[d] : flat;
                    if (d) flat /= shape.size[d];
                }
                ++place;
            }
    }
}
""", (("T", tuple(MOVED.values())),), shared="".join(
    f"FUNCTION int test_{each}({each} x, u64 mask) {{ return (x & ({each})mask) != 0; }}\n"
    for each in MOVED.values() if each != "u128") +
    "FUNCTION int test_u128(u128 x, u64 mask) { return ((x.x | x.y) & mask) != 0; }\n")


def significant(kind: dtype) -> int:
    """The bits of an element, or of each half of a complex128, of which one is set unless the element is zero."""
    bits = 8 * min(kind.itemsize, 8)
    every = (1 << bits) - 1
    if kind.category < FLOAT or kind.name.endswith("fnuz"):
        return every
    if kind is fd.complex64:
        return every ^ (1 << 63 | 1 << 31)
    return every >> 1


def _nonzero(input: Array) -> Array:
    device, n, rank = input.device, input.size, len(input.shape)
    if not n:
        return empty((0, rank), fd.int64, device)
    input = contiguous(input)
    word, mask = MOVED[input.dtype.itemsize], Scalar(significant(input.dtype), fd.uint64)
    wide = breadth(device)
    length = max(1024, -(-n // wide.items)) if wide.chunked else 64
    chunks = -(-n // length)
    counts = empty((chunks,), fd.int64, device)
    items = n if wide.chunked else chunks
    launch(_NONZERO, (word, "count"), items, counts, input, n, length, mask, op="nonzero")
    ends = scan("cumsum", counts, 0, fd.int64)
    out = empty((_number(ends, chunks - 1), rank), fd.int64, device)
    for start in range(0, rank if out.size else 0, RANK):    # the columns of the result, as many as a layout holds
        inner = math.prod(input.shape[start + RANK:])
        launch(_NONZERO, (word,), items, out, ends, input, n, length, mask, Layout(input.shape[start:start + RANK]),
               rank, start, inner, op="nonzero")
    return out


# ---------------------------------------------------------------------------------------------- unique elements
_UNIQUE = Family("unique", """
KERNEL ${NAME}_flags(ARRAY(i8, flags), ARRAY($T, keys), ARRAY(u32, order), i64 n, i64 width, i64 has_nan) {
    OPEN(i8, flags); OPEN($T, keys); OPEN(u32, order);
    FOR_EACH(i, n) {
        int is_new = i == 0;
        if (i) {
            GLOBAL $T *mine = keys + (i64)order[i] * width, *theirs = keys + (i64)order[i - 1] * width;
            for (i64 k = 0; k < width; ++k) is_new |= mine[k] != theirs[k] || (has_nan && mine[k] == ~($T)0);
        }
        flags[i] = (i8)is_new;
    }
}""", (("T", sorting.KEY_WORDS),))
_RUNS = Family("unique_runs", """
KERNEL ${NAME}_starts(ARRAY(i64, inverse), ARRAY(i64, starts), ARRAY(i64, ends), ARRAY(i8, flags), ARRAY(u32, order),
                      i64 n) {
    OPEN(i64, inverse); OPEN(i64, starts); OPEN(i64, ends); OPEN(i8, flags); OPEN(u32, order);
    FOR_EACH(i, n) {
        i64 place = ends[i] - 1;
        inverse[order[i]] = place;
        if (flags[i]) starts[place] = i;
    }
}
KERNEL ${NAME}_counts(ARRAY(i64, counts), ARRAY(i64, starts), i64 n, i64 found) {
    OPEN(i64, counts); OPEN(i64, starts);
    FOR_EACH(i, found) counts[i] = (i + 1 < found ? starts[i + 1] : n) - starts[i];
}""")
_PICK = Family("unique_pick", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, input), ARRAY(i64, starts), ARRAY(u32, order), i64 outer, i64 n, i64 found,
             i64 inner) {
    OPEN($T, out); OPEN($T, input); OPEN(i64, starts); OPEN(u32, order);
    FOR_EACH(i, outer * found * inner) {
        i64 place = i / inner;
        i64 source = order[starts[place % found]];
        out[i] = input[(place / found * n + source) * inner + i % inner];
    }
}""", (("T", tuple(MOVED.values())),))


def _keys(slices: Array) -> Array:
    """Keys of dense slices, (n, width); a complex number counts as two elements."""
    n, width, kind = slices.shape[0], math.prod(slices.shape[1:]), slices.dtype
    if not width:
        return filled((n, 1), 0, fd.uint32, slices.device)
    offset = slices.offset
    if kind.category == COMPLEX:
        kind, width, offset = kind.to_real(), width * 2, offset * 2
    flat = view(slices, (n * width,), (1,), offset, kind)
    keys = sorting.keys_of(flat, sorting.rows_of(flat, 0, (1,)), False)
    return view(keys, (n, width), (width, 1), 0)


def _order(keys: Array, size: int) -> Array:
    """The order of the rows of keys; `size` bytes of them count."""
    if keys.shape[1] > 1:
        return sorting.slices_order(keys)
    flat = view(keys, (1, keys.shape[0]), (keys.shape[0], 1), 0)
    return sorting.order_of(flat, sorting.rows_of(flat, 1, (1, 1)), size)


def _unique(input: Array, dim: int | None) -> tuple[Array, Array, Array]:
    device, shape = input.device, input.shape
    input = contiguous(input)
    if dim is None or not shape:
        n, outer, inner = input.size, 1, 1
        slices = view(input, (n,), (1,), input.offset)
    else:
        n, outer, inner = shape[dim], math.prod(shape[:dim]), math.prod(shape[dim + 1:])
        order = (dim, *[d for d in range(len(shape)) if d != dim])
        slices = contiguous(view(input, tuple([shape[d] for d in order]), tuple([input.strides[d] for d in order]),
                                 input.offset))
    inverse = empty(shape if dim is None else (n,), fd.int64, device)
    if not n:
        return empty((0,) if dim is None else shape, input.dtype, device), inverse, empty((0,), fd.int64, device)
    keys = _keys(slices)
    order_of = _order(keys, min(input.dtype.itemsize, 8))
    flags, starts = empty((n,), fd.int8, device), empty((n,), fd.int64, device)
    has_nan = int(input.dtype.category >= FLOAT)
    launch(_UNIQUE, (C_TYPES[keys.dtype], "flags"), n, flags, keys, order_of, n, keys.shape[1], has_nan, op="unique")
    ends = scan("cumsum", flags, 0, fd.int64)
    launch(_RUNS, ("starts",), n, inverse, starts, ends, flags, order_of, n, op="unique")
    found = _number(ends, n - 1)
    counts = empty((found,), fd.int64, device)
    launch(_RUNS, ("counts",), found, counts, starts, n, found, op="unique")
    values = empty((found,) if dim is None else (*shape[:dim], found, *shape[dim + 1:]), input.dtype, device)
    launch(_PICK, (MOVED[input.dtype.itemsize],), values.size, values, input, starts, order_of, outer, n, found, inner,
           op="unique")
    return values, inverse, counts


# ---------------------------------------------------------------------------------------------- sorted positions
_SEARCH = Family("searchsorted", """
FUNCTION i64 ${NAME}_place(GLOBAL $T *p, i64 n, $T x, i64 right) {
    i64 low = 0, high = n;
    while (low < high) {
        i64 middle = (low + high) / 2;
        $T y = p[middle];
        int before = right ? !less_$T(x, y) : less_$T(y, x);
        if (before) low = middle + 1; else high = middle;
    }
    return low;
}
KERNEL $NAME(ARRAY(i64, out), ARRAY($T, sequence), ARRAY($T, values), i64 n, i64 width, i64 row, i64 right) {
    OPEN(i64, out); OPEN($T, sequence); OPEN($T, values);
    FOR_EACH(i, n) out[i] = ${NAME}_place(sequence + (row ? i / row * width : 0), width, values[i], right);
}
KERNEL ${NAME}_among(ARRAY(b8, out), ARRAY($T, sequence), ARRAY($T, values), i64 n, i64 width) {
    OPEN(b8, out); OPEN($T, sequence); OPEN($T, values);
    FOR_EACH(i, n) {
        i64 place = ${NAME}_place(sequence, width, values[i], 0);
        out[i] = place < width && sequence[place] == values[i];
    }
}
""", (("T", tuple([C_TYPES[each] for each, _ in KEPT])),), shared="".join(
    f"#define less_{C_TYPES[each]}(a, b) (" + ("(a) < (b) || ((b) != (b) && (a) == (a)))" if each.category == FLOAT else
                                              "(a) < (b))") + "\n" for each, _ in KEPT))


def _searchsorted(sequence: Array, values: Array, right: bool) -> Array:
    out = empty(values.shape, fd.int64, values.device)
    row = values.shape[-1] if len(sequence.shape) > 1 else 0
    launch(_SEARCH, (C_TYPES[sequence.dtype],), out.size, out, contiguous(sequence), contiguous(values), out.size,
           sequence.shape[-1], row, int(right), op="searchsorted")
    return out


def _isin(input: Array, test: Array) -> Array:
    common = fd.promote_types(input.dtype, test.dtype)
    input, test = (contiguous(each) if each.dtype is common else cast(each, common) for each in (input, test))
    out = empty(input.shape, fd.bool_, input.device)
    flat = view(test, (test.size,), (1,), test.offset)
    launch(_SEARCH, (C_TYPES[common], "among"), out.size, out, sorting.sort(flat, 0)[0], input, out.size, test.size,
           op="isin")
    return out


KERNELS: dict[str, Callable[..., Any]] = {
    "nonzero": _nonzero,
    "unique": _unique,
    "searchsorted": _searchsorted,
    "isin": _isin,
}
