"""Special functions that NumPy has not, one number at a time and in double precision.

Each is the textbook's definition: a recurrence moves the argument to where an asymptotic series holds, and a reflection
formula serves the negative half. Slow, and short enough to be believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)   # B2, B4, ..., B16
_FAR = 15.0             # from here on the series are exact to the last digits
_LARGEST = 1e305        # log gamma is infinite beyond
_MOST_TERMS = 10_000    # of a recurrence for arguments far below zero


def _is_pole(x: float) -> bool:
    return -math.inf < x <= 0 and x == math.floor(x)


def lgamma(x: float) -> float:
    """log |gamma(x)|."""
    return math.inf if abs(x) > _LARGEST or _is_pole(x) else math.lgamma(x)


def digamma(x: float) -> float:
    """The derivative of log gamma."""
    if x == 0:
        return math.copysign(math.inf, -x)
    if math.isnan(x) or x == -math.inf or _is_pole(x):
        return math.nan
    if x == math.inf:
        return x
    if x < 0:
        return digamma(1 - x) - math.pi / math.tan(math.pi * (x - round(x)))
    total = 0.0
    while x < _FAR:
        total -= 1 / x
        x += 1
    inverse = 1 / (x * x)
    series = sum(number / (2 * k) * inverse ** k for k, number in enumerate(_BERNOULLI, 1))
    return total + math.log(x) - 0.5 / x - series


def _power(x: float, exponent: float) -> float:
    """A power that is infinite where it overflows."""
    try:
        return x ** exponent
    except OverflowError:
        return math.inf


def zeta(s: float, x: float) -> float:
    """Hurwitz's zeta function: the sum of (x + k) ** -s over k from 0 on, for whole s > 1."""
    total = 0.0
    for _ in range(_MOST_TERMS):
        if not x < _FAR:
            break
        total += _power(x, -s)
        x += 1
    if math.isnan(x) or math.isinf(x):
        return total if x > 0 else math.nan
    total += x ** (1 - s) / (s - 1) + x ** -s / 2
    factor = s * x ** (-s - 1)
    for k, number in enumerate(_BERNOULLI, 1):
        total += number * factor / math.factorial(2 * k)
        factor *= (s + 2 * k - 1) * (s + 2 * k) / (x * x)
    return total


def trigamma(x: float) -> float:
    """The derivative of digamma."""
    if math.isnan(x) or x == -math.inf:
        return math.nan
    if _is_pole(x):
        return math.inf
    if x < 0.5:
        return _power(math.pi / math.sin(math.pi * (x - round(x))), 2) - zeta(2, 1 - x)
    return zeta(2, x)


def polygamma(x: float, order: float) -> float:
    """The derivative of digamma of a whole order from 1 on; minus infinity counts as a pole."""
    if x == -math.inf or _is_pole(x):
        return math.inf if order % 2 else -math.inf
    return (1 if order % 2 else -1) * math.factorial(int(order)) * zeta(order + 1, x)


def erfinv(y: float) -> float:
    """The x with erf(x) = y, by Newton's method from an estimate."""
    size = abs(y)
    if math.isnan(y) or size > 1:
        return math.nan
    if size == 1:
        return math.copysign(math.inf, y)
    lost = math.log1p(-size * size)
    half = 2 / (math.pi * 0.147) + lost / 2
    x = math.sqrt(max(math.sqrt(half * half - lost / 0.147) - half, 0.0)) or size * math.sqrt(math.pi) / 2
    for _ in range(8):
        error = math.erf(x) - size if size < 0.5 else (1 - size) - math.erfc(x)
        step = error * math.sqrt(math.pi) / 2 * math.exp(x * x)
        x -= step / (1 + x * step)  # Halley's correction
    return math.copysign(x, y)


def elementwise(function: Callable[..., float]) -> Callable[..., Any]:
    """A function of numbers, applied to every element."""
    return np.vectorize(function, otypes=[np.float64])
