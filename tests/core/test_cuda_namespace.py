"""The namespace `torch.cuda`, name by name: as it is on this machine, with such a device or without, and on a simulated
accelerator that has all of it.

Each test asserts something in both cases: without a device, that the question is answered (no, none, 0) or that the
error says which device is missing and what to do next.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import flambeau
from flambeau import discovery

pytest.importorskip("flambeau_reference", reason="the simulated device is made of the reference backend's")
from simulated import accelerator, simulated

__all__ = ["accelerator", "simulated"]   # fixtures


@pytest.fixture(params=["cuda", "simulated"])
def name(request: pytest.FixtureRequest, simulated: str) -> str:
    return request.param


@pytest.fixture
def space(name: str) -> Iterator[Any]:
    found = flambeau.get_device_module(name)
    yield found
    if found.is_available():
        found.set_device(0)
        found.synchronize()


def refused(space: Any, call: Callable[[], Any]) -> bool:
    """Whether there is no device, in which case the call says so: which, and what to do next."""
    if space.is_available():
        return False
    with pytest.raises(RuntimeError, match=r"^device '\w+(:\d)?': ") as caught:
        call()
    said = str(caught.value)
    assert any(each in said for each in ("pip install", "Next step", "flambeau devices", "flambeau doctor")), said
    return True


# ---------------------------------------------------------------------------------------------- what is there
def test_is_available(space, name):
    assert space.is_available() is (space.device_count() > 0)
    assert space.is_available() is (name in [row["name"] for row in discovery.report() if row["devices"]])
    assert not space.is_available() or space.is_initialized()


def test_device_count(space, name):
    count = space.device_count()
    assert count == len(next((row["devices"] for row in discovery.report() if row["name"] == name), []))
    refused(space, lambda: flambeau.ones(1, device=f"{name}:{count}"))
    with pytest.raises(RuntimeError, match=name):
        flambeau.ones(1, device=f"{name}:{count}")


def test_current_device(space):
    if not refused(space, space.current_device):
        assert space.current_device() == 0


def test_set_device(space, name):
    space.set_device(-1)    # changes nothing, device or not
    if not refused(space, lambda: space.set_device(0)):
        last = space.device_count() - 1
        space.set_device(f"{name}:{last}")
        assert space.current_device() == last
        assert flambeau.ones(1, device=name).device.index == last
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            space.set_device(last + 1)
        with pytest.raises(RuntimeError, match=f"Expected a {name} device"):
            space.set_device("cpu")
        with space.device(0):
            assert space.current_device() == 0
        assert space.current_device() == last


def test_get_device_name(space):
    if not refused(space, space.get_device_name):
        assert space.get_device_name() == space.get_device_name(0) == space.get_device_properties(0).name != ""


def test_get_device_properties(space, name):
    if refused(space, space.get_device_properties):
        return
    found = space.get_device_properties(0)
    assert found.total_memory > 0
    assert found.multi_processor_count > 0
    assert found.warp_size in (32, 64)
    assert (found.major, found.minor) == space.get_device_capability(0)
    assert repr(found).startswith(f"_DeviceProperties(name={found.name!r}, total_memory=")
    with pytest.raises(AttributeError, match=r"says nothing of 'shoe_size'; it tells: name, .*major"):
        found.shoe_size


def test_get_device_capability_and_arch_list(space, name):
    assert isinstance(space.get_arch_list(), list)
    assert bool(space.get_arch_list()) is space.is_available()
    if not refused(space, space.get_device_capability):
        major, minor = space.get_device_capability()
        assert f"sm_{major}{minor}" in space.get_arch_list() or flambeau.version.hip
    if name == "simulated":
        assert space.get_arch_list() == ["sm_90", "sm_91"]


def test_synchronize(space, name):
    if not refused(space, space.synchronize):
        x = flambeau.ones(3, device=name) * 2
        space.synchronize()
        space.synchronize(0)
        assert space.current_stream().query()
        assert x.tolist() == [2, 2, 2]


def test_what_a_device_supports(space, name):
    assert space.is_bf16_supported() is space.is_available()
    assert space.is_tf32_supported() in ((True, False) if space.is_available() else (False,))
    if name == "simulated":
        assert space.is_tf32_supported()
        with space.device(1):
            assert not space.is_tf32_supported()


def test_can_device_access_peer(space, name):
    if not refused(space, lambda: space.can_device_access_peer(0, 1)):
        assert space.can_device_access_peer(0, 0)
        with pytest.raises(RuntimeError, match="ordinal"):
            space.can_device_access_peer(0, space.device_count())
    if name == "simulated":
        assert space.can_device_access_peer(0, 1)
        assert not space.can_device_access_peer(1, 0)


def test_what_backends_do_not_tell(space):
    for ask in (space.utilization, space.memory_usage, space.temperature, space.power_draw, space.clock_rate):
        if not refused(space, ask):
            with pytest.raises(NotImplementedError, match=f"{ask.__name__}: the device's backend does not tell"):
                ask()


# ---------------------------------------------------------------------------------------------- streams and events
def test_stream(space, name):
    if refused(space, space.Stream) or refused(space, lambda: space.ExternalStream(1)):
        return
    x = flambeau.arange(4., device=name)
    stream = space.Stream(priority=-1)
    assert stream != space.current_stream() == space.default_stream()
    stream.wait_stream(space.current_stream())
    with space.stream(stream):
        assert space.current_stream() == stream
        y = x * 2
    space.current_stream().wait_stream(stream)
    y.record_stream(space.current_stream())
    assert (y + 1).tolist() == [1, 3, 5, 7]
    assert not stream.is_capturing()
    assert getattr(stream, f"{name}_stream") == stream.native_handle


def test_event_with_timing(space, name):
    if refused(space, lambda: space.Event(enable_timing=True)):
        return
    start, end = space.Event(enable_timing=True), space.Event(True, blocking=True, external=False)
    assert getattr(start, f"{name}_event") == 0
    start.record()
    flambeau.ones(100, device=name).sum()
    end.record()
    end.synchronize()
    assert start.query() and end.query()
    assert start.elapsed_time(end) >= 0
    with pytest.raises(ValueError, match="enable_timing"):
        space.Event().elapsed_time(end)


# ---------------------------------------------------------------------------------------------- memory
def test_memory_allocated(space, name):
    before = space.memory_allocated()
    if not space.is_available():
        assert before == space.memory_allocated(None) == 0
        return
    x = flambeau.ones(1000, device=name)
    assert space.memory_allocated() - before >= 4000
    assert space.memory_stats()["allocated_bytes.all.current"] == space.memory_allocated()
    nested = space.memory_stats_as_nested_dict()
    assert nested["allocated_bytes"]["all"]["current"] == space.memory_allocated()
    del x
    space.synchronize()
    assert space.memory_allocated() <= before


def test_max_memory_allocated(space, name):
    if refused(space, space.reset_peak_memory_stats):
        assert space.max_memory_allocated() == space.max_memory_reserved() == 0
        return
    space.reset_peak_memory_stats()
    before = space.memory_allocated()
    x = flambeau.ones(5000, device=name)
    del x
    assert space.max_memory_allocated() >= before + 20000
    with pytest.warns(FutureWarning, match="reset_peak_memory_stats"):
        space.reset_max_memory_allocated()
    assert space.max_memory_allocated() < before + 20000


def test_memory_reserved(space, name):
    assert space.memory_reserved() >= space.memory_allocated()
    with pytest.warns(FutureWarning, match="memory_reserved"):
        assert space.memory_cached() == space.memory_reserved()
    if not space.is_available():
        assert space.memory_reserved() == 0
        return
    x = flambeau.ones(1000, device=name)
    assert space.max_memory_reserved() >= space.memory_reserved() >= x.numel() * 4
    free, total = space.mem_get_info()
    assert 0 <= free < total == space.get_device_properties().total_memory
    assert 0 < space.device_memory_used() <= total


def test_empty_cache(space, name):
    if space.is_available():
        flambeau.ones(1000, device=name)
        space.synchronize()
    before = space.memory_reserved()
    space.empty_cache()
    space.ipc_collect()
    assert space.memory_allocated() <= space.memory_reserved() <= before


def test_memory_summary(space, name):
    text = space.memory_summary()
    if not space.is_available():
        assert text == f"no device of type '{name}': no memory"
        return
    x = flambeau.ones(1 << 18, device=name)
    text = space.memory_summary()
    lines = text.splitlines()
    assert f"Memory of {name}:0, {space.get_device_name()}" in text
    assert {len(line) for line in lines} == {len(lines[0])}     # a table: all lines of one length
    row = next(line for line in lines if line.startswith("| Allocated memory "))
    assert "KiB" in row or "MiB" in row
    assert any(line.startswith("| Reserved memory ") for line in lines)
    assert len(space.memory_summary(abbreviated=True).splitlines()) < len(lines)
    if name == "simulated":
        assert row.split("|")[2].strip() == f"{space.memory_allocated() // 1024} KiB" == "1024 KiB"
        assert any("Out of memory" in line and " 2 " in line for line in lines)
        assert space.memory_stats()["num_ooms"] == 2
        assert space.memory_stats(1)["num_alloc_retries"] == 1
    del x


def test_memory_fraction(space, name):
    with pytest.raises(ValueError, match="from 0 to 1"):
        space.set_per_process_memory_fraction(1.5)
    if refused(space, lambda: space.set_per_process_memory_fraction(0.5)):
        refused(space, space.get_per_process_memory_fraction)
        return
    assert space.get_per_process_memory_fraction() == 1.0
    space.set_per_process_memory_fraction(0.0)
    space.empty_cache()
    try:
        with pytest.raises(space.OutOfMemoryError, match=r"\d"):    # with sizes
            flambeau.ones(1 << 20, device=name)
        assert space.get_per_process_memory_fraction() == 0.0
    finally:
        space.set_per_process_memory_fraction(1.0)
    assert flambeau.ones(1, device=name).item() == 1


# ---------------------------------------------------------------------------------------------- random numbers
def test_manual_seed_all(space, name):
    state = flambeau.get_rng_state()
    space.manual_seed_all(3)
    space.manual_seed(3)
    space.seed_all()
    assert flambeau.equal(flambeau.get_rng_state(), state)     # the host's generator is another one
    assert len(space.default_generators) == len(space.get_rng_state_all()) == space.device_count()
    space.set_rng_state_all([])
    if refused(space, space.initial_seed) or refused(space, space.get_rng_state):
        return
    space.manual_seed_all(3)
    assert [each.initial_seed() for each in space.default_generators] == [3] * space.device_count()
    kept = space.get_rng_state_all()
    first = [flambeau.rand(3, device=f"{name}:{index}") for index in range(space.device_count())]
    space.set_rng_state_all(kept)
    for index, each in enumerate(first):
        assert flambeau.equal(flambeau.rand(3, device=f"{name}:{index}"), each)


# ---------------------------------------------------------------------------------------------- graphs
def _records(space: Any) -> bool:
    """Whether the device's backend can record."""
    graph = space.CUDAGraph()
    try:
        with space.graph(graph):
            pass
    except NotImplementedError:
        return False
    return True


