"""What the modules of `torch.backends` share: switches that are attributes of a module, checked when they are set.

A module's attributes are only checked where the module is of a class of its own, which has properties.
"""

from __future__ import annotations

from typing import Any

from flambeau import settings
from flambeau.errors import ArgumentError


def switch(holder: Any, name: str, setter: str, kind: type = bool) -> Any:
    """A property that keeps a value in a slot of what backends read. RuntimeError for a value of another type."""

    def get(self: Any) -> Any:
        return getattr(holder, name)

    def put(self: Any, value: Any) -> None:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ArgumentError(f"{setter} expects {'an' if kind is int else 'a'} {kind.__name__}, but got "
                                f"{type(value).__name__}")
        setattr(holder, name, value)
    return property(get, put)


def precision(whose: str, of: str, set_for: str = "") -> Any:
    """The property `fp32_precision` of a place; `set_for` names the wider one that setting it is for."""

    def get(self: Any) -> str:
        return settings.fp32_precision((whose, of))

    def put(self: Any, value: str) -> None:
        settings.set_fp32_precision((set_for or whose, of), value)
    return property(get, put)


class Precision:
    """A group of operators that has only this switch. AttributeError for any other."""

    __slots__ = ()
    fp32_precision: Any


def precision_of(whose: str, of: str) -> Precision:
    """The switches of a group of operators."""
    class Group(Precision):
        __slots__ = ()
        fp32_precision = precision(whose, of)
    return Group()
