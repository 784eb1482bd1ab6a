"""Every schedule against PyTorch: rates and momenta, state both ways, resumption, broken epochs, warnings, errors."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref

import pytest

import flambeau
from flambeau.optim import lr_scheduler


class Halving:
    """A function with state, which is saved with a schedule."""

    def __init__(self):
        self.calls = 0

    def __call__(self, epoch):
        self.calls += 1
        return 0.5**epoch


SCHEDULES = {
    "StepLR": lambda s, o, e: s.StepLR(o, 3, 0.5, last_epoch=e),
    "LambdaLR": lambda s, o, e: s.LambdaLR(o, [lambda n: 0.9**n, Halving()], last_epoch=e),
    "MultiplicativeLR": lambda s, o, e: s.MultiplicativeLR(o, lambda n: 1 / (n + 1), last_epoch=e),
    "MultiStepLR": lambda s, o, e: s.MultiStepLR(o, [2, 2, 5, 11], last_epoch=e),
    "ConstantLR": lambda s, o, e: s.ConstantLR(o, 0.2, 3, last_epoch=e),
    "LinearLR": lambda s, o, e: s.LinearLR(o, 0.1, 0.7, 6, last_epoch=e),
    "ExponentialLR": lambda s, o, e: s.ExponentialLR(o, 0.9, last_epoch=e),
    "PolynomialLR": lambda s, o, e: s.PolynomialLR(o, 9, 2.0, last_epoch=e),
    "CosineAnnealingLR": lambda s, o, e: s.CosineAnnealingLR(o, 5, 0.01, last_epoch=e),
    "CosineAnnealingWarmRestarts": lambda s, o, e: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.01, last_epoch=e),
    "restarts of one length": lambda s, o, e: s.CosineAnnealingWarmRestarts(o, 4, last_epoch=e),
    "CyclicLR": lambda s, o, e: s.CyclicLR(o, 0.01, 0.1, 3, 5, last_epoch=e),
    "CyclicLR, triangular2": lambda s, o, e: s.CyclicLR(
        o, [0.01, 0.02], [0.1, 0.3], 3, mode="triangular2", last_epoch=e),
    "CyclicLR, exp_range": lambda s, o, e: s.CyclicLR(o, 0.01, 0.1, 3, mode="exp_range", gamma=0.9, last_epoch=e),
    "CyclicLR, by function": lambda s, o, e: s.CyclicLR(
        o, 0.01, 0.1, 2, scale_fn=Halving(), scale_mode="iterations", base_momentum=[0.1, 0.2], last_epoch=e),
    "CyclicLR, without momentum": lambda s, o, e: s.CyclicLR(o, 0.01, 0.1, 3, cycle_momentum=False, last_epoch=e),
    "OneCycleLR": lambda s, o, e: s.OneCycleLR(o, 0.1, 30, last_epoch=e),
    "OneCycleLR, three phases": lambda s, o, e: s.OneCycleLR(
        o, [0.1, 0.2], epochs=3, steps_per_epoch=10, three_phase=True, anneal_strategy="linear", last_epoch=e),
    "OneCycleLR, without momentum": lambda s, o, e: s.OneCycleLR(
        o, 0.1, 30, pct_start=0.5, cycle_momentum=False, div_factor=5.0, final_div_factor=10.0, last_epoch=e),
    "SWALR": lambda s, o, e: swa(s).SWALR(o, [0.01, 0.5], 4, last_epoch=e),
    "SWALR, linear": lambda s, o, e: swa(s).SWALR(o, 0.01, 4, "linear", last_epoch=e),
    "SWALR, at once": lambda s, o, e: swa(s).SWALR(o, 0.01, 0, last_epoch=e),
}
COMPOUND = {
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, total_iters=3), s.CosineAnnealingLR(o, 7), s.StepLR(o, 2)], [3, 9]),
    "SequentialLR from the second": lambda s, o: s.SequentialLR(o, [s.ConstantLR(o), s.ExponentialLR(o, 0.9)], [0]),
    "SequentialLR inside of one": lambda s, o: s.SequentialLR(
        o, [s.SequentialLR(o, [s.ConstantLR(o, 0.5, 2), s.ExponentialLR(o, 0.9)], [2]), s.StepLR(o, 3)], [6]),
    "SequentialLR with restarts": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=4), s.CosineAnnealingWarmRestarts(o, 5)], [4]),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9)]),
    "ChainedScheduler of three": lambda s, o: s.ChainedScheduler(
        (s.LinearLR(o), s.MultiStepLR(o, [3, 8]), s.StepLR(o, 5, 0.7)), o),
}
PLATEAUS = [
    {"patience": 2}, {"patience": 0, "min_lr": [0.01, 0.2], "eps": 1e-3},
    {"mode": "max", "patience": 1, "cooldown": 2, "threshold_mode": "abs", "threshold": 0.1},
]


def swa(module):
    return __import__(module.__name__.replace("lr_scheduler", "swa_utils"), fromlist=["_"])


def made(torch, make, last_epoch=-1, kind="SGD", tensors=False):
    rates = [torch.tensor(0.1), torch.tensor(0.5)] if tensors else [0.1, 0.5]
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates]
    options = {"momentum": 0.9} if kind == "SGD" else {}
    if last_epoch >= 0:
        for group in groups:
            group.update(initial_lr=0.3, max_lr=0.6, min_lr=1e-4, max_momentum=0.95, base_momentum=0.85)
    optimizer = getattr(torch.optim, kind)(groups, **options)
    arguments = (torch.optim.lr_scheduler, optimizer)
    return optimizer, make(*arguments, last_epoch) if make in SCHEDULES.values() else make(*arguments)


def quietly(torch, make, **options):
    """As `made`; a sequence inside of a sequence warns of the first step that it takes back, in PyTorch as well."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pair = made(torch, make, **options)
    assert len(caught) == (make is COMPOUND["SequentialLR inside of one"])
    return pair


