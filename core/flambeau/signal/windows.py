"""`torch.signal.windows`: the window functions, from the table of operators."""

from __future__ import annotations

from typing import Any

from flambeau.registry import OPERATORS

_BEGINNING = "signal_windows_"
__all__ = [name.removeprefix(_BEGINNING) for name in OPERATORS if name.startswith(_BEGINNING)]


def __getattr__(name: str) -> Any:
    record = OPERATORS.get(_BEGINNING + name)
    if record is None:
        raise AttributeError(f"module 'flambeau.signal.windows' has no attribute {name!r}")
    globals()[name] = record.public
    return record.public


def __dir__() -> list[str]:
    return sorted(__all__)
