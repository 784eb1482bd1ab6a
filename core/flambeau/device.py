"""`device`: where a tensor lives, as a value; and the default device.

A device is a type (the name of a backend plugin) and an index. Which types exist is not known here: any name is a
valid value, and `discovery` says what can serve it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from flambeau.errors import ArgumentTypeError, DeviceError


class device:  # noqa: N801 - the name that PyTorch users know
    """A device by type and index: `device("cuda:1")`, `device("cuda", 1)`, `device("cpu")`.

    As a context manager it is the default device for factories inside the block. Raises RuntimeError for a string
    that is no device string.

    >>> import flambeau as torch
    >>> torch.device("cuda", 1), str(torch.device("cpu")), torch.device("cuda:1").index
    (device(type='cuda', index=1), 'cpu', 1)
    """

    __slots__ = ("_hash", "index", "type")
    __module__ = "flambeau"

    type: str
    index: int | None
    _hash: int

    def __new__(cls, type: Any = None, index: int | None = None) -> device:
        if isinstance(type, device):
            return type
        if isinstance(type, int) and not isinstance(type, bool):
            type, index = _accelerator_name(), type
        if not isinstance(type, str):
            raise ArgumentTypeError(f"device(): argument 'type' must be str, int or device, not {type!r}")
        name, given = _parse(type)
        if given is not None and index is not None:
            raise DeviceError(f"type (string) must not include an index because index was passed explicitly: {type}")
        if index is not None and index < 0:
            raise DeviceError(f"Device index must not be negative, got {index}")
        self = object.__new__(cls)
        object.__setattr__(self, "type", name)
        object.__setattr__(self, "index", given if index is None else index)
        object.__setattr__(self, "_hash", hash((name, self.index)))
        return self

    def __setattr__(self, key: str, value: object) -> None:
        raise AttributeError(f"attribute {key!r} of 'torch.device' objects is not writable")

    def __repr__(self) -> str:
        return f"device(type={self.type!r})" if self.index is None else \
            f"device(type={self.type!r}, index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, device) and self.type == other.type and self.index == other.index)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return device, ((self.type,) if self.index is None else (self.type, self.index))

    def __enter__(self) -> device:
        _stack().append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _stack().pop()


def _parse(text: str) -> tuple[str, int | None]:
    name, colon, index = text.partition(":")
    if not name or not (name[0].isalpha() or name[0] == "_") or (colon and not index.isdigit()):
        raise DeviceError(f"Invalid device string: {text!r}; allowed: a device type with an optional index, such as "
                          "'cpu' or 'cuda:1'; `python -m flambeau devices` lists what this machine has")
    return name, int(index) if colon else None


def _first_choice() -> str:
    return "cuda"


_accelerator_name: Callable[[], str] = _first_choice   # which accelerator there is, only a higher layer knows


def name_indices_by(function: Callable[[], str]) -> None:
    """Let a function say which type of device an index alone means."""
    global _accelerator_name
    _accelerator_name = function


# The default device: `set_default_device` per process, `with device(...)` per thread.
_process_default: device = device("cpu")
class _Local(threading.local):
    stack: list[device] | None = None   # on the class: an attribute that is not there is slow to ask for


_local = _Local()


def _stack() -> list[device]:
    if _local.stack is None:
        _local.stack = []
    return _local.stack


def get_default_device() -> device:
    """The device on which factories create tensors when none is given.

    >>> import flambeau as torch
    >>> torch.get_default_device()
    device(type='cpu')
    """
    stack = _local.stack
    return stack[-1] if stack else _process_default


def set_default_device(device_: Any) -> None:
    """Set the device for factories that are given none; None resets it to the host's.

    >>> import flambeau as torch
    >>> torch.set_default_device("cpu")
    """
    global _process_default
    _process_default = device("cpu" if device_ is None else device_)
