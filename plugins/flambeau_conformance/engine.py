"""Running a case: what it gets, what comes out, and how two results are compared."""

from __future__ import annotations

import contextlib
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flambeau
from flambeau import discovery
from flambeau.backend import Backend
from flambeau.device import device
from flambeau.dtypes import dtype
from flambeau.registry import OPERATORS, OpDef
from flambeau.tensor import Tensor
from flambeau_conformance import oracle as oracles
from flambeau_conformance.case import Case
from flambeau_conformance.sampling import DEVICE, Maker, Value, download, put, replaced, rng_of
from flambeau_conformance.tolerance import EXACT, Tolerance, Tolerances, difference
from flambeau_conformance.watch import Watch


@dataclass(slots=True)
class Outcome:
    """What became of one case."""

    status: str                          # "pass", "fail" (the statement is false) or "error" (it could not be tested)
    way: str                             # "native", "decomposed", "fallback" or "core"
    seconds: float
    message: str = ""
    fallbacks: tuple[str, ...] = ()      # operators that ran on the host
    oracle: str = ""
    samples: int = 0
    kernels: frozenset[str] = field(default_factory=frozenset)


class Failure(AssertionError):
    """A result that is not what it should be."""


class Context:
    """What a case gets: the device, the oracle, and the means to compare. Made anew for every case."""

    def __init__(self, session: Session, case: Case) -> None:
        self.device: device = session.device
        self.backend: Backend = session.backend
        self.seed: int = session.seed
        self.watch = session.watch
        self.torch: Any = oracles.torch_or_none()
        self.rng = rng_of(session.seed, case.id)
        self.tolerances: Tolerances = session.tolerances
        self.storable = session.backend.capabilities_of(session.device.index or 0).storage_dtypes
        self.oracle = ""       # which one answered, for the report
        self.samples = 0       # calls that were compared

    def maker(self, kind: dtype) -> Maker:
        """Draws values of a dtype; see `sampling.Maker`."""
        return Maker(kind, self.rng, storable=self.storable)

    def put(self, value: Any, layout: str = "contiguous") -> Any:
        """A value (or whole arguments of values) as tensors on the device under test."""
        def placed(leaf: Any) -> Any:
            if isinstance(leaf, Value):
                return put(leaf.array, discovery.kind_of(leaf.dtype, self.device), layout)
            return self.device if leaf is DEVICE else leaf
        return replaced(value, placed)

    def fetch(self, tensor: Tensor) -> Any:
        """A copy of a tensor's elements as a NumPy array; Failure if they are of another dtype than the tensor says."""
        held = tensor._kind.backend.dtype_of(tensor._array)
        if held is not tensor.dtype:
            raise Failure(f"a tensor that says it is {tensor.dtype} holds {held}: a kernel gave another dtype")
        return download(tensor)

    def compare(self, actual: Any, expected: Any, op: OpDef | str = "exact", what: str = "result",
                tolerance: Tolerance | None = None, factor: float = 1) -> None:
        """Raise Failure unless a tensor of the device has the dtype, shape and values of an expected one.

        `expected` is a NumPy array, a PyTorch tensor or a tensor; with a Python number or string, `actual` must be one.
        `op` (an operator's record or name, or an operator class) chooses the row of the tolerance table.
        """
        if not isinstance(actual, Tensor):
            _compare_plain(actual, expected, what)
            return
        if actual.device.type != self.device.type:
            raise Failure(f"{what} is on {actual.device}, not on {self.device}")
        name, array = oracles.plain(expected)
        if actual.dtype.name != name:
            raise Failure(f"{what} has dtype {actual.dtype.name}, expected {name}")
        self.compare_values(actual, array, op, what, tolerance, factor)

    def compare_values(self, actual: Tensor, expected: Any, op: OpDef | str, what: str = "result",
                       tolerance: Tolerance | None = None, factor: float = 1) -> None:
        """`compare` without the dtype: `expected` may be more precise."""
        if tuple(actual.shape) != tuple(expected.shape):
            raise Failure(f"{what} has shape {list(actual.shape)}, expected {list(expected.shape)}")
        if tolerance is None:
            row = OPERATORS.get(op, op) if isinstance(op, str) else op
            tolerance = self.tolerances.of(row, actual.dtype.name)
        found = self.fetch(actual)
        if found.shape != tuple(expected.shape):
            raise Failure(f"{what} came to the host with shape {found.shape}, expected {tuple(expected.shape)}")
        wrong = difference(found, expected, tolerance.times(factor) if tolerance is not EXACT else EXACT)
        if wrong is not None:
            raise Failure(f"{what}: {wrong}")


