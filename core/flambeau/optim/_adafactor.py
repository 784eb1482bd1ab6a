"""Adafactor."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.finfo import finfo
from flambeau.ops.creation import zeros_like
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import check_counts, new_step_count, rate
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["Adafactor", "adafactor"]


def _check(valid: bool | Tensor, what: str, bound: str, value: Any) -> None:
    if not valid:
        raise ArgumentValueError(f"{what} should be {bound} but is: {value}")


class Adafactor(GroupedOptimizer):
    """Adaptive steps whose memory grows with the rows and columns of a matrix, not with its elements
    (Shazeer and Stern, 2018).

    Args:
        params: real parameters or groups of them.
        lr: upper bound of the relative step size.
        beta2_decay: power of the step count by which old squares fade, at most zero.
        eps: a pair; the first keeps roots away from zero (None: the dtype's precision), the second is the least size
            of weights that steps are relative to.
        d: clipping threshold of an update's root mean square, at least one.
        weight_decay: decay of the weights themselves, as in AdamW.
        foreach: accepted; there is one implementation.
        maximize: go up, not down.

    Raises RuntimeError at the first step of a complex parameter.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.ones(2, 2))
    >>> optimizer = torch.optim.Adafactor([w])
    >>> (w * 2).sum().backward()
    >>> optimizer.step()
    >>> w.detach()[0]
    tensor([0.9900, 0.9900])
    >>> optimizer.state[w]["row_var"].shape
    torch.Size([2, 1])
    """

    _later_options: ClassVar[dict[str, Any]] = {"foreach": None, "maximize": False}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ArgumentValueError("Tensor lr must be 1-element")
        _check(lr >= 0.0, "Learning rate", ">= 0", lr)
        _check(beta2_decay <= 0.0, "beta2_decay", "<= 0", beta2_decay)
        _check(eps[0] is None or eps[0] >= 0.0, "epsilon1", ">= 0", eps[0])
        _check(eps[1] >= 0.0, "epsilon2", ">= 0", eps[1])
        _check(d >= 1.0, "Clipping threshold d", ">= 1", d)
        _check(weight_decay >= 0.0, "weight_decay", ">= 0", weight_decay)
        defaults = {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        if param.is_complex():
            raise ArgumentError("Adafactor does not support complex parameters")
        state = {"step": new_step_count(param, False)}
        shape = list(param.shape)
        if len(shape) > 1:
            state["row_var"] = param.detach().new_zeros([*shape[:-1], 1])
            state["col_var"] = param.detach().new_zeros([*shape[:-2], 1, shape[-1]])
        else:
            state["variance"] = zeros_like(param)
        return state

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        options = ("d", "lr", "beta2_decay", "weight_decay", "foreach", "maximize")
        eps1, eps2 = group["eps"]
        adafactor(
            params, grads, column("row_var"), column("col_var"), column("variance"), column("step"), eps1=eps1,
            eps2=eps2, **{name: group[name] for name in options},
        )


def adafactor(
    params: list[Tensor],
    grads: list[Tensor],
    row_vars: list[Tensor | None],
    col_vars: list[Tensor | None],
    variances: list[Tensor | None],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
    has_complex: bool = False,
    *,
    d: float,
    lr: float | Tensor,
    beta2_decay: float,
    weight_decay: float,
    eps1: float,
    eps2: float,
    maximize: bool,
) -> None:
    """One step of ``Adafactor`` on lists of parameters, gradients and state, all changed in place."""
    check_counts("state_steps", state_steps)
    if grad_scale is not None or found_inf is not None:
        raise AssertionError("Grad scaling should occur outside of optimizer.step()")
    most = rate(lr, as_tensor=False)
    rows = zip(params, grads, row_vars, col_vars, variances, state_steps, strict=True)
    for param, grad, row_var, col_var, variance, step in rows:
        if maximize:
            grad = -grad
        floor = finfo(param.dtype).eps if eps1 is None else eps1
        step += 1
        count = step.item()
        size = max(eps2, _root_mean_square(param)) * min(most, 1 / count**0.5)
        if weight_decay != 0:
            param.mul_(1 - most * weight_decay)
        square = _square_estimate(grad, row_var, col_var, variance, count**beta2_decay, floor)
        update = square.clamp_(min=floor * floor).rsqrt_().mul_(grad)
        param.add_(update, alpha=-size / max(1.0, _root_mean_square(update) / d))


def _root_mean_square(value: Tensor) -> float:
    length: float = value.norm(2).item()
    return length / value.numel() ** 0.5


def _square_estimate(
    grad: Tensor, row_var: Tensor | None, col_var: Tensor | None, variance: Tensor | None, share: float, floor: float
) -> Tensor:
    """The average squared gradient: of a matrix, the product of what is kept for its rows and for its columns."""
    if row_var is None or col_var is None:
        assert variance is not None, "a vector keeps a variance, a matrix one for its rows and one for its columns"
        return variance.lerp_(grad * grad, share).clone()
    for kept, dim in ((row_var, -1), (col_var, -2)):
        kept.lerp_(grad.norm(dim=dim, keepdim=True).square_().div_(grad.size(dim)), share)
    return (row_var @ col_var).div_(row_var.mean(dim=-2, keepdim=True).clamp_(min=floor))
