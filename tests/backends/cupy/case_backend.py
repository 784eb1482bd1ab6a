"""What the CUDA backend does with its driver, on the simulated machine, where `test_on_the_machine.py` runs this."""

from __future__ import annotations

import gc
import threading

import cupy
import numpy as np
import pytest

import cuda_machine
import flambeau as torch
from flambeau import discovery, settings
from flambeau.errors import BackendError, FlambeauError, OutOfMemoryError
from flambeau_clike.kernels import matmul
from flambeau_clike.launch import launch
from flambeau_clike.program import Family


@pytest.fixture
def late():
    """Streams that do nothing before they are waited for."""
    torch.cuda.synchronize()
    cuda_machine.settings.late = True
    yield
    torch.cuda.synchronize()
    cuda_machine.settings.late = False


def close(found, wanted, tolerance=1e-5):
    """Two tensors have the same numbers, to a tolerance."""
    np.testing.assert_allclose(found.detach().cpu().numpy(), wanted.detach().cpu().numpy(), tolerance, tolerance)


def device():
    """The device's record."""
    return discovery.backend_for("cuda")._devices[0]


# ---------------------------------------------------------------------------------------------- other libraries
def test_a_tensor_as_an_array_of_cupy():
    x = torch.arange(12.0, device="cuda").reshape(3, 4)[1:, ::2]
    y = cupy.from_dlpack(x)
    assert y.data.ptr == x.data_ptr() and y.strides == (16, 8)
    y[0, 1] = -1
    assert x.tolist() == [[4.0, -1.0], [8.0, 10.0]]
    interface = x.__cuda_array_interface__
    assert interface["data"][0] == x.data_ptr() and interface["shape"] == (2, 2)


def test_an_array_of_cupy_as_a_tensor():
    y = cupy.arange(6.0, dtype="f4").reshape(2, 3)
    for taken in (torch.from_dlpack(y), torch.as_tensor(y)):
        assert taken.device == torch.device("cuda", 0) and taken.data_ptr() == y.data.ptr
    taken += 1
    assert y.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert torch.from_dlpack(y.T).t().is_contiguous()
    assert torch.from_dlpack(y[:, ::-1]).tolist() == [[3, 2, 1], [6, 5, 4]]
    del y
    gc.collect()
    assert taken.sum().item() == 21


def test_tensors_elsewhere_have_no_such_interface():
    with pytest.raises(AttributeError, match=r"non-CUDA tensor type: torch\.FloatTensor"):
        _ = torch.ones(2).__cuda_array_interface__
    with pytest.raises(RuntimeError, match="requires grad"):
        _ = torch.ones(2, device="cuda", requires_grad=True).__cuda_array_interface__


# ---------------------------------------------------------------------------------------------- products
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
@pytest.mark.parametrize(("a", "b"), [((3, 4), (4, 5)), ((5, 2, 3), (5, 3, 2)), ((2, 3, 4), (4, 6)), ((1, 7), (7, 1)),
                                      ((6, 1), (1, 3))])
def test_products_by_cublas(dtype, a, b):
    torch.manual_seed(0)
    x, y = torch.randn(a, dtype=dtype), torch.randn(b, dtype=dtype)
    for left in (x.cuda(), x.mT.contiguous().cuda().mT):
        for right in (y.cuda(), y.mT.contiguous().cuda().mT):
            assert matmul.route(left._array, right._array) == "cublas"
            close((left @ right).cpu(), x @ y)


def test_what_cublas_cannot_read_takes_another_way():
    x = torch.randn(8, 8)
    y = x.cuda()
    assert matmul.route(y[::2, ::2]._array, y[:4]._array) == "plain"
    close((y[::2, ::2] @ y[:4]).cpu(), x[::2, ::2] @ x[:4])
    row = torch.randn(1, 8, device="cuda").expand(4, 8)
    close((row @ y).cpu(), row.cpu() @ x)


def test_linear_adds_the_bias():
    x, layer = torch.randn(5, 3), torch.nn.Linear(3, 4)
    wanted = layer(x)
    close(layer.cuda()(x.cuda()).cpu(), wanted)


def test_tensorfloat_is_used_where_it_is_allowed():
    x = torch.randn(4, 4, device="cuda")
    before = settings.matmul.tf32
    kinds = []
    for allowed in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        cuda_machine.products.clear()
        _ = x @ x
        kinds.append(cuda_machine.products[-1]["compute"])
    torch.backends.cuda.matmul.allow_tf32 = before
    from cupy_backends.cuda.libs import cublas
    assert kinds == [cublas.CUBLAS_COMPUTE_32F, cublas.CUBLAS_COMPUTE_32F_FAST_TF32]


# ---------------------------------------------------------------------------------------------- factorizations
@pytest.mark.parametrize("name", ["inv", "qr", "svd", "eigh", "cholesky", "slogdet", "solve"])
def test_large_matrices_go_to_the_vendors_library(name):
    torch.manual_seed(0)
    x = torch.randn(80, 80, dtype=torch.float64)
    x = x @ x.T + 80 * torch.eye(80, dtype=torch.float64)
    function = getattr(torch.linalg, name)
    args = (x, x[:, :3]) if name == "solve" else (x,)
    with torch.fallback("error"):
        found = function(*[each.cuda() for each in args])
    wanted = function(*args)
    if isinstance(wanted, tuple):
        index = {"svd": 1, "eigh": 0, "slogdet": 1, "qr": 1}[name]
        found, wanted = found[index].abs(), wanted[index].abs()
    close(found.cpu(), wanted)