def test_graphs(space, name):
    assert space.is_current_stream_capturing() is False
    for make in (space.CUDAGraph, space.graph_pool_handle, lambda: space.graph(None),
                 lambda: space.make_graphed_callables(flambeau.sin, (flambeau.ones(1),))):
        if refused(space, make):
            return
    graph = space.CUDAGraph()
    for early in (graph.replay, graph.capture_end, graph.pool, graph.instantiate):
        with pytest.raises(RuntimeError, match="record"):
            early()
    with pytest.raises(RuntimeError, match="non-default stream"):
        graph.capture_begin()
    if not _records(space):
        pytest.skip("the backend does not record")
    x = flambeau.arange(3., device=name)
    total = flambeau.zeros(3, device=name)
    space.synchronize()
    pool = space.graph_pool_handle()
    with space.graph(graph, pool=pool):
        assert space.is_current_stream_capturing()
        y = (x * 2 + 1).sum()
        total += x
    assert not space.is_current_stream_capturing()
    assert graph.pool() == pool != space.graph_pool_handle()
    total.zero_()
    for start in (0., 10.):
        x.copy_(flambeau.arange(start, start + 3))
        graph.replay()
        assert y.item() == 6 * (start + 1) + 3
    assert total.tolist() == [10, 12, 14]
    with pytest.raises(RuntimeError, match="reset"):
        graph.capture_begin()
    graph.reset()
    with pytest.raises(RuntimeError, match="nothing"):
        graph.replay()


