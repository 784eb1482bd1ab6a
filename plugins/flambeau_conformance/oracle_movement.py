"""Definitions of what moves data: joining, splitting, padding, indexing, ordering. No arithmetic but NumPy's own."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from flambeau_conformance.definitions import Definition
from flambeau_conformance.oracle import Refused
from flambeau_conformance.oracle_numpy import _sort, _wide


def _sizes(given: tuple[Any, ...], named: Any = None) -> Any:
    given = given if named is None else (named,)
    return given[0] if len(given) == 1 and isinstance(given[0], (tuple, list)) else given


def _reshape(a: Any, *sizes: Any, shape: Any = None, size: Any = None) -> Any:
    wanted = _sizes(sizes, shape if size is None else size)
    return np.reshape(a, wanted) if all(isinstance(each, int) for each in wanted) else NotImplemented


def _flatten(a: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    if not a.ndim:
        return a.reshape(1)
    start, end = start_dim % a.ndim, end_dim % a.ndim
    return a.reshape(*a.shape[:start], int(np.prod(a.shape[start:end + 1])), *a.shape[end + 1:])


def _unflatten(a: Any, dim: int, sizes: Any) -> Any:
    dim %= a.ndim
    if not all(isinstance(each, int) for each in sizes):
        return NotImplemented
    sizes = [each if each >= 0 else a.shape[dim] // -int(np.prod(sizes)) for each in sizes]
    return a.reshape(*a.shape[:dim], *sizes, *a.shape[dim + 1:])


def _expand(a: Any, *sizes: Any, size: Any = None, implicit: bool = False) -> Any:
    wanted = list(_sizes(sizes, size))
    kept = [1] * (len(wanted) - a.ndim) + list(a.shape)
    return np.broadcast_to(a, [have if want == -1 else want for want, have in zip(wanted, kept, strict=True)])


def _squeeze(a: Any, dim: Any = None) -> Any:
    if dim is None:
        return np.squeeze(a)
    if not a.ndim:
        return a
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    return np.squeeze(a, tuple(each % a.ndim for each in dims if a.shape[each] == 1))


def _select(a: Any, dim: int, index: int) -> Any:
    return np.moveaxis(a, dim, 0)[index]


def _narrow(a: Any, dim: int, start: Any, length: int) -> Any:
    start = int(start)
    start = start + a.shape[dim] if start < 0 else start
    return np.moveaxis(np.moveaxis(a, dim, 0)[start:start + length], 0, dim)


def _slice(a: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return np.moveaxis(np.moveaxis(a, dim, 0)[start:end:step], 0, dim)


def _written(place: Any) -> Definition:
    """A copy of the first operand, with the second where a view of it lies."""
    def call(a: Any, src: Any, *args: Any, **kwargs: Any) -> Any:
        result = np.array(a)
        view = place(result, *args, **kwargs)
        if not view.flags.writeable:      # NumPy gives views of diagonals only to look at
            view = view.view()
            view.flags.writeable = True
        view[...] = src
        return result
    return call


def _diag_embed(a: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    size = a.shape[-1] + abs(offset)
    result = np.zeros((*a.shape[:-1], size, size), a.dtype)
    for k in range(a.shape[-1]):
        result[..., k + max(-offset, 0), k + max(offset, 0)] = a[..., k]
    dims = sorted((each % result.ndim, place) for each, place in ((dim1, -2), (dim2, -1)))
    if dims[0][1] == -1:
        result = np.swapaxes(result, -1, -2)
    return np.moveaxis(result, (-2, -1), (dims[0][0], dims[1][0]))


def _split(a: Any, size: Any, dim: int = 0) -> Any:
    if not isinstance(size, int):
        return np.split(a, np.cumsum(size)[:-1].astype(int), dim)
    return np.split(a, range(size, a.shape[dim], size), dim)


def _chunk(a: Any, chunks: int, dim: int = 0) -> Any:
    return _split(a, max(-(-a.shape[dim] // chunks), 1), dim) if a.shape[dim] else NotImplemented


def _tensor_split(a: Any, where: Any, dim: int = 0) -> Any:
    if isinstance(where, np.ndarray):
        where = where.tolist()
    return np.array_split(a, where, dim)


def _unfold(a: Any, dimension: int, size: int, step: int) -> Any:
    if not a.ndim:
        return NotImplemented
    windows = np.lib.stride_tricks.sliding_window_view(a, size, dimension)
    return _slice(windows, dimension % a.ndim, None, None, step)


def _pad(a: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    widths = [(0, 0)] * (a.ndim - len(pad) // 2) + [tuple(pad[k:k + 2]) for k in range(len(pad) - 2, -1, -2)]
    if any(size + min(low, 0) + min(high, 0) < 0 for (low, high), size in zip(widths, a.shape, strict=True)):
        raise Refused(ValueError("there is less than is to be cut off"))
    cropped = a[tuple(slice(max(-low, 0), size - max(-high, 0)) for (low, high), size in
                      zip(widths, a.shape, strict=True))]
    grown = [(max(low, 0), max(high, 0)) for low, high in widths]
    if mode == "constant":
        return np.pad(cropped, grown, constant_values=0 if value is None else value)
    named = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    return np.pad(cropped, grown, mode=named)  # type: ignore[call-overload]


def _indexed(change: Any) -> Definition:
    """Slices along a dimension of the first operand, changed one after another."""
    def call(a: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
        if a.ndim == 0:
            _refuse_beyond(index, 1)
            return NotImplemented
        _refuse_beyond(index, a.shape[dim])
        result = np.moveaxis(np.array(a), dim, 0)
        rows = np.moveaxis(source, dim, 0) if isinstance(source, np.ndarray) and source.ndim else source
        for k, row in enumerate(np.atleast_1d(index)):
            value = rows[k] if isinstance(rows, np.ndarray) and rows.ndim else rows
            result[row] = change(result[row], value, alpha)
        return np.moveaxis(result, 0, dim)
    return call


def _refuse_beyond(index: Any, size: int) -> None:
    if np.any((index >= size) | (index < -size)):
        raise Refused(IndexError("the index is out of bounds"))


def _masked_scatter(a: Any, mask: Any, source: Any) -> Any:
    shape = np.broadcast_shapes(a.shape, mask.shape)
    result, mask = np.array(np.broadcast_to(a, shape)), np.broadcast_to(mask, shape)
    result[mask] = source.reshape(-1)[:int(mask.sum())]
    return result


def _put(a: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    result = np.array(a).reshape(-1)
    if accumulate:
        np.add.at(result, index.reshape(-1), source.reshape(-1))
    else:
        result[index.reshape(-1)] = source.reshape(-1)
    return result.reshape(a.shape)


def _one_hot(a: Any, num_classes: int = -1) -> Any:
    return np.eye(int(a.max()) + 1 if num_classes < 0 else num_classes, dtype=np.int64)[a]


def _shuffle(a: Any, upscale_factor: int) -> Any:
    r = upscale_factor
    *batch, channels, rows, columns = a.shape
    split = a.reshape(-1, channels // r // r, r, r, rows, columns).transpose(0, 1, 4, 2, 5, 3)
    return split.reshape(*batch, channels // r // r, rows * r, columns * r)


def _unshuffle(a: Any, downscale_factor: int) -> Any:
    r = downscale_factor
    *batch, channels, rows, columns = a.shape
    split = a.reshape(-1, channels, rows // r, r, columns // r, r).transpose(0, 1, 3, 5, 2, 4)
    return split.reshape(*batch, channels * r * r, rows // r, columns // r)


def _repeat_interleave(a: Any, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Any:
    if repeats is None:
        return np.repeat(np.arange(len(a)), a)
    if isinstance(repeats, np.ndarray) and repeats.size == 1:
        repeats = int(repeats.reshape(-1)[0])
    return np.repeat(a, repeats, dim)


def _block_diag(*parts: Any) -> Any:
    parts = tuple([np.atleast_2d(each) for each in parts])
    result = np.zeros(np.sum([each.shape for each in parts], 0), np.result_type(*parts))
    row = column = 0
    for each in parts:
        result[row:row + each.shape[0], column:column + each.shape[1]] = each
        row, column = row + each.shape[0], column + each.shape[1]
    return result


def _combinations(a: Any, r: int = 2, with_replacement: bool = False) -> Any:
    chosen = list((itertools.combinations_with_replacement if with_replacement else itertools.combinations)(a, r))
    return np.array(chosen) if chosen else NotImplemented


def _meshgrid(*parts: Any, indexing: Any = None) -> Any:
    given = parts[0] if isinstance(parts[0], (list, tuple)) else parts
    return np.meshgrid(*[np.atleast_1d(each) for each in given], indexing=indexing or "ij")


def _like(number: Any) -> Definition:
    def call(a: Any, *given: Any, **options: Any) -> Any:
        kind = options.get("dtype")
        return np.full(a.shape, number if number is not None else given[0], a.dtype if kind is None else _wide(kind))
    return call


# ---------------------------------------------------------------------------------------------- order
def _topk(a: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    if not sorted or not a.ndim:
        return NotImplemented
    return tuple(_slice(each, dim % a.ndim, 0, k) for each in _sort(a, dim, largest))


def _kthvalue(a: Any, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    found = [_slice(each, dim % a.ndim, k - 1, k) for each in _sort(a, dim)] if a.ndim and out is None else None
    return NotImplemented if found is None else found if keepdim else [np.squeeze(each, dim) for each in found]


def _extreme(value: Any, where: Any, both: Any) -> Definition:
    def call(a: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        other = dim if isinstance(dim, np.ndarray) else other
        if other is not None:
            return both(a, other)
        if dim is None:
            return value(a)
        found = where(a, axis=dim)
        return value(a, axis=dim, keepdims=keepdim), np.expand_dims(found, dim) if keepdim else found
    return call


def _bucketize(a: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    return np.searchsorted(boundaries, a, "right" if right else "left")


def _trace(a: Any) -> Any:
    return np.trace(a.astype(np.int64) if a.dtype.kind in "biu" else a)


def _isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    return np.isin(elements, test_elements, invert=invert)


def _bincount(a: Any, weights: Any = None, minlength: int = 0) -> Any:
    return np.bincount(a, weights, minlength) if a.size else NotImplemented


DEFINITIONS: dict[str, Definition] = {
    "adjoint": lambda a: np.conj(np.swapaxes(a, -1, -2)) if a.ndim else NotImplemented,
    "reshape": _reshape, "view": _reshape, "view_copy": _reshape, "reshape_copy": _reshape,
    "reshape_as": lambda a, b: a.reshape(b.shape), "view_as": lambda a, b: a.reshape(b.shape), "ravel": np.ravel,
    "flatten": _flatten, "unflatten": _unflatten, "expand": _expand, "expand_copy": _expand,
    "expand_as": lambda a, b: np.broadcast_to(a, b.shape), "broadcast_to": lambda a, size: np.broadcast_to(a, size),
    "broadcast_tensors": lambda *parts: np.broadcast_arrays(*parts), "squeeze": _squeeze, "squeeze_copy": _squeeze,
    "unsqueeze": np.expand_dims, "unsqueeze_copy": np.expand_dims, "t": np.transpose, "t_copy": np.transpose,
    "transpose_copy": lambda a, first, second: np.swapaxes(a, first, second) if a.ndim else a,
    "permute_copy": lambda a, *dims: np.transpose(a, _sizes(dims)), "movedim": np.moveaxis,
    "diagonal": np.diagonal, "diagonal_copy": np.diagonal, "diagonal_scatter": _written(
        lambda a, offset=0, dim1=0, dim2=1: np.diagonal(a, offset, dim1, dim2)),
    "select": _select, "select_copy": _select, "select_scatter": _written(lambda a, dim, index: np.moveaxis(
        a, dim, 0)[index, ...]),
    "narrow": _narrow, "narrow_copy": _narrow, "slice_copy": _slice, "slice_scatter": _written(_slice),
    "split": _split, "split_copy": _split, "split_with_sizes": _split, "split_with_sizes_copy": _split,
    "unsafe_split": _split, "unsafe_split_with_sizes": _split, "chunk": _chunk, "unsafe_chunk": _chunk,
    "tensor_split": _tensor_split, "vsplit": lambda a, where: _tensor_split(a, where, 0),
    "hsplit": lambda a, where: _tensor_split(a, where, 0 if a.ndim == 1 else 1),
    "dsplit": lambda a, where: _tensor_split(a, where, 2),
    "unbind": lambda a, dim=0: list(np.moveaxis(a, dim, 0)),
    "unbind_copy": lambda a, dim=0: list(np.moveaxis(a, dim, 0)),
    "unfold": _unfold, "unfold_copy": _unfold, "view_as_real": lambda a: np.stack([a.real, a.imag], -1),
    "view_as_real_copy": lambda a: np.stack([a.real, a.imag], -1), "alias_copy": lambda a: a,
    "view_as_complex": lambda a: a[..., 0] + 1j * a[..., 1],
    "view_as_complex_copy": lambda a: a[..., 0] + 1j * a[..., 1],
    "hstack": np.hstack, "vstack": np.vstack, "dstack": np.dstack, "column_stack": np.column_stack,
    "block_diag": _block_diag, "combinations": _combinations, "meshgrid": _meshgrid,
    "cartesian_prod": lambda *parts: np.stack([each.ravel() for each in np.meshgrid(*parts, indexing="ij")], -1)
    if len(parts) > 1 else parts[0],
    "constant_pad_nd": lambda a, pad, value=0: _pad(a, pad, "constant", value), "pad": _pad,
    "diag_embed": _diag_embed, "diagflat": np.diagflat, "fliplr": np.fliplr, "flipud": np.flipud,
    "rot90": lambda a, k=1, dims=(0, 1): np.rot90(a, k, dims),
    "repeat": lambda a, *counts, repeats=None: np.tile(a, _sizes(counts, repeats)),
    "tile": lambda a, *counts, dims=None: np.tile(a, _sizes(counts, dims)), "repeat_interleave": _repeat_interleave,
    "fill": lambda a, value: np.full(a.shape, value, a.dtype), "zero": lambda a: np.zeros_like(a),
    "full_like": _like(None), "ones_like": _like(1), "zeros_like": _like(0),
    "index_add": _indexed(lambda old, new, alpha: old + alpha * new if old.dtype != bool else old | new),
    "index_copy": _indexed(lambda old, new, alpha: new), "index_fill": _indexed(lambda old, new, alpha: new),
    "masked_scatter": _masked_scatter, "masked_select": lambda a, mask, *, out=None: np.array(
        np.broadcast_arrays(a, mask)[0])[np.broadcast_arrays(a, mask)[1]],
    "put": _put, "take": lambda a, index, *, out=None: np.take(a.reshape(-1), index), "one_hot": _one_hot,
    "take_along_dim": lambda a, index, dim=None: np.take_along_axis(a, index, dim) if dim is not None else
    a.reshape(-1)[index.reshape(-1)],
    "pixel_shuffle": _shuffle, "pixel_unshuffle": _unshuffle,
    "channel_shuffle": lambda a, groups: a.reshape(a.shape[0], groups, -1, *a.shape[2:]).swapaxes(1, 2).reshape(
        a.shape),
    "tril_indices": lambda row, col, offset=0, **options: np.stack(np.tril_indices(row, offset, col)),
    "triu_indices": lambda row, col, offset=0, **options: np.stack(np.triu_indices(row, offset, col)),
    "unravel_index": lambda a, shape: list(np.unravel_index(a, shape)), "argwhere": np.argwhere,
    "argsort": lambda a, dim=-1, descending=False, stable=False: _sort(a, dim, descending)[1] if a.ndim
    else NotImplemented,
    "msort": lambda a: np.sort(a, 0), "topk": _topk, "kthvalue": _kthvalue,
    "max": _extreme(np.max, np.argmax, np.maximum), "min": _extreme(np.min, np.argmin, np.minimum),
    "max_all": np.max, "min_all": np.min, "bucketize": _bucketize, "isin": _isin, "bincount": _bincount,
    "trace": _trace, "aminmax": lambda a, *, dim=None, keepdim=False: [
        np.min(a, axis=dim, keepdims=keepdim), np.max(a, axis=dim, keepdims=keepdim)],
    "eye": lambda n, m=None, **options: np.eye(n, m),
}
