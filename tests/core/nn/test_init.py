"""Initialisers draw PyTorch's numbers."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from flambeau.nn import init

RANDOM = [
    ("uniform_", (1, 2)),
    ("normal_", (1, 2)),
    ("trunc_normal_", ()),
    ("trunc_normal_", (0.0, 1.0, 2.0, 3.0)),
    ("trunc_normal_", (0.0, 0.5, -0.1, 0.1)),
    ("xavier_uniform_", (2.0,)),
    ("xavier_normal_", ()),
    ("kaiming_uniform_", (1.0,)),
    ("kaiming_normal_", (0, "fan_out", "relu")),
    ("sparse_", (0.3,)),
]


@pytest.mark.parametrize("shape", [(3, 4), (8, 7)])
@pytest.mark.parametrize("name, args", RANDOM)
def test_same_numbers(oracle, name, args, shape):
    flambeau.manual_seed(1)
    ours = getattr(init, name)(flambeau.empty(shape), *args)
    oracle.manual_seed(1)
    theirs = getattr(oracle.nn.init, name)(oracle.empty(shape), *args)
    assert close(ours, theirs)


def close(ours, theirs, tolerance=1e-6):
    return np.allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "kaiming_normal_"])
def test_a_generator_is_drawn_from(oracle, name):
    ours = getattr(init, name)(flambeau.empty(4, 5), generator=flambeau.Generator().manual_seed(3))
    theirs = getattr(oracle.nn.init, name)(oracle.empty(4, 5), generator=oracle.Generator().manual_seed(3))
    assert close(ours, theirs)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3)])
def test_orthogonal(oracle, shape):
    flambeau.manual_seed(2)
    ours = init.orthogonal_(flambeau.empty(shape), 2.0)
    oracle.manual_seed(2)
    assert close(ours, oracle.nn.init.orthogonal_(oracle.empty(shape), 2.0), 1e-5)


@pytest.mark.parametrize("shape, groups", [((4, 2, 3), 1), ((4, 2, 3, 3), 2), ((2, 4, 3, 2, 1), 1)])
def test_dirac(oracle, shape, groups):
    ours = init.dirac_(flambeau.empty(shape), groups)
    assert ours.tolist() == oracle.nn.init.dirac_(oracle.empty(shape), groups).tolist()


def test_constants():
    assert init.ones_(flambeau.empty(2)).tolist() == [1, 1]
    assert init.zeros_(flambeau.empty(2)).tolist() == [0, 0]
    assert init.constant_(flambeau.empty(2), 3).tolist() == [3, 3]
    assert init.eye_(flambeau.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_no_gradient_is_recorded():
    w = flambeau.empty(2, 2, requires_grad=True)
    assert init.xavier_uniform_(w) is w and w.is_leaf


@pytest.mark.parametrize(
    "name, param", [("linear", None), ("tanh", None), ("relu", None), ("leaky_relu", 0.2), ("selu", None)]
)
def test_gains(oracle, name, param):
    assert init.calculate_gain(name, param) == oracle.nn.init.calculate_gain(name, param)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: init.eye_(flambeau.empty(2)), "2 dimensions"),
        (lambda: init.dirac_(flambeau.empty(2)), "3, 4, or 5 dimensions"),
        (lambda: init.dirac_(flambeau.empty(3, 1, 1), 2), "divisible by groups"),
        (lambda: init.xavier_normal_(flambeau.empty(2)), "fewer than 2 dimensions"),
        (lambda: init.kaiming_normal_(flambeau.empty(2, 2), mode="fan"), "Mode fan not supported"),
        (lambda: init.orthogonal_(flambeau.empty(2)), "2 or more dimensions"),
        (lambda: init.sparse_(flambeau.empty(2), 0.1), "2 dimensions"),
        (lambda: init.calculate_gain("nope"), "Unsupported nonlinearity"),
        (lambda: init.calculate_gain("leaky_relu", True), "not a valid number"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_warnings():
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_uniform_(flambeau.empty(0, 2))
    with pytest.warns(UserWarning, match="more than 2 std"):
        init.trunc_normal_(flambeau.empty(2), 5.0)
    with pytest.warns(FutureWarning, match="deprecated in favor of `nn.init.xavier_uniform_`"):
        init.xavier_uniform(flambeau.empty(2, 2))
