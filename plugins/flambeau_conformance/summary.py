"""The controlling process's part: it gathers the results, writes the reports and says at the end what the run found."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from flambeau.cli._tables import table
from flambeau_conformance import results
from flambeau_conformance.case import LEVELS
from flambeau_conformance.items import STALE, Run
from flambeau_conformance.progress import Progress
from flambeau_conformance.results import CATEGORIES, PASSED, UNEXPECTED, Result

COLUMNS = {"native": "NATIVE", "decomposed": "DECOMPOSED", "core": "CORE", "fallback": "FALLBACK", "xfail": "XFAIL",
           "skip": "SKIP", "fail": "FAIL", "error": "ERROR"}
STATUS_WORDS = {"fallback": ("fallback", "f", "FALLBACK"), "xfail": ("xfailed", "x", "XFAIL"),
                "skip": ("skipped", "s", "SKIPPED")}
BROKEN = "FAILED: no case was executed: making them raised the error above"
SHOWN = 12      # kernels by name


class Reporter:
    """A plugin of the controlling process."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self.config, self.run = config, run
        self.results: dict[str, Result] = {}
        self.started = time.monotonic()
        self.total = 0
        self.lines: list[str] = []      # what the summary says beside its table
        self.progress: Progress | None = None

    # -- while it runs
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:
            self._begin(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._begin(len(ids))

    def _begin(self, total: int) -> None:
        terminal: Any = self.config.pluginmanager.getplugin("terminalreporter")
        self.total = total
        if self.progress is None and terminal is not None and self.config.get_verbosity() <= 0 and total:
            self.progress = Progress(terminal.write_line, getattr(terminal._tw, "_file", None))
            self.progress.start(total)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        vars(report).pop("node", None)      # which process it was says nothing, in a line above each failure
        if report.when != "call" and not report.failed:
            return
        result = results.read(report.user_properties)
        if result is None:      # it failed before the case ran, or in pytest's hands: a timeout in this process, say
            result = results.of_id(report.nodeid.rpartition("::")[2])
            result.message, result.seconds = str(report.longrepr), report.duration
            result.reproduce = self.run.reproduction(result.id)
        self.results[result.id] = result
        if self.progress is not None:
            self.progress.advance(unexpected=result.category in UNEXPECTED)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """A declared fallback counts apart. Where a bar is shown, or a percentage, there are no dots."""
        result = results.read(getattr(report, "user_properties", ())) if report.when == "call" else None
        if result is None:
            return None
        words = STATUS_WORDS.get(result.category, ("failed", "F", "FAILED"))
        if result.category in PASSED:
            words = ("passed", ".", f"PASSED, {result.way}")
        return (words[0], "", "") if self.progress is not None and self.progress.running else words

    # -- at the end
    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.progress is not None:
            self.progress.close()
        if exitstatus == pytest.ExitCode.INTERRUPTED and session.testsfailed and not self.total:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED      # nobody did: pytest stops where collecting fails
            self.lines.append(BROKEN)
        missing = self.total - len(self.results)
        if missing > 0 and not self.config.option.collectonly:
            self.lines.append(f"FAILED: {missing} of {self.total} cases did not run; the run ended before them")
        if self.config.option.collectonly or exitstatus not in (0, 1, pytest.ExitCode.NO_TESTS_COLLECTED):
            return
        executed = [each for each in self.results.values() if each.status != "skip" and each.level != STALE]
        if not executed:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self.lines.append(self._nothing() if self.results or not session.testsfailed else BROKEN)
        if missing > 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for write in [*([self._update] if self.run.update and executed else []), self._write_reports]:
            try:
                write()
            except Exception as error:  # noqa: BLE001 - what cannot be written must not cost the summary
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
                kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
                self.lines.append(f"FAILED: {kind}{error}")

    def _nothing(self) -> str:
        """Why there is nothing to show, and what to do: no case executed is no success."""
        fatal = getattr(self.config.pluginmanager.get_plugin("flambeau_conformance.controller"), "fatal", "")
        if fatal:
            return f"FAILED: no case was executed: {fatal}"
        if self.results:
            return (f"FAILED: no case was executed, all {len(self.results)} are expected to be skipped; "
                    f"the reasons are in {self.run.book.path}")
        given = [*(f"--level {each}" for each in self.run.levels), *(f"--case {each!r}" for each in self.run.globs),
                 *(["--quick"] if self.run.quick else [])]
        if given:
            return (f"FAILED: no case was executed: none matches {' '.join(given)}; "
                    f"`flambeau conformance --device {self.run.device} --list` prints the ids")
        return f"FAILED: no case was executed: there are none for {self.run.device}; has it any storage dtypes?"

    def _update(self) -> None:
        from flambeau_conformance.selection import all_cases
        from flambeau_conformance.update import update

        ids = [case.id for case in all_cases(self.run.device, folder=self.run.folder)]
        self.lines += update(self.run.book, self.run.device, ids, self.ordered())

    def ordered(self) -> list[Result]:
        """In the order of the levels, then as the cases came."""
        place = {level: at for at, level in enumerate((STALE, *LEVELS))}
        return sorted(self.results.values(),
                      key=lambda each: (place.get(each.level, len(place)), each.op, each.variant))

    def _write_reports(self) -> None:
        option = self.config.option
        wanted = option.conformance_report_json, option.conformance_report_html
        if not any(wanted):
            return
        from flambeau_conformance import report

        rows, environment = [each.as_dict() for each in self.ordered()], self.environment()
        if wanted[0]:
            report.write_json(wanted[0], rows, environment)
            self.lines.append(f"results: {wanted[0]}")
        if wanted[1]:
            document = {"environment": environment, "results": rows}
            report.write_html(wanted[1], document, previous=option.conformance_compare)
            self.lines.append(f"page: {wanted[1]}")

    def environment(self) -> dict[str, Any]:
        """What the results are of, in JSON's types."""
        from flambeau_conformance import report

        run = self.run
        return {
            **report.environment(run.device, run.seed), "quick": run.quick, "levels": run.levels, "cases": run.globs,
            "seconds": round(time.monotonic() - self.started, 3), "not_reached": self.not_reached(),
            "command": self._command()}

    def _command(self) -> str:
        """What runs the same cases again, on any machine: without this one's paths."""
        run = self.run
        parts = ["flambeau conformance --device", str(run.device), *(f"--level {each}" for each in run.levels),
                 *(["--quick"] if run.quick else []), *(f"--case '{each}'" for each in run.globs), f"--seed {run.seed}"]
        return " ".join(parts)

    def not_reached(self) -> list[str]:
        """Kernels of the backend that no case called."""
        from flambeau import discovery
        from flambeau.device import device

        reached = {name for each in self.results.values() for name in each.kernels}
        return sorted(set(discovery.backend_for(device(self.run.device).type).kernels) - reached)

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        write = terminalreporter.write_line
        if self.results:
            terminalreporter.write_sep("=", f"conformance of {self.run.device}")
            write(counted(self.results.values()))
            for line in self._facts():
                write(line)
        for line in self.lines:
            write(line, red=line.startswith("FAILED"))

    def _facts(self) -> list[str]:
        from flambeau_conformance import report

        about = report.environment(self.run.device)
        oracles = {each.oracle for each in self.results.values() if each.oracle}
        shown = sorted({f"{each} {about[each]}" if each in ("torch", "numpy") else each for each in oracles})
        driver = f", driver {about['driver']}" if about["driver"] else ""
        provider = f"{about['backend']} {about['backend_version']}".strip()
        lines = [f"device: {self.run.device} ({about['device_name']}{driver}), {provider}",
                 f"oracle: {', '.join(shown) or 'none was asked'}; seed {self.run.seed}; "
                 f"{time.monotonic() - self.started:.0f} s"]
        whole = not (self.run.levels or self.run.globs or self.run.quick) and len(self.results) >= self.total
        missed = self.not_reached()
        if whole and missed:
            more = f" and {len(missed) - SHOWN} more (--json has them)" if len(missed) > SHOWN else ""
            lines.append(f"{len(missed)} kernels that no case reached: {', '.join(missed[:SHOWN])}{more}")
        return lines


def counted(found: Iterable[Result]) -> str:
    """The table: levels by categories, without columns in which nothing stands.

    >>> print(counted([Result("nn/Linear/float32", "nn", "Linear", "float32", category="decomposed")]))
    LEVEL  DECOMPOSED  CASES
    nn              1      1
    all             1      1
    """
    by_level: dict[str, Counter[str]] = {}
    for each in found:
        by_level.setdefault(each.level, Counter())[each.category] += 1
    levels = [level for level in (STALE, *LEVELS) if level in by_level]
    levels += sorted(set(by_level) - set(levels))
    total = sum(by_level.values(), Counter())
    shown = [category for category in CATEGORIES if total[category]]
    rows = [(name, *(str(row[each] or "-") for each in shown), str(row.total()))
            for name, row in [*((level, by_level[level]) for level in levels), ("all", total)]]
    header = ("LEVEL", *(COLUMNS[each] for each in shown), "CASES")
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    return table(header[:1] + tuple(each.rjust(width) for each, width in zip(header[1:], widths[1:], strict=True)),
                 [row[:1] + tuple(each.rjust(width) for each, width in zip(row[1:], widths[1:], strict=True))
                  for row in rows])
