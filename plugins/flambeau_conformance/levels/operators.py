"""Every operator with a decomposition, in every dtype, on its samples: values, dtype, shape, device, refusals."""

from __future__ import annotations

from collections.abc import Iterator

from flambeau import dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef, primitives
from flambeau_conformance import enlarging, oracle
from flambeau_conformance.calling import cases_of, check_call, dtypes_of, is_random, records, samples
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.engine import Context


def cases(subject: Subject) -> Iterator[Case]:
    """One case for each operator that is no primitive, and dtype."""
    owed = set(primitives())
    yield from cases_of(subject, "operators", records(lambda record: record.name not in owed), dtypes_of(subject),
                        run, quick=(fd.float32,))
    yield from large_cases(subject, "operators", records(lambda record: record.name not in owed))


def large_cases(subject: Subject, level: str, chosen: Iterator[OpDef]) -> Iterator[Case]:
    """The same with thousands of elements, in one dtype."""
    if enlarging.has_room(subject) and fd.float32 in subject.dtypes:
        growing = (record for record in chosen if enlarging.takes_part(record) and not is_random(record))
        yield from cases_of(subject, level, growing, (fd.float32,), run_large, "-large")


def run_large(context: Context, record: OpDef, kind: dtype) -> None:
    """All samples of one operator, repeated along the first and the last dimension."""
    for call in samples(record, kind, context):
        for dim in (0, -1):
            larger = enlarging.enlarged(call, dim)
            accepted = larger is not None and oracle.accepts(record, larger, context.device.type)
            check_call(context, record, larger if accepted and larger is not None else call, factor=enlarging.FACTOR)


def run(context: Context, record: OpDef, kind: dtype) -> None:
    """All samples of one operator in one dtype."""
    for call in samples(record, kind, context):
        check_call(context, record, call)
