"""What a run says about each case, in the form that travels: through pytest's reports, between processes, into files.

A worker writes a result as pytest's user properties (so JUnit has them, too), the controlling process reads it back,
and the reports get plain dictionaries.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flambeau_conformance.case import Case
    from flambeau_conformance.engine import Outcome
    from flambeau_conformance.expectations import Entry, Verdict

# In the order of the summary's columns. A fallback is no pass of the device's kernel.
CATEGORIES = ("native", "decomposed", "core", "fallback", "xfail", "skip", "fail", "error")
PASSED = ("native", "decomposed", "core")
UNEXPECTED = ("fail", "error")
_PREFIX = "flambeau."


@dataclass(slots=True)
class Result:
    """One case of one run."""

    id: str
    level: str
    op: str
    variant: str
    dtype: str = ""
    category: str = "error"      # one of CATEGORIES: the verdict, after the expectations
    status: str = "error"        # what came out: "pass", "fail", "error", "skip", "crash" or "hang"
    way: str = ""                # "native", "decomposed", "fallback" or "core"
    expected: str = "pass"
    reason: str = ""             # of the expectation
    message: str = ""            # of the failure; the first line says most
    seconds: float = 0.0
    oracle: str = ""
    samples: int = 0
    fallbacks: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    reproduce: str = ""          # the command, where the result is unexpected

    def properties(self) -> list[tuple[str, str]]:
        """As pytest's user properties; what is empty is left out."""
        pairs = ((name, getattr(self, name)) for name in _NAMES)
        return [(_PREFIX + name, " ".join(value) if isinstance(value, tuple) else str(value))
                for name, value in pairs if value]

    def as_dict(self) -> dict[str, Any]:
        """With JSON's types only."""
        row = asdict(self)
        row["fallbacks"], row["kernels"] = list(self.fallbacks), list(self.kernels)
        return row


_NAMES = tuple(each.name for each in fields(Result))


def read(properties: Iterable[tuple[str, object]]) -> Result | None:
    """The result that a report carries, or None.

    >>> result = Result("nn/Linear/float32", "nn", "Linear", "float32", seconds=0.5, kernels=("add", "mm"))
    >>> read(result.properties()) == result
    True
    """
    found = {name.removeprefix(_PREFIX): str(value) for name, value in properties if name.startswith(_PREFIX)}
    if "id" not in found:
        return None
    values: dict[str, Any] = {name: value for name, value in found.items() if name in _NAMES}
    values["seconds"], values["samples"] = float(found.get("seconds", 0)), int(found.get("samples", 0))
    values["fallbacks"], values["kernels"] = (tuple(found.get(name, "").split()) for name in ("fallbacks", "kernels"))
    return Result(**values)


def of_case(case: Case) -> Result:
    """A result that only says which case it is of."""
    return Result(case.id, case.level, case.op, case.variant, case.dtype.name if case.dtype else "")


def of_id(case_id: str) -> Result:
    """The same from an id, where there is no case at hand."""
    level, _, rest = case_id.partition("/")
    op, _, variant = rest.partition("/")
    return Result(case_id, level, op, variant)


def filled(result: Result, outcome: Outcome, verdict: Verdict, entry: Entry) -> Result:
    """The result with what came out and what it means."""
    result.category, result.message = verdict.category, verdict.message
    result.status, result.way, result.seconds = outcome.status, outcome.way, round(outcome.seconds, 6)
    result.expected, result.reason = entry.outcome, entry.reason
    result.oracle, result.samples = outcome.oracle, outcome.samples
    result.fallbacks, result.kernels = tuple(outcome.fallbacks), tuple(sorted(getattr(outcome, "kernels", ())))
    return result


def reproduction(device: str, case_id: str, seed: int, expectations: str | None = None,
                 folder: str | None = None) -> str:
    """The one line that runs a case again.

    >>> reproduction("cpu", "operators/exp/float32", 7)
    "flambeau conformance --device cpu --case 'operators/exp/float32' --seed 7"
    """
    quoted = shlex.quote(case_id) if "'" in case_id else f"'{case_id}'"
    given = {"--expectations": expectations, "--cases": folder}
    files = "".join(f" {name} {shlex.quote(path)}" for name, path in given.items() if path)
    return f"flambeau conformance --device {shlex.quote(device)} --case {quoted} --seed {seed}{files}"
