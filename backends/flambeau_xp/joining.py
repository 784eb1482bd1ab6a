"""Kernels that lay arrays out anew: repeated, turned around, shifted, bordered, or one triangle of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau_xp.helpers import copied


def repeat(xp: Any, a: Any, repeats: tuple[int, ...]) -> Any:
    return xp.tile(a, repeats)


def flip(xp: Any, a: Any, dims: tuple[int, ...]) -> Any:
    """The elements in reverse order along some dimensions."""
    key = [slice(None)] * a.ndim
    for dim in dims:
        key[dim] = slice(None, None, -1)
    return copied(xp, a[tuple(key)])


def roll(xp: Any, a: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    return xp.roll(a, shifts, axis=dims)


def tril(xp: Any, a: Any, diagonal: int) -> Any:
    """The lower triangles of matrices, 0 above the diagonal."""
    return xp.tril(a, k=diagonal)


def triu(xp: Any, a: Any, diagonal: int) -> Any:
    """The upper triangles of matrices, 0 below the diagonal."""
    return xp.triu(a, k=diagonal)


def constant_pad_nd(xp: Any, a: Any, pad: tuple[int, ...], value: Any) -> Any:
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
    out = xp.full(tuple(size), value, dtype=a.dtype) if value else xp.zeros(tuple(size), dtype=a.dtype)
    out[tuple(target)] = a[tuple(source)]
    return out


KERNELS: dict[str, Callable[..., Any]] = {
    "repeat": repeat,
    "flip": flip,
    "roll": roll,
    "tril": tril,
    "triu": triu,
    "constant_pad_nd": constant_pad_nd,
}

BEYOND: dict[str, str] = {}
