"""What generators promise, and draws into memory that is not a plain block: part of the level "random"."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import flambeau
from flambeau_conformance.case import Case
from flambeau_conformance.levels._philox import Stream
from flambeau_conformance.levels._values import Array, as_torch, host, near, put, refused, same
from flambeau_conformance.sampling import numpy_dtype

LEVEL = "random"

Step = tuple[str, Callable[[Any, dict[str, Any]], Any], Callable[[Stream], Array]]


def own_generator(ctx: Any) -> bool:
    """Whether the backend has a generator of its own, so that the numbers are not Philox's."""
    return ctx.backend.default_generator(ctx.device.index or 0) is not None


def repeats_torch(ctx: Any) -> bool:
    """Whether the numbers have to be PyTorch's: a host's own generator, with PyTorch to compare with."""
    return own_generator(ctx) and ctx.backend.capabilities.host and ctx.torch is not None


# ---------------------------------------------------------------------------------------------- a row of draws
# Sizes around those where generators change their ways: blocks of 624 words, normal numbers in blocks of 16.
def _steps(double: bool) -> list[Step]:
    f4, i8 = flambeau.float32, flambeau.int64
    wide = flambeau.float64 if double else flambeau.float32
    name = wide.name
    return [
        ("rand(5)", lambda t, k: t.rand(5, **k), lambda s: s.uniform((5,), f4)),
        ("randn(3)", lambda t, k: t.randn(3, **k), lambda s: s.normal((3,), f4)),
        ("randn(1), wide", lambda t, k: t.randn(1, dtype=getattr(t, name), **k), lambda s: s.normal((1,), wide)),
        ("randint(7)", lambda t, k: t.randint(0, 10, (7,), **k), lambda s: s.randint((7,), 0, 10, i8)),
        ("randn(2), wide", lambda t, k: t.randn(2, dtype=getattr(t, name), **k), lambda s: s.normal((2,), wide)),
        ("randperm(9)", lambda t, k: t.randperm(9, **k), lambda s: s.permutation(9, i8)),
        ("randn(16)", lambda t, k: t.randn(16, **k), lambda s: s.normal((16,), f4)),
        ("rand(620)", lambda t, k: t.rand(620, **k), lambda s: s.uniform((620,), f4)),
        ("randint(3), wide", lambda t, k: t.randint(0, 2**40, (3,), **k), lambda s: s.randint((3,), 0, 2**40, i8)),
        ("randn(21)", lambda t, k: t.randn(21, **k), lambda s: s.normal((21,), f4)),
        ("rand(3), wide", lambda t, k: t.rand(3, dtype=getattr(t, name), **k), lambda s: s.uniform((3,), wide)),
        ("rand(0)", lambda t, k: t.rand(0, **k), lambda s: s.uniform((0,), f4)),
        ("rand(1300)", lambda t, k: t.rand(1300, **k), lambda s: s.uniform((1300,), f4)),
        ("bernoulli", lambda t, k: _coins(t, k), lambda s: s.coins((30,), 0.25, f4)),
        ("rand()", lambda t, k: t.rand((), **k), lambda s: s.uniform((), f4)),
    ]


def _coins(library: Any, keywords: dict[str, Any]) -> Any:
    others = {name: each for name, each in keywords.items() if name != "device"}
    return library.bernoulli(library.full((30,), 0.25, device=keywords.get("device")), **others)


def _has_double(ctx: Any) -> bool:
    return flambeau.float64 in ctx.backend.capabilities.storage_dtypes


def _row(explicit: bool, seed: int) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        steps = _steps(_has_double(ctx))
        keywords: dict[str, Any] = {"device": ctx.device}
        flambeau.manual_seed(seed)
        if explicit:
            keywords["generator"] = flambeau.Generator(ctx.device).manual_seed(seed)
        found = [draw(flambeau, keywords) for _, draw, _ in steps]
        if repeats_torch(ctx):
            options = {"generator": ctx.torch.Generator().manual_seed(seed)} if explicit else {}
            ctx.torch.manual_seed(seed)
            expected = [host(draw(ctx.torch, options)) for _, draw, _ in steps]
        elif own_generator(ctx):
            return
        else:
            stream = Stream(seed)
            expected = [draw(stream) for _, _, draw in steps]
        for (name, _, _), one, other in zip(steps, found, expected, strict=True):
            (near if "randn" in name else same)(one, other, f"{name}, in a row of draws from the seed {seed}")
    return run


