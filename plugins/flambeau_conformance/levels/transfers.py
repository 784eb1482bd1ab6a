"""Transfers: the methods of the backend's contract, and what tensors make of them between devices, dtypes and layouts.

Everything else in the suite looks at a device through `from_host` and `to_host`, so these are tested first and by
themselves: each for every dtype and layout, bit for bit, and for memory that must not be shared. The cases named after
a method of the contract call that method alone; the others go through tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import flambeau
from flambeau import discovery
from flambeau.dtypes import COMPLEX, FLOAT, dtype
from flambeau.registry import OPERATORS
from flambeau.shapes import contiguous_strides, is_contiguous
from flambeau.tensor import Tensor
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.levels import _casts, _tensor_transfers
from flambeau_conformance.levels._shared import (
    DEVICE_LAYOUTS,
    NUMPY,
    WRITABLE_LAYOUTS,
    Host,
    case_function,
    check_equal,
    check_same,
    check_tensor,
    download,
    has_views,
    host_layouts,
    index_of,
    numbers,
    other_devices,
    raises,
    same_memory,
    strided,
    upload,
)

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context

LEVEL = "transfers"
_SHAPES = ((), (0,), (1,), (5,), (2, 3, 4), (3, 1, 2), (2, 0, 3), (1, 1), (17, 33))


def cases(subject: Subject) -> Iterator[Case]:
    """All cases of this level for one device."""
    yield from _of_device(subject)
    for kind in subject.dtypes:
        yield from _of_dtype(subject, kind)
    yield from _cast_cases(subject)
    yield from _between_devices(subject)


def _case(op: str, variant: str, function: Callable[..., None], *args: Any, kind: dtype | None = None,
          quick: bool = False) -> Case:
    return Case(LEVEL, op, variant, case_function(function, *args), kind, quick)


def _of_device(subject: Subject) -> Iterator[Case]:
    yield _case("devices", "properties", _properties, quick=True)
    yield _case("synchronize", "returns", _synchronize)
    yield _case("devices", "kernels", _kernels)
    yield _case("current-device", "index", _current_device)
    if subject.backend.device_count() > 1:
        for kind in subject.dtypes:
            yield _case("second-device", kind.name, _second_device, kind, kind=kind)
        yield _case("second-device", "factories", _second_device_factories)
        yield _case("second-device", "memory", _second_device_memory)
    if subject.capabilities.host:
        yield from _of_host(subject)


def _of_dtype(subject: Subject, kind: dtype) -> Iterator[Case]:
    name, quick = kind.name, kind.name in ("float32", "int64", "bool")
    for op, function in (("from_host", _from_host), ("from_host-independence", _from_host_independent),
                         ("to_host-independence", _to_host_independent), ("empty", _empty), ("copy", _copy),
                         ("copy-broadcast", _copy_broadcast), ("dtype_of", _dtype_of), ("item", _tensor_transfers.item),
                         ("tolist", _tensor_transfers.tolist), ("contiguous", _tensor_transfers.contiguous),
                         ("clone", _tensor_transfers.clone), ("data", _tensor_transfers.data),
                         ("pickle", _tensor_transfers.pickled_and_back), ("save", _tensor_transfers.saved_and_back),
                         ("deepcopy", _tensor_transfers.deep_copied), ("tensor", _tensor_transfers.tensor_from_host)):
        yield _case(op, name, function, kind, kind=kind, quick=quick)
    if kind.is_floating_point or kind.is_complex:
        yield _case("specials", name, _casts.specials_survive, kind, kind=kind, quick=quick)
    else:
        yield _case("extremes", name, _casts.extremes_survive, kind, kind=kind, quick=quick)
    if has_views(subject):
        for layout in DEVICE_LAYOUTS:
            yield _case("to_host", f"{name}-{layout}", _to_host, kind, layout, kind=kind, quick=quick)
            yield _case("as_strided", f"{name}-{layout}", _as_strided, kind, layout, kind=kind)
        for layout in WRITABLE_LAYOUTS:
            yield _case("copy", f"{name}-into-{layout}", _copy_into, kind, layout, kind=kind, quick=quick)
        for op, function in (("copy-halves", _copy_halves), ("storage", _storage), ("layout", _layouts),
                             ("set_", _tensor_transfers.set_)):
            yield _case(op, name, function, kind, kind=kind)


def _cast_cases(subject: Subject) -> Iterator[Case]:
    for source in subject.dtypes:
        for target in subject.dtypes:
            variant = f"{source.name}-{target.name}"
            quick = {source.name, target.name} <= {"float32", "int64", "bool"}
            yield _case("to", variant, _casts.to_dtype, source, target, kind=target, quick=quick)
            yield _case("copy-cast", variant, _casts.copy_cast, source, target, kind=target)



def _of_host(subject: Subject) -> Iterator[Case]:
    for kind in subject.dtypes:
        if NUMPY[kind].kind != "V" and not kind.name.startswith("float8") and kind.name != "bfloat16":
            yield _case("numpy", kind.name, _tensor_transfers.numpy_shared, kind, kind=kind,
                        quick=kind.name == "float32")
            yield _case("dlpack", kind.name, _tensor_transfers.dlpack_shared, kind, kind=kind)
        yield _case("host-methods", kind.name, _tensor_transfers.host_methods, kind, kind=kind)


# ---------------------------------------------------------------------------------------------- devices
def _properties(context: Context) -> None:
    backend = context.backend
    count = backend.device_count()
    assert isinstance(count, int) and count > 0, f"device_count() gave {count!r}, expected a positive int"
    assert isinstance(backend.capabilities.storage_dtypes, frozenset), "storage_dtypes must be a frozenset"
    for stored, wide in backend.capabilities.emulated.items():
        assert {stored, wide} <= backend.capabilities.storage_dtypes, f"{stored} emulated by {wide}: not storable"
        assert wide not in backend.capabilities.emulated, f"{stored} is emulated by {wide}, which is emulated itself"
    for name, taken in backend.capabilities.native.items():
        assert name in backend.kernels, f"native names {name}, for which there is no kernel"
        assert OPERATORS[name].family not in ("unary", "binary", "pointwise"), f"native names the pointwise {name}"
        assert taken <= set(backend.capabilities.emulated), f"native dtypes of {name} that are not emulated"
    for index in range(count):
        said = backend.properties(index)
        assert isinstance(said.name, str) and said.name, f"device {index} has no name: {said.name!r}"
        assert isinstance(said.total_memory, int) and said.total_memory >= 0, f"total_memory: {said.total_memory!r}"
        assert isinstance(said.extra, Mapping), f"extra is no mapping: {said.extra!r}"
        stats = backend.memory_stats(index)
        assert all(isinstance(value, int) and value >= 0 for value in stats.values()), f"memory_stats: {stats}"
    raises(RuntimeError, lambda: discovery.resolve(flambeau.device(context.device.type, count))
           if not backend.capabilities.host else discovery.resolve(flambeau.device("no_such_device")),
           "a device that is not there")


def _synchronize(context: Context) -> None:
    for index in range(context.backend.device_count()):
        given = context.backend.synchronize(index)  # type: ignore[func-returns-value]  # that it is None is tested
        check_equal(given, None, f"synchronize({index})")


def _kernels(context: Context) -> None:
    backend = context.backend
    missing = sorted(name for name in flambeau.registry.primitives() if name not in backend.kernels)
    assert not missing, f"no kernels for the primitives {', '.join(missing)}"
    wrong = sorted(name for name, kernel in backend.kernels.items() if not callable(kernel))
    assert not wrong, f"kernels that cannot be called: {', '.join(wrong)}"


def _current_device(context: Context) -> None:
    host = context.backend.capabilities.host
    made = flambeau.zeros(2, device=context.device.type)
    check_equal(made.device.type, context.device.type, "device type")
    check_equal(made.device.index, None if host else discovery.current_index(context.device.type), "device index")
    check_equal(made.get_device(), -1 if host else made.device.index, "get_device()")
    check_equal(made.is_cpu, host, "is_cpu")


def _second(context: Context) -> Any:
    """The device of this type that is not the one under test."""
    return discovery.resolve(flambeau.device(context.device.type, 0 if index_of(context) else 1))


def _second_device(context: Context, kind: dtype) -> None:
    other = _second(context)
    values = numbers(kind, 3, 4)
    here = upload(context, values)
    there = here.to(other)
    check_equal(there.device, other, "device")
    check_same(download(there), values, "from the first device to the second")
    back = there.to(context.device)
    check_tensor(back, values, "and back", context)
    assert not same_memory(here, there) and not same_memory(here, back), "a transfer must copy"
    there.copy_(upload(context, numbers(kind, 3, 4, seed=5)))
    check_same(download(there), numbers(kind, 3, 4, seed=5), "copy_ from the first device")
    check_tensor(here, values, "the source", context)
    check_tensor(back, values, "an earlier copy", context)
    check_same(download(here.t().to(other)), values.T, "a transposed source")


def _second_device_factories(context: Context) -> None:
    other = _second(context)
    made = {"zeros": flambeau.zeros(3, device=other), "arange": flambeau.arange(3, device=other).float(),
            "tensor": flambeau.tensor([1.0, 2.0, 3.0], device=other), "empty": flambeau.empty(3, device=other),
            "full": flambeau.full((3,), 2.5, device=other), "like": flambeau.ones(3, device=other).zeros_like()
            if hasattr(Tensor, "zeros_like") else flambeau.zeros_like(flambeau.ones(3, device=other))}
    for name, each in made.items():
        check_equal(each.device, other, name)
        check_equal((each + 1).device, other, f"{name} + 1")
        check_equal((each + made["zeros"]).device, other, f"{name} + zeros")
    check_same(download(made["tensor"] + made["full"]), np.array([3.5, 4.5, 5.5], np.float32), "a sum there")
    raises(RuntimeError, lambda: made["zeros"] + flambeau.zeros(3, device=context.device), "tensors on two devices")


def _second_device_memory(context: Context) -> None:
    """What is put on one device is counted there."""
    backend, first, second = context.backend, index_of(context), _second(context).index
    if not backend.memory_stats(first):
        return
    before = [backend.memory_stats(index)["allocated"] for index in (first, second)]
    held = backend.from_host(np.zeros(4096, np.float32), second)
    backend.synchronize(second)
    after = [backend.memory_stats(index)["allocated"] for index in (first, second)]
    check_equal(after[0] - before[0], 0, "bytes more on the other device")
    assert after[1] - before[1] >= 4096 * 4, f"16384 bytes on device {second} count as {after[1] - before[1]}"
    del held
    empty = backend.empty((4096,), flambeau.float32, second)
    assert backend.memory_stats(second)["allocated"] - before[1] >= 4096 * 4, "empty() is not counted where it is"
    check_equal(backend.memory_stats(first)["allocated"], before[0], "bytes on the first device")
    del empty


# ---------------------------------------------------------------------------------------------- the contract's methods
def _from_host(context: Context, kind: dtype) -> None:
    backend = context.backend
    for name, array in host_layouts(kind):
        made = backend.from_host(array, index_of(context))
        assert isinstance(made, backend.array_type), f"from_host gave {type(made).__name__}"
        check_equal(tuple(made.shape), array.shape, f"{name}: shape")
        check_equal(backend.dtype_of(made), kind, f"{name}: dtype_of")
        check_same(backend.to_host(made), array, f"from_host and to_host of a {name} array")
        strides, offset = backend.layout(made)
        check_equal(offset, 0, f"{name}: offset")
        assert is_contiguous(array.shape, strides), f"{name}: strides {strides} of shape {array.shape}"
        assert backend.is_contiguous(made), f"{name}: from_host must give a contiguous array"
        assert backend.storage(made) is backend.storage(made), f"{name}: storage() must have an identity"


def _from_host_independent(context: Context, kind: dtype) -> None:
    """Changing the host array later, of any layout, does not change the device's; nor the other way round."""
    backend, index = context.backend, index_of(context)
    for name, array in host_layouts(kind):
        if not array.flags.writeable or not array.size:
            continue
        expected = array.copy()
        first, second = backend.from_host(array, index), backend.from_host(array, index)
        array[...] = numbers(kind, *array.shape, seed=3)
        check_same(backend.to_host(first), expected, f"{name}: after the host array changed")
        kept = array.copy()
        backend.copy(first, backend.from_host(numbers(kind, *array.shape, seed=9), index))
        backend.synchronize(index)
        check_same(array, kept, f"{name}: the host array after the device's changed")
        check_same(backend.to_host(second), expected, f"{name}: a second array from the same host array")
        assert backend.storage(first) is not backend.storage(second), f"{name}: two arrays, one storage"


