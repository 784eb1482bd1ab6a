"""What reductions and scans state in their records, and the plans that kernels go by."""

from __future__ import annotations

import functools
import itertools
import math

import pytest

import flambeau
from flambeau.ir.expr import as_expr, evaluate, symbols
from flambeau.ir.reduction_plan import Breadth, extent, merge, plan, search_plan
from flambeau.ir.reduction_text import functions, initial
from flambeau.ir.reductions import Reduction, RunningSearch, Scan, Search
from flambeau.ir.scan_text import lines
from flambeau.registry import OPERATORS
from flambeau.shapes import contiguous_strides

LOOPS = {name: record.loop for name, record in OPERATORS.items() if record.loop is not None}
FUNCTIONS = {
    "add": lambda a, b: a + b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b, "ne": lambda a, b: a != b,
    "eq": lambda a, b: a == b, "gt": lambda a, b: a > b, "lt": lambda a, b: a < b, "ge": lambda a, b: a >= b,
    "le": lambda a, b: a <= b, "logical_or": lambda a, b: a or b, "logical_and": lambda a, b: a and b,
    "isnan": math.isnan, "maximum": lambda a, b: a if a > b or a != a else b,
    "minimum": lambda a, b: a if a < b or a != a else b}
START = {"lowest": -math.inf, "highest": math.inf}


def called(function, *values):
    names = [f"v{k}" for k in range(len(values))]
    return evaluate(as_expr(function(*symbols(*names))), dict(zip(names, values, strict=True)), FUNCTIONS)


def reduced(loop, values):
    start = START.get(loop.initial, loop.initial)
    loaded = [called(loop.load, each) for each in values]
    total = functools.reduce(lambda a, b: called(loop.combine, a, b), loaded, start)
    return total if loop.finish is None else called(loop.finish, total, len(values))


def test_the_operators_that_have_loops():
    assert {"sum", "prod", "mean", "amax", "amin", "any", "all"} <= {
        name for name, loop in LOOPS.items() if isinstance(loop, Reduction)}
    assert {name for name, loop in LOOPS.items() if isinstance(loop, Search)} == {"argmax", "argmin"}
    assert {name for name, loop in LOOPS.items() if isinstance(loop, Scan)} == {"cumsum", "cumprod"}
    assert {name for name, loop in LOOPS.items() if isinstance(loop, RunningSearch)} == {"cummax", "cummin"}


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "amax", "amin", "any", "all"])
def test_a_loop_computes_what_its_operator_does(name):
    for values in ([2.0, -1.0, 0.5, 4.0], [0.0, 0.0], [3.0]):
        wanted = getattr(flambeau, name)(flambeau.tensor(values)).item()
        assert reduced(LOOPS[name], values) == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_better_is_strict_and_prefers_nan(name):
    better = LOOPS[name].better
    nan = math.nan
    for x, best, wanted in ((1.0, 1.0, False), (nan, 1.0, True), (1.0, nan, False), (nan, nan, False)):
        assert called(better, x, best) is wanted
    assert called(better, 2.0, 1.0) is (name == "argmax")


def test_running_searches_take_the_last_of_equals():
    for name in ("cummax", "cummin"):
        better = LOOPS[name].better
        assert called(better, 1.0, 1.0) and called(better, math.nan, 1.0) and not called(better, 1.0, math.nan)


def test_where_loops_start():
    assert initial("lowest", flambeau.int8) == "((i8)-128)" and initial("highest", flambeau.uint8) == "((u8)255u)"
    assert "INFINITY" in initial("highest", flambeau.float32) and initial("lowest", flambeau.bool) == "0"


def test_every_loop_becomes_c_for_its_dtypes():
    for loop in LOOPS.values():
        text = functions(loop, [(flambeau.float32, flambeau.float32), (flambeau.float64, flambeau.float64)])
        assert "initial_f32" in text and text.count("#ifdef FP64") == text.count("#endif")


WIDTHS = [Breadth(True, 16), Breadth(True, 512), Breadth(False, 4096)]
SHAPES = [(), (1,), (3, 4), (2, 0, 3), (70, 300), (1 << 20,), (1 << 18, 5), (5, 1 << 18), (16, 8, 512, 3)]


@pytest.mark.parametrize("breadth", WIDTHS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_plans_cover_everything_and_end(shape, breadth):
    strides = contiguous_strides(shape)
    for count in range(len(shape) + 1):
        for dims in itertools.combinations(range(len(shape)), count):
            outputs = math.prod([size for d, size in enumerate(shape) if d not in dims])
            stages = plan(shape, strides, dims, breadth)
            assert stages[-1].results == outputs and len(stages) <= 4
            over = extent(shape, strides, dims, False)
            assert over.outputs * max(over.columns, 1) * over.m * over.n == math.prod(shape)
            first, merges = search_plan(shape, strides, dims, breadth)
            assert (merges[-1][0] if merges else first.results) == outputs


def test_sums_over_columns_are_of_parts():
    stages = plan((1 << 20, 8), (8, 1), (0,), Breadth(True, 16))
    assert len(stages) > 1
    assert all(stage.numbers[4] * stage.numbers[6] <= 1024 * stage.numbers[5] * stage.numbers[8] for stage in stages)


def test_dimensions_are_merged():
    assert merge([(2, 60), (3, 20), (1, 7), (20, 1)]) == [(120, 1)]
    assert merge([(2, 100, 60), (3, 20, 20)]) == [(2, 100, 60), (3, 20, 20)]


@pytest.mark.parametrize("breadth", WIDTHS, ids=str)
def test_lines_of_a_scan(breadth):
    for shape in ((5,), (300000,), (2, 50000), (50000, 30), (3, 4000, 7)):
        strides = contiguous_strides(shape)
        for dim in range(len(shape)):
            over = lines(shape, strides, strides, dim, breadth)
            assert over.outputs * over.columns * over.n == math.prod(shape) and 1 <= over.lanes <= over.n
