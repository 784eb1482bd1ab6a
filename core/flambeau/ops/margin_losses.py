"""Margin losses of classifiers: the score of the right class, or classes, against all others.

All pairs are compared at once. The two that PyTorch has as one step are records with a gradient of their own, which
costs one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import dispatch, dtypes
from flambeau.dtypes import scalar_name
from flambeau.errors import ArgumentError, ArgumentValueError, DtypeError, ShapeError, UnsupportedDtypeError
from flambeau.ops._losses import REDUCTIONS, checked_reduction, reduced
from flambeau.ops._samples import Calls
from flambeau.ops.activation import logsigmoid
from flambeau.ops.creation import arange
from flambeau.ops.normalization import pairwise_distance
from flambeau.tensor import Tensor


# ---------------------------------------------------------------------------------------------- samples
def _classes(make: Any, data: Any) -> Any:
    return make.fixed(data, dtype=dtypes.int64)


def _samples_multi(make: Any) -> Calls:
    """Of class indices: every reduction, both powers, weights, and one sample without a batch."""
    if make.dtype.is_floating_point:
        for number, reduction in enumerate(REDUCTIONS):
            yield (make.distinct(3, 4), _classes(make, [2, 0, 3])), {"reduction": reduction, "p": 1 + number % 2}
        weight = make(4, low=0.25, high=2, requires_grad=False)
        yield (make.distinct(3, 4), _classes(make, [2, 0, 2]), 2, 0.625, weight), {}
        yield (make.distinct(4), _classes(make, 1)), {"margin": 2.125}


def _samples_multilabel(make: Any) -> Calls:
    """Of lists of classes that end at the first -1, one of them empty, one full."""
    if make.dtype.is_floating_point:
        targets = [[3, 0, -1, 1], [-1, 2, 0, 0], [0, 1, 2, 3]]
        for reduction in REDUCTIONS:
            yield (make.distinct(3, 4), _classes(make, targets)), {"reduction": reduction}
        yield (make.distinct(4), _classes(make, [1, 2, -1, 0])), {}


def _samples_soft(make: Any) -> Calls:
    for reduction in REDUCTIONS:
        yield (make(2, 3), make(2, 3, low=0, high=1)), {"reduction": reduction}
    yield (make(2, 3), make(2, 3, low=0, high=1), make(3, low=0.25, high=2)), {}


def _samples_triplet(make: Any) -> Calls:
    for reduction in REDUCTIONS:
        yield (make(3, 4), make(3, 4), make(3, 4)), {"reduction": reduction, "margin": 4.0,
                                                     "swap": reduction == "sum"}


def _samples_multi_backward(make: Any) -> Calls:
    if make.dtype.is_floating_point:
        weight = make(4, low=0.25, high=2, requires_grad=False)
        yield (make(), make.distinct(3, 4), _classes(make, [2, 0, 3]), 1, 1.125, None, "mean"), {}
        yield (make(3), make.distinct(3, 4), _classes(make, [2, 0, 2]), 2, 0.625, weight, "none"), {}


def _samples_multilabel_backward(make: Any) -> Calls:
    if make.dtype.is_floating_point:
        targets = _classes(make, [[3, 0, -1, 1], [-1, 2, 0, 0], [0, 1, 1, 3]])
        yield (make(), make.distinct(3, 4), targets, "mean"), {}
        yield (make(3), make.distinct(3, 4), targets, "none"), {}


def _share(grad: Tensor, reduction: str, rows: int, classes: int) -> Tensor:
    """What of the gradient reaches each hinge of each row."""
    if reduction == "none":
        return grad.unsqueeze(1) / classes
    return grad / (classes * rows if reduction == "mean" else classes)


# ---------------------------------------------------------------------------------------------- one class
def _hinges(input: Tensor, target: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """By how much each class comes too near the target's, and which entry is the target's."""
    own = arange(input._array.shape[1], device=input.device) == target.unsqueeze(1)
    gaps = input - input.gather(1, target.unsqueeze(1)) + margin
    return gaps.masked_fill(own | ~(gaps > 0), 0), own    # nan is no gap


@dispatch.operator(method=False, namespace="internal", samples=_samples_multi_backward)
def multi_margin_loss_backward(grad: Tensor, input: Tensor, target: Tensor, p: int, margin: float,
                               weight: Tensor | None, reduction: str) -> Tensor:
    """The slopes of the hinges, and minus their sum at the target's class."""
    rows, classes = input._array.shape
    gaps, own = _hinges(input, target, margin)
    slopes = gaps * 2 if p == 2 else (gaps > 0).to(input._kind.dtype)
    if weight is not None:
        slopes = slopes * weight.index_select(0, target).unsqueeze(1)
    slopes = slopes - slopes.sum(1, keepdim=True) * own.to(input._kind.dtype)
    return slopes * _share(grad, reduction, rows, classes)


