"""Turning one number into one per spatial dimension, and the padding order that ``pad`` wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

__all__ = ["consume_prefix_in_state_dict_if_present"]


def _ntuple(count: int) -> Callable[[Any], tuple[Any, ...]]:
    def parse(value: Any) -> tuple[Any, ...]:
        return tuple(value) if isinstance(value, Iterable) else tuple(repeat(value, count))

    return parse


_single = _ntuple(1)
_pair = _ntuple(2)
_triple = _ntuple(3)
_quadruple = _ntuple(4)


def _reverse_repeat_tuple(values: Iterable[Any], count: int) -> tuple[Any, ...]:
    """Last dimension first, each value ``count`` times: one number per dimension becomes ``pad``'s list."""
    return tuple(value for value in reversed(tuple(values)) for _ in range(count))


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Strip ``prefix`` from the names of a state dict, in place; for checkpoints of wrapped models.

    >>> from flambeau.nn.modules.utils import consume_prefix_in_state_dict_if_present
    >>> d = {"module.weight": 1}
    >>> consume_prefix_in_state_dict_if_present(d, "module.")
    >>> d
    {'weight': 1}
    """
    for key in list(state_dict):
        if key.startswith(prefix):
            state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:
        for key in list(metadata):
            # The wrapper's own entry is "module" and the wrapped model's root is "".
            if key.startswith(prefix) or (key and key == prefix.rstrip(".")):
                metadata[key[len(prefix) :]] = metadata.pop(key)