# PyTorch 2.13's numbers after `torch.manual_seed(2026)`, each draw from the seed anew, as printed by
# `torch.manual_seed(2026); print(torch.rand(3).double().tolist())` and so on.
_GOLDEN: list[tuple[str, Callable[[Any], Any], list[float]]] = [
    ("rand", lambda t: t.rand(3), [0.15248113870620728, 0.2519153356552124, 0.7310043573379517]),
    ("rand-float64", lambda t: t.rand(2, dtype=t.float64), [0.21984947519733633, 0.8480353170340242]),
    ("randn", lambda t: t.randn(3), [0.36554577946662903, 1.906460165977478, 0.2168649137020111]),
    ("randn-float64", lambda t: t.randn(2, dtype=t.float64), [0.36554577027235113, 1.906460216715314]),
    ("randn-17", lambda t: t.randn(17)[-3:], [-0.6030175685882568, 0.5997449159622192, -1.4140260219573975]),
    ("randint", lambda t: t.randint(0, 1000, (5,)), [305.0, 774.0, 898.0, 336.0, 421.0]),
    ("randint-wide", lambda t: t.randint(0, 2**40, (3,)), [7587528070.0, 115797423032.0, 334847973709.0]),
    ("randperm", lambda t: t.randperm(7), [3.0, 1.0, 5.0, 0.0, 4.0, 6.0, 2.0]),
    ("bernoulli", lambda t: t.bernoulli(t.full((8,), 0.5)), [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0]),
    ("exponential_", lambda t: t.zeros(3).exponential_(),
     [0.24826839566230774, 1.8841071128845215, 0.16187353432178497]),
    ("rand-1300", lambda t: t.rand(1300)[-2:], [0.6436170339584351, 0.531129002571106]),
    ("dropout", lambda t: (t.nn.functional.dropout(t.ones(8), 0.25) != 0).float(),
     [1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0]),
]


def _golden(call: Callable[[Any], Any], expected: list[float], name: str) -> Callable[[Any], None]:
    def run(ctx: Any) -> None:
        flambeau.manual_seed(2026)
        near(call(flambeau).double(), np.array(expected), f"{name} after manual_seed(2026)", "float64",
             factor=1 if "64" in name else 1e4)
    return run


# Philox of known answers: the words of counter 0 and key 0, of Random123's own test vectors.
def _known_words(ctx: Any) -> None:
    if own_generator(ctx):
        return
    flambeau.manual_seed(0)
    found = host(flambeau.randint(0, 2**32, (1,), device=ctx.device))
    same(found, np.array([0x6627E8D5]), "the first word of Philox4x32-10 with counter 0 and key 0")


def _far(ctx: Any) -> None:
    """Far along the stream, where the counter's second word and the key's count: the state is seed and offset."""
    if own_generator(ctx):
        return
    for seed, block in ((5, 2**32 - 1), (2**64 - 7, 2**32 + 9), (2**33, 2**61 + 2**35 + 3)):
        state = np.array([seed, 4 * block], "<u8").view(np.uint8)
        generator = flambeau.Generator(ctx.device).set_state(flambeau.tensor(state))
        stream = Stream(seed, block)
        for number in range(2):
            found = flambeau.rand(300, device=ctx.device, generator=generator)
            same(found, stream.uniform((300,), flambeau.float32), f"draw {number + 1} from block {block}, seed {seed}")
        assert generator.initial_seed() == seed, "the seed of a state"


# ---------------------------------------------------------------------------------------------- generators
def _default(ctx: Any) -> Any:
    """The generator that draws on the device use when they are given none."""
    from flambeau.random import default_of
    return default_of(ctx.device)


def _states(explicit: bool) -> Callable[[Any], None]:
    """From a state taken after any draw the stream goes on as it went on."""
    def run(ctx: Any) -> None:
        generator = flambeau.Generator(ctx.device).manual_seed(9) if explicit else _default(ctx).manual_seed(9)
        keywords = {"device": ctx.device, **({"generator": generator} if explicit else {})}
        steps = _steps(_has_double(ctx))
        whole = [host(draw(flambeau, keywords)) for _, draw, _ in steps]
        for stop in (0, 3, 5, 8, 13):
            generator.manual_seed(9)
            for _, draw, _ in steps[:stop]:
                draw(flambeau, keywords)
            state = generator.get_state()
            assert state.dtype is flambeau.uint8 and state.device.type == "cpu" and state.dim() == 1, state
            for _ in range(2):
                for (name, draw, _), expected in zip(steps[stop:], whole[stop:], strict=True):
                    same(draw(flambeau, keywords), expected, f"{name} from the state after {stop} draws")
                generator.set_state(state)
            again = generator.get_state()
            same(again, host(state), "the state that was set")
    return run


