"""Pruning against PyTorch: masks, state dicts, gradients, errors."""

from __future__ import annotations

import copy
import importlib

import numpy as np
import pytest

import flambeau
from flambeau import nn
from flambeau.nn.utils import prune

CALLS = {
    "identity": lambda t, p, m: p.identity(m, "weight"),
    "random number": lambda t, p, m: p.random_unstructured(m, "weight", amount=5),
    "random share": lambda t, p, m: p.random_unstructured(m, "weight", 0.4),
    "smallest": lambda t, p, m: p.l1_unstructured(m, "weight", amount=0.5),
    "none": lambda t, p, m: p.l1_unstructured(m, "weight", amount=0),
    "all": lambda t, p, m: p.l1_unstructured(m, "weight", amount=1.0),
    "bias": lambda t, p, m: p.l1_unstructured(m, "bias", amount=2),
    "importance": lambda t, p, m: p.l1_unstructured(m, "weight", 3, importance_scores=m.weight.detach() ** -1),
    "random slices": lambda t, p, m: p.random_structured(m, "weight", amount=2, dim=0),
    "random columns": lambda t, p, m: p.random_structured(m, "weight", 0.3, dim=-1),
    "no slices": lambda t, p, m: p.random_structured(m, "weight", 0, dim=0),
    "small slices": lambda t, p, m: p.ln_structured(m, "weight", amount=2, n=2, dim=0),
    "small columns": lambda t, p, m: p.ln_structured(m, "weight", 0.5, n=float("inf"), dim=-1),
    "important slices": lambda t, p, m: p.ln_structured(m, "weight", 1, 1, 0, importance_scores=1 / m.weight.detach()),
    "mask": lambda t, p, m: p.custom_from_mask(m, "weight", t.eye(4)[:, :3]),
    "twice": lambda t, p, m: p.l1_unstructured(p.random_unstructured(m, "weight", 3), "weight", 3),
    "single ones after rows": lambda t, p, m: p.random_unstructured(p.ln_structured(m, "weight", 1, 2, 0), "weight", 2),
    "slices after single ones": lambda t, p, m: p.ln_structured(p.l1_unstructured(m, "weight", 0.4), "weight", 1, 2, 1),
    "three": lambda t, p, m: p.custom_from_mask(p.random_structured(p.identity(m, "weight"), "weight", 1, 0), "weight",
                                                t.eye(4)[:, :3]),
}


def methods(library):
    return importlib.import_module(f"{library.__name__}.nn.utils.prune")


def both(oracle, call):
    found = []
    for library in (flambeau, oracle):
        library.manual_seed(4)
        found.append(call(library, methods(library), library.nn.Linear(3, 4)))
    return found


def same_state(ours, theirs):
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    for key, value in mine.items():
        np.testing.assert_allclose(value.numpy(), other[key].numpy(), err_msg=key)


@pytest.mark.parametrize("name", CALLS)
def test_masks(oracle, name):
    layers = both(oracle, CALLS[name])
    same_state(*layers)
    outputs = []
    for library, layer in zip((flambeau, oracle), layers, strict=True):
        outputs.append(layer(library.arange(6.0).reshape(2, 3)))
        outputs[-1].square().sum().backward()
        assert methods(library).is_pruned(layer)
        assert methods(library).is_pruned(library.nn.Sequential(layer))
    np.testing.assert_allclose(outputs[0].detach().numpy(), outputs[1].detach().numpy(), rtol=1e-5, atol=1e-6)
    for (key, ours), (other, theirs) in zip(*(layer.named_parameters() for layer in layers), strict=True):
        assert key == other
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-4, atol=1e-5)
    for library, layer in zip((flambeau, oracle), layers, strict=True):
        methods(library).remove(layer, "bias" if name == "bias" else "weight")
        assert not methods(library).is_pruned(layer)
    same_state(*layers)


def test_pruned_layers_learn_and_stay_pruned():
    layer = prune.l1_unstructured(nn.Linear(3, 4), "weight", 0.5)
    optimizer = flambeau.optim.SGD(layer.parameters(), lr=0.1)
    layer(flambeau.ones(2, 3)).square().sum().backward()
    optimizer.step()
    layer(flambeau.ones(2, 3))
    assert int((layer.weight == 0).sum()) == 6
    fresh = prune.identity(nn.Linear(3, 4), "weight")
    fresh.load_state_dict(layer.state_dict())
    assert flambeau.equal(fresh(flambeau.ones(1, 3)), layer(flambeau.ones(1, 3)))


