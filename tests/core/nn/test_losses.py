"""Losses, distances, adaptive softmax, bags and instance normalisation as layers, against PyTorch."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import flambeau
from flambeau import nn

RNG = np.random.default_rng(8)
A, B, C = (RNG.standard_normal((4, 5)) for _ in range(3))
SIGNS = np.array([1.0, -1, -1, 1])
CLASSES = np.array([2, 0, 4, 2])

# name, positional arguments of the call, options
CASES = [
    ("CosineEmbeddingLoss", (A, B, SIGNS), {"margin": 0.1}),
    ("GaussianNLLLoss", (A, B, np.abs(C)), {"full": True}), ("GaussianNLLLoss", (A, B, 0.5), {"eps": 1e-3}),
    ("HingeEmbeddingLoss", (A, np.sign(B)), {"margin": 0.4}),
    ("LinearCrossEntropyLoss", (A, CLASSES), {"in_features": 5, "num_classes": 6, "dtype": "float64"}),
    ("LinearCrossEntropyLoss", (A, CLASSES[:, None]), {"in_features": 5, "num_classes": 6, "out_features": (1,),
                                                     "bias": True, "dtype": "float64", "ignore_index": 2}),
    ("MarginRankingLoss", (A, B, np.sign(C)), {"margin": 0.2}),
    ("MultiLabelMarginLoss", (A, np.tile([3, 0, -1, 1, 2], (4, 1))), {}),
    ("MultiLabelSoftMarginLoss", (A, (B > 0) * 1.0), {}),
    ("MultiMarginLoss", (A, CLASSES), {"p": 2, "margin": 0.7}),
    ("NLLLoss", (A, CLASSES), {"ignore_index": 0}),
    ("PoissonNLLLoss", (A, np.abs(B)), {"full": True}),
    ("PoissonNLLLoss", (np.abs(A), np.abs(B)), {"log_input": False, "eps": 1e-3}),
    ("SoftMarginLoss", (A, np.sign(B)), {}),
    ("TripletMarginLoss", (A, B, C), {"margin": 1.5, "p": 1.0, "swap": True}),
    ("TripletMarginWithDistanceLoss", (A, B, C), {"swap": True, "margin": 3.0}),
]


def put(library, each):
    return library.from_numpy(each.copy()) if isinstance(each, np.ndarray) else each


def outcome(library, layer, args):
    """The results of a layer, and the gradients of a weighted sum of the first with respect to floats (no signs)."""
    given = [put(library, each) for each in args]
    leaves = [each.requires_grad_() for each in given if isinstance(each, library.Tensor) and each.is_floating_point()
              and not (each.abs() == 1).all()]
    results = layer(*given)
    results = list(results) if isinstance(results, tuple) else [results]
    first = results[0]
    (first * library.arange(1, first.numel() + 1, dtype=first.dtype).reshape(first.shape)).sum().backward()
    grads = [each.grad for each in (*leaves, *layer.parameters())]
    return [None if each is None else each.detach().numpy() for each in (*results, *grads, *layer.buffers())]


def check(oracle, name, args, options, tolerance=1e-9):
    found = []
    for library in (flambeau, oracle):
        library.manual_seed(6)
        named = {key: getattr(library, each) if key == "dtype" else each for key, each in options.items()}
        layer = getattr(library.nn, name)(**named)
        found.append((repr(layer), list(layer.state_dict()), outcome(library, layer, args)))
    assert found[0][:2] == found[1][:2]
    for mine, theirs in zip(found[0][2], found[1][2], strict=True):
        if theirs is None:
            assert mine is None or not mine.any()
        else:
            np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)
            assert mine.shape == theirs.shape


@pytest.mark.parametrize(("name", "args", "options"), CASES)
def test_loss(oracle, name, args, options):
    for reduction in ("mean", "sum", "none"):
        check(oracle, name, args, {**options, "reduction": reduction})


def test_weights_belong_to_the_state(oracle):
    for name in ("MultiLabelSoftMarginLoss", "MultiMarginLoss", "LinearCrossEntropyLoss"):
        for library in (flambeau, oracle):
            more = {"in_features": 2, "num_classes": 3} if name.startswith("Linear") else {}
            layer = getattr(library.nn, name)(**more, weight=library.ones(3))
            assert next(iter(layer.state_dict())) == "weight" and not layer.weight.requires_grad


def test_ctc(oracle):
    logs = np.log(RNG.dirichlet(np.ones(5), (6, 2)))
    for options in ({}, {"blank": 4, "reduction": "sum"}, {"zero_infinity": True, "reduction": "none"}):
        args = (logs, np.array([[1, 3, 3], [2, 1, 0]]), np.array([6, 4]), np.array([3, 2]))
        check(oracle, "CTCLoss", args, options)


@pytest.mark.parametrize("name", sorted(each for each in nn.modules.loss.__all__ if each.endswith(("Loss", "Loss2d"))))
def test_signatures(oracle, name):
    mine, theirs = (inspect.signature(getattr(library.nn, name).__init__) for library in (flambeau, oracle))
    assert [(p.name, p.kind, p.default) for p in mine.parameters.values()] == \
        [(p.name, p.kind, p.default) for p in theirs.parameters.values()]


def test_deprecated_names_and_arguments(oracle):
    for library in (flambeau, oracle):
        with pytest.warns(FutureWarning, match="NLLLoss2d"):
            assert isinstance(library.nn.NLLLoss2d(), library.nn.NLLLoss)
        with pytest.warns(FutureWarning, match="nn.Container"):
            assert list(library.nn.Container(a=library.nn.ReLU())._modules) == ["a"]
        with pytest.warns(UserWarning, match="please use reduction='sum'"):
            assert library.nn.SoftMarginLoss(size_average=False).reduction == "sum"


@pytest.mark.parametrize(("error", "words", "call"), [
    (ValueError, "only p == 1 and p == 2", lambda n, t: n.MultiMarginLoss(p=3)),
    (ValueError, "expected weight to be None or 1D tensor, got 2D", lambda n, t: n.MultiMarginLoss(
        weight=t.ones(1, 2))),
    (ValueError, "expected margin to be greater than 0, got 0", lambda n, t: n.TripletMarginLoss(margin=0)),
    (ValueError, "expected margin to be greater than 0, got -1", lambda n, t: n.TripletMarginWithDistanceLoss(
        margin=-1)),
    (RuntimeError, r"expected weight shape to be \(3,\), got \(2,\)", lambda n, t: n.LinearCrossEntropyLoss(
        4, 3, weight=t.ones(2))),
    (RuntimeError, r"in range \[0, 1\], got 2", lambda n, t: n.LinearCrossEntropyLoss(4, 3, label_smoothing=2)),
    (ValueError, "length larger than 0", lambda n, t: n.AdaptiveLogSoftmaxWithLoss(4, 9, [])),
    (ValueError, "unique, positive", lambda n, t: n.AdaptiveLogSoftmaxWithLoss(4, 9, [5, 3])),
    (ValueError, "unique, positive", lambda n, t: n.AdaptiveLogSoftmaxWithLoss(4, 9, [0, 3])),
    (ValueError, "unique, positive", lambda n, t: n.AdaptiveLogSoftmaxWithLoss(4, 9, [3, 9])),
    (RuntimeError, r"Target values should be in \[0, 8\], but values in range \[1, 9\]",
     lambda n, t: n.AdaptiveLogSoftmaxWithLoss(4, 9, [3])(t.ones(2, 4), t.tensor([1, 9]))),
    (RuntimeError, "same size in the batch", lambda n, t: n.AdaptiveLogSoftmaxWithLoss(4, 9, [3])(
        t.ones(2, 4), t.tensor([1]))),
    (RuntimeError, "1D target tensor expects 2D", lambda n, t: n.AdaptiveLogSoftmaxWithLoss(4, 9, [3])(
        t.ones(1), t.tensor([1]))),
    (RuntimeError, "multi-target not supported", lambda n, t: n.AdaptiveLogSoftmaxWithLoss(4, 9, [3])(
        t.ones(1, 4), t.tensor([[1]]))),
    (ValueError, "expected 3D or 4D input", lambda n, t: n.InstanceNorm2d(3)(t.ones(2, 3))),
    (ValueError, "dim=1 to match num_features", lambda n, t: n.InstanceNorm1d(3, affine=True)(t.ones(2, 4, 5))),
    (ValueError, "more than 1 spatial element", lambda n, t: n.InstanceNorm1d(3)(t.ones(2, 3, 1))),
    (AssertionError, "padding_idx must be within", lambda n, t: n.EmbeddingBag(3, 2, padding_idx=3)),
    (AssertionError, "Shape of weight does not match", lambda n, t: n.EmbeddingBag(3, 2, _weight=t.ones(2, 3))),
    (AssertionError, "expected to be 2-dimensional", lambda n, t: n.EmbeddingBag.from_pretrained(t.ones(2))),
])
def test_errors(oracle, error, words, call):
    for library in (flambeau, oracle):
        with pytest.raises(error, match=words):
            call(library.nn, library)


def test_distances(oracle):
    for args in ((A, B), (A[0], B), (A[0], B[0])):
        for options in ({}, {"p": 1.0}, {"p": float("inf"), "keepdim": True}, {"p": 3.0, "eps": 0.1}):
            check(oracle, "PairwiseDistance", args, options)
    for args, options in (((A, B), {}), ((A, B), {"dim": 0}), ((A[None], B[:, None]), {"dim": -1, "eps": 0.5})):
        check(oracle, "CosineSimilarity", args, options)


def test_adaptive_softmax(oracle):
    x, target = RNG.standard_normal((7, 16)), np.array([0, 19, 5, 11, 3, 10, 9])
    for options in ({}, {"div_value": 2.0, "head_bias": True}):
        options = {"in_features": 16, "n_classes": 20, "cutoffs": [5, 10], "dtype": "float64", **options}
        check(oracle, "AdaptiveLogSoftmaxWithLoss", (x, target), options)
        check(oracle, "AdaptiveLogSoftmaxWithLoss", (x[0], target[1:2].reshape(())), options)
        check(oracle, "AdaptiveLogSoftmaxWithLoss", (x, target % 5), options)     # no cluster is used
        found = []
        for library in (flambeau, oracle):
            library.manual_seed(1)
            layer = library.nn.AdaptiveLogSoftmaxWithLoss(**{**options, "dtype": library.float64})
            given = library.from_numpy(x * 9)
            rare = given[layer.head(given).argmax(1) >= 5]
            found.append([layer.log_prob(given), layer.predict(given), layer.predict(rare)])
            library.manual_seed(1)
            layer.reset_parameters()
            found[-1].append(layer.head.weight)
        for mine, theirs in zip(*found, strict=True):
            np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-9)
    assert type(layer(given, library.from_numpy(target))).__name__ == "_ASMoutput"


@pytest.mark.parametrize("options", [{}, {"mode": "sum", "max_norm": 0.7}, {"mode": "max", "padding_idx": -1},
                                     {"mode": "sum", "scale_grad_by_freq": True, "norm_type": 1}])
def test_bags(oracle, options):
    options = {"num_embeddings": 6, "embedding_dim": 3, **options}
    check(oracle, "EmbeddingBag", (np.array([[1, 5, 2], [2, 5, 1]]),), options, 1e-6)
    options.pop("scale_grad_by_freq", None)
    check(oracle, "EmbeddingBag", (np.array([1, 5, 1, 0]), np.array([0, 0, 3])), options, 1e-6)


def test_bags_of_a_table_that_exists(oracle):
    for library in (flambeau, oracle):
        bag = library.nn.EmbeddingBag.from_pretrained(library.eye(3), mode="sum", include_last_offset=True)
        assert not bag.weight.requires_grad
        assert bag(library.tensor([0, 2, 2]), library.tensor([0, 1, 3])).tolist() == [[1, 0, 0], [0, 0, 2]]
        kept = library.nn.EmbeddingBag.from_pretrained(library.eye(3), freeze=False)
        assert kept.weight.requires_grad


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_instance_norm(oracle, spatial):
    name, shape = f"InstanceNorm{spatial}d", (2, 3, *(4, 3, 2)[:spatial])
    x = RNG.standard_normal(shape)
    for options in ({}, {"affine": True}, {"affine": True, "bias": False, "eps": 0.1},
                    {"track_running_stats": True, "momentum": 0.3}, {"affine": True, "track_running_stats": True}):
        options = {"num_features": 3, "dtype": "float64", **options}
        check(oracle, name, (x,), options)
        check(oracle, name, (x[0],), options)
    for library in (flambeau, oracle):
        layer = getattr(library.nn, name)(3, track_running_stats=True)
        layer.eval()
        assert layer(library.ones(shape)).sum().item() == pytest.approx(np.prod(shape), rel=1e-4)
        with pytest.warns(UserWarning, match="does not match num_features"):
            getattr(library.nn, name)(7)(library.from_numpy(x))


def test_statistics_of_old_files(oracle):
    for library in (flambeau, oracle):
        old = library.nn.InstanceNorm1d(3, track_running_stats=True).state_dict()
        del old._metadata
        with pytest.raises(RuntimeError, match=r"Unexpected running stats buffer\(s\) \"running_mean\" and"):
            library.nn.InstanceNorm1d(3).load_state_dict(old)


def test_members_that_programs_reach_for(oracle):
    for library in (flambeau, oracle):
        conv = library.nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")
        x = library.from_numpy(RNG.standard_normal((1, 2, 5, 5)).astype(np.float32))
        assert conv._conv_forward(x, conv.weight * 0, library.ones(3)).sum().item() == 75
        transposed = library.nn.ConvTranspose1d(2, 3, 3, stride=2)
        assert tuple(transposed._output_padding(x[0], [12], (2,), (0,), (3,), 1, (1,))) == (1,)
        with pytest.raises(ValueError, match="valid sizes range"):
            transposed(x[0], [20])
        with pytest.raises(ValueError, match="output_size must have 1 or 3 elements"):
            transposed(x[0], [1, 2])
        table = library.nn.Embedding(3, 2, padding_idx=1)
        with library.no_grad():
            table.weight.fill_(1)
        table._fill_padding_idx_with_zero()
        assert table.weight.tolist() == [[1, 1], [0, 0], [1, 1]]


def test_batch_normalisation_across_processes(oracle):
    for library in (flambeau, oracle):
        n = library.nn
        net = n.Sequential(n.BatchNorm1d(3), n.Sequential(n.BatchNorm2d(2, affine=False), n.ReLU())).eval()
        weight = net[0].weight
        converted = n.SyncBatchNorm.convert_sync_batchnorm(net, "group")
        assert converted is net and type(net[0]) is type(net[1][0]) is n.SyncBatchNorm
        assert net[0].weight is weight and not net[0].training and net[1][0].process_group == "group"
        assert isinstance(n.SyncBatchNorm.convert_sync_batchnorm(n.BatchNorm3d(2)), n.SyncBatchNorm)


def test_where_classes_are_found():
    modules = nn.modules
    for family, names in {"loss": "_Loss _WeightedLoss CTCLoss MultiMarginLoss", "sparse": "Embedding EmbeddingBag",
                          "linear": "NonDynamicallyQuantizableLinear LazyLinear", "lazy": "LazyModuleMixin",
                          "batchnorm": "_BatchNorm _NormBase _LazyNormBase", "instancenorm": "_InstanceNorm",
                          "conv": "_ConvNd _ConvTransposeNd _ConvTransposeMixin _LazyConvXdMixin LazyConv3d",
                          "distance": "PairwiseDistance", "adaptive": "AdaptiveLogSoftmaxWithLoss _ASMoutput",
                          "container": "Container"}.items():
        for name in names.split():
            assert hasattr(getattr(modules, family), name), f"{family}.{name}"
