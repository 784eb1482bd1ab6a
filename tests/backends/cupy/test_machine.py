"""The stand-in for CuPy keeps the rules of what it stands for: barriers, streams, captures, memory, products, names.

Each test runs in the process of the tests where the real CuPy has not been imported, else it is skipped.
"""

from __future__ import annotations

import ctypes
import gc
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuda_machine
from cuda_machine import arrays, cublas, engine, program, runtime
from cuda_machine.errors import CUBLASError, CUDADriverError, CUDARuntimeError, MachineError

HERE = Path(__file__).resolve().parents[2]
SUM = r"""
extern "C" __global__ void tree(float *out, const float *in, long long n) {
    __shared__ float kept[256];
    int lane = threadIdx.x;
    long long at = blockIdx.x * (long long)blockDim.x + lane;
    kept[lane] = at < n ? in[at] : 0;
    __syncthreads();
    for (int half = blockDim.x / 2; half; half /= 2) {
        if (lane < half) kept[lane] += kept[lane + half];
        __syncthreads();
    }
    if (lane == 0) out[blockIdx.x] = kept[0];
}
extern "C" __global__ void count(int *total, unsigned *largest, float *sum, int each) {
    atomicAdd(total, each);
    atomicMax(largest, blockIdx.y * 100 + threadIdx.y * 10 + threadIdx.x);
    atomicAdd(sum, 0.5f);
}
struct settings { long long words[5]; };
extern "C" __global__ void mixed(double *out, char a, settings s, float b, double c) {
    out[0] = a; out[1] = s.words[4]; out[2] = b; out[3] = c;
}
extern "C" __global__ void leaves(float *out) {
    if (threadIdx.x > 3) return;
    __syncthreads();
    out[threadIdx.x] = 1;
}
extern "C" __global__ void parts(float *out) {
    if (threadIdx.x > 3)
        __syncthreads();
    else
        __syncthreads();
    out[threadIdx.x] = 1;
}
extern "C" __global__ void unset(float *out) {
    __shared__ float kept[4];
    out[threadIdx.x] = kept[threadIdx.x];
    __syncthreads();
    kept[threadIdx.x] = 1;
}
extern "C" __global__ void scale(float *x, float by) { x[threadIdx.x] = x[threadIdx.x] * by + 1; }
"""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two devices, with nothing queued."""
    before = {name: sys.modules.get(name) for name in list(sys.modules) if name.partition(".")[0] in
              ("cupy", "cupy_backends")}
    if any(each is not cuda_machine._made.get(name) for name, each in before.items()):
        pytest.skip("the real CuPy has been imported in this process")
    monkeypatch.setattr(engine, "settings", engine.Settings(devices=2))
    cuda_machine.install()
    yield sys.modules["cupy"]
    for name in cuda_machine._made:
        sys.modules.pop(name, None)
    sys.modules.update({name: each for name, each in before.items() if each is not None})
    engine.choose(0)
    for place in range(2):
        engine.synchronize_device(place)


@pytest.fixture
def kernels(machine: Any) -> Any:
    if program.compiler() is None:
        pytest.skip("no C++ compiler on this machine")
    return machine.RawModule(code=SUM, options=("-DWIDE", "--fmad=false"))


def launch(kernel: Any, grid: tuple[int, int, int], block: tuple[int, int, int], *args: Any, stream: int = 0) -> None:
    """As the driver is called: the address of an array of pointers to arguments."""
    pointers = (ctypes.c_void_p * len(args))(*(ctypes.addressof(each) for each in args))
    program.launchKernel(kernel.kernel.ptr, *grid, *block, 0, stream, ctypes.addressof(pointers), 0)
    ctypes.memset(pointers, 0, ctypes.sizeof(pointers))      # they were read


def at(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.data.ptr)


# ------------------------------------------------------------------------------------------------- kernels
def test_a_tree_sum_passes_barriers(machine: Any, kernels: Any) -> None:
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    out, given = machine.zeros(4, dtype="f4"), machine.asarray(values)
    launch(kernels.get_function("tree"), (4, 1, 1), (256, 1, 1), at(out), at(given), ctypes.c_int64(1000))
    wanted = np.pad(values, (0, 24)).reshape(4, 256).astype(np.float64).sum(1)
    np.testing.assert_allclose(out.get(), wanted, rtol=1e-5)
    assert cuda_machine.launches[-1] == "tree"


def test_atomics_and_indices(machine: Any, kernels: Any) -> None:
    total, largest, added = (machine.zeros(1, dtype=each) for each in ("i4", "u4", "f4"))
    launch(kernels.get_function("count"), (2, 3, 1), (4, 5, 2), at(total), at(largest), at(added), ctypes.c_int32(2))
    assert (int(total[0]), int(largest[0]), float(added[0])) == (2 * 240, 243, 120.0)


def test_arguments_of_all_sizes(machine: Any, kernels: Any) -> None:
    out = machine.zeros(4)
    launch(kernels.get_function("mixed"), (1, 1, 1), (1, 1, 1), at(out), ctypes.c_int8(-3),
           (ctypes.c_int64 * 5)(0, 0, 0, 0, 7), ctypes.c_float(0.5), ctypes.c_double(0.1))
    assert out.get().tolist() == [-3, 7, 0.5, 0.1]


@pytest.mark.parametrize("name, what", [("leaves", "4 work items wait at the barrier of line .* for 4 that have ended"),
                                        ("parts", "wait at different barriers, at lines")])
def test_divergent_barriers_are_refused(machine: Any, kernels: Any, name: str, what: str) -> None:
    out = machine.zeros(8, dtype="f4")
    with pytest.raises(MachineError, match=f"^{name}: .*{what}"):
        launch(kernels.get_function(name), (1, 1, 1), (8, 1, 1), at(out))
    launch(kernels.get_function("leaves"), (1, 1, 1), (4, 1, 1), at(out))       # and nothing is left of that
    assert out.get().tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_memory_holds_no_numbers_at_first(machine: Any, kernels: Any) -> None:
    out = machine.zeros(4, dtype="f4")
    launch(kernels.get_function("unset"), (1, 1, 1), (4, 1, 1), at(out))
    assert np.isnan(out.get()).all()
    assert np.isnan(machine.ndarray((3,), "f4").get()).all()


def test_barriers_without_the_assembler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Any) -> None:
    if program.compiler() is None:
        pytest.skip("no C++ compiler on this machine")
    module = machine.RawModule(code=SUM, options=("-DMACHINE_UCONTEXT",))
    out, given = machine.zeros(1, dtype="f4"), machine.ones(200, dtype="f4")
    launch(module.get_function("tree"), (1, 1, 1), (256, 1, 1), at(out), at(given), ctypes.c_int64(200))
    assert float(out[0]) == 200


def test_what_does_not_compile(machine: Any) -> None:
    if program.compiler() is None:
        pytest.skip("no C++ compiler on this machine")
    compile_error = sys.modules["cupy.cuda.compiler"].CompileException
    with pytest.raises(compile_error, match=r"program.cu:2.*nowhere"):
        machine.RawModule(code='\nextern "C" __global__ void bad(int *x) { *x = nowhere; }').get_function("bad")
    with pytest.raises(compile_error, match="unrecognized option"):
        machine.RawModule(code=SUM, options=("--fast",)).get_function("tree")
    with pytest.raises(TypeError, match="tuple"):
        machine.RawModule(code=SUM, options=["-DWIDE"])
    with pytest.raises(CUDADriverError, match="CUDA_ERROR_NOT_FOUND"):
        machine.RawModule(code=SUM).get_function("absent")


def test_launches_that_no_device_takes(machine: Any, kernels: Any) -> None:
    out = machine.zeros(8, dtype="f4")
    for grid, block in (((0, 1, 1), (1, 1, 1)), ((1, 1, 1), (1025, 1, 1)), ((1, 70000, 1), (1, 1, 1))):
        with pytest.raises(CUDADriverError, match="invalid argument"):
            launch(kernels.get_function("leaves"), grid, block, at(out))
    ours = kernels.get_function("leaves").kernel.ptr
    with machine.cuda.Device(1), pytest.raises(CUDADriverError, match="INVALID_HANDLE"):
        program.launchKernel(ours, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)


# ------------------------------------------------------------------------------------------------- streams
def test_late_work_shows_missing_synchronisation(machine: Any, kernels: Any) -> None:
    x = machine.ones(4, dtype="f4")
    scale = kernels.get_function("scale")
    one, two = (machine.cuda.Stream(non_blocking=True) for _ in range(2))
    engine.settings.late = True
    launch(scale, (1, 1, 1), (4, 1, 1), at(x), ctypes.c_float(2), stream=one.ptr)
    assert x.get()[0] == 1, "nobody has waited"
    assert not one.done and one.done, "asking runs what is there"
    assert x.get()[0] == 3
    launch(scale, (1, 1, 1), (4, 1, 1), at(x), ctypes.c_float(2), stream=one.ptr)
    event = machine.cuda.Event()
    event.record(one)
    launch(scale, (1, 1, 1), (4, 1, 1), at(x), ctypes.c_float(0), stream=one.ptr)
    two.wait_event(event)
    two.synchronize()
    assert x.get()[0] == 7, "what is behind the event has not run"
    machine.cuda.Device().synchronize()
    assert x.get()[0] == 1


def test_the_legacy_stream_waits_for_others(machine: Any, kernels: Any) -> None:
    engine.settings.late = True
    x = machine.ones(4, dtype="f4")
    one = machine.cuda.Stream()
    launch(kernels.get_function("scale"), (1, 1, 1), (4, 1, 1), at(x), ctypes.c_float(2), stream=one.ptr)
    assert x.get()[0] == 3


def test_copies_from_memory_that_is_not_pinned_are_over_at_once() -> None:
    engine.settings.late = True
    stream = runtime.streamCreateWithFlags(1)
    device, host, pinned = runtime.malloc(16), np.arange(4, dtype="f4"), runtime.hostAlloc(16, 0)
    runtime.memcpyAsync(device, host.ctypes.data, 16, 1, stream)
    host[:] = 9
    runtime.memcpyAsync(pinned, device, 16, 2, stream)
    kept = engine.view(pinned, 16).view("f4")
    assert np.isnan(kept).all()
    runtime.streamSynchronize(stream)
    assert kept.tolist() == [0, 1, 2, 3]
    runtime.memsetAsync(device, 0, 16, stream)
    runtime.memcpyAsync(host.ctypes.data, device, 16, 2, stream)
    assert host.tolist() == [0, 0, 0, 0]
    with pytest.raises(CUDARuntimeError, match="invalid argument"):
        runtime.memcpyAsync(device, host.ctypes.data, 17, 1, stream)
    runtime.free(device)
    runtime.freeHost(pinned)


def test_events_tell_times(machine: Any) -> None:
    first, second, plain = machine.cuda.Event(), machine.cuda.Event(), machine.cuda.Event(disable_timing=True)
    with pytest.raises(CUDARuntimeError, match="invalid resource handle"):
        machine.cuda.get_elapsed_time(first, second)
    engine.settings.late = True
    first.record()
    second.record()
    with pytest.raises(CUDARuntimeError, match="not ready"):
        machine.cuda.get_elapsed_time(first, second)
    second.synchronize()
    assert machine.cuda.get_elapsed_time(first, second) >= 0
    plain.record()
    plain.synchronize()
    with pytest.raises(CUDARuntimeError):
        machine.cuda.get_elapsed_time(first, plain)


def test_captured_work_is_replayed(machine: Any, kernels: Any) -> None:
    x = machine.ones(4, dtype="f4")
    one, two = (machine.cuda.Stream(non_blocking=True) for _ in range(2))
    scale, event, back = kernels.get_function("scale"), machine.cuda.Event(), machine.cuda.Event()
    one.begin_capture()
    launch(scale, (1, 1, 1), (4, 1, 1), at(x), ctypes.c_float(2), stream=one.ptr)
    event.record(one)
    two.wait_event(event)
    launch(scale, (1, 1, 1), (4, 1, 1), at(x), ctypes.c_float(3), stream=two.ptr)
    with pytest.raises(CUDARuntimeError, match="last recorded in a capturing stream"):
        event.synchronize()
    back.record(two)
    one.wait_event(back)
    graph = one.end_capture()
    assert x.get()[0] == 1
    for wanted in (10, 64):
        graph.launch(one)
        one.synchronize()
        assert x.get()[0] == wanted


def test_what_a_capture_refuses(machine: Any) -> None:
    one, two, event = machine.cuda.Stream(), machine.cuda.Stream(non_blocking=True), machine.cuda.Event()
    one.begin_capture(mode=0)
    with pytest.raises(CUDARuntimeError, match="StreamCaptureUnsupported"):
        runtime.malloc(16)
    with pytest.raises(CUDARuntimeError, match="StreamCaptureInvalidated"):
        one.end_capture()
    one.begin_capture()
    with pytest.raises(CUDARuntimeError, match="StreamCaptureImplicit"):
        runtime.launchHostFunc(0, print, 0)
    event.record(one)
    two.wait_event(event)
    runtime.launchHostFunc(two.ptr, print, 0)
    with pytest.raises(CUDARuntimeError, match="unjoined"):
        one.end_capture()


# ------------------------------------------------------------------------------------------------- memory
def test_memory_has_a_limit(machine: Any) -> None:
    engine.settings.memory = engine.used.get(0, 0) + 1000
    first = runtime.malloc(600)
    with pytest.raises(CUDARuntimeError) as caught:
        runtime.malloc(600)
    assert caught.value.status == 2 and runtime.memGetInfo() == (400, engine.settings.memory)
    with pytest.raises(sys.modules["cupy.cuda.memory"].OutOfMemoryError):
        machine.zeros(600, dtype="u1")
    with machine.cuda.Device(1):
        other = runtime.malloc(600)
    assert runtime.pointerGetAttributes(other + 5).device == 1 and runtime.pointerGetAttributes(other).type == 2
    for each in (first, other):
        runtime.free(each)
    with pytest.raises(CUDARuntimeError, match="invalid argument"):
        runtime.free(first)


def test_memory_goes_with_the_last_reference_to_it(machine: Any) -> None:
    """Also where Python's collector finds a cycle, one destructor of which hands the memory on."""
    rescued: list[Any] = []

    class Keeper:
        def __init__(self, memory: Any) -> None:
            self.memory, self.itself = memory, self

        def __del__(self) -> None:
            rescued.append(self.memory)

    place = Keeper(machine.cuda.Memory(100)).memory.ptr
    gc.collect()
    assert runtime.pointerGetAttributes(place).type == 2 and rescued[0].ptr == place
    rescued.clear()
    assert runtime.pointerGetAttributes(place).type == 0


