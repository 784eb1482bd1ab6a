"""Writing to, and combining with, places that an index gives: what `gather` and `index` read, backwards.

Several elements may go to one place. They arrive there in the order of the index, always: the last of those written
stays, and sums round the same way in every run. For that a work item owns the places it writes to and goes over all
of the index that may lead there: it has its own part of the dimensions that the index says nothing about (the columns
of a row, say), or of the range that the index reaches. On a GPU, which has more work items than that gives tasks, long
indices are sorted first, and a work item goes over what is equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import flambeau.dtypes as fd
from flambeau.dtypes import BOOL, INTEGER, dtype
from flambeau.ir.dialect import C_TYPES, MOVED, RANK
from flambeau_clike.array import Array, empty
from flambeau_clike.device import Device
from flambeau_clike.kernels.conversion import PAIRS
from flambeau_clike.kernels.creation import fill, filled
from flambeau_clike.kernels.gather import INDEX_OUT_OF_RANGE, PLACE_OUT_OF_RANGE, as_index, at_least_1d, check_places
from flambeau_clike.kernels.movement import cast, clone, collapse, contiguous, copy, overlap
from flambeau_clike.kernels.sorting import sort
from flambeau_clike.launch import Layout, Scalar, launch
from flambeau_clike.program import Family

SMALL = 1 << 15            # elements below which one core does it all
MANY_UNITS = 8
MANY = 4096               # indices from which sorting them pays on a GPU
ITEMS_WANTED = 1 << 14     # work items that keep a GPU busy
UNSIGNED = {1: fd.uint8, 2: fd.uint16, 4: fd.uint32, 8: fd.uint64}

# The index has the dimensions `common`. The others are `lead`, all but the last of them, and the last, `inner`.
# A task has a range of each of the two, and a part of the index's range.
_TEMPLATE = """
KERNEL $NAME(ARRAY($T, out), ARRAY(i64, index), ARRAY($T, src), i64 leads, i64 inners, i64 commons, i64 lead_groups,
             i64 inner_groups, i64 parts, i64 low, i64 size, i64 along, i64 step, i64 pace, i64 stride, i64 by_rows,
             i64 fault, layout_t lead, layout_t common, ERRORS) {
    OPEN($T, out); OPEN(i64, index); OPEN($T, src);
    FOR_EACH(task, lead_groups * inner_groups * parts) {
        i64 inner_group = task % inner_groups, rest = task / inner_groups;
        i64 lead_group = rest % lead_groups, part = rest / lead_groups;
        i64 lead_chunk = (leads + lead_groups - 1) / lead_groups, l = lead_group * lead_chunk;
        i64 lead_end = l + lead_chunk < leads ? l + lead_chunk : leads;
        index_t chunk = (index_t)((inners + inner_groups - 1) / inner_groups), first = (index_t)(inner_group * chunk);
        index_t last = first + chunk < (index_t)inners ? first + chunk : (index_t)inners;
        i64 span = (size + parts - 1) / parts, from = part * span, to = from + span;
        for (; l < lead_end; ++l) {
            GLOBAL $T *target = out + PLACE(lead, 0, l);
            GLOBAL i64 *places = index + PLACE(lead, 1, l);
            GLOBAL $T *values = src + PLACE(lead, 2, l);
            if (last - first == 1 && common.rank == 1) {
                target += first * step; places += first * pace; values += first * stride;
                i64 way = common.stride[1][0], gap = common.stride[2][0];
                for (i64 c = 0; c < commons; ++c) {
                    i64 place = places[c * way];
                    if (place < low || place >= size) { FAIL((i32)fault); continue; }
                    place = place < 0 ? place + size : place;
                    if (place < from || place >= to) continue;
                    GLOBAL $T *at = target + place * along;
                    *at = COMBINE(*at, values[c * gap]);
                }
            }
            else if (by_rows) for (i64 c = 0; c < commons; ++c) {
                GLOBAL i64 *here = places + PLACE(common, 1, c);
                GLOBAL $T *value = values + PLACE(common, 2, c);
                if (pace == 0) {
                    i64 place = *here;
                    if (place < low || place >= size) { FAIL((i32)fault); continue; }
                    place = place < 0 ? place + size : place;
                    if (place < from || place >= to) continue;
                    GLOBAL $T *row = target + place * along;
                    if (step == 1 && stride == 1)
                        for (index_t f = first; f < last; ++f) row[f] = COMBINE(row[f], value[f]);
                    else for (index_t f = first; f < last; ++f)
                        row[f * step] = COMBINE(row[f * step], value[f * stride]);
                } else for (index_t f = first; f < last; ++f) {
                    i64 place = here[f * pace];
                    if (place < low || place >= size) { FAIL((i32)fault); continue; }
                    place = place < 0 ? place + size : place;
                    if (place < from || place >= to) continue;
                    GLOBAL $T *at = target + place * along + f * step;
                    *at = COMBINE(*at, value[f * stride]);
                }
            }
            else for (index_t f = first; f < last; ++f)
                for (i64 c = 0; c < commons; ++c) {
                    i64 place = places[PLACE(common, 1, c) + f * pace];
                    if (place < low || place >= size) { FAIL((i32)fault); continue; }
                    place = place < 0 ? place + size : place;
                    if (place < from || place >= to) continue;
                    GLOBAL $T *at = target + place * along + f * step;
                    *at = COMBINE(*at, values[PLACE(common, 2, c) + f * stride]);
                }
        }
    }
}
KERNEL ${NAME}_sorted(ARRAY($T, out), ARRAY(i64, places), ARRAY(i64, order), ARRAY($T, src), i64 n, i64 commons,
                      i64 along, layout_t free, layout_t common) {
    OPEN($T, out); OPEN(i64, places); OPEN(i64, order); OPEN($T, src);
    FOR_EACH(i, n * commons) {
        i64 f = i % n, c = i / n, place = places[c];
        if (place < 0 || (c > 0 && places[c - 1] == place)) continue;
        GLOBAL $T *at = out + place * along + PLACE(free, 0, f), *values = src + PLACE(free, 2, f);
        for (; c < commons && places[c] == place; ++c) *at = COMBINE(*at, values[PLACE(common, 2, order[c])]);
    }
}"""
_RESOLVE = Family("scatter_places", """
KERNEL $NAME(ARRAY(i64, out), ARRAY(i64, index), i64 n, i64 low, i64 size, i64 fault, layout_t common, ERRORS) {
    OPEN(i64, out); OPEN(i64, index);
    FOR_EACH(i, n) {
        i64 place = index[locate(&common, 1, i)];
        if (place < low || place >= size) { FAIL((i32)fault); out[i] = -1; }
        else out[i] = place < 0 ? place + size : place;
    }
}""")
PLACE = """
#define PLACE(layout, operand, flat) (layout.rank == 1 ? (flat) * layout.stride[operand][0] \\
    : locate(&layout, operand, flat))
