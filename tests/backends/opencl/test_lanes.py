"""The forms that kernels over rows take on GPUs, run on whatever device is here: it is told that it is none of cores.

On a GPU a work item has a row, or a group of them shares a long one through local memory. A processor's driver runs
these forms, too, if slowly, so that what they compute can be compared.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flambeau import discovery


@pytest.fixture(scope="module")
def lanes(opencl):
    """(a backend of its own whose device passes for a GPU with groups of 16, the backend of the processor)"""
    from flambeau_opencl import OpenCLBackend

    backend = OpenCLBackend()
    device = backend._devices[0]
    device.traits = replace(device.traits, cpu=False, group=16)
    return backend, discovery.backend_for("cpu")


def compare(lanes, name, arrays, *rest, tolerance=2e-5):
    """A kernel's results on both, for float32 arrays or None."""
    there, here = lanes
    moved = [None if each is None else there.from_host(each, 0) for each in arrays]
    mine, wanted = there.kernels[name](*moved, *rest), here.kernels[name](*arrays, *rest)
    for a, b in zip(*(each if isinstance(each, tuple) else (each,) for each in (mine, wanted)), strict=True):
        np.testing.assert_allclose(there.to_host(a), b, rtol=tolerance, atol=tolerance * max(1.0, np.abs(b).max()))
    return wanted


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape, dim", [((50, 10), 1), ((7, 300), 1), ((3, 5, 20), 1)], ids=str)
def test_softmax(lanes, shape, dim):
    for name in ("softmax", "log_softmax"):
        wanted = compare(lanes, name, [draw(*shape)], dim)
        compare(lanes, f"{name}_backward_data", [draw(*shape), wanted], dim)


@pytest.mark.parametrize("classes", [10, 100])
def test_cross_entropy(lanes, classes):
    target = np.random.default_rng(0).integers(0, classes, 50)
    _, logs = compare(lanes, "cross_entropy_mean", [draw(50, classes), target], 3)
    compare(lanes, "cross_entropy_mean_backward", [np.float32(1.5).reshape(()), logs, target], 3)


@pytest.mark.parametrize("length", [12, 200])
def test_layer_norm(lanes, length):
    input, weight, bias = draw(70, length), draw(length), draw(length)
    there, _ = lanes
    moved = [there.from_host(each, 0) for each in (input, weight, bias)]
    result = there.kernels["native_layer_norm"](moved[0], (length,), *moved[1:], 1e-5)
    wanted = lanes[1].kernels["native_layer_norm"](input, (length,), weight, bias, 1e-5)
    for a, b in zip(result, wanted, strict=True):
        np.testing.assert_allclose(there.to_host(a), b, rtol=2e-5, atol=2e-5)
    compare(lanes, "layer_norm_backward", [draw(70, length), input, *wanted[1:], weight], (length,), 1e-5,
            tolerance=1e-4)


@pytest.mark.parametrize("shape", [(9, 5), (2, 3, 4), (4, 3, 9, 9)], ids=str)
def test_batch_norm(lanes, shape):
    channels = draw(shape[1])
    for training in (True, False):
        _, mean, var = compare(lanes, "native_batch_norm", [draw(*shape), channels, channels, channels,
                                                            np.abs(channels) + 1], training, 1e-5)
        compare(lanes, "batch_norm_backward", [draw(*shape), draw(*shape) + 1, channels, mean, var], training, 1e-5,
                tolerance=1e-4)
