"""What CuPy does otherwise, on a machine without a GPU.

The overrides run under a module that computes with NumPy but refuses what CuPy refuses, and fails as silently as CuPy
does. That proves their Python; whether CuPy on a GPU behaves like the stand-in, only a GPU can say. What can be asked
of an installed CuPy without one is asked of it: which functions it has, and with which parameters.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import flambeau_xp
from flambeau_cupy.overrides import OVERRIDES


@pytest.fixture(scope="module")
def cupy() -> ModuleType:
    return pytest.importorskip("cupy", reason="CuPy itself is asked; it imports without a GPU")


# ---------------------------------------------------------------------------------------------- the stand-in
STATE = {"linalg": "ignore"}


@contextmanager
def errstate(*, linalg: str) -> Iterator[None]:
    """As in `cupyx`."""
    before = STATE["linalg"]
    STATE["linalg"] = linalg
    try:
        yield
    finally:
        STATE["linalg"] = before


@pytest.fixture
def stand_in_cupyx(monkeypatch):
    module = ModuleType("cupyx")
    module.errstate = errstate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupyx", module)


def _plain(name: str) -> Any:
    """A ufunc without its loops, of which CuPy has only those of `add` and `multiply`."""
    return lambda *args, **kwargs: getattr(np, name)(*args, **kwargs)


def _silent(name: str) -> Any:
    """A function of numpy.linalg that gives nan where NumPy raises, unless `errstate` says otherwise."""
    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(np.linalg, name)(*args, **kwargs)
        except np.linalg.LinAlgError:
            if STATE["linalg"] == "raise":
                raise
            return np.full_like(args[0], np.nan)
    return function


def _solve(a: np.ndarray, b: np.ndarray) -> Any:
    if a.shape[:-1] != b.shape[:-1]:
        raise ValueError("a must have (..., M, M) shape and b must have (..., M, K)")
    return _silent("solve")(a, b)


def _argsort(a: np.ndarray, axis: int = -1, kind: Any = None) -> np.ndarray:
    assert a.size and a.dtype != bool, "unknown of Thrust"
    return np.argsort(a, axis, kind="stable")


def _lexsort(keys: np.ndarray) -> np.ndarray:
    assert keys.ndim == 2 and keys.size and keys.dtype.kind in "iuf" and keys.flags.c_contiguous
    return np.lexsort(keys)


def _histogram(a: np.ndarray, bins: int, range: tuple[float, float]) -> Any:
    counts, edges = np.histogram(a[a == a], bins, range)
    counts[0] += (a != a).sum()
    return counts, edges


def _unique(a: np.ndarray, return_inverse: bool, return_counts: bool, *, equal_nan: bool) -> Any:
    return np.unique(a, return_inverse=return_inverse, return_counts=return_counts, equal_nan=equal_nan)


class StandIn:
    """The parts of `cupy` that shared kernels use, over NumPy's arrays, with CuPy's gaps."""

    linalg = SimpleNamespace(**{name: _silent(name) for name in
                                ("cholesky", "det", "eigh", "inv", "qr", "slogdet", "svd")}, solve=_solve)
    argsort, lexsort = staticmethod(_argsort), staticmethod(_lexsort)
    histogram, unique = staticmethod(_histogram), staticmethod(_unique)
    maximum, minimum, logaddexp = (staticmethod(_plain(name)) for name in ("maximum", "minimum", "logaddexp"))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


STAND_IN = StandIn()
BOUND = flambeau_xp.bind(STAND_IN, OVERRIDES)


def as_list(results: Any) -> list[np.ndarray]:
    return [np.asarray(each) for each in (results if isinstance(results, tuple) else (results,))]


# ---------------------------------------------------------------------------------------------- the overrides
@pytest.mark.usefixtures("stand_in_cupyx")
def test_on_the_stand_in(case):
    if case.name in ("cumsum", "cumprod") and not hasattr(np, "cumulative_sum"):
        pytest.skip("NumPy, which stands in for CuPy here, has cumulative_sum from 2.1 on")
    case.check(as_list(BOUND[case.name](*case.args)), *case.args)


SINGULAR = [
    ("linalg_solve", (np.zeros((2, 2)), np.ones((2, 1)))),
    ("linalg_solve", (np.zeros((3, 1, 2, 2)), np.ones((2, 2, 1)))),
    ("linalg_inv", (np.zeros((2, 3, 3)),)),
    ("linalg_cholesky", (-np.eye(2),)),
    ("linalg_svd", (np.full((2, 2), np.nan), True)),
]


@pytest.mark.usefixtures("stand_in_cupyx")
@pytest.mark.parametrize("name, args", SINGULAR)
def test_factorizations_raise(name, args):
    with pytest.raises(np.linalg.LinAlgError):
        BOUND[name](*args)


@pytest.mark.usefixtures("stand_in_cupyx")
@pytest.mark.parametrize("name", sorted(name for name in OVERRIDES if name.startswith("linalg_")))
def test_every_factorization_asks_for_the_verdict(name, cases):
    asked = []

    def ask(*args: Any, **kwargs: Any) -> tuple[()]:
        asked.append(STATE["linalg"])
        return ()
    library = SimpleNamespace(linalg=SimpleNamespace(**{name.removeprefix("linalg_"): ask}))
    args = next(case.args for case in cases if case.name == name)
    OVERRIDES[name](library, *args)
    assert asked == ["raise"]


@pytest.mark.usefixtures("stand_in_cupyx")
def test_without_the_override_nothing_is_said():
    """The stand-in is as silent as CuPy, so the test above shows what the overrides do."""
    assert np.isnan(flambeau_xp.bind(STAND_IN)["linalg_inv"](np.zeros((2, 2)))).all()


@pytest.mark.usefixtures("stand_in_cupyx")
def test_raising_ends_with_the_call():
    BOUND["linalg_inv"](np.eye(2))
    with pytest.raises(np.linalg.LinAlgError):
        BOUND["linalg_inv"](np.zeros((2, 2)))
    assert STATE["linalg"] == "ignore"


@pytest.mark.usefixtures("stand_in_cupyx")
def test_right_sides_of_another_height_are_refused():
    with pytest.raises(ValueError, match="3 rows and right sides of 2"):
        BOUND["linalg_solve"](np.eye(3), np.ones((2, 1)))


@pytest.mark.parametrize("a", [
    np.array([[1 + 2j, 0], [1 + 1j, 3], [1 + 2j, 0], [1 + 1j, 2]]),
    np.array([[np.nan, 1], [2, np.nan], [2, 1], [2, 1], [np.nan, 1]]),
    np.array([[0.0, 1], [-0.0, 1]], np.float32),
    np.zeros((3, 0)),
    np.zeros((0, 3)),
    np.array([[2**63 + 1], [1], [2**63 + 1]], np.uint64),
])
def test_unique_slices_are_numpys(a):
    values, inverse, counts = BOUND["unique"](a, 0)
    expected = flambeau_xp.bind(np)["unique"](a, 0)
    for actual, wanted in zip((values, inverse, counts), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)
        assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)


def test_importing_the_overrides_does_not_import_cupy():
    program = "import sys, flambeau_cupy.overrides; sys.exit('cupy' in sys.modules or 'cupyx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ---------------------------------------------------------------------------------------------- CuPy itself
def _attributes(source: str) -> set[str]:
    """The names `xp.name` and `xp.linalg.name` of a module's text."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            path, at = [node.attr], node.value
            while isinstance(at, ast.Attribute):
                path.insert(0, at.attr)
                at = at.value
            if isinstance(at, ast.Name) and at.id == "xp":
                names.add(".".join(path))
    return names


