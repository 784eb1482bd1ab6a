"""Adagrad."""

from __future__ import annotations

from typing import Any

from flambeau.autograd import set_grad_enabled
from flambeau.ops.creation import full_like
from flambeau.optim._functional import adagrad_update_
from flambeau.optim.optimizer import (
    Closure,
    Optimizer,
    ParamsT,
    as_step_count,
    check_fused,
    check_lr,
    check_option,
    new_step_count,
)
from flambeau.tensor import Tensor

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far (Duchi et al., 2011).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        lr_decay: the rate is divided by ``1 + lr_decay * steps``.
        weight_decay: L2 penalty.
        initial_accumulator_value: what the sums start from.
        eps: added to the root.
        foreach: accepted; there is one implementation.
        maximize: go up, not down.
        differentiable: let gradients flow through the step.
        fused: accepted, as ``foreach``.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_option(lr_decay >= 0.0, "lr_decay value", lr_decay)
        check_option(weight_decay >= 0.0, "weight_decay value", weight_decay)
        check_option(
            initial_accumulator_value >= 0.0, "initial_accumulator_value value", initial_accumulator_value
        )
        check_option(eps >= 0.0, "epsilon value", eps)
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)
        for group in self.param_groups:
            start = group["initial_accumulator_value"]
            for param in group["params"]:
                self.state[param]["step"] = new_step_count(param, on_device=bool(group["fused"]))
                self.state[param]["sum"] = full_like(
                    param, complex(start, start) if param.is_complex() else start, requires_grad=False
                )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name in ("maximize", "differentiable"):
                group.setdefault(name, False)
            group.setdefault("foreach", None)
            group.setdefault("fused", None)
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
                        state = self.state[param]
                        adagrad_update_(
                            param, param.grad, state["sum"], state["step"], lr=group["lr"],
                            lr_decay=group["lr_decay"], eps=group["eps"], weight_decay=group["weight_decay"],
                            maximize=group["maximize"],
                        )
        return loss
