"""Views and changes in place: who shares whose memory, where, and what gradients make of it.

NumPy's strided views are the oracle: a view's shape, strides and offset follow from NumPy's, what is written through it
must show in the base exactly where NumPy's does, and a gradient is added up over NumPy's indices. Where PyTorch is
installed, every view in the registry is compared with its stride() and storage_offset() as well. All targets lie inside
a larger storage, whose other elements must stay what they are.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import flambeau
from flambeau import dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef
from flambeau.tensor import Tensor, make
from flambeau_conformance import calling, oracle
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.levels import _inplace_programs, _view_programs
from flambeau_conformance.levels._shared import (
    Host,
    case_function,
    check_equal,
    check_same,
    check_tensor,
    download,
    has_views,
    numbers,
    raises,
    same_memory,
    strided,
    upload,
)
from flambeau_conformance.sampling import Value, calls, each_tensor, each_value, put as put_layout, replaced

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context

LEVEL = "views"
CHAINS = 60
_DTYPES = (fd.float32, fd.int64, fd.bool_, fd.complex64, fd.float16, fd.uint8, fd.float64)


def cases(subject: Subject) -> Iterator[Case]:
    """All cases of this level for one device."""
    viewing = has_views(subject)
    for kind in (each for each in _DTYPES if each in subject.dtypes):
        for name, program in _view_programs.READS.items():
            yield Case(LEVEL, "index", f"{kind.name}-{name}", case_function(_read, kind, program), kind,
                       quick=kind is fd.float32)
        for name, writing in _view_programs.WRITES.items():
            yield Case(LEVEL, "index_put", f"{kind.name}-{name}", case_function(_write, kind, writing), kind,
                       quick=kind is fd.float32)
        for name, view in _view_programs.VIEWS.items() if viewing else ():
            yield Case(LEVEL, name, kind.name, case_function(_view, kind, view), kind, quick=kind is fd.float32)
            yield Case(LEVEL, name, f"{kind.name}-write", case_function(_write_through, kind, view), kind)
    for name, view in _view_programs.VIEWS.items():
        if fd.float32 in subject.dtypes:
            yield Case(LEVEL, name, "gradient", case_function(_gradient, view), fd.float32)
            if viewing:
                yield Case(LEVEL, name, "inplace-gradient", case_function(_inplace_gradient, view), fd.float32)
                yield Case(LEVEL, name, "versions", case_function(_versions, view), fd.float32)
    if viewing:
        for number in range(CHAINS):
            yield Case(LEVEL, "chain", f"{number:02}", case_function(_chain, number), quick=number < 3)
        for kind in (fd.complex64, fd.complex128):
            if {kind, kind.to_real()} <= set(subject.dtypes):
                yield Case(LEVEL, "complex", kind.name, case_function(_complex_views, kind), kind)
        for one, other in ((fd.float32, fd.int32), (fd.float32, fd.uint8), (fd.int16, fd.int64), (fd.int64, fd.int32)):
            if {one, other} <= set(subject.dtypes):
                variant = f"{one.name}-{other.name}"
                yield Case(LEVEL, "view_dtype", variant, case_function(_view_dtype, one, other), other)
    yield from _from_registry(subject, viewing)
    for name, whole in _inplace_programs.PROGRAMS.items():
        yield Case(LEVEL, "program", name, case_function(_program, whole, _inplace_programs.EXPECTED[name]))


def _from_registry(subject: Subject, viewing: bool) -> Iterator[Case]:
    for record in calling.records():
        kind = next(calling.sampled_dtypes(subject, record), None)
        if kind is None:
            continue
        if viewing and not record.internal:
            yield Case(LEVEL, record.name, f"{kind.name}-strides", case_function(_like_torch, record, kind), kind)
        if calling.has_inplace_form(record) and not calling.is_random(record):
            for layout in ("contiguous", *(("strided", "offset", "permuted") if viewing else ())):
                yield Case(LEVEL, record.name, f"{kind.name}-inplace-{layout}",
                           case_function(_inplace, record, kind, layout), kind)
            others = (fd.float16, fd.int32, fd.int64, fd.bool_, fd.complex64)
            for other in others:
                if other is not kind and other in subject.dtypes and other.category not in record.excluded:
                    yield Case(LEVEL, record.name, f"{other.name}-inplace",
                               case_function(_inplace, record, other, "contiguous"), other)
        if _takes_out(record) and not calling.is_random(record) and not calling.is_uninitialised(record):
            yield Case(LEVEL, record.name, f"{kind.name}-out", case_function(_out, record, kind, viewing), kind)


# ---------------------------------------------------------------------------------------------- reading views
def _base(context: Context, kind: dtype, shape: tuple[int, ...] = (3, 4, 6)) -> tuple[Host, Host, Tensor, Tensor]:
    """(storage and view of it on the host, the same two on the device): the view begins 5 elements into the storage."""
    size = int(np.prod(shape))
    storage = numbers(kind, size + 11)
    whole = upload(context, storage)
    if not has_views(context):
        host = storage[5:5 + size].reshape(shape).copy()
        return host.reshape(-1), host, whole, upload(context, host)
    return storage, storage[5:5 + size].reshape(shape), whole, whole[5:5 + size].view(shape)


def _address(view: Host, storage: Host) -> int:
    return (view.__array_interface__["data"][0] - storage.__array_interface__["data"][0]) // storage.itemsize


def _check_view(found: Tensor, expected: Host, storage: Host, whole: Tensor, what: str) -> None:
    """Assert values, strides, offset, contiguity and memory of a view."""
    check_tensor(found, expected, what)
    assert same_memory(found, whole), f"{what}: is a copy"
    size = storage.itemsize
    strides = tuple(each // size for each in expected.strides)
    assert all(have == want for have, want, length in zip(found.stride(), strides, expected.shape, strict=True)
               if length > 1) or not expected.size, f"{what}: strides {found.stride()}, expected {strides}"
    if expected.size:
        check_equal(found.storage_offset(), _address(expected, storage), f"{what}: offset")
    check_equal(found.is_contiguous(), bool(expected.flags.c_contiguous), f"{what}: is_contiguous()")


def _view(context: Context, kind: dtype, view: _view_programs.View) -> None:
    storage, host, whole, tensor = _base(context, kind)
    found, expected = view.tensor(tensor), view.array(host)
    for number, (mine, theirs) in enumerate(zip(_several(found), _several(expected), strict=True)):
        _check_view(mine, theirs, storage, whole, f"view {number}")
        check_equal(mine._is_view(), True, "_is_view()")
        base = mine._base
        assert base is not None and same_memory(base, whole), "the base of a view"
    check_same(download(whole), storage, "the storage afterwards")
    check_equal(whole._version, 0, "the version after a view was made")
    turned, flat = tensor.permute(2, 0, 1), host.transpose(2, 0, 1)
    try:
        expected = view.array(flat)
        shares = all(np.shares_memory(each, storage) for each in _several(expected))
    except (ValueError, IndexError):
        return
    if shares:
        for mine, theirs in zip(_several(view.tensor(turned)), _several(expected), strict=True):
            _check_view(mine, theirs, storage, whole, "the view of a permuted tensor")


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _write_through(context: Context, kind: dtype, view: _view_programs.View) -> None:
    """What is written through a view shows in the base, and the other way round, and nowhere else."""
    storage, host, whole, tensor = _base(context, kind)
    if view.overlaps:
        storage[7] = storage[9]
        whole[7:8].copy_(whole[9:10])
        for mine, theirs in zip(_several(view.tensor(tensor)), _several(view.array(host)), strict=True):
            check_tensor(mine, theirs, "a view after its base changed")
        return
    for mine, theirs in zip(_several(view.tensor(tensor)), _several(view.array(host)), strict=True):
        values = numbers(kind, *theirs.shape, seed=60)
        theirs[...] = values
        mine.copy_(upload(context, values))
        check_same(download(whole), storage, "the storage after copy_ into the view")
        theirs[...] = 1
        mine.fill_(1)
        check_same(download(whole), storage, "the storage after fill_ of the view")
        if kind.name not in ("bool", "float16"):
            theirs[...] = theirs + 2
            mine.add_(2)
            theirs[...] = theirs * theirs
            mine.mul_(mine)
            check_same(download(whole), storage, "the storage after add_ and mul_ of the view")
        storage[5:] = numbers(kind, storage.size - 5, seed=80)
        whole[5:].copy_(upload(context, numbers(kind, storage.size - 5, seed=80)))
        check_tensor(mine, theirs, "the view after its base changed")
        mine.zero_()
        theirs[...] = 0
        check_same(download(whole), storage, "the storage after zero_ of the view")


def _versions(context: Context, view: _view_programs.View) -> None:
    """One counter for a base and all its views; a clone has its own."""
    _, _, whole, tensor = _base(context, fd.float32)
    parts = _several(view.tensor(tensor))
    expected = 0
    for part in (*([] if view.overlaps else parts), tensor, whole):
        part.add_(1)
        expected += 1
        found = {each._version for each in (*parts, tensor, whole)}
        check_equal(found, {expected}, f"versions after {expected} changes in place")
    check_equal(parts[0].clone()._version, 0, "the version of a clone")
    check_equal(parts[0].detach()._version, expected, "the version of a detached view")


# ---------------------------------------------------------------------------------------------- chains
def _chain(context: Context, number: int) -> None:
    """Views of views, drawn at random: layout, writing through, and the gradient back to the beginning."""
    rng = np.random.default_rng([context.seed, number])
    storage, host, whole, tensor = _base(context, fd.float32, (4, 5, 6))
    places = np.arange(storage.size)[5:5 + host.size].reshape(host.shape)
    leaf = upload(context, host.copy()).requires_grad_()
    through, names, written = leaf, [], True
    for _ in range(int(rng.integers(2, 6))):
        step = _view_programs.draw_step(rng, host.shape)
        host, places, tensor, through = step.run(host), step.run(places), step.run(tensor), step.run(through)
        names.append(step.name)
        written = written and not step.overlaps
        _check_view(tensor, host, storage, whole, " of ".join(reversed(names)))
    weights = numbers(fd.float32, *host.shape, seed=9)
    (through * upload(context, weights)).sum().backward()
    expected = np.zeros(storage.size, np.float32)
    np.add.at(expected, places, weights)
    assert leaf.grad is not None, "no gradient"
    check_tensor(leaf.grad, expected[5:5 + 120].reshape(4, 5, 6), f"the gradient through {', '.join(names)}", context)
    if written:
        host[...] = weights
        tensor.copy_(upload(context, weights))
        check_same(download(whole), storage, f"the storage after copy_ through {', '.join(names)}")


def _gradient(context: Context, view: _view_programs.View) -> None:
    """The gradient of a view adds up, at each place of the base, what arrives at the places of the view."""
    host = numbers(fd.float32, 3, 4, 6)
    leaf = upload(context, host).requires_grad_()
    results = _several(view.tensor(leaf * 1))
    where = _several(view.array(np.arange(host.size).reshape(host.shape)))
    expected, total = np.zeros(host.size, np.float32), None
    for number, (mine, places) in enumerate(zip(results, where, strict=True)):
        assert mine.requires_grad and mine.grad_fn is not None, "a view of a tensor that requires grad does not"
        weights = numbers(fd.float32, *places.shape, seed=7 * number)
        np.add.at(expected, places, weights)
        part = (mine * upload(context, weights)).sum()
        total = part if total is None else total + part
    assert total is not None, "no views"
    total.backward()
    assert leaf.grad is not None, "no gradient"
    check_tensor(leaf.grad, expected.reshape(host.shape), "the gradient", context)


def _inplace_gradient(context: Context, view: _view_programs.View) -> None:
    """A change through a view becomes the base's history: the gradient of what was replaced goes elsewhere."""
    if view.overlaps or view.several:
        return
    host = numbers(fd.float32, 3, 4, 6)
    places = view.array(np.arange(host.size).reshape(host.shape))
    outer, factors = numbers(fd.float32, 3, 4, 6, seed=4), numbers(fd.float32, *places.shape, seed=31)
    for way in ("mul_", "copy_"):
        leaf = upload(context, host).requires_grad_()
        other = upload(context, factors).requires_grad_()
        base = leaf * 1
        part = view.tensor(base)
        getattr(part, way)(other)
        (base * upload(context, outer)).sum().backward()
        expected, arrived = outer.copy(), outer.reshape(-1)[places]
        expected.reshape(-1)[places] = arrived * factors if way == "mul_" else 0
        own = arrived * host.reshape(-1)[places] if way == "mul_" else arrived
        assert leaf.grad is not None and other.grad is not None, f"{way}: no gradient"
        check_tensor(leaf.grad + 0, expected + 0, f"the gradient of the base after {way} of a view", context)
        check_tensor(other.grad + 0, own + 0, f"the gradient of what {way} put into a view", context)
        assert base.grad_fn is not None and part.grad_fn is not None, f"{way}: no history"


