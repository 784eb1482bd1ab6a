"""Arithmetic that comes out bit for bit as in PyTorch's AVX2 kernels, for the random numbers of "cpu".

A normal draw is sqrt(-2 log u) times the cosine or sine of an angle. PyTorch takes the three functions in
float32 from the Cephes polynomials, with every product that feeds a sum fused into it (one rounding, not
two). NumPy has neither those polynomials nor a fused multiply-add, so both are built here. Over every value
that a draw can take (2**24 arguments for the logarithm, as many for the angle) the result is the one PyTorch
computes.

A fused float32 product and sum is computed in float64: the product of two float32 is exact there, and the one
rounding to float64 before the one to float32 shows only when it lands on a tie, which `fma32` looks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["box_muller32", "box_muller64", "fma32", "fma64", "libm"]

Array = NDArray[Any]
_F = np.float32

_BLOCKS = 1024  # blocks of 16 worked on at a time: the temporaries stay in the second-level cache
_TWO_PI = 2.0 * math.pi

# Cephes' logf and sincosf, as single-precision numbers.
_SQRT_HALF = _F(0.707106781186547524)
_LOG = [
    _F(c)
    for c in (
        7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
        -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    )
]  # fmt: skip
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
_FOUR_OVER_PI = _F(1.27323954473516)
_MINUS_PI_4 = [_F(-0.78515625), _F(-2.4187564849853515625e-4), _F(-3.77489497744594108e-8)]  # in three parts
_COS = [_F(2.443315711809948e-5), _F(-1.388731625493765e-3), _F(4.166664568298827e-2)]
_SIN = [_F(-1.9515295891e-4), _F(8.3321608736e-3), _F(-1.6666654611e-1)]


def libm(function: Callable[[float], float], x: Array) -> Array:
    """`function` of the C library (through `math`) at every element of the flat float64 array `x`.

    NumPy's vectorised float64 functions may differ from the C library's in the last bit; these are the
    latter.
    """
    return np.fromiter(map(function, x.tolist()), np.float64, count=x.size)


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """`a + b` rounded, and what the rounding lost (Knuth)."""
    total = a + b
    shadow = total - a
    return total, (a - (total - shadow)) + (b - shadow)


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """`a * b` rounded, and what the rounding lost (Veltkamp and Dekker)."""
    splitter = 134217729.0
    a_high = a * splitter - (a * splitter - a)
    b_high = b * splitter - (b * splitter - b)
    a_low, b_low = a - a_high, b - b_high
    product = a * b
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _sum_to_odd(a: Array, b: Array) -> Array:
    """`a + b` rounded to the neighbour with an odd last bit, unless it is exact: safe to round once more."""
    total, lost = _two_sum(a, b)
    even = (total.view(np.int64) & 1) == 0
    return np.where(even & (lost != 0.0), np.nextafter(total, np.copysign(np.inf, lost)), total)


def fma64(x: Array, scale: float, shift: float) -> Array:
    """`x * scale + shift` in float64, rounded once (Boldo and Melquiond)."""
    if shift == 0.0:
        return x * scale + 0.0
    if max(abs(scale), abs(shift)) > 2.0**960:  # so large that the splitting in two would overflow
        return fma64(x, scale * 2.0**-100, shift * 2.0**-100) * 2.0**100
    product, product_low = _two_product(x, np.full_like(x, scale))
    inner, inner_low = _two_sum(np.full_like(x, shift), product_low)
    outer, outer_low = _two_sum(product, inner)
    return np.asarray(outer + _sum_to_odd(inner_low, outer_low))


def fma32(x: Array, scale: float, shift: float) -> Array:
    """`x * scale + shift` for a float32 array and two float32 numbers, rounded once, to float32."""
    exact = x.astype(np.float64)
    exact *= scale
    if shift == 0.0:
        return np.asarray((exact + 0.0).astype(np.float32))
    total = exact + shift
    tie = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
    if tie.any():
        total[tie] = _sum_to_odd(exact[tie], np.full(int(tie.sum()), shift))
    return total.astype(np.float32)


def _horner(x: Array, coefficients: list[np.float32], scratch: Array) -> Array:
    """The polynomial with these coefficients (highest first) at the float64 copy `x` of float32 numbers.

    Every step is one fused multiply-add: a product in float64, a sum in float64, rounded to float32.
    """
    y = np.empty(x.shape, np.float32)
    np.multiply(x, float(coefficients[0]), out=scratch)
    np.add(scratch, float(coefficients[1]), out=y, casting="same_kind")
    for coefficient in coefficients[2:]:
        np.multiply(y, x, out=scratch)
        np.add(scratch, float(coefficient), out=y, casting="same_kind")
    return y


def _fused(a: Array, b: Array | np.float64, c: Array, scratch: Array) -> Array:
    """`a * b + c` of float32 arrays, `b` or `a` given in float64, into a new float32 array."""
    np.multiply(a, b, out=scratch)
    scratch += c
    return scratch.astype(np.float32)


def _log(u: Array, scratch: Array) -> Array:
    """The natural logarithm of float32 numbers in [2**-126, 1]."""
    bits = u.view(np.int32)
    exponent = ((bits >> 23) - 126).astype(np.float32)
    x = ((bits & 0x007FFFFF) | 0x3F000000).view(np.float32)
    small = x < _SQRT_HALF
    exponent -= small
    x = np.where(small, (x - _F(1)) + x, x - _F(1))
    square = x * x
    y = _horner(x.astype(np.float64), _LOG, scratch)
    y *= x
    np.multiply(y, square, out=scratch, dtype=np.float64)
    scratch += exponent * _LN2_LOW
    y = scratch.astype(np.float32)
    square *= _F(0.5)
    y -= square
    x += y
    exponent *= _LN2_HIGH
    x += exponent
    return x


def _sin_cos(angle: Array, scratch: Array) -> tuple[Array, Array]:
    """Sine and cosine of float32 angles in [0, 8192)."""
    octant = (angle * _FOUR_OVER_PI).astype(np.int32)
    octant += 1
    octant &= -2
    octant64 = octant.astype(np.float64)
    x = angle
    for part in _MINUS_PI_4:
        x = _fused(octant64, np.float64(part), x, scratch)
    square = x * x
    square64 = square.astype(np.float64)
    cosine = _horner(square64, _COS, scratch)
    cosine *= square
    cosine = _fused(cosine, square64, square * _F(-0.5), scratch)
    cosine += _F(1)
    sine = _horner(square64, _SIN, scratch)
    sine *= square
    np.multiply(sine, x, out=scratch, dtype=np.float64)
    scratch += x
    sine = scratch.astype(np.float32)
    swapped = (octant & 2) != 0
    sin_bits, cos_bits = sine.view(np.int32), cosine.view(np.int32)
    sin = np.where(swapped, cos_bits, sin_bits) ^ ((octant & 4) << 29)
    cos = np.where(swapped, sin_bits, cos_bits) ^ ((~(octant - 2) & 4) << 29)
    return sin.view(np.float32), cos.view(np.float32)


def _box_muller32(uniform: Array, mean: float, std: float) -> Array:
    """`box_muller32` of as many blocks as fit the cache."""
    u1 = _F(1) - uniform[:, 0, :]
    scratch = np.empty(u1.shape, np.float64)
    radius = _log(u1, scratch)
    radius *= _F(-2)
    np.sqrt(radius, out=radius)
    sin, cos = _sin_cos(uniform[:, 1, :] * _F(_TWO_PI), scratch)
    cos *= radius
    sin *= radius
    result = np.empty(uniform.shape, np.float32)
    if mean == 0.0 and std == 1.0:
        np.add(cos, _F(0), out=result[:, 0, :])  # minus zero becomes zero, as in the fused sum
        np.add(sin, _F(0), out=result[:, 1, :])
    else:
        result[:, 0, :] = fma32(cos, float(_F(std)), float(_F(mean)))
        result[:, 1, :] = fma32(sin, float(_F(std)), float(_F(mean)))
    return result


def box_muller32(uniform: Array, mean: float, std: float) -> Array:
    """Normal float32 numbers from float32 uniforms in [0, 1), in blocks of 16: 8 radii, then their 8 angles.

    `uniform` is flat, a multiple of 16 long; so is the result, with the 8 cosines of a block before its 8
    sines.
    """
    blocks = uniform.reshape(-1, 2, 8)
    if len(blocks) <= _BLOCKS:
        return _box_muller32(blocks, mean, std).reshape(-1)
    result = np.empty(blocks.shape, np.float32)
    for start in range(0, len(blocks), _BLOCKS):
        result[start : start + _BLOCKS] = _box_muller32(blocks[start : start + _BLOCKS], mean, std)
    return result.reshape(-1)


def box_muller64(uniform: Array, mean: float, std: float) -> Array:
    """`box_muller32` for float64, with the C library's functions."""
    blocks = uniform.reshape(-1, 2, 8)
    u1 = 1.0 - blocks[:, 0, :].reshape(-1)
    radius = np.sqrt(-2.0 * libm(math.log, u1))
    angle = _TWO_PI * blocks[:, 1, :].reshape(-1)
    result = np.empty(blocks.shape, np.float64)
    result[:, 0, :] = fma64(radius * libm(math.cos, angle), std, mean).reshape(-1, 8)
    result[:, 1, :] = fma64(radius * libm(math.sin, angle), std, mean).reshape(-1, 8)
    return result.reshape(-1)
