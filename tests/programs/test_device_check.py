"""`tests/device_check.sh`: that it says so where there is no GPU, and, on a simulated one, that its own code runs.

What runs on the simulated device are tiny sizes of everything. Its report must not be taken for a GPU's.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import source_tree as tree

SCRIPT = tree.ROOT / "tests" / "device_check.sh"
NOT_RUN = "not run on a GPU"


@pytest.fixture
def check() -> ModuleType:
    return importlib.import_module("device_check")


def run(folder: Path, *words: str, simulated: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own; its report goes into the folder."""
    paths = [str(tree.ROOT / "tests" / "cuda_machine" / "start"), str(tree.ROOT / "tests")] if simulated else []
    settings = {**os.environ, "PYTHON": sys.executable, "DEVICE_CHECK_OUT": str(folder),
                "PYTHONPATH": os.pathsep.join(paths), "FLAMBEAU_DATA": str(folder), **environment}  # fmt: skip
    return subprocess.run(["bash", str(SCRIPT), *words], cwd=folder, env=settings, capture_output=True, text=True,
                          timeout=560, check=False)  # fmt: skip


def test_without_a_gpu_it_says_so_and_fails(tmp_path: Path):
    done = run(tmp_path, CUDA_VISIBLE_DEVICES="-1", FLAMBEAU_OPENCL_DEVICES="cpu")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no GPU is to be seen here" in done.stdout and "flambeau doctor" in done.stdout
    assert not list(tmp_path.glob("device-check-*"))


def rows(report: dict) -> list[dict]:
    return [row for step in report["steps"] for row in step["rows"]]


@pytest.mark.slow
@pytest.mark.timeout(600)  # the first time, all its programs have to be compiled
@pytest.mark.skipif(shutil.which("g++") is None, reason="the simulated device compiles its programs with g++")
@pytest.mark.parametrize("steps", ["environment benchmarks training", "families", "conformance, quick"])
def test_all_of_it_runs_on_a_simulated_device_and_claims_nothing(steps: str, tmp_path: Path):
    names = ["conformance, quick"] if "," in steps else steps.split()
    words = [word for name in names for word in ("--only", name)]
    done = run(tmp_path, "cuda", "--minutes", "15", *words, simulated=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NOT_RUN}: cuda is simulated" in done.stdout and "passed" not in done.stdout
    path, = tmp_path.glob("device-check-????????-??????.json")
    report = json.loads(path.read_text())
    assert report["summary"].startswith(NOT_RUN) and report["simulated"] == ["cuda"]
    assert [step["step"] for step in report["steps"]] == names
    found = rows(report)
    assert found and {row["status"] for row in found} == {NOT_RUN} == {step["status"] for step in report["steps"]}
    assert not any(row.get("microseconds") or row.get("peers") for row in found), "no time of it is worth anything"
    page = path.with_suffix(".html").read_text()
    assert NOT_RUN in page and "<td><pre>pass</pre>" not in page
    if steps == "conformance, quick":
        kept = json.loads(path.with_name(f"{path.stem}-conformance-cuda.json").read_text())
        assert kept["compact"] and kept["environment"]["simulated"] == f"simulated: {NOT_RUN}"
        assert f"simulated: {NOT_RUN}" in path.with_name(f"{path.stem}-conformance-cuda.html").read_text()


def test_a_simulated_device_is_not_taken_for_a_gpu(check: ModuleType, monkeypatch: pytest.MonkeyPatch):
    assert check.is_simulated("reference") and not check.is_simulated("cpu") and check.is_processor("cpu")
    monkeypatch.setattr("flambeau.discovery.is_available", lambda name: name == "opencl")
    monkeypatch.setattr(check, "is_processor", lambda device: False)
    monkeypatch.setattr(check, "is_simulated", lambda device: True)
    assert check.gpus() == []


def test_a_step_that_hangs_or_fails_costs_that_step(check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    script = tmp_path / "step.py"
    script.write_text("import json, sys, time\n"
                      "words = sys.argv\n"
                      "path, step = words[words.index('--result') + 1], words[words.index('--step') + 1]\n"
                      "print(json.dumps({'row': 'first', 'status': 'pass'}), file=open(path, 'w'))\n"
                      "time.sleep(100 if step == 'benchmarks' else 0)\n"
                      "sys.exit(step == 'families')\n")  # fmt: skip
    monkeypatch.setattr(check, "__file__", str(script))
    found = [check.step(name, "cpu", True, seconds, tmp_path)
             for name, seconds in (("benchmarks", 2.0), ("families", 30.0), ("training", 30.0))]  # fmt: skip
    assert [each["status"] for each in found] == ["out of time", "fail", "pass"]
    assert all([row["row"] for row in each["rows"]] == ["first"] for each in found), "what was found is kept"
    report = {"steps": found, "simulated": []}
    assert check.summary(report) == "cpu benchmarks: out of time; cpu families: fail"
    good = {"steps": found[2:], "simulated": [], "processors": ["cpu"]}
    assert check.summary(good) == f"everything passed (cpu: a processor, {NOT_RUN})"


def test_wrong_values_fail_a_row(check: ModuleType):
    from device_rows import TINY, Given, Library, Row

    def library(name: str, factor: float) -> Library:
        return Library(name, np, lambda array: array * factor, lambda: None, np.asarray, "here")

    row = Row("pointwise", "abs", (Given((4,), small=(4,)),), lambda module, a: module.abs(a))
    right = check.measured(row, "here", [library("flambeau", 1.0), library("pytorch", -1.0)], TINY, 0.0)
    assert right["difference"] == 0.0 and right["beside"] == "pytorch on here" and right["microseconds"] == {}
    with pytest.raises(AssertionError, match="of the largest value away"):
        check.measured(row, "here", [library("flambeau", 1.0), library("pytorch", 1.1)], TINY, 0.0)


def test_differences():
    from device_rows import difference

    one, other = np.array([1.0, 2.0]), np.array([1.0, 2.5])
    assert difference([other], [one]) == 0.25 and difference([one], [one]) == 0.0
    assert difference([one], [one[:1]]) == difference([np.array([1])], [np.array([2])]) == float("inf")
    assert difference([np.array([float("nan")])], [np.array([1.0])]) == float("inf")


def test_every_family_of_kernels_has_a_row():
    import flambeau_clike.kernels as package
    from device_rows import FAMILIES

    modules = {each.name for each in pkgutil.iter_modules(package.__path__) if not each.name.startswith("_")}
    families = {name for name in modules if hasattr(importlib.import_module(f"{package.__name__}.{name}"), "KERNELS")}
    assert families == {row.family for row in FAMILIES}
    labels = [row.label for row in FAMILIES]
    assert len(set(labels)) == len(labels)


def test_metadata_is_written_where_the_package_is_not_installed(check: ModuleType, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.setattr(check.metadata, "entry_points", lambda group: [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    check.register(tmp_path)
    made, = tmp_path.glob("flambeau-*.dist-info")
    points = (made / "entry_points.txt").read_text()
    assert "[flambeau.backends]" in points and "cuda = flambeau_cupy:CupyBackend" in points
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(tmp_path), "elsewhere"]
