"""What "cuda" says on machines that have no CuPy, no driver or no device: which it is, and what mends it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

import flambeau
import flambeau_cupy
from flambeau_cupy import drivers


@pytest.fixture
def unasked(monkeypatch):
    """As if CuPy had not been loaded in this process."""
    monkeypatch.delitem(sys.modules, "cupy", raising=False)


@pytest.mark.parametrize("driver", [None, object()])
def test_without_cupy(monkeypatch, unasked, driver):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(drivers, "driver", lambda: driver)
    monkeypatch.setattr(drivers, "version", lambda: 12040)
    backend = flambeau_cupy.CupyBackend()
    assert backend.device_count() == 0 and "pip install 'flambeau[cuda12]'" in backend.diagnosis()
    assert ("'cupy', which is not installed" in backend.diagnosis()) is (driver is not None)
    assert ("no NVIDIA driver" in backend.diagnosis()) is (driver is None)


@pytest.mark.parametrize(("version", "extra"), [(0, "cuda13"), (12040, "cuda12"), (13000, "cuda13"), (11080, "cuda13")])
def test_the_extra_fits_the_driver(monkeypatch, version, extra):
    monkeypatch.setattr(drivers, "version", lambda: version)
    assert drivers.package() == extra


def test_without_a_driver(monkeypatch, unasked):
    monkeypatch.setattr(drivers, "DRIVERS", ("libthere_is_no_such_driver.so",))
    assert drivers.driver() is None and drivers.version() == 0 and not drivers.expected()
    assert "no NVIDIA driver (libcuda.so.1" in drivers.advice() and "install it" in drivers.advice()


@pytest.mark.parametrize(("visible", "problem", "told"), [
    ("", "", "CUDA_VISIBLE_DEVICES='' hides all devices. Next step: unset"),
    ("-1", "", "CUDA_VISIBLE_DEVICES='-1' hides all devices"),
    ("0", "cudaErrorInsufficientDriver: too old", r"newer driver than this one (cudaErrorInsufficientDriver: too old)"),
    ("0", "cudaErrorNoDevice: none", "finds no device (cudaErrorNoDevice: none). Next step: run `nvidia-smi`"),
    (None, "", "finds no device. Next step: run `nvidia-smi`")])
def test_with_a_driver_and_no_device(monkeypatch, visible, problem, told):
    monkeypatch.setattr(drivers, "driver", object)
    monkeypatch.setattr(drivers, "installed", lambda: True)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert told in drivers.advice(problem)


def test_a_driver_that_does_not_tell_its_version(monkeypatch):
    monkeypatch.setattr(drivers, "driver", lambda: object())
    assert drivers.version() == 0


def test_asking_for_the_device_on_this_machine():
    """With a GPU there is a tensor on it; without one the error says what is missing and what to do."""
    if flambeau.cuda.is_available():
        assert flambeau.ones(2, device="cuda").device.type == "cuda"
        return
    with pytest.raises(RuntimeError, match=r"device 'cuda'.*(pip install|Next step)") as caught:
        flambeau.ones(2, device="cuda")
    assert isinstance(caught.value, flambeau.errors.FlambeauError)


def test_without_a_driver_nothing_heavy_is_loaded():
    """`torch.cuda.is_available()` is asked by every program."""
    if drivers.driver() is not None:
        pytest.skip("this machine has a driver for CUDA")
    program = ("import sys, flambeau as torch\nprint(torch.cuda.is_available(), torch.cuda.device_count(), "
               "sorted({'cupy', 'flambeau_clike.kernels'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False 0 []"


def test_doctor_tells_why():
    done = subprocess.run([sys.executable, "-m", "flambeau", "doctor"], capture_output=True, text=True, check=False)
    told = [line for line in done.stdout.splitlines() if line.startswith("cuda ")]
    assert told, done.stdout
    if not flambeau.cuda.is_available():
        assert any("Next step" in line or "pip install" in line for line in told), told