def _to_host_independent(context: Context, kind: dtype) -> None:
    """Where the device is not the host, `to_host` gives memory of its own, at every call."""
    backend, index = context.backend, index_of(context)
    values, others = numbers(kind, 3, 4), numbers(kind, 3, 4, seed=7)
    array = backend.from_host(values, index)
    first = backend.to_host(array)
    assert isinstance(first, np.ndarray), f"to_host gave {type(first).__name__}, expected numpy.ndarray"
    if backend.capabilities.host:
        assert np.shares_memory(first, backend.to_host(array)), "a host backend gives the array itself"
        return
    backend.copy(array, backend.from_host(others, index))
    check_same(first, values, "what was read before the device's array changed")
    second = backend.to_host(array)
    check_same(second, others, "what is read after it changed")
    second.flags.writeable = True
    second[...] = values
    check_same(backend.to_host(array), others, "the device's array after the host's copy changed")
    assert not np.shares_memory(first, second), "two calls of to_host share memory"


def _to_host(context: Context, kind: dtype, layout: str) -> None:
    backend = context.backend
    storage = numbers(kind, 120)
    array = backend.as_strided(backend.from_host(storage, index_of(context)), *DEVICE_LAYOUTS[layout])
    check_same(backend.to_host(array), strided(storage, DEVICE_LAYOUTS[layout]), f"to_host of a {layout} view")


