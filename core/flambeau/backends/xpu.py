"""Whether there are devices of type "xpu"."""

from __future__ import annotations

from flambeau import discovery


def is_available() -> bool:
    """Whether a device of type "xpu" can be used right now."""
    return discovery.is_available("xpu")
