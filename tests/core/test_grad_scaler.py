"""`GradScaler`: scale, skipped steps and parameters take the course that PyTorch's take; misuse raises the same."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

BOTH = (flambeau, torch)


def course(lib, planted, device="cpu", **options):
    """Train two parameters with a scaler, with inf or nan planted into gradients: what there is after each step."""
    weights = [lib.tensor([1.5, -2.0], device=device, requires_grad=True),
               lib.tensor([[0.5]], device=device, requires_grad=True)]
    optimizers = [lib.optim.SGD([weights[0]], lr=0.25, momentum=0.5), lib.optim.SGD([weights[1]], lr=0.5)]
    scaler = lib.amp.GradScaler(device, **options)
    seen = []
    for step, (first, second, early) in enumerate(planted):
        for each in optimizers:
            each.zero_grad()
        loss = (weights[0] ** 2).sum() + weights[1].sum() * 0.125
        scaler.scale(loss).backward()
        for weight, what in zip(weights, (first, second), strict=True):
            if what is not None:
                weight.grad.view(-1)[0] = what
        if early:
            scaler.unscale_(optimizers[0])
        results = [scaler.step(each) for each in optimizers]
        scaler.update(None if step != 4 else 32.0)
        seen.append((scaler.get_scale(), scaler._get_growth_tracker(), results, scaler.state_dict(),
                     [each.detach().cpu().tolist() for each in weights]))
    return seen


PLANTED = st.lists(st.tuples(*[st.sampled_from([None, None, None, float("inf"), float("nan")])] * 2, st.booleans()),
                   min_size=1, max_size=9)


@settings(max_examples=30, deadline=None)
@given(PLANTED, st.sampled_from([2.0, 1.5, 3.3]), st.sampled_from([0.5, 0.7]), st.integers(1, 3))
def test_the_course_is_pytorchs(planted, growth, backoff, interval):
    options = {"init_scale": 1024.0, "growth_factor": growth, "backoff_factor": backoff, "growth_interval": interval}
    assert course(flambeau, planted, **options) == course(torch, planted, **options)


@pytest.mark.parametrize("device", ["reference", "reference_single"])
def test_other_devices_take_it_too(device):
    planted = [(None, None, True), (float("inf"), None, False), (None, float("nan"), True), (None, None, False)]
    assert course(flambeau, planted, device) == course(torch, planted)


def test_a_scale_does_not_grow_out_of_its_range():
    for lib in BOTH:
        weight = lib.zeros(1, requires_grad=True)
        optimizer = lib.optim.SGD([weight], lr=0.0)
        scaler = lib.amp.GradScaler("cpu", init_scale=2.0 ** 127, growth_interval=1)
        scaler.scale(weight.sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == 2.0 ** 127


def test_losses_of_every_form_are_scaled():
    for lib in BOTH:
        scaler = lib.amp.GradScaler("cpu", init_scale=4.0)
        one, two = lib.tensor(1.0), lib.tensor(2.0, dtype=lib.float64)
        assert scaler.scale(one).item() == 4
        nested = scaler.scale([one, (two, [one])])
        assert isinstance(nested[1], tuple)
        assert (nested[0].item(), nested[1][0].item(), nested[1][1][0].item()) == (4, 8, 4)
        assert nested[1][0].dtype is lib.float64
        assert [each.item() for each in scaler.scale(each for each in (one, two))] == [4, 8]
        with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
            scaler.scale(3)


def _begun(lib):
    weight = lib.ones(2, requires_grad=True)
    optimizer = lib.optim.SGD([weight], lr=0.5)
    scaler = lib.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(weight.sum()).backward()
    return weight, optimizer, scaler


def _half(lib):
    weight = lib.ones(2, dtype=lib.float16, requires_grad=True)
    weight.grad = lib.ones(2, dtype=lib.float16)
    _, _, scaler = _begun(lib)
    scaler.unscale_(lib.optim.SGD([weight], lr=0.5))


def _twice(lib, first, second):
    _, optimizer, scaler = _begun(lib)
    getattr(scaler, first)(optimizer)
    getattr(scaler, second)(optimizer)


MISUSE = {
    "unscaled twice": lambda lib: _twice(lib, "unscale_", "unscale_"),
    "unscaled after the step": lambda lib: _twice(lib, "step", "unscale_"),
    "two steps": lambda lib: _twice(lib, "step", "step"),
    "a closure": lambda lib: _begun(lib)[2].step(_begun(lib)[1], closure=lambda: None),
    "float16 gradients": _half,
    "no loss before unscale_": lambda lib: lib.amp.GradScaler("cpu").unscale_(_begun(lib)[1]),
    "no loss before step": lambda lib: lib.amp.GradScaler("cpu").step(_begun(lib)[1]),
    "no loss before update": lambda lib: lib.amp.GradScaler("cpu").update(),
    "nothing to look at": lambda lib: _begun(lib)[2].step(lib.optim.SGD([lib.ones(1, requires_grad=True)], lr=1.0)),
    "an update without a step": lambda lib: _begun(lib)[2].update(),
    "two numbers as a scale": lambda lib: _begun(lib)[2].update(lib.ones(2)),
    "a growth factor of one": lambda lib: lib.amp.GradScaler("cpu", growth_factor=1.0),
    "a backoff factor of one": lambda lib: lib.amp.GradScaler("cpu", backoff_factor=1.0),
    "an empty state": lambda lib: lib.amp.GradScaler("cpu").load_state_dict({}),
}
SAYS = {"unscaled twice": "unscale_() has already been called on this optimizer since the last update().",
        "unscaled after the step": "unscale_() is being called after step().",
        "two steps": "step() has already been called since the last update().",
        "float16 gradients": "Attempting to unscale FP16 gradients."}


@pytest.mark.parametrize("what", MISUSE)
def test_misuse(what):
    raised = []
    for lib in BOTH:
        with pytest.raises((RuntimeError, ValueError, AssertionError)) as caught:
            MISUSE[what](lib)
        assert SAYS.get(what, "") in str(caught.value)
        raised.append(next(each for each in (AssertionError, ValueError, RuntimeError)
                           if isinstance(caught.value, each)))
    assert raised[0] is raised[1]


def test_gradients_are_unscaled_before_they_are_clipped():
    for lib in BOTH:
        weight, optimizer, scaler = _begun(lib)
        scaler.unscale_(optimizer)
        assert weight.grad.tolist() == [1.0, 1.0]
        lib.nn.utils.clip_grad_norm_([weight], 0.5)
        scaler.step(optimizer)
        scaler.update()
        np.testing.assert_allclose(weight.detach().numpy(), 1 - 0.25 / np.sqrt(2), rtol=1e-5)


def test_state_goes_to_another_scaler():
    for lib in BOTH:
        _, optimizer, scaler = _begun(lib)
        scaler.step(optimizer)
        scaler.update()
        other = lib.amp.GradScaler("cpu")
        other.load_state_dict(scaler.state_dict())
        assert other.state_dict() == scaler.state_dict() == {
            "scale": 8.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 1}
        other.scale(lib.ones(1))
        other.load_state_dict({**scaler.state_dict(), "scale": 2.0, "_growth_tracker": 7})
        assert (other.get_scale(), other._get_growth_tracker()) == (2.0, 7)
        again = pickle.loads(pickle.dumps(other))
        assert again.state_dict() == other.state_dict()
        assert copy.copy(again).is_enabled()
        for name, value in (("growth_factor", 3.0), ("backoff_factor", 0.25), ("growth_interval", 5)):
            getattr(again, "set_" + name)(value)
            assert getattr(again, "get_" + name)() == value


def test_a_scaler_in_use_is_not_pickled():
    for lib in BOTH:
        _, optimizer, scaler = _begun(lib)
        scaler.unscale_(optimizer)
        with pytest.raises(AssertionError, match="may only be pickled at the beginning"):
            pickle.dumps(scaler)


def test_a_new_scale_may_be_a_tensor():
    for lib in BOTH:
        _, optimizer, scaler = _begun(lib)
        scaler.step(optimizer)
        scaler.update(lib.tensor(3.0))
        assert scaler.get_scale() == 3


def test_switched_off_it_does_nothing():
    for lib in BOTH:
        scaler = lib.amp.GradScaler("cpu", enabled=False)
        weight = lib.ones(1, requires_grad=True)
        optimizer = lib.optim.SGD([weight], lr=1.0)
        loss = scaler.scale(weight.sum())
        loss.backward()
        scaler.unscale_(optimizer)
        assert scaler.step(optimizer, closure=lambda: 5.0) == 5.0
        scaler.update()
        scaler.load_state_dict({})
        assert (weight.item(), scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (0, 1.0, {}, False)


def _scaling_itself(lib):
    """An optimizer that is told the scale and what was found, and has no step of its own."""
    class Itself(lib.optim.SGD):
        _step_supports_amp_scaling = True

        def step(self, closure=None):
            self.told = (self.grad_scale.item(), self.found_inf.item())
            return "done"
    return Itself


def test_an_optimizer_may_unscale_itself():
    for lib in BOTH:
        weight, _, scaler = _begun(lib)
        optimizer = _scaling_itself(lib)([weight], lr=1.0)
        weight.grad[0] = float("inf")
        assert scaler.step(optimizer) == "done"
        assert optimizer.told == (8.0, 1.0)
        assert not hasattr(optimizer, "found_inf")
        scaler.update()
        assert scaler.get_scale() == 4
