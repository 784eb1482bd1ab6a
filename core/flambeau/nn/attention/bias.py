"""Causal masks that are not made unless they must be: attention hides the keys itself where it can.

Where there are as many queries as keys, or the first query stands at the first key, that is what `is_causal` says; a
mask that stands at the last key is made when attention is called.
"""

from __future__ import annotations

import warnings
from enum import IntEnum
from typing import Any

from flambeau import dtypes
from flambeau.errors import ArgumentValueError
from flambeau.ops.creation import empty, ones
from flambeau.tensor import Tensor

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(IntEnum):
    """Which corner of the scores the diagonal of a causal mask goes through."""

    UPPER_LEFT = 1
    LOWER_RIGHT = 2


class CausalBias(Tensor):
    """A causal mask for `nn.functional.scaled_dot_product_attention`, without the memory of one.

    Args:
        variant: the corner.
        seq_len_q: how many queries there are.
        seq_len_kv: how many keys.

    AssertionError for what is no variant. A warning where the first queries see no keys.

    >>> import flambeau as torch
    >>> from flambeau.nn.attention.bias import causal_lower_right
    >>> causal_lower_right(2, 3)
    tensor([[ True,  True, False],
            [ True,  True,  True]])
    """

    variant: CausalVariant
    seq_len_q: int
    seq_len_kv: int

    def __new__(cls, variant: CausalVariant, seq_len_q: int, seq_len_kv: int) -> CausalBias:
        if not isinstance(variant, CausalVariant):
            raise AssertionError(f"variant must be a CausalVariant, got {type(variant).__name__}")
        return Tensor._make_subclass(cls, empty(0), False)

    def __init__(self, variant: CausalVariant, seq_len_q: int, seq_len_kv: int) -> None:
        self.variant = variant
        self.seq_len_q = seq_len_q
        self.seq_len_kv = seq_len_kv
        if seq_len_q > seq_len_kv and variant is CausalVariant.LOWER_RIGHT:
            warnings.warn("Lower right causal bias will produce NaNs in the output when seq_len_q > seq_len_kv!",
                          UserWarning, stacklevel=3)

    def _materialize(self, device: Any = None) -> Tensor:
        """The mask, true where attention is allowed."""
        offset = self.seq_len_kv - self.seq_len_q if self.variant is CausalVariant.LOWER_RIGHT else 0
        result: Tensor = ones(self.seq_len_q, self.seq_len_kv, dtype=dtypes.bool_, device=device).tril(offset)
        return result

    def for_attention(self, query: Tensor, is_causal: bool) -> tuple[Tensor | None, bool]:
        """The mask and `is_causal`, one of which attention needs. ValueError where both are asked for."""
        if is_causal:
            raise ArgumentValueError("CausalBias should not be used with causal=True")
        if self.seq_len_q == self.seq_len_kv or self.variant is CausalVariant.UPPER_LEFT:
            return None, True
        return self._materialize(query.device), False

    def __repr__(self, *, tensor_contents: str | None = None) -> str:  # type: ignore[override]
        return repr(self._materialize())


def _made(name: str, variant: CausalVariant, size: tuple[int, ...]) -> CausalBias:
    if len(size) != 2:
        raise AssertionError(f"{name} only supports 2D tensors")
    return CausalBias(variant, *size)


def causal_upper_left(*size: int) -> CausalBias:
    """A causal mask of (queries, keys) that lets the first query see the first key: what `is_causal` means.

    >>> import flambeau as torch
    >>> torch.nn.attention.bias.causal_upper_left(2, 3)
    tensor([[ True, False, False],
            [ True,  True, False]])
    """
    return _made("causal_upper_left", CausalVariant.UPPER_LEFT, size)


def causal_lower_right(*size: int) -> CausalBias:
    """A causal mask of (queries, keys) that lets the last query see the last key, as for queries that come later.

    >>> import flambeau as torch
    >>> q, k = torch.zeros(1, 1, 2), torch.zeros(1, 3, 2)
    >>> mask = torch.nn.attention.bias.causal_lower_right(1, 3)
    >>> torch.nn.functional.scaled_dot_product_attention(q, k, torch.arange(6.).reshape(1, 3, 2), mask)
    tensor([[[2., 3.]]])
    """
    return _made("causal_lower_right", CausalVariant.LOWER_RIGHT, size)
