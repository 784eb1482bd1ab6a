"""Every optimiser against PyTorch, under a table of options: values, state, groups, checkpoints both ways, errors."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle

import numpy as np
import pytest

import flambeau
from flambeau import nn, optim

T = "a tensor"  # stands for a learning rate that is a tensor of the library under test
WD = {"weight_decay": 0.1}
MAX = {"maximize": True}
COMMON = [{}, {"lr": 0.01}, {"lr": T}, WD, MAX, {**WD, **MAX}, {"foreach": True}, {"foreach": False, **WD}]
DECOUPLED = {"decoupled_weight_decay": True, **WD}
OPTIONS = {
    "ASGD": [*COMMON, {"t0": 2}, {"t0": 2, "foreach": False, "lambd": 0.1}, {"alpha": 0.5, "lambd": 0.05, "lr": 0.1}],
    "Adadelta": [*COMMON, {"rho": 0.5, **WD}, {"eps": 1e-2}],
    "Adafactor": [
        {}, {"lr": 0.1}, {"lr": T}, WD, MAX, {"beta2_decay": -0.3}, {"eps": (1e-3, 0.1)}, {"d": 1.5, **WD, **MAX},
        {"foreach": True},
    ],
    "Adagrad": [*COMMON, {"initial_accumulator_value": 0.1}, {"lr_decay": 0.5, **WD}, {"fused": True}],
    "Adam": [
        *[o for o in COMMON if o != {"foreach": True}], {"amsgrad": True, **WD}, {"betas": (0.5, 0.6)}, DECOUPLED,
        {"fused": True, "amsgrad": True}, {"lr": T, "fused": True},
    ],
    "AdamW": [*COMMON, {"amsgrad": True, **MAX}, {"weight_decay": 0.9}, {"fused": True}],
    "Adamax": [*COMMON, {"betas": (0.5, 0.6), "eps": 1e-2}],
    "Muon": [
        {}, {"lr": 0.1}, {"lr": T}, {"weight_decay": 0.5}, {"momentum": 0.5, "nesterov": False}, {"ns_steps": 2},
        {"adjust_lr_fn": "match_rms_adamw"}, {"adjust_lr_fn": "original", "ns_coefficients": (3.4, -4.7, 2.0)},
    ],
    "NAdam": [*COMMON, {"momentum_decay": 0.1}, DECOUPLED, {**DECOUPLED, **MAX, "betas": (0.5, 0.6)}],
    "RAdam": [*COMMON, DECOUPLED, {"betas": (0.5, 0.6), "eps": 1e-3}, {**DECOUPLED, **MAX}],
    "RMSprop": [
        *COMMON, {"momentum": 0.5}, {"centered": True}, {"momentum": 0.5, "centered": True, **WD, "alpha": 0.5},
    ],
    "Rprop": [{}, {"lr": 0.1}, {"lr": T}, MAX, {"etas": (0.3, 1.7)}, {"step_sizes": (2e-3, 0.02)}, {"foreach": True}],
    "SGD": [
        *COMMON, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5, **WD},
        {"momentum": 0.9, "nesterov": True, **WD}, {"fused": True, "momentum": 0.5}, {"lr": T, **MAX},
    ],
}
CAPTURABLE = ["ASGD", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"]
COMPLEX = [name for name in OPTIONS if name not in ("Adafactor", "Muon")]
SHAPES = [(4, 3), (3,), (2, 3, 4), ()]


def file_of(torch, name):
    """A module of the package, as PyTorch's own is not among its names."""
    return importlib.import_module(f"{torch.__name__}.optim.{name}")


@pytest.fixture(autouse=True)
def one_thread(oracle):
    oracle.set_num_threads(1)


def given(torch, options):
    return {key: torch.tensor(0.01) if value is T else value for key, value in options.items()}


def parameters(torch, name, dtype):
    rng = np.random.default_rng(1)
    shapes = [(4, 3), (2, 2), (3, 5)] if name == "Muon" else SHAPES
    values = [rng.standard_normal(shape) for shape in shapes]
    if np.issubdtype(dtype, np.complexfloating):
        values = [value + 1j * rng.standard_normal(value.shape) for value in values]
    return [torch.nn.Parameter(torch.from_numpy(np.array(value, dtype))) for value in values]


