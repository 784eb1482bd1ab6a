"""RMSprop."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.ops.creation import zeros_like
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import (
    check_counts,
    check_lr,
    check_option,
    descend_,
    descend_ratio_,
    directed,
    held,
    new_step_count,
    rate,
    real_views,
)
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["RMSprop", "rmsprop"]


class RMSprop(GroupedOptimizer):
    """Steps divided by the root of a running average of the squared gradient (Hinton, 2012).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        alpha: decay rate of the average.
        eps: added to the root.
        weight_decay: L2 penalty.
        momentum: how much of the last step is kept.
        centered: subtract the squared average gradient, so that the divisor is a standard deviation.
        capturable: keep the step count beside the parameters.
        foreach: accepted; there is one implementation.
        maximize: go up, not down.
        differentiable: let gradients flow through the step.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.RMSprop([w])
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000])
    """

    _later_options: ClassVar[dict[str, Any]] = {**GroupedOptimizer._later_options, "momentum": 0, "centered": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_option(eps >= 0.0, "epsilon value", eps)
        check_option(momentum >= 0.0, "momentum value", momentum)
        check_option(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check_option(alpha >= 0.0, "alpha value", alpha)
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        state = {"step": new_step_count(param, group["capturable"]), "square_avg": zeros_like(param)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(param)
        if group["centered"]:
            state["grad_avg"] = zeros_like(param)
        return state

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        options = (
            "lr", "alpha", "eps", "weight_decay", "momentum", "centered", "foreach", "maximize", "differentiable",
            "capturable",
        )
        rmsprop(
            params, grads, column("square_avg"), column("grad_avg"), column("momentum_buffer"), column("step"),
            **{name: group[name] for name in options},
        )


def rmsprop(
    params: list[Tensor],
    grads: list[Tensor],
    square_avgs: list[Tensor],
    grad_avgs: list[Tensor],
    momentum_buffer_list: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
    has_complex: bool = False,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
) -> None:
    """One step of ``RMSprop`` on lists of parameters, gradients and state, all changed in place.

    ``grad_avgs`` and ``momentum_buffer_list`` are read where the method is centered and has momentum.
    """
    check_counts("state_steps", state_steps)
    lr = rate(lr, capturable or differentiable)
    for i, param in enumerate(params):
        state_steps[i].add_(1)
        grad = directed(param, grads[i], weight_decay, maximize)
        param, grad, square_avg, mean, buffer = real_views(
            param, grad, square_avgs[i], grad_avgs[i] if centered else None,
            momentum_buffer_list[i] if momentum > 0 else None,
        )
        square_avg.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        if mean is None:
            root = square_avg.sqrt()
        else:
            mean.lerp_(grad, 1 - alpha)
            root = square_avg.addcmul(held(mean), held(mean), value=-1).sqrt()
        root = root + eps
        if buffer is None:
            descend_ratio_(param, grad, root, lr)
        else:
            buffer.mul_(momentum).addcdiv_(grad, root)
            descend_(param, held(buffer), lr)
