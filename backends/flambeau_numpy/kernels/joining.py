"""Kernels that join arrays or lay them out anew."""

from __future__ import annotations

from typing import Any

import numpy as np


def _cat(arrays: Any, dim: int) -> Any:
    return np.concatenate(arrays, dim)


def _stack(arrays: Any, dim: int) -> Any:
    if dim == 0:  # np.stack is Python; for the first dimension this is all it does
        return np.concatenate([each[None] for each in arrays])
    key = (slice(None),) * dim + (None,)
    return np.concatenate([each[key] for each in arrays], dim)


def _repeat(a: Any, repeats: tuple[int, ...]) -> Any:
    return np.tile(a, repeats)


def _flip(a: Any, dims: tuple[int, ...]) -> Any:
    key = [slice(None)] * a.ndim
    for dim in dims:
        key[dim] = slice(None, None, -1)
    return a[tuple(key)].copy()


def _roll(a: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    return np.roll(a, shifts, dims)


def _tril(a: Any, diagonal: int) -> Any:
    return np.where(np.tri(*a.shape[-2:], k=diagonal, dtype=bool), a, np.zeros((), a.dtype))


def _triu(a: Any, diagonal: int) -> Any:
    return np.where(np.tri(*a.shape[-2:], k=diagonal - 1, dtype=bool), np.zeros((), a.dtype), a)


def _constant_pad_nd(a: Any, pad: tuple[int, ...], value: Any) -> Any:
    """Pads come in pairs from the last dimension; negative ones crop."""
    ndim = a.ndim
    size = list(a.shape)
    source = [slice(None)] * ndim
    target = [slice(None)] * ndim
    for number in range(len(pad) // 2):
        dim = ndim - 1 - number
        low, high = pad[2 * number], pad[2 * number + 1]
        have = size[dim]
        size[dim] = have + low + high
        source[dim] = slice(max(0, -low), have - max(0, -high))
        target[dim] = slice(max(0, low), size[dim] - max(0, high))
    out = np.full(size, value, a.dtype) if value else np.zeros(size, a.dtype)
    out[tuple(target)] = a[tuple(source)]
    return out


KERNELS: dict[str, Any] = {
    "cat": _cat,
    "stack": _stack,
    "repeat": _repeat,
    "flip": _flip,
    "roll": _roll,
    "tril": _tril,
    "triu": _triu,
    "constant_pad_nd": _constant_pad_nd,
}
