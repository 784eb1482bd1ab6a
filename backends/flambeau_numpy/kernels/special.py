"""Special functions that NumPy has not: the error functions and the gamma family.

float32's erf, which gelu needs in every training step, is one rational function, accurate to a few units in the last
place. The others are computed in float64: Chebyshev and asymptotic series, with relative errors near 1e-15.
The coefficients were fitted for this file with 50-digit arithmetic: of erf(x) / x as a function of x * x, and of
exp(x * x) erfc(x) / t as a function of t = 2 / (2 + x).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau_numpy.kernels.elementwise import composed
from flambeau_numpy.kernels.select import limit

_P32 = np.array([1.1283791691332086, 0.18513884339320316, 0.05424393892532712, 0.003838700708664423,
                 0.0003767392728659467, 4.608626901938912e-06, -1.2796928545680673e-08], np.float32)
_Q32 = np.array([1.0, 0.49740843386595934, 0.11387477259969433, 0.015430135782165443, 0.0013015142953835487,
                 6.23934264603267e-05], np.float32)
_SMALL = (1.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792, 0.0052239776248180145,
          -0.000854832698083379, 0.0001205533111164271, -1.4925595266831182e-05, 1.6461000484121368e-06,
          -1.6350312701054695e-07, 1.4659775274047436e-08, -1.1372848856791674e-09, 5.957176147748911e-11)
_TAIL = (0.5771536505997202, 0.35537484468774005, 0.065044574165413, 0.003662142258568079, -0.001111570915047675,
         -0.00016020846394963886, 3.273007920774137e-05, 5.413390417916192e-06, -1.5114731436713337e-06,
         -1.415544505389064e-07, 8.197571417264009e-08, -1.3440805175867637e-09, -4.1245065110179155e-09,
         6.334570930178891e-10, 1.4133051360620207e-10, -6.11828764198886e-11, 2.1174735852420303e-12,
         3.5286967603442472e-12, -8.537366152769193e-13, -5.92273861962317e-14, 7.326946164038461e-14,
         -1.2849904429515999e-14, -2.2942655704067526e-15, 1.5520490422577777e-15, -2.276688722567413e-16,
         -6.13186552145127e-17, 3.5527020599428853e-17, -5.926972653062863e-18)
_MOST_TERMS = 1000                       # of zeta's series, for arguments far below zero
_FEW = 128                               # elements that the standard library's function is faster for
_TAIL_LOW = 0.0005                       # the Chebyshev series in t covers [_TAIL_LOW, 1]
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)   # B2, B4, ..., B16


def _horner(coefficients: Any, x: Any) -> Any:
    result = coefficients[-1] * x
    for each in coefficients[-2:0:-1]:
        np.add(result, each, result)
        np.multiply(result, x, result)
    np.add(result, coefficients[0], result)
    return result


# ---------------------------------------------------------------------------------------------- error functions
def erf(a: Any) -> Any:
    """The error function of an array with at least one dimension, of float32 or float64."""
    if a.size <= _FEW:
        return np.array([math.erf(each) for each in a.ravel().tolist()], a.dtype).reshape(a.shape)
    if a.dtype == np.float64:
        return _erf64(a)
    x = np.clip(a, np.float32(-3.92), np.float32(3.92))
    squared = x * x
    result = _horner(_P32, squared)
    np.divide(result, _horner(_Q32, squared), result)
    np.multiply(result, x, result)
    return np.clip(result, np.float32(-1), np.float32(1), out=result)


def _erfc_positive(x: Any) -> Any:
    """erfc for x >= 0 in float64."""
    t = 2 / (2 + x)
    v = 2 * (2 * t - (_TAIL_LOW + 1)) / (1 - _TAIL_LOW)
    later = np.zeros_like(x)
    latest = np.zeros_like(x)
    for each in _TAIL[:0:-1]:
        later, latest = latest, v * latest - later + each
    # the square's rounding error would be multiplied by itself: split x so that the larger square is exact
    head = np.round(x * 64) / 64
    scale = np.exp(-head * head) * np.exp(-(x - head) * (x + head))
    return np.where(x > 27.5, 0.0, scale * t * (v / 2 * latest - later + _TAIL[0]))


def _erf64(x: Any) -> Any:
    size = np.absolute(x)
    inside = np.minimum(size, 1)
    small = _horner(_SMALL, inside * inside) * x
    return np.where(size < 1, small, np.copysign(1 - _erfc_positive(np.maximum(size, 1)), x))


def _erfc64(x: Any) -> Any:
    size = np.absolute(x)
    tail = _erfc_positive(size)
    return np.where(size < 0.5, 1 - _erf64(x), np.where(x < 0, 2 - tail, tail))


def _erfinv64(y: Any) -> Any:
    size = np.absolute(y)
    inside = np.minimum(size, 1 - 2.0 ** -53)
    lost = np.log1p(-inside * inside)
    half = 2 / (np.pi * 0.147) + lost / 2
    x = np.sqrt(np.sqrt(half * half - lost / 0.147) - half)     # within 0.2 %
    for _ in range(3):                                          # Halley's steps, each cubes the error
        error = np.where(inside < 0.5, inside - _erf64(x), _erfc64(x) - (1 - inside))
        step = error / (2 / np.sqrt(np.pi) * np.exp(-x * x))
        x = x + step / (1 - x * step)
    x = np.where(size == 1, np.inf, np.where(size > 1, np.nan, x))
    return np.copysign(x, y)


# ---------------------------------------------------------------------------------------------- the gamma family
def _stirling(x: Any) -> Any:
    """log gamma for x >= 0.5."""
    shift = np.ones_like(x)
    for _ in range(9):
        low = x < 9
        shift = np.where(low, shift * x, shift)
        x = np.where(low, x + 1, x)
    inverse = 1 / (x * x)
    series = np.zeros_like(x)
    for k in range(len(_BERNOULLI), 0, -1):
        series = series * inverse + _BERNOULLI[k - 1] / (2 * k * (2 * k - 1))
    return (x - 0.5) * np.log(x) - x + 0.5 * np.log(2 * np.pi) + series / x - np.log(shift)


def _lgamma64(x: Any) -> Any:
    reflected = x < 0.5
    whole = (x <= 0) & (np.floor(x) == x)
    result = _stirling(np.where(reflected, 1 - x, x))
    fraction = x - np.round(x)
    sine = np.absolute(np.sin(np.pi * fraction))
    result = np.where(reflected, np.log(np.pi / np.where(whole, 1, sine)) - result, result)
    return np.where(whole | np.isinf(x), np.inf, result)


def _digamma64(x: Any) -> Any:
    reflected = x < 0.5
    whole = (x < 0) & (np.floor(x) == x)
    y = np.where(reflected, 1 - x, x)
    shift = np.zeros_like(y)
    for _ in range(10):
        low = y < 10
        shift = np.where(low, shift + 1 / y, shift)
        y = np.where(low, y + 1, y)
    inverse = 1 / (y * y)
    series = np.zeros_like(y)
    for k in range(len(_BERNOULLI), 0, -1):
        series = (series + _BERNOULLI[k - 1] / (2 * k)) * inverse
    result = np.log(y) - 0.5 / y - series - shift
    fraction = x - np.round(x)
    tangent = np.tan(np.pi * np.where(fraction == 0, 0.25, fraction))
    result = np.where(reflected, result - np.pi / tangent, result)
    result = np.where(x == 0, np.copysign(np.inf, -x), result)
    return np.where(whole | (x == -np.inf), np.nan, np.where(x == np.inf, np.inf, result))


def _zeta(s: float, x: Any) -> Any:
    """Hurwitz's zeta function for a whole s > 1 and any x: terms up to 10, and Euler and Maclaurin's rest."""
    total = np.zeros_like(x)
    y = x
    for _ in range(_MOST_TERMS):
        low = y < 10
        if not low.any():
            break
        total = np.where(low, total + y ** -s, total)
        y = np.where(low, y + 1, y)
    total = total + y ** (1 - s) / (s - 1) + y ** -s / 2
    factor = s * y ** (-s - 1)
    for k, number in enumerate(_BERNOULLI):
        total = total + number * factor / _FACTORIALS[k]
        factor = factor * (s + 2 * k + 1) * (s + 2 * k + 2) / (y * y)
    return total


_FACTORIALS = [2.0]
for _k in range(2, len(_BERNOULLI) + 1):
    _FACTORIALS.append(_FACTORIALS[-1] * (2 * _k) * (2 * _k - 1))


def _trigamma64(x: Any) -> Any:
    reflected = x < 0.5
    result = _zeta(2.0, np.where(reflected, 1 - x, x))
    sine = np.sin(np.pi * (x - np.round(x)))
    return np.where(reflected, (np.pi / sine) ** 2 - result, result)


def _polygamma64(x: Any, order: Any) -> Any:
    factorial = 1.0
    for k in range(2, int(order) + 1):
        factorial *= k
    whole = (x <= 0) & (np.floor(x) == x)
    result = _zeta(order + 1.0, np.where(whole, 1, x)) * (factorial if int(order) % 2 else -factorial)
    return np.where(whole, np.inf if int(order) % 2 else -np.inf, result)


def _in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that computes in float64 and rounds to the operand's dtype."""
    def kernel(a: Any) -> Any:
        return function(np.asarray(a, np.float64).reshape(-1)).reshape(a.shape).astype(a.dtype)
    return composed(kernel)


