"""The first operator in which two devices disagree: a program runs once, and each of its operator calls on two devices.

`Lockstep` is a mode. Each call on the device under test is made there and, with copies of the same inputs, on the
reference; so errors do not add up, and the first call whose results differ by more than the suite's tolerances is the
one to look at. The program goes on with the results of its own device, whose random draws are taken as they are.

A difference beyond tolerance is looked at twice. Rounding depends on how long the sums are, which a table cannot know;
so before a call is blamed, the reference repeats it in float64, with inputs that are off by a rounding, and what the
results then vary by is allowed as well.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

import numpy as np

import flambeau
from flambeau import discovery
from flambeau.device import device
from flambeau.discovery import Kind
from flambeau.dispatch import Mode, fallback
from flambeau.errors import DtypeError, FlambeauError
from flambeau.finfo import finfo
from flambeau.graph import Node
from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau.walk import Walk
from flambeau_conformance.recorded import Recorded, leaves, record
from flambeau_conformance.sampling import download
from flambeau_conformance.tolerance import EXACT, Tolerance, Tolerances, class_of, difference

Place = tuple[str, int, str]     # file, line, function
_WIDE = {"float16": "float64", "bfloat16": "float64", "float32": "float64", "complex64": "complex128"}
_PERTURBATIONS = 4
_NUMBERS = (bool, int, float, complex)

# Operators that compute although they move data by their module or dtype rule: the class whose tolerance they have.
_COMPUTE = {
    "bincount": "reduction",
    **dict.fromkeys("arange linspace".split(), "pointwise"),
    **dict.fromkeys("adam_step_ sgd_step_".split(), "composite"),
}

# Results that are right up to a choice: signs and phases of vectors, the order of equal values.
FREE = frozenset("linalg_svd svd linalg_eigh linalg_eig linalg_qr sort topk mode kthvalue".split())


class Diverged(BaseException):
    """Stops the program under test; not an Exception, so that its handlers let it pass."""


@dataclass(slots=True)
class Seen:
    """One tensor that a call gave, or changed, as it came to the host."""

    label: str
    dtype: str
    array: Any
    strides: tuple[int, ...]
    step: int          # how far into its storage it begins, from where the first argument does


@dataclass(slots=True)
class Divergence:
    """The first call in which the devices disagree."""

    op: str
    number: int                         # which compared call it was
    recorded: Recorded                  # its arguments
    parameters: tuple[str, ...]
    in_place: bool
    way: str
    place: Place | None
    forward: tuple[str, Place] | None   # for a call of the backward pass: the node, and where the program made it
    label: str                          # which result
    problem: str
    expected: list[Seen] = field(default_factory=list)
    allowed: dict[str, Any] = field(default_factory=dict)
    inner: Divergence | None = None     # the operator inside a decomposition that is to blame

    @property
    def innermost(self) -> Divergence:
        """The one to look at: inside the decompositions, where there are any."""
        return self if self.inner is None else self.inner.innermost


def tolerance_of(table: Tolerances, operator: OpDef, dtype: str) -> Tolerance:
    """The suite's tolerance for an operator."""
    if operator.name in _COMPUTE and class_of(operator) == "exact":
        return table.of(_COMPUTE[operator.name], dtype)
    return table.of(operator, dtype)


# ---------------------------------------------------------------------------------------------- results of a call
def observe(operator: OpDef, result: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[tuple[str, Tensor]]:
    """The tensors that a call gave, then those that it was given, each with a name; none twice."""
    found = list(_named("result", result))
    given = [(each, value) for name, argument in [*zip(operator.parameters, args, strict=False), *kwargs.items()]
             for each, value in _named(name, argument)]
    return found + [(name, value) for name, value in given if not any(value is each for _, each in found)]


def _named(name: str, value: Any) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(name, value)]
    if isinstance(value, (list, tuple)):
        return [pair for index, each in enumerate(value) for pair in _named(f"{name}[{index}]", each)]
    return []


