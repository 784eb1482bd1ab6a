"""Joining arrays and laying them out anew: copies between views, chosen on the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from flambeau.ir.dialect import MOVED
from flambeau_clike.array import Array, empty
from flambeau_clike.kernels.creation import filled
from flambeau_clike.kernels.movement import contiguous, copy, copy_places, shifted
from flambeau_clike.launch import launch
from flambeau_clike.program import Family

GROUP = 8           # arrays that one kernel joins
PIECE = 1 << 14     # elements up to which an array is joined together with others: launches cost more than copying

# To a part of row r of the result go the rows r of the arrays, one after the other. Each is dense, and has a width.
_JOIN = Family("join", """
KERNEL $NAME(ARRAY($T, out), i64 n, i64 width, i64 pitch, i64 count, """ + ", ".join(
    f"ARRAY($T, a{i}), i64 width{i}" for i in range(GROUP)) + """) {
    OPEN($T, out);
    GLOBAL $T *arrays[] = {""" + ", ".join(f"a{i}_memory + a{i}_offset" for i in range(GROUP)) + """};
    i64 widths[] = {""" + ", ".join(f"width{i}" for i in range(GROUP)) + """};
    FOR_EACH(i, n) {
        index_t row = i / (index_t)width, place = i % (index_t)width, column = place;
        int k = 0;
        while (k < count && column >= widths[k]) column -= (index_t)widths[k++];
        if (k < count) out[row * pitch + place] = arrays[k][row * widths[k] + column];
    }
}""", (("T", tuple(MOVED.values())),))

_TRIANGLE = Family("triangle", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, input), i64 lines, i64 rows, i64 columns, i64 diagonal, i64 upper, $T zero) {
    OPEN($T, out); OPEN($T, input);
    FOR_EACH(line, lines) {
        i64 edge = line % rows + diagonal + 1, start = line * columns;
        index_t split = (index_t)(edge < 0 ? 0 : edge > columns ? columns : edge), width = (index_t)columns;
        GLOBAL $T *to = out + start, *from = input + start;
        if (upper) {
            for (index_t j = 0; j < split; ++j) to[j] = zero;
            for (index_t j = split; j < width; ++j) to[j] = from[j];
        } else {
            for (index_t j = 0; j < split; ++j) to[j] = from[j];
            for (index_t j = split; j < width; ++j) to[j] = zero;
        }
    }
}""", (("T", tuple(MOVED.values())),))


def part(array: Array, dim: int, start: int, size: int) -> Array:
    """The view of a range of indices along a dimension."""
    shape = (*array.shape[:dim], size, *array.shape[dim + 1:])
    return Array(array.memory, array.dtype, shape, array.strides, array.offset + start * array.strides[dim],
                 array.viewed or array)


def cat(arrays: Sequence[Array], dim: int) -> Array:
    """The arrays, one after the other along a dimension."""
    first = arrays[0]
    shape = list(first.shape)
    for each in arrays:
        if len(each.shape) != len(shape) or any(mine != theirs for d, (mine, theirs) in enumerate(
                zip(shape, each.shape, strict=True)) if d != dim):
            raise ValueError(f"shapes {[list(each.shape) for each in arrays]} do not fit along dimension {dim}")
    shape[dim] = sum(each.shape[dim] for each in arrays)
    out = empty(tuple(shape), first.dtype, first.device)
    start = 0
    filled_ = [each for each in arrays if each.size]
    if len(filled_) > 1 and out.size <= PIECE * len(filled_):
        _join(out, filled_, dim)
        return out
    for each in filled_:
        size = each.shape[dim]
        copy(part(out, dim, start, size), each)
        start += size
    return out