def _as_strided(context: Context, kind: dtype, layout: str) -> None:
    """Shape, strides, offset and storage of a view, also of a view of a view: they count from the storage's start."""
    backend = context.backend
    storage = numbers(kind, 120)
    whole = backend.from_host(storage.reshape(4, 6, 5), index_of(context))
    shape, strides, offset = DEVICE_LAYOUTS[layout]
    for other in ("whole", "offset", "transposed", "windows", "scalar"):
        between = backend.as_strided(whole, *DEVICE_LAYOUTS[other])
        array = backend.as_strided(between, shape, strides, offset)
        what = f"as_strided of a {other} view"
        check_equal(tuple(array.shape), shape, f"{what}: shape")
        _check_layout(backend, array, DEVICE_LAYOUTS[layout], what)
        assert backend.dtype_of(array) is kind, f"{what}: dtype_of gives {backend.dtype_of(array)}"
        assert backend.storage(array) is backend.storage(whole), f"{what}: another storage"
        assert isinstance(array, backend.array_type), f"{what}: gave {type(array).__name__}"
        check_same(backend.to_host(array), strided(storage, DEVICE_LAYOUTS[layout]), what)


def _check_layout(backend: Any, array: Any, layout: Any, what: str) -> None:
    """Assert strides and offset, as far as they are anybody's: not those of sizes 0 and 1."""
    shape, strides, offset = layout
    found, start = backend.layout(array)
    assert len(found) == len(shape), f"{what}: {len(found)} strides for shape {shape}"
    if 0 not in shape:
        check_equal(start, offset, f"{what}: offset")
        pairs = [(have, want) for size, have, want in zip(shape, found, strides, strict=True) if size > 1]
        assert all(have == want for have, want in pairs), f"{what}: strides {found}, expected {strides}"
    check_equal(bool(backend.is_contiguous(array)), is_contiguous(shape, strides), f"{what}: is_contiguous")


