"""Flambeau: a tensor library with PyTorch's API, in pure Python, over backends that are plugins.

    import flambeau as torch

Operators are found in their table, packages such as `nn` are imported when first named: see `_namespace`.
"""

# ruff: noqa: F401 - what is imported here is the public namespace

import sys as _sys
import typing as _typing
from math import e, inf, nan, pi

from flambeau import _namespace, _rebuild, grad_members, ops, walk
from flambeau._rebuild import is_storage
from flambeau.device import device, get_default_device, set_default_device
from flambeau.dispatch import fallback, fallback_counts
from flambeau.dtypes import (
    bfloat16,
    can_cast,
    complex64,
    complex128,
    dtype,
    float8_e4m3fn,
    float8_e4m3fnuz,
    float8_e5m2,
    float8_e5m2fnuz,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
    uint16,
    uint32,
    uint64,
)
from flambeau.dtypes import bool_ as bool
from flambeau.dtypes import complex64 as cfloat
from flambeau.dtypes import complex128 as cdouble
from flambeau.dtypes import float16 as half
from flambeau.dtypes import float32 as float
from flambeau.dtypes import float64 as double
from flambeau.dtypes import int16 as short
from flambeau.dtypes import int32 as int
from flambeau.dtypes import int64 as long
from flambeau.errors import OutOfMemoryError
from flambeau.finfo import finfo, iinfo
from flambeau.layouts import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    jagged,
    layout,
    memory_format,
    preserve_format,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from flambeau.ops.construct import tensor
from flambeau.ops.legacy import set_default_tensor_type
from flambeau.printing import get_printoptions, set_printoptions
from flambeau.random import Generator, default_generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from flambeau.settings import (
    are_deterministic_algorithms_enabled,
    compile,
    compiled_with_cxx11_abi,
    get_float32_matmul_precision,
    get_num_interop_threads,
    get_num_threads,
    set_deterministic_debug_mode,
    set_float32_matmul_precision,
    set_flush_denormal,
    set_num_interop_threads,
    set_num_threads,
    typename,
    use_deterministic_algorithms,
)
from flambeau.shapes import Size
from flambeau.tensor import Tensor
from flambeau.version import __version__

newaxis = None


def __getattr__(name: str) -> _typing.Any:
    value = _namespace.find(name)
    setattr(_sys.modules[__name__], name, value)  # so that the next use is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_namespace.names()})
