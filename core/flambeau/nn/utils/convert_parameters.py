"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from flambeau.errors import ArgumentTypeError
from flambeau.ops.joining import cat
from flambeau.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def _checked_device(parameter: Tensor, first: object) -> object:
    if first is not None and parameter.device != first:
        raise ArgumentTypeError("Found two parameters on different devices, this is currently not supported.")
    return parameter.device


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """One vector of all values, parameter after parameter. Raises TypeError where they are on several devices.

    >>> import flambeau as torch
    >>> torch.nn.utils.parameters_to_vector([torch.ones(2), torch.zeros(1)])
    tensor([1., 1., 0.])
    """
    device = None
    pieces = []
    for parameter in parameters:
        device = _checked_device(parameter, device)
        pieces.append(parameter.reshape(-1))
    return cat(pieces)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters slices of a vector as their values; they share its memory.

    >>> import flambeau as torch
    >>> p = torch.nn.Parameter(torch.zeros(2))
    >>> torch.nn.utils.vector_to_parameters(torch.ones(2), [p])
    >>> p
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """
    if not isinstance(vec, Tensor):
        raise ArgumentTypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    device = None
    start = 0
    for parameter in parameters:
        device = _checked_device(parameter, device)
        count = parameter.numel()
        parameter.data = vec[start : start + count].view_as(parameter).data
        start += count
