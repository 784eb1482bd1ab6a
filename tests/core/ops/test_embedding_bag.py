"""Bags of rows of a table, and look-ups under `torch`, against PyTorch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import flambeau
from flambeau.ops import embedding

TABLE = np.random.default_rng(3).integers(-4, 5, (7, 3)) / 2     # equal numbers, of which the first is the maximum


def run(library, indices, offsets, weights=None, **options):
    table = library.tensor(TABLE.tolist(), dtype=library.float64, requires_grad=True)
    factors = None if weights is None else library.tensor(weights, dtype=library.float64, requires_grad=True)
    result = library.nn.functional.embedding_bag(
        library.tensor(indices, dtype=library.int64), table,
        None if offsets is None else library.tensor(offsets, dtype=library.int64),
        per_sample_weights=factors, **options)
    (result * library.arange(1, result.numel() + 1, dtype=library.float64).reshape(result.shape)).sum().backward()
    return [each.detach().numpy() for each in (result, table.grad, *([] if factors is None else [factors.grad]))]


def agree(oracle, *args, **options):
    for mine, theirs in zip(run(flambeau, *args, **options), run(oracle, *args, **options), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_bags(data):
    oracle = pytest.importorskip("torch", reason="PyTorch is the oracle")
    indices = data.draw(st.lists(st.integers(0, 6), max_size=9))
    starts = sorted(data.draw(st.lists(st.integers(0, len(indices)), max_size=4)))
    mode = data.draw(st.sampled_from(["sum", "mean", "max"]))
    last = data.draw(st.booleans())
    if last:
        starts.append(len(indices))     # PyTorch reads beyond its memory for indices that are in no bag
    options = {"mode": mode, "include_last_offset": last, "padding_idx": data.draw(st.none() | st.integers(-7, 6))}
    weighted = mode == "sum" and data.draw(st.booleans())
    agree(oracle, indices, [0, *starts], [0.5 * n - 1 for n in range(len(indices))] if weighted else None, **options)


def test_bags_of_equal_sizes(oracle):
    indices = [[1, 5, 1], [0, 2, 2]]
    for mode in ("sum", "mean", "max"):
        agree(oracle, indices, None, mode=mode)
        agree(oracle, indices, None, mode=mode, padding_idx=2)
    agree(oracle, indices, None, [[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]], mode="sum", padding_idx=1)
    agree(oracle, [[1, 5], [5, 1]], None, scale_grad_by_freq=True)


def test_gradients_are_divided_by_how_often_a_row_is_used():
    table = flambeau.ones(4, 2, requires_grad=True)
    flambeau.nn.functional.embedding_bag(flambeau.tensor([[1, 2, 1], [3, 1, 3]]), table, mode="sum",
                                         scale_grad_by_freq=True).sum().backward()
    assert table.grad[:, 0].tolist() == [0, 1, 1, 1]


def test_a_nan_is_a_maximum_where_it_comes_first(oracle):
    nan, inf = float("nan"), float("inf")
    rows = [[nan, 1.0], [1.0, nan], [inf, 2.0], [-inf, nan]]
    for indices, offsets in (([0, 1, 2, 1], [0, 2]), ([1, 3, 3], [0, 1]), ([3, 0, 1], [0, 0])):
        for options in ({}, {"padding_idx": 1}):
            found = [library.nn.functional.embedding_bag(library.tensor(indices), library.tensor(rows),
                                                         library.tensor(offsets), mode="max", **options).tolist()
                     for library in (flambeau, oracle)]
            np.testing.assert_equal(*found)
            table, places = flambeau.tensor(rows)[flambeau.tensor(indices)], flambeau.tensor(offsets)
            assert flambeau.equal(embedding.bag_maxima(table, places, None),
                                  embedding.bag_maxima.op.decomposition(table, places, None))


def test_max_norm_changes_the_table(oracle):
    for library in (flambeau, oracle):
        table = library.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
        library.nn.functional.embedding_bag(library.tensor([[0, 1]]), table, max_norm=1.0)
        np.testing.assert_allclose(table.numpy(), [[0.6, 0.8], [0.3, 0.4], [6.0, 8.0]], rtol=1e-5)


def test_gradients_of_gradients():
    table = flambeau.randn(5, 2, dtype=flambeau.float64, requires_grad=True)
    weights = flambeau.randn(6, dtype=flambeau.float64, requires_grad=True)
    indices, offsets = flambeau.tensor([0, 3, 3, 1, 4, 0]), flambeau.tensor([0, 2, 2])

    def loss():
        return flambeau.nn.functional.embedding_bag(indices, table, offsets, mode="sum",
                                                    per_sample_weights=weights).square().sum()
    grad, = flambeau.autograd.grad(loss(), weights, create_graph=True)
    second, = flambeau.autograd.grad(grad.sum(), table)
    step = 1e-6
    with flambeau.no_grad():
        table[3, 1] += step
    up, = flambeau.autograd.grad(loss(), weights)
    with flambeau.no_grad():
        table[3, 1] -= 2 * step
    down, = flambeau.autograd.grad(loss(), weights)
    assert ((up.sum() - down.sum()) / (2 * step)).item() == pytest.approx(second[3, 1].item(), rel=1e-5)


@pytest.mark.parametrize(("error", "words", "args", "options"), [
    (RuntimeError, "takes value 9|found idx to be", ([1, 9], [0]), {}),
    (RuntimeError, r"found idx to be", ([1, -1], [0]), {"mode": "max"}),
    (RuntimeError, r"offsets\[0\] has to be 0", ([1, 2], [1]), {}),
    (RuntimeError, r"offsets\[-1\] can not be greater than input's length 2 but got offsets\[-1\] of 4",
     ([1, 2], [0, 4]), {}),
    (RuntimeError, "padding_idx must be within the number of embeddings, -7 through 6, but got 9", ([1], [0]),
     {"padding_idx": 9}),
    (RuntimeError, "number of offset should be at least 1", ([], []), {"include_last_offset": True}),
    (ValueError, "offsets has to be a 1D Tensor but got None", ([1], None), {}),
    (ValueError, "offsets has to be a 1D Tensor", ([1], [[0]]), {}),
    (ValueError, "then offsets has to be None", ([[1]], [0]), {}),
    (ValueError, "input has to be 1D or 2D Tensor, but got Tensor of dimension 3", ([[[1]]], None), {}),
    (ValueError, "same shape as the input", ([[1]], None, [1.0]), {"mode": "sum"}),
    (ValueError, "mode has to be one of sum, mean or max", ([[1]], None), {"mode": "median"}),
    (ValueError, "max mode does not support scaling", ([[1]], None), {"mode": "max", "scale_grad_by_freq": True}),
    (ValueError, "max mode does not support sparse", ([[1]], None), {"mode": "max", "sparse": True}),
    (NotImplementedError, "only supported for mode='sum'", ([[1]], None, [[1.0]]), {}),
])
def test_errors(oracle, error, words, args, options):
    for library in (flambeau, oracle):
        with pytest.raises(error, match=words):
            run(library, *args, **options)


def test_dtypes(oracle):
    for library in (flambeau, oracle):
        bag, table = library.nn.functional.embedding_bag, library.ones(3, 2)
        assert bag(library.tensor([1, 2], dtype=library.int32), table, library.tensor([0])).dtype is library.float32
        assert bag(library.tensor([[1, 2]]), table.half()).dtype is library.float16
        for wrong in (library.int16, library.float32):
            with pytest.raises(RuntimeError, match="scalar types: Long, Int"):
                bag(library.tensor([1, 2], dtype=wrong), table, library.tensor([0], dtype=wrong))
        with pytest.raises(RuntimeError, match="scalar types: Half, BFloat16, Float, Double"):
            bag(library.tensor([[1, 2]]), table.long())
        with pytest.raises(RuntimeError, match="the same type"):
            bag(library.tensor([[1, 2]]), table, mode="sum", per_sample_weights=library.ones(1, 2).double())
        with pytest.warns(UserWarning, match="Argument order"):
            bag(table, library.tensor([[1, 2]]))


def test_under_torch_the_table_comes_first(oracle):
    results = []
    for library in (flambeau, oracle):
        table, indices, offsets = library.eye(4), library.tensor([1, 3, 3]), library.tensor([0, 2, 2])
        bags = [library.embedding_bag(table, indices, offsets, mode=mode) for mode in (0, 2)]
        results.append([library.embedding(table, indices).tolist(), *(each.tolist() for bag in bags for each in bag)])
        results[-1] += [each.tolist() for each in library.embedding_bag(table, indices, offsets, mode=1)[:3]]
    assert results[0] == results[1]


def test_sparse_gradients_have_the_same_values(oracle):
    grads = []
    for library in (flambeau, oracle):
        table = library.ones(4, 2, requires_grad=True)
        (library.nn.functional.embedding(library.tensor([1, 3, 1]), table, sparse=True).sum()
         + library.nn.functional.embedding_bag(library.tensor([[1, 2]]), table, sparse=True).sum()).backward()
        grads.append((table.grad if library is flambeau else table.grad.to_dense()).tolist())
    assert grads[0] == grads[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert flambeau.nn.EmbeddingBag(3, 2, sparse=True)(flambeau.tensor([[0]])).shape == (1, 2)