# ---------------------------------------------------------------------------------------------- other dtypes
def _complex_views(context: Context, kind: dtype) -> None:
    storage, host, whole, tensor = _base(context, kind)
    pairs = flambeau.view_as_real(tensor)
    check_tensor(pairs, np.stack([host.real, host.imag], -1), "view_as_real", context)
    check_equal(tuple(pairs.stride()), (48, 12, 2, 1), "strides of view_as_real")
    check_equal(pairs.storage_offset(), 10, "offset of view_as_real")
    for name, part in (("real", host.real), ("imag", host.imag)):
        found = getattr(tensor, name)
        check_tensor(found, np.array(part), name, context)
        check_equal(tuple(found.stride()), (48, 12, 2), f"strides of {name}")
    tensor.imag.mul_(3)
    host.imag *= 3
    tensor.real[1:, ::2].fill_(2)
    host.real[1:, ::2] = 2
    check_same(download(whole), storage, "the storage after changes of the parts")
    back = flambeau.view_as_complex(pairs)
    check_tensor(back, host, "view_as_complex", context)
    check_equal((tuple(back.stride()), back.storage_offset()), ((24, 6, 1), 5), "the layout of view_as_complex")


def _view_dtype(context: Context, one: dtype, other: dtype) -> None:
    values = numbers(one, 4, 8)
    whole = upload(context, values)
    tensor, host = whole[1:, 4:], values[1:, 4:]
    theirs = np.dtype(other.name)
    check_tensor(tensor.view(other), host.view(theirs), f"the bytes of {one} as {other}", context)
    if one.itemsize == other.itemsize:
        check_tensor(whole.t().view(other), values.T.view(theirs), f"a transposed {one} as {other}", context)
    assert same_memory(tensor.view(other), whole) or tensor.view(other)._version == whole._version, "a copy"
    tensor.view(other).zero_()
    host[...] = 0
    check_same(download(whole), values, "the storage after a change through the other dtype")
    check_tensor(tensor.view(other).view(one), host, "back to the first dtype", context)


