"""The kernels that array libraries share: right under NumPy, and under the array API standard where they say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau_xp
from flambeau_numpy.kernels import KERNELS as ON_CPU, shared

PORTABLE = flambeau_xp.bind(np)


def as_list(results: Any) -> list[np.ndarray]:
    return [np.asarray(each) for each in (results if isinstance(results, tuple) else (results,))]


def test_every_kernel_has_a_case(cases):
    assert {case.name for case in cases} == flambeau_xp.KERNELS.keys()


def test_with_numpy_alone(case):
    """The portable forms, with no helper replaced."""
    if case.name in ("cumsum", "cumprod") and not hasattr(np, "cumulative_sum"):
        pytest.skip("NumPy has the standard's cumulative_sum from 2.1 on; the backend has a kernel of its own")
    case.check(as_list(PORTABLE[case.name](*case.args)), *case.args)


def test_as_the_cpu_backend_binds_them(case):
    """With NumPy's own helpers, whether the backend puts a kernel of its own in their place or not."""
    if case.name in ("cumsum", "cumprod") and not hasattr(np, "cumulative_sum"):
        pytest.skip("NumPy has the standard's cumulative_sum from 2.1 on; the backend has a kernel of its own")
    case.check(as_list(shared.KERNELS[case.name](*case.args)), *case.args)


def test_on_the_cpu(case):
    """What the backend serves under the name: the shared kernel or its own form of it."""
    if case.name == "topk" and case.args[0].ndim:
        case.check(as_list(PORTABLE["topk"](*case.args)), *case.args)
        values, order = ON_CPU["topk"](*case.args)
        np.testing.assert_array_equal(values, PORTABLE["topk"](*case.args)[0])
        np.testing.assert_array_equal(np.take_along_axis(case.args[0], order, case.args[2]), values)
    else:
        case.check(as_list(ON_CPU[case.name](*case.args)), *case.args)


# ---------------------------------------------------------------------------------------------- the standard
@pytest.fixture(scope="module")
def strict() -> Any:
    return pytest.importorskip("array_api_strict", reason="the array API standard and nothing else")


def run(xp: Any, name: str, args: tuple[Any, ...]) -> list[np.ndarray]:
    kernel = flambeau_xp.bind(xp)[name]
    return as_list(kernel(*[xp.asarray(each) if isinstance(each, np.ndarray) else each for each in args]))


def test_within_the_standard(strict, standard_case):
    standard_case.check(run(strict, standard_case.name, standard_case.args), *standard_case.args)


def test_beyond_the_standard(strict, beyond, cases):
    """What a kernel is said to need is really missing: else its entry is out of date."""
    assert flambeau_xp.BEYOND[beyond]
    failures = 0
    for case in cases:
        if case.name == beyond:
            try:
                run(strict, beyond, case.args)
            except (AttributeError, TypeError, ValueError):
                failures += 1
    assert failures, f"{beyond} keeps to the standard by now: take it out of BEYOND"


def test_the_declarations_name_kernels():
    assert flambeau_xp.BEYOND.keys() <= flambeau_xp.KERNELS.keys()
    assert flambeau_xp.STANDARD | flambeau_xp.BEYOND.keys() == flambeau_xp.KERNELS.keys()
    assert len(flambeau_xp.STANDARD) > len(flambeau_xp.BEYOND)


# ---------------------------------------------------------------------------------------------- failures
@pytest.mark.parametrize("name, args", [
    ("linalg_solve", (np.zeros((2, 2)), np.ones((2, 1)))),
    ("linalg_inv", (np.zeros((2, 3, 3)),)),
    ("linalg_cholesky", (-np.eye(2),)),
    ("bincount", (np.array([-1]), None, 0)),
])
def test_what_has_no_answer_is_an_error(name, args):
    with pytest.raises(ValueError):
        PORTABLE[name](*args)


# ---------------------------------------------------------------------------------------------- binding
def test_a_kernel_is_replaced_by_name():
    bound = flambeau_xp.bind(np, {"linalg_inv": lambda xp, a: (xp, a)})
    assert bound["linalg_inv"](3) == (np, 3)
    assert bound.keys() == flambeau_xp.KERNELS.keys()


def test_a_helper_is_replaced_wherever_it_is_taken():
    calls = []

    def accumulate(xp: Any, name: str, a: Any, dim: int) -> Any:
        calls.append(name)
        return getattr(np, name).accumulate(a, dim)
    bound = flambeau_xp.bind(np, {"accumulate": accumulate})
    bound["cummin"](np.array([1.0, 0.0]), 0)
    bound["logcumsumexp"](np.array([1.0, 0.0]), 0)
    assert calls == ["minimum", "maximum", "logaddexp"]


def test_a_replacement_may_take_helpers():
    def sort(xp: Any, *args: Any, stable_order: Any) -> Any:
        return stable_order
    sort.__kwdefaults__ = {"stable_order": None}
    mark = object()
    assert flambeau_xp.bind(np, {"sort": sort, "stable_order": mark})["sort"]() is mark


def test_a_name_that_nothing_has_is_refused():
    with pytest.raises(ValueError, match=r"cholseky.*helpers are accumulate, native_dtype, stable_order"):
        flambeau_xp.bind(np, {"cholseky": lambda xp: None})
