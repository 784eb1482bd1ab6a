"""softmax and its relatives, and the losses, compared with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from both import compare, draw

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

TARGET, IGNORING = np.array([0, 2, 3, 1]), np.array([0, 2, -100, 1])
WEIGHT = np.array([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_softmax(op, dim):
    compare(lambda library, x: getattr(x, op)(dim), draw(2, 3, 4))
    compare(lambda library, x: getattr(library, op)(x, dim, dtype=library.float64), draw(2, 3, 4, dtype="float32"),
            second=False)


def test_softmax_of_extremes_and_numbers():
    compare(lambda library, x: x.softmax(0), np.array([1e4, -1e4, 1e4]))
    compare(lambda library, x: x.softmax(0), np.float64(3.0))
    compare(lambda library, x: library.nn.functional.softmin(x, dim=0), draw(3), name=False)


def test_gumbel_softmax_is_one_hot_where_asked():
    x = flambeau.zeros(5, 4, requires_grad=True)
    found = flambeau.nn.functional.gumbel_softmax(x, hard=True)
    assert sorted(found.detach().flatten().tolist()) == [0.0] * 15 + [1.0] * 5
    found.sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", [TARGET, IGNORING], ids=["all", "ignoring"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy(reduction, target, weighted, smoothing):
    compare(lambda library, x: library.nn.functional.cross_entropy(
        x, library.from_numpy(target), library.from_numpy(WEIGHT) if weighted else None, reduction=reduction,
        label_smoothing=smoothing), draw(4, 4), name=not smoothing)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_images_and_probabilities(reduction):
    target = np.random.default_rng(0).integers(0, 4, (2, 3, 5))
    target[0, 1, 2] = -100
    compare(lambda library, x: library.nn.functional.cross_entropy(
        x, library.from_numpy(target), reduction=reduction, label_smoothing=0.2), draw(2, 4, 3, 5), name=False)
    compare(lambda library, x, y: library.nn.functional.cross_entropy(
        x, y.softmax(1), reduction=reduction, label_smoothing=0.2), draw(3, 4), draw(3, 4, seed=1), name=False)
    compare(lambda library, x: library.nn.functional.nll_loss(
        x, library.from_numpy(target), library.from_numpy(WEIGHT), reduction=reduction), draw(2, 4, 3, 5), second=False)


def test_cross_entropy_of_one_element():
    compare(lambda library, x: library.nn.functional.cross_entropy(x, library.tensor(2)), draw(4), name=False)


ELEMENTS = ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("op", ELEMENTS)
def test_losses_of_differences(op, reduction):
    compare(lambda library, x, y: getattr(library.nn.functional, op)(x, y, reduction=reduction), 2 * draw(3, 4),
            draw(3, 4, seed=1))


OTHERS = {
    "bce": lambda F, x, y, s, r: F.binary_cross_entropy(x.sigmoid(), y.sigmoid(), reduction=r),
    "bce_logits": lambda F, x, y, s, r: F.binary_cross_entropy_with_logits(x, y.sigmoid(), reduction=r),
    "pos_weight": lambda F, x, y, s, r: F.binary_cross_entropy_with_logits(x, y.sigmoid(), pos_weight=s + 2,
                                                                          reduction=r),
    "soft_margin": lambda F, x, y, s, r: F.soft_margin_loss(x, s, reduction=r),
    "hinge": lambda F, x, y, s, r: F.hinge_embedding_loss(x, s, reduction=r),
    "poisson": lambda F, x, y, s, r: F.poisson_nll_loss(x, y.exp(), full=True, reduction=r),
    "gaussian": lambda F, x, y, s, r: F.gaussian_nll_loss(x, y, (x * y).exp(), full=True, reduction=r),
    "ranking": lambda F, x, y, s, r: F.margin_ranking_loss(x, y, s, 0.5, reduction=r),
    "cosine": lambda F, x, y, s, r: F.cosine_embedding_loss(x, y, s[:, 0], reduction=r),
    "triplet": lambda F, x, y, s, r: F.triplet_margin_loss(x, y, x * y, swap=True, reduction=r),
    "kl": lambda F, x, y, s, r: F.kl_div(x.log_softmax(1), y.softmax(1), reduction="batchmean" if r == "mean" else r),
    "kl_log": lambda F, x, y, s, r: F.kl_div(x.log_softmax(1), y.log_softmax(1), log_target=True,
                                             reduction="batchmean" if r == "mean" else r),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", OTHERS)
def test_other_losses(loss, reduction):
    signs = np.sign(draw(3, 4, seed=2))
    compare(lambda library, x, y: OTHERS[loss](library.nn.functional, x, y, library.from_numpy(signs), reduction),
            draw(3, 4), draw(3, 4, seed=1), name=False, rtol=1e-6)


@pytest.mark.parametrize(("function", "error"), [
    (lambda library: library.nn.functional.cross_entropy(library.ones(2, 3), library.tensor([0, 3])), IndexError),
    (lambda library: library.nn.functional.cross_entropy(library.ones(2, 3), library.tensor([0, 1, 2])), ValueError),
    (lambda library: library.nn.functional.nll_loss(library.ones(2, 3), library.tensor([0.0, 1.0])), RuntimeError),
    (lambda library: library.nn.functional.mse_loss(library.ones(2), library.ones(2), reduction="x"), ValueError),
    (lambda library: library.nn.functional.binary_cross_entropy(library.ones(2) * 2, library.ones(2)), RuntimeError),
    (lambda library: library.ones(2, dtype=library.int64).softmax(0), RuntimeError)])
def test_errors_are_those_of_pytorch(function, error):
    with pytest.raises(error):
        function(torch)
    with pytest.raises(error):
        function(flambeau)


def test_broadcast_targets_are_warned_of():
    with pytest.warns(UserWarning, match="different to the input size"):
        flambeau.nn.functional.mse_loss(flambeau.ones(2, 1), flambeau.ones(2))
