"""Module hooks: what they see, what they may change, in which order they run."""

from __future__ import annotations

import warnings

import pytest

import flambeau
from flambeau import nn
from flambeau.nn.modules import module as module_file


def hooked_run(torch, nn, module_file):
    """Every kind of hook on a small network, as one log; run with either library."""
    log = []
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        net[0].bias.zero_()

    def numbers(values):
        return [None if v is None else [round(x, 5) for x in v.detach().reshape(-1).tolist()] for v in values]

    handles = [
        net[0].register_forward_pre_hook(lambda m, a: log.append(("pre 1", numbers(a)))),
        net[0].register_forward_pre_hook(lambda m, a: (a[0] * 2,), prepend=True),
        net[0].register_forward_pre_hook(lambda m, a, k: log.append(("pre k", numbers(a), dict(k))), with_kwargs=True),
        net[0].register_forward_hook(lambda m, a, o: log.append(("post 1", numbers(a), numbers([o])))),
        net[0].register_forward_hook(lambda m, a, k, o: o + 0.5, with_kwargs=True),
        net[0].register_forward_hook(lambda m, a, o: log.append(("post 0", numbers([o]))), prepend=True),
        net.register_full_backward_pre_hook(lambda m, go: log.append(("bpre", type(m).__name__, numbers(go)))),
        net.register_full_backward_pre_hook(lambda m, go: (go[0] * 3,)),
        net[0].register_full_backward_hook(lambda m, gi, go: log.append(("full", numbers(gi), numbers(go)))),
        net.register_full_backward_hook(lambda m, gi, go: log.append(("net", numbers(gi), numbers(go)))),
        net[1].register_full_backward_hook(lambda m, gi, go: (gi[0] * 2,)),
        module_file.register_module_forward_hook(lambda m, a, o: log.append(("global", type(m).__name__))),
        module_file.register_module_forward_pre_hook(lambda m, a: log.append(("gpre", type(m).__name__))),
        module_file.register_module_full_backward_hook(lambda m, gi, go: log.append(("gfull", type(m).__name__))),
    ]
    x = torch.tensor([[0.1, -0.2]], requires_grad=True)
    net(x).sum().backward()
    log.append(("x", numbers([x.grad])))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net(x.detach()).sum().backward()
    log.append(("warned", {str(w.message)[:60] for w in caught}))
    for handle in handles:
        handle.remove()
    net(x)
    log.append(("w", numbers([net[0].weight.grad])))
    return log


def test_order_and_values_are_those_of_pytorch(oracle):
    import torch.nn.modules.module as theirs

    assert hooked_run(flambeau, nn, module_file) == hooked_run(oracle, oracle.nn, theirs)


def test_hooks_go_when_their_handle_does():
    calls = []
    m = nn.Identity()
    with m.register_forward_hook(lambda *a: calls.append(1)):
        m(1)
    m(1)
    assert calls == [1]


def test_always_called_hooks_run_after_an_error():
    calls = []

    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("on purpose")

    m = Fails()
    m.register_forward_hook(lambda *a: calls.append("usual"))
    m.register_forward_hook(lambda *a: calls.append("always"), always_call=True)
    with pytest.raises(ValueError, match="on purpose"):
        m(1)
    assert calls == ["always"]


def test_an_error_in_an_always_called_hook_does_not_hide_the_first():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("the first")

    def hook(*args):
        raise RuntimeError("the second")

    m = Fails()
    m.register_forward_hook(hook, always_call=True)
    with pytest.warns(UserWarning, match="the second"), pytest.raises(ValueError, match="the first"):
        m(1)


def test_keyword_arguments_may_be_replaced():
    class Adds(nn.Module):
        def forward(self, x, y=0):
            return x + y

    m = Adds()
    m.register_forward_pre_hook(lambda m, a, k: (a, {"y": k["y"] + 1}), with_kwargs=True)
    assert m(1, y=1) == 3
    m.register_forward_pre_hook(lambda m, a, k: 5, with_kwargs=True)
    with pytest.raises(RuntimeError, match="forward pre-hook must return None or a tuple"):
        m(1, y=1)


def test_old_and_full_backward_hooks_exclude_each_other():
    m = nn.Linear(1, 1)
    m.register_full_backward_hook(lambda *a: None)
    with pytest.raises(RuntimeError, match="Cannot use both"):
        m.register_backward_hook(lambda *a: None)


def test_a_backward_hook_must_return_as_many_gradients():
    m = nn.Linear(1, 1)
    m.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    out = m(flambeau.ones(1, 1, requires_grad=True))
    with pytest.raises(RuntimeError, match="got 2, but expected 1"):
        out.sum().backward()


def test_outputs_that_are_no_tensors_warn():
    class Gives(nn.Module):
        def forward(self, x):
            return {"x": x}

    m = Gives()
    m.register_full_backward_hook(lambda *a: None)
    with pytest.warns(UserWarning, match="Tensor or a tuple of Tensors"):
        m(flambeau.ones(1))


def test_hooks_survive_pickling_of_the_flag():
    import copy

    m = nn.Identity()
    calls = []
    m.register_forward_hook(lambda *a: calls.append(1))
    copy.copy(m)(1)
    assert calls == [1]


def test_registration_hooks():
    def halve(module, name, parameter):
        return nn.Parameter(parameter.detach() / 2) if name == "scale" else None

    with module_file.register_module_parameter_registration_hook(halve):
        m = nn.Module()
        m.scale = nn.Parameter(flambeau.ones(1))
    assert m.scale.item() == 0.5


def test_calls_are_quick_again_once_the_last_global_hook_is_gone():
    first = module_file.register_module_forward_hook(lambda *a: None)
    second = module_file.register_module_forward_pre_hook(lambda *a: None)
    first.remove()
    assert nn.Module._has_hooks
    second.remove()
    assert not nn.Module._has_hooks and not nn.Identity()._has_hooks
