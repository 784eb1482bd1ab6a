"""The operators, one module per family, and the attaching of what they offer to `Tensor`."""

from __future__ import annotations

from typing import Any

from flambeau.ops import (
    activation,
    argreduction,
    attention,
    bitwise,
    comparison,
    complex_numbers,
    construct,
    contraction,
    conv,
    copies,
    creation,
    ctc,
    derive,
    distances,
    draws,
    dropout,
    einsum,
    elementwise,
    embedding,
    factorization,
    factory,
    fractional_pooling,
    gather,
    grid_sampling,
    indexing,
    interpolation,
    joining,
    legacy,
    linalg,
    lookups,
    loss,
    loss_elements,
    margin_losses,
    metadata,
    methods,
    movement,
    multihead,
    nonlinear,
    normalization,
    norms,
    operators,
    padding,
    parametrizations,
    pinning,
    pooling,
    protocols,
    random,
    rearrange,
    recurrent,
    reduction,
    scan,
    search,
    selection,
    shape,
    signal_windows,
    softmax,
    solvers,
    sorting,
    special,
    special_functions,
    statistics,
    ternary,
    time_convolution,
    transcendental,
    views,
    weighted_places,
    windows,
)
from flambeau.registry import ALIASES, OPERATORS

__all__ = ["activation", "argreduction", "attention", "bitwise", "comparison", "complex_numbers",
           "construct", "contraction", "conv", "copies", "creation", "ctc", "distances", "draws", "dropout",
           "einsum", "elementwise", "embedding", "factorization", "factory",
           "fractional_pooling", "gather", "grid_sampling", "indexing",
           "interpolation", "joining", "legacy", "linalg", "loss", "loss_elements",
           "lookups", "margin_losses", "metadata", "methods", "movement", "multihead", "nonlinear",
           "normalization", "norms", "operators", "padding",
           "parametrizations", "pinning", "pooling", "protocols", "random", "rearrange",
           "recurrent", "reduction", "scan", "search", "selection", "shape", "signal_windows", "softmax", "solvers",
           "sorting", "special", "special_functions", "statistics", "ternary", "time_convolution", "transcendental",
           "views", "weighted_places", "windows"]

derive.install()
methods.install()


def __getattr__(name: str) -> Any:
    """Any operator by name, from the table: `from flambeau.ops import relu`."""
    record = OPERATORS.get(name) or ALIASES.get(name)
    if record is None:
        raise AttributeError(f"module 'flambeau.ops' has no operator {name!r}")
    return record.public
