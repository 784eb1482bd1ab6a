"""Modes: code that sees every operator call, such as autocast, the profiler, capture or a debugger.

With no mode on in any thread, a call pays one test of an empty list. A mode is on for the thread that entered it; it
is taken off while it handles a call, so what it calls reaches the mode below.

Calls are those of records with canonical arguments. Faces and composites run before any mode, with all modes on, and
are seen through the calls that they make. A mode that must handle some of them as one, because what they make of their
arguments comes too late for it, says so by `faces`, and takes itself off for those.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from flambeau.registry import OpDef

ACTIVE: list[Mode] = []      # modes that are on in any thread: the flag that calls test


class _Stack(threading.local):
    def __init__(self) -> None:
        self.modes: list[Mode] = []


STACK = _Stack()


class Mode:
    """Base of all modes: a context manager whose `intercept` sees each call in its `with` block."""

    faces: ClassVar[bool] = False   # whether `intercept_face` is to see the faces and composites that have a policy

    def __enter__(self) -> Any:
        STACK.modes.append(self)
        ACTIVE.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        STACK.modes.remove(self)
        ACTIVE.remove(self)

    def intercept(self, record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Handle one call; the default runs it."""
        return call(*args, **kwargs)

    def intercept_face(self, record: OpDef, call: Callable[..., Any], args: tuple[Any, ...],
                       kwargs: dict[str, Any]) -> Any:
        """Handle one call of a face or a composite, whose arguments are as people write them. NotImplemented, which is
        the default, leaves it alone: then the mode sees what it calls."""
        return NotImplemented


def through(record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Hand a call to the innermost mode of this thread, which is off meanwhile."""
    modes = STACK.modes
    mode = modes.pop()
    try:
        return mode.intercept(record, call, args, kwargs)
    finally:
        modes.append(mode)


def through_face(record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Hand the call of a face to the innermost mode that asks for such calls. It stays on: `without` takes it off.
    NotImplemented where no mode handles it."""
    for mode in reversed(STACK.modes):
        if mode.faces:
            return mode.intercept_face(record, call, args, kwargs)
    return NotImplemented


def without(mode: Mode, call: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run a call with one mode off and the others on."""
    modes = STACK.modes
    position = modes.index(mode)
    del modes[position]
    try:
        return call(*args, **kwargs)
    finally:
        modes.insert(position, mode)
