"""Timing a statement."""

from __future__ import annotations

import textwrap
import timeit
from collections.abc import Callable
from typing import Any

import flambeau
from flambeau.errors import ArgumentValueError
from flambeau.utils.benchmark._measurement import Measurement, TaskSpec

_SHARE = 1000  # the clock may take up to one part in so many of a run


def timer() -> float:
    """Seconds by the wall clock, once the current accelerator, if there is one, has done what it was asked for."""
    if flambeau.accelerator.is_available():
        flambeau.accelerator.synchronize()
    return timeit.default_timer()


class Timer:
    """Times a statement, as `timeit.Timer` does, and more carefully.

    It runs on one thread unless asked otherwise, warms up first, waits for the device, and can choose how often to run.

    Args:
        stmt: what is timed.
        setup: run once before each series.
        global_setup: accepted for PyTorch's signature, for C++ only.
        timer: gives the time in seconds.
        globals: names that `stmt` and `setup` may use; `torch` is Flambeau unless given.
        label, sub_label, description, env: how results are named and put side by side by `Compare`.
        num_threads: how many threads an operator may use meanwhile.
        language: "python".

    >>> import flambeau as torch
    >>> from flambeau.utils import benchmark
    >>> timing = benchmark.Timer("x + x", globals={"x": torch.ones(10)}).timeit(100)
    >>> timing.number_per_run, timing.median > 0
    (100, True)
    """

    def __init__(self, stmt: str = "pass", setup: str = "pass", global_setup: str = "",
                 timer: Callable[[], float] = timer, globals: dict[str, Any] | None = None, label: str | None = None,
                 sub_label: str | None = None, description: str | None = None, env: str | None = None,
                 num_threads: int = 1, language: Any = "python") -> None:
        if str(getattr(language, "name", language)).lower() not in ("python", "py"):
            raise ArgumentValueError(f"Timer: language {language!r} cannot be timed; allowed: 'python'")
        if global_setup:
            raise ArgumentValueError("Timer: global_setup is for C++, which cannot be timed; put it into setup")
        statement, setup = textwrap.dedent(stmt).strip(), textwrap.dedent(setup).strip()
        names = {"torch": flambeau, **(globals or {})}
        self._globals, self._clock = names, timer
        self._timer = timeit.Timer(statement, setup or "pass", timer, names)
        self._task_spec = TaskSpec(statement, setup, "", label, sub_label, description, env, num_threads)

    def _run(self, number: int) -> float:
        before = flambeau.get_num_threads()
        flambeau.set_num_threads(self._task_spec.num_threads)
        try:
            return self._timer.timeit(max(1, number))
        finally:
            flambeau.set_num_threads(before)

    def timeit(self, number: int = 1000000) -> Measurement:
        """The time of so many executions together, after a hundredth of them to warm up."""
        self._run(max(number // 100, 2))
        return Measurement(number, [self._run(number)], self._task_spec)

    def blocked_autorange(self, callback: Callable[[int, float], Any] | None = None,
                          min_run_time: float = 0.2) -> Measurement:
        """Run blocks, long enough for the clock not to matter, until they took `min_run_time` seconds in all.

        `callback` is told of each block: how many executions, and seconds.
        """
        number = self._block(min_run_time)
        times: list[float] = []
        while not times or sum(times) < min_run_time:
            times.append(self._run(number))
            if callback is not None:
                callback(number, times[-1])
        return Measurement(number, times, self._task_spec)

    def adaptive_autorange(self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
                           callback: Callable[[int, float], Any] | None = None) -> Measurement:
        """Run blocks until their interquartile range is within `threshold` of the median, or `max_run_time` is over."""
        number = self._block(min_run_time)
        times: list[float] = []
        while True:
            times.append(self._run(number))
            if callback is not None:
                callback(number, times[-1])
            found = Measurement(number, times, self._task_spec)
            settled = len(times) >= 4 and found.meets_confidence(threshold)
            if sum(times) >= min_run_time and (settled or sum(times) >= max_run_time):
                return found

    def autorange(self, callback: Callable[[int, float], Any] | None = None) -> None:
        """PyTorch's timer refuses this one, too: it says nothing about spread."""
        raise NotImplementedError("See `Timer.blocked_autorange`: it runs several blocks, so that spread is seen.")

    def _block(self, min_run_time: float) -> int:
        """How many executions make the clock's share small, at least a tenth of the time in all."""
        clock = min(-self._clock() + self._clock() for _ in range(5))
        number = 1
        while True:
            taken = self._run(number)
            if taken > max(abs(clock) * _SHARE, min_run_time / _SHARE):
                return number
            number *= 10