def _copies(ctx: Any) -> None:
    generator = flambeau.Generator(ctx.device).manual_seed(77)
    flambeau.randn(3, device=ctx.device, generator=generator)
    state = generator.get_state()
    others = {"clone_state": generator.clone_state(), "deepcopy": copy.deepcopy(generator),
              "pickle": pickle.loads(pickle.dumps(generator)),
              "set_state": flambeau.Generator(ctx.device).set_state(state)}
    expected = [host(flambeau.rand(9, device=ctx.device, generator=generator)) for _ in range(2)]
    for name, other in others.items():
        assert other.device == ctx.device, f"{name}: a generator on {other.device}"
        for number in range(2):
            same(flambeau.rand(9, device=ctx.device, generator=other), expected[number], f"a generator's {name}")
    same(generator.get_state(), host(others["clone_state"].get_state()), "states after the same draws")
    assert host(generator.get_state()).tobytes() != host(state).tobytes(), "two draws left the state as it was"


def _seeds(ctx: Any) -> None:
    generator = flambeau.Generator(ctx.device)
    drawn = {}
    for seed in (0, 1, 2, -1, 2**31, 2**32, 2**32 + 1, 2**53, 2**63 - 1, 2**63 + 1):
        flambeau.manual_seed(seed)
        assert generator.manual_seed(seed) is generator, "manual_seed does not give the generator"
        assert generator.initial_seed() == seed % 2**64, f"initial_seed {generator.initial_seed()} after {seed}"
        assert _default(ctx).initial_seed() == seed % 2**64, f"the default generator's initial_seed after {seed}"
        drawn[seed] = host(flambeau.rand(40, device=ctx.device))
        same(flambeau.rand(40, device=ctx.device, generator=generator), drawn[seed], f"rand after the seed {seed}")
    texts = [each.tobytes() for seed, each in drawn.items() if not (own_generator(ctx) and seed >= 2**32)]
    assert len(set(texts)) == len(texts), "different seeds give the same numbers"
    refused(lambda: generator.manual_seed(2**64), "manual_seed(2**64)", RuntimeError, ValueError, OverflowError)
    chosen = [generator.seed() for _ in range(2)]
    assert chosen[0] != chosen[1], "seed() chose the same seed twice"
    assert generator.initial_seed() == chosen[1], "initial_seed is not what seed() chose"
    expected = host(flambeau.rand(5, device=ctx.device, generator=generator))
    generator.manual_seed(chosen[1])
    same(flambeau.rand(5, device=ctx.device, generator=generator), expected, "rand after the seed that seed() chose")


def _refusals(ctx: Any) -> None:
    generator = flambeau.Generator(ctx.device).manual_seed(1)
    refused(lambda: generator.set_state(generator.get_state()[:-1]), "a state that is too short", RuntimeError)
    refused(lambda: generator.set_state(flambeau.zeros(4)), "a state of floats", TypeError)
    if ctx.device.type != "cpu":
        refused(lambda: flambeau.rand(2, device=ctx.device, generator=flambeau.Generator("cpu")),
                "a generator of another device", RuntimeError)
    refused(lambda: flambeau.randint(5, 5, (2,), device=ctx.device), "an empty range", RuntimeError)
    refused(lambda: put(ctx, np.zeros(3, np.float32)).uniform_(2, 1), "uniform_ from 2 to 1", RuntimeError)
    refused(lambda: put(ctx, np.zeros(3, np.float32)).normal_(0, -1), "a negative deviation", RuntimeError)
    refused(lambda: put(ctx, np.zeros(3, np.float32)).bernoulli_(1.5), "a probability of 1.5", RuntimeError)
    refused(lambda: flambeau.rand(3, dtype=flambeau.int64, device=ctx.device), "rand of integers", RuntimeError)
    weights = put(ctx, np.array([1.0, -1.0], np.float32))
    refused(lambda: weights.multinomial(1), "a negative weight", RuntimeError)
    refused(lambda: weights.abs().multinomial(3), "three of two without replacement", RuntimeError)


