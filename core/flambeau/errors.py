"""The one tree of errors.

Every error that Flambeau raises on purpose is a `FlambeauError` and also the builtin that PyTorch raises in the same
place, so that `except RuntimeError` in a ported program keeps working while new code can be more precise. A message
names the operator, what was given, what is allowed and the next step; `message()` puts the four in that order.
"""

from __future__ import annotations


class FlambeauError(Exception):
    """Root of the tree: anything that Flambeau refuses on purpose."""


class ShapeError(FlambeauError, RuntimeError):
    """Shapes that do not fit together, or a view that the strides do not allow."""


class DtypeError(FlambeauError, RuntimeError):
    """A dtype that an operator or a device does not support."""


class ArgumentTypeError(FlambeauError, TypeError):
    """An argument of the wrong Python type."""


class ArgumentError(FlambeauError, RuntimeError):
    """An argument of the right type with a value that is not allowed."""


class ArgumentValueError(FlambeauError, ValueError):
    """Like `ArgumentError`, where PyTorch raises ValueError."""


class DimensionError(FlambeauError, IndexError):
    """A dimension or an index outside its range."""


class DeviceError(FlambeauError, RuntimeError):
    """A device that is missing, or operands that live on different devices."""


class BackendError(FlambeauError, RuntimeError):
    """A backend plugin that cannot be loaded or breaks the contract."""


class OutOfMemoryError(FlambeauError, RuntimeError):
    """A device that has no memory left for an allocation."""


class GraphError(FlambeauError, RuntimeError):
    """A gradient that cannot be computed: freed graph, modified tensor, no path."""


class UnsupportedError(FlambeauError, NotImplementedError):
    """An operator that a device does not have and that may not fall back to the host."""


class UnsupportedDtypeError(DtypeError, UnsupportedError):
    """An operator that is not defined for a dtype: NotImplementedError, which is a RuntimeError, as in PyTorch."""


def message(op: str, problem: str, *, given: str = "", allowed: str = "", next_step: str = "") -> str:
    """Put an error's parts in their order: the operator, the problem, given, allowed, next step.

    >>> message("view", "shape does not fit", given="[2, 3] and [4]", next_step="use reshape()")
    'view: shape does not fit; given: [2, 3] and [4]; use reshape()'
    """
    parts = [f"{op}: {problem}" if op else problem]
    if given:
        parts.append(f"given: {given}")
    if allowed:
        parts.append(f"allowed: {allowed}")
    if next_step:
        parts.append(next_step)
    return "; ".join(parts)
