"""The functions behind the layers: the operators of the namespace `nn.functional`, found in the table of operators.

Nothing is listed here: a record says itself that it belongs to this namespace. What PyTorch offers both here and
under `torch` is found in `_namespace.ALSO_TOP`.
"""

from __future__ import annotations

import sys
from typing import Any

from flambeau._namespace import ALSO_TOP
from flambeau.ops.grid_sampling import (
    GRID_SAMPLE_INTERPOLATION_MODES as GRID_SAMPLE_INTERPOLATION_MODES,
    GRID_SAMPLE_PADDING_MODES as GRID_SAMPLE_PADDING_MODES,
)
from flambeau.registry import ALIASES, OPERATORS, OpDef

CLASH = "functional_"   # begins the record's name where the name is one of a method, such as unfold's


def _belongs(name: str, record: OpDef) -> bool:
    return not record.internal and ("nn.functional" in record.namespace or name in ALSO_TOP)


def _find(name: str) -> Any:
    record = OPERATORS.get(name) or ALIASES.get(name)
    if record is not None and _belongs(name, record):
        return record.public
    record = OPERATORS.get(CLASH + name)
    if record is not None:
        return record.public
    if name.endswith("_"):
        record = OPERATORS.get(name[:-1])
        if record is not None and record.inplace_call is not None and _belongs(name[:-1], record):
            return record.inplace_call
    raise AttributeError(f"module 'flambeau.nn.functional' has no attribute {name!r}")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module 'flambeau.nn.functional' has no attribute {name!r}")
    value = _find(name)
    setattr(sys.modules[__name__], name, value)  # found once: later look-ups are a module attribute's
    return value


def __dir__() -> list[str]:
    return sorted(name.removeprefix(CLASH) for name, record in (*OPERATORS.items(), *ALIASES.items())
                  if _belongs(name, record))
