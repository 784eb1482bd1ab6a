"""The backend "cuda": NVIDIA's GPUs through CuPy, and AMD's where CuPy is built for ROCm.

Its class is imported when it is asked for; CuPy itself only on a machine that has it and a driver, for importing it
takes longer than finding that there is none.
"""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name != "CupyBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    drivers = importlib.import_module(f"{__name__}.drivers")
    return importlib.import_module(f"{__name__}.{'backend' if drivers.expected() else 'absent'}").CupyBackend
