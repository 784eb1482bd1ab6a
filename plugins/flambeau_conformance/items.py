"""Cases as pytest items: one collector, no fixtures, no files to search, so that twenty thousand collect in seconds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import pytest

from flambeau_conformance import engine, results, suite
from flambeau_conformance.case import LEVELS, Case
from flambeau_conformance.expectations import Book, Entry, fits, judge, verdict_for_update
from flambeau_conformance.results import Result
from flambeau_conformance.selection import all_cases

STALE = "expectations"      # the "level" of entries that decide about no case
USUAL_SECONDS = 60          # what `--timeout` means: the limit of a case that sets none of its own


class CaseFailed(Exception):
    """Carries the sentence that a report shows; where it was raised says nothing."""


class Run:
    """What was asked for, and what the cases of this process share."""

    def __init__(self, device: str, seed: int, book: Book, levels: list[str], globs: list[str], *,
                 quick: bool = False, update: bool = False, timeout: float = USUAL_SECONDS,
                 file: str | None = None, folder: str | None = None) -> None:
        self.device, self.seed, self.book, self.levels, self.globs = device, seed, book, levels, globs
        self.quick, self.update, self.timeout, self.file, self.folder = quick, update, timeout, file, folder
        self.opened = False

    @cached_property
    def session(self) -> engine.Session:
        """Opened by the first case that runs, in the process that runs it."""
        self.opened = True
        return suite.session(self.device, self.seed, self.book.tolerances)

    def close(self) -> None:
        if self.opened:
            self.session.close()

    def wanted(self, case_id: str) -> bool:
        return not self.globs or any(fits(pattern, case_id) for pattern in self.globs)

    def wants_stale(self) -> bool:
        """Whether entries that decide about nothing are asked for: always, but where cases are picked."""
        return not self.globs or any(pattern.startswith((f"{STALE}/", "*")) for pattern in self.globs)

    def needed_levels(self) -> list[str]:
        """The levels that must be made, [] for all: those of the patterns, so that one case is there at once."""
        named = {pattern.partition("/")[0] for pattern in self.globs}
        if not named or not named <= set(LEVELS):
            return self.levels
        return [level for level in LEVELS if level in named and (not self.levels or level in self.levels)] or ["none"]

    def cases(self) -> tuple[list[Case], list[tuple[Entry, str]]]:
        """The cases to run, and the entries of the expectations that no case of any level needs."""
        check = bool(self.book.entries) and not self.update and self.wants_stale()
        made = all_cases(self.device, None if check else self.needed_levels(), self.folder)
        stale = self.book.stale([case.id for case in made]) if check else []
        selected = [case for case in made if (not self.levels or case.level in self.levels)
                    and (case.quick or not self.quick) and self.wanted(case.id)]
        return selected, [row for row in stale if self.wanted(f"{STALE}/{row[0].place}")]

    def reproduction(self, case_id: str) -> str:
        """The command that runs a case again, with the same files."""
        return results.reproduction(self.device, case_id, self.seed, self.file, self.folder)


RUN = pytest.StashKey[Run]()


class _Item(pytest.Item):
    """What cases and stale entries have in common: a result that travels in the report, and how a failure looks."""

    result: Result

    def fail(self, message: str) -> NoReturn:
        """Raise the failure of this item, with its result."""
        self.result.message = message
        self.result.reproduce = self.config.stash[RUN].reproduction(self.result.id)
        self.user_properties.extend(self.result.properties())
        raise CaseFailed(message)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        line = f"\nreproduce: {self.config.stash[RUN].reproduction(self.name)}"
        if isinstance(excinfo.value, CaseFailed):
            return f"{excinfo.value}{line}"
        return f"{super().repr_failure(excinfo, 'short')}{line}"

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class CaseItem(_Item):
    """One case."""

    def __init__(self, *, case: Case, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case
        self.result = results.of_case(case)
        run = self.config.stash[RUN]
        if run.timeout and case.seconds != USUAL_SECONDS and self.config.pluginmanager.hasplugin("timeout"):
            self.add_marker(pytest.mark.timeout(run.timeout * case.seconds / USUAL_SECONDS))

    def runtest(self) -> None:
        run = self.config.stash[RUN]
        entry = run.book.expected(self.case.id)
        if entry.outcome == "skip":
            self.result.category = self.result.status = self.result.expected = "skip"
            self.result.reason = entry.reason
            self.user_properties.extend(self.result.properties())
            pytest.skip(entry.reason)
        outcome = self.outcome(run)
        verdict = (verdict_for_update if run.update else judge)(self.case.id, outcome, run.book)
        results.filled(self.result, outcome, verdict, entry)
        if verdict.category in results.UNEXPECTED:
            self.fail(verdict.message)
        self.user_properties.extend(self.result.properties())
        if verdict.category == "xfail":
            pytest.xfail(entry.reason or verdict.message.partition("\n")[0])
        if verdict.category == "fallback":      # to every reader of reports: not a pass
            pytest.skip(f"ran on the host, as declared: {', '.join(outcome.fallbacks)}")

    def outcome(self, run: Run) -> engine.Outcome:
        """What comes out of the case; where its time is up in this very process, a failure."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")      # whatever the project around wants of warnings
                return engine.execute(self.case, run.session)
        except pytest.fail.Exception as stopped:
            self.result.status, self.result.category = "hang", "error"
            self.fail(f"no answer in time: {stopped}")


class StaleItem(_Item):
    """An entry of the expectations that decides about no case, as a test that fails."""

    def __init__(self, *, entry: Entry, why: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.why = why
        self.result = Result(self.name, STALE, entry.cases, entry.place, category="fail", status="fail")

    def runtest(self) -> None:
        self.fail(self.why)


class Suite(pytest.Directory):
    """The package as a collector: its items are the cases, whatever files it has."""

    def collect(self) -> Iterator[pytest.Item]:
        try:
            cases, stale = self.config.stash[RUN].cases()
        except ValueError as error:      # a sentence that says what is wrong, with saved cases for example
            raise self.CollectError(str(error)) from error
        for entry, why in stale:
            yield StaleItem.from_parent(self, name=f"{STALE}/{entry.place}", entry=entry, why=why)
        for case in cases:
            yield CaseItem.from_parent(self, name=case.id, case=case)
