"""How far a result may be from the oracle's: one table by class of operator and dtype.

A result agrees if |actual - expected| <= atol + rtol * |expected|, nan being equal to nan; integers, bools and what
only moves data must be equal. A backend whose hardware rounds otherwise says so in its own expectation file::

    [tolerances]
    "contraction:float32" = { rtol = 1e-3, atol = 1e-4 }      # this device multiplies in tf32
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flambeau.registry import OpDef


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Relative and absolute."""

    rtol: float
    atol: float

    def times(self, factor: float) -> Tolerance:
        """A wider one, for gradients and what else multiplies roundings."""
        return Tolerance(self.rtol * factor, self.atol * factor)


EXACT = Tolerance(0, 0)

# What one operator may lose; an absolute error counts where terms cancel. Complex dtypes go with their real parts.
TABLE: dict[tuple[str, str], Tolerance] = {
    ("pointwise", "float64"): Tolerance(1e-11, 1e-12),
    ("pointwise", "float32"): Tolerance(4e-6, 2e-6),
    ("pointwise", "float16"): Tolerance(2e-3, 1e-3),
    ("pointwise", "bfloat16"): Tolerance(1.6e-2, 8e-3),
    ("reduction", "float64"): Tolerance(1e-11, 1e-12),
    ("reduction", "float32"): Tolerance(1e-5, 5e-6),
    ("reduction", "float16"): Tolerance(4e-3, 2e-3),
    ("reduction", "bfloat16"): Tolerance(3e-2, 1.6e-2),
    ("contraction", "float64"): Tolerance(1e-11, 1e-11),
    ("contraction", "float32"): Tolerance(2e-5, 2e-5),
    ("contraction", "float16"): Tolerance(5e-3, 1e-2),
    ("contraction", "bfloat16"): Tolerance(4e-2, 8e-2),
    ("factorization", "float64"): Tolerance(1e-9, 1e-9),
    ("factorization", "float32"): Tolerance(1e-3, 2e-4),
    ("composite", "float64"): Tolerance(1e-10, 1e-11),
    ("composite", "float32"): Tolerance(2e-5, 1e-5),
    ("composite", "float16"): Tolerance(1e-2, 4e-3),
    ("composite", "bfloat16"): Tolerance(6e-2, 3e-2),
    # An operator's own row comes before its class's.
    ("polygamma", "float64"): Tolerance(2e-8, 1e-8),   # the oracle ends the series there
    ("digamma", "float64"): Tolerance(1e-10, 1e-10),   # so for its gradient
    ("hardsigmoid", "float64"): Tolerance(1e-8, 1e-8),   # the oracle's slope is the float32 number nearest to 1/6
}
GRADIENT = 10      # a gradient goes through several operators
SECOND = 100

_FAMILIES = {
    "reduction": "reduction scan statistics norms argreduction sorting",
    "contraction": "linalg contraction einsum conv attention",
    "factorization": "factorization solvers",
    "exact": "shape views copies indexing joining rearrange movement selection search",
}
_OF_MODULE = {module: name for name, modules in _FAMILIES.items() for module in modules.split()}


# They move data, and add it up where two elements go to one place.
_ADDING = frozenset("index_add index_put scatter_add scatter_reduce put index_reduce bincount diagonal_backward "
                    "index_basic_backward".split())


# They take any dtype, and compute all the same.
_COMPUTING = frozenset("linspace logspace arange range adam_step_ sgd_step_".split())


# They stand with other operators.
_FACTORIZATIONS = frozenset("geqrf linalg_householder_product orgqr".split())


def class_of(record: OpDef) -> str:
    """The operator class, which is the row of the table."""
    if record.name.removesuffix("_") in _ADDING:
        return "reduction"
    if record.name in _FACTORIZATIONS:
        return "factorization"
    if record.name in _COMPUTING:
        return "pointwise"
    if record.family in ("view", "views") or record.dtype_rule == "any":
        return "exact"
    if record.family in ("unary", "binary", "pointwise"):
        return "pointwise"
    return _OF_MODULE.get(record.module.rpartition(".")[2], "composite")


class Tolerances:
    """The table, with a backend's own entries ("class:dtype" or "operator:dtype") before it."""

    def __init__(self, overrides: Mapping[str, Mapping[str, float]] | None = None) -> None:
        self.overrides = {name: Tolerance(float(each["rtol"]), float(each["atol"]))
                          for name, each in (overrides or {}).items()}

    def of(self, record: OpDef | str, dtype_name: str) -> Tolerance:
        """What an operator, or an operator class, may be off in a dtype."""
        real = {"complex64": "float32", "complex128": "float64"}.get(dtype_name, dtype_name)
        name = record if isinstance(record, str) else class_of(record)
        keys = [f"{name}:{real}"] if isinstance(record, str) else [f"{record.name}:{real}", f"{name}:{real}"]
        for key in keys:
            if key in self.overrides:
                return self.overrides[key]
        if isinstance(record, OpDef) and (record.name, real) in TABLE:
            return TABLE[record.name, real]
        if name == "exact":
            return EXACT
        return TABLE.get((name, real)) or TABLE.get(("composite", real)) or EXACT


@dataclass(frozen=True, slots=True)
class Difference:
    """The worst element of a comparison that failed."""

    index: tuple[int, ...]
    actual: Any
    expected: Any
    count: int       # elements beyond tolerance
    size: int

    def __str__(self) -> str:
        return (f"{self.count} of {self.size} elements differ; at {list(self.index)}: {self.actual!r}, "
                f"expected {self.expected!r}")


def difference(actual: Any, expected: Any, tolerance: Tolerance) -> Difference | None:
    """The worst element where two arrays of one shape disagree, or None."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.dtype.kind in "biu" and expected.dtype.kind in "biu":
        wrong, error = actual != expected, _spread(actual, expected)
    else:
        wide = np.complex128 if "c" in (actual.dtype.kind, expected.dtype.kind) else np.float64
        actual, expected = actual.astype(wide), expected.astype(wide)
        wrong, error = _beyond(actual, expected, tolerance)
    if not wrong.any():
        return None
    index = np.unravel_index(int(np.argmax(np.where(wrong, error, -1))), wrong.shape)
    return Difference(tuple(int(each) for each in index), actual[index].item(), expected[index].item(),
                      int(wrong.sum()), wrong.size)


def _spread(actual: Any, expected: Any) -> Any:
    return np.abs(actual.astype(np.float64) - expected.astype(np.float64))


def _beyond(actual: Any, expected: Any, tolerance: Tolerance) -> tuple[Any, Any]:
    """Where two floating arrays disagree, and by how much; nan and infinities must stand at the same places."""
    with np.errstate(all="ignore"):
        error = np.abs(actual - expected)
        bound = tolerance.atol + tolerance.rtol * np.abs(expected)
        finite = np.isfinite(actual) & np.isfinite(expected)
        same = _same(actual.real, expected.real) & _same(actual.imag, expected.imag)
        wrong = np.where(finite, error > bound, ~same)
        return wrong, np.where(finite, error, np.inf)


def _same(actual: Any, expected: Any) -> Any:
    return (actual == expected) | (np.isnan(actual) & np.isnan(expected))
