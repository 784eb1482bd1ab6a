"""`flambeau diverge`: run a program on two devices in lock step, to the first operator in which they disagree."""

from __future__ import annotations

import argparse
import datetime
import linecache
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

from flambeau.cli._errors import UsageError

_EPILOG = """\
examples:
  flambeau diverge train.py --device opencl
  flambeau diverge train.py --epochs 1 --device opencl --reference cpu --out my_package/conformance_cases
  flambeau diverge --nan train.py                    where the first nan or infinity is made

SCRIPT runs as `python SCRIPT` would run it, once, with --device as its default device; a program that names its devices
itself has to name that one. Every operator call is made on the reference, too, with the same inputs, so errors do not
add up. Options of this command may stand before or after the script's; what follows `--` is the script's alone.

Exit status: 0 all calls agreed, 1 they did not (or no call ran on the device), else the program's own.
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "diverge", epilog=_EPILOG, help="find the first operator in which two devices disagree on a program",
        description="Run a program on two devices in lock step and stop at the first operator that differs.")
    parser.add_argument("script", metavar="SCRIPT", help="the program")
    parser.add_argument("--device", default=None, help="the device under test (default: the program's default device)")
    parser.add_argument("--reference", default="cpu", help="the device that is right (default: cpu)")
    parser.add_argument("--rtol", type=float, help="relative tolerance, instead of the suite's table")
    parser.add_argument("--atol", type=float, help="absolute tolerance, instead of the suite's table")
    parser.add_argument("--nan", action="store_true", help="also stop where nan or an infinity first appears")
    parser.add_argument("--out", metavar="DIR", default="conformance_cases",
                        help="folder for the case that is written (default: conformance_cases)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="the program's arguments")
    return parser


def main(arguments: argparse.Namespace) -> int:
    _take_own_options(arguments)
    script = Path(arguments.script)
    if not script.is_file():
        raise UsageError(f"there is no program {str(script)!r}; give the path of a Python file")
    return diverge(script, arguments)


def _take_own_options(arguments: argparse.Namespace) -> None:
    """Take our options out of what follows the script, up to `--`; the rest is the script's."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("device", "reference", "out"):
        own.add_argument(f"--{name}", default=getattr(arguments, name))
    for name in ("rtol", "atol"):
        own.add_argument(f"--{name}", type=float, default=getattr(arguments, name))
    own.add_argument("--nan", action="store_true", default=arguments.nan)
    before, after = list(arguments.arguments), []
    if "--" in before:
        place = before.index("--")
        before, after = before[:place], before[place + 1:]
    found, rest = own.parse_known_args(before)
    vars(arguments).update(vars(found))
    arguments.arguments = [*rest, *after]


def diverge(script: Path, arguments: argparse.Namespace) -> int:
    """Run the program in lock step and report; the exit status."""
    from flambeau import discovery
    from flambeau.device import get_default_device
    from flambeau_conformance import expectations
    from flambeau_conformance.divergence import Lockstep
    from flambeau_conformance.tolerance import Tolerances

    try:
        subject = discovery.resolve(arguments.device or get_default_device())
        reference = discovery.resolve(arguments.reference)
        book = expectations.load(expectations.beside(discovery.backend_for(subject.type)), str(subject))
    except (RuntimeError, expectations.ExpectationError) as error:
        raise UsageError(str(error)) from error
    mode = Lockstep(subject, reference, Tolerances(book.tolerances), rtol=arguments.rtol, atol=arguments.atol,
                    finite=arguments.nan)
    started = time.perf_counter()
    status = _run(script, arguments.arguments, mode)
    sys.stdout.flush()
    if mode.found is not None:
        _report(mode, script, arguments.out)
        return 1
    return _agreed(mode, status, time.perf_counter() - started)


def _run(script: Path, arguments: list[str], mode: Any) -> int:
    """Run the program as `python SCRIPT` would; its exit status."""
    from flambeau.device import get_default_device, set_default_device
    from flambeau_conformance.divergence import Diverged

    before = sys.argv, sys.path[:], get_default_device()
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    set_default_device(mode.subject)
    try:
        with mode:
            runpy.run_path(str(script), run_name="__main__")
    except Diverged:
        return 1
    except SystemExit as stop:
        return _status(stop.code)
    except Exception as error:  # noqa: BLE001 - a program's own error ends it as Python would
        if mode.found is None:
            _print_error(error)
        return 1
    finally:
        set_default_device(before[2])
        sys.argv, sys.path[:] = before[0], before[1]
    return 0


