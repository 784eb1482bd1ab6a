"""Factorizations on the OpenCL device against NumPy's LAPACK: every kind of number, sizes from 0 up, hard matrices."""

import numpy as np
import pytest

import flambeau

DTYPES = ["float32", "float64", "complex64", "complex128"]
SIZES = [0, 1, 2, 3, 5, 17, 40]


def _values(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    return (values + 1j * random.standard_normal(shape) if np.dtype(dtype).kind == "c" else values).astype(dtype)


def _adjoint(a):
    return np.swapaxes(a, -1, -2).conj()


def _positive(n, dtype):
    a = _values((3, n, n), dtype)
    return (a @ _adjoint(a) + np.eye(n)).astype(dtype)


def _tolerance(dtype):
    return 5e-4 if dtype in ("float32", "complex64") else 1e-10


def _check(found, wanted, dtype, factor=1):
    found = found.cpu().numpy() if isinstance(found, flambeau.Tensor) else found
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=factor * _tolerance(dtype), atol=factor * _tolerance(dtype))


def _orthonormal(a, dtype):
    found = _adjoint(a) @ a
    np.testing.assert_allclose(found, np.broadcast_to(np.eye(a.shape[-1]), found.shape), atol=_tolerance(dtype))


def _to(device, values):
    return flambeau.from_numpy(np.ascontiguousarray(values)).to(device)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cholesky_solve_and_determinant(opencl, dtype):
    for n in SIZES:
        positive, a, b = _positive(n, dtype), _values((3, n, n), dtype, 1), _values((2, 1, n, 2), dtype, 2)
        _check(flambeau.linalg.cholesky(_to(opencl, positive)), np.linalg.cholesky(positive), dtype)
        x = flambeau.linalg.solve(_to(opencl, a), _to(opencl, b)).cpu().numpy()
        _check(a @ x, np.broadcast_to(b, (2, 3, n, 2)), dtype, 20)
        sign, logarithm = flambeau.linalg.slogdet(_to(opencl, a))
        wanted = np.linalg.slogdet(a)
        _check(sign, np.asarray(wanted[0]), dtype)
        _check(logarithm, np.asarray(wanted[1]), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_qr_has_the_signs_of_lapack(opencl, dtype):
    for m in (0, 1, 2, 4, 9, 33):
        for n in (0, 1, 3, 4, 17):
            a = _values((2, m, n), dtype)
            for mode in ("reduced", "complete"):
                q, r = flambeau.linalg.qr(_to(opencl, a), mode)
                _check(r, np.linalg.qr(a, mode)[1], dtype, 3)
                _check(q.cpu().numpy() @ r.cpu().numpy(), a, dtype)
                _orthonormal(q.cpu().numpy(), dtype)
            _check(flambeau.linalg.qr(_to(opencl, a), "r")[1], np.linalg.qr(a, "r"), dtype, 3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("uplo", ["L", "U"])
def test_eigenvalues(opencl, dtype, uplo):
    for n in SIZES:
        a = (_positive(n, dtype) - 3 * np.eye(n)).astype(dtype)
        half = np.tril(a) if uplo == "L" else np.triu(a)     # the other triangle is not read
        values, vectors = (each.cpu().numpy() for each in flambeau.linalg.eigh(_to(opencl, half), uplo))
        _check(values, np.linalg.eigh(a)[0], dtype, 10)
        _check((vectors * values[:, None, :] @ _adjoint(vectors)).astype(dtype), a, dtype, 10)
        _orthonormal(vectors, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("full", [True, False])
def test_singular_values(opencl, dtype, full):
    for m, n in ((0, 3), (1, 1), (4, 4), (9, 4), (4, 9), (33, 17), (17, 33)):
        a = _values((2, m, n), dtype)
        of_rank_one = a[..., :1] @ _values((2, 1, n), dtype, 1)
        for each in (a, of_rank_one, a * 0, a * np.asarray(1e-30, dtype)):
            u, s, vh = (part.cpu().numpy() for part in flambeau.linalg.svd(_to(opencl, each), full))
            wanted = np.linalg.svd(each, full)
            assert u.shape == wanted[0].shape and vh.shape == wanted[2].shape
            _check(s, wanted[1], dtype)
            k = min(m, n)
            _check((u[..., :k] * s[..., None, :] @ vh[..., :k, :]).astype(dtype), each, dtype)
            _orthonormal(u, dtype)
            _orthonormal(_adjoint(vh), dtype)


def test_small_and_large_numbers(opencl):
    for scale in (1e-30, 1e30):
        a = (_values((5, 3), "float32") * scale).astype("float32")
        found = flambeau.linalg.svd(_to(opencl, a))[1].cpu().numpy()
        np.testing.assert_allclose(found, np.linalg.svd(a)[1], rtol=1e-4)
        np.testing.assert_allclose(flambeau.linalg.qr(_to(opencl, a))[1].cpu().numpy(), np.linalg.qr(a)[1], rtol=1e-3,
                                   atol=1e-6 * scale)


def test_what_cannot_be_done_is_said_at_once(opencl):
    matrix = flambeau.zeros(2, 3, 3, device=opencl)
    with pytest.raises(RuntimeError, match="singular"):
        flambeau.linalg.solve(matrix, matrix)
    with pytest.raises(RuntimeError, match="positive"):
        flambeau.linalg.cholesky(matrix)
    with pytest.raises(RuntimeError, match="singular"):
        flambeau.linalg.inv(matrix)
    sign, logarithm = flambeau.linalg.slogdet(matrix)
    assert sign.tolist() == [0.0, 0.0] and logarithm.tolist() == [-np.inf, -np.inf]
    broken = flambeau.full((3, 3), float("nan"), device=opencl)
    for failing in (flambeau.linalg.svd, flambeau.linalg.eigh):
        with pytest.raises(RuntimeError, match="converge"):
            failing(broken)


def test_large_matrices_run_on_the_host_and_are_counted(opencl):
    from flambeau_clike.kernels import linalg
    n = max(linalg.LARGEST_DIRECT) + 1
    matrix = flambeau.eye(n).to(opencl) * 4
    with pytest.raises(RuntimeError, match="linalg_cholesky"):     # where nothing may come from the host
        flambeau.linalg.cholesky(matrix)
    before = flambeau.fallback_counts().get("linalg_cholesky", {"calls": 0})["calls"]
    with flambeau.fallback("allow"):
        assert flambeau.linalg.cholesky(matrix).diagonal().sum().item() == 2 * n
    assert flambeau.fallback_counts()["linalg_cholesky"]["calls"] == before + 1
