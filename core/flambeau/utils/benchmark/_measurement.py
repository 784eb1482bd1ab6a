"""What a timing gave, and what was timed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_UNITS = (("ns", "nanosecond", 1e-9), ("us", "microsecond", 1e-6), ("ms", "millisecond", 1e-3), ("s", "second", 1.0))
_SPREAD = 0.1  # an interquartile range beyond this part of the median is worth a word
_MANY = 3  # fewer measurements say nothing about spread
_DIGITS = 5  # more than any clock gives


def select_unit(t: float) -> tuple[str, float]:
    """The unit in which a time reads well, and its length in seconds.

    >>> select_unit(2.5e-5)
    ('us', 1e-06)
    """
    name, _, length = max((unit for unit in _UNITS if unit[2] <= t), key=lambda unit: unit[2], default=_UNITS[0])
    return name, length


def unit_to_english(u: str) -> str:
    """The unit's name: "us" is "microsecond"."""
    return {name: english for name, english, _ in _UNITS}[u]


def trim_sigfig(x: float, n: int) -> float:
    """A number rounded to so many significant digits.

    >>> trim_sigfig(123.456, 2)
    120.0
    """
    if x == 0:
        return 0.0
    digits = n - 1 - math.floor(math.log10(abs(x)))
    return float(round(x, digits))


@dataclass(init=True, repr=False, eq=True, frozen=True)
class TaskSpec:
    """What was timed: the statement, how it was set up, and what the caller calls it."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self) -> str:
        """The label, or the statement."""
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        statement = self.stmt if "\n" not in self.stmt else "stmt:\n" + _indented(self.stmt)
        return statement + (f"\nsub_label: {self.sub_label}" if self.sub_label else "")

    def setup_str(self) -> str:
        """The set-up, for a report; empty where there is none."""
        if not self.setup or self.setup == "pass":
            return ""
        return f"setup:\n{_indented(self.setup)}" if "\n" in self.setup else f"setup: {self.setup}"

    def summarize(self) -> str:
        """Title, description and set-up, a line each."""
        parts = [self.title, self.description or "", self.setup_str()]
        return "\n".join(part for part in parts if part)


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.strip().splitlines())


@dataclass(init=True, repr=False)
class Measurement:
    """Times of one statement.

    Attributes:
        number_per_run: executions in each of the times.
        raw_times: seconds per run; `times` are seconds per execution.
        task_spec: what was timed.
        metadata: whatever the caller wants to keep with it.
    """

    number_per_run: int
    raw_times: list[float]
    task_spec: TaskSpec
    metadata: dict[Any, Any] | None = field(default=None)

    @property
    def times(self) -> list[float]:
        """Seconds per execution."""
        return [time / self.number_per_run for time in self.raw_times]

    @property
    def median(self) -> float:
        """Half of the times are shorter."""
        return statistics.median(self.times) if self.raw_times else 0.0

    @property
    def mean(self) -> float:
        """All times over their number."""
        return statistics.fmean(self.times) if self.raw_times else 0.0

    @property
    def iqr(self) -> float:
        """From the first quartile to the third."""
        low, high = self._quartiles()
        return high - low

    def _quartiles(self) -> tuple[float, float]:
        if len(self.raw_times) < 2:
            return self.median, self.median
        first, _, third = statistics.quantiles(self.times, n=4, method="inclusive")
        return first, third

    @property
    def significant_figures(self) -> int:
        """How many digits of the median the spread leaves meaningful, at least 1.

        The interval is the one that holds the median of such a sample 19 times in 20 if the times are near normal
        (its half width is about 1.57 interquartile ranges over the root of their number; McGill, Tukey and Larsen,
        1978).
        """
        if not self.raw_times or self.median == 0:
            return 1
        half = max(1.57 * self.iqr / math.sqrt(len(self.raw_times)), self.median * 10**-_DIGITS)
        return max(1, min(_DIGITS, math.floor(math.log10(self.median / (2 * half))) + 1))

    @property
    def has_warnings(self) -> bool:
        """Whether the times spread too widely to be trusted."""
        return not self.meets_confidence()

    def meets_confidence(self, threshold: float = _SPREAD) -> bool:
        """Whether the interquartile range is within this part of the median."""
        return self.iqr / self.median < threshold if self.median else True

    @property
    def title(self) -> str:
        """The title of what was timed."""
        return self.task_spec.title

    @property
    def env(self) -> str:
        """The environment that the caller named."""
        return "Unspecified env" if self.task_spec.env is None else self.task_spec.env

    @property
    def as_row_name(self) -> str:
        """What stands before its row in a comparison."""
        return self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]"

    def __repr__(self) -> str:
        unit, length = select_unit(self.median)
        plural = "" if len(self.raw_times) == 1 else "s"
        threads = f"{self.task_spec.num_threads} thread" + ("" if self.task_spec.num_threads == 1 else "s")
        runs = f"{self.number_per_run} runs" + (" per measurement," if plural else " ,")
        count = f"  {len(self.raw_times)} measurement{plural}, {runs} {threads}"
        low, high = (each / length for each in self._quartiles())
        if len(self.raw_times) == 1:
            body = [f"  {self.median / length:.2f} {unit}"]
        elif len(self.raw_times) < _MANY:
            body = [f"  Median: {self.median / length:.2f} {unit}"]
        else:
            body = [f"  Median: {self.median / length:.2f} {unit}",
                    f"  IQR:    {self.iqr / length:.2f} {unit} ({low:.2f} to {high:.2f})"]
        warning = []
        if len(self.raw_times) >= _MANY and self.has_warnings:
            warning = [f"  WARNING: the interquartile range is {100 * self.iqr / self.median:.1f} % of the median: "
                       "something else kept the machine busy"]
        head = f"<flambeau.utils.benchmark.Measurement object at {id(self):#x}>"
        return "\n".join([head, self.task_spec.summarize(), *body, count, *warning])

    @staticmethod
    def merge(measurements: Iterable[Measurement]) -> list[Measurement]:
        """One measurement per task, with the times of all of it. Runs of different lengths become runs of one."""
        groups: dict[TaskSpec, list[Measurement]] = {}
        for each in measurements:
            groups.setdefault(each.task_spec, []).append(each)
        merged = []
        for task, group in groups.items():
            numbers = {each.number_per_run for each in group}
            one = len(numbers) == 1
            times = [time for each in group for time in (each.raw_times if one else each.times)]
            merged.append(Measurement(numbers.pop() if one else 1, times, task, None))
        return merged
