"""The host as a device namespace, so that code written for any device type runs on it.

>>> import flambeau as torch
>>> torch.cpu.is_available(), torch.cpu.device_count()
(True, 1)
"""

from flambeau._device_api import members

__getattr__, __dir__ = members("cpu", "amp")


def current_device() -> str:
    """The host has no index: "cpu"."""
    return "cpu"


def set_device(device: object) -> None:
    """Nothing to set: there is one host."""
