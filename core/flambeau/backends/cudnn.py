"""The switches that programs set on `torch.backends.cudnn`: what convolutions may do, on any device.

>>> import flambeau as torch
>>> with torch.backends.cudnn.flags(enabled=True, deterministic=True):
...     torch.backends.cudnn.deterministic
True
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from flambeau import settings
from flambeau.backends._switches import Precision, precision, precision_of, switch

conv: Precision = precision_of("device", "conv")
rnn: Precision = precision_of("device", "rnn")

if TYPE_CHECKING:   # the module's properties, below
    enabled: bool
    benchmark: bool
    benchmark_limit: int
    deterministic: bool
    allow_tf32: bool
    fp32_precision: str
    depthwise_kernel: str


def version() -> int | None:
    """The version of the library that the accelerator's backend has, 91002 for 9.10.2; None where it has none."""
    from flambeau._device_api import versions
    said = versions().get("cudnn")
    if said is None:
        return None
    major, minor, patch = (*map(int, said.split(".")[:3]), 0, 0)[:3]
    return major * 10000 + minor * 100 + patch


def is_available() -> bool:
    """Whether the accelerator's backend has the library."""
    return version() is not None


def set_flags(_enabled: bool | None = None, _benchmark: bool | None = None, _benchmark_limit: int | None = None,
              _deterministic: bool | None = None, _allow_tf32: bool | None = None,
              _fp32_precision: str | None = "none", _depthwise_kernel: str | None = None) -> tuple[Any, ...]:
    """Set switches, those that are not None, and give what all of them were."""
    space: Any = sys.modules[__name__]
    given = {"enabled": _enabled, "benchmark": _benchmark, "benchmark_limit": _benchmark_limit,
             "deterministic": _deterministic, "allow_tf32": _allow_tf32, "fp32_precision": _fp32_precision,
             "depthwise_kernel": _depthwise_kernel}
    before = tuple(getattr(space, name) for name in given)
    for name, value in given.items():
        if value is not None:
            setattr(space, name, value)
    return before


@contextmanager
def flags(enabled: bool = False, benchmark: bool = False, benchmark_limit: int = 10, deterministic: bool = False,
          allow_tf32: bool = True, fp32_precision: str = "none", depthwise_kernel: str = "auto") -> Iterator[None]:
    """Set the switches for a block."""
    before = set_flags(enabled, benchmark, benchmark_limit, deterministic, allow_tf32, fp32_precision, depthwise_kernel)
    try:
        yield
    finally:
        set_flags(*before)


class _Cudnn(ModuleType):
    enabled = switch(settings.convolution, "enabled", "set_enabled_cudnn")
    benchmark = switch(settings.convolution, "benchmark", "set_benchmark_cudnn")
    benchmark_limit = switch(settings.convolution, "benchmark_limit", "set_benchmark_limit_cudnn", int)
    deterministic = switch(settings.convolution, "deterministic", "set_deterministic_cudnn")
    depthwise_kernel = switch(settings.convolution, "depthwise_kernel", "set_cudnn_depthwise_kernel", str)
    allow_tf32 = property(lambda self: settings.convolutions_allow_tf32(),
                          lambda self, value: settings.allow_convolution_tf32(value))
    fp32_precision = precision("device", "all")


sys.modules[__name__].__class__ = _Cudnn
