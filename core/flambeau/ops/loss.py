"""Losses: how far predictions are from targets, as one number or element by element.

A classifier's usual loss, the mean cross entropy of rows of logits with class indices, is one operator with one
gradient, `cross_entropy_mean`, because it is in the inner loop of most programs; everything else is put together from
operators. Losses of elements are in `loss_elements`.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from flambeau import dispatch, dtypes
from flambeau.errors import (
    ArgumentError,
    ArgumentValueError,
    DimensionError,
    DtypeError,
    ShapeError,
    UnsupportedDtypeError,
)
from flambeau.ops import _faces
from flambeau.ops._losses import REDUCTIONS, checked_reduction, reduced
from flambeau.ops._samples import Calls
from flambeau.ops.joining import cat
from flambeau.ops.softmax import _log_softmax_backward_data, log_softmax
from flambeau.ops.special import xlogy
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

NONE, MEAN, SUM = REDUCTIONS


def _check_classes(input: Tensor, target: Tensor, ignore_index: int) -> None:
    """Refuse class indices outside the range; IndexError as PyTorch."""
    classes = input._array.shape[1 if len(input._array.shape) > 1 else 0]
    wrong = (target != ignore_index) & ((target < 0) | (target >= classes))
    if bool(wrong.any()):
        first = int(target.masked_select(wrong)[0].item())
        raise DimensionError(f"Target {first} is out of bounds: classes are 0 to {classes - 1}, or {ignore_index} for "
                             "elements to ignore")


# ---------------------------------------------------------------------------------------------- samples
_ROWS = [3, 0, 1, 0]                    # classes of four rows, out of four
_PIXELS = [[1, 0, 2], [2, 1, 1]]        # and of a batch of two with three places each, out of three


def _classes(make: Any, classes: Any) -> Any:
    return make.fixed(classes, dtype=dtypes.int64)


def _weights(make: Any, count: int) -> Any:
    return make(count, low=0.25, high=2, requires_grad=False)   # the weights of classes are constants


def _samples_mean(make: Any) -> Calls:
    yield (make(4, 4), _classes(make, _ROWS), -100), {}
    yield (make(4, 4), _classes(make, _ROWS), 0), {}


def _samples_mean_backward(make: Any) -> Calls:
    if make.dtype.is_floating_point:
        yield (make(), make(4, 4, low=-3, high=-0.1), _classes(make, _ROWS), -100), {}
        yield (make(), make(4, 4, low=-3, high=-0.1), _classes(make, _ROWS), 0), {}


def _samples_nll_backward(make: Any) -> Calls:
    yield (make(), _classes(make, _ROWS), None, "mean", -100, (4, 4)), {}
    yield (make(), _classes(make, _ROWS), _weights(make, 4), "mean", 0, (4, 4)), {}
    yield (make(), _classes(make, _ROWS), _weights(make, 4), "sum", 3, (4, 4)), {}
    yield (make(2, 3), _classes(make, _PIXELS), _weights(make, 3), "none", 1, (2, 3, 3)), {}


def _samples_nll(make: Any) -> Calls:
    """Of class indices: weights, a class to ignore, every reduction, places, and no batch."""
    yield (make(4, 4), _classes(make, _ROWS)), {}
    yield (make(4, 4), _classes(make, _ROWS), _weights(make, 4)), {"ignore_index": 0}
    yield (make(4, 4), _classes(make, _ROWS), _weights(make, 4)), {"reduction": "sum", "ignore_index": 3}
    yield (make(2, 3, 3), _classes(make, _PIXELS), _weights(make, 3)), {"reduction": "none", "ignore_index": 1}
    yield (make(4), _classes(make, 2)), {}


def _samples_cross_entropy(make: Any) -> Calls:
    """Those of class indices, smoothed, and of probabilities."""
    yield from _samples_nll(make)
    for reduction in REDUCTIONS:
        yield (make(4, 4), _classes(make, _ROWS), _weights(make, 4)), {
            "ignore_index": 0, "label_smoothing": 0.25, "reduction": reduction}
        yield (make(3, 4), make.probabilities(3, 4)), {"reduction": reduction}
    yield (make(2, 3, 2), make.probabilities(2, 3, 2), _weights(make, 3)), {"label_smoothing": 0.25}


def _samples_kl_div(make: Any) -> Calls:
    for reduction in (*REDUCTIONS, "batchmean"):
        yield (make(3, 4, low=-4, high=-0.1), make.probabilities(3, 4)), {"reduction": reduction}
    yield (make(2, 3), make(2, 3, low=-4, high=-0.1)), {"log_target": True}


# ---------------------------------------------------------------------------------------------- the usual case
def _cross_entropy_shape(input: Tensor, target: Tensor, ignore_index: int) -> Shape:
    _check_classes(input, target, ignore_index)
    return ()


@dispatch.operator(method=False, samples=_samples_mean_backward)
def _cross_entropy_mean_backward(grad: Tensor, logs: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """(softmax - one_hot) * grad / rows, from the logarithm of softmax; ignored rows get nothing."""
    kept = target != ignore_index
    places = target.masked_fill(~kept, 0).unsqueeze(1)
    one_hot = logs.detach().new_zeros(logs._array.shape).scatter(1, places, 1.0)
    scale = grad / kept.sum()
    return ((logs.exp() - one_hot) * scale).masked_fill(~kept.unsqueeze(1), 0)


def _cross_entropy_gradient(g: Any, logs: Tensor, target: Tensor, ignore_index: int) -> Any:
    through_loss = None if g[0] is None else _cross_entropy_mean_backward(g[0], logs, target, ignore_index)
    if g[1] is None:
        return through_loss
    through_logs = _log_softmax_backward_data(g[1], logs, 1)   # higher derivatives come this way
    return through_logs if through_loss is None else through_loss + through_logs


@dispatch.operator(outputs=("loss", "logs"), method=False, grad_name="NllLossBackward0",
                   shape_rule=_cross_entropy_shape, samples=_samples_mean, vjp={
    "input": lambda g, logs, target, ignore_index: _cross_entropy_gradient(g, logs, target, ignore_index)})
def _cross_entropy_mean(input: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """The mean of -log_softmax at the target's classes, for (rows, classes) and (rows,); and log_softmax itself."""
    logs = log_softmax(input, 1)
    return nll_loss(logs, target, ignore_index=ignore_index), logs


