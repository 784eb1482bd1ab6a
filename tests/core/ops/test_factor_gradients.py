"""Gradients of matrix factors, compared with PyTorch where factors are unique, and by themselves where not."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


def _svd(torch, a):
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    weights = torch.arange(1, 1 + s.shape[-1], dtype=s.dtype)
    turned = u[..., :1] @ vh[..., :1, :]
    return ((u * (s * weights).unsqueeze(-2)) @ vh).abs().pow(3).sum() + turned.abs().pow(2).sum()


def _qr(torch, a):
    q, r = torch.linalg.qr(a)
    return (q @ (r * r.conj() * 0.5)).abs().pow(2).sum() + q[..., 0].abs().pow(3).sum()


CALLS = {
    "svd": _svd, "qr": _qr,
    "pinv": lambda torch, a: torch.linalg.pinv(a).abs().pow(3).sum(),
    "slogdet": lambda torch, a: torch.linalg.slogdet(a @ a.mT + 1)[1].pow(2).sum(),
    "sign": lambda torch, a: torch.linalg.slogdet((a @ a.mT).to(torch.complex128) + 1j)[0].real.sum(),
    "matrix_power": lambda torch, a: torch.linalg.matrix_power(a @ a.mT, 0).abs().sum(),
}


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (2, 3, 3)])
@pytest.mark.parametrize("name", CALLS)
def test_gradients(name, shape, dtype):
    generator = np.random.RandomState(1)
    values = generator.randn(*shape) + (1j * generator.randn(*shape) if dtype == "complex128" else 0)
    if name in ("slogdet", "sign") and shape == (5, 3):  # whose product with its transpose is singular
        shape = (3, 3)
        values = values[:3]
    grads = []
    for library in (torch, flambeau):
        a = library.tensor(values, requires_grad=True)
        CALLS[name](library, a).backward()
        grads.append(a.grad.numpy())
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["svd", "qr", "pinv"])
def test_second_order(name):
    a = flambeau.tensor(np.random.RandomState(2).randn(4, 3), requires_grad=True)
    assert flambeau.autograd.gradgradcheck(lambda x: CALLS[name](flambeau, x), (a,))


def test_the_pseudo_inverse_of_a_hermitian_matrix_reads_one_triangle():
    values = np.random.RandomState(3).randn(4, 4)
    want, have = (library.linalg.pinv(library.tensor(values), hermitian=True).numpy() for library in (torch, flambeau))
    np.testing.assert_allclose(have, want, rtol=1e-8, atol=1e-8)


def test_second_order_of_logcumsumexp_for_large_numbers():
    grads = []
    for library in (torch, flambeau):
        x = library.tensor([100.0, -200.0, 300.0, 1.0], dtype=library.float64, requires_grad=True)
        first, = library.autograd.grad((x.logcumsumexp(0) * library.arange(1.0, 5)).sum(), x, create_graph=True)
        grads.append(library.autograd.grad((first ** 2).sum(), x)[0].numpy())
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-9, atol=1e-12)
