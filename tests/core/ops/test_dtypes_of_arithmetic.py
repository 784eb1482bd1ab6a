"""Dtypes that operators refuse or keep, and values at the edges of domains, as PyTorch has them."""

import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


def run(code, module):
    return eval(code, {"t": module, "F": module.nn.functional})


REFUSED = [
    "t.tensor([True]) - 2", "2 - t.tensor([True])", "t.tensor([True]) - t.tensor([2])",
    "t.tensor([2.]) - t.tensor([True])", "t.sub(t.tensor([True]), 2, alpha=3)", "t.rsub(t.tensor([True]), 2, alpha=3)",
    "F.hardtanh(t.tensor([True]))", "F.relu6(t.tensor([True]))", "F.tanhshrink(t.tensor([True]))",
    "F.hardtanh(t.tensor([3], dtype=t.uint8))", "t.threshold(t.tensor([3], dtype=t.uint8), -1.5, 2.)",
    "t.nanmean(t.tensor([1j]))", "t.msort(t.tensor([1j]))", "t.topk(t.tensor([True]), 1)",
    "t.mvlgamma(t.tensor([True]), 1)", "t.trapezoid(t.tensor([True, False]))",
    "t.cumulative_trapezoid(t.tensor([1., 2.]), t.tensor([True, False]))", "t.cov(t.tensor([[True, False]]))",
    "t.cov(t.tensor([[1., 2.]]), aweights=t.tensor([1, 2]))",
    "t.cov(t.tensor([[1., 2.]]), fweights=t.tensor([1., 2.]))",
    "t.isin(t.tensor([True]), t.tensor([True]))", "t.isin(t.tensor([1j]), t.tensor([1j]))",
    "t.complex(t.ones(2, dtype=t.bfloat16), t.ones(2, dtype=t.bfloat16))",
    "t.rand_like(t.tensor([1]))", "t.normal(t.tensor([1]), 1.0)", "t.bernoulli(t.tensor([1j]), 0.5)",
    "t.ones(2, dtype=t.complex64).scatter_reduce(0, t.tensor([0]), t.ones(1, dtype=t.complex64), 'amax')",
]


@pytest.mark.parametrize("code", REFUSED)
def test_refuses_what_pytorch_refuses(code):
    for module in (torch, flambeau):
        with pytest.raises(RuntimeError):
            run(code, module)


GIVEN = [
    "t.add(t.tensor([True, False]), t.tensor([True, True]), alpha=2)",
    "t.add(t.tensor([True, False]), t.tensor([True, True]), alpha=0)", "t.add(t.tensor([False]), True, alpha=2)",
    "t.threshold(t.tensor([-3, 0, 1, 2]), 0.5, 2.7)", "t.threshold(t.tensor([-3, 2], dtype=t.int8), -1.5, 20.7)",
    "t.ldexp(t.tensor([0.001], dtype=t.float16), t.tensor([20]))", "t.ldexp(t.tensor([2]), t.tensor([20]))",
    "t.ldexp(t.tensor([1.], dtype=t.float64), t.tensor([1000]))",
    "t.polygamma(2, t.tensor([0., -0.5, 1.5]))", "t.polygamma(4, t.tensor([0., -2.]))",
    "t.polygamma(3, t.tensor([0.]))",
    "t.floor(t.tensor([-1.5, 1.5, -2., float('nan'), 0.]))",
]


@pytest.mark.parametrize("code", GIVEN)
def test_gives_what_pytorch_gives(code):
    ours, theirs = run(code, flambeau), run(code, torch)
    assert str(ours.dtype) == str(theirs.dtype)
    assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-5, nan_ok=True)


def test_value_of_index_fill_gets_the_gradient_of_a_repeated_index_once():
    def gradient(module):
        value = module.tensor(2.0, requires_grad=True)
        module.zeros(3, 2).index_fill(0, module.tensor([1, 1, 2]), value).sum().backward()
        return value.grad.item()
    assert gradient(flambeau) == gradient(torch) == 4.0
