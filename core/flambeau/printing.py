"""The text of a tensor: what ``repr``, ``str`` and ``print`` show.

People compare printed tensors by eye, paste them into bug reports and keep them in doctests, so the text is
PyTorch's to the last blank. Three steps lead to it:

1. `_excerpt` takes to the host, as nested lists, only the elements that will be seen. A summary of a tensor
   of a billion elements moves a few dozen numbers, wherever the tensor lives.
2. A style (`_Style`, `_FloatStyle`, `_ComplexStyle`) looks at those numbers once and settles one notation and
   one width for all of them, so that columns align.
3. `_Layout` arranges the formatted numbers in nested brackets, and `_with_suffixes` appends what the numbers
   do not tell: device, size, dtype, gradient.

Only the public face of a tensor is used (shape, dtype, indexing, ``tolist``, ...), so this module knows
nothing of arrays and backends.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from flambeau.dtypes import bool_, default_complex, get_default_dtype, int64
from flambeau.errors import ArgumentValueError, message

__all__ = [
    "PRINT_OPTS",
    "PrintOptions",
    "format_tensor",
    "get_printoptions",
    "printoptions",
    "set_printoptions",
]

_LIBRARY = __name__.partition(".")[0]


class PrintOptions:
    """The settings that printing reads; one instance, `PRINT_OPTS`, is in force."""

    __slots__ = ("edgeitems", "linewidth", "precision", "sci_mode", "threshold")

    def __init__(self) -> None:
        self.precision: int = 4
        self.threshold: float = 1000
        self.edgeitems: int = 3
        self.linewidth: int = 80
        self.sci_mode: bool | None = None

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in get_printoptions().items())
        return f"PrintOptions({settings})"


PRINT_OPTS = PrintOptions()

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors are printed from now on.

    Args:
        precision: digits after the decimal point (4 at first).
        threshold: a tensor with more elements than this is summarised (1000 at first).
        edgeitems: how many items a summary keeps at either end of each dimension (3 at first).
        linewidth: columns after which a row is continued on the next line (80 at first).
        profile: "default", "short" or "full": a set of the four above, over which those given win.
        sci_mode: True or False forces or forbids the scientific notation. None, also when it is left out,
            lets the numbers decide.

    Raises:
        ValueError: ``profile`` is not one of the three.

    Example:
        >>> import flambeau as torch
        >>> torch.set_printoptions(precision=2)
        >>> torch.tensor([3.14159])
        tensor([3.14])
        >>> torch.set_printoptions(profile="default")
        >>> torch.tensor([3.14159])
        tensor([3.1416])
    """
    settings: dict[str, Any] = {}
    if profile is not None:
        if profile not in _PROFILES:
            allowed = ", ".join(_PROFILES)
            problem = message("set_printoptions", "unknown profile", given=repr(profile), allowed=allowed)
            raise ArgumentValueError(problem)
        settings.update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    settings.update((name, value) for name, value in given.items() if value is not None)
    settings["sci_mode"] = sci_mode
    for name, value in settings.items():
        setattr(PRINT_OPTS, name, value)


def get_printoptions() -> dict[str, Any]:
    """The settings in force, as keyword arguments for `set_printoptions`.

    Example:
        >>> from flambeau.printing import get_printoptions
        >>> get_printoptions()["edgeitems"]
        3
    """
    names = ("precision", "threshold", "edgeitems", "linewidth", "sci_mode")
    return {name: getattr(PRINT_OPTS, name) for name in names}


@contextlib.contextmanager
def printoptions(**settings: Any) -> Iterator[None]:
    """Print with other settings inside a ``with`` block; takes the arguments of `set_printoptions`.

    Example:
        >>> import flambeau as torch
        >>> from flambeau.printing import printoptions
        >>> with printoptions(edgeitems=1, threshold=5):
        ...     print(torch.arange(10))
        tensor([0,  ..., 9])
    """
    before = get_printoptions()
    set_printoptions(**settings)
    try:
        yield
    finally:
        set_printoptions(**before)


def format_tensor(tensor: Any, *, tensor_contents: str | None = None) -> str:
    """The string that ``repr(tensor)`` gives.

    Args:
        tensor: a tensor of any shape, dtype and device.
        tensor_contents: text to put in the place of the numbers, for subclasses that show something else.

    Example:
        >>> import flambeau as torch
        >>> torch.tensor([[1.0, 2.5]], requires_grad=True)
        tensor([[1.0000, 2.5000]], requires_grad=True)
    """
    prefix = _prefix(type(tensor)) + "("
    contents = tensor_contents
    if contents is None:
        contents = "..." if _is_meta(tensor) else _contents(tensor.detach(), len(prefix))
    text = _with_suffixes(prefix + contents, _suffixes(tensor), len(prefix))
    # A subclass of Parameter names itself and also says that it is a parameter; Parameter adds its own heading.
    return f"Parameter({text})" if prefix != "tensor(" and _is_parameter(tensor) else text


