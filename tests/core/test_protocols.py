"""Python's and NumPy's protocols on tensors, against PyTorch."""

# ruff: noqa: E501 - the lists of cases read best without breaks

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

VALUES = [
    "t.ones(1, 1).item()", "t.tensor(2).item()", "t.tensor(True).item()", "t.tensor(1 + 2j).item()",
    "t.tensor(1.5, dtype=t.bfloat16).item()", "t.tensor(0.1, dtype=t.float16).item()",
    "t.tensor([[1, 2], [3, 4]]).tolist()", "t.tensor([1.5], dtype=t.bfloat16).tolist()", "t.tensor(2.5).tolist()",
    "int(t.tensor(2.7))", "float(t.tensor([[2]]))", "complex(t.tensor(2.))", "bool(t.tensor([0.]))", "bool(t.tensor(3))",
    "[1, 2, 3][t.tensor(1)]", "[1, 2, 3][t.tensor([1])]", "range(5)[t.tensor(2)]", "len(t.ones(3, 2))",
    "2 in t.arange(3)", "7 in t.arange(3)", "t.tensor(1) in t.arange(3)", "[x.item() for x in t.arange(3)]",
    "[x.tolist() for x in reversed(t.arange(3))]", "format(t.tensor(1.5), '.3f')", "'%.2f' % t.tensor(1.5)",
    "f'{t.tensor([1, 2])}'", "repr(t.ones(2, dtype=t.int8))", "str(t.tensor(1., requires_grad=True))",
    "t.ones(2).numpy().dtype.name", "t.ones(2, requires_grad=True).numpy(force=True).tolist()",
    "np.asarray(t.ones(2)).tolist()", "np.asarray(t.ones(2), dtype=np.float64).dtype.name",
    "(np.float64(2) * t.ones(2)).tolist()", "(t.ones(2) * np.float32(3)).tolist()", "(np.float64(2) * t.ones(2)).dtype.is_complex",
    "np.from_dlpack(t.arange(3)).tolist()", "t.from_dlpack(np.arange(3)).tolist()", "t.ones(2).__dlpack_device__()",
    "t.is_tensor(t.ones(1))", "t.is_tensor([1])", "t.is_nonzero(t.tensor([0]))", "t.numel(t.ones(2, 3))",
    "t.is_floating_point(t.ones(1))", "t.is_complex(t.ones(1))", "t.ones(2).type()", "t.ones(2).is_shared()",
    "t.ones(3, 2).untyped_storage().nbytes()", "str(t.ones(2).layout)", "t.typename(t.ones(1))",
    "isinstance(t.ones(1), t.FloatTensor)", "isinstance(t.ones(1), t.LongTensor)", "t.ones(2).is_pinned()",
]

ERRORS = [
    "t.ones(2, 2).item()", "t.empty(0).item()", "bool(t.ones(2))", "bool(t.ones(0))", "int(t.ones(2))",
    "float(t.tensor(1j))", "int(t.tensor(float('nan')))", "[1, 2][t.tensor(1.5)]", "[1, 2][t.ones(2, dtype=t.int64)]",
    "list(t.tensor(1))", "len(t.tensor(1))", "'a' in t.ones(3)", "format(t.ones(2), '.3f')",
    "t.ones(2, requires_grad=True).numpy()", "np.asarray(t.ones(2, requires_grad=True))",
    "t.ones(2, dtype=t.bfloat16).numpy()", "t.is_nonzero(t.ones(2))", "t.ones(2, requires_grad=True).__dlpack__()",
    "copy.deepcopy(t.ones(2, requires_grad=True) * 2)", "t.zeros(3).fill_(t.ones(2))", "t.zeros(2).copy_(t.arange(3))",
]


def run(code, library):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(code, {"t": library, "np": np, "copy": copy})


@pytest.mark.parametrize("code", VALUES)
def test_protocol_gives_what_pytorch_gives(code):
    ours, theirs = run(code, flambeau), run(code, torch)
    assert type(ours) is type(theirs)
    assert ours == theirs


@pytest.mark.parametrize("code", ERRORS)
def test_protocol_refuses_what_pytorch_refuses(code):
    with pytest.raises(Exception) as theirs:
        run(code, torch)
    with pytest.raises(theirs.type):
        run(code, flambeau)


