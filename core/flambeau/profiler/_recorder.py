"""The dispatch mode that records, and the ranges that a program names."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from flambeau.discovery import Kind
from flambeau.dispatch import Mode
from flambeau.graph import AROUND, Node
from flambeau.profiler._events import FunctionEvent
from flambeau.registry import OpDef
from flambeau.streams import current_queue
from flambeau.tensor import Tensor
from flambeau.utils._flops import flops_of
from flambeau.utils._pytree import tree_iter

RECORDERS: list[Recorder] = []  # those that are on, in any thread


class Options(NamedTuple):
    """What is recorded besides times."""

    shapes: bool = False
    memory: bool = False
    stack: bool = False
    flops: bool = False
    device: bool = True


class Recorder(Mode):
    """Collects an event for each call of the thread that entered it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.events: list[FunctionEvent] = []
        self.thread = threading.get_ident()
        self._open: list[FunctionEvent] = []

    def __enter__(self) -> Recorder:
        self.thread = threading.get_ident()
        AROUND.append(self._node)
        RECORDERS.append(self)
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        RECORDERS.remove(self)
        AROUND.remove(self._node)
        while self._open:
            self.end(self._open[-1])
        for event in self.events:
            _ask_device(event)

    def begin(self, name: str, annotation: bool = False) -> FunctionEvent:
        """Open an event within those that are open."""
        event = FunctionEvent(len(self.events), name, self.thread, time.perf_counter_ns(), annotation)
        if self._open:
            event.cpu_parent = self._open[-1]
            self._open[-1].cpu_children.append(event)
        self.events.append(event)
        self._open.append(event)
        return event

    def end(self, event: FunctionEvent) -> None:
        """Close an event, and what is still open within it."""
        event.end_ns = time.perf_counter_ns()
        if event in self._open:
            del self._open[self._open.index(event) :]

    def intercept(self, record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Time one operator."""
        inputs = list(_tensors((args, kwargs)))
        kind = inputs[0]._kind if inputs else next((each for each in args if isinstance(each, Kind)), None)
        event = self.begin(("flambeau::" if record.internal else "aten::") + record.name)
        if self.options.shapes:
            event.input_shapes = [list(each.shape) for each in inputs]
            event.input_dtypes = [str(each.dtype).removeprefix("torch.") for each in inputs]
        if self.options.stack:
            event.stack = _stack()
        start = self._enter_device(event, kind)
        try:
            result = call(*args, **kwargs)
        finally:
            self.end(event)
        self._leave_device(event, kind, start)
        if self.options.memory and kind is not None and kind.backend.capabilities.host:
            event.self_cpu_memory_usage = _new_bytes(inputs, result)
        if self.options.flops:
            event.flops = flops_of(record, args, result)
        return result

    def _enter_device(self, event: FunctionEvent, kind: Kind | None) -> tuple[Any, int]:
        if kind is None or kind.backend.capabilities.host:
            return None, 0
        event.device, event.use_device = str(kind.device), kind.device.type
        event.device_index = kind.index
        marker = current_queue(kind.device).record(True) if self.options.device else None
        return marker, self._allocated(kind)

    def _leave_device(self, event: FunctionEvent, kind: Kind | None, start: tuple[Any, int]) -> None:
        if kind is None or kind.backend.capabilities.host:
            return
        if start[0] is not None:
            event.markers = start[0], current_queue(kind.device).record(True)
        event.self_device_memory_usage = self._allocated(kind) - start[1]

    def _allocated(self, kind: Kind) -> int:
        return kind.backend.memory_stats(kind.index).get("allocated", 0) if self.options.memory else 0

    def _node(self, node: Node, apply: Callable[[Any], list[Any]], grad: Any) -> list[Any]:
        """Time one node of a backward walk of this thread."""
        if threading.get_ident() != self.thread:
            return apply(grad)
        event = self.begin(f"autograd::engine::evaluate_function: {node.name()}")
        try:
            return apply(grad)
        finally:
            self.end(event)


def _ask_device(event: FunctionEvent) -> None:
    """Turn an event's markers into the time between them."""
    if event.markers is not None:
        start, end = event.markers
        end.synchronize()
        event.self_device_time_total = end.elapsed(start) * 1000
        event.markers = None


def _tensors(value: Any) -> Iterator[Tensor]:
    return (each for each in tree_iter(value) if isinstance(each, Tensor))


def _new_bytes(inputs: list[Tensor], result: Any) -> int:
    """Bytes of the results whose memory is not that of an input."""
    storages = {id(each._kind.backend.storage(each._array)) for each in inputs}
    return sum(each.numel() * each.element_size() for each in _tensors(result)
               if id(each._kind.backend.storage(each._array)) not in storages)


def _stack() -> list[str]:
    """The lines of the program that led here, innermost first, without the library's own."""
    frame, found = sys._getframe(2), []
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith("flambeau."):
            found.append(f"{frame.f_code.co_filename}({frame.f_lineno}): {frame.f_code.co_name}")
        frame = frame.f_back  # type: ignore[assignment]
    return found


class record_function:  # noqa: N801 - PyTorch's name
    """A named range: all that runs in the block, or in a decorated function, is shown within it.

    Args:
        name: what the range is called.
        args: shown with nothing else; kept for PyTorch's signature.

    >>> import flambeau as torch
    >>> with torch.profiler.profile() as prof:
    ...     with torch.profiler.record_function("both sums"):
    ...         total = torch.ones(3).sum() + torch.ones(4).sum()
    >>> [event.count for event in prof.key_averages() if event.key in ("both sums", "aten::sum")]
    [1, 2]
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args
        self._events: list[tuple[Recorder, FunctionEvent]] = []

    def __enter__(self) -> record_function:
        if RECORDERS:
            thread = threading.get_ident()
            self._events = [(each, each.begin(self.name, annotation=True)) for each in RECORDERS
                            if each.thread == thread]
        return self

    def __exit__(self, *exc: object) -> None:
        for recorder, event in self._events:
            recorder.end(event)
        self._events = []

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)
        return within