def test_a_graph_ends_with_its_block(space):
    if refused(space, space.CUDAGraph):
        return
    if not _records(space):
        pytest.skip("the backend does not record")
    before = space.current_stream()
    with pytest.raises(KeyError), space.graph(space.CUDAGraph()):
        raise KeyError
    assert space.current_stream() == before
    assert not space.is_current_stream_capturing()


def test_make_graphed_callables(space, name):
    layer = flambeau.nn.Linear(3, 2)
    sample = flambeau.zeros(4, 3)
    if refused(space, lambda: space.make_graphed_callables(layer, (sample,))):
        return
    if not _records(space):
        pytest.skip("the backend does not record")
    other = flambeau.nn.Linear(3, 2).to(name)
    layer = layer.to(name)
    other.load_state_dict(layer.state_dict())
    replaying = space.make_graphed_callables(layer, (sample.to(name).requires_grad_(),))
    assert replaying is layer
    for number in (1., 2.):
        x = (flambeau.arange(12.).reshape(4, 3) * number).to(name).requires_grad_()
        again = x.detach().clone().requires_grad_()
        loss, wanted = layer(x).square().sum(), other(again).square().sum()
        loss.backward()
        wanted.backward()
        assert flambeau.allclose(loss, wanted)
        assert flambeau.allclose(x.grad, again.grad)
        assert flambeau.allclose(layer.weight.grad, other.weight.grad)
    layer.eval()    # was not recorded
    assert flambeau.allclose(layer(x.detach()), other(x.detach()))
    one, two = space.make_graphed_callables(
        (flambeau.sin, lambda a, b: (a * b, a + b)), ((sample.to(name),), (sample.to(name), sample.to(name))))
    x = flambeau.ones(4, 3, device=name)
    assert flambeau.allclose(one(x), flambeau.sin(x))
    product, total = two(x * 3, x * 2)
    assert product.sum().item() == 72 and total.sum().item() == 60
    with pytest.raises(TypeError, match="tensors"):
        space.make_graphed_callables(lambda x: 3, (sample.to(name),))


