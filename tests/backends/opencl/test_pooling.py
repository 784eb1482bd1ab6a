"""Pools of the OpenCL backend against PyTorch: values, places, gradients, borders, nan."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

SIZES = (7, 6, 5)


def _values(ndim, dtype="float32"):
    return (np.random.default_rng(ndim).permutation(6 * int(np.prod(SIZES[:ndim]))) - 100).reshape(
        2, 3, *SIZES[:ndim]).astype(dtype)


def _both(name, values, opencl, *args, **keywords):
    theirs, ours = torch.from_numpy(values).requires_grad_(), flambeau.from_numpy(values).to(opencl).requires_grad_()
    wanted = getattr(torch.nn.functional, name)(theirs, *args, **keywords)
    found = getattr(flambeau.nn.functional, name)(ours, *args, **keywords)
    return theirs, ours, wanted, found


def _same(found, wanted):
    np.testing.assert_allclose(found.detach().cpu().numpy(), wanted.detach().numpy(), rtol=1e-5, atol=1e-5)


def _same_gradients(theirs, ours, wanted, found):
    g = np.random.default_rng(9).standard_normal(tuple(wanted.shape)).astype("float32")
    wanted.backward(torch.from_numpy(g))
    found.backward(flambeau.from_numpy(g).to(ours.device))
    _same(ours.grad, theirs.grad)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"stride": 1, "padding": 1}, {"dilation": 2, "stride": 1},
                                     {"ceil_mode": True}])
def test_largest_elements(opencl, ndim, options):
    theirs, ours, wanted, found = _both(f"max_pool{ndim}d", _values(ndim), opencl, 2, return_indices=True, **options)
    _same(found[0], wanted[0])
    assert found[1].tolist() == wanted[1].tolist()
    _same_gradients(theirs, ours, wanted[0], found[0])


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"padding": 1, "stride": 1}, {"padding": 1, "count_include_pad": False},
                                     {"ceil_mode": True, "padding": 1}])
def test_means(opencl, ndim, options):
    both = _both(f"avg_pool{ndim}d", _values(ndim), opencl, 3, **options)
    _same(both[3], both[2])
    _same_gradients(*both)


def test_a_divisor(opencl):
    both = _both("avg_pool2d", _values(2), opencl, 2, divisor_override=3)
    _same(both[3], both[2])
    _same_gradients(*both)


def test_integers(opencl):
    values = _values(2, "int64")
    x, y = torch.from_numpy(values), flambeau.from_numpy(values).to(opencl)
    for name in ("avg_pool2d", "max_pool2d"):
        found = getattr(flambeau.nn.functional, name)(y, 2)
        assert found.tolist() == getattr(torch.nn.functional, name)(x, 2).tolist()


def test_a_nan_wins_and_the_border_never(opencl):
    values = np.full((1, 1, 4, 4), -np.inf, "float32")
    values[0, 0, 1, 1] = values[0, 0, 2, 2] = np.nan
    _, _, wanted, found = _both("max_pool2d", values, opencl, 3, stride=1, padding=1, return_indices=True)
    np.testing.assert_array_equal(found[0].detach().cpu().numpy(), wanted[0].detach().numpy())
    assert found[1].tolist() == wanted[1].tolist()


def test_back_to_places(opencl):
    values = _values(2)
    _, _, wanted, found = _both("max_pool2d", values, opencl, 2, return_indices=True)
    _same(flambeau.nn.functional.max_unpool2d(found[0], found[1], 2), torch.nn.functional.max_unpool2d(*wanted, 2))


def test_adaptive_means(opencl):
    both = _both("adaptive_avg_pool2d", _values(2), opencl, (3, 2))
    _same(both[3], both[2])
    _same_gradients(*both)
