"""Multi-head attention against PyTorch: starting values, results, weights, gradients, masks, errors."""

from __future__ import annotations

import importlib
import itertools
import pickle
import warnings

import numpy as np
import pytest

import flambeau
from flambeau import nn

LENGTH, KEYS, BATCH, FEATURES, HEADS = 3, 4, 2, 8, 2


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def near(ours, theirs, what=""):
    assert (ours is None) == (theirs is None), what
    if ours is not None:
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=2e-4, atol=2e-5, err_msg=what)


def both(library, given):
    return library.tensor(given) if isinstance(given, np.ndarray) else given


def pair(oracle, name, *args, **kwargs):
    """The layer of both libraries from the same seed; their states must be alike."""
    found = []
    for library in (flambeau, oracle):
        library.manual_seed(5)
        found.append(getattr(library.nn, name)(*args, **kwargs))
    ours, theirs = (layer.state_dict() for layer in found)
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        np.testing.assert_array_equal(value.numpy(), theirs[key].numpy(), err_msg=key)
    assert repr(found[0]) == repr(found[1])
    return found


def run(library, layer, inputs, options, grad=True):
    """Results and gradients of a layer of either library."""
    leaves = [library.tensor(each, requires_grad=grad) for each in inputs]
    results = layer(*leaves, **{key: both(library, value) for key, value in options.items()})
    results = results if isinstance(results, tuple) else (results,)
    if grad:
        sum((each * each).sum() for each in results if each is not None).backward()
    gradients = [each.grad for each in leaves] + [each.grad for each in layer.parameters()] if grad else []
    return [*results, *gradients]


def same(oracle, layers, inputs, options, what, grad=True):
    for ours, theirs in zip(run(flambeau, layers[0], inputs, options, grad),
                            run(oracle, layers[1], inputs, options, grad), strict=True):
        near(ours, theirs, what)


def masks(batched=True):
    """Masks by name: of positions and of padding."""
    rng = np.random.default_rng(3)
    hidden = rng.random((LENGTH, KEYS)) > 0.6
    hidden[:, 0] = False
    of_heads = rng.random((HEADS * (BATCH if batched else 1), LENGTH, KEYS)) > 0.6
    of_heads[..., 0] = False
    padding = np.array([[False, False, True, True], [False, False, False, True]])
    padding = padding if batched else padding[0]
    numbers = rng.normal(size=hidden.shape).astype(np.float32)
    return {
        "none": {}, "bool": {"attn_mask": hidden}, "heads": {"attn_mask": of_heads}, "numbers": {"attn_mask": numbers},
        "padding": {"key_padding_mask": padding}, "both": {"attn_mask": hidden, "key_padding_mask": padding},
        "both numbers": {"attn_mask": numbers, "key_padding_mask": np.where(padding, -1, 0.5).astype(np.float32)},
        "heads and padding": {"attn_mask": of_heads, "key_padding_mask": padding},
    }


