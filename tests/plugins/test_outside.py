"""A stranger's backend and operator: one class with one entry point, one record with one line per kernel, and not a
line changed in the library. Each test runs in a process of its own, where the stranger's package is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OUTSIDE = Path(__file__).parent / "outside"


@pytest.fixture
def run(tmp_path):
    """Run a program with the stranger's package installed: its files, and the metadata that pip would leave."""
    for source in OUTSIDE.glob("*.py"):
        (tmp_path / source.name).write_text(source.read_text())
    (tmp_path / "broken_accelerator.py").write_text("raise OSError('no driver on this machine')\n")
    (tmp_path / "old_accelerator.py").write_text(
        "from toy_accelerator import ToyBackend\n"
        "class OldBackend(ToyBackend):\n    name = 'old'\n    api_version = 0\n")
    info = tmp_path / "toy_accelerator-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-accelerator\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[flambeau.backends]\ntoy = toy_accelerator:ToyBackend\nbroken = broken_accelerator:Backend\n"
        "old = old_accelerator:OldBackend\n")

    def run(program: str) -> str:
        path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run([sys.executable, "-W", "error", "-c", "import flambeau as torch\n" + program],
                              capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path},
                              check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
    return run


def test_backend_is_found_by_its_device_string(run):
    assert run("""
x = torch.ones(2, 3, device="toy")
print(x.device, x.dtype, (x + x * 2).cpu().tolist(), torch.zeros(1, device="toy:1").device)
y = torch.tensor([[1., 2.], [3., 4.]]).to("toy").requires_grad_()
z = (y * y).sum()
z.backward()
print(y.grad.device, y.grad.cpu().tolist(), z.item())
t = y.detach().t()
t[0] = 7.0
print(t._base is not None, y.detach().cpu().tolist(), t.cpu().tolist())
""").split("\n")[:-1] == [
        "toy:0 torch.float32 [[3.0, 3.0, 3.0], [3.0, 3.0, 3.0]] toy:1",
        "toy:0 [[2.0, 4.0], [6.0, 8.0]] 30.0",
        "True [[7.0, 2.0], [7.0, 4.0]] [[7.0, 7.0], [2.0, 4.0]]"]


def test_operator_without_a_kernel_is_decomposed_or_falls_back_and_says_so(run):
    assert run("""
import warnings
x = torch.ones(3, device="toy")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(torch.exp(x).device, torch.exp(x).cpu()[0].item() > 2.7)
print(len(caught), caught[0].category.__name__, torch.fallback_counts()["exp"]["calls"])
try:
    with torch.fallback("error"):
        torch.cos(x)
except NotImplementedError as error:
    print("cos" in str(error) and "toy" in str(error))
""").split("\n")[:-1] == ["toy:0 True", "1 FallbackWarning 2", "True"]


def test_operator_from_outside_works_everywhere(run):
    assert run("""
import toy_operator
for device in ("cpu", "toy"):
    x = torch.tensor([1., -2.], device=device).requires_grad_()
    y = torch.toy_cube(x)
    y.sum().backward()
    print(y.detach().cpu().tolist(), x.grad.cpu().tolist(), y.grad_fn.name(), x.detach().toy_cube().device)
    z = x.detach().clone()
    z.toy_cube_()
    print(z.cpu().tolist())
""").split("\n")[:-1] == [
        "[1.0, -8.0] [3.0, 12.0] ToyCubeBackward0 cpu", "[1.0, -8.0]",
        "[1.0, -8.0] [3.0, 12.0] ToyCubeBackward0 toy:0", "[1.0, -8.0]"]


def test_devices_do_not_mix_and_errors_say_what_to_do(run):
    assert run("""
try:
    torch.ones(2) + torch.ones(2, device="toy")
except RuntimeError as error:
    print("same device" in str(error) and "toy:0" in str(error))
try:
    torch.ones(2, device="toy:7")
except RuntimeError as error:
    print("2 devices" in str(error))
try:
    torch.ones(2, device="nowhere")
except RuntimeError as error:
    print("cpu" in str(error) and "toy" in str(error))
try:
    torch.ones(2, dtype=torch.float64, device="toy")
except RuntimeError as error:
    print("float64" in str(error) and "float32" in str(error))
""").split("\n")[:-1] == ["True"] * 4


def test_broken_plugins_disable_themselves_only(run):
    assert run("""
from flambeau import discovery
for name, phrase in (("broken", "no driver on this machine"), ("old", "version 0")):
    try:
        torch.ones(1, device=name)
    except RuntimeError as error:
        print(phrase in str(error))
print(torch.ones(1, device="toy").device)
rows = {row["name"]: row for row in discovery.report()}
print("no driver" in rows["broken"]["reason"], rows["toy"]["origin"], len(rows["toy"]["devices"]))
""").split("\n")[:-1] == ["True", "True", "toy:0", "True toy-accelerator 1.0 2"]
