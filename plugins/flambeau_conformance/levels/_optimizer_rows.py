"""The rows of the optimizers beyond the common ones: formulas in NumPy, and programs for those that no formula of one
parameter describes.

A formula keeps under names of its own (with an underscore) what a library keeps as counters. Counters are in single
precision, in PyTorch as well, so the formulas round them so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau import nn, optim
from flambeau_conformance.levels._values import Array, put

Options = dict[str, Any]
State = dict[str, Any]
Formula = Callable[[Options, float, Array, Array, State, int], Array]


def _uphill(o: Options, p: Array, g: Array, default: float = 0.0) -> Array:
    return (-g if o.get("maximize") else g) + o.get("weight_decay", default) * p


def _single(value: float) -> float:
    return float(np.float32(value))


def _averages(o: Options, g: Array, s: State) -> tuple[float, float]:
    beta1, beta2 = o.get("betas", (0.9, 0.999))
    s["exp_avg"] = beta1 * s.get("exp_avg", 0.0) + (1 - beta1) * g
    s["exp_avg_sq"] = beta2 * s.get("exp_avg_sq", 0.0) + (1 - beta2) * g * g
    return beta1, beta2


def _decayed(o: Options, lr: float, p: Array, g: Array) -> tuple[Array, Array]:
    if not o.get("decoupled_weight_decay"):
        return p, _uphill(o, p, g)
    return p * (1 - lr * o.get("weight_decay", 0.0)), -g if o.get("maximize") else g


def _adadelta(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    g, rho, eps = _uphill(o, p, g), o.get("rho", 0.9), o.get("eps", 1e-6)
    s["square_avg"] = rho * s.get("square_avg", 0.0) + (1 - rho) * g * g
    delta = np.sqrt(s.get("acc_delta", 0.0) + eps) / np.sqrt(s["square_avg"] + eps) * g
    s["acc_delta"] = rho * s.get("acc_delta", 0.0) + (1 - rho) * delta * delta
    return p - lr * delta


def _adamax(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    g = _uphill(o, p, g)
    beta1, beta2 = o.get("betas", (0.9, 0.999))
    s["exp_avg"] = beta1 * s.get("exp_avg", 0.0) + (1 - beta1) * g
    s["exp_inf"] = np.maximum(beta2 * s.get("exp_inf", 0.0), np.abs(g) + o.get("eps", 1e-8))
    return p - lr / (1 - beta1 ** t) * s["exp_avg"] / s["exp_inf"]


def _nadam(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    p, g = _decayed(o, lr, p, g)
    beta1, beta2 = _averages(o, g, s)
    decay = o.get("momentum_decay", 4e-3)
    now, ahead = (beta1 * (1 - 0.5 * 0.96 ** (each * decay)) for each in (t, t + 1))
    s["_product"] = float(np.float32(s.get("_product", 1.0)) * np.float32(now))
    below = np.sqrt(s["exp_avg_sq"] / (1 - beta2 ** t)) + o.get("eps", 1e-8)
    return p - lr * ((1 - now) / (1 - s["_product"]) * g + ahead / (1 - s["_product"] * ahead) * s["exp_avg"]) / below


def _radam(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    p, g = _decayed(o, lr, p, g)
    beta1, beta2 = _averages(o, g, s)
    direction = s["exp_avg"] / (1 - beta1 ** t)
    most = 2 / (1 - beta2) - 1
    length = most - 2 * t * beta2 ** t / (1 - beta2 ** t)
    if length <= 5:
        return p - lr * direction
    share = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
    return p - lr * direction * math.sqrt(share * (1 - beta2 ** t)) / (np.sqrt(s["exp_avg_sq"]) + o.get("eps", 1e-8))


def _rprop(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    g = -g if o.get("maximize") else g
    less, more = o.get("etas", (0.5, 1.2))
    agreement = np.sign(g * s.get("prev", 0.0))
    factor = np.where(agreement > 0, more, np.where(agreement < 0, less, 1.0))
    s["step_size"] = np.clip(s.get("step_size", lr) * factor, *o.get("step_sizes", (1e-6, 50)))
    s["prev"] = np.where(agreement < 0, 0.0, g)
    return p - np.sign(s["prev"]) * s["step_size"]


def _asgd(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    lambd, eta, share = o.get("lambd", 1e-4), s.get("_eta", _single(lr)), s.get("_mu", 1.0)
    p = p * (1 - lambd * eta) - eta * _uphill(o, p, g)
    s["ax"] = s.get("ax", 0.0) + (p - s.get("ax", 0.0)) * share
    s["_eta"] = _single(lr / (1 + lambd * lr * t) ** o.get("alpha", 0.75))
    s["_mu"] = _single(1 / max(1, t - o.get("t0", 1e6)))
    return p


def _adafactor(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    g = -g if o.get("maximize") else g
    (floor, least), fade = o.get("eps", (1e-4, 1e-3)), t ** o.get("beta2_decay", -0.8)
    size = max(least, np.linalg.norm(p) / math.sqrt(p.size)) * min(lr, 1 / math.sqrt(t))
    p = p * (1 - lr * o.get("weight_decay", 0.0))
    if g.ndim < 2:
        square = s["variance"] = s.get("variance", 0.0) + fade * (g * g - s.get("variance", 0.0))
    else:
        for name, dim in (("row_var", -1), ("col_var", -2)):
            s[name] = s.get(name, 0.0) + fade * ((g * g).mean(dim, keepdims=True) - s.get(name, 0.0))
        square = s["row_var"] @ s["col_var"] / np.maximum(s["row_var"].mean(-2, keepdims=True), floor)
    update = g / np.sqrt(np.maximum(square, floor * floor))
    return p - size / max(1.0, np.sqrt((update * update).mean()) / o.get("d", 1.0)) * update


def _sparse_adam(o: Options, lr: float, p: Array, g: Array, s: State, t: int) -> Array:
    beta1, beta2 = _averages(o, -g if o.get("maximize") else g, s)
    size = lr * math.sqrt(1 - beta2 ** t) / (1 - beta1 ** t)
    return p - size * s["exp_avg"] / (np.sqrt(s["exp_avg_sq"]) + o.get("eps", 1e-8))


FORMULAS: dict[str, tuple[Formula, list[Options]]] = {
    "Adadelta": (_adadelta, [{}, {"rho": 0.5, "weight_decay": 0.1, "maximize": True}]),
    "Adafactor": (_adafactor, [{"eps": (1e-4, 1e-3)}, {"eps": (1e-3, 0.1), "weight_decay": 0.1, "d": 1.5}]),
    "Adamax": (_adamax, [{}, {"betas": (0.5, 0.6), "weight_decay": 0.1, "maximize": True}]),
    "ASGD": (_asgd, [{}, {"t0": 2, "lambd": 0.1, "alpha": 0.5, "weight_decay": 0.1}]),
    "NAdam": (_nadam, [{}, {"weight_decay": 0.1, "decoupled_weight_decay": True, "momentum_decay": 0.1}]),
    "RAdam": (_radam, [{}, {"weight_decay": 0.1, "betas": (0.5, 0.9), "maximize": True}]),
    "Rprop": (_rprop, [{}, {"etas": (0.3, 1.7), "step_sizes": (0.03, 0.3), "maximize": True}]),
    "SparseAdam": (_sparse_adam, [{}, {"betas": (0.5, 0.6), "maximize": True}]),
}


# ---------------------------------------------------------------------------------------------- programs
def _muon(ctx: Any, dtype: Any) -> None:
    """Four steps of a wide and a tall matrix; the iteration runs in bfloat16, hence the tolerance."""
    values = [ctx.rng.normal(size=shape) for shape in ((3, 5), (6, 2))]
    parameters = [nn.Parameter(put(ctx, each, dtype)) for each in values]
    optimizer = optim.Muon(parameters, lr=0.1, weight_decay=0.2, momentum=0.8)
    momenta = [0.0, 0.0]
    for _ in range(4):
        for number, parameter in enumerate(parameters):
            gradient = ctx.rng.normal(size=parameter.shape)
            parameter.grad = put(ctx, gradient, dtype)
            momenta[number] = momenta[number] + 0.2 * (gradient - momenta[number])
            direction = gradient + 0.8 * (momenta[number] - gradient)
            found = direction / np.linalg.norm(direction)
            for _ in range(5):
                gram = found @ found.T
                found = 3.4445 * found + (-4.775 * gram + 2.0315 * gram @ gram) @ found
            rows, columns = parameter.shape
            values[number] = values[number] * (1 - 0.1 * 0.2) - 0.1 * math.sqrt(max(1, rows / columns)) * found
        optimizer.step()
    for parameter, value in zip(parameters, values, strict=True):
        difference = np.abs(np.array(parameter.detach().tolist()) - value).max()
        assert difference < 0.05, f"Muon: a matrix is off by {difference}"


def _lbfgs(ctx: Any, dtype: Any) -> None:
    """The least square of an overdetermined system, with and without a line search."""
    matrix, right = ctx.rng.normal(size=(8, 4)), ctx.rng.normal(size=8)
    solution = np.linalg.lstsq(matrix, right, rcond=None)[0]
    for options in ({"line_search_fn": "strong_wolfe"}, {"lr": 0.5, "history_size": 5, "max_iter": 60}):
        weights = nn.Parameter(put(ctx, np.zeros(4), dtype))
        optimizer = optim.LBFGS([weights], **options)
        closure = _squares(optimizer, weights, put(ctx, matrix, dtype), put(ctx, right, dtype))
        for _ in range(3):
            optimizer.step(closure)
        difference = np.abs(np.array(weights.detach().tolist()) - solution).max()
        assert difference < 1e-3, f"LBFGS {options}: off by {difference}"


def _squares(optimizer: Any, weights: Any, matrix: Any, right: Any) -> Callable[[], Any]:
    def closure() -> Any:
        optimizer.zero_grad()
        loss = ((matrix @ weights - right) ** 2).mean()
        loss.backward()
        return loss
    return closure


PROGRAMS: dict[str, Callable[[Any, Any], None]] = {"LBFGS": _lbfgs, "Muon": _muon}


def program(name: str, dtype: Any) -> Callable[[Any], None]:
    """The case of one program."""
    return lambda ctx: PROGRAMS[name](ctx, dtype)
