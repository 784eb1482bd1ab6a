"""Factories on OpenCL."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64",
          "complex128"]


def check(mine, theirs):
    np.testing.assert_array_equal(mine.cpu().to(flambeau.complex128).numpy(), theirs.to(torch.complex128).numpy())
    assert mine.dtype.name == str(theirs.dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", DTYPES)
def test_values(opencl, dtype):
    ours, theirs = getattr(flambeau, dtype), getattr(torch, dtype)
    for size in ((), (0,), (3, 5), (40000,)):
        for value in (0, 1, 3.75, True):
            check(flambeau.full(size, value, dtype=ours, device=opencl), torch.full(size, value, dtype=theirs))
    check(flambeau.eye(3, 5, dtype=ours, device=opencl), torch.eye(3, 5, dtype=theirs))
    check(flambeau.eye(5, 3, dtype=ours, device=opencl), torch.eye(5, 3, dtype=theirs))
    x, y = flambeau.zeros(4, 6, dtype=ours, device=opencl), torch.zeros(4, 6, dtype=theirs)
    check(x.fill_(1), y.fill_(1))
    x[:, 1::2].fill_(0)
    y[:, 1::2].fill_(0)
    check(x, y)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "float32", "float64"])
def test_ranges(opencl, dtype):
    ours, theirs = getattr(flambeau, dtype), getattr(torch, dtype)
    for arguments in ((5,), (2, 100, 7), (100, 2, -9), (0, 0), (0, 120)):
        check(flambeau.arange(*arguments, dtype=ours, device=opencl), torch.arange(*arguments, dtype=theirs))
    if ours.is_floating_point:
        mine = flambeau.arange(0.5, 3000, 0.1, dtype=ours, device=opencl).cpu().numpy()
        np.testing.assert_array_equal(mine, (0.5 + 0.1 * np.arange(29995.)).astype(dtype))
        mine = flambeau.linspace(-1.5, 7, 1001, dtype=ours, device=opencl).cpu().numpy()
        np.testing.assert_allclose(mine, torch.linspace(-1.5, 7, 1001, dtype=theirs).numpy(), rtol=1e-6,
                                   atol=1e-6)


def test_integers_are_exact_to_64_bits(opencl):
    big = 2 ** 62 + 1
    np.testing.assert_array_equal(flambeau.arange(big, big + 3, device=opencl).cpu().numpy(), [big, big + 1, big + 2])
    assert flambeau.full((), -2 ** 63, device=opencl).item() == -2 ** 63
    assert flambeau.full((2,), 2 ** 63 - 1, device=opencl).tolist() == [2 ** 63 - 1] * 2


def test_numbers_beyond_a_dtype(opencl):
    with pytest.raises(RuntimeError, match="overflow"):
        flambeau.full((), 1e39, dtype=flambeau.float32, device=opencl)
    assert np.signbit(flambeau.full((), -0.0, device=opencl).item())
    assert np.isnan(flambeau.full((3,), float("nan"), dtype=flambeau.bfloat16, device=opencl).tolist()).all()
    with pytest.raises((RuntimeError, OverflowError)):
        flambeau.zeros(3, dtype=flambeau.uint8, device=opencl).fill_(300)
