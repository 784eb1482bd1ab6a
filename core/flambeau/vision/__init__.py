"""Vision: the models, image datasets, transforms and blocks that programs take from torchvision, under the same names.

A part is a package or module of this folder, imported when it is first used, so `import flambeau.vision` costs nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def _parts() -> list[str]:
    """The names of the parts, which nobody has to list."""
    return sorted(part.name for part in pkgutil.iter_modules(__path__) if not part.name.startswith("_"))


def __getattr__(name: str) -> Any:
    if name == "__all__":  # asked for by `from flambeau.vision import *`
        return _parts()
    if not name.startswith("_") and name in _parts():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_parts())}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_parts()})
