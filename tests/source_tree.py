"""The source tree as data: which modules there are, what they import, which docstrings they hold.

Read with `ast` and never imported, so that a check on the sources cannot be misled by what an import does (a decorator
that replaces a function, a name set at run time) and needs nothing installed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = ("core", "backends", "plugins")
CORE = ROOT / "core" / "flambeau"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*folders: str) -> list[Path]:
    """Every Python file under these folders of the project, as paths, sorted."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    """The path as it is written in lists and test ids: from the project's root, with slashes."""
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """The dotted name under which a file of a source root is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Every function and method of a file with its dotted name inside the file."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield prefix + child.name, child
            name = prefix + child.name + "." if isinstance(child, Function | ast.ClassDef) else prefix
            yield from visit(child, name)

    yield from visit(parse(path), "")


def body_length(function: Function) -> int:
    """The lines of a function's body, without its docstring and the bodies of the functions inside it.

    The signature is left out: a formatter gives each parameter a line of its own where they do not fit into one.
    """
    length = (function.end_lineno or function.lineno) - function.body[0].lineno + 1
    inside = [node for node in ast.walk(function) if isinstance(node, Function) and node is not function]
    outermost = [each for each in inside if not any(each in ast.walk(other) for other in inside if other is not each)]
    if ast.get_docstring(function, clean=False) is not None:
        outermost.append(function.body[0])
    return length - sum((each.end_lineno or each.lineno) - each.lineno + 1 for each in outermost)


def docstrings(path: Path) -> Iterator[tuple[str, str, int]]:
    """Every docstring of a file: dotted name ("" for the module), text, line at which it starts."""

    def visit(node: ast.AST, name: str) -> Iterator[tuple[str, str, int]]:
        if isinstance(node, ast.Module | ast.ClassDef | Function):
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                yield name, text, node.body[0].lineno
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.ClassDef | Function) else ""
            yield from visit(child, ".".join(filter(None, (name, inner))))

    yield from visit(parse(path), "")


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Every absolute import that can run: the module's dotted name, the line, whether it runs at import of the file.

    What stands under `if TYPE_CHECKING:` never runs and is left out.
    """

    def visit(node: ast.AST, at_import: bool) -> Iterator[tuple[str, int, bool]]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, at_import
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno, at_import
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.orelse:
                yield from visit(child, at_import)
        else:
            for child in ast.iter_child_nodes(node):
                yield from visit(child, at_import and not isinstance(node, Function | ast.Lambda))

    yield from visit(parse(path), True)
