"""What `device_check.sh` runs: steps in processes of their own, within a budget of time, and a report of them.

A crash or a hang costs what the step had left to do: rows are written as they are found. A device that is a processor
gets the short form: the quick level of the conformance suite and training on the digits that are part of the package.
A simulated one runs the same code at tiny sizes, and no row of its report says more than that it was not run on a GPU.
"""

from __future__ import annotations

import argparse
import datetime
import html
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 9.5
NOT_RUN = "not run on a GPU"
GROUPS = {"operators": ("primitives", "operators", "gradients"), "training": ("nn", "training"),
          "views": ("views", "layouts", "empty", "extremes", "promotion"),
          "the rest": ("errors", "random", "determinism", "memory", "transfers", "streams")}
"""The levels of the suite, in runs of their own: one that does not end in time costs no other. What counts first."""
SHARES = {"environment": 0.08, "benchmarks": 0.25, "families": 0.35, "training": 0.35, "conformance, quick": 0.6,
          **{f"conformance, {each}": 1.0 for each in GROUPS}}
"""The steps of a device, and how much of the device's remaining time each may take."""

Rows = Iterator[dict[str, Any]]


# ------------------------------------------------------------------------------------------------- the device
def described(device: str) -> tuple[Any, Any, Any]:
    """(where it is, its capabilities, its properties)."""
    import flambeau
    from flambeau import discovery

    where = flambeau.device(device)
    backend, index = discovery.backend_for(where.type), where.index or 0
    return where, backend.capabilities_of(index), backend.properties(index)


def is_simulated(device: str) -> bool:
    """Whether a device is a fake, which it says itself."""
    _, capabilities, properties = described(device)
    return capabilities.simulated or "simulated" in properties.name


def is_processor(device: str) -> bool:
    """Whether a device is the machine's processor, under whatever name."""
    _, capabilities, properties = described(device)
    return capabilities.host or properties.extra.get("type") == "cpu"


def gpus() -> list[str]:
    """The device strings of this machine's GPUs; simulated ones have to be named."""
    from flambeau import discovery

    found = []
    for name in ("cuda", "opencl"):
        count = discovery.backend_for(name).device_count() if discovery.is_available(name) else 0
        each = [f"{name}:{index}" for index in range(count)]
        found += [device for device in each if not is_processor(device) and not is_simulated(device)]
    return found


# ------------------------------------------------------------------------------------------------- the steps
def environment(device: str, short: bool, tiny: bool) -> Rows:
    """What the device says of itself, and which packages there are."""
    where, _, found = described(device)
    yield {"row": "device", "name": found.name, "memory": found.total_memory, "device": str(where), **found.extra}
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = "missing"
    if shutil.which("nvidia-smi") and where.type == "cuda":
        said = subprocess.run(["nvidia-smi", "--query-gpu=index,name,driver_version,memory.total,clocks.max.sm",
                               "--format=csv,noheader"], capture_output=True, text=True, timeout=30, check=False)
        yield {"row": "nvidia-smi", "says": (said.stdout or said.stderr).strip()}
    yield {"row": "packages", "python": platform.python_version(), "platform": platform.platform(), **packages}


PACKAGES = ("flambeau", "numpy", "torch", "cupy-cuda13x", "cupy-cuda12x", "ml_dtypes", "pluggy", "threadpoolctl",
            "platformdirs", "pyopencl", "pytest", "pytest-xdist", "pytest-timeout")


def libraries(device: str, tiny: bool) -> list[Any]:
    """Flambeau on the device, and on the same GPU PyTorch and CuPy, where they are.

    Without a GPU of theirs, values are compared with PyTorch's on the processor, or else Flambeau's there, and nobody's
    times. Beside a simulated device NumPy stands for CuPy, for the sake of the code that calls it.
    """
    import numpy as np

    import flambeau
    from device_rows import Library

    kind = flambeau.empty(0, device=device)._kind

    def host(each: Any) -> Any:
        return each.detach().cpu().numpy()

    found = [Library("flambeau", flambeau, lambda array: flambeau.from_numpy(array).to(device),
                     lambda: kind.backend.synchronize(kind.index), host, device, pins=not is_processor(device))]
    index = flambeau.device(device).index or 0
    if importlib.util.find_spec("torch"):
        import torch

        gpu = torch.cuda.is_available() and not is_processor(device) and not tiny
        place = "cpu" if not gpu else f"cuda:{index}" if flambeau.device(device).type == "cuda" else "cuda"
        torch.backends.cudnn.allow_tf32 = False      # all libraries with all bits, but where a row says otherwise
        found.append(Library("pytorch", torch, lambda array: torch.from_numpy(array.copy()).to(place),
                             torch.cuda.synchronize if gpu else lambda: None, host, place, pins=gpu, timed=gpu))
    else:
        found.append(Library("processor", flambeau, flambeau.from_numpy, lambda: None, host, "cpu", timed=False))
    if tiny:
        found.append(Library("cupy", _NumPy(), np.array, lambda: None, np.asarray))
    elif flambeau.device(device).type == "cuda" and importlib.util.find_spec("cupy"):
        import cupy

        cupy.cuda.runtime.setDevice(index)
        found.append(Library("cupy", cupy, cupy.asarray, cupy.cuda.runtime.deviceSynchronize, cupy.asnumpy))
    flambeau.backends.cudnn.allow_tf32 = False
    return found


