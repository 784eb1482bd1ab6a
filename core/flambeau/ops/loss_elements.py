"""Losses of elements and of pairs: regression, binary classification, ranking, embeddings.

Each is an expression in the difference of input and target, reduced. The few that PyTorch has as one step are records
with a gradient of their own, so that the graph is as short here.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau import dispatch
from flambeau.dtypes import int64, scalar_name
from flambeau.errors import ArgumentError, ArgumentValueError, DtypeError, ShapeError, UnsupportedDtypeError
from flambeau.ops import _faces
from flambeau.ops._losses import REDUCTIONS, checked_reduction, reduced, warn_sizes, weighted
from flambeau.ops._samples import Calls, Samples
from flambeau.ops.normalization import cosine_similarity, pairwise_distance
from flambeau.tensor import Tensor


# ---------------------------------------------------------------------------------------------- samples
def _samples(*options: tuple[str, Any]) -> Samples:
    """Of a loss of inputs and targets: every reduction, and further keywords."""
    def samples(make: Any) -> Calls:
        for reduction in REDUCTIONS:
            yield (make(3, 4), make(3, 4)), {"reduction": reduction}
        for name, value in options:
            yield (make(2, 3), make(2, 3)), {name: value, "reduction": "none"}
    return samples


def _samples_weighted(*options: tuple[str, Any]) -> Samples:
    """The same with weights of elements."""
    def samples(make: Any) -> Calls:
        yield from _samples(*options)(make)
        for reduction in REDUCTIONS:
            yield (make(2, 3), make(2, 3)), {"weight": make.positive(2, 3), "reduction": reduction}
    return samples


def _samples_poisson(make: Any) -> Calls:
    for reduction in REDUCTIONS:
        yield (make(2, 3, low=-1, high=2), make(2, 3, low=0.25, high=4)), {"reduction": reduction, "full": True}
    yield (make(2, 3), make(2, 3, low=0.25, high=4)), {}
    yield (make.positive(2, 3), make(2, 3, low=0.25, high=4)), {"log_input": False, "eps": 0.125}


def _samples_gaussian(make: Any) -> Calls:
    for reduction in REDUCTIONS:
        yield (make(2, 3), make(2, 3), make.positive(2, 3)), {"reduction": reduction, "full": reduction == "sum"}
    yield (make(2, 3), make(2, 3), make.positive(2, 1)), {"eps": 1.0}
    yield (make(2, 3), make(2, 3), make.positive(2)), {}
    yield (make(2, 3), make(2, 3), 1.5), {}


def _samples_binary(make: Any) -> Calls:
    def inside(*shape: int) -> Any:
        return make(*shape, low=0.125, high=0.875)
    for reduction in REDUCTIONS:
        yield (inside(2, 3), inside(2, 3)), {"reduction": reduction}
        yield (inside(2, 3), inside(2, 3), make(3, low=0.25, high=2, requires_grad=False)), {"reduction": reduction}


def _samples_logits(make: Any) -> Calls:
    def weight(*shape: int) -> Any:
        return make(*shape, low=0.25, high=2, requires_grad=False)
    for reduction in REDUCTIONS:
        yield (make(2, 3), make(2, 3, low=0, high=1)), {"reduction": reduction}
        yield (make(2, 3), make(2, 3, low=0, high=1), weight(2, 3)), {"reduction": reduction, "pos_weight": weight(3)}


def _signs(make: Any, signs: Any) -> Any:
    return make.fixed(signs, dtype=int64)   # which of two classes, or of two orders


def _samples_margin(make: Any) -> Calls:
    """Of a sign for each element."""
    signs = [[1, -1, 1], [-1, -1, 1]]
    for reduction in REDUCTIONS:
        yield (make(2, 3), _signs(make, signs)), {"reduction": reduction}


def _samples_hinge(make: Any) -> Calls:
    yield from _samples_margin(make)
    yield (make(3), _signs(make, [-1, 1, -1])), {"margin": 2.5}


def _samples_ranking(make: Any) -> Calls:
    for reduction in REDUCTIONS:
        yield (make(4), make(4), _signs(make, [1, -1, -1, 1])), {"reduction": reduction}
    yield (make(2, 3), make(2, 3), _signs(make, [[1, -1, 1]])), {"margin": 1.5}


def _samples_cosine(make: Any) -> Calls:
    for reduction in REDUCTIONS:
        yield (make(3, 4), make(3, 4), _signs(make, [1, -1, -1])), {"reduction": reduction, "margin": -0.75}
    yield (make(3), make(3), _signs(make, 1)), {}


def _samples_triplet(make: Any) -> Calls:
    for reduction in REDUCTIONS:
        yield (make(3, 4), make(3, 4), make(3, 4)), {"reduction": reduction, "margin": 4.0}
    yield (make(3, 4), make(3, 4), make(3, 4)), {"swap": True, "margin": 3.0, "reduction": "none"}
    yield (make(3, 4), make(3, 4), make(3, 4)), {"p": 3, "eps": 0.125, "margin": 3.0}


def _share(g: Tensor, reduction: str, difference: Tensor) -> Tensor:
    """The gradient that reaches each loss: divided by their number if the mean was taken."""
    return g / difference.numel() if reduction == "mean" else g


# ---------------------------------------------------------------------------------------------- regression
def _mse_gradient(g: Tensor, input: Tensor, target: Tensor, reduction: str) -> Tensor:
    difference = input - target
    return difference * (_share(g, reduction, difference) * 2)


@dispatch.operator(namespace="nn.functional", method=False, samples=_samples_weighted(), vjp={
    "input": lambda g, input, target, reduction: _mse_gradient(g, input, target, reduction),
    "target": lambda g, input, target, reduction: -_mse_gradient(g, input, target, reduction)})
def _mse_loss(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    """Squared differences, reduced."""
    difference = input - target
    return reduced(difference * difference, reduction)


@dispatch.front(_mse_loss)
def mse_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
             weight: Tensor | None = None) -> Tensor:
    """The mean (or "sum", or "none") of squared differences; warns where the target is broadcast.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.mse_loss(torch.tensor([1., 2.]), torch.tensor([1., 4.]))
    tensor(2.)
    """
    reduction = checked_reduction("mse_loss", reduction, size_average, reduce)
    warn_sizes(input, target)
    if weight is not None:
        losses = weight * (input - target) ** 2
        return weighted(losses, weight, reduction)
    if not input._kind.differentiable and not target._kind.differentiable:
        raise UnsupportedDtypeError(f"mse_loss: \"mse_cpu\" not implemented for '{scalar_name(input._kind.dtype)}'; "
                                    "convert the operands, for example to torch.float32")
    if input._kind is not target._kind:
        difference = input - target
        return reduced(difference * difference, reduction)
    return _mse_loss(input, target, reduction)


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_weighted())
def l1_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
            weight: Tensor | None = None) -> Tensor:
    """The mean (or "sum", or "none") of absolute differences.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.l1_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.l1_loss(torch.tensor([1., 2.]), torch.tensor([1., 4.]))
    tensor(1.)
    """
    reduction = checked_reduction("l1_loss", reduction, size_average, reduce)
    warn_sizes(input, target)
    losses = (input - target).abs()
    return reduced(losses, reduction) if weight is None else weighted(losses * weight, weight, reduction)


def _refuse_complex(op: str, input: Tensor) -> None:
    """Complex differences have no order that tells small ones from large ones in each direction."""
    if input._kind.dtype.is_complex:
        raise UnsupportedDtypeError(f"{op}: \"{op}\" not implemented for '{scalar_name(input._kind.dtype)}'; "
                                    "convert the input, for example with abs()")


def _smooth_gradient(g: Tensor, input: Tensor, target: Tensor, reduction: str, beta: float) -> Tensor:
    difference = input - target
    slope = (difference / beta).clamp(-1, 1)
    return slope * _share(g, reduction, difference)


@dispatch.operator(namespace="nn.functional", method=False, samples=_samples(("beta", 2.5), ("beta", 0)),
                   grad_name="SmoothL1LossBackward0", vjp={
    "input": lambda g, input, target, reduction, beta: _smooth_gradient(g, input, target, reduction, beta),
    "target": lambda g, input, target, reduction, beta: -_smooth_gradient(g, input, target, reduction, beta)})
def _smooth_l1_loss(input: Tensor, target: Tensor, reduction: str, beta: float) -> Tensor:
    """Squares of small differences, absolute values of large ones."""
    size = (input - target).abs()
    return reduced((size * size * (0.5 / beta)).where(size < beta, size - 0.5 * beta), reduction)


@dispatch.front(_smooth_l1_loss)
def smooth_l1_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
                   reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Squared differences (over 2 beta) below `beta`, absolute ones (less beta / 2) above.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.smooth_l1_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.smooth_l1_loss(torch.tensor([0., 3.]), torch.zeros(2), reduction="none")
    tensor([0.0000, 2.5000])
    """
    reduction = checked_reduction("smooth_l1_loss", reduction, size_average, reduce)
    warn_sizes(input, target)
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss does not support negative values for beta; given: {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    _refuse_complex("smooth_l1_loss", input)
    return _smooth_l1_loss(input, target, reduction, beta)


def _huber_gradient(g: Tensor, input: Tensor, target: Tensor, reduction: str, delta: float) -> Tensor:
    difference = input - target
    return difference.clamp(-delta, delta) * _share(g, reduction, difference)


@dispatch.operator(namespace="nn.functional", method=False, samples=_samples_weighted(("delta", 2.5)), vjp={
    "input": lambda g, input, target, reduction, delta: _huber_gradient(g, input, target, reduction, delta),
    "target": lambda g, input, target, reduction, delta: -_huber_gradient(g, input, target, reduction, delta)})
def _huber_loss(input: Tensor, target: Tensor, reduction: str, delta: float) -> Tensor:
    """Half the squares of small differences, a line for large ones."""
    size = (input - target).abs()
    return reduced((size * size * 0.5).where(size <= delta, (size - 0.5 * delta) * delta), reduction)


@dispatch.front(_huber_loss)
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0,
               weight: Tensor | None = None) -> Tensor:
    """Half the squared difference up to `delta`, and a line with its slope beyond.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.huber_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.huber_loss(torch.tensor([0., 3.]), torch.zeros(2), reduction="none")
    tensor([0.0000, 2.5000])
    """
    reduction = checked_reduction("huber_loss", reduction)
    warn_sizes(input, target)
    _refuse_complex("huber_loss", input)
    if delta <= 0:
        raise ArgumentError(f"huber_loss does not support non-positive values for delta; given: {delta}")
    if weight is not None:
        return reduced(_huber_loss(input, target, "none", delta) * weight, reduction)
    return _huber_loss(input, target, reduction, delta)


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_poisson)
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool = True, full: bool = False,
                     size_average: Any = None, eps: float = 1e-8, reduce: Any = None,
                     reduction: str = "mean") -> Tensor:
    """Minus the log-likelihood of counts under Poisson distributions, whose rates (or their logarithms) are the input.

    `full` adds Stirling's approximation of the factorial's logarithm for targets above 1.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.poisson_nll_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.poisson_nll_loss(torch.zeros(1), torch.ones(1))
    tensor(1.)
    """
    reduction = checked_reduction("poisson_nll_loss", reduction, size_average, reduce)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        large = target.masked_fill(target <= 1, 1)
        stirling = large * large.log() - large + 0.5 * (2 * math.pi * large).log()
        losses = losses + stirling.masked_fill(target <= 1, 0)
    return reduced(losses, reduction)


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_gaussian)
def gaussian_nll_loss(input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean") -> Tensor:
    """Minus the log-likelihood of targets under normal distributions with the input as mean and variance `var`.

    Variances below `eps` count as `eps`, without gradient. ValueError for negative ones.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.gaussian_nll_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.gaussian_nll_loss(torch.zeros(1), torch.ones(1), torch.ones(1))
    tensor(0.5000)
    """
    if not isinstance(var, Tensor):
        if var < 0:
            raise ArgumentValueError("var has negative entry/entries")
        var = input.detach() * 0 + var
    elif not var._kind.differentiable:
        raise DtypeError("gaussian_nll_loss: result type Float can't be cast to the desired output type "
                         f"{scalar_name(var._kind.dtype)}; give var as floats, for example var.float()")
    elif bool((var.detach() < 0).any()):
        raise ArgumentValueError("var has negative entry/entries")
    if var._array.shape != input._array.shape:
        if input._array.shape[:-1] == var._array.shape:
            var = var.unsqueeze(-1)
        elif input._array.shape[:-1] != var._array.shape[:-1] or var._array.shape[-1] != 1:
            raise ArgumentValueError(f"var is of incorrect size; given: {list(var._array.shape)} for input "
                                     f"{list(input._array.shape)}")
    reduction = checked_reduction("gaussian_nll_loss", reduction)
    var = var + (var.detach().clamp(min=eps) - var.detach())
    losses = 0.5 * (var.log() + (input - target) ** 2 / var)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


# ---------------------------------------------------------------------------------------------- two classes
def _bce_gradient(g: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    slope = (input - target) / (input * (1 - input)).clamp(min=1e-12)
    slope = slope if weight is None else slope * weight
    return slope * _share(g, reduction, input)


def _bce_target_gradient(g: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    slope = (1 - input).log().clamp(min=-100) - input.log().clamp(min=-100)
    slope = slope if weight is None else slope * weight
    return slope * _share(g, reduction, input)


@dispatch.operator(namespace="nn.functional", method=False, samples=_samples_binary, vjp={
    "input": lambda g, input, target, weight, reduction: _bce_gradient(g, input, target, weight, reduction),
    "target": lambda g, input, target, weight, reduction: _bce_target_gradient(g, input, target, weight, reduction)})
def _binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """-(y log x + (1 - y) log(1 - x)), with logarithms of at least -100."""
    losses = (target - 1) * (1 - input).log().clamp(min=-100) - target * input.log().clamp(min=-100)
    return reduced(losses if weight is None else losses * weight, reduction)


@dispatch.front(_binary_cross_entropy)
def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: Any = None,
                         reduce: Any = None, reduction: str = "mean") -> Tensor:
    """Cross entropy of probabilities with targets in [0, 1]. RuntimeError for an input outside [0, 1].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy.html

    >>> import flambeau as torch
    >>> torch.nn.functional.binary_cross_entropy(torch.tensor([0.5]), torch.tensor([1.]))
    tensor(0.6931)
    """
    reduction = checked_reduction("binary_cross_entropy", reduction, size_average, reduce)
    if input._array.shape != target._array.shape:
        raise ArgumentValueError(f"Using a target size ({target.shape}) that is different to the input size "
                                 f"({input.shape}) is not allowed; give them one shape")
    if target._kind.dtype is not input._kind.dtype:
        raise DtypeError(f"binary_cross_entropy: Found dtype {scalar_name(target._kind.dtype)} but expected "
                         f"{scalar_name(input._kind.dtype)}; convert the target to the input's dtype, as "
                         "target.to(input.dtype)")
    if bool(((input.detach() < 0) | (input.detach() > 1)).any()):
        raise ArgumentError("binary_cross_entropy: all elements of input should be between 0 and 1; apply sigmoid(), "
                            "or use binary_cross_entropy_with_logits")
    if weight is not None:
        weight = weight.expand(input._array.shape)
    return _binary_cross_entropy(input, target, weight, reduction)


def _softplus_negative(x: Tensor) -> Tensor:
    """log(1 + exp(-x)) without overflow."""
    return (-x).clamp(min=0) + (-x.abs()).exp().log1p()


def _logits_gradient(g: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None,
                     reduction: str) -> Tensor:
    probability = input.sigmoid()
    if pos_weight is None:
        slope = probability - target
    else:
        positive = pos_weight * target
        slope = (positive + 1 - target) * probability - positive
    slope = slope if weight is None else slope * weight
    return slope * _share(g, reduction, slope)


def _logits_target_gradient(g: Tensor, input: Tensor, weight: Tensor | None, pos_weight: Tensor | None,
                            reduction: str) -> Tensor:
    if pos_weight is None:
        slope = -input
    else:
        slope = pos_weight * _softplus_negative(input) - _softplus_negative(-input)
    slope = slope if weight is None else slope * weight
    return slope * _share(g, reduction, slope)


@dispatch.operator(method=False, namespace="nn.functional", samples=_samples_logits, vjp={
    "input": lambda g, input, target, weight, pos_weight, reduction:
        _logits_gradient(g, input, target, weight, pos_weight, reduction),
    "target": lambda g, input, weight, pos_weight, reduction:
        _logits_target_gradient(g, input, weight, pos_weight, reduction)})
def _binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None,
                                      reduction: str) -> Tensor:
    """(1 - y) x + (1 + (p - 1) y) log(1 + exp(-x)), reduced."""
    factor = 1 if pos_weight is None else (pos_weight - 1) * target + 1
    losses = (1 - target) * input + factor * _softplus_negative(input)
    return reduced(losses if weight is None else losses * weight, reduction)


@dispatch.front(_binary_cross_entropy_with_logits)
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None,
                                     size_average: Any = None, reduce: Any = None, reduction: Any = "mean",
                                     pos_weight: Tensor | None = None) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), computed without overflow; `pos_weight` weighs the positive class.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy_with_logits.html

    >>> import flambeau as torch
    >>> torch.nn.functional.binary_cross_entropy_with_logits(torch.zeros(2), torch.ones(2))
    tensor(0.6931)
    """
    reduction = checked_reduction("binary_cross_entropy_with_logits", reduction, size_average, reduce)
    if input._array.shape != target._array.shape:
        raise ArgumentValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    if input._kind.differentiable and not target._kind.differentiable:
        raise DtypeError(f"binary_cross_entropy_with_logits: result type {scalar_name(input._kind.dtype)} can't be "
                         f"cast to the desired output type {scalar_name(target._kind.dtype)}; give the target as "
                         "floats, for example target.float()")
    return _binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


@dispatch.operator(namespace="nn.functional", method=False, samples=_samples_margin, vjp={
    "input": lambda g, input, target, reduction:
        -target * (-target * input).sigmoid() * _share(g, reduction, input)})
def _soft_margin_loss(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    """log(1 + exp(-y x)), reduced."""
    if input._kind.dtype.is_complex:     # which have no order to tell where exp overflows
        return reduced((-target * input).exp().log1p(), reduction)
    return reduced(_softplus_negative(target * input), reduction)


@dispatch.front(_soft_margin_loss)
def soft_margin_loss(input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
                     reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * input)), for targets of 1 and -1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.soft_margin_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.soft_margin_loss(torch.zeros(2), torch.ones(2))
    tensor(0.6931)
    """
    reduction = checked_reduction("soft_margin_loss", reduction, size_average, reduce)
    if not input._kind.differentiable:
        raise DtypeError("soft_margin_loss: result type Float can't be cast to the desired output type "
                         f"{scalar_name(input._kind.dtype)}; give the input as floats, for example input.float()")
    return _soft_margin_loss(input, target, reduction)