@dispatch.operator(namespace="nn.functional", method=False, samples=_samples_multi, vjp={
    "input": lambda g, input, target, p, margin, weight, reduction:
        multi_margin_loss_backward(g, input, target, p, margin, weight, reduction)})
def _multi_margin_loss(input: Tensor, target: Tensor, p: int, margin: float, weight: Tensor | None,
                       reduction: str) -> Tensor:
    """The hinges of each row (or their squares) over the number of classes, weighted by the target's class."""
    gaps, _ = _hinges(input, target, margin)
    losses = (gaps * gaps if p == 2 else gaps).sum(1) / input._array.shape[1]
    if weight is not None:
        losses = losses * weight.index_select(0, target)
    return reduced(losses, reduction)


def _check_scores(op: str, input: Tensor, target: Tensor) -> None:
    shape = input._array.shape
    if len(shape) > 2 or 0 in shape[-1:]:
        raise ShapeError(f"{op}: Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
                         f"{list(shape)}")
    if target._kind.dtype is not dtypes.int64:
        raise DtypeError(f"{op}: expected scalar type Long but found {scalar_name(target._kind.dtype)}; classes are "
                         "int64")
    if not input._kind.dtype.is_floating_point:
        raise UnsupportedDtypeError(f"{op}: \"{op}\" not implemented for '{scalar_name(input._kind.dtype)}'; convert "
                                    "the input to floats")


@dispatch.front(_multi_margin_loss)
def multi_margin_loss(input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None,
                      size_average: Any = None, reduce: Any = None, reduction: str = "mean") -> Tensor:
    """max(0, margin - score of the target's class + score of another) ** p, averaged over the other classes.

    Scores are (N, C) or (C), int64 targets (N) or (); `p` is 1 or 2, ValueError otherwise; `weight` weighs target
    classes. RuntimeError for a class outside the range.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.multi_margin_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.multi_margin_loss(torch.tensor([[0.1, 0.2, 0.4, 0.8]]), torch.tensor([3]))
    tensor(0.3250)
    """
    op = "multi_margin_loss"
    reduction = checked_reduction(op, reduction, size_average, reduce)
    if p not in (1, 2):
        raise ArgumentValueError(f"{op}: only p == 1 and p == 2 supported; given: {p}")
    if weight is not None and weight.dim() != 1:
        raise ArgumentValueError(f"{op}: weight must be one-dimensional; given: {list(weight._array.shape)}")
    _check_scores(op, input, target)
    rows = input if input.dim() == 2 else input.reshape(1, -1)
    if target.dim() > 1 or target.numel() != rows._array.shape[0]:
        raise ShapeError(f"{op}: target tensor should be 1-D with size equal to the number of input samples (batch "
                         f"size). Expected target size [{rows._array.shape[0]}], but got {list(target._array.shape)}. "
                         f"Input has shape {list(input._array.shape)}.")
    classes = rows._array.shape[1]
    if weight is not None and weight.numel() != classes:
        raise ShapeError(f"{op}: inconsistent weight size, expected {classes} but got {list(weight._array.shape)}")
    if bool(((target < 0) | (target >= classes)).any()):
        raise ArgumentError(f"{op}: target out of range; classes are 0 to {classes - 1}")
    if not rows._array.shape[0]:   # a mean of nothing is 0 here, unlike elsewhere
        return input.sum() if reduction != "none" else input.sum(1)
    result: Tensor = _multi_margin_loss(rows, target.reshape(-1), int(p), float(margin), weight, reduction)
    return result.squeeze(0) if reduction == "none" and not target.dim() else result


