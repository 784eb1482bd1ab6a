"""Numbers for layers, comparisons of what came out of them, and the cases on nn.utils: part of the level "nn"."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import flambeau
from flambeau import nn
from flambeau_conformance.case import Case
from flambeau_conformance.levels._values import Array, host, near, put, refused, same
from flambeau_conformance.sampling import numpy_dtype

LEVEL = "nn"


def lacks_row(what: str, table: str) -> Callable[[Any], None]:
    """A case that fails: the package has something that the suite does not know how to call."""
    def run(ctx: Any) -> None:
        raise AssertionError(f"{what} has no row in the suite's tables; add one to {table}")
    return run


def rounded(array: Array, dtype: Any) -> Array:
    """Numbers as the dtype holds them, in float64: both sides start from the same."""
    return np.asarray(array, numpy_dtype(dtype)).astype(np.float64)


def numbers(rng: Any, layer: Any, dtype: Any) -> dict[str, Array]:
    """Values for a layer's parameters and buffers, by name; those of variances are positive."""
    found = {}
    for name, tensor in [*layer.named_parameters(), *layer.named_buffers()]:
        if not tensor.is_floating_point() or (name in ("weight", "pos_weight") and not tensor.requires_grad):
            continue   # counters, and the weights of losses
        drawn = rng.uniform(-1, 1, tuple(tensor.shape)) / max(1.0, math.sqrt(tensor.numel() / max(len(tensor), 1)))
        if name.endswith("running_var"):
            drawn = rng.uniform(0.5, 2, tuple(tensor.shape))
        found[name] = rounded(drawn, dtype)
    return found


def inputs(rng: Any, described: Any, dtype: Any) -> tuple[list[Array], list[bool]]:
    """The inputs of a row, and which of them want a gradient."""
    found: list[Array] = []
    for kind, shape, *more in described:
        if kind == "index":
            found.append(rng.integers(0, more[0], shape))
            continue
        if kind == "places":
            order = rng.random((*shape[:2], more[0])).argsort(-1)
            found.append(order[..., :math.prod(shape[2:])].reshape(shape))
            continue
        if kind in ("chance", "target"):
            drawn = rng.uniform(0.1, 0.9, shape)
        elif kind == "rows":
            drawn = rng.uniform(0.1, 1, shape)
            drawn /= drawn.sum(1, keepdims=True)
        elif kind == "signs":
            drawn = rng.choice([-1.0, 1.0], shape)
        else:
            drawn = rng.normal(size=shape) * (4 if kind == "wide" else 1)
            drawn = np.where(np.abs(drawn) < 1e-2, 0.25, drawn)     # no kinks
        found.append(rounded(drawn, dtype))
    return found, [kind in ("normal", "chance", "wide") for kind, *_ in described]


def check_same(ctx: Any, found: dict[str, Any], expected: dict[str, Any], dtype: Any, what: str,
               loose: float = 1) -> None:
    """Everything that came out of a layer against the oracle's, within the tolerance of several operators."""
    assert found.keys() == expected.keys(), f"{what}: {sorted(found)} and not {sorted(expected)}"
    for name, actual in found.items():
        wanted = expected[name]
        assert (actual is None) == (wanted is None), f"{what}: {name} is {actual}, expected {wanted}"
        if actual is None:
            continue
        floats = actual.is_floating_point()
        assert actual.dtype is dtype if floats else str(actual.dtype) == str(wanted.dtype), \
            f"{what}: {name} has dtype {actual.dtype}"
        assert actual.device == ctx.device, f"{what}: {name} is on {actual.device}"
        ctx.compare_values(actual, host(wanted), "nn" if floats else "exact", f"{what}: {name}",
                           factor=3 * (loose if dtype.itemsize == 8 else 1) if name.startswith("gradient") else 1)


def check_finite(found: dict[str, Any], what: str) -> None:
    """Without any oracle: numbers at least."""
    for name, each in found.items():
        assert each is None or np.isfinite(host(each)).all(), f"{what}: {name} is not finite"