def path(optimizer, scheduler, epochs=25):
    """All that a schedule sets, epoch by epoch."""
    seen = []
    for epoch in range(epochs + 1):
        if epoch:
            optimizer.step()
            scheduler.step()
        seen.append([
            [float(group["lr"]), group.get("momentum", 0), float(group.get("betas", [0])[0])]
            for group in optimizer.param_groups
        ])
        assert [float(rate) for rate in scheduler.get_last_lr()] == [each[0] for each in seen[-1]]
    return seen


def plain(state):
    """A state dict with tensors as numbers, to compare between libraries."""
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [plain(value) for value in state]
    return state.item() if hasattr(state, "item") else state


@pytest.mark.parametrize("name", [*SCHEDULES, *COMPOUND])
def test_rates_momenta_and_state(oracle, name):
    make = {**SCHEDULES, **COMPOUND}[name]
    made = quietly
    for kind in ("SGD", "AdamW"):
        mine, theirs = made(flambeau, make, kind=kind), made(oracle, make, kind=kind)
        assert path(*mine) == path(*theirs)
        state, expected = mine[1].state_dict(), theirs[1].state_dict()
        assert plain(state) == plain(expected)
        assert list(state) == list(expected)
        assert [list(group) for group in mine[0].param_groups] == [list(group) for group in theirs[0].param_groups]
    here, there = made(flambeau, make, kind=kind), made(oracle, make, kind=kind)
    for (optimizer, scheduler), given, rates in ((here, expected, theirs), (there, state, mine)):
        scheduler.load_state_dict(copy.deepcopy(given))
        optimizer.load_state_dict({**optimizer.state_dict(), "param_groups": rates[0].state_dict()["param_groups"]})
    assert path(*here, 4) == path(*mine, 4) == path(*there, 4) == path(*theirs, 4)


@pytest.mark.parametrize("name", SCHEDULES)
def test_resumed_from_an_epoch_and_with_rates_that_are_tensors(oracle, name):
    make = SCHEDULES[name]
    assert path(*made(flambeau, make, 4), 8) == path(*made(oracle, make, 4), 8)
    if not name.startswith("OneCycle"):
        mine = made(flambeau, make, tensors=True)
        rates = [group["lr"] for group in mine[0].param_groups]
        found, expected = path(*mine, 12), path(*made(oracle, make, tensors=True), 12)
        assert all(group["lr"] is rate for group, rate in zip(mine[0].param_groups, rates, strict=True))
        for one, other in zip(found, expected, strict=True):
            for group, wanted in zip(one, other, strict=True):
                assert group == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if "Restarts" not in name and "restarts" not in name])
