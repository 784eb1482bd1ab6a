"""Which cases there are for a device: those derived from the operators, and those saved in files beside the backend."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from flambeau_conformance import suite
from flambeau_conformance.case import LEVELS, Case
from flambeau_conformance.expectations import beside
from flambeau_conformance.saved_cases import FOLDER, load_cases


def all_cases(device: str, levels: Collection[str] | None = None, folder: str | None = None) -> list[Case]:
    """The cases of a device string, of all levels or those given.

    Saved cases come from `folder`, or from `conformance_cases` beside the expectations of the backend. ValueError for
    two cases of one id: results and expectations could not tell them apart.
    """
    saved = Path(folder) if folder else beside(suite.subject(device).backend).parent / FOLDER
    made = suite.cases(device, levels or None)
    made += [case for case in load_cases(saved) if not levels or case.level in levels]
    seen: set[str] = set()
    for case in made:
        if case.id in seen:
            raise ValueError(f"two cases have the id {case.id!r}; give one of them another variant")
        seen.add(case.id)
    return made


def counts(cases: Iterable[Case]) -> dict[str, int]:
    """How many cases there are of each level, in the order of reports."""
    found = dict.fromkeys(LEVELS, 0)
    for case in cases:
        found[case.level] = found.get(case.level, 0) + 1
    return {level: count for level, count in found.items() if count}
