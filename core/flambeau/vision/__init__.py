"""Vision: the image datasets and transforms that programs take from torchvision, under the same names.

The parts are imported when they are first used, so `import flambeau.vision` costs nothing.
"""

from __future__ import annotations

import importlib
from types import ModuleType

_PARTS = ("datasets", "transforms")

__all__ = ["datasets", "transforms"]  # provided by __getattr__


def __getattr__(name: str) -> ModuleType:
    if name in _PARTS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_PARTS)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PARTS})
