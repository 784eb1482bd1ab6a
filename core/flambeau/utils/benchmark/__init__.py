"""Timing small pieces of code well: warm, for long enough, on a stated number of threads, with the device waited for.

Source: https://docs.pytorch.org/docs/stable/benchmark_utils.html
"""

from flambeau.utils.benchmark._compare import Compare
from flambeau.utils.benchmark._measurement import Measurement, TaskSpec, select_unit, trim_sigfig, unit_to_english
from flambeau.utils.benchmark._timer import Timer, timer

__all__ = ["Compare", "Measurement", "TaskSpec", "Timer", "select_unit", "timer", "trim_sigfig", "unit_to_english"]
