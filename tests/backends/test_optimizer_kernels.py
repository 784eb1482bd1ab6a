"""The whole-step kernels of the NumPy backend: strided and blocked arrays, half precision, odd learning rates."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau_numpy.kernels import optimizer as kernels

OPTIONS = [
    {},
    {"amsgrad": True},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled": True},
    {"maximize": True},
    {"lr": 0.0},
    {"lr": 1e-30},
]


def formula(p, g, m, v, peak, count, lr, weight_decay, maximize, decoupled):
    """Adam written down plainly, in double precision."""
    g = -g if maximize else g
    if decoupled:
        p = p * (1 - lr * weight_decay)
    else:
        g = g + weight_decay * p
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    peak = np.maximum(peak, v)
    root = np.sqrt(peak if peak.any() else v) / np.sqrt(1 - 0.999**count)
    return p - lr / (1 - 0.9**count) * m / (root + 1e-8), m, v, peak


@pytest.mark.parametrize("block", [8, 1 << 18])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 3e-6), (np.float64, 1e-12)])
def test_adam(monkeypatch, options, block, dtype, tolerance):
    monkeypatch.setattr(kernels, "BLOCK", block)
    monkeypatch.setattr(kernels, "_scratch", type(kernels._scratch)())
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype(dtype)  # noqa: E731
    params = [draw(4, 5), np.asfortranarray(draw(4, 5)), draw(40, 2)[::2], np.array(0.5, dtype)]
    m, v = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    peaks = [np.zeros_like(p) for p in params] if options.get("amsgrad") else []
    rest = {"lr": options.get("lr", 0.01), "weight_decay": options.get("weight_decay", 0)}
    rest |= {"maximize": options.get("maximize", False), "decoupled": options.get("decoupled", False)}
    wanted = [(p.astype(float), p * 0.0, p * 0.0, p * 0.0) for p in params]
    for count in range(1, 21):
        grads = [rng.standard_normal(p.shape).astype(dtype) for p in params]
        kept = [g.copy() for g in grads]
        kernels.adam_step(
            params, grads, m, v, peaks, [float(count)] * 4, rest["lr"], 0.9, 0.999, 1e-8, rest["weight_decay"],
            rest["maximize"], rest["decoupled"],
        )
        assert all(np.array_equal(g, k) for g, k in zip(grads, kept, strict=True))
        wanted = [
            formula(p, g.astype(float), a, b, c, count, **rest)
            for (p, a, b, c), g in zip(wanted, grads, strict=True)
        ]
        if not peaks:
            wanted = [(p, a, b, c * 0) for p, a, b, c in wanted]
    for param, (expected, *_) in zip(params, wanted, strict=True):
        np.testing.assert_allclose(param, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("momentum, nesterov, decay", [(0.0, False, 0.0), (0.9, False, 0.1), (0.9, True, 0.0)])
def test_sgd(momentum, nesterov, decay):
    p, b = np.ones(3, np.float32), np.zeros(3, np.float32)
    expected, buffer = np.ones(3), np.zeros(3)
    for _ in range(5):
        g = np.arange(3, dtype=np.float32)
        kernels.sgd_step([p], [g], [b] if momentum else [], 0.1, momentum, 0.0, nesterov, decay, False)
        d = g + decay * expected
        buffer = momentum * buffer + d
        expected = expected - 0.1 * (d + momentum * buffer if nesterov else buffer)
    np.testing.assert_allclose(p, expected, rtol=1e-6, atol=1e-6)


def test_half_precision_is_computed_in_single():
    p, m, v = np.ones(3, np.float16), np.zeros(3, np.float16), np.zeros(3, np.float16)
    kernels.adam_step([p], [p.copy()], [m], [v], [], [1.0], 0.1, 0.9, 0.999, 1e-8, 0, False, False)
    np.testing.assert_allclose(p, np.full(3, 0.9, np.float16))
    kernels.sgd_step([p], [np.ones(3, np.float16)], [], 0.1, 0, 0, False, 0, False)
    np.testing.assert_allclose(p, np.full(3, 0.8), rtol=1e-3)
