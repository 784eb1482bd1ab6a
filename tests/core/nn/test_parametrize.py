"""Parametrisations against PyTorch: values, gradients, names, copies, errors; the older weight and spectral norms."""

from __future__ import annotations

import copy
import importlib
import io
import pickle

import numpy as np
import pytest

import flambeau
from flambeau import nn
from flambeau.nn.utils import parametrizations, parametrize


def near(ours, theirs, what="", loose=1):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4 * loose, atol=1e-5 * loose,
                               err_msg=what)


def same_state(ours, theirs, loose=1):
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    for key, value in mine.items():
        near(value, other[key], key, loose)


def pair(oracle, make):
    """What both libraries make from the same seed."""
    found = []
    for library in (flambeau, oracle):
        library.manual_seed(3)
        found.append(make(library.nn))
    return found


def same_call(oracle, layers, shape, what="", loose=1):
    """Results, gradients and state of one call."""
    for layer in layers:
        layer.zero_grad()
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    results = []
    for library, layer in zip((flambeau, oracle), layers, strict=True):
        results.append(layer(library.tensor(x)))
        (results[-1] * results[-1].cos()).sum().backward()
    near(*results, what, loose)
    mine, other = (dict(layer.named_parameters()) for layer in layers)
    assert list(mine) == list(other)
    for name, parameter in mine.items():
        assert parameter.requires_grad
        near(parameter.grad, other[name].grad, f"{what}: gradient of {name}", 20 * loose)
    same_state(*layers, loose)


def modules_of(n):
    """Parametrisations for tests, of either library's modules."""
    class Symmetric(n.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

        def right_inverse(self, x):
            return x.triu()

    class Double(n.Module):
        def forward(self, x):
            return 2 * x

    class Product(n.Module):
        def forward(self, x, y):
            return x * y

        def right_inverse(self, x):
            return x.clone(), x * 0 + 1

    return {"symmetric": Symmetric, "double": Double, "product": Product}


def both(oracle, call):
    """What a call gives with either library."""
    return [call(library, library.nn, modules_of(library.nn)) for library in (flambeau, oracle)]


# ---------------------------------------------------------------------------------------------- parametrize
def test_one_and_then_another(oracle):
    def make(n):
        own = modules_of(n)
        layer = n.utils.parametrize.register_parametrization(n.Linear(3, 3), "weight", own["symmetric"]())
        n.utils.parametrize.register_parametrization(layer, "weight", own["double"]())
        return n.utils.parametrize.register_parametrization(layer, "bias", own["double"]())
    layers = pair(oracle, make)
    assert repr(layers[0]) == repr(layers[1])
    same_call(oracle, layers, (4, 3))
    assert type(layers[0]).__name__ == type(layers[1]).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layers[0]) is nn.Linear
    assert parametrize.is_parametrized(layers[0]) and parametrize.is_parametrized(layers[0], "bias")
    assert not parametrize.is_parametrized(layers[0], "other") and not parametrize.is_parametrized(nn.Linear(1, 1))
    for each in ("weight", "bias"):
        for library, layer in zip((flambeau, oracle), layers, strict=True):
            library.nn.utils.parametrize.remove_parametrizations(layer, each)
    assert type(layers[0]) is nn.Linear
    same_call(oracle, layers, (4, 3), "removed")


def test_several_tensors(oracle):
    layers = pair(oracle, lambda n: n.utils.parametrize.register_parametrization(
        n.Linear(3, 2), "weight", modules_of(n)["product"]()))
    assert list(layers[0].state_dict()) == ["bias", "parametrizations.weight.original0",
                                            "parametrizations.weight.original1"]
    same_call(oracle, layers, (4, 3))
    for library, layer in zip((flambeau, oracle), layers, strict=True):
        layer.weight = library.ones(2, 3)
        assert layer.weight.tolist() == [[1.0] * 3] * 2
        with pytest.raises(ValueError, match="Cannot leave unparametrized"):
            library.nn.utils.parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        library.nn.utils.parametrize.remove_parametrizations(layer, "weight")
        assert layer.weight.requires_grad and layer.weight.is_leaf
    same_call(oracle, layers, (4, 3), "removed")


