"""Joins and rearrangements on OpenCL, compared with NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

RNG = np.random.default_rng(0)


def up(array, device):
    return flambeau.tensor(array, device=device)


@pytest.mark.parametrize("sizes", [(2, 3), (1, 0, 5), (4,) * 19, (300, 500)], ids=str)
@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["bool", "float16", "float32", "complex128"])
def test_cat(opencl, sizes, dim, dtype):
    parts = [RNG.integers(0, 2 if dtype == "bool" else 99, (3, 4, 40)[:dim] + (size,) + (3, 4, 40)[dim + 1:])
             .astype(dtype) for size in sizes]
    whole = flambeau.cat([up(each, opencl) for each in parts], dim)
    np.testing.assert_array_equal(whole.cpu().numpy(), np.concatenate(parts, dim))
    turned = flambeau.cat([up(np.ascontiguousarray(each.T), opencl).permute(2, 1, 0) for each in parts], dim)
    np.testing.assert_array_equal(turned.cpu().numpy(), np.concatenate(parts, dim))


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_stack(opencl, dim):
    parts = [RNG.standard_normal((3, 5)) for _ in range(10)]
    whole = flambeau.stack([up(each, opencl) for each in parts], dim)
    np.testing.assert_array_equal(whole.cpu().numpy(), np.stack(parts, dim))
    views = up(np.stack(parts, dim), opencl).unbind(dim)
    np.testing.assert_array_equal(flambeau.stack(views, 0).cpu().numpy(), np.stack(parts))


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 5), (40, 50, 60)], ids=str)
def test_rearranged(opencl, shape):
    values = RNG.standard_normal(shape).astype(np.float32)
    for each, x in ((values, up(values, opencl)), (values.T, up(values, opencl).permute(*reversed(range(len(shape)))))):
        ndim = each.ndim
        for dims in ((0,), (ndim - 1,), tuple(range(ndim))):
            np.testing.assert_array_equal(x.flip(dims).cpu().numpy(), np.flip(each, dims))
            np.testing.assert_array_equal(x.roll((2,) * len(dims), dims).cpu().numpy(), np.roll(each, 2, dims))
        np.testing.assert_array_equal(x.repeat(2, *range(1, ndim + 1)).cpu().numpy(),
                                      np.tile(each, (2, *range(1, ndim + 1))))
        padded = flambeau.nn.functional.pad(x, (1, 2), value=5)
        np.testing.assert_array_equal(padded.cpu().numpy(), np.pad(each, [(0, 0)] * (ndim - 1) + [(1, 2)],
                                                                   constant_values=5))
        np.testing.assert_array_equal(flambeau.nn.functional.pad(x, (-1, 1)).cpu().numpy()[..., :-1], each[..., 1:])


@pytest.mark.parametrize("diagonal", [-9, -1, 0, 2, 9])
def test_triangles(opencl, diagonal):
    values = RNG.standard_normal((2, 4, 6))
    x = up(values, opencl)
    np.testing.assert_array_equal(x.tril(diagonal).cpu().numpy(), np.tril(values, diagonal))
    np.testing.assert_array_equal(x.triu(diagonal).cpu().numpy(), np.triu(values, diagonal))
    np.testing.assert_array_equal(x.mT.triu(diagonal).cpu().numpy(), np.triu(values.swapaxes(1, 2), diagonal))