def steps(torch, name, options, dtype=np.float32, count=5, state=None, params=None):
    """Parameters and optimiser after some steps on gradients that are the same in either library."""
    params = parameters(torch, name, dtype) if params is None else params
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.02}]
    optimizer = getattr(torch.optim, name)(groups, **given(torch, options))
    if state is not None:
        optimizer.load_state_dict(state)
    rng = np.random.default_rng(2)
    for number in range(count):
        for index, param in enumerate(params):
            gradient = rng.standard_normal(tuple(param.shape))
            if np.issubdtype(dtype, np.complexfloating):
                gradient = gradient + 1j * rng.standard_normal(gradient.shape)
            param.grad = torch.from_numpy(np.array(gradient, dtype))
            if index == 1 and number % 3 == 1:
                param.grad = None
        optimizer.step()
    return params, optimizer


def translated(value, torch):
    """A state dict with its tensors made anew in another library."""
    if isinstance(value, dict):
        return {key: translated(entry, torch) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(translated(entry, torch) for entry in value)
    return torch.from_numpy(np.array(value.detach().numpy())) if hasattr(value, "detach") else value


def close(name, dtype, options):
    if name == "Muon":  # it computes in bfloat16
        return {"rtol": 2e-3, "atol": 2e-3}
    if dtype in (np.float32, np.complex64):
        return {"rtol": 2e-5, "atol": 2e-6}
    # A rate in single precision: PyTorch computes some of the numbers that it is in with that precision.
    rounded = options.get("lr") is T or (name == "ASGD" and options.get("foreach"))
    return {"rtol": 1e-6, "atol": 1e-7} if rounded else {"rtol": 1e-9, "atol": 1e-10}


def compare(mine, theirs, tolerance, what):
    for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
        np.testing.assert_allclose(
            one.detach().numpy(), other.detach().numpy(), **tolerance, err_msg=f"{what}: {number}"
        )


def compare_states(mine, theirs, tolerance, what):
    assert list(mine) == list(theirs) == ["state", "param_groups"]
    assert list(mine["state"]) == list(theirs["state"]), what
    for ours, other in zip(mine["param_groups"], theirs["param_groups"], strict=True):
        assert list(ours) == list(other), what
        assert ours["params"] == other["params"], what
        assert repr(ours) == repr(other), what
    for number, entries in mine["state"].items():
        expected = theirs["state"][number]
        assert list(entries) == list(expected), what
        for key, value in entries.items():
            assert (str(value.dtype), tuple(value.shape)) == (str(expected[key].dtype), tuple(expected[key].shape)), (
                f"{what}: {key}"
            )
            assert not value.requires_grad
            compare([value], [expected[key]], tolerance, f"{what}: {key}")


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_state_and_checkpoints(oracle, name):
    for dtype in (np.float32, np.float64):
        for options in OPTIONS[name]:
            what = f"{name} {options} {dtype.__name__}"
            tolerance = close(name, dtype, options)
            ours, optimizer = steps(flambeau, name, options, dtype)
            theirs, other = steps(oracle, name, options, dtype)
            compare(ours, theirs, tolerance, what)
            compare_states(optimizer.state_dict(), other.state_dict(), tolerance, what)
            assert repr(optimizer) == repr(other)
            here = translated(copy.deepcopy(other.state_dict()), flambeau)
            there = translated(copy.deepcopy(optimizer.state_dict()), oracle)
            ours, _ = steps(flambeau, name, options, dtype, 3, here, ours)
            theirs, _ = steps(oracle, name, options, dtype, 3, there, theirs)
            compare(ours, theirs, tolerance, f"{what}, resumed from the other library's state")


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_parameters(oracle, name):
    for options in OPTIONS[name]:
        if options.get("fused"):
            with pytest.raises(RuntimeError, match="requires all the params to be floating point"):
                steps(flambeau, name, options, np.complex64)
            continue
        if name == "Rprop" and options.get("lr") is T:
            continue  # PyTorch cannot make a complex number of a tensor
        ours, optimizer = steps(flambeau, name, options, np.complex128)
        theirs, other = steps(oracle, name, options, np.complex128)
        what, tolerance = f"{name} {options}", close(name, np.complex128, options)
        compare(ours, theirs, tolerance, what)
        compare_states(optimizer.state_dict(), other.state_dict(), tolerance, what)


@pytest.mark.parametrize("name", CAPTURABLE)
def test_counts_that_stay_tensors(oracle, name):
    """PyTorch has this form on accelerators only; its numbers are those of the plain form."""
    for options in OPTIONS[name]:
        for lr in (options.get("lr"), T):
            chosen = {**options, "lr": lr} if lr else dict(options)
            if chosen.get("foreach") or chosen.get("fused"):
                continue
            ours, _ = steps(flambeau, name, {**chosen, "capturable": True}, count=7)
            theirs, _ = steps(oracle, name, chosen, count=7)
            compare(ours, theirs, {"rtol": 1e-4, "atol": 1e-5}, f"{name} {chosen}")


@pytest.mark.parametrize("name", [*OPTIONS, "LBFGS", "SparseAdam"])
def test_signatures(oracle, name):
    def parameters_of(function):
        return [(n, p.default, p.kind) for n, p in inspect.signature(function).parameters.items()]

    ours, theirs = getattr(optim, name), getattr(oracle.optim, name)
    assert parameters_of(ours) == parameters_of(theirs)
    assert parameters_of(ours.step) == parameters_of(theirs.step)
    module = {"Muon": "_muon", "Adafactor": "_adafactor"}.get(name, name.lower())
    if name not in ("LBFGS", "SparseAdam"):
        mine, other = (getattr(file_of(torch, module), name.lower()) for torch in (flambeau, oracle))
        assert parameters_of(mine) == parameters_of(other)


def test_names(oracle):
    assert set(optim.__all__) == set(oracle.optim.__all__)
    for module in ("lr_scheduler", "swa_utils", "optimizer", "adam", "adamw", "sgd", "nadam", "_muon", "_adafactor"):
        ours, theirs = file_of(flambeau, module), file_of(oracle, module)
        assert set(ours.__all__) == set(theirs.__all__), module
    ours, theirs = file_of(flambeau, "optimizer"), file_of(oracle, "optimizer")
    for name in ("_use_grad_for_differentiable", "_get_value", "_get_scalar_dtype", "_to_scalar", "required", "Args",
                 "_get_capturable_supported_devices", "_device_dtype_check_for_fused", "_foreach_doc", "StateDict"):
        assert hasattr(ours, name) and hasattr(theirs, name)


@pytest.mark.parametrize("name", OPTIONS)
def test_copies_pickles_and_older_checkpoints(name):
    params, optimizer = steps(flambeau, name, {}, count=2)
    twins = [pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)]
    older = copy.deepcopy(optimizer.state_dict())
    for entries in older["state"].values():
        for key in ("step", "mu_product", "mu", "eta"):
            if key in entries:
                entries[key] = entries[key].item()
    for group in older["param_groups"]:
        for key in ("foreach", "maximize", "differentiable", "capturable", "fused", "decoupled_weight_decay"):
            group.pop(key, None)
    again = getattr(optim, name)([{"params": p["params"]} for p in copy.deepcopy(optimizer).param_groups])
    again.load_state_dict(older)
    if name == "AdamW":
        assert again.param_groups[0]["decoupled_weight_decay"]
    assert "foreach" in again.param_groups[0] or name == "Muon"
    for other in [*twins, again]:
        members = [param for group in other.param_groups for param in group["params"]]
        assert all(one is not two for one, two in zip(members, params, strict=True))
        for member, param in zip(members, params, strict=True):
            member.grad = param.grad = flambeau.ones_like(param)
        mine = copy.deepcopy(optimizer)
        mine_members = [param for group in mine.param_groups for param in group["params"]]
        for member in mine_members:
            member.grad = flambeau.ones_like(member)
        mine.step()
        other.step()
        compare(members, mine_members, {"rtol": 1e-6}, name)