def test_pinned_memory_is_a_buffer(machine: Any) -> None:
    pinned = machine.cuda.alloc_pinned_memory(16)
    host, x = np.frombuffer(pinned, "f4", 4), machine.arange(4, dtype="f4")
    x.data.copy_to_host_async(ctypes.c_void_p(pinned.ptr), 16)
    assert host.tolist() == [0, 1, 2, 3] and pinned.size() >= 16
    assert runtime.pointerGetAttributes(pinned.ptr).type == 1


def test_writing_behind_the_end_shows() -> None:
    place = runtime.malloc(10)
    engine.view(place + 10, 1)[:] = 0
    with pytest.raises(MachineError, match="behind its end"):
        runtime.free(place)


def test_devices_and_peers(machine: Any) -> None:
    assert runtime.getDeviceCount() == 2 and b"simulated" in runtime.getDeviceProperties(1)["name"]
    with pytest.raises(CUDARuntimeError, match="invalid device ordinal"):
        runtime.setDevice(2)
    here = machine.arange(3)
    with machine.cuda.Device(1):
        there, stream = machine.zeros(3, dtype="i8"), machine.cuda.Stream()
        runtime.memcpyPeerAsync(there.data.ptr, 1, here.data.ptr, 0, 24, stream.ptr)
        stream.synchronize()
        assert there.get().tolist() == [0, 1, 2] and there.device.id == 1
    with pytest.raises(CUDARuntimeError, match="invalid resource handle"):
        runtime.memsetAsync(here.data.ptr, 0, 24, stream.ptr)
    assert runtime.deviceCanAccessPeer(0, 1) == 1


