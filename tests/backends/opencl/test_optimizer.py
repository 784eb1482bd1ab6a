"""Optimiser steps on OpenCL: kernels over whole parameters, compared with PyTorch's optimisers."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

CASES = [
    ("Adam", {}), ("Adam", {"amsgrad": True, "weight_decay": 0.1}), ("Adam", {"maximize": True}),
    ("Adam", {"fused": True}), ("AdamW", {"weight_decay": 0.1}), ("SGD", {}), ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
]


@pytest.mark.parametrize("name, options", CASES, ids=str)
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-6), ("float64", 1e-13)])
def test_five_steps(opencl, name, options, dtype, tolerance):
    rng = np.random.default_rng(0)
    shapes = [(10, 5), (7,), (33, 70), (), *[(3,)] * 8, (0, 2), (257,)]
    values = [np.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    theirs = [torch.tensor(each, requires_grad=True) for each in values]
    mine = [flambeau.tensor(each, device=opencl, requires_grad=True) for each in values]
    first = getattr(torch.optim, name)(theirs, lr=0.01, **options)
    second = getattr(flambeau.optim, name)(mine, lr=0.01, **options)
    for _ in range(5):
        for a, b in zip(theirs, mine, strict=True):
            gradient = np.asarray(rng.standard_normal(tuple(a.shape)), dtype)
            a.grad, b.grad = torch.tensor(gradient), flambeau.tensor(gradient, device=opencl)
        first.step()
        second.step()
    for a, b in zip(theirs, mine, strict=True):
        np.testing.assert_allclose(b.detach().cpu().numpy(), a.detach().numpy(), rtol=tolerance, atol=tolerance)


def test_parameters_that_are_views(opencl):
    """Their elements do not lie next to each other, so that the step is decomposed; the result is the same."""
    values, gradient = np.random.default_rng(0).standard_normal((2, 6, 4)).astype(np.float32)
    theirs = torch.tensor(values).t().detach().requires_grad_()
    mine = flambeau.tensor(values, device=opencl).t().detach().requires_grad_()
    theirs.grad, mine.grad = torch.tensor(gradient).t(), flambeau.tensor(gradient, device=opencl).t()
    torch.optim.SGD([theirs], lr=0.1).step()
    flambeau.optim.SGD([mine], lr=0.1).step()
    np.testing.assert_allclose(mine.detach().cpu().numpy(), theirs.detach().numpy(), rtol=1e-6)
