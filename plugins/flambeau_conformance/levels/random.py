"""Level "random": the numbers are the promised ones, and they are random.

On a device without a generator of its own every number is compared with Philox computed a second time
(`_philox.Stream`): whole and uniform numbers to the last bit. A host's own generator repeats PyTorch's numbers: they
are compared with PyTorch where it is installed, else with some of its numbers written down here. On every device the
distributions are tested, and what generators promise: seeds, states, forks, one stream per device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import flambeau
from flambeau_conformance.case import Case
from flambeau_conformance.levels import _distributions, _generators
from flambeau_conformance.levels._generators import own_generator, repeats_torch
from flambeau_conformance.levels._philox import DIGITS, Stream
from flambeau_conformance.levels._values import Array, host, near, same

LEVEL = "random"
SEEDS = (0, 1, 20261120, 2**31, 2**40 + 17, 2**63 + 5, -3)
SHAPES = ((), (1,), (5,), (2, 3, 4), (700,), (17,), (5003,))

Library = Any   # flambeau, or PyTorch: a draw is written once for either
Call = Callable[[Library, Any, Any], Any]              # (library, dtype there, keywords: device, generator) -> draws
Expect = Callable[[Stream, Any], Array]                # (stream, flambeau dtype) -> the numbers


def cases(subject: Any) -> Iterator[Case]:
    """The cases for one device."""
    yield from _stream_cases(subject)
    yield from _generators.cases(subject)
    yield from _distributions.cases(subject)


# ---------------------------------------------------------------------------------------------- one draw
@dataclass(frozen=True)
class Draw:
    """One way to draw, written for either library, and the numbers that Philox gives for it.

    `exact` is whether they go through no rounding but the dtype's; `dtypes` which categories it is made for.
    """

    name: str
    call: Call
    expect: Expect
    dtypes: str = "float"
    exact: bool = True


def _scaled(low: float, high: float, shape: tuple[int, ...]) -> Expect:
    return lambda stream, dtype: stream.unit(shape, dtype.name) * (high - low) + low


def _normal(shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0) -> Expect:
    return lambda stream, dtype: stream.normal(shape, dtype) * std + mean


def _log_unit(stream: Stream, dtype: Any, shape: tuple[int, ...]) -> Array:
    return np.log(1.0 - stream.draw_unit(shape, dtype))


def _cauchy(stream: Stream, dtype: Any) -> Array:
    return np.tan((stream.draw_unit((40,), dtype) - 0.5) * math.pi) * 2.0 + 1.0


def _mask(stream: Stream, dtype: Any, shape: tuple[int, ...], p: float) -> Array:
    kept = stream.coins(shape, 1.0 - p, dtype).astype(np.float64)
    return kept * (1.0 / (1.0 - p))


def _shaped(shape: tuple[int, ...]) -> Iterator[Draw]:
    text = "x".join(map(str, shape)) or "0-d"
    yield Draw(f"rand-{text}", lambda t, d, k: t.rand(shape, dtype=d, **k), lambda s, d: s.uniform(shape, d),
               "float complex")
    yield Draw(f"randn-{text}", lambda t, d, k: t.randn(shape, dtype=d, **k), _normal(shape), "float complex", False)


def _whole(low: int, high: int, count: int, dtypes: str) -> Draw:
    return Draw(f"randint-{low}-{high}", lambda t, d, k: t.randint(low, high, (count,), dtype=d, **k),
                lambda s, d: s.randint((count,), low, high, d), dtypes)


def _permutation(n: int) -> Draw:
    return Draw(f"randperm-{n}", lambda t, d, k: t.randperm(n, dtype=d, **k), lambda s, d: s.permutation(n, d),
                "int64 int32 float32 float64")


def _factories() -> Iterator[Draw]:
    for shape in SHAPES:
        yield from _shaped(shape)
    for low, high in [(0, 2), (-7, 13), (0, 100), (3, 4), (0, 127)]:
        yield _whole(low, high, 50, "float signed" if low < 0 else "float int")
    yield Draw("randint-high-only", lambda t, d, k: t.randint(9, (4, 5), dtype=d, **k),
               lambda s, d: s.randint((4, 5), 0, 9, d), "float int")
    wide = [(0, 2**31), (0, 2**32 - 1), (0, 2**32), (-2**31, 2**31), (5, 2**40), (-2**62, 2**62), (-2**40, 2**33),
            (0, 2**63 - 1), (-2**63, 2**63 - 1), (-2**62 - 2**61, 2**62), (-2**63, 5)]
    for low, high in wide:
        yield _whole(low, high, 60, "int64")
    for n in (0, 1, 2, 25, 700):
        yield _permutation(n)


def _derived() -> Iterator[Draw]:
    yield Draw("normal-numbers", lambda t, d, k: t.normal(3.0, 0.5, (20,), dtype=d, **k), _normal((20,), 3.0, 0.5),
               exact=False)
    yield Draw("uniform_", lambda t, d, k: _blank(t, (41,), d, k).uniform_(-3, 2, **_only(k)), _scaled(-3, 2, (41,)),
               exact=False)
    yield Draw("uniform_-unit", lambda t, d, k: _blank(t, (41,), d, k).uniform_(**_only(k)),
               lambda s, d: s.uniform((41,), d))
    yield Draw("normal_", lambda t, d, k: _blank(t, (41,), d, k).normal_(-1.0, 3.0, **_only(k)),
               _normal((41,), -1.0, 3.0), exact=False)
    yield Draw("exponential_", lambda t, d, k: _blank(t, (40,), d, k).exponential_(2.5, **_only(k)),
               lambda s, d: np.abs(_log_unit(s, d, (40,))) / 2.5, exact=False)
    yield Draw("log_normal_", lambda t, d, k: _blank(t, (40,), d, k).log_normal_(0.25, 0.5, **_only(k)),
               lambda s, d: np.exp(s.normal((40,), d) * 0.5 + 0.25), exact=False)
    yield Draw("cauchy_", lambda t, d, k: _blank(t, (40,), d, k).cauchy_(1.0, 2.0, **_only(k)), _cauchy,
               "float32 float64", exact=False)
    yield Draw("geometric_", lambda t, d, k: _blank(t, (40,), d, k).geometric_(0.3, **_only(k)),
               lambda s, d: np.ceil(_log_unit(s, d, (40,)) / math.log1p(-0.3)), exact=False)
    yield Draw("bernoulli_-number", lambda t, d, k: _blank(t, (60,), d, k).bernoulli_(0.3, **_only(k)),
               lambda s, d: s.coins((60,), 0.3, d), "float32 float64")
    yield Draw("bernoulli-number", lambda t, d, k: t.bernoulli(_blank(t, (60,), d, k), 0.75, **_only(k)),
               lambda s, d: s.coins((60,), 0.75, d), "float32 float64")
    yield Draw("bernoulli", lambda t, d, k: t.bernoulli(_steps(t, d, k), **_only(k)),
               lambda s, d: s.coins((64,), np.arange(64) / 64, d), "float32 float64 bfloat16 float16")
    yield Draw("bernoulli_-tensor", lambda t, d, k: _blank(t, (64,), d, k).bernoulli_(_steps(t, d, k), **_only(k)),
               lambda s, d: s.coins((64,), np.arange(64) / 64, d), "float32 float64")


def _whole_in_place(low: int, high: int, dtypes: str) -> Draw:
    return Draw(f"random_-{low}-{high}", lambda t, d, k: _blank(t, (50,), d, k).random_(low, high, **_only(k)),
                lambda s, d: s.randint((50,), low, high, d), dtypes)


def _in_place() -> Iterator[Draw]:
    yield _whole_in_place(0, 100, "float int")
    yield _whole_in_place(-50, 3, "float signed")
    yield Draw("random_-to", lambda t, d, k: _blank(t, (50,), d, k).random_(77, **_only(k)),
               lambda s, d: s.randint((50,), 0, 77, d), "float int")
    yield Draw("random_", lambda t, d, k: _blank(t, (50,), d, k).random_(**_only(k)),
               lambda s, d: s.randint((50,), 0, _last(d), d), "float int bool")


def _last(dtype: Any) -> int:
    """One more than what `random_()` may give."""
    if dtype.is_floating_point:
        return 2 ** DIGITS[dtype.name] + 1
    return 2 if dtype.name == "bool" else 2 ** (8 * dtype.itemsize - (1 if dtype.is_signed else 0))


def _dropout(p: float) -> Draw:
    return Draw(f"dropout-{p}", lambda t, d, k: t.nn.functional.dropout(_blank(t, (8, 9), d, k) + 1, p),
                lambda s, d: _mask(s, d, (8, 9), p), "float32 float64", False)


def _default_stream() -> Iterator[Draw]:
    """Draws that take no generator: they come from the device's default one."""
    yield Draw("rand_like", lambda t, d, k: t.rand_like(_blank(t, (4, 5), d, k)), lambda s, d: s.uniform((4, 5), d),
               "float complex")
    yield Draw("randn_like", lambda t, d, k: t.randn_like(_blank(t, (4, 5), d, k)), _normal((4, 5)), "float complex",
               False)
    yield Draw("randint_like", lambda t, d, k: t.randint_like(_blank(t, (4, 5), d, k), 3, 60),
               lambda s, d: s.randint((4, 5), 3, 60, d), "float int")
    yield Draw("randint_like-high-only", lambda t, d, k: t.randint_like(_blank(t, (4, 5), d, k), 7),
               lambda s, d: s.randint((4, 5), 0, 7, d), "float int")
    for p in (0.1, 0.5, 0.8):
        yield _dropout(p)
    yield Draw("dropout2d", lambda t, d, k: t.nn.functional.dropout2d(_blank(t, (3, 5, 2, 2), d, k) + 1, 0.4),
               lambda s, d: np.broadcast_to(_mask(s, d, (3, 5, 1, 1), 0.4), (3, 5, 2, 2)), "float32", False)
    yield Draw("multinomial-again", lambda t, d, k: t.multinomial(_weights(t, d, k), 30, True, **_only(k)),
               lambda s, d: s.multinomial(_WEIGHTS, 30, True), "float32")
    yield Draw("multinomial", lambda t, d, k: t.multinomial(_weights(t, d, k), 2, False, **_only(k)),
               lambda s, d: s.multinomial(_WEIGHTS, 2, False), "float32")


