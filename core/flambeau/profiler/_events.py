"""What was recorded: one event per call or range, and sums of them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Any

from flambeau.profiler import _table, _trace


class DeviceType(enum.Enum):
    """Where an event ran: on the host, or on another device that the host only asked."""

    CPU = 0
    CUDA = 1
    PrivateUse1 = 20


class FunctionEvent:
    """One call of an operator, one node of a backward walk, or one range that the program named.

    Times are in microseconds, memory in bytes. What belongs to the event alone begins with ``self_``; the rest counts
    what ran within it, too.
    """

    def __init__(self, number: int, name: str, thread: int, start: int, annotation: bool = False) -> None:
        self.id, self.name, self.thread = number, name, thread
        self.start_ns = self.end_ns = start
        self.is_user_annotation = annotation
        self.count = 1
        self.input_shapes: list[list[int]] = []
        self.input_dtypes: list[str] = []
        self.stack: list[str] = []
        self.flops = 0
        self.device_type, self.device_index = DeviceType.CPU, 0
        self.device = "cpu"
        self.use_device: str | None = None  # the type of the device that does the work, where that is not the host
        self.cpu_parent: FunctionEvent | None = None
        self.cpu_children: list[FunctionEvent] = []
        self.self_device_time_total = 0.0
        self.self_cpu_memory_usage = self.self_device_memory_usage = 0
        self.markers: tuple[Any, Any] | None = None  # before and after, until the device has been waited for

    @property
    def key(self) -> str:
        """What events are summed by."""
        return self.name

    @property
    def cpu_time_total(self) -> float:
        """From the beginning to the end."""
        return (self.end_ns - self.start_ns) / 1000

    cpu_time = cpu_time_total

    @property
    def self_cpu_time_total(self) -> float:
        """Without the events within it."""
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def device_time_total(self) -> float:
        """What the device took for it."""
        return self.self_device_time_total + sum(child.device_time_total for child in self.cpu_children)

    device_time = cuda_time = cuda_time_total = device_time_total

    @property
    def cpu_memory_usage(self) -> int:
        """Bytes of the host that its results take."""
        return self.self_cpu_memory_usage + sum(child.cpu_memory_usage for child in self.cpu_children)

    @property
    def device_memory_usage(self) -> int:
        """Bytes by which it changed what is allocated on the device."""
        return self.self_device_memory_usage + sum(child.device_memory_usage for child in self.cpu_children)

    def __repr__(self) -> str:
        return (f"<FunctionEvent id={self.id} name={self.name} cpu_time={_table.duration(self.cpu_time_total)} "
                f"device_time={_table.duration(self.device_time_total)} thread={self.thread} "
                f"input_shapes={self.input_shapes}>")


SUMMED = ("cpu_time_total", "self_cpu_time_total", "device_time_total", "self_device_time_total", "cpu_memory_usage",
          "self_cpu_memory_usage", "device_memory_usage", "self_device_memory_usage", "flops")


class FunctionEventAvg:
    """The sum of all events with one key; `cpu_time` and `device_time` are means."""

    cpu_time_total: float
    self_cpu_time_total: float
    device_time_total: float
    self_device_time_total: float
    cpu_memory_usage: int
    self_cpu_memory_usage: int
    device_memory_usage: int
    self_device_memory_usage: int
    flops: int

    def __init__(self, key: str) -> None:
        self.key, self.count = key, 0
        self.input_shapes: list[list[int]] = []
        self.stack: list[str] = []
        self.is_user_annotation = False
        self.device_type = DeviceType.CPU
        for name in SUMMED:
            setattr(self, name, 0)

    def add(self, other: FunctionEvent | FunctionEventAvg) -> FunctionEventAvg:
        """Count an event, or another sum."""
        if self.count == 0:
            self.input_shapes, self.stack = other.input_shapes, other.stack
            self.is_user_annotation, self.device_type = other.is_user_annotation, other.device_type
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.count += other.count
        return self

    @property
    def cpu_time(self) -> float:
        """Mean time of one event."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def device_time(self) -> float:
        """Mean time of one event on the device."""
        return self.device_time_total / self.count if self.count else 0.0

    def __repr__(self) -> str:
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={_table.duration(self.self_cpu_time_total)} "
                f"cpu_time={_table.duration(self.cpu_time)} "
                f"self_device_time={_table.duration(self.self_device_time_total)} "
                f"device_time={_table.duration(self.device_time)} input_shapes={self.input_shapes or ''} "
                f"cpu_memory_usage={self.cpu_memory_usage} device_memory_usage={self.device_memory_usage}>")


