"""Keys of index arrays, masks and whole dimensions on OpenCL, compared with NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

RNG = np.random.default_rng(0)
BASE = RNG.integers(-99, 99, (4, 5, 6)).astype(np.float32)
MASK = RNG.random((4, 5)) < 0.4
KEYS = [
    ([1, -1, 0],), (slice(None), [4, -5]), (slice(None), slice(None), [[0, 5], [1, 1]]),
    ([0, 1], [2, -1]), ([[0], [3]], [[1, 2, 3]]), (slice(None), [0, 1], [5, 0]), ([0, 1], slice(None), [5, 0]),
    ([1, 2], [3, 4], [0, -1]), (MASK,), (slice(None), RNG.random((5, 6)) < 0.3), (RNG.random((4, 5, 6)) < 0.5,),
    (MASK[:, 0], [1]), (np.zeros((4, 5), bool),), (np.ones(4, bool),), ([], ), (slice(None), RNG.random(5) < 0.5, [3])]


def tensors(key, device):
    return tuple(flambeau.tensor(np.asarray(each, None if np.size(each) else np.int64), device=device)
                 if not isinstance(each, slice) else each for each in key)


def arrays(key):
    return tuple(np.asarray(each, None if np.size(each) else np.int64) if not isinstance(each, slice) else each
                 for each in key)


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", ["bool", "bfloat16", "int64", "float32", "complex128"])
def test_keys(opencl, key, turned, dtype):
    wanted = BASE.copy()
    x = flambeau.tensor(np.ascontiguousarray(BASE.T) if turned else BASE, device=opencl)
    x = x.permute(2, 1, 0) if turned else x
    x = x.to(getattr(flambeau, dtype)) if not turned else x
    plain = (lambda a: a.astype(dtype)) if not turned and dtype != "bfloat16" else (lambda a: a)
    read, found = x[tensors(key, opencl)], plain(wanted)[arrays(key)]
    np.testing.assert_array_equal(read.cpu().to(flambeau.complex128).numpy(), found.astype(np.complex128))
    values = plain(np.arange(found.size, dtype=np.float32).reshape(found.shape) % 100)
    y = x.clone()
    y[tensors(key, opencl)] = flambeau.tensor(values, device=opencl).to(x.dtype)
    written = plain(wanted).copy()
    written[arrays(key)] = values
    np.testing.assert_array_equal(y.cpu().to(flambeau.complex128).numpy(), written.astype(np.complex128))


def test_equal_indices(opencl):
    n = 50_000
    places, values = RNG.integers(0, 1000, n), np.arange(n, dtype=np.int64)
    i, v = flambeau.tensor(places, device=opencl), flambeau.tensor(values, device=opencl)
    x = flambeau.zeros(1000, dtype=flambeau.int64, device=opencl)
    wanted = np.zeros(1000, np.int64)
    wanted[places] = values
    np.testing.assert_array_equal(x.index_put((i,), v).cpu().numpy(), wanted)   # the last of them stays
    np.add.at(wanted, places, values)
    np.testing.assert_array_equal(x.index_put((i,), v).index_put((i,), v, accumulate=True).cpu().numpy(), wanted)
    floats = flambeau.randn(n, device=opencl)
    sums = [flambeau.zeros(1000, device=opencl).index_put((i,), floats, accumulate=True) for _ in range(3)]
    assert all(bool((each == sums[0]).all()) for each in sums)   # to the last bit


def test_masks(opencl):
    for n in (1, 100, 4096, 70_001):
        values, mask = RNG.standard_normal(n).astype(np.float32), RNG.random(n) < 0.3
        x, m = flambeau.tensor(values, device=opencl), flambeau.tensor(mask, device=opencl)
        np.testing.assert_array_equal(x.masked_select(m).cpu().numpy(), values[mask])
        np.testing.assert_array_equal(x.masked_fill(m, 7).cpu().numpy(), np.where(mask, np.float32(7), values))
        y = x.clone()
        y[m] = -1
        np.testing.assert_array_equal(y.cpu().numpy(), np.where(mask, np.float32(-1), values))
    grid = flambeau.arange(12., device=opencl).reshape(3, 4)
    row = flambeau.tensor([True, False, False, True], device=opencl)
    np.testing.assert_array_equal(grid.masked_select(row).cpu().numpy(), [0, 3, 4, 7, 8, 11])
    np.testing.assert_array_equal(grid.t().masked_fill_(row.unsqueeze(1), 0).cpu().numpy()[1], [1, 5, 9])


def test_an_index_out_of_range(opencl):
    x = flambeau.zeros(3, 4, device=opencl)
    for key in (([3],), ([0], [-5]), (slice(None), [4])):
        with pytest.raises(IndexError, match=r"range|bounds"):
            x[tensors(key, opencl)].cpu()
    with pytest.raises(IndexError, match="mask"):
        x[flambeau.tensor([True, False], device=opencl)]
    with pytest.raises(IndexError, match="broadcast"):
        x[[0, 1], [0, 1, 2]]
