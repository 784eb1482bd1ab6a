"""Schedules that go up as well as down: cycles, one cycle, and restarts. The first two move the momentum against the
rate, as ``momentum`` or as the first of ``betas``, whichever the optimiser has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from flambeau.errors import ArgumentValueError
from flambeau.optim._schedule import (
    LRScheduler,
    Rate,
    check_optimizer,
    one_per_group,
    set_value,
    state_of_function,
)
from flambeau.optim.optimizer import Optimizer


class _WithMomentum(LRScheduler):
    """A schedule that may set the momentum too."""

    use_beta1: bool

    def _begin_momentum(
        self, optimizer: Optimizer, base_momentum: Any, max_momentum: Any, last_epoch: int
    ) -> tuple[list[float], list[float]]:
        """Check that there is a momentum, and set it to its largest; the least and the largest of every group."""
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ArgumentValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        self.use_beta1 = "betas" in optimizer.defaults
        least = one_per_group("base_momentum", optimizer, base_momentum)
        most = one_per_group("max_momentum", optimizer, max_momentum)
        if last_epoch == -1:
            self._set_momentums(most)
            for group, low, high in zip(optimizer.param_groups, least, most, strict=True):
                group["max_momentum"] = high
                group["base_momentum"] = low
        return least, most

    def _set_momentums(self, values: Iterable[float]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            if self.use_beta1:
                group["betas"] = (value, *group["betas"][1:])
            else:
                group["momentum"] = value


class CyclicLR(_WithMomentum):
    """The rate goes up from ``base_lr`` to ``max_lr`` and down again, over and over (Smith, 2017). For a ``step``
    after every batch.

    Args:
        optimizer: whose rates are set.
        base_lr: least rate, one or one per group.
        max_lr: largest rate, one or one per group.
        step_size_up: batches from the least to the largest rate.
        step_size_down: batches back (None: as many).
        mode: ``"triangular"`` keeps the height, ``"triangular2"`` halves it with each cycle, ``"exp_range"`` shrinks
            it by ``gamma`` with each batch.
        gamma: see ``mode``.
        scale_fn: height of a cycle as a function, in place of ``mode``.
        scale_mode: what ``scale_fn`` is given, the number of the ``"cycle"``, from one, or of ``"iterations"``.
        cycle_momentum: move the momentum against the rate.
        base_momentum: least momentum, one or one per group.
        max_momentum: largest momentum, one or one per group.
        last_epoch: -1 to begin; the number of the last batch to resume.

    >>> import flambeau as torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], momentum=0.9)
    >>> scheduler = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.0, 1.0, step_size_up=4)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = one_per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for value, group in zip(base_lrs, optimizer.param_groups, strict=True):
                set_value(group, "lr", value)
        self.max_lrs = one_per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ArgumentValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            found = self._begin_momentum(optimizer, base_momentum, max_momentum, last_epoch)
            self.base_momentums, self.max_momentums = found
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The height of a cycle, as a share of the first one's."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return 1 / (2.0 ** (x - 1))
        return self.gamma**x if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[Rate]:
        """The rates of the present batch; sets the momentum, where that is cycled."""
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        place = 1.0 + self.last_epoch / self.total_size - cycle
        rising = place <= self.step_ratio
        height = place / self.step_ratio if rising else (place - 1) / (self.step_ratio - 1)
        moment = cycle if self.scale_mode == "cycle" else self.last_epoch
        rates = [
            least + (most - least) * height * self.scale_fn(moment)
            for least, most in zip(self.base_lrs, self.max_lrs, strict=True)
        ]
        if self.cycle_momentum:
            self._set_momentums([
                most - (most - least) * height * self.scale_fn(moment)
                for least, most in zip(self.base_momentums, self.max_momentums, strict=True)
            ])
        return rates

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and a plain ``scale_fn``."""
        state = super().state_dict()
        function = state.pop("_scale_fn_custom")
        state["_scale_fn_custom"] = None if function is None else state_of_function(function)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave; ``scale_fn`` stays the one given at construction."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        saved = state_dict.get("_scale_fn_custom")
        if saved is not None:
            self._scale_fn_custom.__dict__.update(saved)


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the initial rate down to ``eta_min`` along half a cosine, then again from the top (Loshchilov and Hutter,
    2017). ``step`` may be given a broken epoch, such as ``epoch + batch / batches``.

    Args:
        optimizer: whose rates are set.
        T_0: epochs until the first restart.
        T_mult: each run is this many times as long as the one before.
        eta_min: least rate.
        last_epoch: -1 to begin; the number of the last epoch to resume.

    >>> import flambeau as torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    >>> scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> optimizer.step(); scheduler.step()
    >>> round(scheduler.get_last_lr()[0], 6)
    0.5
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ArgumentValueError(f"Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ArgumentValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ArgumentValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates of the present epoch."""
        self._warn_outside_step()
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Set the next epoch's rates, or those of ``epoch``, which may be broken.

        Raises ValueError for an epoch below zero.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._go_to(epoch)
        self.last_epoch = math.floor(epoch)
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr()
        finally:
            self._get_lr_called_within_step = False
        self._set_rates(rates)

    def _go_to(self, epoch: float) -> None:
        if epoch < 0:
            raise ArgumentValueError(f"Expected non-negative epoch, but got {epoch}")
        if epoch < self.T_0:
            self.T_i = self.T_0
            self.T_cur = epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            runs = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**runs - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**runs


