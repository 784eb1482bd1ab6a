"""Rows of a table, and the gradient of the table."""

from __future__ import annotations

from typing import Any

import numpy as np


def embedding(weight: Any, indices: Any, padding_idx: int, scale_grad_by_freq: bool) -> Any:
    """The rows at `indices`."""
    if indices.size and (indices.min() < 0 or indices.max() >= weight.shape[0]):
        raise IndexError("index out of range in self")
    return np.take(weight, indices, 0)


def embedding_weight_grad(g: Any, indices: Any, rows: int, padding_idx: int, scale_grad_by_freq: bool) -> Any:
    """Add each row of `g` to the row of the table it came from."""
    total = np.zeros((rows, g.shape[-1]), g.dtype)
    flat = indices.reshape(-1)
    g = g.reshape(-1, g.shape[-1])
    if padding_idx >= 0:
        keep = flat != padding_idx
        flat, g = flat[keep], g[keep]
    if scale_grad_by_freq:
        g = g / np.bincount(flat, minlength=rows)[flat][:, None].astype(g.dtype)
    if flat.size > 64:  # sorted segments are summed at once; add.at goes row by row
        order = np.argsort(flat, kind="stable")
        ordered = flat[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        total[ordered[starts]] = np.add.reduceat(g[order], starts, 0)
    else:
        np.add.at(total, flat, g)
    return total


def _equal(offsets: Any, count: int) -> int:
    """The size of all bags, where they have one; else 0."""
    bags = offsets.size
    if not bags or not count or count % bags:
        return 0
    size = count // bags
    return size if offsets[-1] == count - size and (offsets[1:] - offsets[:-1] == size).all() else 0


def _reduced(ufunc: Any, rows: Any, offsets: Any, empty: Any) -> Any:
    """`ufunc` over the rows from each offset to the next, `empty` for none."""
    result = np.full((offsets.size, rows.shape[1]), empty, rows.dtype)
    begun = int(np.searchsorted(offsets, len(rows)))     # the bags after these are empty
    if begun:
        ufunc.reduceat(rows, offsets[:begun], 0, out=result[:begun])
        result[:-1][offsets[1:] == offsets[:-1]] = empty   # for which `reduceat` gives the row itself
    return result


def bag_sum(rows: Any, offsets: Any) -> Any:
    """Sums of neighbouring rows."""
    size = _equal(offsets, len(rows))
    if size:
        return rows.reshape(offsets.size, size, -1).sum(1)
    return _reduced(np.add, rows, offsets, 0)


def bag_maxima(rows: Any, offsets: Any, counted: Any) -> Any:
    """The first row of each bag with its maximum, column by column."""
    count, width = rows.shape
    size = _equal(offsets, count)
    if np.isnan(rows).any():      # the highest where it is the first of its bag, and otherwise the lowest
        counting = np.arange(count) if counted is None else np.flatnonzero(counted)
        bags = np.searchsorted(offsets, counting, "right")
        first = np.zeros(count, bool)
        first[counting[np.unique(bags, return_index=True)[1]]] = True
        rows = np.where(np.isnan(rows), np.where(first, np.inf, -np.inf)[:, None], rows).astype(rows.dtype)
    if size and counted is None:
        return rows.reshape(offsets.size, size, width).argmax(1) + offsets[:, None]
    values = rows if counted is None else np.where(counted[:, None], rows, rows.dtype.type(-np.inf))
    highest = _reduced(np.maximum, values, offsets, 0)
    is_it = values == np.repeat(highest, np.diff(offsets, append=count), 0)
    if counted is not None:
        is_it &= counted[:, None]
    return _reduced(np.minimum, np.where(is_it, np.arange(count)[:, None], count), offsets, count)


KERNELS: dict[str, Any] = {"embedding": embedding, "embedding_weight_grad": embedding_weight_grad, "bag_sum": bag_sum,
                           "bag_maxima": bag_maxima}
