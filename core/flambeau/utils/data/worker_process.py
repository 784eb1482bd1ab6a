"""What runs inside a worker process of a loader.

Two helper threads keep the pipe moving: one reads tasks (and so notices at once when the parent is gone, whatever the
dataset is doing), one writes replies (so the next batch is computed while the last is on its way). With each batch
goes what the worker is like after it, as far as that changed: where its part of a stream is and its random streams.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing import connection, parent_process
from typing import Any, NamedTuple, NoReturn

from flambeau.utils.data import streams, transport
from flambeau.utils.data.dataset import IterableDataset
from flambeau.utils.data.fetch import Fetch, StreamFetch, make_fetch
from flambeau.utils.data.info import WorkerInfo, set_worker_info

WATCH_SECONDS = 1.0  # how often a worker without work looks whether its parent still lives

# The kinds of reply.
BATCH, ENDED, FAILED = range(3)


class Setup(NamedTuple):
    """What a worker needs to know; pickled when the start method is not fork."""

    dataset: Any
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool
    base_seed: int
    init_fn: Callable[[int], Any] | None
    num_workers: int
    snapshot_every: int


class Epoch(NamedTuple):
    """The message that begins an epoch: its number, and what the worker shall be like (None: as it is)."""

    number: int
    state: dict[str, Any] | None


class Failure(NamedTuple):
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
        except Exception:  # noqa: BLE001  # the constructor is a user's, and wants something else than a message
            raise RuntimeError(text) from None
        raise error


class _WorkerKeyError(KeyError):
    """A KeyError that shows a traceback as lines; KeyError itself would show its repr on one."""

    def __str__(self) -> str:
        return str(self.args[0])


def main(worker: int, pipe: connection.Connection, setup: Setup) -> None:
    """Serve until told to leave, or until there is nobody left to serve."""
    # Ctrl-C reaches the whole process group; the parent decides what to do about it and tells the workers.
    signal.signal(signal.SIGINT, lambda *_: None)
    if hasattr(os, "register_at_fork"):
        # A process that the dataset forks must not hold the pipe open when this one is killed.
        os.register_at_fork(after_in_child=pipe.close)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    replies: queue.SimpleQueue[transport.Message | None] = queue.SimpleQueue()
    leave = threading.Event()
    threading.Thread(target=_read_tasks, args=(pipe, tasks, leave), daemon=True).start()
    writer = threading.Thread(target=_write_replies, args=(pipe, replies), daemon=True)
    writer.start()
    streams.seed(setup.base_seed, worker)
    set_worker_info(WorkerInfo(worker, setup.num_workers, setup.base_seed + worker, setup.dataset))
    _serve(_Server(worker, setup), tasks, replies, leave)
    replies.put(None)
    writer.join()


def _read_tasks(pipe: connection.Connection, tasks: queue.SimpleQueue[Any], leave: threading.Event) -> None:
    parent = parent_process()
    pid = os.getppid()
    try:
        while True:
            # The parent's pid is looked at too: a sibling may have inherited the other end of the pipe, which
            # then stays open after the parent's death.
            while not pipe.poll(WATCH_SECONDS):
                if os.getppid() != pid or (parent is not None and not parent.is_alive()):
                    os._exit(1)
            task = pipe.recv()
            if task is None:
                leave.set()  # tasks that wait are for nobody any more
            tasks.put(task)
            if task is None:
                return
    except (EOFError, OSError):
        os._exit(1)  # the parent closed the pipe or is gone; the dataset may be blocked, so leave from here


def _write_replies(pipe: connection.Connection, replies: queue.SimpleQueue[transport.Message | None]) -> None:
    while (reply := replies.get()) is not None:
        try:
            transport.send(pipe, reply)
        except OSError:
            return  # nobody listens any more; the reader thread ends the process


class _Server:
    """A worker's state: its part of the dataset, and what the parent knows of it."""

    def __init__(self, worker: int, setup: Setup) -> None:
        self._worker = worker
        self._setup = setup
        self._initialised = False
        self._fetch: Fetch | None = None
        self._broken: Failure | None = None
        self._known = b""    # the random streams as the parent knows them
        self._batches = 0

    def begin(self, state: dict[str, Any] | None) -> None:
        """Begin an epoch, or go on in one."""
        self._fetch = self._broken = None
        self._batches = 0
        try:
            self._begin(state or {})
        except Exception as error:  # noqa: BLE001  # whatever a user's code raises is the parent's to raise again
            self._broken = failure(error)

    def _begin(self, state: dict[str, Any]) -> None:
        setup = self._setup
        if not self._initialised:
            self._initialised = True
            if setup.init_fn is not None:
                setup.init_fn(self._worker)
        if "begin" in state:
            streams.restore(state["begin"])
        self._known = self._started = streams.capture()
        self._fetch = make_fetch(setup.dataset, setup.batched, setup.collate_fn, setup.drop_last,
                                 state.get("fetch") or None)
        if "streams" in state:
            streams.restore(state["streams"])
            self._known = state["streams"]

    def answer(self, indices: Any) -> tuple[int, Any, dict[str, Any]]:
        """The kind of reply, its content, and what has changed in this worker."""
        fetch = self._fetch
        if fetch is None:
            return FAILED, self._broken, {}
        try:
            return BATCH, fetch(indices), self._changes(fetch)
        except StopIteration as error:
            if isinstance(self._setup.dataset, IterableDataset):
                return ENDED, None, self._changes(fetch)
            return FAILED, failure(error), {}
        except Exception as error:  # noqa: BLE001  # as above
            return FAILED, failure(error), {}

    def _changes(self, fetch: Fetch) -> dict[str, Any]:
        if not fetch.ran_user_code:
            return {}
        changes: dict[str, Any] = {}
        if isinstance(fetch, StreamFetch) and self._batches % self._setup.snapshot_every:
            changes["fetch"] = fetch.progress()
        elif place := fetch.place():
            changes["fetch"] = place
            if not self._batches and "samples_at_state" not in place and "samples" in place:
                changes["begin"] = self._started   # it will be iterated again from its beginning
        now = streams.capture()
        if now != self._known:
            self._known = changes["streams"] = now
        self._batches += 1
        return changes


def _serve(server: _Server, tasks: queue.SimpleQueue[Any],
           replies: queue.SimpleQueue[transport.Message | None], leave: threading.Event) -> None:
    while (task := tasks.get()) is not None and not leave.is_set():
        if isinstance(task, Epoch):
            server.begin(task.state)
            continue
        epoch, number, indices = task
        replies.put(_pack((epoch, number), *server.answer(indices)))


def failure(error: Exception) -> Failure:
    """An exception made ready to travel."""
    return Failure(type(error), "".join(traceback.format_exception(error)))


def _pack(task: tuple[int, int], kind: int, content: Any, changes: dict[str, Any]) -> transport.Message:
    try:
        return transport.pack((*task, kind, content, changes))
    except Exception as error:  # noqa: BLE001  # a batch, or an exception's type, that cannot travel
        text = content.text if kind == FAILED else failure(error).text
        return transport.pack((*task, FAILED, Failure(RuntimeError, text), {}))
