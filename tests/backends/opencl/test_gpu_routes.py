"""What a GPU runs, on whatever device there is: its traits are changed, so that kernels take the other forms (elements
rather than lines, groups of work items, tiles in local memory, no shared memory)."""

import dataclasses

import numpy as np
import pytest


@pytest.fixture
def gpu(opencl, monkeypatch):
    """A device of its own that says that it is no processor."""
    from flambeau import discovery
    from flambeau_opencl.device import Device
    monkeypatch.setenv("FLAMBEAU_TUNE", "off")
    device = Device(discovery.backend_for(opencl)._devices[0].handle, "opencl:gpu")
    device.traits = dataclasses.replace(device.traits, cpu=False, unified=False,
                                        group=min(16, device.traits.largest_group))
    return device


def _up(device, shape, seed=0):
    from flambeau_clike.transfers import from_host
    values = np.random.default_rng(seed).standard_normal(shape).astype("float32")
    return values, from_host(values, device)


def _same(found, wanted):
    from flambeau_clike.transfers import to_host
    np.testing.assert_allclose(to_host(found), wanted, rtol=1e-3, atol=1e-3)


def _reference(name, *args):
    """The operator's kernel of the host's backend."""
    from flambeau import discovery
    return discovery.host().kernels[name](*args)


def test_products_take_tiles_or_blocks(gpu):
    from flambeau_clike.kernels import matmul
    from flambeau_opencl import clblast
    for (first, second), wanted in ((((2, 70, 33), (33, 90)), "tiled"), (((1, 300), (300, 40)), "plain"),
                                    (((64, 64), (64, 64)), "tiled"), (((5, 4, 6), (5, 6, 3)), "plain")):
        (a, x), (b, y) = _up(gpu, first), _up(gpu, second, 1)
        if clblast.library() is None:
            assert matmul.route(x, y) == wanted
        _same(matmul.matmul(x, y), a @ b)
    assert "tiles" in matmul.describe(gpu)


def test_without_local_memory(gpu):
    from flambeau_clike.kernels import matmul
    gpu.traits = dataclasses.replace(gpu.traits, local_memory=0)
    (a, x), (b, y) = _up(gpu, (64, 64)), _up(gpu, (64, 64), 1)
    assert matmul.route(x, y) in ("plain", "clblast")
    assert "registers" in matmul.describe(gpu)
    _same(matmul.matmul(x, y), a @ b)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_convolutions(gpu, ndim):
    from flambeau_clike.kernels import conv
    form = ((2,) * ndim, (1,) * ndim, (1,) * ndim, 2)
    spatial = (7, 6, 5)[:ndim]
    (a, x), (b, w) = _up(gpu, (3, 4, *spatial)), _up(gpu, (8, 2, *(3,) * ndim), 1)
    wanted = _reference("convolution", a, b, None, *form)
    _same(conv.convolution(x, w, None, *form), wanted)
    c, g = _up(gpu, wanted.shape, 2)
    _same(conv.convolution_weight_grad(x, g, (3,) * ndim, *form),
          _reference("convolution_weight_grad", a, c, (3,) * ndim, *form))
    _same(conv.convolution_input_grad(g, w, spatial, *form), _reference("convolution_input_grad", c, b, spatial, *form))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_pools(gpu, ndim):
    from flambeau_clike.kernels import pooling
    spatial, kernel, stride, padding = (7, 6, 5)[:ndim], (3,) * ndim, (2,) * ndim, (1,) * ndim
    a, x = _up(gpu, (2, 3, *spatial))
    out = tuple((size + 2 - 3) // 2 + 1 for size in spatial)
    form = (kernel, stride, padding, (1,) * ndim, out)
    (values, places), wanted = pooling.max_pool(x, *form), _reference("max_pool", a, *form)
    _same(values, wanted[0])
    _same(places, wanted[1])
    c, g = _up(gpu, (2, 3, *out), 1)
    _same(pooling.pool_scatter(g, places, spatial, False), _reference("pool_scatter", c, wanted[1], spatial, False))
    _same(pooling.avg_pool(x, kernel, stride, padding, out, False, None),
          _reference("avg_pool", a, kernel, stride, padding, out, False, None))
    _same(pooling.avg_pool_input_grad(g, spatial, kernel, stride, padding, True, None),
          _reference("avg_pool_input_grad", c, spatial, kernel, stride, padding, True, None))


def test_factorizations(gpu):
    from flambeau_clike.kernels import linalg
    a, x = _up(gpu, (5, 6, 6))
    b, y = _up(gpu, (5, 6, 2), 1)
    _same(linalg.solve(x, y), np.linalg.solve(a, b))
    for found, wanted in zip(linalg.qr(x, "reduced"), np.linalg.qr(a), strict=True):
        _same(found, wanted)
    _same(linalg.svd(x, True)[1], np.linalg.svd(a)[1])
    _same(linalg.eigh(x, "L")[0], np.linalg.eigh(a)[0])
    assert linalg.svd(_up(gpu, (49, 49))[1], True) is NotImplemented      # the host is faster than one work item
