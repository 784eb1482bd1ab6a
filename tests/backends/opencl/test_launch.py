"""Launching hand-written kernels: arguments of every type, layouts, sizes, several threads at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import flambeau
from flambeau import discovery, dtypes as fd
from flambeau.errors import DeviceError

pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'flambeau[opencl]'")
import pyopencl as cl

from flambeau_clike import launch as launching, transfers
from flambeau_clike.array import Array, empty, view
from flambeau_clike.launch import Layout, Scalar, launch
from flambeau_clike.program import Family
from flambeau_opencl.device import Device

FILL = Family("launch_fill", """
KERNEL $NAME(ARRAY($T, out), $T value, i64 n) {
    OPEN($T, out);
    FOR_EACH(i, n) out[i] = value;
}""", (("T", ("b8", "u8", "i8", "i16", "i32", "i64", "u16", "u32", "u64", "f32", "f64", "c64", "c128")),))

GATHER = Family("launch_gather", """
KERNEL $NAME(ARRAY(i32, out), ARRAY(i32, input), layout_t layout, i64 n) {
    OPEN(i32, out); OPEN(i32, input);
    FOR_EACH(i, n) out[i] = input[locate(&layout, 0, i)] + 1000 * (i32)locate(&layout, 3, i);
}""")

ADD = Family("launch_add", """
KERNEL $NAME(ARRAY(f32, out), ARRAY(f32, input), i64 amount, i64 n) {
    OPEN(f32, out); OPEN(f32, input);
    FOR_EACH(i, n) out[i] = input[i] + (f32)amount;
}""")


@pytest.fixture
def device(opencl) -> Device:
    return discovery.backend_for(opencl)._devices[0]


@pytest.mark.parametrize(("dtype", "value"), [
    (fd.bool_, True), (fd.uint8, 200), (fd.int8, -100), (fd.int16, -30000), (fd.int32, 1 << 30), (fd.int64, 1 << 60),
    (fd.uint16, 65535), (fd.uint32, 1 << 31), (fd.uint64, 1 << 63), (fd.float32, 0.1), (fd.float64, 0.1),
    (fd.complex64, 1 - 2j), (fd.complex128, 0.1 + 0.2j)])
def test_scalars(device, dtype, value):
    if dtype in (fd.float64, fd.complex128) and not device.traits.fp64:
        pytest.skip("this device has no float64")
    from flambeau.ir.dialect import C_TYPES
    out = empty((5,), dtype, device)
    launch(FILL, (C_TYPES[dtype],), 5, out, Scalar(value, dtype), 5)
    found = transfers.to_host(out)
    assert (found == np.array(value, found.dtype)).all()


def test_layouts(device):
    values = np.arange(60, dtype=np.int32)
    array, out = transfers.from_host(values, device), empty((3, 4, 5), fd.int32, device)
    launch(GATHER, (), 60, out, array, Layout((3, 4, 5), (1, 3, 12), (0, 0, 0), (0, 0, 0), (0, 0, 1)), 60)
    expected = values.reshape(5, 4, 3).transpose(2, 1, 0) + 1000 * np.arange(5)
    assert (transfers.to_host(out) == expected).all()
    with pytest.raises(ValueError, match="at most 8 dimensions and 4 operands"):
        Layout((1,) * 9)
    with pytest.raises(ValueError, match="at most 8 dimensions and 4 operands"):
        Layout((1,), (1,), (1,), (1,), (1,), (1,))


def test_offsets(device):
    array = transfers.from_host(np.arange(10, dtype=np.float32), device)
    part = view(array, (3,), (1,), 4)
    launch(ADD, (), 3, part, part, 100, 3)
    assert transfers.to_host(array).tolist() == [0, 1, 2, 3, 104, 105, 106, 7, 8, 9]


@pytest.mark.parametrize("items", [1, 2, 1023, 1024, 5000, 100_001])
def test_any_number_of_items(device, items):
    out = transfers.from_host(np.zeros(items + 7, np.float32), device)
    launch(ADD, (), items, out, out, 1, items)
    found = transfers.to_host(out)
    assert (found[:items] == 1).all()
    assert (found[items:] == 0).all()


def test_nothing_to_do(device):
    out = empty((0,), fd.float32, device)
    launch(ADD, (), 0, out, out, 1, 0)
    assert transfers.to_host(out).shape == (0,)


def test_wide_indices(device, monkeypatch):
    """What arrays beyond 32-bit indices take, with small ones."""
    monkeypatch.setattr(launching, "NARROW", 100)
    out = transfers.from_host(np.zeros(1000, np.float32), device)
    launch(ADD, (), 1000, out, out, 3, 1000)
    assert (transfers.to_host(out) == 3).all()
    assert (ADD, (), True) in device.plans


def test_kernels_are_shared_by_threads(device):
    """Each launch has its own arguments, whatever other threads set meanwhile."""
    wrong = []

    def work(number: int) -> None:
        source = transfers.from_host(np.full(100, number, np.float32), device)
        outs = []
        for amount in range(200):
            out = empty((100,), fd.float32, device)
            launch(ADD, (), 100, out, source, amount, 100)
            outs.append(out)
        for amount, out in enumerate(outs):
            if not (transfers.to_host(out) == number + amount).all():
                wrong.append((number, amount))
    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_a_launch_that_the_driver_refuses(device, monkeypatch):
    """It is tried once more after memory was freed, and then an error that names it."""
    attempts = []

    def refusing(queue: object, kernel: object, *sizes: object) -> None:
        attempts.append(kernel)
        raise _refusal("OUT_OF_RESOURCES")
    out = transfers.from_host(np.zeros(4, np.float32), device)
    launch(ADD, (), 4, out, out, 1, 4)
    monkeypatch.setattr(type(device), "enqueue", staticmethod(refusing))
    with pytest.raises(DeviceError, match=r"a launch failed: OUT_OF_RESOURCES.*launch_add"):
        launch(ADD, (), 4, out, out, 1, 4)
    assert len(attempts) == 2
    monkeypatch.undo()
    assert transfers.to_host(out).tolist() == [1] * 4


class _Refused(cl.Error):
    routine = "clEnqueueNDRangeKernel"
    code = cl.status_code.OUT_OF_RESOURCES


def _refusal(name: str) -> Exception:
    return _Refused(name)


def test_arrays(device):
    array = empty((2, 3), fd.float32, device)
    assert (array.size, array.dense, array.strides, array.offset) == (6, True, (3, 1), 0)
    assert isinstance(view(array, (3, 2), (1, 3), 0), Array)
    assert not view(array, (3, 2), (1, 3), 0).dense
    assert view(array, (0,), (1,), 6).size == 0
    with pytest.raises(ValueError, match="does not lie within"):
        view(array, (4, 2), (1, 3), 0)
    assert flambeau.float32 is array.dtype
