"""Casts: what every pair of dtypes makes of the other's numbers, by `to` and by the contract's `copy`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

import flambeau
from flambeau.dtypes import BOOL, INTEGER, dtype
from flambeau_conformance.levels._shared import (
    NUMPY,
    Host,
    check_equal,
    check_same,
    check_tensor,
    extremes,
    has_views,
    index_of,
    numbers,
    same_memory,
    special,
    upload,
)

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context


def castable(source: dtype, target: dtype) -> Host:
    """Numbers of one dtype whose cast to another one is defined, the awkward ones among them."""
    if source.category == BOOL:
        return np.array([True, False, False, True])
    limits = np.iinfo(NUMPY[target]) if target.category == INTEGER else None
    if source.category == INTEGER:
        info = np.iinfo(NUMPY[source])
        whole = [0, 1, 2, 3, 5, 7, 64, 100, 127, info.max, info.max - 1, info.min, info.min + 1, info.max // 2]
        whole += [each for each in (128, 129, 200, 255, 256, 300, 2049, 65535, 65537, 70000, 16777217, 9007199254740993)
                  if each <= info.max]
        whole += [-each for each in (1, 2, 3, 100, 128, 200, 2049, 70000) if info.min <= -each]
        return np.array(whole, NUMPY[source])   # integers wrap around
    values = [0.0, -0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 3.75, 7.0, 100.0, 126.4, 2.0 ** -9, 3.0e-5, 0.1, 1 / 3]
    values += [-each for each in (0.3, 0.5, 0.999, 1.0, 1.5, 2.5, 99.5)] if limits is None or limits.min else [-0.3]
    if limits is None:
        values += [float("nan"), float("inf"), -float("inf"), 300.0, 447.0, 57000.0, 1.00048828125, 1.0009765625]
        if source.itemsize >= 4:
            values += [1e-7, 1e-30, 1e30, 65503.0, 65536.0, 1e39, 1 + 2.0 ** -12 + 2.0 ** -30, -1e-45]
    elif source.itemsize >= 4:
        values += [each for each in (255.0, 32767.9, 1e6 + 0.5, 2.0 ** 30) if each < limits.max]
    with np.errstate(all="ignore"):
        array = np.array(values, np.float64).astype(NUMPY[source.to_real()])
    if not source.is_complex:
        return array
    result = np.zeros(len(array), NUMPY[source])
    result.real, result.imag = array, np.roll(np.nan_to_num(array, posinf=1, neginf=1), 3) * (target.category != BOOL)
    return result


def cast_by_numpy(array: Host, source: dtype, target: dtype) -> Host:
    """What NumPy makes of a cast, with PyTorch's rules where they differ."""
    wanted = NUMPY[target]
    with np.errstate(all="ignore"):
        if source.is_complex and not target.is_complex and target.category != BOOL:
            array = array.real
        if target.name == "float8_e4m3fn" and source is not target:  # no infinity: the largest number instead
            array = np.clip(array.astype(np.float64), -448, 448)
        elif target.is_complex and array.dtype.kind == "V":
            array = array.astype(np.float64)
        if target.category == BOOL:
            wide = array.astype(np.float64) if array.dtype.kind in "Vf" else array
            return np.asarray(wide != 0)
        if target.category == INTEGER and array.dtype.kind in "Vf":
            array = np.trunc(array.astype(np.float64)).astype(np.int64 if target.name != "uint64" else np.uint64)
        return array.astype(wanted)


