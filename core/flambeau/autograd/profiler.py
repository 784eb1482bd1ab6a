"""The older face of the profiler, which many programs still use.

Source: https://docs.pytorch.org/docs/stable/autograd.html#profiler
"""

from __future__ import annotations

from typing import Any

from flambeau.profiler import EventList, FunctionEvent, FunctionEventAvg, record_function
from flambeau.profiler._recorder import Options, Recorder

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "profile", "record_function"]


class profile:  # noqa: N801 - PyTorch's name
    """Record what the block runs.

    Args:
        enabled: False makes the block do nothing.
        use_cuda, use_device, use_kineto, use_cpu: accepted; the device that a call runs on is always recorded.
        record_shapes, with_flops, profile_memory, with_stack: what is kept besides times.
        with_modules, experimental_config, acc_events, custom_trace_id_callback, post_processing_timeout_s,
            activity_filters: accepted; nothing here depends on them.

    >>> import flambeau as torch
    >>> with torch.autograd.profiler.profile() as prof:
    ...     total = torch.ones(3).sum()
    >>> "aten::sum" in prof.table()
    True
    """

    def __init__(self, enabled: bool = True, *, use_cuda: bool = False, use_device: str | None = None,
                 record_shapes: bool = False, with_flops: bool = False, profile_memory: bool = False,
                 with_stack: bool = False, with_modules: bool = False, use_kineto: bool = False, use_cpu: bool = True,
                 experimental_config: Any = None, acc_events: bool = False, custom_trace_id_callback: Any = None,
                 post_processing_timeout_s: float | None = None, activity_filters: Any = None) -> None:
        self.enabled = enabled
        self._recorder = Recorder(Options(record_shapes, profile_memory, with_stack, with_flops))
        self.function_events: EventList | None = None

    def __enter__(self) -> profile:
        if self.enabled:
            self._recorder.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.enabled:
            self._recorder.__exit__(*exc)
        options = self._recorder.options
        self.function_events = EventList(self._recorder.events, profile_memory=options.memory,
                                         with_flops=options.flops)

    def _events(self) -> EventList:
        if self.function_events is None:
            raise RuntimeError("Profiler didn't finish running: what it recorded is there after its block")
        return self.function_events

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """The events summed by name."""
        return self._events().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def total_average(self) -> FunctionEventAvg:
        """The sum of all events."""
        return self._events().total_average()

    def table(self, *args: Any, **kwargs: Any) -> str:
        """A table of the sums; see `EventList.table`."""
        return self.key_averages().table(*args, **kwargs)

    def export_chrome_trace(self, path: str) -> None:
        """Write the events for chrome://tracing and https://ui.perfetto.dev."""
        self._events().export_chrome_trace(path)

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all events, each counted once."""
        return self._events().self_cpu_time_total

    def __str__(self) -> str:
        return "<unfinished torch.autograd.profile>" if self.function_events is None else str(self.key_averages())
