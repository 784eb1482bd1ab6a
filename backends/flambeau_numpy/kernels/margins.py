"""Margin losses of classifiers and their gradients, in a few passes over the scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet


def _reduced(losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    total = np.add.reduce(losses)
    return total / losses.dtype.type(losses.size) if reduction == "mean" else total


def _share(grad: Any, reduction: str, rows: int, classes: int) -> Any:
    """What of the gradient reaches each hinge of each row."""
    if reduction == "none":
        return grad[:, None] / grad.dtype.type(classes)
    return grad / grad.dtype.type(classes * rows if reduction == "mean" else classes)


def _hinges(input: Any, target: Any, margin: float) -> Any:
    rows = np.arange(len(input))
    gaps = input - (input[rows, target] - input.dtype.type(margin))[:, None]
    gaps[~(gaps > 0)] = 0     # nan is no gap
    gaps[rows, target] = 0
    return gaps


def _multi_margin_loss(input: Any, target: Any, p: int, margin: float, weight: Any, reduction: str) -> Any:
    gaps = _hinges(input, target, margin)
    if p == 2:
        gaps *= gaps
    losses = np.add.reduce(gaps, 1) / input.dtype.type(input.shape[1])
    return _reduced(losses if weight is None else (losses * weight[target]).astype(losses.dtype), reduction)


def _multi_margin_loss_backward(grad: Any, input: Any, target: Any, p: int, margin: float, weight: Any,
                                reduction: str) -> Any:
    gaps = _hinges(input, target, margin)
    slopes = gaps * input.dtype.type(2) if p == 2 else (gaps > 0).astype(input.dtype)
    slopes[np.arange(len(input)), target] = -np.add.reduce(slopes, 1)
    if weight is not None:
        slopes *= weight[target, None].astype(input.dtype)
    slopes *= _share(grad, reduction, *input.shape)
    return slopes


def _all_gaps(input: Any, target: Any) -> tuple[Any, Any, Any, Any]:
    """The gaps (N, longest list, C), which of them count, the classes listed, and which are before the first -1."""
    listed = np.logical_and.accumulate(target >= 0, 1)
    longest = max(1, int(np.add.reduce(listed, 1).max()))
    listed = listed[:, :longest]
    places = np.where(listed, target[:, :longest], 0)
    own = np.zeros(input.shape, bool)
    rows = np.nonzero(listed)[0]
    own[rows, places[listed]] = True
    picked = np.take_along_axis(input, places, 1)
    gaps = input[:, None, :] - (picked - input.dtype.type(1))[:, :, None]
    wrong = gaps > 0      # nan is no gap
    wrong &= ~own[:, None, :]
    wrong &= listed[:, :, None]
    return gaps, wrong, places, listed


def _multilabel_margin_loss(input: Any, target: Any, reduction: str) -> Any:
    gaps, wrong, _, _ = _all_gaps(input, target)
    return _reduced(np.add.reduce(np.where(wrong, gaps, 0), (1, 2)) / input.dtype.type(input.shape[1]), reduction)


def _multilabel_margin_loss_backward(grad: Any, input: Any, target: Any, reduction: str) -> Any:
    _, wrong, places, listed = _all_gaps(input, target)
    slopes = np.add.reduce(wrong, 1, input.dtype)
    np.subtract.at(slopes, (np.nonzero(listed)[0], places[listed]), np.add.reduce(wrong, 2, input.dtype)[listed])
    slopes *= _share(grad, reduction, *input.shape)
    return slopes


KERNELS: dict[str, Any] = {
    "multi_margin_loss": quiet(_multi_margin_loss),
    "multi_margin_loss_backward": quiet(_multi_margin_loss_backward),
    "multilabel_margin_loss": quiet(_multilabel_margin_loss),
    "multilabel_margin_loss_backward": quiet(_multilabel_margin_loss_backward),
}
