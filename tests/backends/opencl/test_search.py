"""nonzero, unique, searchsorted and isin on OpenCL, compared with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


@pytest.mark.parametrize("shape", [(), (5,), (3, 4, 5), (70000,), (300, 400), (0, 3)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int64", "bool", "complex64", "complex128"])
def test_nonzero(opencl, shape, dtype):
    rng = np.random.default_rng(0)
    array = np.asarray(rng.integers(-1, 2, shape)).astype(dtype)
    if array.dtype.kind in "fc" and array.size:
        array = np.asarray(array * -1.0).astype(dtype)      # zeros with a sign
        array.flat[0] = np.nan
    mine, theirs = flambeau.tensor(array, device=opencl).nonzero(), torch.tensor(array).nonzero()
    assert tuple(mine.shape) == tuple(theirs.shape)
    np.testing.assert_array_equal(mine.cpu().numpy(), theirs.numpy())


def test_nonzero_of_stored_dtypes_and_views(opencl):
    numbers = [0.0, -0.0, 1.0, -2.0, 0.0, float("nan")]
    for name in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz"):
        mine = flambeau.tensor(numbers, device=opencl).to(getattr(flambeau, name))
        assert mine.nonzero().flatten().tolist() == [2, 3, 5], name
    array = np.arange(24).reshape(4, 6) % 3
    np.testing.assert_array_equal(flambeau.tensor(array, device=opencl).t()[::2].nonzero().cpu().numpy(),
                                  np.argwhere(array.T[::2]))
    many = np.random.default_rng(0).integers(0, 2, (2, 3, 1, 2, 2, 1, 2, 2, 3, 2))   # more than a layout holds
    np.testing.assert_array_equal(flambeau.tensor(many, device=opencl).nonzero().cpu().numpy(), np.argwhere(many))


@pytest.mark.parametrize("shape", [(1,), (40,), (3, 4), (20000,)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool", "float64"])
def test_unique_elements(opencl, shape, dtype):
    array = np.random.default_rng(0).integers(0, 50, shape).astype(dtype)
    if array.dtype.kind == "f":
        array.flat[::9] = np.nan
    mine = flambeau.tensor(array, device=opencl).unique(return_inverse=True, return_counts=True)
    theirs = torch.tensor(array).unique(return_inverse=True, return_counts=True)
    for found, expected in zip(mine, theirs, strict=True):
        if found is mine[1] and array.dtype.kind == "f":    # which nan is which is nobody's business
            np.testing.assert_array_equal(mine[0].cpu().numpy()[found.cpu().numpy()], array)
            continue
        np.testing.assert_array_equal(found.cpu().numpy(), expected.numpy())


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_unique_slices(opencl, dim, dtype):
    array = np.random.default_rng(0).integers(0, 2, (30, 3, 40)).astype(dtype)
    array = np.concatenate([array, array[:, :, ::-1], array], dim)
    mine = flambeau.tensor(array, device=opencl).unique(return_inverse=True, return_counts=True, dim=dim)
    theirs = torch.tensor(array).unique(return_inverse=True, return_counts=True, dim=dim)
    for found, expected in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(found.cpu().numpy(), expected.numpy())


@pytest.mark.parametrize("right", [False, True])
def test_sorted_positions(opencl, right):
    rng = np.random.default_rng(0)
    for dtype in ("float32", "int64", "int8"):
        rows, values = np.sort(rng.integers(0, 9, (3, 20)), 1).astype(dtype), rng.integers(-1, 10, (3, 7)).astype(dtype)
        mine = flambeau.searchsorted(flambeau.tensor(rows, device=opencl), flambeau.tensor(values, device=opencl),
                                     right=right)
        theirs = torch.searchsorted(torch.tensor(rows), torch.tensor(values), right=right)
        np.testing.assert_array_equal(mine.cpu().numpy(), theirs.numpy())
        mine = flambeau.bucketize(flambeau.tensor(values.T, device=opencl), flambeau.tensor(rows[0], device=opencl),
                                  right=right)
        theirs = torch.bucketize(torch.tensor(values.T.copy()), torch.tensor(rows[0]), right=right)
        np.testing.assert_array_equal(mine.cpu().numpy(), theirs.numpy())


def test_membership(opencl):
    rng = np.random.default_rng(0)
    elements, test = rng.integers(0, 3000, (40, 50)).astype(np.float32), rng.integers(0, 3000, 900).astype(np.float32)
    elements[0, 0] = test[0] = np.nan
    mine = flambeau.isin(flambeau.tensor(elements, device=opencl), flambeau.tensor(test, device=opencl))
    np.testing.assert_array_equal(mine.cpu().numpy(), torch.isin(torch.tensor(elements), torch.tensor(test)).numpy())
    mine = flambeau.isin(flambeau.tensor([1, 2, 3], device=opencl), flambeau.tensor([2.0, 2.5], device=opencl))
    assert mine.tolist() == [False, True, False]
    mine = flambeau.isin(flambeau.tensor([1, 2], device=opencl), flambeau.zeros(0, device=opencl))
    assert mine.tolist() == [False, False]
