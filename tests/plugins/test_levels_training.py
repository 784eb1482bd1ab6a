"""The suite's levels on draws, promotion, layers and training: their own arithmetic is right, and they see faults."""

from __future__ import annotations

import importlib
import itertools

import numpy as np
import pytest

import flambeau
from flambeau import discovery, random
from flambeau.optim import _functional  # noqa: F401 - its records are among those that are broken below
from flambeau.registry import OPERATORS
from flambeau_conformance import engine, suite
from flambeau_conformance.levels import _optimizers, _rules, _statistics, nn
from flambeau_conformance.levels._layers import LAYERS
from flambeau_conformance.levels._philox import Stream, philox
from flambeau_numpy.mt19937 import MT19937Generator

LEVELS = ("random", "promotion", "nn", "training")


def cases(level):
    return list(importlib.import_module(f"flambeau_conformance.levels.{level}").cases(suite.subject("cpu")))


@pytest.fixture(scope="module")
def table():
    return {case.id: case for level in LEVELS for case in cases(level)}


# ---------------------------------------------------------------------------------------------- the table of cases
def test_every_case_has_a_name_of_its_own_and_its_level():
    for level in LEVELS:
        made = cases(level)
        assert {case.level for case in made} == {level}
        assert len({case.id for case in made}) == len(made) > 100
        assert [case.id for case in made] == [case.id for case in cases(level)]
        assert any(case.quick for case in made)


def test_no_layer_optimizer_or_schedule_is_without_a_row():
    assert set(nn.all_layers()) == set(LAYERS)
    assert set(_optimizers.all_optimizers()) == set(_optimizers.formulas()) | set(_optimizers.PROGRAMS)
    assert set(_optimizers.all_schedules()) == set(_optimizers.SCHEDULES)


def test_a_layer_without_a_row_fails(monkeypatch):
    monkeypatch.setattr(nn, "LAYERS", {name: rows for name, rows in LAYERS.items() if name != "Linear"})
    missing, = [case for case in nn.cases(suite.subject("cpu")) if case.op == "Linear"]
    with engine.Session("cpu") as session:
        outcome = engine.execute(missing, session)
    assert outcome.status == "fail" and "Linear has no row" in outcome.message


@pytest.mark.parametrize("level", LEVELS)
def test_a_part_of_the_quick_cases_passes_on_the_host(level):
    chosen = [case for case in cases(level) if case.quick][::6]
    with engine.Session("cpu") as session:
        outcomes = {case.id: engine.execute(case, session) for case in chosen}
    assert outcomes
    assert {name: each.message for name, each in outcomes.items() if each.status != "pass"} == {}


# ---------------------------------------------------------------------------------------------- its own arithmetic
@pytest.mark.parametrize(("counter", "key", "words"), [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF, 0xFFFFFFFF), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     "d16cfe09 94fdcceb 5001e420 24126ea1")])
def test_the_suite_s_philox_gives_the_known_answers(counter, key, words):
    assert " ".join(format(int(each), "08x") for each in philox(counter, key)) == words


def test_each_draw_of_a_stream_uses_the_next_block():
    stream, later = Stream(7), Stream(7, block=1)
    first = stream.unit((5,), "float32")
    assert (stream.unit((5,), "float32") == later.unit((5,), "float32")).all()
    assert not (first == Stream(8).unit((5,), "float32")).any()
    assert set(Stream(1).randint((500,), -3, 4, flambeau.int64)) == set(range(-3, 4))


def test_the_rules_are_those_of_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

    def name(dtype):
        return str(dtype).removeprefix("torch.")
    for a, b in itertools.product(_rules.ORDER, repeat=2):
        one, other = getattr(torch, a), getattr(torch, b)
        assert _rules.promoted(a, b) == name(torch.promote_types(one, other)), (a, b)
        assert _rules.castable(a, b) == torch.can_cast(one, other), (a, b)
        for first, second in itertools.product(((2,), ()), repeat=2):
            expected = name(torch.result_type(torch.ones(first, dtype=one), torch.ones(second, dtype=other)))
            ranks = [[], []]
            ranks[not first].append(a)
            ranks[not second].append(b)
            if expected != "complex32":
                assert _rules.common(*ranks, []) == expected, (a, first, b, second)
        for number in (True, 2, 2.5, 2j):
            expected = name(torch.result_type(torch.ones(2, dtype=one), number))
            if expected != "complex32":
                assert _rules.common([a], [], [type(number)]) == expected, (a, number)


