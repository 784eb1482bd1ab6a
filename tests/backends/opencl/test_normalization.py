"""Layer, RMS and batch normalisation on OpenCL with their gradients, compared with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
TYPES = [("float32", 2e-5), ("float64", 1e-12)]


def run(library, to, call, arrays, weights):
    """The value of a call and the gradients of its arrays."""
    tensors = [None if each is None else to(each).requires_grad_() for each in arrays]
    result = call(library, *tensors)
    result.backward(to(weights))
    found = [result] + [each.grad for each in tensors if each is not None]
    return [each.detach().cpu().numpy() for each in found]


def compare(opencl, call, arrays, tolerance):
    weights = np.random.default_rng(1).standard_normal(arrays[0].shape).astype(arrays[0].dtype)
    theirs = run(torch, torch.tensor, call, arrays, weights)
    mine = run(flambeau, lambda x: flambeau.tensor(x, device=opencl), call, arrays, weights)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, np.abs(b).max()))


def draw(dtype, *shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) + 1 for shape in shapes]


@pytest.mark.parametrize("dtype, tolerance", TYPES)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape, size", [((4, 6), (6,)), ((3, 5, 7), (5, 7)), ((200, 64), (64,)), ((9, 33), (33,)),
                                         ((40, 256), (256,)), ((8,), (8,))], ids=str)
def test_layer_norm(opencl, dtype, tolerance, affine, shape, size):
    input, weight, bias = draw(dtype, shape, size, size)
    compare(opencl, lambda library, x, w=None, b=None: library.nn.functional.layer_norm(x, size, w, b),
            [input, weight, bias] if affine else [input], tolerance)
    compare(opencl, lambda library, x, w=None: library.nn.functional.rms_norm(x, size, w, eps=1e-5),
            [input, weight] if affine else [input], tolerance)


@pytest.mark.parametrize("dtype, tolerance", TYPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(4, 6), (64, 33), (2, 3, 4, 5), (4, 9, 14, 14), (4, 3, 1, 1)], ids=str)
def test_batch_norm(opencl, dtype, tolerance, training, affine, shape):
    channels = shape[1]
    input, weight, bias, mean, var = draw(dtype, shape, *[(channels,)] * 4)
    var = np.abs(var) + 0.5
    after = {}

    def call(library, x, w=None, b=None):
        place = {} if library is torch else {"device": opencl}
        given = [library.tensor(each.copy(), **place) for each in (mean, var)]
        result = library.nn.functional.batch_norm(x, *given, w, b, training=training)
        after[library] = [each.cpu().numpy() for each in given]
        return result

    compare(opencl, call, [input, weight, bias] if affine else [input], tolerance)
    for mine, theirs in zip(after[flambeau], after[torch], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance)
