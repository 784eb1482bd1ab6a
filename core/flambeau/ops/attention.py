"""Scaled dot-product attention."""

from __future__ import annotations

import math
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import composite
from flambeau.errors import ArgumentError
from flambeau.ops._samples import Calls
from flambeau.tensor import Tensor


def _samples(make: Any) -> Calls:
    def operands(queries: int = 3, keys: int = 4) -> tuple[Any, ...]:
        return make(2, queries, 4), make(2, keys, 4), make(2, keys, 3)
    allowed = [[True, False, True, True], [False, True, True, False], [True, True, True, False]]
    yield operands(), {}
    yield (*operands(), make.fixed(allowed, dtype=dtypes.bool_)), {"scale": 0.25}
    yield (*operands(), make(2, 3, 4)), {}
    yield operands(), {"is_causal": True}
    yield (make(1, 4, 3, 2), make(1, 2, 5, 2), make(1, 2, 5, 2)), {"enable_gqa": True}


@composite(namespace="nn.functional", method=False, samples=_samples)
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
                                 dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
                                 enable_gqa: bool = False) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value, with heads and batch in front.

    query (..., L, E), key (..., S, E), value (..., S, V) give (..., L, V). A bool mask is True where attention is
    allowed; a float mask is added. `is_causal` lets position i see positions up to i, and excludes a mask. With
    `enable_gqa`, fewer key and value heads are repeated to match the query's.
    Source: "Attention Is All You Need", https://arxiv.org/abs/1706.03762, and
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html

    >>> import flambeau as torch
    >>> q = torch.zeros(1, 2, 3)
    >>> torch.nn.functional.scaled_dot_product_attention(q, q, torch.arange(4.).reshape(1, 2, 2))
    tensor([[[1., 2.],
             [1., 2.]]])
    """
    from flambeau.ops.dropout import dropout
    if is_causal and attn_mask is not None:
        raise ArgumentError("scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    factor = 1 / math.sqrt(max(query.size(-1), 1)) if scale is None else scale
    scores: Any = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = query.new_ones((query.size(-2), key.size(-2)), dtype=dtypes.bool_).tril()
    if attn_mask is not None and attn_mask.dtype is dtypes.bool_:
        scores = scores.masked_fill(attn_mask.logical_not(), float("-inf"))
        weights = scores.softmax(-1)
        # a row that may attend to nothing gives zeros, not nan
        weights = weights.masked_fill((scores == float("-inf")).all(-1, keepdim=True), 0.0)
    else:
        weights = (scores if attn_mask is None else scores + attn_mask).softmax(-1)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p, True)
    return weights @ value
