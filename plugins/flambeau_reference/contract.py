"""The contract as checks: what the core may ask of a kernel, and what a kernel may give.

Every kernel of the reference device is a plain function of NumPy arrays behind one `Checked`, which reads the rules off
the operator's record: its parameters and their annotations are the schema. What the core hands over against the rules
is a `ContractError`; what a user got wrong (shapes that do not fit, an index out of range) is the kernel's to refuse.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

import flambeau.dtypes as fd
from flambeau.dtypes import BOOL, COMPLEX, FLOAT, INTEGER, dtype
from flambeau.errors import BackendError, message
from flambeau.registry import OPERATORS, OpDef
from flambeau.shapes import Size
from flambeau_reference.array import TO_NUMPY, Array

CATEGORIES = {bool: BOOL, int: INTEGER, float: FLOAT, complex: COMPLEX}
# Real arithmetic is done in double precision and rounded once: slow, and as accurate as the dtype of the result allows.
WIDE = {fd.float32: np.dtype(np.float64), fd.complex64: np.dtype(np.complex128)}
EXACT = ("nextafter", "scatter_reduce")   # operators that must see the operand's own dtype
FEW = 1 << 16                             # elements that fit in any case, or the allocation of the result tells
INDEX = ("index", "indices")              # parameters that say where: int64, or (in a list) a bool mask


class ContractError(BackendError):
    """The core asked for what the contract does not promise, or a kernel gave it."""


def broken(where: str, problem: str, *, given: Any = None, promised: str) -> ContractError:
    """The error for one breach."""
    return ContractError(message(f"contract: {where}", problem, given="" if given is None else repr(given),
                                 allowed=promised))


# ---------------------------------------------------------------------------------------------- errors in the data
class _Late(threading.local):
    errors: list[tuple[str, Exception]] | None = None
    kernel = ""


_late = _Late()


def refuse(error: Exception) -> None:
    """Raise an error that depends on the data. An asynchronous device keeps it for later and the kernel goes on."""
    if _late.errors is None:
        raise error
    _late.errors.append((_late.kernel, error))


class Deferred:
    """The block in which a kernel of an asynchronous device runs: what it refuses is appended to `errors`."""

    def __init__(self, kernel: str, errors: list[tuple[str, Exception]] | None) -> None:
        self.kernel, self.errors = kernel, errors

    def __enter__(self) -> None:
        _late.kernel, _late.errors = self.kernel, self.errors

    def __exit__(self, *_: object) -> None:
        _late.errors = None


# ---------------------------------------------------------------------------------------------- plain values
def check_ints(where: str, name: str, value: Any) -> None:
    """A shape, strides or dimensions: a tuple of Python integers, none negative."""
    if value.__class__ not in (tuple, Size) or any(each.__class__ is not int or each < 0 for each in value):
        raise broken(where, f"{name} is no tuple of plain integers", given=value, promised="integers from 0 on")


def _plain(kind: type) -> Callable[[str, str, Any], None]:
    def check(where: str, name: str, value: Any) -> None:
        if value.__class__ is not kind:
            raise broken(where, f"{name} is {value.__class__.__name__}", given=value, promised=kind.__name__)
        elif value.__class__ is int and value < 0:
            raise broken(where, f"{name} is negative", given=value, promised="an integer from 0 on")
    return check


def _check_number(where: str, name: str, value: Any) -> None:
    if value.__class__ not in CATEGORIES:
        raise broken(where, f"{name} is {value.__class__.__name__}", given=value, promised="a plain Python number")


def _check_dtype(where: str, name: str, value: Any) -> None:
    if value.__class__ is not dtype:
        raise broken(where, f"{name} is {value.__class__.__name__}", given=value, promised="a flambeau dtype")


SCHEMA: dict[str, Callable[[str, str, Any], None]] = {
    "Shape": check_ints, "int": _plain(int), "bool": _plain(bool), "float": _plain(float), "str": _plain(str),
    "Any": _check_number, "dtype": _check_dtype}


# ---------------------------------------------------------------------------------------------- kernels
class Checked:
    """A kernel: a function of NumPy arrays behind the checks of its operator's record."""

    def __init__(self, backend: Any, name: str, function: Callable[..., Any]) -> None:
        record = OPERATORS[name]
        self.backend, self.name, self.function, self.record = backend, name, function, record
        self.where = f"kernel {name!r} of {backend.name!r}"
        annotations = record.function.__annotations__
        self.schema = [(each, annotations[each].rpartition(".")[2].removesuffix(" | None"),
                        annotations[each].endswith("None")) for each in record.parameters]
        if self.schema[-1][1] == "Kind":  # a factory: dtype and device index instead
            self.schema[-1:] = [("dtype", "dtype", False), ("device index", "int", False)]

    def __call__(self, *args: Any, out: Array | None = None) -> Any:
        """Check, compute, check again."""
        if len(args) != len(self.schema):
            raise broken(self.where, f"{len(args)} arguments", promised=f"all of {[each[0] for each in self.schema]}")
        arrays = self._check_arrays(args, out)
        index = arrays[0].memory.index if arrays else args[-1]
        with Deferred(self.name, self.backend.late[index] if self.backend.late else None):
            if self.record.promote is not None:
                results = self._pointwise(args, arrays)
            else:
                self._check_values(args, arrays)
                results = self._general(args, arrays)
        if results[0][0] is NotImplemented:    # it declines
            return NotImplemented
        if out is not None:
            return self._written(out, *results)
        made = tuple([self.backend.store(values, element, index) for values, element in results])
        return made if len(self.record.outputs) > 1 else made[0]

    def _check_arrays(self, args: Sequence[Any], out: Array | None) -> list[Array]:
        """The arrays among the arguments: all of this backend, on one of its devices."""
        flat = [each for value in args for each in (value if isinstance(value, list) else (value,))]
        arrays = [each for each in flat if isinstance(each, Array)]
        used = arrays if out is None else [*arrays, out]
        for each in used:
            self.backend.check(self.where, each)
            if each.memory.index != used[0].memory.index:
                raise broken(self.where, "arrays on two devices", promised="arrays of one device")
        if out is not None and (self.record.promote is None or out.overlaps_itself()):
            raise broken(self.where, "out= not expected", promised="out= for pointwise operators, and each of its "
                         "elements in a place of its own")
        return arrays

    def _check_values(self, args: Sequence[Any], arrays: Sequence[Array]) -> None:
        """Every argument against its annotation; dimensions in range and none twice; dtypes."""
        dims = max(len(arrays[0].shape), 1) if arrays else 0
        for (name, annotation, optional), value in zip(self.schema, args, strict=True):
            if annotation == "Tensor":
                if not isinstance(value, Array):
                    raise broken(self.where, f"{name} is no array", given=value, promised="an array")
            elif annotation.startswith("list"):
                if value.__class__ is not list or not all(each is None or isinstance(each, Array) for each in value):
                    raise broken(self.where, f"{name} is no list", given=value, promised="a list of arrays")
            elif value is not None or not optional:
                SCHEMA[annotation](self.where, name, value)
            if name == "dim" and value is not None:
                wanted = (value,) if value.__class__ is int else value
                if len(set(wanted)) != len(wanted) or any(each >= dims for each in wanted):
                    raise broken(self.where, "dim out of range or given twice", given=value,
                                 promised=f"0 to {dims - 1}")
        self._check_dtypes(args, arrays)

    def _check_dtypes(self, args: Sequence[Any], arrays: Sequence[Array]) -> None:
        stored = self.backend.capabilities_of(arrays[0].memory.index if arrays else args[-1]).storage_dtypes
        for (name, annotation, _), value in zip(self.schema, args, strict=True):
            if annotation == "dtype" and value not in stored:
                raise broken(self.where, f"{name} is {value}", promised="a dtype that the device stores")
            if annotation != "Tensor" and not annotation.startswith("list"):
                continue
            for each in value if value.__class__ is list else (value,):
                if each is None:
                    continue
                allowed = ((fd.int64, fd.bool_) if annotation != "Tensor" else (fd.int64,)) if name in INDEX else \
                    (arrays[0].element,)
                if each.element not in allowed:
                    raise broken(self.where, f"{name} has elements of {each.element}",
                                 promised=" or ".join(map(str, allowed)))
        if arrays and not self.record.moves(args):
            self._check_computes(arrays[0])

    def _check_computes(self, array: Array) -> None:
        element, said = array.element, self.backend.capabilities_of(array.memory.index)
        if element not in said.compute_dtypes and element not in said.native.get(self.name, ()):
            raise broken(self.where, f"arithmetic in {element}", promised="a dtype that the device computes with: the "
                         "core casts emulated ones")

    # -- two ways to compute
    def _pointwise(self, args: Sequence[Any], arrays: Sequence[Array]) -> list[tuple[Any, dtype]]:
        """Operands are arrays of one dtype and numbers of its category or a lower one."""
        uncast = [args[position] for position in self.record.uncast]
        promoted = [each for each in arrays if not any(each is other for other in uncast)] or arrays
        element = promoted[0].element
        if not self.record.moves(args):
            self._check_computes(promoted[0])
        if element.category in self.record.excluded:
            raise broken(self.where, f"operands of {element}", promised="what the operator's record does not exclude")
        self._check_room(arrays, element)
        operands = []
        for (name, _, _), value in zip(self.schema, args, strict=True):
            if isinstance(value, Array):
                if value.element is not element and not any(value is other for other in uncast):
                    raise broken(self.where, f"{name} has elements of {value.element}", promised=f"{element}")
                operands.append(self._widened(value.values(), value.element, args))
            else:
                _check_number(self.where, name, value)
                if CATEGORIES[value.__class__] > element.category:
                    raise broken(self.where, f"{name} is beyond {element}", given=value,
                                 promised="a number of the elements' category or a lower one")
                number = np.asarray(value, TO_NUMPY[element])  # OverflowError: an integer that the dtype cannot hold
                operands.append(value if self.name == "pow" else self._widened(number, element, args))
        inner, outer = self.record.promote(element)
        if inner is not element:
            raise broken(self.where, f"operands of {element}", promised=f"{inner}: the core promotes")
        return [(self._run(operands), outer)]

    def _check_room(self, arrays: Sequence[Array], element: dtype) -> None:
        """OutOfMemoryError before a result is computed that the device cannot hold, be it ever so large."""
        sizes = zip_longest(*(reversed(each.shape) for each in arrays), fillvalue=1)
        count = math.prod(max(each) if 0 not in each else 0 for each in sizes)
        if count > FEW:
            arrays[0].memory.ledger.check(count * (1 if self.record.vjps == "none" else element.itemsize))

    def _general(self, args: Sequence[Any], arrays: Sequence[Array]) -> list[tuple[Any, dtype]]:
        def read(each: Array | None) -> Any:
            return None if each is None else self._widened(each.values(), each.element, args)

        values = [[read(each) for each in value] if value.__class__ is list else
                  read(value) if isinstance(value, Array) else value for value in args]
        if self.schema[-1][0] == "device index":
            values.pop()
        results = self._run(values)
        elements = result_dtypes(self.record, args, arrays)
        if results is NotImplemented:
            return [(results, elements[0])]
        return list(zip(results if isinstance(results, tuple) else (results,), elements, strict=True))

    def _run(self, values: Sequence[Any]) -> Any:
        with np.errstate(all="ignore"):
            return self.function(*values)

    def _widened(self, values: Any, element: dtype, args: Sequence[Any]) -> Any:
        if element in WIDE and self.name not in EXACT and not self.record.moves(args):
            return values.astype(WIDE[element])
        return values

    def _written(self, out: Array, result: tuple[Any, dtype]) -> Array:
        values, element = result
        if element is not out.element:
            raise broken(self.where, f"out= has elements of {out.element}", promised=str(element))
        if np.shape(values) != out.shape:
            raise ValueError(f"a result of shape {list(np.shape(values))} does not fit out= of shape {list(out.shape)}")
        with np.errstate(all="ignore"):
            out.place()[...] = values
        return out


PLACES = {"argmax", "argmin", "nonzero", "searchsorted"}
OUTPUTS = {"indices": fd.int64, "inverse": fd.int64, "counts": fd.int64}
REAL = {"eigenvalues", "S", "logabsdet"}


def result_dtypes(record: OpDef, args: Sequence[Any], arrays: Sequence[Array]) -> list[dtype]:
    """The dtype of each result of an operator that is not pointwise."""
    if record.name in PLACES:
        return [fd.int64]
    wanted = next((each for each in args if each.__class__ is dtype), None)
    element = wanted or arrays[0].element
    return [OUTPUTS.get(name) or (element.to_real() if name in REAL else element) for name in record.outputs]