# ------------------------------------------------------------------------------------------------- cuBLAS
@pytest.mark.parametrize("dtype, number, compute", [("f4", 0, 68), ("f4", 0, 77), ("f8", 1, 70), ("c8", 4, 68),
                                                    ("c16", 5, 70), ("f2", 2, 68), ("bfloat16", 14, 68)])
@pytest.mark.parametrize("how", [(0, 0), (1, 0), (0, 2), (2, 1)])
def test_products_of_matrices_by_columns(machine: Any, dtype: str, number: int, compute: int,
                                         how: tuple[int, int]) -> None:
    m, n, k, batch = 3, 4, 5, 2
    rng, kind = np.random.default_rng(1), cublas._dtype(number)

    def drawn(*shape: int) -> Any:
        made = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if number in (4, 5) else 0)
        return made.astype(kind)

    a, b, c = (drawn(batch, *(shape[::-1] if flip else shape)) for shape, flip in
               (((m, k), how[0]), ((k, n), how[1]), ((m, n), 0)))
    wide = np.complex128 if number in (4, 5) else np.float64

    def op(x: Any, flip: int) -> Any:
        x = x.astype(wide)
        return x if not flip else x.swapaxes(1, 2) if flip == 1 else x.conj().swapaxes(1, 2)

    scale = np.array([2, 0.5], cublas._dtype(number if number not in (2, 14) else 0))
    wanted = 2 * (op(a, how[0]) @ op(b, how[1])) + 0.5 * c.astype(wide)
    stored = [machine.asarray(np.ascontiguousarray(each.swapaxes(1, 2))) for each in (a, b, c)]     # by columns
    handle, (left, right, out) = machine.cuda.get_cublas_handle(), stored
    machine.cuda.cublas.setMathMode(handle, 3)
    machine.cuda.cublas.gemmStridedBatchedEx(
        handle, *how, m, n, k, scale.ctypes.data, left.data.ptr, number, a.shape[1], a[0].size, right.data.ptr, number,
        b.shape[1], b[0].size, scale.ctypes.data + scale.itemsize, out.data.ptr, number, m, m * n, batch, compute, -1)
    limit = {"f2": 5e-3, "bfloat16": 4e-2, "f4": 1e-5, "c8": 1e-5}.get(dtype, 1e-12)
    np.testing.assert_allclose(out.get().swapaxes(1, 2).astype(wide), wanted, rtol=limit, atol=limit)
    asked = cuda_machine.products[-1]
    assert (asked["compute"], asked["math"], asked["m"]) == (compute, 3, m)


