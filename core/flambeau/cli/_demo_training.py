"""The demo's training: data, model, loop, and a checkpoint from which it goes on as if it had never stopped.

Two random streams are kept apart: the loader's generator orders the images, the global one starts the weights and
drops activations. A checkpoint holds the loader's state from the beginning of the epoch and the number of batches
done since; going on replays the order, skips those batches, and finds the global stream where it was.
"""

from __future__ import annotations

import shlex
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import PickleError
from types import FrameType
from typing import Any, NamedTuple, Protocol

import flambeau
from flambeau import nn, optim
from flambeau.cli import program
from flambeau.cli._demo_recipes import RECIPES
from flambeau.cli._demo_report import Report, write_curve
from flambeau.cli._demo_tasks import Task, evaluate, load
from flambeau.cli._errors import UsageError
from flambeau.dtypes import float64
from flambeau.random import Generator, get_rng_state, manual_seed, set_rng_state
from flambeau.utils.data import DataLoader

_CHECKPOINT = "checkpoint.pth"
_SAVE_SECONDS = 60
"""A checkpoint is written after each epoch, and within an epoch as often as this: so much may be lost to a crash."""


class Settings(NamedTuple):
    """What decides the numbers of a run; kept in its checkpoint."""

    device: str = "cpu"
    model: str = "mlp"
    epochs: int = RECIPES["mlp"].epochs
    batch_size: int = RECIPES["mlp"].batch_size
    seed: int = 0
    lr: float = RECIPES["mlp"].lr
    precision: str = "float32"


class Steps(Protocol):
    """Who is told of each step."""

    def step(self, batch: int, samples: int, loss: float) -> None:
        """`batch` of the epoch's batches are done, the last with so many samples and this loss."""


class Stop:
    """Whether Ctrl-C was pressed. The loop looks between two steps, where everything is consistent."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While inside, the first Ctrl-C only sets `asked`; a second one interrupts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers
            return

        def ask(number: int, frame: FrameType | None) -> None:
            self.asked = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


class Run:
    """One training run: model, optimiser, loader, and how far it has come."""

    def __init__(self, settings: Settings, task: Task) -> None:
        manual_seed(settings.seed)
        self.settings, self.task, self.recipe = settings, task, RECIPES[settings.model]
        self.model = task.build_model(settings.model).to(settings.device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = getattr(optim, self.recipe.optimizer)(self.model.parameters(), lr=settings.lr)
        self.generator = Generator().manual_seed(settings.seed)
        self.loader: DataLoader[Any] = DataLoader(
            task.train, batch_size=settings.batch_size, shuffle=True, generator=self.generator
        )
        self.epoch = 0  # the epoch under way
        self.batch = 0  # how many of its batches are done
        self.order = self.generator.get_state()  # the loader's stream when the epoch began
        self.losses: list[float] = []
        self.scores: list[float] = []

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "order": self.order,
            "random": get_rng_state(),
            "losses": flambeau.as_tensor(self.losses, dtype=float64),
            "scores": list(self.scores),
            "settings": self.settings._asdict(),
            "data": self.task.name,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become the run that `state` was taken from."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.batch, self.order = state["epoch"], state["batch"], state["order"]
        self.losses, self.scores = state["losses"].tolist(), list(state["scores"])
        self.generator.set_state(self.order)
        set_rng_state(state["random"])

    def train_epoch(self, report: Steps, stop: Stop) -> None:
        """Train on the batches of this epoch that are not done yet, until `stop`."""
        self.model.train()
        for number, batch in enumerate(self.loader):
            if number < self.batch:
                continue  # done before the interruption
            if stop.asked:
                return
            self.losses.append(self._step(*(each.to(self.settings.device) for each in batch)))
            self.batch = number + 1
            report.step(self.batch, len(batch[0]), self.losses[-1])

    def _step(self, inputs: Any, labels: Any) -> float:
        """One step of the optimiser; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * self._factor()
        self.optimizer.zero_grad()
        with self._autocast():
            loss = self.criterion(self.model(inputs).flatten(0, -2), labels.flatten())
        loss.backward()
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        return loss.item()

    def _autocast(self) -> Any:
        """Products in fewer bits, if the settings want that; parameters stay in float32."""
        kind = self.settings.device.partition(":")[0]
        return flambeau.autocast(kind, flambeau.bfloat16, enabled=self.settings.precision != "float32")

    def _factor(self) -> float:
        """By which this step's learning rate differs from the one asked for."""
        warm = min(1.0, (len(self.losses) + 1) / self.recipe.warmup) if self.recipe.warmup else 1.0
        return warm * self.recipe.decay**self.epoch

    def score(self) -> float:
        """How good the model is by now."""
        return evaluate(self.task, self.model, self.settings.device)

    def end_epoch(self) -> None:
        """Count the epoch as done."""
        self.epoch, self.batch = self.epoch + 1, 0
        self.order = self.generator.get_state()


