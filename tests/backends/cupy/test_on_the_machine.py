"""The CUDA backend on the simulated machine, in processes of their own: none of it has run on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cuda_machine.program import compiler

TESTS = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler on this machine")


def run(*words: str, devices: int = 1, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program on the machine."""
    command = [sys.executable, "-m", "cuda_machine", "--devices", str(devices), *words]
    paths = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=TESTS.parent, timeout=280,
                          env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", **environment})


def test_what_the_backend_does_with_its_driver():
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "python_files=case_*.py",
               str(Path(__file__).parent), devices=2)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and " skipped" not in done.stdout, done.stdout[-500:]


def test_the_namespace_with_a_device():
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / "core" / "test_cuda_namespace.py"),
               str(TESTS / "core" / "test_pinned_memory.py"), devices=2)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_the_demo(tmp_path):
    """The digits that the package has, without a fallback."""
    done = run("-m", "flambeau", "demo", "--device", "cuda", "--epochs", "1", "--data", "digits",
               "--out", str(tmp_path), FLAMBEAU_FALLBACK="error")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