# ---------------------------------------------------------------------------------------------- several classes
def _all_gaps(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """max(0, 1 - score of a row's class + score of a class that it has not): (N, longest list, C); and the lists with
    0 for what is behind the first -1."""
    listed = (target >= 0).to(dtypes.int64).cumprod(1)
    longest = max(1, int(listed.sum(1).max()))
    listed = listed.narrow(1, 0, longest) != 0
    places = target.narrow(1, 0, longest).masked_fill(~listed, 0)
    own = input.detach().new_zeros(input._array.shape).scatter_add(1, places, listed.to(input._kind.dtype)) != 0
    gaps = 1 - input.gather(1, places).unsqueeze(2) + input.unsqueeze(1)
    counts = listed.unsqueeze(2) & ~own.unsqueeze(1) & (gaps > 0)   # nan is no gap
    return gaps.masked_fill(~counts, 0), places


@dispatch.operator(method=False, namespace="internal", samples=_samples_multilabel_backward)
def multilabel_margin_loss_backward(grad: Tensor, input: Tensor, target: Tensor, reduction: str) -> Tensor:
    """How many hinges each class that a row has not is in, and minus how many each class that it has."""
    rows, classes = input._array.shape
    gaps, places = _all_gaps(input, target)
    wrong = (gaps > 0).to(input._kind.dtype)
    slopes = wrong.sum(1).scatter_add(1, places, -wrong.sum(2))
    return slopes * _share(grad, reduction, rows, classes)


@dispatch.operator(namespace="nn.functional", method=False, samples=_samples_multilabel, vjp={
    "input": lambda g, input, target, reduction: multilabel_margin_loss_backward(g, input, target, reduction)},
    grad_name="MultilabelMarginLossBackward0")
def _multilabel_margin_loss(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    """The hinges of each row between all its classes and all others, over the number of classes."""
    return reduced(_all_gaps(input, target)[0].sum((1, 2)) / input._array.shape[1], reduction)


@dispatch.front(_multilabel_margin_loss)
def multilabel_margin_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
                           reduction: str = "mean") -> Tensor:
    """max(0, 1 - score of a right class + score of a wrong one), summed over all such pairs, over the classes.

    Scores are (N, C) or (C); int64 targets of the same shape list the right classes of a row up to the first -1.
    RuntimeError for a class outside the range.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.multilabel_margin_loss.html

    >>> import flambeau as torch
    >>> scores = torch.tensor([[0.1, 0.2, 0.4, 0.8]])
    >>> torch.nn.functional.multilabel_margin_loss(scores, torch.tensor([[3, 0, -1, 1]]))
    tensor(0.8500)
    """
    op = "multilabel_margin_loss"
    reduction = checked_reduction(op, reduction, size_average, reduce)
    _check_scores(op, input, target)
    if target._array.shape != input._array.shape:
        raise ShapeError(f"{op}: inconsistent target size: {list(target._array.shape)} for input of size: "
                         f"{list(input._array.shape)}")
    if input.dim() < 2:
        rows, target = input.reshape(1, -1), target.reshape(1, -1)
    else:
        rows = input
    if bool(((target < -1) | (target >= rows._array.shape[1])).any()):
        raise ArgumentError(f"{op}: argument #2 'target' is out of range; classes are 0 to "
                            f"{rows._array.shape[1] - 1}, and -1 ends the list")
    if not rows._array.shape[0]:   # a mean of nothing is 0 here, unlike elsewhere
        return input.sum() if reduction != "none" else input.sum(1)
    result: Tensor = _multilabel_margin_loss(rows, target, reduction)
    return result.squeeze(0) if reduction == "none" and input.dim() < 2 else result


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_soft)
def multilabel_soft_margin_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
                                reduce: Any = None, reduction: str = "mean") -> Tensor:
    """Cross entropy of sigmoid(input) with targets of 0 and 1, averaged over the last dimension, the classes.

    `weight` weighs classes.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.multilabel_soft_margin_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.multilabel_soft_margin_loss(torch.zeros(1, 3), torch.tensor([[1., 0., 1.]]))
    tensor(0.6931)
    """
    op = "multilabel_soft_margin_loss"
    if size_average is not None or reduce is not None:
        reduction = checked_reduction(op, reduction, size_average, reduce)
    if reduction not in REDUCTIONS:
        raise ArgumentValueError(f"{reduction} is not valid for reduction; {op}: allowed: {', '.join(REDUCTIONS)}")
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        losses = losses * weight
    return reduced(losses.sum(-1) / input._array.shape[-1], reduction)


# ---------------------------------------------------------------------------------------------- a distance of one's own
@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_triplet)
def triplet_margin_with_distance_loss(anchor: Tensor, positive: Tensor, negative: Tensor, *,
                                      distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
                                      margin: float = 1.0, swap: bool = False, reduction: str = "mean") -> Tensor:
    """max(0, distance to the positive - distance to the negative + margin), with any function of two tensors.

    `distance_function` is `pairwise_distance` if left out; `swap` takes the positive's distance to the negative where
    that is smaller. ValueError for a margin that is not above 0.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.triplet_margin_with_distance_loss.html

    >>> import flambeau as torch
    >>> a = torch.zeros(1, 2)
    >>> torch.nn.functional.triplet_margin_with_distance_loss(a, a, a, distance_function=lambda x, y: (x - y).sum(-1))
    tensor(1.)
    """
    op = "triplet_margin_with_distance_loss"
    reduction = checked_reduction(op, reduction)
    if margin <= 0:
        raise ArgumentValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise ShapeError(f"{op}: The anchor, positive, and negative tensors are expected to have the same number of "
                         f"dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and negative "
                         f"{negative.dim()}D inputs")
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduced((near - far + margin).clamp(min=0), reduction)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
