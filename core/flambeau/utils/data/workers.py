"""Worker processes that load batches ahead.

Each worker has one two-way pipe of its own, so nothing is shared that a dying worker could leave locked. This process
sends `(epoch, task number, indices)` and gets exactly one reply per task; the tasks go round the workers in turn, and
replies are handed out in the order of the tasks, whoever is first.

Inside a worker, two helper threads keep the pipe moving: one reads tasks (and so notices at once when the parent is
gone, whatever the dataset is doing), one writes replies (so the next batch is computed while the last is on its way).

No process is left behind: workers are daemons, they leave when told to, when their pipe closes or when their parent
dies; the iterator stops them when it ends, fails, is interrupted or is collected, and at interpreter exit.
"""

from __future__ import annotations

import importlib
import io
import itertools
import os
import pickle
import queue
import random
import signal
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing import connection, get_context, parent_process
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import flambeau
from flambeau.random import manual_seed
from flambeau.tensor import Tensor
from flambeau.utils.data.dataloader import LoaderIterator
from flambeau.utils.data.dataset import IterableDataset
from flambeau.utils.data.fetch import Fetch, make_fetch
from flambeau.utils.data.info import WorkerInfo, set_worker_info

if TYPE_CHECKING:
    from flambeau.utils.data.dataloader import DataLoader

_WATCH_SECONDS = 1.0  # how often a worker without work looks whether its parent still lives
_GRACE_SECONDS = 2.0  # how long a worker may finish the batch it is computing before it is terminated

# The kinds of reply.
_BATCH, _ENDED, _FAILED = range(3)


class _Setup(NamedTuple):
    """What a worker needs to know; pickled when the start method is not fork."""

    dataset: Any
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool
    base_seed: int
    init_fn: Callable[[int], Any] | None
    num_workers: int


class _Failure(NamedTuple):
    """An exception on its way to the parent: its type, and its traceback as text."""

    kind: type[BaseException]
    text: str

    def throw(self, worker: int) -> NoReturn:
        """Raise it again, as the same type where that can be built from a message alone."""
        text = f"Caught {self.kind.__name__} in DataLoader worker process {worker}.\nOriginal {self.text}"
        if issubclass(self.kind, KeyError):
            raise _WorkerKeyError(text)
        try:
            error = self.kind(text)
        except TypeError:
            raise RuntimeError(text) from None
        raise error


class _WorkerKeyError(KeyError):
    """A KeyError that shows a traceback as lines; KeyError itself would show its repr on one."""

    def __str__(self) -> str:
        return str(self.args[0])


# ------------------------------------------------------------------------------------------- in the worker


def _worker_main(worker: int, pipe: connection.Connection, setup: _Setup) -> None:
    # Ctrl-C reaches the whole process group; the parent decides what to do about it and tells the workers.
    signal.signal(signal.SIGINT, lambda *_: None)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    replies: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(pipe, tasks), daemon=True).start()
    writer = threading.Thread(target=_write_replies, args=(pipe, replies), daemon=True)
    writer.start()
    _seed_worker(setup.base_seed, worker)
    set_worker_info(WorkerInfo(worker, setup.num_workers, setup.base_seed + worker, setup.dataset))
    _serve(worker, setup, tasks, replies)
    replies.put(None)
    writer.join()


def _seed_worker(base_seed: int, worker: int) -> None:
    """Give every worker random streams of its own, the same in every run with the same base seed."""
    random.seed(base_seed + worker)
    manual_seed(base_seed + worker)
    # Transforms written for PyTorch often draw from the global stream of the library whose arrays `.numpy()` gives.
    # It is seeded as PyTorch does, with four words mixed out of both numbers.
    library = type(flambeau.empty(0).numpy()).__module__.partition(".")[0]
    arrays = importlib.import_module(f"{library}.random")
    entropy = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    arrays.seed(arrays.SeedSequence(entropy).generate_state(4))


