"""Look-ups under `torch`, where PyTorch's arguments come in another order than under `torch.nn.functional`."""

from __future__ import annotations

from typing import Any

from flambeau.ops import embedding as _embedding
from flambeau.tensor import Tensor

_MODES = ("sum", "mean", "max")


def embedding(weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False,
              sparse: bool = False) -> Tensor:
    """The rows of `weight` at `indices`: `nn.functional.embedding`, with the table first and -1 for no padding.

    >>> import flambeau as torch
    >>> torch.embedding(torch.tensor([[1., 2.], [3., 4.]]), torch.tensor([1]))
    tensor([[3., 4.]])
    """
    return _embedding.embedding(indices, weight, None if padding_idx < 0 else padding_idx,
                                scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def embedding_bag(weight: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq: bool = False, mode: Any = 0,
                  sparse: bool = False, per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sums (mode 0), means (1) or maxima (2) of bags of rows, the bag of each index, the bags' sizes, and the indices
    of the maxima: `nn.functional.embedding_bag` with the table first, and what it knows besides.

    >>> import flambeau as torch
    >>> torch.embedding_bag(torch.eye(3), torch.tensor([0, 2, 2]), torch.tensor([0, 1]))[0]
    tensor([[1., 0., 0.],
            [0., 0., 2.]])
    """
    name = _MODES[mode] if isinstance(mode, int) else mode
    return _embedding._bags(indices, weight, offsets, bool(scale_grad_by_freq), name, per_sample_weights,
                           bool(include_last_offset), padding_idx)
