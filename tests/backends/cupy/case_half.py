"""Products of matrices of float16 and bfloat16 by cuBLAS, on the simulated machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from cupy_backends.cuda.libs import cublas

import cuda_machine
import flambeau as torch
from flambeau import discovery, settings
from flambeau_clike.array import Array
from flambeau_clike.kernels import matmul
from flambeau_cupy.cublas import narrow

F = torch.nn.functional
DTYPES = (torch.float16, torch.bfloat16)
KINDS = {torch.float16: 2, torch.bfloat16: 14}      # CUDA_R_16F, CUDA_R_16BF
WHOLE = 16                                          # CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def values(*shape, dtype, grad=False):
    """Numbers of a dtype, on the device."""
    return torch.randn(shape).to(dtype).cuda().requires_grad_(grad)


def near(found, wanted, dtype, terms=1):
    """`found` is of the dtype, and as close to float64's numbers as roundings of it let it be."""
    assert found.dtype is dtype and found.device.type == "cuda"
    step = torch.finfo(dtype).eps
    np.testing.assert_allclose(found.detach().double().cpu().numpy(), wanted.detach().cpu().numpy(), terms * step,
                               terms * step)


def exact(x):
    """A tensor's numbers in float64 on the processor."""
    return x.detach().cpu().double()


@contextmanager
def by_cublas(dtype, count=None) -> Iterator[None]:
    """All products within are cuBLAS', of this dtype."""
    cuda_machine.products.clear()
    yield
    assert cuda_machine.products and count in (None, len(cuda_machine.products))
    assert {each["types"] for each in cuda_machine.products} == {(KINDS[dtype], KINDS[dtype])}


@contextmanager
def emulated() -> Iterator[None]:
    """No product within is of floats of 16 bits, in cuBLAS or in our own kernels."""
    cuda_machine.products.clear()
    yield
    assert not {each["types"] for each in cuda_machine.products} & {(each, each) for each in KINDS.values()}


def layouts(x):
    """A tensor, with rows next to each other, with columns next to each other, and with gaps."""
    padded = torch.zeros((*x.shape[:-1], x.shape[-1] + 3), dtype=x.dtype, device=x.device)
    padded[..., 1:-2] = x
    return x, x.mT.contiguous().mT, padded[..., 1:-2]


# ---------------------------------------------------------------------------------------------- values
@dtypes
@pytest.mark.parametrize(("a", "b"), [((3, 4), (4, 5)), ((1, 7), (7, 1)), ((6, 1), (1, 3)), ((33, 70), (70, 18)),
                                      ((5, 2, 3), (5, 3, 2)), ((2, 3, 4), (4, 6)), ((2, 1, 3, 4), (1, 1, 4, 5)),
                                      ((4,), (4, 3)), ((3, 4), (4,)), ((9,), (9,))])
def test_products_are_cublas(dtype, a, b):
    torch.manual_seed(0)
    x, y = values(*a, dtype=dtype), values(*b, dtype=dtype)
    wanted = exact(x) @ exact(y)
    for left in layouts(x) if x.ndim > 1 else (x,):
        for right in layouts(y) if y.ndim > 1 else (y,):
            if left.ndim < 3 or left.is_contiguous() or right.ndim > 2:    # else the batch is no row of one matrix
                with by_cublas(dtype, 1):
                    found = left @ right
                near(found, wanted, dtype)


@dtypes
def test_by_their_names(dtype):
    torch.manual_seed(0)
    x, y, v = (values(*shape, dtype=dtype) for shape in ((3, 4), (4, 5), (4,)))
    p, q = (values(*shape, dtype=dtype) for shape in ((2, 3, 4), (2, 4, 5)))
    with by_cublas(dtype, 4):
        near(torch.mm(x, y), exact(x) @ exact(y), dtype)
        near(torch.bmm(p, q), exact(p) @ exact(q), dtype)
        near(torch.mv(x, v), exact(x) @ exact(v), dtype)
        near(torch.dot(v, v), exact(v) @ exact(v), dtype)


@dtypes
def test_operators_without_a_kernel_round_once(dtype):
    torch.manual_seed(0)
    x, y, z = (values(*shape, dtype=dtype) for shape in ((3, 4), (4, 5), (3, 5)))
    with emulated():
        near(torch.addmm(z, x, y, beta=2, alpha=0.5), 2 * exact(z) + exact(x) @ exact(y) / 2, dtype)
        near(torch.baddbmm(z[None], x[None], y[None]), (exact(z) + exact(x) @ exact(y))[None], dtype)