# ---------------------------------------------------------------------------------------------- pairs and triples
@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_hinge)
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, size_average: Any = None,
                         reduce: Any = None, reduction: Any = "mean") -> Tensor:
    """The input where the target is 1, max(0, margin - input) where it is -1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.hinge_embedding_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.hinge_embedding_loss(torch.tensor([0.5, 0.5]), torch.tensor([1., -1.]))
    tensor(0.5000)
    """
    reduction = checked_reduction("hinge_embedding_loss", reduction, size_average, reduce)
    if not input._kind.differentiable:
        margin = int(margin)      # integers keep their dtype
    far = (margin - input).clamp(min=0).masked_fill(target == 1, 0)
    near = input.masked_fill(target == -1, 0)
    return reduced(far + near, reduction)


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_ranking)
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: Any = None,
                        reduce: Any = None, reduction: Any = "mean") -> Tensor:
    """max(0, margin - target * (input1 - input2)): 1 where the first should be larger, -1 where the second.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.margin_ranking_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.margin_ranking_loss(torch.zeros(1), torch.ones(1), torch.ones(1))
    tensor(1.)
    """
    reduction = checked_reduction("margin_ranking_loss", reduction, size_average, reduce)
    if not input1.dim() == input2.dim() == target.dim():
        raise ShapeError("margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
                         f"{input1.shape}, input2: {input2.shape}, target: {target.shape} ")
    return reduced((-target * (input1 - input2) + float(margin)).clamp(min=0), reduction)


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_cosine)
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: Any = None,
                          reduce: Any = None, reduction: Any = "mean") -> Tensor:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1, for rows of (N, D) or for two vectors.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cosine_embedding_loss.html

    >>> import flambeau as torch
    >>> torch.nn.functional.cosine_embedding_loss(torch.ones(1, 2), torch.ones(1, 2), torch.ones(1)).abs() < 1e-6
    tensor(True)
    """
    reduction = checked_reduction("cosine_embedding_loss", reduction, size_average, reduce)
    if target.dim() > 1 or input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1:
        raise ShapeError(f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but found inputs "
                         f"with sizes {list(input1.shape)} and {list(input2.shape)}.")
    input1, input2 = _faces.to_float(input1), _faces.to_float(input2)
    cosine = cosine_similarity(input1, input2, dim=target.dim(), eps=1e-12)
    near = (1 - cosine).masked_fill(target != 1, 0)
    far = (cosine - margin).clamp(min=0).masked_fill(target != -1, 0)
    return reduced(near + far, reduction)


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_triplet)
def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2,
                        eps: float = 1e-6, swap: bool = False, size_average: Any = None, reduce: Any = None,
                        reduction: Any = "mean") -> Tensor:
    """max(0, distance to the positive - distance to the negative + margin), with p-norm distances of vectors.

    `swap` takes the positive's distance to the negative where that is smaller.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.triplet_margin_loss.html

    >>> import flambeau as torch
    >>> a = torch.zeros(1, 2)
    >>> torch.nn.functional.triplet_margin_loss(a, a, a)
    tensor(1.)
    """
    reduction = checked_reduction("triplet_margin_loss", reduction, size_average, reduce)
    if not anchor.dim() == positive.dim() == negative.dim():
        raise ShapeError("triplet_margin_loss: The anchor, positive, and negative tensors are expected to have the "
                         f"same number of dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and "
                         f"negative {negative.dim()}D inputs")
    if margin <= 0:
        raise ArgumentValueError(f"margin must be greater than 0, got {margin}")
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = far.minimum(pairwise_distance(positive, negative, p, eps))
    return reduced((near - far + margin).clamp(min=0), reduction)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
