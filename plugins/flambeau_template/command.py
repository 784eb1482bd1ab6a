"""`flambeau new-backend`: write a package to begin a backend with.

The package works as it is written: it installs with pip, its device computes (on the host, until the driver is there),
and the conformance suite passes on it. So an author changes something that works, and sees at once what breaks.
"""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flambeau.cli._errors import UsageError

PROJECT = Path(__file__).resolve().parent / "project"
NAME, CLASS, AUTHOR = "newdevice", "NewDevice", "Your Name"   # what stands in the files for what was asked for
DOT = "dot_"                                                  # begins the names of files that begin with a dot
LEFT_OUT = ("__pycache__", ".pyc")                            # what Python leaves in the folder of the files

_EPILOG = """\
examples:
  flambeau new-backend lantern ./flambeau-lantern
  flambeau new-backend lantern ./flambeau-lantern --author "Ada Lovelace"

  cd flambeau-lantern
  pip install -e ".[test]"
  flambeau doctor                        lantern is there, with one device
  flambeau primitives --device lantern   the kernels it has, and those to write
  flambeau conformance --device lantern

NAME is the device string, torch.ones(3, device="lantern"): small letters, digits and underscores.
"""

_REPORT = """\
{count} files written to {folder}:
{files}

Next:
  cd {folder}
  pip install -e ".[test]"
  {program} doctor
  {program} primitives --device {name}
  {program} conformance --device {name}
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "new-backend",
        help="write a package to begin a backend with",
        description="Write a third-party package with a backend that works, to be filled with your device.",
        epilog=_EPILOG,
    )
    parser.add_argument("name", metavar="NAME", help="the device string")
    parser.add_argument("folder", metavar="DIR", help="where to write it: a new folder, or an empty one")
    parser.add_argument("--author", default=AUTHOR, metavar="TEXT", help="who writes it, for the package's metadata")
    return parser


def main(arguments: argparse.Namespace) -> int:
    from flambeau.cli import program

    folder = Path(arguments.folder).expanduser()
    check_name(arguments.name)
    written = write(arguments.name, folder, arguments.author)
    sys.stdout.write(_REPORT.format(count=len(written), folder=folder, program=program(), name=arguments.name,
                                    files="\n".join(f"  {path.as_posix()}" for path in written)))
    return 0


def check_name(name: str) -> None:
    """UsageError for what is no device string and identifier, or is taken."""
    from flambeau import discovery

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot be a device string; choose small letters, digits and underscores, beginning "
                         "with a letter, and no word of Python's own")
    taken = discovery.offered()
    if name in taken:
        raise UsageError(f"the device string {name!r} is taken; taken are {', '.join(taken)}; choose another")
    package = f"flambeau_{name}"
    if importlib.util.find_spec(package) is not None or importlib.util.find_spec(f"flambeau.{name}") is not None:
        raise UsageError(f"{name!r}: a package {package!r} or a module 'flambeau.{name}' is installed already; choose "
                         "another name")


def class_prefix(name: str) -> str:
    """The beginning of the class's name.

    >>> class_prefix("my_lantern2")
    'MyLantern2'
    """
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def files() -> Iterator[Path]:
    """The files of the package under its stand-in name, relative to its folder."""
    for path in sorted(PROJECT.rglob("*")):
        if path.is_file() and not any(mark in part for part in path.parts for mark in LEFT_OUT):
            yield path.relative_to(PROJECT)


def write(name: str, folder: Path, author: str = AUTHOR) -> list[Path]:
    """Write the package and return its files, relative to `folder`. UsageError where that cannot be done.

    It is written beside the folder and moved there in one step, so there is the whole package or nothing.
    """
    if "\n" in author or not author.strip():
        raise UsageError(f"--author {author!r}: one line, please")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is no empty folder; name a new one")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            written = [_write(name, author, path, beside) for path in files()]
            beside.chmod(0o777 & ~_umask())
            if folder.exists():
                folder.rmdir()
            beside.rename(folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as error:
        raise UsageError(f"{folder}: cannot write there ({error.strerror}); choose another folder") from error
    return sorted(written)


def _umask() -> int:
    """What the user's files are not allowed; `mkdtemp` makes a folder that is private."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(name: str, author: str, path: Path, folder: Path) -> Path:
    text = (PROJECT / path).read_text(encoding="utf-8")
    quoted = author.replace("\\", "\\\\").replace('"', '\\"') if path.suffix == ".toml" else author
    text = text.replace(f"flambeau-{NAME}", f"flambeau-{name.replace('_', '-')}")
    text = text.replace(NAME, name).replace(CLASS, class_prefix(name)).replace(AUTHOR, quoted)
    parts = ["." + part.removeprefix(DOT) if part.startswith(DOT) else part for part in path.parts]
    target = Path(*[part.replace(NAME, name) for part in parts])
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    (folder / target).write_text(text, encoding="utf-8")
    return target
