"""Looking up along a dimension, element by element or row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flambeau.dtypes as fd
from flambeau.ir.dialect import MOVED, RANK
from flambeau.ir.faults import FAULTS
from flambeau_clike.array import Array, empty
from flambeau_clike.kernels.movement import WALK, cast, collapse, contiguous
from flambeau_clike.launch import Layout, launch
from flambeau_clike.program import Family

# out[i] = input[place 0 of i + index[place 1 of i] * along], for an index from `low`, 0 or -size, up to below `size`.
_TAKE = Family("take", """
KERNEL $NAME(ARRAY($T, out), ARRAY($T, input), ARRAY(i64, index), i64 n, i64 low, i64 size, i64 along, i64 fault,
             layout_t layout, ERRORS) {
    OPEN($T, out); OPEN($T, input); OPEN(i64, index);
#ifdef CHUNKED
    int last = (int)layout.rank - 1;
    index_t step = (index_t)layout.stride[0][last], pace = (index_t)layout.stride[1][last];
    GLOBAL $T *to = out + ITEM * ((n + ITEMS - 1) / ITEMS);
    for (walk_t w = walk(&layout, n, ITEM, ITEMS); w.left > 0; to += w.count, walk_on(&w, &layout)) {
        GLOBAL $T *from = input + w.offset[0];
        GLOBAL i64 *places = index + w.offset[1];
        index_t count = (index_t)w.count;
        if (pace == 0) {
            i64 place = *places;
            if (place < low || place >= size) { FAIL((i32)fault); continue; }
            from += (place < 0 ? place + size : place) * along;
            if (step == 1) for (index_t j = 0; j < count; ++j) to[j] = from[j];
            else for (index_t j = 0; j < count; ++j) to[j] = from[j * step];
        } else for (index_t j = 0; j < count; ++j) {
            i64 place = places[j * pace];
            if (place < low || place >= size) FAIL((i32)fault);
            else to[j] = from[j * step + (place < 0 ? place + size : place) * along];
        }
    }
#else
    FOR_EACH(i, n) {
        i64 place = index[locate(&layout, 1, i)];
        if (place < low || place >= size) FAIL((i32)fault);
        else out[i] = input[locate(&layout, 0, i) + (place < 0 ? place + size : place) * along];
    }
#endif
}""", (("T", tuple(MOVED.values())),), shared=WALK)


_CODES = {each.name: each.code for each in FAULTS.values()}
INDEX_OUT_OF_RANGE, PLACE_OUT_OF_RANGE = _CODES["INDEX_OUT_OF_RANGE"], _CODES["PLACE_OUT_OF_RANGE"]


def expanded(array: Array, shape: Sequence[int]) -> list[int]:
    """The strides of an array that is broadcast to a shape."""
    lead = len(shape) - len(array.shape)
    return [0] * lead + [0 if size == 1 else stride for size, stride in zip(array.shape, array.strides, strict=True)]


def as_index(index: Array) -> Array:
    """An index array with elements of int64."""
    return index if index.dtype is fd.int64 else cast(index, fd.int64)


def take(input: Array, index: Array, shape: Sequence[int], base: Sequence[int], places: Sequence[int], low: int,
         size: int, along: int, op: str) -> Array:
    """A new array of a shape: what lies `index * along` elements from the places that the strides `base` give, where
    the strides `places` say which index is meant."""
    result = empty(tuple(shape), input.dtype, input.device)
    if not result.size:
        return result
    sizes, (own, theirs) = collapse(shape, base, places)
    if len(sizes) > RANK:
        raise ValueError(f"{op}: more than {RANK} dimensions that cannot be merged")
    fault = PLACE_OUT_OF_RANGE if op == "gather" else INDEX_OUT_OF_RANGE   # of which PyTorch makes two kinds of error
    launch(_TAKE, (MOVED[input.dtype.itemsize],), result.size, result, input, index, result.size, low, size, along,
           fault, Layout(sizes or [1], own or [0], theirs or [0]), op=op, checks=True)
    return result


def check_places(shape: tuple[int, ...], dim: int, index: Array) -> None:
    """Refuse an index array whose shape does not fit into that of what it picks from."""
    if len(index.shape) != len(shape):
        raise IndexError(f"an index of {len(index.shape)} dimensions for {len(shape)}")
    if index.size and any(theirs > mine for d, (mine, theirs) in enumerate(zip(shape, index.shape, strict=True))
                          if d != dim):
        raise IndexError(f"an index of shape {list(index.shape)} is larger than {list(shape)}")


def gather(input: Array, dim: int, index: Array) -> Array:
    """The elements at the positions along a dimension that the index gives."""
    index = as_index(index)
    if not index.size:
        return empty(index.shape, input.dtype, input.device)
    if not input.shape or not index.shape:
        shape = index.shape
        input, index = at_least_1d(input), at_least_1d(index)
        check_places(input.shape, dim, index)
        return take(input, index, shape, [0] * len(shape), index.strides[:len(shape)], 0, input.shape[0],
                    input.strides[0], "gather")
    check_places(input.shape, dim, index)
    base = [0 if d == dim else stride for d, stride in enumerate(input.strides)]
    return take(input, index, index.shape, base, index.strides, 0, input.shape[dim], input.strides[dim], "gather")


def at_least_1d(array: Array) -> Array:
    """The array, with a dimension of size 1 if it has none."""
    return array if array.shape else Array(array.memory, array.dtype, (1,), (1,), array.offset, array.viewed or array)


def index_select(input: Array, dim: int, index: Array) -> Array:
    """The slices along a dimension that a vector names."""
    index = at_least_1d(as_index(index))
    shape, source = input.shape, at_least_1d(input)
    count = index.shape[0]
    size, along = source.shape[dim], source.strides[dim]
    if not shape:
        return take(source, index, (), [], [], 0, size, along, "index_select")
    base = [0 if d == dim else stride for d, stride in enumerate(source.strides)]
    places = [index.strides[0] if d == dim else 0 for d in range(len(shape))]
    return take(source, index, (*shape[:dim], count, *shape[dim + 1:]), base, places, 0, size, along, "index_select")


def embedding(weight: Array, indices: Array, padding_idx: int, scale_grad_by_freq: bool) -> Array:
    """The rows of a table at the indices."""
    indices = contiguous(as_index(indices))
    shape = indices.shape
    return take(weight, indices, (*shape, weight.shape[1]), [0] * len(shape) + [weight.strides[1]],
                [*indices.strides, 0], 0, weight.shape[0], weight.strides[0], "embedding")


KERNELS: dict[str, Callable[..., Any]] = {"gather": gather, "index_select": index_select, "embedding": embedding}
