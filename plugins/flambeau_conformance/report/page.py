"""The page of a report: one file of HTML that asks for nothing else.

The head and the counts are written here, so that they are there on paper and without JavaScript; the matrix is made in
the browser from the report's data, which lies in the page as one block of JSON. All text goes through `escape`, or
into that block, or through the browser's own `textContent`: a kernel's error message is never read as HTML.
"""

from __future__ import annotations

import html
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from flambeau.errors import ArgumentValueError, message
from flambeau_conformance.case import LEVELS
from flambeau_conformance.report.record import (
    CODES,
    STATUSES,
    Report,
    code,
    differences,
    make,
    read,
    write_text,
)

_COLUMNS = ("op", "level", "variant", "dtype", "status", "way", "seconds", "message", "oracle", "samples", "reason",
            "fallbacks", "outcome", "reproduce")
_PLAIN = ("seconds", "samples", "fallbacks", "message", "reproduce")   # given as they are, not by number
_SHOWN = 200       # entries of a list of changes that the page holds


def write_html(path: str | Path, report: Report | str | Path, previous: Report | str | Path | None = None) -> None:
    """Write the page of a whole report; with `previous`, another whole report, it says what has changed.

    Either may be given as data or as the path of its JSON.
    """
    report = _whole(report)
    previous = None if previous is None else _whole(previous)
    changes = None if previous is None else differences(previous, report)
    folder = files("flambeau_conformance.report")
    page = folder.joinpath("page.html").read_text(encoding="utf-8")
    parts = {
        "style": folder.joinpath("page.css").read_text(encoding="utf-8"),
        "script": folder.joinpath("page.js").read_text(encoding="utf-8"),
        "title": escape(_title(report)),
        "facts": _facts(report["environment"]),
        "counts": _counts(report["summary"], report["environment"].get("simulated", "")),
        "levels": _bars(report["summary"]["levels"]),
        "legend": _legend(),
        "changes": _changes(changes, previous),
        "data": block(_data(report)),
    }
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    write_text(path, page)


def _whole(report: Report | str | Path) -> Report:
    if not isinstance(report, dict):
        report = read(report)
    if "results" not in report:
        raise ArgumentValueError(message("report", "a compact report has no cases to show",
                                         next_step="give the report that it was made from"))
    return report if "summary" in report else make(report["results"], report["environment"])


def escape(value: Any) -> str:
    """Text for the body or an attribute of the page."""
    return html.escape(str(value), quote=True)


def block(data: Any) -> str:
    """JSON that may stand in a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.translate({ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"})


def _title(report: Report) -> str:
    return f"Conformance of {report['environment'].get('device', 'a device')}"


def _facts(environment: dict[str, Any]) -> str:
    named = {
        "Device": " ".join(str(environment.get(name) or "") for name in ("device", "device_name")),
        "Driver": environment.get("driver"),
        "Backend": " ".join(str(environment.get(name) or "") for name in ("backend", "backend_version")),
        "Flambeau": environment.get("flambeau"),
        "Python, NumPy, PyTorch": ", ".join(str(environment.get(name) or "none")
                                            for name in ("python", "numpy", "torch")),
        "Platform": environment.get("platform"),
        "Date": environment.get("date"),
        "Seed": environment.get("seed"),
    }
    rows = [f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
            for name, value in named.items() if value not in (None, "")]
    return f"<dl class=facts>{''.join(rows)}</dl>"


def _counts(summary: dict[str, Any], simulated: str) -> str:
    bad = summary["status"]["fail"] + summary["status"]["error"]
    verdict = f"{bad} of {summary['cases']} cases fail" if bad else f"{summary['cases']} cases, none fails"
    verdict += f"; {escape(simulated)}" if simulated else ""
    ways = ", ".join(f"{count} {escape(way)}" for way, count in summary["way"].items() if count)
    rest = ", ".join(f"{count} {escape(status)}" for status, count in summary["status"].items() if count)
    colour = "bad" if bad else "" if simulated else "good"
    return (f"<p class='verdict {colour}'>{verdict}</p><p>{rest}. Passed: {ways or 'none'}. "
            f"{summary['seconds']:.1f} s.</p>")


def _bars(levels: dict[str, dict[str, int]]) -> str:
    """A bar for each level: how many cases of each status, in colour and in words."""
    rows = []
    for level, counts in levels.items():
        total = sum(counts.values()) or 1
        parts = [f"<span class='s-{status}' style='width:{100 * counts[status] / total:.3f}%' "
                 f"title='{counts[status]} {status}'></span>" for status in STATUSES if counts.get(status)]
        words = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts.get(status))
        rows.append(f"<tr><th scope=row>{escape(level)}</th><td><div class=bar>{''.join(parts)}</div></td>"
                    f"<td class=words>{escape(words)}</td></tr>")
    return f"<table class=levels><tbody>{''.join(rows)}</tbody></table>"


def _legend() -> str:
    return "".join(f"<span class=item><i class='c c-{letter}'>{letter}</i> {escape(words)}</span>"
                   for letter, words in CODES.items())


_CHANGES = {"failures": "New failures", "fixed": "Fixed", "appeared": "Appeared", "gone": "Gone",
            "changed": "Changed in another way", "slower": "Slower", "faster": "Faster"}


def _changes(changes: dict[str, list[dict[str, Any]]] | None, previous: Report | None) -> str:
    if changes is None or previous is None:
        return ""
    parts = []
    for kind, name in _CHANGES.items():
        entries = changes[kind]
        rows = "".join(f"<tr><td><code>{escape(each['id'])}</code></td><td>{_was(each['old'])}</td>"
                       f"<td>{_was(each['new'])}</td></tr>" for each in entries[:_SHOWN])
        more = f"<p>and {len(entries) - _SHOWN} more</p>" if len(entries) > _SHOWN else ""
        body = f"<div class=wide><table><tr><th>case<th>before<th>now</tr>{rows}</table></div>{more}" if entries else ""
        shown = " open" if entries and kind == "failures" else ""
        parts.append(f"<details{shown}><summary>{name}: {len(entries)}</summary>{body}</details>")
    date = escape(previous["environment"].get("date", "an earlier run"))
    return f"<section id=changes><h2>What changed since {date}</h2>{''.join(parts)}</section>"


def _was(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f} s" if isinstance(value, float) else escape(value)


def _data(report: Report) -> dict[str, Any]:
    """What the script needs: each result as a row, with the strings that repeat given by number."""
    words: dict[str, int] = {}

    def number(text: Any) -> int:
        return words.setdefault(str(text or ""), len(words))

    rows = []
    for result in report["results"]:
        row = [result.get(name, "") if name in _PLAIN else number(result.get(name)) for name in _COLUMNS]
        rows.append([*row, code(result)])
    levels = [each for each in LEVELS if each in report["summary"]["levels"]]
    levels += [each for each in report["summary"]["levels"] if each not in levels]
    environment = report["environment"]
    return {"columns": [*_COLUMNS, "code"], "words": list(words), "rows": rows, "levels": levels, "codes": CODES,
            "device": environment.get("device", ""), "seed": environment.get("seed", 0)}
