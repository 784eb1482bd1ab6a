"""Scaled dot-product attention.

It is made of products and a softmax, which keep the weights of all pairs of positions. A device with a kernel that
goes through the keys block by block keeps none: the operator behind it, `attention`, gives with its result the
logarithm of each row's sum of exponentials, from which the gradient's kernel computes the weights again.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import composite, operator
from flambeau.errors import ArgumentError
from flambeau.graph import STATE
from flambeau.ops._samples import Calls
from flambeau.tensor import Tensor

_INF = float("inf")
_ALLOWED = [[True, False, True, True], [False, True, True, False], [True, True, True, False]]
_NONE_IN_ONE = [[True, False, True, True], [False] * 4, [True, True, True, False]]
_ADDED = [[0.5, -_INF, 0.25, -1.0], [-_INF] * 4, [0.0, 2.0, -_INF, -3.0]]


def _operands(make: Any, queries: int = 3, keys: int = 4) -> tuple[Any, ...]:
    return make(2, queries, 4), make(2, keys, 4), make(2, keys, 3)


def _heads(make: Any, heads: int, queries: int, keys: int, shared: int = 0) -> tuple[Any, ...]:
    shared = shared or heads
    return make(1, heads, queries, 2), make(1, shared, keys, 2), make(1, shared, keys, 3)


def _samples(make: Any) -> Calls:
    yield _operands(make), {}
    yield (*_operands(make), make.fixed(_ALLOWED, dtype=dtypes.bool_)), {"scale": 0.25}
    yield (*_operands(make), make(2, 3, 4)), {}
    yield _operands(make), {"is_causal": True}
    yield (make(1, 4, 3, 2), make(1, 2, 5, 2), make(1, 2, 5, 2)), {"enable_gqa": True}
    yield (*_operands(make), make.fixed(_NONE_IN_ONE, dtype=dtypes.bool_)), {}
    if make.dtype.is_floating_point:
        yield (*_operands(make), make.fixed(_ADDED, requires_grad=False)), {}
        yield _heads(make, 2, 2, 0), {}
        yield _heads(make, 2, 0, 3), {}
    yield _heads(make, 2, 37, 41), {"is_causal": True}


def _samples_core(make: Any) -> Calls:
    yield (*_heads(make, 2, 3, 4), None, False, 0.5), {}
    yield (*_heads(make, 4, 35, 33, 2), None, True, 1.0), {}
    yield (*_heads(make, 4, 3, 4, 1), make.fixed(_ALLOWED, dtype=dtypes.bool_), False, 0.5), {}
    yield (*_heads(make, 2, 3, 4), make(2, 1, 4, requires_grad=False), False, -0.5), {}


def _samples_backward(make: Any) -> Calls:
    # A kernel uses the results that it is given, the decomposition computes them anew: they are known here, since
    # keys are zeros and values all the same.
    row = [0.5, -1.0, 2.0]
    for queries, keys, causal in ((3, 4, False), (2, 2, True)):
        def given(data: Any) -> Any:
            return make.fixed([[data, data]], requires_grad=False)
        seen = [math.log(number + 1 if causal else keys) for number in range(queries)]
        yield (make(1, 2, queries, 3), given([[1.0, -2.0]] * queries), given([[0.0, 0.0]] * keys), given([row] * keys),
               None, given([row] * queries), given(seen), causal, 0.5), {}


# ---------------------------------------------------------------------------------------------- in other operators
def _repeated(query: Tensor, each: Tensor) -> Tensor:
    """Keys or values with as many heads as the query has."""
    times = query.size(-3) // each.size(-3) if query.dim() > 2 and each.size(-3) else 1
    return each if times == 1 else each.repeat_interleave(times, -3)


def _composed(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, factor: float,
              dropout_p: float = 0.0) -> Tensor:
    """Attention as products and a softmax."""
    scores: Any = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        mask = query.new_ones((query.size(-2), key.size(-2)), dtype=dtypes.bool_).tril()
    dead = None     # rows that may attend to nothing: they give zeros, not nan
    if mask is not None and mask.dtype is dtypes.bool_:
        scores = scores.masked_fill(mask.logical_not(), -_INF)
        weights = scores.softmax(-1)
        weights = weights.masked_fill((scores == -_INF).all(-1, keepdim=True), 0.0)
    elif mask is not None:
        dead = (mask.detach() == -_INF).all(-1, keepdim=True)
        if mask._kind.backend.capabilities.host and not bool(dead.any()):    # elsewhere, asking means waiting
            dead = None
        weights = (scores + (mask if dead is None else mask.masked_fill(dead, 0.0))).softmax(-1)
    else:
        weights = scores.softmax(-1)
    if dropout_p > 0.0:
        from flambeau.ops.dropout import dropout
        weights = dropout(weights, dropout_p, True)
    result: Tensor = weights @ value
    return result if dead is None else result.masked_fill(dead, 0.0)


def _scores(query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    """What the softmax is taken of, with numbers in rows that may attend to nothing; and which rows these are."""
    scores: Any = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        mask = query.new_ones((query.size(-2), key.size(-2)), dtype=dtypes.bool_).tril()
    if mask is not None and mask.dtype is dtypes.bool_:
        scores = scores.masked_fill(mask.logical_not(), -_INF)
    elif mask is not None:
        scores = scores + mask
    dead = (scores.detach() == -_INF).all(-1, keepdim=True)
    return scores.masked_fill(dead, 0.0), dead


@operator(outputs=("grad_query", "grad_key", "grad_value"), method=False, namespace="internal",
          samples=_samples_backward)
def attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, result: Tensor,
                       logsumexp: Tensor, is_causal: bool, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `attention`. Here its results are computed anew, since they depend on the operands."""
    many, values = _repeated(query, key), _repeated(query, value)
    scores, dead = _scores(query, many, mask, is_causal, scale)
    weights = scores.softmax(-1).masked_fill(dead, 0.0)
    through: Any = grad @ values.transpose(-2, -1)
    through = weights * (through - (weights * through).sum(-1, keepdim=True)) * scale
    grad_key = through.transpose(-2, -1) @ query
    grad_value = weights.transpose(-2, -1) @ grad
    return through @ many, _added_up(grad_key, key), _added_up(grad_value, value)


