"""What the tables of layers are written with: inputs by kind, and rows that one line makes.

A row is a function of a library's `nn` and its `tensor`, so that it makes the layer of either library, and the inputs
that the layer is called with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Build = Callable[[Any, Any], Any]
Inputs = tuple[tuple[Any, ...], ...]
Row = tuple[Build, Inputs]


def x(*shape: int) -> tuple[Any, ...]:
    """Normal numbers, with respect to which gradients are wanted."""
    return ("normal", shape)


def p(*shape: int) -> tuple[Any, ...]:
    """Probabilities, with respect to which gradients are wanted."""
    return ("chance", shape)


def fixed(*shape: int) -> tuple[Any, ...]:
    """Probabilities that are a target: no gradients."""
    return ("target", shape)


def rows_of_one(*shape: int) -> tuple[Any, ...]:
    """Rows that sum to 1 along dimension 1, as a target."""
    return ("rows", shape)


def index(high: int, *shape: int) -> tuple[Any, ...]:
    """int64 numbers below `high`."""
    return ("index", shape, high)


def places(high: int, *shape: int) -> tuple[Any, ...]:
    """int64 numbers below `high`, (N, C, ...), of which no two are equal for one sample and channel."""
    return ("places", shape, high)


def signs(*shape: int) -> tuple[Any, ...]:
    """1 and -1, as a target."""
    return ("signs", shape)


def plain(name: str, *args: Any, shape: tuple[int, ...] = (2, 3, 4), **kwargs: Any) -> Row:
    return lambda n, t: getattr(n, name)(*args, **kwargs), (x(*shape),)


def several(name: str, shape: tuple[int, ...], *options: dict[str, Any]) -> list[Row]:
    return [plain(name, shape=shape, **each) for each in options]


def loss(name: str, inputs: Inputs, *options: dict[str, Any]) -> list[Row]:
    def build(more: dict[str, Any]) -> Build:
        return lambda n, t: getattr(n, name)(**{key: t(each) if isinstance(each, list) else each
                                                for key, each in more.items()})
    return [(build(each), inputs) for each in ({}, {"reduction": "sum"}, {"reduction": "none"}, *options)]
