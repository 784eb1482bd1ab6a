"""The switches that programs set on `torch.backends.cuda`: what products of matrices may do, on any device.

>>> import flambeau as torch
>>> torch.backends.cuda.matmul.allow_tf32 = True
>>> torch.get_float32_matmul_precision()
'high'
>>> torch.backends.cuda.matmul.allow_tf32 = False
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau import discovery, settings
from flambeau.backends._switches import precision, switch
from flambeau.errors import DeviceError


def _reduction(name: str) -> tuple[Any, Any]:
    """The switches for partial sums of one dtype: whether they may have fewer bits, and whether there may be any."""
    public = f"allow_{name}_reduced_precision_reduction"

    def put(self: Any, value: Any) -> None:
        reduced, split_k = settings.reduction(value, public)
        setattr(settings.matmul, f"{name}_reduced", reduced)
        setattr(settings.matmul, f"{name}_split_k", split_k)
    return (property(lambda self: getattr(settings.matmul, f"{name}_reduced"), put),
            property(lambda self: getattr(settings.matmul, f"{name}_split_k")))


class _Matmul:
    """How products of matrices may be computed. AttributeError for a switch that there is not."""

    __slots__ = ()
    allow_tf32 = property(lambda self: settings.matmul_allows_tf32(),
                          lambda self, value: settings.allow_matmul_tf32(value))
    fp32_precision = precision("device", "matmul")
    (allow_fp16_reduced_precision_reduction, allow_fp16_reduced_precision_reduction_split_k) = _reduction("fp16")
    (allow_bf16_reduced_precision_reduction, allow_bf16_reduced_precision_reduction_split_k) = _reduction("bf16")
    allow_fp16_accumulation = switch(settings.matmul, "fp16_accumulation", "set_allow_fp16_accumulation_cublas")


matmul = _Matmul()
_attention = settings.attention.kernels


def is_built() -> bool:
    """Whether the backend of this device type is installed and works, be there a device or not."""
    try:
        discovery.backend_for("cuda")
    except DeviceError:
        return False
    return True


def flash_sdp_enabled() -> bool:
    """What `enable_flash_sdp` was told."""
    return _attention["flash"]


def enable_flash_sdp(enabled: bool) -> None:
    """Keep a wish: there is one way to compute attention."""
    _attention["flash"] = enabled


def mem_efficient_sdp_enabled() -> bool:
    """What `enable_mem_efficient_sdp` was told."""
    return _attention["mem_efficient"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Keep a wish: there is one way to compute attention."""
    _attention["mem_efficient"] = enabled


def math_sdp_enabled() -> bool:
    """What `enable_math_sdp` was told."""
    return _attention["math"]


def enable_math_sdp(enabled: bool) -> None:
    """Keep a wish: there is one way to compute attention."""
    _attention["math"] = enabled


def cudnn_sdp_enabled() -> bool:
    """What `enable_cudnn_sdp` was told."""
    return _attention["cudnn"]


def enable_cudnn_sdp(enabled: bool) -> None:
    """Keep a wish: there is one way to compute attention."""
    _attention["cudnn"] = enabled


def is_flash_attention_available() -> bool:
    """Whether attention can be computed by that library: it is not used."""
    return False


@contextmanager
def sdp_kernel(enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True,
               enable_cudnn: bool = True) -> Iterator[None]:
    """Keep other wishes for a block. FutureWarning: PyTorch gives it up."""
    warnings.warn("torch.backends.cuda.sdp_kernel() is deprecated; it chooses among ways to compute attention, of "
                  "which there is one", FutureWarning, stacklevel=3)
    before = dict(_attention)
    _attention.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield
    finally:
        _attention.update(before)