_WEIGHTS = np.array([[1, 0, 3, 4], [2, 2, 0, 12], [8, 4, 2, 2]], np.float32)


def _blank(library: Library, shape: tuple[int, ...], dtype: Any, keywords: dict[str, Any]) -> Any:
    return library.zeros(shape, dtype=dtype, device=keywords.get("device"))


def _steps(library: Library, dtype: Any, keywords: dict[str, Any]) -> Any:
    """The probabilities 0/64 to 63/64, which every floating dtype holds."""
    return library.tensor([each / 64 for each in range(64)], dtype=dtype, device=keywords.get("device"))


def _weights(library: Library, dtype: Any, keywords: dict[str, Any]) -> Any:
    return library.tensor(_WEIGHTS.tolist(), dtype=dtype, device=keywords.get("device"))


def _only(keywords: dict[str, Any]) -> dict[str, Any]:
    return {"generator": keywords["generator"]} if "generator" in keywords else {}


def _is_for(draw: Draw, dtype: Any) -> bool:
    words = draw.dtypes.split()
    whole = dtype.category == flambeau.int64.category and not dtype.storage_only
    return dtype.name in words or (
        ("float" in words and dtype.is_floating_point and not dtype.storage_only)
        or ("complex" in words and dtype.is_complex) or ("int" in words and whole)
        or ("signed" in words and whole and dtype.is_signed))


