"""Namespaces of device types, what each device of a backend can do, and backends without a device."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest

import flambeau
from flambeau import discovery

reference = pytest.importorskip("flambeau_reference", reason="the fake devices are a plugin of their own")


class Mixed(reference.ReferenceBackend):
    """Two cards: the first stores float64, the second one does not."""

    name = "mixed"

    def capabilities_of(self, index):
        single = reference.SingleBackend.capabilities
        return single if index else self.capabilities


class Absent(reference.ReferenceBackend):
    """A backend that works, for hardware that is not there."""

    name = "absent"
    devices = 0

    def diagnosis(self):
        return "there is no Abacus GPU here;\n   see https://abacus.example/drivers"


class Hardware(reference.ReferenceBackend):
    """What claims to be hardware."""

    name = "hardware"
    capabilities = replace(reference.ReferenceBackend.capabilities, simulated=False)


class HostByAnotherName(Hardware):
    """The host's processor, through a driver that makes a device of it."""

    name = "another_name"
    capabilities = replace(Hardware.capabilities, accelerator=False)


@pytest.fixture
def offer() -> Iterator[None]:
    offered = (Mixed, Absent, Hardware, HostByAnotherName)
    for each in offered:
        discovery.register_backend(each)
    yield
    for each in offered:
        discovery.unregister_backend(each.name)


# ---------------------------------------------------------------------------------------------- devices that differ
def test_dtypes_are_those_of_the_device(offer):
    assert flambeau.ones(2, dtype=flambeau.float64, device="mixed:0").double().dtype is flambeau.float64
    for make in (lambda: flambeau.ones(2, dtype=flambeau.float64, device="mixed:1"),
                 lambda: flambeau.tensor(1.5, dtype=flambeau.float64, device="mixed:1"),
                 lambda: flambeau.ones(2, device="mixed:1").double(),
                 lambda: flambeau.ones(2, device="mixed:1").to(flambeau.float64),
                 lambda: flambeau.ones(2, dtype=flambeau.float64).to("mixed:1"),
                 lambda: flambeau.ones(2, dtype=flambeau.float64, device="mixed:0").to("mixed:1")):
        with pytest.raises(RuntimeError, match=r"device 'mixed:1': cannot store torch.float64; allowed: .*float32.*"
                                               r"x\.float\(\) .* dtype=torch\.float32"):
            make()
    with pytest.raises(RuntimeError, match=r"'mixed:1': cannot store torch.complex128.*x\.cfloat\(\)"):
        flambeau.ones(2, device="mixed:1", dtype=flambeau.complex128)


def test_what_needs_no_float64_works_without(offer):
    assert flambeau.arange(3., device="mixed:1").dtype is flambeau.float32
    assert flambeau.tensor([1.5, 2], device="mixed:1").dtype is flambeau.float32
    assert (flambeau.arange(3, device="mixed:1") / 2).dtype is flambeau.float32
    assert flambeau.ones(2).to("mixed:1").device.index == 1
    assert flambeau.ones(2, dtype=flambeau.float64).to("mixed:1", flambeau.float32).tolist() == [1, 1]
    assert flambeau.ones(2, dtype=flambeau.float64, device="mixed:0").float().to("mixed:1").tolist() == [1, 1]
    x = flambeau.arange(1., 4.)
    for index in (0, 1):
        there = x.to(f"mixed:{index}")
        assert flambeau.allclose(flambeau.special.bessel_j0(there).cpu(), flambeau.special.bessel_j0(x), atol=1e-6)
        made = flambeau.logspace(0, 2, 3, device=f"mixed:{index}")
        assert flambeau.allclose(made.cpu(), flambeau.tensor([1., 10., 100.]))
        window = flambeau.signal.windows.hann(4, device=f"mixed:{index}")
        assert flambeau.allclose(window.cpu(), flambeau.signal.windows.hann(4), atol=1e-6)


def test_the_suite_asks_the_device_under_test(offer):
    suite = pytest.importorskip("flambeau_conformance.suite", reason="the conformance suite is a plugin of its own")
    assert flambeau.float64 in suite.subject("mixed:0").dtypes
    assert flambeau.float64 not in suite.subject("mixed:1").dtypes


