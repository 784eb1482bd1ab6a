"""The loops that Numba compiles give, bit for bit, what their NumPy forms give."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau_numpy import compiled
from flambeau_numpy.kernels import optimizer
from flambeau_numpy.mt19937 import MT19937Generator

pytest.importorskip("numba", reason="the extra `jit` is not installed")

OPTIONS = [
    (1e-3, 0.9, 0.999, 1e-8, 0.0, False, False),
    (1e-2, 0.8, 0.99, 1e-6, 0.1, False, True),
    (1e-2, 0.9, 0.999, 1e-8, 0.1, True, False),
]


def state(dtype, seed=0):
    random = np.random.default_rng(seed)
    shapes = [(130, 140), (3, 5), (1,)]
    params, grads = ([random.standard_normal(shape).astype(dtype) for shape in shapes] for _ in range(2))
    grads[0][0] = 0
    return params, grads, [np.zeros_like(each) for each in params], [np.zeros_like(each) for each in params]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS)
def test_adam_is_the_same_with_and_without(monkeypatch, dtype, options):
    results = []
    for available in (True, False):
        monkeypatch.setattr(compiled, "_available", available)
        monkeypatch.setattr(compiled, "_compiled", {})
        params, grads, averages, squares = state(dtype)
        for count in range(1, 4):
            optimizer.adam_step(params, grads, averages, squares, [], [count] * 3, *options)
        assert (compiled.adam in compiled._compiled) is available
        results.append([*params, *averages, *squares])
    for with_numba, without in zip(*results, strict=True):
        np.testing.assert_array_equal(with_numba, without)


def test_small_models_do_not_wait_for_numba(monkeypatch):
    monkeypatch.setattr(compiled, "_compiled", {})
    assert compiled.compiled(compiled.adam, compiled.WORTH - 1) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_dropout_is_the_same_with_and_without(monkeypatch, dtype, p):
    results = []
    for available in (True, False):
        monkeypatch.setattr(compiled, "_available", available)
        monkeypatch.setattr(compiled, "_compiled", {})
        generator = MT19937Generator(seed=5)
        results.append((generator.dropout_mask(p, (160, 128), dtype), generator.get_state()))
        assert bool(compiled._compiled) is available
    for with_numba, without in zip(*results, strict=True):
        np.testing.assert_array_equal(with_numba, without)


@pytest.mark.parametrize("count", [501, 5000, 20001])
def test_words_are_the_same_with_and_without(monkeypatch, count):
    results = []
    for available in (True, False):
        monkeypatch.setattr(compiled, "_available", available)
        monkeypatch.setattr(compiled, "_compiled", {})
        if available:
            compiled.compiled(compiled.adam, compiled.WORTH)  # small draws use Numba once something has imported it
        generator = MT19937Generator(seed=9)
        drawn = [generator._raw64(count), generator._raw(3), generator._raw64(count + 1), generator.uniform((5,))]
        drawn.append(generator.get_state())
        assert (compiled.mt19937_words in compiled._compiled) is available
        results.append(drawn)
    for with_numba, without in zip(*results, strict=True):
        np.testing.assert_array_equal(with_numba, without)