def test_an_epoch_that_is_given(oracle, name):
    results = []
    for torch in (flambeau, oracle):
        optimizer, scheduler = made(torch, SCHEDULES[name])
        optimizer.step()
        with pytest.warns(UserWarning, match="The epoch parameter in `scheduler.step"):
            scheduler.step(7)
        scheduler.step()
        results.append(scheduler.get_last_lr())
    assert results[0] == results[1]


def test_broken_epochs_of_restarts(oracle):
    for name in ("CosineAnnealingWarmRestarts", "restarts of one length"):
        results = []
        for torch in (flambeau, oracle):
            _, scheduler = made(torch, SCHEDULES[name])
            results.append([])
            for epoch in (0, 0.5, 1.25, 2.75, 3, 7.5, 20.25, 21.5, 1.5, None, None):
                scheduler.step(epoch)
                results[-1].append((scheduler.get_last_lr(), scheduler.last_epoch, scheduler.T_i, scheduler.T_cur))
            with pytest.raises(ValueError, match="Expected non-negative epoch, but got -1"):
                scheduler.step(-1)
        assert results[0] == results[1]


def test_plateaus(oracle):
    values = [3.0, 2.5, 2.5, 2.5, 2.4, 2.6, 2.7, 2.8, 2.2, 2.19999, 2.3, 2.3, 2.3, 2.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    for options in PLATEAUS:
        results = []
        for torch in (flambeau, oracle):
            optimizer, scheduler = made(torch, lambda s, o, options=options: s.ReduceLROnPlateau(o, **options))
            seen = []
            for value in values:
                scheduler.step(torch.tensor(value) if value > 2 else value)
                seen.append(scheduler.get_last_lr())
            results.append((seen, list(scheduler.state_dict().items())))
            again = made(torch, lambda s, o: s.ReduceLROnPlateau(o, "max"))[1]
            again.load_state_dict(scheduler.state_dict())
            assert again.mode == scheduler.mode and again.in_cooldown == scheduler.in_cooldown
            with pytest.warns(UserWarning, match="The epoch parameter"):
                scheduler.step(1.0, 3)
            assert scheduler.last_epoch == 3
            optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
            if "min_lr" in options:
                with pytest.raises(RuntimeError, match="The number of param groups in the `optimizer`"):
                    scheduler._reduce_lr(1)
            else:
                scheduler._reduce_lr(1)
        assert results[0] == results[1]


ERRORS = [
    lambda s, o: s.MultiplicativeLR(o, 3), lambda s, o: s.LambdaLR(o, [abs]), lambda s, o: s.StepLR(None, 1),
    lambda s, o: s.ReduceLROnPlateau(None), lambda s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
    lambda s, o: s.ReduceLROnPlateau(o, threshold_mode="x"), lambda s, o: s.SequentialLR(o, [], []),
    lambda s, o: s.SequentialLR(o, [3], []), lambda s, o: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
    lambda s, o: s.ChainedScheduler([]), lambda s, o: s.ChainedScheduler([s.ReduceLROnPlateau(o)]),
    lambda s, o: s.CyclicLR(None, 0, 1), lambda s, o: s.CyclicLR(o, [0.1], 1), lambda s, o: s.CyclicLR(o, 0, [1.0]),
    lambda s, o: s.CyclicLR(o, 0, 1, mode="x"), lambda s, o: s.CyclicLR(o, 0, 1, base_momentum=[0.1]),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 0), lambda s, o: s.CosineAnnealingWarmRestarts(o, 1.5),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 1, 0), lambda s, o: s.CosineAnnealingWarmRestarts(o, 1, 1, "x"),
    lambda s, o: s.OneCycleLR(None, 1), lambda s, o: s.OneCycleLR(o, 1), lambda s, o: s.OneCycleLR(o, 1, 0),
    lambda s, o: s.OneCycleLR(o, 1, epochs=2), lambda s, o: s.OneCycleLR(o, 1, epochs=0, steps_per_epoch=1),
    lambda s, o: s.OneCycleLR(o, 1, epochs=1, steps_per_epoch=1.0), lambda s, o: s.OneCycleLR(o, 1, 9, pct_start=2.0),
    lambda s, o: s.OneCycleLR(o, 1, 9, anneal_strategy="x"), lambda s, o: s.OneCycleLR(o, [1], 9),
    lambda s, o: swa(s).SWALR(o, [0.1]), lambda s, o: swa(s).SWALR(o, 0.1, anneal_strategy="x"),
    lambda s, o: swa(s).SWALR(o, 0.1, -1), lambda s, o: s.ConstantLR(o, 2.0), lambda s, o: s.LinearLR(o, 0.0),
    lambda s, o: s.LinearLR(o, 0.5, 1.5),
]


