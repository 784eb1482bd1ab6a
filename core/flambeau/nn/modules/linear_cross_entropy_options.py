"""How `linear_cross_entropy` cuts its work into pieces: an immutable record of options."""

from __future__ import annotations

import dataclasses

from flambeau.dtypes import bfloat16, dtype as DType, float16, float32, float64
from flambeau.errors import ArgumentValueError

__all__ = ["LinearCrossEntropyOptions"]

_POLICIES = ("auto", "accurate", "balanced", "compact")
_ACCUMULATORS = (float16, bfloat16, float32, float64)
_HALVES = (float16, bfloat16)


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """Rows per piece, and the precision within a piece, of `linear_cross_entropy`.

    The scores of all classes are held for one piece of the batch at a time and computed again in the backward pass,
    so that the memory needed is that of a piece. Unlike PyTorch's, gradients of gradients work, and a second backward
    pass through a retained graph always does.

    Args:
        allow_retain_graph: accepted; a retained graph can be used again either way.
        batch_chunk_size: rows per piece; all of them if left out and `chunking_method` is ``None``.
        chunking_method: a rule for the size instead. ``"aspect_ratio"`` makes the scores of a piece about as large as
            the input, ``"aspect_ratio:N"`` N times smaller; ``"auto"`` is one of these by dtype and device.
        acc_policy: ``"auto"``, ``"accurate"``, ``"balanced"`` or ``"compact"``; here all are as precise as the first.
        acc_dtype: dtype of the scores; ``None`` for float32 where the input is float16 or bfloat16, and the input's
            dtype otherwise.

    Raises ValueError for a value that is none of these, and, when used, where both a size and a rule are given and
    differ.

    >>> import flambeau as torch
    >>> options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
    >>> loss = torch.nn.LinearCrossEntropyLoss(8, 4, options=options)
    >>> loss(torch.zeros(3, 8), torch.tensor([0, 1, 3])).item() > 1.38
    True
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: DType | None = None

    def __post_init__(self) -> None:
        if self.acc_policy not in _POLICIES:
            raise ArgumentValueError(f"invalid acc_policy: {self.acc_policy!r}; allowed: {', '.join(_POLICIES)}")
        if self.chunking_method not in (None, "auto") and _factor(self.chunking_method) is None:
            raise ArgumentValueError(f"invalid chunking_method: {self.chunking_method!r}; allowed: None, 'auto', "
                                     "'aspect_ratio', 'aspect_ratio:N' with N at least 1")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ArgumentValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.acc_dtype is not None and self.acc_dtype not in _ACCUMULATORS:
            raise ArgumentValueError("acc_dtype must be one of {None, torch.float16, torch.bfloat16, torch.float32, "
                                     f"torch.float64}}, got {self.acc_dtype!r}. Pass acc_dtype=None to have it chosen")

    def resolved(self, rows: int, in_features: int, classes: int, kind: DType, on_host: bool) -> tuple[int, DType]:
        """Rows per piece and the dtype of the scores, for a batch of a size and dtype."""
        method = self.chunking_method
        if method == "auto":
            half_on_host = on_host and kind in _HALVES
            method = None if self.batch_chunk_size is not None else "aspect_ratio" if half_on_host else "aspect_ratio:2"
        size = rows if self.batch_chunk_size is None else min(self.batch_chunk_size, rows)
        if method is not None:
            size = _by_aspect(rows, in_features, classes, _factor(method) or 1)
            if self.batch_chunk_size not in (None, size):
                raise ArgumentValueError(
                    f"batch_chunk_size (={self.batch_chunk_size}) and chunking_method ('{method}') give different "
                    f"chunk sizes ({self.batch_chunk_size} vs {size}); pass only one."
                )
        wide = float32 if kind in _HALVES and self.acc_policy == "auto" else kind
        return max(1, size), self.acc_dtype or wide


def _factor(method: str | None) -> int | None:
    """The N of "aspect_ratio:N", 1 of "aspect_ratio", None of anything else."""
    name, separator, number = (method or "").partition(":")
    if name != "aspect_ratio" or (separator and not number.isdigit()):
        return None
    return (int(number) or None) if separator else 1


def _by_aspect(rows: int, in_features: int, classes: int, factor: int) -> int:
    """The power of two from which on the scores of a piece are larger than the whole input, over the factor."""
    wanted = -(-rows // -(-classes // in_features))
    return min((1 << (wanted - 1).bit_length()) // factor, rows)
