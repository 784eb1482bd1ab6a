"""`flambeau conformance`: run the conformance suite on a device, and say what works.

It calls pytest with the suite's plugin and nothing else: neither the configuration nor the plugins of the project in
whose folder it is called take part.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_WORKERS = 4      # each holds the device and the oracle; more seldom pay
NEEDED = {"pytest": "pytest", "xdist": "pytest-xdist", "pytest_timeout": "pytest-timeout"}

_EPILOG = """\
examples:
  flambeau conformance --device cpu --quick           the quick level: under a minute
  flambeau conformance --device cpu                   everything
  flambeau conformance --device cpu --level gradients --level views
  flambeau conformance --device cpu --case 'operators/softmax/*'
  flambeau conformance --device cpu --case 'operators/exp/float32' --seed 7     what a failure says to type
  flambeau conformance --device cpu --list            the ids of the cases, and how many there are of each level
  flambeau conformance --device NAME --update-expectations
                                                      write what fails into the backend's own conformance.toml
  flambeau conformance --device NAME --json now.json --html now.html --compare before.json

Cases run in other processes: a crash or a hang of the driver costs one case, which is reported with the command that
reproduces it. What a backend's author expects stands in conformance.toml beside the module of the backend's class:

  [[expect]]
  cases = "operators/erfinv/*"       # a pattern over ids, level/operator/variant; the last that matches decides
  outcome = "xfail"                  # fails; or "skip": is not run; "fallback": runs on the host; "pass"
  reason = "less precise than it should be"

Exit status: 0 nothing unexpected, 1 something was (or no case was executed), 2 the command cannot be carried out.
"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "conformance", formatter_class=argparse.RawDescriptionHelpFormatter,
        help="what works on a device, and what does not",
        description="Run the conformance suite on a device. Its cases are derived from the operators; the oracle is\n"
                    "PyTorch where it is installed, else NumPy in float64.",
        epilog=_EPILOG)
    parser.add_argument("--device", required=True, metavar="NAME", help="the device string; see `flambeau devices`")
    select = parser.add_argument_group("which cases")
    select.add_argument("--level", action="append", default=[], metavar="LEVEL",
                        help="only this level; may be repeated (--list shows them)")
    select.add_argument("--quick", action="store_true", help="only the cases of the quick level")
    select.add_argument("--case", action="append", default=[], metavar="GLOB",
                        help="only cases whose id is or matches this; may be repeated")
    select.add_argument("--cases", metavar="FOLDER",
                        help="saved cases, instead of conformance_cases beside the backend; see `flambeau diverge`")
    select.add_argument("--list", action="store_true", help="print the ids instead of running them")
    how = parser.add_argument_group("how they run")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="what samples are drawn from (default: 0)")
    how.add_argument("-n", type=int, default=None, metavar="N", dest="workers",
                     help=f"processes (default: one for each core, at most {MOST_WORKERS}; 0: none but this one, which "
                          "a crash then ends)")
    how.add_argument("--timeout", type=float, default=60.0, metavar="S",
                     help="seconds after which a case hangs (default: 60; 0: never)")
    how.add_argument("-v", "--verbose", action="store_true", help="a line for each case")
    reports = parser.add_argument_group("what is written")
    reports.add_argument("--json", metavar="FILE", help="all results, with versions, device, driver and date")
    reports.add_argument("--html", metavar="FILE", help="a page: operators by dtypes, and how they ran")
    reports.add_argument("--junit", metavar="FILE", help="JUnit's XML, for continuous integration")
    reports.add_argument("--compare", metavar="FILE", help="an earlier JSON report; the page shows what changed")
    expected = parser.add_argument_group("what is expected")
    expected.add_argument("--expectations", metavar="FILE", help="instead of conformance.toml beside the backend")
    expected.add_argument("--update-expectations", action="store_true",
                          help="rewrite that file from what this run finds, and keep what is still true")
    return parser


def main(arguments: argparse.Namespace) -> int:
    from flambeau.cli._errors import UsageError

    missing = _missing()
    if missing and not arguments.list:
        raise UsageError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed; "
                         "pip install 'flambeau[conformance]'")
    if arguments.compare and not arguments.html:
        raise UsageError("--compare FILE is shown on the page: add --html FILE")
    if arguments.workers is not None and arguments.workers < 0:
        raise UsageError("-n counts processes: 0 or more")
    _check_device(arguments.device)
    return _list(arguments) if arguments.list else _run(arguments)


