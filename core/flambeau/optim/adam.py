"""Adam."""

from __future__ import annotations

from typing import Any

from flambeau.autograd import set_grad_enabled
from flambeau.errors import ArgumentValueError
from flambeau.ops.creation import zeros_like
from flambeau.optim._functional import adam_step_, adam_update_, count_up_, is_plain, mark_changed
from flambeau.optim._shared import (
    as_step_count,
    check_betas,
    check_counts,
    check_fusable,
    check_fused,
    check_lr,
    check_option,
    new_step_count,
    scalar,
    unscaled,
)
from flambeau.optim.optimizer import Closure, Optimizer, ParamsT
from flambeau.tensor import Tensor

__all__ = ["Adam", "adam"]


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
        check_betas(betas)
        check_option(weight_decay >= 0.0, "weight_decay value", weight_decay)
        betas = _checked_betas(betas, bool(foreach) and not capturable)
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
                    on_device = bool(group["capturable"] or group["fused"])
                    entry["step"] = as_step_count(entry["step"], param, on_device)

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        if group["fused"]:
            check_fusable(param)
        state = {
            "step": new_step_count(param, bool(group["capturable"] or group["fused"]), group["fused"]),
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
            lists = (params, grads, averages, squares, peaks, steps)
            options = group["eps"], group["weight_decay"], group["maximize"], group["decoupled_weight_decay"]
            _advance(lists, group["lr"], group["betas"], options, group["capturable"], group["differentiable"])


def _checked_betas(betas: tuple[Any, Any], as_numbers: bool) -> tuple[Any, Any]:
    """The two decay rates; ValueError for two kinds of number, or for tensors where the algorithm takes numbers."""
    kinds = [isinstance(beta, Tensor) for beta in betas]
    if not (all(kinds) or all(isinstance(beta, float) for beta in betas)):
        raise ArgumentValueError("betas must be either both floats or both Tensors")
    for index, beta in enumerate(betas):
        if kinds[index] and as_numbers:
            raise ArgumentValueError(
                f"betas[{index}] as a Tensor is not supported for capturable=False and foreach=True"
            )
        if kinds[index] and beta.numel() != 1:
            raise ArgumentValueError(f"Tensor betas[{index}] must be 1-element")
    return scalar(betas[0]), scalar(betas[1])


def _advance(
    lists: tuple[Any, ...],
    lr: Any,
    betas: tuple[Any, Any],
    options: tuple[Any, ...],
    capturable: bool,
    differentiable: bool,
) -> None:
    """Raise the counts and update everything: by the operator, or piece by piece where numbers are to stay tensors."""
    params, grads, averages, squares, peaks, steps = lists
    beta1, beta2 = betas
    count_up_(steps)
    if not capturable and is_plain(params, differentiable):
        counts = [step.item() for step in steps]
        adam_step_(
            params, grads, averages, squares, peaks, counts, float(lr), float(beta1), float(beta2), *options
        )
        mark_changed(params, averages, squares, peaks)
        return
    lr = scalar(lr)
    for i, param in enumerate(params):
        count = steps[i] if capturable else steps[i].item()
        adam_update_(
            param, grads[i], averages[i], squares[i], peaks[i] if peaks else None, count, lr, beta1, beta2, *options
        )


def adam(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    max_exp_avg_sqs: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
    fused: bool | None = None,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
    has_complex: bool = False,
    decoupled_weight_decay: bool = False,
    *,
    amsgrad: bool,
    beta1: float | Tensor,
    beta2: float | Tensor,
    lr: float | Tensor,
    weight_decay: float,
    eps: float,
    maximize: bool,
) -> None:
    """One step of ``Adam`` on lists of parameters, gradients and state, all changed in place.

    ``max_exp_avg_sqs`` is read with ``amsgrad``; ``grad_scale`` and ``found_inf`` go with ``fused``.
    """
    check_counts("state_steps", state_steps)
    ready = unscaled(grads, fused, grad_scale, found_inf)
    if params and ready is not None:
        lists = (params, ready, exp_avgs, exp_avg_sqs, max_exp_avg_sqs if amsgrad else [], state_steps)
        options = (eps, weight_decay, maximize, decoupled_weight_decay)
        _advance(lists, lr, (scalar(beta1), scalar(beta2)), options, capturable, differentiable)