def expected_cast(context: Context, array: Host, source: dtype, target: dtype) -> Host:
    """The cast by PyTorch where it has both dtypes, else by NumPy."""
    torch = context.torch
    theirs = [getattr(torch, each.name, None) for each in (source, target)] if torch is not None else [None]
    if None in theirs:
        return cast_by_numpy(array, source, target)
    from_bytes = torch.frombuffer(bytearray(array.tobytes()), dtype=theirs[0]).reshape(array.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = from_bytes.to(theirs[1])
    return np.frombuffer(bytes(result.contiguous().view(torch.uint8).numpy().tobytes()), NUMPY[target]).copy()


def to_dtype(context: Context, source: dtype, target: dtype) -> None:
    array = castable(source, target)
    expected = expected_cast(context, array, source, target)
    tensor = upload(context, array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Casting complex values")
        result = tensor.to(target)
        again = tensor.to(dtype=target, copy=True)
    check_equal(result.dtype, target, "dtype")
    check_tensor(result, expected, f"to({target})", context)
    check_tensor(again, expected, f"to({target}, copy=True)", context)
    check_tensor(tensor, array, "the source of a cast", context)
    assert (result is tensor) == (source is target), "to() gives the tensor itself exactly where nothing changes"
    assert not same_memory(again, tensor), "to(copy=True) shares memory"
    if has_views(context):
        flipped = upload(context, np.stack([array, array[::-1]])).t()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Casting complex values")
            moved = flipped.to(target)
        check_tensor(moved, np.stack([expected, expected[::-1]]).T, "a cast of a transposed tensor", context)


def copy_cast(context: Context, source: dtype, target: dtype) -> None:
    """The contract's `copy` casts as `to` does; a complex source is given to real targets by its real part first."""
    if source.is_complex and not target.is_complex:
        return _copy_real(context, source, target)
    backend, index = context.backend, index_of(context)
    array = castable(source, target)
    expected = expected_cast(context, array, source, target)
    from_host = backend.from_host(array, index)
    into = backend.empty(array.shape, target, index)
    backend.copy(into, from_host)
    check_same(backend.to_host(into), expected, f"copy of {source} into {target}")
    check_same(backend.to_host(from_host), array, "the source")
    if has_views(context):
        wide = numbers(target, 2 * len(array))
        storage = backend.from_host(wide, index)
        backend.copy(backend.as_strided(storage, array.shape, (2,), 1), from_host)
        wide[1::2] = expected
        check_same(backend.to_host(storage), wide, f"copy of {source} into every other element of {target}")
    return None


def _copy_real(context: Context, source: dtype, target: dtype) -> None:
    array = castable(source, target)
    expected = expected_cast(context, array, source, target)
    into = upload(context, numbers(target, *array.shape))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Casting complex values")
        into.copy_(upload(context, array))
    check_tensor(into, expected, f"copy_ of {source} into {target}", context)


def specials_survive(context: Context, kind: dtype) -> None:
    """nan, infinities, -0.0 and subnormals survive every way there is."""
    values = special(kind)
    tensor = upload(context, values)
    check_tensor(tensor, values, "from_host and to_host", context)
    check_tensor(tensor.clone(), values, "clone", context)
    check_tensor(flambeau.empty_like(tensor).copy_(tensor), values, "copy_", context)
    check_tensor(flambeau.cat([tensor, tensor]), np.concatenate([values, values]), "cat", context)
    check_tensor(tensor.cpu().to(context.device), values, "to the host and back", context)
    if has_views(context):
        doubled = upload(context, np.stack([values, values])).transpose(0, -1)
        check_tensor(doubled.contiguous(), np.stack([values, values]).swapaxes(0, -1), "contiguous", context)


def extremes_survive(context: Context, kind: dtype) -> None:
    values = extremes(kind)
    tensor = upload(context, values)
    check_tensor(tensor, values, "from_host and to_host", context)
    check_tensor(tensor.clone(), values, "clone", context)
    check_equal(tensor.tolist(), values.tolist(), "tolist")
    check_tensor(flambeau.tensor(values.tolist(), dtype=kind, device=context.device), values, "tensor()", context)
    if kind.category == INTEGER and kind.is_signed:
        filled = flambeau.full((2,), int(values[-1]), dtype=kind, device=context.device)
        check_tensor(filled, np.full(2, values[-1]), "full", context)