# ---------------------------------------------------------------------------------------------- indexing
def _read(context: Context, kind: dtype, program: Callable[[Any, Any], Any]) -> None:
    for layout in ("whole", "permuted") if has_views(context) else ("whole",):
        _, host, _, tensor = _base(context, kind)
        if layout == "permuted":
            host, tensor = host.transpose(0, 2, 1), tensor.permute(0, 2, 1)
        try:
            expected = program(host, lambda each: each)
        except IndexError:
            continue   # it does not fit the permuted shape
        found = program(tensor, lambda each: upload(context, each))
        check_tensor(found, np.asarray(expected), f"the elements of a {layout} tensor", context)
        assert not expected.size or not isinstance(found, Tensor) or (
            same_memory(found, tensor) == np.shares_memory(expected, host)), "whether reading copies"


def _write(context: Context, kind: dtype, program: Callable[[Any, Any, Any], Any]) -> None:
    for layout in ("whole", "permuted") if has_views(context) else ("whole",):
        storage, host, whole, tensor = _base(context, kind)
        if layout == "permuted":
            host, tensor = host.transpose(0, 2, 1), tensor.permute(0, 2, 1)

        def values(*shape: int) -> Host:
            return numbers(kind, *shape, seed=70)
        try:
            program(host, lambda each: each, values)
        except (IndexError, ValueError):
            continue
        program(tensor, lambda each: upload(context, each), lambda *shape: upload(context, values(*shape)))
        check_tensor(tensor, host, f"a {layout} tensor after writing", context)
        if has_views(context):
            check_same(download(whole), storage, f"the storage of a {layout} tensor after writing")
        check_equal(tensor._version > 0, True, "whether the version counts the change")


