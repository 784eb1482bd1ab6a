"""Rows of the table of layers: losses, distances and what embeds or normalises beside them.

A lazy layer is called once where it is made, so that it has the parameters whose numbers are compared. The margins are
such that none of the inputs is near one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from flambeau_conformance.levels._layer_rows import Inputs, Row, fixed, index, p, plain, rows_of_one, signs, x


def _loss(name: str, inputs: Inputs, *options: dict[str, Any]) -> list[Row]:
    """One row for each choice of options; the first has none."""
    def build(more: dict[str, Any]) -> Callable[[Any, Any], Any]:
        return lambda n, t: getattr(n, name)(**{key: t(each) if isinstance(each, list) else each
                                                for key, each in more.items()})
    return [(build(each), inputs) for each in ({}, *options)]


def _old(name: str) -> Callable[[Any, Any], Any]:
    def build(n: Any, t: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return getattr(n, name)()
    return build


def _ctc(targets: tuple[Any, ...], target_lengths: tuple[int, ...], **options: Any) -> Row:
    """The loss of two samples of 6 and 5 inputs."""
    def build(n: Any, t: Any) -> Any:
        class Fixed(n.CTCLoss):  # type: ignore[misc]  # of either library
            def forward(self, log_probs: Any, targets: Any) -> Any:
                return super().forward(log_probs.log_softmax(2), targets, (6, 5), target_lengths)
        return Fixed(**options)
    return build, (x(6, 2, 4), targets)


def _pieces(n: Any, t: Any) -> Any:
    """Piece by piece here; in PyTorch at once, since the module for its pieces takes seconds to import."""
    ours = n.__name__.startswith("flambeau")
    return n.LinearCrossEntropyLoss(
        4, 3, bias=True, options=n.LinearCrossEntropyOptions(batch_chunk_size=2) if ours else None)


def _zeros(t: Any, shape: tuple[int, ...]) -> Any:
    nested: Any = 0.0
    for size in reversed(shape):
        nested = [nested] * size
    return t(nested)


def _lazy(name: str, shape: tuple[int, ...], *args: Any, **options: Any) -> Row:
    def build(n: Any, t: Any) -> Any:
        layer = getattr(n, name)(*args, **options)
        layer.eval()(_zeros(t, shape))
        return layer
    return build, (x(*shape),)


def _instance_norm(name: str, spatial: int) -> list[Row]:
    shape = (2, 3, *(5, 3, 2)[:spatial])
    return [plain(name, 3, shape=shape), plain(name, 3, shape=shape, affine=True, track_running_stats=True),
            plain(name, 3, shape=shape[1:], affine=True, eps=0.1, bias=False)]


def _bag(*inputs: Any, **options: Any) -> Row:
    return lambda n, t: n.EmbeddingBag(7, 3, **options), inputs


def _weighted_bag(n: Any, t: Any) -> Any:
    """A bag whose weights come second."""
    class Weighted(n.EmbeddingBag):  # type: ignore[misc]  # of either library
        def forward(self, input: Any, weights: Any) -> Any:
            return super().forward(input, per_sample_weights=weights)
    return Weighted(7, 3, mode="sum")


_PAIR: Inputs = (x(4, 3), x(4, 3))
_TRIPLE: Inputs = (x(4, 3), x(4, 3), x(4, 3))

ROWS: dict[str, list[Row]] = {
    "AdaptiveLogSoftmaxWithLoss": [
        (lambda n, t: n.AdaptiveLogSoftmaxWithLoss(6, 10, [3, 7], div_value=2.0), (x(5, 6), index(10, 5))),
        (lambda n, t: n.AdaptiveLogSoftmaxWithLoss(4, 6, [2], div_value=1.0, head_bias=True), (x(4), index(6)))],
    "CTCLoss": [_ctc(index(3, 2, 3), (3, 2), blank=3), _ctc(index(3, 4), (1, 3), blank=3, reduction="none"),
                _ctc(index(3, 2, 7), (7, 2), blank=3, reduction="sum", zero_infinity=True)],
    "CosineEmbeddingLoss": _loss("CosineEmbeddingLoss", (*_PAIR, signs(4)), {"margin": -0.9, "reduction": "none"}),
    "GaussianNLLLoss": _loss("GaussianNLLLoss", (*_PAIR, p(4, 3)), {"full": True, "reduction": "sum"}),
    "HingeEmbeddingLoss": _loss("HingeEmbeddingLoss", (x(4, 3), signs(4, 3)), {"margin": 0.7, "reduction": "sum"}),
    "LinearCrossEntropyLoss": [
        (lambda n, t: n.LinearCrossEntropyLoss(4, 3, ignore_index=1), (x(5, 4), index(3, 5))),
        (lambda n, t: n.LinearCrossEntropyLoss(4, 3, out_features=(2,), bias=True), (x(5, 4), index(3, 5, 2))),
        (lambda n, t: n.LinearCrossEntropyLoss(4, 3, label_smoothing=0.2), (x(5, 4), rows_of_one(5, 3))),
        (_pieces, (x(5, 4), index(3, 5)))],
    "MarginRankingLoss": _loss("MarginRankingLoss", (x(4), x(4), signs(4)), {"margin": 0.6, "reduction": "none"}),
    "MultiLabelMarginLoss": _loss("MultiLabelMarginLoss", (x(3, 4), index(4, 3, 4)), {"reduction": "none"}),
    "MultiLabelSoftMarginLoss": _loss("MultiLabelSoftMarginLoss", (x(4, 3), fixed(4, 3)),
                                      {"weight": [0.5, 1.0, 2.0], "reduction": "sum"}),
    "MultiMarginLoss": _loss("MultiMarginLoss", (x(4, 3), index(3, 4)),
                             {"p": 2, "margin": 0.7, "weight": [0.5, 1.0, 2.0], "reduction": "none"}),
    "NLLLoss2d": [(_old("NLLLoss2d"), (x(2, 3, 2, 2), index(3, 2, 2, 2)))],
    "PoissonNLLLoss": _loss("PoissonNLLLoss", (p(4, 3), fixed(4, 3)), {"log_input": False, "reduction": "sum"}),
    "SoftMarginLoss": _loss("SoftMarginLoss", (x(4, 3), signs(4, 3)), {"reduction": "none"}),
    "TripletMarginLoss": _loss("TripletMarginLoss", _TRIPLE, {"p": 1.0, "swap": True, "reduction": "none"}),
    "TripletMarginWithDistanceLoss": [
        *_loss("TripletMarginWithDistanceLoss", _TRIPLE),
        (lambda n, t: n.TripletMarginWithDistanceLoss(distance_function=n.CosineSimilarity(), margin=0.6, swap=True),
         _TRIPLE)],
    "CosineSimilarity": [(lambda n, t: n.CosineSimilarity(), _PAIR),
                         (lambda n, t: n.CosineSimilarity(-1), (x(2, 4, 3), x(4, 3)))],
    "PairwiseDistance": [(lambda n, t: n.PairwiseDistance(), _PAIR),
                         (lambda n, t: n.PairwiseDistance(3.0, keepdim=True), (x(4, 3), x(3)))],
    "EmbeddingBag": [
        _bag(index(7, 2, 5)), _bag(index(7, 4), index(1, 1), mode="sum", padding_idx=2),
        _bag(index(7, 2, 4), mode="max"), _bag(index(7, 2, 3), max_norm=0.5),
        (_weighted_bag, (index(7, 2, 3), p(2, 3)))],
    "InstanceNorm1d": _instance_norm("InstanceNorm1d", 1), "InstanceNorm2d": _instance_norm("InstanceNorm2d", 2),
    "InstanceNorm3d": _instance_norm("InstanceNorm3d", 3),
    "LazyLinear": [_lazy("LazyLinear", (3, 4), 5)],
    "LazyConv1d": [_lazy("LazyConv1d", (2, 2, 6), 4, 3)], "LazyConv2d": [_lazy("LazyConv2d", (2, 2, 5, 4), 4, 3, 2)],
    "LazyConv3d": [_lazy("LazyConv3d", (2, 3, 3, 4, 3), 2, 2, bias=False)],
    "LazyConvTranspose1d": [_lazy("LazyConvTranspose1d", (2, 2, 4), 4, 3, groups=2)],
    "LazyConvTranspose2d": [_lazy("LazyConvTranspose2d", (2, 2, 3, 3), 3, 2, 2)],
    "LazyConvTranspose3d": [_lazy("LazyConvTranspose3d", (2, 2, 2, 2, 2), 3, 2)],
    "LazyBatchNorm1d": [_lazy("LazyBatchNorm1d", (5, 3))], "LazyBatchNorm2d": [_lazy("LazyBatchNorm2d", (4, 3, 2, 2))],
    "LazyBatchNorm3d": [_lazy("LazyBatchNorm3d", (4, 3, 2, 2, 2))],
    "LazyInstanceNorm1d": [_lazy("LazyInstanceNorm1d", (2, 3, 5))],
    "LazyInstanceNorm2d": [_lazy("LazyInstanceNorm2d", (2, 3, 4, 3))],
    "LazyInstanceNorm3d": [_lazy("LazyInstanceNorm3d", (2, 3, 2, 2, 3))],
}