def _read_tasks(pipe: connection.Connection, tasks: queue.SimpleQueue[Any]) -> None:
    parent = parent_process()
    pid = os.getppid()
    try:
        while True:
            # The parent's pid is looked at too: a sibling may have inherited the other end of the pipe, which
            # then stays open after the parent's death.
            while not pipe.poll(_WATCH_SECONDS):
                if os.getppid() != pid or (parent is not None and not parent.is_alive()):
                    os._exit(1)
            task = pipe.recv()
            tasks.put(task)
            if task is None:
                return
    except (EOFError, OSError):
        os._exit(1)  # the parent closed the pipe or is gone; the dataset may be blocked, so leave from here


def _write_replies(pipe: connection.Connection, replies: queue.SimpleQueue[bytes | None]) -> None:
    while (reply := replies.get()) is not None:
        try:
            pipe.send_bytes(reply)
        except OSError:
            return  # nobody listens any more; the reader thread ends the process


def _serve(worker: int, setup: _Setup, tasks: queue.SimpleQueue[Any], replies: queue.SimpleQueue[bytes | None]) -> None:
    epoch = -1
    fetch: Fetch | None = None
    broken: _Failure | None = None
    while (task := tasks.get()) is not None:
        if task[0] != epoch:
            initialise = setup.init_fn if epoch == -1 else None
            epoch = task[0]
            fetch, broken = _begin_epoch(worker, setup, initialise)
        kind, content = (_FAILED, broken) if fetch is None else _run(fetch, task[2], setup.dataset)
        replies.put(_pack(task[:2], kind, content))


def _begin_epoch(
    worker: int, setup: _Setup, initialise: Callable[[int], Any] | None
) -> tuple[Fetch | None, _Failure | None]:
    try:
        if initialise is not None:
            initialise(worker)
        return make_fetch(setup.dataset, setup.batched, setup.collate_fn, setup.drop_last), None
    except Exception as error:  # noqa: BLE001  # whatever a user's code raises is the parent's to raise again
        return None, _failure(error)


def _run(fetch: Fetch, indices: Any, dataset: Any) -> tuple[int, Any]:
    try:
        return _BATCH, fetch(indices)
    except StopIteration as error:
        return (_ENDED, None) if isinstance(dataset, IterableDataset) else (_FAILED, _failure(error))
    except Exception as error:  # noqa: BLE001  # as above
        return _FAILED, _failure(error)


def _failure(error: Exception) -> _Failure:
    return _Failure(type(error), "".join(traceback.format_exception(error)))