# ---------------------------------------------------------------------------------------------- the registry's views
def _placed(context: Context, tree: Any, layout: str, torch_too: bool) -> tuple[Any, list[tuple[Tensor, Any]]]:
    """Arguments on the device in a layout, and pairs of (tensor, PyTorch's tensor of the same layout)."""
    pairs: list[tuple[Tensor, Any]] = []

    def place(leaf: Any) -> Any:
        if not isinstance(leaf, Value):
            return context.put(leaf)
        kind = flambeau.discovery.kind_of(leaf.dtype, context.device)
        tensor = put_layout(leaf.array, kind, layout)
        pairs.append((tensor, _twin(leaf, tensor) if torch_too else None))
        return tensor
    return replaced(tree, place), pairs


def _twin(leaf: Value, tensor: Tensor) -> Any:
    """PyTorch's tensor with the same values at the same places of its storage."""
    torch = oracle.torch_or_none()
    made = oracle.to_torch(leaf)
    strides, offset = tensor.stride(), tensor.storage_offset()
    extent = 1 + offset + sum((size - 1) * stride for size, stride in zip(made.shape, strides, strict=True) if size)
    twin = torch.as_strided(torch.zeros(max(extent, 1), dtype=made.dtype), made.shape, strides, offset)
    twin.copy_(made)
    return twin


