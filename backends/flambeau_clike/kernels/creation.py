"""Factories and filling: called with the record's arguments, then dtype and device index.

The bytes of a number are made on the host, and the driver repeats them. Ranges of integers are exact to 64 bits;
ranges of floats are computed in double precision and rounded once, where the device has it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

import flambeau.dtypes as fd
from flambeau.dtypes import COMPLEX, FLOAT, dtype
from flambeau.ir.dialect import C_TYPES, MOVED, STRUCT_FORMATS
from flambeau_clike.array import TO_NUMPY, Array, empty
from flambeau_clike.device import Device
from flambeau_clike.kernels.movement import cast, copy, lane_of
from flambeau_clike.launch import Scalar, launch
from flambeau_clike.program import Family

# Products and sums round one by one, as they do elsewhere.
EXACT = """
#ifdef __OPENCL_VERSION__
#pragma OPENCL FP_CONTRACT OFF
#endif
"""

# start + step * i: integers modulo 2**64, which makes them right in every narrower dtype; floats from W on.
_ARANGE = Family("arange", """
KERNEL $NAME(ARRAY($T, out), i64 n, $W start, $W step) {
    OPEN($T, out);
    FOR_EACH(i, n) out[i] = ($T)(start + step * ($W)i);
}""", (("T", ("u8", "u16", "u32", "u64", "f32", "f64")), ("W", ("u64", "f32", "f64"))),
    shared=EXACT, only=lambda T, W: (T[0] == "u") == (W == "u64") and (T, W) != ("f64", "f32"))

# From both ends to the middle, so that the two halves mirror each other.
_LINSPACE = Family("linspace", """
KERNEL $NAME(ARRAY($T, out), i64 n, $T first, $T last, $T step) {
    OPEN($T, out);
    i64 middle = n / 2;
    FOR_EACH(i, n) out[i] = i < middle ? first + step * ($T)i : last - step * ($T)(n - 1 - i);
}""", (("T", ("f32", "f64")),), shared=EXACT)

_EYE = Family("eye", """
KERNEL $NAME(ARRAY($T, out), i64 n, i64 columns, $T one, $T zero) {
    OPEN($T, out);
    FOR_EACH(i, n) out[i] = i % (columns + 1) == 0 && i / (columns + 1) < columns ? one : zero;
}""", (("T", tuple(MOVED.values())),))

class Bits(bytes):
    """The bytes of a number in a dtype, which kernels take by their size."""

    def __new__(cls, value: Any, dtype: dtype) -> Bits:
        if dtype is fd.float32 and value.__class__ in (float, int):
            try:
                return super().__new__(cls, struct.pack("=f", value))
            except OverflowError:   # beyond float32: infinity, as NumPy has it
                pass
        elif dtype.category == 1 and value.__class__ is int:
            return super().__new__(cls, struct.pack("=" + STRUCT_FORMATS[C_TYPES[dtype]], value))
        array = np.zeros((), TO_NUMPY[dtype])
        with np.errstate(all="ignore"):
            array.fill(value)
        return super().__new__(cls, array.tobytes())


def fill(array: Array, value: Any) -> None:
    """Write one number to all places of an array; OverflowError for an integer that the dtype cannot hold."""
    dtype = array.dtype
    try:
        bits = Bits(value, dtype)
    except struct.error as error:
        raise OverflowError(f"{value} is beyond {dtype}") from error
    if array.dense:
        if array.size:
            lane_of(array).fill(array.memory.buffer, bits, array.offset * dtype.itemsize, array.size * dtype.itemsize)
    else:
        one = empty((), dtype, array.device)
        fill(one, value)
        copy(array, one)


def filled(size: tuple[int, ...], value: Any, dtype: dtype, device: Device) -> Array:
    """A new array of one number."""
    result = empty(size, dtype, device)
    fill(result, value)
    return result


def arange(start: Any, step: Any, count: int, dtype: dtype, device: Device) -> Array:
    """`start + step * i`."""
    if dtype.category < FLOAT:
        if dtype is fd.bool_:
            return cast(arange(start, step, count, fd.int64, device), dtype)
        result = empty((count,), dtype, device)
        words = [Scalar(int(each) % (1 << 64), fd.uint64) for each in (start, step)]
        launch(_ARANGE, ("u" + str(8 * dtype.itemsize), "u64"), count, result, count, *words)
        return result
    if dtype.category == COMPLEX or dtype not in (fd.float32, fd.float64):
        return cast(arange(start, step, count, fd.float64 if device.traits.fp64 else fd.float32, device), dtype)
    result = empty((count,), dtype, device)
    wide = fd.float64 if device.traits.fp64 else fd.float32
    launch(_ARANGE, (C_TYPES[dtype], C_TYPES[wide]), count, result, count, Scalar(float(start), wide),
           Scalar(float(step), wide))
    return result


def linspace(start: Any, end: Any, steps: int, dtype: dtype, device: Device) -> Array:
    """`steps` values from `start` to `end`; integers from the ends' whole parts."""
    if dtype.category == COMPLEX:
        return NotImplemented
    wide = dtype if dtype in (fd.float32, fd.float64) else fd.float64 if device.traits.fp64 else fd.float32
    if dtype.category < FLOAT:
        start, end = int(start), int(end)
    work = TO_NUMPY[wide].type
    with np.errstate(all="ignore"):
        first, last = work(start), work(end)
        step = (last - first) / work(max(steps - 1, 1))
    result = empty((steps,), wide, device)
    if steps == 1:
        fill(result, float(first))
    else:
        launch(_LINSPACE, (C_TYPES[wide],), steps, result, steps, *[Scalar(float(each), wide)
                                                                    for each in (first, last, step)])
    return result if wide is dtype else cast(result, dtype)


def eye(n: int, m: int, dtype: dtype, device: Device) -> Array:
    """Ones on the diagonal."""
    result = empty((n, m), dtype, device)
    launch(_EYE, (MOVED[dtype.itemsize],), n * m, result, n * m, m, Bits(1, dtype), Bits(0, dtype))
    return result


def factories(devices: list[Device]) -> dict[str, Callable[..., Any]]:
    """The kernels of the factories, which get a device's index last."""
    def on(factory: Callable[..., Array]) -> Callable[..., Array]:
        def kernel(*args: Any) -> Array:
            return factory(*args[:-1], devices[args[-1]])
        return kernel
    return {"full": on(filled), "arange": on(arange), "linspace": on(linspace), "eye": on(eye)}


KERNELS: dict[str, Callable[..., Any]] = {"fill_": fill}