def _layouts(context: Context, kind: dtype) -> None:
    """Layouts of arrays that kernels and tensors make, and of views through tensors."""
    base = upload(context, numbers(kind, 4, 6, 5))
    wanted = {"base": (base, (30, 5, 1), 0), "[1:]": (base[1:], (30, 5, 1), 30), "[:, 2]": (base[:, 2], (30, 1), 10),
              "[..., ::2]": (base[..., ::2], (30, 5, 2), 0), "[3, 5, 4]": (base[3, 5, 4], (), 119),
              "permuted": (base.permute(2, 0, 1), (1, 30, 5), 0), "diagonal": (base.diagonal(1, 1, 2), (30, 6), 1),
              "unfold": (base.unfold(1, 3, 2), (30, 10, 1, 5), 0),
              "expand": (base[:, :1].expand(4, 3, 5), (30, 0, 1), 0),
              "T[2:4]": (base.transpose(0, 2)[2:4], (1, 5, 30), 2), "[2:3]": (base[2:3], (30, 5, 1), 60)}
    for name, (view, strides, offset) in wanted.items():
        _check_layout(context.backend, view._array, (tuple(view.shape), strides, offset), name)
        assert same_memory(view, base), f"{name}: another storage"
        check_equal(view.is_contiguous(), is_contiguous(tuple(view.shape), strides), f"{name}: is_contiguous()")
        contiguous = view.contiguous()
        check_same(download(contiguous), download(view), f"{name}: contiguous()")
        assert contiguous.is_contiguous(), f"{name}: contiguous() is not"


