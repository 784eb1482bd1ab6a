"""Rprop."""

from __future__ import annotations

from typing import Any

from flambeau.ops.creation import full_like, ones_like, zeros_like
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import check_counts, check_lr, check_option, held, new_step_count, rate, real_views
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["Rprop", "rprop"]


class Rprop(GroupedOptimizer):
    """Resilient backpropagation: only the gradient's sign counts, and each weight has a step size of its own, which
    grows while the sign stays and shrinks when it turns (Riedmiller and Braun, 1993). For whole-batch gradients.

    Args:
        params: parameters or groups of them.
        lr: step size to begin with.
        etas: factors by which a step size shrinks and grows.
        step_sizes: the least and the largest step size.
        capturable: keep the step count beside the parameters.
        foreach: accepted; there is one implementation.
        maximize: go up, not down.
        differentiable: let gradients flow through the step.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.Rprop([w], lr=0.1)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_lr(lr)
        check_option(0.0 < etas[0] < 1.0 < etas[1], "eta values", f"{etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        size = rate(group["lr"], as_tensor=False)
        return {
            "step": new_step_count(param, group["capturable"]),
            "prev": zeros_like(param),
            "step_size": full_like(param, complex(size, size) if param.is_complex() else size, requires_grad=False),
        }

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        options = ("foreach", "maximize", "differentiable", "capturable")
        etaminus, etaplus = group["etas"]
        least, most = group["step_sizes"]
        rprop(
            params, grads, column("prev"), column("step_size"), column("step"), step_size_min=least,
            step_size_max=most, etaminus=etaminus, etaplus=etaplus, **{name: group[name] for name in options},
        )


def rprop(
    params: list[Tensor],
    grads: list[Tensor],
    prevs: list[Tensor],
    step_sizes: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    capturable: bool = False,
    maximize: bool = False,
    differentiable: bool = False,
    has_complex: bool = False,
    *,
    step_size_min: float,
    step_size_max: float,
    etaminus: float,
    etaplus: float,
) -> None:
    """One step of ``Rprop`` on lists of parameters, gradients and state, all changed in place."""
    check_counts("state_steps", state_steps)
    for param, grad, prev, step_size, step in zip(params, grads, prevs, step_sizes, state_steps, strict=True):
        step += 1
        if maximize:
            grad = -grad
        param, grad, prev, step_size = real_views(param, grad, prev, step_size)
        agreement = grad.detach() * prev.detach()
        turned = agreement < 0
        factor = ones_like(agreement).masked_fill_(agreement > 0, etaplus).masked_fill_(turned, etaminus)
        step_size.mul_(factor).clamp_(step_size_min, step_size_max)
        # Where the sign turned, this step is left out, and the next one begins as if it were the first.
        grad = grad.masked_fill(turned, 0)
        param.addcmul_(grad.sign(), held(step_size), value=-1)
        prev.copy_(grad)
