"""RMSprop."""

from __future__ import annotations

from typing import Any

from flambeau.autograd import set_grad_enabled
from flambeau.ops.creation import zeros_like
from flambeau.optim._functional import rmsprop_update_
from flambeau.optim.optimizer import (
    Closure,
    Optimizer,
    ParamsT,
    as_step_count,
    check_lr,
    check_option,
    new_step_count,
)
from flambeau.tensor import Tensor

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
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
    """

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

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("momentum", 0)
            for name in ("centered", "maximize", "differentiable", "capturable"):
                group.setdefault(name, False)
            group.setdefault("foreach", None)
            for param in group["params"]:
                entry = self.state.get(param, {})
                if "step" in entry:
                    entry["step"] = as_step_count(entry["step"])

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters once.

        Args:
            closure: evaluates the model again and returns the loss, which this returns.
        """
        loss = self._evaluate(closure)
        for group in self.param_groups:
            with set_grad_enabled(group["differentiable"]):
                for param in group["params"]:
                    if param.grad is not None:
                        self._step_one(param, group)
        return loss

    def _step_one(self, param: Tensor, group: dict[str, Any]) -> None:
        state = self.state[param]
        if not state:
            state["step"] = new_step_count(param, on_device=group["capturable"])
            state["square_avg"] = zeros_like(param)
            if group["momentum"] > 0:
                state["momentum_buffer"] = zeros_like(param)
            if group["centered"]:
                state["grad_avg"] = zeros_like(param)
        assert param.grad is not None
        rmsprop_update_(
            param, param.grad, state["square_avg"], state.get("grad_avg") if group["centered"] else None,
            state.get("momentum_buffer") if group["momentum"] > 0 else None, state["step"],
            lr=group["lr"], alpha=group["alpha"], eps=group["eps"], weight_decay=group["weight_decay"],
            momentum=group["momentum"], maximize=group["maximize"],
        )
