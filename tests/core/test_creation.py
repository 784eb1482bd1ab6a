"""Factories against PyTorch: values, dtypes, shapes, strides, and the errors' types."""

# ruff: noqa: E501 - the lists of cases read best without breaks

from __future__ import annotations

import warnings

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

VALUES = [
    "t.tensor([1., 2., 3.])", "t.tensor([[1, 2], [3, 4]])", "t.tensor(3)", "t.tensor(1.5)", "t.tensor(True)",
    "t.tensor(1 + 2j)", "t.tensor([True, False])", "t.tensor([1, 2.5])", "t.tensor([True, 2])", "t.tensor([3, 2.5, 1j])",
    "t.tensor([])", "t.tensor([[], []])", "t.tensor((1, 2))", "t.tensor(range(3))", "t.tensor([1, 2], dtype=t.float64)",
    "t.tensor([1.7, -1.7], dtype=t.int32)", "t.tensor([-1], dtype=t.uint8)", "t.tensor([1e300])",
    "t.tensor([2, 0], dtype=t.bool)", "t.tensor(np.float64(1))", "t.tensor([np.float64(1)])", "t.tensor([np.float32(1), 2.])",
    "t.tensor([np.int32(1)])", "t.tensor(np.arange(6).reshape(2, 3))", "t.tensor(np.ones((2, 3)).T)",
    "t.tensor(np.arange(6)[::-1].copy())", "t.tensor([t.tensor(1.5), 2])", "t.tensor([1., 2.], requires_grad=True)",
    "t.tensor([1, 2], dtype=t.bfloat16)", "t.tensor([0.1], dtype=t.float16)",
    "t.as_tensor([1, 2], dtype=t.float32)", "t.as_tensor(np.ones(2, np.float32))", "t.as_tensor(3)",
    "t.asarray([1., 2.])", "t.asarray(t.ones(2), dtype=t.int8)", "t.asarray(np.ones(2))", "t.asarray(3.5, requires_grad=True)",
    "t.zeros(2, 3)", "t.zeros((2, 3))", "t.zeros([2])", "t.zeros(())", "t.zeros(size=(2,))", "t.zeros(2, 0, 3)",
    "t.zeros(2, dtype=t.complex64)", "t.zeros(2, dtype=int)", "t.zeros(2, dtype=float)", "t.zeros(2, requires_grad=True)",
    "t.ones(2, dtype=t.int64)", "t.ones(t.Size([2]))", "t.full((2, 2), 7)", "t.full((2,), 2.5)", "t.full((), True)",
    "t.full((2,), 1j)", "t.full((2,), 1.5, dtype=t.int64)", "t.full_like(t.ones(2), 3)", "t.scalar_tensor(2)",
    "t.zeros_like(t.ones(2, 3).t())", "t.ones_like(t.ones(2, 3, 4).permute(2, 0, 1))", "t.ones_like(t.ones(2), dtype=t.int8)",
    "t.arange(5)", "t.arange(1, 10, 2.5)", "t.arange(5, 0, -2)", "t.arange(0, 1, 0.1)", "t.arange(5.)", "t.arange(end=4)",
    "t.arange(3, dtype=t.float16)", "t.arange(0)", "t.linspace(0, 1, 11)", "t.linspace(-3, 7, 1)", "t.linspace(0, 1, 0)",
    "t.linspace(0, 10, 4, dtype=t.int64)", "t.linspace(-3, 7, 6, dtype=t.float64)", "t.logspace(0, 3, 4)",
    "t.logspace(0, 3, 4, base=2)", "t.eye(3)", "t.eye(2, 3)", "t.eye(2, dtype=t.int8)",
    "t.zeros(2, out=t.ones(2))", "t.arange(3, out=t.zeros(3))",
    "t.ones(2, dtype=t.int32).new_zeros(2, 2)", "t.ones(2).new_full((2,), 3)", "t.ones(2).new_tensor([1, 2])",
    "t.ones(2, dtype=t.float64).new_ones((2,))", "t.tensor([1, 2]).new([1, 2])",
    "t.FloatTensor([1, 2])", "t.LongTensor([1.5])", "t.Tensor([[1, 2], [3, 4]])", "t.Tensor()", "t.BoolTensor([True])",
    "t.Tensor(t.ones(2, dtype=t.int64))", "t.frombuffer(bytearray(b'abcdefgh'), dtype=t.int32, offset=4)",
    "t.frombuffer(bytearray(b'abcdefgh'), dtype=t.uint8, count=3)", "t.from_dlpack(np.arange(3)[::2])",
]

