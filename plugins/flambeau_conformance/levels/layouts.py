"""Operands that do not lie densely in memory: transposed, with gaps, behind an offset."""

from __future__ import annotations

from collections.abc import Iterator

from flambeau import dtypes as fd
from flambeau.dtypes import dtype
from flambeau.registry import OpDef
from flambeau_conformance.calling import cases_of, check_call, is_random, records, samples
from flambeau_conformance.case import Case, Subject
from flambeau_conformance.engine import Context
from flambeau_conformance.sampling import LAYOUTS

_KINDS = (fd.float32, fd.int64)
_LAYOUTS_THEMSELVES = ("reinterpret", "view_dtype")   # their arguments describe how the memory lies


def cases(subject: Subject) -> Iterator[Case]:
    """One case for each operator, layout and two dtypes."""
    for layout in LAYOUTS[1:]:
        def run(context: Context, record: OpDef, kind: dtype, layout: str = layout) -> None:
            for call in samples(record, kind, context):
                check_call(context, record, call, layout)
        kinds = tuple(each for each in _KINDS if each in subject.dtypes)
        chosen = records(_takes_part)
        yield from cases_of(subject, "layouts", chosen, kinds, run, "-" + layout,
                            quick=(fd.float32,) if layout == "strided" else ())


def _takes_part(record: OpDef) -> bool:
    if is_random(record) or record.name in _LAYOUTS_THEMSELVES:
        return False
    return bool(record.tensors or record.lists or record.family == "composite")
