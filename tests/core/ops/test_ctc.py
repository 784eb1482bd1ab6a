"""Connectionist temporal classification: against PyTorch, and against a sum over all alignments."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import flambeau
from flambeau.ops import ctc

RNG = np.random.default_rng(5)


def run(library, logs, targets, inputs, lengths, **options):
    """The loss, and the gradient of a weighted sum with respect to scores before log_softmax and after it."""
    scores = library.tensor(logs.tolist(), dtype=library.float64, requires_grad=True)
    normal = scores.log_softmax(-1)
    normal.retain_grad()
    loss = library.nn.functional.ctc_loss(normal, library.tensor(targets), inputs, lengths, **options)
    (loss * library.arange(1, loss.numel() + 1, dtype=library.float64).reshape(loss.shape)).sum().backward()
    return [each.detach().numpy() for each in (loss, scores.grad, normal.grad)]


def agree(oracle, *args, **options):
    for mine, theirs in zip(run(flambeau, *args, **options), run(oracle, *args, **options), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-10)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_shape(data):
    oracle = pytest.importorskip("torch", reason="PyTorch is the oracle")
    time, batch, classes = (data.draw(st.integers(low, high)) for low, high in ((1, 7), (1, 4), (2, 5)))
    longest = data.draw(st.integers(0, 4))
    blank = data.draw(st.integers(0, classes - 1))
    inputs = tuple(data.draw(st.lists(st.integers(0, time), min_size=batch, max_size=batch)))
    lengths = tuple(data.draw(st.lists(st.integers(0, longest), min_size=batch, max_size=batch)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    labels = (blank + rng.integers(1, classes, (batch, longest))) % classes
    if data.draw(st.booleans()):    # one after the other
        labels = np.concatenate([row[:length] for row, length in zip(labels, lengths, strict=True)])
    options = {"blank": blank, "reduction": data.draw(st.sampled_from(["none", "mean", "sum"])), "zero_infinity": True}
    logs = rng.standard_normal((time, batch, classes))
    agree(oracle, logs, labels.astype(np.int64), inputs, lengths, **options)


def test_one_sample_without_a_batch(oracle):
    logs = RNG.standard_normal((6, 5))
    for options in ({}, {"reduction": "none"}):
        for wrap in (lambda library, n: library.tensor(n), lambda library, n: library.tensor([n]), lambda _, n: (n,)):
            results = [run(library, logs, [1, 2, 2], wrap(library, 6), wrap(library, 3), **options)
                       for library in (flambeau, oracle)]
            for mine, theirs in zip(*results, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-7)
                assert mine.shape == theirs.shape


def test_sums_over_alignments():
    """Every path of classes over time, collapsed: repetitions first, then blanks."""
    logs = np.log(RNG.dirichlet(np.ones(3), 4))
    total = 0.0
    for path in itertools.product(range(3), repeat=4):
        if [key for key, _ in itertools.groupby(path) if key] == [1, 1]:
            total += math.exp(sum(logs[t, label] for t, label in enumerate(path)))
    found = flambeau.nn.functional.ctc_loss(flambeau.tensor(logs.tolist(), dtype=flambeau.float64).unsqueeze(1),
                                            flambeau.tensor([[1, 1]]), (4,), (2,), reduction="sum")
    assert found.item() == pytest.approx(-math.log(total), rel=1e-12)


def test_targets_that_do_not_fit(oracle):
    logs = RNG.standard_normal((3, 2, 4))
    for zero_infinity in (False, True):
        args = (logs, [[1, 1, 1], [1, 2, 3]], (3, 3), (3, 3))
        mine, theirs = (run(library, *args, reduction="none", zero_infinity=zero_infinity)
                        for library in (flambeau, oracle))
        assert mine[0][0] == (0 if zero_infinity else math.inf)
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7)      # nan where the loss is infinite


def test_the_kernel_is_its_decomposition():
    logs = flambeau.tensor(RNG.standard_normal((7, 3, 5)).tolist()).log_softmax(2)
    labels = flambeau.tensor([[1, 1, 4], [2, 0, 3], [4, 1, 0]])
    inputs, lengths = flambeau.tensor([7, 6, 2]), flambeau.tensor([3, 2, 0])
    args = (logs, labels, inputs, lengths, 0, False)
    kernel, plain = ctc._ctc_loss_forward(*args), ctc._ctc_loss_forward.op.decomposition(*args)
    np.testing.assert_allclose(kernel[0].numpy(), plain[0].numpy(), rtol=1e-5)
    np.testing.assert_allclose(kernel[1].numpy(), plain[1].numpy(), rtol=1e-5)
    back = (flambeau.tensor([1.0, 2.0, 3.0]), logs, labels, inputs, lengths, *kernel, 0, False)
    np.testing.assert_allclose(ctc._ctc_loss_backward(*back).numpy(),
                               ctc._ctc_loss_backward.op.decomposition(*back).numpy(), rtol=1e-4, atol=1e-6)


def test_gradients_of_gradients_are_refused(oracle):
    for library in (flambeau, oracle):
        logs = library.zeros(4, 1, 3, requires_grad=True)
        loss = library.nn.functional.ctc_loss(logs, library.tensor([[1]]), (4,), (1,))
        grad, = library.autograd.grad(loss, logs, create_graph=True)
        with pytest.raises(RuntimeError, match=r"derivative for .*ctc_loss_backward is not implemented"):
            grad.sum().backward()


@pytest.mark.parametrize(("error", "words", "change"), [
    (RuntimeError, "blank must be in label range", {"blank": 7}),
    (RuntimeError, "input_lengths must be of size batch_size", {"input_lengths": (5,)}),
    (RuntimeError, "target_lengths must be of size batch_size", {"target_lengths": (2,)}),
    (RuntimeError, "Expected input_lengths to have value at most 5, but got value 6", {"input_lengths": (6, 5)}),
    (RuntimeError, "Expected input_lengths to have value at least 0, but got value -1", {"input_lengths": (5, -1)}),
    (RuntimeError, "Expected target_lengths to have value at least 0", {"target_lengths": (-1, 2)}),
    (RuntimeError, "at least 3 at dimension 1, but got size 2 for argument #2", {"target_lengths": (3, 2)}),
    (RuntimeError, "have size 4 at dimension 0, but got size 3", {"targets": [1, 2, 1]}),
    (RuntimeError, "have size 2 at dimension 0, but got size 1", {"targets": [[1, 2]]}),
    (RuntimeError, "Expected 1 to 2 dimensions, but got 3-dimensional", {"targets": [[[1, 2], [1, 2]]]}),
    (ValueError, "is not a valid value for reduction", {"reduction": "average"}),
    (TypeError, "ctc_loss", {"input_lengths": 5}),
])
def test_errors(oracle, error, words, change):
    for library in (flambeau, oracle):
        args = {"targets": [[1, 2], [1, 3]], "input_lengths": (5, 5), "target_lengths": (2, 2)} | change
        args["targets"] = library.tensor(args["targets"])
        with pytest.raises(error, match=words):
            library.nn.functional.ctc_loss(library.zeros(5, 2, 4), **args)
        with pytest.raises(RuntimeError, match="must be integral"):
            library.nn.functional.ctc_loss(library.zeros(5, 1, 4), library.tensor([[1]]), library.tensor([5.0]),
                                           library.tensor([1]))
        with pytest.raises(RuntimeError, match="must not be empty"):
            library.nn.functional.ctc_loss(library.zeros(0, 1, 4), library.tensor([[1]]), (0,), (1,))


def test_under_torch_the_reduction_is_a_number(oracle):
    for library in (flambeau, oracle):
        logs = library.zeros(4, 2, 3).log_softmax(2)
        args = (logs, library.tensor([[1], [2]]), (4, 4), (1, 1))
        assert library.ctc_loss(*args, reduction=0).shape == (2,)
        assert library.ctc_loss(*args, 0, 2).item() == pytest.approx(
            library.nn.functional.ctc_loss(*args, reduction="sum").item())
