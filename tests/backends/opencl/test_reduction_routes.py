"""Reductions, scans and sorts as a GPU runs them, on whatever device there is: lanes that are interleaved rather than
chunks, many work items, one column each."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

SHAPES = [(7,), (50000,), (300, 70), (70, 300), (40, 3, 50), (3, 4000, 7)]


@pytest.fixture
def gpu(opencl):
    """A device of its own that says that it is no processor."""
    from flambeau import discovery
    from flambeau_opencl.device import Device
    device = Device(discovery.backend_for(opencl)._devices[0].handle, "opencl:gpu")
    device.traits = dataclasses.replace(device.traits, cpu=False, unified=False,
                                        group=min(8, device.traits.largest_group))
    return device


def run(device, name, array, *args):
    """What the device's kernel and the host's give, as NumPy arrays."""
    from flambeau import discovery
    from flambeau_clike.kernels import KERNELS
    from flambeau_clike.transfers import from_host, to_host
    found, wanted = KERNELS[name](from_host(array, device), *args), discovery.host().kernels[name](array, *args)
    one = not isinstance(wanted, tuple)
    return list(zip(*[[np.asarray(each) for each in ([values] if one else values)]
                      for values in (to_host(found) if one else [to_host(each) for each in found], wanted)],
                    strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reductions(gpu, shape):
    import flambeau
    array = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)
    dims = [(d,) for d in range(len(shape))] + [tuple(range(len(shape)))]
    for dim in dims:
        for name, args in (("sum", (dim, True, flambeau.float32)), ("amax", (dim, False)), ("any", (dim, False)),
                           *([("argmax", (dim[0], False)), ("argmin", (dim[0], True))] if len(dim) == 1 else ())):
            for found, wanted in run(gpu, name, array, *args):
                np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scans_and_sorts(gpu, shape):
    import flambeau
    array = np.random.default_rng(0).integers(-9, 9, shape).astype(np.int32)
    for dim in range(len(shape)):
        for name, args in (("cumsum", (dim, flambeau.int64)), ("cummax", (dim,)), ("sort", (dim, False, True)),
                           ("sort", (dim, True, True))):
            for found, wanted in run(gpu, name, array, *args):
                np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", [(40000,), (300, 40)], ids=str)
def test_searches(gpu, shape):
    array = np.random.default_rng(0).integers(0, 30, shape)
    for name, args in (("nonzero", ()), ("unique", (None,)), ("unique", (0,))):
        for found, wanted in run(gpu, name, array, *args):
            np.testing.assert_array_equal(found, wanted)