ERRORS = [
    ("ASGD", {"lr": -1}), ("ASGD", {"weight_decay": -1}), ("Adadelta", {"rho": 1.1}), ("Adadelta", {"eps": -1}),
    ("Adafactor", {"lr": -1}), ("Adafactor", {"beta2_decay": 1}), ("Adafactor", {"eps": (-1, 1)}),
    ("Adafactor", {"eps": (None, -1)}), ("Adafactor", {"d": 0}), ("Adafactor", {"weight_decay": -1}),
    ("Adamax", {"betas": (0.0, 1.0)}), ("Adamax", {"eps": -1}), ("NAdam", {"momentum_decay": -0.2}),
    ("NAdam", {"betas": (1.0, 0.0)}), ("RAdam", {"weight_decay": -1}), ("RAdam", {"lr": -1}),
    ("Rprop", {"etas": (1.0, 0.5)}), ("Rprop", {"lr": -1}), ("LBFGS", {"lr": -1}), ("SparseAdam", {"lr": 0}),
    ("SparseAdam", {"eps": 0}), ("SparseAdam", {"betas": (1.0, 0.0)}), ("Muon", {"lr": -1}),
    ("Muon", {"momentum": -1}), ("Muon", {"weight_decay": -1}), ("Muon", {"adjust_lr_fn": "what"}), ("Muon", {}),
    ("RMSprop", {"momentum": -1}), ("Adagrad", {"lr_decay": -1}), ("Adam", {"betas": (0, 0.9)}),
    ("Adam", {"betas": (T, T), "foreach": True}), ("Adam", {"lr": T, "foreach": True}),
    ("SGD", {"momentum": -0.5}), ("SGD", {"fused": True, "differentiable": True}),
    ("AdamW", {"fused": True, "foreach": True}), ("Adagrad", {"fused": True, "differentiable": True}),
]


