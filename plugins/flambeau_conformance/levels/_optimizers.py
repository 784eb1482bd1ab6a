"""Every optimizer and every schedule, step by step, against the formulas written out with NumPy in float64.

Part of the level "training". The optimizers and schedules are those that the package has; one without a row fails.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import flambeau
from flambeau import nn, optim
from flambeau_conformance.case import Case
from flambeau_conformance.levels._nn_tools import lacks_row, rounded
from flambeau_conformance.levels._optimizer_rows import FORMULAS, PROGRAMS, program
from flambeau_conformance.levels._values import Array, host, put, same

LEVEL = "training"
Options = dict[str, Any]
State = dict[str, Array]


# ---------------------------------------------------------------------------------------------- the formulas
def _decayed(o: Options, p: Array, g: Array) -> Array:
    g = -g if o.get("maximize") else g
    return g + o.get("weight_decay", 0.0) * p


def _sgd(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    g = _decayed(o, p, g)
    momentum = o.get("momentum", 0.0)
    if momentum:
        s["momentum_buffer"] = g if t == 1 else momentum * s["momentum_buffer"] + (1 - o.get("dampening", 0.0)) * g
        g = g + momentum * s["momentum_buffer"] if o.get("nesterov") else s["momentum_buffer"]
    return p - lr * g


def _adam(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    beta1, beta2 = o.get("betas", (0.9, 0.999))
    if o.get("decoupled_weight_decay"):
        g = -g if o.get("maximize") else g
        p = p * (1 - lr * o.get("weight_decay", 0.0))
    else:
        g = _decayed(o, p, g)
    s["exp_avg"] = beta1 * s.get("exp_avg", 0.0) + (1 - beta1) * g
    s["exp_avg_sq"] = beta2 * s.get("exp_avg_sq", 0.0) + (1 - beta2) * g * g
    second = s["exp_avg_sq"]
    if o.get("amsgrad"):
        second = s["max_exp_avg_sq"] = np.maximum(s.get("max_exp_avg_sq", 0.0), second)
    denominator = np.sqrt(second) / math.sqrt(1 - beta2 ** t) + o.get("eps", 1e-8)
    return p - lr / (1 - beta1 ** t) * s["exp_avg"] / denominator


def _adamw(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    return _adam({"weight_decay": 1e-2, **o, "decoupled_weight_decay": True}, lr, p, g, s, t)


def _rmsprop(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    g, alpha = _decayed(o, p, g), o.get("alpha", 0.99)
    s["square_avg"] = alpha * s.get("square_avg", 0.0) + (1 - alpha) * g * g
    mean = s["square_avg"]
    if o.get("centered"):
        s["grad_avg"] = alpha * s.get("grad_avg", 0.0) + (1 - alpha) * g
        mean = mean - s["grad_avg"] ** 2
    step = g / (np.sqrt(mean) + o.get("eps", 1e-8))
    if o.get("momentum"):
        step = s["momentum_buffer"] = o["momentum"] * s.get("momentum_buffer", 0.0) + step
    return p - lr * step


def _adagrad(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    g = _decayed(o, p, g)
    s["sum"] = s.get("sum", o.get("initial_accumulator_value", 0.0)) + g * g
    return p - lr / (1 + (t - 1) * o.get("lr_decay", 0.0)) * g / (np.sqrt(s["sum"]) + o.get("eps", 1e-10))


Formula = Callable[[Options, float, Array, Array, State, int], Array]
OPTIMIZERS: dict[str, tuple[Formula, list[Options]]] = {
    "SGD": (_sgd, [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
                   {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05}, {"maximize": True, "weight_decay": 0.1},
                   {"momentum": 0.9, "maximize": True}, {"momentum": 0.9, "foreach": False}]),
    "Adam": (_adam, [{}, {"amsgrad": True}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "maximize": True},
                     {"betas": (0.5, 0.6), "eps": 1e-3}, {"decoupled_weight_decay": True, "weight_decay": 0.1},
                     {"amsgrad": True, "weight_decay": 0.2, "betas": (0.8, 0.5)}, {"foreach": False, "eps": 0.1}]),
    "AdamW": (_adamw, [{}, {"amsgrad": True, "weight_decay": 0.3}, {"maximize": True, "betas": (0.7, 0.9)},
                       {"weight_decay": 0.0}, {"weight_decay": 0.5, "eps": 0.05}]),
    "RMSprop": (_rmsprop, [{}, {"momentum": 0.9}, {"centered": True, "alpha": 0.8}, {"weight_decay": 0.1, "eps": 1e-2},
                           {"momentum": 0.5, "centered": True, "weight_decay": 0.1}, {"maximize": True}]),
    "Adagrad": (_adagrad, [{}, {"lr_decay": 0.1, "weight_decay": 0.1}, {"initial_accumulator_value": 0.5},
                           {"maximize": True, "eps": 0.1}]),
}


def all_optimizers() -> list[str]:
    """The optimizers that the package has."""
    return sorted(name for name in dir(optim) if isinstance(getattr(optim, name), type)
                  and issubclass(getattr(optim, name), optim.Optimizer) and getattr(optim, name) is not optim.Optimizer)


def formulas() -> dict[str, tuple[Formula, list[Options]]]:
    """All optimizers that a formula describes, with the options to try."""
    return {**OPTIMIZERS, **FORMULAS}


# ---------------------------------------------------------------------------------------------- steps
_SHAPES = ((3, 4), (5,), (), (2, 2, 3), (1,))


def _close(ctx: Any, actual: Any, expected: Array, dtype: Any, what: str) -> None:
    assert actual.dtype is dtype and actual.device == ctx.device, f"{what}: {actual.dtype} on {actual.device}"
    ctx.compare_values(actual, np.asarray(expected), "training", what)


def _steps(name: str, options: Options, dtype: Any, strided: bool) -> Callable[[Any], None]:
    """Six steps on two groups of given gradients; one parameter has none in every third step, one never."""
    formula, _ = formulas()[name]

    def run(ctx: Any) -> None:
        values = [rounded(ctx.rng.normal(size=shape), dtype) for shape in _SHAPES]
        parameters = [nn.Parameter(put(ctx, each, dtype, "strided" if strided else "contiguous")) for each in values]
        idle = nn.Parameter(put(ctx, np.ones(3), dtype))
        rates = [0.05, 0.05, 0.05, 0.2, 0.2]
        optimizer = getattr(optim, name)([{"params": [*parameters[:3], idle]}, {"params": parameters[3:], "lr": 0.2}],
                                         lr=0.05, **options)
        memory = [each.data_ptr() if ctx.backend.capabilities.host else None for each in parameters]
        states: list[State] = [{} for _ in values]
        counts = [0] * len(values)
        for step in range(6):
            for number, parameter in enumerate(parameters):
                gradient = rounded(ctx.rng.normal(size=_SHAPES[number]) * (1 + step), dtype)
                if number == 1 and step % 3 == 1:
                    parameter.grad = None
                    continue
                parameter.grad = put(ctx, gradient, dtype, "strided" if strided and step % 2 == 0 else "contiguous")
                counts[number] += 1
                values[number] = formula(options, rates[number], values[number], gradient, states[number],
                                         counts[number])
            before = [each._version for each in parameters]
            kept = [host(each.grad) if each.grad is not None else None for each in parameters]
            optimizer.step()
            for number, parameter in enumerate(parameters):
                what = f"{name} {options}: parameter {number} after step {step + 1}"
                _close(ctx, parameter.detach(), values[number], dtype, what)
                assert parameter.grad is None or parameter._version > before[number], f"{what}: not counted as a change"
                given = kept[number]
                if given is not None:
                    same(parameter.grad, given, f"{what}: its gradient")
        assert memory == [each.data_ptr() if ctx.backend.capabilities.host else None for each in parameters], \
            f"{name}: the parameters moved"
        same(idle, np.ones(3), "a parameter without a gradient")
        _check_state(ctx, optimizer, parameters, states, counts, dtype, f"{name} {options}")
    return run


def _check_state(ctx: Any, optimizer: Any, parameters: list[Any], states: list[State], counts: list[int], dtype: Any,
                 what: str) -> None:
    for number, (parameter, state) in enumerate(zip(parameters, states, strict=True)):
        found = optimizer.state[parameter]
        for key, expected in state.items():
            if key.startswith("_"):
                continue
            assert key in found, f"{what}: no {key} in the state, which has {sorted(found)}"
            if isinstance(found[key], flambeau.Tensor):
                _close(ctx, found[key], expected, dtype, f"{what}: {key} of parameter {number}")
        if "step" in found:
            assert float(found["step"]) == counts[number], f"{what}: {float(found['step'])} steps of {counts[number]}"


def _restored(name: str, dtype: Any) -> Callable[[Any], None]:
    """An optimizer made anew from a state goes on as the first one does; a copied one leaves the first alone."""
    _, several = formulas()[name]

    def run(ctx: Any) -> None:
        for options in several[:3]:
            start = [rounded(ctx.rng.normal(size=shape), dtype) for shape in ((3, 2), (4,))]
            grads = [[rounded(ctx.rng.normal(size=each.shape), dtype) for each in start] for _ in range(5)]
            parameters = [nn.Parameter(put(ctx, each, dtype)) for each in start]
            optimizer = getattr(optim, name)(parameters, lr=0.1, **options)
            for step in range(3):
                _step(ctx, optimizer, parameters, grads[step], dtype)
            state = copy.deepcopy(optimizer.state_dict())
            middle = [host(each) for each in parameters]
            for step in (3, 4):
                _step(ctx, optimizer, parameters, grads[step], dtype)
            others = [nn.Parameter(put(ctx, each, dtype)) for each in middle]
            second = getattr(optim, name)(others, lr=0.7)
            second.load_state_dict(state)
            for step in (3, 4):
                _step(ctx, second, others, grads[step], dtype)
            for one, other in zip(parameters, others, strict=True):
                if name == "NAdam":  # loading makes one of its counters as precise as the parameter is
                    assert np.allclose(host(other), host(one), rtol=1e-6), f"{name} {options} restored from a state"
                else:
                    same(other, host(one), f"{name} {options} restored from a state")
            optimizer.zero_grad()
            assert all(each.grad is None for each in parameters), "zero_grad left gradients"
    return run


def _step(ctx: Any, optimizer: Any, parameters: list[Any], grads: list[Array], dtype: Any) -> None:
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = put(ctx, grad, dtype)
    optimizer.step()


# ---------------------------------------------------------------------------------------------- schedules
def _plateau(epoch: int) -> float:
    """Rates for values that stop improving in epoch 3, with a patience of 2: halved in epochs 7 and 10."""
    return 0.5 ** max(0, (epoch - 4) // 3)


Rates = Callable[[int], float]
SCHEDULES: dict[str, tuple[Callable[[Any, Any], Any], Rates]] = {
    "LambdaLR": (lambda s, o: s.LambdaLR(o, lambda epoch: 0.9 ** epoch), lambda e: 0.9 ** e),
    "MultiplicativeLR": (lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.8), lambda e: 0.8 ** e),
    "StepLR": (lambda s, o: s.StepLR(o, 3, 0.5), lambda e: 0.5 ** (e // 3)),
    "MultiStepLR": (lambda s, o: s.MultiStepLR(o, [2, 5], 0.1), lambda e: 0.1 ** ((e >= 2) + (e >= 5))),
    "ConstantLR": (lambda s, o: s.ConstantLR(o, 0.25, 4), lambda e: 0.25 if e < 4 else 1.0),
    "LinearLR": (lambda s, o: s.LinearLR(o, 0.2, 0.8, 5), lambda e: 0.2 + 0.6 * min(e, 5) / 5),
    "ExponentialLR": (lambda s, o: s.ExponentialLR(o, 0.85), lambda e: 0.85 ** e),
    "PolynomialLR": (lambda s, o: s.PolynomialLR(o, 6, 2.0), lambda e: (1 - min(e, 6) / 6) ** 2),
    "CosineAnnealingLR": (lambda s, o: s.CosineAnnealingLR(o, 5), lambda e: (1 + math.cos(math.pi * e / 5)) / 2),
    "SequentialLR": (lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.5, 10), s.ExponentialLR(o, 0.9)], [4]),
                     lambda e: 0.5 if e < 4 else 0.9 ** (e - 4)),
    "ChainedScheduler": (lambda s, o: s.ChainedScheduler([s.ExponentialLR(o, 0.9), s.StepLR(o, 4, 0.5)]),
                         lambda e: 0.9 ** e * 0.5 ** (e // 4)),
    "CyclicLR": (lambda s, o: s.CyclicLR(o, [0.1, 0.5], [0.3, 1.5], step_size_up=3, cycle_momentum=False),
                 lambda e: 1 + 2 * (1 - abs(e % 6 / 3 - 1))),
    "CosineAnnealingWarmRestarts": (lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
                                    lambda e: (1 + math.cos(math.pi * (e % 4) / 4)) / 2),
    "OneCycleLR": (lambda s, o: s.OneCycleLR(o, [0.4, 2.0], total_steps=20, pct_start=0.25, div_factor=4.0,
                                             anneal_strategy="linear", final_div_factor=1e9, cycle_momentum=False),
                   lambda e: 1 + 0.75 * e if e <= 4 else 4 * (1 - (e - 4) / 15)),
    "ReduceLROnPlateau": (lambda s, o: s.ReduceLROnPlateau(o, factor=0.5, patience=2), _plateau),
}


def all_schedules() -> list[str]:
    """The schedules that the package has."""
    module = optim.lr_scheduler
    return sorted(name for name in dir(module) if isinstance(getattr(module, name), type)
                  and issubclass(getattr(module, name), module.LRScheduler) and name != "LRScheduler"
                  and not name.startswith("_"))


def _schedule(name: str) -> Callable[[Any], None]:
    """Rates of two groups over twelve epochs, and what plain descent makes of them."""
    make, rates = SCHEDULES[name]

    def run(ctx: Any) -> None:
        first, second = (nn.Parameter(put(ctx, np.zeros(2, np.float32))) for _ in range(2))
        optimizer = optim.SGD([{"params": [first]}, {"params": [second], "lr": 0.5}], lr=0.1)
        schedule = make(optim.lr_scheduler, optimizer)
        travelled = 0.0
        for epoch in range(12):
            found = [group["lr"] for group in optimizer.param_groups]
            expected = [0.1 * rates(epoch), 0.5 * rates(epoch)]
            assert np.allclose(found, expected, rtol=1e-9, atol=1e-12), f"{name}: rates {found} in epoch {epoch}, " \
                f"expected {expected}"
            first.grad = put(ctx, np.array([1.0, -1.0], np.float32))
            optimizer.step()
            travelled += expected[0]
            if name == "ReduceLROnPlateau":
                schedule.step(max(10.0 - epoch, 7.0))
            else:
                schedule.step()
            if epoch == 6 and name not in ("SequentialLR", "ChainedScheduler"):
                again = make(optim.lr_scheduler, optim.SGD([{"params": [first]}, {"params": [second]}], lr=0.1))
                again.load_state_dict(schedule.state_dict())
                assert again.last_epoch == schedule.last_epoch, f"{name}: restored at another epoch"
        ctx.compare_values(first.detach(), np.array([-travelled, travelled]), "training", f"the way under {name}")
    return run


def cases(subject: Any) -> Iterator[Case]:
    """The cases on optimizers and schedules."""
    floats = [each for each in (flambeau.float32, flambeau.float64) if each in subject.dtypes]
    for name in all_optimizers():
        if name in PROGRAMS:
            yield from (Case(LEVEL, name, dtype.name, program(name, dtype), dtype, quick=True) for dtype in floats)
            continue
        if name not in formulas():
            yield Case(LEVEL, name, "row", lacks_row(f"optim.{name}", "_optimizers.OPTIMIZERS"), quick=True)
            continue
        for dtype in floats:
            for number, options in enumerate(formulas()[name][1]):
                for strided in (False, True):
                    yield Case(LEVEL, name, f"{dtype.name}-{number}{'-strided' if strided else ''}",
                               _steps(name, options, dtype, strided), dtype, quick=number == 1 and not strided)
            yield Case(LEVEL, name, f"{dtype.name}-restored", _restored(name, dtype), dtype)
    for name in all_schedules():
        run = (_schedule(name) if name in SCHEDULES
               else lacks_row(f"lr_scheduler.{name}", "_optimizers.SCHEDULES"))
        yield Case(LEVEL, name, "rates", run, quick=True)