def test_assignment(oracle):
    def call(t, n, own):
        layer = n.utils.parametrize.register_parametrization(n.Linear(2, 2), "weight", own["symmetric"]())
        layer.weight = t.tensor([[1.0, 2.0], [3.0, 4.0]])
        found = [layer.weight.tolist(), layer.parametrizations.weight.original.tolist()]
        n.utils.parametrize.register_parametrization(layer, "bias", own["double"]())
        with pytest.raises(RuntimeError, match="Double does not implement right_inverse"):
            layer.bias = t.ones(2)
        with pytest.raises(ValueError, match="has dtype"):
            layer.weight = t.ones(2, 2, dtype=t.float64)
        return found
    ours, theirs = both(oracle, call)
    assert ours == theirs == [[[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0], [0.0, 4.0]]]


def test_buffers(oracle):
    def call(t, n, own):
        layer = n.BatchNorm1d(2)
        n.utils.parametrize.register_parametrization(layer, "running_mean", own["double"]())
        names = [name for name, _ in layer.named_buffers()]
        n.utils.parametrize.remove_parametrizations(layer, "running_mean", leave_parametrized=False)
        return names, [name for name, _ in layer.named_buffers()]
    ours, theirs = both(oracle, call)
    assert ours == theirs


def test_cache(oracle):
    def call(t, n, own):
        calls = []

        class Counted(n.Module):
            def forward(self, x):
                calls.append(1)
                return x * 1
        layer = n.utils.parametrize.register_parametrization(n.Linear(2, 2), "weight", Counted(), unsafe=True)
        found = [len(calls)]
        with n.utils.parametrize.cached():
            assert layer.weight is layer.weight
            with n.utils.parametrize.cached():
                layer(t.ones(1, 2))
            assert layer.weight is layer.weight
            found.append(len(calls))
        assert layer.weight is not layer.weight
        return [*found, len(calls)]
    ours, theirs = both(oracle, call)
    assert ours == theirs == [0, 1, 3]


def test_copies_and_pickles(oracle):
    def call(t, n, own):
        layer = n.utils.parametrize.register_parametrization(n.Linear(2, 2), "weight", own["symmetric"]())
        again = copy.deepcopy(layer)
        assert type(again) is type(layer)
        with t.no_grad():
            layer.parametrizations.weight.original.fill_(7)
        assert again.weight.tolist() != layer.weight.tolist()
        for dump in (pickle.dumps, lambda module: t.save(module, io.BytesIO())):
            with pytest.raises(RuntimeError, match="only supported through state_dict"):
                dump(layer)
        again.load_state_dict(layer.state_dict())
        return again.weight.tolist()
    ours, theirs = both(oracle, call)
    assert ours == theirs


def _cases(n, t):
    """Calls that are errors, by name, for either library."""
    def given(result, back=None):
        members = {"forward": lambda self, *x: result(*x)}
        if back is not None:
            members["right_inverse"] = lambda self, x: back(x)
        return type("Given", (n.Module,), members)()
    register, linear = n.utils.parametrize.register_parametrization, n.Linear

    def again(module):
        return register(register(linear(2, 2), "weight", given(lambda x: x * 1)), "weight", module)

    return {
        "no tensor": (lambda: register(linear(2, 2), "weight", given(lambda x: 1)), "must return a tensor. Got int"),
        "dtype": (lambda: register(linear(2, 2), "weight", given(lambda x: x.double())), "may not change the dtype"),
        "shape": (lambda: register(linear(2, 2), "weight", given(lambda x: x[:1])), "may not change the shape"),
        "unknown": (lambda: register(linear(2, 2), "other", given(lambda x: x)), "does not have a parameter"),
        "inverse's type": (lambda: register(linear(2, 2), "weight", given(lambda x: x, lambda x: 1)),
                           "must return a Tensor or a Sequence"),
        "inverse's element": (lambda: register(linear(2, 2), "weight", given(lambda x, y: x, lambda x: (x, 1))),
                              "Got element 1 of the sequence with type int"),
        "inverse's dtype": (lambda: register(linear(2, 2), "weight", given(lambda x: x, lambda x: x.double())),
                            "may not change the dtype"),
        "another's result": (lambda: again(given(lambda x: 1)), "must return a tensor. Got int"),
        "another's dtype": (lambda: again(given(lambda x: x.double())), "may not change the dtype"),
        "another's shape": (lambda: again(given(lambda x: x[:1])), "may not change the shape"),
        "another's inverse": (lambda: again(given(lambda x: x * 1, lambda x: 1)), "right_inverse must return a tensor"),
        "another's inverse's dtype": (lambda: again(given(lambda x: x * 1, lambda x: x.double())), "the same dtype"),
        "another's inverse's shape": (lambda: again(given(lambda x: x * 1, lambda x: x[:1])), "the same shape"),
        "not there": (lambda: n.utils.parametrize.remove_parametrizations(linear(2, 2), "weight"),
                      "does not have a parametrization on weight"),
        "empty": (lambda: n.utils.parametrize.ParametrizationList([], t.ones(1)), "requires one or more modules"),
    }