ERRORS = [
    "t.tensor('a')", "t.tensor(['a'])", "t.tensor(None)", "t.tensor([[1, 2], [3]])", "t.tensor([1, [2]])",
    "t.tensor([[1], 2])", "t.tensor([2 ** 63])", "t.tensor(2 ** 64)", "t.tensor([300], dtype=t.uint8)",
    "t.tensor([1j], dtype=t.float32)", "t.tensor([t.ones(2), t.ones(2)])", "t.tensor([object()])", "t.tensor({1})",
    "t.full((2,), 300, dtype=t.uint8)", "t.full((2,), 1e300)", "t.zeros(-1)", "t.zeros(1.5)", "t.zeros('a')",
    "t.zeros(2, dtype=t.int64, requires_grad=True)", "t.arange(0, 5, 0)", "t.arange(0, 5, -1)", "t.linspace(0, 1, -1)",
    "t.eye(-1)", "t.from_numpy([1])", "t.from_numpy(np.arange(3)[::-1])", "t.from_numpy(np.array(['a']))",
    "t.Tensor(2.5)", "t.Tensor(3, requires_grad=True)", "t.frombuffer(bytearray(7), dtype=t.int32)",
    "t.frombuffer(bytearray(8), dtype=t.int32, count=3)", "t.frombuffer(bytearray(0), dtype=t.int32)",
    "t.ones(2).type('nonsense')", "t.empty_strided((2, 3), (1,))",
]


def run(code, library):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(code, {"t": library, "np": np})


def as_array(tensor):
    tensor = tensor.detach()
    return (tensor.float() if str(tensor.dtype).endswith("bfloat16") else tensor).numpy()


@pytest.mark.parametrize("code", VALUES)
def test_factory_gives_what_pytorch_gives(code):
    ours, theirs = run(code, flambeau), run(code, torch)
    assert str(ours.dtype) == str(theirs.dtype)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.stride() == theirs.stride()
    assert ours.requires_grad == theirs.requires_grad
    np.testing.assert_allclose(as_array(ours), as_array(theirs), rtol=1e-6)


@pytest.mark.parametrize("code", ERRORS)
def test_factory_refuses_what_pytorch_refuses(code):
    with pytest.raises(Exception) as theirs:
        run(code, torch)
    with pytest.raises(theirs.type):
        run(code, flambeau)


def test_empty_has_the_shape_and_strides_asked_for():
    assert flambeau.empty(2, 3).shape == (2, 3)
    assert flambeau.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
    assert flambeau.empty_like(flambeau.ones(2, 3).t()).stride() == (1, 3)
    assert flambeau.empty(0).numel() == 0
    assert flambeau.FloatTensor(2, 3).shape == (2, 3)


def test_a_tensor_is_a_copy_and_from_numpy_is_not():
    array = np.zeros(3, np.float32)
    copied, shared = flambeau.tensor(array), flambeau.from_numpy(array)
    array[0] = 5
    assert copied.tolist() == [0, 0, 0]
    assert shared.tolist() == [5, 0, 0]
    shared[1] = 7
    assert array[1] == 7
    assert flambeau.as_tensor(array).data_ptr() == shared.data_ptr()


def test_a_tensor_of_a_tensor_warns_and_is_detached():
    source = flambeau.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="detach"):
        copied = flambeau.tensor(source)
    assert copied.requires_grad is False
    assert copied.data_ptr() != source.data_ptr()


def test_asarray_says_when_a_copy_is_needed():
    assert flambeau.asarray(np.ones(2), copy=False).tolist() == [1, 1]
    with pytest.raises(ValueError, match="copy"):
        flambeau.asarray([1, 2], copy=False)


def test_a_read_only_buffer_warns():
    with pytest.warns(UserWarning, match="writable"):
        assert flambeau.frombuffer(b"ab", dtype=flambeau.uint8).tolist() == [97, 98]


def test_the_default_dtype_decides():
    flambeau.set_default_dtype(flambeau.float64)
    try:
        assert flambeau.tensor([1.]).dtype is flambeau.float64
        assert flambeau.zeros(1).dtype is flambeau.float64
        assert flambeau.tensor([1j]).dtype is flambeau.complex128
        assert flambeau.arange(0.5).dtype is flambeau.float64
    finally:
        flambeau.set_default_dtype(flambeau.float32)


def test_pickled_layouts_and_formats_are_the_same_objects():
    import pickle
    assert pickle.loads(pickle.dumps(flambeau.strided)) is flambeau.strided
    assert pickle.loads(pickle.dumps(flambeau.channels_last)) is flambeau.channels_last


def test_only_strided_tensors_exist():
    with pytest.raises(NotImplementedError, match="strided"):
        flambeau.zeros(2, layout=flambeau.sparse_coo)
