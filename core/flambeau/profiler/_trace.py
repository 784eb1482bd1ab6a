"""A profile as a file in Chrome's trace format, which chrome://tracing and https://ui.perfetto.dev show."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_LANES = 1 << 20  # the track of a device, apart from those of threads


def write(path: str | os.PathLike[str], events: Iterable[Any], metadata: Mapping[str, Any]) -> None:
    """Write `events` to `path` in one move, gzipped where its name ends in .gz."""
    process = os.getpid()
    rows = [*_names(process, events), *(row for event in events for row in _rows(process, event))]
    content = json.dumps({"schemaVersion": 1, "displayTimeUnit": "ms", **metadata, "traceEvents": rows,
                          "traceName": str(path)})
    target = Path(path)
    beside = target.with_name(target.name + ".part")
    data = content.encode()
    beside.write_bytes(gzip.compress(data) if target.suffix == ".gz" else data)
    os.replace(beside, target)


def _names(process: int, events: Iterable[Any]) -> Iterable[dict[str, Any]]:
    tracks = {event.thread: f"thread {event.thread}" for event in events}
    tracks.update({_LANES + event.device_index: f"device {event.device}" for event in events
                   if event.self_device_time_total})
    for track, name in tracks.items():
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": track, "args": {"name": name}}


def _rows(process: int, event: Any) -> Iterable[dict[str, Any]]:
    arguments = {"External id": event.id}
    if event.input_shapes:
        arguments |= {"Input Dims": event.input_shapes, "Input type": event.input_dtypes}
    if event.stack:
        arguments["Call stack"] = ";".join(event.stack)
    if event.flops:
        arguments["flops"] = event.flops
    row = {"ph": "X", "cat": "user_annotation" if event.is_user_annotation else "cpu_op", "name": event.name,
           "pid": process, "tid": event.thread, "ts": event.start_ns / 1000, "dur": event.cpu_time_total,
           "args": arguments}
    yield row
    if event.self_device_time_total:
        # The device's clock is another: its work is drawn from the call that asked for it.
        yield {**row, "cat": "kernel", "tid": _LANES + event.device_index, "dur": event.self_device_time_total}
    if event.self_cpu_memory_usage or event.self_device_memory_usage:
        yield {"ph": "i", "s": "t", "cat": "cpu_instant_event", "name": "[memory]", "pid": process,
               "tid": event.thread, "ts": event.end_ns / 1000,
               "args": {"Bytes": event.self_cpu_memory_usage or event.self_device_memory_usage,
                        "Device": event.device}}