def _join(out: Array, arrays: Sequence[Array], dim: int) -> None:
    """Several small arrays with one launch for each group of them."""
    whole, start, word = math.prod(out.shape[dim:]), 0, MOVED[out.dtype.itemsize]
    rows = out.size // whole
    for first in range(0, len(arrays), GROUP):
        group = [contiguous(each) for each in arrays[first:first + GROUP]]
        widths = [each.size // rows for each in group]
        width = sum(widths)
        pairs: list[Any] = []
        for k in range(GROUP):
            pairs += (group[k], widths[k]) if k < len(group) else (group[0], 0)
        launch(_JOIN, (word,), rows * width, shifted(out, start), rows * width, width, whole, len(group), *pairs)
        start += width


def stack(arrays: Sequence[Array], dim: int) -> Array:
    """The arrays along a new dimension."""
    wide = []
    for each in arrays:
        if each.shape != arrays[0].shape:
            raise ValueError(f"shapes {list(arrays[0].shape)} and {list(each.shape)} differ")
        shape = (*each.shape[:dim], 1, *each.shape[dim:])
        strides = (*each.strides[:dim], 1, *each.strides[dim:])
        wide.append(Array(each.memory, each.dtype, shape, strides, each.offset, each.viewed or each))
    return cat(wide, dim)


def repeat(input: Array, repeats: tuple[int, ...]) -> Array:
    """The array as often along each dimension as the numbers say."""
    lead = len(repeats) - len(input.shape)
    sizes, strides = (1,) * lead + input.shape, (0,) * lead + input.strides
    out = empty(tuple([size * count for size, count in zip(sizes, repeats, strict=True)]), input.dtype, input.device)
    if out.size:
        shape: list[int] = []
        to: list[int] = []
        of: list[int] = []
        for size, count, step, stride in zip(sizes, repeats, out.strides, strides, strict=True):
            shape += (count, size)
            to += (size * step, step)
            of += (0, stride)
        copy_places(out, input, shape, to, of)
    return out


def flip(input: Array, dims: tuple[int, ...]) -> Array:
    """The order along dimensions reversed."""
    out = empty(input.shape, input.dtype, input.device)
    if out.size:
        turned = [-stride if d in dims else stride for d, stride in enumerate(input.strides)]
        start = sum((input.shape[d] - 1) * input.strides[d] for d in dims if input.shape)
        copy_places(out, shifted(input, start), input.shape, out.strides, turned)
    return out


def roll(input: Array, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Array:
    """What leaves at one end of a dimension comes back at the other."""
    moved = [0] * len(input.shape)
    for shift, dim in zip(shifts, dims, strict=True):
        moved[dim] += shift
    result = empty(input.shape, input.dtype, input.device)
    if not result.size:
        return result
    pieces: list[tuple[Array, Array]] = [(result, input)]
    for dim, shift in enumerate(moved):
        size = input.shape[dim]
        if shift % size:
            split = size - shift % size
            pieces = [piece for out, of in pieces for piece in (
                (part(out, dim, size - split, split), part(of, dim, 0, split)),
                (part(out, dim, 0, size - split), part(of, dim, split, size - split)))]
    for out, of in pieces:
        copy(out, of)
    return result


def _triangle(input: Array, diagonal: int, upper: bool) -> Array:
    if len(input.shape) < 2:
        raise ValueError(f"an array of {len(input.shape)} dimensions is no matrix")
    input = contiguous(input)
    out = empty(input.shape, input.dtype, input.device)
    rows, columns = input.shape[-2:]
    if out.size:
        lines = out.size // columns
        launch(_TRIANGLE, (MOVED[out.dtype.itemsize],), out.size if out.device.traits.cpu else lines, out, input, lines,
               rows, columns, diagonal - 1 if upper else diagonal, int(upper), bytes(out.dtype.itemsize))
    return out


def tril(input: Array, diagonal: int) -> Array:
    """Zeros above a diagonal."""
    return _triangle(input, diagonal, upper=False)


def triu(input: Array, diagonal: int) -> Array:
    """Zeros below a diagonal."""
    return _triangle(input, diagonal, upper=True)


def constant_pad_nd(input: Array, pad: tuple[int, ...], value: Any) -> Array:
    """A border of one value; pads come in pairs from the last dimension, negative ones crop."""
    ndim = len(input.shape)
    size = list(input.shape)
    bounds: list[tuple[int, int, int, int]] = []
    for number in range(len(pad) // 2):
        dim = ndim - 1 - number
        low, high = pad[2 * number], pad[2 * number + 1]
        kept = size[dim] - max(0, -low) - max(0, -high)
        size[dim] += low + high
        bounds.append((dim, max(0, low), max(0, -low), kept))
    if any(each < 0 for each in size):
        raise ValueError(f"pads {list(pad)} leave nothing of {list(input.shape)}")
    result = filled(tuple(size), value, input.dtype, input.device)
    if result.size and all(kept > 0 for *_, kept in bounds):
        target, source = result, input
        for dim, to, of, kept in bounds:
            target, source = part(target, dim, to, kept), part(source, dim, of, kept)
        copy(target, source)
    return result


KERNELS: dict[str, Callable[..., Any]] = {
    "cat": cat, "stack": stack, "repeat": repeat, "flip": flip, "roll": roll, "tril": tril, "triu": triu,
    "constant_pad_nd": constant_pad_nd}
