"""Adam."""

from __future__ import annotations

from typing import Any

from flambeau.autograd import set_grad_enabled
from flambeau.ops.creation import zeros_like
from flambeau.optim._functional import adam_step_, adam_update_, count_up_, is_plain, mark_changed
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

__all__ = ["Adam"]


class Adam(Optimizer):
    """Adam: steps scaled by running averages of the gradient and of its square (Kingma and Ba, 2015).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay rates of the two averages.
        eps: added to the root of the second average.
        weight_decay: L2 penalty.
        amsgrad: divide by the largest second average so far (Reddi et al., 2018).
        foreach: accepted; all parameters of a group are always updated in one call.
        maximize: go up, not down.
        capturable: keep the step count beside the parameters and as a tensor in the formula.
        differentiable: let gradients flow through the step.
        fused: accepted; keeps the step count beside the parameters, as PyTorch's fused form does.
        decoupled_weight_decay: decay the weights directly, as AdamW does.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.Adam([w], lr=0.1)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.9000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_lr(lr, foreach, capturable)
        check_option(eps >= 0.0, "epsilon value", eps)
        for index, beta in enumerate(betas):
            check_option(0.0 <= beta < 1.0, f"beta parameter at index {index}", beta)
        check_option(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name in ("amsgrad", "maximize", "capturable", "differentiable", "decoupled_weight_decay"):
                group.setdefault(name, False)
            group.setdefault("foreach", None)
            group.setdefault("fused", None)
            for param in group["params"]:
                entry = self.state.get(param, {})
                if "step" in entry:
                    entry["step"] = as_step_count(entry["step"])

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        state = {
            "step": new_step_count(param, on_device=bool(group["capturable"] or group["fused"])),
            "exp_avg": zeros_like(param),
            "exp_avg_sq": zeros_like(param),
        }
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_like(param)
        return state

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters once.

        Args:
            closure: evaluates the model again and returns the loss, which this returns.
        """
        loss = self._evaluate(closure)
        for group in self.param_groups:
            with set_grad_enabled(group["differentiable"]):
                self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        params, grads, averages, squares, peaks, steps = [], [], [], [], [], []
        all_state = self.state
        amsgrad = group["amsgrad"]
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = all_state[param]
            if not state:
                state.update(self._new_state(param, group))
            params.append(param)
            grads.append(grad)
            averages.append(state["exp_avg"])
            squares.append(state["exp_avg_sq"])
            if amsgrad:
                peaks.append(state["max_exp_avg_sq"])
            steps.append(state["step"])
        if params:
            _update(group, params, grads, averages, squares, peaks, steps)


def _update(
    group: dict[str, Any],
    params: list[Tensor],
    grads: list[Tensor],
    averages: list[Tensor],
    squares: list[Tensor],
    peaks: list[Tensor],
    steps: list[Tensor],
) -> None:
    """Raise the counts and update everything: by the operator, or piece by piece where numbers are to stay tensors."""
    lr = group["lr"]
    beta1, beta2 = group["betas"]
    options = group["eps"], group["weight_decay"], group["maximize"], group["decoupled_weight_decay"]
    count_up_(steps)
    if is_plain(params, group["differentiable"]) and not group["capturable"]:
        counts = [step.item() for step in steps]
        adam_step_(
            params, grads, averages, squares, peaks, counts, float(lr), float(beta1), float(beta2), *options
        )
        mark_changed(params, averages, squares, peaks)
        return
    for i, param in enumerate(params):
        count = steps[i] if group["capturable"] else steps[i].item()
        adam_update_(
            param, grads[i], averages[i], squares[i], peaks[i] if peaks else None, count, lr, beta1, beta2, *options
        )
