"""Sorting on OpenCL, compared with NumPy's stable sort and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

SHAPES = [(1,), (5,), (600,), (3, 700), (70, 30), (30, 70, 2), (100000,), (2, 40000)]


def draw(shape, dtype):
    array = np.random.default_rng(0).standard_normal(shape) * 5
    array = np.asarray(array > 0 if dtype == "bool" else array.astype(dtype))
    if array.dtype.kind == "f":
        array.flat[::7], array.flat[::5], array.flat[::6] = np.nan, 0, -0.0
        array.flat[:1] = -np.inf
    return array


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int8", "uint8", "bool"])
def test_stable_both_ways(opencl, shape, dtype):
    array = draw(shape, dtype)
    mine, theirs = flambeau.tensor(array, device=opencl), torch.tensor(array)
    for dim in range(len(shape)):
        for descending in (False, True):
            found = mine.sort(dim=dim, descending=descending, stable=True)
            expected = theirs.sort(dim=dim, descending=descending, stable=True)
            np.testing.assert_array_equal(found.indices.cpu().numpy(), expected.indices.numpy())
            np.testing.assert_array_equal(found.values.cpu().numpy(), expected.values.numpy())


def test_extreme_integers(opencl):
    for dtype in (np.int64, np.int32, np.int16):
        info = np.iinfo(dtype)
        array = np.array([0, info.max, info.min, -1, 1, info.max, info.min], dtype)
        np.testing.assert_array_equal(flambeau.tensor(array, device=opencl).sort().values.cpu().numpy(), np.sort(array))


@pytest.mark.parametrize("largest", [True, False])
def test_the_first_few(opencl, largest):
    array = np.random.default_rng(0).permutation(9000).reshape(9, 1000).astype(np.float32)
    mine, theirs = flambeau.tensor(array, device=opencl), torch.tensor(array)
    for k, dim in ((0, 1), (1, 1), (5, 0), (100, 1), (9, 0)):
        found, expected = mine.topk(k, dim, largest), theirs.topk(k, dim, largest)
        np.testing.assert_array_equal(found.values.cpu().numpy(), expected.values.numpy())
        np.testing.assert_array_equal(found.indices.cpu().numpy(), expected.indices.numpy())


def test_narrow_floats_views_and_nothing(opencl):
    values = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    mine = flambeau.tensor(values.float().numpy(), device=opencl).to(flambeau.bfloat16)
    found, expected = mine.sort(stable=True), values.sort(stable=True)
    np.testing.assert_array_equal(found.indices.cpu().numpy(), expected.indices.numpy())
    assert found.values.dtype is flambeau.bfloat16
    view, theirs = mine.float().t()[::3], values.float().t()[::3]
    np.testing.assert_array_equal(view.sort(0).values.cpu().numpy(), theirs.sort(0).values.numpy())
    assert flambeau.zeros(3, 0, device=opencl).sort().values.shape == (3, 0)
    assert flambeau.tensor(2.0, device=opencl).sort().indices.item() == 0
    np.testing.assert_allclose(mine.float().median(1).values.cpu().numpy(), values.float().median(1).values.numpy())
