"""What a tensor says of itself, conversions, and writing into it."""

# ruff: noqa: E501 - the lists of cases read best without breaks

from __future__ import annotations

import warnings

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

CONVERSIONS = [
    "x.to(t.int64)", "x.to('cpu')", "x.to(t.device('cpu'), t.float64)", "x.to(t.ones(1, dtype=t.int8))",
    "x.to(dtype=t.half)", "x.to('cpu', t.float64, False, True)", "x.to(x)", "x.to(device='cpu')", "x.to(float)",
    "x.double()", "x.float()", "x.half()", "x.bfloat16()", "x.int()", "x.long()", "x.short()", "x.char()", "x.byte()",
    "x.bool()", "x.cfloat()", "x.cdouble()", "x.cpu()", "x.type_as(t.ones(1, dtype=t.int64))", "x.type(t.int32)",
    "x.type(t.LongTensor)", "x.type('torch.DoubleTensor')", "t.tensor([1.7, -1.7]).int()", "t.tensor([3e9]).to(t.int32)",
    "t.tensor([300]).to(t.int8)", "t.tensor([300., -1.]).to(t.uint8)", "t.tensor([0., .5, float('nan')]).bool()",
    "t.tensor([float('inf'), float('nan')]).to(t.int32)", "t.tensor([1e10]).half()", "t.tensor([1 + 1j]).to(t.float32)",
    "t.tensor([0j, 1j]).bool()", "x.clone()", "x.detach()", "x.data",
]

WRITES = [
    "t.zeros(3).fill_(2)", "t.zeros(3).fill_(t.tensor(2))", "t.zeros(3, dtype=t.int64).fill_(2.7)", "t.ones(3).zero_()",
    "t.zeros(2, 3).copy_(t.arange(3))", "t.zeros(3, dtype=t.int32).copy_(t.tensor([1.5, 2.5, -1.5]))",
    "t.fill(t.zeros(2), 1.5)", "t.zeros(2, dtype=t.bfloat16).fill_(0.1)", "t.zeros(2, 2).t().copy_(t.ones(2))",
]


def run(code, library):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(code, {"t": library, "x": library.tensor([[1., 2.5], [-3., 0.]])})


def as_array(tensor):
    tensor = tensor.detach()
    return (tensor.float() if str(tensor.dtype).endswith("bfloat16") else tensor).numpy()


@pytest.mark.parametrize("code", CONVERSIONS + WRITES)
def test_conversion_gives_what_pytorch_gives(code):
    ours, theirs = run(code, flambeau), run(code, torch)
    assert str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_array_equal(as_array(ours), as_array(theirs))


def test_conversions_that_change_nothing_give_the_tensor_itself():
    x = flambeau.ones(2)
    assert x.to("cpu") is x and x.float() is x and x.cpu() is x and x.to(x) is x
    assert x.to(flambeau.float32, copy=True) is not x
    assert x.to(flambeau.float32, copy=True).data_ptr() != x.data_ptr()


def test_a_cast_that_drops_the_imaginary_part_warns():
    with pytest.warns(UserWarning, match="imaginary"):
        flambeau.tensor([1 + 1j]).to(flambeau.float32)


def test_gradients_flow_back_through_casts_copies_and_fills():
    x = flambeau.ones(2, requires_grad=True)
    (x.double() * 3).sum().backward()
    assert x.grad.tolist() == [3, 3] and x.grad.dtype is flambeau.float32
    y = flambeau.zeros(2, 2)
    y.copy_(x)
    (y * 2).sum().backward()
    assert x.grad.tolist() == [7, 7]
    value = flambeau.tensor(2., requires_grad=True)
    z = x * 1
    z.fill_(value)
    z.sum().backward()
    assert value.grad.item() == 2
    assert x.grad.tolist() == [7, 7]
    w = x * 1
    w.zero_()
    w.sum().backward()
    assert x.grad.tolist() == [7, 7]


def test_writing_counts_as_a_change():
    x = flambeau.zeros(2)
    versions = [x._version]
    for write in (lambda: x.fill_(1), x.zero_, lambda: x.copy_(flambeau.ones(2))):
        write()
        versions.append(x._version)
    assert len({str(each) for each in versions}) == 4


def test_leaves_that_want_gradients_are_not_overwritten():
    x = flambeau.ones(2, requires_grad=True)
    for write in (lambda: x.fill_(1), x.zero_, lambda: x.copy_(flambeau.ones(2))):
        with pytest.raises(RuntimeError, match="leaf"):
            write()
    with flambeau.no_grad():
        assert x.fill_(3).tolist() == [3, 3]


def test_writing_to_expanded_memory_is_refused():
    for write in (lambda x: x.fill_(1), lambda x: x.zero_(), lambda x: x.copy_(flambeau.ones(3))):
        with pytest.raises(RuntimeError, match="single memory location"):
            write(flambeau.zeros(1).expand(3))


def test_what_a_tensor_says_of_itself():
    x = flambeau.zeros(2, 3, dtype=flambeau.float64)
    assert (x.ndim, x.dim(), x.numel(), x.nelement(), x.itemsize, x.nbytes) == (2, 2, 6, 6, 8, 48)
    assert x.size() == x.shape == (2, 3) and x.size(-1) == 3
    assert x.stride() == (3, 1) and x.stride(0) == 3 and x.storage_offset() == 0
    assert x.is_cpu and not x.is_cuda and not x.is_sparse and not x.is_meta
    assert x.get_device() == -1
    assert x[1].storage_offset() == 3
    assert x.layout is flambeau.strided


def test_calling_the_class_of_a_subclass_gives_the_subclass():
    class Mine(flambeau.Tensor):
        pass

    assert type(Mine([1., 2.])) is Mine
    assert type(flambeau.ones(2).as_subclass(Mine)) is Mine
