"""Conformance cases in files: operator calls that went wrong once, with their inputs and the results there should be.

A file is one `.npz` archive of plain arrays. Its entry `case` is JSON that names the operator and describes the
arguments (see `recorded`); the others are the memory of the arguments and the expected results. It is data only: no
object in it is unpickled, and every name is looked up in a table.

A folder `conformance_cases` beside a backend's `conformance.toml` belongs to the suite of that backend; `--cases` names
another one.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.errors import ArgumentValueError, message
from flambeau.ops.mutation import mutate
from flambeau.registry import OPERATORS, OpDef
from flambeau.tensor import Tensor
from flambeau_conformance.case import Case
from flambeau_conformance.divergence import Divergence, observe, tolerance_of
from flambeau_conformance.engine import Context, Failure
from flambeau_conformance.recorded import _BY_NAME, Buffer, Recorded, leaves
from flambeau_conformance.sampling import numpy_dtype
from flambeau_conformance.tolerance import EXACT, Tolerance, difference

FORMAT = 1
FOLDER = "conformance_cases"
SUFFIX = ".npz"
_BITS = {1: np.uint8, 2: np.uint16}


# ---------------------------------------------------------------------------------------------- writing
def write_case(folder: str | Path, found: Divergence, about: dict[str, Any]) -> Path:
    """Write the call of a divergence as a case file and return its path; a file of that name is not replaced.

    NotStorable where an argument is no data. `about` is kept as it is, for people: program, line, devices, date.
    """
    found.recorded.check_storable()
    arrays: dict[str, Any] = {}
    for number, buffer in enumerate(found.recorded.buffers):
        arrays[f"buffer{number}"] = _as_bits(buffer.data)
    expected = []
    for number, each in enumerate(_worth_keeping(found)):
        arrays[f"expected{number}"] = _as_bits(each.array)
        if each.label in found.allowed:
            arrays[f"allowed{number}"] = np.asarray(found.allowed[each.label], np.float64)
        expected.append({"label": each.label, "dtype": each.dtype, "strides": list(each.strides), "step": each.step})
    header = {
        "format": FORMAT, "op": found.op, "in_place": found.in_place, "args": found.recorded.args,
        "kwargs": found.recorded.kwargs, "expected": expected, "about": about,
        "buffers": [{"dtype": each.dtype, "start": each.start, "size": each.size} for each in found.recorded.buffers],
    }
    arrays["case"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    return _write(Path(folder), _stem(found), arrays)


def _worth_keeping(found: Divergence) -> list[Any]:
    """The expected results, and of the arguments those that the call changes."""
    before = [found.recorded.array(spec) for spec in found.recorded.tensors()]
    kept = []
    for each in found.expected:
        same = not each.label.startswith("result") and each.label != found.label and any(
            one.shape == each.array.shape and one.tobytes() == each.array.tobytes() for one in before)
        kept += [] if same else [each]
    return kept


def _stem(found: Divergence) -> str:
    first = next((spec["dtype"] for spec in found.recorded.tensors()), "factory")
    return re.sub(r"\W+", "_", f"{found.op}{'_' if found.in_place else ''}-{first}").replace("__", "_")


def _write(folder: Path, stem: str, arrays: dict[str, Any]) -> Path:
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        path = folder / f"{stem}-{number}{SUFFIX}"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(memory.getvalue())
        return path
    raise ArgumentValueError(message("diverge", f"{folder} is full of cases named {stem}", next_step="give --out"))


def _as_bits(array: Any) -> Any:
    """Dtypes that NumPy itself does not have, as the integers of their bits: a plain archive cannot name them."""
    array = np.ascontiguousarray(array).reshape(array.shape)
    return array if array.dtype.isbuiltin == 1 else array.view(_BITS[array.dtype.itemsize])


# ---------------------------------------------------------------------------------------------- reading
def load_cases(folder: str | Path) -> list[Case]:
    """The cases saved in a folder, by name; none where the folder is not there.

    ValueError for a file that is no case, or names an operator that does not exist.
    """
    return [load_case(path) for path in sorted(Path(folder).glob(f"*{SUFFIX}"))]


def load_case(path: str | Path) -> Case:
    """One saved case. Only its header is read here; the arrays are when it runs."""
    path = Path(path)
    header = _header(path)
    operator = OPERATORS[header["op"]]
    names = [each.dtype for each in _buffers(header)]
    level = "views" if operator.family in ("view", "views") or header["in_place"] else "operators"
    return Case(level, operator.name, f"saved-{path.stem}", lambda context: run(path, context),
                _BY_NAME[names[0]] if names else None)


def _header(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(archive["case"].tobytes())
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise _refused(path, f"cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _refused(path, "has a format that this version cannot read")
    if header.get("op") not in OPERATORS:
        raise _refused(path, f"is of operator {header.get('op')!r}, which does not exist here")
    return header


def _refused(path: Path, why: str) -> ArgumentValueError:
    return ArgumentValueError(message("conformance case", f"{path} {why}",
                                      next_step="remove the file, or write it anew with `flambeau diverge`"))


def _buffers(header: dict[str, Any], arrays: Any = None) -> list[Buffer]:
    return [Buffer(str(each["dtype"]), int(each["start"]), int(each["size"]),
                   None if arrays is None else _from_bits(arrays[f"buffer{number}"], each["dtype"]))
            for number, each in enumerate(header["buffers"])]


def _from_bits(array: Any, dtype: str) -> Any:
    wanted = numpy_dtype(_BY_NAME[dtype])
    return array if array.dtype == wanted else array.view(wanted)


# ---------------------------------------------------------------------------------------------- running
def run(path: Path, context: Context) -> None:
    """Make a saved call on the context's device and compare what it gives. Failure where it differs."""
    header = _header(path)
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    recorded = Recorded(header["args"], header["kwargs"], _buffers(header, arrays))
    _check(path, recorded)
    operator = OPERATORS[header["op"]]
    args, kwargs = recorded.build(context.device)
    call = in_place_call(operator) if header["in_place"] else operator.call
    result = call(*args, **kwargs)
    found = dict(observe(operator, result, args, kwargs))
    context.oracle = "the reference device, saved"
    for number, each in enumerate(header["expected"]):
        label = each["label"]
        if label not in found:
            raise Failure(f"{label} is missing; there are {', '.join(found) or 'no results'}")
        _compare(context, operator, found[label], each, _from_bits(arrays[f"expected{number}"], each["dtype"]),
                 arrays.get(f"allowed{number}"))
        context.samples += 1
    if operator.family in ("view", "views"):
        _compare_layouts(found, header["expected"], next(leaves(args)))


