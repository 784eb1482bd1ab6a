"""What tensors make of a backend's transfers: numbers, lists, copies, files, on the host NumPy's arrays."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import flambeau
from flambeau import discovery
from flambeau.dtypes import BOOL, COMPLEX, FLOAT, INTEGER, dtype
from flambeau.shapes import contiguous_strides
from flambeau.tensor import Tensor
from flambeau_conformance.levels._shared import (
    Host,
    check_equal,
    check_same,
    check_tensor,
    download,
    has_views,
    host_layouts,
    numbers,
    raises,
    same_memory,
    upload,
)

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context


def item(context: Context, kind: dtype) -> None:
    values = numbers(kind, 4, 6)
    tensor = upload(context, values)
    plain = {BOOL: bool, INTEGER: int, FLOAT: float, COMPLEX: complex}[kind.category]
    for place in ((0, 0), (1, 2), (3, 5), (2, 4)):
        found = tensor[place].item()
        check_equal((type(found), found), (plain, plain(values[place])), f"item() at {place}")
    check_equal(upload(context, values[1:2, 3:4]).item(), plain(values[1, 3]), "item() of shape [1, 1]")
    raises(RuntimeError, tensor.item, "item() of 24 elements")
    raises(RuntimeError, tensor[:0].item, "item() without elements")


def tolist(context: Context, kind: dtype) -> None:
    for name, array in host_layouts(kind):
        wide = array.astype(np.float64) if array.dtype.kind == "V" else array
        check_equal(upload(context, array).tolist(), wide.tolist(), f"tolist of a {name} array")
    values = numbers(kind, 3, 4)
    shown = upload(context, values).t().tolist()
    wide = values.astype(np.float64) if values.dtype.kind == "V" else values
    check_equal(shown, wide.T.tolist(), "a transposed one")


def contiguous(context: Context, kind: dtype) -> None:
    values = numbers(kind, 2, 3, 4, 5)
    tensor = upload(context, values)
    assert tensor.contiguous() is tensor, "contiguous() of a contiguous tensor is the tensor"
    for name, view, expected in (
            ("permuted", tensor.permute(3, 1, 0, 2), values.transpose(3, 1, 0, 2)),
            ("sliced", tensor[:, 1:, ::2], values[:, 1:, ::2]), ("selected", tensor[:, :, 2], values[:, :, 2]),
            ("expanded", tensor[:, :1].expand(2, 3, 4, 5), np.broadcast_to(values[:, :1], values.shape))):
        result = view.contiguous()
        check_tensor(result, np.ascontiguousarray(expected), f"contiguous() of a {name} tensor", context)
        check_equal(tuple(result.stride()), contiguous_strides(expected.shape), f"{name}: strides")
        check_equal(result.storage_offset(), 0, f"{name}: offset")
        assert not same_memory(result, tensor), f"contiguous() of a {name} tensor shares memory"


def clone(context: Context, kind: dtype) -> None:
    values = numbers(kind, 2, 3, 4, 5)
    tensor = upload(context, values)
    formats = {"preserve": None, "contiguous": flambeau.contiguous_format, "channels_last": flambeau.channels_last}
    if not has_views(context):
        formats.pop("channels_last")
    for name, format_ in formats.items():
        result = tensor.clone(memory_format=format_) if format_ is not None else tensor.clone()
        check_tensor(result, values, f"clone to {name}", context)
        wanted = (60, 1, 15, 3) if name == "channels_last" else (60, 20, 5, 1)
        check_equal(tuple(result.stride()), wanted, f"clone to {name}: strides")
        assert not same_memory(result, tensor), f"clone to {name} shares memory"
        result.zero_()
        check_tensor(tensor, values, f"the source after its clone ({name}) changed", context)
    for name, view, expected in (("permuted", tensor.permute(2, 3, 1, 0), values.transpose(2, 3, 1, 0)),
                                 ("sliced", tensor[1, :, 1:3], values[1, :, 1:3]), ("0-d", tensor[1, 2, 3, 4], None)):
        expected = np.asarray(values[1, 2, 3, 4]) if expected is None else expected
        check_tensor(view.clone(), expected, f"clone of a {name} view", context)
        plain = view.clone(memory_format=flambeau.contiguous_format)
        check_tensor(plain, expected, f"contiguous clone of a {name} view", context)
        assert plain.is_contiguous(), f"clone of a {name} view to contiguous_format is not"


def data(context: Context, kind: dtype) -> None:
    values, others = numbers(kind, 3, 4), numbers(kind, 2, 5, seed=21)
    tensor = upload(context, values)
    data = tensor.data
    assert same_memory(data, tensor), ".data copies"
    tensor.data = upload(context, others)
    check_tensor(tensor, others, "after .data was set", context)
    check_tensor(data, values, "the old memory", context)
    detached = tensor.detach()
    tensor.copy_(upload(context, numbers(kind, 2, 5, seed=40)))
    check_tensor(detached, numbers(kind, 2, 5, seed=40), "detach() shares memory", context)


def set_(context: Context, kind: dtype) -> None:
    source = upload(context, numbers(kind, 4, 6))
    view = source[1:, ::2]
    target = flambeau.empty(0, dtype=kind, device=context.device)
    assert target.set_(view) is target and target.is_set_to(view), "set_"
    check_tensor(target, numbers(kind, 4, 6)[1:, ::2], "set_", context)
    target.copy_(upload(context, numbers(kind, 3, 3, seed=30)))
    expected = numbers(kind, 4, 6)
    expected[1:, ::2] = numbers(kind, 3, 3, seed=30)
    check_tensor(source, expected, "the source after a change through set_", context)
    assert not target.is_set_to(source), "is_set_to with another layout"
    resized = upload(context, numbers(kind, 6)).resize_(2, 2)
    check_tensor(resized, numbers(kind, 4).reshape(2, 2), "resize_ to fewer elements", context)
    grown = upload(context, numbers(kind, 6)).resize_(10)
    fresh = flambeau.empty(0, dtype=kind, device=context.device).resize_(3, 2)
    check_tensor(fresh.copy_(upload(context, numbers(kind, 3, 2))), numbers(kind, 3, 2), "resize_ of an empty tensor")
    check_tensor(grown[:6], numbers(kind, 6), "resize_ to more elements keeps those that were there", context)


def _pickled(tensor: Tensor) -> Any:
    return pickle.loads(pickle.dumps(tensor))


def pickled_and_back(context: Context, kind: dtype) -> None:
    values = numbers(kind, 4, 6)
    for name, tensor, expected in ways(context, kind, values):
        result = _pickled(tensor)
        check_tensor(result, expected, f"a pickled {name} tensor", context)
        assert not same_memory(result, tensor), f"a pickled {name} tensor shares memory"


def ways(context: Context, kind: dtype, values: Host) -> Iterator[tuple[str, Tensor, Host]]:
    yield "whole", upload(context, values), values
    yield "0-d", upload(context, values[1, 2]), np.asarray(values[1, 2])
    yield "empty", upload(context, values[:0]), values[:0]
    if has_views(context):
        yield "sliced", upload(context, values)[1:3, ::2], values[1:3, ::2]
        yield "transposed", upload(context, values).t(), values.T


def saved_and_back(context: Context, kind: dtype) -> None:
    values = numbers(kind, 4, 6)
    for name, tensor, expected in ways(context, kind, values):
        file = io.BytesIO()
        flambeau.save({"x": tensor, "n": 3}, file)
        for where in (None, context.device, "cpu"):
            file.seek(0)
            found = flambeau.load(file, map_location=where)
            check_equal(found["n"], 3, "a number saved beside")
            check_same(download(found["x"]), expected, f"a saved {name} tensor, loaded to {where}")
            wanted = discovery.resolve(flambeau.device("cpu")) if where == "cpu" else context.device
            check_equal(found["x"].device, wanted, f"device of a {name} tensor loaded to {where}")


def deep_copied(context: Context, kind: dtype) -> None:
    import copy
    values = numbers(kind, 4, 6)
    for name, tensor, expected in ways(context, kind, values):
        pair = copy.deepcopy([tensor, tensor])
        check_tensor(pair[0], expected, f"a deep copy of a {name} tensor", context)
        assert pair[0] is pair[1] and not same_memory(pair[0], tensor), f"{name}: what deepcopy shares"
        if expected.size:
            pair[0].zero_()
            check_tensor(tensor, expected, f"a {name} tensor after its deep copy changed", context)


def tensor_from_host(context: Context, kind: dtype) -> None:
    """Factories from host data: always a copy, of any layout."""
    for name, array in host_layouts(kind):
        expected = array.copy()
        made = flambeau.tensor(array, device=context.device)
        check_tensor(made, expected, f"tensor() of a {name} array", context)
        if array.flags.writeable and array.size:
            array[...] = numbers(kind, *array.shape, seed=77)
            check_tensor(made, expected, f"tensor() of a {name} array that changed", context)
    values = numbers(kind, 3, 4)
    plain = (values.astype(np.float64) if values.dtype.kind == "V" else values).tolist()
    check_tensor(flambeau.tensor(plain, dtype=kind, device=context.device), values, "tensor() of lists", context)
    base = upload(context, values)
    check_tensor(base.new_tensor(plain), values, "new_tensor()", context)
    check_tensor(flambeau.zeros_like(base), np.zeros_like(values), "zeros_like", context)
    check_tensor(base.new_ones((2, 3)), np.ones((2, 3), values.dtype), "new_ones", context)
    check_tensor(flambeau.full((2, 2), plain[1][2], dtype=kind, device=context.device),
                 np.full((2, 2), values[1, 2]), "full", context)
    if kind.category in (INTEGER, FLOAT) and not kind.storage_only:
        check_tensor(flambeau.arange(2, 11, 3, dtype=kind, device=context.device), np.array([2, 5, 8]).astype(
            values.dtype), "arange", context)


def numpy_shared(context: Context, kind: dtype) -> None:
    """`from_numpy` and `numpy()` share memory, both ways and through views."""
    values = numbers(kind, 4, 6)
    expected = values.copy()
    tensor = flambeau.from_numpy(values)
    check_tensor(tensor, expected, "from_numpy", context)
    values[1, 2] = values[3, 3]
    expected[1, 2] = expected[3, 3]
    check_tensor(tensor, expected, "from_numpy after the array changed", context)
    tensor[2].copy_(upload(context, numbers(kind, 6, seed=9)))
    expected[2] = numbers(kind, 6, seed=9)
    check_same(values, expected, "the array after the tensor changed")
    assert np.shares_memory(tensor.numpy(), values), "numpy() copies"
    check_same(tensor.t()[1:].numpy(), expected.T[1:], "numpy() of a view")
    check_same(np.asarray(tensor), expected, "numpy.asarray")
    check_tensor(flambeau.from_numpy(values.T[::2]), expected.T[::2], "from_numpy of a strided array", context)
    raises(ValueError, lambda: flambeau.from_numpy(values[::-1]), "from_numpy of negative strides")
    raises(TypeError, lambda: flambeau.from_numpy([1, 2]), "from_numpy of a list")


def dlpack_shared(context: Context, kind: dtype) -> None:
    values = numbers(kind, 3, 4)
    tensor = upload(context, values)
    if kind.name != "bool" or np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        check_same(np.from_dlpack(tensor), values, "numpy.from_dlpack")
        check_same(np.from_dlpack(tensor.t()), values.T, "numpy.from_dlpack of a view")
        taken = flambeau.from_dlpack(values)
        check_tensor(taken, values, "from_dlpack", context)
        values[0, 0] = values[2, 3]
        check_tensor(taken, values, "from_dlpack shares memory", context)


def host_methods(context: Context, kind: dtype) -> None:
    """What the one host backend adds to the contract."""
    backend: Any = context.backend
    values = numbers(kind, 2, 3)
    plain = (values.astype(np.float64) if values.dtype.kind == "V" else values).tolist()
    check_same(backend.to_host(backend.from_python(plain, kind)), values, "from_python")
    check_same(backend.to_host(backend.from_python(plain[1][2], kind)), np.asarray(values[1, 2]), "from_python, 0-d")
    check_equal(backend.to_python(backend.from_host(values, 0)), plain, "to_python")
    check_equal(backend.to_python(backend.from_host(np.asarray(values[0, 1]), 0)), plain[0][1], "to_python, 0-d")
    assert np.shares_memory(backend.to_host(backend.wrap(values)), values), "wrap copies"
    buffer = bytearray(b"\0" * kind.itemsize + values.tobytes())
    view = backend.from_buffer(buffer, kind, 5, 2 * kind.itemsize)
    check_same(backend.to_host(view), values.reshape(-1)[1:], "from_buffer")
    buffer[2 * kind.itemsize:3 * kind.itemsize] = values[1, 1].tobytes()
    check_same(backend.to_host(view)[0], values[1, 1], "from_buffer shares memory")