"""
_NUMBERS = ("u8", "u16", "u32", "u64", "f32", "f64", "c64", "c128")
_ORDERED = ("u8", "i8", "i16", "i32", "i64", "f32", "f64")


def _family(name: str, types: Sequence[str], combine: str, shared: str = "") -> Family:
    template = _TEMPLATE.replace("COMBINE(", f"{combine}(")
    return Family("scatter_" + name, template, (("T", tuple(types)),), shared=PLACE + PAIRS + shared)


_SUMS = """
#define ADD_u8(a, b) ((u8)((a) + (b)))
#define ADD_u16(a, b) ((u16)((a) + (b)))
#define ADD_u32(a, b) ((a) + (b))
#define ADD_u64(a, b) ((a) + (b))
#define ADD_f32(a, b) ((a) + (b))
#define ADD_f64(a, b) ((a) + (b))
#define ADD_c64(a, b) pair_of_f32((a).x + (b).x, (a).y + (b).y)
#define ADD_c128(a, b) pair_of_f64((a).x + (b).x, (a).y + (b).y)
#define ADD_b8(a, b) ((b8)((a) | (b)))
"""
_PRODUCTS = """
#define MUL_u8(a, b) ((u8)((a) * (b)))
#define MUL_u16(a, b) ((u16)((u32)(a) * (u32)(b)))
#define MUL_u32(a, b) ((a) * (b))
#define MUL_u64(a, b) ((a) * (b))
#define MUL_f32(a, b) ((a) * (b))
#define MUL_f64(a, b) ((a) * (b))
#define MUL_c64(a, b) pair_of_f32((a).x * (b).x - (a).y * (b).y, (a).x * (b).y + (a).y * (b).x)
#define MUL_c128(a, b) pair_of_f64((a).x * (b).x - (a).y * (b).y, (a).x * (b).y + (a).y * (b).x)
#define MUL_b8(a, b) ((b8)((a) & (b)))
"""
_FAMILIES = {
    "put": _family("put", tuple(MOVED.values()), "SECOND", "#define SECOND(a, b) (b)\n"),
    "sum": _family("sum", (*_NUMBERS, "b8"), "ADD_$T", _SUMS),
    "prod": _family("prod", (*_NUMBERS, "b8"), "MUL_$T", _PRODUCTS),
    "amax": _family("amax", _ORDERED, "LARGER", "#define LARGER(a, b) ((b) > (a) || (b) != (b) ? (b) : (a))\n"),
    "amin": _family("amin", _ORDERED, "SMALLER", "#define SMALLER(a, b) ((b) < (a) || (b) != (b) ? (b) : (a))\n"),
}

_MEAN = Family("scatter_mean", """
KERNEL $NAME(ARRAY($T, out), ARRAY(i64, count), i64 n) {
    OPEN($T, out); OPEN(i64, count);
    FOR_EACH(i, n) { i64 k = count[i] < 1 ? 1 : count[i]; out[i] = MEAN_$T(out[i], k); }
}""", (("T", ("u8", "i8", "i16", "i32", "i64", "f32", "f64", "c64", "c128")),), shared=PAIRS + """
FUNCTION i64 floored(i64 a, i64 b) { return a / b - (a % b < 0); }
#define MEAN_u8(a, k) ((u8)((i64)(a) / (k)))
#define MEAN_i8(a, k) ((i8)floored(a, k))
#define MEAN_i16(a, k) ((i16)floored(a, k))
#define MEAN_i32(a, k) ((i32)floored(a, k))
#define MEAN_i64(a, k) floored(a, k)
#define MEAN_f32(a, k) ((a) / (f32)(k))
#define MEAN_f64(a, k) ((a) / (f64)(k))
#define MEAN_c64(a, k) pair_of_f32((a).x / (f32)(k), (a).y / (f32)(k))
#define MEAN_c128(a, k) pair_of_f64((a).x / (f64)(k), (a).y / (f64)(k))
""")
_SCALE = Family("scale", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, input), i64 n, $T factor) {
    OPEN($T, out); OPEN($T, input);
    FOR_EACH(i, n) out[i] = MUL_$T(input[i], factor);
}""", (("T", _NUMBERS),), shared=PAIRS + _PRODUCTS)


