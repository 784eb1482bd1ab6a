"""What every optimiser does: groups, errors, zero_grad, hooks, state dicts."""

from __future__ import annotations

import pytest

import flambeau
from flambeau import nn, optim
from flambeau.optim import optimizer as optimizer_file


def parameter(*shape):
    return nn.Parameter(flambeau.ones(shape or (1,)))


P = parameter()


@pytest.mark.parametrize(
    "call, kind, text",
    [
        (lambda: optim.Adam([]), ValueError, "optimizer got an empty parameter list"),
        (lambda: optim.Adam(P), TypeError, "should be an iterable of Tensors or dicts, but got torch.FloatTensor"),
        (lambda: optim.Adam([1]), TypeError, "one of the params is int"),
        (lambda: optim.Adam([P * 2]), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: optim.Adam([{"params": [P]}, {"params": [P]}]), ValueError, "more than one parameter group"),
        (lambda: optim.Adam([{"params": {P}}]), TypeError, "ordered collections"),
        (lambda: optim.Adam([P], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda: optim.Adam([P], betas=(1, 0.9)), ValueError, "Invalid beta parameter at index 0: 1"),
        (lambda: optim.Adam([P], betas=(0.1, 2)), ValueError, "Invalid beta parameter at index 1: 2"),
        (lambda: optim.Adam([P], eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda: optim.Adam([P], weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
        (lambda: optim.Adam([P], lr=flambeau.ones(2)), ValueError, "Tensor lr must be 1-element"),
        (lambda: optim.Adam([P], lr=flambeau.tensor(1.0), foreach=True), ValueError, "lr as a Tensor"),
        (lambda: optim.Adam([P], fused=True, foreach=True), RuntimeError, "cannot be `True` together"),
        (lambda: optim.SGD([P], momentum=-1), ValueError, "Invalid momentum value: -1"),
        (lambda: optim.SGD([P], nesterov=True), ValueError, "Nesterov momentum requires"),
        (lambda: optim.RMSprop([P], alpha=-1), ValueError, "Invalid alpha value: -1"),
        (lambda: optim.Adagrad([P], lr_decay=-1), ValueError, "Invalid lr_decay value: -1"),
        (lambda: optim.Adam([("w", P), parameter()]), ValueError, "Some param names are missing"),
        (lambda: optim.Adam([P]).add_param_group(3), TypeError, "param_group must be a dict"),
        (lambda: optim.Adam([P]).load_state_dict(optim.Adam([P, parameter()]).state_dict()), ValueError, "size"),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_duplicates_warn():
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.Adam([P, P])


def test_groups_take_their_own_options():
    a, b, c = parameter(), parameter(), parameter()
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [c], "momentum": 0.9})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5, 0.1]
    assert [g["momentum"] for g in optimizer.param_groups] == [0, 0, 0.9]


def test_named_parameters():
    optimizer = optim.Adam(nn.Linear(1, 1).named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_parameters_may_come_from_a_generator():
    assert len(optim.Adam(nn.Linear(1, 1).parameters()).param_groups[0]["params"]) == 2


def test_zero_grad():
    w = parameter()
    optimizer = optim.SGD([w])
    w.grad = flambeau.ones(1)
    kept = w.grad
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is kept and kept.item() == 0
    optimizer.zero_grad()
    assert w.grad is None


def test_step_hooks():
    log = []
    w = parameter()
    optimizer = optim.SGD([w])
    w.grad = flambeau.ones(1)
    handles = [
        optimizer_file.register_optimizer_step_pre_hook(lambda o, a, k: log.append("all before")),
        optimizer_file.register_optimizer_step_post_hook(lambda o, a, k: log.append("all after")),
    ]
    optimizer.register_step_pre_hook(lambda o, a, k: log.append(("before", o is optimizer, len(a), k)))
    optimizer.register_step_post_hook(lambda o, a, k: log.append("after"))
    optimizer.step()
    for handle in handles:
        handle.remove()
    assert log == ["all before", ("before", True, 1, {}), "after", "all after"]
    optimizer.register_step_pre_hook(lambda o, a, k: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        optimizer.step()


def test_state_dict_hooks():
    log = []
    optimizer = optim.SGD([parameter()])
    optimizer.register_state_dict_pre_hook(lambda o: log.append("pre"))
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "extra": 1})
    state = optimizer.state_dict()
    assert state["extra"] == 1 and log == ["pre"]
    optimizer.register_load_state_dict_pre_hook(lambda o, s: log.append(s.pop("extra")))
    optimizer.register_load_state_dict_post_hook(lambda o: log.append("loaded"))
    optimizer.load_state_dict(state)
    assert log == ["pre", 1, "loaded"]


def test_loading_casts_state_to_the_parameters_dtype():
    w = nn.Parameter(flambeau.ones(1, dtype=flambeau.float64))
    optimizer = optim.Adam([w])
    w.grad = flambeau.ones(1, dtype=flambeau.float64)
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0] = {k: v.float() for k, v in state["state"][0].items()}
    optimizer.load_state_dict(state)
    assert optimizer.state[w]["exp_avg"].dtype == flambeau.float64
    assert optimizer.state[w]["step"].dtype == flambeau.float32


def test_subclasses_of_ones_own():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        @flambeau.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for param in group["params"]:
                    param.add_(param.grad.sign(), alpha=-group["lr"])
                    self.state[param]["seen"] = True

    w = parameter()
    optimizer = Sign([w])
    called = []
    optimizer.register_step_post_hook(lambda *a: called.append(1))
    w.grad = flambeau.full((1,), 7.0)
    optimizer.step()
    assert w.item() == pytest.approx(0.9) and called == [1]
    assert optimizer.state_dict()["state"] == {0: {"seen": True}}


def test_a_learning_rate_that_changes_between_steps_is_used():
    w = parameter()
    optimizer = optim.Adam([w], lr=0.1)
    w.grad = flambeau.ones(1)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.0
    before = w.item()
    optimizer.step()
    assert w.item() == before
