"""``LRScheduler``, the base of all schedules, and what they share.

A schedule must know whether its optimiser has made a step since, so that it can warn where it is stepped first. For
that it puts a thin function around the optimiser's ``step``, on the object, as PyTorch does; programs look at its mark.
"""

from __future__ import annotations

import functools
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from flambeau.errors import ArgumentTypeError, ArgumentValueError
from flambeau.optim._shared import scalar
from flambeau.optim.optimizer import Optimizer
from flambeau.tensor import Tensor

Rate = Any

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please use "
    "`scheduler.step()`: the scheduler counts its steps. With an epoch, the rate's closed form is used where there is "
    "one, not the change from the rate before."
)


def copied(value: Rate) -> Rate:
    """A number as it is, a copy of a tensor."""
    return value.detach().clone() if isinstance(value, Tensor) else value


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    """One option of every group."""
    return [copied(group[key]) for group in optimizer.param_groups]


def set_value(group: dict[str, Any], key: str, value: Any) -> None:
    """Set an option; one held as a tensor keeps being that tensor, so that whoever holds it sees the change."""
    if isinstance(group[key], Tensor):
        group[key].fill_(scalar(value))
    else:
        group[key] = value


def one_per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """A list of options, one for each group; ValueError for a list of another length."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        value = [value] * groups
    elif len(value) != groups:
        raise ArgumentValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {groups}."
        )
    return [copied(each) for each in value]


def check_optimizer(optimizer: Any) -> None:
    """TypeError for what is no optimiser."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(f"{type(optimizer).__name__} is not an Optimizer")


def state_of_function(function: Any) -> dict[str, Any] | None:
    """What is saved of a function: the attributes of a callable object, nothing of a plain function."""
    return None if isinstance(function, types.FunctionType) else dict(function.__dict__)


def _watch_steps(optimizer: Optimizer) -> None:
    """Note every step of the optimiser from now on, as ``_opt_called``."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    # No cycle: the optimiser holds the function, which only knows of the optimiser.
    reference = weakref.ref(optimizer)
    method = getattr(optimizer.step, "__func__", None)
    # A function that somebody put on the object already is called as it is.
    given: Any = optimizer.step if method is None else None

    @functools.wraps(method or given)
    def watched(*args: Any, **kwargs: Any) -> Any:
        owner = reference()
        if owner is None:
            raise ReferenceError("the optimizer of this step is gone; keep a reference to it")
        owner._opt_called = True
        return given(*args, **kwargs) if method is None else method(owner, *args, **kwargs)

    watched._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = watched  # type: ignore[method-assign]


class LRScheduler:
    """Base of the schedules.

    Args:
        optimizer: whose rates are set.
        last_epoch: -1 to begin; the number of the last epoch to resume, with ``initial_lr`` in every group.

    A subclass defines ``get_lr``. Raises TypeError for what is no optimiser, KeyError where a resumed one has no
    ``initial_lr``.
    """

    _get_lr_called_within_step = False
    _is_initial = False
    _step_count: int
    _last_lr: list[Rate]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{number}] when resuming scheduler with "
                    "last_epoch >= 0; load the optimizer's state dict first, or begin with last_epoch=-1"
                )
        self.base_lrs = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Rate]:
        """The rates that were set last, one per group."""
        return self._last_lr

    def get_lr(self) -> list[Rate]:
        """The rates of the epoch ``last_epoch``, one per group; a subclass defines it."""
        raise NotImplementedError

    def _rates(self) -> list[Rate]:
        """The present rates."""
        return values_of(self.optimizer, "lr")

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _warn_of_order(self) -> None:
        if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
            warnings.warn(
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. "
                "Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`.",
                UserWarning,
                stacklevel=3,
            )
        elif not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the opposite order: "
                "`optimizer.step()` before `lr_scheduler.step()`, or the first value of the schedule is skipped.",
                UserWarning,
                stacklevel=3,
            )

    def step(self, epoch: int | None = None) -> None:
        """Set the next epoch's rates; call it after the optimiser's ``step``.

        Args:
            epoch: deprecated; jump to this epoch.
        """
        if self._step_count == 1:
            self._warn_of_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                closed_form: Callable[[], list[Rate]] | None = getattr(self, "_get_closed_form_lr", None)
                rates = self.get_lr() if closed_form is None else closed_form()
        finally:
            self._get_lr_called_within_step = False
        self._set_rates(rates)

    def _set_rates(self, rates: list[Rate]) -> None:
        for group, value in zip(self.optimizer.param_groups, rates, strict=True):
            set_value(group, "lr", value)
        self._last_lr = self._rates()


_LRScheduler = LRScheduler  # its name in older programs, which derive schedules of their own from it
