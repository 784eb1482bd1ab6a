"""Copies between the host and a device: right, independent, and without waiting for more than they need."""

from __future__ import annotations

import threading

import ml_dtypes
import numpy as np
import pytest

import flambeau
from flambeau import discovery

pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'flambeau[opencl]'")
import pyopencl as cl

from flambeau_clike import transfers
from flambeau_clike.lanes import UPLOADS
from flambeau_opencl.backend import OpenCLBackend
from flambeau_opencl.device import Device

SIZES = (1, 3, 31, 33, 1000, 100_000, 1_000_000)


@pytest.fixture
def device(opencl) -> Device:
    return Device(discovery.backend_for(opencl)._devices[0].handle, "opencl:test")


@pytest.fixture
def gate(device):
    """Keeps the device's default lane busy until it is opened."""
    event = cl.UserEvent(device.context)
    device.default.after([event])
    opened = []

    def open_() -> None:
        if not opened:
            opened.append(True)
            event.set_status(cl.command_execution_status.COMPLETE)
    yield open_
    open_()
    device.finish()


@pytest.mark.parametrize("size", SIZES)
def test_there_and_back(device, size):
    values = np.arange(size, dtype=np.float32)
    array = transfers.from_host(values, device)
    assert array.shape == (size,)
    assert array.dense
    found = transfers.to_host(array)
    assert (found == values).all()
    found[:] = 0
    assert (transfers.to_host(array) == values).all()


@pytest.mark.parametrize("shape", [(), (2, 3), (0,), (4, 0, 2), (300, 500), (7, 11, 13)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_shapes_and_strides(device, shape, order):
    values = np.asarray(np.random.default_rng(0).integers(0, 255, shape), np.int64).copy(order=order)
    for each in (values, values.T, values[..., ::-1] if shape else values):
        found = transfers.to_host(transfers.from_host(each, device))
        assert found.shape == each.shape
        assert (found == each).all()


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, np.bool_, np.complex128, np.uint16])
def test_views_with_gaps_of_any_dtype(device, kind):
    values = np.arange(24).reshape(4, 6).astype(kind)
    array = transfers.from_host(values, device)
    from flambeau_clike.array import view
    turned = view(array, (6, 4), (1, 6), 0)
    assert transfers.to_host(turned).tobytes() == np.ascontiguousarray(values.T).tobytes()
    part = view(array, (2, 2), (12, 2), 3)
    assert transfers.to_host(part).tobytes() == np.ascontiguousarray(values[::2, 3::2]).tobytes()


@pytest.mark.parametrize("size", SIZES)
def test_the_host_array_may_change_afterwards(device, gate, size):
    values = np.ones(size, np.float32)
    array = transfers.from_host(values, device)
    values[:] = 2
    del values
    gate()
    assert (transfers.to_host(array) == 1).all()


@pytest.mark.parametrize("size", SIZES)
def test_uploads_do_not_wait_for_what_is_queued(device, gate, size):
    """The lane is blocked; from_host returns all the same."""
    done = threading.Event()
    made = []

    def upload() -> None:
        made.append(transfers.from_host(np.full(size, 3, np.float32), device))
        done.set()
    thread = threading.Thread(target=upload)
    thread.start()
    returned = done.wait(20)
    gate()
    thread.join()
    assert returned
    assert (transfers.to_host(made[0]) == 3).all()


def test_an_upload_is_never_seen_by_what_was_queued_before(device, gate):
    """Memory that a kernel in the queue still reads is not overwritten by an upload."""
    from flambeau_clike.kernels.movement import clone
    for size in (1000, 1_000_000):
        first = transfers.from_host(np.full(size, 1, np.float32), device)
        copy = clone(first)
        del first
        second = transfers.from_host(np.full(size, 2, np.float32), device)
        gate()
        assert (transfers.to_host(copy) == 1).all()
        assert (transfers.to_host(second) == 2).all()


def test_host_memory_of_uploads_is_let_go(device, gate):
    threading.Timer(0.1, gate).start()
    for _ in range(3 * UPLOADS):      # does not wait for ever, and does not hold all of it
        transfers.from_host(np.zeros(1000, np.float32), device)
    assert len(device.default._uploads) <= UPLOADS
    gate()
    device.synchronize()
    assert not device.default._uploads
    assert device.default._pending == 0


@pytest.mark.parametrize(("kind", "value"), [
    (np.float32, 2.5), (np.int64, -7), (np.bool_, True), (np.complex64, 1 - 2j), (ml_dtypes.bfloat16, 1.5),
    (np.float16, 0.5), (np.uint8, 255)])
def test_item(device, kind, value):
    array = transfers.from_host(np.array([[value]], kind), device)
    assert transfers.item(array) == value
    with pytest.raises(ValueError, match="one element"):
        transfers.item(transfers.from_host(np.zeros(2, kind), device))


def test_without_shared_memory(opencl, monkeypatch):
    """The ways that a device with memory of its own takes."""
    from flambeau_opencl.device import WITHOUT, pretended
    monkeypatch.setenv(WITHOUT, "unified")
    device = Device(discovery.backend_for(opencl)._devices[0].handle, "opencl:test", pretended())
    assert not device.traits.unified
    for size in (100, 1000):
        values = np.random.default_rng(0).random((size, size)).T
        array = transfers.from_host(values, device)
        assert (transfers.to_host(array) == values).all()
        from flambeau_clike.array import view
        assert (transfers.to_host(view(array, (size, size), (1, size), 0)) == values.T).all()


def test_between_two_devices(opencl):
    """Two devices of the driver's, which are the same one here, in contexts of their own."""
    first, second = (Device(discovery.backend_for(opencl)._devices[0].handle, f"opencl:{name}") for name in "ab")
    values = np.arange(1000, dtype=np.float32)
    there = transfers.from_host(transfers.to_host(transfers.from_host(values, first)), second)
    assert there.device is second
    assert (transfers.to_host(there) == values).all()
    assert second.allocator.stats()["allocated"] == first.allocator.stats()["allocated"] + there.memory.counted


def test_a_backend_of_two_devices(opencl, monkeypatch):
    """Tensors on, between and across the devices of one backend."""
    from flambeau_opencl import platforms
    handles, _ = platforms.devices()
    monkeypatch.setattr(platforms, "devices", lambda: ([handles[0], handles[0]], []))

    class Twice(OpenCLBackend):
        name = "opencl_twice"
    discovery.register_backend(Twice)
    try:
        x = flambeau.arange(6.0, device="opencl_twice:0")
        y = x.to("opencl_twice:1")
        assert y.device.index == 1
        assert ((y + 1) * 2).tolist() == [2, 4, 6, 8, 10, 12]
        assert y.to("opencl_twice:0").device == x.device
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            x + y
        with flambeau.get_device_module("opencl_twice").device(1):
            assert flambeau.zeros(2, device="opencl_twice").device.index == 1
    finally:
        discovery.unregister_backend(Twice.name)
