"""One optimiser step as a function of tensors and numbers: the formulas, in plain operators.

``adam_step_`` and ``sgd_step_`` update all parameters of a group and are operators of their own: a backend that has a
kernel for them pays one call per step, where the decomposition pays a dozen per parameter. Everything that changes
between calls (learning rate, step count) is an argument, nothing is kept between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.dispatch import operator
from flambeau.dispatch.run import bump
from flambeau.ops.elementwise import maximum
from flambeau.optim._shared import descend_, descend_ratio_, directed, held, real_views
from flambeau.tensor import Tensor

Number = Any


def adam_update_(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    max_exp_avg_sq: Tensor | None,
    count: Number,
    lr: Number,
    beta1: Number,
    beta2: Number,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled_weight_decay: bool,
) -> None:
    """Adam (Kingma and Ba, 2015), AMSGrad where ``max_exp_avg_sq`` is given, AdamW where the decay is decoupled.

    ``count`` is the number of this step, from one; as a tensor it stays one in the formula, so that nothing waits for
    its value. So do the learning rate and the two betas.
    """
    if maximize:
        grad = -grad
    if weight_decay != 0:
        if decoupled_weight_decay:
            param.mul_(1 - lr * weight_decay)
        else:
            grad = directed(param, grad, weight_decay, False)
    param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq = real_views(param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq)
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).add_(grad * grad * (1 - beta2))
    if max_exp_avg_sq is None:
        root = exp_avg_sq.sqrt()
    else:
        max_exp_avg_sq.copy_(maximum(held(max_exp_avg_sq), held(exp_avg_sq)))
        root = max_exp_avg_sq.sqrt()
    size = lr / (1 - beta1**count)
    denominator = (root / (1 - beta2**count) ** 0.5).add_(eps)
    descend_ratio_(param, exp_avg, denominator, size)


@operator(namespace="internal", method=False, dtype_rule="any", no_fallback=True)
def adam_step_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    max_exp_avg_sqs: Sequence[Tensor],
    counts: Sequence[Number],
    lr: Number,
    beta1: Number,
    beta2: Number,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled_weight_decay: bool,
) -> tuple[()]:
    """``adam_update_`` of every parameter; ``max_exp_avg_sqs`` is empty unless AMSGrad is wanted."""
    for i, param in enumerate(params):
        adam_update_(
            param, grads[i], exp_avgs[i], exp_avg_sqs[i], max_exp_avg_sqs[i] if max_exp_avg_sqs else None, counts[i],
            lr, beta1, beta2, eps, weight_decay, maximize, decoupled_weight_decay,
        )
    return ()


def sgd_update_(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor | None,
    lr: Number,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: Number,
    maximize: bool,
) -> None:
    """Gradient descent, with momentum where a buffer is given (zeros, and no dampening, at the first step)."""
    grad = directed(param, grad, weight_decay, maximize)
    if momentum_buffer is not None:
        momentum_buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
        grad = grad.add(momentum_buffer, alpha=momentum) if nesterov else momentum_buffer
    descend_(param, grad, lr)


@operator(namespace="internal", method=False, dtype_rule="any", no_fallback=True)
def sgd_step_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    momentum_buffers: Sequence[Tensor],
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
    maximize: bool,
) -> tuple[()]:
    """``sgd_update_`` of every parameter; ``momentum_buffers`` is empty where there is no momentum."""
    for i, param in enumerate(params):
        sgd_update_(
            param, grads[i], momentum_buffers[i] if momentum_buffers else None,
            lr, momentum, dampening, nesterov, weight_decay, maximize,
        )
    return ()


@operator(namespace="internal", method=False, dtype_rule="any", no_fallback=True)
def count_up_(steps: Sequence[Tensor]) -> tuple[()]:
    """Raise every step counter by one."""
    for step in steps:
        step.add_(1)
    return ()


def mark_changed(*groups: Sequence[Tensor]) -> None:
    """Count the change of every tensor's memory, so that backward notices a saved tensor that a step overwrote."""
    for group in groups:
        for each in group:
            bump(each)


def is_plain(params: Sequence[Tensor], differentiable: bool) -> bool:
    """Whether a whole-step operator applies: real parameters, and nothing flows back through the step."""
    return not differentiable and not any(param.is_complex() for param in params)