def combine(how: str, out: Array, index: Array, src: Array, free: tuple[Sequence[int], ...],
            common: tuple[Sequence[int], ...], limits: tuple[int, int, int], op: str) -> None:
    """Combine the elements of `src` with those of `out` at the places that the index gives.

    `free` is the sizes of the dimensions without an index, and the strides of out, index and src along them; `common`
    those of the index's dimensions, and the strides of index and src. The limits are the lowest index, that below which
    it must be, and how many elements it counts. Neither index nor src share memory with out.
    """
    sizes, steps = collapse(*free)
    counts, ways = collapse(*common)
    if len(sizes) > RANK + 1 or len(counts) > RANK:
        raise ValueError(f"{op}: more than {RANK} dimensions that cannot be merged")
    if not sizes:
        sizes, steps = [1], [[0], [0], [0]]
    if not counts:
        counts, ways = [1], [[0], [0]]
    step, pace, stride = [each[-1] for each in steps]
    by_rows = out.device.traits.cpu and (pace == 0 or abs(ways[0][-1]) > abs(pace))
    leads, commons, size = math.prod(sizes[:-1]), math.prod(counts), limits[1]
    fault = PLACE_OUT_OF_RANGE if op.startswith(("scatter", "index_add")) else INDEX_OUT_OF_RANGE
    if not out.device.traits.cpu and commons >= MANY and (pace == 0 or leads * sizes[-1] == 1) and len(sizes) <= RANK:
        _combine_sorted(how, out, index, src, Layout(sizes, *steps), math.prod(sizes),
                        Layout(counts, [0] * len(counts), *ways), commons, limits, fault, op)
        return
    groups = _groups(out.device, leads, sizes[-1], commons, size)
    tasks = math.prod(groups)
    word = _word(out.dtype, how)
    launch(_FAMILIES[how], (word,), tasks * 1024 if out.device.traits.cpu else tasks, out, index, src, leads,
           sizes[-1], commons, *groups, *limits, step, pace, stride, int(by_rows), fault,
           Layout(sizes[:-1] or [1], *[each[:-1] or [0] for each in steps]),
           Layout(counts, [0] * len(counts), *ways), op=op, checks=True)


