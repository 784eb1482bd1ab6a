"""`flambeau doctor`: versions, plugins, and why one of them is disabled; for bug reports too.

Every plugin is loaded as a program that asks for its device would load it, in a thread with a deadline: one that
hangs costs that time and is reported. One that hangs in machine code while it holds Python's global lock stops this
command as it would stop a program; Ctrl-C does not help there, but `python -X faulthandler` says where it is.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from flambeau.cli._tables import table

_PROJECT = "flambeau"
_EPILOG = """\
examples:
  flambeau doctor               what is installed and what each device plugin says
  flambeau doctor > doctor.txt  to go with a bug report

Exit status 1 where no device at all can be used.
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "doctor",
        help="show versions and plugins, and why one is disabled",
        description="Show what is installed, which device plugins were found, and why one of them is disabled.",
        epilog=_EPILOG,
    )
    return parser


def main(arguments: argparse.Namespace) -> int:
    from flambeau import discovery
    from flambeau.version import __version__

    print(table(("COMPONENT", "VERSION"), [
        ("flambeau", __version__),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("system", platform.platform()),
    ]))  # fmt: skip
    packages = list(_packages())
    print("\n" + (table(("PACKAGE", "VERSION", "NEEDED FOR"), packages) if packages else _NOT_INSTALLED))
    report = discovery.report()
    print("\n" + table(("PLUGIN", "STATE", "PROVIDED BY"), [_plugin(row) for row in report]))
    for row in report:
        for other in row["outvoted"]:
            print(f"\n{row['name']} is offered by {other}, too, which is not used: {row['origin']} comes first")
        if row["reason"]:
            print(f"\n{row['name']} is disabled: {row['reason']}\n    next step: {discovery.hint(row['name'])}")
        if row["diagnosis"]:
            print(f"\n{row['name']} has no device: {row['diagnosis']}")
    commands = list(_commands())
    if commands:
        print("\n" + table(("COMMAND", "STATE", "PROVIDED BY"), commands))
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith("FLAMBEAU_"))
    if settings:
        print("\n" + table(("ENVIRONMENT", "VALUE"), settings))
    return 0 if any(row["devices"] for row in report) else 1


_NOT_INSTALLED = f"{_PROJECT} runs from its source folder, so what it needs is not recorded; try `pip install -e .`"


def _plugin(row: dict[str, Any]) -> tuple[str, str, str]:
    count = len(row["devices"])
    state = "disabled" if row["reason"] else f"{count} device{'' if count == 1 else 's'}"
    return row["name"], state, row["origin"]


def _commands() -> Iterator[tuple[str, str, str]]:
    """The subcommands of plugins: their modules are looked for, and not imported."""
    from flambeau import discovery
    from flambeau.cli import _plugins

    for name, entry_point in sorted(_plugins.offered().items()):
        state = "found" if _plugins.source_of(entry_point) else "its module is missing"
        yield name, state, discovery.origin(entry_point)


def _packages() -> Iterator[tuple[str, str, str]]:
    """What the project's metadata names as requirements, with the version that is installed here."""
    try:
        requirements = metadata.requires(_PROJECT) or []
    except metadata.PackageNotFoundError:
        return
    uses: dict[str, list[str]] = {}
    for requirement in requirements:
        found = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", requirement)
        if found:
            uses.setdefault(found[0], []).append(f"extra {extra[1]}" if extra else "everything")
    for package, extras in uses.items():
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            version = "-"
        yield package, version, ", ".join(extras)
