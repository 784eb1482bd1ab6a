"""Parts of what a module is called with to several devices, and their results back to one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from flambeau.device import device as Device
from flambeau.errors import ArgumentValueError
from flambeau.ops.joining import cat
from flambeau.tensor import Tensor

__all__ = ["gather", "scatter", "scatter_kwargs"]


def _is_named(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> Any:
    """What every device gets: of tensors a part along `dim`, of everything else the same.

    Args:
        inputs: a tensor, or tuples, lists and dicts of tensors and other things.
        target_gpus: the devices.
        dim: the dimension to split.

    Gives a tuple of parts for a tensor, else a list of what looks like `inputs`; fewer than there are devices where
    tensors are too short.

    >>> import flambeau as torch
    >>> torch.nn.parallel.scatter({"x": torch.ones(2), "n": 3}, ["cpu"])
    [{'x': tensor([1., 1.]), 'n': 3}]
    """
    if isinstance(inputs, Tensor):
        devices = [Device(each) for each in target_gpus]
        parts = inputs.chunk(len(devices), dim)
        return tuple(part.to(device) for part, device in zip(parts, devices, strict=False))
    if isinstance(inputs, (tuple, list)) and len(inputs) > 0:
        columns = zip(*(scatter(each, target_gpus, dim) for each in inputs), strict=False)
        if _is_named(inputs):
            return [type(inputs)(*each) for each in columns]
        return [type(inputs)(each) for each in columns]
    if isinstance(inputs, dict) and inputs:
        columns = zip(*(scatter(each, target_gpus, dim) for each in inputs.values()), strict=False)
        return [type(inputs)(zip(inputs, each, strict=True)) for each in columns]
    return [inputs for _ in target_gpus]


def scatter_kwargs(inputs: tuple[Any, ...], kwargs: dict[str, Any] | None, target_gpus: Sequence[Any],
                   dim: int = 0) -> tuple[tuple[Any, ...], tuple[dict[str, Any], ...]]:
    """Positional and keyword arguments for every device, as many of the one as of the other."""
    positional = list(scatter(inputs, target_gpus, dim)) if inputs else []
    named = list(scatter(kwargs, target_gpus, dim)) if kwargs else []
    number = max(len(positional), len(named))
    positional += [()] * (number - len(positional))
    named += [{} for _ in range(number - len(named))]
    return tuple(positional), tuple(named)


def gather(outputs: Any, target_device: Any, dim: int = 0) -> Any:
    """The results of several devices as one, on one device: tensors are joined along `dim`.

    Args:
        outputs: a sequence of tensors, or of tuples, lists and dicts of tensors, one from each device.
        target_device: where the result shall be.
        dim: the dimension to join along.

    ValueError for dicts of different sizes. A warning where numbers are joined to a vector.

    >>> import flambeau as torch
    >>> torch.nn.parallel.gather([torch.ones(1), torch.zeros(2)], "cpu")
    tensor([1., 0., 0.])
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        if dim == 0 and all(each.dim() == 0 for each in outputs):
            warnings.warn("Was asked to gather along dimension 0, but all input tensors were scalars; will instead "
                          "unsqueeze and return a vector.", UserWarning, stacklevel=2)
            outputs = [each.reshape(1) for each in outputs]
        device = Device(target_device)
        return cat([each.to(device) for each in outputs], dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(each) != len(first) for each in outputs):
            raise ArgumentValueError("All dicts must have the same number of keys")
        return type(first)((key, gather([each[key] for each in outputs], target_device, dim)) for key in first)
    joined = [gather(each, target_device, dim) for each in zip(*outputs, strict=True)]
    return type(first)._make(joined) if _is_named(first) else type(first)(joined)