def test_errors_of_options(oracle):
    for name, options in ERRORS:
        raised = []
        for torch in (flambeau, oracle):
            chosen = {k: tuple(torch.tensor(0.5) if v is T else v for v in value) if isinstance(value, tuple) else value
                      for k, value in given(torch, options).items()}
            with pytest.raises((ValueError, RuntimeError)) as info:
                getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(2))], **chosen)
            raised.append(info.value)
        assert str(raised[0]) == str(raised[1]), (name, options)
        assert isinstance(raised[0], type(raised[1])), (name, options)


def test_errors_of_parameters(oracle):
    for torch in (flambeau, oracle):
        z = torch.nn.Parameter(torch.ones(2, 2, dtype=torch.complex64))
        z.grad = torch.ones_like(z)
        for name in ("Adafactor", "Muon"):
            with pytest.raises(RuntimeError, match=f"{name} does not support complex parameters"):
                getattr(torch.optim, name)([z]).step()
        with pytest.raises(ValueError, match=r"Complex params at indices \[\[0, 0\]\]"):
            torch.optim.SparseAdam([z])
        w = torch.nn.Parameter(torch.ones(2))
        with pytest.raises(ValueError, match="per-parameter options"):
            torch.optim.LBFGS([{"params": [w]}, {"params": [torch.nn.Parameter(torch.ones(2))]}])
        w.grad = torch.ones(2)
        with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
            torch.optim.LBFGS([w], line_search_fn="other").step(lambda w=w: (w * 1).sum())
        with pytest.raises(ValueError, match="with/without names"):
            torch.optim.Adadelta([("w", w)]).add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})


def bowl(torch, options, dtype=np.float64, count=4, make=None, state=None):
    """Parameters, losses and optimiser after some steps of L-BFGS on a curved valley."""
    values = [np.array([[-1.2, 1.0]], dtype), np.array([0.5], dtype)] if make is None else make
    params = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in values]
    optimizer = torch.optim.LBFGS(params, **given(torch, options))
    if state is not None:
        optimizer.load_state_dict(state)

    def closure():
        optimizer.zero_grad()
        x, y = params[0][0, 0], params[0][0, 1]
        loss = (1 - x) ** 2 + 20 * (y - x**2) ** 2 + (params[1] - x).abs().square().sum()
        if loss.is_complex():
            loss = loss.abs()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(count)]
    return params, losses, optimizer


