"""The libraries that a benchmark is run on: Flambeau, and PyTorch as the measure where it is installed."""

import importlib
import importlib.util
from types import ModuleType

LIBRARIES = ["flambeau"] + (["torch"] if importlib.util.find_spec("torch") else [])


def library(name: str) -> ModuleType:
    """Return the library under its PyTorch-like face, with PyTorch held to one thread as Flambeau's own overhead is."""
    module = importlib.import_module(name)
    if hasattr(module, "set_num_threads"):
        module.set_num_threads(1)
    module.manual_seed(0)
    return module