def _groups(device: Device, leads: int, inner: int, commons: int, size: int) -> tuple[int, int, int]:
    """Into how many ranges the leading and the inner dimensions and the index's range are divided."""
    if not device.traits.cpu:
        room = ITEMS_WANTED // (leads * inner)
        return leads, inner, max(1, min(room, commons // 64, size))
    wanted = device.traits.units * 4
    if leads * inner * commons < SMALL or wanted == 1:
        return 1, 1, 1
    if leads >= wanted:
        return wanted, 1, 1
    if leads * inner >= 16 * wanted:
        return leads, -(-wanted // leads), 1
    units = device.traits.units   # parts cost a jump that is hard to foresee: few of them do not pay
    return leads, 1, max(1, min(units, size)) if units >= MANY_UNITS else 1


def _combine_sorted(how: str, out: Array, index: Array, src: Array, free: Layout, frees: int, common: Layout,
                    commons: int, limits: tuple[int, int, int], fault: int, op: str) -> None:
    """`combine` for long indices on many work items: a stable sort brings equal places together, in order."""
    low, size, along = limits
    places = empty((commons,), fd.int64, out.device)
    launch(_RESOLVE, (), commons, places, index, commons, low, size, fault, common, op=op, checks=True)
    places, order = sort(places, 0)
    launch(_FAMILIES[how], (_word(out.dtype, how), "sorted"), frees * commons, out, places, order, src, frees, commons,
           along, free, common, op=op)


def _word(dtype: dtype, how: str) -> str:
    """The type to compute with: sums and products of integers are the same with and without a sign."""
    if how == "put":
        return MOVED[dtype.itemsize]
    word = C_TYPES[dtype]
    if how in ("sum", "prod"):
        return "u" + word[1:] if dtype.category == INTEGER else word
    return "u8" if dtype.category == BOOL else word


def apart(array: Array, out: Array) -> Array:
    """The array, or a copy where it shares memory with what is to be changed."""
    return clone(array) if array.memory is out.memory and overlap(array, out) else array


# ---------------------------------------------------------------------------------------------- along a dimension
def _along(how: str, out: Array, dim: int, index: Array, src: Array, steps: Sequence[int], op: str) -> None:
    """`combine` where index and src have the dimensions of out; `steps` are the strides of src."""
    free = [d for d in range(len(index.shape)) if d != dim]
    combine(how, out, index, src,
            ([index.shape[d] for d in free], [out.strides[d] for d in free], [index.strides[d] for d in free],
             [steps[d] for d in free]),
            ([index.shape[dim]], [index.strides[dim]], [steps[dim]]), (0, out.shape[dim], out.strides[dim]), op)


def _scatter(how: str, out: Array, dim: int, index: Array, src: Array, op: str) -> None:
    if not index.size:
        return
    if src.size != 1 and src.shape != index.shape:
        raise ValueError(f"src has shape {list(src.shape)}, the index {list(index.shape)}")
    single = src.size == 1
    index, src = apart(at_least_1d(as_index(index)), out), apart(at_least_1d(src), out)
    out = at_least_1d(out)
    check_places(out.shape, dim, index)
    _along(how, out, dim, index, src, [0] * len(out.shape) if single else src.strides, op)


def scatter_(input: Array, dim: int, index: Array, src: Array) -> Array:
    """Write `src`, which has the index's shape."""
    _scatter("put", input, dim, index, src, "scatter")
    return input


def scatter_value_(input: Array, dim: int, index: Array, value: Any) -> Array:
    """Write a number."""
    _scatter("put", input, dim, index, filled((), value, input.dtype, input.device), "scatter")
    return input


def scatter_add_(input: Array, dim: int, index: Array, src: Array) -> Array:
    """Add `src`, which has the index's shape."""
    _scatter("sum", input, dim, index, src, "scatter_add")
    return input


def _neutral(dtype: dtype, reduce: str) -> Any:
    """The number that changes nothing that it is combined with."""
    if reduce in ("sum", "mean", "prod"):
        return 1 if reduce == "prod" else 0
    if dtype.is_floating_point:
        return -math.inf if reduce == "amax" else math.inf
    if dtype.category == BOOL:
        return reduce == "amin"
    bits = 8 * dtype.itemsize - dtype.is_signed
    return (-(1 << bits) if dtype.is_signed else 0) if reduce == "amax" else (1 << bits) - 1


def scatter_reduce_(input: Array, dim: int, index: Array, src: Array, reduce: str, include_self: bool) -> Array:
    """Combine by sum, mean, prod, amax or amin."""
    if not index.size:
        return input
    if not include_self:
        scatter_value_(input, dim, index, _neutral(input.dtype, reduce))
    _scatter("sum" if reduce == "mean" else reduce, input, dim, index, src, "scatter_reduce")
    if reduce == "mean":
        device = input.device
        count = filled(input.shape, 1, fd.int64, device)
        if not include_self:
            scatter_value_(count, dim, index, 0)
        _scatter("sum", count, dim, index, filled((), 1, fd.int64, device), "scatter_reduce")
        total = contiguous(input)
        launch(_MEAN, (C_TYPES[input.dtype],), total.size, total, count, total.size, op="scatter_reduce")
        if total is not input:
            copy(input, total)
    return input


# ---------------------------------------------------------------------------------------------- whole slices
def _slices(how: str, input: Array, dim: int, index: Array, source: Array, op: str, wrap: bool = False) -> Array:
    """`combine` where one index is for a whole slice; a source of one element is for all. `wrap`: also from the end."""
    if not index.size:
        return input
    index, source, out = apart(at_least_1d(as_index(index)), input), apart(source, input), at_least_1d(input)
    shape = (*out.shape[:dim], index.shape[0], *out.shape[dim + 1:])
    if source.size != 1 and at_least_1d(source).shape != shape:
        raise IndexError(f"{op}: source has shape {list(source.shape)}, where {list(shape)} is wanted")
    steps = [0] * len(shape) if source.size == 1 else at_least_1d(source).strides
    free = [d for d in range(len(shape)) if d != dim]
    if all(shape):
        combine(how, out, index, source,
                ([shape[d] for d in free], [out.strides[d] for d in free], [0] * len(free), [steps[d] for d in free]),
                ([shape[dim]], [index.strides[0]], [steps[dim]]),
                (-out.shape[dim] if wrap else 0, out.shape[dim], out.strides[dim]), op)
    return input


def index_add_(input: Array, dim: int, index: Array, source: Array, alpha: Any) -> Array:
    """Add slices, times a number."""
    if input.dtype in (fd.float16, fd.bfloat16):
        wide = index_add_(cast(input, fd.float32), dim, index, cast(source, fd.float32), alpha)
        copy(input, wide)
        return input
    if alpha != 1:
        source = scaled(source, alpha)
    return _slices("sum", input, dim, index, source, "index_add")


def scaled(input: Array, factor: Any) -> Array:
    """A contiguous array times a number."""
    dtype = input.dtype
    if dtype.category == BOOL:
        return input if factor else filled(input.shape, 0, dtype, input.device)
    result = empty(input.shape, dtype, input.device)
    bits = Scalar(int(factor) % (1 << 8 * dtype.itemsize), UNSIGNED[dtype.itemsize]) if dtype.category == INTEGER \
        else Scalar(factor, dtype)
    launch(_SCALE, (_word(dtype, "prod"),), result.size, result, contiguous(input), result.size, bits)
    return result


def index_copy_(input: Array, dim: int, index: Array, source: Array) -> Array:
    """Write slices."""
    return _slices("put", input, dim, index, source, "index_copy")


def index_fill_(input: Array, dim: int, index: Array, value: Any) -> Array:
    """Write a number, plain or in an array without dimensions, to slices."""
    if value.__class__ is not Array:
        value = filled((), value, input.dtype, input.device)
    elif value.dtype is not input.dtype:
        value = cast(value, input.dtype)
    return _slices("put", input, dim, index, value, "index_fill", wrap=True)


# ---------------------------------------------------------------------------------------------- tables
def embedding_weight_grad(g: Array, indices: Array, rows: int, padding_idx: int, scale_grad_by_freq: bool) -> Array:
    """Add each row of `g` to the row of the table that it came from."""
    if scale_grad_by_freq:
        return NotImplemented
    width = g.shape[-1]
    out = filled((rows, width), 0, g.dtype, g.device)
    if g.size:
        indices, g = contiguous(as_index(indices)), contiguous(g)
        combine("sum", out, indices, g, ([width], [1], [0], [1]), ([indices.size], [1], [width]), (0, rows, width),
                "embedding_weight_grad")
        if padding_idx >= 0:
            row = Array(out.memory, out.dtype, (width,), (1,), padding_idx * width, out)
            fill(row, 0)
    return out


def copying(inplace: Callable[..., Array]) -> Callable[..., Array]:
    """The kernel that gives a changed copy, from the one that changes its first argument."""
    def kernel(input: Array, *args: Any) -> Array:
        return inplace(clone(input), *args)
    return kernel


_INPLACE: dict[str, Callable[..., Array]] = {
    "scatter": scatter_, "scatter_value": scatter_value_, "scatter_add": scatter_add_,
    "scatter_reduce": scatter_reduce_, "index_add": index_add_, "index_copy": index_copy_, "index_fill": index_fill_,
    "index_fill_tensor": index_fill_}

KERNELS: dict[str, Callable[..., Any]] = {
    **{name: copying(each) for name, each in _INPLACE.items()},
    **{name + "_": each for name, each in _INPLACE.items()},
    "embedding_weight_grad": embedding_weight_grad}
