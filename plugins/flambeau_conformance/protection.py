"""A driver that crashes or hangs costs one case, not the run.

Cases run in worker processes of pytest-xdist, which replaces a worker that dies; pytest-timeout says when a case takes
too long. The clock itself is the interpreter's watchdog: it needs no lock of Python's, so it also ends a kernel that
never gives the lock back. What a worker has to say when it dies (the fatal signal or the timeout, and where each
thread was) goes to a file that the controlling process reads.
"""

from __future__ import annotations

import faulthandler
import re
import tempfile
from pathlib import Path
from typing import IO, Any

import pytest

from flambeau_conformance import lastwords, results
from flambeau_conformance.items import RUN, STALE

LAST_WORDS = "flambeau_last_words"      # key of a worker's input: the folder of these files
MOST_DEATHS = 200                       # workers replaced in one run; after that, the device is dead
LOADING = 5                             # making the cases may take so many times what one case may take
FRAMES = 8


class Worker:
    """The part in a worker process."""

    def __init__(self, config: pytest.Config, folder: str) -> None:
        name = config.workerinput["workerid"]      # type: ignore[attr-defined]
        self.file: IO[str] = open(Path(folder) / name, "w", encoding="utf-8")  # noqa: SIM115 - open until it dies
        self.limit = config.stash[RUN].timeout * LOADING

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        lastwords.write_to(self.file)
        if self.limit:
            faulthandler.dump_traceback_later(self.limit, file=self.file, exit=True)

    @pytest.hookimpl
    def pytest_collection_finish(self) -> None:
        faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        lastwords.renew()

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool | None:
        if settings.method != "thread":
            return None
        faulthandler.dump_traceback_later(settings.timeout, file=self.file, exit=True)
        return True

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> None:
        faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        lastwords.stop()
        self.file.close()


class Controller:
    """The part in the process that starts the workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.folder = tempfile.TemporaryDirectory(prefix="flambeau-conformance-", ignore_cleanup_errors=True)
        self.collected: set[str] = set()
        self.fatal = ""      # why there is nothing to run

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[LAST_WORDS] = self.folder.name

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        self.collected.add(node.gateway.id)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """One that dies before it has a case would be replaced for ever."""
        if error and node.gateway.id not in self.collected:
            self.fatal = f"while they were made, {what_happened(self.words_of(node))[1]}"
            pytest.exit("a process died before its first case", returncode=1)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any) -> None:
        """Turn a worker's death into the result of the case that it was running."""
        run = self.config.stash[RUN]
        result = results.of_id(crashitem.rpartition("::")[2])
        result.status, result.message = what_happened(self.words_of(report.node))
        entry = run.book.expected(result.id)
        if entry.outcome == "xfail" and result.level != STALE:
            result.message += (f"\n{entry.place} of {run.book.path} expects a failure, which this is not; "
                               'write outcome = "skip" to leave the case out')
        result.expected, result.reason = entry.outcome, entry.reason
        result.reproduce = run.reproduction(result.id)
        report.when, report.location = "call", (report.location[0], None, result.id)
        report.longrepr = f"{result.message}\nreproduce: {result.reproduce}"
        report.user_properties = result.properties()

    def words_of(self, node: Any) -> str:
        """What a worker wrote before it died."""
        path = Path(self.folder.name) / node.gateway.id
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        self.folder.cleanup()


def what_happened(words: str) -> tuple[str, str]:
    """("crash" or "hang", a sentence and where it was) from what the interpreter wrote when it died.

    >>> what_happened("Timeout (0:00:05)!\\nThread 0x1 (most recent call first):\\n  File \\"k.py\\", line 7 in erf\\n")
    ('hang', 'no answer within 5 s; the process was ended\\n  File "k.py", line 7 in erf')
    >>> what_happened("")[0]
    'crash'
    """
    frames = "".join(f"\n{frame}" for frame in _frames(words))
    late = re.search(r"^Timeout \((\d[\d:.]*)\)!", words, flags=re.MULTILINE)
    if late:
        return "hang", f"no answer within {_seconds(late[1])} s; the process was ended{frames}"
    fatal = re.search(r"^(?:Fatal Python error|Windows fatal exception): (.+)$", words, flags=re.MULTILINE)
    if fatal:
        return "crash", f"the process died: {fatal[1]}{frames}"
    return "crash", "the process died without a word: it was killed, or out of memory, or the driver ended it"


def _seconds(clock: str) -> str:
    """The interpreter's way to write a time, in seconds."""
    return f"{sum(float(part) * 60**at for at, part in enumerate(reversed(clock.split(':')))):g}"


def _frames(words: str) -> list[str]:
    """Where the thread was that ran the case: the innermost frames, down to the suite's own."""
    threads = [block.splitlines()[1:] for block in re.split(r"^(?=(?:Current t|T)hread 0x)", words, flags=re.MULTILINE)
               if "hread 0x" in block]
    if not threads:
        return []
    ours = next((each for each in threads if any("flambeau_conformance" in line for line in each)), threads[0])
    frames = [line for line in ours if line.startswith("  File ")]
    own = next((at for at, line in enumerate(frames) if re.search(r"flambeau_conformance.(engine|items)\.py", line)),
               len(frames))
    return frames[:min(own, FRAMES)]
