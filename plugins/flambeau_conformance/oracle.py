"""What is right: PyTorch where it is installed, else NumPy, else the decomposition on another backend.

None of them is the backend under test. PyTorch is asked twice, in the dtype under test for the result's dtype and for
what depends on it, and in float64 for the values. Without PyTorch, `definitions` has independent ones in NumPy, of
every primitive and of most others; the rest is compared with its decomposition in float64 on another backend, whose
primitives are in turn what those definitions check.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import flambeau
from flambeau import discovery
from flambeau.device import device
from flambeau.dtypes import dtype
from flambeau.errors import DeviceError
from flambeau.registry import OpDef
from flambeau.tensor import Tensor, make
from flambeau_conformance.sampling import DEVICE, Call, Value, each_value, laid_out, numpy_dtype, put, replaced


def has_torch() -> bool:
    """Whether PyTorch is the oracle, without importing it: two seconds in every process that only lists cases."""
    return os.environ.get("FLAMBEAU_ORACLE") != "numpy" and importlib.util.find_spec("torch") is not None


@functools.cache
def torch_or_none() -> Any:
    """The PyTorch module, if it is installed and FLAMBEAU_ORACLE does not ask for "numpy"."""
    if not has_torch():
        return None
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    return torch


class Refused(Exception):
    """The oracle raised for this call: so must the device."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error = error


@dataclass(slots=True)
class Expected:
    """What an oracle says of a call: results in their own dtype, and more precise ones where it has them."""

    results: list[Any]       # arrays, numbers, strings, None
    precise: list[Any] | None
    names: list[str]         # dtype names, "" for what is no tensor
    oracle: str
    arguments: list[Any] | None = None   # the tensors among the arguments, as they are after the call
    optional: bool = False   # the device may refuse as well


# ---------------------------------------------------------------------------------------------- PyTorch
def plain(value: Any) -> tuple[str, Any]:
    """(dtype name, NumPy array) of a tensor of either library, or of an array."""
    if isinstance(value, Tensor):
        return value.dtype.name, np.asarray(value._kind.backend.to_host(value._array))
    if isinstance(value, np.ndarray) or not hasattr(value, "detach"):
        value = np.asarray(value)
        return value.dtype.name, value
    return str(value.dtype).removeprefix("torch."), from_torch(value)


def from_torch(value: Any) -> Any:
    """A NumPy array of a PyTorch tensor of any dtype, bit for bit."""
    torch = torch_or_none()
    value = value.detach().resolve_conj().resolve_neg()
    if value._is_zerotensor():
        value = torch.zeros(value.shape, dtype=value.dtype)
    name = str(value.dtype).removeprefix("torch.")
    if name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        bits = value.contiguous().view(torch.int16 if name == "bfloat16" else torch.uint8)
        kind = getattr(flambeau, name)
        return bits.numpy().view(numpy_dtype(kind)).reshape(tuple(value.shape))
    return value.numpy()


def to_torch(value: Value, precise: bool = False, layout: str = "contiguous") -> Any:
    """A PyTorch tensor with a value's elements, in float64 or complex128 if `precise`, lying in memory as said."""
    if layout != "contiguous":
        memory, strides, offset = laid_out(value.array, layout)
        return to_torch(value.like(memory), precise).as_strided(value.array.shape, strides, offset)
    torch = torch_or_none()
    kind = value.dtype
    array = value.array
    if kind.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        bits = np.ascontiguousarray(array).reshape(array.shape)
        made = torch.from_numpy(bits.view(np.int16 if kind.itemsize == 2 else np.uint8).copy())
        made = made.view(getattr(torch, kind.name)).reshape(array.shape)
    else:
        made = torch.from_numpy(np.array(array))
    if precise and kind.is_differentiable:
        made = made.to(torch.complex128 if kind.is_complex else torch.float64)
    return made


@functools.cache
def torch_function(record: OpDef) -> Callable[..., Any] | None:
    """PyTorch's function or method for a record, or None where it has none of that name."""
    torch = torch_or_none()
    if torch is None or record.internal:
        return None
    for namespace in record.namespace.split():
        if namespace in ("Tensor", "internal"):
            continue
        place = torch if namespace == "torch" else _walk(torch, namespace)
        for name in (record.name, record.name.removeprefix(namespace.replace(".", "_") + "_")):
            found = getattr(place, name, None)
            if callable(found):
                return found
    return getattr(torch.Tensor, record.name, None)


def _walk(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name, None)
    return module


