"""Flambeau: a tensor library with PyTorch's API, in pure Python, over backends that are plugins.

    import flambeau as torch

What is imported here is the public namespace (`as` the same name, by which type checkers know). Operators are found
in their table, packages such as `nn` are imported when first named: see `_namespace`.
"""

import sys as _sys
import typing as _typing
from math import e as e, inf as inf, nan as nan, pi as pi

from flambeau import (
    _namespace,
    _rebuild as _rebuild,
    dtypes as _dtypes,
    grad_members as grad_members,
    ops as ops,
    walk as walk,
)
from flambeau._rebuild import is_storage as is_storage
from flambeau.device import (
    device as device,
    get_default_device as get_default_device,
    set_default_device as set_default_device,
)
from flambeau.dispatch import fallback as fallback, fallback_counts as fallback_counts
from flambeau.dtypes import (
    bfloat16 as bfloat16,
    can_cast as can_cast,
    complex64 as complex64,
    complex128 as complex128,
    dtype as dtype,
    float8_e4m3fn as float8_e4m3fn,
    float8_e4m3fnuz as float8_e4m3fnuz,
    float8_e5m2 as float8_e5m2,
    float8_e5m2fnuz as float8_e5m2fnuz,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    get_default_dtype as get_default_dtype,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    promote_types as promote_types,
    set_default_dtype as set_default_dtype,
    uint8 as uint8,
    uint16 as uint16,
    uint32 as uint32,
    uint64 as uint64,
)
from flambeau.errors import OutOfMemoryError as OutOfMemoryError
from flambeau.finfo import finfo as finfo, iinfo as iinfo
from flambeau.layouts import (
    channels_last as channels_last,
    channels_last_3d as channels_last_3d,
    contiguous_format as contiguous_format,
    jagged as jagged,
    layout as layout,
    memory_format as memory_format,
    preserve_format as preserve_format,
    sparse_bsc as sparse_bsc,
    sparse_bsr as sparse_bsr,
    sparse_coo as sparse_coo,
    sparse_csc as sparse_csc,
    sparse_csr as sparse_csr,
    strided as strided,
)
from flambeau.ops.construct import tensor as tensor
from flambeau.ops.legacy import set_default_tensor_type as set_default_tensor_type
from flambeau.printing import get_printoptions as get_printoptions, set_printoptions as set_printoptions
from flambeau.random import (
    Generator as Generator,
    default_generator as default_generator,
    get_rng_state as get_rng_state,
    initial_seed as initial_seed,
    manual_seed as manual_seed,
    seed as seed,
    set_rng_state as set_rng_state,
)
from flambeau.settings import (
    are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled,
    compile as compile,
    compiled_with_cxx11_abi as compiled_with_cxx11_abi,
    get_float32_matmul_precision as get_float32_matmul_precision,
    get_num_interop_threads as get_num_interop_threads,
    get_num_threads as get_num_threads,
    set_deterministic_debug_mode as set_deterministic_debug_mode,
    set_float32_matmul_precision as set_float32_matmul_precision,
    set_flush_denormal as set_flush_denormal,
    set_num_interop_threads as set_num_interop_threads,
    set_num_threads as set_num_threads,
    typename as typename,
    use_deterministic_algorithms as use_deterministic_algorithms,
)
from flambeau.shapes import Size as Size
from flambeau.streams import Event as Event, Stream as Stream
from flambeau.tensor import Tensor as Tensor
from flambeau.version import __version__ as __version__

# PyTorch's other names of dtypes.
bool = _dtypes.bool_
cfloat = complex64
cdouble = complex128
half = float16
float = float32
double = float64
short = int16
int = int32
long = int64
newaxis = None


def __getattr__(name: str) -> _typing.Any:
    value = _namespace.find(name)
    setattr(_sys.modules[__name__], name, value)  # so that the next use is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_namespace.names()})
