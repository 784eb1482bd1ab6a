"""What all losses share: the word for the reduction, its two old forms, and the reduction itself."""

from __future__ import annotations

import warnings
from typing import Any

from flambeau.errors import ArgumentValueError
from flambeau.tensor import Tensor

REDUCTIONS = ("none", "mean", "sum")
# Those that PyTorch has under `torch` too, where the reduction is its number in `REDUCTIONS`.
_NUMBERED = frozenset((
    "binary_cross_entropy_with_logits", "cosine_embedding_loss", "ctc_loss", "hinge_embedding_loss", "kl_div",
    "margin_ranking_loss", "poisson_nll_loss", "triplet_margin_loss"))


def checked_reduction(op: str, reduction: Any, size_average: Any = None, reduce: Any = None) -> str:
    """"none", "mean" or "sum", from the argument or the two deprecated ones. ValueError for anything else."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
                      stacklevel=3)
    if reduction.__class__ is int and op in _NUMBERED and 0 <= reduction <= 2:
        reduction = REDUCTIONS[reduction]
    if reduction not in REDUCTIONS:
        raise ArgumentValueError(f"{reduction} is not a valid value for reduction; {op}: allowed: none, mean, sum")
    return reduction


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """Element-wise losses as they are, their mean or their sum."""
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses


def weighted(losses: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """Losses that a weight was multiplied into, reduced; their mean is over the weights."""
    if reduction == "mean":
        return losses.sum() / weight.expand(losses._array.shape).sum()
    return reduced(losses, reduction)


def warn_sizes(input: Tensor, target: Tensor) -> None:
    """Say that input and target are broadcast, which is rarely meant."""
    if input._array.shape != target._array.shape:
        warnings.warn(f"Using a target size ({target.shape}) that is different to the input size ({input.shape}): the "
                      "two are broadcast, and the loss is then rarely the one that is meant. Give them one shape, for "
                      "example with unsqueeze() or squeeze()", stacklevel=3)
