"""`spawn`: one function in several processes, that fail together.

If one process fails, the others are stopped and the failure is raised in the program, with the traceback of the
process. A process whose parent is gone, however that came, ends itself within a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import connection
from typing import Any

__all__ = ["ENV_VAR_PARALLEL_START", "ProcessContext", "ProcessException", "ProcessExitedException",
           "ProcessRaisedException", "SpawnContext", "spawn", "start_processes"]

ENV_VAR_PARALLEL_START = "TORCH_MP_PARALLEL_START"  # accepted for PyTorch's sake; processes start one after the other
LONGEST_TRACEBACK = 30_000  # bytes that a pipe takes without anybody reading
PATIENCE = 30.0             # seconds that a process may take to end after it was asked to


class ProcessException(Exception):
    """A process of `spawn` failed: which (`error_index`, `error_pid`) and how (`msg`)."""

    def __init__(self, msg: str, error_index: int, pid: int) -> None:
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.error_pid = pid

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.error_pid

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.msg, self.error_index, self.error_pid)


class ProcessRaisedException(ProcessException):
    """An exception that the function raised in a process; the message has its traceback."""


class ProcessExitedException(ProcessException):
    """A process that was killed by a signal, or ended with an exit code of its own."""

    def __init__(self, msg: str, error_index: int, error_pid: int, exit_code: int,
                 signal_name: str | None = None) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.msg, self.error_index, self.error_pid, self.exit_code, self.signal_name)


def _run(function: Callable[..., Any], index: int, args: tuple[Any, ...], errors: connection.Connection) -> None:
    """What a process does."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        function(index, *args)
    except KeyboardInterrupt:
        pass  # Ctrl-C reaches all processes; the parent says what it was
    except Exception:  # noqa: BLE001 - whatever it is, the parent raises it
        text = traceback.format_exc().encode()
        errors.send_bytes(text if len(text) <= LONGEST_TRACEBACK else b"[...]\n" + text[-LONGEST_TRACEBACK:])
        sys.exit(1)


def _leave_with_parent() -> None:
    """End this process when its parent has ended without a word."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    pid = os.getppid()
    while parent.is_alive() and os.getppid() == pid:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


class ProcessContext:
    """The processes that `spawn(..., join=False)` started."""

    def __init__(self, processes: list[Any], errors: list[connection.Connection]) -> None:
        self.processes = processes
        self.sentinels = {process.sentinel: index for index, process in enumerate(processes)}
        self._errors = errors

    def pids(self) -> list[int]:
        """The processes' numbers."""
        return [int(process.pid) for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until a process ends; True if all have.

        Args:
            timeout: seconds to wait; None waits as long as it takes.
            grace_period: where one has failed, seconds that the others get to end by themselves before they are
                stopped, and to end then before they are killed.

        Raises ProcessRaisedException for an exception in a process, ProcessExitedException for another end.
        """
        if not self.sentinels:
            return True
        for sentinel in connection.wait(list(self.sentinels), timeout):
            index = self.sentinels.pop(sentinel)
            self.processes[index].join()
            if self.processes[index].exitcode != 0:
                self._stop(grace_period)
                raise self._failure(index)
        return not self.sentinels

    def _stop(self, grace_period: float | None) -> None:
        if grace_period is not None:
            self._wait(grace_period)
        for end in ("terminate", "kill"):
            for process in self.processes:
                if process.is_alive():
                    getattr(process, end)()
            self._wait(PATIENCE if grace_period is None else grace_period)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))

    def _failure(self, index: int) -> ProcessException:
        process = self.processes[index]
        try:
            text = self._errors[index].recv_bytes() if self._errors[index].poll() else b""
        except (EOFError, OSError):
            text = b""
        if text:
            return ProcessRaisedException(f"\n\n-- Process {index} terminated with the following error:\n"
                                          f"{text.decode(errors='replace')}", index, process.pid)
        code = process.exitcode
        if code >= 0:
            return ProcessExitedException(f"process {index} terminated with exit code {code}", index, process.pid, code)
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"<Unknown signal {-code}>"
        return ProcessExitedException(f"process {index} terminated with signal {name}", index, process.pid, code, name)


class SpawnContext(ProcessContext):
    """The former name of `ProcessContext`."""

    def __init__(self, processes: list[Any], errors: list[connection.Connection]) -> None:
        warnings.warn("SpawnContext is renamed to ProcessContext since 1.4 release.", stacklevel=2)
        super().__init__(processes, errors)


def start_processes(fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True,
                    daemon: bool = False, start_method: str = "spawn") -> ProcessContext | None:
    """`spawn` with a choice of how processes start: "spawn", "fork" or "forkserver".

    >>> import flambeau as torch
    >>> torch.multiprocessing.start_processes(print, ("of", 2), nprocs=2, start_method="fork")
    """
    context: Any = multiprocessing.get_context(start_method)
    processes, errors = [], []
    for index in range(nprocs):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(fn, index, args, theirs), daemon=daemon)
        process.start()
        theirs.close()
        processes.append(process)
        errors.append(ours)
    started = ProcessContext(processes, errors)
    if not join:
        return started
    try:
        while not started.join():
            pass
    except KeyboardInterrupt:
        started._stop(1.0)
        raise
    return None


def spawn(fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True,
          daemon: bool = False, start_method: str = "spawn") -> ProcessContext | None:
    """Run `fn(index, *args)` in `nprocs` fresh processes, with index from 0.

    `fn` must be importable (defined at the top level of a module), and the program must guard its own start with
    `if __name__ == "__main__"`, for the processes import it. With `join`, waits for all of them; without, returns a
    `ProcessContext`. `daemon` processes are stopped when the program ends.

    Raises ProcessRaisedException or ProcessExitedException if a process fails; the others are stopped then.

    >>> import flambeau as torch
    >>> torch.multiprocessing.spawn(print, args=("says hello",), nprocs=1)
    """
    if start_method != "spawn":
        warnings.warn(f"This method only supports start_method=spawn (got: {start_method}); use "
                      "torch.multiprocessing.start_processes for another", FutureWarning, stacklevel=2)
    return start_processes(fn, args, nprocs, join, daemon)