def _like_torch(context: Context, record: OpDef, kind: dtype) -> None:
    """What PyTorch gives as a view is one here, with its strides and offset; what it gives as a copy is none."""
    function = oracle.torch_function(record) if context.torch is not None else None
    if function is None:
        return
    for call in calls(record, kind, context.seed, context.storable):
        for layout in ("contiguous", "permuted", "strided", "offset"):
            placed, pairs = _placed(context, call, layout, True)
            twins = iter([twin for _, twin in pairs])

            def theirs(leaf: Any, twins: Any = twins) -> Any:
                if isinstance(leaf, Value):
                    return next(twins)
                return getattr(context.torch, leaf.name) if isinstance(leaf, dtype) else leaf
            arguments = replaced(call, theirs)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    expected = oracle.flat(function(*arguments[0], **arguments[1]))
                except Exception:  # noqa: BLE001 - PyTorch has no answer for this layout
                    continue
            _compare_layouts(context, record, placed, pairs, expected, f"{calling.describe(record, call)}, {layout}")


def _compare_layouts(context: Context, record: OpDef, placed: Any, pairs: list[tuple[Tensor, Any]], expected: list[Any],
                     what: str) -> None:
    storages = {twin.untyped_storage().data_ptr(): tensor for tensor, twin in pairs}
    wanted = [each for each in expected if hasattr(each, "untyped_storage")]
    if not any(each.untyped_storage().data_ptr() in storages and each.numel() for each in wanted):
        return   # no view in PyTorch: that ours is none either is the determinism level's to see
    try:
        results = [each for each in calling.perform(record, placed) if isinstance(each, Tensor)]
    except calling.REFUSALS as error:
        if calling.unstorable(context, error, [oracle.plain(each)[0] for each in wanted]):
            return
        raise AssertionError(f"{what}: raised {type(error).__name__}: {error}; PyTorch gives a view") from error
    for mine, theirs in zip(results, wanted, strict=True):
        base = storages.get(theirs.untyped_storage().data_ptr())
        if base is None or not theirs.numel() or theirs.is_conj() or theirs.is_neg():
            continue
        check_equal(tuple(mine.shape), tuple(theirs.shape), f"{what}: shape")
        if not same_memory(mine, base):
            assert record.family not in ("view", "views"), f"{what}: a copy, PyTorch gives a view"
            continue
        strides = [(have, want) for have, want, size in zip(mine.stride(), theirs.stride(), theirs.shape, strict=True)
                   if size > 1]
        assert all(have == want for have, want in strides), f"{what}: strides {mine.stride()}, not {theirs.stride()}"
        check_equal(mine.storage_offset(), theirs.storage_offset(), f"{what}: offset")
        if record.name != "as_strided":   # it looks at what lies between the elements, which is not the same in both
            check_tensor(mine, np.asarray(oracle.plain(theirs)[1]), what, context)
        context.samples += 1


