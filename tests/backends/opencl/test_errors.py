"""Errors that come late: what a kernel found wrong with its data, told where the program waits."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from flambeau import discovery
from flambeau.errors import DeviceError
from flambeau.ir.faults import FAULTS, HEADER

pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'flambeau[opencl]'")
import pyopencl as cl

from flambeau_clike.array import Array
from flambeau_clike.launch import launch
from flambeau_clike.program import Family

TAKE = Family("checked_take", """
KERNEL $NAME(ARRAY(f32, out), ARRAY(f32, input), ARRAY(i64, index), i64 size, i64 n, i64 code, ERRORS) {
    OPEN(f32, out); OPEN(f32, input); OPEN(i64, index);
    FOR_EACH(i, n) {
        i64 at = index[i];
        if (at < 0 || at >= size) { FAIL((i32)code); at = 0; }
        out[i] = input[at];
    }
}""")


def take(x: flambeau.Tensor, index: list[int], code: int = 1) -> Array:
    """x[index] by a kernel that checks the indices."""
    backend = discovery.backend_for("opencl")
    places = backend.from_host(np.array(index, np.int64), 0)
    out = backend.empty((len(index),), flambeau.float32, 0)
    launch(TAKE, (), len(index), out, x._array, places, x.numel(), len(index), code, op="take", checks=True)
    return out


@pytest.fixture
def x(opencl):
    tensor = flambeau.arange(4.0, device=opencl)
    yield tensor
    discovery.backend_for(opencl).synchronize(0)


def test_nothing_is_raised_for_good_data(x):
    backend = discovery.backend_for("opencl")
    assert backend.to_host(take(x, [3, 0])).tolist() == [3.0, 0.0]


@pytest.mark.parametrize("way", ["synchronize", "to_host", "item", "stream"])
def test_where_it_is_told(x, way):
    backend = discovery.backend_for("opencl")
    out = take(x, [0, 77, 1])
    ways = {"synchronize": lambda: backend.synchronize(0), "to_host": lambda: backend.to_host(out),
            "item": lambda: x[1].item(), "stream": lambda: backend.default_queue(0).synchronize()}
    with pytest.raises(IndexError, match="index out of range") as caught:
        ways[way]()
    text = str(caught.value)
    assert "take(float32 [3], float32 [4], int64 [3])" in text
    assert f"{__file__}:{take.__code__.co_firstlineno + 5}" in text     # the line that launched it
    backend.synchronize(0)      # told once
    assert backend.to_host(take(x, [2])).tolist() == [2.0]      # and the device works on


def test_the_first_of_several_is_told(x):
    backend = discovery.backend_for("opencl")
    take(x, [0, 1])
    take(x, [9, 9, 9], code=3)
    take(x, [8, 8], code=1)
    with pytest.raises(RuntimeError, match=r"negative integer powers.*float32 \[3\]"):
        backend.synchronize(0)
    backend.synchronize(0)


def test_a_launch_that_is_forgotten_has_a_number(x):
    backend = discovery.backend_for("opencl")
    take(x, [9])
    for _ in range(100):
        take(x, [0])
    with pytest.raises(IndexError, match=r"launch [0-9]+"):
        backend.synchronize(0)


def test_an_unknown_code_is_an_error_too(x):
    take(x, [9], code=1000)
    with pytest.raises(DeviceError, match="unknown code 1000"):
        discovery.backend_for("opencl").synchronize(0)


def test_checks_cost_nothing_where_no_launch_is_checked(x, monkeypatch):
    faults = x._array.device.faults
    discovery.backend_for("opencl").synchronize(0)
    reads = []
    monkeypatch.setattr(faults, "_found", reads.append)
    (x + 1).cpu()
    assert reads == []


@pytest.mark.parametrize("wait", ["stream", "event", "device"])
def test_an_error_of_one_stream_is_not_lost_while_another_is_waited_for(x, wait):
    """The buffer is read, for the other stream's sake, before the launch that fails has run."""
    api = flambeau.get_device_module("opencl")
    large = flambeau.ones(600, 600, dtype=flambeau.int32, device="opencl")
    near, far = (flambeau.tensor([place], device="opencl") for place in (1, 77))
    stream = api.Stream()
    for _ in range(5):
        stream.wait_stream(api.current_stream())
        with stream:
            for _ in range(3):
                large @ large
            x.index_select(0, far)
            event = stream.record_event()
        try:
            assert x.index_select(0, near).tolist() == [x[1].item()]
        except IndexError:      # it may have run
            continue
        with pytest.raises(IndexError):
            {"stream": stream.synchronize, "event": event.synchronize, "device": api.synchronize}[wait]()
    api.synchronize()


def test_errors_of_the_driver_name_the_latest_launches(x):
    faults = x._array.device.faults
    take(x, [0])
    translated = faults.translated(_error("OUT_OF_RESOURCES"), "a launch")
    assert isinstance(translated, DeviceError)
    assert "OUT_OF_RESOURCES" in str(translated)
    assert "checked_take" in str(translated)
    assert isinstance(faults.translated(_error("MEM_OBJECT_ALLOCATION_FAILURE")), flambeau.errors.OutOfMemoryError)


def _error(name: str) -> Exception:
    class Fake(RuntimeError):
        routine = "clEnqueueNDRangeKernel"
        code = getattr(cl.status_code, name)
    return Fake(name)


def test_the_table_of_faults():
    for code, fault in FAULTS.items():
        assert fault.code == code > 0
        assert f"#define {fault.name} {code}\n" in HEADER
        assert issubclass(fault.error, (RuntimeError, IndexError))
        assert fault.problem and fault.next_step
