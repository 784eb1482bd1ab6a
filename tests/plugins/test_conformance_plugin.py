"""The suite as its users run it, in processes of its own: what a crash costs, what is printed, what the status says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip("xdist", reason="cases run in processes of pytest-xdist")
pytest.importorskip("pytest_timeout", reason="pytest-timeout sets the limit of a case")

OUTSIDE = Path(__file__).parent / "outside"
STEADY = ["--case", "transfers/shaky_exp/*"]
COMMAND = [sys.executable, "-m", "flambeau", "conformance", "--device", "shaky"]
PYTEST = [sys.executable, "-m", "pytest", "--pyargs", "flambeau_conformance", "--device", "shaky"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that looks as if a distribution with the shaky backend had been installed into it."""
    information = tmp_path / "site" / "flambeau_shaky-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: flambeau-shaky\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[flambeau.backends]\nshaky = shaky_backend:ShakyBackend\n")
    (tmp_path / "site" / "shaky_backend.py").write_text((OUTSIDE / "shaky_backend.py").read_text(encoding="utf-8"))
    (tmp_path / "here").mkdir()
    return tmp_path / "site"


@pytest.fixture
def run(site: Path):
    """Run a command line in an empty folder beside `site`."""

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        environment = {**os.environ, "PYTHONPATH": path, "FLAMBEAU_ORACLE": "numpy", "COLUMNS": "100", **more}
        # with CI set, pytest's own summary repeats each failure in full
        for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST", "CI", "BUILD_NUMBER"):
            environment.pop(name, None)
        return subprocess.run(
            words, cwd=site.parent / "here", env=environment, capture_output=True, text=True, timeout=250, check=False
        )

    return run


def rows(output: str) -> dict[str, dict[str, str]]:
    """The summary's table: level -> column -> number."""
    lines = output[output.index("\nLEVEL ") + 1 :].splitlines()
    header = lines[0].split()
    table = (line.split() for line in lines[1:])
    return {cells[0]: dict(zip(header[1:], cells[1:], strict=True)) for cells in table if len(cells) == len(header)}


def test_all_is_well(run, tmp_path: Path):
    report, page, junit = (tmp_path / name for name in ("report.json", "page.html", "junit.xml"))
    done = run(*COMMAND, *STEADY, "-n", "1", "--json", str(report), "--html", str(page), "--junit", str(junit))
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows(done.stdout)["all"]["CASES"] == "4"
    assert "shaky" in done.stdout and "4 passed" in done.stdout and "reproduce" not in done.stdout
    assert len(done.stdout.splitlines()) < 16, done.stdout

    written = json.loads(report.read_text(encoding="utf-8"))
    assert [each["id"] for each in written["results"]] == [f"transfers/shaky_exp/float32-{n}" for n in range(1, 5)]
    assert written["environment"]["device"].startswith("shaky") and written["environment"]["seed"] == 0
    assert "tanh" in written["environment"]["not_reached"] and "exp" not in written["environment"]["not_reached"]
    assert "shaky_exp" in page.read_text(encoding="utf-8")
    properties = {each.get("name"): each.get("value") for each in ElementTree.parse(junit).iter("property")}
    assert properties["flambeau.op"] == "shaky_exp" and "exp" in properties["flambeau.kernels"].split()


@pytest.mark.parametrize("command", [[*COMMAND, "-n", "2"], PYTEST], ids=["command", "pytest"])
def test_a_crash_and_a_hang_cost_one_case_each(run, command: list[str]):
    """The steady cases before and after have results; each lost one is reported with the line that reproduces it."""
    words = [word for op in ("exp", "sinh", "cosh") for word in ("--case", f"transfers/shaky_{op}/*")]
    done = run(*command, *words, "--timeout", "4")
    assert done.returncode == 1, done.stdout + done.stderr
    counts = rows(done.stdout)["transfers"]
    assert counts["ERROR"] == "2" and counts["CASES"] == "6", done.stdout
    for op, phrase, kernel in (("sinh", "the process died: Aborted", "ending"), ("cosh", "within 4 s", "sleeping")):
        line = f"reproduce: flambeau conformance --device shaky --case 'transfers/shaky_{op}/float32-2' --seed 0"
        assert done.stdout.count(line) == 1, done.stdout
        assert re.search(rf"{phrase}.*\n(.*\n)*?.*in {kernel}\n(.*\n)*?{re.escape(line)}", done.stdout), done.stdout


def test_a_driver_that_dies_before_the_first_case_ends_the_run(run):
    """No worker would get further, so none is replaced."""
    done = run(*COMMAND, *STEADY, "-n", "1", SHAKY="from the start")
    assert done.returncode == 1
    assert "no case was executed: while they were made, the process died: Aborted" in done.stdout, done.stdout
    assert "in flambeau_conformance_cases" in done.stdout and "replacing" not in done.stdout


