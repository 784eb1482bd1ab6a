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


KERNELS: dict[str, Any] = {"embedding": embedding, "embedding_weight_grad": embedding_weight_grad}
