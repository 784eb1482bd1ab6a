"""Small things that several kernels need, and the portable forms of the helpers that a library may replace."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

WHOLE = slice(None)


def copied(xp: Any, a: Any) -> Any:
    """A new array with the same elements."""
    return xp.asarray(a, copy=True)


def along(dim: int, part: Any) -> tuple[Any, ...]:
    """The key that takes a part of one dimension and all of the others."""
    return (*(WHOLE,) * dim, part, ...)


@lru_cache(64)
def is_floating(xp: Any, dtype: Any) -> bool:
    """Whether a dtype of the module is a real floating-point one: those that have nan and an order."""
    return bool(xp.isdtype(dtype, "real floating"))


@lru_cache(64)
def is_complex(xp: Any, dtype: Any) -> bool:
    """Whether a dtype of the module is a complex one."""
    return bool(xp.isdtype(dtype, "complex floating"))


def native_dtype(xp: Any, dtype: Any) -> Any:
    """Helper: Flambeau's dtype as the module's, which has the same name."""
    return getattr(xp, dtype.name)


def stable_order(xp: Any, a: Any, dim: int) -> Any:
    """Helper: where the elements of each row are in ascending order, equal ones in the order they have, nan last.

    Bools go as numbers: the standard gives an order to nothing else.
    """
    if a.dtype == xp.bool:
        a = xp.asarray(a, dtype=xp.uint8)
    return xp.argsort(a, axis=dim, stable=True)


def accumulate(xp: Any, name: str, a: Any, dim: int) -> Any:
    """Helper: running results of the module's associative function of that name, along a dimension of any size.

    Each of log2(size) steps combines every element with the one as far before it as the results already reach.
    """
    combine = getattr(xp, name)
    size, reach = a.shape[dim], 1
    result = copied(xp, a)
    while reach < size:
        later = combine(result[along(dim, slice(reach, None))], result[along(dim, slice(0, size - reach))])
        result = xp.concat([result[along(dim, slice(0, reach))], later], axis=dim)
        reach *= 2
    return result
