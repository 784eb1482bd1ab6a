"""One optimiser step as a function of tensors and numbers: the formulas, in plain operators.

Each ``..._update_`` changes one parameter and its state in place; each ``..._step_`` does so for all parameters of a
group. They are written so that they can stand as operators with kernels of their own: everything that changes between
calls (learning rate, step count) is an argument, nothing is kept between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.ops import maximum, view_as_real
from flambeau.tensor import Tensor

Number = Any


def adam_update_(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    max_exp_avg_sq: Tensor | None,
    step: Tensor,
    *,
    lr: Number,
    beta1: Number,
    beta2: Number,
    eps: float,
    weight_decay: float,
    maximize: bool = False,
    capturable: bool = False,
    decoupled_weight_decay: bool = False,
) -> None:
    """Adam (Kingma and Ba, 2015), AMSGrad where ``max_exp_avg_sq`` is given, AdamW where the decay is decoupled.

    ``step`` is raised by one first. With ``capturable`` it stays a tensor in the formula, so that nothing waits for
    its value.
    """
    if maximize:
        grad = -grad
    step += 1
    if weight_decay != 0:
        if decoupled_weight_decay:
            param.mul_(1 - lr * weight_decay)
        else:
            grad = grad.add(param, alpha=weight_decay)
    if param.is_complex():
        param, grad, exp_avg, exp_avg_sq = map(view_as_real, (param, grad, exp_avg, exp_avg_sq))
        max_exp_avg_sq = None if max_exp_avg_sq is None else view_as_real(max_exp_avg_sq)
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    if max_exp_avg_sq is None:
        root = exp_avg_sq.sqrt()
    else:
        max_exp_avg_sq.copy_(maximum(max_exp_avg_sq, exp_avg_sq))
        root = max_exp_avg_sq.sqrt()
    if capturable:
        size = lr / (1 - beta1**step)
        correction = (1 - beta2**step).sqrt()
        param.sub_(exp_avg / (root / correction).add_(eps) * size)
        return
    count = step.item()
    size = float(lr) / (1 - float(beta1) ** count)
    correction = (1 - float(beta2) ** count) ** 0.5
    param.addcdiv_(exp_avg, (root / correction).add_(eps), value=-size)


def adam_step_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    exp_avgs: Sequence[Tensor],
    exp_avg_sqs: Sequence[Tensor],
    max_exp_avg_sqs: Sequence[Tensor],
    steps: Sequence[Tensor],
    *,
    lr: Number,
    beta1: Number,
    beta2: Number,
    eps: float,
    weight_decay: float,
    maximize: bool = False,
    capturable: bool = False,
    decoupled_weight_decay: bool = False,
) -> None:
    """``adam_update_`` of every parameter; ``max_exp_avg_sqs`` is empty unless AMSGrad is wanted."""
    for i, param in enumerate(params):
        adam_update_(
            param, grads[i], exp_avgs[i], exp_avg_sqs[i], max_exp_avg_sqs[i] if max_exp_avg_sqs else None, steps[i],
            lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, maximize=maximize,
            capturable=capturable, decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip


def sgd_update_(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor | None,
    *,
    lr: Number,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: Number,
    maximize: bool = False,
) -> None:
    """Gradient descent, with momentum where a buffer is given (zeros, and no dampening, at the first step)."""
    if maximize:
        grad = -grad
    if weight_decay != 0:
        grad = grad.add(param, alpha=float(weight_decay))
    if momentum_buffer is not None:
        momentum_buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
        grad = grad.add(momentum_buffer, alpha=momentum) if nesterov else momentum_buffer
    param.add_(grad, alpha=-float(lr))


def sgd_step_(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    momentum_buffers: Sequence[Tensor],
    *,
    lr: Number,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: Number,
    maximize: bool = False,
) -> None:
    """``sgd_update_`` of every parameter; ``momentum_buffers`` is empty where there is no momentum."""
    for i, param in enumerate(params):
        sgd_update_(
            param, grads[i], momentum_buffers[i] if momentum_buffers else None, lr=lr, momentum=momentum,
            dampening=dampening, nesterov=nesterov, weight_decay=weight_decay, maximize=maximize,
        )  # fmt: skip


def rmsprop_update_(
    param: Tensor,
    grad: Tensor,
    square_avg: Tensor,
    grad_avg: Tensor | None,
    momentum_buffer: Tensor | None,
    step: Tensor,
    *,
    lr: Number,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool = False,
) -> None:
    """RMSprop; centered where ``grad_avg`` is given (Graves, 2013), with momentum where a buffer is."""
    step += 1
    if maximize:
        grad = -grad
    if weight_decay != 0:
        grad = grad.add(param, alpha=weight_decay)
    if param.is_complex():
        param, grad, square_avg = map(view_as_real, (param, grad, square_avg))
        grad_avg = None if grad_avg is None else view_as_real(grad_avg)
        momentum_buffer = None if momentum_buffer is None else view_as_real(momentum_buffer)
    square_avg.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
    if grad_avg is None:
        root = square_avg.sqrt()
    else:
        grad_avg.lerp_(grad, 1 - alpha)
        root = square_avg.addcmul(grad_avg, grad_avg, value=-1).sqrt_()
    root.add_(eps)
    if momentum_buffer is None:
        param.addcdiv_(grad, root, value=-float(lr))
    else:
        momentum_buffer.mul_(momentum).addcdiv_(grad, root)
        param.add_(momentum_buffer, alpha=-float(lr))


def adagrad_update_(
    param: Tensor,
    grad: Tensor,
    state_sum: Tensor,
    step: Tensor,
    *,
    lr: Number,
    lr_decay: float,
    eps: float,
    weight_decay: float,
    maximize: bool = False,
) -> None:
    """Adagrad (Duchi et al., 2011)."""
    step += 1
    if maximize:
        grad = -grad
    if weight_decay != 0:
        grad = grad.add(param, alpha=weight_decay)
    size = float(lr) / (1 + (step.item() - 1) * lr_decay)
    if param.is_complex():
        param, grad, state_sum = map(view_as_real, (param, grad, state_sum))
    state_sum.addcmul_(grad, grad, value=1)
    param.addcdiv_(grad, state_sum.sqrt().add_(eps), value=-size)
