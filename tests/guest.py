"""A device that is not the host, with the host's arrays and kernels: what tests of the core's other half start from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from flambeau_numpy import NumpyBackend


class Guest(NumpyBackend):
    """The host's arrays on a device of its own, which copies on the way in and out."""

    name = "guest"
    capabilities = replace(NumpyBackend.capabilities, host=False, unified_memory=False)

    def to_host(self, array: Any) -> Any:
        return np.array(array)


class Guests(Guest):
    """Two such devices, which have no random numbers of their own."""

    name = "guests"

    def device_count(self) -> int:
        return 2

    def default_generator(self, index: int) -> Any:
        return None
