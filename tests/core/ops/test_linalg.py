"""Products of matrices, decompositions and Einstein summation, compared with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from both import compare, draw

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

SHAPES = [((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (3,)),
          ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((4, 1, 2, 3), (5, 3, 2)), ((3,), (5, 3, 2)),
          ((2, 0), (0, 3)), ((2, 2, 0), (0, 3))]
NAMED = {((2, 3), (3, 4)): "MmBackward0", ((3,), (3,)): "DotBackward0", ((2, 3), (3,)): "MvBackward0"}


@pytest.mark.parametrize(("a", "b"), SHAPES, ids=str)
def test_matmul(a, b):
    compare(lambda library, x, y: library.matmul(x, y), draw(*a), draw(*b, seed=1), name=(a, b) in NAMED)
    compare(lambda library, x, y: x @ y, draw(*a), draw(*b, seed=1), name=False)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "complex128"])
def test_matmul_of_other_dtypes(dtype):
    a, b = (np.arange(6).reshape(2, 3) + 1).astype(dtype), (np.arange(12).reshape(3, 4) - 1).astype(dtype)
    compare(lambda library, x, y: x @ y, a, b, second=False)


@pytest.mark.parametrize(("op", "shapes"), [
    ("mm", [(2, 3), (3, 4)]), ("bmm", [(2, 3, 4), (2, 4, 5)]), ("mv", [(2, 3), (3,)]), ("dot", [(3,), (3,)]),
    ("outer", [(3,), (4,)]), ("ger", [(3,), (4,)]), ("inner", [(2, 3), (4, 3)]), ("kron", [(2, 3), (4, 3)]),
    ("vdot", [(3,), (3,)])])
def test_products(op, shapes):
    named = op in ("mm", "bmm", "mv", "dot")
    compare(lambda library, *x: getattr(library, op)(*x), *[draw(*each) for each in shapes], name=named)


@pytest.mark.parametrize(("op", "shapes"), [
    ("addmm", [(4,), (2, 3), (3, 4)]), ("addmv", [(2,), (2, 3), (3,)]), ("baddbmm", [(1,), (2, 3, 4), (2, 4, 5)]),
    ("addbmm", [(1,), (2, 3, 4), (2, 4, 5)]), ("addr", [(2, 3), (2,), (3,)])])
def test_products_with_an_addend(op, shapes):
    compare(lambda library, *x: getattr(library, op)(*x, alpha=2, beta=0.5), *[draw(*each) for each in shapes])


def test_linear():
    for shape in ((2, 3), (4, 2, 3), (3,)):
        compare(lambda library, x, w, b: library.nn.functional.linear(x, w, b), draw(*shape), draw(5, 3), draw(5),
                name=len(shape) == 2)
        compare(lambda library, x, w: library.nn.functional.linear(x, w), draw(*shape), draw(5, 3),
                name=len(shape) == 2)


def test_gradient_of_a_linear_layer_lies_as_its_weight_does():
    weight = flambeau.from_numpy(draw(5, 3)).requires_grad_()
    flambeau.nn.functional.linear(flambeau.from_numpy(draw(4, 3)), weight).sum().backward()
    assert weight.grad.is_contiguous()
    assert weight.grad.stride() == weight.stride()


@pytest.mark.parametrize("function", [
    lambda library, x, y: library.tensordot(x, y, dims=([1, 2], [1, 0])),
    lambda library, x, y: library.tensordot(x, y.permute(1, 0, 2).permute(1, 2, 0)[:4, :3], dims=0),
    lambda library, x, y: library.cdist(x[:, :, 0], y[:2, :3, 0], p=1.0)])
def test_contractions(function):
    compare(function, draw(2, 3, 4), draw(4, 3, 5), second=False, name=False)


def test_chains():
    compare(lambda library, *x: library.linalg.multi_dot(x), draw(2, 3), draw(3, 4), draw(4, 2), name=False)


def test_cross_and_bilinear():
    compare(lambda library, x, y: library.cross(x, y, dim=1), draw(4, 3), draw(4, 3, seed=1))
    compare(lambda library, *x: library.nn.functional.bilinear(*x), draw(3, 4), draw(3, 5), draw(2, 4, 5), draw(2),
            name=False)


@pytest.mark.parametrize(("equation", "shapes"), [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bjk", [(2, 3, 4), (2, 4, 5)]), ("ii", [(3, 3)]), ("ii->i", [(3, 3)]),
    ("ij->ji", [(2, 3)]), ("i,j", [(2,), (3,)]), ("...ij,jk->...ik", [(5, 2, 3), (3, 4)]), ("ij->", [(2, 3)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]), ("a,b,c,d->dbca", [(2,), (3,), (4,), (5,)]),
    ("ijk,jil->kl", [(2, 3, 4), (3, 2, 5)]), ("ij,ij->i", [(2, 3), (2, 3)]), ("ij,j", [(2, 3), (1,)])])
def test_einsum(equation, shapes):
    compare(lambda library, *x: library.einsum(equation, *x), *[draw(*each, seed=i) for i, each in enumerate(shapes)],
            name=False)


def spd(*shape):
    x = draw(*shape)
    return x @ x.swapaxes(-1, -2) + 3 * np.eye(shape[-1])


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 3)])
@pytest.mark.parametrize("function", [
    lambda linalg, x: linalg.inv(x), lambda linalg, x: linalg.det(x), lambda linalg, x: linalg.slogdet(x)[1],
    lambda linalg, x: linalg.solve(x, x[..., 0]), lambda linalg, x: linalg.solve(x, x * 2 + 1),
    lambda linalg, x: linalg.cholesky((x + x.mT) / 2), lambda linalg, x: linalg.eigvalsh(x),
    lambda linalg, x: linalg.matrix_power(x, 5), lambda linalg, x: linalg.matrix_power(x, -2),
    lambda linalg, x: linalg.matrix_norm(x), lambda linalg, x: linalg.vector_norm(x, 3),
    lambda linalg, x: linalg.pinv(x.detach()), lambda linalg, x: linalg.matrix_rank(x.detach())])
def test_linalg(function, shape):
    compare(lambda library, x: function(library.linalg, x), spd(*shape), name=False, rtol=1e-6)


@pytest.mark.parametrize("ord", ["fro", "nuc", 2, -2, 1, -1, float("inf"), float("-inf")])
def test_matrix_norms(ord):
    compare(lambda library, x: library.linalg.matrix_norm(x, ord), draw(3, 4), second=False, name=False)


@pytest.mark.parametrize("dim", [None, 0, (0, 2)])
@pytest.mark.parametrize("ord", [0, 0.5, 1, 1.5, 2, 3, float("inf"), float("-inf")])
def test_vector_norms(ord, dim):
    compare(lambda library, x: library.linalg.vector_norm(x, ord, dim), draw(2, 3, 4))


def test_factors_multiply_to_the_matrix():
    x = flambeau.from_numpy(draw(4, 3))
    q, r = flambeau.linalg.qr(x)
    u, s, vh = flambeau.linalg.svd(x, full_matrices=False)
    for product in (q @ r, (u * s) @ vh):
        np.testing.assert_allclose(product.numpy(), x.numpy(), atol=1e-12)


@pytest.mark.parametrize("function", [
    lambda library: library.ones(2, 3) @ library.ones(2, 3),
    lambda library: library.mm(library.ones(2), library.ones(2)),
    lambda library: library.ones(2, 3) @ library.ones(3, 2, dtype=library.float64),
    lambda library: library.bmm(library.ones(2, 3, 4), library.ones(3, 4, 5)),
    lambda library: library.dot(library.ones(2), library.ones(3)),
    lambda library: library.nn.functional.linear(library.ones(2, 3), library.ones(4, 2)),
    lambda library: library.einsum("ij,jk->ik", library.ones(2, 3), library.ones(4, 2)),
    lambda library: library.linalg.inv(library.ones(2, 3)), lambda library: library.linalg.inv(library.zeros(2, 2)),
    lambda library: library.linalg.cholesky(-library.eye(2)), lambda library: library.tensor(1.0) @ library.ones(2)])
def test_errors_are_those_of_pytorch(function):
    with pytest.raises(RuntimeError):
        function(torch)
    with pytest.raises(RuntimeError):
        function(flambeau)


def test_einsum_without_opt_einsum(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    compare(lambda library, *x: flambeau.einsum("ij,jk,kl,lm->im", *x) if library is flambeau
            else library.linalg.multi_dot(x), draw(2, 3), draw(3, 4), draw(4, 2), draw(2, 5), name=False)
