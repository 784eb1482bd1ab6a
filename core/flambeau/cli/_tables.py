"""Plain tables: readable on a terminal, in a log and through a pipe."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell.

    >>> print(table(("DEVICE", "NAME"), [("cpu", "a processor")]))
    DEVICE  NAME
    cpu     a processor
    """
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def memory(size: int) -> str:
    """A number of bytes for people.

    >>> memory(8 * 2**30), memory(4 * 2**20), memory(0)
    ('8.0 GiB', '4.0 MiB', '')
    """
    if size < 2**30:
        return f"{size / 2**20:.1f} MiB" if size else ""
    return f"{size / 2**30:.1f} GiB"