# ---------------------------------------------------------------------------------------------- in place
def _inplace(context: Context, record: OpDef, kind: dtype, layout: str) -> None:
    """The in-place form: the out-of-place values, in the tensor itself, in its dtype, and nowhere around it."""
    call = getattr(Tensor, f"{record.name}_", record.inplace_call)
    assert call is not None, f"{record.name} has no in-place form"
    done = 0
    for args, kwargs in calls(record, kind, context.seed, context.storable):
        if not args or not isinstance(args[0], Value):
            continue
        expected = _out_of_place(context, record, (args, kwargs))
        if expected is None or expected.shape != args[0].array.shape:
            continue
        target = put_layout(args[0].array, flambeau.discovery.kind_of(args[0].dtype, context.device), layout)
        if not fd.can_cast(_dtype_named(expected.dtype), target.dtype):
            continue
        around = _whole_storage(target)
        others = context.put(args[1:]), context.put(kwargs)
        before = _version_of(target)
        try:
            result = call(target, *others[0], **others[1])
        except calling.REFUSALS as error:
            if _refused_in_place(context, record, (args, kwargs)):
                continue
            raise AssertionError(f"{record.name}_ raised {type(error).__name__}: {error}") from error
        what = f"{calling.describe(record, (args, kwargs))} in place"
        assert result is target, f"{what}: gives another tensor"
        check_equal((target.dtype, tuple(target.shape)), (args[0].dtype, args[0].array.shape), f"{what}: dtype, shape")
        assert _version_of(target) > before, f"{what}: the version counter stays at {before}"
        context.compare_values(target, expected.astype(args[0].array.dtype), record, what)
        if around is not None:
            _check_around(target, around, what)
        _check_kept(others, args, kwargs, what)
        done += 1
    context.samples += done


def _refused_in_place(context: Context, record: OpDef, call: Any) -> bool:
    """Whether there is no in-place form for these arguments: PyTorch's refuses them too, or it has none."""
    if context.torch is None:      # float_power computes in double, which nothing narrower takes
        return record.public is not record.call or record.promote is not None or record.name == "float_power"
    method = getattr(context.torch.Tensor, f"{record.name}_", None)
    if method is None:
        return True
    arguments = replaced(call, lambda leaf: oracle.to_torch(leaf) if isinstance(leaf, Value) else leaf)
    try:
        method(*arguments[0], **arguments[1])
    except (RuntimeError, TypeError, ValueError):
        return True
    return False


def _version_of(tensor: Tensor) -> int:
    return tensor._version


def _dtype_named(kind: Any) -> dtype:
    return fd.by_name(str(kind))


def _out_of_place(context: Context, record: OpDef, call: Any) -> Host | None:
    """The values by PyTorch, else by the device's own out-of-place form, which other levels check; None if refused."""
    if context.torch is not None and oracle.torch_function(record) is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = oracle.torch_call(record, call, False)[0]
            except Exception:  # noqa: BLE001 - refused there: nothing to compare with
                return None
        return np.asarray(oracle.plain(found)[1]) if hasattr(found, "detach") else None
    try:
        result = record.call(*context.put(call[0]), **context.put(call[1]))
    except calling.REFUSALS:
        return None
    return download(result) if isinstance(result, Tensor) else None


def _whole_storage(target: Tensor) -> tuple[Host, int] | None:
    """The memory from its beginning to the target's last element, None where the device has no views."""
    backend = target._kind.backend
    strides, offset = backend.layout(target._array)
    extent = 1 + offset + sum((size - 1) * stride for size, stride in zip(target.shape, strides, strict=True))
    if 0 in target.shape or extent == target.numel():
        return None
    view = backend.as_strided(target._array, (extent,), (1,), 0)
    return np.array(backend.to_host(view)), extent


