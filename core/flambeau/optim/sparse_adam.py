"""SparseAdam."""

from __future__ import annotations

from typing import Any, ClassVar

from flambeau.errors import ArgumentValueError
from flambeau.ops.creation import zeros_like
from flambeau.ops.selection import where
from flambeau.optim._grouped import Column, GroupedOptimizer
from flambeau.optim._shared import check_betas, check_option, rate
from flambeau.optim.optimizer import ParamsT
from flambeau.tensor import Tensor

__all__ = ["SparseAdam"]


class SparseAdam(GroupedOptimizer):
    """Adam that leaves alone what a gradient does not mention: the rows of an embedding that no example looked up
    neither move nor have their averages decay.

    Gradients are dense here, where PyTorch refuses dense ones and takes sparse ones: a row (an entry along the first
    dimension) counts as mentioned where any of its gradient is not zero. For an embedding's gradient these are the
    rows that were looked up, so a program gets the numbers that PyTorch gives for the sparse form. They differ only
    where a row was looked up and its gradient is exactly zero.

    Args:
        params: real parameters or groups of them.
        lr: learning rate, above zero.
        betas: decay rates of the averages of the gradient and of its square.
        eps: added to the root of the second average, above zero.
        maximize: go up, not down.

    >>> import flambeau as torch
    >>> table = torch.nn.Embedding(3, 1, _weight=torch.ones(3, 1))
    >>> optimizer = torch.optim.SparseAdam(table.parameters(), lr=0.1)
    >>> table(torch.tensor([1])).sum().backward()
    >>> optimizer.step()
    >>> table.weight.detach().flatten()
    tensor([1.0000, 0.9000, 1.0000])
    """

    _later_options: ClassVar[dict[str, Any]] = {"maximize": False}
    _counters = ()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ArgumentValueError("Tensor lr must be 1-element")
        check_option(lr > 0.0, "learning rate", lr)
        check_option(eps > 0.0, "epsilon value", eps)
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        places = [
            [number, index]
            for number, group in enumerate(self.param_groups)
            for index, param in enumerate(group["params"])
            if param.is_complex()
        ]
        if places:
            raise ArgumentValueError(
                f"Complex params at indices {places}: SparseAdam does not support complex parameters"
            )

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": 0, "exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        beta1, beta2 = group["betas"]
        lr = rate(group["lr"], as_tensor=False)
        for param, grad, exp_avg, exp_avg_sq in zip(
            params, grads, column("exp_avg"), column("exp_avg_sq"), strict=True
        ):
            state = self.state[param]
            state["step"] += 1
            count = state["step"]
            if group["maximize"]:
                grad = -grad
            mentioned = grad != 0
            if grad.ndim > 1:
                mentioned = mentioned.flatten(1).any(1).reshape(-1, *[1] * (grad.ndim - 1))
            exp_avg.add_(where(mentioned, (grad - exp_avg) * (1 - beta1), 0.0))
            exp_avg_sq.add_(where(mentioned, (grad * grad - exp_avg_sq) * (1 - beta2), 0.0))
            size = lr * (1 - beta2**count) ** 0.5 / (1 - beta1**count)
            param.sub_(where(mentioned, exp_avg / (exp_avg_sq.sqrt() + group["eps"]) * size, 0.0))
