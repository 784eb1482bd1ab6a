"""Transformers against PyTorch: starting values, printing, results, gradients, masks, and padding in evaluation."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import flambeau
from flambeau import nn

CAUSAL = np.triu(np.ones((4, 4), bool), 1)
PADDING = np.array([[False, False, True, True], [False, False, False, True], [False] * 4])
GAPS = np.array([[False, True, True, False], [False, True, False, True], [False] * 4])
NUMBERS = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
SIZES = {"d_model": 8, "nhead": 2, "dim_feedforward": 12}


@pytest.fixture(autouse=True)
def quiet():
    """PyTorch warns that its nested tensors may change, and that a layer cannot take the shorter way."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The PyTorch API of nested tensors")
        warnings.filterwarnings("ignore", message="enable_nested_tensor is True")
        yield


def near(ours, theirs, what=""):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=5e-4, atol=5e-5, err_msg=what)


def pair(oracle, make):
    """The module of both libraries from the same seed; their states and what they print must be alike."""
    found = []
    for library in (flambeau, oracle):
        library.manual_seed(5)
        found.append(make(library.nn))
    ours, theirs = (module.state_dict() for module in found)
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        np.testing.assert_array_equal(value.numpy(), theirs[key].numpy(), err_msg=key)
    assert repr(found[0]) == repr(found[1])
    return found