def test_products_run_on_the_current_stream(machine: Any) -> None:
    handle, one = machine.cuda.get_cublas_handle(), machine.cuda.Stream()
    x, out, scale = machine.ones((2, 2), "f4"), machine.full((2, 2), np.nan, "f4"), np.array([1, 0], "f4")
    with one:
        machine.cuda.cublas.gemmEx(handle, 0, 0, 2, 2, 2, scale.ctypes.data, x.data.ptr, 0, 2, x.data.ptr, 0, 2,
                                   scale.ctypes.data + 4, out.data.ptr, 0, 2, 68, -1)
    assert machine.cuda.cublas.getStream(handle) == one.ptr
    assert out.get().tolist() == [[2, 2], [2, 2]], "beta is 0: what was there is not read"
    for leading, compute, status in ((1, 68, 7), (2, 70, 15)):
        with pytest.raises(CUBLASError) as caught:
            machine.cuda.cublas.gemmEx(handle, 0, 0, 2, 2, 2, scale.ctypes.data, x.data.ptr, 0, leading, x.data.ptr, 0,
                                       2, scale.ctypes.data + 4, out.data.ptr, 0, 2, compute, -1)
        assert caught.value.status == status


# ------------------------------------------------------------------------------------------------- arrays and names
def test_arrays_over_memory(machine: Any) -> None:
    memory = machine.cuda.UnownedMemory(runtime.malloc(64), 64, None)
    runtime.memcpy(memory.ptr, np.arange(16, dtype="f4").ctypes.data, 64, 1)
    x = machine.ndarray((2, 3), "f4", machine.cuda.MemoryPointer(memory, 4), (24, 8))
    assert x.get().tolist() == [[1, 3, 5], [7, 9, 11]] and x.data.ptr == memory.ptr + 4
    assert x[1].data.ptr == memory.ptr + 28 and x.T.data.mem is memory
    assert isinstance(x.sum(), machine.ndarray) and float(x.sum()) == 36
    x += 1
    assert machine.argsort(-x, axis=1).get().tolist() == [[2, 1, 0]] * 2 and x.data.ptr == memory.ptr + 4
    with pytest.raises(TypeError, match="not allowed"):
        np.asarray(x)
    with pytest.raises(TypeError, match="Unsupported type"):
        machine.add(x, np.ones(3))
    with pytest.raises(AttributeError):
        x.setflags      # CuPy's arrays have none
    taken = machine.from_dlpack(x.T)
    assert taken.data.ptr == x.data.ptr and taken.strides == (8, 24) and taken.get().tolist() == x.T.get().tolist()
    with pytest.raises(MachineError, match="beyond"):
        machine.ndarray((17,), "f4", machine.cuda.MemoryPointer(memory, 0))
    with pytest.raises(AttributeError):
        machine.rec     # nor has CuPy this
    runtime.free(memory.ptr)


