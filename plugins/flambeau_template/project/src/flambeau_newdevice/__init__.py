"""NewDevice as a device of Flambeau."""

from flambeau_newdevice.backend import NewDeviceBackend

__all__ = ["NewDeviceBackend"]
