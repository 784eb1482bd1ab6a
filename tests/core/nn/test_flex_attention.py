"""Attention by functions of positions against PyTorch's, and masks by blocks."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest

import flambeau
from flambeau.nn.attention import flex_attention as flex

BATCH, HEADS, QUERIES, KEYS = 2, 4, 5, 7


def module(library):
    return importlib.import_module(f"{library.__name__}.nn.attention.flex_attention")


def near(ours, theirs, what=""):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5, err_msg=what)


def operands(library, shared=HEADS):
    rng = np.random.default_rng(0)
    shapes = ((BATCH, HEADS, QUERIES, 4), (BATCH, shared, KEYS, 4), (BATCH, shared, KEYS, 3))
    return [library.tensor(rng.normal(size=shape).astype(np.float32)) for shape in shapes]


def causal(b, h, q, kv):
    return q >= kv


def window(b, h, q, kv):
    return (q - kv).abs() < 2


def documents(t):
    numbers = t.tensor([0, 0, 1, 1, 1, 2, 2])
    return lambda b, h, q, kv: numbers[q] == numbers[kv]


def hide_all_of_one(b, h, q, kv):
    return (b == 0) | (q > 1)


def score_mods(t):
    slopes, bias = t.tensor([0.5, 1.0, 2.0, 4.0]), t.arange(35.0).reshape(5, 7).cos()
    return {
        "none": None, "relative": lambda score, b, h, q, kv: score + (q - kv),
        "alibi": lambda score, b, h, q, kv: score + slopes[h] * (kv - q), "tanh": lambda s, b, h, q, kv: s.tanh() * 3,
        "table": lambda score, b, h, q, kv: score + bias[q, kv],
        "masked": lambda score, b, h, q, kv: t.where(q >= kv, score, -float("inf")),
    }


def both(oracle, call):
    """What a call gives with PyTorch uncompiled, and here."""
    theirs = module(oracle)
    before, theirs._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG = theirs._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG, True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            return [call(library, module(library)) for library in (flambeau, oracle)]
    finally:
        theirs._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG = before


@pytest.mark.parametrize("name", score_mods(flambeau))
def test_scores(oracle, name):
    def call(t, f):
        return f.flex_attention(*operands(t), score_mods(t)[name], return_aux=f.AuxRequest(lse=True))
    (result, more), (expected, others) = both(oracle, call)
    near(result, expected)
    near(more.lse, others.lse)
    assert more.max_scores is None is others.max_scores


def test_largest_scores():
    """PyTorch gives them on GPUs only."""
    query, key, value = operands(flambeau)
    more = flex.flex_attention(query, key, value, return_aux=flex.AuxRequest(max_scores=True))[1]
    assert more.lse is None
    near(more.max_scores, (query @ key.mT / 2).amax(-1))


def test_masks(oracle):
    def call(t, f):
        found = []
        for mask in (causal, window, documents(t), hide_all_of_one, f.and_masks(causal, window),
                     f.or_masks(causal, documents(t)), f.noop_mask):
            blocks = f.create_block_mask(mask, BATCH, None, QUERIES, KEYS, "cpu", BLOCK_SIZE=(2, 3))
            found.append(f.flex_attention(*operands(t), block_mask=blocks, scale=0.3))
            found.append(f.flex_attention(*operands(t), block_mask=blocks, return_lse=True)[1])
            found += [each for each in blocks.as_tuple() if isinstance(each, t.Tensor)]
            found.append(f.create_mask(mask, BATCH, HEADS, QUERIES, KEYS, "cpu"))
        found.append(f.create_mask(score_mods(t)["masked"], 1, 1, 3, 3, "cpu"))
        found.append(f.flex_attention(*operands(t, 2), enable_gqa=True))
        return found
    for ours, theirs in zip(*both(oracle, call), strict=True):
        near(ours, theirs)


def test_gradients():
    """PyTorch has none on the CPU; attention by a mask is the measure."""
    query, key, value = (each.requires_grad_() for each in operands(flambeau))
    blocks = flex.create_block_mask(causal, None, None, QUERIES, KEYS, "cpu")
    flex.flex_attention(query, key, value, block_mask=blocks).cos().sum().backward()
    found = [each.grad for each in (query, key, value)]
    for each in (query, key, value):
        each.grad = None
    mask = flex.create_mask(causal, 1, 1, QUERIES, KEYS, "cpu")
    flambeau.nn.functional.scaled_dot_product_attention(query, key, value, mask).cos().sum().backward()
    for ours, wanted in zip(found, (query, key, value), strict=True):
        assert flambeau.allclose(ours, wanted.grad, atol=1e-5)


def test_block_masks(oracle):
    def call(t, f):
        blocks = f.create_block_mask(causal, 2, 3, 300, 260, "cpu", BLOCK_SIZE=64)
        part = blocks[0, 1:3]
        small = blocks._adjust(100, 130)
        by_rows = f.BlockMask.from_kv_blocks(blocks.kv_num_blocks, blocks.kv_indices, BLOCK_SIZE=64)
        joined = f.create_block_mask(causal, 1, 1, 300, 260, "cpu", BLOCK_SIZE=64, separate_full_blocks=False)
        with pytest.raises(RuntimeError, match="from a sliced BlockMask"):
            part.mask_mod(t.tensor(0), t.tensor(0), t.tensor(0), t.tensor(0))
        return [[str(each), repr(each).replace("torch.Size", ""), each.shape, each.sparsity(), each.numel(),
                 each.to_dense().tolist(), len(each.as_tuple(False)), each.to_string(2, 1)]
                for each in (blocks, part, small, by_rows, joined, joined.to("cpu"))]
    ours, theirs = both(oracle, call)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == other


def test_errors(oracle):
    def call(t, f):
        query, key, value = operands(t)
        blocks = f.create_block_mask(causal, None, None, QUERIES, KEYS, "cpu")
        for kind, text, wrong in (
                (ValueError, "same embedding dimension", lambda: f.flex_attention(query, key[..., :3], value)),
                (ValueError, "Try setting enable_gqa", lambda: f.flex_attention(query, key[:, :2], value[:, :2])),
                (ValueError, "multiple of kv heads",
                 lambda: f.flex_attention(query, key[:, :3], value[:, :3], enable_gqa=True)),
                (NotImplementedError, "must be 4D", lambda: f.flex_attention(query[0], key[0], value[0])),
                (ValueError, "smaller length",
                 lambda: f.flex_attention(t.cat([query, query], 2), key, value, block_mask=blocks)),
                (ValueError, "larger length", lambda: f.flex_attention(query[:, :, 1:], key, value, block_mask=blocks)),
                (RuntimeError, "sliced BlockMask", lambda: f.flex_attention(query, key, value, block_mask=blocks[0])),
                (ValueError, "both return_lse and return_aux",
                 lambda: f.flex_attention(query, key, value, return_lse=True, return_aux=f.AuxRequest())),
                (AssertionError, "4 or 5 positional", lambda: f.create_mask(lambda b: b, 1, 1, 2, 2, "cpu")),
                (AssertionError, "requires a mask_mod",
                 lambda: f.create_block_mask(lambda s, b, h, q, k: s, 1, 1, 2, 2, "cpu")),
                (RuntimeError, "callable mask_mods", lambda: f.and_masks(causal, 3)),
                (RuntimeError, "at least 2 dimensions", lambda: f.BlockMask.from_kv_blocks(t.ones(1), t.ones(1)))):
            with pytest.raises(kind, match=text):
                wrong()
    both(oracle, call)


def test_the_older_request_warns():
    with pytest.warns(FutureWarning, match="return_aux"):
        flex.flex_attention(*operands(flambeau), return_lse=True)


def test_names(oracle):
    assert sorted(flex.__all__) == sorted(module(oracle).__all__)
