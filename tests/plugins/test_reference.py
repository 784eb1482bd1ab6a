"""The reference devices: the library runs on each of them with the primitives alone, and breaches of the contract show.

What a fake device lacks is lacking for good reason: it is what some real accelerator lacks. A program of those below
must give the host's numbers on every device that can store its dtypes.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

import flambeau
import flambeau.nn.functional as F
from flambeau import discovery, dtypes, nn
from flambeau.errors import OutOfMemoryError
from flambeau.registry import primitives
from flambeau_reference import AsynchronousError, ContractError

DEVICES = ["reference", "reference_async", "reference_dense", "reference_single", "reference_small", "reference_tiny"]


@pytest.fixture(params=DEVICES)
def device(request):
    """Each device, with the host fallback forbidden."""
    with flambeau.fallback("error"):
        yield request.param


@pytest.fixture
def reference():
    """The backend behind "reference"."""
    return discovery.backend_for("reference")


def counting(*shape, device):
    """Numbers that are all different, neither sorted nor symmetric."""
    count = int(np.prod(shape))
    return (flambeau.arange(float(count)) * 0.7 - 1.3).cos().reshape(shape).to(device)


# ---------------------------------------------------------------------------------------------- programs
def training(device):
    flambeau.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).to(device)
    optimizer = flambeau.optim.Adam(model.parameters(), lr=0.01)
    labels = flambeau.tensor([0, 2, 1, 0, 2], device=device)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(counting(5, 4, device=device)), labels).backward()
        optimizer.step()
    return list(model.parameters())


def normalization(device):
    x, weight = (counting(*shape, device=device).requires_grad_() for shape in ((2, 6), (3, 6)))
    y = F.layer_norm(F.gelu(x @ weight.t()), (3,))
    loss = F.cross_entropy(y, flambeau.tensor([0, 2], device=device))
    loss.backward()
    return [loss, x.grad, weight.grad]


def convolution(device):
    x, weight = (counting(*shape, device=device).requires_grad_() for shape in ((2, 3, 6, 5), (4, 3, 3, 2)))
    y = F.max_pool2d(F.conv2d(x, weight, stride=2, padding=1).relu(), 2)
    y.sum().backward()
    return [y, x.grad, weight.grad]


def indices(device):
    x = flambeau.zeros(4, 3, device=device)
    rows = flambeau.tensor([1, 1, -1], device=device)
    x[flambeau.tensor([0, 2], device=device)] = 1.0
    x[x > 0] = 5
    x.index_put_((rows,), counting(3, 3, device=device), accumulate=True)
    x.scatter_add_(0, flambeau.tensor([[0, 1, 1]], device=device), counting(1, 3, device=device))
    table = counting(3, 2, device=device).requires_grad_()
    F.embedding(flambeau.tensor([[1, 2], [1, 1]], device=device), table).square().sum().backward()
    return [x, table.grad, x[rows], x.gather(1, flambeau.tensor([[2], [0]], dtype=flambeau.int32, device=device))]


def second_order(device):
    x = counting(5, device=device).requires_grad_()
    first, = flambeau.autograd.grad((x.tanh() * x.exp()).sum(), x, create_graph=True)
    first.square().sum().backward()
    return [first, x.grad]


def changes_through_views(device):
    a = flambeau.arange(12.0, device=device).reshape(3, 4)
    a.t()[1:3].add_(1).mul_(2)
    a[1:, ::2] = 7
    a.view(-1)[3:5].zero_()
    a.diagonal().fill_(-1)
    a[0, 1:] = a[0, :-1].clone()
    b = counting(3, 4, device=device).requires_grad_()
    c = b * 2
    c[1].mul_(3)
    c.t()[0].exp_()
    c.sum().backward()
    return [a, b.grad, c, a.t().contiguous(), a.t()[1:].unfold(1, 2, 1)]


def reductions(device):
    x = counting(3, 4, device=device)
    return [x.sum(0), x.mean(), x.std(1), x.softmax(1), x.logsumexp(0), x.sort(1).indices, x.topk(2).values,
            x.cumsum(0), x.cummax(1).indices, x.median(), x.argmax(1), x.norm(), x.prod(1), (x > 0).any(0),
            x.unique(), x.nonzero(), x.flip(0), x.roll(1, 1), x.tril(), flambeau.cat([x, x]), x.expand(2, 3, 4).sum(0)]


def matrices(device):
    a = (counting(3, 3, device=device) + 4 * flambeau.eye(3, device=device)).requires_grad_()
    total = flambeau.linalg.inv(a).sum() + flambeau.linalg.det(a) + flambeau.linalg.svdvals(a).sum()
    total.backward()
    return [total, a.grad, flambeau.linalg.eigvalsh(a.detach())]


PROGRAMS = [training, normalization, convolution, indices, second_order, changes_through_views, reductions, matrices]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_program_gives_the_numbers_of_the_host(program, device):
    for mine, expected in zip(program(device), program("cpu"), strict=True):
        assert (mine.dtype, mine.shape, mine.device.type) == (expected.dtype, expected.shape, device)
        np.testing.assert_allclose(mine.detach().cpu().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_complex_numbers_share_memory_with_their_parts(device):
    if flambeau.complex64 not in discovery.backend_for(device).capabilities.storage_dtypes:
        with pytest.raises(RuntimeError, match="cannot store"):
            flambeau.ones(2, dtype=flambeau.complex64, device=device)
        return
    z = flambeau.tensor([1 + 2j, 3 - 1j], device=device)
    flambeau.view_as_real(z)[0, 0] = 9
    z.imag.mul_(2)
    assert z.tolist() == [9 + 4j, 3 - 2j]
    w = z.clone().requires_grad_()
    (w * w).abs().sum().backward()
    assert w.grad.tolist() == pytest.approx([18 + 8j, 6 - 4j])


def test_emulated_dtypes_are_rounded_once(device):
    capabilities = discovery.backend_for(device).capabilities
    for each in capabilities.emulated:
        x = counting(7, device="cpu").to(each)
        mine, host = ((t * t + 1).softmax(0) for t in (x.to(device), x))
        assert mine.dtype is each and each not in capabilities.compute_dtypes
        assert mine.float().tolist() == pytest.approx(host.float().tolist(), rel=8e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_emulated_dtypes_are_added_at_places_in_the_wider_one(dtype, reference):
    ones = flambeau.ones(4000, dtype=getattr(flambeau, dtype), device="reference")
    index = flambeau.zeros(4000, dtype=flambeau.int64, device="reference")
    start = flambeau.zeros(2, dtype=ones.dtype, device="reference")
    for sums in (start.scatter_add(0, index, ones), start.index_put((index,), ones, accumulate=True),
                 start.clone().index_put_((index,), ones, accumulate=True)):
        assert sums.dtype is ones.dtype
        assert sums.tolist() == [flambeau.tensor(4000.0, dtype=ones.dtype).item(), 0]  # one by one it would stop early
    array = start._array
    with pytest.raises(ContractError, match="arithmetic"):
        reference.kernels["index_put"](array, [index[:1]._array], array, True)


def test_whole_numbers_are_drawn_in_dtypes_that_hold_them(device):
    for dtype, low, high in ((flambeau.bool, 0, 3), (flambeau.uint8, -1, 2), (flambeau.int8, 0, 200)):
        if dtype in discovery.backend_for(device).capabilities.storage_dtypes:
            x = flambeau.zeros(2, dtype=dtype, device=device)
            with pytest.raises(RuntimeError, match="out of bounds"):
                flambeau.randint_like(x, low, high)
            with pytest.raises(RuntimeError, match="out of bounds"):
                x.random_(low, high)
    assert flambeau.randint(2, (9,), dtype=flambeau.bool, device=device).dtype is flambeau.bool


def test_nothing_to_count_needs_no_double_precision(device):
    nothing = flambeau.zeros(0, dtype=flambeau.int64, device=device)
    assert flambeau.bincount(nothing, nothing, 2).tolist() == [0, 0]


def test_memory_is_refused_before_a_large_result_is_computed(device):
    x = flambeau.ones(1, device=device)
    if discovery.backend_for(device).capabilities.strided_views:
        with pytest.raises(OutOfMemoryError, match="tried to allocate"):
            x.expand(1 << 33) + x.expand(1 << 33)


def test_storage_dtypes_survive_the_way_there_and_back(device):
    storable = discovery.backend_for(device).capabilities.storage_dtypes
    for each in dtypes.ALL:
        x = flambeau.tensor([0, 1, 3, 100]).to(each)
        if each in storable:
            back = x.to(device).reshape(2, 2).t().cpu()
            assert back.dtype is each
            assert back.tolist() == x.reshape(2, 2).t().tolist()
        else:
            with pytest.raises(RuntimeError, match=f"cannot store {each}"):
                x.to(device)


def test_draws_are_the_same_on_all_devices():
    def draws(device):
        generator = flambeau.Generator(device=device)
        generator.manual_seed(5)
        options = {"generator": generator, "device": device}
        return [flambeau.rand(5, **options), flambeau.randint(0, 100, (6,), **options),
                flambeau.randperm(7, **options), flambeau.randn(4, **options)]
    expected = draws("reference")
    for device in DEVICES[1:]:
        for mine, theirs in zip(draws(device), expected, strict=True):
            assert mine.tolist() == theirs.tolist()


# ---------------------------------------------------------------------------------------------- the contract
def test_there_is_a_kernel_for_each_primitive_and_nothing_else(reference):
    assert set(reference.kernels) == set(primitives())
    assert len(reference.kernels) < 100


def test_names_with_underscores_are_devices():
    assert str(flambeau.ones(2, device="reference_single:1").device) == "reference_single:1"
    assert flambeau.device("reference_dense").type == "reference_dense"


def test_simulated_devices_are_no_accelerator():
    found = flambeau.accelerator.current_accelerator()
    assert found is None or not discovery.backend_for(found.type).capabilities.simulated


def test_devices_of_one_backend_do_not_mix():
    a, b = flambeau.ones(2, device="reference:0"), flambeau.ones(2, device="reference:1")
    with pytest.raises(RuntimeError, match="same device"):
        a + b
    assert (a.to("reference:1") + b).device.index == 1


def test_arrays_show_their_shape_and_nothing_else(reference):
    array = reference.empty((2, 3), flambeau.float32, 0)
    assert array.shape == (2, 3)
    for name in ("dtype", "ndim", "size", "T", "__array__", "__len__", "__add__"):
        assert not hasattr(array, name)


BREACHES = {
    "negative dim": lambda k, x: k["cumsum"](x, -1, flambeau.float32),
    "dim out of range": lambda k, x: k["sum"](x, (2,), False, flambeau.float32),
    "dim given twice": lambda k, x: k["sum"](x, (0, 0), False, flambeau.float32),
    "dims in a list": lambda k, x: k["sum"](x, [0], False, flambeau.float32),
    "keepdim is no bool": lambda k, x: k["sum"](x, (0,), 0, flambeau.float32),
    "no dtype": lambda k, x: k["sum"](x, (0,), False, None),
    "a default is missing": lambda k, x: k["sum"](x, (0,), False),
    "a foreign array": lambda k, x: k["add"](x, np.ones(3)),
    "no tensor in an array's place": lambda k, x: k["clone"](3.0),
    "a number of NumPy": lambda k, x: k["add"](x, np.float64(1)),
    "a number of a higher category": lambda k, x: k["add"](x, 1j),
    "two dtypes": lambda k, x: k["add"](x, k["cast"](x, flambeau.int64)),
    "an emulated dtype": lambda k, x: k["exp"](k["cast"](x, flambeau.float16)),
    "a dtype that is only stored": lambda k, x: k["exp"](k["cast"](x, flambeau.uint16)),
    "integers where floats are promised": lambda k, x: k["exp"](k["cast"](x, flambeau.int64)),
    "an excluded dtype": lambda k, x: k["bitwise_and"](x, x),
    "an index of another dtype": lambda k, x: k["gather"](x, 0, k["cast"](x, flambeau.int32)),
    "out= of another dtype": lambda k, x: k["lt"](x, x, out=x),
    "out= of a kernel that is not pointwise": lambda k, x: k["clone"](x, out=x),
    "a device that is not there": lambda k, x: k["full"]((2,), 1, flambeau.float32, 7),
    "a negative size": lambda k, x: k["full"]((-2,), 1, flambeau.float32, 0),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_breach_of_the_contract_names_the_kernel(breach, reference):
    x = reference.from_host(np.ones((2, 3), np.float32), 0)
    with pytest.raises(ContractError, match=r"contract: (kernel '\w+' of 'reference'|empty)"):
        BREACHES[breach](reference.kernels, x)


def test_arrays_of_two_devices_are_a_breach(reference):
    a, b = (reference.from_host(np.ones(3, np.float32), index) for index in (0, 1))
    with pytest.raises(ContractError, match="two devices"):
        reference.kernels["add"](a, b)
    with pytest.raises(ContractError, match="two devices"):
        reference.copy(a, b)


def test_views_stay_within_their_memory(reference):
    x = reference.empty((2, 3), flambeau.float32, 0)
    view = reference.as_strided(x, (3, 2), (1, 3), 0)
    assert reference.layout(view) == ((1, 3), 0)
    assert reference.storage(view) is reference.storage(x) is x
    with pytest.raises(ValueError, match="memory"):
        reference.as_strided(x, (7,), (1,), 0)
    with pytest.raises(ContractError, match="one place"):
        reference.copy(reference.as_strided(x, (2, 3), (0, 1), 0), x)


def test_a_result_that_does_not_fit_out_is_an_error_of_the_user(reference):
    x = reference.from_host(np.ones((1, 3), np.float32), 0)
    wide = reference.from_host(np.ones((2, 3), np.float32), 0)
    with pytest.raises(ValueError, match="fit"):
        reference.kernels["add"](x, wide, out=x)
    assert reference.kernels["add"](x, x, out=x) is x
    assert reference.to_host(x).tolist() == [[2.0, 2.0, 2.0]]


def test_new_memory_is_full_of_what_nobody_expects():
    assert flambeau.empty(3, device="reference").isnan().all()
    assert flambeau.empty(2, dtype=flambeau.int32, device="reference").tolist() == [-1, -1]


# ---------------------------------------------------------------------------------------------- fake devices
def test_device_without_double_precision_says_so():
    with pytest.raises(RuntimeError, match=r"reference_single.*cannot store torch.float64.*float32"):
        flambeau.ones(2, device="reference_single").double()
    flambeau.set_default_dtype(flambeau.float64)
    with pytest.raises(RuntimeError, match="float64"):
        flambeau.zeros(2, device="reference_single")
    flambeau.set_default_dtype(flambeau.float32)
    assert flambeau.arange(3, device="reference_single").sqrt().dtype is flambeau.float32


def test_asynchronous_error_comes_late_and_names_its_kernel():
    x = flambeau.arange(4.0, device="reference_async")
    bad = x[flambeau.tensor([1, 9], device="reference_async")]     # no error here
    good = x * 2
    with pytest.raises(AsynchronousError, match=r"index: failed.*after its call had returned.*index 9"):
        good.tolist()
    assert good.tolist() == [0.0, 2.0, 4.0, 6.0]                   # and the device works on
    assert bad.shape == (2,)
    flambeau.gather(x, 0, flambeau.tensor([7], device="reference_async"))
    flambeau.tensor([1], device="reference_async") // flambeau.tensor([0], device="reference_async")
    with pytest.raises(RuntimeError, match=r"gather.*and 1 more"):
        discovery.backend_for("reference_async").synchronize(0)
    discovery.backend_for("reference_async").synchronize(0)


def test_tiny_memory_is_counted_and_comes_back():
    backend = discovery.backend_for("reference_tiny")
    gc.collect()
    start = backend.memory_stats(0)["allocated"]
    x = flambeau.ones(256, 1024, device="reference_tiny")          # 1 MiB
    assert backend.memory_stats(0)["allocated"] == start + (1 << 20)
    with pytest.raises(OutOfMemoryError, match=r"tried to allocate 4194304 bytes; given: \d+ bytes free of 4194304"):
        x.repeat(4, 1)
    assert (x + x).sum().item() == 2 * 256 * 1024
    view = x[:1]
    del x
    assert backend.memory_stats(0)["allocated"] == start + (1 << 20)   # the view keeps it
    del view
    stats = backend.memory_stats(0)
    assert stats["allocated"] == start
    assert stats["peak"] >= start + (2 << 20)
    for _ in range(20):
        flambeau.ones(128, 1024, device="reference_tiny").exp().sum().item()
    assert backend.memory_stats(0)["allocated"] == start


def test_device_without_views_has_them_all_the_same():
    x = flambeau.zeros(2, 3, device="reference_dense")
    row, column = x[1], x[:, 1]
    column += 1
    row *= 5
    assert x.tolist() == [[0.0, 1.0, 0.0], [0.0, 5.0, 0.0]]
    assert column.tolist() == [1.0, 5.0]
    assert x.t().stride() == (1, 3) and not x.t().is_contiguous()
    assert row.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    kept = x.detach()
    x.resize_(1, 2).fill_(8)
    assert kept.tolist() == [[8.0, 8.0, 0.0], [0.0, 5.0, 0.0]]


VIEWS = [
    lambda x, a: x.t(), lambda x, a: x[a % len(x):], lambda x, a: x[:, ::2], lambda x, a: x.clone(),
    lambda x, a: x.view(-1).unsqueeze(0) if x.is_contiguous() else x, lambda x, a: x.diagonal().unsqueeze(1),
    lambda x, a: x[a % len(x)].expand(2, -1) + 1]
CHANGES = [
    lambda x, y, a: x.add_(a / 7), lambda x, y, a: x.fill_(a), lambda x, y, a: x[0].copy_(x[-1]),
    lambda x, y, a: x.mul_(y) if x.shape == y.shape else x.neg_(),
    lambda x, y, a: x.index_put_((flambeau.tensor([a % len(x)], device=x.device),), x[0].clone())]


def chain(device, seed):
    """All tensors of a chain of random views and changes in place; the same chain for the same seed."""
    rng = np.random.default_rng(seed)
    pool = [flambeau.arange(12.0).reshape(3, 4).to(device), flambeau.ones(4, 4).to(device)]
    for _ in range(25):
        which, other, a, kind = (int(each) for each in rng.integers(0, 1000, 4))
        x = pool[which % len(pool)]
        if a % 2:
            CHANGES[kind % len(CHANGES)](x, pool[other % len(pool)], a)
            x.clamp_(-99, 99)
        else:
            pool = [*pool[-11:], VIEWS[kind % len(VIEWS)](x, a)]
    return [(each.tolist(), each.stride(), each.storage_offset()) for each in pool]


@pytest.mark.parametrize("seed", range(12))
def test_views_of_dense_arrays_behave_as_strided_ones(seed):
    assert chain("reference_dense", seed) == chain("reference", seed)
