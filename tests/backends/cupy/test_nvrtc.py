"""Every CUDA program of the catalogue, through NVIDIA's compiler, which needs no GPU: what there is compiles.

Each program is compiled for each architecture with 32-bit and with 64-bit indices, once to machine code and else to
PTX, and without optimisation, which takes 25 times as long. With FLAMBEAU_CUDA_FULL=1 everything is compiled to machine
code as it is on a GPU. `python tests/cuda_programs.py` does the same outside of pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cuda_programs
import nvrtc
from cuda_programs import FORMS, Form, Program

PARTS = 6               # tests of each form, for several processes
ARGUMENTS = 4096        # bytes that a kernel's parameters may take on any architecture and with any driver


@pytest.fixture(scope="module")
def compiler() -> nvrtc.Compiler:
    return nvrtc.required()


def _part(part: int) -> list[Program]:
    return cuda_programs.programs()[part::PARTS]


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.architecture}{'-wide' if form.wide else ''}")
def test_programs_compile(compiler: nvrtc.Compiler, form: Form, part: int, record_property: Any) -> None:
    if form.architecture not in compiler.architectures:
        pytest.skip(f"NVRTC {compiler.version} makes no code for {form.architecture}")
    programs, failures, count = _part(part), [], 0
    for each in programs:
        try:
            code, _ = cuda_programs.build(compiler, each, form)
        except nvrtc.BuildError as error:
            failures.append(str(error))
            continue
        count += len(each.kernels)
        if not cuda_programs.whole(each, form):
            failures += [f"{each.name}: {name} has parameters of {size} bytes"
                         for name, size in nvrtc.parameters(code).items() if size > ARGUMENTS]
    print(f"{form.architecture}, {'64' if form.wide else '32'}-bit indices, part {part + 1} of {PARTS}: "
          f"{count} kernels of {len(programs)} programs compiled")
    record_property("kernels", count)
    assert not failures, f"{len(failures)} programs:\n" + "\n".join(failures)
    assert count == sum(len(each.kernels) for each in programs) > 0


CATALOGUE = """
import gc, json
import cuda_programs as found
from flambeau.registry import OPERATORS

def missed(some, kind):
    known = {id(each) for each in some}
    return [each.name for each in gc.get_objects() if isinstance(each, kind) and id(each) not in known]

families, operators = found.families(), found.operators()
names = {each.name for each in operators}, {each.name for each in families}
kernels = [kernel for each in found.programs() for kernel in each.kernels]
print(json.dumps({
    "families": len(families), "operators": len(operators), "kernels": len(kernels), "names": len(set(kernels)),
    "missed": missed(families, found.Family) + missed(operators, found.Operator),
    "makers": found.makers() == found.MAKERS,
    "without a kernel": [name for name, record in OPERATORS.items()
                         if record.expr is not None and record.family in ("unary", "binary", "pointwise")
                         and name not in names[0] or record.loop is not None and name not in names[1]]}))
"""


def test_no_program_is_missed() -> None:
    """What is found is all that there is in a process that has imported the catalogue and nothing else; every operator
    that states an expression or a loop has kernels, and all kernels have names of their own."""
    folder = str(Path(cuda_programs.__file__).parent)
    output = subprocess.run([sys.executable, "-c", CATALOGUE], env={**os.environ, "PYTHONPATH": folder},
                            capture_output=True, text=True, check=False, timeout=120)
    assert output.returncode == 0, output.stderr
    found = json.loads(output.stdout)
    print(found)
    assert found["missed"] == found["without a kernel"] == []
    assert found["makers"], "a function that makes families is not called by cuda_programs"
    assert found["families"] > 100 and found["operators"] > 100
    assert found["kernels"] == found["names"] > 3000


def test_the_backend_has_programs_of_its_own() -> None:
    assert cuda_programs.driver()


def test_an_error_names_the_program_and_shows_the_line(compiler: nvrtc.Compiler) -> None:
    broken = Program("broken", "KERNEL broken(i64 n) {\n  n = nowhere;\n}", frozenset({"broken"}))
    with pytest.raises(nvrtc.BuildError, match=r"(?s)broken: .*nowhere.*\d+    n = nowhere;"):
        cuda_programs.build(compiler, broken, FORMS[0])


def test_a_kernel_that_is_not_there_is_an_error(compiler: nvrtc.Compiler) -> None:
    hidden = Program("hidden", "#ifdef NOWHERE\nKERNEL hidden(i64 n) {}\n#endif", frozenset({"hidden"}))
    for form in FORMS:
        with pytest.raises(nvrtc.BuildError, match="hidden"):
            cuda_programs.build(compiler, hidden, form)


def test_kernels_are_read_from_both_kinds_of_code(compiler: nvrtc.Compiler) -> None:
    text = ("FUNCTION i32 twice(i32 x) { return 2 * x; }\n"
            "KERNEL one(ARRAY(i32, out)) { OPEN(i32, out); *out = twice(1); }\n"
            "KERNEL two(layout_t layout, ARRAY(i32, out), f32 x) { OPEN(i32, out); *out = (i32)layout.rank; }")
    for fast in (False, True):
        for target in ("sm_75", "compute_75"):
            code, _ = compiler.build(text, target, fast=fast)
            assert nvrtc.entries(code) == {"one", "two"}
    assert nvrtc.parameters(code) == {"one": 16, "two": 328 + 16 + 4}


def test_what_only_processors_have_is_left_out() -> None:
    text = """
#ifdef CHUNKED
KERNEL chunked() {}
#ifdef FP64
KERNEL chunked_f64() {}
#else
KERNEL chunked_f32() {}
#endif
#else
KERNEL strided() {}
#endif
#ifndef CHUNKED
KERNEL group() {}
#endif
#if !(defined(CHUNKED) && 1)
KERNEL both() {}
#endif
"""
    assert cuda_programs.named(text) == {"strided", "group", "both"}