def _is_own(cls: type, *names: str) -> bool:
    """Whether the library defines this class. By name: such classes stand above this module."""
    return cls.__name__ in names and cls.__module__.partition(".")[0] == _LIBRARY


def _prefix(cls: type) -> str:
    """``tensor``, the function that makes one, for the library's own classes; else the class's name."""
    return "tensor" if _is_own(cls, "Tensor", "Parameter", "Buffer") else cls.__name__


def _is_parameter(tensor: Any) -> bool:
    return any(_is_own(cls, "Parameter") for cls in type(tensor).__mro__)


def _is_meta(tensor: Any) -> bool:
    return bool(tensor.device.type == "meta")


# ---------------------------------------------------------------- what is seen of the numbers


def _contents(tensor: Any, indent: int) -> str:
    """The brackets and numbers of a tensor outside any graph; ``indent`` columns stand before them."""
    count = tensor.numel()
    if count == 0:
        return "[]"
    shape = tuple(tensor.shape)
    edge = PRINT_OPTS.edgeitems if count > PRINT_OPTS.threshold else None
    if edge == 0 and shape:
        return "[...]"
    data = _excerpt(tensor, shape, edge)
    style = _style(list(_leaves(data, len(shape))), tensor.dtype)
    return _Layout(shape, edge, style).text(data, 0, indent)


def _excerpt(tensor: Any, shape: tuple[int, ...], edge: int | None) -> Any:
    """The elements to be seen, as nested lists: everything, or the first and last ``edge`` of each dimension.

    Halving the long dimensions one after the other leaves at most ``2 ** ndim`` corners, each of which
    crosses from the device in one piece.
    """
    if edge is None:
        return tensor.tolist()
    for dim, size in enumerate(shape):
        if size > 2 * edge:
            leading = (slice(None),) * dim
            kept = shape[:dim] + (edge,) + shape[dim + 1 :]
            head = _excerpt(tensor[leading + (slice(None, edge),)], kept, edge)
            tail = _excerpt(tensor[leading + (slice(size - edge, None),)], kept, edge)
            return _joined(head, tail, dim)
    return tensor.tolist()


def _joined(head: list[Any], tail: list[Any], dim: int) -> list[Any]:
    """Nested lists put one behind the other along ``dim``."""
    if dim == 0:
        return head + tail
    return [_joined(first, second, dim - 1) for first, second in zip(head, tail, strict=True)]


def _leaves(data: Any, depth: int) -> Iterator[Any]:
    """The elements of lists nested ``depth`` deep, in order."""
    if depth == 0:
        yield data
    elif depth == 1:
        yield from data
    else:
        for item in data:
            yield from _leaves(item, depth - 1)


# ---------------------------------------------------------------- how a number is written


class _Style:
    """How integers and booleans are written: as Python does, right-aligned."""

    def __init__(self, values: list[Any]) -> None:
        self.width = max(len(str(value)) for value in values)

    def text(self, value: Any) -> str:
        return str(value).rjust(self.width)


class _FloatStyle(_Style):
    """How floating point numbers are written: in one notation, which the finite nonzero ones choose.

    Whole numbers are written ``3.``, others with ``precision`` digits, and those that span more than three
    decades, or are very large or very small, in the scientific notation. The comparisons are made in double
    precision whatever the dtype is.
    """

    def __init__(self, values: list[float]) -> None:
        decisive = [value for value in values if value and math.isfinite(value)]
        self.width = 1
        self._write: Callable[[float], str] = _whole
        if not decisive:
            return
        if self._is_scientific([abs(value) for value in decisive]):
            self._write = f"{{:.{PRINT_OPTS.precision}e}}".format
        elif not all(value.is_integer() for value in decisive):
            self._write = f"{{:.{PRINT_OPTS.precision}f}}".format
        self.width = max(len(self._write(value)) for value in decisive)

    @staticmethod
    def _is_scientific(magnitudes: list[float]) -> bool:
        if PRINT_OPTS.sci_mode is not None:
            return PRINT_OPTS.sci_mode
        low, high = min(magnitudes), max(magnitudes)
        return high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4

    def text(self, value: float) -> str:
        return self._write(value).rjust(self.width)


