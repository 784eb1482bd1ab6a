"""Losses and their gradients on OpenCL, compared with PyTorch; class indices out of range are told."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
TYPES = [("float32", 2e-6), ("float64", 1e-13)]


def compare(opencl, name, tolerance, input, *rest, **options):
    """Value and gradient of a loss, on both libraries."""
    results = []
    for library, to in ((torch, torch.tensor), (flambeau, lambda x: flambeau.tensor(x, device=opencl))):
        x = to(input).requires_grad_()
        given = {key: to(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
        loss = getattr(library.nn.functional, name)(x, *map(to, rest), **given)
        (loss * to(np.linspace(1, 2, loss.numel()).astype(input.dtype).reshape(tuple(loss.shape)))).sum().backward()
        results.append([each.detach().cpu().numpy() for each in (loss, x.grad)])
    for theirs, mine in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("dtype, tolerance", TYPES)
@pytest.mark.parametrize("ignored", [-100, 2])
@pytest.mark.parametrize("rows, classes", [(4, 4), (64, 10), (200, 65), (3, 1000)])
def test_cross_entropy_mean(opencl, dtype, tolerance, ignored, rows, classes):
    rng = np.random.default_rng(0)
    compare(opencl, "cross_entropy", tolerance, rng.standard_normal((rows, classes)).astype(dtype) * 3,
            rng.integers(0, classes, rows), ignore_index=ignored)


@pytest.mark.parametrize("dtype, tolerance", TYPES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4, 5)], ids=str)
def test_nll_loss(opencl, dtype, tolerance, reduction, weighted, shape):
    rng = np.random.default_rng(0)
    options = {"weight": rng.random(shape[1]).astype(dtype)} if weighted else {}
    compare(opencl, "nll_loss", tolerance, rng.standard_normal(shape).astype(dtype),
            rng.integers(0, shape[1], (shape[0], *shape[2:])), reduction=reduction, ignore_index=1, **options)


@pytest.mark.parametrize("dtype, tolerance", TYPES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("count", [1, 7, 5000, 100_003])
def test_mse_loss(opencl, dtype, tolerance, reduction, count):
    a, b = np.random.default_rng(0).standard_normal((2, count)).astype(dtype)
    compare(opencl, "mse_loss", tolerance, a, b, reduction=reduction)


def test_all_rows_ignored(opencl):
    loss = flambeau.nn.functional.cross_entropy(flambeau.ones(4, 3, device=opencl),
                                                flambeau.full((4,), -100, device=opencl))
    assert np.isnan(loss.item())


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("wrong", [3, -1])
def test_target_out_of_range(opencl, name, wrong):
    target = flambeau.tensor([0, wrong, 1], device=opencl)
    with pytest.raises(IndexError, match=r"(?s)Target.*out of bounds.*test_loss\.py"):
        getattr(flambeau.nn.functional, name)(flambeau.ones(3, 3, device=opencl), target).item()
    right = flambeau.nn.functional.cross_entropy(flambeau.ones(3, 3, device=opencl), flambeau.tensor(
        [0, 1, 2], device=opencl))
    assert abs(right.item() - np.log(3)) < 1e-6
