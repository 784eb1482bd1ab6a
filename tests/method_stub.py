"""The members that operators attach to `Tensor`, as a stub for type checkers: `core/flambeau/_methods.pyi`.

They are attached at run time from the table of operators, where no type checker sees them. The stub is written from
that same table, and a test compares the two, so that nothing is listed by hand:

    python tests/method_stub.py         # writes the stub
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

STUB = Path(__file__).resolve().parent.parent / "core" / "flambeau" / "_methods.pyi"

HEADER = '''"""The members that operators attach to `Tensor`. Written by tests/method_stub.py; do not edit."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from flambeau.device import device
from flambeau.dtypes import dtype
from flambeau.shapes import Size
from flambeau.tensor import Tensor

# Methods of these names hide the types inside the class.
_bool = bool
_complex = complex
_device = device
_dtype = dtype
_float = float
_int = int

class TensorMethods:
'''
HIDDEN = ("bool", "complex", "device", "dtype", "float", "int")
KNOWN = {*HIDDEN, "Any", "Callable", "Iterable", "Iterator", "None", "Sequence", "Size", "Tensor"} | {
    "dict", "list", "object", "str", "tuple", "type",
}  # fmt: skip

REFLECTED = {
    f"__{prefix}{name}__"
    for name in "add and eq floordiv ge gt le lshift lt mod mul ne or pow rshift sub truediv xor matmul".split()
    for prefix in ("", "r", "i")
}


def type_text(annotation: Any) -> str:
    """An annotation as the stub writes it; `Any` where it names something that the stub does not import."""
    if annotation is inspect.Parameter.empty:
        return "Any"
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "Any")
    text = text.strip("'\"")
    if not set(re.findall(r"[A-Za-z_][\w.]*", text)) <= KNOWN:
        return "Any"
    return re.sub(rf"\b({'|'.join(HIDDEN)})\b", r"_\1", text)


def parameter_text(parameter: inspect.Parameter) -> str:
    """One parameter, with `...` for its default."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    default = "" if parameter.default is parameter.empty else " = ..."
    return f"{stars}{parameter.name}: {type_text(parameter.annotation)}{default}"


def method_lines(name: str, function: Any) -> list[str]:
    """The stub of one method, the first parameter being `self`."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return [f"    def {name}(self, *args: Any, **kwargs: Any) -> Any: ..."]
    texts = ["self"]
    starred = False
    for parameter in list(signature.parameters.values())[1:]:
        if name in REFLECTED and parameter.kind is parameter.KEYWORD_ONLY:
            continue  # Python passes an operator's operands and nothing else
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            texts.append("*")
            starred = True
        starred = starred or parameter.kind is parameter.VAR_POSITIONAL
        texts.append(parameter_text(parameter))
    result = type_text(signature.return_annotation)
    ignore = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
    return [f"    def {name}({', '.join(texts)}) -> {result}: ...{ignore}"]


def property_lines(name: str, member: property) -> list[str]:
    """The stub of one property, with the setter and the deleter that it has."""
    result = type_text(inspect.signature(member.fget).return_annotation) if member.fget else "Any"
    lines = ["    @property", f"    def {name}(self) -> {result}: ..."]
    if member.fset is not None:
        lines += [f"    @{name}.setter", f"    def {name}(self, value: Any) -> None: ..."]
    if member.fdel is not None:
        lines += [f"    @{name}.deleter", f"    def {name}(self) -> None: ..."]
    return lines


def stub_text() -> str:
    """The whole stub."""
    import flambeau  # noqa: F401 - fills the table and attaches the members
    from flambeau._methods import TensorMethods

    lines = []
    for name, member in sorted(vars(TensorMethods).items()):
        if isinstance(member, property):
            lines += property_lines(name, member)
        elif callable(member) and name not in ("__weakref__", "__dict__"):
            lines += method_lines(name, member)
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    STUB.write_text(stub_text(), encoding="utf-8")
