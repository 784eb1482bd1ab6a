"""Definitions of special functions: by quadrature of their integrals, Python's math module, NumPy's polynomials.

None of them is a rational approximation, as the kernels are: two that agree are right.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, hermite, hermite_e, laguerre, legendre

from flambeau_conformance.definitions import Definition
from flambeau_conformance.oracle_numpy import each, floating

_LIMIT = 40.0     # of the arguments that the quadratures are exact for


# ---------------------------------------------------------------------------------------------- Bessel's functions
@functools.cache
def _nodes(count: int) -> tuple[Any, Any]:
    """Gauss's nodes and weights on 0 to 1."""
    nodes, weights = legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


def _within(function: Callable[[Any], Any]) -> Definition:
    """A function of arrays of moderate numbers; others are for another oracle."""
    def call(a: Any) -> Any:
        a = np.asarray(a, np.float64)
        return function(a) if np.isfinite(a).all() and (np.abs(a) < _LIMIT).all() else NotImplemented
    return call


def _periodic(order: int, integrand: Callable[[Any, Any], Any]) -> Definition:
    """The mean of a periodic function, for which equidistant points converge geometrically."""
    angles = 2 * math.pi * np.arange(256) / 256
    return _within(lambda a: integrand(a[..., None], angles).mean(-1))


def _bessel_j(order: int) -> Definition:
    return _periodic(order, lambda x, t: np.cos(order * t - x * np.sin(t)))


def _bessel_i(order: int, scaled: bool = False) -> Definition:
    return _periodic(order, lambda x, t: np.cos(order * t) * np.exp(x * np.cos(t) - (np.abs(x) if scaled else 0)))


def _to_infinity(x: Any, integrand: Callable[[Any, Any], Any]) -> Any:
    """An integral from 0 over what decays as exp(-x sinh t)."""
    nodes, weights = _nodes(400)
    end = np.arcsinh(745 / x)
    return (integrand(x, end * nodes) * weights).sum(-1) * end[..., 0]


def _positive(function: Callable[[Any], Any], at_zero: float) -> Definition:
    """A function of positive numbers: infinite at 0, nan below."""
    def call(a: Any) -> Any:
        safe = np.where(a > 0, a, 1.0)[..., None]
        return np.where(a > 0, function(safe), np.where(a == 0, at_zero, np.nan))
    return _within(call)


def _bessel_y(order: int) -> Definition:
    def call(x: Any) -> Any:
        nodes, weights = _nodes(200)
        angle = math.pi * nodes
        first = (np.sin(x * np.sin(angle) - order * angle) * weights).sum(-1)
        sign = (-1) ** order
        return first - _to_infinity(x, lambda x, t: (np.exp(order * t) + sign * np.exp(-order * t))
                                    * np.exp(-x * np.sinh(t))) / math.pi
    return _positive(call, -math.inf)


def _bessel_k(order: int, scaled: bool = False) -> Definition:
    return _positive(lambda x: _to_infinity(x, lambda x, t: np.cosh(order * t) * np.exp(
        -x * (np.cosh(t) - (1 if scaled else 0)))), math.inf)


# ---------------------------------------------------------------------------------------------- normal distribution
def _erfcx(x: float) -> float:
    return math.exp(x * x) * math.erfc(x)


def _log_ndtr(x: float) -> float:
    tail = 0.5 * math.erfc(abs(x) / math.sqrt(2))
    return math.log(tail) if x < 0 else math.log1p(-tail)


def _moderate(function: Callable[[float], float], limit: float = 20) -> Definition:
    def call(a: Any) -> Any:
        return each(function)(a) if np.isfinite(a).all() and (np.abs(a) < limit).all() else NotImplemented
    return call


# ---------------------------------------------------------------------------------------------- series
def _zeta(x: float, q: float) -> float:
    """Hurwitz's zeta function by Euler and Maclaurin's formula."""
    if x <= 1 or q <= 0:
        return math.nan
    start = 25
    total = sum((q + k) ** -x for k in range(start))
    w = q + start
    total += w ** (1 - x) / (x - 1) + 0.5 * w ** -x
    rising, power = x, w ** (-x - 1)
    for k, bernoulli in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)):
        total += bernoulli / math.factorial(2 * k + 2) * rising * power
        rising *= (x + 2 * k + 1) * (x + 2 * k + 2)
        power /= w * w
    return float(total)