LBFGS = [
    {"lr": 0.01}, {"lr": 0.005, "max_iter": 5, "history_size": 3}, {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "max_iter": 4, "history_size": 2}, {"lr": T, "max_iter": 3},
    {"line_search_fn": "strong_wolfe", "max_eval": 6}, {"lr": 0.1, "tolerance_grad": 1e3},
    {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-2, "lr": 0.5},
]


def test_lbfgs(oracle):
    for options in LBFGS:
        ours, losses, optimizer = bowl(flambeau, options)
        theirs, expected, other = bowl(oracle, options)
        np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-12, err_msg=str(options))
        compare(ours, theirs, {"rtol": 1e-6, "atol": 1e-7}, str(options))
        mine, state = optimizer.state_dict()["state"][0], other.state_dict()["state"][0]
        assert list(mine) == list(state), options
        assert (mine["n_iter"], mine["func_evals"]) == (state["n_iter"], state["func_evals"]), options
        assert repr(optimizer) == repr(other)


def test_lbfgs_goes_on_from_the_other_librarys_state(oracle):
    options = {"line_search_fn": "strong_wolfe", "max_iter": 3}
    _, _, mine = bowl(flambeau, options, count=2)
    start, _, other = bowl(oracle, options, count=2)
    start = [param.detach().numpy() for param in start]
    here = translated(copy.deepcopy(other.state_dict()), flambeau)
    there = translated(copy.deepcopy(mine.state_dict()), oracle)
    ours, losses, _ = bowl(flambeau, options, count=2, make=start, state=here)
    theirs, expected, _ = bowl(oracle, options, count=2, make=start, state=there)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    compare(ours, theirs, {"rtol": 1e-6}, "resumed")


def test_lbfgs_of_complex_and_missing(oracle):
    start = [np.array([[-1.2 + 0.3j, 1.0 - 0.5j]]), np.array([0.5 + 0.2j]), np.array([1.0])]
    options = {"lr": 0.01, "max_iter": 4}
    ours, losses, _ = bowl(flambeau, options, make=start)
    theirs, expected, _ = bowl(oracle, options, make=start)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    compare(ours, theirs, {"rtol": 1e-6}, "complex, with a parameter that takes no part")


def test_sparse_adam_moves_the_rows_that_were_looked_up(oracle):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((6, 3)).astype(np.float32)
    weights = rng.standard_normal((5, 4, 3)).astype(np.float32)
    rows = rng.integers(0, 5, (5, 4))
    for options in ({"lr": 0.1}, {"betas": (0.5, 0.6), "maximize": True}, {"lr": T, "eps": 1e-2}):
        results = []
        for torch in (flambeau, oracle):
            sparse = {} if torch is flambeau else {"sparse": True}
            layer = torch.nn.Embedding(6, 3, _weight=torch.from_numpy(table.copy()), **sparse)
            optimizer = torch.optim.SparseAdam(layer.parameters(), **given(torch, options))
            for step in range(5):
                optimizer.zero_grad()
                (layer(torch.from_numpy(rows[step])) * torch.from_numpy(weights[step])).sum().backward()
                optimizer.step()
            entry = optimizer.state_dict()["state"][0]
            results.append(([layer.weight, entry["exp_avg"], entry["exp_avg_sq"]], list(entry), entry["step"]))
        compare(results[0][0], results[1][0], {"rtol": 1e-5, "atol": 1e-6}, str(options))
        assert results[0][1:] == results[1][1:]
        np.testing.assert_array_equal(results[0][0][0][5].detach().numpy(), table[5])


DIFFERENTIABLE = [
    ("SGD", {"momentum": 0.0, "lr": 0.1, **WD}), ("Adam", {"amsgrad": True, **WD}), ("Adam", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1}), ("RMSprop", {"momentum": 0.5, "centered": True}), ("Adagrad", {}), ("Adadelta", {}),
    ("Adamax", {}), ("NAdam", DECOUPLED), ("RAdam", {"lr": 0.1}), ("ASGD", {}), ("Rprop", {}),
]


