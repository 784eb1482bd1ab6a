"""Running sums, products and extrema on OpenCL, compared with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

SHAPES = [(1,), (5,), (3000,), (300000,), (2, 50000), (30000, 3), (5000, 300), (3, 4000, 7)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int16", "float64"])
def test_running_sums(opencl, shape, dtype):
    array = (np.random.default_rng(0).standard_normal(shape) * 5).astype(dtype)
    mine, wide = flambeau.tensor(array, device=opencl), np.float64 if array.dtype.kind == "f" else np.int64
    for dim in range(len(shape)):
        exact = np.cumsum(array, dim, dtype=wide)
        atol = 1e-6 * float(np.abs(exact).max()) if dtype == "float32" else 1e-9
        found = mine.cumsum(dim).cpu().numpy()
        assert found.dtype == (np.int64 if dtype == "int16" else array.dtype)
        np.testing.assert_allclose(found, exact, rtol=0, atol=atol * 4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int8", "bool"])
def test_running_extrema_are_the_last_of_equals(opencl, shape, dtype):
    array = np.asarray(np.random.default_rng(0).integers(-3, 4, shape)).astype(dtype)
    if dtype == "float32":
        array.flat[array.size // 2] = np.nan
    theirs, mine = torch.tensor(array), flambeau.tensor(array, device=opencl)
    for dim in range(len(shape)):
        for op in ("cummax", "cummin"):
            found, expected = getattr(mine, op)(dim), getattr(theirs, op)(dim)
            np.testing.assert_array_equal(found.values.cpu().numpy(), expected.values.numpy())
            np.testing.assert_array_equal(found.indices.cpu().numpy(), expected.indices.numpy())


def test_views_scalars_and_nothing(opencl):
    array = np.random.default_rng(0).standard_normal((7, 12)).astype(np.float32)
    mine, theirs = flambeau.tensor(array, device=opencl).t()[1::2], torch.tensor(array).t()[1::2]
    for dim in (0, 1):
        np.testing.assert_allclose(mine.cumsum(dim).cpu().numpy(), theirs.cumsum(dim).numpy(), rtol=1e-5)
        np.testing.assert_allclose(mine.cumprod(dim).cpu().numpy(), theirs.cumprod(dim).numpy(), rtol=1e-5)
    assert flambeau.tensor(3, device=opencl).cumsum(0).item() == 3
    assert flambeau.tensor(3.0, device=opencl).cummax(0).indices.item() == 0
    assert flambeau.zeros(0, 3, device=opencl).cumsum(0).shape == (0, 3)


def test_products_of_complex_numbers(opencl):
    array = np.exp(1j * np.arange(5000)).astype(np.complex64)
    mine = flambeau.tensor(array, device=opencl).cumprod(0).cpu().numpy()
    np.testing.assert_allclose(mine, np.cumprod(array.astype(np.complex128)), atol=1e-3)