def test_global_pruning(oracle):
    def call(t, p, layer):
        other = t.nn.Linear(4, 2)
        model = t.nn.Sequential(layer, other)
        p.l1_unstructured(other, "weight", 2)
        pairs = ((layer, "weight"), (other, "weight"), (other, "bias"))
        p.global_unstructured(pairs, pruning_method=p.L1Unstructured, amount=7)
        p.global_unstructured(pairs, p.RandomUnstructured, amount=0.1)
        p.global_unstructured([(layer, "bias")], p.L1Unstructured, amount=1,
                              importance_scores={(layer, "bias"): -layer.bias.detach().exp()})
        return model
    same_state(*both(oracle, call))


def test_methods_on_tensors(oracle):
    def call(t, p, layer):
        x = t.arange(12.0).reshape(3, 4)
        found = [p.L1Unstructured(5).prune(x), p.LnStructured(1, 2, 1).prune(x), p.RandomStructured(1, 0).prune(x),
                 p.Identity().prune(x), p.L1Unstructured(1).prune(x, default_mask=t.eye(3, 4)),
                 p.L1Unstructured(1).prune(x, importance_scores=-x)]
        container = p.PruningContainer()
        container._tensor_name = "x"
        method = p.L1Unstructured(1)
        method._tensor_name = "x"
        container.add_pruning_method(method)
        assert len(container) == 1 and container[0] is method and list(container) == [method]
        return [each.tolist() for each in found]
    ours, theirs = both(oracle, call)
    assert ours == theirs


def own_method(p):
    class EveryOther(p.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.view(-1)[::2] = 0
            return mask
    return EveryOther


def test_own_methods(oracle):
    def call(t, p, layer):
        own_method(p).apply(p.l1_unstructured(layer, "weight", 3), "weight")
        hook = next(iter(layer._forward_pre_hooks.values()))
        assert isinstance(hook, p.PruningContainer) and len(hook) == 2
        return layer
    same_state(*both(oracle, call))


WRONG = {
    "text": (lambda t, p, m: p.l1_unstructured(m, "weight", "some"), TypeError, "Invalid type for amount"),
    "negative": (lambda t, p, m: p.l1_unstructured(m, "weight", -1), ValueError, "should either be a float"),
    "above one": (lambda t, p, m: p.random_unstructured(m, "weight", 1.5), ValueError, "should either be a float"),
    "too many": (lambda t, p, m: p.l1_unstructured(m, "weight", 13), ValueError, "should be smaller than"),
    "vector": (lambda t, p, m: p.random_structured(m, "bias", 1, 0), ValueError, "multidimensional"),
    "dimension": (lambda t, p, m: p.ln_structured(m, "weight", 1, 2, 2), IndexError, "Invalid index 2"),
    "scores": (lambda t, p, m: p.l1_unstructured(m, "weight", 1, t.ones(2)), AssertionError, "same shape"),
    "mask": (lambda t, p, m: p.custom_from_mask(m, "weight", t.ones(2)), AssertionError, "shape"),
    "not pruned": (lambda t, p, m: p.remove(m, "weight"), ValueError, "has to be pruned before"),
    "no pairs": (lambda t, p, m: p.global_unstructured(3, p.L1Unstructured, amount=1), TypeError, "not an Iterable"),
    "no dict": (lambda t, p, m: p.global_unstructured([(m, "weight")], p.L1Unstructured, [1], amount=1), TypeError,
                "must be of type dict"),
    "slices of all": (lambda t, p, m: p.global_unstructured([(m, "weight")], p.RandomStructured, amount=1), TypeError,
                      "Only \"unstructured\""),
    "no method": (lambda t, p, m: p.PruningContainer().add_pruning_method(3), TypeError, "is not a BasePruningMethod"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(oracle, case):
    call, kind, text = WRONG[case]
    for library in (flambeau, oracle):
        layer = library.nn.Linear(3, 4)
        with pytest.raises(kind, match=text):
            call(library, methods(library), layer)
        assert sorted(dict(layer.named_parameters())) == ["bias", "weight"]
        layer(library.ones(1, 3))


def test_methods_of_another_parameter():
    first, second = prune.Identity(), prune.Identity()
    first._tensor_name, second._tensor_name = "weight", "bias"
    with pytest.raises(ValueError, match="acting on the parameter named 'weight'"):
        prune.PruningContainer(first).add_pruning_method(second)


def test_copies():
    layer = prune.l1_unstructured(nn.Linear(3, 4), "weight", 3)
    layer.weight = layer.weight.detach()   # what a call has made is no leaf, which is not copied
    again = copy.deepcopy(layer)
    assert flambeau.equal(again(flambeau.ones(1, 3)), layer(flambeau.ones(1, 3)))


def test_names(oracle):
    theirs = {name for name, value in vars(methods(oracle)).items()
              if getattr(value, "__module__", "") == "torch.nn.utils.prune" and not name.startswith("_")}
    assert theirs - set(vars(prune)) == set()
