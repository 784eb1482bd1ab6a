"""Measurements side by side: one row per label, one column per description, one part per number of threads."""

from __future__ import annotations

from collections.abc import Iterable

from flambeau.utils.benchmark._measurement import Measurement, select_unit, trim_sigfig, unit_to_english

_GREEN, _RED, _PLAIN = "\033[92m", "\033[91m", "\033[0m"
_CLOSE, _FAR = 1.1, 2.0  # times the best of a row: no more than the first is shown green, more than the second red


class Compare:
    """A table of measurements, grouped by label.

    Args:
        results: the measurements; those of the same task are taken together.

    >>> from flambeau.utils.benchmark import Compare, Timer
    >>> sums = [Timer(f"sum(range({n}))", label="sum", sub_label=str(n), description="python").timeit(10)
    ...         for n in (10, 100)]
    >>> str(Compare(sums)).splitlines()[1].split()
    ['|', 'python']
    """

    def __init__(self, results: Iterable[Measurement]) -> None:
        self._results = Measurement.merge(results)
        self._trim = self._color = False

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Take further measurements in."""
        self._results = Measurement.merge([*self._results, *results])

    def trim_significant_figures(self) -> None:
        """Show only the digits that the spread leaves meaningful."""
        self._trim = True

    def colorize(self, rowwise: bool = False) -> None:
        """Colour each time by how it compares with the best of its row."""
        self._color = True

    def highlight_warnings(self) -> None:
        """Mark times whose spread is too wide; they are marked anyway."""

    def print(self) -> None:
        """Print the table."""
        print(self)  # noqa: T201 -- asked for

    def __str__(self) -> str:
        labels = dict.fromkeys(each.task_spec.label for each in self._results)
        return "\n\n".join(self._table([each for each in self._results if each.task_spec.label == label])
                           for label in labels) + "\n"

    def _table(self, results: list[Measurement]) -> str:
        unit, length = select_unit(min(each.median for each in results))
        columns = list(dict.fromkeys(each.task_spec.description or "" for each in results))
        body: list[tuple[str, list[str]]] = []
        for threads in sorted({each.task_spec.num_threads for each in results}):
            part = [each for each in results if each.task_spec.num_threads == threads]
            body.append((f"{threads} threads: ", []))
            for row in dict.fromkeys((each.env, each.as_row_name) for each in part):
                cells = {each.task_spec.description or "": each for each in part if (each.env, each.as_row_name) == row}
                best = min(each.median for each in cells.values())
                name = row[1] if row[0] == "Unspecified env" else f"{row[1]} ({row[0]})"
                body.append((f"      {name}", [self._cell(cells.get(column), best, length) for column in columns]))
        first = max(len(name) for name, _ in body)
        widths = [max(len(column), *(_width(cells[place]) for _, cells in body if cells))
                  for place, column in enumerate(columns)]
        lines = ["  |  ".join([" " * first, *(column.center(width) for column, width in zip(columns, widths,
                                                                                           strict=True))])]
        whole = len(lines[0])
        for name, texts in body:
            padded = [" " * (width - _width(text)) + text for text, width in zip(texts, widths, strict=False)]
            lines.append("  |  ".join([name.ljust(first), *padded]) if texts else name.ljust(whole, "-"))
        title = results[0].task_spec.label or results[0].title.splitlines()[0]
        return "\n".join([f"[{f' {title} '.center(whole - 2, '-')}]", *lines, "",
                          f"Times are in {unit_to_english(unit)}s ({unit})."
                          + (" (!) marks a wide spread." if any(each.has_warnings for each in results) else "")])

    def _cell(self, measurement: Measurement | None, best: float, length: float) -> str:
        if measurement is None:
            return ""
        value = measurement.median / length
        if self._trim:
            value = trim_sigfig(value, measurement.significant_figures)
            text = f"{value:.0f}" if value >= 10 ** (measurement.significant_figures - 1) else f"{value:g}"
        else:
            text = f"{value:.1f}"
        if measurement.has_warnings:
            text += " (!)"
        ratio = measurement.median / best if best else 1.0
        if self._color and (ratio <= _CLOSE or ratio > _FAR):
            text = (_GREEN if ratio <= _CLOSE else _RED) + text + _PLAIN
        return text


def _width(cell: str) -> int:
    """Of what is seen: colours take no place."""
    for code in (_GREEN, _RED, _PLAIN):
        cell = cell.replace(code, "")
    return len(cell)