def seen(label: str, tensor: Tensor, first: Tensor | None) -> Seen:
    """A tensor as it is now, on the host."""
    layout = tensor._kind.backend.layout
    strides, offset = layout(tensor._array)
    here = first is not None and first._kind.backend is tensor._kind.backend
    start = layout(first._array)[1] if first is not None and here else 0
    held = tensor._kind.backend.dtype_of(tensor._array)  # what a kernel gave, whatever the rule promised
    return Seen(label, held.name, download(tensor), tuple(strides), offset - start)


def _run(call: Callable[..., Any], operator: OpDef, recorded: Recorded, where: device) -> list[Seen]:
    """Make a recorded call on a device: its results, and its arguments as they are afterwards."""
    args, kwargs = recorded.build(where)
    with flambeau.no_grad(), fallback("allow"):
        result = call(*args, **kwargs)
    first = next(leaves(args), None)
    return [seen(label, each, first) for label, each in observe(operator, result, args, kwargs)]


# ---------------------------------------------------------------------------------------------- the second look
def _widened(recorded: Recorded, rng: np.random.Generator | None, eps: float) -> Recorded:
    """The call in float64; with `rng`, every number is off by a rounding of the narrower dtype."""
    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: _WIDE.get(each, each) if name in ("dtype", "kind") and isinstance(each, str)
                    else renamed(each) for name, each in value.items()}
        return list(map(renamed, value)) if isinstance(value, list) else value

    buffers = []
    for each in recorded.buffers:
        data = each.data.astype(_WIDE[each.dtype]) if each.dtype in _WIDE else each.data
        if rng is not None and data.dtype.kind in "fc":
            data = data * (1 + eps * rng.choice([-1.0, 1.0], data.shape))
        buffers.append(replace(each, dtype=_WIDE.get(each.dtype, each.dtype), data=data))
    return Recorded(renamed(recorded.args), renamed(recorded.kwargs), buffers, recorded.opaque)


