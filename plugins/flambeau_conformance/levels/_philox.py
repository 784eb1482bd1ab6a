"""Philox4x32-10 and the draws made of its words, written a second time, with NumPy's 64-bit integers.

Every device without a generator of its own has to give these numbers: whole ones and uniform ones to the last bit,
those that go through a logarithm or a cosine up to rounding. Nothing here is the core's code: a fault there is as
visible as one in a backend's kernel.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau_conformance.levels._values import Array
from flambeau_conformance.sampling import numpy_dtype

DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
_U = np.uint64
_MASK = _U(0xFFFFFFFF)
_SHIFT = _U(32)


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Four words for each counter, as uint64."""
    c0, c1, c2, c3 = (np.asarray(each, _U) for each in counter)
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c0 * _U(0xD2511F53), c2 * _U(0xCD9E8D57)
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ _U(k0), p1 & _MASK, (p0 >> _SHIFT) ^ c3 ^ _U(k1), p0 & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


class Stream:
    """The numbers that a generator gives after `manual_seed(seed)`: each draw uses the next block of the counter."""

    def __init__(self, seed: int, block: int = 0) -> None:
        self.key = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
        self.block = block

    def words(self, count: int) -> tuple[Array, Array, Array, Array]:
        """The words of elements 0 to count - 1 of the next draw."""
        block, self.block = self.block, self.block + 1
        index = np.arange(count, dtype=_U)
        return philox((np.full(count, block & 0xFFFFFFFF, _U), np.full(count, block >> 32, _U), index & _MASK,
                       index >> _SHIFT), self.key)

    def unit(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Numbers from [0, 1) with the digits of a dtype, as float64."""
        first, second, _, _ = self.words(math.prod(shape))
        return _fraction(first, second, DIGITS[dtype]).reshape(shape)

    def uniform(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Numbers from [0, 1), of a floating or complex dtype."""
        if dtype.is_complex:
            parts = self.unit((*shape, 2), dtype.to_real().name)
            return (parts[..., 0] + 1j * parts[..., 1]).astype(dtype.name)
        return self.unit(shape, dtype.name).astype(numpy_dtype(dtype))

    def draw_unit(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """What coins are compared with: numbers with at least the digits of float32."""
        return self.unit(shape, "float64" if dtype.name == "float64" else "float32")

    def coins(self, shape: tuple[int, ...], p: Any, dtype: Any) -> Array:
        """Ones with probability p."""
        limit = np.asarray(p, np.float64)
        return (self.draw_unit(shape, dtype) < limit).astype(numpy_dtype(dtype))

    def randint(self, shape: tuple[int, ...], low: int, high: int, dtype: Any) -> Array:
        """Whole numbers from [low, high)."""
        span = high - low
        first, second, _, _ = self.words(math.prod(shape))
        if span <= 1 << 32:
            rest = [int(each) for each in first]
        elif span <= 1 << 63:
            rest = [(int(a) >> 1 << 32) + int(b) for a, b in zip(first, second, strict=True)]
        else:  # all 64 bits, read as a signed number and counted from the smallest one
            rest = [((int(a) << 32) + int(b) + (1 << 63)) % (1 << 64) for a, b in zip(first, second, strict=True)]
        return _wrapped([each % span + low for each in rest], dtype).reshape(shape)

    def permutation(self, n: int, dtype: Any) -> Array:
        """The order of one wide random number per element."""
        first, second, _, _ = self.words(n)
        order = np.argsort((first >> _U(1) << _SHIFT) + second, kind="stable")
        return order.astype(numpy_dtype(dtype))

    def normal(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Normal numbers after Box and Muller, as float64."""
        if dtype.is_complex:
            parts = self.normal((*shape, 2), dtype.to_real()) * math.sqrt(0.5)
            return parts[..., 0] + 1j * parts[..., 1]
        first, second, third, fourth = self.words(math.prod(shape))
        if dtype.name == "float64":
            distance, turn = 1.0 - _fraction(first, second, 53), _fraction(third, fourth, 53)
        else:
            distance = (first.astype(np.float64) + 1) * 2.0 ** -32
            turn = _fraction(second, second, 24)
        return (np.sqrt(-2.0 * np.log(distance)) * np.cos(turn * 2.0 * math.pi)).reshape(shape)

    def multinomial(self, weights: Array, count: int, replacement: bool) -> Array:
        """Indices drawn in proportion to weights (a matrix of float32), for sums that are exact."""
        if replacement:
            sums = weights.cumsum(-1, dtype=np.float64)
            chosen = self.unit((*weights.shape[:-1], count), "float32") * sums[..., -1:]
            return np.array([np.searchsorted(row, each, side="right")
                             for row, each in zip(sums, chosen, strict=True)]).astype(np.int64)
        first, _, _, _ = self.words(weights.size)
        chances = ((first >> _U(9)) * _U(2) + _U(1)).astype(np.float64) * 2.0 ** -24
        race = weights / -np.log(chances.reshape(weights.shape))
        return np.argsort(-race, axis=-1, kind="stable")[..., :count].astype(np.int64)


def _fraction(first: Array, second: Array, digits: int) -> Array:
    if digits <= 32:
        return (first >> _U(32 - digits)).astype(np.float64) * 2.0 ** -digits
    return ((first >> _U(5)).astype(np.float64) * 2.0 ** 26 + (second >> _U(6)).astype(np.float64)) * 2.0 ** -53


def _wrapped(numbers: list[int], dtype: Any) -> Array:
    if dtype.is_floating_point:
        return np.array(numbers, np.float64).astype(numpy_dtype(dtype))
    if dtype.name == "bool":
        return np.array([bool(each) for each in numbers])
    bits = 8 * dtype.itemsize
    low = -(1 << bits - 1) if dtype.is_signed else 0
    return np.array([(each - low) % (1 << bits) + low for each in numbers], dtype=dtype.name)