_REAL = """
import json, inspect, cupy, cupy.linalg, cupy.fft
from cupy.cuda import driver, runtime
public = lambda module: [name for name in dir(module) if not name.startswith("_")]
print(json.dumps({
    "cupy": public(cupy), "cupy.linalg": public(cupy.linalg), "cupy.fft": public(cupy.fft),
    "cupy.ndarray": public(cupy.ndarray), "cupy.cuda": public(cupy.cuda),
    "cupy.cuda.runtime": {name: getattr(runtime, name) for name in public(runtime)
                          if type(getattr(runtime, name)) is int},
    "documents": {name: (getattr(module, name).__doc__ or "").split("\\n")[0] for module in (runtime, driver)
                  for name in public(module) if callable(getattr(module, name))},
    "blas": cupy.__file__.replace("cupy/__init__.py", "cupy_backends/cuda/libs")}))
"""


@pytest.fixture(scope="module")
def real() -> dict[str, Any]:
    """What the real CuPy says of itself, in a process of its own."""
    if find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    done = subprocess.run([sys.executable, "-c", _REAL], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"CuPy cannot be imported: {done.stderr[-200:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def parameters(document: str) -> list[str]:
    """The names of the parameters in a line such as `free(intptr_t ptr)`."""
    inside = document[document.index("(") + 1:document.rindex(")")]
    return [each.partition("=")[0].split()[-1] for each in inside.split(",") if each.strip()]


def test_names_are_those_of_the_real_one(real: dict[str, Any]) -> None:
    for name in ("cupy", "cupy.linalg", "cupy.fft", "cupy.ndarray"):
        assert sorted(arrays.NAMES[name]) == sorted(real[name])
    assert arrays.NAMES["cupy.cuda.runtime"] == real["cupy.cuda.runtime"]
    ours = {name for name in vars(sys.modules["cupy.cuda"]) if not name.startswith("_")}
    assert ours - {*real["cupy.cuda"], "get_compute_capability", "PointerAttributes", "cublas"} == set()


def test_parameters_are_those_of_the_real_one(real: dict[str, Any]) -> None:
    for module in (runtime, program):
        for name, function in vars(module).items():
            if name in real["documents"] and real["documents"][name]:
                given = function.__init__ if isinstance(function, type) else function
                code = given.__code__
                ours = [each for each in code.co_varnames[:code.co_argcount] if each != "self"]
                assert ours == parameters(real["documents"][name]), name
    libraries = list(Path(real["blas"]).glob("cublas*.so"))
    text = b"".join(each.read_bytes() for each in libraries).decode("latin-1")
    for name in ("gemmEx", "gemmStridedBatchedEx", "setMathMode", "setStream", "getStream", "create"):
        found = re.search(rf"\b{name}\([^)]*\)", text)
        assert found, name
        code = getattr(cublas, name).__code__
        assert list(code.co_varnames[:code.co_argcount]) == parameters(found[0])


def test_programs_and_the_processes_that_they_start(tmp_path: Path) -> None:
    """The environment that `python -m cuda_machine` makes reaches them all."""
    (tmp_path / "prints.py").write_text(
        "import subprocess, sys\n"
        "text = 'import cupy; print(cupy.cuda.runtime.getDeviceCount(), cupy.cuda.runtime.getDeviceProperties(1)"
        "[\"name\"].decode())'\n"
        "exec(text)\n"
        "print(subprocess.run([sys.executable, '-c', text], capture_output=True, text=True, check=True).stdout)\n")
    done = subprocess.run([sys.executable, "-m", "cuda_machine", "--devices", "2", str(tmp_path / "prints.py")],
                          cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == f"2 {runtime.NAME} 2 {runtime.NAME}".split()
