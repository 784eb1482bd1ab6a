"""The accelerator of this process: the one device type, beside the host, that installed backends serve.

Where several are there, the one that PyTorch would prefer comes first, then the others by name. A simulated device, as
the reference devices are, is none.

>>> import flambeau as torch
>>> torch.accelerator.is_available() == (torch.accelerator.current_accelerator(True) is not None)
True
"""

from __future__ import annotations

from typing import Any

from flambeau import discovery
from flambeau._device_api import DeviceApi
from flambeau.device import device as device_type
from flambeau.errors import DeviceError

_FIRST = ("cuda", "xpu", "mps")


def _names() -> list[str]:
    offered = [name for name in discovery._offers() if _computes(name)]
    return sorted(offered, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))


def _computes(name: str) -> bool:
    """Whether there is hardware beside the host's behind a device name, as far as can be told without its driver."""
    try:
        capabilities = discovery.backend_for(name).capabilities
    except DeviceError:
        return False  # disabled: it is nothing to compute on
    return not (capabilities.host or capabilities.simulated)


def current_accelerator(check_available: bool = False) -> device_type | None:
    """The accelerator's device type, or None where there is none with a device."""
    return next((device_type(name) for name in _names() if discovery.is_available(name)), None)


def is_available() -> bool:
    """Whether there is an accelerator with a device."""
    return current_accelerator() is not None


def _api() -> DeviceApi:
    found = current_accelerator()
    if found is None:
        raise DeviceError("accelerator: this process has none; `python -m flambeau devices` lists what this machine "
                          "has")
    return DeviceApi(found.type)


def device_count() -> int:
    """How many devices the accelerator has; 0 where there is none."""
    found = current_accelerator()
    return 0 if found is None else discovery.device_count(found.type)


def current_device_index() -> int:
    """The index of the current device. RuntimeError where there is none."""
    return _api().current_device()


def set_device_index(device: Any, /) -> None:
    """Make a device the current one."""
    _api().set_device(device)


def device_index(device: Any, /) -> Any:
    """Make a device the current one inside a block."""
    return _api().device(device)


def synchronize(device: Any = None, /) -> None:
    """Wait until everything queued on a device has run."""
    _api().synchronize(device)


current_device_idx = current_device_index
set_device_idx = set_device_index


def empty_cache() -> None:
    """Give cached memory back to the driver, where the backend can."""
    _api().empty_cache()


def memory_stats(device: Any = None, /) -> dict[str, int]:
    """What the backend counts of its memory, in bytes."""
    return _api().memory_stats(device)


def memory_allocated(device: Any = None, /) -> int:
    """Bytes in use by tensors."""
    return _api().memory_allocated(device)


def get_device_module(device: Any = None) -> Any:
    """The namespace of a device type: `torch.cuda` for "cuda:0". RuntimeError for a type without one.

    >>> import flambeau as torch
    >>> torch.get_device_module("cuda").__name__
    'flambeau.cuda'
    """
    import importlib
    wanted = current_accelerator() or device_type("cpu") if device is None else device_type(device)
    try:
        return importlib.import_module(f"flambeau.{wanted.type}")
    except ModuleNotFoundError:
        raise DeviceError(f"Device '{wanted.type}' does not have a corresponding module registered as "
                          f"'torch.{wanted.type}'.") from None
