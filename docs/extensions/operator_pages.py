"""A Sphinx extension: the operator reference and the support matrix, written from the table of operators.

Nothing about an operator stands on a page by hand. When a build begins, pages are written to `docs/_generated`, which
is not kept: one for each module of operators, one with the matrix, one with what a new backend owes. What the records
say, which kernels the backends that are installed here have, and what the conformance suite found on devices (the
reports in `docs/reports`, written elsewhere and kept), is what the pages say.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flambeau import discovery
from flambeau.backend import Backend
from flambeau.registry import ALIASES, OPERATORS, OpDef, primitives
from flambeau.tensor import Tensor
from flambeau_conformance.report import Report, read

FOLDER = "_generated"
HERE = "flambeau"
REPORTS = Path(__file__).parent.parent / "reports"

WAYS = ("native", "decomposed", "strides", "fallback", "missing")  # how an operator may run on a device

Page = list[str]


# ---------------------------------------------------------------------------------------------- what records say
def faces(record: OpDef) -> list[str]:
    """The dotted names under which people reach an operator, functions before the method; empty for internal ones."""
    if record.internal:
        return []
    found = []
    for namespace in record.namespace.replace("Tensor", "").split():
        place = "" if namespace == "torch" else namespace + "."
        name = record.name.removeprefix(place.replace(".", "_"))
        if _has(f"{HERE}.{place}{name}"):
            found.append(f"{HERE}.{place}{name}")
    if record.method and getattr(Tensor, record.name, None) is not None:
        found.append(f"{HERE}.Tensor.{record.name}")
    return found


def _has(path: str) -> bool:
    package, _, name = path.rpartition(".")
    return getattr(importlib.import_module(package), name, None) is not None


def other_names(record: OpDef) -> list[str]:
    """The second names of an operator, and its in-place form."""
    names = [f"{HERE}.{alias}" for alias, target in ALIASES.items() if target is record]
    if record.inplace_call is not None and hasattr(Tensor, record.name + "_"):
        names.append(f"{HERE}.Tensor.{record.name}_")
    return names


def signature(record: OpDef) -> str:
    """The signature that people see, without annotations, and with `out` where the call takes it."""
    shown = inspect.signature(record.public)
    parameters = [each.replace(annotation=each.empty) for each in shown.parameters.values()]
    code = record.public.__code__
    if "out" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] and "out" not in shown.parameters:
        out = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)
        keywords = bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
        parameters.insert(len(parameters) - keywords, out)
    return str(inspect.Signature(parameters))


def runs_as(record: OpDef) -> str:
    """What stands behind an operator on a device that has no kernel for it."""
    if record.family in ("view", "views"):
        return "a rule on strides"
    if record.family == "composite":
        return "a function of other operators"
    return "a primitive" if record.decomposition is None else "a decomposition"


def support(record: OpDef, backend: Backend) -> str:
    """How an operator runs on a device: the same order in which the dispatcher looks."""
    if record.family == "composite":
        return "decomposed"
    if record.name in backend.kernels:
        return "native"
    if record.family in ("view", "views"):
        return "strides"
    if record.decomposition is not None:
        return "decomposed"
    return "missing" if record.no_fallback or backend.capabilities.host else "fallback"


def gradient(record: OpDef) -> str:
    """What a record declares about its gradient."""
    if record.vjps == "none":
        return "none, declared"
    if isinstance(record.vjps, tuple):
        return "of " + ", ".join(f"``{record.parameters[position]}``" for position in record.differentiable)
    return "through its body" if record.decomposition is not None else "none"


def backends() -> dict[str, Backend]:
    """The backends that can be loaded here, by device string, without the variants of one that is there itself."""
    found = {row["name"]: discovery.backend_for(row["name"]) for row in discovery.report() if not row["reason"]}
    return {name: each for name, each in found.items() if not any(_is_variant(each, other) for other in found.values())}


def _is_variant(backend: Backend, other: Backend) -> bool:
    """Whether a backend is another one of its package with other capabilities, such as a fake device for tests."""
    mine, theirs = type(backend), type(other)
    same = mine.__module__.partition(".")[0] == theirs.__module__.partition(".")[0]
    return same and mine is not theirs and issubclass(mine, theirs)


# ---------------------------------------------------------------------------------------------- pages
def title(text: str, line: str = "=") -> Page:
    return [text, line * len(text), ""]


def indented(text: str) -> Page:
    return ["   " + line if line else "" for line in text.splitlines()]


def plain(text: str) -> str:
    """A docstring as reStructuredText: outside code, stars and underscores mean themselves."""
    lines = []
    for line in inspect.cleandoc(text).splitlines():
        if not line.startswith((" ", ">>>", "...")):
            parts = line.split("`")
            parts[::2] = [re.sub(r"\*|(?<=\w)_(?=\W|$)", r"\\\g<0>", part) for part in parts[::2]]
            line = "`".join(parts)
        lines.append(line)
    return "\n".join(lines)


def entry(record: OpDef, installed: dict[str, Backend]) -> Page:
    """One operator of a reference page."""
    first, *more = faces(record)
    kind = "method" if ".Tensor." in first else "function"
    also = [f"``{name}``" for name in (*more, *other_names(record))]
    native = [name for name, backend in installed.items() if record.name in backend.kernels]
    fields = {
        "Also": ", ".join(also),
        "Family": f"{record.family}, {runs_as(record)}",
        "Gradient": gradient(record),
        "Kernels": "" if record.family == "composite" else ", ".join(native) or "none",
    }
    lines = [f".. py:{kind}:: {first}{signature(record)}", ""]
    lines += indented(plain(record.doc))
    lines += ["", *(f"   :{name}: {value}" for name, value in fields.items() if value), ""]
    return lines


def reference_pages(installed: dict[str, Backend]) -> Iterator[tuple[str, Page]]:
    """A page for each module that has public operators: its name, its lines."""
    modules: dict[str, list[OpDef]] = {}
    for record in OPERATORS.values():
        if faces(record):
            modules.setdefault(record.module, []).append(record)
    for module, records in sorted(modules.items()):
        short = module.rpartition(".")[2]
        lines = title(short.strip("_").replace("_", " ").capitalize())
        for record in sorted(records, key=lambda each: each.name):
            lines += entry(record, installed)
        yield short.strip("_"), lines


def reference_index(names: Sequence[str]) -> Page:
    return [
        *title("Operators"),
        "Every public operator, by the module that its record stands in; :doc:`support` shows what runs where. These",
        "pages were written from the records when the documentation was built.",
        "",
        ".. toctree::",
        "   :maxdepth: 1",
        "",
        *(f"   operators-{name}" for name in names),
        "",
    ]


def support_page(installed: dict[str, Backend], reports: dict[str, Report]) -> Page:
    """The matrix: one row for each record, one column for each device, and one for each report of the suite.

    A GPU's backend has a column of the suite, report or not: without one it says that no GPU has run it.
    """
    records = sorted((each for each in OPERATORS.values() if each.family != "composite"), key=lambda each: each.name)
    unproved = without_gpu(installed, reports)
    absent = [name for name, backend in installed.items() if not backend.device_count()]
    installed = {name: backend for name, backend in installed.items() if name not in absent}
    lines = [*title("Support matrix"), *SUPPORT_TEXT.splitlines(), ""]
    lines += [".. list-table::", "   :header-rows: 1", ""]
    lines += _row("device", *WAYS)
    for name, backend in installed.items():
        how = [support(record, backend) for record in records]
        lines += _row(
            name, *(str(how.count(each)) for each in ("native", "decomposed", "strides", "fallback", "missing"))
        )
    if absent:
        lines += ["", f"Without a device here: {', '.join(f'``{name}``' for name in absent)}."]
    lines += ["", *reports_section([*installed, *absent], reports, unproved), *title("Operators", "-")]
    lines += [".. list-table::", "   :header-rows: 1", ""]
    suite = [each if each in absent else f"suite on {each}" for each in unproved]
    suite += [f"suite on {device}" for device in reports]
    lines += _row("operator", "family", "without a kernel", "gradient", *installed, *suite)
    for record in records:
        how = [support(record, backend) for backend in installed.values()]
        seen = [NOT_RUN for _ in unproved] + [found(report, record.name) for report in reports.values()]
        lines += _row(f"``{record.name}``", record.family, runs_as(record), gradient(record), *how, *seen)
    return [*lines, "", *others_section({each.name for each in records}, reports)]


# ---------------------------------------------------------------------------------------------- what the suite found
def newest_reports(folder: Path = REPORTS) -> dict[str, Report]:
    """The compact reports that are kept, by device string; of several of one device the newest.

    Those of simulated devices say nothing of hardware and are passed over. ValueError for a file there that is no
    report: it would silently be missing otherwise.
    """
    newest: dict[str, Report] = {}
    for path in sorted(folder.glob("*.json")):
        report = read(path)
        if not report.get("compact"):
            raise ValueError(f"{path} is a whole report; `python -m flambeau_conformance.report` makes a compact one")
        device = report["environment"]["device"]
        if report["environment"].get("simulated"):
            continue
        if device not in newest or newest[device]["environment"]["date"] <= report["environment"]["date"]:
            newest[device] = report
    return dict(sorted(newest.items()))


NOT_RUN = "not run on a GPU"


def ran_on_gpu(report: Report) -> bool:
    """Whether a report is one of a GPU, which the device says of itself."""
    return (report["environment"].get("extra") or {}).get("type") == "gpu"


def without_gpu(installed: dict[str, Backend], reports: dict[str, Report]) -> list[str]:
    """The backends of accelerators of which no report of a GPU is kept."""
    proved = {device.partition(":")[0] for device, report in reports.items() if ran_on_gpu(report)}
    each = {name: backend.capabilities for name, backend in installed.items() if name not in proved}
    return [name for name, said in each.items() if said.accelerator and not said.host and not said.simulated]


FOUND = {"N": "kernel", "D": "decomposed", "C": "no kernel ran", "F": "on the host", "x": "expected to fail",
         "s": "skipped", "X": "fails", "E": "fails"}  # fmt: skip
FIRST = ("operators", "primitives", "views")  # the levels whose way is the operator's own


def found(report: Report, op: str) -> str:
    """What a report says of an operator: how it ran, then the dtypes for which it was otherwise."""
    by_word: dict[str, list[str]] = {}
    for place, dtype in enumerate(report["dtypes"]):
        letters = {level: codes[place] for level, codes in report["operators"].get(op, {}).items()}
        own = [letters[level] for level in FIRST if letters.get(level, ".") in "NDCF"]
        others = [letter for letter in letters.values() if letter != "."]
        bad = [letter for wanted in ("EX", "x") for letter in others if letter in wanted]
        if others:
            by_word.setdefault(FOUND[(bad or own or others)[0]], []).append(dtype)
    if not by_word:
        return "not run"
    most, *rest = sorted(by_word, key=lambda word: -len(by_word[word]))
    return "; ".join([most, *(word if by_word[word] == ["-"] else f"{word}: {', '.join(by_word[word])}"
                              for word in rest)])


def reports_section(names: Sequence[str], reports: dict[str, Report], unproved: Sequence[str]) -> Page:
    """Which devices the suite was run on: when, with what, and how many cases of each outcome."""
    lines = [*title("What the conformance suite found", "-"), *REPORTS_TEXT.splitlines(), ""]
    if reports:
        lines += [".. list-table::", "   :header-rows: 1", ""]
        lines += _row("device", "hardware and driver", "date", "flambeau", "run", "cases", "kernel", "decomposed",
                      "no kernel ran", "on the host", "expected to fail", "skipped", "fail")  # fmt: skip
    for device, report in reports.items():
        about, status, way = report["environment"], report["summary"]["status"], report["summary"]["way"]
        hardware = ", ".join(plain(str(about[each])) for each in ("device_name", "driver") if about.get(each))
        run = "quick" if about.get("quick") else ", ".join(about.get("levels") or ()) or "whole"
        counts = [report["summary"]["cases"], way["native"], way["decomposed"], way["core"], way["fallback"],
                  status["xfail"], status["skip"], status["fail"] + status["error"]]  # fmt: skip
        lines += _row(f"``{device}``", hardware, about["date"][:10], about["flambeau"], run, *map(str, counts))
    run_on = {device.partition(":")[0] for device in reports}
    missing = [name for name in names if name not in run_on and name not in unproved]
    for words, which in (("Not run", missing), ("Not run on a GPU", unproved)):
        if which:
            listed = ", ".join(f"``{each}``" for each in which)
            lines += ["", f"{words}, as far as the reports kept here say: {listed}."]
    if not any(map(ran_on_gpu, reports.values())):
        lines += ["", "No GPU has run the suite yet."]
    return [*lines, ""]


REPORTS_TEXT = """\
The tables above and below say what the backends declare. What the :doc:`conformance suite </conformance>` found on
a device is in the reports that are kept with these pages, the newest for each device; the matrix says in the columns
"suite on ..." how an operator ran there, and for which dtypes it was otherwise.
"""


def others_section(listed: set[str], reports: dict[str, Report]) -> Page:
    """Composites, layers and whatever else the suite ran and the matrix has no row for."""
    names = sorted({op for report in reports.values() for op in report["operators"]} - listed)
    if not names:
        return []
    lines = [*title("Composites, layers and the rest", "-"), ".. list-table::", "   :header-rows: 1", ""]
    lines += _row("what was run", *(f"suite on {device}" for device in reports))
    for name in names:
        lines += _row(f"`{name}`", *(found(report, name) for report in reports.values()))
    return [*lines, ""]


SUPPORT_TEXT = """\
How each operator runs on each device that was there when this page was built. Composites, which are plain functions of
the operators listed, run wherever those do and are left out.

