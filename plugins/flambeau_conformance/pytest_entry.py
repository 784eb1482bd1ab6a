"""What pytest finds of this package in every project: a switch that turns the suite on where it is named.

pytest reads the options of a package given with `--pyargs` too late for that package to add any, so the suite has an
entry point. It costs other projects one small import, and adds nothing to their pytest: `--device` and the others
exist only in runs that name `flambeau_conformance`.
"""

from __future__ import annotations

from typing import Any

PACKAGE = "flambeau_conformance"
PLUGIN = f"{PACKAGE}.plugin"


def named(arguments: list[str]) -> bool:
    """Whether a command line asks for the suite, as a module or as a folder.

    >>> named(["--pyargs", "flambeau_conformance"]), named(["plugins/flambeau_conformance/"]), named(["tests"])
    (True, True, False)
    """
    return any(each.replace("\\", "/").rstrip("/").rpartition("/")[2] == PACKAGE for each in map(str, arguments))


def pytest_load_initial_conftests(early_config: Any, args: list[str]) -> None:
    """The last moment at which a plugin may still add options."""
    if named(args) and not early_config.pluginmanager.hasplugin(PLUGIN):
        early_config.pluginmanager.import_plugin(PLUGIN)