def _draws() -> list[tuple[Draw, bool]]:
    """All draws, and whether they take a generator."""
    with_generator = [*_factories(), *_derived(), *_in_place()]
    return [(each, True) for each in with_generator] + [(each, False) for each in _default_stream()]


def _stream_cases(subject: Any) -> Iterator[Case]:
    for number, (draw, takes) in enumerate(_draws()):
        for dtype in subject.dtypes:
            if _is_for(draw, dtype):
                yield Case(LEVEL, draw.name, dtype.name, _stream_case(draw, dtype, takes, SEEDS[number % len(SEEDS)]),
                           dtype, quick=dtype.name in ("float32", "int64"))


def _stream_case(draw: Draw, dtype: Any, takes: bool, seed: int) -> Callable[[Any], None]:
    """Three draws after a seed: the numbers of the stream, of the default generator and of an explicit one."""
    def run(ctx: Any) -> None:
        keywords = {"device": ctx.device}
        flambeau.manual_seed(seed)
        found = [draw.call(flambeau, dtype, keywords) for _ in range(3)]
        _check_draws(ctx, draw, dtype, seed, found)
        flambeau.manual_seed(seed)
        for first, again in zip(found, [draw.call(flambeau, dtype, keywords) for _ in range(2)], strict=False):
            same(again, host(first), f"{draw.name} once more after manual_seed({seed})")
        if takes:
            generator = flambeau.Generator(ctx.device).manual_seed(seed)
            explicit = [draw.call(flambeau, dtype, {**keywords, "generator": generator}) for _ in range(3)]
            for one, other in zip(found, explicit, strict=True):
                same(other, host(one), f"{draw.name} with a Generator of the seed {seed}")
    return run


def _check_draws(ctx: Any, draw: Draw, dtype: Any, seed: int, found: list[Any]) -> None:
    for number, each in enumerate(found):
        assert each.device == ctx.device, f"{draw.name}: on {each.device}, expected {ctx.device}"
        expected_dtype = flambeau.int64 if draw.name.startswith("multinomial") else dtype
        assert each.dtype is expected_dtype, f"{draw.name}: {each.dtype}, expected {expected_dtype}"
        assert not each.requires_grad, f"{draw.name}: requires a gradient"
        if number and host(each).size > 15 and "-3-4" not in draw.name:
            assert host(each).tobytes() != host(found[0]).tobytes(), f"{draw.name}: draw {number + 1} repeats the first"
    if repeats_torch(ctx):
        ctx.torch.manual_seed(seed)
        for number, each in enumerate(found):
            _like_torch(draw, each, draw.call(ctx.torch, getattr(ctx.torch, dtype.name), {}), number)
    elif not own_generator(ctx):
        stream = Stream(seed % 2**64)
        for number, each in enumerate(found):
            _like_philox(draw, dtype, each, draw.expect(stream, dtype), number)


def _like_torch(draw: Draw, found: Any, expected: Any, number: int) -> None:
    compare = same if draw.exact else near
    compare(found, host(expected), f"{draw.name}, draw {number + 1} after the seed, against PyTorch's")


def _like_philox(draw: Draw, dtype: Any, found: Any, expected: Array, number: int) -> None:
    what = f"{draw.name}, draw {number + 1} after the seed, against Philox"
    if draw.exact:
        same(found, expected, what)
        return
    if draw.name == "geometric_":   # a whole number: where it jumps, rounding decides
        assert (host(found) != expected).mean() <= 0.05, what
        return
    relative = {"cauchy_": 50.0}.get(draw.name, 1.0)
    near(found, expected, what, dtype.name, factor=relative)
