"""What a backend owes: every primitive's kernel, in every dtype."""

from __future__ import annotations

from collections.abc import Iterator

from flambeau import dtypes as fd
from flambeau.registry import OPERATORS, primitives
from flambeau_conformance.calling import cases_of, dtypes_of
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.levels.operators import large_cases, run


def cases(subject: Subject) -> Iterator[Case]:
    """One case for each primitive and dtype. That its kernel ran, and not the host, the outcome's `way` says."""
    owed = [OPERATORS[name] for name in primitives()]
    yield from cases_of(subject, "primitives", iter(owed), dtypes_of(subject), run,
                        quick=(fd.float32, fd.int64, fd.bool_))
    yield from large_cases(subject, "primitives", iter(owed))
