"""Clipping and vectors of parameters."""

from __future__ import annotations

import pytest

import flambeau
from flambeau import nn
from flambeau.nn import utils


def with_gradients(*gradients):
    params = [nn.Parameter(flambeau.zeros(len(g))) for g in gradients]
    for param, gradient in zip(params, gradients, strict=True):
        param.grad = flambeau.tensor(gradient)
    return params


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf"), "inf"])
def test_clipping_by_norm(oracle, norm_type):
    ours = with_gradients([3.0, -4.0], [12.0])
    theirs = [oracle.nn.Parameter(oracle.zeros(n)) for n in (2, 1)]
    theirs[0].grad, theirs[1].grad = oracle.tensor([3.0, -4.0]), oracle.tensor([12.0])
    total = utils.clip_grad_norm_(iter([*ours, nn.Parameter(flambeau.ones(1))]), 5.0, norm_type)
    expected = oracle.nn.utils.clip_grad_norm_(theirs, 5.0, norm_type)
    assert total.item() == pytest.approx(expected.item())
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad.tolist() == pytest.approx(other.grad.tolist())


def test_small_gradients_are_left_alone():
    params = with_gradients([0.3, 0.4])
    assert utils.clip_grad_norm_(params, 1.0).item() == pytest.approx(0.5)
    assert params[0].grad.tolist() == pytest.approx([0.3, 0.4])
    assert utils.clip_grad_norm_(nn.Parameter(flambeau.ones(1)), 1.0).item() == 0


def test_a_norm_that_is_not_finite_can_be_an_error():
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(with_gradients([float("nan")]), 1.0, error_if_nonfinite=True)


def test_clipping_by_value():
    params = with_gradients([-3.0, 0.5, 2.0])
    utils.clip_grad_value_(params, 1.0)
    assert params[0].grad.tolist() == [-1.0, 0.5, 1.0]


def test_vector_and_back():
    net = nn.Linear(2, 2)
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.shape == (6,) and vector.requires_grad
    utils.vector_to_parameters(flambeau.arange(6.0), net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3]] and net.bias.tolist() == [4, 5]
    with pytest.raises(TypeError, match=r"expected torch\.Tensor"):
        utils.vector_to_parameters([1], net.parameters())


def test_the_old_name_of_clipping(oracle):
    for library in (flambeau, oracle):
        param = library.nn.Parameter(library.zeros(2))
        param.grad = library.tensor([3.0, 4.0])
        with pytest.warns(FutureWarning, match="clip_grad_norm_"):
            total = library.nn.utils.clip_grad_norm([param], 1.0)
        assert total.item() == 5.0
        assert param.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