def _storage(context: Context, kind: dtype) -> None:
    """Storage has an identity: one for all views, another for every other array."""
    backend, index = context.backend, index_of(context)
    first, second = (backend.from_host(numbers(kind, 4, 6, 5), index) for _ in range(2))
    roots = {id(backend.storage(each)) for each in (first, second, backend.empty((120,), kind, index))}
    arrays = [backend.storage(first), backend.storage(second)]
    assert arrays[0] is not arrays[1], "two arrays, one storage"
    assert len(roots) >= 2, "every array has the same storage"
    for layout in DEVICE_LAYOUTS.values():
        view = backend.as_strided(first, *layout)
        assert backend.storage(view) is arrays[0], f"a view's storage is not its array's: {layout}"
        assert backend.storage(view) is not arrays[1], f"a view's storage is another array's: {layout}"
    kernel = backend.kernels.get("clone")
    if kernel is not None:
        copied = kernel(first)
        assert backend.storage(copied) is not arrays[0], "a clone shares the storage"


def _empty(context: Context, kind: dtype) -> None:
    backend, index = context.backend, index_of(context)
    for shape in _SHAPES:
        first, second = backend.empty(shape, kind, index), backend.empty(shape, kind, index)
        what = f"empty({shape})"
        assert isinstance(first, backend.array_type), f"{what} gave {type(first).__name__}"
        check_equal(tuple(first.shape), shape, f"{what}: shape")
        assert backend.dtype_of(first) is kind, f"{what}: dtype {backend.dtype_of(first)}, expected {kind}"
        strides, offset = backend.layout(first)
        check_equal(offset, 0, f"{what}: offset")
        assert is_contiguous(shape, strides) and backend.is_contiguous(first), f"{what}: not contiguous, {strides}"
        if all(size > 1 for size in shape):
            check_equal(tuple(strides), contiguous_strides(shape), f"{what}: strides")
        assert backend.storage(first) is not backend.storage(second), f"{what}: two arrays, one storage"
        values, others = numbers(kind, *shape), numbers(kind, *shape, seed=11)
        backend.copy(first, backend.from_host(values, index))
        backend.copy(second, backend.from_host(others, index))
        check_same(backend.to_host(first), values, f"{what}, written to")
        check_same(backend.to_host(second), others, f"{what}, the second one")
    made = flambeau.empty(2, 3, dtype=kind, device=context.device)
    check_equal((made.dtype, made.device, tuple(made.shape)), (kind, context.device, (2, 3)), "flambeau.empty")


