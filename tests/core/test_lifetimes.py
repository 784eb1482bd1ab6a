"""Nothing that a program dropped stays alive until the garbage collector comes: counted with the collector off."""

from __future__ import annotations

import gc

import pytest

import flambeau
from exponential import Exponential, leaf
from flambeau.graph import Node
from flambeau.tensor import Tensor


def train():
    flambeau.nn.functional.cross_entropy(train.model(flambeau.ones(2, 3)), flambeau.tensor([0, 1])).backward()
    train.optimizer.step()
    train.optimizer.zero_grad()


train.model = flambeau.nn.Sequential(flambeau.nn.Linear(3, 4), flambeau.nn.LayerNorm(4), flambeau.nn.Dropout(0.5),
                                     flambeau.nn.ReLU(inplace=True), flambeau.nn.Linear(4, 2))
train.optimizer = flambeau.optim.Adam(train.model.parameters())


def change_views():
    x = leaf() * 1
    x[1:].mul_(2)
    x.exp_()
    (x * x).sum().backward()


def change_a_view_without_backward():
    x = leaf() * 1
    view = x[1:]
    view.sigmoid_()
    x.tanh_()


def hooks():
    x = leaf()
    y = x * 3
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    y.mul_(2)
    x.register_post_accumulate_grad_hook(lambda tensor: None)
    y.sum().backward()


def hook_that_raises():
    y = leaf().exp()
    y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()


def function():
    Exponential.apply(leaf()).sum().backward()


def function_without_backward():
    Exponential.apply(leaf())


def second_order():
    x = leaf()
    gradient, = flambeau.autograd.grad((x ** 3).sum(), x, create_graph=True)
    flambeau.autograd.grad(gradient.sum(), x)


def checkpointed():
    flambeau.utils.checkpoint.checkpoint(lambda x: x.exp().tanh(), leaf(), use_reentrant=False).sum().backward()


PROGRAMS = [train, change_views, change_a_view_without_backward, hooks, hook_that_raises, function,
            function_without_backward, second_order, checkpointed]


def alive():
    return sum(issubclass(type(each), (Tensor, Node)) for each in gc.get_objects())


@pytest.mark.parametrize("program", PROGRAMS, ids=[each.__name__ for each in PROGRAMS])
def test_nothing_stays_alive(program):
    for _ in range(3):
        program()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(30):
            program()
        assert alive() == before
    finally:
        gc.enable()
