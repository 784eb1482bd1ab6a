"""What the demo shows: a bar on a terminal, one line per epoch everywhere, and the loss curve as a picture.

A log or a pipe gets nothing that moves. rich and matplotlib are extras: without them the demo says less, or says
which extra would show more, and works the same.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_REFRESH_SECONDS = 0.2
_SMOOTHING = 50  # steps over which the curve's bold line is averaged


class Report:
    """Progress on standard output."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._terminal = sys.stdout.isatty()
        self._bar: Any = None
        self._task: Any = None
        self._samples = 0
        self._begun = 0.0
        self._shown = 0.0
        self._total = 0
        self._label = ""

    def say(self, text: str) -> None:
        """Print lines of text."""
        print(text, flush=True)

    @contextmanager
    def epoch(self, number: int, done: int, total: int) -> Iterator[None]:
        """Show the steps of epoch `number` (from 0), of which `done` of `total` are done."""
        self._samples, self._total, self._label = 0, total, f"epoch {number + 1}/{self._epochs}"
        self._begun = self._shown = time.perf_counter()
        if not self._terminal or importlib.util.find_spec("rich") is None:
            yield
            if self._terminal:
                sys.stdout.write("\r\033[K")
            return
        from rich import progress

        columns = ("{task.description}", progress.BarColumn(), progress.TaskProgressColumn(),
                   "loss {task.fields[loss]:.4f}", "{task.fields[rate]:,.0f} samples/s",
                   progress.TimeRemainingColumn())  # fmt: skip
        with progress.Progress(*columns, transient=True) as self._bar:
            self._task = self._bar.add_task(self._label, total=total, completed=done, loss=0.0, rate=0.0)
            yield
        self._bar = None

    def step(self, batch: int, samples: int, loss: float) -> None:
        """Count one step; the display follows a few times a second."""
        self._samples += samples
        if not self._terminal:
            return
        now = time.perf_counter()
        if now - self._shown < _REFRESH_SECONDS and batch < self._total:
            return
        self._shown = now
        rate = self._samples / (now - self._begun)
        if self._bar is not None:
            self._bar.update(self._task, completed=batch, loss=loss, rate=rate)
        else:
            text = f"{self._label}  {batch}/{self._total}  loss {loss:.4f}  {rate:,.0f} samples/s"
            sys.stdout.write(f"\r\033[K{text}")
            sys.stdout.flush()

    def epoch_done(self, number: int, loss: float, score: str, rate: float) -> None:
        """One line for an epoch that is done."""
        self.say(f"epoch {number}/{self._epochs}  loss {loss:.4f}  {score}  {rate:,.0f} samples/s")


def write_curve(losses: Sequence[float], steps_per_epoch: int, out: Path) -> str:
    """Draw the losses into `out`; where matplotlib is missing, write them as CSV. Returns what to tell the user."""
    if importlib.util.find_spec("matplotlib") is None:
        path = out / "losses.csv"
        lines = ["step,loss", *(f"{step},{loss!r}" for step, loss in enumerate(losses, 1))]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"{path} (for a picture: pip install 'flambeau[demo]')"
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = out / "loss-curve.png"
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = [step / steps_per_epoch for step in range(1, len(losses) + 1)]
    axes.plot(steps, losses, linewidth=0.5, alpha=0.35, label="each step")
    axes.plot(steps, _smooth(losses), linewidth=1.5, label=f"mean of {_SMOOTHING} steps")
    axes.set(xlabel="epoch", ylabel="training loss", title="flambeau demo", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    return str(path)


def _smooth(losses: Sequence[float]) -> list[float]:
    """The mean of each value and up to `_SMOOTHING` - 1 values before it."""
    total, means = 0.0, []
    for i, loss in enumerate(losses):
        total += loss - (losses[i - _SMOOTHING] if i >= _SMOOTHING else 0.0)
        means.append(total / min(i + 1, _SMOOTHING))
    return means
