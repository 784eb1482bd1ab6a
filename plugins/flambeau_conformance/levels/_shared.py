"""What several levels need: host arrays of every dtype, memory layouts, exact comparison, reading tensors back.

The host's side is NumPy and nothing else: a value that was expected is never computed by the backend under test.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from flambeau import discovery
from flambeau.dtypes import ALL, INTEGER, dtype
from flambeau.tensor import Tensor, make
from flambeau_conformance.sampling import download as download, numpy_dtype  # the first one for all levels

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context

Host = np.ndarray[Any, Any]

NUMPY: dict[dtype, np.dtype[Any]] = {each: numpy_dtype(each) for each in ALL}


def case_function(function: Callable[..., None], *args: Any, **kwargs: Any) -> Callable[[Context], None]:
    """A case's `run`: `function(context, *args)`, with the arguments bound now."""
    def run(context: Context) -> None:
        function(context, *args, **kwargs)
        context.samples = max(context.samples, 1)
    return run


# ---------------------------------------------------------------------------------------------- host arrays
def numbers(kind: dtype, *shape: int, seed: int = 0) -> Host:
    """Numbers that any dtype of this category holds exactly, no two neighbours alike; 0 and negative ones among them.

    Every position has its own number as far as the dtype goes, so that a misplaced element shows.
    """
    count = int(np.prod(shape, dtype=np.int64))
    place = np.arange(seed, seed + count, dtype=np.int64)
    if kind.name == "bool":
        flat = (place * place + place // 3) % 2 == 0
    elif kind.category == INTEGER:
        flat = place % 101 - (23 if kind.is_signed else 0)
    elif kind.itemsize == 1:  # three bits of mantissa at most: few numbers, but with the sign a sequence of them
        flat = np.array([0.0, 1.0, -1.5, 2.0, -3.0, 4.0, 6.0, -0.5, 0.25, -8.0, 12.0])[place % 11]
    else:
        flat = (place % 113 - 40) / 4.0
        if kind.is_complex:
            flat = flat + 1j * (place % 29 - 14) / 2.0
    return flat.astype(NUMPY[kind]).reshape(shape)


def special(kind: dtype) -> Host:
    """What a floating dtype has beside numbers: nan, infinities, -0.0, subnormals, the largest and smallest."""
    real = NUMPY[kind.to_real()]
    info: Any = ml_dtypes.finfo(real)  # type: ignore[no-untyped-call]  # ml_dtypes does not type it
    found = [0.0, -0.0, 1.0, -1.0, float(info.max), float(info.min), float(info.tiny), -float(info.tiny),
             float(info.smallest_subnormal), -float(info.smallest_subnormal)]
    if kind.name in ("float8_e4m3fnuz", "float8_e5m2fnuz"):  # they have no -0.0, and one nan
        found.remove(-0.0)
    parts = np.array(found, np.float64).astype(real)
    parts = np.concatenate([parts, np.array([np.nan], np.float32).astype(real)])
    if kind.name in ("float16", "bfloat16", "float32", "float64", "complex64", "complex128", "float8_e5m2"):
        parts = np.concatenate([parts, np.array([np.inf, -np.inf], np.float32).astype(real)])
    if not kind.is_complex:
        return parts
    grid = np.empty((len(parts), len(parts)), NUMPY[kind])
    grid.real, grid.imag = parts[:, None], parts[None, :]
    return grid


def extremes(kind: dtype) -> Host:
    """The ends of an integer dtype's range and what lies beside them."""
    if kind.name == "bool":
        return np.array([True, False, True])
    info = np.iinfo(NUMPY[kind])
    return np.array([info.min, info.min + 1, 0, 1, info.max - 1, info.max], NUMPY[kind])


def host_layouts(kind: dtype) -> Iterator[tuple[str, Host]]:
    """Host arrays of one dtype in every memory layout that NumPy has, by name."""
    base = numbers(kind, 4, 6, 5)
    yield "contiguous", base
    yield "fortran", np.asfortranarray(base)
    yield "transposed", base.transpose(2, 0, 1)
    yield "strided", base[::2, 1::2, ::3]
    yield "offset", base[1:, 2:5, 1]
    yield "reversed", base[::-1, :, ::-2]
    yield "broadcast", np.broadcast_to(base[0, :, :1], (3, 6, 5))
    yield "zero-dim", np.array(base[1, 2, 3])
    yield "zero-dim-view", base[1, 2, 3, ...]
    yield "ones", base[:1, 2:3, ::5]
    yield "empty", base[:0]
    yield "empty-inner", np.zeros((3, 0, 2), NUMPY[kind])
    readonly = base.copy()
    readonly.flags.writeable = False
    yield "readonly", readonly


# (shape of the storage's view, strides in elements, offset): views of a storage of 120 elements.
DEVICE_LAYOUTS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "whole": ((4, 6, 5), (30, 5, 1), 0),
    "offset": ((3, 5), (5, 1), 35),
    "transposed": ((5, 4, 6), (1, 30, 5), 0),
    "stepped": ((2, 3, 2), (60, 10, 3), 6),
    "column": ((4, 6), (30, 5), 3),
    "row": ((5,), (1,), 42),
    "expanded": ((4, 3, 5), (30, 0, 1), 10),
    "expanded-inner": ((4, 6), (5, 0), 7),
    "windows": ((7, 4), (3, 2), 2),
    "scalar": ((), (), 77),
    "last": ((1,), (1,), 119),
    "ones": ((1, 3, 1), (7, 9, 11), 50),
    "empty": ((0, 3), (3, 1), 5),
    "empty-inner": ((3, 0, 2), (2, 2, 1), 4),
}
WRITABLE_LAYOUTS = ("whole", "offset", "transposed", "stepped", "column", "row", "scalar", "last", "ones", "empty")


