"""Numbers beyond a narrow dtype wrap around, and 16-bit floats are rounded once, compared with PyTorch."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


@pytest.mark.parametrize("call", [
    lambda t: t.arange(-1, 3, 2, dtype=t.uint8),
    lambda t: t.ones(3, dtype=t.uint8).index_add(0, t.tensor([1]), t.ones(1, dtype=t.uint8), alpha=-1),
    lambda t: t.tensordot(t.ones(1, 3, dtype=t.uint8), t.ones(1, 2, dtype=t.uint8), dims=([1], [0])),
    lambda t: t.unravel_index(t.tensor([3], dtype=t.uint8), (2, 2))[0],
    lambda t: t.pow(t.tensor([1, 2], dtype=t.int8), 9),
])
def test_integers(call):
    want, have = call(torch), call(flambeau)
    assert str(have.dtype) == str(want.dtype) and have.tolist() == want.tolist()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("call", [
    lambda t, x: t.nn.functional.group_norm(x.reshape(1, 4, 16), 2),
    lambda t, x: t.addmm(x[0], x, x.reshape(8, 8)),
    lambda t, x: t.nn.functional.adaptive_avg_pool2d(x.reshape(1, 8, 8), 3),
    lambda t, x: t.nn.functional.softplus(x),
])
def test_an_operator_rounds_once(call, dtype):
    values = np.random.RandomState(0).randn(8, 8)
    results = []
    for library in (torch, flambeau):
        x = library.tensor(values).to(getattr(library, dtype)).requires_grad_()
        y = call(library, x)
        y.float().pow(2).sum().backward()
        results.append((y.detach().float().numpy(), x.grad.float().numpy()))
    tolerance = 2.0 ** -7 if dtype == "bfloat16" else 2.0 ** -10
    for want, have in zip(*results, strict=True):
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=4 * tolerance)


def test_the_second_derivative_of_batch_norm_in_half_precision():
    x = flambeau.randn(4, 3).to(flambeau.bfloat16).requires_grad_()
    y = flambeau.nn.functional.batch_norm(x, None, None, training=True)
    first, = flambeau.autograd.grad((y ** 3).sum(), x, create_graph=True)
    second, = flambeau.autograd.grad((first ** 2).sum(), x)
    assert second.dtype is flambeau.bfloat16 and bool(second.isfinite().all())