def run(library, module, inputs, options, grad):
    leaves = [library.tensor(each, requires_grad=grad) for each in inputs]
    given = {key: library.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
    if not grad:
        with library.no_grad():
            return [module(*leaves, **given)]
    library.manual_seed(9)
    result = module(*leaves, **given)
    module.zero_grad()
    (result * result.cos()).sum().backward()
    return [result, *[each.grad for each in leaves], *[each.grad for each in module.parameters()]]


def same(oracle, modules, shapes, options, what="", grad=True):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    for ours, theirs in zip(*(run(library, module, inputs, options, grad)
                              for library, module in zip((flambeau, oracle), modules, strict=True)), strict=True):
        near(ours, theirs, what)


LAYERS = {
    "plain": {}, "first": {"batch_first": True}, "norm first": {"norm_first": True, "batch_first": True},
    "gelu": {"activation": "gelu", "batch_first": True}, "no bias": {"bias": False, "layer_norm_eps": 0.1},
}


@pytest.mark.parametrize("name", LAYERS)
def test_encoder_layers(oracle, name):
    options = {**SIZES, **LAYERS[name]}
    layers = pair(oracle, lambda n: n.TransformerEncoderLayer(**options))
    first = options.get("batch_first", False)
    shape = (3, 4, 8) if first else (4, 3, 8)
    same(oracle, layers, [shape], {}, "training, with dropout")
    for layer in layers:
        layer.eval()
    for masks in ({}, {"src_mask": CAUSAL}, {"src_mask": CAUSAL, "is_causal": True}, {"src_key_padding_mask": PADDING},
                  {"src_mask": CAUSAL, "src_key_padding_mask": PADDING}):
        for grad in (True, False):
            same(oracle, layers, [shape], masks, f"{list(masks)}, {grad}", grad)
    same(oracle, layers, [shape], {"src_mask": NUMBERS}, "numbers")
    same(oracle, layers, [(4, 8)], {"src_mask": CAUSAL}, "one sequence")


@pytest.mark.parametrize("name", LAYERS)
def test_decoder_layers(oracle, name):
    options = {**SIZES, **LAYERS[name]}
    layers = pair(oracle, lambda n: n.TransformerDecoderLayer(**options))
    first = options.get("batch_first", False)
    shapes = [(3, 4, 8), (3, 4, 8)] if first else [(4, 3, 8), (4, 3, 8)]
    same(oracle, layers, shapes, {}, "training, with dropout")
    for layer in layers:
        layer.eval()
    for masks in ({"tgt_mask": CAUSAL}, {"tgt_mask": CAUSAL, "tgt_is_causal": True, "memory_key_padding_mask": PADDING},
                  {"tgt_key_padding_mask": PADDING, "memory_mask": NUMBERS},
                  {"memory_mask": CAUSAL, "memory_is_causal": True}):
        same(oracle, layers, shapes, masks, str(list(masks)))
        same(oracle, layers, shapes, masks, str(list(masks)), grad=False)


def test_activations(oracle):
    for kind in ("function", "module", "class"):
        def make(n, kind=kind):
            relu = {"function": n.functional.silu, "module": n.GELU(), "class": n.LeakyReLU(0.2)}[kind]
            return n.TransformerEncoderLayer(**SIZES, activation=relu)
        layers = pair(oracle, make)
        assert layers[0].activation_relu_or_gelu == layers[1].activation_relu_or_gelu
        same(oracle, layers, [(4, 3, 8)], {}, kind)
    for library in (flambeau, oracle):
        with pytest.raises(RuntimeError, match="activation should be relu/gelu, not tanh"):
            library.nn.TransformerDecoderLayer(8, 2, activation="tanh")


def encoder(n, norm=True, norm_first=False, **options):
    layer = n.TransformerEncoderLayer(**SIZES, batch_first=True, norm_first=norm_first)
    return n.TransformerEncoder(layer, 2, n.LayerNorm(8) if norm else None, **options)


@pytest.mark.parametrize("options", [{}, {"norm": False}, {"norm_first": True}, {"enable_nested_tensor": False},
                                     {"mask_check": False}], ids=str)
def test_encoders(oracle, options):
    modules = pair(oracle, lambda n: encoder(n, **options))
    same(oracle, modules, [(3, 4, 8)], {"src_key_padding_mask": PADDING, "mask": CAUSAL}, "training")
    for module in modules:
        module.eval()
    padding = [PADDING] if options.get("mask_check") is False else [PADDING, GAPS]
    for each in padding:
        for masks in ({"src_key_padding_mask": each}, {"src_key_padding_mask": each, "mask": CAUSAL}, {"mask": CAUSAL},
                      {"mask": CAUSAL, "is_causal": True}):
            for grad in (True, False):
                same(oracle, modules, [(3, 4, 8)], masks, f"{list(masks)}, {grad}", grad)


def test_padding_gives_zeros_where_pytorch_leaves_it_out(oracle):
    modules = pair(oracle, lambda n: encoder(n, norm=False))
    for module in modules:
        module.eval().requires_grad_(False)
    x = flambeau.randn(3, 4, 8)
    result = modules[0](x, src_key_padding_mask=flambeau.tensor(PADDING))
    assert not result[flambeau.tensor(PADDING)].any() and result[0, 0].any()
    assert modules[0](x.clone().requires_grad_(), src_key_padding_mask=flambeau.tensor(PADDING))[0, 3].any()
    try:
        for library in (flambeau, oracle):
            library.backends.mha.set_fastpath_enabled(False)
            assert not library.backends.mha.get_fastpath_enabled()
        same(oracle, modules, [(3, 4, 8)], {"src_key_padding_mask": PADDING}, "switched off", grad=False)
        assert modules[0](x, src_key_padding_mask=flambeau.tensor(PADDING))[0, 3].any()
    finally:
        for library in (flambeau, oracle):
            library.backends.mha.set_fastpath_enabled(True)


def test_an_encoder_says_why_it_keeps_padding(oracle):
    makers = {
        "norm_first": lambda n: n.TransformerEncoderLayer(8, 2, batch_first=True, norm_first=True),
        "batch_first": lambda n: n.TransformerEncoderLayer(8, 2),
        "bias": lambda n: n.TransformerEncoderLayer(8, 2, batch_first=True, bias=False),
        "activation": lambda n: n.TransformerEncoderLayer(8, 2, batch_first=True, activation=n.Tanh()),
        "odd": lambda n: n.TransformerEncoderLayer(9, 3, batch_first=True),
        "other": lambda n: n.Linear(1, 1),
    }
    for make in makers.values():
        found = []
        for library in (flambeau, oracle):
            with pytest.warns(UserWarning, match="enable_nested_tensor is True") as caught:
                assert not library.nn.TransformerEncoder(make(library.nn), 1).use_nested_tensor
            found.append(str(caught[0].message))
            library.nn.TransformerEncoder(make(library.nn), 1, enable_nested_tensor=False)
        assert found[0] == found[1]


@pytest.mark.parametrize("first", [True, False])
def test_transformers(oracle, first):
    modules = pair(oracle, lambda n: n.Transformer(8, 2, 1, 2, 12, batch_first=first))
    shapes = [(3, 4, 8), (3, 4, 8)] if first else [(4, 3, 8), (4, 3, 8)]
    same(oracle, modules, shapes, {"tgt_mask": CAUSAL, "src_key_padding_mask": PADDING,
                                   "memory_key_padding_mask": PADDING}, "training")
    for module in modules:
        module.eval()
    mask = nn.Transformer.generate_square_subsequent_mask(4).numpy()
    near(flambeau.tensor(mask), oracle.nn.Transformer.generate_square_subsequent_mask(4))
    for masks in ({}, {"tgt_mask": mask, "src_mask": mask}, {"src_key_padding_mask": PADDING},
                  {"tgt_mask": mask, "tgt_is_causal": True}):
        for grad in (True, False):
            same(oracle, modules, shapes, masks, f"{list(masks)}, {grad}", grad)
    same(oracle, modules, [(4, 8), (4, 8)], {"tgt_mask": mask}, "one sequence")


def test_transformers_of_other_parts(oracle):
    for library in (flambeau, oracle):
        class Half(library.nn.Module):
            def forward(self, src, *args, **kwargs):
                return src / 2
        model = library.nn.Transformer(8, 2, custom_encoder=Half(), custom_decoder=Half())
        assert model(library.ones(2, 3, 8), library.ones(4, 3, 8)).sum().item() == 48
        assert list(model.state_dict()) == []
        with pytest.raises(RuntimeError, match="batch number of src and tgt must be equal"):
            model(library.ones(2, 3, 8), library.ones(4, 2, 8))
        with pytest.raises(RuntimeError, match="equal to d_model"):
            model(library.ones(2, 3, 8), library.ones(4, 3, 6))


def test_an_encoder_of_own_layers(oracle):
    """A layer of a program's own needs no more than an attention that says where the batch is."""
    found = []
    for library in (flambeau, oracle):
        class Own(library.nn.TransformerEncoderLayer):
            def _ff_block(self, x):
                return 2 * x
        library.manual_seed(0)
        model = library.nn.TransformerEncoder(Own(8, 2, 12, batch_first=True), 2).eval()
        found.append(model(library.ones(3, 4, 8).cumsum(-1)))
    near(*found)


def test_stacks_copy_their_layer():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    stack = nn.TransformerEncoder(layer, 2)
    first, second = stack.layers
    assert first.linear1.weight is not second.linear1.weight is not layer.linear1.weight
    assert flambeau.equal(first.linear1.weight, second.linear1.weight)
    assert first.linear1.weight.requires_grad
    again = pickle.loads(pickle.dumps(copy.deepcopy(stack))).eval()
    x = flambeau.ones(1, 3, 8)
    assert flambeau.equal(again(x), stack.eval()(x))


def test_old_checkpoints_have_no_activation(oracle):
    for library in (flambeau, oracle):
        for name in ("TransformerEncoderLayer", "TransformerDecoderLayer"):
            layer = getattr(library.nn, name)(8, 2, 12)
            state = {key: value for key, value in layer.__dict__.items() if key != "activation"}
            again = type(layer).__new__(type(layer))
            again.__setstate__(state)
            assert again.activation is library.nn.functional.relu


def test_names(oracle):
    theirs = oracle.nn.modules.transformer.__all__
    assert sorted(nn.modules.transformer.__all__) == sorted(theirs)


def test_whole_modules_of_pytorch_are_loaded(oracle, tmp_path):
    def stack(n):
        return n.TransformerEncoder(n.TransformerEncoderLayer(8, 2, 12, activation="gelu", batch_first=True), 1)
    for make in (stack,
                 lambda n: n.TransformerEncoderLayer(8, 2, 12)):
        theirs = make(oracle.nn).eval()
        oracle.save(theirs, tmp_path / "module.pt")
        ours = flambeau.load(tmp_path / "module.pt", weights_only=False)
        near(ours(flambeau.ones(2, 3, 8).cumsum(1)), theirs(oracle.ones(2, 3, 8).cumsum(1)))
