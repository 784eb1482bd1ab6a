"""Multi-head attention as a layer: the parameters around `nn.functional.multi_head_attention_forward`."""

from __future__ import annotations

from typing import Any

from flambeau.errors import ArgumentValueError
from flambeau.nn import functional as F, init
from flambeau.nn.modules.linear import NonDynamicallyQuantizableLinear
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.ops.creation import empty
from flambeau.ops.multihead import additive_mask, canonical_masks
from flambeau.tensor import Tensor

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention of several heads, each on its own projections of queries, keys and values.

    Args:
        embed_dim: features of queries and of the result; a multiple of ``num_heads``.
        num_heads: how many heads share them.
        dropout: share of the weights that are dropped in training.
        bias: whether the projections have biases.
        add_bias_kv: whether one learned key and value are added to every sequence.
        add_zero_attn: whether a key and a value of zeros are added to every sequence.
        kdim: features of keys; ``embed_dim`` if left out.
        vdim: features of values; ``embed_dim`` if left out.
        batch_first: whether sequences are (batch, length, features), where otherwise length comes first.
        device: where the parameters live.
        dtype: the parameters' dtype.

    ValueError for sizes that are not positive, AssertionError where the heads do not divide ``embed_dim``.

    >>> import flambeau as torch
    >>> layer = torch.nn.MultiheadAttention(8, 2)
    >>> x = torch.zeros(5, 3, 8)
    >>> result, weights = layer(x, x, x)
    >>> result.shape, weights.shape
    (torch.Size([5, 3, 8]), torch.Size([3, 5, 5]))
    """

    __module__ = "flambeau.nn.modules.activation"   # where PyTorch has it, and pickles look
    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ArgumentValueError(f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                                     f"num_heads={num_heads} instead")
        super().__init__()
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(f"embed_dim must be divisible by num_heads, got {embed_dim} and {num_heads}")
        self._register(_projections(embed_dim, self.kdim, self.vdim), device, dtype)
        self._register({"in_proj_bias": (3 * embed_dim,) if bias else None}, device, dtype)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        if add_bias_kv:
            self._register(dict.fromkeys(("bias_k", "bias_v"), (1, 1, embed_dim)), device, dtype)
        else:
            self.bias_k = self.bias_v = None
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def _register(self, sizes: dict[str, tuple[int, ...] | None], device: Any, dtype: Any) -> None:
        for name, size in sizes.items():
            parameter = None if size is None else Parameter(empty(size, device=device, dtype=dtype))
            self.register_parameter(name, parameter)

    def _reset_parameters(self) -> None:
        """Draw the starting values."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)  # type: ignore[arg-type]  # both have a bias, or neither
        for each in (self.bias_k, self.bias_v):
            if each is not None:
                init.xavier_normal_(each)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"_qkv_same_embed_dim": True, **state})   # which early checkpoints do not say

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result, and the attention weights if they are needed, else None.

        Args:
            query: (length, batch, embed_dim), with ``batch_first`` (batch, length, embed_dim), or (length, embed_dim).
            key: likewise, of another length and with ``kdim`` features.
            value: likewise, of the keys' length and with ``vdim`` features.
            key_padding_mask: (batch, keys); true for keys that nobody may attend to, or numbers that are added.
            need_weights: give the weights too. Without them, a device's own attention may run, which is faster.
            attn_mask: (queries, keys) or (batch times heads, queries, keys); true where attention is forbidden, or
                numbers that are added.
            average_attn_weights: give the heads' mean of the weights, (batch, queries, keys), where otherwise they
                are (batch, heads, queries, keys).
            is_causal: promises that ``attn_mask`` is the causal one.

        A query that may attend to nothing gets nan with weights, and zeros from attention without.
        """
        attn_mask, key_padding_mask = canonical_masks(
            attn_mask, key_padding_mask, ("attn_mask", "key_padding_mask"), query.dtype)
        swaps = self.batch_first and query.dim() == 3
        if swaps:
            query, key, value = _swapped(query, key, value)
        same = self._qkv_same_embed_dim
        result, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, self.bias_k,
            self.bias_v, self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias, self.training,
            key_padding_mask, need_weights, attn_mask, not same, None if same else self.q_proj_weight,
            None if same else self.k_proj_weight, None if same else self.v_proj_weight,
            average_attn_weights=average_attn_weights, is_causal=is_causal)
        return result.transpose(0, 1) if swaps else result, weights

    def merge_masks(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor
    ) -> tuple[Tensor | None, int | None]:
        """Both masks as one, and what it is: 0 or None for no mask, 1 for padding alone, 2 for (batch, heads, L, L).

        ``query`` is (batch, L, features).
        """
        if attn_mask is None:
            return key_padding_mask, None if key_padding_mask is None else 1
        batch, length, _ = query.shape
        shape = (batch, -1, length, length) if attn_mask.dim() == 3 else (1, 1, length, length)
        merged = attn_mask.reshape(shape).expand(batch, self.num_heads, -1, -1)
        if key_padding_mask is not None:
            padding = key_padding_mask.reshape(batch, 1, 1, length).expand(-1, self.num_heads, -1, -1)
            if merged.dtype is not padding.dtype:
                floats = merged if merged.is_floating_point() else padding
                merged, padding = (each if each.is_floating_point() else additive_mask(each, floats.dtype)
                                   for each in (merged, padding))
            merged = merged + padding
        return merged, 2


def _projections(features: int, keys: int, values: int) -> dict[str, tuple[int, ...] | None]:
    """The weights of the three projections: in one where they are alike, else apart."""
    apart: dict[str, tuple[int, ...] | None] = {
        "q_proj_weight": (features, features), "k_proj_weight": (features, keys), "v_proj_weight": (features, values)}
    if features == keys == values:
        return {"in_proj_weight": (3 * features, features), **dict.fromkeys(apart)}
    return {**apart, "in_proj_weight": None}


def _swapped(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Length first; what was the same tensor stays the same, which makes one projection of it."""
    queries = query.transpose(0, 1)
    keys = queries if key is query else key.transpose(0, 1)
    return queries, keys, keys if value is key else value.transpose(0, 1)