def _forks(ctx: Any) -> None:
    flambeau.manual_seed(4)
    for _ in range(2):   # what was cached, too
        flambeau.randn(3, device=ctx.device)
    state = _default(ctx).get_state()
    expected = [host(flambeau.randn(5, device=ctx.device)), host(flambeau.rand(5, device=ctx.device))]
    _default(ctx).set_state(state)
    with flambeau.random.fork_rng():
        inside = host(flambeau.randn(5, device=ctx.device))
        flambeau.manual_seed(99)
        flambeau.rand(700, device=ctx.device)
    same(inside, expected[0], "the first draw inside of fork_rng")
    same(flambeau.randn(5, device=ctx.device), expected[0], "a draw after fork_rng")
    same(flambeau.rand(5, device=ctx.device), expected[1], "the second draw after fork_rng")


def _explicit_is_apart(ctx: Any) -> None:
    """Draws with a generator leave the default one alone, and the other way round; the host's is another one still."""
    flambeau.manual_seed(6)
    expected = host(flambeau.rand(8, device=ctx.device))
    flambeau.manual_seed(6)
    generator = flambeau.Generator(ctx.device).manual_seed(50)
    keywords = {"device": ctx.device, "generator": generator}
    flambeau.rand(3, **keywords)
    flambeau.randn(3, **keywords)
    flambeau.randint(9, (3,), **keywords)
    flambeau.randperm(3, **keywords)
    if ctx.device.type != "cpu":
        flambeau.rand(5)
    same(flambeau.rand(8, device=ctx.device), expected, "the default stream after draws from another generator")
    a = host(flambeau.rand(8, device=ctx.device, generator=generator.manual_seed(50)))
    generator.manual_seed(50)
    flambeau.rand(3, device=ctx.device)
    same(flambeau.rand(8, device=ctx.device, generator=generator), a, "a generator's stream after default draws")


def _devices(ctx: Any) -> None:
    """One stream per device: the same numbers from one seed, and none moves another's."""
    count = ctx.backend.device_count()
    if count < 2:
        return
    first, second = (flambeau.device(ctx.device.type, index) for index in (0, 1))
    flambeau.manual_seed(12)
    here = [host(flambeau.rand(7, device=first)) for _ in range(2)]
    there = [host(flambeau.rand(7, device=second)) for _ in range(2)]
    for one, other in zip(here, there, strict=True):
        same(one, other, "the numbers of two devices after one seed")


# ---------------------------------------------------------------------------------------------- targets
def _window(name: str) -> Callable[[Any], Any]:
    return {
        "every-second": lambda base: base[::2, 1::2], "transposed": lambda base: base.t(),
        "row": lambda base: base[3], "column": lambda base: base[:, 2], "inner": lambda base: base[1:5, 2:6],
        "0-d": lambda base: base[2, 3], "permuted": lambda base: base.view(2, 3, 4, 2).permute(3, 1, 0, 2),
        "empty": lambda base: base[:0],
    }[name]


_WINDOWS = ("every-second", "transposed", "row", "column", "inner", "0-d", "permuted", "empty")
_FILLS: dict[str, tuple[Callable[[Any], Any], Callable[[Stream, tuple[int, ...], Any], Array], bool]] = {
    "uniform_": (lambda x: x.uniform_(), lambda s, shape, d: s.uniform(shape, d), True),
    "normal_": (lambda x: x.normal_(1, 2), lambda s, shape, d: s.normal(shape, d) * 2 + 1, False),
    "random_": (lambda x: x.random_(-5, 90), lambda s, shape, d: s.randint(shape, -5, 90, d), True),
    "bernoulli_": (lambda x: x.bernoulli_(0.4), lambda s, shape, d: s.coins(shape, 0.4, d), True),
    "exponential_": (lambda x: x.exponential_(2),
                     lambda s, shape, d: np.abs(np.log(1 - s.draw_unit(shape, d))) / 2, False),
}