def test_gradients_flow_through_a_step(oracle):
    for name, options in DIFFERENTIABLE:
        results = []
        for torch in (flambeau, oracle):
            start = torch.tensor([0.5, -1.5, 2.0], dtype=torch.float64, requires_grad=True)
            param = start.clone()
            optimizer = getattr(torch.optim, name)([param], differentiable=True, **options)
            param.grad = start**2 + 1
            optimizer.step()
            param.grad = None
            (param**2).sum().backward(inputs=[start])
            results.append(start.grad)
        compare(results[:1], results[1:], {"rtol": 1e-5, "atol": 1e-6}, f"{name} {options}")


@pytest.mark.parametrize("name, options", DIFFERENTIABLE)
def test_gradients_flow_through_several_steps(name, options):
    """Against differences: state that a later step overwrites does not spoil what an earlier one has to look at."""

    def final(start, lr):
        param = start.clone()
        optimizer = getattr(optim, name)([param], differentiable=True, **{**options, "lr": lr})
        for _ in range(3):
            param.grad = start**3 + 1
            optimizer.step()
        return (param**2).sum()

    start = flambeau.tensor([0.5, -1.5, 2.0], dtype=flambeau.float64, requires_grad=True)
    lr = flambeau.tensor(0.05, dtype=flambeau.float64, requires_grad=name not in ("Rprop", "ASGD"))
    grads = flambeau.autograd.grad(final(start, lr), [start, lr] if lr.requires_grad else [start])
    h = 1e-6
    with flambeau.no_grad():
        numeric = [
            (final(start + h * flambeau.eye(3)[i], lr) - final(start - h * flambeau.eye(3)[i], lr)).item() / (2 * h)
            for i in range(3)
        ]
        along = (final(start, lr + h) - final(start, lr - h)).item() / (2 * h)
    np.testing.assert_allclose(grads[0].numpy(), numeric, rtol=1e-4, atol=1e-5)
    if lr.requires_grad:
        np.testing.assert_allclose(grads[1].item(), along, rtol=1e-4)


def functional_arguments(torch, optimizer, names):
    group = optimizer.param_groups[0]
    params = [param for param in group["params"] if param.grad is not None]
    return params, [param.grad for param in params], *[[optimizer.state[p].get(n) for p in params] for n in names]


