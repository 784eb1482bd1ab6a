"""What a backend's author expects of the cases: the file `conformance.toml` beside the module of the backend's class.

Without an entry a case must pass, so a file lists what does not work, each entry with its reason::

    [[expect]]
    cases = "operators/erfinv/*"          # a pattern over case ids, "level/operator/variant"
    outcome = "xfail"                     # or "skip" (not run), "fallback" (runs on the host), "pass"
    reason = "rounds to nearest, ties away from zero"

    [device.NAME]                         # the same keys for one device string, after those above
    expect = [{ cases = "streams/*", outcome = "skip", reason = "one queue only" }]

The last entry that matches a case decides. The file cannot rot: a case that was expected to fail and passes, and an
entry that decides about no case, fail the run.

>>> entries = Entry("operators/erfinv/*", "xfail", "less precise"), Entry("*/erfinv/float16", "skip", "slow")
>>> book = Book(entries)
>>> book.expected("operators/erfinv/float32").outcome, book.expected("operators/erfinv/float16").outcome
('xfail', 'skip')
>>> book.expected("operators/exp/float32").outcome
'pass'
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambeau.backend import Backend

if TYPE_CHECKING:
    from flambeau_conformance.engine import Outcome

FILE_NAME = "conformance.toml"
OUTCOMES = ("pass", "xfail", "skip", "fallback")
NEED_REASON = ("xfail", "skip")
OWING = "primitives/"      # the level whose operators a backend owes, and may declare as running on the host


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def fits(pattern: str, case_id: str) -> bool:
    """Whether a case is meant by a pattern: it is its id, or the pattern matches as the shell's do.

    >>> fits("*/exp/float*", "operators/exp/float32"), fits("*/exp/float[36]*", "operators/exp/float16")
    (True, False)
    """
    return pattern == case_id or _compiled(pattern).match(case_id) is not None


class ExpectationError(ValueError):
    """A file of expectations that cannot be read; the message names the file, the entry and the next step."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One `[[expect]]` of the file."""

    cases: str
    outcome: str
    reason: str = ""
    place: str = ""      # "expect[3]" or "device.NAME.expect[3]": counted from 1, as people count
    table: str = ""      # "" for the top level, else the device string

    def matches(self, case_id: str) -> bool:
        return fits(self.cases, case_id)


MUST_PASS = Entry("*", "pass")


@dataclass(frozen=True)
class Book:
    """The expectations that hold for one device."""

    entries: tuple[Entry, ...] = ()
    tolerances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    path: Path | None = None
    shared: bool = False      # the file has tables of single devices: several device strings use it

    def expected(self, case_id: str) -> Entry:
        """The last entry that matches."""
        for entry in reversed(self.entries):
            if entry.matches(case_id):
                return entry
        return MUST_PASS

    @cached_property
    def _declared(self) -> dict[str, bool]:
        return {}

    def declared(self, op: str) -> bool:
        """Whether the file says of this operator, in any variant, that it runs on the host."""
        if op not in self._declared:
            self._declared[op] = self._declares(op)
        return self._declared[op]

    def _declares(self, op: str) -> bool:
        for entry in reversed(self.entries):
            if entry.outcome in ("fallback", "pass") and entry.matches(f"{OWING}{op}/..."):      # whatever the variant
                return entry.outcome == "fallback"
            if entry.outcome == "fallback" and fits(entry.cases.rpartition("/")[0], f"{OWING}{op}"):
                return True
        return False

    def stale(self, case_ids: Sequence[str]) -> list[tuple[Entry, str]]:
        """The entries that decide about none of these cases (all of the device's), each with a sentence why.

        One that is hidden by entries of another table is not stale: other devices may need it.
        """
        deciding: set[Entry] = set()
        for table in {entry.table for entry in self.entries}:
            entries = [entry for entry in reversed(self.entries) if entry.table == table]
            deciding.update(next((entry for entry in entries if entry.matches(each)), MUST_PASS) for each in case_ids)
        return [(entry, self._why_stale(entry, case_ids)) for entry in self.entries if entry not in deciding]

    def _why_stale(self, entry: Entry, case_ids: Sequence[str]) -> str:
        hidden = sum(entry.matches(case_id) for case_id in case_ids)
        if hidden:
            return (f"{entry.place} of {self.path} is stale: later entries decide about all {hidden} cases that "
                    f"{entry.cases!r} matches\ndelete it or move it down")
        return (f"{entry.place} of {self.path} is stale: {entry.cases!r} matches no case of this device\n"
                "correct the pattern or delete the entry")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an outcome means under the expectations: a category of the report, and why where it is a failure."""

    category: str      # "native", "decomposed", "core", "fallback", "xfail", "skip", "fail" or "error"
    message: str = ""


def judge(case_id: str, outcome: Outcome, book: Book) -> Verdict:
    """What the outcome of a case that ran means."""
    entry = book.expected(case_id)
    plain = verdict_without_xfail(case_id, outcome, book)
    if entry.outcome != "xfail":
        return plain
    if plain.category in ("fail", "error"):
        return Verdict("xfail", plain.message)
    return Verdict("fail", f"it passed, but {entry.place} of {book.path} ({entry.cases!r}) expects it to fail: "
                           f"{entry.reason}\ndelete or narrow the entry, or run again with --update-expectations")


def verdict_without_xfail(case_id: str, outcome: Outcome, book: Book) -> Verdict:
    """What the outcome means for a case that has to pass; where operators may run is declared in the file."""
    if outcome.status != "pass":
        return Verdict("error" if outcome.status == "error" else "fail", outcome.message)
    entry = book.expected(case_id)
    undeclared = [op for op in outcome.fallbacks if not book.declared(op)]
    if case_id.startswith(OWING) and outcome.way == "fallback" and entry.outcome == "pass":
        undeclared = undeclared or [case_id.split("/")[1]]
    if undeclared:
        return Verdict("fail", f"{', '.join(undeclared)} ran on the host\nwrite the kernel, or declare it: "
                               f'cases = "{OWING}{undeclared[0]}/*", outcome = "fallback"')
    if entry.outcome == "fallback" and outcome.way in ("native", "decomposed"):
        return Verdict("fail", f"it ran on the device ({outcome.way}), but {entry.place} of {book.path} "
                               f"({entry.cases!r}) declares that it runs on the host\ndelete or narrow the entry, "
                               "or run again with --update-expectations")
    return Verdict(outcome.way)


def verdict_for_update(case_id: str, outcome: Outcome, book: Book) -> Verdict:
    """What the outcome means in a run that writes the expectations: nothing is unexpected."""
    if outcome.status != "pass":
        return Verdict("xfail", outcome.message)
    return Verdict(outcome.way)


def beside(backend: Backend) -> Path:
    """Where the expectations of a backend are: in the folder of the module that defines its class."""
    return Path(inspect.getfile(type(backend))).resolve().parent / FILE_NAME


def is_shared(backend: Backend) -> bool:
    """Whether other device strings are offered by the same package, so that they have the same file."""
    from flambeau import discovery

    modules = [each.__module__ if isinstance(each, type) else str(each.value) for each in discovery._offers().values()]
    package = type(backend).__module__.partition(".")[0]
    return sum(module.partition(":")[0].partition(".")[0] == package for module in modules) > 1


def load(path: Path, device: str, *, must_exist: bool = False) -> Book:
    """Read what a file says about a device; without a file everything must pass. ExpectationError if it is wrong."""
    if not path.is_file():
        if must_exist:
            raise ExpectationError(f"{path}: there is no such file; correct the name, or write it with "
                                   "--update-expectations")
        return Book(path=path)
    return parse(path.read_text(encoding="utf-8"), device, path)


def parse(text: str, device: str, path: Path) -> Book:
    """What the text of such a file says about a device."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExpectationError(f"{path}: not TOML: {error}; correct it there") from error
    tables = document.pop("device", {})
    if not isinstance(tables, dict):
        raise ExpectationError(f"{path}: 'device' is {tables!r}; write a table [device.NAME] for each device string")
    entries, tolerances = _section(document, "", path)
    for name in dict.fromkeys((device.partition(":")[0], device)):
        if name in tables:
            more, closer = _section(tables[name], name, path)
            entries, tolerances = (*entries, *more), {**tolerances, **closer}
    return Book(entries, tolerances, path, bool(tables))


