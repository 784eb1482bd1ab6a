"""A report as data: reading, writing, shrinking and comparing it.

A report is a dictionary: the number of its `format`, the `environment`, a `summary` of counts, and `results`, one
dictionary per case. It is made from the results that a run gives (`make`), and everything else here works on it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flambeau.errors import ArgumentValueError, message
from flambeau_conformance.case import LEVELS

FORMAT = 1
STATUSES = ("pass", "xfail", "skip", "fail", "error")
WAYS = ("native", "decomposed", "fallback", "core")

# One letter for what became of the cases in one place of the matrix; of several, the one that stands last here.
CODES = {"s": "skipped", "N": "passed, by a kernel", "C": "passed, and no kernel ran",
         "D": "passed, by decomposition", "F": "passed, on the host", "x": "fails as expected", "X": "fails",
         "E": "stopped by an error"}
_SEVERITY = {code: number for number, code in enumerate(CODES)}
_PASSED = {"native": "N", "core": "C", "decomposed": "D", "fallback": "F"}
_OTHERS = {"skip": "s", "xfail": "x", "fail": "X", "error": "E"}

Result = Mapping[str, Any]
Report = dict[str, Any]

_FIELDS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "id": (str, ""), "level": (str, ""), "op": (str, ""), "variant": (str, ""), "dtype": (str, None),
    "status": (str, "error"), "way": (str, "core"), "seconds": (float, 0.0), "message": (str, ""),
    "oracle": (str, ""), "samples": (int, 0), "reason": (str, ""), "fallbacks": (list, ()),
}


_OPTIONAL = ("outcome", "expected", "reproduce")   # kept where they say something


# ---------------------------------------------------------------------------------------------- making
def make(results: Iterable[Result], environment: Mapping[str, Any]) -> Report:
    """A report of these results, in the order of levels, then by operator and variant.

    ValueError for a result whose status or way is not one of those there are.
    """
    rows = sorted((_row(each) for each in results), key=_order)
    return {"format": FORMAT, "environment": dict(environment), "summary": summary(rows), "results": rows}


def _row(result: Result) -> dict[str, Any]:
    result = _judged(result)
    row: dict[str, Any] = {}
    for name, (convert, default) in _FIELDS.items():
        value = result.get(name)
        row[name] = default if value is None else convert(value)
    row["dtype"] = row["dtype"].removeprefix("torch.") if row["dtype"] else None
    row.update({name: result[name] for name in _OPTIONAL if result.get(name)})
    row["seconds"] = round(row["seconds"], 6)
    row["fallbacks"] = list(row["fallbacks"])
    row["id"] = row["id"] or f"{row['level']}/{row['op']}/{row['variant']}"
    for name, allowed in (("status", STATUSES), ("way", WAYS)):
        if row[name] not in allowed:
            raise ArgumentValueError(message("report", f"unknown {name} of {row['id']}", given=repr(row[name]),
                                             allowed=", ".join(allowed)))
    return row


def _judged(result: Result) -> Result:
    """A result with the status that the expectations make of its outcome.

    What runs the cases may give both: `status`, the outcome itself ("crash" and "hang" are outcomes, too), and
    `category`, the verdict, which for what passed is the way.
    """
    category = result.get("category")
    if not category:
        return {**result, "way": result.get("way") or "core"}
    status = "pass" if category in WAYS else category
    outcome = result.get("status", status)
    return {**result, "status": status, "way": category if category in WAYS else result.get("way") or "core",
            "outcome": outcome if outcome != status else ""}


def _order(row: Result) -> tuple[int, str, str, str]:
    level = row["level"]
    place = LEVELS.index(level) if level in LEVELS else len(LEVELS)
    return place, level, row["op"], row["id"]


def summary(rows: Sequence[Result]) -> dict[str, Any]:
    """Counts: of all cases, by status, by way of those that passed, and by status in each level."""
    levels: dict[str, Counter[str]] = {}
    for row in rows:
        levels.setdefault(row["level"], Counter())[row["status"]] += 1
    statuses = Counter(row["status"] for row in rows)
    ways = Counter(row["way"] for row in rows if row["status"] == "pass")
    return {
        "cases": len(rows),
        "samples": sum(row["samples"] for row in rows),
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "status": {each: statuses[each] for each in STATUSES},
        "way": {each: ways[each] for each in WAYS},
        "levels": {level: {each: counts[each] for each in STATUSES} for level, counts in levels.items()},
    }


# ---------------------------------------------------------------------------------------------- files
def write_json(path: str | Path, results: Iterable[Result], environment: Mapping[str, Any]) -> Report:
    """Write a report and return it. The file is there as a whole or not at all."""
    report = make(results, environment)
    lines = ['{', f'"format": {FORMAT},', f'"environment": {_indented(report["environment"])},',
             f'"summary": {_indented(report["summary"])},', '"results": [']
    rows = [json.dumps(row, ensure_ascii=False) for row in report["results"]]
    write_text(path, "\n".join([*lines, ",\n".join(rows), "]", "}"]) + "\n")
    return report


def write_compact(path: str | Path, report: Report) -> None:
    """Write the compact form of a report: what a repository keeps, one line per operator."""
    small = report if report.get("compact") else compact(report)
    head = {name: value for name, value in small.items() if name != "operators"}
    lines = [f'{json.dumps(name)}: {_indented(value)},' for name, value in head.items()]
    rows = [f'{json.dumps(name)}: {json.dumps(levels)}' for name, levels in small["operators"].items()]
    write_text(path, "\n".join(["{", *lines, '"operators": {', ",\n".join(rows), "}", "}"]) + "\n")


def _indented(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


def write_text(path: str | Path, text: str) -> None:
    """Write a file through a temporary one beside it, which takes its place when all is written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # a temporary file is its owner's alone; a report is not
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: str | Path) -> Report:
    """Read a report, whole or compact. ValueError for a file that is none, or of a format that is not known."""
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArgumentValueError(message("report", f"{path} is not JSON: {error}")) from None
    if not isinstance(report, dict) or "environment" not in report or "summary" not in report:
        raise ArgumentValueError(message("report", f"{path} is no report of the suite",
                                         next_step="give a file that `flambeau conformance --json` wrote"))
    if report.get("format") != FORMAT:
        raise ArgumentValueError(message("report", f"{path} has a format that this version cannot read",
                                         given=repr(report.get("format")), allowed=str(FORMAT)))
    return report


