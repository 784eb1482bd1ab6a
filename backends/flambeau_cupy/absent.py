"""The device string "cuda" on a machine that has no driver for CUDA, or no CuPy."""

from __future__ import annotations

from typing import ClassVar

from flambeau_clike.absent import AbsentBackend
from flambeau_cupy import drivers


class CupyBackend(AbsentBackend):
    """No device."""

    name: ClassVar[str] = "cuda"

    def diagnosis(self) -> str:
        return drivers.advice()