def _whole(value: float) -> str:
    """A whole number with the point that tells it from an integer; inf and nan need none."""
    return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"


class _ComplexStyle:
    """How complex numbers are written: real and imaginary parts have each their own notation and width."""

    def __init__(self, values: list[complex]) -> None:
        self._real = _FloatStyle([value.real for value in values])
        self._imag = _FloatStyle([value.imag for value in values])
        # The "j" is counted and the "+" is not, as in PyTorch: rows break where PyTorch breaks them.
        self.width = self._real.width + self._imag.width + 1

    def text(self, value: complex) -> str:
        imag = self._imag.text(value.imag).lstrip()
        sign = "" if imag[0] in "+-" else "+"
        return f"{self._real.text(value.real)}{sign}{imag}j"


def _style(values: list[Any], dtype: Any) -> _Style | _ComplexStyle:
    if dtype.is_complex:
        return _ComplexStyle(values)
    return _FloatStyle(values) if dtype.is_floating_point else _Style(values)


# ---------------------------------------------------------------- brackets and lines


class _Layout:
    """Nested brackets around the numbers; a dimension of which only the ends are there gets an ellipsis."""

    def __init__(self, shape: tuple[int, ...], edge: int | None, style: _Style | _ComplexStyle) -> None:
        self._ndim = len(shape)
        self._edge = edge
        self._cut = [edge is not None and size > 2 * edge for size in shape]
        self._style = style

    def text(self, data: Any, dim: int, indent: int) -> str:
        """The part of the text that shows ``data``, which lies ``dim`` brackets deep."""
        below = self._ndim - dim
        if below == 0:
            return self._style.text(data)
        if below == 1:
            return self._row(data, dim, indent)
        items = self._with_ellipsis([self.text(item, dim + 1, indent + 1) for item in data], dim, "...")
        separator = "," + "\n" * (below - 1) + " " * (indent + 1)
        return "[" + separator.join(items) + "]"

    def _row(self, data: list[Any], dim: int, indent: int) -> str:
        items = self._with_ellipsis([self._style.text(value) for value in data], dim, " ...")
        per_line = max(1, int((PRINT_OPTS.linewidth - indent) // (self._style.width + len(", "))))
        lines = [", ".join(items[start : start + per_line]) for start in range(0, len(items), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"

    def _with_ellipsis(self, items: list[str], dim: int, ellipsis: str) -> list[str]:
        if not self._cut[dim]:
            return items
        return items[: self._edge] + [ellipsis] + items[self._edge :]


# ---------------------------------------------------------------- what the numbers do not tell


def _suffixes(tensor: Any) -> list[str]:
    """What follows the numbers, in order: device, size, dtype, gradient."""
    device = [f"device='{tensor.device}'"] if tensor.device.type != "cpu" else []
    return device + _size_and_dtype(tensor) + _gradient(tensor)


def _size_and_dtype(tensor: Any) -> list[str]:
    """The size if the brackets do not show it, and the dtype if nobody would guess it from the numbers."""
    default = get_default_dtype()
    size, dtype = f"size={tuple(tensor.shape)}", f"dtype={tensor.dtype}"
    if _is_meta(tensor):
        return [size] if tensor.dtype == default else [size, dtype]
    if tensor.numel() == 0:
        # Only [] of shape (0,) reads back as what it is.
        return [size] * (len(tensor.shape) != 1) + [dtype] * (tensor.dtype != default)
    guessed = tensor.dtype in (default, default_complex(), int64, bool_)
    return [size] * (not PRINT_OPTS.edgeitems) + [dtype] * (not guessed)


def _gradient(tensor: Any) -> list[str]:
    try:
        node = tensor.grad_fn
    except RuntimeError:
        # A view that was made and then changed under no_grad has no valid history: print it all the same.
        return ["grad_fn=<Invalid>"]
    if node is not None:
        return [f"grad_fn=<{node.name().rpartition('::')[2]}>"]
    return ["requires_grad=True"] if tensor.requires_grad else []


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """Append ``suffixes`` and the closing bracket, on a new line when the last one would become too long."""
    # One column more than the line has: PyTorch counts the line break, and so breaks a column earlier.
    used = len(text) - text.rfind("\n") + 1
    pieces = [text]
    for suffix in suffixes:
        if used + len(suffix) + 2 > PRINT_OPTS.linewidth:
            pieces.append(",\n" + " " * indent + suffix)
            used = indent + len(suffix)
        else:
            pieces.append(", " + suffix)
            used += len(suffix) + 2
    return "".join(pieces) + ")"
