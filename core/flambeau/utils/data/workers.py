"""Worker processes that load batches ahead, as the process that uses them sees them.

Each worker has one two-way pipe of its own, so nothing is shared that a dying worker could leave locked. This process
sends `(epoch, task number, indices)` and gets exactly one reply per task; the tasks go round the workers in turn, and
replies are handed out in the order of the tasks, whoever is first.

No process is left behind: workers are daemons, they leave when told to, when their pipe closes or when their parent
dies; the iterator stops them when it ends, fails, is interrupted or is collected, and at interpreter exit.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from multiprocessing import connection, get_context
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from flambeau.utils.data import transport
from flambeau.utils.data.dataloader import LoaderIterator
from flambeau.utils.data.resuming import between_epochs
from flambeau.utils.data.worker_process import BATCH, ENDED, FAILED, Epoch, Setup, main

if TYPE_CHECKING:
    from flambeau.utils.data.dataloader import DataLoader

_GRACE_SECONDS = 2.0  # how long a worker may finish the batch it is computing before it is terminated
_CHECK_SECONDS = 1.0  # how often somebody who waits for a batch looks whether the workers still live

_starting = threading.Lock()  # two threads that fork at once would give each other's workers their pipes


class _Task(NamedTuple):
    number: int
    worker: int


class WorkerIterator(LoaderIterator):
    """Hands out the batches that worker processes load."""

    def __init__(self, loader: DataLoader[Any], resume: dict[str, Any] | None = None) -> None:
        super().__init__(loader, resume)
        self._pipes: list[connection.Connection] = []
        self._processes: list[Any] = []
        self._stop = weakref.finalize(self, _stop_workers, os.getpid(), self._pipes, self._processes)
        self._epoch = -1
        try:
            # All are started before the first task is sent, so a fork copies as little activity as possible.
            self._start_workers()
            self._restart(resume)
        except BaseException:
            self._stop()
            raise

    def _start_workers(self) -> None:
        loader = self._loader
        context = loader.multiprocessing_context or get_context()
        setup = Setup(
            loader.dataset, loader.batch_sampler is not None, loader.collate_fn, loader.drop_last,
            self._base_seed, loader.worker_init_fn, loader.num_workers, loader.snapshot_every_n_steps,
        )  # fmt: skip
        for worker in range(loader.num_workers):
            with _starting:
                ours, theirs = context.Pipe()
                process = context.Process(target=main, args=(worker, theirs, setup), daemon=True)
                process.start()
                # Closed here, so that later siblings do not inherit it and its end shows at once when it dies.
                theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    @property
    def closed(self) -> bool:
        """Whether the workers are gone."""
        return not self._stop.alive

    def restart(self) -> None:
        """Begin an epoch: a new pass of the sampler, with tasks already under way forgotten."""
        former = [between_epochs(worker) for worker in self._progress.workers]
        self._begin(None)
        self._restart(None)
        self._progress.workers = former

    def _restart(self, resume: dict[str, Any] | None) -> None:
        count = self._loader.num_workers
        epoch = (resume or {}).get("epoch") or {}
        states = epoch.get("workers") or (resume or {}).get("workers") or [{} for _ in range(count)]
        progress = self._progress
        progress.workers = states
        progress.active = list(epoch.get("active") or [True] * count)
        progress.turn = epoch.get("turn", progress.taken % count)
        self._epoch += 1
        self._numbers = itertools.count(progress.taken)
        self._waiting: deque[_Task] = deque()
        self._arrived: dict[int, tuple[int, Any, dict[str, Any]]] = {}
        self._turns = itertools.islice(itertools.cycle(range(count)), progress.turn, None)
        for worker in range(count):
            self._send(worker, Epoch(self._epoch, states[worker] or None))
        for _ in range((self._loader.prefetch_factor or 1) * count):
            self._assign()

    def _send(self, worker: int, message: Any) -> None:
        try:
            self._pipes[worker].send(message)
        except OSError:
            self._report_death(worker)

    def _assign(self) -> None:
        """Give the next batch's indices to the next worker in turn that has not come to its end."""
        active = self._progress.active
        worker = next((w for w in itertools.islice(self._turns, len(active)) if active[w]), None)
        if worker is None:
            return
        try:
            indices, number = next(self._progress.position), next(self._numbers)
            while number in self._progress.beyond:  # handed out before the run was interrupted
                indices, number = next(self._progress.position), next(self._numbers)
        except StopIteration:
            return
        task = _Task(number, worker)
        self._send(worker, (self._epoch, task.number, indices))
        self._waiting.append(task)

    def __next__(self) -> Any:
        try:
            batch = self._next_batch()
        except BaseException as error:
            if not (isinstance(error, StopIteration) and self._loader.persistent_workers):
                self._stop()
            raise
        return self._hand_out(batch)

    def _next_batch(self) -> Any:
        deadline = time.monotonic() + self._loader.timeout if self._loader.timeout else None
        while self._waiting:
            task = self._next_arrived()
            if task is None:
                self._receive(deadline)
                continue
            self._waiting.remove(task)
            kind, content, changes = self._arrived.pop(task.number)
            if kind == FAILED:
                content.throw(task.worker)
            self._note(task, kind, changes)
            self._assign()
            self._note_turn()
            if kind == BATCH:
                return content
        self._progress.finished = True
        raise StopIteration

    def _note(self, task: _Task, kind: int, changes: dict[str, Any]) -> None:
        progress = self._progress
        state = progress.workers[task.worker]
        for name, value in changes.items():
            state[name] = {**state.get(name, {}), **value} if name == "fetch" else value
        if kind == ENDED:
            progress.active[task.worker] = False
        progress.finish(task.number)

    def _note_turn(self) -> None:
        """Whose the first of the tasks is that are not done."""
        if self._waiting:
            self._progress.turn = self._waiting[0].worker

    def _next_arrived(self) -> _Task | None:
        candidates = itertools.islice(self._waiting, 1 if self._loader.in_order else None)
        return next((task for task in candidates if task.number in self._arrived), None)

    def _receive(self, deadline: float | None) -> None:
        """Take in every reply that is there, waiting for the first."""
        if self.closed:
            raise RuntimeError("DataLoader: the worker processes have been stopped; start a new iteration")
        for worker in self._ready(deadline):
            try:
                epoch, number, *reply = transport.receive(self._pipes[worker])
            except (EOFError, OSError):
                self._report_death(worker)
            if epoch == self._epoch:
                self._arrived[number] = tuple(reply)

    def _ready(self, deadline: float | None) -> list[int]:
        """The workers that have said something; an error if there is none in time, or if one has died."""
        while True:
            remaining = _CHECK_SECONDS if deadline is None else min(_CHECK_SECONDS, deadline - time.monotonic())
            ready = connection.wait(self._pipes, max(0.0, remaining))
            if ready:
                return [self._pipes.index(pipe) for pipe in ready]  # type: ignore[arg-type]  # only these were asked
            if deadline is not None and time.monotonic() >= deadline:
                raise RuntimeError(
                    f"DataLoader timed out after {self._loader.timeout} seconds; "
                    "give it a longer timeout or look at what the dataset waits for"
                )
            # A dead worker's pipe shows that it is dead, unless a process that it had started holds the pipe open.
            for worker, process in enumerate(self._processes):
                if not process.is_alive():
                    self._report_death(worker)

    def _report_death(self, worker: int) -> NoReturn:
        process = self._processes[worker]
        process.join(1.0)
        code = process.exitcode
        cause = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        raise RuntimeError(
            f"DataLoader worker (pid(s) {process.pid}) exited unexpectedly ({cause}); out of memory and a crash in "
            "the dataset are the usual reasons: try num_workers=0 to see the error itself"
        )


def _stop_reading(pipe: connection.Connection) -> None:
    """Let a worker that is writing a reply find nobody to read it, though its siblings may hold this end open too."""
    if os.name == "posix":
        with socket.fromfd(pipe.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as end:
            end.shutdown(socket.SHUT_RD)


def _stop_workers(owner: int, pipes: Sequence[connection.Connection], processes: Sequence[Any]) -> None:
    """Tell the workers to leave, wait a moment, then make them; safe to call with some of them gone."""
    if os.getpid() != owner:
        return  # a forked copy of the iterator was collected: the workers are not this process's to stop
    for pipe in pipes:
        try:
            pipe.send(None)
            _stop_reading(pipe)
        except OSError:
            pass  # that one is dead already
        pipe.close()
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    for end in ("terminate", "kill"):
        for process in processes:
            if process.is_alive():
                getattr(process, end)()
                process.join(1.0)
