"""Triangular systems, condition numbers, tensors as matrices and matrix exponentials, compared with PyTorch."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")



def _condition(library, a, p):
    """By its definition in PyTorch, whose own function writes over what its gradient needs."""
    if library is flambeau:
        return library.linalg.cond(a, p)
    return library.linalg.norm(a, p) * library.linalg.norm(library.linalg.inv(a), p)


CALLS = {
    "solve_triangular": lambda t, a, b: t.linalg.solve_triangular(a, b, upper=True),
    "solve_triangular, right": lambda t, a, b: t.linalg.solve_triangular(a, b.mT, upper=False, left=False,
                                                                         unitriangular=True),
    "triangular_solve": lambda t, a, b: t.triangular_solve(b, a, upper=False, transpose=True)[0],
    "cholesky_solve": lambda t, a, b: t.cholesky_solve(b, a.tril()),
    "cholesky_solve, upper": lambda t, a, b: t.cholesky_solve(b, a.triu(), upper=True),
    "cholesky_inverse": lambda t, a, b: t.cholesky_inverse(t.linalg.cholesky(a @ a.mH)),
    "cond": lambda t, a, b: t.linalg.cond(a),
    "cond, -2": lambda t, a, b: t.linalg.cond(a, -2),
    "cond, fro": lambda t, a, b: _condition(t, a, "fro"),
    "cond, 1": lambda t, a, b: _condition(t, a, 1),
    "matrix_exp": lambda t, a, b: t.matrix_exp(a),
    "vecdot": lambda t, a, b: t.linalg.vecdot(a, a[0] * 2),
    "tensorsolve": lambda t, a, b: t.linalg.tensorsolve(a.reshape(2, 2, 4), b[:, 0].reshape(2, 2)),
    "tensorinv": lambda t, a, b: t.linalg.tensorinv(a.reshape(2, 2, 4)),
    "svd": lambda t, a, b: t.svd(a)[1],
    "qr": lambda t, a, b: t.qr(a)[1].abs(),
}


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore")  # PyTorch warns that the older names will go
def test_values_and_gradients(name, dtype):
    generator = np.random.RandomState(0)

    def draw(*shape):
        return generator.randn(*shape) + (1j * generator.randn(*shape) if dtype == "complex128" else 0)
    a_values, b_values = draw(4, 4) + 3 * np.eye(4), draw(4, 2)
    found = []
    for library in (torch, flambeau):
        a, b = (library.tensor(each, requires_grad=True) for each in (a_values, b_values))
        result = CALLS[name](library, a, b)
        result.abs().pow(2).sum().backward()
        found.append([result.detach().numpy(), a.grad.numpy(), *([] if b.grad is None else [b.grad.numpy()])])
    assert len(found[0]) == len(found[1])
    for want, have in zip(*found, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("call", [
    lambda t: t.linalg.solve_triangular(t.ones(2, 2), t.ones(3, 2), upper=True),
    lambda t: t.linalg.solve_triangular(t.ones(2, 2), t.ones(2), upper=True),
    lambda t: t.linalg.tensorinv(t.ones(2, 3)),
    lambda t: t.linalg.tensorinv(t.ones(2, 2), 0),
    lambda t: t.linalg.tensorsolve(t.ones(2, 3), t.ones(2)),
    lambda t: t.linalg.vecdot(t.ones(2, dtype=t.int64), t.ones(2, dtype=t.int64)),
    lambda t: t.linalg.cond(t.ones(2, 3), 1),
    lambda t: t.matrix_exp(t.ones(2, 3)),
])
def test_refusals(call):
    for library in (torch, flambeau):
        with pytest.raises(RuntimeError):
            call(library)


def test_a_factor_of_a_large_matrix_exponential():
    values = np.random.RandomState(1).randn(3, 5, 5) * 4
    want, have = (library.linalg.matrix_exp(library.tensor(values)).numpy() for library in (torch, flambeau))
    np.testing.assert_allclose(have, want, rtol=1e-9)
