"""All cases for a device, in a fixed order."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator

from flambeau import discovery
from flambeau.device import device
from flambeau.dtypes import ALL
from flambeau_conformance import lastwords
from flambeau_conformance.case import LEVELS, Case, Subject
from flambeau_conformance.engine import Session


def subject(name: str) -> Subject:
    """The device type that a device string names, as cases are made for it."""
    where = discovery.resolve(device(name))
    backend, index = discovery.backend_for(where.type), where.index or 0
    stored = backend.capabilities_of(index).storage_dtypes
    return Subject(where.type, backend, tuple(each for each in ALL if each in stored), index)


def cases(name: str, levels: Collection[str] | None = None, quick: bool = False) -> list[Case]:
    """The cases for a device string, of all levels or those given; `quick` takes the quick ones only."""
    about = subject(name)
    made = [case for level in LEVELS if not levels or level in levels for case in _of_level(level, about)]
    return [case for case in made if case.quick] if quick else made


def _of_level(level: str, about: Subject) -> Iterator[Case]:
    module = importlib.import_module(f"flambeau_conformance.levels.{level}")
    yield from module.cases(about)
    lastwords.renew()   # the level may have loaded other devices
    for more in discovery.plugin_manager().hook.flambeau_conformance_cases():
        yield from (case for case in more if case.level == level)


def session(name: str, seed: int = 0, tolerances: object = None) -> Session:
    """What `engine.execute` runs cases in; close it to take its watch off the backend."""
    return Session(name, seed, tolerances)
