"""Adadelta."""

from __future__ import annotations

from typing import Any

from flambeau.ops.creation import zeros_like
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import (
    check_counts,
    check_lr,
    check_option,
    descend_,
    directed,
    new_step_count,
    rate,
    real_views,
)
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["Adadelta", "adadelta"]


class Adadelta(GroupedOptimizer):
    """Steps whose size follows from the sizes of the last steps and gradients (Zeiler, 2012).

    Args:
        params: parameters or groups of them.
        lr: factor of the steps.
        rho: decay rate of the two averages of squares.
        eps: added under the roots.
        weight_decay: L2 penalty.
        foreach: accepted; there is one implementation.
        capturable: keep the step count beside the parameters.
        maximize: go up, not down.
        differentiable: let gradients flow through the step.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.Adadelta([w], lr=10.0)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9684])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_option(0.0 <= rho <= 1.0, "rho value", rho)
        check_option(eps >= 0.0, "epsilon value", eps)
        check_option(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": new_step_count(param, group["capturable"]),
            "square_avg": zeros_like(param),
            "acc_delta": zeros_like(param),
        }

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        options = ("lr", "rho", "eps", "weight_decay", "foreach", "maximize", "differentiable", "capturable")
        adadelta(
            params, grads, column("square_avg"), column("acc_delta"), column("step"),
            **{name: group[name] for name in options},
        )


def adadelta(
    params: list[Tensor],
    grads: list[Tensor],
    square_avgs: list[Tensor],
    acc_deltas: list[Tensor],
    state_steps: list[Tensor],
    capturable: bool = False,
    foreach: bool | None = None,
    differentiable: bool = False,
    has_complex: bool = False,
    *,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """One step of ``Adadelta`` on lists of parameters, gradients and state, all changed in place."""
    check_counts("state_steps", state_steps)
    size = rate(lr, capturable or differentiable)
    rows = zip(params, grads, square_avgs, acc_deltas, state_steps, strict=True)
    for param, grad, square_avg, acc_delta, step in rows:
        step += 1
        grad = directed(param, grad, weight_decay, maximize)
        param, grad, square_avg, acc_delta = real_views(param, grad, square_avg, acc_delta)
        square_avg.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        delta = (acc_delta + eps).sqrt() / (square_avg + eps).sqrt() * grad
        acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        descend_(param, delta, size)
