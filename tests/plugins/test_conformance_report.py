"""Reports of the conformance suite: the files, their comparison, and a page that is whole and harmless."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

import flambeau
import source_tree as tree
from flambeau import discovery
from flambeau_conformance import report
from flambeau_conformance.report.__main__ import main

NASTY = "</script><script>alert(1)</script><!-- <b>&amp; \u2028 'quoted' \""
ENVIRONMENT = {"device": "opencl:0", "device_name": "A <fast> device", "driver": "driver 1.2", "backend": "somebody's",
               "flambeau": "0.1.0", "date": "2026-11-20T12:00:00Z", "seed": 3}  # fmt: skip


def result(op="exp", level="operators", dtype="float32", status="pass", **more):
    variant = str(dtype or "all").removeprefix("torch.")
    return {"id": f"{level}/{op}/{variant}", "level": level, "op": op, "variant": variant, "dtype": dtype,
            "status": status, "way": "native", "seconds": 0.01, "message": "", "oracle": "PyTorch", "samples": 3,
            "reason": "", "fallbacks": (), **more}  # fmt: skip


RESULTS = [
    result("softmax", way="decomposed", seconds=0.5),
    result("exp", "gradients"),
    result("exp", dtype="float64", status="fail", message=NASTY),
    result("exp", dtype=flambeau.bfloat16, status="xfail", reason="rounds twice"),
    result("exp"),
    result("exp", "empty", status="skip", reason="no memory <0>"),
    result("sort", way="fallback", fallbacks=("sort",)),
    result("copy", "transfers", dtype=None, way="core", status="error"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


def test_a_report_is_the_same_whatever_the_order_of_the_results(path: Path, tmp_path: Path):
    report.write_json(path, RESULTS, ENVIRONMENT)
    report.write_json(tmp_path / "again.json", RESULTS[::-1], ENVIRONMENT)
    assert path.read_bytes() == (tmp_path / "again.json").read_bytes()
    found = report.read(path)
    assert found["format"] == report.FORMAT
    assert [each["id"] for each in found["results"]][:2] == ["operators/exp/bfloat16", "operators/exp/float32"]
    assert found["results"][0]["dtype"] == "bfloat16"
    lines = path.read_text().splitlines()
    assert sum(line.startswith('{"id"') for line in lines) == len(RESULTS), "a case is a line"
    assert list(tmp_path.glob(".*")) == [], "temporary files are gone"


def test_the_summary_counts(path: Path):
    summary = report.write_json(path, RESULTS, ENVIRONMENT)["summary"]
    assert summary["cases"] == len(RESULTS) and summary["samples"] == 3 * len(RESULTS)
    assert summary["status"] == {"pass": 4, "xfail": 1, "skip": 1, "fail": 1, "error": 1}
    assert summary["way"] == {"native": 2, "decomposed": 1, "fallback": 1, "core": 0}
    assert list(summary["levels"]) == ["operators", "gradients", "empty", "transfers"]
    assert summary["levels"]["operators"] == {"pass": 3, "xfail": 1, "skip": 0, "fail": 1, "error": 0}


def test_verdicts_of_expectations_decide():
    rows = report.make([result(status="fail", category="xfail"), result("log", category="decomposed"),
                        result("sin", status="crash", category="error", way=""),
                        result("cos", status="pass", category="fail", message="was expected to fail")], {})  # fmt: skip
    found = {each["op"]: each for each in rows["results"]}
    assert [found[op]["status"] for op in ("exp", "log", "sin", "cos")] == ["xfail", "pass", "error", "fail"]
    assert found["log"]["way"] == "decomposed"
    assert found["sin"]["outcome"] == "crash" and "outcome" not in found["log"]


@pytest.mark.parametrize("wrong", [{"status": "fine"}, {"way": "somehow"}])
def test_unknown_words_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        report.make([result(**wrong)], ENVIRONMENT)


def test_a_failed_write_leaves_the_old_report(path: Path, tmp_path: Path):
    report.write_json(path, RESULTS, ENVIRONMENT)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        report.write_json(path, RESULTS, {"device": object()})
    with pytest.raises(UnicodeEncodeError):
        report.write_json(path, [result(message="\ud800")], ENVIRONMENT)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99, "environment": {}, "summary": {}}', "\x00\xff"])
def test_what_is_no_report_is_refused(text: str, path: Path):
    path.write_text(text)
    with pytest.raises(ValueError, match=r"report\.json"):
        report.read(path)


def test_the_environment_of_the_host():
    found = report.environment("cpu", seed=5)
    assert found["device"] == "cpu" and found["seed"] == 5 and found["backend"] == "flambeau"
    assert all(found[name] for name in ("flambeau", "python", "numpy", "device_name", "platform"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["date"])
    assert found["simulated"] == "" == report.environment("reference")["simulated"]
    json.dumps(found)
    with pytest.raises(RuntimeError, match="nowhere"):
        report.environment("nowhere")


def test_a_simulated_gpu_is_called_that_wherever_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    backend = discovery.backend_for("reference")
    said = backend.properties(0)
    monkeypatch.setattr(type(backend), "properties", lambda self, index: replace(said, extra={"type": "gpu"}))
    found = report.environment("reference")
    assert found["simulated"] == "simulated: not run on a GPU" and found["device_name"].endswith(found["simulated"])
    report.write_html(tmp_path / "page.html", report.make([result()], found))
    words = " ".join(Page((tmp_path / "page.html").read_text(encoding="utf-8")).words)
    assert "1 cases, none fails; simulated: not run on a GPU" in words and "verdict good" not in words


# ---------------------------------------------------------------------------------------------- the compact form
def test_the_compact_form_has_a_letter_for_each_place(tmp_path: Path):
    small = report.compact(report.make(RESULTS, ENVIRONMENT))
    assert small["dtypes"] == ["-", "bfloat16", "float32", "float64"]
    assert small["operators"]["exp"] == {"operators": ".xNX", "gradients": "..N.", "empty": "..s."}
    assert small["operators"]["copy"] == {"transfers": "E..."}
    assert small["operators"]["sort"] == {"operators": "..F."}
    report.write_compact(tmp_path / "small.json", small)
    assert report.read(tmp_path / "small.json") == json.loads(json.dumps(small))


def test_the_worst_of_several_cases_stands_for_them():
    several = [result(variant=f"float32-{way}", way=way, id="") for way in ("native", "fallback", "decomposed")]
    assert report.compact(report.make(several, {}))["operators"]["exp"]["operators"] == "F"
    several += [result(variant="float32-strided", status="fail", id="")]
    assert report.compact(report.make(several, {}))["operators"]["exp"]["operators"] == "X"


def test_fifteen_thousand_cases_fit_into_a_repository(tmp_path: Path):
    dtypes = "bfloat16 bool complex64 float16 float32 float64 int16 int32 int64 uint8".split()
    levels = "operators gradients layouts empty extremes".split()
    many = [result(f"operator_number_{number}", level, dtype) for number in range(300) for level in levels
            for dtype in dtypes]  # fmt: skip
    assert len(many) == 15_000
    report.write_compact(tmp_path / "small.json", report.make(many, ENVIRONMENT))
    assert (tmp_path / "small.json").stat().st_size < 150_000


# ---------------------------------------------------------------------------------------------- comparing
def test_differences():
    old = report.make([result(), result("log"), result("sin", seconds=0.1), result("cos", status="fail"),
                       result("tan")], ENVIRONMENT)  # fmt: skip
    new = report.make([result(status="error"), result("log", way="decomposed"), result("sin", seconds=0.5),
                       result("cos"), result("tanh", status="fail")], ENVIRONMENT)  # fmt: skip
    found = report.differences(old, new)
    ids = {kind: [each["id"].split("/")[1] for each in entries] for kind, entries in found.items()}
    assert ids == {"failures": ["exp"], "fixed": ["cos"], "appeared": ["tanh"], "gone": ["tan"], "changed": ["log"],
                   "slower": ["sin"], "faster": []}  # fmt: skip
    assert found["failures"][0] == {"id": "operators/exp/float32", "old": "pass, native", "new": "error"}
    assert report.differences(new, old)["faster"] and report.differences(new, old)["failures"]
    assert not any(report.differences(old, old).values())


def test_short_times_are_noise():
    old, new = (report.make([result(seconds=seconds)], {}) for seconds in (0.001, 0.01))
    assert not any(report.differences(old, new).values())


# ---------------------------------------------------------------------------------------------- the page
class Page(HTMLParser):
    """What a browser would see: elements, what they refer to, the text of scripts."""

    VOID = frozenset("meta input link br hr img".split())

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "script":
            self.scripts.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open[-1] in ("th", "td", "option") and self.open[-1] != tag:
            self.open.pop()  # their end tags may be left out
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif not (self.open and self.open[-1] == "style"):
            self.words.append(data)


@pytest.fixture
def page(tmp_path: Path) -> Page:
    old = report.make([result("exp", dtype="float64"), result("<i>gone</i>")], ENVIRONMENT)
    report.write_html(tmp_path / "page.html", report.make(RESULTS, ENVIRONMENT), old)
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_the_page_is_whole_and_asks_for_nothing(page: Page):
    assert page.open == [], "every element is closed"
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert not [pair for pair in page.attributes if pair[0] in ("src", "href", "onload", "onerror")]
    assert len(page.scripts) == 2 and page.tags.count("style") == 1
    assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|innerHTML", page.scripts[1])


def test_nothing_in_a_report_is_read_as_html(page: Page):
    assert "b" not in page.tags and "fast" not in page.tags
    words = " ".join(page.words)
    assert "A <fast> device" in words and "operators/<i>gone</i>/float32" in words
    assert "alert(1)" not in words
    assert "<" not in page.scripts[0]


def test_the_data_of_the_page_is_the_report(page: Page):
    data = json.loads(page.scripts[0])
    assert len(data["rows"]) == len(RESULTS) and data["seed"] == 3 and data["device"] == "opencl:0"
    place = {name: index for index, name in enumerate(data["columns"])}
    rows = {data["words"][row[place["op"]]] + "/" + data["words"][row[place["dtype"]]]: row for row in data["rows"]
            if data["words"][row[place["level"]]] == "operators"}  # fmt: skip
    assert rows["exp/float64"][place["message"]] == NASTY and rows["exp/float64"][place["code"]] == "X"
    assert data["words"][rows["exp/bfloat16"][place["reason"]]] == "rounds twice"
    assert data["levels"] == ["operators", "gradients", "empty", "transfers"]


def test_the_head_needs_no_script(page: Page):
    words = " ".join(page.words)
    assert "2 of 8 cases fail" in words and "driver 1.2" in words and "3 pass, 1 xfail, 1 fail" in words
    assert "New failures: 1" in words and "Gone: 1" in words
    classes = {value for name, value in page.attributes if name == "class"}
    assert {f"c c-{letter}" for letter in report.CODES} <= classes, "the legend shows every letter"


def test_a_page_may_be_made_of_files_and_of_what_a_run_gives(path: Path, tmp_path: Path):
    report.write_json(path, RESULTS, ENVIRONMENT)
    report.write_html(tmp_path / "one.html", str(path), previous=str(path))
    report.write_html(tmp_path / "two.html", {"environment": ENVIRONMENT, "results": RESULTS})
    assert "What changed" in (tmp_path / "one.html").read_text() not in (tmp_path / "two.html").read_text()
    with pytest.raises(ValueError, match="compact"):
        report.write_html(tmp_path / "three.html", report.compact(report.read(path)))


# ---------------------------------------------------------------------------------------------- the command
def test_the_command(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    report.write_json(path, RESULTS, ENVIRONMENT)
    better = [{**each, "status": "pass"} for each in RESULTS]
    report.write_json(tmp_path / "better.json", better, ENVIRONMENT)
    out = tmp_path / "out"
    words = [str(path), "--html", f"{out}/page.html", "--compact", f"{out}/small.json"]
    assert main(words) == 0
    assert report.read(out / "small.json")["compact"] is True
    assert main([*words, "--compare", str(tmp_path / "better.json")]) == 1
    printed = capsys.readouterr().out
    assert "failures: 2" in printed and "operators/exp/float64: was pass, native, is fail" in printed
    assert main([str(tmp_path / "better.json"), "--compare", str(path)]) == 0
    assert main([str(tmp_path / "none.json")]) == 2
    assert main([str(out / "small.json")]) == 2


# ---------------------------------------------------------------------------------------------- the documentation


def support_page(operator_pages: ModuleType, folder: Path, reports: Path) -> str:
    operator_pages.write_pages(folder, reports)
    return (folder / "support.rst").read_text(encoding="utf-8")


def test_the_matrix_says_what_was_not_run(operator_pages: ModuleType, tmp_path: Path):
    text = support_page(operator_pages, tmp_path / "pages", tmp_path / "none")
    assert "No GPU has run the suite yet." in text and re.search(r"Not run.*``cpu``", text)
    assert "suite on" not in text.partition("Operators\n---")[2]


def test_the_newest_report_of_a_device_wins(operator_pages: ModuleType, tmp_path: Path):
    reports = tmp_path / "reports"
    for day, status in (("19", "pass"), ("21", "fail"), ("20", "pass")):
        about = {**ENVIRONMENT, "date": f"2026-11-{day}T00:00:00Z", "extra": {"type": "gpu"}}
        rows = [*RESULTS, result("log", status=status), result("tan", way="decomposed"), result("tan", "gradients")]
        report.write_compact(reports / f"2026-11-{day}.json", report.make(rows, about))
    text = support_page(operator_pages, tmp_path / "pages", reports)
    row = {name: re.search(rf"^   \* - ``?{name}``?$((?:\n     - .*)+)", text, flags=re.MULTILINE)[1].splitlines()[-1]
           for name in ("exp", "log", "tan", "softmax", "sort", "copy", "erf")}  # fmt: skip
    assert row["log"] == "     - fails" and row["erf"] == "     - not run"
    assert row["tan"] == row["softmax"] == "     - decomposed" and row["sort"] == "     - on the host"
    assert row["exp"] == "     - expected to fail; kernel: float32; fails: float64"
    assert "2026-11-21" in text and "2026-11-20" not in text
    assert "No GPU" not in text, "an OpenCL device was run"


@pytest.mark.parametrize("about", [{"extra": {"type": "cpu"}}, {"extra": {"type": "gpu"}, "simulated": "it is"}])
def test_only_a_gpu_is_taken_for_one(about: dict, operator_pages: ModuleType, tmp_path: Path):
    reports = tmp_path / "reports"
    where = {**ENVIRONMENT, **about, "device": "cuda:0"}
    report.write_compact(reports / "2026-11-20.json", report.make(RESULTS, where))
    text = support_page(operator_pages, tmp_path / "pages", reports)
    assert "No GPU has run the suite yet." in text and re.search(r"Not run on a GPU.*``cuda``", text)
    matrix = text.partition("\nOperators\n---")[2]
    rows = re.findall(r"^   \* - ``\w+``$", matrix, flags=re.MULTILINE)
    assert matrix.count("     - not run on a GPU") % len(rows) == 0 < matrix.count("     - not run on a GPU")
    assert ("suite on cuda:0" in matrix) == ("simulated" not in about), "what a fake device did is no news of hardware"


def test_a_gpu_that_was_run_has_no_column_that_says_otherwise(operator_pages: ModuleType, tmp_path: Path):
    where = {**ENVIRONMENT, "device": "cuda:0", "extra": {"type": "gpu"}}
    found = {"cuda:0": report.compact(report.make(RESULTS, where))}
    assert "cuda" in operator_pages.without_gpu(operator_pages.backends(), {})
    assert "cuda" not in operator_pages.without_gpu(operator_pages.backends(), found)
    assert "cpu" not in operator_pages.without_gpu(operator_pages.backends(), {}), "it is no accelerator"


def test_only_compact_reports_are_kept_with_the_documentation(operator_pages: ModuleType, path: Path, tmp_path: Path):
    report.write_json(path, RESULTS, ENVIRONMENT)
    with pytest.raises(ValueError, match="whole report"):
        operator_pages.newest_reports(tmp_path)
    kept = sorted((tree.ROOT / "docs" / "reports").glob("*.json"))
    assert len(operator_pages.newest_reports()) <= len(kept)
    assert all(each.stat().st_size < 250_000 for each in kept)