def _zeta_of(a: Any, b: Any) -> Any:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all() and (a > 1).all() and (b > 0).all()):
        return NotImplemented
    return np.vectorize(_zeta, otypes=[np.float64])(a, b) if np.broadcast(a, b).size else NotImplemented


def _mvlgamma(a: Any, p: int) -> Any:
    if a.dtype == bool:
        return NotImplemented
    lgamma = each(math.lgamma)
    return p * (p - 1) / 4 * math.log(math.pi) + sum(lgamma(np.asarray(a, np.float64) - k / 2) for k in range(p))


# ---------------------------------------------------------------------------------------------- polynomials
def _unit(degree: int) -> list[float]:
    return [0.0] * degree + [1.0]


def _second_kind(x: float, degree: int) -> float:
    """From the derivative of the first kind's next one."""
    if degree < 0:
        return 0.0
    return float(chebyshev.chebval(x, chebyshev.chebder(_unit(degree + 1)))) / (degree + 1)


_POLYNOMIALS: dict[str, Callable[[float, int], Any]] = {
    "chebyshev_polynomial_t": lambda x, n: chebyshev.chebval(x, _unit(n)),
    "chebyshev_polynomial_u": _second_kind,
    "chebyshev_polynomial_v": lambda x, n: _second_kind(x, n) - _second_kind(x, n - 1),
    "chebyshev_polynomial_w": lambda x, n: _second_kind(x, n) + _second_kind(x, n - 1),
    "hermite_polynomial_h": lambda x, n: hermite.hermval(x, _unit(n)),
    "hermite_polynomial_he": lambda x, n: hermite_e.hermeval(x, _unit(n)),
    "laguerre_polynomial_l": lambda x, n: laguerre.lagval(x, _unit(n)),
    "legendre_polynomial_p": lambda x, n: legendre.legval(x, _unit(n)),
}


def _polynomial(value: Callable[[float, int], Any], shifted: bool = False) -> Definition:
    def one(x: float, degree: float) -> float:
        return 0.0 if degree < 0 else float(value(2 * x - 1 if shifted else x, int(degree)))

    def call(a: Any, n: Any) -> Any:
        a, n = np.asarray(a, np.float64), np.asarray(n, np.float64)
        if not (np.isfinite(a).all() and np.isfinite(n).all() and np.broadcast(a, n).size):
            return NotImplemented
        return np.vectorize(one, otypes=[np.float64])(a, n)
    return call


DEFINITIONS: dict[str, Definition] = {
    **{f"special_{name}": _polynomial(value) for name, value in _POLYNOMIALS.items()},
    **{f"special_shifted_{name}": _polynomial(value, True) for name, value in _POLYNOMIALS.items()
       if name.startswith("chebyshev")},
    **{f"special_bessel_j{order}": _bessel_j(order) for order in (0, 1)},
    **{f"special_bessel_y{order}": _bessel_y(order) for order in (0, 1)},
    **{f"special_modified_bessel_i{order}": _bessel_i(order) for order in (0, 1)},
    **{f"special_modified_bessel_k{order}": _bessel_k(order) for order in (0, 1)},
    **{f"special_scaled_modified_bessel_k{order}": _bessel_k(order, True) for order in (0, 1)},
    "i0": _bessel_i(0), "special_i1": _bessel_i(1), "special_i0e": _bessel_i(0, True),
    "special_i1e": _bessel_i(1, True),
    "special_spherical_bessel_j0": _within(lambda a: np.sinc(a / math.pi)),
    "special_erfcx": _moderate(_erfcx), "special_log_ndtr": _moderate(_log_ndtr),
    "special_ndtr": _moderate(lambda x: 0.5 * math.erfc(-x / math.sqrt(2))),
    "special_entr": _moderate(lambda x: -x * math.log(x) if x > 0 else 0.0 if x == 0 else -math.inf),
    "special_xlog1py": floating(lambda a, b: np.where(a == 0, 0.0, a * np.log1p(b))),
    "special_zeta": _zeta_of, "mvlgamma": _mvlgamma,
}
