"""The kernels of every pointwise operator, reduction and scan in the CUDA dialect, through NVIDIA's compiler, which
needs no GPU. What a backend makes of them is compiled with its other programs."""

from __future__ import annotations

import re
from string import Template

import pytest

import flambeau
import nvrtc
from flambeau import dtypes as fd
from flambeau.dtypes import COMPLEX
from flambeau.errors import FlambeauError
from flambeau.ir import clike, expr as ir, prelude
from flambeau.ir.dialect import C_TYPES
from flambeau.ir.loops import Operand, Pointwise, Result
from flambeau.ir.reduction_text import REDUCTION, SEARCH, SHARED, functions
from flambeau.ir.reductions import Reduction, RunningSearch, Scan, Search
from flambeau.ir.scan_text import RUNNING, SCAN
from flambeau.registry import OPERATORS, OpDef

flambeau.ones(1)  # so that the table is complete whatever is imported lazily
STATED = [each for each in OPERATORS.values()
          if each.expr is not None and each.family in ("unary", "binary", "pointwise")]
LOOPS = [each for each in OPERATORS.values() if each.loop is not None]
TEMPLATES = {Reduction: REDUCTION, Search: SEARCH, Scan: SCAN, RunningSearch: RUNNING}
KINDS = ("bool", "uint8", "int32", "int64", "float32", "float64", "complex64")


@pytest.fixture(scope="module")
def compiler() -> nvrtc.Compiler:
    return nvrtc.required()


def loops(record: OpDef) -> list[Pointwise]:
    """The loops of a record for the dtypes that it is defined for."""
    tree, found = ir.trace(record.expr, record.parameters), []
    for kind in map(fd.by_name, KINDS):
        try:
            if kind.category in record.excluded or record.promote(kind)[0] is not kind:
                continue
            operands = tuple(Operand(name, fd.bool_ if position in record.uncast else kind)
                             for position, name in enumerate(record.parameters))
            loop = Pointwise(operands, (Result(tree, record.promote(kind)[1]),), kind)
            clike.lowered(loop)
        except (FlambeauError, TypeError):
            continue
        found.append(loop)
    return found


@pytest.mark.parametrize("record", STATED, ids=lambda record: record.name)
def test_kernels_compile(compiler: nvrtc.Compiler, record: OpDef) -> None:
    made = loops(record)
    assert made or record.excluded[-1:] != (COMPLEX,)
    parts = [clike.walk_type(len(record.parameters) + 1),
             prelude.text({each for loop in made for each in clike.functions(loop)})]
    for loop in made:
        parts.append(clike.flat(loop, f"flat_{C_TYPES[loop.inner]}", "a" * len(loop.operands)))
        parts.append(clike.strided(loop, f"strided_{C_TYPES[loop.inner]}"))
    code, _ = compiler.build("\n".join(parts), fast=True)
    assert nvrtc.entries(code) == {f"{way}_{C_TYPES[loop.inner]}" for way in ("flat", "strided") for loop in made}


@pytest.mark.parametrize("record", LOOPS, ids=lambda record: record.name)
def test_loops_compile(compiler: nvrtc.Compiler, record: OpDef) -> None:
    """For the real dtypes that the loop's functions can be rendered for, each its own accumulator."""
    template = TEMPLATES[type(record.loop)]
    texts, wanted = [SHARED], set()
    for kind in map(fd.by_name, KINDS[:-1]):
        try:
            text = functions(record.loop, [(kind, kind)])
        except (FlambeauError, TypeError):
            continue
        word = C_TYPES[kind]
        name = f"{record.name}_{word}"
        text += Template(template).substitute(NAME=name, T=word, R=word)
        texts.append(text)
        wanted |= set(re.findall(r"^KERNEL (\w+)", text, re.MULTILINE))
    code, _ = compiler.build("\n".join(texts), fast=True)
    assert nvrtc.entries(code) == wanted
    assert len(wanted) >= 4


def test_options_are_those_that_round_as_everywhere(compiler: nvrtc.Compiler) -> None:
    """A product and a sum are not one operation."""
    code, _ = compiler.build("KERNEL both(ARRAY(f32, x), f32 a, f32 b) { OPEN(f32, x); *x = *x * a + b; }")
    assert b"fma" not in code
    assert b"mul.rn.f32" in code or b"mul.f32" in code
