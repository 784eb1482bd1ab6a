"""Multi-head attention: projections, heads, masks and the way back, around scaled dot-product attention.

Where no weights are asked for, the heads go to `scaled_dot_product_attention`, which a device may have fused; else
products and a softmax are spelled out, since the weights are a result. Bool masks stay bool as long as nothing is added
to them: hiding positions costs less than adding minus infinity, and gives the same.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import composite
from flambeau.errors import ArgumentError
from flambeau.ops._samples import Calls
from flambeau.ops.attention import scaled_dot_product_attention
from flambeau.ops.dropout import dropout
from flambeau.ops.joining import cat
from flambeau.ops.linalg import linear, matmul
from flambeau.ops.padding import pad
from flambeau.ops.softmax import softmax
from flambeau.tensor import Tensor

_INF = float("inf")
_HIDDEN = [[False, True, False], [False, False, True]]


def _samples(make: Any) -> Calls:
    if not make.dtype.is_floating_point:
        return

    def some(*shape: int) -> Any:    # small, so that no rounding of a score is a large part of a weight
        return make(*shape, low=-1, high=1)

    def call(*special: Any, **more: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        # 2 queries, 3 keys, batch of 2, 4 features in 2 heads
        queries, keys = some(2, 2, 4), some(3, 2, 4)
        return (queries, keys, keys, 4, 2, some(12, 4), some(12), *(special or (None, None, False)), 0.0,
                some(4, 4), some(4)), more
    hidden = make.fixed(_HIDDEN, dtype=dtypes.bool_)
    yield call(need_weights=False)
    yield call(some(1, 1, 4), some(1, 1, 4), True, attn_mask=some(4, 2, 3))
    yield call(key_padding_mask=hidden, attn_mask=hidden, average_attn_weights=False)
    yield (some(3, 4), some(2, 5), some(2, 3), 4, 2, None, None, None, None, False, 0.0, some(4, 4), None), {
        "use_separate_proj_weight": True, "q_proj_weight": some(4, 4), "k_proj_weight": some(4, 5),
        "v_proj_weight": some(4, 3), "training": False}


# ---------------------------------------------------------------------------------------------- masks
def canonical_mask(mask: Tensor | None, name: str, other: Tensor | None = None, other_name: str = "",
                   dtype: dtypes.dtype | None = None, stacklevel: int = 3) -> Tensor | None:
    """A mask that is bool or floating-point, and floating-point where the other one, which it goes with, is.

    A warning where the two are of different dtypes. AssertionError for a mask of integers, as in PyTorch.
    """
    if mask is None:
        return None
    floats = mask.is_floating_point()
    if not floats and mask.dtype is not dtypes.bool_:
        raise AssertionError(f"only bool and floating types of {name} are supported, but {name} is {mask.dtype}")
    if other is not None and other.dtype is not mask.dtype:
        if other_name:
            warnings.warn(f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both "
                          f"instead: they are {mask.dtype} and {other.dtype}.", UserWarning, stacklevel=stacklevel)
        if not floats and dtype is not None:
            return additive_mask(mask, dtype)
    return mask


def canonical_masks(mask: Tensor | None, padding: Tensor | None, names: tuple[str, str], dtype: dtypes.dtype,
                    stacklevel: int = 4) -> tuple[Tensor | None, Tensor | None]:
    """A mask of positions and one of padding, both bool or both floating-point."""
    padding = canonical_mask(padding, names[1], mask, names[0], dtype, stacklevel)
    mask = canonical_mask(mask, names[0], padding, "", dtype)
    return mask, padding


def additive_mask(mask: Tensor, dtype: dtypes.dtype) -> Tensor:
    """Of a bool mask that is true where attention is forbidden: what is added to the scores."""
    result: Tensor = mask.new_zeros((), dtype=dtype).masked_fill(mask, -_INF)
    return result


def _joined(mask: Tensor | None, padding: Tensor | None) -> Tensor | None:
    """Both masks in one, of dimensions that broadcast to (batch, heads, queries, keys)."""
    if mask is None or padding is None:
        return padding if mask is None else mask
    joined: Tensor = mask | padding if mask.dtype is dtypes.bool_ else mask + padding
    return joined


# ---------------------------------------------------------------------------------------------- checks
def _check(holds: bool, text: str) -> None:
    """AssertionError, which PyTorch raises for shapes that do not fit."""
    if not holds:
        raise AssertionError("multi_head_attention_forward: " + text)


def _check_shapes(query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, mask: Tensor | None,
                  heads: int) -> bool:
    """Whether there is a batch."""
    number = query.dim()
    _check(number in (2, 3), f"query should be unbatched 2D or batched 3D tensor but received {number}-D query tensor")
    which = "batched (3-D)" if number == 3 else "unbatched (2-D)"
    _check(key.dim() == value.dim() == number, f"For {which} `query`, expected `key` and `value` to be {number}-D but "
           f"found {key.dim()}-D and {value.dim()}-D tensors respectively")
    _check(padding is None or padding.dim() == number - 1, f"For {which} `query`, expected `key_padding_mask` to be "
           f"`None` or {number - 1}-D but found {0 if padding is None else padding.dim()}-D tensor instead")
    _check(mask is None or mask.dim() in (2, 3), f"For {which} `query`, expected `attn_mask` to be `None`, 2-D or 3-D "
           f"but found {0 if mask is None else mask.dim()}-D tensor instead")
    if number == 2 and mask is not None and mask.dim() == 3:
        wanted = (heads, query.size(0), key.size(0))
        _check(tuple(mask.shape) == wanted, f"Expected `attn_mask` shape to be {wanted} but got {tuple(mask.shape)}")
    return number == 3


def _check_sizes(query: Tensor, key: Tensor, value: Tensor, expected: int, heads: int, separate: bool) -> None:
    features = query.size(-1)
    _check(features == expected, f"was expecting embedding dimension of {expected}, but got {features}")
    _check(features % heads == 0, f"embed_dim {features} not divisible by num_heads {heads}")
    if separate:
        _check(key.shape[:2] == value.shape[:2], f"key's sequence and batch dims {key.shape[:2]} do not match value's "
               f"{value.shape[:2]}")
    else:
        _check(key.shape == value.shape, f"key shape {key.shape} does not match value shape {value.shape}")


def _check_mask(mask: Tensor, wanted: tuple[int, int, int]) -> Tensor:
    """A mask of positions as (1 or batch times heads, queries, keys)."""
    if mask.dim() == 2:
        if tuple(mask.shape) != wanted[1:]:
            raise ArgumentError(f"The shape of the 2D attn_mask is {mask.shape}, but should be {wanted[1:]}.")
        return mask.unsqueeze(0)
    if tuple(mask.shape) != wanted:
        raise ArgumentError(f"The shape of the 3D attn_mask is {mask.shape}, but should be {wanted}.")
    return mask


# ---------------------------------------------------------------------------------------------- projections
def _packed(query: Tensor, key: Tensor, value: Tensor, weight: Tensor, bias: Tensor | None) -> Any:
    """Projections by one weight that holds those of query, key and value: as few products as the operands allow."""
    size = query.size(-1)
    if query is key and key is value:
        return linear(query, weight, bias).chunk(3, -1)
    if key is value:
        first, rest = weight.split([size, 2 * size])
        ours, theirs = (None, None) if bias is None else bias.split([size, 2 * size])
        return linear(query, first, ours), *linear(key, rest, theirs).chunk(2, -1)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return [linear(*each) for each in zip((query, key, value), weight.chunk(3), biases, strict=True)]


def _separate(operands: tuple[Tensor, ...], weights: tuple[Tensor | None, ...], bias: Tensor | None) -> Any:
    """Projections by three weights."""
    size = operands[0].size(-1)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    found = []
    for name, operand, weight, each in zip(("q", "k", "v"), operands, weights, biases, strict=True):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
        _check(tuple(weight.shape) == (size, operand.size(-1)), f"expecting {name}_proj_weight of shape "
               f"{(size, operand.size(-1))}, but got {tuple(weight.shape)}")
        found.append(linear(operand, weight, each))
    return found


def _one_more(masks: list[Tensor | None]) -> list[Tensor | None]:
    """Masks for one more key, which everybody may attend to."""
    return [None if each is None else pad(each, (0, 1)) for each in masks]


def _with_biases(k: Tensor, v: Tensor, bias_k: Tensor | None, bias_v: Tensor | None, static: bool,
                 masks: list[Tensor | None]) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """One more key and value, the same for all sequences, which are learned."""
    if bias_k is None or bias_v is None:
        _check(bias_k is None, "bias_k is set but bias_v is None")
        _check(bias_v is None, "bias_v is set but bias_k is None")
        return k, v, masks
    _check(not static, "bias cannot be added to static key or value.")
    batch = k.size(1)
    return cat([k, bias_k.repeat(1, batch, 1)]), cat([v, bias_v.repeat(1, batch, 1)]), _one_more(masks)


def _heads(each: Tensor, static: Tensor | None, name: str, sizes: tuple[int, int, int]) -> Tensor:
    """(length, batch, features) as (batch, heads, length, head size), without a copy; or what is given in its place."""
    batch, heads, size = sizes
    if static is None:
        result: Tensor = each.unflatten(-1, (heads, size)).permute(1, 2, 0, 3)
        return result
    _check(static.size(0) == batch * heads, f"expecting {name}.size(0) of {batch * heads}, but got {static.size(0)}")
    _check(static.size(2) == size, f"expecting {name}.size(2) of {size}, but got {static.size(2)}")
    given: Tensor = static.unflatten(0, (batch, heads))
    return given


# ---------------------------------------------------------------------------------------------- attention itself
def _weighed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float) -> tuple[Tensor, Tensor]:
    """Attention with its weights."""
    scores = matmul(q * math.sqrt(1.0 / q.size(-1)), k.transpose(-2, -1))
    if mask is not None:
        scores = scores.masked_fill(mask, -_INF) if mask.dtype is dtypes.bool_ else scores + mask
    weights = softmax(scores, -1)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return matmul(weights, v), weights


def _per_head(mask: Tensor | None, padding: Tensor | None, sizes: tuple[int, int, int]) -> Tensor | None:
    """The two masks as one of dimensions that broadcast to (batch, heads, queries, keys)."""
    batch, heads, keys = sizes
    if mask is not None:
        mask = mask.unsqueeze(0) if mask.size(0) == 1 else mask.unflatten(0, (batch, heads))
    if padding is not None:
        for dim, (found, wanted) in enumerate(zip(padding.shape, (batch, keys), strict=True)):
            _check(found == wanted, f"Expected key_padding_mask.shape[{dim}] to be {wanted}, but got {found}")
        padding = padding.unflatten(1, (1, 1, keys))
    return _joined(mask, padding)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, is_causal: bool,
            need_weights: bool) -> tuple[Tensor, Tensor | None]:
    """(batch, heads, queries, head size), and the weights if they are needed."""
    if need_weights:
        _check(mask is not None or not is_causal, "is_causal without a mask cannot give weights")
        return _weighed(q, k, v, mask, dropout_p)
    if mask is not None and mask.dtype is dtypes.bool_:
        mask = mask.logical_not()
    return scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal), None


def _unsqueezed(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With a batch of one; what was the same tensor stays the same."""
    more = query.unsqueeze(1)
    keys = more if key is query else key.unsqueeze(1)
    return more, keys, keys if value is key else value.unsqueeze(1)


