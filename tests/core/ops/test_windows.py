"""Adaptive maxima, unpooling, windows as columns, padding and pooling of integers, compared with PyTorch."""

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


def _unpooled(F, x, ndim):
    values, indices = getattr(F, f"max_pool{ndim}d")(x, 2, return_indices=True)
    return getattr(F, f"max_unpool{ndim}d")(values, indices, 2, output_size=x.shape[2:])


CALLS = {
    "adaptive_max_pool1d": ((2, 3, 7), lambda F, x: F.adaptive_max_pool1d(x, 3, return_indices=True)),
    "adaptive_max_pool2d": ((2, 3, 7, 5), lambda F, x: F.adaptive_max_pool2d(x, (3, None), return_indices=True)),
    "adaptive_max_pool3d": ((3, 4, 5, 6), lambda F, x: F.adaptive_max_pool3d(x, 2, return_indices=True)),
    "max_unpool1d": ((2, 3, 7), lambda F, x: _unpooled(F, x, 1)),
    "max_unpool2d": ((2, 3, 6, 5), lambda F, x: _unpooled(F, x, 2)),
    "max_unpool3d": ((2, 3, 4, 4, 4), lambda F, x: _unpooled(F, x, 3)),
    "unfold": ((2, 3, 7, 8), lambda F, x: F.unfold(x, (2, 3), dilation=2, padding=1, stride=2)),
    "fold": ((2, 12, 20), lambda F, x: F.fold(x, (5, 6), 2)),
    "channel_shuffle": ((2, 6, 3), lambda F, x: F.channel_shuffle(x, 3)),
    "rrelu": ((4, 5), lambda F, x: F.rrelu(x, 0.1, 0.3)),
    "circular, cropped": ((1, 3, 4, 4), lambda F, x: F.pad(x, (-1, 1, -2, 1), mode="circular")),
    "conv_transpose2d, output_padding": ((2, 3, 4, 4), lambda F, x: F.conv_transpose2d(
        x, x[:, :, :2, :2].transpose(0, 1), stride=2, output_padding=1, dilation=2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name):
    shape, call = CALLS[name]
    values = np.random.RandomState(0).randn(*shape)
    found = []
    for library in (torch, flambeau):
        x = library.tensor(values, requires_grad=True)
        result = call(library.nn.functional, x)
        parts = result if isinstance(result, tuple) else (result,)
        first, = library.autograd.grad((parts[0] ** 3).sum(), x, create_graph=True)
        second, = library.autograd.grad((first ** 2).sum(), x)
        found.append([each.detach().numpy() for each in (*parts, first, second)])
    for wanted, have in zip(*found, strict=True):
        assert have.dtype == wanted.dtype
        np.testing.assert_allclose(have, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("call", [
    lambda F, x: F.adaptive_max_pool2d(x, (-1, 2)),
    lambda F, x: F.adaptive_avg_pool2d(x, (-1, 2)),
    lambda F, x: F.adaptive_max_pool1d(x, 2),
    lambda F, x: F.unfold(x, 9),
    lambda F, x: F.fold(x[0], (5, 5), 2),
    lambda F, x: F.max_unpool2d(x, x.long() + 99, 2),
    lambda F, x: F.channel_shuffle(x, 2),
    lambda F, x: F.rrelu(x, 0.5, 0.1),
])
def test_refusals(call):
    for library in (torch, flambeau):
        with pytest.raises((RuntimeError, ValueError)):
            call(library.nn.functional, library.ones(2, 3, 4, 4))


def test_means_of_integers_are_truncated():
    values = np.random.RandomState(0).randint(-9, 9, (1, 2, 5, 5))
    for options in ({}, {"padding": 1, "count_include_pad": False}, {"divisor_override": 3}):
        want, have = (library.nn.functional.avg_pool2d(library.tensor(values), 2, **options)
                      for library in (torch, flambeau))
        assert have.dtype is flambeau.int64 and have.tolist() == want.tolist()


def test_random_slopes_are_in_their_range_and_part_of_the_gradient():
    x = flambeau.full((1000,), -1.0, requires_grad=True)
    y = flambeau.nn.functional.rrelu(x, 0.2, 0.4, training=True)
    y.sum().backward()
    assert float(-y.max()) >= 0.2 and float(-y.min()) < 0.4 and x.grad.tolist() == (-y).tolist()
    assert len(set(y.tolist())) > 500


@pytest.mark.parametrize("call", [lambda x: x.split(5, 1)[0], lambda torch_x: torch_x.unsafe_split(5, 1)[0],
                                  lambda x: x[:1].unbind()[0], lambda x: x.chunk(1)[0]])
def test_a_group_of_one_view_carries_its_gradient(call):
    grads = []
    for library in (torch, flambeau):
        x = library.arange(20.0).reshape(4, 5).requires_grad_()
        (call(x) ** 2).sum().backward()
        grads.append(x.grad.tolist())
    assert grads[0] == grads[1]


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_of_nothing(training):
    for shape in ((0, 3), (0, 3, 2), (4, 3, 0)):
        for library in (torch, flambeau):
            x = library.ones(shape, requires_grad=True)
            weight, bias = library.ones(3, requires_grad=True), library.ones(3, requires_grad=True)
            mean, var = library.zeros(3), library.ones(3)
            y = library.nn.functional.batch_norm(x, mean, var, weight, bias, training=training)
            y.sum().backward()
            assert y.shape == shape and weight.grad.tolist() == [0, 0, 0] and mean.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv_transpose1d"])
def test_complex_convolutions(name):
    ndim = int(name[-2])
    generator = np.random.RandomState(0)
    x_values, w_values = (generator.randn(2, 2, *(4,) * ndim) + 1j * generator.randn(2, 2, *(4,) * ndim)
                          for _ in range(2))
    grads = []
    for library in (torch, flambeau):
        x, w = library.tensor(x_values, requires_grad=True), library.tensor(w_values, requires_grad=True)
        result = getattr(library.nn.functional, name)(x, w)
        library.view_as_real(result * result).sum().backward()
        grads.append((x.grad.numpy(), w.grad.numpy()))
    for wanted, have in zip(*grads, strict=True):
        np.testing.assert_allclose(have, wanted, rtol=1e-10, atol=1e-10)
