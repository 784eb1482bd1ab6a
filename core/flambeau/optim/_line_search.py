"""The line search of ``LBFGS``: a step along a direction that fulfils the strong Wolfe conditions.

After Nocedal and Wright, "Numerical Optimization", algorithms 3.5 and 3.6: steps grow until one of them closes an
interval that must hold a good step, then the interval shrinks around it. Both choose the next step at the minimum of
the cubic through two trials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flambeau.tensor import Tensor

Number = Any
SUFFICIENT_DECREASE, CURVATURE, LEAST_PROGRESS = 1e-4, 0.9, 1e-9


class Trial(NamedTuple):
    """A step along the direction, with the loss, the gradient and the slope there."""

    step: Number
    loss: float
    grad: Tensor
    slope: Tensor


Evaluate = Callable[[Number], Trial]


def cubic_minimum(one: Trial, other: Trial, bounds: tuple[Number, Number] | None = None) -> Number:
    """The step at the minimum of the cubic through two trials, within ``bounds`` (the two steps unless given)."""
    if bounds is None:
        bounds = (one.step, other.step) if one.step <= other.step else (other.step, one.step)
    least, most = bounds
    first = one.slope + other.slope - 3 * (one.loss - other.loss) / (one.step - other.step)
    square = first**2 - one.slope * other.slope
    if not square >= 0:
        return (least + most) / 2.0
    left, right = (one, other) if one.step <= other.step else (other, one)
    root = square.sqrt()
    share = (right.slope + root - first) / (right.slope - left.slope + 2 * root)
    return min(max(right.step - (right.step - left.step) * share, least), most)


class StrongWolfe:
    """One search.

    Args:
        evaluate: the trial at a step.
        start: the trial at step zero.
        longest: the direction's largest element, for the smallest step that still changes anything.
        rounds: trials after the first that may be made.
    """

    def __init__(self, evaluate: Evaluate, start: Trial, longest: Tensor, rounds: int) -> None:
        self.evaluations = 0
        self._evaluate = evaluate
        self._start = start
        self._longest = longest
        self._rounds_left = rounds

    def search(self, step: Number) -> Trial:
        """The trial to go to, beginning with ``step``."""
        interval = self._bracket(step)
        return interval[0] if len(interval) == 1 else self._zoom(interval)

    def _try(self, step: Number) -> Trial:
        self.evaluations += 1
        return self._evaluate(step)

    def _decreases_too_little(self, trial: Trial) -> bool:
        start = self._start
        return bool(trial.loss > start.loss + SUFFICIENT_DECREASE * trial.step * start.slope)

    def _is_flat_enough(self, trial: Trial) -> bool:
        return bool(abs(trial.slope) <= -CURVATURE * self._start.slope)

    def _bracket(self, step: Number) -> list[Trial]:
        """Two trials around a good step, or the one that is good."""
        before, now = self._start, self._try(step)
        made = 0
        while self._rounds_left > 0:
            if self._decreases_too_little(now) or (made > 1 and now.loss >= before.loss):
                return [before, now]
            if self._is_flat_enough(now):
                return [now]
            if now.slope >= 0:
                return [before, now]
            bounds = (now.step + 0.01 * (now.step - before.step), now.step * 10)
            before, now = now, self._try(cubic_minimum(before, now, bounds))
            made += 1
            self._rounds_left -= 1
        return [self._start, now]

    def _zoom(self, interval: list[Trial]) -> Trial:
        """The best trial that shrinking the interval finds."""
        low = 0 if interval[0].loss <= interval[1].loss else 1
        stalled = False
        while self._rounds_left > 0:
            if abs(interval[1].step - interval[0].step) * self._longest < LEAST_PROGRESS:
                break
            step, stalled = self._inside(cubic_minimum(interval[0], interval[1]), interval, stalled)
            now = self._try(step)
            self._rounds_left -= 1
            best, worst = interval[low], interval[1 - low]
            if self._decreases_too_little(now) or now.loss >= best.loss:
                interval[1 - low] = now
                low = 0 if interval[0].loss <= interval[1].loss else 1
                continue
            if self._is_flat_enough(now):
                return now
            if now.slope * (worst.step - best.step) >= 0:
                interval[1 - low] = best
            interval[low] = now
        return interval[low]

    @staticmethod
    def _inside(step: Number, interval: list[Trial], stalled: bool) -> tuple[Number, bool]:
        """A step that is not too near to an end of the interval twice in a row, and whether it is near to one."""
        least, most = sorted((interval[0].step, interval[1].step))
        margin = 0.1 * (most - least)
        if not min(most - step, step - least) < margin:
            return step, False
        if not (stalled or step >= most or step <= least):
            return step, True
        return (most - margin if abs(step - most) < abs(step - least) else least + margin), False
