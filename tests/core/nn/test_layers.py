"""Layers against PyTorch: starting values, printing, signatures, outputs and gradients."""

from __future__ import annotations

import inspect
from collections import OrderedDict

import numpy as np
import pytest

import flambeau
from flambeau import nn

IMAGE = (2, 4, 6, 6)

# name, arguments, input shape, keyword arguments
CASES = [
    ("Identity", (3,), (2, 3), {}),
    ("Linear", (3, 4), (5, 3), {}),
    ("Linear", (3, 4), (3,), {"bias": False}),
    ("Flatten", (), (2, 3, 4), {}),
    ("Flatten", (0, 1), (2, 3, 4), {}),
    ("Unflatten", (1, (2, 3)), (2, 6), {}),
    ("Conv1d", (4, 2, 3), (2, 4, 8), {}),
    ("Conv2d", (4, 6, 3), IMAGE, {}),
    ("Conv2d", (4, 6, (3, 2)), IMAGE, {"stride": 2, "padding": (1, 0), "groups": 2}),
    ("Conv2d", (4, 6, 3), IMAGE, {"padding": "same", "dilation": 2, "bias": False}),
    ("Conv2d", (4, 6, 3), IMAGE, {"padding": 1, "padding_mode": "reflect"}),
    ("Conv2d", (4, 6, 3), IMAGE, {"padding": (1, 2), "padding_mode": "circular"}),
    ("Conv2d", (4, 6, 3), IMAGE, {"padding": "same", "padding_mode": "replicate"}),
    ("Conv3d", (1, 2, 2), (1, 1, 3, 3, 3), {}),
    ("ConvTranspose1d", (2, 3, 3), (2, 2, 5), {"stride": 2, "padding": 1, "output_padding": 1}),
    ("ConvTranspose2d", (4, 6, 3), IMAGE, {}),
    ("ConvTranspose2d", (4, 6, (3, 2)), IMAGE, {"stride": (2, 1), "padding": (1, 0), "groups": 2, "bias": False}),
    ("ConvTranspose2d", (4, 2, 3), IMAGE, {"dilation": 2, "stride": 2, "output_padding": 1}),
    ("ConvTranspose3d", (1, 2, 2), (1, 1, 3, 3, 3), {"stride": 2}),
    ("MaxPool1d", (2,), (2, 3, 6), {}),
    ("MaxPool2d", (2,), IMAGE, {}),
    ("MaxPool2d", (3,), IMAGE, {"stride": 2, "padding": 1, "ceil_mode": True}),
    ("MaxPool3d", (2,), (1, 2, 4, 4, 4), {}),
    ("AvgPool1d", (2,), (2, 3, 6), {}),
    ("AvgPool2d", (3,), IMAGE, {"stride": 2, "padding": 1, "count_include_pad": False}),
    ("AdaptiveAvgPool1d", (3,), (2, 3, 7), {}),
    ("AdaptiveAvgPool2d", ((4, None),), IMAGE, {}),
    ("AdaptiveAvgPool2d", (1,), IMAGE, {}),
    ("BatchNorm1d", (3,), (5, 3), {}),
    ("BatchNorm2d", (4,), IMAGE, {}),
    ("BatchNorm2d", (4,), IMAGE, {"momentum": None, "bias": False}),
    ("BatchNorm2d", (4,), IMAGE, {"track_running_stats": False, "affine": False}),
    ("BatchNorm3d", (2,), (2, 2, 3, 3, 3), {}),
    ("LayerNorm", (6,), IMAGE, {}),
    ("LayerNorm", ((6, 6),), IMAGE, {"bias": False, "eps": 1e-3}),
    ("LayerNorm", (6,), IMAGE, {"elementwise_affine": False}),
    ("GroupNorm", (2, 4), IMAGE, {}),
    ("RMSNorm", (6,), IMAGE, {}),
    ("ReLU", (), (3, 4), {}),
    ("ReLU6", (), (3, 4), {}),
    ("LeakyReLU", (0.2,), (3, 4), {}),
    ("ELU", (2.0,), (3, 4), {}),
    ("CELU", (2.0,), (3, 4), {}),
    ("SELU", (), (3, 4), {}),
    ("GELU", (), (3, 4), {}),
    ("GELU", ("tanh",), (3, 4), {}),
    ("GLU", (), (3, 4), {}),
    ("SiLU", (), (3, 4), {}),
    ("Mish", (), (3, 4), {}),
    ("Sigmoid", (), (3, 4), {}),
    ("LogSigmoid", (), (3, 4), {}),
    ("Tanh", (), (3, 4), {}),
    ("Tanhshrink", (), (3, 4), {}),
    ("Softmax", (1,), (3, 4), {}),
    ("LogSoftmax", (1,), (3, 4), {}),
    ("Softmin", (1,), (3, 4), {}),
    ("Softmax2d", (), IMAGE, {}),
    ("Softplus", (2.0, 1.0), (3, 4), {}),
    ("Softshrink", (), (3, 4), {}),
    ("Hardshrink", (), (3, 4), {}),
    ("Softsign", (), (3, 4), {}),
    ("Hardtanh", (-0.5, 0.5), (3, 4), {}),
    ("Hardswish", (), (3, 4), {}),
    ("Hardsigmoid", (), (3, 4), {}),
    ("PReLU", (4,), IMAGE, {}),
    ("Threshold", (0.1, 2.0), (3, 4), {}),
]


