"""Page-locked memory of the host, from which a device copies by itself: `pin_memory`, and what factories do with it.

It is the accelerator's backend that has such memory (`Backend.pinned`). Where there is no accelerator, asking for it is
an error, as in PyTorch; where the accelerator has no such memory, its copies are as fast without.
"""

from __future__ import annotations

import warnings
from typing import Any

from flambeau import discovery
from flambeau.backend import Backend
from flambeau.device import device as device_type
from flambeau.errors import ArgumentError, DeviceError, message
from flambeau.shapes import contiguous_strides
from flambeau.tensor import Tensor, attach, make


def accelerator() -> Backend | None:
    """The backend of the accelerator, None where there is none."""
    name = device_type(0).type   # an index alone is one of the accelerator's devices
    return discovery.backend_for(name) if discovery.is_available(name) else None


def pinned(tensor: Tensor, op: str) -> Tensor:
    """A tensor of the host with its values in page-locked memory; itself where the accelerator has none.

    RuntimeError where there is no accelerator, or for a tensor elsewhere.
    """
    kind = tensor._kind
    if not kind.capabilities.host:
        raise ArgumentError(message(op, "only dense CPU tensors can be pinned", given=f"a tensor on {kind.device}"))
    backend = accelerator()
    if backend is None:
        raise DeviceError(message(
            op, "Cannot access accelerator device when none is available: page-locked memory is for copies to one",
            next_step="leave it out; `python -m flambeau devices` lists what this machine has"))
    shape = tensor._array.shape
    size = tensor.numel()
    buffer = backend.pinned(size * kind.dtype.itemsize) if size else None
    if buffer is None:
        return tensor
    host = discovery.host()
    flat = host.from_buffer(buffer, kind.dtype, size, 0)
    array = host.as_strided(flat, shape, contiguous_strides(shape), 0)
    host.copy(array, tensor._array)
    return make(array, kind)


@attach
def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """The tensor in page-locked memory of the host, from which `.to(device, non_blocking=True)` does not wait.

    Itself where it is there already, and where the accelerator has no such memory. RuntimeError where there is no
    accelerator, and for a tensor that is not on the host. `device` is accepted, with a warning.
    """
    _warn_of(device, "pin_memory")
    return self if _is_pinned(self) else pinned(self, "pin_memory")


@attach
def is_pinned(self: Tensor, device: Any = None) -> bool:
    """Whether the tensor lies in page-locked memory of the host. `device` is accepted, with a warning."""
    _warn_of(device, "is_pinned")
    return _is_pinned(self)


def _is_pinned(tensor: Tensor) -> bool:
    if not tensor._kind.capabilities.host:
        return False
    loaded = tuple(discovery._backends.values())   # a backend that nobody has used has no such memory
    array = tensor._kind.backend.to_host(tensor._array)
    return any(each.is_pinned(array) for each in loaded)


def _warn_of(device: Any, name: str) -> None:
    if device is not None:
        warnings.warn(f"The argument 'device' of Tensor.{name}() is deprecated; memory is page-locked for the "
                      "accelerator", DeprecationWarning, stacklevel=3)
