"""The backend "opencl": GPUs of AMD, Intel and Apple, and whatever else has an OpenCL driver, through pyopencl.

Its classes are imported when they are asked for, so that `flambeau_opencl.mps` can say on most machines that there is
no such device without loading any of it.
"""

import importlib
from typing import Any

from flambeau.errors import BackendError, message

_CLASSES = {"OpenCLBackend": "backend", "IntelBackend": "vendors", "AppleBackend": "vendors"}


def __getattr__(name: str) -> Any:
    if name not in _CLASSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _check()
    return getattr(importlib.import_module(f"{__name__}.{_CLASSES[name]}"), name)


def _check() -> None:
    """Raise BackendError, with what to install, where pyopencl cannot be imported."""
    try:
        import pyopencl as _  # noqa: F401 - whether it can be imported is the question
    except ModuleNotFoundError as error:
        raise BackendError(message("", f"it needs the package {error.name!r}, which is not installed",
                                   next_step="pip install 'flambeau[opencl]'")) from error
    except ImportError as error:
        raise BackendError(message(
            "", f"pyopencl cannot be loaded: {error}", next_step="install an OpenCL loader (Debian, Ubuntu: apt "
            "install ocl-icd-libopencl1), or a pyopencl that brings one: pip install --force-reinstall --only-binary "
            ":all: pyopencl")) from error
