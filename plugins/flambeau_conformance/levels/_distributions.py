"""The distributions of draws, and the initialisers of layers: part of the level "random".

These tests hold for any generator; on a device whose numbers are known to the bit they are the second line.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import flambeau
from flambeau_conformance.case import Case
from flambeau_conformance.levels import _statistics as statistics
from flambeau_conformance.levels._generators import own_generator, repeats_torch
from flambeau_conformance.levels._philox import DIGITS, Stream
from flambeau_conformance.levels._statistics import COUNT
from flambeau_conformance.levels._values import Array, host, near, same

LEVEL = "random"
Drawn = Callable[[dict[str, Any]], Any]
Cdf = Callable[[Array], Array]


def _uniform_cdf(low: float, high: float) -> Cdf:
    return lambda x: np.clip((x - low) / (high - low), 0, 1)


def _normal_cdf(mean: float, std: float) -> Cdf:
    return lambda x: statistics.normal_cdf((x - mean) / std)


def _exponential_cdf(rate: float) -> Cdf:
    return lambda x: 1 - np.exp(-rate * np.maximum(x, 0))


def _log_normal_cdf(x: Array) -> Array:
    return statistics.normal_cdf((np.log(np.maximum(x, 1e-300)) - 0.25) / 0.5)


def _cauchy_cdf(x: Array) -> Array:
    return 0.5 + np.arctan((x - 1) / 2) / math.pi


# name -> (draw, distribution, lowest and highest value)
_CONTINUOUS: dict[str, tuple[Drawn, Cdf, tuple[float, float]]] = {
    "rand": (lambda k: flambeau.rand(COUNT, **k), _uniform_cdf(0, 1), (0, 1)),
    "rand-matrix": (lambda k: flambeau.rand(100, COUNT // 100, **k), _uniform_cdf(0, 1), (0, 1)),
    "uniform_": (lambda k: flambeau.empty(COUNT, **k).uniform_(-3, 2), _uniform_cdf(-3, 2), (-3, 2)),
    "randn": (lambda k: flambeau.randn(COUNT, **k), _normal_cdf(0, 1), (-7, 7)),
    "normal_": (lambda k: flambeau.empty(COUNT, **k).normal_(1, 2), _normal_cdf(1, 2), (-13, 15)),
    "normal": (lambda k: flambeau.normal(-2.0, 0.5, (COUNT,), **k), _normal_cdf(-2, 0.5), (-6, 2)),
    "exponential_": (lambda k: flambeau.empty(COUNT, **k).exponential_(2.0), _exponential_cdf(2), (0, math.inf)),
    "log_normal_": (lambda k: flambeau.empty(COUNT, **k).log_normal_(0.25, 0.5), _log_normal_cdf, (0, math.inf)),
    "cauchy_": (lambda k: flambeau.empty(COUNT, **k).cauchy_(1, 2), _cauchy_cdf, (-math.inf, math.inf)),
}


def _continuous(name: str, dtype: Any) -> Callable[[Any], None]:
    draw, cdf, (low, high) = _CONTINUOUS[name]

    def run(ctx: Any) -> None:
        flambeau.manual_seed(1234)
        result = draw({"dtype": dtype, "device": ctx.device})
        assert result.dtype is dtype, f"{name}: {result.dtype}"
        values = host(result).astype(np.float64).ravel()
        values = values[np.isfinite(values)] if name == "cauchy_" else values   # its tails leave half precision
        assert len(values) > 0.99 * COUNT, f"{name}: too many numbers are not finite"
        what = f"{name} in {dtype.name}"
        assert values.min() >= low and values.max() <= high, f"{what}: outside of [{low}, {high}]"
        if name.startswith("rand") and high == 1:
            assert values.max() < 1, f"{what}: gave 1"
        grain = 4 * 2.0 ** -DIGITS[dtype.name]
        statistics.kolmogorov_smirnov(values, cdf, what, grain)
        statistics.independent(values, what)
        if name in ("randn", "normal", "normal_"):
            spread = np.abs(values - np.median(values)).max() / values.std()
            assert 3.3 < spread < 12, f"{what}: no tails, the largest number is {spread:.2f} deviations away"
    return run


def _complex(dtype: Any) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        flambeau.manual_seed(5)
        values = host(flambeau.randn(COUNT // 4, dtype=dtype, device=ctx.device))
        statistics.moments(values, 0, 1, "complex randn")
        for part, name in ((values.real, "real"), (values.imag, "imaginary")):
            statistics.kolmogorov_smirnov(part, _normal_cdf(0, math.sqrt(0.5)), f"the {name} part of complex randn")
        assert abs((values.real * values.imag).mean()) < 0.04, "the parts of complex randn depend on each other"
        flat = host(flambeau.rand(COUNT // 4, dtype=dtype, device=ctx.device))
        for part, name in ((flat.real, "real"), (flat.imag, "imaginary")):
            statistics.kolmogorov_smirnov(part, _uniform_cdf(0, 1), f"the {name} part of complex rand")
    return run


# ---------------------------------------------------------------------------------------------- whole numbers
_RANGES = {"dice": (1, 7), "hundred": (0, 100), "negative": (-50, -30), "across": (-3, 4), "two": (0, 2)}


def _whole(low: int, high: int, dtype: Any, in_place: bool) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        flambeau.manual_seed(17)
        if in_place:
            result = flambeau.zeros(COUNT, dtype=dtype, device=ctx.device).random_(low, high)
        else:
            result = flambeau.randint(low, high, (COUNT,), dtype=dtype, device=ctx.device)
        values = host(result).astype(np.int64)
        assert values.min() == low and values.max() == high - 1, f"range {values.min()}..{values.max()}"
        counts = np.bincount(values - low, minlength=high - low)
        statistics.chi_square(counts, np.full(high - low, COUNT / (high - low)), f"randint({low}, {high})")
        statistics.independent(values, f"randint({low}, {high})")
    return run


def _unbounded(dtype: Any) -> Callable[[Any], None]:
    """`random_()` reaches from 0 to the largest number of the dtype, evenly."""
    def run(ctx: Any) -> None:
        top = 2 ** DIGITS[dtype.name] if dtype.is_floating_point else (
            1 if dtype.name == "bool" else 2 ** (8 * dtype.itemsize - (1 if dtype.is_signed else 0)) - 1)
        flambeau.manual_seed(23)
        values = host(flambeau.zeros(COUNT, dtype=dtype, device=ctx.device).random_()).astype(np.float64)
        assert values.min() >= 0 and values.max() <= top, f"{dtype.name}: {values.min()}..{values.max()}"
        if top < 256:
            statistics.chi_square(np.bincount(values.astype(int), minlength=top + 1),
                                  np.full(top + 1, COUNT / (top + 1)), f"random_() of {dtype.name}")
        else:
            statistics.kolmogorov_smirnov(values / top, _uniform_cdf(0, 1), f"random_() of {dtype.name}", 0.01)
    return run


def _permutations(ctx: Any) -> None:
    flambeau.manual_seed(8)
    rows = np.array([host(flambeau.randperm(5, device=ctx.device)) for _ in range(300)])
    assert (np.sort(rows, 1) == np.arange(5)).all(), "randperm(5) is no permutation"
    for place in range(5):
        statistics.chi_square(np.bincount(rows[:, place], minlength=5), np.full(5, 60.0), f"place {place} of randperm")
    counts = np.unique(rows[:, 0] * 5 + rows[:, 1], return_counts=True)[1]
    assert len(counts) == 20, f"randperm(5) begins in {len(counts)} of 20 ways"
    statistics.chi_square(counts, np.full(20, 15.0), "the first two of randperm")
    big = host(flambeau.randperm(4000, device=ctx.device))
    assert (np.sort(big) == np.arange(4000)).all(), "randperm(4000) is no permutation"
    statistics.independent(big, "randperm(4000)")


# ---------------------------------------------------------------------------------------------- coins
def _coins(dtype: Any) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        flambeau.manual_seed(3)
        options = {"dtype": dtype, "device": ctx.device}
        for p in (0.0, 0.125, 0.5, 0.9375, 1.0):
            ways = {"bernoulli_": flambeau.empty(COUNT, **options).bernoulli_(p),
                    "bernoulli": flambeau.bernoulli(flambeau.full((COUNT,), p, **options)),
                    "bernoulli, a number": flambeau.bernoulli(flambeau.zeros(COUNT, **options), p)}
            for name, result in ways.items():
                values = host(result).astype(np.float64)
                assert set(np.unique(values)) <= {0.0, 1.0}, f"{name}: gives more than 0 and 1"
                _ones(values, p, f"{name} with p={p}")
        chances = np.array([[0.0, 0.25, 0.5, 1.0]])
        drawn = host(flambeau.tensor(chances.tolist(), **options).expand(COUNT // 4, 4).bernoulli()).astype(np.float64)
        for column, p in enumerate(chances[0]):
            _ones(drawn[:, column], p, f"column {column} of bernoulli")
    return run


def _ones(values: Array, p: float, what: str) -> None:
    found, limit = values.mean(), 5 * math.sqrt(p * (1 - p) / values.size)
    assert abs(found - p) <= limit, f"{what}: a share of {found:.4f} ones"


def _geometric(dtype: Any) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        flambeau.manual_seed(3)
        values = host(flambeau.empty(COUNT, dtype=dtype, device=ctx.device).geometric_(0.3)).astype(np.float64)
        assert (values >= 1).all() and (values == np.floor(values)).all(), "geometric_: not whole numbers from 1 on"
        counts = np.bincount(np.minimum(values, 15).astype(int), minlength=16)[1:]
        expected = COUNT * 0.3 * 0.7 ** np.arange(15)
        expected[-1] = COUNT * 0.7 ** 14
        statistics.chi_square(counts, expected, "geometric_(0.3)")
    return run


def _dropouts(dtype: Any) -> Callable[[Any], None]:
    functional = flambeau.nn.functional

    def run(ctx: Any) -> None:
        flambeau.manual_seed(3)
        ones = flambeau.ones(200, 100, dtype=dtype, device=ctx.device)
        for p in (0.2, 0.5, 0.75):
            values = host(functional.dropout(ones, p)).astype(np.float64)
            kept = values[values != 0]
            near(kept, np.full(len(kept), 1 / (1 - p)), f"what dropout({p}) keeps", dtype.name)
            _ones((values == 0).astype(float), p, f"zeros of dropout({p})")
            statistics.independent((values == 0).ravel(), "dropout")
            same(functional.dropout(ones, p, training=False), host(ones), "dropout outside of training")
        channels = host(functional.dropout2d(flambeau.ones(40, 50, 2, 3, dtype=dtype, device=ctx.device), 0.3))
        flat = channels.reshape(2000, 6)
        assert (flat == flat[:, :1]).all(), "dropout2d does not keep or drop whole channels"
        _ones((flat[:, 0] == 0).astype(float), 0.3, "channels dropped by dropout2d(0.3)")
        same(functional.dropout(ones, 1.0), np.zeros((200, 100)), "dropout(1)")
        noisy = host(functional.alpha_dropout(flambeau.randn(COUNT, dtype=dtype, device=ctx.device), 0.3, True))
        statistics.moments(noisy.astype(np.float64), 0, 1, "alpha_dropout of normal numbers")
    return run


def _multinomials(ctx: Any) -> None:
    flambeau.manual_seed(0)
    weights = np.array([[1, 0, 3, 4], [0, 2, 0, 2], [5, 1, 1, 1]], np.float32)
    drawn = host(flambeau.tensor(weights.tolist(), device=ctx.device).multinomial(COUNT // 4, True))
    for row, share in zip(drawn, weights / weights.sum(1, keepdims=True), strict=True):
        statistics.chi_square(np.bincount(row, minlength=4), share * (COUNT // 4), "multinomial with replacement")
    row = flambeau.tensor([[1.0, 0.0, 2.0, 5.0]], device=ctx.device)
    pairs = host(row.expand(4000, 4).multinomial(2))
    assert (pairs[:, 0] != pairs[:, 1]).all(), "multinomial without replacement gave an index twice"
    chances = np.array([1, 0, 2, 5]) / 8
    counts, expected = np.zeros(16), np.zeros(16)
    np.add.at(counts, pairs[:, 0] * 4 + pairs[:, 1], 1)
    for first in range(4):
        for second in range(4):
            if first != second and chances[first] < 1:
                expected[first * 4 + second] = 4000 * chances[first] * chances[second] / (1 - chances[first])
    statistics.chi_square(counts, expected, "multinomial without replacement")


# ---------------------------------------------------------------------------------------------- initialisers
def _inits() -> dict[str, tuple[tuple[int, ...], Callable[[Any, Any], Any], Any]]:
    """name -> (shape, call(library's nn.init, tensor), how to compute it from a stream, or None)."""
    def uniform(bound: float) -> Any:
        return lambda stream, shape, dtype: stream.unit(shape, dtype.name) * 2 * bound - bound

    def normal(std: float) -> Any:
        return lambda stream, shape, dtype: stream.normal(shape, dtype) * std
    leaky = math.sqrt(2 / (1 + 0.2**2))
    return {
        "uniform_": ((30, 20), lambda i, x: i.uniform_(x, -0.5, 0.5), uniform(0.5)),
        "normal_": ((30, 20), lambda i, x: i.normal_(x, 0.0, 0.2), normal(0.2)),
        "xavier_uniform_": ((30, 20), lambda i, x: i.xavier_uniform_(x, gain=1.5), uniform(1.5 * math.sqrt(6 / 50))),
        "xavier_uniform_-conv": ((6, 4, 3, 5), lambda i, x: i.xavier_uniform_(x), uniform(math.sqrt(6 / 150))),
        "xavier_normal_": ((30, 20), lambda i, x: i.xavier_normal_(x, gain=0.5), normal(0.5 * math.sqrt(2 / 50))),
        "kaiming_uniform_": ((30, 20), lambda i, x: i.kaiming_uniform_(x, a=math.sqrt(5)), uniform(1 / math.sqrt(20))),
        "kaiming_uniform_-fan_out": ((30, 20), lambda i, x: i.kaiming_uniform_(x, mode="fan_out", nonlinearity="relu"),
                                     uniform(math.sqrt(6 / 30))),
        "kaiming_normal_": ((8, 4, 3, 3), lambda i, x: i.kaiming_normal_(x, a=0.2), normal(leaky / math.sqrt(36))),
        "kaiming_normal_-fan_out": ((8, 4, 3, 3), lambda i, x: i.kaiming_normal_(x, mode="fan_out",
                                                                                nonlinearity="tanh"),
                                    normal(5 / 3 / math.sqrt(72))),
        "trunc_normal_": ((40, 30), lambda i, x: i.trunc_normal_(x, 0.1, 0.5, -1.0, 1.0), None),
        "trunc_normal_-narrow": ((20, 30), lambda i, x: i.trunc_normal_(x, 0.0, 2.0, 0.0, 0.5), None),
        "orthogonal_": ((6, 9), lambda i, x: i.orthogonal_(x, gain=2.0), None),
        "orthogonal_-tall": ((10, 2, 3), lambda i, x: i.orthogonal_(x), None),
        "sparse_": ((20, 7), lambda i, x: i.sparse_(x, 0.3, 0.5), None),
        "constant_": ((3, 4), lambda i, x: i.constant_(x, 0.25), lambda s, shape, d: np.full(shape, 0.25)),
        "ones_": ((3, 4), lambda i, x: i.ones_(x), lambda s, shape, d: np.ones(shape)),
        "zeros_": ((3, 4), lambda i, x: i.zeros_(x), lambda s, shape, d: np.zeros(shape)),
        "eye_": ((3, 5), lambda i, x: i.eye_(x), lambda s, shape, d: np.eye(3, 5)),
        "dirac_": ((4, 3, 3), lambda i, x: i.dirac_(x), lambda s, shape, d: _dirac()),
    }


def _dirac() -> Array:
    result = np.zeros((4, 3, 3))
    result[range(3), range(3), 1] = 1
    return result


def _init(name: str, dtype: Any) -> Callable[[Any], None]:
    shape, call, expect = _inits()[name]

    def run(ctx: Any) -> None:
        flambeau.manual_seed(41)
        target = flambeau.full(shape, 7.0, dtype=dtype, device=ctx.device).requires_grad_()
        result = call(flambeau.nn.init, target)
        assert result is target and target.requires_grad and target.grad_fn is None, f"{name} made a new tensor"
        if expect is None:
            _init_properties(name, host(target).astype(np.float64))
        if repeats_torch(ctx):
            ctx.torch.manual_seed(41)
            other = ctx.torch.full(shape, 7.0, dtype=getattr(ctx.torch, dtype.name))
            near(target, call(ctx.torch.nn.init, other), f"{name} after the seed 41")
        elif expect is not None and (not own_generator(ctx) or name in ("constant_", "ones_", "zeros_", "eye_",
                                                                         "dirac_")):
            near(target, expect(Stream(41), shape, dtype), f"{name} after the seed 41", dtype.name)
    return run


def _init_properties(name: str, values: Array) -> None:
    if name == "trunc_normal_":
        assert values.min() >= -1 and values.max() <= 1, "trunc_normal_ is not cut"
        low, high = (float(statistics.normal_cdf(np.array((each - 0.1) / 0.5))) for each in (-1, 1))
        statistics.kolmogorov_smirnov(
            values.ravel(), lambda x: (statistics.normal_cdf((x - 0.1) / 0.5) - low) / (high - low), name)
    elif name == "trunc_normal_-narrow":
        assert values.min() >= 0 and values.max() <= 0.5, "trunc_normal_ is not cut"
        statistics.kolmogorov_smirnov(values.ravel(), _uniform_cdf(0, 0.5), name, 0.02)
    elif name.startswith("orthogonal_"):
        matrix = values.reshape(len(values), -1)
        product = matrix @ matrix.T if len(matrix) < matrix.shape[1] else matrix.T @ matrix
        near(product.astype(np.float32), np.eye(len(product)) * (4 if name == "orthogonal_" else 1), name, "float32")
    else:
        assert ((values == 0).sum(0) == 6).all(), "sparse_ does not leave 6 zeros in each column"
        assert 0.3 < values[values != 0].std() < 0.7, "sparse_: another deviation"
        assert len({tuple(column == 0) for column in values.T}) > 3, "sparse_: every column has the same zeros"


def _warned(run: Callable[[Any], None]) -> Callable[[Any], None]:
    def quiet(ctx: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(ctx)
    return quiet


def cases(subject: Any) -> Iterator[Case]:
    """The cases on distributions and initialisers."""
    floats = [each for each in subject.dtypes if each.is_floating_point and not each.storage_only]
    for dtype in floats:
        for name in _CONTINUOUS:
            yield Case(LEVEL, "distribution", f"{name}-{dtype.name}", _continuous(name, dtype), dtype)
        yield Case(LEVEL, "distribution", f"bernoulli-{dtype.name}", _coins(dtype), dtype)
        yield Case(LEVEL, "distribution", f"geometric_-{dtype.name}", _geometric(dtype), dtype)
        if dtype.itemsize > 2:
            yield Case(LEVEL, "distribution", f"dropout-{dtype.name}", _dropouts(dtype), dtype)
            for name in _inits():
                yield Case(LEVEL, "init", f"{name}-{dtype.name}", _warned(_init(name, dtype)), dtype)
    for dtype in subject.dtypes:
        if dtype.is_complex:
            yield Case(LEVEL, "distribution", f"complex-{dtype.name}", _complex(dtype), dtype)
        if not dtype.is_complex and not dtype.storage_only:
            yield Case(LEVEL, "distribution", f"random_-{dtype.name}", _unbounded(dtype), dtype)
        if dtype in (flambeau.int64, flambeau.int32, flambeau.int8, flambeau.float32):
            for name, (low, high) in _RANGES.items():
                for in_place in (False, True):
                    yield Case(LEVEL, "distribution", f"{'random_' if in_place else 'randint'}-{name}-{dtype.name}",
                               _whole(low, high, dtype, in_place), dtype)
    yield Case(LEVEL, "distribution", "randperm", _permutations)
    yield Case(LEVEL, "distribution", "multinomial", _multinomials)
