"""Running sums, products and extrema along a dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau_xp import helpers
from flambeau_xp.helpers import WHOLE, copied, is_complex, is_floating


def cumsum(xp: Any, a: Any, dim: int, dtype: Any, *, native_dtype: Callable[..., Any] = helpers.native_dtype) -> Any:
    """Running sums, computed in the wanted dtype."""
    wanted = native_dtype(xp, dtype)
    return xp.cumulative_sum(a, axis=dim, dtype=wanted) if a.ndim else xp.astype(a, wanted)


def cumprod(xp: Any, a: Any, dim: int, dtype: Any, *, native_dtype: Callable[..., Any] = helpers.native_dtype) -> Any:
    """Running products, computed in the wanted dtype."""
    wanted = native_dtype(xp, dtype)
    return xp.cumulative_prod(a, axis=dim, dtype=wanted) if a.ndim else xp.astype(a, wanted)


def _running(xp: Any, name: str, a: Any, dim: int, accumulate: Callable[..., Any]) -> tuple[Any, Any]:
    """Running extrema and the last place of each: where an element equals the extremum so far, it is the place."""
    if not a.ndim:
        return copied(xp, a), xp.zeros((), dtype=xp.int64)
    values = accumulate(xp, name, a, dim)
    new = a == values
    if is_floating(xp, a.dtype):
        new |= xp.isnan(a)
    every = xp.arange(a.shape[dim])[(WHOLE, *(None,) * (a.ndim - 1 - dim))]
    places = xp.where(new, every, 0)
    return values, accumulate(xp, "maximum", places, dim)


def cummax(xp: Any, a: Any, dim: int, *,
           accumulate: Callable[..., Any] = helpers.accumulate) -> tuple[Any, Any]:
    """(largest so far, where it was last); nan stays once it has come."""
    return _running(xp, "maximum", a, dim, accumulate)


def cummin(xp: Any, a: Any, dim: int, *,
           accumulate: Callable[..., Any] = helpers.accumulate) -> tuple[Any, Any]:
    """(smallest so far, where it was last); nan stays once it has come."""
    return _running(xp, "minimum", a, dim, accumulate)


def logcumsumexp(xp: Any, a: Any, dim: int, *, accumulate: Callable[..., Any] = helpers.accumulate) -> Any:
    """Logarithms of running sums of exponentials."""
    if not a.ndim:
        return copied(xp, a)
    if is_complex(xp, a.dtype):
        top = xp.max(xp.real(a), axis=dim, keepdims=True) if 0 not in a.shape else 0
        return xp.log(accumulate(xp, "add", xp.exp(a - top), dim)) + top
    return accumulate(xp, "logaddexp", a, dim)


KERNELS: dict[str, Callable[..., Any]] = {
    "cumsum": cumsum,
    "cumprod": cumprod,
    "cummax": cummax,
    "cummin": cummin,
    "logcumsumexp": logcumsumexp,
}

BEYOND: dict[str, str] = {}
