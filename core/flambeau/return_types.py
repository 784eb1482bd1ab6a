"""`torch.return_types`: the types of named tuples of results, by the operator's name."""

from __future__ import annotations

from typing import Any

from flambeau.ops._faces import RETURN_TYPES


def __getattr__(name: str) -> Any:
    try:
        return RETURN_TYPES[name]
    except KeyError:
        raise AttributeError(f"module 'flambeau.return_types' has no attribute {name!r}") from None
