"""Watching a device at work: which of its kernels ran, and what ran on the host instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flambeau
from flambeau.backend import Backend
from flambeau.registry import OPERATORS


def forget_plans() -> None:
    """Drop what dispatch has cached: plans hold the kernels they found."""
    for record in OPERATORS.values():
        record.plans.clear()


class Watch:
    """Counts the calls of a backend's kernels between `start` and `stop`.

    The kernels of the backend's table are replaced by ones that leave a note and go on; `remove` puts the table back. A
    kernel that declines its arguments has not run.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.seen: set[str] = set()
        self.reached: set[str] = set()     # over all cases
        self.followed = ""     # the one kernel whose arguments are kept: the memory of all others is free to go
        self.last: tuple[Any, ...] | None = None     # those of its last call without `out`
        self._original = dict(backend.kernels)
        self._before: dict[str, float] = {}
        for name, kernel in self._original.items():
            backend.kernels[name] = self._noting(name, kernel)
        forget_plans()

    def _noting(self, name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        note = self.seen.add

        def noting(*args: Any, **kwargs: Any) -> Any:
            result = kernel(*args, **kwargs)
            if result is NotImplemented:   # it declined: another kernel, or the host, does the work
                return result
            note(name)
            if name == self.followed and not kwargs:
                self.last = args
            return result
        noting.__name__ = getattr(kernel, "__name__", name)
        return noting

    def remove(self) -> None:
        """Take the watch off the backend."""
        self.backend.kernels.update(self._original)
        forget_plans()

    def start(self) -> None:
        """Begin with a clean slate."""
        self.seen.clear()
        self.follow("")
        self._before = {name: row["calls"] for name, row in flambeau.fallback_counts().items()}

    def follow(self, name: str) -> None:
        """Keep the arguments of a kernel's calls from here on, in `last`; with "" those of none."""
        self.followed, self.last = name, None

    def stop(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """(kernels that ran, operators that ran on the host) since the start."""
        self.reached |= self.seen
        fell = tuple(sorted(name for name, row in flambeau.fallback_counts().items()
                            if row["calls"] > self._before.get(name, 0)))
        self.follow("")
        return frozenset(self.seen), fell
