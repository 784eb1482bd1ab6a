"""A stranger's backend whose driver cannot be trusted: one kernel ends the process, one never returns, one is missing.

Its arrays are NumPy's, on a device that is not the host. It brings conformance cases of its own, which call those
kernels and steady ones, so that a run of the suite takes a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np

import flambeau
from flambeau import dtypes
from flambeau.backend import Capabilities
from flambeau.hookspecs import hookimpl
from flambeau_conformance.case import Case
from flambeau_conformance.engine import Context
from flambeau_numpy import NumpyBackend


def ending(*operands, out=None):
    os.abort()


def sleeping(*operands, out=None):
    while True:
        time.sleep(3600)


def wrong(operand, out=None):
    return np.negative(operand, out=out)


class ShakyBackend(NumpyBackend):
    """Runs what NumPy runs, except `sinh`, `cosh`, `tan` and `erf`."""

    name = "shaky"
    capabilities = Capabilities(storage_dtypes=frozenset({dtypes.float32, dtypes.int64, dtypes.bool_}), emulated={})

    def __init__(self) -> None:
        super().__init__()
        self.kernels |= {"sinh": ending, "cosh": sleeping, "tan": wrong}
        del self.kernels["erf"]

    def to_host(self, array):
        return np.array(array)

    @hookimpl
    def flambeau_conformance_cases(self) -> Iterator[Case]:
        if os.environ.get("SHAKY") == "from the start" and "PYTEST_XDIST_WORKER" in os.environ:
            os.abort()
        for op in ("exp", "sinh", "cosh", "tan", "erf"):
            for count in range(1, 5):
                if op in ("exp", "tan", "erf") or count == 2:
                    yield Case("transfers", f"shaky_{op}", f"float32-{count}", checker(op, count), dtypes.float32)


def checker(op: str, count: int):
    """A case: an operator at 0.5 is what it is on the host."""

    def check(context: Context) -> None:
        result = getattr(flambeau, op)(flambeau.full((count,), 0.5, device=context.device))
        context.compare(result, getattr(flambeau, op)(flambeau.full((count,), 0.5)), op)

    return check