def _status(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    sys.stderr.write(f"{code}\n")
    return 1


def _print_error(error: Exception) -> None:
    """The program's traceback, without the frames that are there because of this command."""
    import traceback

    from flambeau.dispatch import modes

    found = traceback.TracebackException.from_exception(error)
    hidden = (str(Path(__file__).parent), modes.__file__, "<frozen runpy>")
    found.stack = traceback.StackSummary.from_list(
        [frame for frame in found.stack if not frame.filename.startswith(hidden)])
    sys.stderr.write("".join(found.format()))


# ---------------------------------------------------------------------------------------------- what is printed
def _agreed(mode: Any, status: int, seconds: float) -> int:
    if not mode.compared:
        sys.stderr.write(f"no operator ran on {mode.subject}: the program names its devices itself, or makes no "
                         f"tensor; let it use {str(mode.subject)!r}\n")
        return status or 1
    part, op, place = mode.worst
    where = f" at {_shown(place[0])}:{place[1]}" if place else ""
    worst = f"{op}{where}, {100 * part:.3g}% of what is allowed" if op else "all were equal"
    lines = [f"{mode.compared} operator calls agreed on {mode.subject} and {mode.reference} in {seconds:.1f} s; "
             f"worst: {worst}"]
    if mode.excused:
        lines.append(f"{mode.excused} of them only after a second look in float64: long sums")
    lines += [f"not compared: {count} calls, {reason}" for reason, count in sorted(mode.skipped.items())]
    sys.stdout.write("\n".join(lines) + "\n")
    return status


def _report(mode: Any, script: Path, folder: str) -> None:
    found = mode.found
    outer, found = found, found.innermost
    lines = [f"\ndivergence: {found.op}{'_' if found.in_place else ''}, call {outer.number} that was compared, "
             f"on {mode.subject} against {mode.reference}"]
    if found is not outer:
        lines.append(f"  inside the decomposition of {outer.op}")
    if found.place is not None:
        lines += _source("at", found.place)
    if found.forward is not None:
        lines += _source(f"in the backward pass, {found.forward[0]} of", found.forward[1])
    lines += ["  arguments", *_arguments(found), f"  ran as {found.way}", f"  {found.label}: {found.problem}"]
    lines += _saved(mode, found, script, folder)
    sys.stdout.write("\n".join(lines) + "\n")


def _source(words: str, place: Any) -> list[str]:
    file, number, function = place
    text = linecache.getline(file, number).strip()
    return [f"  {words} {_shown(file)}:{number}, in {function}", *([f"      {text}"] if text else [])]


def _shown(file: str) -> str:
    short = os.path.relpath(file)
    return file if short.startswith("..") else short


def _arguments(found: Any) -> list[str]:
    named = [*zip(found.parameters, found.recorded.args, strict=False), *found.recorded.kwargs.items()]
    return [f"    {name} = {_value(each)}" for name, each in named]


def _value(value: Any) -> str:
    if not isinstance(value, dict):
        return repr(value)
    (name, content), *_ = value.items()
    if name == "tensor":
        offset = f", offset {content['offset']}" if content["offset"] else ""
        place = "" if content["on"] == "device" else f" on {content['on']}"
        return f"{content['dtype']} {content['shape']}, strides {tuple(content['strides'])}{offset}{place}"
    if name in ("list", "tuple", "size"):
        some = ", ".join(_value(each) for each in content[:4])
        return f"{name} of {len(content)}: {some}{', ...' if len(content) > 4 else ''}"
    return f"slice({', '.join(map(_value, content))})" if name == "slice" else str(content)


def _saved(mode: Any, found: Any, script: Path, folder: str) -> list[str]:
    from flambeau_conformance.recorded import NotStorable
    from flambeau_conformance.saved_cases import load_case, write_case

    if not found.expected:
        return []
    about = {"program": str(script), "place": list(found.place or ()), "device": str(mode.subject),
             "reference": str(mode.reference), "problem": found.problem,
             "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    try:
        path = write_case(folder, found, about)
    except NotStorable as error:
        return [f"  no case was written: {error}"]
    return [f"  written as a conformance case: {path}",
            f"  run it: flambeau conformance --device {mode.subject.type} --cases {folder} "
            f"--case '{load_case(path).id}'"]