def torch_call(record: OpDef, call: Call, precise: bool, wants_grad: bool = False,
               layout: str = "contiguous") -> tuple[Any, list[Any]]:
    """(what PyTorch gives for a call, its tensors: those that may require a gradient if `wants_grad`, else all)."""
    torch = torch_or_none()
    leaves = []

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, Value):
            made = to_torch(leaf, precise, layout)
            if not wants_grad:
                leaves.append(made)
            elif leaf.differentiable:
                leaves.append(made.requires_grad_())
            return made
        if isinstance(leaf, dtype):
            if precise and leaf.is_differentiable:
                return torch.complex128 if leaf.is_complex else torch.float64
            return getattr(torch, leaf.name)
        if leaf is DEVICE or isinstance(leaf, device):
            return torch.device("cpu")
        counterpart = getattr(leaf, "name", None) if type(leaf).__module__.startswith("flambeau") else None
        return getattr(torch, counterpart) if counterpart else leaf
    args, kwargs = replaced(call[0], convert), replaced(call[1], convert)
    function = torch_function(record)
    assert function is not None, record.name
    torch.default_generator.manual_seed(0)
    return function(*args, **kwargs), leaves


def _asked(record: OpDef, call: Call, precise: bool, layout: str) -> Any:
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch_call(record, call, precise, layout=layout)
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, ZeroDivisionError,
                AttributeError) as error:
            return Refused(error)


def from_pytorch(record: OpDef, call: Call, layout: str = "contiguous") -> Expected:
    """What PyTorch says. Refused if it raises in the dtype under test."""
    native = _asked(record, call, False, layout)
    if isinstance(native, Refused):
        if layout != "contiguous" and not isinstance(_asked(record, call, False, "contiguous"), Refused):
            found = from_pytorch(record, call)     # PyTorch itself wants it dense; the device may, too
            found.optional, found.arguments = True, None
            return found
        if is_gap(native.error):
            return _without_native(record, call, layout, native)
        raise native
    native, given = native
    results = [from_torch(each) if _is_tensor(each) else each for each in flat(native)]
    names = [str(each.dtype).removeprefix("torch.") if _is_tensor(each) else "" for each in flat(native)]
    precise: list[Any] | None = None
    if any(each.dtype.is_differentiable for each in each_value(call)):
        asked = _asked(record, call, True, layout)
        if not isinstance(asked, Refused):
            precise = [from_torch(each) if _is_tensor(each) else each for each in flat(asked[0])]
    arguments = [from_torch(each) for each in given]
    return Expected(results, precise, names, f"torch {torch_or_none().__version__}", arguments)


def _without_native(record: OpDef, call: Call, layout: str, refused: Refused) -> Expected:
    """The answer in float64 where PyTorch has no kernel for the dtype; its floating results are in that dtype."""
    kinds = {each.dtype.name for each in each_value(call) if each.dtype.is_differentiable}
    asked = _asked(record, call, True, layout) if len(kinds) == 1 else refused
    if isinstance(asked, Refused):
        raise refused
    results = flat(asked[0])
    names = ["" if not _is_tensor(each) else kind if each.dtype.is_floating_point or each.is_complex() else
             str(each.dtype).removeprefix("torch.") for each in results for kind in kinds]
    arrays = [from_torch(each) if _is_tensor(each) else each for each in results]
    with np.errstate(all="ignore"):
        rounded = [each.astype(numpy_dtype(getattr(flambeau, name))) if name else each
                   for each, name in zip(arrays, names, strict=True)]
    return Expected(rounded, arrays, names, f"torch {torch_or_none().__version__}", optional=True)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach")


def flat(results: Any) -> list[Any]:
    """The results of a call as a list: a named tuple's fields, a list's elements, or the one there is."""
    if isinstance(results, (tuple, list)) and type(results).__name__ != "Size":
        return [one for each in results for one in flat(each)]
    return [results]


# ---------------------------------------------------------------------------------------------- without PyTorch
@functools.cache
def stand_in(under_test: str) -> device | None:
    """A device of another backend, to run decompositions on: the strict reference, or else the host."""
    for name in ("reference", "cpu"):
        try:
            backend = discovery.backend_for(name)
        except DeviceError:
            continue
        if not isinstance(discovery.backend_for(under_test), type(backend)):
            return discovery.resolve(device(name))
    return None


def from_numpy(record: OpDef, call: Call, under_test: str, layout: str = "contiguous") -> Expected:
    """What NumPy says, by the table of `definitions`, or else the decomposition in float64 elsewhere.

    Dtypes and refusals are those of the device that stands in, but for special functions, whose series take their time.
    """
    from flambeau_conformance import definitions
    asked = definitions.ask(record.name, call)
    if sum(each.array.size for each in each_value(call)) > _LARGE:
        return _of_many(record, asked, call)
    where = stand_in(under_test)
    if asked is not None and record.module.endswith("special_functions"):
        found = _of_a_function(record, call, asked)
        if found is not None:
            return found
    given: list[Tensor] = []
    try:
        native = on_device(record, call, where, precise=False, given=given, layout=layout)
    except Refused:
        if layout == "contiguous":
            raise
        found = from_numpy(record, call, under_test)     # it wants it dense; the device may, too
        found.optional, found.arguments = True, None
        return found
    arguments = [plain(each)[1] for each in given]
    names = [each.dtype.name if isinstance(each, Tensor) else "" for each in native]
    results = [plain(each)[1] if isinstance(each, Tensor) else each for each in native]
    if asked is not None and len(asked) == len(results):
        return Expected(results, asked, names, f"numpy {np.__version__}", arguments)
    better: list[Any] | None
    try:
        better = [plain(each)[1] if isinstance(each, Tensor) else each
                  for each in on_device(record, call, where, precise=True, layout=layout)]
    except Refused:
        better = None
    return Expected(results, better, names, "decomposition in float64", arguments)


