"""What `device_check.sh` runs: steps in processes of their own, within a budget of time, and a report of them.

A crash or a hang costs one step. A device that is a processor gets the short form: the quick level of the conformance
suite and one epoch on the digits that are part of the package.
"""

from __future__ import annotations

import argparse
import datetime
import html
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 9.5
SHARES = {"environment": 0.05, "arithmetic": 0.2, "benchmarks": 0.25, "training": 0.25, "conformance": 1.0}
"""The steps of a device, and how much of the device's remaining time each may take. What ends by itself comes first."""


# ------------------------------------------------------------------------------------------------- the steps
def environment(device: str, short: bool) -> dict[str, Any]:
    """What the device says of itself."""
    import flambeau
    from flambeau import discovery

    where = flambeau.device(device)
    found = discovery.backend_for(where.type).properties(where.index or 0)
    return {"name": found.name, "memory": found.total_memory, **found.extra, "flambeau": flambeau.__version__}


def _torch_gpu() -> Any:
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def _timed(call: Callable[[], Any], wait: Callable[[], Any], seconds: float = 0.5) -> float:
    """The best time of a call in microseconds, waited for."""
    call()
    wait()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        begun = time.perf_counter()
        call()
        wait()
        best = min(best, time.perf_counter() - begun)
    return best * 1e6


CALLS: dict[str, tuple[tuple[tuple[int, ...], ...], Callable[..., Any]]] = {
    "add 16M": (((1 << 24,), (1 << 24,)), lambda library, a, b: a + b),
    "exp 16M": (((1 << 24,),), lambda library, a: a.exp()),
    "sum 16M": (((1 << 24,),), lambda library, a: a.sum()),
    "matmul 1024": (((1024, 1024), (1024, 1024)), lambda library, a, b: a @ b),
    "bmm 32x256": (((32, 256, 256), (32, 256, 256)), lambda library, a, b: a @ b),
    "softmax 4096x1024": (((4096, 1024),), lambda library, a: library.softmax(a, 1)),
    "layer_norm 4096x1024": (((4096, 1024),), lambda library, a: library.nn.functional.layer_norm(a, (1024,))),
    "conv2d 32x64x28x28": (((32, 64, 28, 28), (64, 64, 3, 3)),
                           lambda library, a, b: library.nn.functional.conv2d(a, b, padding=1)),
    "transposed copy 4096": (((4096, 4096),), lambda library, a: a.t().contiguous()),
}


def arithmetic(device: str, short: bool) -> dict[str, Any]:
    """Values against the processor's, and times beside PyTorch's on the same GPU where it sees one."""
    import flambeau

    torch = _torch_gpu()
    rows = {}
    for name, (shapes, call) in CALLS.items():
        flambeau.manual_seed(0)
        here = [flambeau.randn(*shape) for shape in shapes]
        there = [each.to(device) for each in here]
        wanted, got = call(flambeau, *here), call(flambeau, *there).cpu()
        scale = wanted.abs().max().item()
        kind = there[0]._kind
        rows[name] = {"difference": (wanted - got).abs().max().item() / (scale or 1.0), "microseconds": _timed(
            lambda call=call, there=there: call(flambeau, *there),
            lambda kind=kind: kind.backend.synchronize(kind.index))}
        if torch is not None:
            theirs = [torch.tensor(each.numpy(), device="cuda") for each in here]
            rows[name]["pytorch_microseconds"] = _timed(
                lambda call=call, theirs=theirs: call(torch, *theirs), torch.cuda.synchronize)
    wrong = [name for name, row in rows.items() if not row["difference"] < 1e-3]
    if wrong:
        raise AssertionError(f"other values than on the processor: {', '.join(wrong)}: {rows}")
    return rows


def benchmarks(device: str, short: bool) -> dict[str, Any]:
    """The benchmarks of asv_bench for devices, without asv: the best of several calls, in microseconds."""
    sys.path.insert(0, str(ROOT / "asv_bench"))
    from benchmarks import devices

    found = {}
    for group in (each for each in vars(devices).values() if isinstance(each, type) and hasattr(each, "params")):
        names = [name for name in vars(group) if name.startswith("time_")]
        for name in names:
            one = group()
            one.setup(device)
            found[f"{group.__name__}.{name}"] = _timed(lambda one=one, name=name: getattr(one, name)(device),
                                                       lambda: None, 0.2 if short else 0.5)
            one.wait()
    return found


def training(device: str, short: bool) -> dict[str, Any]:
    """The demo's classifier: on MNIST for five epochs if it is here and the device no processor, else one on Digits."""
    from flambeau.cli import _demo_training as demo
    from flambeau.cli._demo_report import Report
    from flambeau.vision import datasets
    from flambeau.vision.download import MissingDataError

    epochs, source, pipeline = 5, datasets.MNIST, demo._pipeline(0.1307, 0.3081)
    try:
        images = demo.Images("MNIST", *(source("data", train, pipeline) for train in (True, False)))
    except (MissingDataError, OSError):
        short = True
    if short:
        epochs, pipeline = 5, demo._pipeline(0.3054, 0.3753)
        images = demo.Images("Digits", *(datasets.Digits("data", train, pipeline) for train in (True, False)))
    run, stop, report = demo.Run(demo.Settings(device=device, epochs=epochs), images), demo.Stop(), Report(epochs)
    begun = time.perf_counter()
    for epoch in range(epochs):
        with report.epoch(epoch, 0, len(run.loader)):
            run.train_epoch(report, stop)
        run.end_epoch()
    seconds, accuracy = time.perf_counter() - begun, run.accuracy()
    if accuracy < (0.975 if images.name == "MNIST" else 0.8):
        raise AssertionError(f"{images.name}: accuracy {accuracy} after {epochs} epochs")
    return {"images": images.name, "epochs": epochs, "accuracy": accuracy, "steps": len(run.losses),
            "milliseconds per step": seconds / len(run.losses) * 1e3}


