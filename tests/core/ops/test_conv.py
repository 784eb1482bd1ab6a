"""Convolutions, pooling, embeddings and attention, compared with PyTorch: values, gradients, second order, errors."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
import flambeau.nn.functional

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


def data(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(dtype)


def both(function, *arrays, second=True, rtol=1e-9):
    """Run `function(library, *tensors)` on both libraries; compare the result, its gradients, and theirs."""
    found = []
    for library in (flambeau, torch):
        tensors = [library.from_numpy(each.copy()).requires_grad_(each.dtype.kind == "f") for each in arrays]
        wanted = [each for each in tensors if each.requires_grad]
        result = function(library, *tensors)
        seed = library.from_numpy(data(*result.shape, seed=5)).to(result.dtype).reshape(tuple(result.shape))
        first = library.autograd.grad(result, wanted, seed, create_graph=second)
        values = [result, *first]
        if second:
            terms = [(each * each * 0.5).sum() for each in first if each.requires_grad]
            extra = library.autograd.grad(sum(terms), wanted, allow_unused=True) if terms else [None] * len(wanted)
            values += [library.zeros_like(x) if each is None else each for x, each in zip(wanted, extra, strict=True)]
        found.append([each.detach().numpy() for each in values])
    assert len(found[0]) == len(found[1])
    for mine, theirs in zip(*found, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol)


CONVOLUTIONS = [
    (1, (2, 3, 9), (4, 3, 3), {}),
    (1, (2, 4, 9), (6, 2, 3), {"groups": 2, "padding": 1, "stride": 2}),
    (1, (3, 9), (4, 3, 2), {"padding": "same"}),
    (2, (2, 3, 7, 8), (4, 3, 3, 3), {}),
    (2, (2, 3, 7, 8), (4, 3, 3, 2), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}),
    (2, (2, 4, 6, 6), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    (2, (2, 3, 5, 5), (4, 3, 1, 1), {}),
    (2, (2, 3, 8, 8), (4, 3, 1, 1), {"stride": 2}),
    (2, (3, 7, 8), (4, 3, 3, 4), {"padding": "same"}),
    (2, (2, 3, 7, 8), (4, 3, 3, 3), {"padding": "valid"}),
    (3, (1, 2, 5, 4, 5), (3, 2, 2, 3, 2), {"padding": 1, "stride": (1, 2, 1)}),
]


@pytest.mark.filterwarnings("ignore:Using padding=.same.")  # PyTorch's remark on how it pads
@pytest.mark.parametrize(("ndim", "x", "w", "options"), CONVOLUTIONS)
def test_convolution(ndim, x, w, options):
    def run(library, x, w, b):
        return getattr(library.nn.functional, f"conv{ndim}d")(x, w, b, **options)
    both(run, data(*x), data(*w), data(w[0]))


TRANSPOSED = [
    (1, (2, 3, 5), (3, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    (2, (2, 4, 4, 5), (4, 3, 3, 2), {}),
    (2, (2, 4, 4, 5), (4, 3, 3, 2), {"stride": 2, "padding": 1, "output_padding": (1, 0), "groups": 2}),
    (2, (4, 4, 5), (4, 3, 3, 2), {"dilation": 2}),
    (3, (1, 2, 3, 2, 3), (2, 3, 2, 2, 2), {"stride": 2}),
]


@pytest.mark.parametrize(("ndim", "x", "w", "options"), TRANSPOSED)
def test_transposed_convolution(ndim, x, w, options):
    def run(library, x, w, b):
        return getattr(library.nn.functional, f"conv_transpose{ndim}d")(x, w, b, **options)
    both(run, data(*x), data(*w), data(w[1] * options.get("groups", 1)))


@pytest.mark.parametrize("seed", range(4))
def test_decompositions_equal_kernels(seed):
    """What a backend without kernels runs gives what the kernels give."""
    from flambeau.ops import conv, pooling
    x, w, b = (flambeau.from_numpy(data(*shape, seed=seed)) for shape in ((2, 4, 7, 6), (6, 2, 3, 2), (6,)))
    stride, padding, dilation = [((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 0), (1, 2)), ((2, 2), (1, 1), (1, 1)),
                                 ((3, 2), (2, 1), (2, 1))][seed]
    args = (stride, padding, dilation, 2)
    g = conv.convolution(x, w, b, *args)
    pairs = [(conv.convolution, (x, w, b, *args)),
             (conv.convolution_weight_grad, (x, g, (3, 2), *args)),
             (conv.convolution_input_grad, (g, w, (7, 6), *args))]
    pool = ((2, 2), (2, 1), (1, 0), (1, 1))
    out = pooling._pooled((7, 6), *pool, False)
    values, indices = pooling.max_pool(x, *pool, out)
    pairs += [(pooling.max_pool, (x, *pool, out)), (pooling.pool_scatter, (values, indices, (7, 6))),
              (pooling.pool_gather, (x, indices)), (pooling.avg_pool, (x, *pool[:3], out, False, None)),
              (pooling.avg_pool_input_grad, (values, (7, 6), *pool[:3], True, None))]
    for operator, arguments in pairs:
        native, decomposed = operator(*arguments), operator.op.decomposition(*arguments)
        native, decomposed = ((each,) if isinstance(each, flambeau.Tensor) else each for each in (native, decomposed))
        for mine, theirs in zip(native, decomposed, strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-12)


POOLS = [
    ("max_pool1d", (2, 3, 9), {"kernel_size": 3}),
    ("max_pool2d", (2, 3, 8, 9), {"kernel_size": 2}),
    ("max_pool2d", (2, 3, 8, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", (3, 8, 9), {"kernel_size": (2, 3), "stride": (1, 2), "dilation": 2, "ceil_mode": True}),
    ("max_pool3d", (1, 2, 5, 6, 5), {"kernel_size": 2, "ceil_mode": True}),
    ("avg_pool1d", (2, 3, 9), {"kernel_size": 3, "padding": 1}),
    ("avg_pool2d", (2, 3, 8, 9), {"kernel_size": 2}),
    ("avg_pool2d", (2, 3, 8, 9), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", (2, 3, 8, 9), {"kernel_size": 3, "padding": 1, "count_include_pad": False}),
    ("avg_pool2d", (3, 8, 9), {"kernel_size": 3, "divisor_override": 2}),
    ("avg_pool3d", (1, 2, 5, 6, 5), {"kernel_size": 2}),
    ("adaptive_avg_pool1d", (2, 3, 9), {"output_size": 4}),
    ("adaptive_avg_pool2d", (2, 3, 8, 9), {"output_size": (4, 3)}),
    ("adaptive_avg_pool2d", (2, 3, 8, 9), {"output_size": (3, None)}),
    ("adaptive_avg_pool2d", (2, 3, 8, 9), {"output_size": 1}),
    ("adaptive_avg_pool3d", (2, 5, 4, 6), {"output_size": 2}),
]


@pytest.mark.parametrize(("name", "shape", "options"), POOLS)
def test_pooling(name, shape, options):
    both(lambda library, x: getattr(library.nn.functional, name)(x, **options), data(*shape))


def test_max_pool_indices_and_nan():
    x = data(2, 2, 6, 6)
    x[0, 0, 1, 1] = np.nan
    mine = flambeau.nn.functional.max_pool2d(flambeau.from_numpy(x), 3, 2, 1, return_indices=True)
    theirs = torch.nn.functional.max_pool2d(torch.from_numpy(x), 3, 2, 1, return_indices=True)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("count", [5, 200])
@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"scale_grad_by_freq": True}])
def test_embedding(count, options):
    indices = np.random.default_rng(0).integers(0, 6, (count, 2))

    def run(library, weight, indices):
        return library.nn.functional.embedding(indices, weight, **options)
    both(run, data(6, 3), indices, second=False)


def test_embedding_max_norm_changes_the_table():
    tables = []
    for library in (flambeau, torch):
        weight = library.from_numpy(data(5, 3) * 3)
        library.nn.functional.embedding(library.tensor([1, 3, 1]), weight, max_norm=1.0)
        tables.append(weight.numpy())
    np.testing.assert_allclose(*tables)


def test_one_hot():
    indices = np.array([[0, 3], [2, 2]])
    for classes in (-1, 6):
        np.testing.assert_array_equal(flambeau.nn.functional.one_hot(flambeau.from_numpy(indices), classes).numpy(),
                                      torch.nn.functional.one_hot(torch.from_numpy(indices), classes).numpy())


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}])
def test_attention(options):
    def run(library, q, k, v):
        return library.nn.functional.scaled_dot_product_attention(q, k, v, **options)
    both(run, data(2, 2, 4, 3), data(2, 2, 4, 3, seed=1), data(2, 2, 4, 5), second=False, rtol=1e-7)


def test_attention_mask():
    mask = np.random.default_rng(0).random((4, 5)) > 0.4
    mask[1] = False

    def run(library, q, k, v, mask):
        return library.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    both(run, data(2, 4, 3), data(2, 5, 3), data(2, 5, 2), mask, second=False, rtol=1e-7)


@pytest.mark.parametrize(("name", "shapes", "options"), [
    ("conv2d", ((1, 3, 4, 4), (2, 4, 3, 3)), {}),
    ("conv2d", ((1, 3, 2, 2), (2, 3, 3, 3)), {}),
    ("conv2d", ((3, 4), (2, 3, 3, 3)), {}),
    ("conv2d", ((1, 3, 4, 4), (2, 3, 3, 3)), {"stride": 0}),
    ("conv2d", ((1, 3, 4, 4), (2, 3, 3, 3)), {"padding": "same", "stride": 2}),
    ("max_pool2d", ((1, 3, 4, 4),), {"kernel_size": 2, "padding": 2}),
    ("avg_pool2d", ((1, 3, 4, 4),), {"kernel_size": 5}),
])
def test_errors_are_pytorch_kind(name, shapes, options):
    for library in (torch, flambeau):
        tensors = [library.zeros(shape) for shape in shapes]
        with pytest.raises(RuntimeError):
            getattr(library.nn.functional, name)(*tensors, **options)
