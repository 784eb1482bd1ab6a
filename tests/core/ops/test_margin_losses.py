"""Margin losses and the cross entropy of a linear layer, against PyTorch: values, gradients, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import flambeau

REDUCTIONS = ("none", "mean", "sum")
SCORES = np.random.default_rng(2).standard_normal((4, 5))


def run(library, name, arrays, *rest, **options):
    """The loss and the gradients of a weighted sum, with respect to every array of floats."""
    def put(each):
        return library.from_numpy(np.array(each)) if isinstance(each, np.ndarray) else each
    given = [put(each) for each in (*arrays, *rest)]
    leaves = [each.requires_grad_() for each in given[:len(arrays)] if each.is_floating_point()]
    named = {key: put(each) for key, each in options.items()}
    result = getattr(library.nn.functional, name)(*given, **named)
    (result * library.arange(1, result.numel() + 1, dtype=library.float64).reshape(result.shape)).sum().backward()
    return [result.detach().numpy(), *(each.grad.numpy() for each in leaves)]


def agree(oracle, *args, **options):
    for mine, theirs in zip(run(flambeau, *args, **options), run(oracle, *args, **options), strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_of_one_class(oracle, reduction):
    target, weight = np.array([2, 0, 4, 2]), np.array([0.5, 2.0, 1.0, 3.0, 0.25])
    for p, margin, each in itertools.product((1, 2), (1.0, 0.3), (None, weight)):
        agree(oracle, "multi_margin_loss", [SCORES], target, p, margin, each, reduction=reduction)
        agree(oracle, "multi_margin_loss", [SCORES[0]], np.array(3), p, margin, each, reduction=reduction)
        agree(oracle, "multi_margin_loss", [SCORES[0]], np.array([3]), p, margin, each, reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_of_several_classes(oracle, reduction):
    target = np.array([[2, 0, -1, 3, 3], [-1, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 1, -1, -1, -1]])
    agree(oracle, "multilabel_margin_loss", [SCORES], target, reduction=reduction)
    agree(oracle, "multilabel_margin_loss", [SCORES[0]], target[0], reduction=reduction)
    agree(oracle, "multilabel_soft_margin_loss", [SCORES], (SCORES > 0.2).astype(float), reduction=reduction)
    agree(oracle, "multilabel_soft_margin_loss", [SCORES], (SCORES > 0.2).astype(float), np.arange(5.0),
          reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_of_triples(oracle, reduction):
    arrays = [SCORES, SCORES[::-1].copy(), SCORES * 0.9 + 0.2]
    for swap, function in itertools.product((False, True), (None, lambda a, b: (a - b).square().sum(-1))):
        agree(oracle, "triplet_margin_with_distance_loss", arrays, distance_function=function, margin=2.5, swap=swap,
              reduction=reduction)


def test_old_arguments(oracle):
    for library in (flambeau, oracle):
        for name, target in (("multi_margin_loss", [1]), ("multilabel_margin_loss", [[1, -1, 0]]),
                             ("multilabel_soft_margin_loss", [[1.0, 0.0, 1.0]])):
            call = getattr(library.nn.functional, name)
            with pytest.warns(UserWarning, match="please use reduction='sum'"):
                call(library.zeros(1, 3), library.tensor(target), size_average=False)


@pytest.mark.parametrize(("error", "words", "call"), [
    (RuntimeError, "target out of range", lambda t, F: F.multi_margin_loss(t.zeros(2, 3), t.tensor([0, 3]))),
    (RuntimeError, "size equal to the number of input", lambda t, F: F.multi_margin_loss(t.zeros(2, 3), t.tensor([0]))),
    (RuntimeError, "scalar type Long", lambda t, F: F.multi_margin_loss(t.zeros(1, 3), t.tensor([0.0]))),
    (RuntimeError, "inconsistent weight size", lambda t, F: F.multi_margin_loss(t.zeros(1, 3), t.tensor([0]),
                                                                                weight=t.ones(2))),
    (ValueError, "one-dimensional", lambda t, F: F.multi_margin_loss(t.zeros(1, 3), t.tensor([0]),
                                                                     weight=t.ones(1, 3))),
    (ValueError, "only p == 1 and p == 2", lambda t, F: F.multi_margin_loss(t.zeros(1, 3), t.tensor([0]), p=3)),
    (RuntimeError, "non-empty vector or matrix", lambda t, F: F.multi_margin_loss(t.zeros(1, 3, 2), t.tensor([0]))),
    (NotImplementedError, "not implemented for 'Long'", lambda t, F: F.multi_margin_loss(t.ones(1, 3).long(),
                                                                                        t.tensor([0]))),
    (RuntimeError, "out of range", lambda t, F: F.multilabel_margin_loss(t.zeros(1, 3), t.tensor([[0, -2, 1]]))),
    (RuntimeError, "inconsistent target size", lambda t, F: F.multilabel_margin_loss(t.zeros(1, 3), t.tensor([[0]]))),
    (ValueError, "is not valid", lambda t, F: F.multilabel_soft_margin_loss(t.zeros(1, 3), t.ones(1, 3),
                                                                            reduction="x")),
    (ValueError, "margin must be greater than 0", lambda t, F: F.triplet_margin_with_distance_loss(
        *[t.zeros(1, 2)] * 3, margin=0)),
    (RuntimeError, "same number of dimensions", lambda t, F: F.triplet_margin_with_distance_loss(
        t.zeros(2), t.zeros(1, 2), t.zeros(1, 2))),
    (RuntimeError, "dimensionality 1 or 2, got 3", lambda t, F: F.linear_cross_entropy(
        t.zeros(1, 1, 2), t.zeros(3, 2), t.tensor([0]))),
    (RuntimeError, "at least 2, got 1", lambda t, F: F.linear_cross_entropy(t.zeros(1, 2), t.zeros(2), t.tensor([0]))),
    (RuntimeError, "got 2 and 4", lambda t, F: F.linear_cross_entropy(t.zeros(1, 2), t.zeros(3, 4), t.tensor([0]))),
    (RuntimeError, r"expected linear_bias shape \(3,\), got \(2,\)", lambda t, F: F.linear_cross_entropy(
        t.zeros(1, 2), t.zeros(3, 2), t.tensor([0]), linear_bias=t.zeros(2))),
    (RuntimeError, "requires batched input", lambda t, F: F.linear_cross_entropy(
        t.zeros(2), t.zeros(3, 4, 2), t.tensor([0]))),
    (RuntimeError, "ignore_index cannot be specified", lambda t, F: F.linear_cross_entropy(
        t.zeros(1, 2), t.zeros(3, 2), t.ones(1, 3), ignore_index=1)),
])
def test_errors(oracle, error, words, call):
    for library in (flambeau, oracle):
        with pytest.raises(error, match=words):
            call(library, library.nn.functional)


# ---------------------------------------------------------------------------------------------- a linear layer
WEIGHT = np.random.default_rng(4).standard_normal((3, 5))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_of_a_linear_layer(oracle, reduction):
    target, factors = np.array([2, 0, 1, 2]), np.array([0.5, 2.0, 1.0])
    for options in ({}, {"linear_bias": np.arange(3.0)}, {"weight": factors, "ignore_index": 1},
                    {"label_smoothing": 0.2}):
        agree(oracle, "linear_cross_entropy", [SCORES, WEIGHT], target, reduction=reduction, **options)
        agree(oracle, "linear_cross_entropy", [SCORES[0], WEIGHT], np.array(2), reduction=reduction, **options)
    chances = np.full((4, 3), 1 / 3)
    agree(oracle, "linear_cross_entropy", [SCORES, WEIGHT], chances, reduction=reduction)
    agree(oracle, "linear_cross_entropy", [SCORES, WEIGHT.reshape(3, 1, 5)], target[:, None], reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_piece_by_piece(oracle, reduction):
    target, factors = np.array([2, 0, 1, 2]), np.array([0.5, 2.0, 1.0])
    for options in ({"batch_chunk_size": 1}, {"batch_chunk_size": 3}, {}, {"chunking_method": "aspect_ratio:2"},
                    {"chunking_method": None}):
        for more in ({}, {"weight": factors, "ignore_index": 0}):
            # PyTorch in one piece: its own take seconds to import
            results = [run(library, "linear_cross_entropy", [SCORES, WEIGHT], target, linear_bias=np.arange(3.0),
                           reduction=reduction, options=pieces, **more)
                       for library, pieces in ((flambeau, flambeau.nn.LinearCrossEntropyOptions(**options)),
                                               (oracle, None))]
            for mine, theirs in zip(*results, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-9)


def test_pieces_of_halves_are_summed_in_singles():
    x, w = (flambeau.from_numpy(each).half() for each in (SCORES, WEIGHT))
    call, y = flambeau.nn.functional.linear_cross_entropy, flambeau.tensor([0, 1, 2, 2])
    found = call(x, w, y, options=flambeau.nn.LinearCrossEntropyOptions())
    exact = call(x.float(), w.float(), y)
    assert found.dtype is flambeau.float16 and found.item() == exact.half().item()


def test_pieces_have_gradients_of_gradients():
    x = flambeau.from_numpy(SCORES.copy()).requires_grad_()
    w = flambeau.from_numpy(WEIGHT.copy()).requires_grad_()
    seconds = []
    for options in (None, flambeau.nn.LinearCrossEntropyOptions(batch_chunk_size=3)):
        loss = flambeau.nn.functional.linear_cross_entropy(x, w, flambeau.tensor([2, 0, 1, 2]), options=options)
        grad, = flambeau.autograd.grad(loss, x, create_graph=True)
        seconds.append(flambeau.autograd.grad(grad.square().sum(), w)[0].numpy())
    np.testing.assert_allclose(*seconds, rtol=1e-9)


def test_options(oracle):
    for library in (flambeau, oracle):
        make, call = library.nn.LinearCrossEntropyOptions, library.nn.functional.linear_cross_entropy
        assert make() == make() and make(batch_chunk_size=2) != make()
        for wrong in ({"acc_policy": "fast"}, {"chunking_method": "aspect_ratio:0"}, {"chunking_method": "rows"},
                      {"batch_chunk_size": 0}, {"acc_dtype": library.int64}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                make(**wrong)
        x, w, y = library.zeros(8, 4), library.zeros(3, 4), library.zeros(8, dtype=library.int64)
        with pytest.raises(ValueError, match="give different chunk sizes"):
            call(x, w, y, options=make(batch_chunk_size=3, chunking_method="aspect_ratio"))
        with pytest.warns(UserWarning, match="``options`` ignored"):
            call(x, w, y, label_smoothing=0.1, options=make())
    assert repr(flambeau.nn.LinearCrossEntropyOptions()) == repr(oracle.nn.LinearCrossEntropyOptions())