@dtypes
@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3), (3,)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_rounds_once(dtype, shape, bias):
    torch.manual_seed(0)
    x, weight, added = values(*shape, dtype=dtype), values(4, 3, dtype=dtype), values(4, dtype=dtype)
    with by_cublas(dtype, 1):
        found = F.linear(x, weight, added if bias else None)
    wanted = F.linear(exact(x), exact(weight), exact(added) if bias else None)
    near(found, wanted, dtype)
    assert found.cpu().tolist() == F.linear(x.cpu().float(), weight.cpu().float(), added.cpu().float() if bias else
                                            None).to(dtype).tolist()


@dtypes
def test_long_sums_are_those_of_float32(dtype):
    x = torch.full((4096,), 0.25, dtype=dtype, device="cuda")
    with by_cublas(dtype):
        assert x.dot(x).item() == 256 and (x.reshape(1, -1) @ x).item() == 256


# ---------------------------------------------------------------------------------------------- what is emulated
@dtypes
def test_layouts_that_cublas_cannot_read(dtype):
    torch.manual_seed(0)
    x, y = values(8, 8, dtype=dtype), values(3, 2, 4, 4, dtype=dtype)
    row = values(1, 8, dtype=dtype).expand(4, 8)
    for left, right in ((x[::2, ::2], x[:4]), (row, x), (y, y[:, :1]), (x[:, :1].expand(8, 8), x[0])):
        assert right.ndim == 1 or matmul.route(left._array, right._array) == "none"
        with emulated():
            found = left @ right
        near(found, exact(left) @ exact(right), dtype)


@dtypes
@pytest.mark.parametrize(("a", "b"), [((3, 0), (0, 4)), ((2, 3, 0), (2, 0, 4)), ((0, 3), (3, 4)), ((3, 2), (2, 0))])
def test_nothing_to_sum(dtype, a, b):
    cuda_machine.products.clear()
    found = values(*a, dtype=dtype) @ values(*b, dtype=dtype)
    assert found.dtype is dtype and not found.any() and found.shape == (*a[:-1], b[-1])
    assert not cuda_machine.products
    bias = values(4, dtype=dtype)
    empty = torch.empty(3, 0, dtype=dtype, device="cuda")
    assert F.linear(empty, torch.empty(4, 0, dtype=dtype, device="cuda"), bias).tolist() == [bias.tolist()] * 3


@dtypes
def test_in_a_recording(dtype):
    torch.manual_seed(0)
    x, y, graph = values(4, 4, dtype=dtype), values(4, 4, dtype=dtype), torch.cuda.CUDAGraph()
    _ = x.float() @ y.float() + 0 * x      # whatever is compiled at first use
    with emulated(), torch.cuda.graph(graph):
        found = x @ y
    x.copy_(values(4, 4, dtype=dtype))
    graph.replay()
    near(found, exact(x) @ exact(y), dtype)


@dtypes
def test_without_the_library(dtype, monkeypatch):
    monkeypatch.setattr(x := discovery.backend_for("cuda")._devices[0], "libraries", [])
    a = values(3, 4, dtype=dtype)
    with emulated():
        near(a @ a.T, exact(a) @ exact(a).T, dtype)
        near(F.linear(a, a), exact(a) @ exact(a).T, dtype)
        near(a[0] @ a[1], exact(a[0]) @ exact(a[1]), dtype)
    assert matmul.native(x)["mm"] == {torch.float16, torch.bfloat16}


def test_own_kernels_never_see_them(monkeypatch):
    seen = set()
    for name in ("_plain", "_tiled"):
        original = getattr(matmul, name)
        monkeypatch.setattr(matmul, name, lambda product, out, original=original: (
            seen.add(product.a.dtype), original(product, out))[1])
    monkeypatch.setattr(discovery.backend_for("cuda")._devices[0], "libraries", [])
    for dtype in DTYPES:
        x = values(40, 40, dtype=dtype)
        _ = x[::2, ::2] @ x[:20], x[:, ::2] @ x[::2], F.linear(x[::2, ::2], x[::2, ::2], x[0, :20])
    assert seen == {torch.float32}


def test_errors_are_those_of_other_dtypes():
    x = torch.ones(2, 3, dtype=torch.float16, device="cuda")
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)"):
        _ = x @ x
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x2\)"):
        F.linear(x, torch.ones(2, 2, dtype=torch.float16, device="cuda"))
    with pytest.raises(RuntimeError, match="same dtype"):
        _ = x @ x.T.bfloat16()


