"""Products of matrices by cuBLAS.

CuPy does not let cuBLAS work in a stream that records a graph: there, products take our own kernels. cuBLAS sees
matrices by columns: a dense row-major one is its transpose there, so c = a @ b is asked for as c' = b' @ a'.
float32 is computed in float32, or in TensorFloat-32 where `torch.backends.cuda.matmul` allows it; float16 and bfloat16
are summed in float32 and rounded once, but for what it allows there: partial sums put together in 16 bits, by the mode
of cuBLAS' handle, which is put back after each call, and sums of float16 that are float16 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cupy
import numpy as np
from cupy.cuda import runtime

import flambeau.dtypes as fd
from flambeau import settings
from flambeau_clike.array import TO_NUMPY, Array
from flambeau_clike.kernels.matmul import Product
from flambeau_clike.kernels.movement import copy, lane_of
from flambeau_cupy.arrays import address

_TYPES = {fd.float32: "CUDA_R_32F", fd.float64: "CUDA_R_64F", fd.complex64: "CUDA_C_32F", fd.complex128: "CUDA_C_64F"}
_NARROW = {fd.float16: ("CUDA_R_16F", (5, 3)), fd.bfloat16: ("CUDA_R_16BF", (8, 0))}   # from which capability on
_PLAIN, _TURNED = 0, 1     # CUBLAS_OP_N, CUBLAS_OP_T
_WHOLE_SUMS = 16           # CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION, which CuPy has no name for


def available() -> bool:
    """Whether CUDA's library is there: CuPy comes without it, but for its extra `ctk`."""
    try:
        from cupy_backends.cuda.libs import cublas as _  # noqa: F401 - whether it can be imported is the question
    except ImportError:
        return False
    return True


class CuBlas:
    """Single products and batches of them, of floats and complex numbers."""

    name = "cublas"

    def __init__(self, device: Any) -> None:
        self._device = device
        # What alpha and beta are read from: in the type of the sums.
        self._numbers = {dtype: np.array([0, 1], TO_NUMPY[dtype]) for dtype in (*_TYPES, fd.float16)}
        self.narrow = narrow(device.said)
        self._kinds = {dtype: getattr(runtime, name) for dtype, name in _TYPES.items()}
        self._kinds.update({dtype: getattr(runtime, _NARROW[dtype][0]) for dtype in self.narrow})

    def takes(self, product: Product, few: bool) -> bool:
        """All floats whose batch, if any, has one stride."""
        sizes = product.sizes
        return (self._device.lane.recorded is None and product.a.dtype in self._kinds
                and len(sizes.batch) <= 1 and sizes.k > 0
                and max(sizes.m, sizes.n, sizes.k, sizes.count) < 1 << 31
                and leading(sizes.a_strides, sizes.m, sizes.k) is not None
                and leading(sizes.b_strides, sizes.k, sizes.n) is not None)

    def run(self, product: Product, out: Array) -> None:
        """Queue a product."""
        from cupy_backends.cuda.libs import cublas
        sizes, device, dtype = product.sizes, self._device, out.dtype
        if product.added is not None:
            copy(out, product.added)
        first, second = leading(sizes.a_strides, sizes.m, sizes.k), leading(sizes.b_strides, sizes.k, sizes.n)
        assert first is not None and second is not None
        lane = lane_of(out, product.a, product.b)
        kind, (how, sums) = self._kinds[dtype], compute(cublas, dtype)
        numbers, width = self._numbers[sums].ctypes.data, sums.itemsize
        a_step, b_step = (*sizes.a_batch, 0)[0], (*sizes.b_batch, 0)[0]
        lane.queue.enter()
        with device.lock, lane.queue.stream:     # CuPy hands cuBLAS its own current stream
            handle = cupy.cuda.device.get_cublas_handle()
            before = keep_sums(cublas, handle, dtype)
            try:
                cublas.gemmStridedBatchedEx(
                    handle, second[1], first[1], sizes.n, sizes.m, sizes.k, numbers + width,
                    address(product.b), kind, second[0], b_step, address(product.a), kind, first[0], a_step,
                    numbers + width * sizes.added, address(out), kind, sizes.n, sizes.m * sizes.n, sizes.count,
                    how, cublas.CUBLAS_GEMM_DEFAULT)
            finally:
                if before is not None:
                    cublas.setMathMode(handle, before)

    def describe(self) -> str:
        """For people."""
        return "cuBLAS"


def narrow(said: Mapping[str, Any]) -> frozenset[fd.dtype]:
    """The floats of 16 bits that cuBLAS multiplies on a device of these properties. It refuses bfloat16 on older ones:
    https://github.com/pytorch/pytorch/issues/57773"""
    if runtime.is_hip:     # AMD's library has combinations of its own
        return frozenset()
    capability = int(said["major"]), int(said["minor"])
    return frozenset(dtype for dtype, (_, least) in _NARROW.items() if capability >= least)


def compute(cublas: Any, dtype: fd.dtype) -> tuple[int, fd.dtype]:
    """How cuBLAS is to compute products of a dtype, and the dtype of its sums."""
    if dtype in (fd.float64, fd.complex128):
        return cublas.CUBLAS_COMPUTE_64F, dtype
    if dtype is fd.float16 and settings.matmul.fp16_accumulation:
        return cublas.CUBLAS_COMPUTE_16F, dtype
    if dtype in _NARROW:
        return cublas.CUBLAS_COMPUTE_32F, fd.float32
    return (cublas.CUBLAS_COMPUTE_32F_FAST_TF32 if settings.matmul.tf32 else cublas.CUBLAS_COMPUTE_32F), dtype


def keep_sums(cublas: Any, handle: int, dtype: fd.dtype) -> int | None:
    """Keep cuBLAS from putting sums together in 16 bits, where that is not allowed for products of a dtype: the mode
    before, to be set again because CuPy uses the handle, too; None where nothing was changed."""
    if dtype not in _NARROW or (
            settings.matmul.fp16_reduced if dtype is fd.float16 else settings.matmul.bf16_reduced):
        return None
    before: int = cublas.getMathMode(handle)
    cublas.setMathMode(handle, before | _WHOLE_SUMS)
    return before


def leading(strides: tuple[int, ...], rows: int, columns: int) -> tuple[int, int] | None:
    """(distance between rows or columns, how cuBLAS is to read it); None for other layouts."""
    down, across = strides
    if across == 1 or columns == 1:
        distance = down if rows > 1 else max(down, columns)
        if distance >= columns:
            return distance, _PLAIN
    if down == 1 or rows == 1:
        distance = across if columns > 1 else max(across, rows)
        if distance >= rows:
            return distance, _TURNED
    return None