def test_statistics_accept_what_is_random_and_refuse_what_is_not():
    rng = np.random.default_rng(0)
    uniform = rng.random(_statistics.COUNT)
    _statistics.kolmogorov_smirnov(uniform, lambda x: x, "uniform")
    _statistics.independent(uniform, "uniform")
    _statistics.chi_square(np.bincount(rng.integers(0, 6, 6000)), np.full(6, 1000.0), "dice")
    _statistics.moments(rng.normal(2, 3, _statistics.COUNT), 2, 3, "normal")
    with pytest.raises(AssertionError, match="differs"):
        _statistics.kolmogorov_smirnov(uniform ** 1.1, lambda x: x, "skewed")
    with pytest.raises(AssertionError, match="correlation"):
        _statistics.independent(uniform + 0.2 * np.roll(uniform, 3), "smeared")
    folded = np.roll(np.abs(2 * uniform - 1), 1)
    with pytest.raises(AssertionError, match="pairs"):
        _statistics.independent(np.where(np.arange(_statistics.COUNT) % 2, folded, uniform), "folded")
    with pytest.raises(AssertionError, match="chi-square"):
        _statistics.chi_square(np.array([900, 1000, 1100, 1000, 1100, 900]), np.full(6, 1000.0), "loaded dice")
    with pytest.raises(AssertionError, match="cannot"):
        _statistics.chi_square(np.array([1, 10]), np.array([0.0, 10.0]), "impossible")


# ---------------------------------------------------------------------------------------------- faults
def kernel(name, broken):
    """A fault in one of the host's kernels: `broken(kernel, *args)` in its place."""
    def put_in(monkeypatch):
        kernels = discovery.backend_for("cpu").kernels
        whole = kernels[name]
        monkeypatch.setitem(kernels, name, lambda *args, **kwargs: broken(whole, *args, **kwargs))
    return put_in


def member(owner, name, broken):
    """A fault in a function of a class or module."""
    def put_in(monkeypatch):
        whole = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **kwargs: broken(whole, *args, **kwargs))
    return put_in


def shifted(position, change):
    """A kernel called with one argument changed."""
    def broken(whole, *args, **kwargs):
        return whole(*args[:position], change(args[position]), *args[position + 1:], **kwargs)
    return broken


FAULTS = {
    "uniform from 0 to 1 always": (kernel("uniform", shifted(2, lambda high: 1.0)),
                                   "random/distribution/uniform_-float32"),
    "a deviation that is squared": (kernel("normal", shifted(2, lambda std: std * std)),
                                  "random/distribution/normal_-float32"),
    "the upper end included": (kernel("randint", shifted(2, lambda high: high + 1)),
                               "random/distribution/randint-dice-int64"),
    "coins that are slightly biased": (kernel("coins", shifted(1, lambda p: p * 0.95)),
                                       "random/distribution/bernoulli-float32"),
    "a rate inverted": (kernel("exponential", shifted(1, lambda rate: 1 / rate)),
                        "random/distribution/exponential_-float32"),
    "a mask that is not scaled": (kernel("dropout_mask", lambda whole, *args, **more: np.sign(whole(*args, **more))),
                                  "random/distribution/dropout-float32"),
    "a seed cut to a byte": (member(MT19937Generator, "manual_seed", lambda whole, self, seed: whole(self, seed % 256)),
                             "random/generator/seeds"),
    "a state that is not set": (member(MT19937Generator, "set_state", lambda whole, self, state: self),
                                "random/generator/states"),
    "a fork that restores nothing": (member(random, "default_states", lambda whole: []), "random/generator/forks"),
    "descent uphill": (kernel("sgd_step_", shifted(3, lambda lr: -lr)), "training/SGD/float32-1"),
    "nesterov left out": (kernel("sgd_step_", shifted(6, lambda nesterov: False)), "training/SGD/float64-3"),
    "a step counted twice": (kernel("adam_step_", shifted(5, lambda counts: [each + 1 for each in counts])),
                             "training/Adam/float32-0"),
    "a larger epsilon": (kernel("adam_step_", shifted(9, lambda eps: eps * 100)), "training/AdamW/float64-0"),
    "the largest square forgotten": (kernel("adam_step_", shifted(4, lambda largest: [])),
                                     "training/Adam/float32-6-strided"),
    "a variance with another epsilon": (kernel("native_layer_norm", shifted(4, lambda eps: eps * 50)),
                                        "nn/LayerNorm/float32-0-train"),
    "an embedding's gradient scaled": (kernel("embedding_weight_grad", lambda whole, *args: whole(*args) * 1.01),
                                       "nn/Embedding/float32-0-train"),
    "quotients of another dtype": (kernel("div", lambda whole, *args, **kwargs: np.asarray(
        whole(*args, **kwargs)).astype(np.float64)), "promotion/div/float32-dims"),
    "no broadcasting": (kernel("maximum", lambda whole, a, b, **kwargs: whole(a, np.ravel(b)[0], **kwargs)
                               if np.ndim(b) < np.ndim(a) and np.size(b) else whole(a, b, **kwargs)),
                        "promotion/maximum/shapes-float32"),
}


def forget_plans():
    """Plans keep the kernels that they were made with."""
    for record in OPERATORS.values():
        record.plans.clear()


@pytest.fixture
def whole_again():
    yield
    forget_plans()


@pytest.mark.usefixtures("whole_again")
@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_seen(name, table, monkeypatch):
    put_in, case = FAULTS[name]
    with engine.Session("cpu") as session:
        assert engine.execute(table[case], session).message == ""
    forget_plans()
    put_in(monkeypatch)
    with engine.Session("cpu") as session:
        assert engine.execute(table[case], session).status != "pass"
