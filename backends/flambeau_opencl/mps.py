"""The device string "mps": Apple's GPUs. On other machines nothing is loaded to find that there are none."""

from __future__ import annotations

import sys

if sys.platform == "darwin":
    from flambeau_opencl import AppleBackend
else:
    from typing import ClassVar

    from flambeau_clike.absent import AbsentBackend

    class AppleBackend(AbsentBackend):
        """No device."""

        name: ClassVar[str] = "mps"
        reason: ClassVar[str] = (
            "it stands for the GPU of a Mac, which this machine is not. Next step: use \"cuda\" or \"opencl\" "
            "for its GPU, or \"cpu\"; `python -m flambeau devices` lists what there is")

__all__ = ["AppleBackend"]
