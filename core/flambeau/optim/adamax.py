"""Adamax."""

from __future__ import annotations

from typing import Any

from flambeau.ops.creation import zeros_like
from flambeau.ops.elementwise import maximum
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import (
    check_betas,
    check_counts,
    check_lr,
    check_option,
    descend_ratio_,
    directed,
    held,
    new_step_count,
    rate,
    real_views,
)
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["Adamax", "adamax"]


class Adamax(GroupedOptimizer):
    """Adam with the largest gradient, decayed over time, in place of the average square (Kingma and Ba, 2015).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay rates of the average gradient and of the largest one.
        eps: added to the gradient's size.
        weight_decay: L2 penalty.
        foreach: accepted; there is one implementation.
        maximize: go up, not down.
        differentiable: let gradients flow through the step.
        capturable: keep the step count beside the parameters and as a tensor in the formula.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.Adamax([w], lr=0.1)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_option(eps >= 0.0, "epsilon value", eps)
        check_betas(betas)
        check_option(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": new_step_count(param, group["capturable"]),
            "exp_avg": zeros_like(param),
            "exp_inf": zeros_like(param),
        }

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        options = ("lr", "eps", "weight_decay", "foreach", "maximize", "differentiable", "capturable")
        beta1, beta2 = group["betas"]
        adamax(
            params, grads, column("exp_avg"), column("exp_inf"), column("step"), beta1=beta1, beta2=beta2,
            **{name: group[name] for name in options},
        )


def adamax(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_infs: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
    has_complex: bool = False,
    *,
    eps: float,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
) -> None:
    """One step of ``Adamax`` on lists of parameters, gradients and state, all changed in place."""
    check_counts("state_steps", state_steps)
    lr = rate(lr, capturable or differentiable)
    for param, grad, exp_avg, exp_inf, step in zip(params, grads, exp_avgs, exp_infs, state_steps, strict=True):
        step += 1
        count = step if capturable else step.item()
        grad = directed(param, grad, weight_decay, maximize)
        param, grad, exp_avg, exp_inf = real_views(param, grad, exp_avg, exp_inf)
        exp_avg.lerp_(grad, 1 - beta1)
        exp_inf.copy_(maximum(held(exp_inf) * beta2, grad.abs() + eps))
        descend_ratio_(param, exp_avg, exp_inf, lr / (1 - beta1**count))