class _NumPy:
    """NumPy with the one function that CuPy has beside it."""

    def __getattr__(self, name: str) -> Any:
        import numpy as np

        return np.asarray if name == "asnumpy" else getattr(np, name)


def measured(row: Any, device: str, each: list[Any], size: str, seconds: float) -> dict[str, Any]:
    """One row: the values of the first library against PyTorch's or CuPy's, and the times of all."""
    import numpy as np

    from device_rows import TINY, difference, timed, values

    arrays = [given.make(size, np.random.default_rng(place)) for place, given in enumerate(row.given)]
    found: dict[str, Any] = {"row": row.label, "size": size, "microseconds": {}, "ratio": {}}
    first: Any = None
    for library in each:
        if library.name == "cupy" and row.cupy is None:
            continue
        try:
            if row.before and library.name != "cupy":
                row.before(library.module, True)
            call, begun = library.prepared(row, arrays), time.perf_counter()
            got = values(library, call())
            if library is each[0] and size != TINY:
                found["seconds of the first call"] = round(time.perf_counter() - begun, 3)     # compiles its kernels
            if library.timed and size != TINY:
                found["microseconds"][library.name] = timed(call, library.wait, seconds)
        except Exception as error:
            if library is each[0]:
                raise
            found.setdefault("peers", {})[library.name] = f"{type(error).__name__}: {str(error)[:300]}"
            continue
        finally:
            if row.before and library.name != "cupy":
                row.before(library.module, False)
        if first is None:
            first = got
        elif "difference" not in found:
            found |= {"difference": difference(first, got), "tolerance": row.tolerance,
                      "beside": f"{library.name} on {library.device or device}"}
    times = found["microseconds"]
    found["ratio"] = {name: times["flambeau"] / time for name, time in times.items() if name != "flambeau"}
    if not found.get("difference", 0.0) <= row.tolerance:
        raise AssertionError(f"{found['difference']:.3g} of the largest value away from {found['beside']}, "
                             f"{row.tolerance:.3g} is allowed: {json.dumps(found)}")
    return found


def _table(rows: list[Any], device: str, short: bool, tiny: bool) -> Rows:
    from device_rows import FULL, REDUCED, TINY

    each, seconds = libraries(device, tiny), 0.1 if short else 0.3
    for row in rows:
        try:
            yield measured(row, device, each, TINY if tiny else REDUCED if short else FULL, seconds)
        except Exception as error:  # noqa: BLE001 - whatever a row raises costs that row
            yield {"row": row.label, "error": f"{type(error).__name__}: {str(error)[:2000]}"}


def families(device: str, short: bool, tiny: bool) -> Rows:
    """Every family of kernels."""
    from device_rows import FAMILIES

    return _table(FAMILIES, device, short, tiny)


def benchmarks(device: str, short: bool, tiny: bool) -> Rows:
    """What people ask about a GPU first."""
    from device_rows import BENCHMARKS

    return _table(BENCHMARKS, device, short, tiny)


