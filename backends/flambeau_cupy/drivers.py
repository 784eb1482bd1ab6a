"""Is there a driver for CUDA on this machine, and a device? Asked without loading CuPy, which takes half a second.

Programs ask `torch.cuda.is_available()` wherever they start; on a machine without a driver the answer must be quick.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys

DRIVERS = ("libcuda.so.1", "libcuda.so", "nvcuda.dll", "libamdhip64.so")     # the last is that of ROCm


def driver() -> ctypes.CDLL | None:
    """The driver's library, or None where there is none."""
    for name in DRIVERS:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def version() -> int:
    """The newest CUDA that the driver runs, as 13000; 0 where it does not say."""
    library, found = driver(), ctypes.c_int(0)
    try:
        if library is None or library.cuDriverGetVersion(ctypes.byref(found)):
            return 0
    except AttributeError:
        return 0
    return found.value


def package() -> str:
    """The extra to install: the one for the driver's CUDA, the newest where there is no driver."""
    return "cuda12" if 12000 <= version() < 13000 else "cuda13"


def installed() -> bool:
    """Whether CuPy is there."""
    return _loaded() or importlib.util.find_spec("cupy") is not None


def _loaded() -> bool:
    return sys.modules.get("cupy") is not None


def expected() -> bool:
    """Whether it is worth loading CuPy: it is loaded already, or it is installed and there is a driver."""
    return _loaded() or (installed() and driver() is not None)


def advice(problem: str = "") -> str:
    """Why there is no device, and what to do next."""
    package_too = "" if installed() else f", and the package 'cupy': pip install 'flambeau[{package()}]'"
    if not _loaded() and driver() is None:
        return ("this machine has no NVIDIA driver (libcuda.so.1 is not to be found). Next step: install it "
                "(https://www.nvidia.com/drivers; Ubuntu: sudo ubuntu-drivers install), see that `nvidia-smi` lists "
                f"the GPU{package_too}; for other GPUs use device=\"opencl\"")
    if package_too:
        return f"it needs the package 'cupy', which is not installed. Next step: pip install 'flambeau[{package()}]'"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and (not visible.strip() or visible.strip().startswith("-")):
        return (f"CUDA_VISIBLE_DEVICES={visible!r} hides all devices. Next step: unset CUDA_VISIBLE_DEVICES, or name "
                "the GPUs to use in it, as 0,1")
    if "InsufficientDriver" in problem:
        return (f"CuPy needs a newer driver than this one ({problem}). Next step: install the driver anew, or CuPy for "
                "an older CUDA: pip install 'flambeau[cuda12]'")
    told = f" ({problem})" if problem else ""
    return (f"the driver finds no device{told}. Next step: run `nvidia-smi`; if it lists no GPU, the driver does not "
            "fit the kernel or the GPU is not handed to this container (docker run --gpus all)")
