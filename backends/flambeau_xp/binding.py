"""The families in one table, and how the table becomes kernels for one array library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from flambeau_xp import joining, linalg, products, running, search, sorting

Function = Callable[..., Any]
NOTHING: Mapping[str, Function] = MappingProxyType({})

KERNELS: dict[str, Function] = {}
"""Every shared kernel by the operator's name; each takes the module first."""

BEYOND: dict[str, str] = {}
"""The kernels that need more of the module than the array API standard gives, each with what it needs."""

for _family in (joining, linalg, products, running, search, sorting):
    KERNELS.update(_family.KERNELS)
    BEYOND.update(_family.BEYOND)

STANDARD: frozenset[str] = frozenset(KERNELS) - BEYOND.keys()
"""The kernels that keep to the array API standard: they run under any module that does."""


def _helpers(function: Function) -> dict[str, Function]:
    """The helpers that a kernel takes, each with its portable form."""
    return getattr(function, "__kwdefaults__", None) or {}


HELPERS: frozenset[str] = frozenset().union(*map(_helpers, KERNELS.values()))
"""The names of what kernels take as keyword-only parameters, because array libraries do not share it."""


def bind(xp: Any, overrides: Mapping[str, Function] = NOTHING) -> dict[str, Function]:
    """The kernels of the contract for the arrays of one module.

    `overrides` replaces kernels and helpers by name. Both kinds take the module first, as what they stand for does;
    a kernel that is a replacement may take helpers, too. A name that is neither is an error, for it would change
    nothing.
    """
    unknown = sorted(overrides.keys() - KERNELS.keys() - HELPERS)
    if unknown:
        raise ValueError(f"bind: no shared kernel or helper has the name {', '.join(unknown)}; the helpers are "
                         f"{', '.join(sorted(HELPERS))}, and the kernels are the keys of flambeau_xp.KERNELS")
    bound: dict[str, Function] = {}
    for name, portable in KERNELS.items():
        function = overrides.get(name, portable)
        replaced = {helper: overrides[helper] for helper in _helpers(function) if helper in overrides}
        bound[name] = partial(function, xp, **replaced)
    return bound
