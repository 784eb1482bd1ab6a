"""What a conformance case is: one statement about one operator (or one part of the contract) on one device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flambeau.backend import Backend, Capabilities
from flambeau.dtypes import dtype

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context

# In the order in which reports show them, from what a backend owes to what its users do with it.
LEVELS = (
    "primitives", "operators", "gradients", "views", "layouts", "empty", "extremes", "promotion", "errors", "random",
    "determinism", "memory", "transfers", "streams", "nn", "training")


@dataclass(frozen=True, slots=True)
class Case:
    """One statement that holds or does not: all samples of one operator in one dtype, say.

    `run` gets a context, made for this case alone, and raises whatever it likes to say that the statement is false.
    """

    level: str
    op: str          # the operator's name, or what else is tested: "copy", "Linear"
    variant: str     # the dtype's name and what else tells cases of one operator apart: "float32-strided"
    run: Callable[[Context], None]
    dtype: dtype | None = None
    quick: bool = False      # part of the quick level
    seconds: float = 60      # a driver that takes longer hangs

    @property
    def id(self) -> str:
        """What people type to run this case alone."""
        return f"{self.level}/{self.op}/{self.variant}"


@dataclass(frozen=True, slots=True)
class Subject:
    """What the cases are made for: a device type, before anything runs on it."""

    name: str
    backend: Backend
    dtypes: tuple[dtype, ...]    # what it stores, in a fixed order
    index: int = 0               # of the device, where the devices of a backend differ

    @property
    def capabilities(self) -> Capabilities:
        """What its backend declares for it."""
        return self.backend.capabilities_of(self.index)