def strided(storage: Host, layout: tuple[tuple[int, ...], tuple[int, ...], int]) -> Host:
    """NumPy's view of a flat storage with a layout in elements."""
    shape, strides, offset = layout
    size = storage.itemsize
    return np.ndarray(shape, storage.dtype, storage, offset * size, [stride * size for stride in strides])


# ---------------------------------------------------------------------------------------------- comparison
def bits(array: Host) -> Host:
    """The elements' bytes, with every nan alike (its payload is nobody's promise)."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind in "fcV" and array.size:
        parts = array.view(np.dtype(f"f{array.itemsize // 2}")) if array.dtype.kind == "c" else array
        wrong = np.isnan(parts.astype(np.float32) if parts.dtype.kind == "V" or parts.itemsize < 4 else parts)
        if wrong.any():
            parts = parts.copy()
            parts[wrong] = np.nan
            array = parts
    return array.reshape(-1).view(np.uint8)


def check_same(actual: Any, expected: Any, what: str) -> None:
    """Assert that two host arrays have one shape, one dtype and the same bits."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, expected {expected.dtype}"
    if np.array_equal(bits(actual), bits(expected)):
        return
    wide = np.complex128 if actual.dtype.kind == "c" else np.float64 if actual.dtype.kind in "fV" else object
    left, right = actual.reshape(-1).astype(wide), expected.reshape(-1).astype(wide)
    places = [place for place, (one, other) in enumerate(zip(left, right, strict=True)) if one != other][:4]
    shown = ", ".join(f"[{place}] {left[place]!r} for {right[place]!r}" for place in places)
    raise AssertionError(f"{what}: {shown or 'equal numbers of other bits'}")


def check_equal(found: Any, expected: Any, what: str) -> None:
    """Assert that two plain values are equal."""
    assert found == expected, f"{what}: {found!r}, expected {expected!r}"


def raises(allowed: type[BaseException] | tuple[type[BaseException], ...], call: Callable[[], Any],
           what: str) -> BaseException:
    """Assert that a call raises one of these errors; gives the error."""
    names = allowed.__name__ if isinstance(allowed, type) else " or ".join(each.__name__ for each in allowed)
    try:
        result = call()
    except allowed as error:
        return error
    except Exception as error:
        raise AssertionError(f"{what}: raised {type(error).__name__} ({error}), expected {names}") from error
    raise AssertionError(f"{what}: raised nothing, expected {names}; gave {describe(result)}")


def describe(value: Any) -> str:
    """A value as an error message shows it, without reading its elements."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else repr(value)[:80]


# ---------------------------------------------------------------------------------------------- tensors
def index_of(context: Context) -> int:
    """The index of the device under test, as the backend's methods take it."""
    return context.device.index or 0


def upload(context: Context, array: Host, where: Any = None) -> Tensor:
    """A tensor with a copy of a host array, by the backend's `from_host` alone."""
    kind = discovery.kind_of(dtype_of(array), context.device if where is None else where)
    return make(kind.backend.from_host(np.asarray(array), kind.index), kind)


def dtype_of(array: Host) -> dtype:
    """Our dtype of a host array."""
    return next(ours for ours, theirs in NUMPY.items() if theirs == array.dtype)


def check_tensor(tensor: Any, expected: Host, what: str, context: Context | None = None) -> None:
    """Assert that a tensor has exactly these elements, their dtype and shape, and is on the device."""
    assert isinstance(tensor, Tensor), f"{what}: gave {type(tensor).__name__}, expected a tensor"
    array = tensor._array
    found = tensor._kind.backend.dtype_of(array)
    assert found is tensor.dtype, f"{what}: the array holds {found}, the tensor says {tensor.dtype}"
    if context is not None:
        assert tensor.device == context.device, f"{what}: on {tensor.device}, expected {context.device}"
    check_equal(tuple(tensor.shape), expected.shape, f"{what}: shape")
    check_same(download(tensor), expected, what)


def same_memory(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors view one storage, as the backend tells."""
    storage = one._kind.backend.storage
    return storage(one._array) is storage(other._array)


def has_views(subject_or_context: Any) -> bool:
    """Whether the device has strided views; a backend without them says so in its capabilities."""
    return bool(getattr(subject_or_context.backend.capabilities, "strided_views", True))


def collected() -> None:
    """Free what only cycles keep alive."""
    gc.collect()
    gc.collect()


@functools.cache
def other_devices(name: str) -> list[str]:
    """Device strings of the other backends that have a device now, the host first, at most two of them."""
    found = [row["name"] for row in discovery.report() if row["devices"] and row["name"] != name]
    return sorted(found, key=lambda each: (each != "cpu", each))[:2]


def computes(kind: dtype) -> bool:
    """Whether arithmetic is defined for a dtype."""
    return not kind.storage_only


