"""A `Function` that saves an input and an output, for the tests of what keeps what alive."""

from __future__ import annotations

import flambeau


class Exponential(flambeau.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        result = x.exp()
        ctx.save_for_backward(x, result)
        return result

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[1]


def leaf():
    return flambeau.ones(3, requires_grad=True)
