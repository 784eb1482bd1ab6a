"""Learning-rate schedules against PyTorch, epoch by epoch."""

from __future__ import annotations

import copy
import inspect
import random

import pytest

import flambeau
from flambeau.optim import lr_scheduler

CASES = [
    ("StepLR", (3,)),
    ("LambdaLR", (lambda epoch: 0.9**epoch,)),
    ("MultiplicativeLR", (lambda epoch: 0.9,)),
    ("MultiStepLR", ([2, 2, 5],)),
    ("ConstantLR", ()),
    ("LinearLR", ()),
    ("ExponentialLR", (0.9,)),
    ("CosineAnnealingLR", (5,)),
    ("CosineAnnealingLR", (5, 0.01)),
    ("PolynomialLR", ()),
    ("SequentialLR", ()),
]


def make(torch, name, args, lr=0.1):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=lr)
    module = torch.optim.lr_scheduler
    if name != "SequentialLR":
        return optimizer, getattr(module, name)(optimizer, *args)
    parts = [
        module.LinearLR(optimizer, total_iters=3),
        module.CosineAnnealingLR(optimizer, 7),
        module.StepLR(optimizer, 2),
    ]
    return optimizer, module.SequentialLR(optimizer, parts, [3, 9])


def rates(optimizer, scheduler, epochs=14):
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(epochs):
        optimizer.step()
        scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
        assert scheduler.get_last_lr() == [seen[-1]]
    return seen


@pytest.mark.parametrize("name, args", CASES)
def test_rates_are_pytorchs(oracle, name, args):
    mine, theirs = make(flambeau, name, args), make(oracle, name, args)
    assert rates(*mine) == rates(*theirs)
    state = mine[1].state_dict()
    assert set(state) == set(theirs[1].state_dict())
    fresh = make(flambeau, name, args)
    fresh[1].load_state_dict(copy.deepcopy(state))
    fresh[0].load_state_dict(mine[0].state_dict())
    assert rates(*fresh, 4)[1:] == rates(*mine, 4)[1:]


@pytest.mark.parametrize("name", lr_scheduler.__all__)
def test_signature(oracle, name):
    ours, theirs = getattr(lr_scheduler, name), getattr(oracle.optim.lr_scheduler, name)
    assert [(n, p.default) for n, p in inspect.signature(ours).parameters.items()] == [
        (n, p.default) for n, p in inspect.signature(theirs).parameters.items()
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"mode": "max", "patience": 1, "cooldown": 2, "threshold_mode": "abs", "threshold": 0.1},
        {"patience": 0, "min_lr": 0.01},
    ],
)
def test_plateau(oracle, options):
    draw = random.Random(0)
    values = [draw.random() for _ in range(60)]
    results = []
    for torch in (flambeau, oracle):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        seen = []
        for value in values:
            scheduler.step(value)
            seen.append(optimizer.param_groups[0]["lr"])
        results.append((seen, scheduler.state_dict()))
    assert results[0] == results[1]


def test_a_rate_held_as_a_tensor_stays_that_tensor():
    rate = flambeau.tensor(0.1)
    optimizer, scheduler = make(flambeau, "ExponentialLR", (0.5,), lr=rate)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is rate and rate.item() == pytest.approx(0.05)


def test_stepping_first_warns():
    _, scheduler = make(flambeau, "StepLR", (2,))
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()


def test_get_lr_outside_of_step_warns():
    _, scheduler = make(flambeau, "StepLR", (2,))
    with pytest.warns(UserWarning, match="get_last_lr"):
        scheduler.get_lr()


@pytest.mark.parametrize(
    "call, kind, text",
    [
        (lambda o, m: m.StepLR(3, 1), TypeError, "int is not an Optimizer"),
        (lambda o, m: m.StepLR(o, 1, last_epoch=3), KeyError, "initial_lr"),
        (lambda o, m: m.LambdaLR(o, [abs, abs]), ValueError, "Expected 1 lr_lambdas, but got 2"),
        (lambda o, m: m.LinearLR(o, 2.0), ValueError, "Starting multiplicative factor"),
        (lambda o, m: m.ConstantLR(o, 2.0), ValueError, "between 0 and 1"),
        (lambda o, m: m.ReduceLROnPlateau(o, factor=1.0), ValueError, "Factor should be < 1.0"),
        (lambda o, m: m.ReduceLROnPlateau(o, mode="up"), ValueError, "mode up is unknown"),
        (lambda o, m: m.SequentialLR(o, [], []), ValueError, "at least one scheduler"),
        (lambda o, m: m.SequentialLR(o, [m.StepLR(o, 1)], [1]), ValueError, "one more than the number"),
    ],
)
def test_errors(call, kind, text):
    optimizer = flambeau.optim.SGD([flambeau.nn.Parameter(flambeau.ones(1))])
    with pytest.raises(kind, match=text):
        call(optimizer, lr_scheduler)


def test_the_old_name_of_the_base_class():
    from flambeau.optim import lr_scheduler

    class Halve(lr_scheduler._LRScheduler):
        def get_lr(self):
            return [rate * 0.5 ** self.last_epoch for rate in self.base_lrs]

    optimizer = flambeau.optim.SGD([flambeau.ones(1, requires_grad=True)], lr=1.0)
    schedule = Halve(optimizer)
    optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.5]
    assert isinstance(lr_scheduler.StepLR(optimizer, 1), lr_scheduler._LRScheduler)