def training(device: str, short: bool, tiny: bool) -> Rows:
    """The demo's classifier for five epochs, on MNIST if it is here and the device no processor; else on Digits."""
    from flambeau.cli import _demo_tasks as tasks, _demo_training as demo
    from flambeau.cli._demo_report import Report
    from flambeau.vision import datasets
    from flambeau.vision.download import MissingDataError

    epochs = 1 if tiny else 5
    try:
        images = tasks.Images("MNIST", *tasks.image_parts(datasets.MNIST, "data"))
    except (MissingDataError, OSError):
        short = True
    if short or tiny:
        images = tasks.Images("Digits", *tasks.image_parts(datasets.Digits, "data"))
    settings = demo.Settings(device=device, epochs=epochs, batch_size=512 if tiny else 64)
    run, stop, report = demo.Run(settings, images), demo.Stop(), Report(epochs)
    for epoch in range(epochs):
        begun = time.perf_counter()
        with report.epoch(epoch, 0, len(run.loader)):
            run.train_epoch(report, stop)
        rate = len(images.train) / (time.perf_counter() - begun)
        run.end_epoch()
        row = {"row": f"{images.name}, epoch {epoch + 1}", "accuracy": run.score(), "steps": len(run.losses)}
        yield row if tiny else {**row, "samples per second": rate}
    needed = 0.0 if tiny else 0.975 if images.name == "MNIST" else 0.8
    if row["accuracy"] < needed:
        raise AssertionError(f"{images.name}: accuracy {row['accuracy']} after {epochs} epochs, {needed} is expected")


def conformance(device: str, options: list[str], keep: str) -> Rows:
    """A run of the suite; its report is kept in a file."""
    quoted = " ".join(options)
    with_processes = all(map(importlib.util.find_spec, ("xdist", "pytest_timeout")))
    command = ["-m", "flambeau", "conformance", "--json", keep, "--device", device]
    if not with_processes:      # a crash then costs the whole run; what is missing is in the row about packages
        command = ["-m", "pytest", "-c", os.devnull, "--noconftest", "-p", "no:cacheprovider", "-p", "no:logging",
                   "-q", "--tb=short", "--pyargs", "flambeau_conformance", "--report-json", keep, "--device", device]
        command += [] if importlib.util.find_spec("flambeau_conformance.pytest_entry") and _registered() else [
            "-p", "flambeau_conformance.plugin"]
    done = subprocess.run([sys.executable, *command, *options], check=False, stdin=subprocess.DEVNULL)
    path = Path(keep)
    if not path.is_file():
        raise AssertionError(f"the suite ended with status {done.returncode} and wrote no report ({quoted})")
    result = json.loads(path.read_text())
    found = result["summary"]
    yield {"row": quoted, "in other processes": with_processes, "cases": found["cases"], "seconds": found["seconds"],
           "verdicts": {name: count for name, count in found["status"].items() if count and name != "pass"},
           "passed by": {name: count for name, count in found["way"].items() if count}}
    for each in result["results"]:
        if each["status"] in ("fail", "error"):
            yield {"row": each["id"], "error": str(each["message"])[:600]}
    if done.returncode:
        raise AssertionError(f"the suite ended with status {done.returncode} ({quoted})")


def _registered() -> bool:
    """Whether pytest knows the suite's plugin by the package's metadata."""
    return any(each.name == "flambeau_conformance" for each in metadata.entry_points(group="pytest11"))


TABLES: dict[str, Callable[[str, bool, bool], Rows]] = {
    "environment": environment, "benchmarks": benchmarks, "families": families, "training": training}


def rows_of(step: str, device: str, short: bool, keep: str) -> Rows:
    """The rows of a step, as they come."""
    tiny = is_simulated(device)
    if step in TABLES:
        return TABLES[step](device, short, tiny)
    level = step.partition(", ")[2]
    options = ["--quick"] if level == "quick" else [word for each in GROUPS[level] for word in ("--level", each)]
    return conformance(device, ["--case", "*/exp/float32"] if tiny else options, keep)


def run_step(step: str, device: str, short: bool, result: Path) -> int:
    """Run a step in this process, and write each row as soon as it is there."""
    simulated, bad = is_simulated(device), False
    with result.open("a", encoding="utf-8") as file:
        try:
            for row in rows_of(step, device, short, str(result.with_suffix(".report"))):
                bad = bad or "error" in row
                status = "fail" if "error" in row else NOT_RUN if simulated else "pass"
                file.write(json.dumps({"step": step, **row, "status": status}, default=str) + "\n")
                file.flush()
        except AssertionError as error:
            file.write(json.dumps({"step": step, "row": "", "status": "fail", "error": str(error)}) + "\n")
            return 1
    return int(bad)


