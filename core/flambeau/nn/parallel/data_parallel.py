"""A module that is called with parts of its batch, on several devices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from flambeau import discovery
from flambeau.autograd import is_grad_enabled
from flambeau.device import device as Device
from flambeau.errors import ArgumentError, DeviceError
from flambeau.nn.modules.module import Module
from flambeau.nn.parallel.parallel_apply import parallel_apply
from flambeau.nn.parallel.replicate import replicate
from flambeau.nn.parallel.scatter_gather import gather, scatter_kwargs

__all__ = ["DataParallel", "data_parallel"]


def _where(module: Module) -> str | None:
    """The device type that a module lives on, or, if that is the host, that of the accelerator; None without one."""
    found = next((each.device.type for each in itertools.chain(module.parameters(), module.buffers())), None)
    host = discovery.host().name
    if found is not None and discovery.backend_for(found) is not discovery.host():
        return found
    try:
        accelerator = Device(0).type
    except DeviceError:
        return None
    return accelerator if accelerator != host and discovery.device_count(accelerator) else None


def _devices(module: Module, device_ids: Sequence[Any] | None) -> list[Device]:
    """The devices to use: those that are named, or all of the type. None where there is none but the host."""
    kind = _where(module)
    if kind is None:
        return []
    if device_ids is None:
        device_ids = range(discovery.device_count(kind))
    return [Device(kind, each) if isinstance(each, int) else Device(each) for each in device_ids]


def _check_place(module: Module, device: Device) -> None:
    """RuntimeError unless all of a module is on a device."""
    for each in itertools.chain(module.parameters(), module.buffers()):
        if each.device != device:
            raise ArgumentError(f"module must have its parameters and buffers on device {device} (device_ids[0]) but "
                                f"found one of them on device: {each.device}; move it there with .to({str(device)!r})")


class DataParallel(Module):
    """Splits the batch among devices, and calls a copy of the module on each.

    Args:
        module: the module; it must be on the first device.
        device_ids: the devices, or their indices; by default all of the type that the module is on, or, if it is on
            the host, all of the accelerator.
        output_device: where the result shall be; by default on the first.
        dim: the dimension of the batch.

    Where there is no device but the host, the module is called as it is.

    >>> import flambeau as torch
    >>> list(torch.nn.DataParallel(torch.nn.Linear(2, 1)).state_dict())
    ['module.weight', 'module.bias']
    """

    module: Module

    def __init__(self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None,
                 dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.dim = dim
        self.device_ids = _devices(module, device_ids)
        if not self.device_ids:
            return
        kind = self.device_ids[0].type
        self.output_device = (self.device_ids[0] if output_device is None else
                              Device(kind, output_device) if isinstance(output_device, int) else Device(output_device))
        self.src_device_obj = self.device_ids[0]
        if len(self.device_ids) == 1:
            module.to(self.src_device_obj)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's result for the whole batch."""
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        _check_place(self.module, self.src_device_obj)
        parts, named = self.scatter(inputs, kwargs, self.device_ids)
        if not parts:
            parts, named = ((),), ({},)
        if len(self.device_ids) == 1:
            return self.module(*parts[0], **named[0])
        replicas = self.replicate(self.module, self.device_ids[:len(parts)])
        return self.gather(self.parallel_apply(replicas, parts, named), self.output_device)

    def replicate(self, module: Module, device_ids: Sequence[Any]) -> list[Module]:
        """Copies of a module on devices."""
        return replicate(module, device_ids, not is_grad_enabled())

    def scatter(self, inputs: tuple[Any, ...], kwargs: dict[str, Any] | None, device_ids: Sequence[Any]) -> Any:
        """Parts of the arguments for devices."""
        return scatter_kwargs(inputs, kwargs, device_ids, self.dim)

    def parallel_apply(self, replicas: Sequence[Module], inputs: Sequence[Any], kwargs: Any) -> list[Any]:
        """The results of the copies."""
        return parallel_apply(replicas, inputs, kwargs, self.device_ids[:len(replicas)])

    def gather(self, outputs: Any, output_device: Any) -> Any:
        """The results as one."""
        return gather(outputs, output_device, self.dim)


def data_parallel(module: Module, inputs: Any, device_ids: Sequence[Any] | None = None, output_device: Any = None,
                  dim: int = 0, module_kwargs: dict[str, Any] | None = None) -> Any:
    """What `DataParallel` gives, for one call.

    Args:
        module: the module; it must be on the first device.
        inputs: the positional arguments; what is no tuple is the only one.
        device_ids: as `DataParallel` takes them.
        output_device: likewise.
        dim: the dimension of the batch.
        module_kwargs: the keyword arguments.

    >>> import flambeau as torch
    >>> torch.nn.parallel.data_parallel(torch.nn.Identity(), torch.ones(2))
    tensor([1., 1.])
    """
    positional = inputs if isinstance(inputs, tuple) else () if inputs is None else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*positional, **(module_kwargs or {}))