def test_arrays_share_memory_both_ways():
    x = flambeau.zeros(3)
    x.numpy()[0] = 5
    np.from_dlpack(x)
    assert x.tolist() == [5, 0, 0]
    array = np.zeros(3)
    y = flambeau.from_dlpack(array)
    array[1] = 2
    assert y.tolist() == [0, 2, 0]
    assert flambeau.from_dlpack(torch.ones(2)).tolist() == [1, 1]
    assert torch.from_dlpack(x).tolist() == [5, 0, 0]


def test_the_array_protocol_copies_when_told():
    x = flambeau.zeros(3)
    np.array(x, copy=True)[0] = 1
    assert x.tolist() == [0, 0, 0]
    assert np.shares_memory(np.asarray(x), x.numpy())
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float64, copy=False)


def test_universal_functions_give_tensors():
    assert isinstance(np.negative(flambeau.ones(2)), flambeau.Tensor)


def test_deepcopy_keeps_what_makes_a_leaf():
    x = flambeau.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    x.note = ["mine"]
    memo = {}
    y = copy.deepcopy(x, memo)
    assert y.requires_grad and y.grad.tolist() == [3, 3] and y.note == ["mine"]
    assert y.data_ptr() != x.data_ptr() and y.grad is not x.grad
    assert copy.deepcopy(x, memo) is y


def test_pickled_tensors_share_memory_afterwards_too():
    x = flambeau.zeros(2, 3)
    y, z = pickle.loads(pickle.dumps((x, x.t())))
    y.fill_(4)
    assert z.tolist() == [[4, 4]] * 3
    assert z.stride() == (1, 3)


def test_storages_are_known_by_their_memory():
    x = flambeau.zeros(2, 3)
    storage = x.untyped_storage()
    assert storage is x[1].untyped_storage()
    assert storage.data_ptr() == x.data_ptr()
    assert x[1].data_ptr() == x.data_ptr() + 12
    assert flambeau.is_storage(storage) and not flambeau.is_storage(x)


@pytest.mark.parametrize("text", ["x == a", "a == x", "x == a[:1]", "x == a.tolist()", "x == None", "x != a"])
def test_equality_with_arrays(text):
    found = []
    for library in (flambeau, torch):
        value = eval(text, {"x": library.arange(3.0), "a": np.array([0.0, 5.0, 2.0])})
        found.append(value.tolist() if hasattr(value, "tolist") else value)
    assert found[0] == found[1]


def test_dlpack_capsules():
    for library in (flambeau, torch):
        dlpack = __import__(library.__name__ + ".utils.dlpack", fromlist=["dlpack"])
        x = library.arange(3.0)
        capsule = dlpack.to_dlpack(x)
        assert type(capsule).__name__ == "PyCapsule"
        y = dlpack.from_dlpack(capsule)
        y[0] = 7
        assert x.tolist() == [7.0, 1.0, 2.0] == dlpack.from_dlpack(x).tolist()


INTEGERS = ["t.linspace(0, 1, n)", "x.repeat(n)", "x.roll(n)", "x.sum(dim=n - 2)", "x.repeat_interleave(n)",
            "x.view(n, 2).squeeze(n - 1).shape", "x.view(n, 2).movedim(n - 1, n - 2).shape", "t.zeros(n)", "t.zeros((n, 3))",
            "x.view(n, -1)", "x.topk(n)[0]", "x.chunk(n)[0]", "t.eye(n)", "x.view(n, 2).mean(n - 1)"]


@pytest.mark.parametrize("text", INTEGERS)
def test_integers_of_numpy_count_as_integers(text):
    found = [eval(text, {"t": t, "x": t.arange(4.0), "n": np.int64(2)}) for t in (flambeau, torch)]
    assert [list(each) if isinstance(each, tuple) else each.tolist() for each in found[:1]] == [
        list(each) if isinstance(each, tuple) else each.tolist() for each in found[1:]]


def test_functions_of_elements():
    for library in (flambeau, torch):
        x = library.tensor([[1, 2], [3, 4]])
        assert x.apply_(lambda v: v * 10) is x
        assert x.map_(library.ones(2, 2, dtype=library.int64), lambda a, b: a + b).tolist() == [[11, 21], [31, 41]]
        assert x.ndimension() == 2
        with pytest.raises(RuntimeError, match="requires grad"):
            library.ones(2, requires_grad=True).apply_(abs)