def test_graphs_of_the_accelerator(accelerator):
    x = flambeau.arange(3., device="simulated")
    stream, graph = flambeau.Stream(), flambeau.accelerator.Graph(pool=(0, 77))
    stream.wait_stream(flambeau.accelerator.current_stream())
    with pytest.raises(RuntimeError, match="non-default stream"), graph:
        pass
    with stream, graph:
        y = x * 2
        assert stream.is_capturing()
    assert graph.pool() == accelerator.pool == (0, 77)
    x.fill_(4)
    graph.replay()
    assert y.tolist() == [8, 8, 8]
    with pytest.raises(NotImplementedError, match="cannot be written"):
        graph.debug_dump("graph.dot")
    with pytest.raises(RuntimeError, match="capture error mode"), stream:
        flambeau.accelerator.Graph(capture_error_mode="none").capture_begin()


def test_a_graph_of_no_accelerator(monkeypatch):
    kept = {name: each for name, each in discovery._offers().items() if name in ("cpu", "reference")}
    monkeypatch.setattr(discovery, "_offered", kept)
    with pytest.raises(RuntimeError, match="none is available"):
        flambeau.accelerator.Graph()


def test_a_backend_that_does_not_record():
    space = flambeau.get_device_module("reference_streams")
    with pytest.raises(NotImplementedError, match="cannot be recorded"), space.graph(space.CUDAGraph()):
        pass
    assert space.current_stream().stream_id == 0


# ---------------------------------------------------------------------------------------------- versions and marks
def test_versions(accelerator):
    assert flambeau.version.cuda == "13.0"
    assert flambeau.version.hip is flambeau.version.xpu is None
    assert flambeau.backends.cudnn.is_available() and flambeau.backends.cudnn.version() == 91002
    with pytest.raises(AttributeError):
        flambeau.version.nothing


def test_versions_without_an_accelerator(oracle):
    if not flambeau.accelerator.is_available():
        assert flambeau.version.cuda is None and flambeau.backends.cudnn.version() is None
    if not oracle.cuda.is_available():
        assert oracle.version.cuda is None
    assert flambeau.backends.cuda.is_built() in (True, False)


