"""The backend "cuda": NVIDIA's GPUs through CuPy, and AMD's where CuPy is built for ROCm.

Its class is imported when it is asked for; CuPy itself only on a machine that has a driver, for importing it takes
longer than finding that there is none.
"""

import importlib
import importlib.util
from typing import Any

from flambeau.errors import BackendError, message


def __getattr__(name: str) -> Any:
    if name != "CupyBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    drivers = importlib.import_module(f"{__name__}.drivers")
    if importlib.util.find_spec("cupy") is None:
        raise BackendError(message("", "it needs the package 'cupy', which is not installed",
                                   next_step=f"pip install 'flambeau[{drivers.package()}]'"))
    return importlib.import_module(f"{__name__}.{'backend' if drivers.expected() else 'absent'}").CupyBackend
