"""Convolutions of the OpenCL backend against PyTorch: values and both gradients, in one, two and three dimensions."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

# groups, stride, padding, dilation, width of the kernel
FORMS = [(1, 1, 0, 1, 3), (1, 2, 1, 1, 3), (2, 1, 1, 2, 2), (2, 2, 1, 1, 1), (1, 1, 0, 1, 1), (4, 3, 2, 1, 2)]


def _values(shape, dtype, seed):
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape) * 4
    return (values + 1j * random.standard_normal(shape) if np.dtype(dtype).kind == "c" else values).astype(dtype)


def _name(op, ndim):
    return f"{op}{ndim}d"


@pytest.fixture(params=["as chosen", "small chunks"])
def chunks(opencl, request, monkeypatch):
    if request.param == "small chunks":
        from flambeau_clike.kernels import conv
        monkeypatch.setattr(conv, "CHUNK", 50)
        monkeypatch.setattr(conv, "CHUNK_GPU", 50)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_values_and_gradients(opencl, ndim, dtype):
    for groups, stride, padding, dilation, width in FORMS:
        arrays = [_values((3, 4, *(7, 6, 5)[:ndim]), dtype, 0), _values((8, 4 // groups, *(width,) * ndim), dtype, 1),
                  _values((8,), dtype, 2)]
        theirs = [torch.from_numpy(each).requires_grad_() for each in arrays]
        ours = [flambeau.from_numpy(each).to(opencl).requires_grad_() for each in arrays]
        options = (stride, padding, dilation, groups)
        wanted = getattr(torch.nn.functional, _name("conv", ndim))(*theirs, *options)
        found = getattr(flambeau.nn.functional, _name("conv", ndim))(*ours, *options)
        g = _values(tuple(wanted.shape), dtype, 3)
        wanted.backward(torch.from_numpy(g))
        found.backward(flambeau.from_numpy(g).to(opencl))
        np.testing.assert_allclose(found.detach().cpu().numpy(), wanted.detach().numpy(), rtol=1e-4, atol=1e-4)
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.grad.cpu().numpy(), other.grad.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_transposed(opencl, ndim):
    arrays = [_values((2, 4, *(5, 4, 3)[:ndim]), "float32", 0), _values((4, 3, *(3,) * ndim), "float32", 1),
              _values((6,), "float32", 2)]
    options = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}
    wanted = getattr(torch.nn.functional, _name("conv_transpose", ndim))(*map(torch.from_numpy, arrays), **options)
    found = getattr(flambeau.nn.functional, _name("conv_transpose", ndim))(
        *[flambeau.from_numpy(each).to(opencl) for each in arrays], **options)
    np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_integers(opencl):
    x, w = np.arange(36).reshape(1, 1, 6, 6), np.arange(9).reshape(1, 1, 3, 3)
    wanted = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w), padding=1)
    found = flambeau.nn.functional.conv2d(flambeau.from_numpy(x).to(opencl), flambeau.from_numpy(w).to(opencl),
                                          padding=1)
    np.testing.assert_array_equal(found.cpu().numpy(), wanted.numpy())


def test_inputs_that_are_views(opencl):
    x = _values((2, 6, 5, 4), "float32", 0)
    w = _values((3, 4, 3, 3), "float32", 1)
    wanted = torch.nn.functional.conv2d(torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(w))
    found = flambeau.nn.functional.conv2d(flambeau.from_numpy(x).to(opencl).permute(0, 3, 1, 2),
                                          flambeau.from_numpy(w).to(opencl))
    np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_empty_batch(opencl):
    x = flambeau.ones(0, 2, 5, 5, device=opencl, requires_grad=True)
    w = flambeau.ones(3, 2, 3, 3, device=opencl, requires_grad=True)
    result = flambeau.nn.functional.conv2d(x, w)
    result.sum().backward()
    assert result.shape == (0, 3, 3, 3)
    assert w.grad.cpu().tolist() == np.zeros((3, 2, 3, 3)).tolist() and x.grad.shape == x.shape