# ---------------------------------------------------------------------------------------------- gradients
@dtypes
def test_gradients(dtype):
    torch.manual_seed(0)
    operands = [values(*shape, dtype=dtype, grad=True) for shape in ((2, 3, 4), (5, 4), (5,), (2, 5, 3))]

    def program(x, weight, bias, other):
        return F.linear(x, weight, bias) @ other
    with by_cublas(dtype):
        result = program(*operands)
        result.backward(torch.ones_like(result))      # dense, as a sum's is not
    precise = [exact(each).requires_grad_() for each in operands]
    program(*precise).sum().backward()
    near(result, program(*precise), dtype, 32)
    for mine, theirs in zip(operands, precise, strict=True):
        near(mine.grad, theirs.grad, dtype, 32)


@dtypes
def test_second_order(dtype):
    torch.manual_seed(0)
    x, y = values(3, 4, dtype=dtype, grad=True), values(4, 3, dtype=dtype, grad=True)

    def second(x, y):
        first = torch.autograd.grad((x @ y).square().sum(), (x, y), create_graph=True)
        return torch.autograd.grad(sum((each * each).sum() for each in first), (x, y))
    with by_cublas(dtype):
        found = second(x, y)
    for mine, theirs in zip(found, second(exact(x).requires_grad_(), exact(y).requires_grad_()), strict=True):
        scale = theirs.abs().max()
        near(mine / scale.item(), theirs / scale, dtype, 16)


def test_names_in_the_graph():
    x = values(3, 3, dtype=torch.float16, grad=True)
    assert (x @ x).grad_fn.name() == "MmBackward0"
    assert F.linear(x, x, x[0]).grad_fn.name() == "AddmmBackward0"


# ---------------------------------------------------------------------------------------------- what is allowed
@pytest.fixture
def allowed():
    """`settings.matmul`, put back afterwards."""
    slots = settings.matmul
    before = {name: getattr(slots, name) for name in slots.__slots__}
    yield torch.backends.cuda.matmul
    for name, value in before.items():
        setattr(slots, name, value)


def mode():
    """The math mode of the handle that CuPy and we use."""
    import cupy
    return cublas.getMathMode(cupy.cuda.device.get_cublas_handle())


def asked(dtype):
    """(compute type, math mode) of a product."""
    x = values(4, 4, dtype=dtype)
    cuda_machine.products.clear()
    _ = x @ x
    (one,) = cuda_machine.products
    return one["compute"], one["math"]


@dtypes
def test_partial_sums_of_16_bits(allowed, dtype):
    name = "allow_fp16_reduced_precision_reduction" if dtype is torch.float16 else (
        "allow_bf16_reduced_precision_reduction")
    assert asked(dtype) == (cublas.CUBLAS_COMPUTE_32F, 0)
    setattr(allowed, name, False)
    assert asked(dtype) == (cublas.CUBLAS_COMPUTE_32F, WHOLE) and mode() == 0
    other = torch.bfloat16 if dtype is torch.float16 else torch.float16
    assert asked(other)[1] == asked(torch.float32)[1] == 0


def test_the_mode_is_put_back_after_an_error(allowed, monkeypatch):
    def fail(*args):
        assert mode() == WHOLE
        raise RuntimeError("no")
    allowed.allow_fp16_reduced_precision_reduction = False
    x = values(4, 4, dtype=torch.float16)
    monkeypatch.setattr(cublas, "gemmStridedBatchedEx", fail)
    with pytest.raises(RuntimeError, match="no"):
        _ = x @ x
    assert mode() == 0


def test_sums_of_float16_throughout(allowed):
    allowed.allow_fp16_accumulation = True
    assert asked(torch.float16)[0] == cublas.CUBLAS_COMPUTE_16F
    assert asked(torch.bfloat16)[0] == asked(torch.float32)[0] == cublas.CUBLAS_COMPUTE_32F
    x, bias = values(4, 4, dtype=torch.float16), values(4, dtype=torch.float16)
    near(F.linear(x, x, bias), F.linear(exact(x), exact(x), exact(bias)), torch.float16, 4)


def test_tensorfloat_is_for_float32(allowed):
    allowed.allow_tf32 = True
    try:
        assert asked(torch.float16)[0] == cublas.CUBLAS_COMPUTE_32F
    finally:
        allowed.allow_tf32 = False


# ---------------------------------------------------------------------------------------------- what it says of itself
def test_which_devices_take_which():
    assert narrow({"major": 9, "minor": 0}) == {torch.float16, torch.bfloat16}
    assert narrow({"major": 7, "minor": 5}) == {torch.float16}
    assert narrow({"major": 5, "minor": 2}) == frozenset()


def test_capabilities():
    backend = discovery.backend_for("cuda")
    said = backend.capabilities_of(0)
    assert set(said.native) == set(matmul.KERNELS) and set(said.native["linear"]) == set(DTYPES)
    assert set(DTYPES) <= set(said.emulated) and not set(DTYPES) & said.compute_dtypes
    assert isinstance(torch.ones(1, device="cuda")._array, Array)
