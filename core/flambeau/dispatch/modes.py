"""Modes: code that sees every operator call, such as autocast, the profiler, capture or a debugger.

With no mode on in any thread, a call pays one test of an empty list. A mode is on for the thread that entered it; it
is taken off while it handles a call, so what it calls reaches the mode below.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from flambeau.registry import OpDef

ACTIVE: list[Mode] = []      # modes that are on in any thread: the flag that calls test


class _Stack(threading.local):
    def __init__(self) -> None:
        self.modes: list[Mode] = []


STACK = _Stack()


class Mode:
    """Base of all modes: a context manager whose `intercept` sees each call in its `with` block."""

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


def through(record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Hand a call to the innermost mode of this thread, which is off meanwhile."""
    modes = STACK.modes
    mode = modes.pop()
    try:
        return mode.intercept(record, call, args, kwargs)
    finally:
        modes.append(mode)
