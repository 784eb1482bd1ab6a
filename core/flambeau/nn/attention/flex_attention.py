"""Attention whose scores and masks are said by functions of single positions.

The functions see all positions at once: their indices are tensors that broadcast to (batch, heads, queries, keys), and
so they must work element by element, as sums, comparisons and look-ups in tensors do. All scores are computed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from flambeau import dtypes
from flambeau.device import device as Device
from flambeau.errors import ArgumentError, ArgumentValueError, UnsupportedError
from flambeau.nn.attention._block_mask import BlockMask, MaskMod, _sliced_mask_mod_error, noop_mask, ordered
from flambeau.nn.functional import pad
from flambeau.ops.creation import arange, zeros
from flambeau.ops.selection import where
from flambeau.tensor import Tensor

__all__ = ["AuxOutput", "AuxRequest", "BlockMask", "FlexKernelOptions", "and_masks", "create_block_mask", "create_mask",
           "flex_attention", "noop_mask", "or_masks"]

_INF = float("inf")
ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class FlexKernelOptions(TypedDict, total=False):
    """What PyTorch's kernels can be told; taken and not looked at."""


class AuxRequest(NamedTuple):
    """What to give beside the result: the logarithms of the rows' sums of exponentials, their largest scores."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What was asked for by `AuxRequest`, (batch, heads, queries)."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def _joined(masks: tuple[MaskMod, ...], start: bool) -> MaskMod:
    """The intersection of masks that begins with everything, or the union that begins with nothing."""
    if not all(callable(mask) for mask in masks):
        raise ArgumentError(f"All inputs should be callable mask_mods: {masks}")

    def joined(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result: Any = b.new_full((), start, dtype=dtypes.bool_)
        for mask in masks:
            each = mask(b, h, q_idx, kv_idx)
            result = result & each if start else result | each
        return result
    return joined


def and_masks(*mask_mods: MaskMod) -> MaskMod:
    """A mask that lets through what all masks let through. RuntimeError for what is no function.

    >>> from flambeau.nn.attention.flex_attention import and_masks, create_mask
    >>> near = and_masks(lambda b, h, q, kv: q >= kv, lambda b, h, q, kv: q - kv < 2)
    >>> create_mask(near, 1, 1, 3, 3, "cpu")[0, 0]
    tensor([[ True, False, False],
            [ True,  True, False],
            [False,  True,  True]])
    """
    return _joined(mask_mods, True)


def or_masks(*mask_mods: MaskMod) -> MaskMod:
    """A mask that lets through what any of the masks lets through. RuntimeError for what is no function."""
    return _joined(mask_mods, False)


def _arguments(function: Callable[..., Any]) -> int:
    """How many positional arguments a function needs: 4 for a mask, 5 for scores."""
    import inspect

    code = getattr(function, "__code__", None)
    if code is not None:
        number = code.co_argcount - len(getattr(function, "__defaults__", None) or ())
    else:
        parameters = inspect.signature(function).parameters.values()
        number = sum(each.default is inspect.Parameter.empty for each in parameters)
    if number not in (4, 5):
        raise AssertionError(f"Expected 4 or 5 positional args, got {number}")
    return number


def _positions(shape: tuple[int, ...], device: Any) -> list[Tensor]:
    """Batch, head, query and key of each score, of shapes that broadcast."""
    return [arange(size, device=device).reshape([-1 if each == dim else 1 for each in range(4)])
            for dim, size in enumerate(shape)]


def create_mask(mod_fn: MaskMod | ScoreMod, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int,
                device: Any = None) -> Tensor:
    """A mask (B, H, Q_LEN, KV_LEN), true where a function lets through; of scores, where they are not minus infinity.

    Args:
        mod_fn: a function of batch, head, query and key, or of a score and these.
        B: size of the batch; 1 if None.
        H: number of heads; 1 if None.
        Q_LEN: number of queries.
        KV_LEN: number of keys.
        device: where; by default on the accelerator, if there is one.

    >>> from flambeau.nn.attention.flex_attention import create_mask
    >>> create_mask(lambda b, h, q, kv: q >= kv, None, None, 2, 2, device="cpu")
    tensor([[[[ True, False],
              [ True,  True]]]])
    """
    shape = (B or 1, H or 1, Q_LEN, KV_LEN)
    device = _device(device)
    found: Any = mod_fn
    if _arguments(mod_fn) == 5:
        scores = found(zeros(shape, device=device), *_positions(shape, device))
        return (scores != -_INF).expand(shape)
    return found(*_positions(shape, device)).expand(shape)


def _device(device: Any) -> Any:
    if device is not None:
        return device
    from flambeau import discovery
    accelerator = Device(0).type
    return accelerator if discovery.device_count(accelerator) else "cpu"


def create_block_mask(
    mask_mod: MaskMod, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = 128, _compile: bool = False, separate_full_blocks: bool = True,
    compute_dq_write_order: bool = False, dq_kv_order: bool = True,
) -> BlockMask:
    """A mask by blocks, from a function of batch, head, query and key.

    Args:
        mask_mod: the function, true where attention is allowed.
        B: size of the batch; 1 if None, for all batches.
        H: number of heads; 1 if None, for all heads.
        Q_LEN: number of queries.
        KV_LEN: number of keys.
        device: where; by default on the accelerator, if there is one.
        BLOCK_SIZE: queries and keys of a block.
        separate_full_blocks: whether blocks that are seen as a whole are noted apart.
        compute_dq_write_order: of kernels that there are none of here; not looked at.
        dq_kv_order: likewise.

    AssertionError for a function of scores.

    >>> from flambeau.nn.attention.flex_attention import create_block_mask
    >>> create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 256, 256, device="cpu").kv_indices
    tensor([[[[0, 1],
              [1, 0]]]], dtype=torch.int32)
    """
    if _arguments(mask_mod) != 4:
        raise AssertionError(f"create-block_mask requires a mask_mod function! Got {mask_mod}")
    rows, columns = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    mask = pad(mask, (0, -KV_LEN % columns, 0, -Q_LEN % rows))
    seen = mask.unflatten(-1, (-1, columns)).unflatten(2, (-1, rows)).sum((3, 5))
    full: tuple[Tensor | None, Tensor | None] = (None, None)
    some = seen > 0
    if separate_full_blocks:
        whole = seen == rows * columns
        some, full = some & ~whole, ordered(whole)
    number, places = ordered(some)
    return BlockMask.from_kv_blocks(number, places, full[0], full[1], (rows, columns), mask_mod, (Q_LEN, KV_LEN))


# ---------------------------------------------------------------------------------------------- attention itself
def _check(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> None:
    if query.device != key.device or query.device != value.device:
        raise ArgumentValueError("Expected query, key, and value to have the same device type, but got query.device: "
                                 f"{query.device}, key.device: {key.device}, and value.device: {value.device} instead.")
    if query.size(-1) != key.size(-1):
        raise ArgumentValueError("Expect query and key/value to have the same embedding dimension but got "
                                 f"E={query.size(-1)} and E={key.size(-1)}.")
    if not query.dim() == key.dim() == value.dim() == 4:
        raise UnsupportedError("NYI: query, key, and value must be 4D tensors: (batch, heads, length, features)")
    heads, others = query.size(1), key.size(1)
    if not enable_gqa and heads != others:
        raise ArgumentValueError(f"Expect query and key/value to have the same number of heads but got Hq={heads} and "
                                 f"Hkv={others}. Try setting enable_gqa=True for GQA.")
    if heads % others:
        raise ArgumentValueError("Expect number of query heads to be a multiple of kv heads for GQA but got "
                                 f"Hq={heads} and Hkv={others}.")
    if query.size(0) != key.size(0) and key.size(0) != 1:
        raise ArgumentError(f"Bq and Bkv must broadcast. Got Bq={query.size(0)} and Bkv={key.size(0)}")


def _check_mask(mask: BlockMask, queries: int, keys: int, device: Any) -> None:
    if mask.mask_mod is _sliced_mask_mod_error:
        raise ArgumentError("Cannot use mask_mod from a sliced BlockMask")
    found = mask.shape[-2:]
    if found != (queries, keys):
        smaller = queries > found[0] or keys > found[1]
        length, instead = ("smaller", "") if smaller else ("larger", ", or to crop it: _adjust(q_len, kv_len)")
        raise ArgumentValueError(
            f"block_mask was created for block_mask.shape={mask.shape} but got q_len={queries} and kv_len={keys}. As "
            f"the block mask was created for a {length} length than you're using it for, you likely need to create a "
            f"new block mask{instead}.")
    if mask.kv_num_blocks.device != device:
        raise ArgumentError(f"Expect q/k/v and block_mask to be on the same device but got {device} and "
                            f"{mask.kv_num_blocks.device}.")


def _allowed(mask: BlockMask, positions: list[Tensor]) -> Tensor:
    """Where the blocks are in use and the function lets through."""
    (rows, columns), (queries, keys) = mask.BLOCK_SIZE, mask.seq_lengths
    blocks = mask.to_dense().repeat_interleave(rows, -2).repeat_interleave(columns, -1)
    result: Tensor = mask.mask_mod(*positions) & blocks[..., :queries, :keys].bool()
    return result


def flex_attention(
    query: Tensor, key: Tensor, value: Tensor, score_mod: ScoreMod | None = None, block_mask: BlockMask | None = None,
    scale: float | None = None, enable_gqa: bool = False, return_lse: bool = False, kernel_options: Any = None, *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """softmax of changed scores, times values.

    Args:
        query: (batch, heads, queries, features).
        key: (batch, heads, keys, features); fewer heads with ``enable_gqa``, which several queries' heads share.
        value: (batch, heads, keys, other features).
        score_mod: makes new scores of scores, batch, head, query and key; works element by element.
        block_mask: which scores count at all.
        scale: what the products are multiplied by; ``1 / sqrt(features)`` if left out.
        enable_gqa: allow fewer heads of keys and values.
        return_lse: the older way to ask for logarithms. FutureWarning.
        kernel_options: taken and not looked at.
        return_aux: what to give beside the result.

    The result, or with `return_lse` or `return_aux` also the logarithms of the rows' sums of exponentials, or an
    `AuxOutput`. A query for which no score counts gets zeros. ValueError for sizes that do not fit.

    >>> import flambeau as torch
    >>> from flambeau.nn.attention.flex_attention import flex_attention
    >>> q = torch.zeros(1, 1, 2, 1)
    >>> values = torch.tensor([1., 3.]).reshape(1, 1, 2, 1)
    >>> causal = lambda score, b, h, q_idx, kv_idx: torch.where(q_idx >= kv_idx, score, -float("inf"))
    >>> flex_attention(q, q, values, causal).flatten()
    tensor([1., 2.])
    """
    _check(query, key, value, enable_gqa)
    if return_lse and return_aux is not None:
        raise ArgumentValueError("Cannot specify both return_lse and return_aux. return_lse is deprecated, please use "
                                 "return_aux=AuxRequest(lse=True) instead.")
    if return_lse:
        warnings.warn("return_lse is deprecated. Please use return_aux=AuxRequest(lse=True) instead.", FutureWarning,
                      stacklevel=2)
    if block_mask is not None:
        _check_mask(block_mask, query.size(-2), key.size(-2), query.device)
    scores = _scores(query, key, score_mod, block_mask, 1.0 / math.sqrt(query.size(-1)) if scale is None else scale)
    dead = (scores.detach() == -_INF).all(-1, keepdim=True)
    weights = scores.masked_fill(dead, 0.0).softmax(-1).masked_fill(dead, 0.0)
    result: Any = weights.to(query.dtype) @ _shared(value, query).to(query.dtype)
    if not return_lse and return_aux is None:
        return result
    wanted = AuxRequest(lse=True) if return_aux is None else return_aux
    found = AuxOutput(
        scores.masked_fill(dead, 0.0).logsumexp(-1).masked_fill(dead.squeeze(-1), -_INF) if wanted.lse else None,
        scores.amax(-1) if wanted.max_scores else None)
    return result, (found.lse if return_lse else found)


def _shared(each: Tensor, query: Tensor) -> Tensor:
    """Keys or values with as many heads as the query has."""
    times = query.size(1) // each.size(1)
    return each if times == 1 else each.repeat_interleave(times, 1)


def _scores(query: Tensor, key: Tensor, score_mod: ScoreMod | None, block_mask: BlockMask | None,
            scale: float) -> Tensor:
    """The scores after both functions, minus infinity where they do not count."""
    precise = dtypes.float64 if query.dtype is dtypes.float64 else dtypes.float32
    products: Any = query.to(precise) @ _shared(key, query).to(precise).transpose(-2, -1)
    scores: Tensor = products * scale
    positions = _positions(tuple(scores.shape), scores.device)
    changed = scores if score_mod is None else score_mod(scores, *positions)
    if block_mask is not None:
        changed = where(_allowed(block_mask, positions), changed, scores.new_full((), -_INF))
    result: Tensor = changed.to(precise).expand(scores.shape)
    return result
