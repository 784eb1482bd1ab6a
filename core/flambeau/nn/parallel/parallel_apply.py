"""Calls of several modules, each on its own device.

They are made one after another: a call only queues work, and the devices do it side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.nn.modules.module import Module

__all__ = ["parallel_apply"]


def parallel_apply(modules: Sequence[Module], inputs: Sequence[Any], kwargs_tup: Sequence[dict[str, Any]] | None = None,
                   devices: Sequence[Any] | None = None) -> list[Any]:
    """The results of modules, each for its own arguments.

    Args:
        modules: the modules, which are where their arguments are.
        inputs: the positional arguments of each; what is no tuple or list is the only one.
        kwargs_tup: the keyword arguments of each.
        devices: where each is; not needed.

    AssertionError where the numbers differ.

    >>> import flambeau as torch
    >>> torch.nn.parallel.parallel_apply([torch.nn.ReLU(), torch.nn.Identity()], [torch.ones(1), (torch.zeros(1),)])
    [tensor([1.]), tensor([0.])]
    """
    for name, given in (("inputs", inputs), ("kwargs_tup", kwargs_tup), ("devices", devices)):
        if given is not None and len(given) != len(modules):
            raise AssertionError(f"The number of modules {len(modules)} is not equal to the number of {name} "
                                 f"{len(given)}")
    named = kwargs_tup or [{}] * len(modules)
    return [module(*(given if isinstance(given, (tuple, list)) else (given,)), **more)
            for module, given, more in zip(modules, inputs, named, strict=True)]
