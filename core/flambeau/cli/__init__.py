"""The `flambeau` command. Every subcommand is one module in this folder, or one that a plugin brings.

A module whose name does not begin with an underscore is a subcommand of that name (underscores read as dashes). It
has `add_parser(subparsers)`, which returns its parser, and `main(arguments)`, which returns the exit status; it
imports what is heavy inside `main`. Nothing else has to be edited to add one. A plugin names such a module as an entry
point in the group `flambeau.commands`; names of this folder come first.

Exit status: 0 done, 1 it ran and failed, 2 it was asked for something that it cannot do (`UsageError`, one line on
standard error, before any work), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NoReturn

from flambeau.cli._errors import UsageError

_EXAMPLES = """\
examples:
  flambeau demo                 train a classifier of handwritten digits and watch it learn
  flambeau demo --device cpu --epochs 1
  flambeau devices              what this machine can compute on, and what to install for more
  flambeau doctor               versions, plugins, and why one of them is disabled
  flambeau primitives           the kernels that a new backend owes, as they are called
  flambeau new-backend lantern ./flambeau-lantern   a package to begin a backend with
  flambeau conformance --device cpu --quick         what works on a device, and what does not

`flambeau COMMAND --help` explains each, with examples. `python -m flambeau` is the same command.
"""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that says where to read on."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see `{self.prog} --help`\n")


def program() -> str:
    """How this command was called, so that what we print can be typed back.

    >>> program() in ("flambeau", "python -m flambeau")
    True
    """
    return "python -m flambeau" if PurePath(sys.argv[0]).name == "__main__.py" else "flambeau"


def build_parser(asked: str = "") -> argparse.ArgumentParser:
    """The parser with every subcommand of this folder and of plugins, whose module is imported if it is `asked` for.

    UsageError if that module cannot be used.
    """
    from flambeau.cli import _plugins
    from flambeau.version import __version__

    parser = _Parser(
        prog=program(),
        description="Flambeau: one program, any hardware. PyTorch's interface over devices that are plugins.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"flambeau {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name in sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")):
        _add(subparsers, importlib.import_module(f"{__name__}.{name}"))
    for name, entry_point in sorted(_plugins.offered().items()):
        if name in subparsers.choices:
            continue
        if name == asked:
            _add(subparsers, _plugins.load(name, entry_point))
        else:
            subparsers.add_parser(name, help=_plugins.summary(entry_point), add_help=False)
    return parser


def _add(subparsers: Any, module: Any) -> None:
    command = module.add_parser(subparsers)
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.set_defaults(main=module.main)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (that of the process by default) and return the exit status."""
    words = sys.argv[1:] if argv is None else argv
    asked = next((word for word in words if not word.startswith("-")), "")
    try:
        parser = build_parser(asked)
        arguments = parser.parse_args(words)
        if arguments.command is None:
            parser.print_help()
            return 0
        status = int(arguments.main(arguments))
        sys.stdout.flush()  # here, where a reader who has left is no error, and not when the interpreter ends
        return status
    except UsageError as error:
        sys.stderr.write(f"{program()} {asked}: error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        return 130
    except BrokenPipeError:  # whoever read what we print has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