def check_draws(name: str, value: Array, found: dict[str, Any], what: str, dtype: Any) -> None:
    """What a layer that draws may give: each element dropped or scaled, and the gradient with it."""
    result, grad = host(found["result 0"]).astype(np.float64), host(found["gradient of input 0"]).astype(np.float64)
    weights = np.cos(np.arange(result.size) * 1.7 + 0.3).reshape(result.shape)
    slope = grad / weights
    if name == "RReLU":
        ratio = result / value
        good = np.where(value >= 0, np.abs(ratio - 1) < 1e-3, (ratio > 0.1 - 1e-3) & (ratio < 0.4 + 1e-3))
        near(slope, ratio, f"{what}: gradient", dtype.name, factor=5)
        assert good.all(), f"{what}: slopes beyond 0.1 to 0.4"
        assert len(np.unique(np.round(ratio[value < 0], 4))) > 1, f"{what}: one slope for all"
    elif "Alpha" in name:
        # a * x + b where kept, a constant where dropped: the slope is a or 0
        scales = np.unique(np.round(slope, 3))
        assert len(scales) <= 2 and scales.min() >= 0, f"{what}: gradients {scales}"
        dropped = result[np.abs(slope) < 1e-3]
        assert dropped.size == 0 or np.ptp(dropped) < 1e-2, f"{what}: what is dropped differs"
    else:
        factor = 1 / 0.6
        kept = np.abs(result) > 0
        p = 0.4 if not np.allclose(result, value) else 0.0
        expected = value * (factor if p else 1) * kept
        near(result, expected, f"{what}: kept elements", dtype.name)
        near(slope, kept * (factor if p else 1), f"{what}: gradient", dtype.name, factor=5)
        if name != "Dropout":
            flat = kept.reshape(kept.shape[0] * kept.shape[1], -1)
            assert (flat == flat[:, :1]).all(), f"{what}: does not drop whole channels"


# ---------------------------------------------------------------------------------------------- nn.utils
def _gradients(ctx: Any) -> tuple[list[Any], list[Array]]:
    """Parameters on the device with gradients, and the gradients."""
    parameters, arrays = [], []
    for shape in ((3, 4), (5,), (2, 2, 2), ()):
        parameter = nn.Parameter(put(ctx, np.zeros(shape, np.float32)))
        arrays.append(ctx.rng.normal(size=shape).astype(np.float32))
        parameter.grad = put(ctx, arrays[-1])
        parameters.append(parameter)
    parameters.append(nn.Parameter(put(ctx, np.zeros(2, np.float32))))    # has no gradient
    return parameters, arrays


def _clip_norm(kind: float, limit: float) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        parameters, arrays = _gradients(ctx)
        flat = np.concatenate([each.ravel() for each in arrays]).astype(np.float64)
        total = np.abs(flat).max() if kind == math.inf else (np.abs(flat) ** kind).sum() ** (1 / kind)
        found = nn.utils.clip_grad_norm_(parameters, limit, norm_type=kind)
        near(found, np.array(total), f"the {kind}-norm of gradients", "float32")
        assert found.device == ctx.device, f"the norm is on {found.device}"
        factor = min(1.0, limit / (total + 1e-6))
        for parameter, array in zip(parameters, arrays, strict=False):
            near(parameter.grad, array * factor, "a clipped gradient", "float32")
        assert parameters[-1].grad is None, "clipping made a gradient"
        near(nn.utils.get_total_norm([each.grad for each in parameters[:-1]], kind), np.array(total * factor),
             "get_total_norm", "float32")
    return run


def _clip_value(ctx: Any) -> None:
    parameters, arrays = _gradients(ctx)
    nn.utils.clip_grad_value_(parameters, 0.4)
    for parameter, array in zip(parameters, arrays, strict=False):
        same(parameter.grad, np.clip(array, np.float32(-0.4), np.float32(0.4)), "clip_grad_value_")


def _not_finite(ctx: Any) -> None:
    parameters, _ = _gradients(ctx)
    parameters[0].grad[0, 0] = math.inf
    before = host(parameters[1].grad)
    refused(lambda: nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True), "an infinite norm",
            RuntimeError)
    same(parameters[1].grad, before, "gradients after a refusal")
    assert math.isinf(float(nn.utils.clip_grad_norm_(parameters, 1.0))), "an infinite gradient has a finite norm"