# ---------------------------------------------------------------------------------------------- shrinking
def code(row: Result) -> str:
    """The letter for one result, see `CODES`."""
    return _PASSED[row["way"]] if row["status"] == "pass" else _OTHERS[row["status"]]


def worst(codes: Iterable[str]) -> str:
    """The letter that stands for several results; "." for none."""
    return max(codes, key=_SEVERITY.__getitem__, default=".")


def compact(report: Report) -> Report:
    """What a repository keeps of a report: a letter for each operator, level and dtype (see `CODES`).

    `operators` gives for each operator and level one letter per entry of `dtypes`, in which "-" stands for cases that
    belong to no dtype; "." where there was no case.
    """
    places: dict[str, dict[str, dict[str, list[str]]]] = {}
    for row in report["results"]:
        cell = places.setdefault(row["op"], {}).setdefault(row["level"], {})
        cell.setdefault(row["dtype"] or "-", []).append(code(row))
    dtypes = sorted({dtype for levels in places.values() for cell in levels.values() for dtype in cell})
    operators = {
        op: {level: "".join(worst(cell.get(dtype, ())) for dtype in dtypes) for level, cell in levels.items()}
        for op, levels in sorted(places.items())
    }
    return {"format": FORMAT, "compact": True, "environment": report["environment"], "summary": report["summary"],
            "codes": CODES, "dtypes": dtypes, "operators": operators}


# ---------------------------------------------------------------------------------------------- comparing
def differences(old: Report, new: Report, factor: float = 2.0, least: float = 0.02) -> dict[str, list[dict[str, Any]]]:
    """What changed between two whole reports, by kind; each entry has `id`, `old` and `new`.

    `failures` failed and did not before, `fixed` the other way round; `appeared` and `gone` are cases that only one
    of the two has; `changed` passed in another way, or is expected or skipped otherwise; `slower` and `faster` took
    `factor` times the time of before (or the part of it), where one of the two is `least` seconds or more.
    """
    before = {row["id"]: row for row in old["results"]}
    after = {row["id"]: row for row in new["results"]}
    found: dict[str, list[dict[str, Any]]] = {
        "failures": [], "fixed": [], "appeared": [], "gone": [], "changed": [], "slower": [], "faster": []}
    for name, row in after.items():
        if name not in before:
            found["appeared"].append({"id": name, "old": None, "new": _state(row)})
            continue
        past = before[name]
        change = {"id": name, "old": _state(past), "new": _state(row)}
        bad, was_bad = row["status"] in ("fail", "error"), past["status"] in ("fail", "error")
        if bad != was_bad:
            found["failures" if bad else "fixed"].append(change)
        elif change["old"] != change["new"]:
            found["changed"].append(change)
        times = past["seconds"], row["seconds"]
        if max(times) >= least and not max(times) < factor * min(times):
            kind = "slower" if times[1] > times[0] else "faster"
            found[kind].append({"id": name, "old": times[0], "new": times[1]})
    found["gone"] = [{"id": name, "old": _state(row), "new": None} for name, row in before.items() if name not in after]
    return found


def _state(row: Result) -> str:
    status = str(row["status"])
    return f"{status}, {row['way']}" if status == "pass" else status