def conformance(device: str, short: bool) -> dict[str, Any]:
    """The conformance suite; its quick level for a processor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conformance.json"
        command = [sys.executable, "-m", "flambeau", "conformance", "--device", device, "--json", str(path)]
        code = subprocess.run([*command, *(["--quick"] if short else [])], check=False,
                              stdin=subprocess.DEVNULL).returncode
        result = json.loads(path.read_text()) if path.is_file() else {}
    summary = {key: value for key, value in result.items() if not isinstance(value, list)}
    summary["unexpected"] = [(each["id"], str(each.get("message", ""))[:300]) for each in result.get("results", [])
                             if each.get("status") in ("fail", "error")][:200]
    if code:
        raise AssertionError(f"the suite ended with status {code}: {json.dumps(summary)[:2000]}")
    return summary


STEPS: dict[str, Callable[[str, bool], dict[str, Any]]] = {
    "environment": environment, "arithmetic": arithmetic, "benchmarks": benchmarks, "training": training,
    "conformance": conformance}


# ------------------------------------------------------------------------------------------------- running them
def gpus() -> list[str]:
    """The device strings of this machine's GPUs."""
    from flambeau import discovery

    found = []
    for name in ("cuda", "opencl"):
        if discovery.is_available(name):
            backend = discovery.backend_for(name)
            kinds = [backend.properties(index).extra.get("type", "gpu") for index in range(backend.device_count())]
            found += [f"{name}:{index}" for index, kind in enumerate(kinds) if kind != "cpu"]
    return found


def is_processor(device: str) -> bool:
    """Whether a device is the machine's processor, under whatever name."""
    import flambeau
    from flambeau import discovery

    where = flambeau.device(device)
    backend = discovery.backend_for(where.type)
    return backend.capabilities.host or backend.properties(where.index or 0).extra.get("type") == "cpu"


def step(name: str, device: str, short: bool, seconds: float) -> dict[str, Any]:
    """Run one step in a process of its own."""
    print(f"== {device}: {name} (at most {seconds:.0f} s)", flush=True)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, __file__, "--step", name, "--result", str(path), *(["--short"] if short else []),
                   device]
        log = Path(folder) / "output.txt"
        with log.open("w") as file:   # a session of its own, so that what it has started ends with it
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                                       start_new_session=True)
            try:
                status = "passed" if process.wait(seconds) == 0 else "failed"
            except subprocess.TimeoutExpired:
                status = "out of time"
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output = log.read_text(errors="replace")
        result = json.loads(path.read_text()) if path.is_file() else None
    taken = time.perf_counter() - begun
    print(f"== {device}: {name}: {status} after {taken:.0f} s", flush=True)
    if status != "passed":
        print(output[-2000:])
    return {"device": device, "step": name, "status": status, "seconds": taken, "result": result,
            "output": output[-8000:]}


def page(report: dict[str, Any]) -> str:
    """The report as HTML."""
    rows = []
    for each in report["steps"]:
        cells = [each["device"], each["step"], each["status"], f"{each['seconds']:.0f} s",
                 json.dumps(each["result"], indent=1) if each["result"] else each["output"][-3000:]]
        rows.append("<tr>" + "".join(f"<td><pre>{html.escape(str(cell))}</pre></td>" for cell in cells) + "</tr>")
    about = html.escape(f"{report['machine']}, {report['python']}, {report['date']}")
    return ("<!doctype html><meta charset=utf-8><title>Device check</title><style>td{vertical-align:top;border-top:"
            f"1px solid #ccc}}</style><h1>Device check</h1><p>{about}</p><table>{''.join(rows)}</table>\n")


def check(devices: list[str], minutes: float, out: Path) -> int:
    """All steps on all devices, and the report."""
    report: dict[str, Any] = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "machine": platform.platform(),
        "python": platform.python_version(), "steps": []}
    end = time.monotonic() + minutes * 60
    for number, device in enumerate(devices):
        until = time.monotonic() + (end - time.monotonic()) / (len(devices) - number)
        short = is_processor(device)
        for name, share in SHARES.items():
            report["steps"].append(step(name, device, short, max(10.0, (until - time.monotonic()) * share)))
    stem = out / f"device-check-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    out.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1))
    stem.with_suffix(".html").write_text(page(report))
    bad = [f"{each['device']} {each['step']}: {each['status']}" for each in report["steps"]
           if each["status"] != "passed"]
    print(f"wrote {stem}.json and .html; " + ("; ".join(bad) or "everything passed"))
    return bool(bad)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs="*", help="device strings (every GPU)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"time for everything ({MINUTES})")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--short", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        result = STEPS[arguments.step](arguments.devices[0], arguments.short)
        arguments.result.write_text(json.dumps(result, default=str))
        return 0
    devices = arguments.devices or gpus()
    if not devices:
        print("no GPU is to be seen here through CUDA or OpenCL (`flambeau doctor` says more); name a device to check "
              "it nevertheless: tests/device_check.sh opencl")
        return 2
    return check(devices, arguments.minutes, Path(os.environ.get("DEVICE_CHECK_OUT", ".")))


if __name__ == "__main__":
    sys.exit(main())