# ---------------------------------------------------------------------------------------------- no device
def test_a_backend_without_a_device_says_why(offer):
    space = flambeau.get_device_module("absent")
    assert (space.is_available(), space.device_count()) == (False, 0)
    said = "device 'absent.*': there is no Abacus GPU here; see https://abacus.example/drivers"
    for ask in (lambda: flambeau.ones(1, device="absent"), lambda: flambeau.ones(1).to("absent:1"),
                lambda: flambeau.Stream("absent"), space.current_device, space.synchronize):
        with pytest.raises(RuntimeError, match=said):
            ask()
    row = next(row for row in discovery.report() if row["name"] == "absent")
    assert row["diagnosis"] == "there is no Abacus GPU here; see https://abacus.example/drivers"
    assert not row["reason"]


def test_commands_show_why_there_is_no_device(offer, capsys: pytest.CaptureFixture[str]):
    from flambeau.cli import main
    for command in ("devices", "doctor"):
        main([command])
        assert "there is no Abacus GPU here; see https://abacus.example/drivers" in capsys.readouterr().out


def test_a_backend_that_does_not_say_why():
    class Silent(Absent):
        name = "silent"

        def diagnosis(self):
            return ""

    discovery.register_backend(Silent)
    try:
        with pytest.raises(RuntimeError, match=r"no device of this type.*driver.*flambeau devices"):
            flambeau.ones(1, device="silent")
    finally:
        discovery.unregister_backend("silent")


def test_a_diagnosis_that_breaks_disables_its_backend():
    class Broken(Absent):
        name = "broken"

        def diagnosis(self):
            raise OSError("no driver")

    discovery.register_backend(Broken)
    try:
        with pytest.raises(RuntimeError, match=r"OSError: no driver \(while diagnosis\(\) ran\)"):
            flambeau.ones(1, device="broken")
    finally:
        discovery.unregister_backend("broken")


def test_mps_and_xpu_answer_from_their_backends(monkeypatch: pytest.MonkeyPatch):
    """Whichever backend has the name: here one with a device, and one without."""
    before = {name: discovery._offers().get(name) for name in ("mps", "xpu")}
    try:
        for count in (0, 1):
            for name in before:
                discovery.unregister_backend(name)
                discovery.register_backend(type(name, (Hardware,), {"name": name, "devices": count}))
            for space, switches in ((flambeau.mps, flambeau.backends.mps), (flambeau.xpu, flambeau.backends.xpu)):
                assert space.is_available() is switches.is_available() is bool(count)
                assert space.device_count() == count
        assert flambeau.mps.recommended_max_memory() == 1 << 30
        assert flambeau.mps.current_allocated_memory() == flambeau.mps.driver_allocated_memory() == 0
        assert flambeau.ones(1, device="mps").is_mps
        assert flambeau.mps.Event(enable_timing=True).query()
        flambeau.mps.synchronize()
        if not flambeau.cuda.is_available():
            assert flambeau.accelerator.current_accelerator() == flambeau.device("xpu")
    finally:
        for name, offered in before.items():
            discovery.unregister_backend(name)
            if offered is not None:
                discovery._offers()[name] = offered


