"""The backend class: NumPy arrays as the strided arrays of the contract.

A NumPy array already is a strided view with its own memory, so most of the contract is a line each. bfloat16 and the
float8 types are ml_dtypes' NumPy types; they and float16 are stored as they are and computed in float32.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np

import flambeau.dtypes as fd
from flambeau.backend import Capabilities, DeviceProperties, HostBackend, Kernel
from flambeau.dtypes import dtype
from flambeau.errors import OutOfMemoryError, message
from flambeau_numpy.dtypes import E4M3, FROM_NUMPY, TO_NUMPY, saturated
from flambeau_numpy.quiet import quiet

_array = quiet(np.array)  # a number beyond the dtype becomes infinite without a word
_copy_cast = quiet(np.copyto)


class NumpyBackend(HostBackend):
    """Host arrays; every operator runs at once, in the calling thread and BLAS's."""

    name: ClassVar[str] = "cpu"
    array_type = np.ndarray
    capabilities = Capabilities(
        host=True, unified_memory=True, autocast_dtype="bfloat16", storage_dtypes=frozenset(fd.ALL),
        emulated={fd.float16: fd.float32, fd.bfloat16: fd.float32})

    def __init__(self) -> None:
        from flambeau_numpy.kernels import KERNELS
        from flambeau_numpy.memory import keep_freed_blocks
        keep_freed_blocks()
        self.kernels: dict[str, Kernel] = dict(KERNELS)
        self._generator: Any = None

    def device_count(self) -> int:
        return 1

    def properties(self, index: int) -> DeviceProperties:
        import platform
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        return DeviceProperties(platform.processor() or platform.machine(), memory,
                                {"cores": os.cpu_count(), "numpy": np.__version__})

    def empty(self, shape: tuple[int, ...], dtype: dtype, index: int) -> Any:
        try:
            return np.empty(shape, TO_NUMPY[dtype])
        except (MemoryError, ValueError) as error:  # ValueError: more bytes than an address has
            if min(shape, default=0) < 0:
                raise
            raise OutOfMemoryError(message(
                "empty", "the host has not enough memory", given=f"{list(shape)}, {dtype}: {error}",
                next_step="free other tensors, or work on smaller ones")) from None

    def from_host(self, array: Any, index: int) -> Any:
        return np.array(array, order="C")

    def to_host(self, array: Any) -> Any:
        return array

    def copy(self, target: Any, source: Any) -> None:
        if source.dtype is target.dtype:
            np.copyto(target, source)
        else:
            _copy_cast(target, saturated(source, target.dtype), casting="unsafe")

    def as_strided(self, array: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Any:
        root = self.storage(array)
        if not root.flags.c_contiguous:  # NumPy's results keep the order of their operands' dimensions
            root = root.transpose(sorted(range(root.ndim), key=lambda dim: -root.strides[dim]))
        size = array.itemsize
        if not root.size and 0 not in shape:  # NumPy checks no bounds of a buffer without bytes
            raise ValueError("a view with elements of a storage that has none")
        try:
            return np.ndarray(shape, array.dtype, root, offset * size, [stride * size for stride in strides])
        except ValueError:
            if 0 in shape:  # no element is anywhere, though NumPy would look for the first one
                return np.ndarray(shape, array.dtype, root)
            raise

    def layout(self, array: Any) -> tuple[tuple[int, ...], int]:
        size = array.itemsize
        strides = tuple([stride // size for stride in array.strides])
        if 0 in array.shape or 1 in array.shape:
            strides = _normal_strides(array.shape, strides)
        if array.base is None:
            return strides, 0
        root = self.storage(array)
        return strides, (array.ctypes.data - root.ctypes.data) // size

    def is_contiguous(self, array: Any) -> bool:
        return array.flags.c_contiguous  # type: ignore[no-any-return]

    def storage(self, array: Any) -> Any:
        while isinstance(array.base, np.ndarray):
            array = array.base
        return array

    def dtype_of(self, array: Any) -> dtype:
        return FROM_NUMPY[array.dtype]

    def native_dtype(self, dtype: dtype) -> Any:
        return TO_NUMPY[dtype]

    def as_array(self, value: Any) -> Any:
        return np.asarray(value)

    def default_generator(self, index: int) -> Any:
        if self._generator is None:
            from flambeau_numpy.mt19937 import MT19937Generator
            self._generator = MT19937Generator()
        return self._generator

    def set_threads(self, count: int) -> None:
        from flambeau_numpy import threads
        threads.allow(count)

    # -- the host's part
    def from_python(self, data: Any, dtype: dtype | None) -> Any:
        if dtype is fd.float8_e4m3fn:
            return saturated(_array(data, np.dtype(np.float32)), E4M3).astype(E4M3)
        return _array(data, None if dtype is None else TO_NUMPY[dtype])

    def wrap(self, array: Any) -> Any:
        return array

    def from_buffer(self, buffer: Any, dtype: dtype, count: int, offset: int) -> Any:
        return np.frombuffer(buffer, TO_NUMPY[dtype], count, offset)

    def to_python(self, array: Any) -> Any:
        if array.dtype.kind == "V" or array.dtype not in _PYTHON_KNOWS:
            return array.astype(np.float32).tolist()
        return array.tolist()


_PYTHON_KNOWS = {np.dtype(name) for name in (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "complex64", "complex128")}


def _normal_strides(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy gives new arrays without elements strides of 0; PyTorch counts a size of 0 as 1."""
    if 0 in shape and 0 in strides:
        from flambeau.shapes import contiguous_strides
        return contiguous_strides(shape)
    return strides