def test_errors_are_pytorchs(oracle):
    for number, call in enumerate(ERRORS):
        raised = []
        for torch in (flambeau, oracle):
            optimizer, _ = made(torch, SCHEDULES["StepLR"])
            with pytest.raises((ValueError, TypeError)) as info:
                call(torch.optim.lr_scheduler, optimizer)
            raised.append(info.value)
        assert str(raised[0]) == str(raised[1]), number
        assert isinstance(raised[0], type(raised[1])), number


def test_optimizers_that_do_not_fit(oracle):
    for torch in (flambeau, oracle):
        module = torch.optim.lr_scheduler
        plain = torch.optim.Adagrad([torch.nn.Parameter(torch.ones(1))])
        for call in (lambda o, m=module: m.CyclicLR(o, 0.1, 1), lambda o, m=module: m.OneCycleLR(o, 0.1, 3)):
            with pytest.raises(ValueError, match="must support momentum or beta1"):
                call(plain)
        optimizer, scheduler = made(torch, SCHEDULES["StepLR"])
        for make in (lambda parts, o, m=module: m.SequentialLR(o, parts, []),
                     lambda parts, o, m=module: m.ChainedScheduler(parts, o)):
            with pytest.raises(ValueError, match="expects all schedulers to belong to the same optimizer"):
                make([scheduler], plain)
        optimizer, scheduler = made(torch, lambda s, o: s.OneCycleLR(o, 0.1, 3))
        for _ in range(3):
            optimizer.step()
            scheduler.step()
        with pytest.raises(ValueError, match=r"Tried to step 4 times\. The specified number of total steps is 3"):
            scheduler.step()


def test_warnings_about_the_order_of_calls(oracle):
    for torch in (flambeau, oracle):
        optimizer, scheduler = made(torch, SCHEDULES["StepLR"])
        with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
            scheduler.step()
        scheduler.step()
        # Only steps since the first schedule was made count, and only the optimiser's own.
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])
        optimizer.step()
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        with pytest.warns(UserWarning, match="Detected call"):
            scheduler.step()
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        optimizer.step = lambda: None
        with pytest.warns(UserWarning, match=r"`optimizer.step\(\)` has been overridden"):
            scheduler.step()
        # Replaced before the schedule is made, it is the step.
        called = []
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])
        optimizer.step = type(optimizer.step)(lambda self, called=called: called.append(self), optimizer)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            optimizer.step()
            scheduler.step()
        assert called == [optimizer]


def test_a_plain_function_as_step():
    optimizer = flambeau.optim.SGD([flambeau.nn.Parameter(flambeau.ones(1))])
    optimizer.step = lambda: "made"
    scheduler = lr_scheduler.StepLR(optimizer, 1)
    assert optimizer.step() == "made"
    scheduler.step()


def test_an_optimizer_with_a_schedule_is_freed_and_copied():
    optimizer, scheduler = made(flambeau, SCHEDULES["StepLR"])
    twin = copy.deepcopy(optimizer)
    assert "step" not in vars(twin) and twin.step() is None
    seen = weakref.ref(optimizer)
    gc.disable()
    try:
        del optimizer, scheduler
        assert seen() is None
    finally:
        gc.enable()


def test_get_lr_outside_of_step_warns():
    for name, make in SCHEDULES.items():
        _, scheduler = made(flambeau, make)
        with pytest.warns(UserWarning, match="get_last_lr"):
            assert len(scheduler.get_lr()) == 2, name


def test_schedules_of_ones_own(oracle):
    results = []
    for torch in (flambeau, oracle):
        class Inverse(torch.optim.lr_scheduler.LRScheduler):
            def get_lr(self):
                return [base / (self.last_epoch + 1) for base in self.base_lrs]

        results.append(path(*made(torch, lambda s, o, kind=Inverse: kind(o)), 5))
    assert results[0] == results[1]
    with pytest.raises(NotImplementedError):
        lr_scheduler.LRScheduler(flambeau.optim.SGD([flambeau.nn.Parameter(flambeau.ones(1))]))