# ---------------------------------------------------------------------------------------------- the accelerator
@pytest.fixture
def alone(offer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the backends of this test and the simulated ones are offered."""
    kept = {name: each for name, each in discovery._offers().items()
            if name in ("cpu", Absent.name, Hardware.name, HostByAnotherName.name) or name.startswith("reference")}
    monkeypatch.setattr(discovery, "_offered", kept)


def test_the_accelerator_is_hardware_beside_the_host(alone):
    assert flambeau.accelerator.current_accelerator() == flambeau.device("hardware")
    assert flambeau.get_device_module() is flambeau.get_device_module("hardware")
    assert flambeau.device(1) == flambeau.ones(2).to(1).device == flambeau.device("hardware:1")
    discovery.unregister_backend("hardware")
    assert flambeau.accelerator.current_accelerator() is None
    assert flambeau.get_device_module() is flambeau.cpu
    with pytest.raises(RuntimeError, match="none is available"):
        flambeau.accelerator.memory_allocated()
    assert flambeau.Stream().device == flambeau.Event().device == flambeau.device("cpu")


def test_the_accelerators_questions(alone):
    space = flambeau.accelerator
    assert space.device_count() == 2 and space.is_available()
    with space.device_index(1):
        assert space.current_device_index() == 1
        assert flambeau.Stream().device == flambeau.device("hardware:1")
    assert flambeau.float64 in space.get_device_capability()["supported_dtypes"]
    before = space.memory_allocated()
    x = flambeau.ones(1000, device="hardware")
    assert space.memory_allocated() == before + 4000 <= space.max_memory_allocated()
    assert space.memory_stats()["allocated_bytes.all.current"] == before + 4000
    assert space.memory_reserved() == space.max_memory_reserved() == space.memory_allocated()
    free, total = space.get_memory_info()
    assert 0 < free < total == 1 << 30
    del x
    space.reset_peak_memory_stats()
    space.reset_accumulated_memory_stats()
    assert space.max_memory_allocated() == before
    space.empty_cache()
    space.empty_host_cache()
    space.synchronize()
    stream = flambeau.Stream()
    space.set_stream(stream)
    assert space.current_stream() == stream
    space.set_stream(flambeau.hardware.default_stream())
    assert space.current_stream().stream_id == 0


def test_the_accelerator_has_pytorchs_names(oracle):
    assert {name for name in oracle.accelerator.__all__ if not hasattr(flambeau.accelerator, name)} == set()


# ---------------------------------------------------------------------------------------------- namespaces
def test_every_backend_has_a_namespace(offer):
    for name in discovery.offered():
        space = flambeau.get_device_module(name)
        assert isinstance(space, ModuleType) and space.__name__ == f"flambeau.{name}"
        assert space is getattr(flambeau, name)
    space = flambeau.get_device_module(flambeau.device("mixed:1"))
    assert space is flambeau.mixed and space.device_count() == 2
    space.set_device(1)
    assert space.current_device() == 1
    space.set_device(0)
    space.manual_seed(3)
    first = flambeau.rand(3, device="mixed")
    space.manual_seed_all(3)
    assert flambeau.equal(flambeau.rand(3, device="mixed"), first)
    assert isinstance(flambeau.mixed.FloatTensor(2), flambeau.mixed.FloatTensor)
    assert not hasattr(flambeau.mixed, "nothing_of_the_kind")
    with pytest.raises(NotImplementedError, match="limited"):
        flambeau.cpu.set_per_process_memory_fraction(0.5)
    with pytest.raises(ValueError, match="fraction"):
        space.set_per_process_memory_fraction(2.0)


def test_names_of_the_namespaces_are_those_of_one(oracle):
    own = {"cpu": {"amp"}, "mps": {"current_allocated_memory", "driver_allocated_memory", "recommended_max_memory"}}
    names = set(dir(flambeau.cuda)) - {"amp"}   # a module of that one and of "cpu"
    assert {name for name in names if not hasattr(oracle.cuda, name)} == set()
    assert {"Stream", "Event", "current_stream", "is_available", "memory_allocated", "manual_seed"} <= names
    for name in ("xpu", "mps", "cpu", "reference"):
        space = flambeau.get_device_module(name)
        assert set(dir(space)) == names | own.get(name, set())
        assert all(hasattr(space, each) for each in dir(space))


def test_functions_of_a_namespace_can_be_pickled():
    assert pickle.loads(pickle.dumps(flambeau.cuda.device_count)) == flambeau.cuda.device_count


def test_submodules_of_a_namespace_are_not_invented():
    program = """
import importlib.util
import flambeau.cuda, flambeau.xpu
from flambeau.cuda import Stream, is_available
assert importlib.util.find_spec("flambeau.cpu")
try:
    import flambeau.cuda.tunable
except ModuleNotFoundError:
    pass
else:
    raise SystemExit(1)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
