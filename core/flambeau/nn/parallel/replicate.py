"""Copies of a module on several devices, through which gradients go back to its parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar

from flambeau.device import device as Device
from flambeau.nn.modules.module import Module

__all__ = ["replicate"]

M = TypeVar("M", bound=Module)


def replicate(network: M, devices: Sequence[Any], detach: bool = False) -> list[M]:
    """A module for every device, which shares nothing with the others but the parameters that its own are copies of.

    Args:
        network: the module.
        devices: the devices.
        detach: leave gradients out.

    >>> import flambeau as torch
    >>> [replica] = torch.nn.parallel.replicate(torch.nn.Linear(2, 1), ["cpu"])
    >>> replica
    Linear(in_features=2, out_features=1, bias=True)
    """
    return [_replica(network, Device(each), detach) for each in devices]


def _replica(network: M, device: Device, detach: bool) -> M:
    modules: dict[int, Any] = {id(module): module._replicate_for_data_parallel() for module in network.modules()}
    tensors: dict[int, Any] = {}   # one that has several names is copied once

    def copy(tensor: Any, apart: bool) -> Any:
        if id(tensor) not in tensors:
            tensors[id(tensor)] = (tensor.detach() if apart else tensor).to(device)
        return tensors[id(tensor)]

    for module in network.modules():
        replica = modules[id(module)]
        replica._former_parameters = OrderedDict()
        for name, child in module._modules.items():
            replica._modules[name] = None if child is None else modules[id(child)]
        for name, parameter in module._parameters.items():
            if parameter is None:
                replica._parameters[name] = None
            else:
                replica._former_parameters[name] = copy(parameter, detach)
                setattr(replica, name, replica._former_parameters[name])
        for name, buffer in module._buffers.items():
            replica._buffers[name] = None if buffer is None else copy(buffer, detach or not buffer.requires_grad)
    return modules[id(network)]