def _compare_plain(actual: Any, expected: Any, what: str) -> None:
    if isinstance(actual, (int, float, complex)) and isinstance(expected, (int, float, complex)):
        same = actual == expected or (actual != actual and expected != expected) or \
            abs(actual - expected) <= 1e-5 * abs(expected)
    else:
        same = str(actual).replace("flambeau.", "torch.") == str(expected)
    if not same:
        raise Failure(f"{what} is {actual!r}, expected {expected!r}")


class Session:
    """One run on one device: what all its cases share."""

    def __init__(self, name: str, seed: int = 0, tolerances: Any = None) -> None:
        self.device: device = discovery.resolve(device(name))
        self.backend: Backend = discovery.backend_for(self.device.type)
        self.seed = seed
        self.tolerances = tolerances if isinstance(tolerances, Tolerances) else Tolerances(tolerances)
        self.watch = Watch(self.backend)

    def close(self) -> None:
        """Take the watch off the backend."""
        self.watch.remove()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def execute(case: Case, session: Session) -> Outcome:
    """Run one case. Whatever it raises is its outcome, except Ctrl-C."""
    context = Context(session, case)
    flambeau.manual_seed(session.seed)
    before = flambeau.get_default_dtype(), flambeau.is_grad_enabled()
    _drain(session)
    session.watch.start()
    started = time.perf_counter()
    status, message = "pass", ""
    try:
        with warnings.catch_warnings(), flambeau.fallback("allow"):
            warnings.simplefilter("ignore")
            case.run(context)
            _wait(session)
    except AssertionError as failure:
        status, message = "fail", str(failure) or _line(failure)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's kernel raises is the outcome
        status, message = "error", f"{type(error).__name__}: {error} ({_line(error)})"
    seconds = time.perf_counter() - started
    flambeau.set_default_dtype(before[0])
    flambeau.set_grad_enabled(before[1])
    kernels, fallbacks = session.watch.stop()
    way = way_of(case.op, kernels, fallbacks)
    return Outcome(status, way, seconds, message, fallbacks, context.oracle, context.samples, kernels)


def _wait(session: Session) -> None:
    """Raise what a device that tells of errors late has not told yet: it belongs to the case that ends here."""
    if session.backend.capabilities.asynchronous:
        for index in range(session.backend.device_count()):
            try:
                session.backend.synchronize(index)
            except Exception as error:
                raise Failure(f"after the case, device {index} told of an error: {type(error).__name__}: {error}") \
                    from error


def _drain(session: Session) -> None:
    """Forget errors that are left from before: of a case that failed otherwise, or of the program around the suite."""
    if session.backend.capabilities.asynchronous:
        for index in range(session.backend.device_count()):
            with contextlib.suppress(Exception):
                session.backend.synchronize(index)


def _line(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}: {frame.line}"


def way_of(op: str, kernels: frozenset[str], fallbacks: Sequence[str]) -> str:
    """How the operator of a case ran: on the host, by its own kernel, by others', or without any.

    A kernel that ran is not made a fallback by what ran beside it: `where` with one argument asks for `nonzero`, too.
    """
    if op in fallbacks or (fallbacks and op not in kernels):
        return "fallback"
    if op in kernels:
        return "native"
    return "decomposed" if kernels else "core"
