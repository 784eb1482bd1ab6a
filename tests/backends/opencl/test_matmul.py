"""Products of matrices: every route of the OpenCL backend against NumPy, forced where the device would take another."""

import dataclasses
import importlib.util
import itertools
import json

import numpy as np
import pytest

import flambeau

DTYPES = ["uint8", "int8", "int16", "int32", "int64", "float32", "float64", "complex64", "complex128"]
SHAPES = [((3, 4), (4, 5)), ((1, 7), (7, 1)), ((33, 17), (17, 41)), ((2, 1, 3, 4), (5, 4, 2)), ((6, 3, 20), (20, 9)),
          ((64, 64), (64, 64)), ((5, 0), (0, 3)), ((0, 3), (3, 2)), ((2, 40, 33), (2, 33, 8)), ((1, 8, 9), (3, 9, 33))]


@pytest.fixture
def host(opencl):
    """The module of the route "host", whose thresholds tests change."""
    from flambeau_opencl import host
    return host


@pytest.fixture
def kernels(opencl):
    from flambeau_clike.kernels import matmul
    return matmul


def _values(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        return random.integers(0, 9, shape).astype(dtype)
    values = random.standard_normal(shape)
    return (values + 1j * random.standard_normal(shape) if np.dtype(dtype).kind == "c" else values).astype(dtype)


def _on(device, values, transposed):
    """The values on a device, lying as the transposed matrix would."""
    if not transposed:
        return flambeau.from_numpy(values).to(device)
    return flambeau.from_numpy(np.ascontiguousarray(np.swapaxes(values, -1, -2))).to(device).transpose(-1, -2)


def _close(found, wanted):
    found = found.cpu().numpy()
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(wanted).max(initial=0))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("route", ["as chosen", "host"])
def test_layouts_and_broadcasting(opencl, kernels, monkeypatch, dtype, route, host):
    if route == "host":
        monkeypatch.setattr(host, "HOST_WORK", 1)
    for (first, second), turned_a, turned_b in itertools.product(SHAPES, (False, True), (False, True)):
        a, b = _values(first, dtype), _values(second, dtype, 1)
        _close(_on(opencl, a, turned_a) @ _on(opencl, b, turned_b), np.matmul(a, b))


def test_views_with_gaps(opencl, kernels, monkeypatch, host):
    a, b = _values((20, 30), "float32"), _values((30, 40), "float32", 1)
    wanted = a[::2, ::3] @ b[::3, ::4]
    x, y = flambeau.from_numpy(a).to(opencl)[::2, ::3], flambeau.from_numpy(b).to(opencl)[::3, ::4]
    _close(x @ y, wanted)
    monkeypatch.setattr(host, "HOST_WORK", 1)
    _close(x @ y, wanted)
    _close(x.expand(3, 10, 10) @ y, np.broadcast_to(a[::2, ::3], (3, 10, 10)) @ b[::3, ::4])


def test_the_host_computes_in_memory_that_has_to_be_mapped(opencl, kernels, monkeypatch, host):
    device = flambeau.empty(1, device=opencl)._kind.backend._devices[0]
    monkeypatch.setattr(device, "traits", dataclasses.replace(device.traits, coherent=False))
    monkeypatch.setattr(host, "HOST_WORK", 1)
    a, b = _values((20, 30), "float32"), _values((30, 40), "float32", 1)
    x, y = flambeau.from_numpy(a).to(opencl), flambeau.from_numpy(b).to(opencl)
    for _ in range(3):
        _close((x + 1) @ y[:, ::2], (a + 1) @ b[:, ::2])


def test_what_the_host_computes_follows_and_precedes_kernels(opencl, kernels, monkeypatch, host):
    """Blocks are mapped once: what kernels write before and after is seen all the same."""
    monkeypatch.setattr(host, "HOST_WORK", 1)
    a = _values((64, 64), "float32") / 8
    x = y = flambeau.from_numpy(a).to(opencl)
    wanted = a
    for _ in range(20):
        x, wanted = (x @ y).tanh() + 1, np.tanh(wanted @ a) + 1
    np.testing.assert_allclose(x.cpu().numpy(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("host_work", [1, 1 << 60])
@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 3, 7)])
def test_linear_adds_the_bias(opencl, kernels, monkeypatch, shape, host_work, host):
    monkeypatch.setattr(host, "HOST_WORK", host_work)
    input, weight, bias = _values(shape, "float32"), _values((40, 7), "float32", 1), _values((40,), "float32", 2)
    x, w, b = (flambeau.from_numpy(each).to(opencl) for each in (input, weight, bias))
    _close(flambeau.nn.functional.linear(x, w, b), input @ weight.T + bias)
    _close(flambeau.nn.functional.linear(x, w), input @ weight.T)