def test_errors(oracle):
    for library in (flambeau, oracle):
        for call, text in _cases(library.nn, library).values():
            with pytest.raises(ValueError, match=text):
                call()


def test_transfer(oracle):
    def call(t, n, own):
        t.manual_seed(0)
        source = n.utils.parametrize.register_parametrization(n.Linear(2, 2), "weight", own["symmetric"]())
        n.utils.parametrize.register_parametrization(source, "bias", own["product"]())
        target = n.utils.parametrize.transfer_parametrizations_and_params(source, n.Linear(2, 2))
        assert target.parametrizations.weight.original is source.parametrizations.weight.original
        one = n.utils.parametrize.transfer_parametrizations_and_params(source, n.Module(), "weight")
        plain = n.utils.parametrize.transfer_parametrizations_and_params(n.Linear(2, 2), n.Linear(2, 2))
        assert type(plain) is n.Linear
        return {key: value.tolist() for each in (target, one) for key, value in each.state_dict().items()}
    ours, theirs = both(oracle, call)
    assert ours == theirs


def test_modules_move_with_their_parametrizations():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", modules_of(nn)["double"]()).double()
    assert layer.weight.dtype is flambeau.float64
    assert layer(flambeau.ones(1, 2, dtype=flambeau.float64)).dtype is flambeau.float64
    assert not parametrize.register_parametrization(layer.eval(), "weight", nn.Identity()).parametrizations.weight[
        1].training


# ---------------------------------------------------------------------------------------------- orthogonal
@pytest.mark.parametrize("sizes", [(3, 3), (2, 4), (4, 2)])
@pytest.mark.parametrize("map_name", [None, "matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("trivialization", [True, False])
def test_orthogonal(oracle, sizes, map_name, trivialization):
    layers = pair(oracle, lambda n: n.utils.parametrizations.orthogonal(
        n.Linear(*sizes), orthogonal_map=map_name, use_trivialization=trivialization))
    same_call(oracle, layers, (3, sizes[0]), loose=10)
    weight = layers[0].weight
    narrow = weight if weight.size(0) >= weight.size(1) else weight.mT
    near(narrow.mT @ narrow, flambeau.eye(min(sizes)), "orthogonal", 10)
    if trivialization:
        target = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0][:sizes[1], :sizes[0]]
        if sizes[0] == sizes[1]:
            target = np.linalg.qr(np.random.default_rng(0).normal(size=sizes))[0]
        for library, layer in zip((flambeau, oracle), layers, strict=True):
            layer.weight = library.tensor(target.astype(np.float32))
        near(layers[0].weight, layers[1].weight, "assigned", 10)
    elif map_name in ("matrix_exp", "cayley"):
        with pytest.raises(NotImplementedError, match="not possible to assign"):
            layers[0].weight = layers[0].weight.detach()


def test_unitary(oracle):
    def make(n):
        return n.utils.parametrizations.orthogonal(n.Linear(3, 3, dtype=n.Parameter().new_ones(()).cfloat().dtype))
    ours, theirs = pair(oracle, make)
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), atol=1e-4)
    near((ours.weight.mH @ ours.weight).abs(), flambeau.eye(3), "unitary", 10)


def test_orthogonal_errors(oracle):
    for library in (flambeau, oracle):
        orthogonal = library.nn.utils.parametrizations.orthogonal
        for dtype, args, text in ((None, ("other",), "no parameter or buffer with name"),
                                  (None, ("bias",), "Expected a matrix"), (None, ("weight", "exp"), "has to be one of"),
                                  (library.complex64, ("weight", "householder"), "does not support complex")):
            with pytest.raises(ValueError, match=text):
                orthogonal(library.nn.Linear(2, 2, dtype=dtype), *args)
        layer = orthogonal(library.nn.Linear(2, 2))
        with pytest.raises(ValueError, match="Expected a matrix or batch of matrices of shape"):
            layer.weight = library.ones(3, 3)