# ------------------------------------------------------------------------------------------------- running them
def step(name: str, device: str, short: bool, seconds: float, folder: Path) -> dict[str, Any]:
    """Run one step in a process of its own."""
    print(f"== {device}: {name} (at most {seconds:.0f} s)", flush=True)
    begun = time.perf_counter()
    path = folder / f"{re.sub(r'[^a-z0-9]+', '-', f'{device} {name}')}.rows"
    command = [sys.executable, __file__, "--step", name, "--result", str(path), *(["--short"] if short else []), device]
    log = path.with_suffix(".log")
    with log.open("w") as file:   # a session of its own, so that what it has started ends with it
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            status = "pass" if process.wait(seconds) == 0 else "fail"
        except subprocess.TimeoutExpired:
            status = "out of time"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    output = log.read_text(errors="replace")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    if status == "pass" and all(each["status"] == NOT_RUN for each in rows):
        status = NOT_RUN if rows else "fail"
    taken, bad = time.perf_counter() - begun, sum(each["status"] == "fail" for each in rows)
    print(f"== {device}: {name}: {status} after {taken:.0f} s, {len(rows)} rows, {bad} of them failed", flush=True)
    if status not in ("pass", NOT_RUN):
        print(output[-2000:])
        for each in (each for each in rows if each["status"] == "fail"):
            print(f"   {each['row']}: {each['error'][:300]}")
    return {"device": device, "step": name, "status": status, "seconds": round(taken, 1), "rows": rows,
            "output": output[-8000:]}


def keep_conformance(device: str, folder: Path, stem: Path) -> list[str]:
    """The reports of the suite's runs on a device as one: a page, and the compact form that a repository keeps."""
    from flambeau_conformance import report

    parts = [report.read(path) for path in sorted(folder.glob(f"{re.sub(r'[^a-z0-9]+', '-', device)}-*.report"))]
    if not parts:
        return []
    cases = {each["id"]: each for part in parts for each in part["results"]}
    levels = sorted({level for part in parts for level in part["environment"].get("levels") or ()})
    about = {**parts[0]["environment"], "levels": levels, "quick": not levels, "command": "tests/device_check.sh"}
    whole = report.make(cases.values(), about)
    name = f"{stem.name}-conformance-{re.sub(r'[^a-z0-9]+', '-', device)}"
    report.write_compact(stem.with_name(f"{name}.json"), whole)
    report.write_html(stem.with_name(f"{name}.html"), whole)
    return [f"{name}.json", f"{name}.html"]


def check(devices: list[str], minutes: float, out: Path, only: list[str]) -> int:
    """All steps on all devices, and the report, which is written anew after each step."""
    now = datetime.datetime.now().astimezone()
    report: dict[str, Any] = {"date": now.isoformat(timespec="seconds"), "machine": platform.platform(),
                              "python": platform.python_version(), "summary": "", "simulated": [], "processors": [],
                              "steps": [], "reports": []}
    stem = out.resolve() / f"device-check-{now:%Y%m%d-%H%M%S}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        for number, device in enumerate(devices):
            until = time.monotonic() + (end - time.monotonic()) / (len(devices) - number)
            short = is_processor(device)
            report["simulated"] += [device] if is_simulated(device) else []
            report["processors"] += [device] if short else []
            for name in _steps(only, short or is_simulated(device)):
                seconds = max(5.0, (until - time.monotonic()) * SHARES[name])
                report["steps"].append(step(name, device, short, seconds, Path(folder)))
                report["summary"] = summary(report)
                write(report, stem)
            report["reports"] += keep_conformance(device, Path(folder), stem)
    write(report, stem)
    print(f"wrote {stem}.json and .html\n{report['summary']}")
    return int(any(each["status"] not in ("pass", NOT_RUN) for each in report["steps"]))


def _steps(only: list[str], short: bool) -> list[str]:
    """The steps of a device; the groups of the suite's levels are for GPUs."""
    wanted = [name for name in SHARES if not only or name in only]
    return [name for name in wanted if not short or not name.startswith("conformance, ") or name.endswith("quick")]


def summary(report: dict[str, Any]) -> str:
    """One line: what of the check went wrong, and whether it was one at all."""
    bad = [f"{each['device']} {each['step']}: {each['status']}" for each in report["steps"]
           if each["status"] not in ("pass", NOT_RUN)]
    simulated = f"{NOT_RUN}: {', '.join(report['simulated'])} is simulated" if report["simulated"] else ""
    run_on = [each for each in dict.fromkeys(each["device"] for each in report["steps"])
              if each not in report["simulated"]]
    processors = [each for each in run_on if each in report.get("processors", ())]
    good = "everything passed" if run_on else ""
    good += f" ({', '.join(processors)}: a processor, {NOT_RUN})" if processors and good else ""
    return "; ".join(filter(None, [simulated, *bad] if bad else [simulated, good]))


def write(report: dict[str, Any], stem: Path) -> None:
    """The report as data and as a page."""
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    stem.with_suffix(".html").write_text(page(report), encoding="utf-8")