def _dtype_of(context: Context, kind: dtype) -> None:
    backend = context.backend
    array = backend.from_host(numbers(kind, 3), index_of(context))
    assert backend.dtype_of(array) is kind, f"dtype_of gives {backend.dtype_of(array)}, expected {kind}"
    native = backend.native_dtype(kind)
    if native is not None:
        found = array.dtype
        assert found is native, f"native_dtype is {native!r}, an array's attribute dtype {found!r}: other objects"
    tensor = upload(context, numbers(kind, 2, 3))
    check_equal((tensor.dtype, tensor.element_size(), tensor.nbytes), (kind, kind.itemsize, 6 * kind.itemsize), "sizes")
    check_equal((tensor.is_floating_point(), tensor.is_complex(), tensor.is_signed()),
                (kind.category == FLOAT, kind.category == COMPLEX, kind.is_signed), "questions about the dtype")


# ---------------------------------------------------------------------------------------------- copy
def _copy(context: Context, kind: dtype) -> None:
    backend, index = context.backend, index_of(context)
    for shape in _SHAPES:
        target = backend.from_host(numbers(kind, *shape, seed=40), index)
        values = numbers(kind, *shape)
        source = backend.from_host(values, index)
        given = backend.copy(target, source)  # type: ignore[func-returns-value]  # that it is None is tested
        check_equal(given, None, f"copy of {shape}")
        check_same(backend.to_host(target), values, f"copy of {shape}")
        check_same(backend.to_host(source), values, f"the source of a copy of {shape}")
        backend.copy(source, backend.from_host(numbers(kind, *shape, seed=60), index))
        check_same(backend.to_host(target), values, f"a copy of {shape} after its source changed")


def _copy_broadcast(context: Context, kind: dtype) -> None:
    backend, index = context.backend, index_of(context)
    for source_shape, shape in (((), (3,)), ((), ()), ((1,), (2, 3)), ((3,), (2, 3)), ((2, 1), (2, 3)),
                                ((1, 3), (4, 3)),
                                ((3, 1, 2), (4, 3, 5, 2)), ((1,), (0,)), ((0,), (3, 0))):
        values = numbers(kind, *source_shape, seed=2)
        target = backend.from_host(numbers(kind, *shape, seed=33), index)
        backend.copy(target, backend.from_host(values, index))
        check_same(backend.to_host(target), np.broadcast_to(values, shape), f"{source_shape} into {shape}")


def _copy_into(context: Context, kind: dtype, layout: str) -> None:
    """Into a view, from sources of every layout that fits: what lies between the view's elements stays."""
    backend, index = context.backend, index_of(context)
    where = DEVICE_LAYOUTS[layout]
    shape = where[0]
    backwards = tuple(reversed(range(len(shape))))
    size = int(np.prod(shape))
    values = numbers(kind, *shape, seed=50)
    sources = {"contiguous": (values, ()), "permuted": (values.transpose(backwards), backwards),
               "scalar": (numbers(kind, seed=13), ())}
    for name, (array, order) in sources.items():
        expected = numbers(kind, 120)
        storage = backend.from_host(expected, index)
        source = backend.from_host(array, index)
        if order and size:
            strides = backend.layout(source)[0]
            source = backend.as_strided(source, shape, tuple(strides[each] for each in order), 0)
            array = array.transpose(order)
        elif order:
            source, array = backend.from_host(values, index), values
        backend.copy(backend.as_strided(storage, *where), source)
        strided(expected, where)[...] = array
        check_same(backend.to_host(storage), expected, f"storage after a copy of a {name} source into a {layout} view")