class _Pickler(ForkingPickler):
    """Sends of a tensor what it shows: a row of a large tensor must not take the whole with it."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or not value.is_leaf:
            return NotImplemented
        if value.untyped_storage().nbytes() <= value.numel() * value.element_size():
            return NotImplemented
        alone = value.detach().clone().requires_grad_(value.requires_grad)
        return alone.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _dumps(value: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(value)
    return file.getvalue()


def _pack(task: tuple[int, int], kind: int, content: Any) -> bytes:
    try:
        return _dumps((*task, kind, content))
    except Exception as error:  # noqa: BLE001  # a batch, or an exception's type, that cannot travel
        text = content.text if kind == _FAILED else _failure(error).text
        return _dumps((*task, _FAILED, _Failure(RuntimeError, text)))


# ------------------------------------------------------------------------------------------- in the parent


class _Task(NamedTuple):
    number: int
    worker: int


class WorkerIterator(LoaderIterator):
    """Hands out the batches that worker processes load."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        context = loader.multiprocessing_context or get_context()
        setup = _Setup(
            loader.dataset, loader.batch_sampler is not None, loader.collate_fn, loader.drop_last,
            self._base_seed, loader.worker_init_fn, loader.num_workers,
        )  # fmt: skip
        self._pipes: list[connection.Connection] = []
        self._processes: list[Any] = []
        self._stop = weakref.finalize(self, _stop_workers, os.getpid(), self._pipes, self._processes)
        self._epoch = -1
        try:
            # All are started before the first task is sent, so a fork copies as little activity as possible.
            for worker in range(loader.num_workers):
                ours, theirs = context.Pipe()
                process = context.Process(target=_worker_main, args=(worker, theirs, setup), daemon=True)
                process.start()
                # Closed here, so that later siblings do not inherit it and its end shows at once when it dies.
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)
            self.restart()
        except BaseException:
            self._stop()
            raise

    @property
    def closed(self) -> bool:
        """Whether the workers are gone."""
        return not self._stop.alive

    def restart(self) -> None:
        """Begin an epoch: a new pass of the sampler, with tasks already under way forgotten."""
        self._epoch += 1
        self._yielded = 0
        self._indices = iter(self._loader._index_sampler)
        self._numbers = itertools.count()
        self._waiting: deque[_Task] = deque()
        self._arrived: dict[int, tuple[int, Any]] = {}
        self._active = [True] * self._loader.num_workers
        self._turns = itertools.cycle(range(self._loader.num_workers))
        for _ in range((self._loader.prefetch_factor or 1) * self._loader.num_workers):
            self._assign()

    def _assign(self) -> None:
        """Give the next batch's indices to the next worker in turn that has not come to its end."""
        worker = next((w for w in itertools.islice(self._turns, len(self._active)) if self._active[w]), None)
        if worker is None:
            return
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        task = _Task(next(self._numbers), worker)
        try:
            self._pipes[worker].send((self._epoch, task.number, indices))
        except OSError:
            self._report_death(worker)
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
            kind, content = self._arrived.pop(task.number)
            if kind == _ENDED:
                self._active[task.worker] = False
            self._assign()
            if kind == _FAILED:
                content.throw(task.worker)
            if kind == _BATCH:
                return content
        raise StopIteration

    def _next_arrived(self) -> _Task | None:
        candidates = itertools.islice(self._waiting, 1 if self._loader.in_order else None)
        return next((task for task in candidates if task.number in self._arrived), None)

    def _receive(self, deadline: float | None) -> None:
        """Take in every reply that is there, waiting for the first."""
        if self.closed:
            raise RuntimeError("DataLoader: the worker processes have been stopped; start a new iteration")
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = connection.wait(self._pipes, remaining)
        if not ready:
            raise RuntimeError(
                f"DataLoader timed out after {self._loader.timeout} seconds; "
                "give it a longer timeout or look at what the dataset waits for"
            )
        for pipe in ready:
            worker = self._pipes.index(pipe)  # type: ignore[arg-type]  # only connections were waited for
            try:
                message = self._pipes[worker].recv_bytes()
            except (EOFError, OSError):
                self._report_death(worker)
            epoch, number, kind, content = pickle.loads(message)
            if epoch == self._epoch:
                self._arrived[number] = (kind, content)

    def _report_death(self, worker: int) -> NoReturn:
        process = self._processes[worker]
        process.join(1.0)
        code = process.exitcode
        cause = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        raise RuntimeError(
            f"DataLoader worker (pid(s) {process.pid}) exited unexpectedly ({cause}); out of memory and a crash in "
            "the dataset are the usual reasons: try num_workers=0 to see the error itself"
        )


def _stop_workers(owner: int, pipes: Sequence[connection.Connection], processes: Sequence[Any]) -> None:
    """Tell the workers to leave, wait a moment, then make them; safe to call with some of them gone."""
    if os.getpid() != owner:
        return  # a forked copy of the iterator was collected: the workers are not this process's to stop
    for pipe in pipes:
        try:
            pipe.send(None)
        except OSError:
            pass  # that one is dead already
        pipe.close()  # a reply that is being written finds nobody to read it
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    for end in ("terminate", "kill"):
        for process in processes:
            if process.is_alive():
                getattr(process, end)()
                process.join(1.0)