def page(report: dict[str, Any]) -> str:
    """The report as HTML."""
    parts = ["<!doctype html><html lang=en><meta charset=utf-8><title>Device check</title><style>body{font:14px/1.4 "
             "sans-serif;margin:2em}td,th{text-align:left;vertical-align:top;padding:.1em .8em .1em 0;border-top:1px "
             "solid #ccc}pre{white-space:pre-wrap;margin:0}.fail{color:#b00}</style><h1>Device check</h1>",
             f"<p><b>{_text(report['summary'])}</b></p>",
             f"<p>{_text(report['machine'])}, Python {_text(report['python'])}, {_text(report['date'])}</p>"]
    parts += [f"<p>{_text(each)}</p>" for each in report["reports"]]
    for each in report["steps"]:
        parts.append(f"<h2>{_text(each['device'])}: {_text(each['step'])}</h2><p>{_text(each['status'])}, "
                     f"{each['seconds']:.0f} s</p><table>")
        if any(row.get("microseconds") for row in each["rows"]):
            parts.append("<tr><th>row<th>status<th>flambeau, &micro;s<th>pytorch<th>cupy<th>ratio to pytorch<th>ratio "
                         "to cupy<th>difference<th></tr>")
        parts += [_line(row) for row in each["rows"]]
        parts.append("</table>")
        if each["status"] not in ("pass", NOT_RUN):
            parts.append(f"<details><summary>what it printed</summary><pre>{_text(each['output'])}</pre></details>")
    return "\n".join(parts) + "</html>\n"


def _text(value: Any) -> str:
    return html.escape(str(value))


def _line(row: dict[str, Any]) -> str:
    """A row of the page: of a measurement its times, else everything that it says."""
    cells = [row["row"], row["status"]]
    rest = {name: value for name, value in row.items() if name not in ("row", "step", "status")}
    if row.get("microseconds"):
        times, ratio = rest.pop("microseconds"), rest.pop("ratio")
        cells += [f"{times[name]:.1f}" if name in times else "" for name in ("flambeau", "pytorch", "cupy")]
        cells += [f"{ratio[name]:.2f}" if name in ratio else "" for name in ("pytorch", "cupy")]
        cells += [f"{rest.pop('difference'):.1e}" if "difference" in rest else ""]
    rest = {name: value for name, value in rest.items() if value not in ({}, "") and name != "tolerance"}
    cells.append(", ".join(f"{name}: {value}" for name, value in rest.items()))
    kind = " class=fail" if row["status"] == "fail" else ""
    return f"<tr{kind}>" + "".join(f"<td><pre>{_text(cell)}</pre></td>" for cell in cells) + "</tr>"


# ------------------------------------------------------------------------------------------------- getting ready
def missing() -> list[str]:
    """The packages that Flambeau cannot do without and that are not here."""
    needed = {"numpy": "numpy", "pluggy": "pluggy", "ml_dtypes": "ml_dtypes", "pytest": "pytest"}
    return [name for module, name in needed.items() if importlib.util.find_spec(module) is None]


def register(folder: Path) -> None:
    """Where the package is not installed, write the metadata by which its devices are found, as pip would."""
    if any(each.name == "cuda" for each in metadata.entry_points(group="flambeau.backends")):
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = re.search(r'__version__ = "([^"]+)"', (ROOT / "core/flambeau/version.py").read_text(encoding="utf-8"))
    assert version is not None
    into = folder / f"{project['name']}-{version[1]}.dist-info"
    into.mkdir()
    (into / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version[1]}\n")
    groups = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in each.items())
              for group, each in project["entry-points"].items()]
    (into / "entry_points.txt").write_text("".join(groups))
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs="*", help="device strings (every GPU)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"time for everything ({MINUTES})")
    parser.add_argument("--only", action="append", default=[], choices=SHARES, help="only this step; may be repeated")
    parser.add_argument("--step", choices=SHARES, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--short", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        return run_step(arguments.step, arguments.devices[0], arguments.short, arguments.result)
    if missing():
        print(f"not installed: {', '.join(missing())}; install them, or put their wheels on PYTHONPATH (a wheel is a "
              "folder once it is unzipped; pure ones work as they are)")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        register(Path(folder))
        devices = arguments.devices or gpus()
        if not devices:
            print("no GPU is to be seen here through CUDA or OpenCL (`flambeau doctor` says more); name a device to "
                  "check it nevertheless: tests/device_check.sh opencl")
            return 2
        return check(devices, arguments.minutes, Path(os.environ.get("DEVICE_CHECK_OUT", ".")), arguments.only)


if __name__ == "__main__":
    sys.exit(main())