class EventList(list[Any]):
    """Events, or sums of them, that can be shown."""

    def __init__(self, events: Iterable[Any] = (), *, profile_memory: bool = False, with_flops: bool = False,
                 use_device: str | None = None) -> None:
        super().__init__(events)
        self.profile_memory, self.with_flops, self.use_device = profile_memory, with_flops, use_device

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all events, each counted once."""
        return float(sum(event.self_cpu_time_total for event in self))

    def _like(self, events: Iterable[Any]) -> EventList:
        return EventList(events, profile_memory=self.profile_memory, with_flops=self.with_flops,
                         use_device=self.use_device)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """The sum of the events of each name (and shapes of the inputs, and the innermost lines of the program)."""
        def key(event: FunctionEvent) -> tuple[Any, ...]:
            return (event.key, str(event.input_shapes) if group_by_input_shape else "",
                    *event.stack[:group_by_stack_n])
        sums = self._summed(key)
        if not group_by_input_shape:
            for each in sums:
                each.input_shapes = []
        for each in sums:
            each.stack = each.stack[:group_by_stack_n]
        return sums

    def total_average(self) -> FunctionEventAvg:
        """The sum of all events; what runs within others is counted once."""
        total = FunctionEventAvg("Total")
        for event in self:
            if getattr(event, "cpu_parent", None) is None:
                total.add(event)
        return total

    def _summed(self, key: Callable[[Any], Any]) -> EventList:
        sums: dict[Any, FunctionEventAvg] = {}
        for event in self:
            sums.setdefault(key(event), FunctionEventAvg(event.key)).add(event)
        return self._like(sums.values())

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_src_column_width: int = 75,
              max_name_column_width: int = 55, max_shapes_column_width: int = 80, header: str | None = None,
              top_level_events_only: bool = False, time_unit: str | None = None) -> str:
        """A table to print.

        Args:
            sort_by: an attribute of the events, as "self_cpu_time_total"; the order of recording otherwise.
            row_limit: at most so many rows; -1 for all.
            max_src_column_width, max_name_column_width, max_shapes_column_width: where a column is cut.
            header: a title.
            top_level_events_only: leave out what ran within other events.
            time_unit: "s", "ms" or "us" for all times; what suits each otherwise.
        """
        if sort_by is not None and self and not hasattr(self[0], sort_by):
            allowed = ", ".join(("count", "cpu_time", "device_time", *SUMMED))
            raise AttributeError(f"table: cannot sort by {sort_by!r}; allowed: {allowed}")
        rows = [event for event in self if not top_level_events_only or getattr(event, "cpu_parent", None) is None]
        if sort_by is not None:
            rows.sort(key=lambda event: getattr(event, sort_by), reverse=True)
        widths = {"name": max_name_column_width, "shapes": max_shapes_column_width, "source": max_src_column_width}
        return _table.render(self, rows if row_limit < 0 else rows[:row_limit], widths, header, time_unit)

    def export_chrome_trace(self, path: str) -> None:
        """Write the events for chrome://tracing and https://ui.perfetto.dev; gzipped where the name ends in .gz."""
        _trace.write(path, self, {})

    def __str__(self) -> str:
        return self.table()
