"""The pytest plugin: options, the run's settings, what each result counts as, and what is written at the end.

`pytest --pyargs flambeau_conformance --device NAME` turns it on (see `pytest_entry`); `flambeau conformance` calls
pytest with the same options, shielded from the configuration of whatever project it stands in.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flambeau_conformance import expectations
from flambeau_conformance.case import LEVELS
from flambeau_conformance.items import RUN, USUAL_SECONDS, Run, Suite
from flambeau_conformance.protection import LAST_WORDS, MOST_DEATHS, Controller, Worker
from flambeau_conformance.pytest_entry import named

PACKAGE = Path(__file__).parent.resolve()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("flambeau_conformance", "conformance of a Flambeau device")

    def add(name: str, **settings: Any) -> None:
        dest = "conformance_" + name.removeprefix("--").replace("-", "_")
        group.addoption(name, dest=dest, **settings)

    add("--device", metavar="NAME", help="the device string: cpu, cuda:1, ...")
    add("--level", action="append", default=[], metavar="LEVEL", help=f"only this level; may be repeated: "
        f"{', '.join(LEVELS)}")
    add("--quick", action="store_true", help="only the cases of the quick level")
    add("--case", action="append", default=[], metavar="GLOB",
        help="only cases whose id, level/operator/variant, is or matches this; may be repeated")
    add("--cases", metavar="FOLDER", help="saved cases, instead of conformance_cases beside the backend's class")
    add("--seed", type=int, default=0, metavar="N", help="what the samples are drawn from (default: 0)")
    add("--expectations", metavar="FILE", help="instead of conformance.toml beside the backend's class")
    add("--update-expectations", action="store_true", help="rewrite that file from what this run finds")
    add("--report-json", metavar="FILE", help="write all results with versions, device, driver and date")
    add("--report-html", metavar="FILE", help="write a page: operators by dtypes, by how they ran")
    add("--compare", metavar="FILE", help="a JSON report of an earlier run; the page shows what changed")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Protect the run where nothing else was said: one worker process, a limit for each case."""
    option = config.option
    if option.help or not named(config.args):
        return
    if hasattr(option, "timeout"):
        if option.timeout is None:
            option.timeout = float(USUAL_SECONDS)
        if option.timeout_method is None and (hasattr(config, "workerinput") or _distributes(option) is not False):
            option.timeout_method = "thread"
    if not hasattr(option, "numprocesses") or hasattr(config, "workerinput"):
        return
    if _distributes(option) is None and not option.collectonly and not option.usepdb:
        option.numprocesses, option.dist, option.tx = 1, "load", ["popen"]
    if option.maxworkerrestart is None:
        option.maxworkerrestart = str(MOST_DEATHS)


def _distributes(option: Any) -> bool | None:
    """Whether cases run in other processes; None where the command line leaves it open."""
    if not hasattr(option, "numprocesses"):
        return False
    if option.numprocesses is not None:
        return bool(option.numprocesses)
    return True if option.tx or option.dist != "no" else None


def pytest_configure(config: pytest.Config) -> None:
    if config.option.help or not named(config.args):
        return
    run = config.stash[RUN] = _run_of(config.option)
    if hasattr(config, "workerinput"):
        folder = config.workerinput.get(LAST_WORDS)
        if folder:
            config.pluginmanager.register(Worker(config, folder), "flambeau_conformance.worker")
        return
    from flambeau_conformance.summary import Reporter

    config.pluginmanager.register(Controller(config), "flambeau_conformance.controller")
    config.pluginmanager.register(Reporter(config, run), "flambeau_conformance.reporter")


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN in config.stash:
        config.stash[RUN].close()


def _run_of(option: Any) -> Run:
    """The settings of the run, checked; UsageError says what is wrong and what to do."""
    device = option.conformance_device
    if not device:
        raise pytest.UsageError("say which device to test: --device NAME; `flambeau devices` lists them")
    unknown = [level for level in option.conformance_level if level not in LEVELS]
    if unknown:
        raise pytest.UsageError(f"--level {unknown[0]}: there is no such level; choose from {', '.join(LEVELS)}")
    if option.conformance_compare and not Path(option.conformance_compare).is_file():
        raise pytest.UsageError(f"--compare {option.conformance_compare}: there is no such file; "
                                "--report-json FILE writes one")
    if option.conformance_cases and not Path(option.conformance_cases).is_dir():
        raise pytest.UsageError(f"--cases {option.conformance_cases}: there is no such folder; "
                                "`flambeau diverge` makes one")
    return Run(device, option.conformance_seed, _book_of(option, device), option.conformance_level,
               option.conformance_case, quick=option.conformance_quick, update=option.conformance_update_expectations,
               timeout=getattr(option, "timeout", None) or 0, file=option.conformance_expectations,
               folder=option.conformance_cases)


def _book_of(option: Any, device: str) -> expectations.Book:
    """The expectations, which takes loading the backend."""
    from flambeau import discovery
    from flambeau.device import device as parsed

    try:
        backend = discovery.backend_for(parsed(device).type)
        discovery.resolve(parsed(device))
        path = option.conformance_expectations
        must_exist = bool(path) and not option.conformance_update_expectations
        book = expectations.load(Path(path) if path else expectations.beside(backend), device, must_exist=must_exist)
        return replace(book, shared=book.shared or (not path and expectations.is_shared(backend)))
    except (RuntimeError, expectations.ExpectationError) as error:
        raise pytest.UsageError(" ".join(str(error).split())) from error


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if RUN in parent.config.stash and path.name == PACKAGE.name and path.resolve() == PACKAGE:
        return Suite.from_parent(parent, path=path)
    return None


def pytest_report_header(config: pytest.Config) -> list[str] | None:
    if RUN not in config.stash:
        return None
    run = config.stash[RUN]
    book = run.book
    entries = f"{len(book.entries)} in {_shown(book.path)}" if book.entries else f"none ({_shown(book.path)})"
    return [f"conformance of {run.device}: seed {run.seed}; expectations: {entries}", _protection(config)]


def _shown(path: Path | None) -> str:
    if path is None:
        return "no file"
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _protection(config: pytest.Config) -> str:
    """A line that says what a crash or a hang of the driver costs in this run."""
    if not hasattr(config.option, "numprocesses"):
        return "a crash of the driver ends this run: pip install 'flambeau[conformance]' runs cases in other processes"
    if not _distributes(config.option):
        return "a crash of the driver ends this run: -n 0 runs the cases in this process"
    count = config.option.numprocesses or len(config.option.tx)
    limit = f"{config.option.timeout:g} s" if getattr(config.option, "timeout", 0) else "no limit"
    missing = "" if importlib.util.find_spec("pytest_timeout") else " (pip install 'flambeau[conformance]' sets one)"
    return f"cases run in {count} other process{'es' if count > 1 else ''}, {limit} each{missing}"
