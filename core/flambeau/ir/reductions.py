"""What reductions, searches for an extremum and scans do with elements, stated once, in their operators' records.

A record says it in scalar expressions; how a kernel goes over an array, in how many lanes and stages, is the
renderer's business. So an accumulator has to be of one dtype, and `combine` associative: partial results of lanes are
combined as elements are. Rounding aside, the order of combining is free, except for a `Search` and a running one,
where the first, or the last, of equals is found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flambeau.ir.expr import Expr, Number

LOWEST, HIGHEST = "lowest", "highest"   # the smallest and the largest value of a dtype, infinities included


def itself(x: Any) -> Any:
    """The `load` of loops that take elements as they are."""
    return x


class Reduction(NamedTuple):
    """All elements combined, starting from `initial`: a number, or "lowest" or "highest" of the dtype.

    `load` is applied to each element first, which gives the accumulator's dtype; `finish(total, count)` to the total,
    with the number of elements.

    >>> from flambeau.ir.reductions import Reduction
    >>> from flambeau.ir.expr import symbols
    >>> Reduction(0, lambda a, b: a + b).combine(*symbols("a", "b"))
    add(a, b)
    """

    initial: Number | str
    combine: Callable[[Expr, Expr], Expr]
    load: Callable[[Expr], Any] = itself
    finish: Callable[[Expr, Expr], Expr] | None = None


class Search(NamedTuple):
    """The element that no other is `better` than, and its place, the first of equals.

    `better(x, best)` is strict: false for equals. `initial` is what nothing is worse than.
    """

    initial: Number | str
    better: Callable[[Expr, Expr], Expr]


class Scan(NamedTuple):
    """Running combinations of elements, from `initial` on."""

    initial: Number
    combine: Callable[[Expr, Expr], Expr]


class RunningSearch(NamedTuple):
    """Running extrema and their places, the last of equals: `better(x, best)` is true for equals."""

    initial: Number | str
    better: Callable[[Expr, Expr], Expr]
