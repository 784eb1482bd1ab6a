"""`index` and `index_put`: keys of index arrays, masks and whole dimensions.

A key becomes one array of places. One index array is that itself; several, and masks, become offsets in elements.
Then looking up is `take`, and writing `combine`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flambeau.dtypes as fd
from flambeau.dtypes import BOOL
from flambeau.errors import ShapeError
from flambeau.ir.dialect import RANK
from flambeau.shapes import broadcast_shapes
from flambeau_clike.array import Array, empty
from flambeau_clike.kernels.gather import as_index, expanded, take
from flambeau_clike.kernels.movement import clone, collapse
from flambeau_clike.kernels.scatter import PLACE, apart, combine
from flambeau_clike.kernels.select import fill_where, offsets, positions
from flambeau_clike.launch import Layout, launch
from flambeau_clike.program import Family

# The offset that two indices give together.
_OFFSETS = Family("offsets", """
KERNEL $NAME(ARRAY(i64, out), ARRAY(i64, a), ARRAY(i64, b), i64 n, i64 low_a, i64 size_a, i64 along_a, i64 low_b,
             i64 size_b, i64 along_b, layout_t layout, ERRORS) {
    OPEN(i64, out); OPEN(i64, a); OPEN(i64, b);
    FOR_EACH(i, n) {
        i64 x = a[PLACE(layout, 0, i)], y = b[PLACE(layout, 1, i)];
        if (x < low_a || x >= size_a || y < low_b || y >= size_b) { FAIL(INDEX_OUT_OF_RANGE); x = y = 0; }
        out[i] = (x < 0 ? x + size_a : x) * along_a + (y < 0 ? y + size_b : y) * along_b;
    }
}""", shared=PLACE)


class Places(NamedTuple):
    """An index array, the lowest index, that below which it must be, and how many elements it counts."""

    array: Array
    low: int
    size: int
    along: int


class Key(NamedTuple):
    """What a key says of an array: the places; the dimensions it leaves, and how many of them come first."""

    places: Places
    rest: list[int]
    before: int


def _reach(shape: Sequence[int], strides: Sequence[int]) -> int:
    """The offset below which elements lie."""
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if 0 not in shape else 0


def _places(input: Array, each: Array, dim: int) -> Places:
    """The places that one index array, or a mask over several dimensions, names from a dimension on."""
    shape = input.shape
    if each.dtype.category != BOOL:
        if dim >= len(shape):
            raise IndexError(f"too many indices for {len(shape)} dimensions")
        return Places(as_index(each), -shape[dim], shape[dim], input.strides[dim])
    ndim = len(each.shape)
    if each.shape != shape[dim:dim + ndim]:
        raise IndexError(f"a mask of shape {list(each.shape)} at dimension {dim} of {list(shape)}")
    strides = input.strides[dim:dim + ndim]
    return Places(offsets(positions(each), each.shape, strides), 0, _reach(each.shape, strides), 1)


def resolve(input: Array, indices: Sequence[Array | None], op: str) -> Key:
    """What the index arrays say together."""
    found: list[Places] = []
    used: list[int] = []
    rest: list[int] = []
    dim = 0
    for each in indices:
        if each is None:
            rest.append(dim)
            dim += 1
            continue
        found.append(_places(input, each, dim))
        count = len(each.shape) if each.dtype.category == BOOL else 1
        used += range(dim, dim + count)
        dim += count
    if dim > len(input.shape):
        raise IndexError(f"too many indices for {len(input.shape)} dimensions")
    rest += range(dim, len(input.shape))
    adjacent = bool(used) and used == list(range(used[0], used[-1] + 1))
    whole = found[0]
    try:
        for each_ in found[1:]:
            whole = _together(whole, each_, op)
    except ShapeError as error:
        raise IndexError(str(error)) from None
    return Key(whole, rest, sum(each < used[0] for each in rest) if adjacent else 0)


def _together(a: Places, b: Places, op: str) -> Places:
    shape = broadcast_shapes(a.array.shape, b.array.shape)
    result = empty(shape, fd.int64, a.array.device)
    if result.size:
        sizes, strides = collapse(shape, expanded(a.array, shape), expanded(b.array, shape))
        if len(sizes) > RANK:
            raise ValueError(f"{op}: more than {RANK} dimensions that cannot be merged")
        launch(_OFFSETS, (), result.size, result, a.array, b.array, result.size, *a[1:], *b[1:],
               Layout(sizes or [1], *[each or [0] for each in strides]), op=op, checks=True)
    size = 1 + (a.size - 1) * a.along + (b.size - 1) * b.along if a.size and b.size else 0
    return Places(result, 0, size, 1)


def index(input: Array, indices: Sequence[Array | None]) -> Array:
    """The elements that the key names."""
    (places, low, size, along), rest, before = resolve(input, indices, "index")
    first, last = rest[:before], rest[before:]
    shape = [*[input.shape[d] for d in first], *places.shape, *[input.shape[d] for d in last]]
    base = [*[input.strides[d] for d in first], *[0] * len(places.shape), *[input.strides[d] for d in last]]
    steps = [*[0] * len(first), *places.strides, *[0] * len(last)]
    return take(input, places, shape, base, steps, low, size, along, "index")


def index_put_(input: Array, indices: Sequence[Array | None], values: Array, accumulate: bool) -> Array:
    """Write the values, which are broadcast, to the elements that the key names, or add them there."""
    values = apart(values, input)
    indices = [None if each is None else apart(each, input) for each in indices]
    mask = indices[0] if len(indices) == 1 else None
    if values.size == 1 and not accumulate and mask is not None and mask.dtype.category == BOOL:
        return _put_one(input, mask, values)
    (places, low, size, along), rest, before = resolve(input, indices, "index_put")
    common = len(places.shape)
    shape = (*[input.shape[d] for d in rest[:before]], *places.shape, *[input.shape[d] for d in rest[before:]])
    if broadcast_shapes(shape, values.shape) != shape:
        raise ValueError(f"values of shape {list(values.shape)} do not broadcast to {list(shape)}")
    if 0 in shape:
        return input
    steps = expanded(values, shape)
    free = [*range(before), *range(before + common, len(shape))]
    combine("sum" if accumulate else "put", input, places, values,
            ([shape[d] for d in free], [input.strides[d] for d in rest], [0] * len(free), [steps[d] for d in free]),
            (places.shape, places.strides, steps[before:before + common]), (low, size, along), "index_put")
    return input


def _put_one(input: Array, mask: Array, value: Array) -> Array:
    """One value where a mask over the leading dimensions is true: nobody need know how often it is."""
    ndim = len(mask.shape)
    if mask.shape != input.shape[:ndim]:
        raise IndexError(f"a mask of shape {list(mask.shape)} for {list(input.shape)}")
    rest = len(input.shape) - ndim
    if len(value.shape) > 1 + rest:
        raise ValueError(f"a value of shape {list(value.shape)} for a mask that leaves {rest} dimensions")
    wide = Array(mask.memory, mask.dtype, mask.shape + (1,) * rest, mask.strides + (1,) * rest, mask.offset, mask)
    fill_where(input, wide, value)
    return input


def index_put(input: Array, indices: Sequence[Array | None], values: Array, accumulate: bool) -> Array:
    """A copy, changed."""
    return index_put_(clone(input), indices, values, accumulate)


KERNELS: dict[str, Callable[..., Any]] = {"index": index, "index_put": index_put, "index_put_": index_put_}
