"""Draws on OpenCL: the numbers of Philox, to the last bit where no logarithm is taken."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from flambeau.philox import philox

SEED = 20_26_11_20


def words(count, block=0):
    """The four words of the first elements of a draw, one Python integer at a time."""
    return np.array([philox((block, 0, i, 0), (SEED, 0)) for i in range(count)], np.uint64).T


@pytest.fixture
def generator(opencl):
    return flambeau.Generator(opencl).manual_seed(SEED)


@pytest.mark.parametrize("dtype, digits", [("float32", 24), ("float16", 11), ("bfloat16", 8)])
def test_uniform(opencl, generator, dtype, digits):
    mine = flambeau.rand(500, dtype=getattr(flambeau, dtype), device=opencl, generator=generator)
    wanted = (words(500)[0] >> np.uint64(32 - digits)).astype(np.float64) * 2.0 ** -digits
    np.testing.assert_array_equal(mine.cpu().to(flambeau.float64).numpy(), wanted)
    again = flambeau.rand(20, dtype=flambeau.float64, device=opencl, generator=generator).cpu().numpy()
    first, second, _, _ = words(20, 1)
    wide = (first >> np.uint64(5)).astype(np.float64) * 2.0 ** 26 + (second >> np.uint64(6)).astype(np.float64)
    np.testing.assert_array_equal(again, wide * 2.0 ** -53)


@pytest.mark.parametrize("low, high", [(0, 2), (-5, 1000), (0, 2 ** 32), (0, 2 ** 31 + 1), (7, 8),
                                       (-2 ** 40, 2 ** 41 + 3), (0, 2 ** 63 - 1), (-2 ** 63, 2 ** 63 - 1)])
def test_whole_numbers(opencl, generator, low, high):
    mine = flambeau.randint(low, high, (300,), device=opencl, generator=generator).tolist()
    first, second, _, _ = words(300).tolist()
    span = high - low
    if span <= 1 << 32:
        wanted = [each % span + low for each in first]
    elif span <= 1 << 63:
        wanted = [((a >> 1 << 32) + b) % span + low for a, b in zip(first, second, strict=True)]
    else:
        wanted = [((a << 32) + b + (1 << 63)) % (1 << 64) % span + low for a, b in zip(first, second, strict=True)]
    assert mine == wanted


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-6), ("float64", 1e-14)])
def test_normal(opencl, generator, dtype, tolerance):
    mine = flambeau.randn(4000, dtype=getattr(flambeau, dtype), device=opencl, generator=generator).cpu().numpy()
    first, second, third, fourth = words(4000)

    def fraction(a, b):
        high, low = (a >> np.uint64(5)).astype(np.float64), (b >> np.uint64(6)).astype(np.float64)
        return (high * 2.0 ** 26 + low) * 2.0 ** -53
    if dtype == "float64":
        distance, turn = 1 - fraction(first, second), fraction(third, fourth)
    else:
        distance, turn = (first.astype(np.float64) + 1) * 2.0 ** -32, (second >> np.uint64(8)) * 2.0 ** -24
    wanted = np.sqrt(-2 * np.log(distance)) * np.cos(2 * np.pi * turn)
    np.testing.assert_allclose(mine, wanted, rtol=tolerance * 4, atol=tolerance)


def test_chances(opencl, generator):
    unit = (words(1000)[0] >> np.uint64(8)).astype(np.float64) * 2.0 ** -24
    p = flambeau.full((1000,), 0.3, device=opencl)
    np.testing.assert_array_equal(flambeau.bernoulli(p, generator=generator).cpu().numpy(), unit < np.float32(0.3))
    with pytest.raises(RuntimeError, match="p_in"):
        flambeau.bernoulli(p * 5, generator=generator).cpu()
    dropped = flambeau.nn.functional.dropout(flambeau.ones(100_000, device=opencl), 0.25).cpu().numpy()
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.75)}
    assert abs((dropped == 0).mean() - 0.25) < 0.01


def test_complex_and_strided(opencl, generator):
    parts = flambeau.Generator(opencl).manual_seed(SEED)
    pairs = flambeau.rand(3, 4, 2, device=opencl, generator=parts).cpu().numpy()
    mine = flambeau.rand(3, 4, dtype=flambeau.complex64, device=opencl, generator=generator).cpu().numpy()
    np.testing.assert_array_equal(mine, pairs[..., 0] + 1j * pairs[..., 1])
    generator.manual_seed(SEED)
    parts.manual_seed(SEED)
    strided = flambeau.zeros(4, 3, device=opencl).t()
    strided.uniform_(-2, 5, generator=generator)
    plain = flambeau.zeros(3, 4, device=opencl).uniform_(-2, 5, generator=parts)
    np.testing.assert_array_equal(strided.cpu().numpy(), plain.cpu().numpy())
