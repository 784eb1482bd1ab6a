"""Rendered kernels in the CUDA dialect, as C++ on the processor: the same random loops as on devices, against NumPy.

The dialect's header, what stands in for CUDA's own names (`cuda_machine/shim.hpp`), and the rendered text go through
the machine's C++ compiler; a launch is a call of one thread.
"""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from cuda_machine.program import SHIM, compiler as machine_compiler
from flambeau.ir import clike
from flambeau.ir.dialect import CUDA
from flambeau.ir.faults import HEADER as FAULTS
from flambeau.ir.loops import Pointwise
from ir_cases import (
    BATCHES,
    NUMPY,
    Batch,
    View,
    batches,
    call_shape,
    compare,
    expected,
    form_of,
    is_flat,
    packed,
    program,
    walk_bytes,
)

_BYTES = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}


@pytest.fixture(scope="module")
def compiler() -> str:
    """The machine's C++ compiler."""
    found = machine_compiler()
    if found is None:
        pytest.skip("no C++ compiler on this machine")
    return found


def build(compiler: str, text: str, folder: Path) -> Any:
    """The library made of a program."""
    source, library = folder / "program.cpp", folder / "program.so"
    source.write_text(SHIM.read_text() + CUDA.header + FAULTS + text)
    done = subprocess.run([compiler, "-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-w", str(source),
                           "-o", str(library)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    return ctypes.CDLL(str(library))


class _Pair(ctypes.Structure):
    _fields_ = (("x", ctypes.c_float), ("y", ctypes.c_float))


class _LongPair(ctypes.Structure):
    _fields_ = (("x", ctypes.c_double), ("y", ctypes.c_double))


_BY_NAME = {"float32": ctypes.c_float, "float64": ctypes.c_double, "complex64": _Pair, "complex128": _LongPair}


def as_argument(value: Any, kind: Any) -> Any:
    """A number as an argument of a dtype."""
    return (_BY_NAME.get(kind.name) or _BYTES[kind.itemsize]).from_buffer_copy(packed(value, kind))


def run(library: Any, name: str, loop: Pointwise, operands: list[Any], shape: tuple[int, ...], flat: bool) -> list[Any]:
    """The results of one launch."""
    results = [np.zeros(shape, NUMPY[each.dtype]) for each in loop.results]
    arguments: list[Any] = [part for each in results for part in (each.ctypes.data_as(ctypes.c_void_p),
                                                                  ctypes.c_int64(0))]
    for value, each in zip(operands, loop.operands, strict=True):
        if isinstance(value, View):
            arguments += [value.storage.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(value.offset)]
            arguments += [] if flat else [as_argument(0, each.dtype), ctypes.c_int32(0)]
        elif flat:
            arguments.append(as_argument(value, each.dtype))
        else:
            arguments += [arguments[0], ctypes.c_int64(0), as_argument(value, each.dtype), ctypes.c_int32(1)]
    if flat:
        arguments.append(ctypes.c_int64(results[0].size))
    else:
        layout = walk_bytes(loop, operands, shape)
        fields = (("words", ctypes.c_int64 * (len(layout) // 8)),)
        arguments.append(type("Walk", (ctypes.Structure,), {"_fields_": fields}).from_buffer_copy(layout))
    if clike.can_fail(loop):
        arguments += [(ctypes.c_int32 * 2)(), ctypes.c_int32(1)]
    getattr(library, name)(*arguments)
    return results


@settings(max_examples=BATCHES, deadline=None, derandomize=BATCHES < 10, database=None,
          phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(batch=batches())
def test_rendered_kernels_compute_what_numpy_does(compiler: str, tmp_path_factory: Any, batch: Batch) -> None:
    """FLAMBEAU_IR_CASES says how many cases are drawn."""
    library = build(compiler, program(batch), tmp_path_factory.mktemp("program"))
    for k, (loop, calls) in enumerate(batch):
        for operands in calls:
            shape = call_shape(operands)
            if 0 in shape or len(shape) > 8:
                continue
            wanted = expected(loop, operands)
            runs = [run(library, f"k{k}_s", loop, operands, shape, False)]
            if is_flat(operands, shape):
                runs.append(run(library, f"k{k}_{form_of(operands)}", loop, operands, shape, True))
            for results in runs:
                for position, result in enumerate(results):
                    compare(loop, position, result, wanted[position])
