"""The operators, one module per family, and the attaching of what they offer to `Tensor`."""

from __future__ import annotations

from typing import Any

from flambeau.ops import (
    activation, argreduction, attention, bitwise, comparison, construct, conv, creation, derive, draws, dropout, elementwise,
    embedding, factory, indexing, joining, legacy, linalg, methods, movement, nonlinear, normalization,
    operators, pooling, protocols, random, reduction, selection, shape, softmax, transcendental, views)
from flambeau.registry import ALIASES, OPERATORS

__all__ = ["activation", "argreduction", "attention", "bitwise", "comparison", "construct", "conv", "creation",
           "draws", "dropout", "elementwise", "embedding", "factory", "indexing", "joining", "legacy", "linalg", "methods",
           "movement", "nonlinear", "normalization", "operators", "pooling", "protocols", "random", "reduction",
           "selection", "shape", "softmax", "transcendental", "views"]

derive.install()
methods.install()


def __getattr__(name: str) -> Any:
    """Any operator by name, from the table: `from flambeau.ops import relu`."""
    record = OPERATORS.get(name) or ALIASES.get(name)
    if record is None:
        raise AttributeError(f"module 'flambeau.ops' has no operator {name!r}")
    return record.public
