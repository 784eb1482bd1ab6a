"""Keeping gradients within bounds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

from flambeau.autograd import no_grad
from flambeau.errors import ArgumentError
from flambeau.ops.construct import tensor
from flambeau.ops.joining import stack
from flambeau.tensor import Tensor

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]

Tensors = Tensor | Iterable[Tensor]


def _as_list(tensors: Tensors, why: str) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    gathered = list(tensors)
    if not gathered:
        # A generator that was used up before is the usual cause.
        warnings.warn(f"`parameters` is an empty generator, no gradient {why} will occur.", stacklevel=3)
    return gathered


def _norm(values: Tensor, order: float) -> Tensor:
    """The norm of a tensor as one vector, 0-d."""
    if order == 2.0:
        return (values * values.conj()).real.sum().sqrt() if values.is_complex() else (values * values).sum().sqrt()
    magnitudes = values.abs()
    if order == math.inf:
        return magnitudes.max()
    if order == -math.inf:
        return magnitudes.min()
    if order == 1.0:
        return magnitudes.sum()
    return (magnitudes**order).sum() ** (1.0 / order)


def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors taken as one vector.

    Args:
        tensors: one tensor or several; a total of nothing is zero.
        norm_type: the p of the norm; ``inf`` for the largest magnitude.
        error_if_nonfinite: raise ArgumentError where the norm is infinite or not a number.
        foreach: accepted for PyTorch's sake; there is one implementation.

    >>> import flambeau as torch
    >>> torch.nn.utils.get_total_norm([torch.tensor([3.0]), torch.tensor([4.0])])
    tensor(5.)
    """
    gathered = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not gathered:
        return tensor(0.0)
    with no_grad():
        first = gathered[0].device
        total = _norm(stack([_norm(each, norm_type).to(first) for each in gathered]), norm_type)
        if error_if_nonfinite and not math.isfinite(float(total)):
            raise ArgumentError(
                f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
                "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
                "`error_if_nonfinite=False`"
            )
    return total


def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale all gradients down, in place, as if their total norm, given, may be at most ``max_norm``.

    >>> import flambeau as torch
    >>> p = torch.ones(1, requires_grad=True)
    >>> p.grad = torch.tensor([10.0])
    >>> torch.nn.utils.clip_grads_with_norm_(p, 1.0, torch.tensor(10.0))
    >>> p.grad
    tensor([1.0000])
    """
    gathered = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    with no_grad():
        # Always multiplied, without looking at the norm: a look would wait for the device.
        factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for parameter in gathered:
            if parameter.grad is not None:
                parameter.grad.mul_(factor.to(parameter.grad.device))


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients, in place, so that their norm as one vector is at most ``max_norm``.

    Args:
        parameters: those whose gradients are meant; one without a gradient is left out.
        max_norm: the bound.
        norm_type: the p of the norm; ``inf`` for the largest magnitude.
        error_if_nonfinite: raise ArgumentError where the norm is infinite or not a number.
        foreach: accepted for PyTorch's sake; there is one implementation.

    Returns the norm before scaling.

    >>> import flambeau as torch
    >>> p = torch.ones(2, requires_grad=True)
    >>> p.grad = torch.tensor([3.0, 4.0])
    >>> torch.nn.utils.clip_grad_norm_([p], max_norm=1.0)
    tensor(5.)
    """
    gathered = _as_list(parameters, "clipping")
    gradients = [parameter.grad for parameter in gathered if parameter.grad is not None]
    total = get_total_norm(gradients, norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(gathered, max_norm, total, foreach)
    return total


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Cut every gradient off, in place, at ``-clip_value`` and ``clip_value``.

    >>> import flambeau as torch
    >>> p = torch.ones(2, requires_grad=True)
    >>> p.grad = torch.tensor([-3.0, 0.5])
    >>> torch.nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([-1.0000,  0.5000])
    """
    bound = float(clip_value)
    with no_grad():
        for parameter in [parameters] if isinstance(parameters, Tensor) else parameters:
            if parameter.grad is not None:
                parameter.grad.clamp_(min=-bound, max=bound)


def clip_grad_norm(parameters: Tensors, max_norm: float, norm_type: float = 2.0,
                   error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """The old name of ``clip_grad_norm_``; warns.

    >>> import flambeau as torch, warnings
    >>> p = torch.nn.Parameter(torch.ones(2))
    >>> with warnings.catch_warnings(action="ignore"):
    ...     torch.nn.utils.clip_grad_norm([p], max_norm=1.0)
    tensor(0.)
    """
    warnings.warn("`torch.nn.utils.clip_grad_norm` is now deprecated in favor of `torch.nn.utils.clip_grad_norm_`.",
                  FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)
