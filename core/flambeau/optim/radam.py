"""RAdam."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.ops.creation import zeros_like
from flambeau.ops.selection import where
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import (
    check_betas,
    check_counts,
    check_lr,
    check_option,
    descend_,
    directed,
    held,
    new_step_count,
    rate,
    real_views,
)
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["RAdam", "radam"]


class RAdam(GroupedOptimizer):
    """Adam that waits with its adaptive rate until enough gradients were seen to trust it (Liu et al., 2020).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay rates of the averages of the gradient and of its square.
        eps: added to the root of the second average.
        weight_decay: L2 penalty.
        decoupled_weight_decay: decay the weights directly, as AdamW does.
        foreach: accepted; there is one implementation.
        maximize: go up, not down.
        capturable: keep the step count beside the parameters and as a tensor in the formula.
        differentiable: let gradients flow through the step.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.RAdam([w], lr=0.1)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8000])
    """

    _later_options: ClassVar[dict[str, Any]] = {**GroupedOptimizer._later_options, "decoupled_weight_decay": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_option(eps >= 0.0, "epsilon value", eps)
        check_betas(betas)
        check_option(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": new_step_count(param, group["capturable"]),
            "exp_avg": zeros_like(param),
            "exp_avg_sq": zeros_like(param),
        }

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        options = (
            "lr", "weight_decay", "eps", "maximize", "foreach", "capturable", "differentiable",
            "decoupled_weight_decay",
        )
        beta1, beta2 = group["betas"]
        radam(
            params, grads, column("exp_avg"), column("exp_avg_sq"), column("step"), beta1=beta1, beta2=beta2,
            **{name: group[name] for name in options},
        )


def radam(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    state_steps: list[Tensor],
    decoupled_weight_decay: bool = False,
    foreach: bool | None = None,
    differentiable: bool = False,
    capturable: bool = False,
    has_complex: bool = False,
    maximize: bool = False,
    *,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
    eps: float,
) -> None:
    """One step of ``RAdam`` on lists of parameters, gradients and state, all changed in place."""
    check_counts("state_steps", state_steps)
    lr = rate(lr, capturable or differentiable)
    for param, grad, exp_avg, exp_avg_sq, step in zip(params, grads, exp_avgs, exp_avg_sqs, state_steps, strict=True):
        step += 1
        count = step if capturable else step.item()
        if weight_decay != 0 and decoupled_weight_decay:
            param.mul_(1 - lr * weight_decay)
        grad = directed(param, grad, 0 if decoupled_weight_decay else weight_decay, maximize)
        param, grad, exp_avg, exp_avg_sq = real_views(param, grad, exp_avg, exp_avg_sq)
        exp_avg.lerp_(grad, 1 - beta1)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        direction = held(exp_avg) / (1 - beta1**count)
        trust = _trust(exp_avg_sq, count, beta2, eps)
        descend_(param, direction if trust is None else direction * trust, lr)


def _trust(exp_avg_sq: Tensor, count: Any, beta2: float, eps: float) -> Tensor | None:
    """The rectified adaptive rate; None (or ones, for a count that is a tensor) while too few gradients were seen."""
    correction = 1 - beta2**count
    most = 2 / (1 - beta2) - 1
    length = most - 2 * count * beta2**count / correction
    if not isinstance(count, Tensor) and length <= 5.0:
        return None
    share = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
    adaptive = share**0.5 * correction**0.5 / (exp_avg_sq.sqrt() + eps)
    return where(length > 5.0, adaptive, 1.0) if isinstance(count, Tensor) else adaptive
