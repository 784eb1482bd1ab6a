"""Padding and packing against PyTorch: nn.utils.rnn there and back, and layers over what it gives."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import flambeau
from flambeau.nn.utils import rnn

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def sequences(library, lengths, width=2, dtype="float64"):
    rng = np.random.default_rng(sum(lengths))
    return [library.tensor(rng.normal(size=(length, width)).astype(dtype)) for length in lengths]


def same(mine, theirs):
    assert (mine is None) == (theirs is None)
    if mine is not None:
        assert tuple(mine.shape) == tuple(theirs.shape)
        assert str(mine.dtype) == str(theirs.dtype)
        np.testing.assert_array_equal(mine.detach().numpy(), theirs.detach().numpy())


def same_packed(mine, theirs):
    assert mine._fields == theirs._fields
    for field in mine._fields:
        same(getattr(mine, field), getattr(theirs, field))


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, batch_first=st.booleans(), side=st.sampled_from(["left", "right"]))
def test_padding(lengths, batch_first, side):
    mine = rnn.pad_sequence(sequences(flambeau, lengths), batch_first, -1.0, side)
    theirs = torch.nn.utils.rnn.pad_sequence(sequences(torch, lengths), batch_first, -1.0, side)
    same(mine, theirs)
    if side == "right":
        found = rnn.unpad_sequence(mine, flambeau.tensor(lengths), batch_first)
        for one, other in zip(found, sequences(flambeau, lengths), strict=True):
            assert flambeau.equal(one, other)


@settings(max_examples=25, deadline=None)
@given(lengths=LENGTHS, batch_first=st.booleans(), total=st.integers(6, 8), as_list=st.booleans())
def test_packing_there_and_back(lengths, batch_first, total, as_list):
    results = []
    for library in (flambeau, torch):
        tools = library.nn.utils.rnn
        padded = tools.pad_sequence(sequences(library, lengths), batch_first).requires_grad_()
        packed = tools.pack_padded_sequence(padded, lengths if as_list else library.tensor(lengths), batch_first, False)
        again, found = tools.pad_packed_sequence(packed, batch_first, 3.0, total)
        weights = library.arange(again.numel(), dtype=again.dtype).reshape(again.shape)
        (again * weights).sum().backward()
        assert found.tolist() == lengths
        results.append((packed, again, padded.grad))
    (mine, *others), (theirs, *expected) = results
    same_packed(mine, theirs)
    for one, other in zip(others, expected, strict=True):
        same(one, other)
    for one, other in zip(rnn.unpack_sequence(mine), sequences(flambeau, lengths), strict=True):
        assert flambeau.equal(one, other)


@settings(max_examples=10, deadline=None)
@given(lengths=LENGTHS, name=st.sampled_from(["LSTM", "GRU", "RNN"]), layers=st.integers(1, 2), both=st.booleans(),
       projected=st.booleans())
def test_layers_over_packed_sequences(lengths, name, layers, both, projected):
    kwargs = {"num_layers": layers, "bidirectional": both}
    if projected and name == "LSTM":
        kwargs["proj_size"] = 2
    results = []
    for library in (flambeau, torch):
        library.manual_seed(1)
        layer = getattr(library.nn, name)(2, 3, **kwargs).double()
        leaves = [each.requires_grad_() for each in sequences(library, lengths)]
        packed, last = layer(library.nn.utils.rnn.pack_sequence(leaves, enforce_sorted=False))
        padded, found = library.nn.utils.rnn.pad_packed_sequence(packed)
        assert found.tolist() == lengths
        last = last if isinstance(last, tuple) else (last,)
        ((padded * library.arange(padded.numel(), dtype=padded.dtype).reshape(padded.shape)).sum()
         + sum(each.exp().sum() for each in last)).backward()
        results.append([padded, *last, *(each.grad for each in leaves), *(each.grad for each in layer.parameters())])
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_conversions_of_a_packed_sequence():
    mine = rnn.pack_sequence(sequences(flambeau, [2, 3], dtype="float32"), enforce_sorted=False)
    theirs = torch.nn.utils.rnn.pack_sequence(sequences(torch, [2, 3], dtype="float32"), enforce_sorted=False)
    assert repr(mine) == repr(theirs)
    for name in ("double", "float", "half", "long", "int", "short", "char", "byte", "cpu"):
        same_packed(getattr(mine, name)(), getattr(theirs, name)())
    assert mine.to(flambeau.float32) is mine
    assert mine.to("cpu") is mine
    assert mine.cpu() is mine
    assert mine.to(torch_dtype := flambeau.float64).data.dtype is torch_dtype
    assert (mine.is_cuda, mine.is_pinned()) == (theirs.is_cuda, theirs.is_pinned())
    data, batch_sizes, order, back = mine
    assert isinstance(mine, tuple)
    assert mine[1] is batch_sizes is mine.batch_sizes
    same_packed(rnn.PackedSequence(data, batch_sizes, order), mine)
    same_packed(rnn.PackedSequence((data, batch_sizes), None, order, back), mine)
    moved = mine.to("reference")
    assert [each.device.type for each in moved] == ["reference", "cpu", "reference", "reference"]
    assert [each.device.type for each in moved.cpu()] == ["cpu"] * 4


def test_permutations_and_other_dtypes():
    assert rnn.invert_permutation(None) is None
    same(rnn.invert_permutation(flambeau.tensor([2, 0, 3, 1])),
         torch.nn.utils.rnn.invert_permutation(torch.tensor([2, 0, 3, 1])))
    for first, second in (("float32", "int64"), ("int64", "float32")):
        mine, theirs = ([library.ones(2, dtype=getattr(library, first)),
                         library.full((3,), 2.5).to(getattr(library, second))] for library in (flambeau, torch))
        same(rnn.pad_sequence(mine), torch.nn.utils.rnn.pad_sequence(theirs))
    same(rnn.pad_sequence(flambeau.ones(2, 3, 1)), torch.nn.utils.rnn.pad_sequence(torch.ones(2, 3, 1)))


REFUSED = [
    (lambda r, lib: r.pack_padded_sequence(lib.zeros(3, 2, 1), [1, 3]), "must be sorted in decreasing order"),
    (lambda r, lib: r.pack_padded_sequence(lib.zeros(3, 2, 1), [3, 0]), "has to be greater than 0"),
    (lambda r, lib: r.pack_padded_sequence(lib.zeros(3, 2, 1), [3]), "got 1 (batch_size=2)"),
    (lambda r, lib: r.pack_padded_sequence(lib.zeros(3, 2, 1), lib.tensor([[2, 1]])), "should be a 1D CPU int64"),
    (lambda r, lib: r.pack_padded_sequence(lib.zeros(0, 2, 1), [0, 0]), "Cannot pack empty tensors"),
    (lambda r, lib: r.pack_padded_sequence(lib.zeros(3), [3]), "Dimension out of range"),
    (lambda r, lib: r.pad_sequence([]), "received an empty list of sequences"),
    (lambda r, lib: r.pad_sequence(5), "Expected iterable for input sequences"),
    (lambda r, lib: r.pad_sequence([lib.zeros(2)], padding_side="x"), "Expected padding_side to be one of"),
    (lambda r, lib: r.pad_sequence([lib.zeros(2, 3), lib.zeros(2, 4)]), "must match the size of tensor"),
    (lambda r, lib: r.pad_sequence([1, 2]), "expected Tensor as element 0 in argument 0, but got int"),
    (lambda r, lib: r.PackedSequence(lib.zeros(2)), "Expected data to be a list or tuple of length 2"),
    (lambda r, lib: r.pad_packed_sequence(r.pack_sequence([lib.zeros(3)]), total_length=2), "Expected total_length"),
    (lambda r, lib: r.unpad_sequence(lib.zeros(3, 2), lib.tensor([3, 1, 1])), " "),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_errors_are_those_of_pytorch(number):
    call, phrase = REFUSED[number]
    with pytest.raises(Exception, match=re.escape(phrase)) as theirs:
        call(torch.nn.utils.rnn, torch)
    with pytest.raises(type(theirs.value), match=re.escape(phrase)):
        call(rnn, flambeau)
    with pytest.raises(RuntimeError, match="beyond the padded sequences"):
        rnn.pack_padded_sequence(flambeau.zeros(3, 1, 1), [4])
    assert rnn.__all__
    assert sorted(rnn.__all__) == sorted(torch.nn.utils.rnn.__all__)
