"""Tools around tensors: data loading, checkpointing. Submodules load when they are used."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import importlib
    try:
        return importlib.import_module(f"flambeau.utils.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"flambeau.utils.{name}":
            raise
        raise AttributeError(f"module 'flambeau.utils' has no attribute {name!r}") from None