# ---------------------------------------------------------------------------------------------- norms
LAYERS = {"linear": (lambda n: n.Linear(3, 4), (5, 3)), "conv": (lambda n: n.Conv2d(2, 3, 2), (1, 2, 4, 4)),
          "transposed": (lambda n: n.ConvTranspose1d(2, 3, 2), (1, 2, 4))}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(oracle, name, dim):
    make, shape = LAYERS[name]
    layers = pair(oracle, lambda n: n.utils.parametrizations.weight_norm(make(n), dim=dim))
    same_call(oracle, layers, shape)
    older = []
    for library in (flambeau, oracle):
        library.manual_seed(3)
        with pytest.warns(FutureWarning, match="deprecated in favor of"):
            older.append(library.nn.utils.weight_norm(make(library.nn), dim=dim))
    assert repr(older[0]) == repr(older[1])
    same_call(oracle, older, shape, "the older way")
    with flambeau.no_grad():
        older[0].weight_g.mul_(2)
    layers[0].load_state_dict(older[0].state_dict())
    near(layers[0].weight, older[0].weight_v * 2, "loaded", 10)
    for library, layer in zip((flambeau, oracle), older, strict=True):
        with pytest.warns(FutureWarning), pytest.raises(RuntimeError, match="two weight_norm hooks"):
            library.nn.utils.weight_norm(layer)
        library.nn.utils.remove_weight_norm(layer)
        assert list(layer._parameters) == ["bias", "weight"]
        with pytest.raises(ValueError, match="not found in"):
            library.nn.utils.remove_weight_norm(layer)


@pytest.mark.parametrize("name", LAYERS)
def test_spectral_norm(oracle, name):
    make, shape = LAYERS[name]
    for where in (lambda n: n.utils.parametrizations.spectral_norm, lambda n: n.utils.spectral_norm):
        layers = pair(oracle, lambda n, where=where: where(n)(make(n), n_power_iterations=2))
        same_state(*layers)
        for _ in range(2):
            same_call(oracle, layers, shape, "training")
        for layer in layers:
            layer.eval()
        same_call(oracle, layers, shape, "evaluation")
    for library, layer in zip((flambeau, oracle), layers, strict=True):
        with pytest.raises(RuntimeError, match="two spectral_norm hooks"):
            library.nn.utils.spectral_norm(layer)
        library.nn.utils.remove_spectral_norm(layer)
        assert not layer._state_dict_hooks and not layer._forward_pre_hooks
        with pytest.raises(ValueError, match="not found in"):
            library.nn.utils.remove_spectral_norm(layer)
    same_state(*layers)
    assert not layers[0]._load_state_dict_pre_hooks   # where PyTorch forgets one


def test_spectral_norm_of_a_vector_and_errors(oracle):
    layers = pair(oracle, lambda n: n.utils.parametrizations.spectral_norm(n.Linear(3, 4), "bias"))
    same_call(oracle, layers, (2, 3))
    for library in (flambeau, oracle):
        newer, older = library.nn.utils.parametrizations.spectral_norm, library.nn.utils.spectral_norm
        with pytest.raises(IndexError, match="Dimension out of range"):
            newer(library.nn.Linear(2, 2), dim=2)
        for call in (newer, older):
            with pytest.raises(ValueError, match="n_power_iterations to be positive"):
                call(library.nn.Linear(2, 2), n_power_iterations=0)
        with pytest.raises(ValueError, match="no parameter or buffer"):
            newer(library.nn.Linear(2, 2), "other")
        with pytest.raises(ValueError, match="is None"):
            older(library.nn.Linear(2, 2, bias=False), "bias")


def test_spectral_norms_of_old_checkpoints(oracle):
    """Before the vector v was saved, the weight was."""
    found = []
    for library in (flambeau, oracle):
        library.manual_seed(1)
        layer = library.nn.utils.spectral_norm(library.nn.Linear(2, 3))
        state = layer.state_dict()
        assert state._metadata[""]["spectral_norm"] == {"weight.version": 1}
        del state._metadata[""]["spectral_norm"]
        layer.load_state_dict(state)
        del state["weight_v"]
        with pytest.raises(RuntimeError, match="Missing key"):
            layer.load_state_dict(state)
        state["weight"] = layer.eval()(library.eye(2)).detach().T - layer.bias.detach().unsqueeze(1)
        layer.weight_v.zero_()
        layer.load_state_dict(state)
        assert layer.weight_v.any()
        found.append(layer)
    same_state(*found)


def test_names(oracle):
    for name in ("parametrize", "parametrizations", "weight_norm", "spectral_norm", "fusion", "memory_format"):
        ours, theirs = (importlib.import_module(f"{library}.nn.utils.{name}") for library in ("flambeau", "torch"))
        assert sorted(ours.__all__) == sorted(theirs.__all__), name
    assert sorted(nn.utils.__all__) == sorted(oracle.nn.utils.__all__)
    assert parametrizations.parametrize is parametrize
