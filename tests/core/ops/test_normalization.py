"""Normalisation, compared with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from both import compare, draw

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

@pytest.mark.parametrize(("shape", "size"), [((3, 4), (4,)), ((2, 3, 4), (3, 4)), ((4,), (4,))])
def test_over_the_last_dimensions(shape, size):
    compare(lambda library, *x: library.nn.functional.layer_norm(x[0], size, *x[1:]), draw(*shape), draw(*size),
            draw(*size, seed=1), rtol=1e-6)
    compare(lambda library, x: library.nn.functional.layer_norm(x, size), draw(*shape), rtol=1e-6)
    compare(lambda library, x, w: library.nn.functional.rms_norm(x, size, w), draw(*shape), draw(*size), name=False,
            rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3), (2, 4, 3, 3)])
def test_over_the_batch_and_groups(shape):
    weight, bias, variance = draw(4), draw(4, seed=1), np.abs(draw(4, seed=2)) + 0.1
    compare(lambda library, x, w, b: library.nn.functional.batch_norm(x, None, None, w, b, training=True),
            draw(*shape), weight, bias, rtol=1e-6)
    compare(lambda library, x: library.nn.functional.batch_norm(x, None, None, training=True), draw(*shape), rtol=1e-6)
    compare(lambda library, x, w, b: library.nn.functional.batch_norm(
        x, library.from_numpy(bias), library.from_numpy(variance), w, b), draw(*shape), weight, bias, rtol=1e-6)
    compare(lambda library, x, w, b: library.nn.functional.group_norm(x, 2, w, b), draw(*shape), weight, bias,
            rtol=1e-6)


def test_over_single_channels():
    compare(lambda library, x, w: library.nn.functional.instance_norm(x, None, None, w), draw(2, 4, 5), draw(4),
            name=False, rtol=1e-6)
    compare(lambda library, x: library.nn.functional.local_response_norm(x, 3), draw(2, 5, 3), name=False, rtol=1e-6)


@pytest.mark.parametrize("op", ["batch_norm", "instance_norm"])
def test_running_statistics_move_in_place(op):
    found = []
    for library in (flambeau, torch):
        mean, variance = library.zeros(4, dtype=library.float64), library.ones(4, dtype=library.float64)
        x = library.from_numpy(draw(3, 4, 5))
        if op == "batch_norm":
            library.nn.functional.batch_norm(x, mean, variance, training=True, momentum=0.3)
        else:
            library.nn.functional.instance_norm(x, mean, variance, momentum=0.3)
        found.append(np.stack([mean.numpy(), variance.numpy()]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


def test_by_lengths():
    compare(lambda library, x: library.nn.functional.normalize(x, dim=1), draw(3, 4), name=False)
    compare(lambda library, x, y: library.cosine_similarity(x, y), draw(3, 4), draw(3, 4, seed=1), name=False)
    compare(lambda library, x, y: library.pairwise_distance(x, y), draw(3, 4), draw(3, 4, seed=1), name=False,
            rtol=1e-6)


@pytest.mark.parametrize(("function", "error"), [
    (lambda F, library: F.layer_norm(library.ones(2, 3), (4,)), RuntimeError),
    (lambda F, library: F.group_norm(library.ones(2, 4, 3), 3), RuntimeError),
    (lambda F, library: F.batch_norm(library.ones(1, 4), None, None, training=True), ValueError),
    (lambda F, library: F.batch_norm(library.ones(2, 4), library.ones(3), library.ones(3)), RuntimeError)])
def test_errors_are_those_of_pytorch(function, error):
    with pytest.raises(error):
        function(torch.nn.functional, torch)
    with pytest.raises(error):
        function(flambeau.nn.functional, flambeau)