def read_checkpoint(out: Path) -> dict[str, Any]:
    """The checkpoint in `out`; UsageError where there is none that can be read."""
    path = out / _CHECKPOINT
    if not path.is_file():
        raise UsageError(f"--resume: there is no {path} to go on from; leave --resume out to start, or give --out")
    try:
        state = dict(flambeau.load(path, map_location="cpu"))
        known = state["settings"].keys() == set(Settings._fields) and state["settings"]["model"] in RECIPES
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, OSError, PickleError) as error:
        raise _unreadable(path, str(error)) from error
    if not known:
        raise _unreadable(path, "it holds other settings")
    return state


def _unreadable(path: Path, problem: str) -> UsageError:
    return UsageError(
        f"--resume: {path} is not a checkpoint of this demo ({problem}); leave --resume out to start anew"
    )


def run(settings: Settings, data: Path, out: Path, checkpoint: dict[str, Any] | None) -> int:
    """Train until the last epoch or Ctrl-C; returns the exit status."""
    report = Report(settings.epochs)
    task = load(settings.model, data, report.say)
    if checkpoint is not None and checkpoint["data"] != task.name:
        raise UsageError(
            f"--resume: the checkpoint in {out} was trained on {checkpoint['data']}, but only {task.name} was "
            "found; say where the data is with --data DIR"
        )
    training = Run(settings, task)
    if checkpoint is not None:
        training.restore(checkpoint)
    size = sum(parameter.numel() for parameter in training.model.parameters())
    report.say(
        f"{task.name}: {task.describe()}; {settings.model} with {size:,} parameters on {settings.device}, "
        f"seed {settings.seed}"
    )
    if checkpoint is not None:
        report.say(f"going on in epoch {min(training.epoch + 1, settings.epochs)}, after {training.batch} batches")
    stop = Stop()
    with stop.listening():
        if not _train(training, report, stop, out):
            flambeau.save(training.state(), out / _CHECKPOINT)
            report.say(
                f"Stopped in epoch {training.epoch + 1} after {training.batch} of {len(training.loader)} batches; "
                f"saved {out / _CHECKPOINT}\nGo on with: {_command(settings, data, out)}"
            )
            return 130
    if closing := task.closing(training.model, settings.device):
        report.say(closing)
    report.say(f"loss curve: {write_curve(training.losses, len(training.loader), out)}")
    report.say(f"checkpoint: {out / _CHECKPOINT}")
    report.say(f"{task.measure} {training.scores[-1]:.4f}")
    return 0


def _train(training: Run, report: Report, stop: Stop, out: Path) -> bool:
    """Run the epochs that are left; False where `stop` came first."""
    saving = Saving(report, training, out)
    while training.epoch < training.settings.epochs:
        begun, done = time.perf_counter(), training.batch
        with report.epoch(training.epoch, done, len(training.loader)):
            training.train_epoch(saving, stop)
        if stop.asked:
            return False
        samples = max(0, len(training.task.train) - done * training.settings.batch_size)
        rate = samples / (time.perf_counter() - begun)
        mean = sum(training.losses[-len(training.loader) :]) / len(training.loader)
        training.scores.append(training.score())
        training.end_epoch()
        saving.save()
        report.epoch_done(training.epoch, mean, f"{training.task.measure} {training.scores[-1]:.4f}", rate)
    return True


class Saving:
    """Reports each step, and writes a checkpoint now and then."""

    def __init__(self, report: Report, training: Run, out: Path) -> None:
        self._report, self._training, self._path = report, training, out / _CHECKPOINT
        self._saved = time.perf_counter()

    def step(self, batch: int, samples: int, loss: float) -> None:
        """Pass the step on; save if the last checkpoint is old."""
        self._report.step(batch, samples, loss)
        if time.perf_counter() - self._saved > _SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write the checkpoint, in one move."""
        flambeau.save(self._training.state(), self._path)
        self._saved = time.perf_counter()


def _command(settings: Settings, data: Path, out: Path) -> str:
    options = [f"--{name}={getattr(settings, name)}" for name in ("device", "model", "epochs")]
    options += [f"--data={data}", f"--out={out}"]
    return f"{program()} " + shlex.join(["demo", "--resume", *options])
