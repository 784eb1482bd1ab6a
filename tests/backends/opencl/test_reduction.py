"""Reductions and searches for extrema on OpenCL, compared with PyTorch: shapes, layouts, lanes, accuracy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

SHAPES = [(), (1,), (7,), (5000,), (3, 4), (300, 70), (5, 1, 600), (40, 3, 50), (20, 2, 300, 3)]
DTYPES = ["float32", "float64", "int64", "int8", "uint8", "bool"]


def draw(shape, dtype, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape) * 5
    return np.asarray(values > 0 if dtype == "bool" else values).astype(dtype)


def both(opencl, array, permutation=None):
    mine, theirs = flambeau.tensor(array, device=opencl), torch.tensor(array)
    return (mine, theirs) if permutation is None else (mine.permute(permutation), theirs.permute(permutation))


def same(mine, theirs, tolerance=0.0):
    assert tuple(mine.shape) == tuple(theirs.shape) and mine.dtype.name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(mine.cpu().numpy(), theirs.numpy(), rtol=tolerance, atol=tolerance)


def layouts(shape):
    order = tuple(range(len(shape)))
    return sorted({order, order[::-1], order[1:] + order[:1]})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_dimensions_of_any_layout(opencl, shape, dtype):
    array = draw(shape, dtype)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    for permutation in layouts(shape):
        mine, theirs = both(opencl, array, permutation)
        for count in range(len(shape) + 1):
            for dim in itertools.combinations(range(len(shape)), count):
                if dim:
                    same(mine.sum(dim, keepdim=True), theirs.sum(dim, keepdim=True), tolerance * array.size ** 0.5)
                    same(mine.amax(dim), theirs.amax(dim))
                    same(mine.amin(dim), theirs.amin(dim))
                    same(mine.bool().any(dim), theirs.bool().any(dim))
                    same(mine.bool().all(dim), theirs.bool().all(dim))
                if count == 1 and dtype != "bool":
                    same(mine.argmax(dim[0]), torch.tensor(theirs.numpy().argmax(dim[0])))
                    same(mine.argmin(dim[0], keepdim=True),
                         torch.tensor(theirs.numpy().argmin(dim[0], keepdims=True)))


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers(opencl, dtype):
    array = (draw((300, 70), "float64") + 1j * draw((300, 70), "float64", 1)).astype(dtype)
    mine, theirs = both(opencl, array)
    for dim in ((0,), (1,), (0, 1)):
        same(mine.sum(dim), theirs.sum(dim), 1e-3 if dtype == "complex64" else 1e-10)
    same(mine[:5, :2].prod(0), theirs[:5, :2].prod(0), 1e-4)
    same(mine.mean(1), theirs.mean(1), 1e-5)
    same(mine.bool().any(), theirs.bool().any())


@pytest.mark.parametrize("shape, dim", [((1 << 20,), 0), ((1 << 18, 4), 0), ((4, 1 << 18), 1), ((512, 3, 700), 0),
                                        ((512, 3, 700), (0, 2)), ((3, 5000, 7), 1)], ids=str)
def test_long_sums_are_accurate(opencl, shape, dim):
    array = np.random.default_rng(0).random(shape, dtype=np.float32)
    exact = array.sum(dim, dtype=np.float64)
    np.testing.assert_allclose(flambeau.tensor(array, device=opencl).sum(dim).cpu().numpy(), exact, rtol=2e-6)
    np.testing.assert_allclose(flambeau.tensor(array, device=opencl).mean(dim).cpu().numpy(),
                               array.mean(dim, dtype=np.float64), rtol=2e-6)


@pytest.mark.parametrize("shape", [(100000,), (3, 70000), (70000, 3), (300, 400)], ids=str)
def test_the_first_of_equals_over_many_lanes(opencl, shape):
    array = np.random.default_rng(0).integers(0, 4, shape).astype(np.float32)
    mine = flambeau.tensor(array, device=opencl)
    for dim in (None, *range(len(shape))):
        np.testing.assert_array_equal(mine.argmax(dim).cpu().numpy(), array.argmax(dim))
        np.testing.assert_array_equal(mine.argmin(dim).cpu().numpy(), array.argmin(dim))
    array.flat[array.size // 3] = array.flat[array.size // 2] = np.nan
    mine = flambeau.tensor(array, device=opencl)
    assert mine.argmax().item() == mine.argmin().item() == array.size // 3
    assert np.isnan(mine.amax().item()) and np.isnan(mine.min().item())


def test_infinities_and_the_least_integers(opencl):
    lows = torch.tensor([[-float("inf")] * 3, [float("inf")] * 3])
    mine = flambeau.tensor(lows.numpy(), device=opencl)
    same(mine.amax(1), lows.amax(1))
    same(mine.argmax(1), lows.argmax(1))
    same(mine.argmin(1), lows.argmin(1))
    least = np.full((2, 5), -128, np.int8)
    mine, theirs = both(opencl, least)
    same(mine.amax(1), theirs.amax(1))
    same(mine.max(1).indices, theirs.max(1).indices)


def test_values_with_their_places(opencl):
    for dtype in ("float32", "int32", "bool"):
        array = draw((30, 40), dtype)
        mine, theirs = both(opencl, array)
        for dim in (0, 1):
            same(mine.max(dim).values, theirs.max(dim).values)
            np.testing.assert_array_equal(mine.max(dim).indices.cpu().numpy(), array.argmax(dim))
            np.testing.assert_array_equal(mine.min(dim).indices.cpu().numpy(), array.argmin(dim))


def test_of_no_elements(opencl):
    mine, theirs = flambeau.zeros(2, 0, 3, device=opencl), torch.zeros(2, 0, 3)
    for dim in (0, 1, (0, 1), (1, 2)):
        same(mine.sum(dim), theirs.sum(dim))
        same(mine.prod(1), theirs.prod(1))
        same(mine.mean(dim), theirs.mean(dim))
        same(mine.bool().any(dim), theirs.bool().any(dim))
        same(mine.bool().all(dim), theirs.bool().all(dim))
    same(mine.amax(2), theirs.amax(2))
    with pytest.raises(IndexError):
        mine.amax(1)


def test_dtypes_of_sums(opencl):
    array = draw((40, 50), "int32")
    mine, theirs = both(opencl, array)
    for name in ("int8", "int32", "int64", "float32", "float64", "bool", "complex64"):
        same(mine.sum(0, dtype=getattr(flambeau, name)), theirs.sum(0, dtype=getattr(torch, name)), 1e-6)
    same(mine[:6].prod(0), theirs[:6].prod(0))


def test_of_broadcast_and_stepped_views(opencl):
    array = draw((6, 50), "float32")
    mine, theirs = both(opencl, array)
    same(mine[:, None].expand(6, 4, 50).sum((0, 1)), theirs[:, None].expand(6, 4, 50).sum((0, 1)), 1e-5)
    same(mine[1::2, 3:40:3].sum(1), theirs[1::2, 3:40:3].sum(1), 1e-5)
    same(mine[1::2, 3:40:3].argmax(0), theirs[1::2, 3:40:3].argmax(0))


def test_more_dimensions_than_a_layout_holds(opencl):
    array = draw((2,) * 12, "float32")
    mine, theirs = both(opencl, array, (11, 0, 10, 1, 9, 2, 8, 3, 7, 4, 6, 5))
    same(mine.sum((0, 3, 6)), theirs.sum((0, 3, 6)), 1e-5)
    same(mine.amax(5), theirs.amax(5))


@pytest.mark.parametrize("shape", [(7,), (300, 70), (1 << 18,), (3, 4000, 7)], ids=str)
def test_norms(opencl, shape):
    array = draw(shape, "float32")
    mine, theirs = both(opencl, array)
    for dim in (None, *range(len(shape))):
        for order in (2, 1, 3, float("inf")):
            same(flambeau.linalg.vector_norm(mine, order, dim), torch.linalg.vector_norm(theirs, order, dim), 1e-3)
    same(mine.norm(), theirs.norm(), 1e-3)
