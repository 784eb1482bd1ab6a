"""softmax, log_softmax and their gradients on OpenCL, compared with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

SHAPES = [((3, 4), 1), ((64, 10), 1), ((2, 3, 4), 0), ((2, 3, 4), -2), ((5,), 0), ((7, 33), 0), ((9, 1000), 1),
          ((3, 70, 37), 1), ((1, 8), 0), ((4, 1), 1)]


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("shape, dim", SHAPES, ids=str)
def test_values_and_gradients(opencl, op, dtype, tolerance, shape, dim):
    rng = np.random.default_rng(0)
    values, weights = rng.standard_normal((2, *shape)).astype(dtype) * 3
    a = torch.tensor(values, requires_grad=True)
    b = flambeau.tensor(values, device=opencl, requires_grad=True)
    theirs, mine = getattr(torch, op)(a, dim), getattr(flambeau, op)(b, dim)
    theirs.backward(torch.tensor(weights))
    mine.backward(flambeau.tensor(weights, device=opencl))
    scale = max(1.0, float(theirs.detach().abs().max()))
    np.testing.assert_allclose(mine.detach().cpu().numpy(), theirs.detach().numpy(), rtol=tolerance,
                               atol=tolerance * scale)
    scale = max(1.0, float(np.abs(weights).sum() / weights.size * weights.shape[dim]))
    np.testing.assert_allclose(b.grad.cpu().numpy(), a.grad.numpy(), rtol=tolerance * 10, atol=tolerance * scale)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_what_is_not_a_number(opencl, op):
    nan, inf = float("nan"), float("inf")
    rows = [[nan, 1, 2], [inf, 1, 2], [-inf, -inf, -inf], [-inf, 0, 1], [1000, 0, -1000]]
    mine = getattr(flambeau, op)(flambeau.tensor(rows, device=opencl), 1).cpu().numpy()
    np.testing.assert_allclose(mine, getattr(torch, op)(torch.tensor(rows), 1).numpy(), rtol=2e-6, atol=1e-6)


def test_of_a_view(opencl):
    base = np.arange(60, dtype=np.float32).reshape(5, 12) / 7
    mine = flambeau.softmax(flambeau.tensor(base, device=opencl).t()[2:, ::2], 0).cpu().numpy()
    np.testing.assert_allclose(mine, torch.softmax(torch.tensor(base).t()[2:, ::2], 0).numpy(), rtol=2e-6)
