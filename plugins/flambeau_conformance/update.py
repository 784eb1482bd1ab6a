"""`--update-expectations`: the file of expectations as this run would have it, with everything else in it untouched.

The text is edited, not written anew: comments, tolerances, other devices' tables and the entries that are still true
stay as their author wrote them. What is new comes last, where it decides. The result is read back before it replaces
the file; a file that is written in a way that this cannot edit is left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from flambeau_conformance.expectations import OWING, Book, Entry, ExpectationError, parse
from flambeau_conformance.results import Result

HEADER = """\
# What this backend's author expects of the conformance suite; without an entry a case must pass.
# `flambeau conformance --device {device} --update-expectations` rewrites it and keeps what is still true.
"""
DIED = ("crash", "hang")
LONGEST_REASON = 200
HEADING = re.compile(r"""\s*\[\[\s*(?:device\s*\.\s*("[^"]*"|'[^']*'|[\w-]+)\s*\.\s*)?expect\s*\]\]""")


def update(book: Book, device: str, ids: Sequence[str], found: Iterable[Result]) -> list[str]:
    """Rewrite the file of a book so that it expects what a run found; lines that say what changed.

    `ids` are all cases of the device; what the run left out stays as it is expected. ExpectationError for a file that
    cannot be edited.
    """
    path = book.path
    assert path is not None
    found = list(found)
    table = own_table(book, device)
    desired = _desired(book, ids, found)
    kept = _kept(book, table, ids, desired)
    added = _added(replace(book, entries=kept), table, ids, desired)
    removed = [entry for entry in book.entries if entry not in kept]
    lines = [f"not written: {each.id}, where the process died; mend the driver, or write outcome = \"skip\" with the "
             "reason" for each in found if each.status in DIED]
    if not (removed or added):
        return [f"expectations: {path} needs no change", *lines]
    old = path.read_text(encoding="utf-8") if path.is_file() else HEADER.format(device=device)
    text = _edited(old, table, removed, added)
    _check(text, device, path, [*kept, *added])
    from flambeau_conformance.report.record import write_text

    write_text(path, text)
    return [f"expectations: {path}, {len(added)} added, {len(removed)} removed",
            *(f"  - {each.cases} ({each.outcome})" for each in removed),
            *(f"  + {each.cases} ({each.outcome}){': ' if each.reason else ''}{each.reason}" for each in added), *lines]


def own_table(book: Book, device: str) -> str:
    """The table that a run may change: the device's own where several devices share the file, else the top level."""
    if not book.shared:
        return ""
    tables = [entry.table for entry in book.entries if entry.table]
    return tables[-1] if tables else device.partition(":")[0]


def _desired(book: Book, ids: Sequence[str], found: Sequence[Result]) -> dict[str, tuple[str, str]]:
    """(outcome, reason) of each case of the device, as this run would have it."""
    entries = {case_id: book.expected(case_id) for case_id in ids}
    desired = {case_id: (entry.outcome, entry.reason) for case_id, entry in entries.items()}
    hosted: set[str] = set()
    for each in found:
        if each.id not in desired or each.status in (*DIED, "skip"):
            continue
        if each.status != "pass":
            known = desired[each.id][1] if desired[each.id][0] == "xfail" else ""
            desired[each.id] = "xfail", known or _reason(each.message)
        elif each.way == "fallback" and each.id.startswith(OWING):
            desired[each.id] = "fallback", entries[each.id].reason
        else:
            desired[each.id] = "pass", entries[each.id].reason if entries[each.id].outcome == "pass" else ""
            hosted.update(each.fallbacks)
    ran = {each.op for each in found if each.id.startswith(OWING)}
    for case_id in ids:
        if case_id.startswith(OWING) and desired[case_id][0] == "pass" and case_id.split("/")[1] in hosted - ran:
            desired[case_id] = "fallback", ""
    return desired


def _reason(message: str) -> str:
    line = " ".join(message.strip().partition("\n")[0].split())
    line = re.sub(r" \([^()]+\.py:\d+: .*\)$", "", line) or "it fails without saying why"      # where it was raised
    return line if len(line) <= LONGEST_REASON else line[:LONGEST_REASON - 3] + "..."


def _kept(book: Book, table: str, ids: Sequence[str], desired: dict[str, tuple[str, str]]) -> tuple[Entry, ...]:
    """The entries that stay: others' tables, and of ours those that decide about something and are right about all."""
    kept = book.entries
    while True:
        now = replace(book, entries=kept)
        wrong = {entry for case_id in ids if (entry := now.expected(case_id)).outcome != desired[case_id][0]}
        left = tuple(entry for entry in kept if entry.table != table or entry not in wrong)
        if left == kept:
            break
        kept = left
    stale = {entry for entry, _ in replace(book, entries=kept).stale(ids) if entry.table == table}
    return tuple(entry for entry in kept if entry not in stale)


def _added(book: Book, table: str, ids: Sequence[str], desired: dict[str, tuple[str, str]]) -> list[Entry]:
    """Entries for the cases about which the book is wrong, one for an operator where all its variants agree."""
    groups: dict[str, list[str]] = {}
    for case_id in ids:
        groups.setdefault(case_id.rpartition("/")[0], []).append(case_id)
    added = []
    for name, members in groups.items():
        wrong = [case_id for case_id in members if book.expected(case_id).outcome != desired[case_id][0]]
        if len(wrong) == len(members) > 1 and len({desired[case_id][0] for case_id in wrong}) == 1:
            outcome, reason = desired[wrong[0]]
            added.append(Entry(f"{literal(name)}/*", outcome, reason, table=table))
        else:
            added += [Entry(literal(case_id), *desired[case_id], table=table) for case_id in wrong]
    return added


def literal(text: str) -> str:
    """A pattern that matches just this text.

    >>> literal("nn/Linear/float32[1]")
    'nn/Linear/float32[[]1]'
    """
    return re.sub(r"[*?\[]", r"[\g<0>]", text)


# ---------------------------------------------------------------------------------------------- text
def _edited(text: str, table: str, removed: Sequence[Entry], added: Sequence[Entry]) -> str:
    """The text without some entries of a table, and with others after its last."""
    lines = text.splitlines()
    blocks = _blocks(lines, table)
    gone: set[int] = set()
    for entry in removed:
        number = int(entry.place.rpartition("[")[2].rstrip("]"))
        if number > len(blocks):
            raise ExpectationError(f"{entry.place} ({entry.cases!r}) cannot be edited; begin each entry with a line "
                                   f"{_heading(table)}, and run again")
        gone.update(blocks[number - 1])
    end = blocks[-1].stop if blocks else len(lines)
    before = [line for at, line in enumerate(lines[:end]) if at not in gone]
    after = [line for at, line in enumerate(lines[end:], end) if at not in gone]
    while before and not before[-1].strip():
        before.pop()
    new = [line for entry in added for line in ("", *_written(entry))]
    return "\n".join([*before, *new, *([""] if after and after[0].strip() else []), *after]).rstrip("\n") + "\n"


def _blocks(lines: Sequence[str], table: str) -> list[range]:
    """The lines of each entry of a table: with the comment right above it, and the empty lines below."""
    tables = [at for at, line in enumerate(lines) if re.match(r"\s*\[", line)] + [len(lines)]
    blocks = []
    for at, following in pairwise(tables):
        found = HEADING.match(lines[at])
        if found is None or (found[1] or "").strip("\"'") != table:
            continue
        start, end = at, following
        while start and lines[start - 1].lstrip().startswith("#"):
            start -= 1
        while lines[end - 1].lstrip().startswith("#") or not lines[end - 1].strip():
            end -= 1
        while end < len(lines) and not lines[end].strip():
            end += 1
        blocks.append(range(start, end))
    return blocks


def _heading(table: str) -> str:
    if not table:
        return "[[expect]]"
    return f"[[device.{table if re.fullmatch(r'[A-Za-z0-9_-]+', table) else json.dumps(table)}.expect]]"


def _written(entry: Entry) -> list[str]:
    lines = [_heading(entry.table), f"cases = {_quoted(entry.cases)}", f"outcome = {_quoted(entry.outcome)}"]
    return [*lines, f"reason = {_quoted(entry.reason)}"] if entry.reason else lines


def _quoted(text: str) -> str:
    """A basic string of TOML, which is JSON's but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _check(text: str, device: str, path: Path, meant: Sequence[Entry]) -> None:
    """The edited text must say what was meant."""
    try:
        says = _by_table(parse(text, device, path).entries)
    except ExpectationError:
        says = {}
    if says != _by_table(meant):
        raise ExpectationError(f"{path} cannot be edited as it is written; begin each entry with a line [[expect]] or "
                               "[[device.NAME.expect]], its three keys below, and run again")


def _by_table(entries: Iterable[Entry]) -> dict[str, list[tuple[str, str, str]]]:
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for each in entries:
        rows.setdefault(each.table, []).append((each.cases, each.outcome, each.reason))
    return rows