def _copy_halves(context: Context, kind: dtype) -> None:
    """Between parts of one storage that do not overlap."""
    backend, index = context.backend, index_of(context)
    places = ((((60,), (1,), 0), ((60,), (1,), 60)), (((60,), (2,), 1), ((60,), (2,), 0)),
              (((4, 5), (10, 1), 5), ((4, 5), (10, 1), 45)), (((3, 4), (1, 3), 0), ((3, 4), (4, 1), 20)))
    for target, source in places:
        expected = numbers(kind, 120)
        storage = backend.from_host(expected, index)
        backend.copy(backend.as_strided(storage, *target), backend.as_strided(storage, *source))
        strided(expected, target)[...] = strided(expected, source).copy()
        check_same(backend.to_host(storage), expected, f"a copy from {source} to {target} of one storage")


# ---------------------------------------------------------------------------------------------- other backends
def _between_devices(subject: Subject) -> Iterator[Case]:
    for other in other_devices(subject.name):
        stored = discovery.backend_for(other).capabilities.storage_dtypes
        for kind in subject.dtypes:
            if kind in stored:
                yield _case(f"to-{other}", kind.name, _there_and_back, other, kind, kind=kind,
                            quick=kind.name == "float32")
        yield _case(f"to-{other}", "gradient", _gradient_through, other)
        yield _case(f"to-{other}", "dtype-and-device", _dtype_and_device, other)


def _there_and_back(context: Context, other: str, kind: dtype) -> None:
    values = numbers(kind, 4, 6)
    for name, tensor, expected in _tensor_transfers.ways(context, kind, values):
        for later in (False, True):
            there = tensor.to(other, non_blocking=later)
            if later:
                context.backend.synchronize(index_of(context))
            _check_there(there, other, expected, f"a {name} tensor to {other}")
            back = there.to(context.device, non_blocking=later)
            context.backend.synchronize(index_of(context))
            check_tensor(back, expected, f"a {name} tensor back from {other}", context)
        if expected.size:
            back.zero_()
            _check_there(there, other, expected, f"a {name} tensor on {other} after its copy changed")
            there.zero_()
            check_tensor(tensor, expected, f"a {name} tensor after its copy on {other} changed", context)
    _copies_across(context, other, kind)


def _check_there(tensor: Tensor, other: str, expected: Host, what: str) -> None:
    check_equal(tensor.device.type, other, f"{what}: device")
    check_same(download(tensor), expected, what)


def _copies_across(context: Context, other: str, kind: dtype) -> None:
    """copy_ between devices, with broadcasting and into a view."""
    far = discovery.resolve(flambeau.device(other))
    expected = numbers(kind, 4, 6)
    target = upload(context, expected)
    target.copy_(upload(context, numbers(kind, 6, seed=31), far))
    check_tensor(target, np.broadcast_to(numbers(kind, 6, seed=31), (4, 6)), f"copy_ from {other}", context)
    if not has_views(context):
        return
    target = upload(context, expected)
    target[1:, ::2].copy_(upload(context, numbers(kind, 3, 3, seed=31), far))
    expected[1:, ::2] = numbers(kind, 3, 3, seed=31)
    check_tensor(target, expected, f"copy_ from {other} into a view", context)


def _gradient_through(context: Context, other: str) -> None:
    x = upload(context, numbers(flambeau.float32, 3, 4)).requires_grad_()
    (x.to(other) * 3).to(context.device).sum().backward()
    assert x.grad is not None, "no gradient through a transfer"
    check_tensor(x.grad, np.full((3, 4), 3, np.float32), "the gradient through a transfer", context)


def _dtype_and_device(context: Context, other: str) -> None:
    values = numbers(flambeau.int32, 3, 4)
    tensor = upload(context, values)
    there = tensor.to(other, flambeau.float32)
    _check_there(there, other, values.astype(np.float32), "to(device, dtype)")
    like = there.to(tensor)
    check_tensor(like, values, "to(other)", context)
    raises(RuntimeError, lambda: tensor + tensor.to(other), "operands on two devices")
