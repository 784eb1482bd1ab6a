"""A backend without devices, for machines that cannot have any: it says why, and loads nothing to find that out."""

from __future__ import annotations

from typing import ClassVar

import flambeau.dtypes as fd
from flambeau.backend import Backend, Capabilities, Kernel


class AbsentBackend(Backend):
    """No device, and the reason."""

    reason: ClassVar[str]
    capabilities = Capabilities(storage_dtypes=frozenset(fd.ALL), emulated={})
    array_type = type(None)

    def __init__(self) -> None:
        self.kernels: dict[str, Kernel] = {}

    def device_count(self) -> int:
        return 0

    def diagnosis(self) -> str:
        return self.reason