def test_tall_products_of_a_batch_with_an_addend_of_its_own(opencl, kernels):
    """The batch is merged into the rows only where everything goes along."""
    from flambeau_clike.array import empty
    from flambeau_clike.transfers import to_host
    a, b = _values((3, 4, 5), "float32"), _values((5, 8), "float32", 1)
    x, y = (flambeau.from_numpy(each).to(opencl)._array for each in (a, b))
    for added in (_values((8,), "float32", 2), _values((4, 1), "float32", 3), _values((3, 1, 8), "float32", 4),
                  _values((3, 4, 8), "float32", 5)):
        out = empty((3, 4, 8), x.dtype, x.device)
        kernels.multiply(x, y, out, flambeau.from_numpy(added).to(opencl)._array)
        np.testing.assert_allclose(to_host(out), a @ b + added, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int32"])
def test_long_sums_are_cut_into_parts(opencl, kernels, monkeypatch, dtype, host):
    monkeypatch.setattr(host, "HOST_WORK", 1 << 60)
    for k in (1024, 5003):
        for first, second in (((k,), (k,)), ((3, k), (k,)), ((2, 1, 3, k), (4, k, 5)), ((3, k), (2, k, 1))):
            a, b = _values(first, dtype), _values(second, dtype, 1)
            _close(flambeau.from_numpy(a).to(opencl) @ flambeau.from_numpy(b).to(opencl), np.asarray(a @ b))
        a, b, bias = _values((2, k), dtype), _values((7, k), dtype, 1), _values((7,), dtype, 2)
        _close(flambeau.nn.functional.linear(*[flambeau.from_numpy(each).to(opencl) for each in (a, b, bias)]),
               a @ b.T + bias)


def test_long_sums_are_accurate(opencl, kernels):
    ones = np.full(1 << 20, 0.1, "float32")
    found = flambeau.from_numpy(ones).to(opencl)
    assert (found @ found).item() == pytest.approx(float(ones.astype("float64") @ ones), rel=2e-6)


def test_integers_wrap_around(opencl):
    a = np.full((5, 300), 100, np.int8)
    found = flambeau.from_numpy(a).to(opencl) @ flambeau.from_numpy(np.ascontiguousarray(a.T)).to(opencl)
    np.testing.assert_array_equal(found.cpu().numpy(), a @ a.T)


def test_the_route_is_told(opencl, kernels):
    small = flambeau.ones(4, 4, device=opencl)._array
    large = flambeau.ones(1024, 1024, device=opencl)._array
    whole = flambeau.ones(1024, 1024, dtype=flambeau.int32, device=opencl)._array
    traits = small.device.traits
    assert kernels.route(small, small) == "plain"
    if traits.cpu and traits.unified:
        assert kernels.route(large, large) == "host"
        assert kernels.route(whole, whole) == "plain"
        assert "BLAS" in kernels.describe(small.device)
    else:
        assert kernels.route(large, large) in ("tiled", "clblast", "plain")


# ---------------------------------------------------------------------------------------------- tiles
@pytest.fixture
def tiled(opencl):
    from flambeau_clike.kernels import tiled
    return tiled


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int64"])
def test_tiles_of_all_sizes_give_the_product(opencl, kernels, tiled, dtype):
    from flambeau_clike.array import empty
    from flambeau_clike.transfers import to_host
    added = _values((90,), dtype, 2)
    addend = flambeau.from_numpy(added).to(opencl)._array
    for turned_a, turned_b in itertools.product((False, True), (False, True)):
        a, b = _values((2, 70, 33), dtype), _values((33, 90), dtype, 1)
        x, y = _on(opencl, a, turned_a)._array, _on(opencl, b, turned_b)._array
        tiles = tiled.fitting(x.device, x.dtype)
        for tile in tiles if dtype == "float32" else tiles[-2:]:
            out = empty((2, 70, 90), x.dtype, x.device)
            tiled.run(tile, kernels.Product(x, y, addend), out)
            np.testing.assert_allclose(to_host(out), a @ b + added, rtol=1e-3, atol=1e-3, err_msg=str(tile))


def test_tiles_are_tried_once_and_kept_in_a_file(opencl, kernels, tiled, monkeypatch, tmp_path):
    monkeypatch.setenv("FLAMBEAU_OPENCL_CACHE", str(tmp_path))
    monkeypatch.delenv("FLAMBEAU_TUNE", raising=False)
    monkeypatch.setattr(tiled, "_chosen", type(tiled._chosen)())
    monkeypatch.setattr(tiled, "TILES", tiled.TILES[-2:])
    tried = []
    monkeypatch.setattr(tiled, "fastest", lambda device, dtype, tiles, product_of: tried.append(tiles) or tiles[1])
    device = flambeau.ones(1, device=opencl)._array.device
    assert tiled.choose(device, flambeau.float32, kernels.Product) == tiled.TILES[1]
    assert tiled.choose(device, flambeau.float32, kernels.Product) == tiled.TILES[1]
    assert len(tried) == 1
    file, = tmp_path.glob("tiles-*.json")
    assert json.loads(file.read_text()) == {"f32": list(tiled.TILES[1])}
    monkeypatch.setattr(tiled, "_chosen", type(tiled._chosen)())    # as in another process
    assert tiled.choose(device, flambeau.float32, kernels.Product) == tiled.TILES[1]
    assert len(tried) == 1
    file.write_text("{ damaged")
    monkeypatch.setattr(tiled, "_chosen", type(tiled._chosen)())
    assert tiled.choose(device, flambeau.float32, kernels.Product) == tiled.TILES[1]
    assert len(tried) == 2


def test_tuning_measures_and_can_be_switched_off(opencl, kernels, tiled, monkeypatch):
    device = flambeau.ones(1, device=opencl)._array.device
    tiles = tiled.fitting(device, flambeau.float32)[-2:]
    assert tiled.fastest(device, flambeau.float32, tiles, kernels.Product, size=64) in tiles
    monkeypatch.setenv("FLAMBEAU_TUNE", "off")
    monkeypatch.setattr(tiled, "_chosen", type(tiled._chosen)())
    assert tiled.choose(device, flambeau.float32, kernels.Product) == tiled.fitting(device, flambeau.float32)[0]


# ---------------------------------------------------------------------------------------------- CLBlast
def test_clblast_is_optional(opencl, kernels):
    from flambeau_opencl import clblast
    if importlib.util.find_spec("pyclblast") is None:
        assert clblast.library() is None
    x = flambeau.ones(4, 4, device=opencl)._array
    assert clblast.CLBlast().takes(kernels.Product(x, x), False) is (clblast.library() is not None)


def test_clblast_gets_layouts_and_offsets(opencl, kernels, monkeypatch):
    from flambeau_clike.array import empty
    from flambeau_opencl import clblast
    calls = []

    class Library:
        @staticmethod
        def gemm(queue, m, n, k, a, b, c, **keywords):
            calls.append((m, n, k, a.base_data, keywords))
    monkeypatch.setattr(clblast, "library", lambda: Library)
    monkeypatch.setattr(clblast, "SMALL_SIDE", 1)
    monkeypatch.setattr(clblast, "TILED_WORK", 1)
    base = flambeau.ones(8, 6, device=opencl)
    a, b = base[2:5, :4]._array, base[:5, 1:5].t()._array
    product, out = kernels.Product(a, b), empty((3, 5), a.dtype, a.device)
    assert clblast.CLBlast().takes(product, False)
    clblast.CLBlast().run(product, out)
    assert calls == [(3, 5, 4, a.memory.buffer, {
        "a_ld": 6, "b_ld": 6, "c_ld": 5, "a_transp": False, "b_transp": True, "a_offset": 12, "b_offset": 1,
        "c_offset": 0})]
    assert not clblast.CLBlast().takes(kernels.Product(base[:, ::2]._array, base[:3, :]._array), False)