def _added_up(grad: Tensor, each: Tensor) -> Tensor:
    """The gradient of keys or values that several heads share."""
    shape = each._array.shape
    return grad if grad._array.shape == shape else grad.unflatten(-3, (shape[-3], -1)).sum(-3)


def _gradients(g: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, result: Tensor,
               logsumexp: Tensor, is_causal: bool, scale: float, needs: tuple[bool, ...]) -> Any:
    found: Any = (None, None, None)
    if g[0] is not None:
        found = attention_backward(g[0], query, key, value, mask, result.detach(), logsumexp.detach(), is_causal, scale)
    if g[1] is not None:
        more = _through_logarithms(g[1], query, key, mask, is_causal, scale)
        found = (*[b if a is None else a + b for a, b in zip(found, more, strict=False)], found[2])
    return [each if needed else None for each, needed in zip(found, needs, strict=True)]


def _through_logarithms(g: Tensor, query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool,
                        scale: float) -> tuple[Tensor, Tensor]:
    """The gradients of query and key through the rows' logarithms, which no one asks for but who calls `attention`."""
    many = _repeated(query, key)
    scores, dead = _scores(query, many, mask, is_causal, scale)
    through: Any = (scores.softmax(-1) * g.unsqueeze(-1) * scale).masked_fill(dead, 0.0)
    return through @ many, _added_up(through.transpose(-2, -1) @ query, key)


@operator(outputs=("result", "logsumexp"), method=False, namespace="internal", samples=_samples_core,
          grad_name="ScaledDotProductEfficientAttentionBackward0", vjp={
    ("query", "key", "value"): lambda g, query, key, value, mask, result, logsumexp, is_causal, scale, needs:
        _gradients(g, query, key, value, mask, result, logsumexp, is_causal, scale, needs)})
