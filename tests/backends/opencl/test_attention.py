"""Attention on the OpenCL device against PyTorch. It is made of products and a softmax: no kernel of its own."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.5}, {"mask": "bool"}, {"mask": "float32"}])
def test_values_and_gradients(opencl, options):
    options = dict(options)
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((2, 3, 10, 8)).astype("float32") for _ in range(3)]
    theirs = [torch.from_numpy(each).requires_grad_() for each in arrays]
    ours = [flambeau.from_numpy(each).to(opencl).requires_grad_() for each in arrays]
    mask = options.pop("mask", None)
    masks = [None, None]
    if mask is not None:
        values = random.standard_normal((10, 10)).astype("float32")
        values = values > -1 if mask == "bool" else values
        masks = [torch.from_numpy(values), flambeau.from_numpy(values).to(opencl)]
    wanted = torch.nn.functional.scaled_dot_product_attention(*theirs, masks[0], **options)
    found = flambeau.nn.functional.scaled_dot_product_attention(*ours, masks[1], **options)
    np.testing.assert_allclose(found.detach().cpu().numpy(), wanted.detach().numpy(), rtol=1e-4, atol=1e-5)
    g = random.standard_normal(wanted.shape).astype("float32")
    wanted.backward(torch.from_numpy(g))
    found.backward(flambeau.from_numpy(g).to(opencl))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad.cpu().numpy(), other.grad.numpy(), rtol=1e-3, atol=1e-4)