# Elements beyond which only a definition is asked: the strict reference reckons one after another.
_LARGE = 2000
_CHANGING = ("batch_norm", "instance_norm", "native_batch_norm")    # their arguments, which no definition does


def _of_many(record: OpDef, asked: list[Any] | None, call: Call) -> Expected:
    """A definition's results in float32, of operands in float32; refused where there is no definition."""
    kinds = {each.dtype for each in each_value(call) if each.dtype.is_differentiable}
    if asked is None or kinds != {flambeau.float32} or record.name in _CHANGING:
        raise Refused(NotImplementedError("without PyTorch there is no oracle for so many elements"))
    with np.errstate(all="ignore"):
        results = [each.astype({"f": np.float32, "c": np.complex64}.get(each.dtype.kind, each.dtype)) for each in asked]
    return Expected(results, asked, [each.dtype.name for each in results], f"numpy {np.__version__}")


def _of_a_function(record: OpDef, call: Call, asked: list[Any]) -> Expected | None:
    """A definition's results as those of a function of real numbers: in the operands' floating dtype, else float32."""
    kinds = {each.dtype for each in each_value(call) if each.dtype.is_floating_point} or {flambeau.float32}
    if len(kinds) > 1 or any(each.dtype.is_complex for each in each_value(call)):
        return None
    kind = kinds.pop()
    with np.errstate(all="ignore"):
        results = [each.astype(numpy_dtype(kind)) for each in asked]
    return Expected(results, asked, [kind.name] * len(results), f"numpy {np.__version__}")


def on_device(record: OpDef, call: Call, where: device | None, precise: bool, given: list[Tensor] | None = None,
              leaves: list[Tensor] | None = None, layout: str = "contiguous") -> list[Any]:
    """The results of a call on a device: that which stands in for the one under test, or the host.

    The call's tensors go to `given`; those that require a gradient, if any should, to `leaves`.
    """
    if where is None:
        raise Refused(DeviceError("there is no second backend to compare with; install torch"))

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, Value):
            kind = _precise(leaf.dtype) if precise else leaf.dtype
            made = put(leaf.array.astype(numpy_dtype(kind)), discovery.kind_of(kind, where), layout)
            if given is not None:
                given.append(made)
            if leaves is not None and leaf.differentiable:
                leaves.append(made.requires_grad_())
            return made
        if isinstance(leaf, dtype):
            return _precise(leaf) if precise else leaf
        return where if leaf is DEVICE else leaf
    try:
        flambeau.manual_seed(0)
        with flambeau.fallback("allow"):
            return flat(record.public(*replaced(call[0], convert), **replaced(call[1], convert)) if not record.internal
                        else record.call(*replaced(call[0], convert), **replaced(call[1], convert)))
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, ZeroDivisionError) as error:
        raise Refused(error) from error


def _precise(kind: dtype) -> dtype:
    if not kind.is_differentiable:
        return kind
    return flambeau.complex128 if kind.is_complex else flambeau.float64


def expected(record: OpDef, call: Call, under_test: str, layout: str = "contiguous") -> Expected:
    """What a call should give. Refused if the oracle refuses it."""
    if torch_function(record) is not None:
        try:
            return from_pytorch(record, call, layout)
        except Refused as refused:
            if not is_gap(refused.error):
                raise
            found = from_numpy(record, call, under_test, layout)
            found.optional = True
            return found
    return from_numpy(record, call, under_test, layout)


def accepts(record: OpDef, call: Call, under_test: str) -> bool:
    """Whether the oracle takes a call in its own dtype."""
    try:
        return not expected(record, call, under_test).optional
    except Refused:
        return False


def is_gap(error: Exception) -> bool:
    """Whether PyTorch has merely no kernel for a dtype on its host, which says nothing about what is right."""
    return isinstance(error, NotImplementedError) or "not implemented for" in str(error)


def tensor_of(array: Any, kind: Any) -> Tensor:
    """A host array as a tensor of a kind."""
    return make(kind.backend.from_host(array, kind.index), kind)