def _section(table: Any, name: str, path: Path) -> tuple[tuple[Entry, ...], dict[str, Any]]:
    """The entries and tolerances of the top level or of the table of a device."""
    prefix = f"device.{name}." if name else ""
    known = {"expect", "tolerances"} | (set() if name else {"device"})
    unknown = sorted(set(table) - known)
    if unknown:
        raise ExpectationError(f"{path}: unknown key {prefix}{unknown[0]}; allowed: {', '.join(sorted(known))}")
    rows = table.get("expect", [])
    if not isinstance(rows, list):
        raise ExpectationError(f"{path}: {prefix}expect must be a list of tables; begin each with [[{prefix}expect]]")
    entries = tuple(_entry(row, f"{prefix}expect[{number}]", name, path) for number, row in enumerate(rows, 1))
    return entries, _tolerances(table.get("tolerances", {}), prefix, path)


def _entry(row: Any, place: str, table: str, path: Path) -> Entry:
    if not isinstance(row, dict):
        raise ExpectationError(f"{path}: {place} is {row!r}; write a table with the keys cases, outcome and reason")
    unknown = sorted(set(row) - {"cases", "outcome", "reason"})
    if unknown:
        raise ExpectationError(f"{path}: {place}: unknown key {unknown[0]!r}; allowed: cases, outcome, reason")
    cases, outcome, reason = (row.get(key, "") for key in ("cases", "outcome", "reason"))
    where = f"{path}: {place} ({cases!r})"
    if not isinstance(cases, str) or (cases.count("/") < 2 and "*" not in cases):
        raise ExpectationError(f"{where}: cases must be a pattern of ids like 'operators/erfinv/*'; "
                               "`flambeau conformance --list` prints the ids")
    if outcome not in OUTCOMES:
        raise ExpectationError(f"{where}: outcome is {outcome!r}; write one of {', '.join(OUTCOMES)}")
    if not isinstance(reason, str) or (outcome in NEED_REASON and not reason.strip()):
        raise ExpectationError(f"{where}: {outcome} needs a reason; say in a sentence why it cannot pass")
    if outcome == "fallback" and not (cases.startswith(OWING) and cases.count("/") == 2):
        raise ExpectationError(f"{where}: fallback is declared for an operator and holds at all levels; "
                               f"write cases = \"{OWING}NAME/*\"")
    return Entry(cases, outcome, reason.strip(), place, table)


def _tolerances(table: Any, prefix: str, path: Path) -> dict[str, dict[str, float]]:
    if not isinstance(table, dict):
        raise ExpectationError(f"{path}: {prefix}tolerances must be a table; begin it with [{prefix}tolerances]")
    for name, row in table.items():
        complete = isinstance(row, dict) and set(row) == {"rtol", "atol"}
        if name.count(":") != 1 or not complete or not _numbers(row.values()):
            raise ExpectationError(f"{path}: {prefix}tolerances: {name!r} = {row!r} is no tolerance; write for example "
                                   '"contraction:float32" = { rtol = 1e-3, atol = 1e-4 }')
    return table


def _numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 for value in values)
