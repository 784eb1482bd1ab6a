"""All definitions in NumPy, by operator, and how they are asked.

They take the arguments of the public call, with arrays for tensors (float64 or complex128 where the operator's are
floating) and flambeau's own dtypes. What has no definition is compared with its decomposition on another backend, whose
primitives these definitions check.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau_conformance.sampling import Call, Value, replaced

Definition = Callable[..., Any]


@functools.cache
def table() -> dict[str, Definition]:
    """Every definition by its operator's name."""
    from flambeau_conformance import oracle_movement, oracle_nn, oracle_numpy, oracle_special
    return {**oracle_numpy.DEFINITIONS, **oracle_special.DEFINITIONS, **oracle_movement.DEFINITIONS,
            **oracle_nn.DEFINITIONS}


def ask(name: str, call: Call) -> list[Any] | None:
    """The results of an operator, in float64 or complex128 where operands are floating; None if it has no answer."""
    definition = table().get(name)
    if definition is None:
        return None

    def convert(leaf: Any) -> Any:
        if not isinstance(leaf, Value):
            return leaf
        if not leaf.dtype.is_differentiable:
            return leaf.array
        return leaf.array.astype(np.complex128 if leaf.dtype.is_complex else np.float64)
    with np.errstate(all="ignore"):
        try:
            found = definition(*replaced(call[0], convert), **replaced(call[1], convert))
        except (TypeError, ValueError, IndexError, ArithmeticError):   # a call that the definition does not know
            return None
    if found is NotImplemented:
        return None
    return [np.asarray(each) for each in found] if isinstance(found, (tuple, list)) else [np.asarray(found)]