def test_marks(space):
    nvtx = space.nvtx
    assert (nvtx.range_push("a"), nvtx.range_push("b"), nvtx.range_pop(), nvtx.range_pop()) == (0, 1, 1, 0)
    assert nvtx.range_pop() < 0
    assert nvtx.range_end(nvtx.range_start("c")) is nvtx.mark("d") is None
    with nvtx.range("step {}", 3):
        assert nvtx.range_push("in") == 1
        nvtx.range_pop()

    @nvtx.range("decorated")
    def depth() -> int:
        return nvtx.range_push("in") - nvtx.range_pop()
    assert depth() == 0


# ---------------------------------------------------------------------------------------------- why there is none
def test_the_error_tells_the_cases_apart():
    """No array library, or one and no driver or device: another reason and another next step."""
    pytest.importorskip("flambeau_cupy", reason="whose entry point it is")
    program = """
import sys
sys.modules["cupy"] = None
import flambeau
try:
    flambeau.ones(1, device="cuda")
except RuntimeError as error:
    print(error)
"""
    without = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "'cupy'" in without and without.count("pip install 'flambeau[cuda") == 1
    if flambeau.cuda.is_available():
        return
    with pytest.raises(RuntimeError) as caught:
        flambeau.ones(1, device="cuda")
    row = next(row for row in discovery.report() if row["name"] == "cuda")
    assert (row["reason"] or row["diagnosis"]) in str(caught.value)
    if not row["reason"]:       # the library is there
        assert "pip install 'flambeau[cuda" not in str(caught.value)


# ---------------------------------------------------------------------------------------------- PyTorch's names
ITEMS = ("is_available device_count current_device set_device get_device_name get_device_properties synchronize Stream "
         "Event memory_allocated max_memory_allocated memory_reserved empty_cache memory_summary "
         "manual_seed_all").split()
LEFT_OUT = {  # what of PyTorch's namespace is not here, by why
    "of its build": "check_error cudaStatus CudaError DeferredCudaCallError cudart DEVICE_REQUIREMENT "
                    "PYTORCH_RELEASES_CODE_CC get_gencode_flags current_blas_handle current_solver_handle",
    "of its allocator": "CUDAPluggableAllocator MemPool caching_allocator_alloc caching_allocator_delete "
                        "caching_allocator_disabled caching_allocator_enable change_current_allocator use_mem_pool "
                        "memory_snapshot host_memory_stats host_memory_stats_as_nested_dict "
                        "reset_accumulated_host_memory_stats reset_peak_host_memory_stats",
    "not yet": "AcceleratorError nccl profiler jiterator get_sync_debug_mode set_sync_debug_mode",
    "of this vendor's devices only": "gds green_contexts GreenContext tunable list_gpu_processes sparse",
    "imports and types": "Any Callable Device NewType Optional TYPE_CHECKING cast classproperty importlib lru_cache os "
                         "platform threading torch traceback warnings"}


def test_names_are_pytorchs(oracle):
    left_out = {name for names in LEFT_OUT.values() for name in names.split()}
    theirs = {name for name in dir(oracle.cuda) if not name.startswith("_") and not name.endswith("Storage")}
    missing = {name for name in theirs if not hasattr(flambeau.cuda, name)}
    assert missing == left_out & theirs
    assert not missing & set(ITEMS)


@pytest.mark.parametrize("item", sorted(
    {*ITEMS, "ExternalStream", "CUDAGraph", "graph", *(each for each in dir(flambeau.cuda) if each.islower())}))
def test_signatures_are_pytorchs(oracle, item):
    """Everything that PyTorch's signature takes by position or name is taken here."""
    theirs, ours = getattr(oracle.cuda, item), getattr(flambeau.cuda, item)
    if not (inspect.isfunction(theirs) or inspect.isclass(theirs)):
        assert not inspect.isfunction(ours)
        return
    wanted = [each for each in inspect.signature(theirs).parameters.values() if each.kind is not each.VAR_KEYWORD]
    have = [each for each in inspect.signature(ours).parameters.values() if each.kind is not each.VAR_KEYWORD]
    assert [each.name for each in have] == [each.name for each in wanted]
    assert [each.default is each.empty for each in have] == [each.default is each.empty for each in wanted]