OPTIONS = {
    "plain": {}, "no bias": {"bias": False}, "own sizes": {"kdim": 5, "vdim": 6}, "added": {"add_bias_kv": True},
    "zero": {"add_zero_attn": True, "batch_first": True}, "first": {"batch_first": True},
    "all": {"add_bias_kv": True, "add_zero_attn": True, "kdim": 5, "batch_first": True},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_layers_with_all_masks(oracle, name):
    options = OPTIONS[name]
    layers = pair(oracle, "MultiheadAttention", FEATURES, HEADS, **options)
    sizes = (FEATURES, options.get("kdim", FEATURES), options.get("vdim", FEATURES))
    for batched in (True, False):
        shapes = [(length, BATCH, size) for length, size in zip((LENGTH, KEYS, KEYS), sizes, strict=True)]
        if not batched:
            shapes = [(shape[0], shape[2]) for shape in shapes]
        elif options.get("batch_first"):
            shapes = [(shape[1], shape[0], shape[2]) for shape in shapes]
        for (what, mask), weights in itertools.product(masks(batched).items(), (True, False)):
            same(oracle, layers, arrays(*shapes), {**mask, "need_weights": weights}, f"{what}, {weights}, {batched}")
        same(oracle, layers, arrays(*shapes), {"average_attn_weights": False}, "per head")


@pytest.mark.parametrize("first", [True, False])
def test_one_tensor_for_all(oracle, first):
    """Self-attention, and attention to one memory, project what is shared at once."""
    layers = pair(oracle, "MultiheadAttention", FEATURES, HEADS, batch_first=first)
    causal = np.triu(np.ones((4, 4), bool), 1)
    for options in ({}, {"need_weights": False}, {"attn_mask": causal, "is_causal": True, "need_weights": False},
                    {"attn_mask": causal, "is_causal": True}):
        for ways in ((0, 0, 0), (0, 1, 1), (0, 0, 1), (0, 1, 0)):
            found = []
            for library, layer in zip((flambeau, oracle), layers, strict=True):
                leaves = [library.tensor(each, requires_grad=True) for each in arrays((4, 4, 8), (4, 4, 8))]
                result = layer(*(leaves[way] for way in ways),
                               **{key: both(library, value) for key, value in options.items()})[0]
                result.square().sum().backward()
                found.append([result, leaves[0].grad, leaves[1].grad])
            for ours, theirs in zip(*found, strict=True):
                near(ours, theirs, f"{ways}")


def test_evaluation_without_gradients(oracle):
    layers = pair(oracle, "MultiheadAttention", FEATURES, HEADS, batch_first=True)
    padding = np.array([[False, False, True, True], [False, False, False, True]])
    positions = np.triu(np.ones((4, 4), bool), 1)
    with flambeau.no_grad(), oracle.no_grad():
        for options in ({}, {"key_padding_mask": padding}, {"attn_mask": positions},
                        {"attn_mask": positions, "key_padding_mask": padding, "average_attn_weights": False},
                        {"attn_mask": positions, "need_weights": False}):
            found = []
            for library, layer in zip((flambeau, oracle), layers, strict=True):
                x = library.tensor(arrays((BATCH, 4, FEATURES))[0])
                found.append(layer.eval()(x, x, x, **{key: both(library, value) for key, value in options.items()}))
            for ours, theirs in zip(*found, strict=True):
                near(ours, theirs, str(list(options)))


@pytest.mark.parametrize("weights", [True, False])
def test_dropout_draws_as_pytorch_does(oracle, weights):
    layers = pair(oracle, "MultiheadAttention", FEATURES, HEADS, dropout=0.4)
    found = []
    for library, layer in zip((flambeau, oracle), layers, strict=True):
        library.manual_seed(11)
        x = library.tensor(arrays((5, BATCH, FEATURES))[0])
        found.append(layer(x, x, x, need_weights=weights))
    near(found[0][0], found[1][0])
    near(found[0][1], found[1][1])


def test_static_keys_and_values(oracle):
    x, weight, out, keys, values = arrays((3, 2, 4), (12, 4), (4, 4), (4, 5, 2), (4, 5, 2))
    found = []
    for library in (flambeau, oracle):
        x_, weight_, out_, keys_, values_ = map(library.tensor, (x, weight, out, keys, values))
        call = library.nn.functional.multi_head_attention_forward
        found.append(call(x_, x_, x_, 4, 2, weight_, None, None, None, True, 0.0, out_, None, static_k=keys_,
                          static_v=values_))
        found[-1] += call(x_, x_, x_, 4, 2, weight_, None, None, None, False, 0.0, out_, None, static_k=keys_,
                          static_v=values_, need_weights=False)
        with pytest.raises(AssertionError, match=r"expecting static_k.size\(2\) of 2, but got 1"):
            call(x_, x_, x_, 4, 2, weight_, None, None, None, False, 0.0, out_, None, static_k=keys_[..., :1])
        with pytest.raises(AssertionError, match="bias cannot be added to static"):
            call(x_, x_, x_, 4, 2, weight_, None, x_[:1, :1], x_[:1, :1], False, 0.0, out_, None, static_k=keys_)
    for ours, theirs in zip(*found, strict=True):
        near(ours, theirs)


def test_rows_that_may_attend_to_nothing(oracle):
    """They are nan with weights, and the projection of zeros without."""
    layers = pair(oracle, "MultiheadAttention", FEATURES, HEADS)
    hidden = np.array([[True, True, True], [False, True, False], [False, False, False]])
    for weights in (True, False):
        found = []
        for library, layer in zip((flambeau, oracle), layers, strict=True):
            x = library.tensor(arrays((3, BATCH, FEATURES))[0])
            found.append(layer(x, x, x, attn_mask=library.tensor(hidden), need_weights=weights))
        near(found[0][0], found[1][0])
        assert bool(found[0][0].isnan().any()) == weights


WRONG = {
    "4 dimensions": (lambda t, m: m(*[t.zeros(1, 2, 3, 8)] * 3), AssertionError, "unbatched 2D or batched 3D"),
    "mixed": (lambda t, m: m(t.zeros(3, 2, 8), t.zeros(3, 8), t.zeros(3, 8)), AssertionError, "expected `key` and"),
    "features": (lambda t, m: m(*[t.zeros(3, 2, 6)] * 3), AssertionError, "embedding dimension of 8, but got 6"),
    "values": (lambda t, m: m(t.zeros(3, 2, 8), t.zeros(3, 2, 8), t.zeros(4, 2, 8)), AssertionError, "does not match"),
    "padding": (lambda t, m: m(*[t.zeros(3, 2, 8)] * 3, key_padding_mask=t.zeros(3, dtype=t.bool)), AssertionError,
                "`key_padding_mask`"),
    "padding's size": (lambda t, m: m(*[t.zeros(3, 2, 8)] * 3, key_padding_mask=t.zeros(2, 4, dtype=t.bool)),
                       AssertionError, r"shape\[1\] to be 3, but got 4"),
    "mask": (lambda t, m: m(*[t.zeros(3, 2, 8)] * 3, attn_mask=t.zeros(2, 3)), RuntimeError, "2D attn_mask"),
    "3-d mask": (lambda t, m: m(*[t.zeros(3, 2, 8)] * 3, attn_mask=t.zeros(2, 3, 3)), RuntimeError, "3D attn_mask"),
    "unbatched mask": (lambda t, m: m(*[t.zeros(3, 8)] * 3, attn_mask=t.zeros(1, 3, 3)), AssertionError,
                       "Expected `attn_mask` shape"),
    "integers": (lambda t, m: m(*[t.zeros(3, 2, 8)] * 3, attn_mask=t.zeros(3, 3, dtype=t.int64)), AssertionError,
                 "only bool and floating types of attn_mask are supported"),
    "causal without": (lambda t, m: m(*[t.zeros(3, 2, 8)] * 3, is_causal=True), RuntimeError, "Need attn_mask"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(oracle, case):
    call, kind, text = WRONG[case]
    for library in (flambeau, oracle):
        with pytest.raises(kind, match=text):
            call(library, library.nn.MultiheadAttention(8, 2))


def test_errors_of_construction(oracle):
    for library in (flambeau, oracle):
        with pytest.raises(ValueError, match="must be greater than 0"):
            library.nn.MultiheadAttention(0, 2)
        with pytest.raises(AssertionError, match="divisible"):
            library.nn.MultiheadAttention(8, 3)


def test_masks_of_different_dtypes_warn(oracle):
    layers = pair(oracle, "MultiheadAttention", FEATURES, HEADS)
    positions, padding = np.zeros((4, 4), np.float32), np.array([[False, True, False, False]] * 2)
    for weights in (True, False):
        found = []
        for library, layer in zip((flambeau, oracle), layers, strict=True):
            x, mask, hidden = map(library.tensor, (*arrays((4, BATCH, FEATURES)), positions, padding))
            with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask") as caught:
                found.append(layer(x, x, x, hidden, weights, mask)[0])
            assert len(caught) == 1
        near(*found)


def test_gradient_of_a_mask_of_numbers(oracle):
    layers = pair(oracle, "MultiheadAttention", FEATURES, HEADS)
    for weights in (True, False):
        found = []
        for library, layer in zip((flambeau, oracle), layers, strict=True):
            x, mask = map(library.tensor, arrays((4, BATCH, FEATURES), (4, 4)))
            mask.requires_grad_()
            layer(x, x, x, attn_mask=mask, need_weights=weights)[0].square().sum().backward()
            found.append(mask.grad)
        near(*found)


def test_merging_masks(oracle):
    layers = pair(oracle, "MultiheadAttention", FEATURES, HEADS)
    padding, positions, of_heads = arrays((2, 4), (4, 4), (4, 4, 4))
    for options in ((None, None), (None, padding), (positions, None), (of_heads, padding)):
        found = [layer.merge_masks(*(both(library, each) for each in options), library.zeros(2, 4, 8))
                 for library, layer in zip((flambeau, oracle), layers, strict=True)]
        near(found[0][0], found[1][0])
        assert found[0][1] == found[1][1]


def test_names_and_pickles():
    assert nn.modules.activation.MultiheadAttention is nn.MultiheadAttention
    assert nn.MultiheadAttention.__module__ == "flambeau.nn.modules.activation"
    layer = nn.MultiheadAttention(4, 2, dtype=flambeau.float64)
    again = pickle.loads(pickle.dumps(layer))
    x = flambeau.ones(3, 4, dtype=flambeau.float64)
    assert again(x, x, x)[0].tolist() == layer(x, x, x)[0].tolist()
    old = {key: value for key, value in layer.__dict__.items() if key != "_qkv_same_embed_dim"}
    again.__setstate__(old)
    assert again._qkv_same_embed_dim


def test_no_warning_without_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = flambeau.zeros(3, 4)
        nn.MultiheadAttention(4, 2)(x, x, x, attn_mask=flambeau.zeros(3, 3, dtype=flambeau.bool))


# ---------------------------------------------------------------------------------------------- nn.attention
def test_choosing_an_implementation(oracle):
    for library in (flambeau, oracle):
        kind = library.nn.attention.SDPBackend
        assert kind.__members__.keys() == oracle.nn.attention.SDPBackend.__members__.keys()
        cuda = library.backends.cuda
        with library.nn.attention.sdpa_kernel([kind.MATH, kind.FLASH_ATTENTION]) as nothing:
            assert nothing == {}
            assert cuda.flash_sdp_enabled() and cuda.math_sdp_enabled() and not cuda.mem_efficient_sdp_enabled()
            with library.nn.attention.sdpa_kernel(kind.MATH):
                assert not cuda.flash_sdp_enabled()
                x = library.ones(1, 2, 3)
                assert library.nn.functional.scaled_dot_product_attention(x, x, x).sum().item() == 6
            assert cuda.flash_sdp_enabled()
        assert cuda.mem_efficient_sdp_enabled() and cuda.cudnn_sdp_enabled()
        block = library.nn.attention.sdpa_kernel("math")
        with pytest.raises(AssertionError, match="must be an instance of SDPBackend"):
            block.__enter__()
    assert [(kind.name, int(kind)) for kind in nn.attention.SDPBackend] == [
        (name, int(kind)) for name, kind in oracle.nn.attention.SDPBackend.__members__.items()]
    assert set(nn.attention.__all__) == set(oracle.nn.attention.__all__)


def test_implementations_of_programs():
    undone = []

    class Handle:
        def remove(self):
            undone.append(1)
    nn.attention.register_flash_attention_impl("mine", register_fn=Handle)
    nn.attention.activate_flash_attention_impl("mine")
    assert nn.attention.current_flash_attention_impl() == "mine"
    nn.attention.restore_flash_attention_impl()
    assert undone == [1] and nn.attention.current_flash_attention_impl() is None
    with pytest.raises(ValueError, match="Unknown flash attention impl 'other'"):
        nn.attention.activate_flash_attention_impl("other")
    nn.attention._implementations.clear()


@pytest.mark.parametrize("sizes", [(3, 3), (2, 4), (4, 2)])
@pytest.mark.parametrize("name", ["causal_upper_left", "causal_lower_right"])
def test_causal_biases(oracle, sizes, name):
    query, key, value = arrays((2, sizes[0], 4), (2, sizes[1], 4), (2, sizes[1], 3))
    found = []
    for library in (flambeau, oracle):
        module = importlib.import_module(f"{library.__name__}.nn.attention.bias")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bias = getattr(module, name)(*sizes)
        assert bool(caught) == (sizes == (4, 2) and name == "causal_lower_right")
        attend = library.nn.functional.scaled_dot_product_attention
        operands = [library.tensor(each, requires_grad=True) for each in (query, key, value)]
        result = attend(*operands, attn_mask=bias)
        result.sum().backward()
        with pytest.raises(ValueError, match="should not be used with causal=True"):
            attend(*operands, bias, is_causal=True)
        with pytest.raises(AssertionError, match="only supports 2D"):
            getattr(module, name)(2)
        with pytest.raises(AssertionError, match="must be a CausalVariant"):
            module.CausalBias(1, 2, 3)
        found.append([result, *[each.grad for each in operands]])
        assert isinstance(bias, library.Tensor) and bias.variant.name.lower() in name
    for ours, theirs in zip(*found, strict=True):
        near(ours, theirs)
    assert repr(nn.attention.bias.causal_lower_right(2, 3)) == repr(
        flambeau.tensor([[True, True, False], [True, True, True]]))