def _check_around(target: Tensor, around: tuple[Host, int], what: str) -> None:
    """Assert that only the target's own places of its storage have changed."""
    before, extent = around
    backend = target._kind.backend
    strides, offset = backend.layout(target._array)
    now = np.array(backend.to_host(backend.as_strided(target._array, (extent,), (1,), 0)))
    strided(before, (tuple(target.shape), strides, offset))[...] = download(target)
    check_same(now, before, f"{what}: the memory around the target")


def _check_kept(placed: Any, args: Any, kwargs: Any, what: str) -> None:
    """Assert that the other operands are what they were."""
    for tensor, value in zip(each_tensor(placed), each_value((args[1:], kwargs)), strict=True):
        check_same(download(tensor), value.array, f"{what}: another operand")
        check_equal(tensor._version, 0, f"{what}: the version of another operand")


# ---------------------------------------------------------------------------------------------- out=
def _takes_out(record: OpDef) -> bool:
    if record.internal or record.family in ("view", "views"):
        return False
    try:
        return "out" in inspect.signature(record.public, follow_wrapped=False).parameters
    except (TypeError, ValueError):
        return False


def _out(context: Context, record: OpDef, kind: dtype, viewing: bool) -> None:
    """`out=`: an empty one is resized, a strided one written where its elements are, a wrong dtype refused."""
    for args, kwargs in calls(record, kind, context.seed, context.storable)[:2]:
        if "out" in kwargs:
            continue
        try:
            plain = record.public(*context.put(args), **context.put(kwargs))
        except calling.REFUSALS:
            continue
        results = [plain] if isinstance(plain, Tensor) else list(plain) if isinstance(plain, tuple) else []
        if not results or not all(isinstance(each, Tensor) for each in results):
            continue
        expected = [download(each) for each in results]
        for layout in ("empty", "fitting", "strided") if viewing else ("empty", "fitting"):
            made = [_out_tensor(context, each, layout) for each in expected]
            outs = [each for each, _ in made]
            given: Any = outs[0] if isinstance(plain, Tensor) else tuple(outs)
            returned = record.public(*context.put(args), **context.put(kwargs), out=given)
            what = f"{calling.describe(record, (args, kwargs))} with a {layout} out="
            for back, out, values in zip(_several(returned), outs, expected, strict=True):
                assert back is out, f"{what}: gives another tensor"
                check_tensor(out, values, what, context)
            for out, around in made:
                if around is not None:
                    _check_around(out, around, what)
        _wrong_out(context, record, args, kwargs, expected, isinstance(plain, Tensor))
        context.samples += 1


def _out_tensor(context: Context, values: Host, layout: str) -> tuple[Tensor, tuple[Host, int] | None]:
    kind = flambeau.discovery.kind_of(_dtype_named(values.dtype), context.device)
    if layout == "empty":
        return make(kind.backend.empty((0,), kind.dtype, kind.index), kind), None
    other = numbers(kind.dtype, *values.shape, seed=91)
    out = put_layout(other, kind, "contiguous" if layout == "fitting" or not values.ndim else "strided")
    return out, None if layout == "fitting" else _whole_storage(out)


def _wrong_out(context: Context, record: OpDef, args: Any, kwargs: Any, expected: list[Host], single: bool) -> None:
    """A float result does not go into an integer tensor, which stays what it is."""
    if fd.int32 not in context.storable or not single or expected[0].dtype.kind not in "fc" or not any(
            isinstance(each, Value) for each in args):
        return
    values = numbers(fd.int32, *expected[0].shape)
    out = upload(context, values)
    raises(RuntimeError, lambda: record.public(*context.put(args), **context.put(kwargs), out=out),
           f"{record.name} with an out= of int32")
    check_tensor(out, values, "the out= that was refused", context)


def _program(context: Context, program: Callable[[Any], Any], expected: Host) -> None:
    """A small program of views, changes in place and gradients, with what comes out worked out by hand."""
    def tensor(data: Any) -> Tensor:
        return upload(context, np.array(data, np.float32))
    found = program(tensor)
    assert isinstance(found, Tensor), f"the program gave {found!r}"
    check_tensor(found.detach() + 0, expected + 0, "what the program gives", context)