def _from_projections(q: Tensor, k: Tensor, v: Tensor, heads: int, masks: tuple[Tensor | None, Tensor | None],
                      biases: tuple[Tensor | None, Tensor | None], static: tuple[Tensor | None, Tensor | None],
                      add_zero_attn: bool, dropout_p: float, is_causal: bool,
                      need_weights: bool) -> tuple[Tensor, Tensor | None]:
    """Attention of projected operands (length, batch, features), the heads side by side again."""
    length, batch, features = q.shape
    mask, padding = masks
    if mask is not None:
        mask = _check_mask(mask, (batch * heads, length, k.size(0)))
    k, v, both = _with_biases(k, v, *biases, static != (None, None), [mask, padding])
    sizes = (batch, heads, features // heads)
    q, k = _heads(q, None, "", sizes), _heads(k, static[0], "static_k", sizes)
    v = _heads(v, static[1], "static_v", sizes)
    if add_zero_attn:
        nothing = k.new_zeros((batch, heads, 1, sizes[2]))
        k, v, both = cat([k, nothing], 2), cat([v, nothing], 2), _one_more(both)
    mask = _per_head(both[0], both[1], (batch, heads, k.size(2)))
    result, weights = _attend(q, k, v, mask, dropout_p, is_causal, need_weights)
    return result.permute(2, 0, 1, 3).reshape(length, batch, features), weights


@composite(namespace="nn.functional", method=False, samples=_samples)
def multi_head_attention_forward(
        query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
        in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None, bias_v: Tensor | None,
        add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor, out_proj_bias: Tensor | None,
        training: bool = True, key_padding_mask: Tensor | None = None, need_weights: bool = True,
        attn_mask: Tensor | None = None, use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None,
        k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None, static_k: Tensor | None = None,
        static_v: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
    """What `nn.MultiheadAttention` computes, of (length, batch, features) or (length, features).

    Bool masks are true where attention is forbidden, floating-point ones are added; `key_padding_mask` is (batch,
    keys), `attn_mask` (queries, keys) or (batch times heads, queries, keys). `is_causal` says of `attn_mask` that it
    is the causal one. Gives the result, and the weights (batch, queries, keys), per head if they are not averaged,
    None if they are not needed. AssertionError for shapes that do not fit, RuntimeError for masks of a wrong shape.
    Source: "Attention Is All You Need", https://arxiv.org/abs/1706.03762

    >>> import flambeau as torch
    >>> x, one = torch.ones(3, 1, 2), torch.eye(2)
    >>> result, weights = torch.nn.functional.multi_head_attention_forward(
    ...     x, x, x, 2, 1, one.repeat(3, 1), None, None, None, False, 0.0, one, None)
    >>> result.shape, weights[0, 0]
    (torch.Size([3, 1, 2]), tensor([0.3333, 0.3333, 0.3333]))
    """
    batched = _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = _unsqueezed(query, key, value)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    if is_causal and attn_mask is None:
        raise ArgumentError("multi_head_attention_forward: Need attn_mask if specifying the is_causal hint. "
                            "`Transformer.generate_square_subsequent_mask` makes one")
    attn_mask, key_padding_mask = canonical_masks(attn_mask, key_padding_mask, ("attn_mask", "key_padding_mask"),
                                                  query.dtype)
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None
    else:
        is_causal = is_causal and key_padding_mask is None
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if use_separate_proj_weight:
        q, k, v = _separate((query, key, value), (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias)
    else:
        if in_proj_weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _packed(query, key, value, in_proj_weight, in_proj_bias)
    result, weights = _from_projections(
        q, k, v, num_heads, (attn_mask, key_padding_mask), (bias_k, bias_v), (static_k, static_v), add_zero_attn,
        dropout_p if training else 0.0, is_causal, need_weights)
    result = linear(result, out_proj_weight, out_proj_bias)
    if weights is not None:
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    return result if batched else result.squeeze(1), weights
