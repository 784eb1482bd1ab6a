"""Stochastic depth: training with some of the residual branches switched off at random (Huang et al., 2016)."""

from __future__ import annotations

import flambeau
from flambeau import Tensor, nn
from flambeau.errors import ArgumentValueError

__all__ = ["StochasticDepth", "stochastic_depth"]


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Set all of `input` (mode "batch") or whole samples of it (mode "row") to zero with probability `p`.

    What is kept is divided by ``1 - p``, so that the mean stays. Without `training` nothing happens.

    >>> import flambeau as torch
    >>> torch.vision.ops.stochastic_depth(torch.ones(2, 3), 1.0, "row")
    tensor([[0., 0., 0.],
            [0., 0., 0.]])

    Raises ValueError for a probability outside 0..1 and for another mode.
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentValueError(f"drop probability has to be between 0 and 1, but got {p}")
    if mode not in ("batch", "row"):
        raise ArgumentValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0.0:
        return input
    kept = 1.0 - p
    count = input.shape[0] if mode == "row" else 1
    noise = flambeau.empty([count] + [1] * (input.ndim - 1), dtype=input.dtype, device=input.device).bernoulli_(kept)
    if kept > 0.0:
        noise.div_(kept)
    return input * noise


class StochasticDepth(nn.Module):
    """`stochastic_depth` as a layer: it does nothing in eval mode.

    Args:
        p: probability of a zero.
        mode: "batch" for all samples at once, "row" for each by itself.
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        """The input, or zeros in its place."""
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, mode={self.mode})"