def _missing() -> list[str]:
    from importlib.util import find_spec

    return [name for module, name in NEEDED.items() if find_spec(module) is None]


def _check_device(name: str) -> None:
    """The first thing to go wrong, said before pytest starts."""
    from flambeau import discovery
    from flambeau.cli._errors import UsageError

    try:
        discovery.resolve(name)
    except RuntimeError as error:
        raise UsageError(str(error)) from error


def _list(arguments: argparse.Namespace) -> int:
    """Ids on standard output, one per line, so that they can be piped; counts on standard error."""
    import sys

    from flambeau.cli._errors import UsageError
    from flambeau.cli._tables import table
    from flambeau_conformance.case import LEVELS
    from flambeau_conformance.expectations import fits
    from flambeau_conformance.selection import all_cases, counts

    unknown = [level for level in arguments.level if level not in LEVELS]
    if unknown:
        raise UsageError(f"--level {unknown[0]}: there is no such level; choose from {', '.join(LEVELS)}")
    cases = [case for case in all_cases(arguments.device, arguments.level, arguments.cases)
             if (case.quick or not arguments.quick)
             and (not arguments.case or any(fits(pattern, case.id) for pattern in arguments.case))]
    sys.stdout.write("".join(f"{case.id}\n" for case in cases))
    sys.stdout.flush()
    rows = [(level, str(count)) for level, count in [*counts(cases).items(), ("all", len(cases))]]
    sys.stderr.write(table(("LEVEL", "CASES"), rows) + "\n")
    return 0 if cases else 1


def _run(arguments: argparse.Namespace) -> int:
    import pytest

    with _alone():
        status = int(pytest.main(pytest_arguments(arguments)))
    ours = {pytest.ExitCode.OK: 0, pytest.ExitCode.USAGE_ERROR: 2, pytest.ExitCode.INTERRUPTED: 130}
    return {int(code): value for code, value in ours.items()}.get(status, 1)


def pytest_arguments(arguments: argparse.Namespace) -> list[str]:
    """The command line for pytest.

    >>> parser = add_parser(argparse.ArgumentParser().add_subparsers())
    >>> pytest_arguments(parser.parse_args(["--device", "cpu", "--quick"]))[-3:]
    ['--device', 'cpu', '--quick']
    """
    package = Path(__file__).parent.resolve()
    made = ["--pyargs", package.name, "-c", os.devnull, "--rootdir", str(package.parent), "--noconftest",
            # no:logging, because it takes a third of the time of a short case
            "-p", "no:cacheprovider", "-p", "no:logging", "-p", "xdist", "-p", "pytest_timeout",
            "-p", f"{package.name}.plugin",
            "-n", str(_workers(arguments)), "--timeout", f"{arguments.timeout:g}", "-rN", "--tb=short",
            "-v" if arguments.verbose else "-q"]
    for name in ("level", "case"):
        made += [word for value in getattr(arguments, name) for word in (f"--{name}", value)]
    options = {"--seed": arguments.seed or None, "--expectations": arguments.expectations,
               "--cases": arguments.cases,
               "--report-json": arguments.json, "--report-html": arguments.html, "--compare": arguments.compare,
               "--junitxml": arguments.junit}
    made += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    made += ["--update-expectations"] if arguments.update_expectations else []
    return [*made, "--device", arguments.device, *(["--quick"] if arguments.quick else [])]


def _workers(arguments: argparse.Namespace) -> int:
    """As many as asked for; else one for a single case, which other processes could not share."""
    if arguments.workers is not None:
        return int(arguments.workers)
    if arguments.case and not any(set("*?[") & set(pattern) for pattern in arguments.case):
        return 1
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, MOST_WORKERS)


@contextmanager
def _alone() -> Iterator[None]:
    """pytest without what the environment adds to it."""
    changes = {"PYTEST_ADDOPTS": None, "PYTEST_PLUGINS": None, "PYTEST_TIMEOUT": None,
               "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONWARNINGS": None}
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
