"""The conformance levels about the contract itself: that their oracle is right, and that they see what is wrong.

A backend that does one thing wrong stands for each kind of fault; the level that is about it must fail on it, and
everything must pass without the fault.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau import discovery, dtypes as fd

pytest.importorskip("flambeau_conformance", reason="the conformance suite is a plugin of its own")
from flambeau_conformance import engine, suite
from flambeau_conformance.levels import (
    _casts,
    _shared,
    _view_programs,
    determinism,
    errors,
    memory,
    streams,
    transfers,
    views,
)
from guest import Guests

MODULES = {"transfers": transfers, "views": views, "memory": memory, "streams": streams, "determinism": determinism,
           "errors": errors}


class Accelerator(Guests):
    """The host's kernels behind devices of their own."""

    name = "levels_under_test"


@pytest.fixture
def device() -> Iterator[str]:
    discovery.register_backend(Accelerator)
    try:
        yield Accelerator.name
    finally:
        discovery.unregister_backend(Accelerator.name)


def failures(device: str, level: str, pattern: str) -> tuple[int, list[str]]:
    """(how many cases ran, the ids of those that did not pass) of a level."""
    about = suite.subject(device)
    ran, wrong = 0, []
    with engine.Session(device) as session:
        for case in MODULES[level].cases(about):
            if fnmatch.fnmatch(case.id, pattern):
                ran += 1
                if engine.execute(case, session).status != "pass":
                    wrong.append(case.id)
    return ran, wrong


def without_strides(original: Callable[..., Any]) -> Callable[..., Any]:
    def from_host(array: Any, index: int) -> Any:
        return np.array(array, order="K").reshape(-1, order="K").reshape(array.shape)
    return from_host


def shifted(original: Callable[..., Any]) -> Callable[..., Any]:
    def as_strided(array: Any, shape: Any, strides: Any, offset: int) -> Any:
        return original(array, shape, strides, 0)
    return as_strided


def ignoring(original: Callable[..., Any]) -> Callable[..., Any]:
    def copy(target: Any, source: Any) -> None:
        if target.flags.c_contiguous:
            original(target, source)
    return copy


