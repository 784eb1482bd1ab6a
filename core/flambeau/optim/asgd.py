"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from flambeau.dtypes import get_default_dtype
from flambeau.ops.construct import tensor
from flambeau.ops.creation import ones, zeros_like
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import (
    check_lr,
    check_option,
    count_dtype,
    descend_,
    directed,
    new_count,
    rate,
    real_views,
)
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["ASGD", "asgd"]


class ASGD(GroupedOptimizer):
    """Gradient descent that also keeps the average of all weights that it went through, as ``"ax"`` in the state
    (Polyak and Juditsky, 1992).

    Args:
        params: parameters or groups of them.
        lr: learning rate to begin with.
        lambd: decay of weights and rate.
        alpha: power of the rate's decay.
        t0: step from which the average is taken.
        weight_decay: L2 penalty.
        foreach: accepted; there is one implementation.
        maximize: go up, not down.
        differentiable: let gradients flow through the step.
        capturable: keep the counts as tensors in the formula.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.ASGD([w], lr=0.1)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8000])
    """

    _counters = ("step", "eta", "mu")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_lr(lr)
        check_option(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _counts_on_device(self, group: dict[str, Any]) -> bool:
        return True

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        lr = group["lr"]
        if isinstance(lr, Tensor):
            eta = lr.detach().reshape(()).to(device=param.device, dtype=count_dtype(), copy=True)
        else:
            eta = new_count(lr, param, True)
        return {
            "step": new_count(0.0, param, True),
            "eta": eta,
            "mu": ones((), dtype=count_dtype(), device=param.device),
            "ax": zeros_like(param),
        }

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        options = (
            "lambd", "lr", "t0", "alpha", "weight_decay", "foreach", "maximize", "differentiable", "capturable",
        )
        asgd(
            params, grads, column("ax"), column("mu"), column("eta"), column("step"),
            **{name: group[name] for name in options},
        )


def asgd(
    params: list[Tensor],
    grads: list[Tensor],
    axs: list[Tensor],
    mus: list[Tensor],
    etas: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    maximize: bool = False,
    differentiable: bool = False,
    capturable: bool = False,
    has_complex: bool = False,
    *,
    lambd: float,
    lr: float,
    t0: float,
    alpha: float,
    weight_decay: float,
) -> None:
    """One step of ``ASGD`` on lists of parameters, gradients and state, all changed in place."""
    lr = rate(lr, capturable or differentiable)
    for param, grad, ax, mu, eta, step in zip(params, grads, axs, mus, etas, state_steps, strict=True):
        grad = directed(param, grad, weight_decay, maximize)
        param, grad, ax = real_views(param, grad, ax)
        step += 1
        # In the parameter's precision: double precision would lose half its digits to single-precision counters.
        size, share = (eta.to(param.dtype), mu.to(param.dtype)) if capturable else (eta.item(), mu.item())
        param.mul_(1 - lambd * size)
        descend_(param, grad, size)
        if not capturable and share == 1:
            ax.copy_(param)
        else:
            ax.add_((param - ax) * share)
        count = step if capturable else step.item()
        _set(eta, lr / (1 + lambd * lr * count) ** alpha)
        _set(mu, 1 / (count - t0).clamp(min=1) if capturable else 1 / max(1, count - t0))


def _set(counter: Tensor, value: Any) -> None:
    """Give a counter its next value."""
    if isinstance(value, Tensor):
        counter.copy_(value.detach())
    elif counter.dtype == get_default_dtype():
        counter.fill_(value)
    else:
        # A counter that a checkpoint made double still takes values of the default precision, as PyTorch's does.
        counter.copy_(tensor(float(value)))
