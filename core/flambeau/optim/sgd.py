"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from flambeau.autograd import is_grad_enabled, set_grad_enabled
from flambeau.errors import ArgumentValueError
from flambeau.ops.creation import zeros_like
from flambeau.optim._functional import is_plain, mark_changed, sgd_step_, sgd_update_
from flambeau.optim._shared import check_fusable, check_fused, check_lr, check_option, rate, scalar, unscaled
from flambeau.optim.optimizer import Closure, Optimizer, ParamsT
from flambeau.tensor import Tensor

__all__ = ["SGD", "sgd"]


class SGD(Optimizer):
    """Gradient descent, optionally with momentum.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        momentum: how much of the last step is kept.
        dampening: share of the gradient that does not enter the momentum.
        weight_decay: L2 penalty.
        nesterov: look one step of momentum ahead.
        maximize: go up, not down.
        foreach: accepted; all parameters of a group are always updated in one call.
        differentiable: let gradients flow through the step.
        fused: accepted, as ``foreach``.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.SGD([w], lr=0.1)
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()
    tensor([0.8000])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_lr(lr)
        check_option(momentum >= 0.0, "momentum value", momentum)
        check_option(weight_decay >= 0.0, "weight_decay value", weight_decay)
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable,
            "fused": fused,
        }
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, defaults)
        check_fused(fused, foreach, differentiable)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name in ("nesterov", "maximize", "differentiable"):
                group.setdefault(name, False)
            group.setdefault("foreach", None)
            group.setdefault("fused", False)

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
        ready = [param for param in group["params"] if param.grad is not None]
        if group["momentum"] == 0:
            self._update(ready, [], group, group["dampening"])
            return
        # A first step takes the gradient whole, so those parameters go apart from the others.
        fresh = [param for param in ready if self.state[param].get("momentum_buffer") is None]
        for param in fresh:
            self.state[param]["momentum_buffer"] = zeros_like(param)
        if fresh:
            self._update(fresh, self._buffers(fresh), group, 0.0)
            started = {id(param) for param in fresh}
            ready = [param for param in ready if id(param) not in started]
        self._update(ready, self._buffers(ready), group, group["dampening"])

    def _buffers(self, params: list[Tensor]) -> list[Tensor]:
        return [self.state[param]["momentum_buffer"] for param in params]

    def _update(self, params: list[Tensor], buffers: list[Tensor], group: dict[str, Any], dampening: float) -> None:
        if not params:
            return
        if group["fused"]:
            for param in params:
                check_fusable(param)
        _advance(
            params, [param.grad for param in params], buffers, group["lr"], group["momentum"], dampening,
            group["nesterov"], group["weight_decay"], group["maximize"], group["differentiable"],
        )


def _advance(
    params: list[Tensor],
    grads: list[Any],
    buffers: list[Tensor],
    lr: Any,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: Any,
    maximize: bool,
    differentiable: bool,
) -> None:
    """Update everything: by the operator, or piece by piece where numbers are to stay tensors."""
    if is_plain(params, differentiable):
        sgd_step_(params, grads, buffers, float(lr), momentum, dampening, nesterov, float(weight_decay), maximize)
        mark_changed(params, buffers)
        return
    options = (
        rate(lr, differentiable), momentum, dampening, nesterov,
        scalar(weight_decay) if differentiable else float(weight_decay), maximize,
    )
    for i, param in enumerate(params):
        sgd_update_(param, grads[i], buffers[i] if buffers else None, *options)


def sgd(
    params: list[Tensor],
    d_p_list: list[Tensor],
    momentum_buffer_list: list[Tensor | None],
    has_sparse_grad: bool = False,
    foreach: bool | None = None,
    fused: bool | None = None,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
    *,
    weight_decay: float,
    momentum: float,
    lr: float,
    dampening: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """One step of ``SGD`` on lists of parameters, gradients and momentum, all changed in place.

    Where there is momentum, None in ``momentum_buffer_list`` is a first step and is replaced by a tensor;
    ``grad_scale`` and ``found_inf`` go with ``fused``.
    """
    grads = unscaled(d_p_list, fused, grad_scale, found_inf)
    if grads is None:
        return
    for i, param in enumerate(params):
        buffers: list[Tensor] = []
        damped = dampening
        if momentum != 0:
            buffer = momentum_buffer_list[i]
            if buffer is None:
                buffer, damped = zeros_like(param), 0.0
                momentum_buffer_list[i] = buffer
            buffers = [buffer]
        _advance(
            [param], [grads[i]], buffers, lr, momentum, damped, nesterov, weight_decay, maximize, is_grad_enabled()
        )
