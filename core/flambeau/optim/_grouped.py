"""``GroupedOptimizer``: a step that takes the parameters of one group at a time.

An algorithm says what state a parameter begins with (``_new_state``) and how a group's parameters are updated
(``_update``, mostly its functional form); finding the parameters that have a gradient, the grad mode, the closure and
checkpoints of older versions are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from flambeau.autograd import set_grad_enabled
from flambeau.optim._shared import as_step_count
from flambeau.optim.optimizer import Closure, Optimizer
from flambeau.tensor import Tensor

Column = Callable[[str], list[Any]]


class GroupedOptimizer(Optimizer):
    """Base of the algorithms that update parameters one after the other."""

    _later_options: ClassVar[dict[str, Any]] = {
        "foreach": None, "maximize": False, "differentiable": False, "capturable": False,
    }
    """Options that checkpoints of older versions do not have, with what they stood for."""
    _counters: ClassVar[tuple[str, ...]] = ("step",)
    """State that was a number in older versions."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self._later_options.items():
                group.setdefault(name, value)
            for param in group["params"]:
                entry = self.state.get(param, {})
                for name in self._counters:
                    if name in entry:
                        entry[name] = as_step_count(entry[name], param, self._counts_on_device(group))

    def _counts_on_device(self, group: dict[str, Any]) -> bool:
        """Whether the counters of this group are beside the parameters."""
        return bool(group.get("capturable"))

    def _new_state(self, param: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """What a parameter's state is before its first step."""
        raise NotImplementedError

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], column: Column) -> None:
        """Update parameters; ``column(name)`` is that entry of their states, one for each."""
        raise NotImplementedError

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters once.

        Args:
            closure: evaluates the model again and returns the loss, which this returns.
        """
        loss = self._evaluate(closure)
        with set_grad_enabled(bool(self.defaults.get("differentiable"))):
            for group in self.param_groups:
                self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        params, grads, states = [], [], []
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            state = self.state[param]
            if not state:
                state.update(self._new_state(param, group))
            params.append(param)
            grads.append(grad)
            states.append(state)
        if params:
            self._update(group, params, grads, lambda name: [state.get(name) for state in states])