FUNCTIONS = {
    "adam": ("Adam", ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"),
             {"amsgrad": True, "beta1": 0.9, "beta2": 0.99, "lr": 0.1, "weight_decay": 0.1, "eps": 1e-8, **MAX}),
    "adamw": ("AdamW", ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"),
              {"amsgrad": False, "beta1": 0.9, "beta2": 0.99, "lr": 0.1, "weight_decay": 0.1, "eps": 1e-8,
               "maximize": False}),
    "sgd": ("SGD", ("momentum_buffer",),
            {"weight_decay": 0.1, "momentum": 0.9, "lr": 0.1, "dampening": 0.1, "nesterov": False, "maximize": False}),
    "rmsprop": ("RMSprop", ("square_avg", "grad_avg", "momentum_buffer", "step"),
                {"lr": 0.1, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.1, "momentum": 0, "centered": False}),
    "adagrad": ("Adagrad", ("sum", "step"),
                {"lr": 0.1, "weight_decay": 0.1, "lr_decay": 0.1, "eps": 1e-8, "maximize": False}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functional_forms(oracle, name):
    class_name, states, options = FUNCTIONS[name]
    results = []
    for torch in (flambeau, oracle):
        function = getattr(file_of(torch, name), name)
        params, optimizer = steps(torch, class_name, {"amsgrad": True} if name == "adam" else {}, count=2)
        for param in params:
            param.grad = torch.ones_like(param)
        lists = functional_arguments(torch, optimizer, states)
        with torch.no_grad():
            for _ in range(2):
                function(*lists, **options)
        results.append(params)
    compare(*results, {"rtol": 1e-5, "atol": 1e-6}, name)


def test_functional_forms_with_a_scale(oracle):
    results = []
    for torch in (flambeau, oracle):
        w = torch.ones(3)
        grads, counts = [torch.full((3,), 8.0)], [torch.tensor(0.0)]
        function = file_of(torch, "adam").adam
        options = {"amsgrad": False, "beta1": 0.9, "beta2": 0.99, "lr": 0.1, "weight_decay": 0.1, "eps": 1e-2,
                   "maximize": False, "fused": True}
        state = [torch.zeros(3)], [torch.zeros(3)], []
        function([w], grads, *state, counts, grad_scale=torch.tensor(4.0), found_inf=torch.tensor(0.0), **options)
        grads = [torch.full((3,), 8.0)]
        function([w], grads, *state, counts, grad_scale=torch.tensor(4.0), found_inf=torch.tensor(1.0), **options)
        results.append([w, *state[0], *counts])
    compare(*results, {"rtol": 1e-6}, "adam with a scale")
    with pytest.raises(AssertionError, match="grad_scale and found_inf"):
        optim.sgd.sgd([w], grads, [None], grad_scale=flambeau.tensor(1.0), weight_decay=0, momentum=0, lr=1,
                      dampening=0, nesterov=False, maximize=False)


def test_a_subclasss_step_runs_hooks_once():
    class Doubled(optim.Adamax):
        def step(self, closure=None):
            super().step(closure)
            return super().step(closure)

    w = nn.Parameter(flambeau.ones(1))
    w.grad = flambeau.ones(1)
    optimizer = Doubled([w])
    seen = []
    optimizer.register_step_post_hook(lambda *a: seen.append("post"))
    optimizer.register_step_pre_hook(lambda *a: seen.append("pre"))
    optimizer.step()
    assert seen == ["pre", "post"] and optimizer.state[w]["step"].item() == 2


def test_counters_are_double_where_that_is_the_default(oracle):
    for torch in (flambeau, oracle):
        torch.set_default_dtype(torch.float64)
        try:
            found = {}
            for name in ("Adam", "NAdam", "ASGD", "Adagrad"):
                w = torch.nn.Parameter(torch.ones(2))
                optimizer = getattr(torch.optim, name)([w], **({"fused": True} if name == "Adagrad" else {}))
                w.grad = torch.ones(2)
                optimizer.step()
                found[name] = {key: str(value.dtype) for key, value in optimizer.state[w].items()}
        finally:
            torch.set_default_dtype(torch.float32)
        if torch is flambeau:
            mine = found
    assert mine == found


def test_swapping_parameters_and_state(oracle):
    results = []
    for torch in (flambeau, oracle):
        params, optimizer = steps(torch, "Adam", {}, count=2)
        others, source = steps(torch, "Adam", {}, count=3)
        for param in [*params, *others]:
            param.grad = torch.ones_like(param)
        state = source.state_dict()
        names = {str(i): param for i, param in enumerate(others)}
        swap_in, sgd = torch.optim.swap_in_optimizer_params_and_state, torch.optim.SGD(params)
        with swap_in(optimizer, names, state):
            assert optimizer.param_groups[0]["params"][0] is others[0]
            optimizer.step()
        assert optimizer.param_groups[0]["params"][0] is params[0]
        optimizer.step()
        results.append([*params, *others])
        for wrong in (
            {"state": {}}, {"state": [], "param_groups": []}, {**state, "param_groups": state["param_groups"][:1]},
            {**state, "state": {99: {}}},
        ):
            with pytest.raises(RuntimeError), swap_in(optimizer, names, wrong):
                pass
        with pytest.raises(RuntimeError, match="initialized optimizer state"), swap_in(sgd, names, state):
            pass
    compare(*results, {"rtol": 1e-5, "atol": 1e-6}, "swapped")


def test_a_profiler_shows_steps_by_name():
    w = nn.Parameter(flambeau.ones(1))
    w.grad = flambeau.ones(1)
    optimizer = optim.Adamax([w])
    with flambeau.profiler.profile() as prof:
        optimizer.step()
        optimizer.zero_grad()
    shown = [event.key for event in prof.key_averages()]
    assert {"Optimizer.step#Adamax.step", "Optimizer.zero_grad#Adamax.zero_grad"} <= set(shown)
