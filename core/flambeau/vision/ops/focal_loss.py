"""The focal loss: cross entropy that cares about what is hard (Lin et al., "Focal Loss for Dense Object Detection")."""

from __future__ import annotations

from flambeau import Tensor
from flambeau.errors import ArgumentValueError
from flambeau.nn import functional as F

__all__ = ["sigmoid_focal_loss"]


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Tensor:
    """Binary cross entropy of logits, each element weighted by its error to the power of `gamma`.

    Args:
        inputs: logits of any shape.
        targets: 0 or 1 for each of them, in floating point.
        alpha: weight of the ones, ``1 - alpha`` is that of the zeros; -1 for no weights.
        gamma: how much less what is easy counts.
        reduction: "none", "mean" or "sum".

    >>> import flambeau as torch
    >>> torch.vision.ops.sigmoid_focal_loss(torch.zeros(2), torch.tensor([0.0, 1.0]))
    tensor([0.1300, 0.0433])

    Raises ValueError for another reduction or another alpha.
    """
    if not (0 <= alpha <= 1 or alpha == -1):
        raise ArgumentValueError(f"sigmoid_focal_loss: Invalid alpha value: {alpha}. alpha must be in the range [0,1] "
                                 "or -1 for ignore.")  # fmt: skip
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentValueError(f"sigmoid_focal_loss: Invalid Value for arg 'reduction': '{reduction}'. Supported "
                                 "reduction modes: 'none', 'mean', 'sum'")  # fmt: skip
    right = inputs.sigmoid()
    right = right * targets + (1 - right) * (1 - targets)
    loss: Tensor = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none") * (1 - right) ** gamma
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()