# ---------------------------------------------------------------------------------------------- class indices
@dispatch.operator(method=False, samples=_samples_nll_backward)
def _nll_loss_backward(grad: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int,
                       shape: Shape) -> Tensor:
    """The gradient of nll_loss: minus the weights, at the target's places."""
    factors = _class_weights(target, weight, ignore_index, grad._kind.dtype)
    if reduction == MEAN:
        factors = factors / factors.sum()
    places = target.masked_fill(target == ignore_index, 0).unsqueeze(1)
    return grad.new_zeros(shape).scatter(1, places, -(factors * grad).unsqueeze(1))


def _class_weights(target: Tensor, weight: Tensor | None, ignore_index: int, kind: dtypes.dtype) -> Tensor:
    """The weight of each element by its class; 0 for those to ignore."""
    kept = target != ignore_index
    if weight is None:
        return kept.to(kind)
    flat = target.masked_fill(~kept, 0).reshape(-1)
    return weight.index_select(0, flat).reshape(target._array.shape) * kept.to(weight._kind.dtype)


def _nll_name(node: Any) -> str:
    edge = node.edges[0]
    shape = None if edge is None else edge[0].shape
    wide = isinstance(shape, tuple) and len(shape) > 2 and isinstance(shape[0], int)
    return "NllLoss2DBackward0" if wide or len(node.shape) > 1 else "NllLossBackward0"


def _nll_shape(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int) -> Shape:
    _check_classes(input, target, ignore_index)
    return tuple(target._array.shape) if reduction == NONE else ()


