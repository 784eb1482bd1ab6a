"""Convolutions of the OpenCL backend against PyTorch: values and both gradients, in one, two and three dimensions."""

import dataclasses

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


def test_windows_of_one_element_that_lie_apart(opencl):
    """There are as many windows as elements, but they are not the elements: some lie in the border."""
    x, w = _values((2, 3, 3, 3), "float32", 0), _values((4, 3, 1, 1), "float32", 1)
    wanted = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w), stride=2, padding=1)
    found = flambeau.nn.functional.conv2d(flambeau.from_numpy(x).to(opencl), flambeau.from_numpy(w).to(opencl),
                                          stride=2, padding=1)
    np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------------------------------- as on a GPU
# samples, groups, channels of a group of the input and of the output, size, kernel, stride, padding, dilation
GPU_FORMS = {
    "1d": (2, 1, 9, 20, (33,), (5,), (2,), (2,), (1,)),
    "2d": (2, 2, 3, 7, (11, 10), (3, 2), (2, 3), (2, 1), (1, 2)),
    "2d, strides beyond the kernel": (2, 1, 6, 5, (9, 8), (2, 1), (4, 3), (1, 0), (1, 1)),
    "2d, stride and dilation": (1, 1, 5, 6, (13, 12), (3, 4), (2, 4), (3, 2), (2, 2)),
    "3d": (2, 1, 5, 6, (5, 4, 6), (3, 2, 3), (2, 1, 2), (1, 0, 1), (1, 2, 1)),
    "depthwise": (2, 3, 1, 2, (7, 9), (3, 2), (1, 2), (0, 1), (2, 1)),
    "one element": (2, 1, 5, 6, (6, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
}


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


def _check(device, form, dtype="float32"):
    """The convolution and its gradients against those of the host's backend."""
    from flambeau import discovery
    from flambeau_clike.kernels import conv
    from flambeau_clike.transfers import from_host, to_host
    samples, groups, ins, outs, size, kernel, *rest = form
    host, words = discovery.host().kernels, (*rest, groups)
    x, w = _values((samples, groups * ins, *size), dtype, 0), _values((groups * outs, ins, *kernel), dtype, 1)
    bias = _values((groups * outs,), dtype, 2)
    wanted = host["convolution"](x, w, bias, *words)
    g = _values(wanted.shape, dtype, 3)
    mine = [from_host(each, device) for each in (x, w, bias, g)]
    for found, right in (
            (conv.convolution(*mine[:3], *words), wanted),
            (conv.convolution_input_grad(mine[3], mine[1], size, *words),
             host["convolution_input_grad"](g, w, size, *words)),
            (conv.convolution_weight_grad(mine[0], mine[3], kernel, *words),
             host["convolution_weight_grad"](x, g, kernel, *words))):
        np.testing.assert_allclose(to_host(found), right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", GPU_FORMS)
def test_without_columns(gpu, form, monkeypatch):
    from flambeau_clike.kernels import conv
    monkeypatch.setattr(conv, "_gather", None)      # which is not called
    _check(gpu, GPU_FORMS[form])


@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_other_numbers(gpu, dtype):
    _check(gpu, GPU_FORMS["2d"], dtype)


@pytest.mark.parametrize("number", [1, 5])
def test_tiles(gpu, number, monkeypatch):
    from flambeau_clike.kernels import implicit
    monkeypatch.setattr(implicit, "fitting", lambda device, itemsize: implicit.CHOICES[number:number + 1])
    _check(gpu, (2, 1, 17, 70, (9, 9), (3, 3), (2, 1), (1, 1), (1, 1)))


@pytest.mark.parametrize("form", ["1d", "3d"])
def test_sums_in_parts(gpu, form, monkeypatch):
    from flambeau_clike.kernels import implicit
    monkeypatch.setattr(implicit, "LEAST", 8)
    monkeypatch.setattr(implicit, "TRAFFIC", -100)      # parts are free
    implicit._prepared.cache_clear()
    _check(gpu, GPU_FORMS[form])
    implicit._prepared.cache_clear()


def test_columns_where_there_is_no_local_memory(gpu):
    from flambeau_clike.kernels import implicit
    gpu.traits = dataclasses.replace(gpu.traits, local_memory=0)
    assert implicit.fitting(gpu, 4) == ()
    _check(gpu, GPU_FORMS["2d"])
