"""Whether there are devices of type "mps"."""

from __future__ import annotations

from flambeau import discovery


def is_available() -> bool:
    """Whether a device of type "mps" can be used right now."""
    return discovery.is_available("mps")


def is_built() -> bool:
    """Whether an installed plugin offers the device type."""
    return discovery.is_available("mps")
