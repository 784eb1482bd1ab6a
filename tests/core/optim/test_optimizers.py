"""Optimisers against PyTorch: twenty steps with every option, and state that passes both ways."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest

import flambeau
from flambeau import optim

CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"weight_decay": 0.1, "maximize": True}),
    ("Adam", {"betas": (0.5, 0.6), "eps": 1e-3}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("Adam", {"foreach": False, "lr": 0.0}),
    ("Adam", {"lr": "tensor"}),
    ("Adam", {"capturable": True, "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"amsgrad": True, "weight_decay": 0.3}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {"maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.1, "maximize": True}),
]


def run(torch, name, options, steps=20, state=None, dtype=np.float32):
    """Parameters and optimiser after some steps on gradients that are the same in either library."""
    options = {k: torch.tensor(0.01) if v == "tensor" else v for k, v in options.items()}
    if torch is not flambeau:
        # PyTorch allows it on accelerators only; the numbers are those of the plain form.
        options.pop("capturable", None)
    rng = np.random.default_rng(0)
    params = [
        torch.nn.Parameter(torch.from_numpy(rng.standard_normal(shape).astype(dtype)))
        for shape in [(3, 4), (3,), (2, 2), (1,)]
    ]
    optimizer = getattr(torch.optim, name)([{"params": params[:2]}, {"params": params[2:], "lr": 0.05}], **options)
    if state is not None:
        optimizer.load_state_dict(state)
    for step in range(steps):
        for number, param in enumerate(params):
            gradient = rng.standard_normal(tuple(param.shape)).astype(dtype)
            # One parameter takes no part in every third step.
            param.grad = None if number == 1 and step % 3 == 0 else torch.from_numpy(gradient)
        optimizer.step()
    return params, optimizer


def translated(value, torch):
    """A state dict with its tensors made anew in another library."""
    if isinstance(value, dict):
        return {k: translated(v, torch) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(translated(v, torch) for v in value)
    return torch.from_numpy(np.array(value.detach().numpy())) if hasattr(value, "detach") else value


def assert_close(ours, theirs, tolerance=2e-6):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            mine.detach().numpy(), other.detach().numpy(), rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("name, options", CASES)
def test_twenty_steps(oracle, name, options):
    ours, optimizer = run(flambeau, name, options)
    theirs, other = run(oracle, name, options)
    assert_close(ours, theirs)
    if "capturable" not in options:
        assert repr(optimizer) == repr(other)
    mine, expected = optimizer.state_dict(), other.state_dict()
    assert [list(g) for g in mine["param_groups"]] == [list(g) for g in expected["param_groups"]]
    assert [g["params"] for g in mine["param_groups"]] == [[0, 1], [2, 3]]
    assert list(mine["state"]) == list(expected["state"])
    for number, entries in mine["state"].items():
        assert list(entries) == list(expected["state"][number])
        for key, value in entries.items():
            assert str(value.dtype) == str(expected["state"][number][key].dtype)
            assert_close([value], [expected["state"][number][key]])


@pytest.mark.parametrize("name, options", [c for c in CASES if "capturable" not in c[1]])
def test_state_passes_both_ways(oracle, name, options):
    _, mine = run(flambeau, name, options)
    _, other = run(oracle, name, options)
    here, _ = run(flambeau, name, options, 5, translated(copy.deepcopy(other.state_dict()), flambeau))
    there, _ = run(oracle, name, options, 5, translated(copy.deepcopy(mine.state_dict()), oracle))
    assert_close(here, there)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_double_precision(oracle, name):
    ours, _ = run(flambeau, name, {"lr": 0.01}, dtype=np.float64)
    theirs, _ = run(oracle, name, {"lr": 0.01}, dtype=np.float64)
    assert_close(ours, theirs, 1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_signature(oracle, name):
    def parameters(cls):
        return [(n, p.default, p.kind) for n, p in inspect.signature(cls.__init__).parameters.items()]

    assert parameters(getattr(optim, name)) == parameters(getattr(oracle.optim, name))


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_columns_and_slices_are_updated_in_place(oracle, name):
    results = []
    for torch in (flambeau, oracle):
        base = torch.arange(12.0).reshape(3, 4)
        params = [torch.nn.Parameter(base[:, 1]), torch.nn.Parameter(base.t()[2:])]
        optimizer = getattr(torch.optim, name)(params, lr=0.1)
        for _ in range(3):
            for param in params:
                param.grad = torch.ones(1).expand(param.shape)
            optimizer.step()
        results.append(base)
    assert_close(results[:1], results[1:])


def test_a_step_over_a_saved_tensor_is_noticed():
    w = flambeau.nn.Parameter(flambeau.ones(2))
    optimizer = optim.Adam([w])
    out = (w * w).sum()
    w.grad = flambeau.ones(2)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_the_closures_loss_is_returned_and_has_gradients(name):
    w = flambeau.nn.Parameter(flambeau.ones(1))
    optimizer = getattr(optim, name)([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with flambeau.no_grad():
        assert optimizer.step(closure).item() == 1
    assert w.item() < 1


def test_copies_and_pickles():
    _, optimizer = run(flambeau, "Adam", {}, 2)
    for twin in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        assert repr(twin) == repr(optimizer)
        param = twin.param_groups[0]["params"][0]
        assert twin.state[param]["step"].item() == 2
        param.grad = flambeau.ones(3, 4)
        twin.step()


def test_old_checkpoints_have_numbers_for_steps():
    _, optimizer = run(flambeau, "Adam", {}, 2)
    state = optimizer.state_dict()
    for entry in state["state"].values():
        entry["step"] = 2
    optimizer.load_state_dict(state)
    assert optimizer.state[optimizer.param_groups[0]["params"][0]]["step"].item() == 2
