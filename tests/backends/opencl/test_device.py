"""Devices: which there are and in which order, what they can do, what is said where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

import flambeau
from flambeau import discovery
from flambeau.errors import ArgumentValueError, BackendError

pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'flambeau[opencl]'")
import pyopencl as cl

from flambeau_opencl import backend as backends, platforms
from flambeau_opencl.backend import OpenCLBackend
from flambeau_opencl.device import WITHOUT, Device, Traits, pretended, probe
from flambeau_opencl.platforms import CHOICE


@dataclass
class Handle:
    """What a driver says of a device that this machine does not have."""

    name: str
    type: int
    vendor: str = "Somebody"
    vendor_id: int = 1
    brand: str = "Somebody's OpenCL"
    available: bool = True
    compiler_available: bool = True
    extensions: str = "cl_khr_fp64 cl_khr_int64_base_atomics"
    double_fp_config: int = 1
    max_compute_units: int = 8
    max_work_group_size: int = 1024
    local_mem_size: int = 65536
    max_mem_alloc_size: int = 1 << 30
    global_mem_size: int = 4 << 30
    host_unified_memory: bool = False
    image_support: bool = True
    image2d_max_width: int = 16384
    image2d_max_height: int = 8192
    driver_version: str = "1"
    version: str = "OpenCL 3.0"

    @property
    def platform(self) -> Any:
        return SimpleNamespace(name=self.brand, version="1")


GPU, CPU, OTHER = cl.device_type.GPU, cl.device_type.CPU, cl.device_type.ACCELERATOR
MACHINE = [Handle("Zen", CPU), Handle("Board", OTHER), Handle("Arc A770", GPU, "Intel(R) Corporation", 0x8086),
           Handle("Radeon", GPU, "Advanced Micro Devices"), Handle("M3", GPU, "Apple", brand="Apple")]


@pytest.fixture
def machine(monkeypatch):
    """A machine with many devices."""
    monkeypatch.delenv(CHOICE, raising=False)
    monkeypatch.delenv(WITHOUT, raising=False)
    monkeypatch.setattr(platforms.cl, "get_platforms", lambda: [
        SimpleNamespace(name="A", get_devices=lambda: MACHINE[:2]), SimpleNamespace(name="B", get_devices=list),
        SimpleNamespace(name="C", get_devices=lambda: MACHINE[2:])])


# ---------------------------------------------------------------------------------------------- which
def test_gpus_come_first(machine):
    found, remarks = platforms.found()
    assert [each.name for each in found] == ["Arc A770", "Radeon", "M3", "Board", "Zen"]
    assert remarks == ["the platform 'B' has no device"]


@pytest.mark.parametrize(("choice", "names"), [
    ("0", ["Arc A770"]), ("2,0", ["M3", "Arc A770"]), ("gpu", ["Arc A770", "Radeon", "M3"]),
    ("CPU, 1", ["Zen", "Radeon"]), ("radeon", ["Radeon"]), ("intel", ["Arc A770"]),
    ("0,gpu", ["Arc A770", "Radeon", "M3"]),
    ("accelerator,", ["Board"]), ("", ["Arc A770", "Radeon", "M3", "Board", "Zen"])])
def test_the_choice(machine, monkeypatch, choice, names):
    monkeypatch.setenv(CHOICE, choice)
    assert [each.name for each in platforms.devices()[0]] == names


@pytest.mark.parametrize("choice", ["9", "nvidia", "0,x", "-1"])
def test_a_choice_that_is_not_there(machine, monkeypatch, choice):
    monkeypatch.setenv(CHOICE, choice)
    with pytest.raises(BackendError, match=r"no OpenCL device for .*0: Arc A770 \(gpu.*4: Zen \(cpu.*unset"):
        OpenCLBackend()


def test_devices_that_cannot_be_used_are_left_out(machine, monkeypatch):
    monkeypatch.setattr(MACHINE[0], "available", False)
    monkeypatch.setattr(MACHINE[3], "compiler_available", False)
    found, remarks = platforms.found()
    assert [each.name for each in found] == ["Arc A770", "M3", "Board"]
    assert any("Zen" in each and "not available" in each for each in remarks)
    assert any("Radeon" in each and "without a compiler" in each for each in remarks)


# ---------------------------------------------------------------------------------------------- none
def test_no_driver(monkeypatch):
    def missing() -> Any:
        raise cl.LogicError("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR")
    monkeypatch.delenv(CHOICE, raising=False)
    monkeypatch.setattr(platforms.cl, "get_platforms", missing)
    backend = OpenCLBackend()
    assert backend.device_count() == 0
    said = backend.diagnosis()
    assert "PLATFORM_NOT_FOUND_KHR" in said
    assert "flambeau[opencl]" in said
    assert "doctor" in said


def test_doctor_without_a_driver(opencl, tmp_path):
    """A process whose loader finds no driver: the reason and the next step, from the error and from doctor."""
    nowhere = f"{tmp_path}/nowhere/"
    environment = {**os.environ, "OCL_ICD_VENDORS": nowhere, "OPENCL_VENDOR_PATH": nowhere}
    environment.pop(CHOICE, None)
    count = subprocess.run([sys.executable, "-c", "from flambeau import discovery; "
                            "print(discovery.device_count('opencl'))"], env=environment, capture_output=True, text=True)
    assert count.returncode == 0, count.stderr
    if count.stdout.strip() != "0":
        pytest.skip("this OpenCL loader does not let the environment hide its drivers")
    doctor = subprocess.run([sys.executable, "-m", "flambeau", "doctor"], env=environment, capture_output=True,
                            text=True)
    assert "opencl has no device: " in doctor.stdout
    assert "flambeau[opencl]" in doctor.stdout
    error = subprocess.run([sys.executable, "-c", "import flambeau; flambeau.ones(2, device='opencl')"],
                           env=environment, capture_output=True, text=True)
    assert "Next step: install a driver" in error.stderr


# ---------------------------------------------------------------------------------------------- what they can do
def test_traits():
    traits = probe(MACHINE[3])
    assert not traits.cpu
    assert traits.fp64 and traits.int64_atomics and traits.images
    assert not (traits.fp16 or traits.subgroups or traits.unified)
    assert (traits.units, traits.group, traits.largest_group) == (8, 256, 1024)
    assert (traits.local_memory, traits.max_allocation, traits.image_size) == (65536, 1 << 30, (16384, 8192))
    assert probe(MACHINE[0]).cpu
    assert probe(MACHINE[0]).group == 1
    assert not probe(Handle("old", GPU, extensions="", double_fp_config=0)).fp64


def test_traits_that_are_taken_for_missing(monkeypatch):
    monkeypatch.setenv(WITHOUT, "fp64, unified,local_memory")
    traits = probe(Handle("x", GPU, host_unified_memory=True), pretended())
    assert not traits.fp64
    assert not traits.unified
    assert traits.local_memory == 0
    assert traits.int64_atomics
    monkeypatch.setenv(WITHOUT, "fp64,fun")
    with pytest.raises(ArgumentValueError, match=r"unknown trait.*fun.*fp64"):
        pretended()


def test_the_backend_says_what_its_devices_can_do(machine, monkeypatch):
    monkeypatch.setattr(MACHINE[3], "extensions", "")
    monkeypatch.setattr(MACHINE[3], "double_fp_config", 0)
    backend = OpenCLBackend()
    assert backend.device_count() == 5
    stored = [flambeau.float64 in backend.capabilities_of(index).storage_dtypes for index in range(5)]
    assert stored == [True, False, True, True, True]
    accelerators = [backend.capabilities_of(index).accelerator for index in range(5)]
    assert accelerators == [True, True, True, True, False]
    assert backend.capabilities.accelerator
    properties = backend.properties(1)
    assert properties.name == "Radeon"
    assert properties.extra["type"] == "gpu"
    assert properties.extra["fp64"] is False


def test_a_processor_is_no_accelerator(machine, monkeypatch):
    monkeypatch.setenv(CHOICE, "cpu")
    assert not OpenCLBackend().capabilities.accelerator


def test_a_device_without_double_precision(opencl):
    """In a process of its own, with a device that is taken to have none."""
    program = """