def _check(path: Path, recorded: Recorded) -> None:
    """Refuse a file whose tensors reach beyond their memory."""
    for spec in recorded.tensors():
        buffer = recorded.buffers[spec["buffer"]]
        shape, strides, offset = spec["shape"], spec["strides"], spec["offset"]
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        held = buffer.start <= offset and last < buffer.start + len(buffer.data)
        if min([offset, *strides, *shape]) < 0 or spec["dtype"] != buffer.dtype or not (held or 0 in shape):
            raise _refused(path, "describes a tensor that its memory does not hold")


def in_place_call(operator: OpDef) -> Callable[..., Any]:
    """The in-place form of a record, called with the record's own arguments."""
    if operator.inplace_call is not None:
        return operator.inplace_call
    if operator.name in ("copy", "fill", "zero"):
        return getattr(Tensor, f"{operator.name}_")
    return lambda *args: mutate(operator, args, args[0])


def _compare(context: Context, operator: OpDef, actual: Tensor, expected: dict[str, Any], array: Any,
             allowed: Any) -> None:
    label = expected["label"]
    if actual.dtype.name != expected["dtype"]:
        raise Failure(f"{label} has dtype {actual.dtype.name}, expected {expected['dtype']}")
    tolerance = tolerance_of(context.tolerances, operator, expected["dtype"])
    if allowed is not None and allowed.size and tolerance is not EXACT:  # roundings of long sums, measured when saved
        tolerance = Tolerance(tolerance.rtol, max(tolerance.atol, float(np.median(allowed))))
    found = context.fetch(actual)
    if found.shape != array.shape:
        raise Failure(f"{label} has shape {list(found.shape)}, expected {list(array.shape)}")
    wrong = difference(found, array, tolerance)
    if wrong is not None:
        raise Failure(f"{label}: {wrong}")


def _compare_layouts(found: dict[str, Tensor], expected: list[dict[str, Any]], first: Tensor) -> None:
    layout = first._kind.backend.layout
    for each in expected:
        if not each["label"].startswith("result"):
            continue
        tensor = found[each["label"]]
        strides, offset = layout(tensor._array)
        shape = tensor._array.shape
        wanted = [stride for stride, size in zip(each["strides"], shape, strict=True) if size > 1]
        have = [stride for stride, size in zip(strides, shape, strict=True) if size > 1]
        step = offset - layout(first._array)[1]
        if 0 not in shape and (have, step) != (wanted, each["step"]):
            raise Failure(f"{each['label']} has strides {have} from {step} on, "
                          f"expected {wanted} from {each['step']} on")