def _erf(a: Any) -> Any:
    return erf(a) if a.shape else erf(a.reshape(1)).reshape(())


def _polygamma(a: Any, order: Any) -> Any:
    return _polygamma64(np.asarray(a, np.float64), order).astype(a.dtype)


# ---------------------------------------------------------------------------------------------- logit, xlogy
def _logit(a: Any) -> Any:
    return np.log(a / (1 - a))


def _xlogy(a: Any, b: Any) -> Any:
    result = np.where(np.equal(a, 0), 0, a * np.log(b))
    return np.where(np.isnan(b), np.nan, result).astype(_dtype(a, b))


def _sinc(a: Any) -> Any:
    angle = a * np.pi
    return np.where(a == 0, a.dtype.type(1), np.sin(angle) / np.where(a == 0, 1, angle))


def _frac(a: Any) -> Any:
    return a - np.trunc(a)


def _rsqrt(a: Any) -> Any:
    return 1 / np.sqrt(a)


def _round_decimals(a: Any, decimals: Any) -> Any:
    scale = 10.0 ** abs(decimals)
    return np.rint(a * scale) / scale if decimals >= 0 else np.rint(a / scale) * scale


def _dtype(a: Any, b: Any) -> Any:
    return a.dtype if isinstance(a, np.ndarray) else b.dtype


