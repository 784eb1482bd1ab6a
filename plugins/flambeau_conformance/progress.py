"""How far a run is: a bar on a terminal, elsewhere a line for every tenth and every minute, which a log can use."""

from __future__ import annotations

import time
from typing import Any

SHORT, LONG = 5, 60      # seconds in which nobody asks, and after which people wonder


class Progress:
    """Counts results; `write` gets whole lines, `file` is what a bar is drawn on (None: no bar)."""

    def __init__(self, write: Any, file: Any = None) -> None:
        self.write, self.file = write, file
        self.total = self.done = self.unexpected = 0
        self.started = time.monotonic()
        self.drawn = 0.0
        self.running = True
        self._bar: Any = None
        self._task: Any = None

    def start(self, total: int) -> None:
        """The number of cases is known (workers say it one after another)."""
        if self.total:
            return
        self.total = total
        self.started = self.drawn = time.monotonic()
        self._bar = _bar(self.file) if self.file is not None else None
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("cases", total=total, unexpected="")

    def advance(self, *, unexpected: bool) -> None:
        """One more case is done."""
        self.done += 1
        self.unexpected += unexpected
        now = time.monotonic()
        if self._bar is not None:
            if unexpected or now - self.drawn > 0.1:
                self.drawn = now
                self._bar.update(self._task, completed=self.done, unexpected=self._failures(), refresh=True)
        elif now - self.drawn > (SHORT if self._at_a_tenth() else LONG):
            self.drawn = now
            self.write(f"{100 * self.done // self.total:3d}%  {self.done} of {self.total} cases, "
                       f"{now - self.started:.0f} s{self._failures()}")

    def _at_a_tenth(self) -> bool:
        return self.done * 10 // self.total > (self.done - 1) * 10 // self.total

    def _failures(self) -> str:
        return f", {self.unexpected} unexpected" if self.unexpected else ""

    def close(self) -> None:
        """Take the bar away."""
        self.running = False
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _bar(file: Any) -> Any:
    """A bar of rich on a terminal where rich is installed; None says: lines."""
    if not getattr(file, "isatty", bool)():
        return None
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress as RichProgress,
            TextColumn,
            TimeRemainingColumn,
        )
    except ImportError:
        return None
    return RichProgress(BarColumn(), MofNCompleteColumn(), TextColumn("cases{task.fields[unexpected]}"),
                        TimeRemainingColumn(), console=Console(file=file), transient=True, auto_refresh=False)
