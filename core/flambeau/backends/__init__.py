"""Switches of the libraries that PyTorch is built with, for whichever backend has such a library.

They are kept in `flambeau.settings`, where backends read them: permissions, of which a device uses what it has.

>>> import flambeau as torch
>>> with torch.backends.cudnn.flags(enabled=True, benchmark=True):
...     torch.backends.cudnn.benchmark
True
>>> torch.backends.mps.is_available() in (True, False)
True
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from flambeau import settings
from flambeau.backends import _switches, cpu, cuda, cudnn, mha, mkl, mkldnn, mps, openmp, xpu

__all__ = ["cpu", "cuda", "cudnn", "mha", "mkl", "mkldnn", "mps", "openmp", "xpu", "flags", "set_flags"]


def set_flags(_fp32_precision: str | None = "none") -> tuple[str]:
    """Set the precision of float32 everywhere, and give what it was."""
    before = settings.fp32_precision(("generic", "all"))
    if _fp32_precision is not None:
        settings.set_fp32_precision(("generic", "all"), _fp32_precision)
    return (before,)


@contextmanager
def flags(fp32_precision: str = "none") -> Iterator[None]:
    """Set the precision of float32 everywhere for a block."""
    before = set_flags(fp32_precision)
    try:
        yield
    finally:
        set_flags(*before)


class _Backends(ModuleType):
    fp32_precision = _switches.precision("generic", "all")


sys.modules[__name__].__class__ = _Backends
