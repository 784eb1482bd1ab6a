"""The device string "xpu", and "mps" on a Mac: PyTorch's names for Intel's and Apple's GPUs, served through OpenCL."""

from __future__ import annotations

from typing import Any, ClassVar

import pyopencl as cl

from flambeau_opencl.backend import OpenCLBackend


class AppleBackend(OpenCLBackend):
    """Apple's GPUs."""

    name: ClassVar[str] = "mps"
    wanted: ClassVar[str] = "Apple GPU"

    @classmethod
    def accepts(cls, handle: Any) -> bool:
        return bool(handle.type & cl.device_type.GPU) and "apple" in f"{handle.vendor} {handle.platform.name}".lower()


class IntelBackend(OpenCLBackend):
    """Intel's GPUs."""

    name: ClassVar[str] = "xpu"
    wanted: ClassVar[str] = "Intel GPU"

    @classmethod
    def accepts(cls, handle: Any) -> bool:
        return bool(handle.type & cl.device_type.GPU) and (
            handle.vendor_id == 0x8086 or "intel" in handle.vendor.lower())
