"""The table of a profile, as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}
Column = tuple[str, Callable[[Any], str]]


def duration(microseconds: float, unit: str | None = None) -> str:
    """A time with its unit.

    >>> duration(12.5), duration(1500.0), duration(2.5e6), duration(1500.0, "us")
    ('12.500us', '1.500ms', '2.500s', '1500.000us')
    """
    if unit is None:
        unit = "s" if microseconds >= 1e6 else "ms" if microseconds >= 1e3 else "us"
    return f"{microseconds / _UNITS[unit]:.3f}{unit}"


def size(count: int) -> str:
    """A number of bytes with its unit.

    >>> size(12), size(-2048), size(3 * 2**30)
    ('12 B', '-2.00 KB', '3.00 GB')
    """
    for unit, factor in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if abs(count) >= factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count} B"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "NaN"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def render(events: Any, rows: Sequence[Any], widths: dict[str, int], header: str | None, unit: str | None) -> str:
    """The table of `rows`, of which `events` holds all."""
    columns = _columns(events, widths, unit)
    cells = [[title for title, _ in columns], *([text(row) for _, text in columns] for row in rows)]
    sizes = [max(len(line[number]) for line in cells) + 2 for number in range(len(columns))]
    rule = "  ".join("-" * width for width in sizes)
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, sizes, strict=True)) for line in cells]
    total = f"Self CPU time total: {duration(events.self_cpu_time_total, unit)}"
    if events.use_device:
        total += f"\nSelf {events.use_device.upper()} time total: {duration(_device_total(events), unit)}"
    title = [header] if header else []
    return "\n".join([*title, rule, lines[0], rule, *lines[1:], rule, total, ""])


def _device_total(events: Any) -> float:
    return float(sum(event.self_device_time_total for event in events))


def _columns(events: Any, widths: dict[str, int], unit: str | None) -> list[Column]:
    whole, device = events.self_cpu_time_total, _device_total(events)
    columns: list[Column] = [
        ("Name", lambda row: _cut(row.key, widths["name"])),
        ("Self CPU %", lambda row: _share(row.self_cpu_time_total, whole)),
        ("Self CPU", lambda row: duration(row.self_cpu_time_total, unit)),
        ("CPU total %", lambda row: _share(row.cpu_time_total, whole)),
        ("CPU total", lambda row: duration(row.cpu_time_total, unit)),
        ("CPU time avg", lambda row: duration(row.cpu_time, unit)),
    ]
    if events.use_device:
        name = events.use_device.upper()
        columns += [
            (f"Self {name}", lambda row: duration(row.self_device_time_total, unit)),
            (f"Self {name} %", lambda row: _share(row.self_device_time_total, device)),
            (f"{name} total", lambda row: duration(row.device_time_total, unit)),
            (f"{name} time avg", lambda row: duration(row.device_time, unit)),
        ]
    if events.profile_memory:
        columns += [("CPU Mem", lambda row: size(row.cpu_memory_usage)),
                    ("Self CPU Mem", lambda row: size(row.self_cpu_memory_usage))]
        if events.use_device:
            columns += [(f"{name} Mem", lambda row: size(row.device_memory_usage)),
                        (f"Self {name} Mem", lambda row: size(row.self_device_memory_usage))]
    columns.append(("# of Calls", lambda row: str(row.count)))
    if any(row.input_shapes for row in events):
        columns.append(("Input Shapes", lambda row: _cut(str(row.input_shapes), widths["shapes"])))
    if any(row.stack for row in events):
        columns.append(("Source Location", lambda row: _cut(row.stack[0] if row.stack else "", widths["source"])))
    if events.with_flops:
        columns.append(("Total MFLOPs", lambda row: f"{row.flops / 1e6:.3f}" if row.flops else "--"))
    return columns
