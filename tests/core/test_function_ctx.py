"""The ctx of a `Function` and its node: which holds which, and what may be read from either."""

from __future__ import annotations

import pytest

import flambeau
from exponential import Exponential, leaf


def test_ctx_without_its_graph_says_so():
    kept = []

    class Keeper(Exponential):
        @staticmethod
        def forward(ctx, x):
            kept.append(ctx)
            return Exponential.forward(ctx, x)
    y = Keeper.apply(leaf())
    assert kept[0].saved_tensors[0].tolist() == [1., 1., 1.]
    del y
    with pytest.raises(RuntimeError, match="graph that this ctx belongs to is gone"):
        _ = kept[0].saved_tensors


def test_attributes_of_the_ctx_are_attributes_of_the_node():
    class Scale(flambeau.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.factor = factor
            ctx.save_for_backward(x)
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None
    node = Scale.apply(leaf(), 3).grad_fn
    assert node.factor == 3 and node.saved_tensors[0].tolist() == [1., 1., 1.]
    assert node.needs_input_grad == (True, False)
    with pytest.raises(AttributeError, match="nothing"):
        _ = node.nothing