# ---------------------------------------------------------------------------------------------- several operands
def _clamp(a: Any, low: Any, high: Any) -> Any:
    return limit(a, low, high)


def _lerp(a: Any, end: Any, weight: Any) -> Any:
    distance = end - a
    if not isinstance(weight, np.ndarray):
        return a + weight * distance if abs(weight) < 0.5 else end - distance * (1 - weight)
    return np.where(np.absolute(weight) < 0.5, a + weight * distance, end - distance * (1 - weight))


def _addcmul(a: Any, b: Any, c: Any, value: Any) -> Any:
    return a + (b * c if value == 1 else value * b * c)


def _addcdiv(a: Any, b: Any, c: Any, value: Any) -> Any:
    return a + (b / c if value == 1 else value * (b / c))


def _nan_to_num(a: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    if a.dtype.kind == "c":  # what promotion made of the numbers
        nan, posinf, neginf = nan.real, posinf.real, neginf.real
    return np.nan_to_num(a, nan=nan, posinf=posinf, neginf=neginf)


# ---------------------------------------------------------------------------------------------- complex numbers
def _complex(real: Any, imag: Any) -> Any:
    real, imag = np.broadcast_arrays(real, imag)
    result = np.empty(real.shape, np.result_type(real.dtype, np.complex64))
    result.real, result.imag = real, imag
    return result


def _angle(a: Any) -> Any:
    return np.angle(a) if a.dtype.kind == "c" else np.where(
        a < 0, a.dtype.type(np.pi), np.where(a == a, a.dtype.type(0), a))


KERNELS: dict[str, Any] = {
    "erf": composed(_erf), "erfc": _in_double(_erfc64), "erfinv": _in_double(_erfinv64),
    "lgamma": _in_double(_lgamma64),
    "digamma": _in_double(_digamma64), "trigamma": _in_double(_trigamma64), "polygamma_series": composed(_polygamma),
    "logit": composed(_logit), "xlogy": composed(_xlogy), "sinc": composed(_sinc), "frac": composed(_frac),
    "rsqrt": composed(_rsqrt), "round_decimals": composed(_round_decimals), "clamp": composed(_clamp),
    "lerp": composed(_lerp), "addcmul": composed(_addcmul), "addcdiv": composed(_addcdiv),
    "nan_to_num": composed(_nan_to_num), "complex": composed(_complex), "angle": composed(_angle),
}
