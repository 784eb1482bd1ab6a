"""A device that has kernels for the primitives only: everything else is decomposed into them, without the host."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

BARE = "reference"   # strict, and without a kernel that is not owed


@pytest.fixture(autouse=True)
def no_host():
    with flambeau.fallback("error"):
        yield


COMPLEX = [complex(a, b) for a in (-2.5, -0.5, 0.25, 3.0) for b in (-1.5, 0.5, 2.0)]


@pytest.mark.parametrize("name", [
    "asin", "acos", "atan", "asinh", "acosh", "atanh", "sinh", "cosh", "tanh", "sin", "tan", "exp2", "log10",
    "sigmoid", "reciprocal", "sqrt", "rsqrt", "sgn", "isinf", "isfinite"])
def test_functions_of_complex_numbers(name):
    mine = getattr(flambeau, name)(flambeau.tensor(COMPLEX, device=BARE)).cpu().numpy()
    np.testing.assert_allclose(mine, getattr(torch, name)(torch.tensor(COMPLEX)).numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("program", [
    lambda t, x: t.sign(x([True, False])), lambda t, x: t.isinf(x([True, False])), lambda t, x: t.isinf(x([1, 2])),
    lambda t, x: t.sinh(x([-300.0, -1e-6, 0.0, 90.0])), lambda t, x: t.tanh(x([-300.0, -1e-6, 0.0, 90.0])),
    lambda t, x: t.sign(x([float("nan"), -2.0, 0.0])), lambda t, x: 1.0 - x([1.0, 3.0]), lambda t, x: 2 - x([1, 3]),
    lambda t, x: t.xlogy(x([0.0, 2.0]), 3.0), lambda t, x: t.xlogy(2.0, x([0.0, 2.0])),
    lambda t, x: x([True, False]).to(t.uint8).sinh()])
def test_small_things(program):
    mine = program(flambeau, lambda data: flambeau.tensor(data, device=BARE))
    theirs = program(torch, torch.tensor)
    assert str(mine.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]
    np.testing.assert_allclose(mine.cpu().numpy(), theirs.numpy(), rtol=1e-6)


def test_layer_and_its_gradients():
    def run(t, **options):
        x = (t.arange(12.0) / 7).reshape(2, 6).to(**options).requires_grad_()
        w = (t.arange(18.0) / 5 - 1).cos().reshape(3, 6).to(**options).requires_grad_()
        y = t.nn.functional.layer_norm(t.nn.functional.gelu(x @ w.t()), (3,))
        loss = t.nn.functional.cross_entropy(y, t.tensor([0, 2]).to(**options))
        loss.backward()
        return [each.detach().cpu().numpy() for each in (loss, x.grad, w.grad)]
    for mine, theirs in zip(run(flambeau, device=BARE), run(torch, device="cpu"), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def test_layouts_of_results_that_keep_the_order_of_dimensions():
    for t in (flambeau, torch):
        x = t.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1) * 2
        assert x.stride() == (1, 12, 4)
        assert t.as_strided(x, (4,), (2,)).tolist() == [0.0, 4.0, 8.0, 12.0]
        assert x.unfold(0, 2, 1)[1, 0].tolist() == [[2.0, 4.0], [10.0, 12.0], [18.0, 20.0]]


@pytest.mark.parametrize("program", [
    lambda t, x: x([[1.0, 2.0, 3.0]]).gather(1, x([[2, 0]]).to(t.int32)),
    lambda t, x: x([1.0, 2.0]).gather(0, x([]).to(t.uint8)),
    lambda t, x: x([[1.0, 2.0, 3.0]])[:, x([2, 0]).to(t.int32)],
    lambda t, x: x([0.0, 0.0]).scatter_reduce(0, x([1, 1]).to(t.int32), x([2.0, 3.0]), "mean"),
    lambda t, x: t.ones(0, 4, device=x([0]).device).scatter(1, x([[]]).reshape(0, 2).long(), x([[]]).reshape(0, 3)),
    lambda t, x: t.bincount(x([1, 3, 1]).to(t.uint8)), lambda t, x: x(True).index_add(0, x([0]), x(True)),
    lambda t, x: t.nn.functional.max_pool2d(x([[[3, 7], [9, 1]]]).to(t.uint8), 2, padding=1),
    lambda t, x: t.where(x([True, False]), 1.0, 2.5), lambda t, x: t.where(x([True, False]), 1, 2),
    lambda t, x: t.remainder(x([5.0, -3.0]).double(), 1.159),
    lambda t, x: t.angle(x([-2.0, 3.0]).double()), lambda t, x: x([float("inf"), -1.5]).floor(),
    lambda t, x: x([1.0, float("nan"), 2.0]).logcumsumexp(0), lambda t, x: x([5.0, -3.0]).logcumsumexp(0)])
def test_what_only_a_strict_device_shows(program):
    mine = program(flambeau, lambda data: flambeau.tensor(data, device=BARE))
    theirs = program(torch, torch.tensor)
    assert str(mine.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]
    np.testing.assert_allclose(mine.cpu().numpy(), theirs.numpy(), rtol=1e-7)


@pytest.mark.parametrize("program", [
    lambda t, x: x([2, 3]) ** -1, lambda t, x: x([1]) // x([0]), lambda t, x: t.linalg.inv(x([[0.0]])),
    lambda t, x: x([1.0]).exponential_(0), lambda t, x: x([1.0]).cauchy_(0, 0), lambda t, x: x([1.0]).log_normal_(0, 0),
    lambda t, x: t.nn.functional.conv1d(x([[[1.0]]]), x([[[1.0]]]), x([1.0]).double())])
def test_refusals(program):
    for library, options in ((torch, {}), (flambeau, {"device": BARE})):
        with pytest.raises(RuntimeError):
            program(library, lambda data, t=library, o=options: t.tensor(data, **o))


def test_gradient_of_windows_of_an_empty_batch():
    x = flambeau.zeros(0, 1, 3, 3, device=BARE, requires_grad=True)
    flambeau.nn.functional.unfold(x, 2).sum().backward()
    assert x.grad.shape == x.shape
