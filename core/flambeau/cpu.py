"""The host as a device namespace, so that code written for any device type runs on it.

>>> import flambeau as torch
>>> torch.cpu.is_available(), torch.cpu.device_count()
(True, 1)
"""

from __future__ import annotations

from flambeau._device_api import DeviceApi

_api = DeviceApi("cpu")

is_available = _api.is_available
device_count = _api.device_count
is_initialized = _api.is_initialized
synchronize = _api.synchronize
get_device_properties = _api.get_device_properties
manual_seed = _api.manual_seed
Stream = _api.stream_class("Stream")
stream = _api.stream


def current_device() -> str:
    """The host has no index: "cpu"."""
    return "cpu"


def set_device(device: object) -> None:
    """Nothing to set: there is one host."""