def identify(case):
    name, args, _, options = case
    return f"{name}{args}{options or ''}".replace(" ", "")


def both(oracle, name, args, options):
    """The layer of either library, each made under the same seed."""
    flambeau.manual_seed(3)
    ours = getattr(nn, name)(*args, **options)
    oracle.manual_seed(3)
    return ours, getattr(oracle.nn, name)(*args, **options)


def same(ours, theirs, tolerance=2e-5):
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_layer(oracle, case):
    name, args, shape, options = case
    ours, theirs = both(oracle, name, args, options)
    assert repr(ours) == repr(theirs)
    for (key, mine), (other_key, other) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
        assert key == other_key
        same(mine, other, 1e-7)
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x, y = flambeau.from_numpy(values.copy()).requires_grad_(), oracle.from_numpy(values.copy()).requires_grad_()
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        out, expected = ours(x), theirs(y)
        same(out, expected)
        (out * out).sum().backward()
        (expected * expected).sum().backward()
    same(x.grad, y.grad, 2e-4)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        same(mine.grad, other.grad, 1e-3)
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        same(mine, other)


@pytest.mark.parametrize("name", sorted(nn.modules.__all__))
def test_signature(oracle, name):
    def shape(function):
        return [(n, getattr(p.default, "__name__", p.default), p.kind)   # of a function, its name
                for n, p in inspect.signature(function).parameters.items() if n != "self"]

    ours, theirs = getattr(nn, name), getattr(oracle.nn, name)
    # A class that inherits PyTorch's bare Module.__init__ names no arguments there, but takes none either.
    if list(inspect.signature(theirs.__init__).parameters) != ["self", "args", "kwargs"]:
        assert shape(ours.__init__) == shape(theirs.__init__)
    assert ours.__module__.replace("flambeau", "torch") == theirs.__module__


LOSSES = [
    ("L1Loss", {}, "same"),
    ("MSELoss", {"reduction": "sum"}, "same"),
    ("MSELoss", {"reduction": "none"}, "same"),
    ("SmoothL1Loss", {"beta": 0.5}, "same"),
    ("HuberLoss", {"delta": 0.5}, "same"),
    ("NLLLoss", {}, "class"),
    ("NLLLoss", {"weight": "vector", "ignore_index": 1, "reduction": "sum"}, "class"),
    ("CrossEntropyLoss", {}, "class"),
    ("CrossEntropyLoss", {"weight": "vector", "label_smoothing": 0.1}, "class"),
    ("CrossEntropyLoss", {"ignore_index": 2, "reduction": "none"}, "class"),
    ("CrossEntropyLoss", {"weight": "vector", "label_smoothing": 0.1}, "unit"),
    ("BCELoss", {}, "probability"),
    ("BCEWithLogitsLoss", {}, "unit"),
    ("BCEWithLogitsLoss", {"pos_weight": "vector", "reduction": "sum"}, "unit"),
    ("KLDivLoss", {"reduction": "batchmean"}, "unit"),
    ("KLDivLoss", {"reduction": "sum", "log_target": True}, "same"),
]


@pytest.mark.parametrize("name, options, target", LOSSES)
def test_loss(oracle, name, options, target):
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((5, 3)).astype(np.float32)
    if target == "probability":
        scores = 1 / (1 + np.exp(-scores))
    goals = {
        "same": rng.standard_normal((5, 3)).astype(np.float32),
        "class": rng.integers(0, 3, 5),
        "unit": rng.random((5, 3)).astype(np.float32),
        "probability": rng.random((5, 3)).astype(np.float32),
    }[target]
    results = []
    for torch in (flambeau, oracle):
        made = {k: torch.tensor([0.5, 1.0, 2.0]) if v == "vector" else v for k, v in options.items()}
        loss = getattr(torch.nn, name)(**made)
        x = torch.from_numpy(scores.copy()).requires_grad_()
        value = loss(x, torch.from_numpy(goals.copy()))
        value.sum().backward()
        results.append((repr(loss), list(loss.state_dict()), value, x.grad))
    assert results[0][:2] == results[1][:2]
    same(results[0][2], results[1][2])
    same(results[0][3], results[1][3])


