"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.autograd import enable_grad, no_grad
from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.ops.joining import cat
from flambeau.ops.views import view_as_real
from flambeau.optim._line_search import StrongWolfe, Trial
from flambeau.optim._shared import check_lr, scalar
from flambeau.optim.optimizer import Closure, Optimizer, ParamsT
from flambeau.tensor import Tensor

__all__ = ["LBFGS"]

_MEMORY = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


class LBFGS(Optimizer):
    """The limited-memory method of Broyden, Fletcher, Goldfarb and Shanno: steps that use the curvature seen in the
    last gradients. It evaluates the model several times per step, so ``step`` needs a closure, and it keeps one group.

    Args:
        params: parameters, in one group.
        lr: length of a step.
        max_iter: most steps inside of one ``step``.
        max_eval: most evaluations of the closure inside of one ``step`` (None: five quarters of ``max_iter``).
        tolerance_grad: stop where no gradient is larger.
        tolerance_change: stop where loss and parameters change by less.
        history_size: gradients kept; memory is ``2 * history_size`` times that of the parameters.
        line_search_fn: None, or ``"strong_wolfe"`` to choose the length of each step.

    Raises ValueError for several groups, RuntimeError at ``step`` for another line search.

    >>> import flambeau as torch
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = torch.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - torch.tensor([1.0, 3.0])) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure)
    tensor(10., grad_fn=<SumBackward0>)
    >>> w.detach()
    tensor([1., 3.])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ArgumentValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list[Tensor]:
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    @no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Closure) -> Any:
        """Go down until a limit or a tolerance is reached.

        Args:
            closure: evaluates the model again, with gradients, and returns the loss; the first one is returned.
        """
        assert len(self.param_groups) == 1, "LBFGS has one group of parameters"
        evaluate = enable_grad()(closure)
        group, state = self.param_groups[0], self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = evaluate()
        loss, grad = float(first_loss), self._flat_grad()
        state["func_evals"] += 1
        if grad.abs().max() <= group["tolerance_grad"]:
            return first_loss
        memory = {name: state.get(name) for name in _MEMORY}
        self._iterate(evaluate, group, state, memory, loss, grad)
        state.update(memory)
        return first_loss

    def _iterate(
        self,
        evaluate: Callable[[], Any],
        group: dict[str, Any],
        state: dict[str, Any],
        memory: dict[str, Any],
        loss: float,
        grad: Tensor,
    ) -> None:
        evaluations = 1
        for number in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(group, state, memory, grad)
            before = memory["prev_loss"] = loss
            length = scalar(group["lr"])
            if state["n_iter"] == 1:
                length = min(1.0, 1.0 / grad.abs().sum()) * length
            memory["d"], memory["t"] = direction, length
            slope = grad.dot(direction)
            if slope > -group["tolerance_change"]:
                return
            made = 0
            if group["line_search_fn"] is not None:
                start = Trial(0, loss, grad.clone(), slope)
                rounds = group["max_eval"] - evaluations
                found, made = self._search(evaluate, group, start, direction, length, rounds)
                length, loss, grad = found.step, found.loss, found.grad
                memory["t"] = length
                self._move(length, direction)
            else:
                self._move(length, direction)
                if number != group["max_iter"]:
                    loss, grad, made = float(evaluate()), self._flat_grad(), 1
            evaluations += made
            state["func_evals"] += made
            if (
                number == group["max_iter"]
                or evaluations >= group["max_eval"]
                or grad.abs().max() <= group["tolerance_grad"]
                or (direction * length).abs().max() <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                return

    def _direction(
        self, group: dict[str, Any], state: dict[str, Any], memory: dict[str, Any], grad: Tensor
    ) -> Tensor:
        """Where to go: down the gradient at first, then as the inverse curvature of the kept gradients says."""
        if state["n_iter"] == 1:
            memory.update(old_dirs=[], old_stps=[], ro=[], H_diag=1, prev_flat_grad=grad.clone())
            return -grad
        changes, steps, inverses = memory["old_dirs"], memory["old_stps"], memory["ro"]
        change, step = grad - memory["prev_flat_grad"], memory["d"] * memory["t"]
        curvature = change.dot(step)
        if curvature > 1e-10:
            if len(changes) == group["history_size"]:
                for kept in (changes, steps, inverses):
                    kept.pop(0)
            changes.append(change)
            steps.append(step)
            inverses.append(1.0 / curvature)
            memory["H_diag"] = curvature / change.dot(change)
        weights = state.setdefault("al", [None] * group["history_size"])
        direction = -grad
        for i in range(len(changes) - 1, -1, -1):
            weights[i] = steps[i].dot(direction) * inverses[i]
            direction.sub_(changes[i] * weights[i])
        direction = direction * memory["H_diag"]
        for i in range(len(changes)):
            direction.add_(steps[i] * (weights[i] - changes[i].dot(direction) * inverses[i]))
        memory["prev_flat_grad"].copy_(grad)
        return direction

    def _search(
        self,
        evaluate: Callable[[], Any],
        group: dict[str, Any],
        start: Trial,
        direction: Tensor,
        length: Any,
        rounds: int,
    ) -> tuple[Trial, int]:
        if group["line_search_fn"] != "strong_wolfe":
            raise ArgumentError(f"only 'strong_wolfe' is supported, but got {group['line_search_fn']!r}")
        here = [param.clone() for param in self._params]

        def trial(step: Any) -> Trial:
            self._move(step, direction)
            loss, grad = float(evaluate()), self._flat_grad()
            for param, value in zip(self._params, here, strict=True):
                param.copy_(value)
            return Trial(step, loss, grad, grad.dot(direction))

        search = StrongWolfe(trial, start, direction.abs().max(), rounds)
        return search.search(length), search.evaluations

    def _flat_grad(self) -> Tensor:
        """All gradients in one row; complex ones as pairs of real numbers."""
        pieces = []
        for param in self._params:
            grad = param.new_zeros(param.shape) if param.grad is None else param.grad
            pieces.append((view_as_real(grad) if grad.is_complex() else grad).reshape(-1))
        return cat(pieces, 0)

    def _move(self, length: Any, direction: Tensor) -> None:
        """Go ``length`` times ``direction``."""
        offset = 0
        for param in self._params:
            if param.is_complex():
                param = view_as_real(param)
            piece = direction[offset : offset + param.numel()].view_as(param)
            if isinstance(length, Tensor):
                param.add_(piece * length)
            else:
                param.add_(piece, alpha=length)
            offset += param.numel()
