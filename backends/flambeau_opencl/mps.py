"""The device string "mps": Apple's GPUs. On other machines nothing is loaded to find that there are none."""

from __future__ import annotations

import sys

if sys.platform == "darwin":
    from flambeau_opencl import AppleBackend
else:
    from typing import ClassVar

    import flambeau.dtypes as fd
    from flambeau.backend import Backend, Capabilities, Kernel

    class AppleBackend(Backend):
        """No device, and the reason."""

        name: ClassVar[str] = "mps"
        capabilities = Capabilities(storage_dtypes=frozenset(fd.ALL), emulated={})
        array_type = type(None)

        def __init__(self) -> None:
            self.kernels: dict[str, Kernel] = {}

        def device_count(self) -> int:
            return 0

        def diagnosis(self) -> str:
            return ("it stands for the GPU of a Mac, which this machine is not. Next step: use \"cuda\" or \"opencl\" "
                    "for its GPU, or \"cpu\"; `python -m flambeau devices` lists what there is")

__all__ = ["AppleBackend"]