def _vectors(ctx: Any) -> None:
    arrays = [ctx.rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,), ())]
    parameters = [nn.Parameter(put(ctx, each)) for each in arrays]
    vector = nn.utils.parameters_to_vector(parameters)
    same(vector, np.concatenate([each.ravel() for each in arrays]), "parameters_to_vector")
    fresh = np.arange(18, dtype=np.float32)
    nn.utils.vector_to_parameters(put(ctx, fresh), parameters)
    parts = np.split(fresh, [12, 17])
    for parameter, part in zip(parameters, parts, strict=True):
        same(parameter, part.reshape(tuple(parameter.shape)), "vector_to_parameters")


class _Tree(nn.Module):
    """A module with every kind of member."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 2)])
        self.named = nn.ModuleDict({"norm": nn.BatchNorm1d(3)})
        self.loose = nn.ParameterList([nn.Parameter(flambeau.ones(2))])
        self.table = nn.ParameterDict({"scale": nn.Parameter(flambeau.full((3,), 2.0))})
        self.register_buffer("count", flambeau.zeros((), dtype=flambeau.int64))
        self.register_buffer("passing", flambeau.ones(1), persistent=False)

    def forward(self, value: Any) -> Any:
        """All of them in use."""
        self.count += 1
        value = self.named["norm"](self.layers[0](value) * self.table["scale"])
        return self.layers[1](value) * self.loose[0] + self.passing


def _moves(ctx: Any) -> None:
    """Every member of a module follows to a device and to a dtype, but integers keep theirs."""
    tree = _Tree().to(ctx.device)
    members = [*tree.parameters(), *tree.buffers()]
    assert len(members) == 13 and all(each.device == ctx.device for each in members), "a member stayed behind"
    result = tree(put(ctx, ctx.rng.normal(size=(4, 3)).astype(np.float32)))
    result.sum().backward()
    assert all(each.grad is not None and each.grad.device == ctx.device for each in tree.parameters())
    assert int(tree.count) == 1 and int(tree.named["norm"].num_batches_tracked) == 1, "buffers do not count"
    assert "passing" not in tree.state_dict() and "count" in tree.state_dict()
    tree.zero_grad()
    assert all(each.grad is None for each in tree.parameters()), "zero_grad left gradients"
    tree.half() if flambeau.float16 in ctx.storable else tree.float()
    assert tree.count.dtype is flambeau.int64, "an integer buffer changed its dtype"
    tree.float().requires_grad_(False)
    assert not any(each.requires_grad for each in tree.parameters()), "requires_grad_(False) is ignored"
    for each in tree.parameters():
        assert each.dtype is flambeau.float32 and each.device == ctx.device


def _hooks(ctx: Any) -> None:
    """Hooks see, and may change, what passes."""
    layer = nn.Linear(3, 2, device=ctx.device)
    value = put(ctx, ctx.rng.normal(size=(4, 3)).astype(np.float32)).requires_grad_()
    plain = host(layer(value))
    seen = []
    handles = [layer.register_forward_pre_hook(lambda module, args: (args[0] * 2,)),
               layer.register_forward_hook(lambda module, args, result: result + 1),
               layer.register_full_backward_hook(lambda module, inner, outer: seen.append((inner, outer)))]
    doubled = layer(value)
    bias = host(layer.bias)
    near(doubled, (plain - bias) * 2 + bias + 1, "a layer with hooks")
    doubled.sum().backward()
    near(seen[0][0][0], np.broadcast_to(host(layer.weight).sum(0), (4, 3)), "what a backward hook saw")
    for handle in handles:
        handle.remove()
    same(layer(value), plain, "a layer whose hooks were removed")


def cases(subject: Any) -> Iterator[Case]:
    """The cases on nn.utils and on modules as such."""
    for kind in (1.0, 2.0, 3.0, math.inf):
        for limit in (0.5, 1000.0):
            yield Case(LEVEL, "clip_grad_norm_", f"{kind}-{limit}", _clip_norm(kind, limit))
    for name, run in {"clip_grad_value_": _clip_value, "not-finite": _not_finite, "vectors": _vectors,
                      "moves": _moves, "hooks": _hooks}.items():
        yield Case(LEVEL, "module", name, run, quick=True)
