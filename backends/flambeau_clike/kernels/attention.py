"""Attention and its gradients, which never hold the weights of all pairs of positions.

The forward pass goes through the keys in blocks, with a running maximum and sum for each row of queries. It keeps the
logarithm of each row's sum of exponentials, from which the gradients compute the weights again, block by block: one
kernel for the rows of queries, one for the rows of keys and values. Each writes only its own rows, so that there are
no atomics and the same sums come out every time.

On a processor a work item has some rows to itself, packs what it needs next to each other, and multiplies in vector
registers. On a GPU a group of 64 has them, with tiles in local memory. The texts are in `_attention_text`.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable
from typing import Any

from flambeau.dtypes import bool_
from flambeau.ir.dialect import RANK
from flambeau_clike.array import Array, empty
from flambeau_clike.kernels._attention_text import BLOCKS, BLOCKS_SHARED, GROUP, GROUPS, GROUPS_SHARED, ROWS, WIDEST
from flambeau_clike.kernels.movement import collapse, contiguous
from flambeau_clike.kernels.rows import TYPES, floats
from flambeau_clike.launch import Layout, Scalar, launch
from flambeau_clike.program import Family

Shape = tuple[int, ...]
Places = tuple[Shape, Shape]     # shape and strides

# Tiles of a group: rows and columns, for heads up to a width. The widest that a device's local memory has room for.
TILES = {("f32", 32): (32, 16), ("f32", 64): (32, 16), ("f32", 128): (16,), ("f64", 32): (16,), ("f64", 64): (16,)}
_PARTS = ("forward", "queries", "keys")
_INTEGERS = struct.Struct("=16q")

_BLOCKS = Family("attention_blocks", BLOCKS, (("T", ("f32", "f64")), ("PART", (*_PARTS, "heads"))),
                 shared=BLOCKS_SHARED)
_GROUPS = Family("attention_groups", GROUPS, (("T", ("f32", "f64")), ("N", ("16", "32")), ("D", ("32", "64", "128")),
                                              ("PART", _PARTS)), shared=GROUPS_SHARED,
                 only=lambda kind, n, d, _: int(n) in TILES.get((kind, int(d)), ()))


class _Sizes:
    """What the kernels are told of the operands, which are (batch, heads of keys, heads that share them, rows, width).

    It depends on shapes and strides only, and is worked out once for them.
    """

    def __init__(self, query: Places, key: Places, value: Places, mask: Places | None) -> None:
        (sizes, steps), keys = query, key[0]
        lead, self.shared = sizes[:-2], 1
        self.rows, self.width, self.keys, self.depth = sizes[-2], sizes[-1], keys[-2], value[0][-1]
        spread = [_spread(*each, lead) for each in (key, value)]
        places = [steps[:-2], *spread, (0,) * len(lead) if mask is None else _spread(*mask, lead)]
        if lead and keys[-3] != lead[-1]:
            self.shared = lead[-1] // keys[-3]
            lead = (*lead[:-1], keys[-3], self.shared)
            heads = [place[-1] for place in places]
            inner = (heads[0], 0, 0, heads[3])
            outer = (heads[0] * self.shared, key[1][-3], value[1][-3], heads[3] * self.shared)
            places = [(*place[:-1], first, second) for place, first, second in zip(places, outer, inner, strict=True)]
        self.batch, self.places = collapse(lead, *places)
        self.count = math.prod(lead)
        self.fits = len(self.batch) <= RANK
        last = (0, 0) if mask is None else tuple([
            0 if size == 1 else step for size, step in zip(mask[0][-2:], mask[1][-2:], strict=True)])
        self._integers = (self.rows, self.keys, self.width, self.depth, self.shared, *steps[-2:], *key[1][-2:],
                          *value[1][-2:], *last)

    def packed(self, blocks: int, masked: int, causal: bool) -> bytes:
        """As an argument of type attention_t, for so many blocks of rows."""
        return _INTEGERS.pack(blocks, *self._integers, masked, causal) + Layout(self.batch, *self.places)


def _spread(sizes: Shape, strides: Shape, lead: Shape) -> Shape:
    """The strides of the dimensions in front, broadcast."""
    own = sizes[:-2]
    return (0,) * (len(lead) - len(own)) + tuple([
        0 if size == 1 else stride for size, stride in zip(own, strides, strict=False)])


_sizes = functools.lru_cache(maxsize=1024)(_Sizes)


def _of(*operands: Array | None) -> _Sizes | None:
    """The sizes of query, key, value and mask, where the kernels take them."""
    query, key, value, mask = operands
    assert query is not None and key is not None and value is not None
    kind = floats(query, key, value, mask if mask is not None and mask.dtype is not bool_ else None)
    if kind is None or 0 in (query.size, key.size, value.size) or max(query.shape[-1], value.shape[-1]) > WIDEST:
        return None
    if not query.device.traits.cpu and _tile(query, max(query.shape[-1], value.shape[-1]), kind) is None:
        return None
    found = _sizes(*[None if each is None else (each.shape, each.strides) for each in operands])
    return found if found.fits else None


def _tile(query: Array, width: int, kind: str) -> tuple[int, int] | None:
    """(rows and columns of a tile, elements of a row of it) on a device that has groups."""
    traits = query.device.traits
    for (each, wide), choices in TILES.items():
        if each == kind and width <= wide and traits.largest_group >= GROUP:
            for rows in choices:
                if (4 * rows * (wide + 1) + 2 * rows * (rows + 1)) * query.dtype.itemsize <= traits.local_memory:
                    return rows, wide
    return None


def _launch(part: str, sizes: _Sizes, query: Array, mask: Array | None, is_causal: bool, scale: float,
            *arrays: Array) -> None:
    """Queue one of the kernels; `arrays` are those that it writes and reads, the mask apart."""
    kind = floats(query)
    assert kind is not None
    heads = sizes.count // sizes.shared
    length, count = {"keys": (sizes.keys, heads), "heads": (1, heads)}.get(part, (sizes.rows, sizes.count))
    masked = 0 if mask is None else 1 if mask.dtype is bool_ else 2
    masks = mask if masked == 1 else query, mask if masked == 2 else query
    factor = Scalar(scale, TYPES[kind])
    if query.device.traits.cpu:
        blocks = count * -(-length // ROWS)
        work = min(sizes.count * sizes.rows * sizes.keys, 1 << 29)
        launch(_BLOCKS, (kind, part), max(work, 1), *arrays, *masks, sizes.packed(blocks, masked, is_causal), factor,
               op="attention")
        return
    tile = _tile(query, max(sizes.width, sizes.depth), kind)
    assert tile is not None
    blocks = count * -(-length // tile[0])
    launch(_GROUPS, (kind, *map(str, tile), part), blocks * GROUP, *arrays, *masks,
           sizes.packed(blocks, masked, is_causal), factor, op="attention", group=GROUP)


def _attention(query: Array, key: Array, value: Array, mask: Array | None, is_causal: bool, scale: float) -> Any:
    sizes = _of(query, key, value, mask)
    if sizes is None:
        return NotImplemented
    out = empty((*query.shape[:-1], value.shape[-1]), query.dtype, query.device)
    logs = empty(query.shape[:-1], query.dtype, query.device)
    _launch("forward", sizes, query, mask, is_causal, scale, out, logs, query, key, value)
    return out, logs


def _backward(grad: Array, query: Array, key: Array, value: Array, mask: Array | None, result: Array, logsumexp: Array,
              is_causal: bool, scale: float) -> Any:
    sizes = _of(query, key, value, mask)
    if sizes is None or floats(grad, result, logsumexp, query) is None:
        return NotImplemented
    grad, logs = contiguous(grad), contiguous(logsumexp)
    rows = empty(query.shape[:-1], query.dtype, query.device)      # of each row: gradient times result, summed
    queries, keys, values = (empty(each.shape, each.dtype, each.device) for each in (query, key, value))
    result, traits = contiguous(result), query.device.traits
    if traits.cpu and sizes.count // sizes.shared >= 2 * traits.units:
        _launch("heads", sizes, query, mask, is_causal, scale, queries, keys, values, rows, query, key, value, grad,
                result, logs)
        return queries, keys, values
    _launch("queries", sizes, query, mask, is_causal, scale, queries, rows, query, key, value, grad, result, logs)
    _launch("keys", sizes, query, mask, is_causal, scale, keys, values, query, key, value, grad, rows, logs)
    return queries, keys, values


KERNELS: dict[str, Callable[..., Any]] = {
    "attention": _attention,
    "attention_backward": _backward,
}