import flambeau as torch
x = torch.tensor([1.5, 2.0], device="opencl")
assert x.dtype is torch.float32
assert ((x + 1) * 2).tolist() == [5.0, 6.0]
assert x.sum().item() == 3.5
for attempt in (lambda: torch.ones(2, dtype=torch.float64, device="opencl"), lambda: x.double(),
                lambda: torch.ones(2, dtype=torch.complex128).to("opencl")):
    try:
        attempt()
    except RuntimeError as error:
        assert "cannot store torch." in str(error) and "use " in str(error), error
    else:
        raise AssertionError("it has double precision")
print("done")
"""
    environment = {**os.environ, WITHOUT: "fp64", "FLAMBEAU_FALLBACK": "allow", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.stdout == "done\n", run.stderr


def test_nothing_is_opened_by_looking(opencl):
    device = Device(discovery.backend_for(opencl)._devices[0].handle, "opencl:test")
    assert device.traits == probe(device.handle)
    assert device.allocator.stats()["allocated"] == 0
    assert not {"context", "default", "transfer", "clock"} & set(vars(device))
    device.synchronize()
    assert "context" not in vars(device)


def test_work_sizes(opencl):
    device = Device(discovery.backend_for(opencl)._devices[0].handle, "opencl:test")
    for items in (1, 7, 1024, 10**6, 10**9):
        (work,), (group,) = device.sizes(items)
        assert work % group == 0
        assert 0 < work <= max(items, group) + group
        assert device.sizes(items) is device.sizes(items)


def test_the_traits_are_those_of_a_backends_device(opencl):
    assert isinstance(discovery.backend_for(opencl)._devices[0].traits, Traits)
    assert backends.OpenCLBackend.name == "opencl"


# ---------------------------------------------------------------------------------------------- other device strings
@pytest.mark.parametrize(("name", "found"), [("IntelBackend", "Arc A770"), ("AppleBackend", "M3")])
def test_the_devices_of_a_vendor(machine, monkeypatch, name, found):
    import flambeau_opencl
    made = getattr(flambeau_opencl, name)()
    assert made.device_count() == 1
    assert made.properties(0).name == found
    assert made._devices[0].label == f"{made.name}:0"
    monkeypatch.setenv(CHOICE, "radeon")
    nothing = getattr(flambeau_opencl, name)()
    assert nothing.device_count() == 0
    assert 'use device="opencl", which has Radeon (gpu' in nothing.diagnosis()


@pytest.mark.skipif(sys.platform == "darwin", reason="this machine is a Mac")
def test_mps_elsewhere():
    """What says that there is no such device loads nothing to say so."""
    program = """