def roundings(call: Callable[..., Any], operator: OpDef, recorded: Recorded, where: device, label: str,
              dtype: str) -> tuple[Any, Any] | None:
    """(the result in float64, what rounding may make of it, element by element); None where it cannot be had."""
    eps = float(finfo(getattr(flambeau, dtype)).eps) / 2
    rng = np.random.default_rng(0)
    try:
        runs = [_run(call, operator, _widened(recorded, None if turn == 0 else rng, eps), where)
                for turn in range(_PERTURBATIONS + 1)]
    except (RuntimeError, TypeError, ValueError):  # no float64 there, or an operator that needs its own dtype
        return None
    found: list[Any] = [each.array for run in runs for each in run if each.label == label]
    if len(found) != len(runs):
        return None
    truth, *others = found
    with np.errstate(all="ignore"):
        spread = np.sqrt(np.mean([np.abs(each - truth) ** 2 for each in others], axis=0))
        spread = np.where(np.isfinite(spread), spread, 0)
    terms = max((max(spec["shape"], default=1) for spec in recorded.tensors()), default=1)
    sizes = [int(np.prod(spec["shape"], dtype=int)) for spec in recorded.tensors()]
    terms = max(terms, max(sizes, default=1) // max(truth.size, 1), 1)
    mean = float(spread.mean()) if spread.size else 0.0
    return truth, (4 + terms ** 0.5) * (spread + mean / 4) + eps * np.abs(np.where(np.isfinite(truth), truth, 0))


def ulps(actual: Any, expected: Any, dtype: str) -> int | None:
    """How many numbers of the dtype lie between two real ones; None for other dtypes and for nan."""
    widths = {"float64": np.int64, "float32": np.int32, "float16": np.int16, "bfloat16": np.int16}
    if dtype not in widths or actual != actual or expected != expected:
        return None
    from flambeau_conformance.sampling import numpy_dtype
    kind = numpy_dtype(getattr(flambeau, dtype))

    def place(value: Any) -> int:
        bits = int(np.array([value]).astype(kind).view(widths[dtype])[0])
        return bits if bits >= 0 else -(bits + (1 << 8 * kind.itemsize - 1))
    with np.errstate(all="ignore"):
        return abs(place(actual) - place(expected))


# ---------------------------------------------------------------------------------------------- the mode
class Lockstep(Mode):
    """Makes every call on `subject` on `reference`, too, and stops the program at the first that differs.

    With `finite`, a call whose results hold nan or infinities although its inputs hold none stops it as well.
    Attributes after a run: `found`, the divergence or None; `compared`, the number of calls that were; `excused`, those
    beyond tolerance by rounding alone; `skipped`, a count of reasons for calls that were not compared; `worst`, the
    largest error that was let pass, in units of what is allowed.
    """

    def __init__(self, subject: device, reference: device, tolerances: Tolerances | None = None,
                 rtol: float | None = None, atol: float | None = None, finite: bool = False) -> None:
        self.subject, self.reference = subject, reference
        self.tolerances = tolerances or Tolerances()
        self.rtol, self.atol, self.finite = rtol, atol, finite
        self.found: Divergence | None = None
        self.compared = self.excused = 0
        self.skipped: Counter[str] = Counter()
        self.worst: tuple[float, str, Place | None] = (0.0, "", None)
        self._made: weakref.WeakKeyDictionary[Node, Place] = weakref.WeakKeyDictionary()

    def intercept(self, record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.found is not None:  # the program caught everything there is
            raise Diverged
        if not self._concerns(args, kwargs):
            return call(*args, **kwargs)
        if "generator" in record.parameters:
            self.skipped["random draws, taken as they are"] += 1
            return call(*args, **kwargs)
        return self._compared(record, call, args, {name: each for name, each in kwargs.items() if each is not None})

    def _concerns(self, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Whether a call has to do with the device under test."""
        where = self.subject
        return any(each.device == where for each in args if isinstance(each, Kind)) or any(
            each._kind.device == where for each in leaves([*args, *kwargs.values()]))

    def _compared(self, operator: OpDef, call: Callable[..., Any], args: tuple[Any, ...],
                  kwargs: dict[str, Any]) -> Any:
        recorded = record(operator, args, kwargs, self.subject)
        first = next(leaves(args), None)
        step = _Step(operator, call, recorded, *self._place())
        try:
            result = call(*args, **kwargs)
        except Exception as error:
            step.failed(self, error)
            raise
        self._remember(result, step.place)
        step.in_place = first is not None and result is first
        actual = [seen(label, each, first) for label, each in observe(operator, result, args, kwargs)]
        self._check(step, actual)
        return result

    def _check(self, step: _Step, actual: list[Seen]) -> None:
        if self.finite and (label := step.first_not_finite(actual)):
            self.stop(step, label, "nan or an infinity, which no argument holds", [])
        if step.operator.name == "transfer":
            expected = [replace(actual[0], array=step.recorded.array(next(step.recorded.tensors()))), *actual[1:]]
        else:
            try:
                expected = _run(step.call, step.operator, step.recorded, self.reference)
            except (RuntimeError, TypeError, ValueError, IndexError) as error:
                self.skipped[f"{self.reference} refuses them: {type(error).__name__}"] += 1
                return
        self.compared += 1
        if [each.label for each in actual] != [each.label for each in expected]:
            names = (", ".join(each.label for each in some) for some in (actual, expected))
            self.stop(step, "result", "gave {}, expected {}".format(*names), expected)
        for one, two in zip(actual, expected, strict=True):
            problem = self._difference(step, one, two)
            if problem:
                self.stop(step, one.label, problem, expected)

    def _difference(self, step: _Step, actual: Seen, expected: Seen) -> str:
        """What is wrong with one result; an empty string where nothing is."""
        for name in ("dtype", "shape"):
            one, two = (each.dtype if name == "dtype" else list(each.array.shape) for each in (actual, expected))
            if one != two:
                return f"{name} {one}, expected {two}"
        given = not actual.label.startswith("result")
        if step.is_view and not given and actual.array.size:
            layouts = [([stride for stride, size in zip(each.strides, each.array.shape, strict=True) if size > 1],
                        each.step) for each in (actual, expected)]
            if layouts[0] != layouts[1]:
                (strides, start), (wanted, wanted_start) = layouts
                return f"strides {strides} from {start} on, expected {wanted} from {wanted_start} on"
        if step.operator.name in FREE and not given:
            self.skipped["results that are right up to a choice"] += 1
            return ""
        tolerance = self._tolerance(step, actual.dtype)
        wrong = difference(actual.array, expected.array, tolerance)
        if wrong is None:
            self._note(actual, expected, tolerance, step)
            return ""
        if tolerance is not EXACT and self._excused(step, actual, expected, tolerance):
            self.excused += 1
            return ""
        return _described(actual, expected, wrong, tolerance)

    def _tolerance(self, step: _Step, dtype: str) -> Tolerance:
        found = tolerance_of(self.tolerances, step.operator, dtype)
        if self.rtol is None and self.atol is None:
            return found
        return Tolerance(found.rtol if self.rtol is None else self.rtol, found.atol if self.atol is None else self.atol)

    def _excused(self, step: _Step, actual: Seen, expected: Seen, tolerance: Tolerance) -> bool:
        """Whether roundings alone may have done it."""
        if self.rtol is not None or self.atol is not None or actual.array.dtype.kind in "biu":
            return False
        found = roundings(step.call, step.operator, step.recorded, self.reference, actual.label, actual.dtype)
        if found is None or found[0].shape != actual.array.shape:
            return False
        truth, allowed = found
        allowed = allowed + tolerance.atol + tolerance.rtol * np.abs(truth)
        step.allowed[actual.label] = allowed
        with np.errstate(all="ignore"):
            wide = actual.array.astype(truth.dtype)
            same = (wide == truth) | (np.isnan(wide) & np.isnan(truth)) | (np.abs(wide - truth) <= allowed)
        return bool(same.all())

    def _note(self, actual: Seen, expected: Seen, tolerance: Tolerance, step: _Step) -> None:
        """Remember the largest error, as a part of what is allowed."""
        if tolerance is EXACT or actual.array.size == 0 or actual.array.dtype.kind in "biu":
            return
        wide = np.complex128 if actual.array.dtype.kind == "c" else np.float64
        with np.errstate(all="ignore"):
            one, two = actual.array.astype(wide), expected.array.astype(wide)
            part = np.abs(one - two) / (tolerance.atol + tolerance.rtol * np.abs(two))
            part = part[np.isfinite(part)]
        if part.size and part.max() > self.worst[0]:
            self.worst = float(part.max()), step.operator.name, step.place

    # -- where in the program
    def _place(self) -> tuple[Place | None, tuple[str, Place] | None]:
        """The innermost line of the program itself; and inside the backward pass, the node and the line it is from."""
        frame: FrameType | None = sys._getframe(2)
        forward = None
        while frame is not None:
            if frame.f_code is Walk.run.__code__ and forward is None:
                node: Node | None = frame.f_locals.get("node")
                made = None if node is None else self._made.get(node)
                forward = None if node is None or made is None else (node.name(), made)
            elif not _ours(frame.f_globals.get("__name__", "")):
                return (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name), forward
            frame = frame.f_back
        return None, forward

    def _remember(self, result: Any, place: Place | None) -> None:
        for each in leaves(result):
            if each._edge is not None and isinstance(each._edge[0], Node) and place is not None:
                self._made[each._edge[0]] = place

    # -- the end
    def stop(self, step: _Step, label: str, problem: str, expected: list[Seen]) -> None:
        """Keep the divergence and stop the program."""
        inner = step.inside(self)
        self.found = Divergence(step.operator.name, self.compared, step.recorded, step.operator.parameters,
                                step.in_place, step.way(self.subject), step.place, step.forward, label, problem,
                                expected, step.allowed, inner)
        raise Diverged


class _Step:
    """One call on its way through the comparison."""

    def __init__(self, operator: OpDef, call: Callable[..., Any], recorded: Recorded, place: Place | None,
                 forward: tuple[str, Place] | None) -> None:
        self.operator, self.call, self.recorded = operator, call, recorded
        self.place, self.forward = place, forward
        self.in_place = False
        self.allowed: dict[str, Any] = {}

    @property
    def is_view(self) -> bool:
        return self.operator.family in ("view", "views")

    def way(self, where: device) -> str:
        """How the device runs the operator."""
        kernels = discovery.backend_for(where.type).kernels
        if self.operator.name in kernels or (self.in_place and f"{self.operator.name}_" in kernels):
            return "its kernel"
        if self.is_view:
            return "a rule on strides"
        return "its decomposition" if self.operator.decomposition is not None else "the host"

    def failed(self, mode: Lockstep, error: Exception) -> None:
        """The call raised on the device under test: a divergence where the reference has a result."""
        if isinstance(error, (DtypeError, NotImplementedError)):  # what a device declares that it does not do
            return
        if isinstance(error, FlambeauError) and error.__context__ is None:  # a rule of the core's, not a kernel's word
            return
        try:
            expected = _run(self.call, self.operator, self.recorded, mode.reference)
        except (RuntimeError, TypeError, ValueError, IndexError, ArithmeticError, MemoryError):
            return
        mode.stop(self, "result", f"raised {type(error).__name__}: {error}", expected)

    def first_not_finite(self, actual: list[Seen]) -> str:
        """The first result with nan or infinities; empty where there is none or an argument holds one, too."""
        given = [self.recorded.array(spec) for spec in self.recorded.tensors()]
        if any(not np.isfinite(each.astype(np.complex128)).all() for each in given if each.dtype.kind not in "biu"):
            return ""
        if any(isinstance(each, dict) and ({"inf", "-inf", "nan"} & {each.get("float")})
               for each in [*self.recorded.args, *self.recorded.kwargs.values()]):
            return ""
        results = [each for each in actual if each.array.dtype.kind not in "biu"]
        return next((each.label for each in results if not np.isfinite(each.array.astype(np.complex128)).all()), "")

    def inside(self, mode: Lockstep) -> Divergence | None:
        """Where the operator ran as its decomposition: the operator inside it that differs."""
        if self.way(mode.subject) != "its decomposition" or self.operator.family == "composite":
            return None
        assert self.operator.decomposition is not None
        args, _ = self.recorded.build(mode.subject)
        within = Lockstep(mode.subject, mode.reference, mode.tolerances, mode.rtol, mode.atol, mode.finite)
        try:
            with flambeau.no_grad(), fallback("allow"), within:
                self.operator.decomposition(*args)
        except Diverged:
            pass
        except Exception:  # noqa: BLE001 - the outer call has been found; this is only a closer look
            return None
        if within.found is not None:
            within.found.place, within.found.forward = self.place, self.forward
        return within.found


def _ours(module: str) -> bool:
    top = module.partition(".")[0]
    return top == "flambeau" or top.startswith("flambeau_")


def _described(actual: Seen, expected: Seen, wrong: Any, tolerance: Tolerance) -> str:
    apart = ulps(wrong.actual, wrong.expected, actual.dtype)
    allowed = "must be equal" if tolerance is EXACT else f"beyond rtol {tolerance.rtol:g}, atol {tolerance.atol:g}"
    lines = [f"{wrong.count} of {wrong.size} elements differ ({allowed}); the worst is at {list(wrong.index)}",
             f"    actual   {wrong.actual!r}", f"    expected {wrong.expected!r}"]
    if isinstance(wrong.actual, _NUMBERS):
        lines.append(f"    apart    {abs(wrong.actual - wrong.expected):.6g}"
                     + (f", {apart} ULP of {actual.dtype}" if apart is not None else ""))
    return "\n".join(lines)


def load_cases(folder: Any) -> list[Any]:
    """The conformance cases that were written to a folder; see `saved_cases`."""
    from flambeau_conformance import saved_cases

    return list(saved_cases.load_cases(folder))