def _sources() -> list[Path]:
    overrides = Path(inspect.getsourcefile(OVERRIDES["unique"]) or "")
    return [overrides, *Path(flambeau_xp.__file__).parent.glob("*.py")]


def test_cupy_has_every_function_that_is_used(cupy):
    used = set().union(*(_attributes(path.read_text(encoding="utf-8")) for path in _sources()))
    used |= {"maximum", "minimum", "logaddexp", "add"}    # which `accumulate` is told by name
    assert len(used) > 40

    def missing(path: str) -> bool:
        owner = cupy
        for name in path.split("."):
            if not hasattr(owner, name):
                return True
            owner = getattr(owner, name)
        return False
    assert sorted(filter(missing, used)) == []


def test_the_reasons_still_hold(cupy):
    """An override whose reason is gone is one too many."""
    assert "stable" not in inspect.signature(cupy.argsort).parameters
    assert "axis" not in inspect.signature(cupy.lexsort).parameters
    with pytest.raises(NotImplementedError):
        cupy.maximum.accumulate(None)


@pytest.mark.usefixtures("cupy")
def test_the_state_that_is_set_is_cupys():
    from cupyx import errstate, geterr
    assert geterr()["linalg"] == "ignore"
    with errstate(linalg="raise"):
        assert geterr()["linalg"] == "raise"
    assert geterr()["linalg"] == "ignore"


def test_parameters_that_are_passed_exist(cupy):
    wanted = {"asarray": {"copy", "dtype"}, "cumulative_sum": {"axis", "dtype"}, "cumulative_prod": {"axis", "dtype"},
              "take_along_axis": {"axis"}, "unique": {"return_inverse", "return_counts", "equal_nan"},
              "searchsorted": {"side"}, "roll": {"axis"}, "tril": {"k"}, "triu": {"k"}, "full": {"dtype"},
              "bincount": {"weights", "minlength"}, "concatenate": {"axis"}, "stack": {"axis"}, "max": {"keepdims"}}
    lacking = {name: parameters - inspect.signature(getattr(cupy, name)).parameters.keys()
               for name, parameters in wanted.items()}
    assert {name: names for name, names in lacking.items() if names} == {}