import sys
from flambeau_opencl.mps import AppleBackend
backend = AppleBackend()
assert backend.device_count() == 0
assert "a Mac" in backend.diagnosis() and "opencl" in backend.diagnosis()
assert "pyopencl" not in sys.modules
print("done")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "done\n", run.stderr


@pytest.mark.parametrize(("error", "advice"), [
    (ModuleNotFoundError("No module named 'pyopencl'", name="pyopencl"),
     r"'pyopencl'.*pip install 'flambeau\[opencl\]'"),
    (ImportError("libOpenCL.so.1: cannot open shared object file"), "libOpenCL.*ocl-icd-libopencl1")])
def test_a_pyopencl_that_cannot_be_imported(monkeypatch, error, advice):
    import builtins

    import flambeau_opencl
    original = builtins.__import__

    def importing(name, *args, **kwargs):
        if name == "pyopencl":
            raise error
        return original(name, *args, **kwargs)
    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(BackendError, match=advice):
        _ = flambeau_opencl.OpenCLBackend


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_processes(opencl):
    """A forked process is told that it cannot use the device; the parent goes on, and so do its data loaders."""
    program = """
import os, warnings
warnings.simplefilter("ignore")      # of forks in programs with threads
import flambeau as torch
from flambeau.utils.data import DataLoader, TensorDataset
x = torch.ones(3, device="opencl") * 2
held = torch.zeros(100000, device="opencl")
child = os.fork()
if not child:
    said = 0
    for attempt in (lambda: x + 1, lambda: x.cpu(), lambda: torch.ones(50000).to("opencl"),
                    lambda: torch.opencl.synchronize(), lambda: x.sum().item()):
        try:
            attempt()
        except RuntimeError as error:
            said += "spawn" in str(error)
    os._exit(said)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
for (batch,) in DataLoader(TensorDataset(torch.arange(8.0)), batch_size=4, num_workers=2):
    x = x + batch[:3].to("opencl")
print(x.tolist())
"""
    program = program.replace("torch.opencl.", "torch.get_device_module('opencl').")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert run.stdout == "[6.0, 8.0, 10.0]\n", run.stderr


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="batch threads are Linux's")
def test_a_processors_threads_do_not_interrupt_the_one_that_launches(opencl):
    program = ("import os, time, flambeau\n"
               "before = set(os.listdir('/proc/self/task'))\n"
               "flambeau.ones(2, device='opencl').add(1).tolist()\n"
               "time.sleep(0.5)    # the thread that loaded the plugin has ended\n"
               "new = set(os.listdir('/proc/self/task')) - before\n"
               "print(len(new), {os.sched_getscheduler(int(each)) for each in new}, os.sched_getscheduler(0))")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    if platforms.devices()[0][0].platform.name.strip() != "Portable Computing Language":
        pytest.skip("drivers start their threads when they like")
    assert run.stdout.split()[1:] == [f"{{{os.SCHED_BATCH}}}", str(os.SCHED_OTHER)]