def test_without_other_processes_a_hang_that_python_can_stop_costs_one_case(run):
    done = run(*COMMAND, "--case", "transfers/shaky_[ec][xo]*/*", "-n", "0", "--timeout", "2")
    assert done.returncode == 1
    assert rows(done.stdout)["transfers"]["ERROR"] == "1" and rows(done.stdout)["transfers"]["CASES"] == "5"
    assert "no answer in time" in done.stdout and "_multicall" not in done.stdout


def test_a_failure_is_short_and_its_line_reproduces_it(run):
    done = run(*COMMAND, "--case", "transfers/shaky_tan/*", "-n", "1", "--seed", "3")
    assert done.returncode == 1
    lines = re.findall(r"^reproduce: (.+)$", done.stdout, flags=re.MULTILINE)
    assert len(lines) == 4 == int(rows(done.stdout)["all"]["FAIL"])
    assert "elements differ" in done.stdout and "Traceback" not in done.stdout and "runtest" not in done.stdout

    words = shlex.split(lines[1])
    assert words[0] == "flambeau" and words[-2:] == ["--seed", "3"]
    again = run(sys.executable, "-m", *words)
    assert again.returncode == 1
    assert re.findall(r"^reproduce: (.+)$", again.stdout, flags=re.MULTILINE) == [lines[1]]


def test_what_runs_on_the_host_is_no_pass(run, site: Path):
    select = ["--case", "primitives/erf/float32*", "--case", "transfers/shaky_erf/*", "-n", "1"]
    done = run(*COMMAND, *select)
    assert done.returncode == 1 and "erf ran on the host" in done.stdout
    assert rows(done.stdout)["all"]["FAIL"] == rows(done.stdout)["all"]["CASES"]

    (site / "conformance.toml").write_text('[[expect]]\ncases = "primitives/erf/*"\noutcome = "fallback"\n')
    done = run(*COMMAND, *select)
    assert done.returncode == 0, done.stdout
    assert rows(done.stdout)["all"]["FALLBACK"] == rows(done.stdout)["all"]["CASES"]
    assert " passed" not in done.stdout and " fallback" in done.stdout

    (site / "conformance.toml").write_text('[[expect]]\ncases = "primitives/log/*"\noutcome = "fallback"\n')
    done = run(*COMMAND, "--case", "primitives/log/float32*", "-n", "1")
    assert done.returncode == 1 and "declares that it runs on the host" in done.stdout


def test_expected_failures(run, tmp_path: Path):
    """They pass the run; one that passes fails it, and so does an entry that decides about nothing."""
    file = tmp_path / "mine.toml"
    expect = '[[expect]]\ncases = "transfers/shaky_{}/*"\noutcome = "{}"\nreason = "the sign"\n'
    words = ["--case", "transfers/shaky_[et][xa][pn]/*", "-n", "1", "--expectations", str(file)]
    file.write_text(expect.format("tan", "xfail"))
    done = run(*COMMAND, *words)
    assert done.returncode == 0, done.stdout
    assert rows(done.stdout)["transfers"]["XFAIL"] == "4" and "4 xfailed" in done.stdout

    file.write_text(expect.format("???", "xfail") + expect.format("gone", "skip"))
    done = run(*COMMAND, *words, "--case", "expectations/*")
    assert done.returncode == 1
    assert done.stdout.count("it passed, but expect[1]") == 4 and rows(done.stdout)["transfers"]["XFAIL"] == "4"
    assert "expect[2]" in done.stdout and "matches no case" in done.stdout
    assert f"--expectations {file}" in done.stdout  # the line that reproduces needs it

    file.write_text(expect.format("tan", "skip") + expect.format("exp", "skip"))
    done = run(*COMMAND, *words)
    assert done.returncode == 1 and "no case was executed" in done.stdout and "skipped" in done.stdout


def test_update_writes_what_a_run_finds(run, site: Path):
    file = site / "conformance.toml"
    file.write_text('# ours\n\n[[expect]]\ncases = "transfers/shaky_exp/*"\noutcome = "xfail"\nreason = "was so"\n')
    select = [word for op in ("exp", "tan", "sinh") for word in ("--case", f"transfers/shaky_{op}/*")]
    done = run(*COMMAND, *select, "-n", "1", "--update-expectations")
    assert done.returncode == 1 and "not written: transfers/shaky_sinh/float32-2" in done.stdout, done.stdout
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# ours\n") and "shaky_exp" not in text and "shaky_sinh" not in text
    assert 'cases = "transfers/shaky_tan/*"\noutcome = "xfail"\nreason = "' in text and "elements differ" in text
    assert [path.name for path in site.glob("*conformance*")] == ["conformance.toml"]

    done = run(*COMMAND, *select[:4], "-n", "1", "--update-expectations")
    assert done.returncode == 0 and "no change" in done.stdout
    assert run(*COMMAND, *select[:4], "-n", "1").returncode == 0