FAULTS: dict[str, tuple[str, Callable[..., Any], str, str]] = {
    "to_host gives the array itself": ("to_host", lambda original: lambda array: array, "transfers", "*/to_host*"),
    "from_host keeps the array": ("from_host", lambda original: lambda array, index: np.asarray(array, order="C"),
                                  "transfers", "*/from_host*/float32"),
    "from_host ignores strides": ("from_host", without_strides, "transfers", "*/from_host/float32"),
    "as_strided ignores the offset": ("as_strided", shifted, "transfers", "*/as_strided/float32-*"),
    "copy does nothing to a view": ("copy", ignoring, "transfers", "*/copy/float32-into-*"),
    "empty of another dtype": ("empty", lambda original: lambda shape, dtype, index: original(
        shape, fd.float32 if dtype is fd.float64 else dtype, index), "transfers", "*/empty/float64"),
    "layout without the offset": ("layout", lambda original: lambda array: (original(array)[0], 0), "transfers",
                                  "*/layout/float32"),
    "every array its own storage": ("storage", lambda original: lambda array: array, "transfers", "*/storage/float32"),
    "always contiguous": ("is_contiguous", lambda original: lambda array: True, "transfers", "*/contiguous/float32"),
    "kernel changes its operand": ("kernel:neg", lambda original: lambda a, out=None: np.negative(
        a, a if out is None else out), "determinism", "*/neg/float32"),
    "kernel gives its operand": ("kernel:abs", lambda original: lambda a, out=None: a, "determinism", "*/abs/float32"),
    "kernel keeps its results": ("kernel:exp", lambda original: lambda a, out=None, kept=[]: (
        kept.append(np.exp(a)) or kept[-1]), "memory", "*/exp/float32-growth"),
    "kernel without an error": ("kernel:gather", lambda original: lambda a, dim, index: original(
        a, dim, np.clip(index, 0, a.shape[dim] - 1)), "errors", "*/gather/range"),
    "in place does nothing": ("kernel:mul", lambda original: lambda a, b, out=None: np.multiply(a, b), "views",
                              "*/mul/float32-inplace-contiguous"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_sees_the_fault(device: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, change, level, pattern = FAULTS[fault]
    ran, wrong = failures(device, level, pattern)
    assert ran and not wrong, "without the fault, everything passes"
    backend = discovery.backend_for(device)
    if where.startswith("kernel:"):
        name = where.removeprefix("kernel:")
        monkeypatch.setitem(backend.kernels, name, change(backend.kernels[name]))
    else:
        monkeypatch.setattr(backend, where, change(getattr(backend, where)))
    assert failures(device, level, pattern)[1], f"{fault}: nothing failed"


@pytest.mark.parametrize("level", MODULES)
def test_cases_are_many_and_named_apart(level: str) -> None:
    made = list(MODULES[level].cases(suite.subject("cpu")))
    ids = {case.id for case in made}
    assert len(ids) == len(made) >= 50
    assert all(case.level == level for case in made)
    assert any(case.quick for case in made)


@pytest.mark.parametrize("pair", [("float64", "int8"), ("float32", "float8_e4m3fn"), ("float32", "bfloat16"),
                                  ("float64", "float16"), ("complex64", "float32"), ("int64", "uint8"),
                                  ("uint64", "float32"), ("float32", "bool"), ("int32", "complex128"),
                                  ("float16", "float8_e5m2"), ("complex128", "complex64"), ("bfloat16", "int64")])
def test_cast_by_numpy_is_the_oracles(oracle: Any, pair: tuple[str, str]) -> None:
    """Without PyTorch the suite must expect the same bits."""
    source, target = (fd.by_name(each) for each in pair)
    array = _casts.castable(source, target)
    context = type("Context", (), {"torch": oracle})()
    expected = _casts.expected_cast(context, array, source, target)
    _shared.check_same(_casts.cast_by_numpy(array, source, target), expected, f"{source} to {target}")


@pytest.mark.parametrize("name", _view_programs.VIEWS)
def test_views_of_numpy_are_the_oracles(oracle: Any, name: str) -> None:
    """NumPy's form of each view has the strides and offset of PyTorch's."""
    view = _view_programs.VIEWS[name]
    host = np.arange(72, dtype=np.float32).reshape(3, 4, 6)
    theirs, mine = view.tensor(oracle.from_numpy(host)), view.array(host)
    for one, other in zip(theirs if view.several else [theirs], mine if view.several else [mine], strict=True):
        assert tuple(one.shape) == other.shape
        np.testing.assert_array_equal(one.numpy(), other)
        assert [(have, size) for have, size in zip(one.stride(), other.shape, strict=True) if size > 1] == [
            (each // 4, size) for each, size in zip(other.strides, other.shape, strict=True) if size > 1]


def test_comparison_is_bit_by_bit() -> None:
    """-0.0 is not 0.0, a nan is a nan, and a dtype or a shape is part of the value."""
    _shared.check_same(np.array([np.nan, 1.0]), np.array([-np.nan, 1.0]), "nan")
    for one, other in ((np.array([0.0]), np.array([-0.0])), (np.zeros(2), np.zeros((2, 1))),
                       (np.zeros(2, np.float32), np.zeros(2)), (np.array([1.0]), np.array([1.0 + 2 ** -52]))):
        with pytest.raises(AssertionError):
            _shared.check_same(one, other, "value")


def test_raises_names_what_came_instead() -> None:
    with pytest.raises(AssertionError, match="raised nothing, expected IndexError"):
        _shared.raises(IndexError, lambda: flambeau.zeros(2), "a call")
    with pytest.raises(AssertionError, match="raised TypeError"):
        _shared.raises(IndexError, lambda: int([]), "a call")  # type: ignore[call-overload]
    assert isinstance(_shared.raises((KeyError, IndexError), lambda: [][0], "a call"), IndexError)


def test_threads_that_fail_are_heard() -> None:
    def work(number: int) -> None:
        assert number != 1, "not this one"
    with pytest.raises(AssertionError, match="thread 1: AssertionError: not this one"):
        streams.together(work)
