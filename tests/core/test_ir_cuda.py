"""Every pointwise operator's kernels in the CUDA dialect, through NVIDIA's compiler, which needs no GPU."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import dtypes as fd
from flambeau.dtypes import COMPLEX
from flambeau.errors import FlambeauError
from flambeau.ir import clike, expr as ir, prelude
from flambeau.ir.dialect import C_TYPES, CUDA
from flambeau.ir.faults import HEADER as FAULTS
from flambeau.ir.loops import Operand, Pointwise, Result
from flambeau.registry import OPERATORS, OpDef

flambeau.ones(1)  # so that the table is complete whatever is imported lazily
STATED = [each for each in OPERATORS.values()
          if each.expr is not None and each.family in ("unary", "binary", "pointwise")]
KINDS = ("bool", "uint8", "int32", "int64", "float32", "float64", "complex64")


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    """NVIDIA's run-time compiler, from its pip package or the system."""
    found = None
    if importlib.util.find_spec("nvidia") is not None:
        spec = importlib.util.find_spec("nvidia.cuda_nvrtc")
        folders = spec.submodule_search_locations if spec is not None else None
        found = next((each for folder in folders or () for each in Path(folder).glob("lib/libnvrtc.so.*")), None)
    library = str(found) if found is not None else ctypes.util.find_library("nvrtc")
    if library is None:
        pytest.skip("NVIDIA's compiler is not installed: pip install nvidia-cuda-nvrtc-cu12")
    return ctypes.CDLL(library)


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
def test_kernels_compile(nvrtc: Any, record: OpDef) -> None:
    made = loops(record)
    assert made or record.excluded[-1:] != (COMPLEX,)
    parts = [clike.walk_type(len(record.parameters) + 1),
             prelude.text({each for loop in made for each in clike.functions(loop)})]
    for loop in made:
        parts.append(clike.flat(loop, f"flat_{C_TYPES[loop.inner]}", "a" * len(loop.operands)))
        parts.append(clike.strided(loop, f"strided_{C_TYPES[loop.inner]}"))
    program = ctypes.c_void_p()
    text = (CUDA.header + FAULTS + "\n".join(parts)).encode()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"program.cu", 0, None, None) == 0
    status = nvrtc.nvrtcCompileProgram(program, 0, None)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    assert status == 0, log.value.decode()[:2000]