def _positive_integer(name: str, value: Any) -> int:
    if not isinstance(value, int) or value <= 0:
        raise ArgumentValueError(f"Expected positive integer {name}, but got {value}")
    return value


class OneCycleLR(_WithMomentum):
    """One rise to ``max_lr`` and one long fall to nearly nothing (Smith and Topin, 2018). For a ``step`` after every
    batch, ``total_steps`` times at most.

    Args:
        optimizer: whose rates are set; its own rates do not count.
        max_lr: largest rate, one or one per group.
        total_steps: batches in all; or give ``epochs`` and ``steps_per_epoch``.
        epochs: see ``total_steps``.
        steps_per_epoch: see ``total_steps``.
        pct_start: share of the steps in which the rate rises.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: move the momentum against the rate.
        base_momentum: least momentum, one or one per group.
        max_momentum: largest momentum, one or one per group.
        div_factor: ``max_lr`` over the rate at the beginning.
        final_div_factor: the rate at the beginning over that at the end.
        three_phase: fall as fast as the rise to the rate of the beginning, then on to that of the end.
        last_epoch: -1 to begin; the number of the last batch to resume.

    Raises ValueError at a step beyond the last.

    >>> import flambeau as torch
    >>> optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
    >>> scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    >>> optimizer.step(); scheduler.step(); optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        if total_steps is not None:
            self.total_steps = _positive_integer("total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = _positive_integer("epochs", epochs)
            self.total_steps *= _positive_integer("steps_per_epoch", steps_per_epoch)
        else:
            raise ArgumentValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        self._schedule_phases = self._phases(pct_start, three_phase)
        if not isinstance(pct_start, float) or pct_start < 0 or pct_start > 1:
            raise ArgumentValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_func_type = anneal_strategy
        most = one_per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, value in zip(optimizer.param_groups, most, strict=True):
                group["initial_lr"] = value / div_factor
                group["max_lr"] = value
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._begin_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _phases(self, pct_start: float, three_phase: bool) -> list[dict[str, Any]]:
        """The phases, each with its last step and the options that rate and momentum go from and to."""

        def phase(end_step: float, rates: str, momentums: str) -> dict[str, Any]:
            start_lr, end_lr = (f"{each}_lr" for each in rates.split())
            start_momentum, end_momentum = (f"{each}_momentum" for each in momentums.split())
            return {
                "end_step": end_step, "start_lr": start_lr, "end_lr": end_lr, "start_momentum": start_momentum,
                "end_momentum": end_momentum,
            }

        rise, last = float(pct_start * self.total_steps) - 1, self.total_steps - 1
        if three_phase:
            return [
                phase(rise, "initial max", "max base"),
                phase(float(2 * pct_start * self.total_steps) - 2, "max initial", "base max"),
                phase(last, "initial min", "max max"),
            ]
        return [phase(rise, "initial max", "max base"), phase(last, "max min", "base max")]

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start

    def get_lr(self) -> list[Rate]:
        """The rates of the present batch; sets the momentum, where that is cycled."""
        self._warn_outside_step()
        number = self.last_epoch
        if number > self.total_steps:
            raise ArgumentValueError(
                f"Tried to step {number} times. The specified number of total steps is {self.total_steps}"
            )
        begin = 0.0
        for phase in self._schedule_phases:
            if number <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            begin = phase["end_step"]
        share = (number - begin) / (phase["end_step"] - begin)
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            start, end = phase["start_momentum"], phase["end_momentum"]
            self._set_momentums([self._anneal(group[start], group[end], share) for group in groups])
        return [self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], share) for group in groups]
