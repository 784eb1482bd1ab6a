"""Losses that compare with a margin: of pairs, of triples, and of the scores of classes.

They are found in `loss` too, where PyTorch has them; this file keeps that one short.
"""

from __future__ import annotations

from collections.abc import Callable

from flambeau.errors import ArgumentValueError
from flambeau.nn import functional as F
from flambeau.nn.modules._loss_base import _Loss, _WeightedLoss
from flambeau.nn.modules.distance import PairwiseDistance
from flambeau.tensor import Tensor

__all__ = [
    "CosineEmbeddingLoss",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]

_HOME = "flambeau.nn.modules.loss"   # where PyTorch has them, which files of whole modules name


class HingeEmbeddingLoss(_Loss):
    """The input where the target is 1, ``max(0, margin - input)`` where it is -1.

    Args:
        margin: distance from which dissimilar pairs cost nothing.
        size_average: deprecated.
        reduce: deprecated.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shapes: input (*) and targets (*) of 1 and -1.

    >>> import flambeau as torch
    >>> torch.nn.HingeEmbeddingLoss()(torch.tensor([0.5, 0.5]), torch.tensor([1.0, -1.0]))
    tensor(0.5000)
    """

    __module__ = _HOME

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss; ``input`` and ``target`` have the same shape."""
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target * input))``, for targets of 1 and -1.

    >>> import flambeau as torch
    >>> torch.nn.SoftMarginLoss()(torch.zeros(2), torch.ones(2))
    tensor(0.6931)
    """

    __module__ = _HOME

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss; ``input`` and ``target`` have the same shape."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """``max(0, margin - target * (input1 - input2))``: target 1 where the first should be larger, -1 the second.

    Args:
        margin: how much larger.
        size_average: deprecated.
        reduce: deprecated.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shapes: inputs and target (N) or ().

    >>> import flambeau as torch
    >>> torch.nn.MarginRankingLoss()(torch.zeros(1), torch.ones(1), torch.ones(1))
    tensor(1.)
    """

    __module__ = _HOME

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.margin_ranking_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_Loss):
    """``1 - cos`` of two vectors where the target is 1, ``max(0, cos - margin)`` where it is -1.

    Args:
        margin: cosine up to which dissimilar pairs cost nothing.
        size_average: deprecated.
        reduce: deprecated.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shapes: inputs (N, D) or (D), targets (N) or ().

    >>> import flambeau as torch
    >>> torch.nn.CosineEmbeddingLoss()(torch.eye(2), torch.eye(2).flip(0), torch.ones(2))
    tensor(1.)
    """

    __module__ = _HOME

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """Hinge between every class that a sample has and every class that it has not.

    Shapes: scores (N, C) or (C); targets of the same shape list the classes of a sample, up to the first -1.

    >>> import flambeau as torch
    >>> scores = torch.tensor([[0.1, 0.2, 0.4, 0.8]])
    >>> torch.nn.MultiLabelMarginLoss()(scores, torch.tensor([[3, 0, -1, 1]]))
    tensor(0.8500)
    """

    __module__ = _HOME

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss; ``input`` and ``target`` have the same shape."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross entropy of logits, averaged over the classes of each sample.

    Args:
        weight: one factor per class.
        size_average: deprecated.
        reduce: deprecated.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shapes: logits and targets (N, C); targets are 0 or 1.

    >>> import flambeau as torch
    >>> torch.nn.MultiLabelSoftMarginLoss()(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 1.0]]))
    tensor(0.6931)
    """

    __module__ = _HOME

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss; ``input`` and ``target`` have the same shape."""
        return F.multilabel_soft_margin_loss(input, target, weight=self.weight, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """Hinge between the score of a sample's class and the scores of all others.

    Args:
        p: power of the hinge, 1 or 2.
        margin: by how much the class should lead.
        weight: one factor per class.
        size_average: deprecated.
        reduce: deprecated.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shapes: scores (N, C) or (C), targets (N) or (). Raises ValueError for another `p` or a weight that is no vector.

    >>> import flambeau as torch
    >>> torch.nn.MultiMarginLoss()(torch.tensor([[0.1, 0.2, 0.4, 0.8]]), torch.tensor([3]))
    tensor(0.3250)
    """

    __module__ = _HOME

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ArgumentValueError(f"MultiMarginLoss: only p == 1 and p == 2 supported; given: {p}")
        if weight is not None and weight.dim() != 1:
            raise ArgumentValueError(
                f"MultiMarginLoss: expected weight to be None or 1D tensor, got {weight.dim()}D instead"
            )
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss."""
        return F.multi_margin_loss(
            input, target, p=self.p, margin=self.margin, weight=self.weight, reduction=self.reduction
        )


class TripletMarginLoss(_Loss):
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``, with p-norm distances.

    Args:
        margin: by how much the negative should be farther away; above 0, ValueError otherwise.
        p: the norm.
        eps: added to the differences, so that the gradient is finite.
        swap: take the positive's distance to the negative where that is smaller.
        size_average: deprecated.
        reduce: deprecated.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shapes: three of (N, D) or (D).

    >>> import flambeau as torch
    >>> torch.nn.TripletMarginLoss()(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))
    tensor(1.)
    """

    __module__ = _HOME

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = _positive(self, margin)
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return F.triplet_margin_loss(
            anchor, positive, negative, margin=self.margin, p=self.p, eps=self.eps, swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """``TripletMarginLoss`` with a distance of one's own.

    Args:
        distance_function: takes two tensors and gives their distances; ``PairwiseDistance()`` if left out.
        margin: by how much the negative should be farther away; above 0, ValueError otherwise.
        swap: take the positive's distance to the negative where that is smaller.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    >>> import flambeau as torch
    >>> farthest = torch.nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: (a - b).abs().amax(-1))
    >>> farthest(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[3.0, 0.5]]))
    tensor(0.)
    """

    __module__ = _HOME

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        margin = _positive(self, margin)
        self.distance_function: Callable[[Tensor, Tensor], Tensor] = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss."""
        return F.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=self.distance_function, margin=self.margin, swap=self.swap,
            reduction=self.reduction,
        )


def _positive(loss: _Loss, margin: float) -> float:
    if margin <= 0:
        raise ArgumentValueError(
            f"{type(loss).__name__}: expected margin to be greater than 0, got {margin} instead"
        )
    return margin