@pytest.mark.parametrize("words", [["--case", "nn/nothing/*"], ["--level", "nn", "--case", "transfers/*"]], ids=str)
def test_no_case_is_a_failure(run, words: list[str]):
    for command in (COMMAND, PYTEST):
        done = run(*command, *words, "-n", "0")
        assert done.returncode == 1, done.stdout
        assert "no case was executed" in done.stdout and words[-1] in done.stdout and "--list" in done.stdout


@pytest.mark.parametrize("words, phrase", [
    (["--device", "nowhere"], "nowhere"),
    (["--level", "nothing"], "choose from primitives"),
    (["--expectations", "gone.toml"], "no such file"),
    (["--cases", "gone"], "no such folder"),
    (["--compare", "before.json"], "--html"),
    (["-n", "-1"], "-n"),
    ([], "needs a reason"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_runs(run, site: Path, words: list[str], phrase: str):
    if not words:
        (site / "conformance.toml").write_text('[[expect]]\ncases = "nn/Linear/*"\noutcome = "xfail"\n')
    done = run(*COMMAND, *words)
    assert done.returncode == 2 and phrase in done.stderr, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "LEVEL" not in done.stdout


def test_the_project_around_does_not_matter(run, site: Path):
    """Its options, its conftest and its warnings are for its own tests."""
    here = site.parent / "here"
    (here / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\nfilterwarnings = error\n")
    (here / "conftest.py").write_text('raise RuntimeError("not for you")\n')
    done = run(*COMMAND, *STEADY, "-n", "1")
    assert done.returncode == 0 and "4 passed" in done.stdout, done.stdout + done.stderr
    assert sorted(path.name for path in here.iterdir()) == ["conftest.py", "pytest.ini"]


def test_other_projects_see_nothing_of_it(run, site: Path):
    """The entry point adds no option to a pytest that is not asked for the suite, and imports nothing of it."""
    (site.parent / "here" / "test_it.py").write_text(
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    assert 'flambeau_conformance.plugin' not in sys.modules and 'flambeau' not in sys.modules\n"
        "    assert pytestconfig.getoption('--device') == 'mine'\n"
    )
    (site.parent / "here" / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--device')\n")
    done = run(sys.executable, "-m", "pytest", "--device", "mine", "-q")
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_list(run):
    done = run(*COMMAND, "--level", "transfers", "--case", "*/shaky_*/*", "--list")
    assert done.returncode == 0
    listed = done.stdout.split()
    assert len(listed) == 14 == len(set(listed)) and "transfers/shaky_sinh/float32-2" in listed
    assert re.search(r"^transfers +14$", done.stderr, flags=re.MULTILINE)


def test_two_cases_of_one_id_are_refused(monkeypatch: pytest.MonkeyPatch):
    from flambeau_conformance import selection
    from flambeau_conformance.case import Case

    case = Case("nn", "Linear", "float32", lambda context: None)
    monkeypatch.setattr(selection.suite, "cases", lambda device, levels: [case])
    assert selection.all_cases("cpu") == [case]
    monkeypatch.setattr(selection.suite, "cases", lambda device, levels: [case, case])
    with pytest.raises(ValueError, match="nn/Linear/float32"):
        selection.all_cases("cpu")


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    from flambeau.cli import build_parser
    from flambeau.cli._errors import UsageError
    from flambeau_conformance import command

    monkeypatch.setattr(command, "NEEDED", {"pytest": "pytest", "no_such_module": "pytest-xdist"})
    arguments = build_parser("conformance").parse_args(["conformance", "--device", "cpu"])
    with pytest.raises(UsageError, match=r"pytest-xdist is not installed; pip install 'flambeau\[conformance\]'"):
        command.main(arguments)


@pytest.mark.parametrize("words, status, category", [
    ("Fatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call first):\n", "crash", "Segm"),
    ("Timeout (0:01:00)!\nThread 0x1 (most recent call first):\n", "hang", "within 60 s"),
    ("", "crash", "without a word"),
], ids=["crash", "hang", "silence"])  # fmt: skip
def test_last_words(words: str, status: str, category: str):
    from flambeau_conformance.protection import what_happened

    found, message = what_happened(words)
    assert found == status and category in message


def test_last_words_show_the_thread_of_the_case_down_to_the_suite():
    from flambeau_conformance.protection import what_happened

    words = (
        "Timeout (0:00:05)!\n"
        'Thread 0x1 (most recent call first):\n  File "threading.py", line 1 in wait\n\n'
        'Thread 0x2 (most recent call first):\n  File "/a/driver.py", line 7 in launch\n'
        '  File "/b/flambeau_conformance/engine.py", line 9 in execute\n  File "/c/pytest.py", line 3 in run\n'
    )
    assert what_happened(words)[1].splitlines()[1:] == ['  File "/a/driver.py", line 7 in launch']
