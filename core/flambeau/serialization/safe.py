"""What a user adds to the allow-list of `load`: a list per process, as in PyTorch.

An entry is a class or function, or a pair (class or function, "full.name.in.the.file") where the file calls it
something else than Python does now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeAlias

from flambeau.errors import ArgumentTypeError

SafeGlobal: TypeAlias = "Callable[..., Any] | tuple[Callable[..., Any], str]"

_added: list[SafeGlobal] = []


def _checked(globals_: Iterable[SafeGlobal]) -> list[SafeGlobal]:
    entries = list(globals_)
    for entry in entries:
        target, name = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, "")
        if not callable(target) or not isinstance(name, str):
            raise ArgumentTypeError(f"safe_globals: {entry!r} is no class or function; allowed: classes, functions, "
                                    "and pairs (class or function, 'full.name.in.the.file')")
    return entries


def add_safe_globals(safe_globals: Iterable[SafeGlobal]) -> None:
    """Let `load` with `weights_only=True` use these classes and functions: their code will run. TypeError for others.

    >>> import collections
    >>> import flambeau as torch
    >>> torch.serialization.add_safe_globals([collections.deque])
    >>> torch.serialization.get_safe_globals()
    [<class 'collections.deque'>]
    >>> torch.serialization.clear_safe_globals()
    """
    for entry in _checked(safe_globals):
        if entry not in _added:
            _added.append(entry)


def get_safe_globals() -> list[SafeGlobal]:
    """What has been added to the allow-list, in order.

    >>> import flambeau as torch
    >>> torch.serialization.get_safe_globals()
    []
    """
    return list(_added)


def clear_safe_globals() -> None:
    """Take back everything that was added to the allow-list.

    >>> import flambeau as torch
    >>> torch.serialization.clear_safe_globals()
    """
    _added.clear()


class safe_globals:  # noqa: N801 - PyTorch's name
    """Add to the allow-list of `load` inside a `with` block only.

    >>> import collections, io
    >>> import flambeau as torch
    >>> file = io.BytesIO()
    >>> torch.save(collections.deque([1, 2]), file)
    >>> _ = file.seek(0)
    >>> with torch.serialization.safe_globals([collections.deque]):
    ...     torch.load(file)
    deque([1, 2])
    """

    def __init__(self, safe_globals: Iterable[SafeGlobal]) -> None:
        self._entries = _checked(safe_globals)

    def __enter__(self) -> None:
        self._before = list(_added)
        add_safe_globals(self._entries)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        _added[:] = self._before