@dispatch.operator(namespace="nn.functional", method=False, grad_name=_nll_name, shape_rule=_nll_shape,
                   samples=_samples_nll, vjp={
    "input": lambda g, target, weight, reduction, ignore_index, input_shape:
        _nll_loss_backward(g, target, weight, reduction, ignore_index, input_shape)})
def _nll_loss(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int) -> Tensor:
    """Minus the input at the target's classes (dimension 1), weighted by class."""
    _check_classes(input, target, ignore_index)
    factors = _class_weights(target, weight, ignore_index, input._kind.dtype)
    places = target.masked_fill(target == ignore_index, 0).unsqueeze(1)
    picked = input.gather(1, places).squeeze(1).masked_fill(target == ignore_index, 0)
    losses = -picked * factors
    if reduction == MEAN:
        return losses.sum() / factors.sum()
    return losses.sum() if reduction == SUM else losses


def _check_target(op: str, input: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Class indices as int64 that fit the input, both with a batch dimension."""
    for name, each in (("input", input), ("target", target)):
        _faces.as_tensor_argument(op, name, each)
    a, b = input._array.shape, target._array.shape
    if not a:
        raise ShapeError(f"{op}: input must have at least one dimension, the classes; given: a number")
    if target._kind.dtype not in (dtypes.int64, dtypes.uint8):
        raise DtypeError(f"{op}: expected scalar type Long but found {_faces.scalar_name(target._kind.dtype)}; class "
                         "indices are int64")
    if len(a) == 1 and not b:
        input, target = input.unsqueeze(0), target.unsqueeze(0)
    elif a[:1] != b[:1]:
        raise ArgumentValueError(f"Expected input batch_size ({a[0]}) to match target batch_size "
                                 f"({b[0] if b else 1}); {op}")
    elif a[2:] != b[1:]:
        raise ShapeError(f"{op}: Expected target size {[a[0], *a[2:]]}, got {list(b)}")
    if weight is not None and weight._array.shape != (input._array.shape[1],):
        raise ShapeError(f"{op}: weight tensor should be defined either for all {input._array.shape[1]} classes or no "
                         f"classes but got weight tensor of shape: {list(weight._array.shape)}")
    return input, target if target._kind.dtype is dtypes.int64 else target.to(dtypes.int64)


@dispatch.front(_nll_loss)
def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
             ignore_index: int = -100, reduce: Any = None, reduction: str = "mean") -> Tensor:
    """Minus the log-probability of each element's class: input (N, C, ...) with int64 classes (N, ...).

    `weight` weighs classes, elements of class `ignore_index` do not count; the mean is over weights. IndexError for
    a class outside the range.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.nll_loss.html

    >>> import flambeau as torch
    >>> logs = torch.tensor([[-0.5, -1.0]])
    >>> torch.nn.functional.nll_loss(logs, torch.tensor([1]))
    tensor(1.)
    """
    reduction = checked_reduction("nll_loss", reduction, size_average, reduce)
    single = input.dim() == 1
    input, target = _check_target("nll_loss", input, target, weight)
    if not input._kind.dtype.is_floating_point:
        raise UnsupportedDtypeError(f"nll_loss: \"nll_loss_out_frame\" not implemented for "
                                    f"'{_faces.scalar_name(input._kind.dtype)}'; convert the input")
    result = _nll_loss(input, target, weight, reduction, ignore_index)
    return result.squeeze(0) if single and reduction == NONE else result


# ---------------------------------------------------------------------------------------------- logits
@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_cross_entropy)
def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
                  ignore_index: int = -100, reduce: Any = None, reduction: str = "mean",
                  label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy of logits (N, C, ...) with class indices (N, ...) or with probabilities of the logits' shape.

    `weight` weighs classes, elements of class `ignore_index` do not count, and `label_smoothing` mixes the target with
    the uniform distribution. IndexError for a class outside the range.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html

    >>> import flambeau as torch
    >>> torch.nn.functional.cross_entropy(torch.tensor([[0., 0.]]), torch.tensor([1]))
    tensor(0.6931)
    """
    if size_average is not None or reduce is not None or reduction != "mean":
        reduction = checked_reduction("cross_entropy", reduction, size_average, reduce)
    if not isinstance(input, Tensor) or not isinstance(target, Tensor):
        _check_target("cross_entropy", input, target, weight)
    shape = input._array.shape
    if (reduction == MEAN and weight is None and len(shape) == 2 and target._array.shape == shape[:1]
            and label_smoothing == 0 and target._kind.dtype is dtypes.int64 and input._kind.dtype.is_floating_point
            and shape[1]):
        return _cross_entropy_mean(input, target, ignore_index)[0]
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentValueError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if shape == target._array.shape and target._kind.dtype.is_floating_point:
        return _of_probabilities(input, target, weight, reduction, label_smoothing)
    logs = log_softmax(input, 0 if len(shape) == 1 else 1)
    plain = nll_loss(logs, target, weight, None, ignore_index, None, reduction)
    if not label_smoothing:
        return plain
    return _smoothed(logs, plain, target, weight, reduction, ignore_index, label_smoothing)


def _smoothed(logs: Tensor, plain: Tensor, target: Tensor, weight: Tensor | None, reduction: str, ignore_index: int,
              smoothing: float) -> Tensor:
    """Mix the loss of the targets with that of the uniform distribution over classes."""
    dim = 0 if logs.dim() == 1 else 1
    classes = logs._array.shape[dim]
    uniform = -(logs if weight is None else logs * _along(weight, logs.dim(), dim)).sum(dim)
    uniform = uniform.masked_fill(target == ignore_index, 0)
    if reduction == MEAN:
        total = _class_weights(target.to(dtypes.int64), weight, ignore_index, logs._kind.dtype).sum()
        uniform = uniform.sum() / total
    elif reduction == SUM:
        uniform = uniform.sum()
    return plain * (1 - smoothing) + uniform * (smoothing / classes)


def _along(weight: Tensor, ndim: int, dim: int) -> Tensor:
    return weight.reshape((1,) * dim + (-1,) + (1,) * (ndim - dim - 1))


def _of_probabilities(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str,
                      smoothing: float) -> Tensor:
    """Cross entropy with a distribution over the classes for each element."""
    dim = 0 if input.dim() == 1 else 1
    classes = input._array.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    terms = log_softmax(input, dim) * target
    if weight is not None:
        terms = terms * _along(weight, input.dim(), dim)
    if reduction == MEAN:
        return -terms.sum() / (input.numel() // classes if input.numel() else float("nan"))
    return -terms.sum() if reduction == SUM else -terms.sum(dim)


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_kl_div)
def kl_div(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
           log_target: bool = False) -> Tensor:
    """target * (log(target) - input), element by element: the input, and the target if `log_target`, are logarithms.

    `reduction` may also be "batchmean": the sum divided by the size of the batch.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.kl_div.html

    >>> import flambeau as torch
    >>> torch.nn.functional.kl_div(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.5, 0.5]]), reduction="batchmean")
    tensor(0.)
    """
    for each in (input, target):
        if not each._kind.dtype.is_floating_point:
            which = "Complex" if each._kind.dtype.is_complex else "Integral"
            raise DtypeError(f"kl_div: {which} inputs not supported; given: {_faces.scalar_name(each._kind.dtype)}; "
                             "convert them, for example to torch.float32")
    batchmean = reduction == "batchmean"
    reduction = checked_reduction("kl_div", SUM if batchmean else reduction, size_average, reduce)
    if log_target:
        terms = target.exp() * (target - input)
    else:
        terms = xlogy(target, target) - target * input
    result = reduced(terms, reduction)
    return result / input._array.shape[0] if batchmean and input.dim() else result


# ---------------------------------------------------------------------------------------------- from a linear layer
def _samples_linear(make: Any) -> Calls:
    """Of class indices, with a bias and weights, with further dimensions, and of probabilities."""
    if make.dtype.is_floating_point:
        for reduction in REDUCTIONS:
            yield (make(4, 3), make(4, 3), _classes(make, _ROWS)), {"linear_bias": make(4), "reduction": reduction,
                                                                    "weight": _weights(make, 4), "ignore_index": 1}
        yield (make(2, 4), make(3, 3, 4), _classes(make, _PIXELS)), {"label_smoothing": 0.25}
        yield (make(3, 2), make(4, 2), make.probabilities(3, 4)), {}


def _samples_pieces(make: Any) -> Calls:
    """Pieces of which the last is smaller, with every reduction, and one with a class to ignore."""
    if make.dtype.is_floating_point:
        for number, reduction in enumerate(REDUCTIONS):
            yield (make(4, 3), make(4, 3), make(4) if number else None, _classes(make, _ROWS),
                   _weights(make, 4) if number else None, reduction, number, 3, None), {}


def _pieces(rows: int, size: int) -> list[tuple[int, int]]:
    """(start, length) of each piece."""
    return [(start, min(size, rows - start)) for start in range(0, rows, size)]


def _scores(input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None, kind: dtypes.dtype) -> Tensor:
    """The scores of all classes for some rows, in the dtype for sums."""
    scores = input.to(kind).matmul(linear_weight.to(kind).t())
    return scores if linear_bias is None else scores + linear_bias.to(kind)


def _pieces_gradients(g: Tensor, input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None, target: Tensor,
                      weight: Tensor | None, reduction: str, ignore_index: int, size: int, sums: str | None,
                      needs: tuple[bool, ...]) -> tuple[Tensor | None, ...]:
    """The scores again, piece by piece: what the gradient of the loss is for each, and what of it each operand gets."""
    kind = dtypes.by_name(sums) if sums else input._kind.dtype
    factors = _class_weights(target, weight, ignore_index, kind)
    if reduction == MEAN:
        factors = factors / factors.sum()
    factors = (factors * g.to(kind)).unsqueeze(1)
    places = target.masked_fill(target == ignore_index, 0).unsqueeze(1)
    parts: list[Tensor] = []
    of_weight = of_bias = None
    for start, length in _pieces(input._array.shape[0], size):
        rows = input.narrow(0, start, length)
        chances = _scores(rows, linear_weight, linear_bias, kind).softmax(1)
        hits = chances.detach().new_zeros(chances._array.shape).scatter(1, places.narrow(0, start, length), 1.0)
        slopes = (chances - hits) * factors.narrow(0, start, length)
        if needs[0]:
            parts.append(slopes.matmul(linear_weight.to(kind)))
        if needs[1]:
            part = slopes.t().matmul(rows.to(kind))
            of_weight = part if of_weight is None else of_weight + part
        if needs[2]:
            of_bias = slopes.sum(0) if of_bias is None else of_bias + slopes.sum(0)
    return cat(parts, 0).to(input._kind.dtype) if needs[0] else None, of_weight, of_bias


@dispatch.operator(method=False, namespace="internal", samples=_samples_pieces, vjp={
    ("input", "linear_weight", "linear_bias"):
        lambda g, input, linear_weight, linear_bias, target, weight, reduction, ignore_index, size, sums, needs:
        _pieces_gradients(g, input, linear_weight, linear_bias, target, weight, reduction, ignore_index, size, sums,
                          needs)})
def _linear_cross_entropy_pieces(input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None, target: Tensor,
                                 weight: Tensor | None, reduction: str, ignore_index: int, size: int,
                                 sums: str | None) -> Tensor:
    """The loss with the scores of `size` rows at a time, which are computed again for the gradient.

    `sums` is the name of the scores' dtype, where that is not the input's. (Given as a dtype it would say what the
    result should be.)
    """
    kind = dtypes.by_name(sums) if sums else input._kind.dtype
    factors = weight if weight is None else weight.to(kind)
    losses = cat([nll_loss(log_softmax(_scores(input.narrow(0, start, length), linear_weight, linear_bias, kind), 1),
                           target.narrow(0, start, length), factors, ignore_index=ignore_index, reduction=NONE)
                  for start, length in _pieces(input._array.shape[0], size)], 0)
    if reduction == MEAN:
        losses = losses.sum() / _class_weights(target, factors, ignore_index, kind).sum()
    elif reduction == SUM:
        losses = losses.sum()
    return losses.to(input._kind.dtype)


def _check_linear(input: Tensor, linear_weight: Tensor, linear_bias: Tensor | None) -> None:
    op = "linear_cross_entropy"
    given, shape = input._array.shape, linear_weight._array.shape
    if not 1 <= len(given) <= 2:
        raise ShapeError(f"{op}: expected input with dimensionality 1 or 2, got {len(given)}")
    if len(shape) < 2:
        raise ShapeError(f"{op}: expected linear_weight with dimensionality at least 2, got {len(shape)}")
    if given[-1] != shape[-1]:
        raise ShapeError(f"{op}: expected equal input and linear_weight last dimensions (in_features), got {given[-1]} "
                         f"and {shape[-1]}, respectively")
    if linear_bias is not None and linear_bias._array.shape != shape[:-1]:
        raise ShapeError(f"{op}: expected linear_bias shape {tuple(shape[:-1])}, got {tuple(linear_bias._array.shape)}")
    if len(shape) > 2 and len(given) == 1:
        raise ShapeError(f"{op}: K-dimensional loss defined by linear_weight shape {tuple(shape)} requires batched "
                         f"input, (N, {given[-1]}), got unbatched input with shape {tuple(given)}")


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_linear)
def linear_cross_entropy(input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
                         weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None,
                         label_smoothing: float = 0.0, options: Any = None) -> Tensor:
    """`cross_entropy` of `linear(input, linear_weight, linear_bias)`.

    The input is (N, in_features) or (in_features); `linear_weight` (C, *, in_features), whose dimensions between give
    as many classifications of each input, and targets (N, *). `ignore_index` of None is -100, and must be None where
    the target holds probabilities. With `options`, a `nn.LinearCrossEntropyOptions`, only the scores of some rows at a
    time are held; that needs class indices, no smoothing and no dimensions between, and warns otherwise. RuntimeError
    for shapes that do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear_cross_entropy.html

    >>> import flambeau as torch
    >>> torch.nn.functional.linear_cross_entropy(torch.zeros(2, 3), torch.ones(4, 3), torch.tensor([1, 3]))
    tensor(1.3863)
    """
    _check_linear(input, linear_weight, linear_bias)
    classes, *between, size = linear_weight._array.shape
    if target._array.shape == (*input._array.shape[:-1], classes, *between) and ignore_index is not None:
        raise ArgumentError("linear_cross_entropy: ignore_index cannot be specified when target contains probabilities")
    ignored = -100 if ignore_index is None else ignore_index
    plain = reduction in REDUCTIONS and not label_smoothing and target.dtype is dtypes.int64 and not between
    if options is not None and not plain:
        warnings.warn("linear_cross_entropy: ``options`` ignored; pieces need reduction in {'mean','sum','none'}, "
                      "label_smoothing == 0, target.dtype == int64, out_features == (). Got "
                      f"reduction={reduction!r}, label_smoothing={label_smoothing}, target.dtype={target.dtype}, "
                      f"out_features={tuple(between)}.", stacklevel=2)
    if options is None or not plain:
        scores = input.matmul(linear_weight.reshape(math.prod((classes, *between)), size).t())
        if linear_bias is not None:
            scores = scores + linear_bias.reshape(-1)
        scores = scores.reshape((*input._array.shape[:-1], classes, *between))
        return cross_entropy(scores, target, weight, ignore_index=ignored, reduction=reduction,
                             label_smoothing=label_smoothing)
    rows = input if input.dim() == 2 else input.unsqueeze(0)
    count, kind = options.resolved(rows._array.shape[0], size, classes, rows.dtype, rows.is_cpu)
    result = _linear_cross_entropy_pieces(rows, linear_weight, linear_bias, target.reshape(rows._array.shape[:1]),
                                          weight, reduction, ignored, count,
                                          None if kind is rows.dtype else kind.name)
    return result.squeeze(0) if input.dim() == 1 and reduction == NONE else result


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
