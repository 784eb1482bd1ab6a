"""Muon."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from flambeau.dtypes import bfloat16
from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.ops.creation import zeros_like
from flambeau.ops.linalg import addmm
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import rate
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["Muon"]

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic that brings singular values near one in a few rounds (Jordan, 2024)."""


class Muon(GroupedOptimizer):
    """Momentum made orthogonal: each step of a weight matrix goes equally far in all directions of its momentum
    (Jordan, 2024). For the matrices of hidden layers; give other parameters to another optimiser.

    Args:
        params: matrices, or groups of them.
        lr: learning rate.
        weight_decay: decay of the weights themselves, as in AdamW.
        momentum: how much of the average gradient is kept.
        nesterov: look one step of momentum ahead.
        ns_coefficients: three coefficients of the Newton-Schulz iteration, which runs in bfloat16.
        eps: least norm that the momentum is divided by.
        ns_steps: rounds of the iteration, fewer than 100.
        adjust_lr_fn: how the rate depends on the shape: ``"original"`` (as None) takes the root of rows over columns
            where that is above one, ``"match_rms_adamw"`` fits rates that were found for AdamW.

    Raises ValueError for parameters that are no matrices, RuntimeError for complex ones at their first step.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(2, 3))
    >>> optimizer = torch.optim.Muon([w], lr=0.1)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> bool((w < 1).all())
    True
    """

    _later_options: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = NEWTON_SCHULZ,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ArgumentValueError("Tensor lr must be 1-element")
        for name, value in (("Learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)):
            if not value >= 0.0:
                raise ArgumentValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ArgumentValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim != 2:
                    raise ArgumentValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {param.size()}"
                    )

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        if param.is_complex():
            raise ArgumentError("Muon does not support complex parameters")
        return {"momentum_buffer": zeros_like(param)}

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        options = (
            "lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn",
        )
        muon(params, grads, column("momentum_buffer"), has_complex=False, **{name: group[name] for name in options})


def muon(
    params: list[Tensor],
    grads: list[Tensor],
    muon_momentum_bufs: list[Tensor],
    *,
    foreach: bool | None = None,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    ns_coefficients: tuple[float, float, float],
    ns_steps: int,
    eps: float,
    adjust_lr_fn: str | None,
    has_complex: bool,
) -> None:
    """One step of ``Muon`` on lists of matrices, gradients and momentum, all changed in place."""
    if foreach:
        raise ArgumentError("Foreach is not supported for Muon yet")
    if has_complex:
        raise ArgumentValueError("Complex parameters are not supported")
    lr = rate(lr, as_tensor=False)
    for param, grad, buffer in zip(params, grads, muon_momentum_bufs, strict=True):
        if grad.ndim != 2:
            raise ArgumentValueError("Param gradient must be a 2D matrix")
        buffer.lerp_(grad, 1 - momentum)
        direction = grad.lerp(buffer, momentum) if nesterov else buffer
        direction = _orthogonalized(direction, ns_coefficients, ns_steps, eps)
        param.mul_(1 - lr * weight_decay)
        param.add_(direction, alpha=-lr * _shape_factor(param, adjust_lr_fn))


def _shape_factor(param: Tensor, adjust_lr_fn: str | None) -> float:
    rows, columns = param.shape
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


def _orthogonalized(matrix: Tensor, coefficients: tuple[float, float, float], rounds: int, eps: float) -> Tensor:
    """Nearly ``U @ V.T`` of the singular value decomposition, by matrix products alone.

    In bfloat16, as the method is meant; in the matrix's own dtype on a device that does not have it.
    """
    if rounds >= 100:
        raise ArgumentValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ArgumentValueError("Coefficients must be a tuple of exactly 3 values")
    linear, cubic, quintic = coefficients
    tall = matrix.size(0) > matrix.size(1)
    low = bfloat16 if bfloat16 in matrix._kind.capabilities.storage_dtypes else matrix.dtype
    found = (matrix.T if tall else matrix).to(low)
    found = found / found.norm().clamp(min=eps)
    for _ in range(rounds):
        gram = found @ found.T
        polynomial = addmm(gram, gram, gram, beta=cubic, alpha=quintic)
        found = addmm(found, polynomial, found, beta=linear)
    return found.T if tall else found