def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool,
              scale: float) -> tuple[Tensor, Tensor]:
    """Attention with the logarithm of each row's sum of exponentials (inf for a row that may attend to nothing).

    The operands have the same sizes in front, but keys and values may have fewer heads. Nothing is differentiated
    with respect to the mask.
    """
    scores, dead = _scores(query, _repeated(query, key), mask, is_causal, scale)
    weights = scores.softmax(-1).masked_fill(dead, 0.0)
    logs = scores.logsumexp(-1).masked_fill(dead.squeeze(-1), _INF)
    return weights @ _repeated(query, value), logs


# ---------------------------------------------------------------------------------------------- what people call
def _fuses(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, enable_gqa: bool) -> bool:
    """Whether the operands are such as `attention` takes, on a device that has a kernel for it."""
    kind = query._kind
    if "attention" not in kind.kernels or not kind.dtype.is_floating_point or kind.stored:
        return False
    sizes, keys, values = query._array.shape, key._array.shape, value._array.shape
    if key._kind is not kind or value._kind is not kind or len(sizes) < 2 or 0 in (*sizes, *keys, *values):
        return False
    if len(keys) != len(sizes) or keys[:-1] != values[:-1] or keys[-1] != sizes[-1]:
        return False
    if keys[:-2] != sizes[:-2] and not (
            enable_gqa and len(sizes) > 2 and keys[:-3] == sizes[:-3] and sizes[-3] % keys[-3] == 0):
        return False
    if mask is None:
        return True
    if (mask._kind is not kind and mask._kind is not kind.to(dtypes.bool_)) or (
            mask._edge is not None and STATE.enabled and mask.requires_grad):
        return False
    seen = (*sizes[:-1], keys[-2])
    return 2 <= len(mask._array.shape) <= len(seen) and all(
        size in (1, wanted) for size, wanted in zip(reversed(mask._array.shape), reversed(seen), strict=False))


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, factor: float) -> Tensor:
    """By the device's kernel. Operands that are emulated are widened here, so that the logarithms stay exact."""
    kind = query._kind
    if not kind.emulated:
        return attention(query, key, value, mask, is_causal, factor)[0]
    wide = kind.compute.dtype
    if mask is not None and mask._kind is kind:
        mask = mask.to(wide)
    result: Tensor = attention(query.to(wide), key.to(wide), value.to(wide), mask, is_causal, factor)[0].to(kind.dtype)
    return result


@composite(namespace="nn.functional", method=False, samples=_samples)
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
                                 dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
                                 enable_gqa: bool = False) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value, with heads and batch in front.

    query (..., L, E), key (..., S, E), value (..., S, V) give (..., L, V). A bool mask is True where attention is
    allowed; a float mask is added. `is_causal` lets position i see positions up to i, and excludes a mask. With
    `enable_gqa`, fewer key and value heads are repeated to match the query's. A position that may attend to nothing
    gets zeros.
    Source: "Attention Is All You Need", https://arxiv.org/abs/1706.03762, and
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html

    >>> import flambeau as torch
    >>> q = torch.zeros(1, 2, 3)
    >>> torch.nn.functional.scaled_dot_product_attention(q, q, torch.arange(4.).reshape(1, 2, 2))
    tensor([[[1., 2.],
             [1., 2.]]])
    """
    if attn_mask is not None and hasattr(type(attn_mask), "for_attention"):   # one of nn.attention.bias
        attn_mask, is_causal = attn_mask.for_attention(query, is_causal)  # type: ignore[attr-defined]
    if is_causal and attn_mask is not None:
        raise ArgumentError("scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    factor = 1 / math.sqrt(max(query.size(-1), 1)) if scale is None else scale
    if not dropout_p and _fuses(query, key, value, attn_mask, enable_gqa):
        return _fused(query, key, value, attn_mask, is_causal, factor)
    if enable_gqa:
        key, value = _repeated(query, key), _repeated(query, value)
    return _composed(query, key, value, attn_mask, is_causal, factor, dropout_p)
