"""Masks of transformers: the causal one, telling whether a mask is it, and which positions are padding behind a text.

A causal mask that is known as such need not be applied at all: attention can leave out the keys that it hides.
"""

from __future__ import annotations

from typing import Any

from flambeau import dtypes
from flambeau.ops.creation import full
from flambeau.tensor import Tensor

_INF = float("inf")


def causal_mask(size: int, device: Any = None, dtype: Any = None) -> Tensor:
    """(size, size) of zeros, and minus infinity above the diagonal; of bool, true above it."""
    hidden = True if dtype is dtypes.bool_ else -_INF
    mask: Tensor = full((size, size), hidden, dtype=dtype, device=device).triu(1)
    return mask


def is_causal_mask(mask: Tensor | None, said: bool | None, size: int) -> bool:
    """What was said of a mask; where nothing was, whether it is the causal one, which takes looking at all of it."""
    if said is not None or mask is None:
        return said is True
    if tuple(mask.shape) != (size, size):
        return False
    return bool((mask == causal_mask(size, mask.device, mask.dtype)).all())


def sequence_length(sequence: Tensor, batch_first: bool) -> int:
    """The length of (length, features), (batch, length, features) or (length, batch, features)."""
    return sequence.size(1 if sequence.dim() == 3 and batch_first else 0)


def hides_ends(padding: Tensor) -> bool:
    """Whether what a mask of padding (batch, length) hides are the ends of the sequences, and nothing in between."""
    hidden = padding if not padding.is_floating_point() else padding != 0
    return not bool((hidden[:, :-1] & ~hidden[:, 1:]).any())
