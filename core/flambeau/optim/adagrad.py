"""Adagrad."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.ops.creation import full_like
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import (
    check_counts,
    check_fusable,
    check_fused,
    check_lr,
    check_option,
    descend_ratio_,
    directed,
    new_step_count,
    rate,
    real_views,
    unscaled,
)
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["Adagrad", "adagrad"]


class Adagrad(GroupedOptimizer):
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

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.Adagrad([w], lr=0.1)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000])
    """

    _later_options: ClassVar[dict[str, Any]] = {
        "foreach": None, "maximize": False, "differentiable": False, "fused": None,
    }

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
            for param in group["params"]:
                self.state[param].update(self._new_state(param, group))

    def _counts_on_device(self, group: dict[str, Any]) -> bool:
        return bool(group.get("fused"))

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        start = self.defaults["initial_accumulator_value"]
        return {
            "step": new_step_count(param, bool(group["fused"]), group["fused"]),
            "sum": full_like(param, complex(start, start) if param.is_complex() else start, requires_grad=False),
        }

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        if group["fused"]:
            for param in params:
                check_fusable(param)
        options = ("lr", "weight_decay", "lr_decay", "eps", "foreach", "maximize", "differentiable", "fused")
        adagrad(
            params, grads, column("sum"), column("step"), grad_scale=getattr(self, "grad_scale", None),
            found_inf=getattr(self, "found_inf", None), **{name: group[name] for name in options},
        )


def adagrad(
    params: list[Tensor],
    grads: list[Tensor],
    state_sums: list[Tensor],
    state_steps: list[Tensor],
    fused: bool | None = None,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
    has_sparse_grad: bool = False,
    foreach: bool | None = None,
    differentiable: bool = False,
    has_complex: bool = False,
    *,
    lr: float,
    weight_decay: float,
    lr_decay: float,
    eps: float,
    maximize: bool,
) -> None:
    """One step of ``Adagrad`` on lists of parameters, gradients and state, all changed in place."""
    check_counts("state_steps", state_steps)
    ready = unscaled(grads, fused, grad_scale, found_inf)
    if ready is None:
        return
    lr = rate(lr, differentiable)
    for param, grad, state_sum, step in zip(params, ready, state_sums, state_steps, strict=True):
        step += 1
        # With a constant rate the count is not in the formula, and nothing waits for it.
        size = lr / (1 + (step.item() - 1) * lr_decay) if lr_decay else lr
        grad = directed(param, grad, weight_decay, maximize)
        param, grad, state_sum = real_views(param, grad, state_sum)
        state_sum.addcmul_(grad, grad, value=1)
        descend_ratio_(param, grad, state_sum.sqrt() + eps, size)