def test_deprecated_reduction_flags():
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert nn.MSELoss(size_average=False).reduction == "sum"


def test_dropout_draws_pytorchs_numbers(oracle):
    for name, shape in [("Dropout", (4, 5)), ("Dropout1d", (2, 3, 4)), ("Dropout2d", (2, 3, 4, 4))]:
        ours, theirs = both(oracle, name, (0.4,), {})
        flambeau.manual_seed(5)
        got = ours(flambeau.ones(shape))
        oracle.manual_seed(5)
        same(got, theirs(oracle.ones(shape)))
        assert flambeau.equal(ours.eval()(flambeau.ones(shape)), flambeau.ones(shape))
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(2)


def test_embedding(oracle):
    ours, theirs = both(oracle, "Embedding", (5, 3), {"padding_idx": -1})
    assert repr(ours) == repr(theirs) and ours.weight[4].tolist() == [0, 0, 0]
    same(ours.weight, theirs.weight, 1e-7)
    index = [[0, 4], [2, 2]]
    out, expected = ours(flambeau.tensor(index)), theirs(oracle.tensor(index))
    same(out, expected)
    out.sum().backward()
    expected.sum().backward()
    same(ours.weight.grad, theirs.weight.grad)
    frozen = nn.Embedding.from_pretrained(flambeau.eye(3))
    assert not frozen.weight.requires_grad and frozen(flambeau.tensor([1])).tolist() == [[0, 1, 0]]
    assert repr(nn.Embedding(2, 2, sparse=True)) == "Embedding(2, 2, sparse=True)"
    with pytest.raises(AssertionError, match="within num_embeddings"):
        nn.Embedding(2, 2, padding_idx=2)


def test_a_whole_model_starts_from_pytorchs_numbers(oracle):
    def make(nn):
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(1, 4, 3), norm=nn.BatchNorm2d(4), table=nn.Embedding(7, 3), fc=nn.Linear(30, 20),
                scale=nn.Bilinear(2, 3, 4),
            )
        )

    flambeau.manual_seed(11)
    ours = make(nn)
    oracle.manual_seed(11)
    theirs = make(oracle.nn)
    for (key, mine), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert mine.tolist() == other.tolist(), key


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels must be divisible"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "out_channels must be divisible"),
        (lambda: nn.Conv2d(4, 4, 3, padding="half"), "Invalid padding string"),
        (lambda: nn.Conv2d(4, 4, 3, padding="same", stride=2), "not supported for strided"),
        (lambda: nn.Conv2d(4, 4, 3, padding_mode="odd"), "padding_mode must be one of"),
        (lambda: nn.GroupNorm(3, 4), "must be divisible by num_groups"),
        (lambda: nn.BatchNorm2d(3)(flambeau.ones(2, 3)), "expected 4D input .got 2D input"),
        (lambda: nn.Softmax2d()(flambeau.ones(2)), "3D or 4D"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("size", [(10, 10), (9, 10), [2, 3, 10, 9]])
def test_transposed_convolution_chooses_among_sizes(oracle, size):
    ours, theirs = both(oracle, "ConvTranspose2d", (4, 3, 3), {"stride": 2, "padding": 1})
    values = np.random.default_rng(0).standard_normal((2, 4, 5, 5)).astype(np.float32)
    same(ours(flambeau.from_numpy(values), output_size=size), theirs(oracle.from_numpy(values), output_size=size))


@pytest.mark.parametrize("size, words", [((12, 12), "valid sizes range from"), ((9,), "output_size")])
def test_transposed_convolution_refuses_sizes(oracle, size, words):
    for library in (flambeau, oracle):
        layer = library.nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
        with pytest.raises(ValueError, match=words):
            layer(library.ones(1, 1, 5, 5), output_size=size)
    for library in (flambeau, oracle):
        with pytest.raises(ValueError, match="padding mode"):
            library.nn.ConvTranspose2d(1, 1, 3, padding_mode="reflect")


def test_sizes_may_be_another_librarys_integers(oracle):
    two = np.int64(2)
    for library in (flambeau, oracle):
        image = library.ones(1, 1, 4, 4)
        assert library.nn.MaxPool2d(two)(image).shape == library.nn.AvgPool2d(two)(image).shape == (1, 1, 2, 2)
        assert library.nn.Conv2d(1, two, two)(image).shape == (1, 2, 3, 3)
