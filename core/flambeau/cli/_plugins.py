"""Subcommands that plugins bring: entry points in the group `flambeau.commands`.

The entry point's name is the subcommand and its value a module like those of this folder: `add_parser(subparsers)` and
`main(arguments)`. A module is imported only when its command is asked for, so that `flambeau --help` stays fast and a
broken one breaks nothing but itself; its line in the help is the first of its docstring, read without importing it.
"""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

from flambeau.cli._errors import UsageError

GROUP = "flambeau.commands"


def offered() -> dict[str, Any]:
    """The entry points by subcommand; where two offer the same, the first in the order of `discovery`."""
    from flambeau.discovery import entry_points_of

    found: dict[str, Any] = {}
    for entry_point in entry_points_of(GROUP):
        found.setdefault(entry_point.name, entry_point)
    return found


def load(name: str, entry_point: Any) -> Any:
    """The module of a subcommand. UsageError, with the reason, if it cannot be used."""
    from flambeau import discovery

    try:
        module = entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(f"{discovery.origin(entry_point)}, which provides it, cannot be imported: "
                         f"{discovery.reason(error)}") from error  # fmt: skip
    for function in ("add_parser", "main"):
        if not callable(getattr(module, function, None)):
            raise UsageError(f"{discovery.origin(entry_point)}, which provides it, names {entry_point.value!r}, which "
                             f"has no function {function}()")  # fmt: skip
    return module


def source_of(entry_point: Any) -> Path | None:
    """The file of a subcommand's module, found without running anything of its package."""
    package, *parts = str(entry_point.value).partition(":")[0].strip().split(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if not parts:
        return Path(spec.origin) if spec.origin else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder, *parts)
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
    return None


def summary(entry_point: Any) -> str:
    """One line for the help: the first of the module's docstring, else who provides it."""
    from flambeau.discovery import origin

    path = source_of(entry_point)
    try:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path is not None else ""
    except (OSError, SyntaxError, ValueError):
        text = ""
    line = (text or "").partition("\n")[0].strip().rstrip(".")
    if line.startswith("`flambeau"):
        line = line.partition("`: ")[2]
    return line.replace("%", "%%") or f"provided by {origin(entry_point)}"
