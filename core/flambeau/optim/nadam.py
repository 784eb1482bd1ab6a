"""NAdam."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.ops.creation import zeros_like
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import (
    check_betas,
    check_counts,
    check_lr,
    check_option,
    descend_ratio_,
    directed,
    new_count,
    new_step_count,
    rate,
    real_views,
)
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["NAdam", "nadam"]


class NAdam(GroupedOptimizer):
    """Adam that looks one step of momentum ahead, as Nesterov's method does (Dozat, 2016).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay rates of the averages of the gradient and of its square.
        eps: added to the root of the second average.
        weight_decay: L2 penalty.
        momentum_decay: how fast the momentum comes up to the first beta.
        decoupled_weight_decay: decay the weights directly, as AdamW does.
        foreach: accepted; there is one implementation.
        maximize: go up, not down.
        capturable: keep the counts beside the parameters and as tensors in the formula.
        differentiable: let gradients flow through the step.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.NAdam([w], lr=0.1)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8944])
    """

    _later_options: ClassVar[dict[str, Any]] = {**GroupedOptimizer._later_options, "decoupled_weight_decay": False}
    _counters = ("step", "mu_product")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        check_option(momentum_decay >= 0.0, "momentum_decay value", momentum_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {
            "step": new_step_count(param, group["capturable"]),
            "mu_product": new_count(1.0, param, group["capturable"]),
            "exp_avg": zeros_like(param),
            "exp_avg_sq": zeros_like(param),
        }

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        options = (
            "lr", "weight_decay", "momentum_decay", "eps", "maximize", "decoupled_weight_decay", "foreach",
            "capturable", "differentiable",
        )
        beta1, beta2 = group["betas"]
        nadam(
            params, grads, column("exp_avg"), column("exp_avg_sq"), column("mu_product"), column("step"),
            beta1=beta1, beta2=beta2, **{name: group[name] for name in options},
        )


def nadam(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    mu_products: list[Tensor],
    state_steps: list[Tensor],
    decoupled_weight_decay: bool = False,
    foreach: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
    has_complex: bool = False,
    maximize: bool = False,
    *,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
    momentum_decay: float,
    eps: float,
) -> None:
    """One step of ``NAdam`` on lists of parameters, gradients and state, all changed in place."""
    check_counts("state_steps", state_steps)
    check_counts("mu_products", mu_products)
    lr = rate(lr, capturable or differentiable)
    rows = zip(params, grads, exp_avgs, exp_avg_sqs, mu_products, state_steps, strict=True)
    for param, grad, exp_avg, exp_avg_sq, mu_product, step in rows:
        step += 1
        count = step if capturable else step.item()
        if weight_decay != 0 and decoupled_weight_decay:
            param.mul_(1 - lr * weight_decay)
        grad = directed(param, grad, 0 if decoupled_weight_decay else weight_decay, maximize)
        param, grad, exp_avg, exp_avg_sq = real_views(param, grad, exp_avg, exp_avg_sq)
        momentum = beta1 * (1.0 - 0.5 * 0.96 ** (count * momentum_decay))
        ahead = beta1 * (1.0 - 0.5 * 0.96 ** ((count + 1) * momentum_decay))
        mu_product *= momentum
        product = mu_product if capturable else mu_product.item()
        exp_avg.lerp_(grad, 1 - beta1)
        exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        denominator = (exp_avg_sq / (1 - beta2**count)).sqrt() + eps
        descend_ratio_(param, grad, denominator, lr * (1.0 - momentum) / (1.0 - product))
        descend_ratio_(param, exp_avg, denominator, lr * ahead / (1.0 - product * ahead))