def _target(fill: str, window: str, dtype: Any) -> Callable[[Any], None]:
    """A draw into a window of a tensor: the numbers go there in order, the rest stays, the version counts."""
    call, expect, exact = _FILLS[fill]
    view = _window(window)

    def run(ctx: Any) -> None:
        start = np.arange(48).reshape(6, 8) - 100
        base = put(ctx, start, dtype)
        part = view(base)
        flambeau.manual_seed(31)
        version = base._version
        result = call(part)
        assert result is part, f"{fill} does not give the tensor itself"
        assert base._version > version or part.numel() == 0, f"{fill} into a view is not counted as a change"
        what = f"{fill} into the window {window!r}"
        if repeats_torch(ctx):
            ctx.torch.manual_seed(31)
            other = as_torch(ctx, start, dtype)
            call(view(other))
            (same if exact else near)(base, host(other), what)
            return
        expected = start.astype(numpy_dtype(dtype))
        outside = np.ones((6, 8), bool)
        marks = np.arange(48).reshape(6, 8)
        inside = host(view(flambeau.tensor(marks))).ravel()     # on the host: which elements the window shows
        outside.ravel()[inside] = False
        same(host(base)[outside], expected[outside], what + ": what lies around it")
        if not own_generator(ctx):
            (same if exact else near)(part, expect(Stream(31), tuple(part.shape), dtype), what)
    return run


def _expanded(ctx: Any) -> None:
    base = put(ctx, np.zeros(3, np.float32))
    for fill, (call, _, _) in _FILLS.items():
        refused(partial(call, base.expand(2, 3)), f"{fill} into an expanded tensor", RuntimeError)


def _histories(ctx: Any) -> None:
    """Draws have no gradient; filling a leaf that requires one is refused, filling an inner tensor cuts its history."""
    assert flambeau.rand(3, device=ctx.device, requires_grad=True).requires_grad
    leaf = put(ctx, np.ones(4, np.float32)).requires_grad_()
    refused(lambda: leaf.uniform_(), "uniform_ of a leaf that requires a gradient", RuntimeError)
    inner = leaf * 3
    inner.uniform_()
    (inner * 2).sum().backward()
    same(leaf.grad, np.zeros(4, np.float32), "the gradient through a tensor that was overwritten")
    leaf.grad = None
    flambeau.manual_seed(2)
    dropped = flambeau.nn.functional.dropout(leaf, 0.5)
    dropped.sum().backward()
    same(leaf.grad, host(dropped), "the gradient of dropout of ones")


def _outs(ctx: Any) -> None:
    calls: dict[str, Callable[..., Any]] = {
        "rand": partial(flambeau.rand, 2, 3), "randn": partial(flambeau.randn, 2, 3),
        "randint": partial(flambeau.randint, 0, 50, (2, 3)), "randperm": partial(flambeau.randperm, 6)}
    for name, call in calls.items():
        flambeau.manual_seed(3)
        expected = host(call(device=ctx.device))
        kind = np.int64 if name in ("randint", "randperm") else np.float32
        out = put(ctx, np.zeros(expected.shape, kind))
        flambeau.manual_seed(3)
        assert call(out=out, device=ctx.device) is out, f"{name}(out=) does not give the tensor"
        same(out, expected, f"{name}(out=)")


def cases(subject: Any) -> Iterator[Case]:
    """The cases on rows of draws, generators and targets."""
    for seed in (0, 123456789012345, 2**63 + 11):
        for explicit in (False, True):
            name = f"{'generator' if explicit else 'default'}-{seed}"
            yield Case(LEVEL, "row", name, _row(explicit, seed), quick=True)
    if subject.backend.capabilities.host:
        for name, call, expected in _GOLDEN:
            yield Case(LEVEL, "golden", name, _golden(call, expected, name), quick=True)
    single: dict[str, Callable[[Any], None]] = {
        "words": _known_words, "far": _far, "states-default": _states(False), "states": _states(True),
        "copies": _copies, "seeds": _seeds, "refusals": _refusals, "forks": _forks, "apart": _explicit_is_apart,
        "devices": _devices, "expanded": _expanded, "histories": _histories, "out": _outs}
    for name, run in single.items():
        yield Case(LEVEL, "generator", name, run, quick=True)
    for dtype in (flambeau.float32, flambeau.float64, flambeau.int64):
        for fill in _FILLS:
            for window in _WINDOWS:
                if dtype in subject.dtypes and (dtype is not flambeau.int64 or fill == "random_"):
                    yield Case(LEVEL, fill, f"{dtype.name}-{window}", _target(fill, window, dtype), dtype)


__all__ = ["cases", "own_generator", "repeats_torch"]