native
   The backend has a kernel for it.
decomposed
   It runs as its decomposition into other operators.
strides
   A view: a rule on shape and strides, which needs no kernel.
fallback
   The host computes it, under the policy that ``flambeau.fallback`` sets.
missing
   It raises ``NotImplementedError``: a primitive without a kernel that never falls back, or one of the host's own.
"""


def primitives_page() -> Page:
    """What a new backend owes: the primitives, as their kernels are called."""
    names = primitives()
    lines = [*title("Primitives"), *PRIMITIVES_TEXT.format(count=len(names)).splitlines(), ""]
    for name in names:
        record = OPERATORS[name]
        lines += [f".. py:function:: kernels.{name}({', '.join(record.kernel_parameters)})", "   :no-index:", ""]
        summary = plain(record.function.__doc__ or "").partition("\n\n")[0]
        lines += [*indented(summary), ""]
        if len(record.outputs) > 1:
            lines += [f"   :Gives: {', '.join(f'``{each}``' for each in record.outputs)}", ""]
    return lines


PRIMITIVES_TEXT = """\
The {count} operators that are not expressed by others: what a backend owes to be complete, though most programs run
with few of them. They are shown as their kernels are called, with canonical arguments: arrays of the backend where the
operator takes tensors, plain values elsewhere.
"""


def _row(*cells: str) -> Page:
    first, *rest = cells
    return [f"   * - {first}", *(f"     - {cell}" for cell in rest)]


# ---------------------------------------------------------------------------------------------- Sphinx
def write_pages(folder: Path, reports: Path = REPORTS) -> None:
    """Write all pages, touching only those that changed, and remove what no record asks for any more."""
    installed = backends()
    pages = {f"operators-{name}": lines for name, lines in reference_pages(installed)}
    pages["operators"] = reference_index([name.removeprefix("operators-") for name in pages])
    pages["support"] = support_page(installed, newest_reports(reports))
    pages["primitives"] = primitives_page()
    folder.mkdir(exist_ok=True)
    for name, lines in pages.items():
        path = folder / f"{name}.rst"
        text = "\n".join(lines)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx: write the pages before it looks for its sources."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / FOLDER))
    return {"parallel_read_safe": True}
