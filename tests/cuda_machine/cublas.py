"""cupy_backends.cuda.libs.cublas on the processor: matrix products by NumPy, of matrices as Fortran stores them.

As CuPy's, each call runs on CuPy's current stream, whatever `setStream` said, and none may be captured. What was asked
for is kept in `engine.products`, so that tests see compute types and math modes, which change nothing here.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from cuda_machine import engine, runtime
from cuda_machine.errors import CUBLASError

CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C = 0, 1, 2
CUBLAS_POINTER_MODE_HOST, CUBLAS_POINTER_MODE_DEVICE = 0, 1
CUBLAS_SIDE_LEFT, CUBLAS_SIDE_RIGHT, CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER = 0, 1, 0, 1
CUBLAS_DIAG_NON_UNIT, CUBLAS_DIAG_UNIT = 0, 1
CUBLAS_DEFAULT_MATH, CUBLAS_TENSOR_OP_MATH = 0, 1
CUBLAS_GEMM_DFALT = CUBLAS_GEMM_DEFAULT = -1
CUBLAS_GEMM_DFALT_TENSOR_OP = CUBLAS_GEMM_DEFAULT_TENSOR_OP = 99
CUBLAS_COMPUTE_16F, CUBLAS_COMPUTE_16F_PEDANTIC, CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_PEDANTIC = 64, 65, 68, 69
CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_64F_PEDANTIC, CUBLAS_COMPUTE_32I, CUBLAS_COMPUTE_32I_PEDANTIC = 70, 71, 72, 73
CUBLAS_COMPUTE_32F_FAST_16F, CUBLAS_COMPUTE_32F_FAST_16BF, CUBLAS_COMPUTE_32F_FAST_TF32 = 74, 75, 77
_R32, _R64, _R16, _C32, _C64, _B16 = 0, 1, 2, 4, 5, 14      # CUDA_R_32F and so on
_INVALID, _UNSUPPORTED = 7, 15
_HALF, _SINGLE, _DOUBLE = ((_R16, _R16),), ((_R32, _R32), (_C32, _C32)), ((_R64, _R64), (_C64, _C64))
_MIXED = (*_SINGLE, *_HALF, (_R16, _R32), (_B16, _B16), (_B16, _R32))
_COMBINATIONS = {     # compute type: types of the factors and of the result
    64: _HALF, 65: _HALF, 68: _MIXED, 69: _MIXED, 70: _DOUBLE, 71: _DOUBLE, 74: _SINGLE, 75: _SINGLE, 77: _SINGLE}


class _Handle:
    def __init__(self) -> None:
        self.device, self.stream, self.math, self.pointers = engine.device(), 0, 0, 0


def create() -> int:
    return engine.register(_Handle())


def destroy(handle: int) -> None:
    engine.forget(handle, _Handle)


def _handle(handle: int) -> _Handle:
    found = engine._handles.get(handle)
    if not isinstance(found, _Handle):
        raise CUBLASError(1)
    return found


def getVersion(handle: int) -> int:
    return 130000 if _handle(handle) else 0


def setStream(handle: int, stream: int) -> None:
    if runtime.streamIsCapturing(stream):
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    _handle(handle).stream = stream


def getStream(handle: int) -> int:
    return _handle(handle).stream


def setMathMode(handle: int, mode: int) -> None:
    _handle(handle).math = mode


def getMathMode(handle: int) -> int:
    return _handle(handle).math


def setPointerMode(handle: int, mode: int) -> None:
    _handle(handle).pointers = mode


def getPointerMode(handle: int) -> int:
    return _handle(handle).pointers


def _dtype(number: int) -> np.dtype[Any]:
    if number == _B16:
        import ml_dtypes
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype({_R32: "f4", _R64: "f8", _R16: "f2", _C32: "c8", _C64: "c16"}[number])


def _matrices(address: int, kind: int, rows: int, columns: int, leading: int, stride: int, batch: int) -> Any:
    """The matrices at an address, of shape (batch, rows, columns)."""
    dtype = _dtype(kind)
    size = (stride * (batch - 1) + leading * (columns - 1) + rows) * dtype.itemsize
    if engine.within(address, size, engine.DEVICE) is None:
        raise CUBLASError(13)
    return np.ndarray((batch, rows, columns), dtype, (ctypes.c_char * size).from_address(address),
                      strides=(stride * dtype.itemsize, dtype.itemsize, leading * dtype.itemsize))


def _factor(how: int, address: int, kind: int, rows: int, columns: int, leading: int, stride: int, batch: int) -> Any:
    stored = (rows, columns) if how == CUBLAS_OP_N else (columns, rows)
    if how not in (0, 1, 2) or leading < max(1, stored[0]):
        raise CUBLASError(_INVALID)
    found = _matrices(address, kind, *stored, leading, stride, batch)
    found = found if how == CUBLAS_OP_N else found.swapaxes(1, 2)
    return lambda wide: (found.conj() if how == CUBLAS_OP_C else found).astype(wide)


def gemmStridedBatchedEx(
        handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, A: int, Atype: int, lda: int,
        strideA: int, B: int, Btype: int, ldb: int, strideB: int, beta: int, C: int, Ctype: int, ldc: int,
        strideC: int, batchCount: int, computeType: int, algo: int) -> None:
    from cuda_machine.classes import get_current_stream

    state = _handle(handle)
    if Atype != Btype or (Atype, Ctype) not in _COMBINATIONS.get(computeType, ()):
        raise CUBLASError(_UNSUPPORTED)
    if min(m, n, k, batchCount) < 0 or ldc < max(1, m):
        raise CUBLASError(_INVALID)
    setStream(handle, get_current_stream().ptr)
    engine.products.append({
        "m": m, "n": n, "k": k, "batch": batchCount, "types": (Atype, Ctype), "compute": computeType,
        "math": state.math, "algo": algo, "stream": state.stream})
    if not min(m, n, batchCount):
        return
    left = _factor(transa, A, Atype, m, k, lda, strideA, batchCount) if k else None
    right = _factor(transb, B, Btype, k, n, ldb, strideB, batchCount) if k else None
    out = _matrices(C, Ctype, m, n, ldc, strideC, batchCount)
    wide = _dtype(Atype if Atype in (_R64, _C32, _C64) else _R32)
    scale = _dtype(_R16) if computeType in (64, 65) else wide
    factors = [engine.view(each, scale.itemsize) for each in (alpha, beta)]
    if state.pointers == CUBLAS_POINTER_MODE_HOST:
        factors = [each.copy() for each in factors]

    def run() -> None:
        first, second = (each.view(scale)[0].astype(wide) for each in factors)
        with np.errstate(all="ignore"):
            found = first * np.matmul(left(wide), right(wide)) if left and right else np.zeros(out.shape, wide)
            out[...] = (found + second * out.astype(wide) if second else found).astype(out.dtype)

    engine.queue(state.stream, run)


def gemmEx(
        handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, A: int, Atype: int, lda: int, B: int,
        Btype: int, ldb: int, beta: int, C: int, Ctype: int, ldc: int, computeType: int, algo: int) -> None:
    gemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, A, Atype, lda, 0, B, Btype, ldb, 0, beta, C, Ctype,
                         ldc, 0, 1, computeType, algo)
