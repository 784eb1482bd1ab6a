"""Rendered kernels on an OpenCL device against NumPy: random expressions, dtypes, shapes and strides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from flambeau.ir import clike
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


class Launcher:
    """Runs the kernels of a program on the backend's first device."""

    def __init__(self, device: Any, text: str) -> None:
        import pyopencl
        self.cl, self.device = pyopencl, device
        self.program = device.programs.build(text, "random", False)
        self.errors = pyopencl.Buffer(device.context, 0, 8)

    def buffer(self, array: Any) -> Any:
        flags = self.cl.mem_flags.READ_WRITE | self.cl.mem_flags.COPY_HOST_PTR
        return self.cl.Buffer(self.device.context, flags, hostbuf=np.ascontiguousarray(array))

    def run(self, name: str, loop: Pointwise, operands: list[Any], shape: tuple[int, ...], flat: bool) -> list[Any]:
        """The results of one launch."""
        results = [np.zeros(shape, NUMPY[each.dtype]) for each in loop.results]
        buffers = [self.buffer(each) for each in results]
        arguments: list[Any] = [part for each in buffers for part in (each, np.int64(0))]
        for given_, each in zip(operands, loop.operands, strict=True):
            if isinstance(given_, View):
                arguments += [self.buffer(given_.storage), np.int64(given_.offset)]
                arguments += [] if flat else [packed(0, each.dtype), np.int32(0)]
            elif flat:
                arguments.append(packed(given_, each.dtype))
            else:
                arguments += [buffers[0], np.int64(0), packed(given_, each.dtype), np.int32(1)]
        arguments.append(np.int64(results[0].size) if flat else walk_bytes(loop, operands, shape))
        arguments += [self.errors, np.int32(1)] if clike.can_fail(loop) else []
        kernel = self.cl.Kernel(self.program, name)
        for position, each in enumerate(arguments):
            kernel.set_arg(position, each)
        self.cl.enqueue_nd_range_kernel(self.device.queue, kernel, (3,), (1,))
        for result, each in zip(results, buffers, strict=True):
            self.cl.enqueue_copy(self.device.queue, result, each)
        return results


def check(device: Any, batch: Batch) -> None:
    """Every call of a batch, by a strided kernel and where it may by a flat one."""
    launcher = Launcher(device, program(batch))
    for k, (loop, calls) in enumerate(batch):
        for operands in calls:
            shape = call_shape(operands)
            if 0 in shape:
                continue
            wanted = expected(loop, operands)
            runs = []
            if len(shape) <= 8:
                runs.append(launcher.run(f"k{k}_s", loop, operands, shape, False))
            if is_flat(operands, shape):
                runs.append(launcher.run(f"k{k}_{form_of(operands)}", loop, operands, shape, True))
            for results in runs:
                for position, result in enumerate(results):
                    compare(loop, position, result, wanted[position])


@pytest.fixture(scope="module")
def device(opencl: str) -> Any:
    """The backend's first device."""
    import flambeau
    return flambeau.empty(1, device=opencl)._array.device


@settings(max_examples=BATCHES, deadline=None, derandomize=BATCHES < 10, database=None,
          phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(batch=batches())
def test_rendered_kernels_compute_what_numpy_does(device: Any, batch: Batch) -> None:
    """FLAMBEAU_IR_CASES says how many cases are drawn."""
    check(device, batch)


class Rendered:
    """What `General` calls of an operator, for one loop of a batch."""

    def __init__(self, launcher: Launcher, loop: Pointwise, number: int, forms: set[str]) -> None:
        self.name, self.parameters, self.uncast = "random", [each.name for each in loop.operands], frozenset()
        self.launcher, self.only, self.number, self.forms = launcher, loop, number, forms

    def loop(self, kind: Any) -> Pointwise:
        return self.only

    def kernel(self, device: Any, kind: Any, form: str, wide: bool, what: str) -> Any:
        return self.launcher.cl.Kernel(self.launcher.program, f"k{self.number}_{form}")


def on_device(device: Any, operand: Any, kind: Any) -> Any:
    """An operand as a kernel takes it."""
    from flambeau_clike.array import empty, view
    if not isinstance(operand, View):
        return operand
    import pyopencl
    storage = empty(operand.storage.shape, kind, device)
    pyopencl.enqueue_copy(device.queue, storage.memory.buffer, operand.storage)
    return view(storage, operand.shape, operand.strides, operand.offset)


@settings(max_examples=BATCHES, deadline=None, derandomize=BATCHES < 10, database=None,
          phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(batch=batches())
def test_calls_with_any_operands(device: Any, batch: Batch) -> None:
    """The way from operands to a launch: broadcasting, merging of dimensions, more of them than a kernel takes."""
    import pyopencl

    from flambeau_clike.kernels.pointwise import General
    launcher = Launcher(device, program(batch))
    for k, (loop, calls) in enumerate(batch):
        if len(loop.results) > 1:
            continue
        call = General(Rendered(launcher, loop, k, {form_of(each) for each in calls}))
        for operands in calls * 2:
            arrays = [on_device(device, each, kind.dtype) for each, kind in zip(operands, loop.operands, strict=True)]
            result = call(arrays)
            wanted = expected(loop, operands)[0]
            assert result.shape == wanted.shape
            found = np.empty(result.shape, NUMPY[loop.results[0].dtype])
            if found.size:
                pyopencl.enqueue_copy(device.queue, found, result.memory.buffer)
                compare(loop, 0, found, wanted)
    device.synchronize()
