"""Every operator with a decomposition, in every dtype, on its samples: values, dtype, shape, device, refusals."""

from __future__ import annotations

from collections.abc import Iterator

from flambeau import dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef, primitives
from flambeau_conformance.calling import cases_of, check_call, dtypes_of, records, samples
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.engine import Context


def cases(subject: Subject) -> Iterator[Case]:
    """One case for each operator that is no primitive, and dtype."""
    owed = set(primitives())
    yield from cases_of(subject, "operators", records(lambda record: record.name not in owed), dtypes_of(subject),
                        run, quick=(fd.float32,))


def run(context: Context, record: OpDef, kind: dtype) -> None:
    """All samples of one operator in one dtype."""
    for call in samples(record, kind, context):
        check_call(context, record, call)