def test_a_singular_matrix_is_refused():
    with pytest.raises(RuntimeError, match="singular"):
        torch.linalg.inv(torch.zeros(80, 80, device="cuda"))


# ---------------------------------------------------------------------------------------------- memory
def test_no_room():
    device().allocator.release()
    before = torch.cuda.memory_allocated()
    with pytest.raises(OutOfMemoryError, match=r"tried to allocate 1024\.00 GiB"):
        torch.empty(1 << 38, device="cuda")
    assert torch.cuda.memory_allocated() == before
    assert torch.ones(4, device="cuda").sum().item() == 4


def test_memory_that_a_cycle_held_is_used_again():
    """The collector finishes all objects of a cycle, the block's too, although the block goes on."""
    class Holder:
        pass
    for _ in range(5):
        one = Holder()
        one.itself, one.tensor = one, torch.full((300,), 7.0, device="cuda")
        del one
        gc.collect()
        x, y = torch.zeros(300, device="cuda"), torch.ones(300, device="cuda")
        assert x.data_ptr() != y.data_ptr() and (x + y).sum().item() == 300


def test_a_limit(monkeypatch):
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.001)
    try:
        with pytest.raises(OutOfMemoryError):
            torch.empty(total // 100, dtype=torch.uint8, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


# ---------------------------------------------------------------------------------------------- order
def test_late_streams_give_the_same(late):
    x = torch.arange(100.0, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        y = (x * 2).cumsum(0)
    torch.cuda.current_stream().wait_stream(side)
    assert (y - x).tolist() == [float(n * n) for n in range(100)]


def test_copies_that_nobody_waits_for(late):
    host = torch.arange(6.0).pin_memory()
    assert host.is_pinned() and not torch.ones(1).is_pinned()
    there = host.to("cuda", non_blocking=True)
    back = (there + 1).to("cpu", non_blocking=True)
    torch.cuda.synchronize()
    assert back.tolist() == [1, 2, 3, 4, 5, 6] and back.is_pinned()


def test_a_new_thread_has_a_context():
    found = []
    thread = threading.Thread(target=lambda: found.append((torch.ones(3, device="cuda") * 2).tolist()))
    thread.start()
    thread.join()
    assert found == [[2, 2, 2]]


def test_late_errors_name_the_call():
    with pytest.raises(IndexError, match=r"index_select\(.*float32 \[3\].*queued at .*case_backend\.py"):
        torch.ones(3, device="cuda").index_select(0, torch.tensor([5], device="cuda")).tolist()


def test_between_two_devices(late):
    assert torch.cuda.device_count() == 2 and torch.cuda.can_device_access_peer(0, 1)
    x = torch.arange(10.0, device="cuda:0")
    y = (x * 2)[::2].to("cuda:1")
    z = y + torch.ones(5, device="cuda:1")
    assert z.device.index == 1 and z.tolist() == [1, 5, 9, 13, 17] and (x + 1).sum().item() == 55
    with pytest.raises(RuntimeError, match="cuda:0 and cuda:1"):
        _ = x[:5] + z


# ---------------------------------------------------------------------------------------------- graphs
def test_a_training_step_as_a_graph():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).cuda()
    twin = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).cuda()
    twin.load_state_dict(net.state_dict())
    batches = torch.randn(3, 5, 4, device="cuda")
    inputs = torch.zeros(5, 4, device="cuda")

    def step(net, x):
        for each in net.parameters():
            each.grad = None
        loss = net(x).square().mean()
        loss.backward()
        with torch.no_grad():
            for each in net.parameters():
                each -= 0.1 * each.grad
        return loss
    graph = torch.cuda.CUDAGraph()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.cuda.graph(graph):
        loss = step(net, inputs)
    net.load_state_dict(state)
    for x in batches:
        inputs.copy_(x)
        graph.replay()
        close(loss, step(twin, x))
        junk = [torch.full((5, 8), 9.0, device="cuda") for _ in range(20)]    # would overwrite the graph's memory
        del junk
    for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        close(mine, theirs)


def test_the_default_stream_does_not_record():
    with pytest.raises(FlambeauError, match="non-default stream"):
        torch.cuda.CUDAGraph().capture_begin()
    with pytest.raises(FlambeauError, match="the default stream cannot record"):
        discovery.backend_for("cuda").default_queue(0).begin_capture()


# ---------------------------------------------------------------------------------------------- programs
def test_a_program_that_does_not_build():
    x = torch.ones(2, device="cuda")._array
    broken = Family("broken", "KERNEL $NAME(ARRAY(f32, x)) { OPEN(f32, x); x[0] = there_is_no_such_thing; }")
    with pytest.raises(BackendError, match=r"broken.*does not build on 'cuda:0'") as caught:
        launch(broken, (), 1, x)
    assert "source, line" in str(caught.value) and "there_is_no_such_thing" in str(caught.value)


def test_the_namespace_tells_what_there_is():
    said = torch.cuda.get_device_properties(0)
    assert "simulated" in said.name and said.multi_processor_count > 0 and said.warp_size == 32
    assert torch.cuda.get_device_capability() == (said.major, said.minor)
    assert discovery.backend_for("cuda").versions()["cuda"].count(".") == 1
    assert discovery.backend_for("cuda").capabilities.simulated
