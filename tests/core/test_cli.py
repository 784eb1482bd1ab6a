"""The command line: what it prints, what it refuses, and a training run that goes on as if never stopped."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import cli
from flambeau.cli import _demo_report, _demo_tasks, _demo_text, _demo_training
from flambeau.vision import datasets

COMMAND = [sys.executable, "-m", "flambeau"]
LAST_LINE = re.compile(r"^test accuracy (0|1)\.\d{4}$")


@pytest.fixture(autouse=True)
def _small_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """No MNIST on disk and none to download: the demo takes the set inside the package. Files go to `tmp_path`."""
    if "mnist_folder" not in request.fixturenames:
        monkeypatch.delenv("FLAMBEAU_DATA", raising=False)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [])
    monkeypatch.chdir(tmp_path)


def losses(out: str) -> Any:
    return flambeau.load(Path(out) / "checkpoint.pth")["losses"].tolist()


# ------------------------------------------------------------------------------------------------- the frame


def test_version_and_help(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"flambeau {flambeau.__version__}\n"
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    for name in ("demo", "devices", "doctor", "primitives", "new-backend", "examples:"):
        assert name in text


@pytest.mark.parametrize("command", ["demo", "devices", "doctor", "primitives", "new-backend"])
def test_every_command_teaches_by_examples(command: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert f"flambeau {command}" in capsys.readouterr().out.split("examples:")[1]


def test_a_module_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (tmp_path / "hello_there.py").write_text(
        "def add_parser(subparsers):\n    return subparsers.add_parser('hello-there')\n"
        "def main(arguments):\n    print('hello')\n    return 7\n"
    )
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    assert cli.main(["hello-there"]) == 7
    assert capsys.readouterr().out == "hello\n"


def test_an_unknown_command_is_one_line(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["dance"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--help" in error


def test_devices_and_doctor(capsys: Any) -> None:
    assert cli.main(["devices"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^cpu +ready ", text, re.MULTILINE)
    assert re.search(r"^simulated, .*: reference, ", text, re.MULTILINE) and "reference:0" not in text
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert flambeau.__version__ in text
    assert re.search(r"^cpu +1 device ", text, re.MULTILINE)


def test_a_disabled_plugin_is_explained(capsys: Any) -> None:
    from flambeau import discovery
    from flambeau.backend import Backend

    class Broken(Backend):
        name = "brokendevice"
        api_versions = (-1,)

    discovery.register_backend(Broken)
    try:
        for command in ("devices", "doctor"):
            assert cli.main([command]) == 0
            text = capsys.readouterr().out
            assert re.search(r"^brokendevice +(missing|disabled)", text, re.MULTILINE)
            assert "version -1" in text
    finally:
        discovery.unregister_backend("brokendevice")


def test_run_as_a_module() -> None:
    done = subprocess.run([*COMMAND, "devices"], capture_output=True, text=True, check=True)
    assert "cpu" in done.stdout
    assert done.stderr == ""


# -------------------------------------------------------------------------------------------------- primitives


def test_primitives_are_those_of_the_table(capsys: Any) -> None:
    from flambeau.registry import OPERATORS, primitives

    assert cli.main(["primitives"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [re.match(r"^  (\w+)\(.*\)", line) for line in lines]
    assert sorted(each[1] for each in shown if each) == primitives()
    assert lines[-1] == f"{len(primitives())} primitives"
    assert "  full(size, fill_value, dtype, index)" in lines
    assert "  cummax(input, dim) -> values, indices" in lines
    assert "  add(input, other, out=None)" in lines
    groups = {line for line in lines[:-1] if line and not line.startswith(" ")}
    assert groups == {OPERATORS[name].module.rpartition(".")[2].replace("_", " ") for name in primitives()}


def test_primitives_of_a_device(capsys: Any) -> None:
    from flambeau import discovery
    from flambeau_numpy.backend import NumpyBackend

    class Half(NumpyBackend):
        name = "halfdevice"

        def __init__(self) -> None:
            super().__init__()
            self.kernels = {name: self.kernels[name] for name in ("add", "full")}

    discovery.register_backend(Half)
    try:
        assert cli.main(["primitives", "--device", "halfdevice", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        rows = {row["name"]: row for row in found["primitives"]}
        assert found["count"] == len(rows) and found["device"] == "halfdevice"
        here = {name: row["here"] for name, row in rows.items()}
        assert here["add"] == here["full"] == "kernel" and here["exp"] == "fallback" and here["arange"] == "refused"
        assert rows["add"]["signature"] == "add(input, other, out=None)" and rows["sort"]["group"] == "sorting"
        assert cli.main(["primitives", "--device", "halfdevice:0"]) == 0
        text = capsys.readouterr().out
        assert "  kernel    add(input, other, out=None)" in text and "has a kernel for 2; " in text
    finally:
        discovery.unregister_backend("halfdevice")
    assert cli.main(["primitives", "--device", "nosuchdevice"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# -------------------------------------------------------------------------------------------------- plugins' commands


COMMANDS = {
    "greet": "def add_parser(subparsers):\n    return subparsers.add_parser('greet')\n"
    "def main(arguments):\n    print('good day')\n    return 5\n",
    "absent": "import a_library_that_is_not_there\n",
    "exits": "import sys\nsys.exit(3)\n",
    "partial": "def add_parser(subparsers):\n    return subparsers.add_parser('partial')\n",
    "sleeps": "import time\ntime.sleep(1000)\n",
    "doctor": "raise AssertionError('the name is taken')\n",
}
"""Subcommands of plugins by name: the text of their module, of which all but one are no good."""


@pytest.fixture
def with_commands(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which a distribution offers these commands."""
    package = tmp_path / "more_commands"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('nobody asked')\n")
    for name, text in COMMANDS.items():
        (package / f"{name}.py").write_text(f'"""`flambeau {name}`: what {name} is, 100%.\n\nMore."""\n{text}')
    (tmp_path / "greet.py").write_text((package / "greet.py").read_text())
    information = tmp_path / "more_commands-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: more-commands\nVersion: 1.0\n")
    lines = [f"{name} = more_commands.{name}\n" for name in COMMANDS if name != "greet"]
    (information / "entry_points.txt").write_text("[flambeau.commands]\ngreet = greet\n" + "".join(lines))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}


def ask(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, env=env, timeout=60)


def test_commands_of_plugins(with_commands: dict[str, str]) -> None:
    """One that is asked for runs; the help names all without importing any; a name of ours stays ours."""
    done = ask(with_commands, "greet")
    assert (done.returncode, done.stdout, done.stderr) == (5, "good day\n", "")
    text = ask(with_commands, "--help").stdout
    for name in COMMANDS:
        assert re.search(rf"^    {name} ", text, re.MULTILINE)
        assert f"what {name} is, 100%" in text or name == "doctor"
    done = ask(with_commands, "doctor")
    assert done.returncode == 0
    assert re.search(r"^sleeps +found +more-commands 1.0$", done.stdout, re.MULTILINE)


def test_broken_commands_of_plugins(with_commands: dict[str, str], tmp_path: Path) -> None:
    """Each is one line on standard error, with the reason, and disturbs no other command."""
    done = ask(with_commands, "partial")
    assert done.returncode == 2 and "RuntimeError: nobody asked" in done.stderr
    (tmp_path / "more_commands" / "__init__.py").write_text("")
    for name, words in (
        ("absent", "more-commands 1.0, which provides it, cannot be imported: ModuleNotFoundError"),
        ("exits", "sys.exit(3)"),
        ("partial", "has no function main()"),
    ):
        done = ask(with_commands, name, "--an-option", "of-its-own")
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"python -m flambeau {name}: error: ") and words in done.stderr
    assert ask(with_commands, "greet").returncode == 5


def test_output_that_nobody_reads() -> None:
    """`flambeau primitives | head -1` ends without a word."""
    with subprocess.Popen([*COMMAND, "primitives"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


# -------------------------------------------------------------------------------------------------- the demo


@pytest.mark.parametrize(
    "options, text",
    [
        (["--model", "vgg"], "--model must be one of mlp, resnet18, transformer"),
        (["--precision", "float16"], "--precision must be one of float32, bfloat16"),
        (["--epochs", "-1"], "--epochs must be at least 1"),
        (["--epochs", "many"], "invalid int value"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--lr", "nan"], "--lr must be a positive number"),
        (["--seed", "-3"], "--seed must be at least 0"),
        (["--device", "nosuchdevice"], "nosuchdevice"),
        (["--device", "cpu:x"], "cpu:x"),
        (["--out", "a_file/below"], "cannot write there"),
        (["--resume"], "there is no"),
        (["--resume", "--out", "strange"], "not a checkpoint of this demo"),
    ],
)
def test_bad_input_is_one_line_and_status_2(options: list[str], text: str, capsys: Any) -> None:
    Path("a_file").write_text("")
    Path("strange").mkdir()
    Path("strange/checkpoint.pth").write_text("strange")
    try:
        status = cli.main(["demo", *options])
    except SystemExit as stop:
        status = int(str(stop.code))
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert text in printed.err
    assert not Path("runs/demo/checkpoint.pth").exists()


def test_a_damaged_file_is_one_line_and_status_2(capsys: Any) -> None:
    Path("data").mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        Path("data", name).write_bytes(b"damaged")
    assert cli.main(["demo"]) == 2
    assert "not an IDX file" in capsys.readouterr().err


def test_demo_trains_and_writes(capsys: Any) -> None:
    assert cli.main(["demo", "--epochs", "8", "--batch-size", "32", "--out", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("small Digits set" in line for line in lines)
    assert sum(line.startswith("epoch ") for line in lines) == 8
    assert not any("\r" in line or "\033" in line for line in lines)
    assert LAST_LINE.match(lines[-1])
    assert float(lines[-1].split()[-1]) > 0.85
    assert Path("out/checkpoint.pth").exists()


def test_the_curve_is_a_picture_or_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="draws the picture")
    values = [2.0, 1.0, 0.5, 0.25]
    _demo_report.write_curve(values, 2, tmp_path)
    assert (tmp_path / "loss-curve.png").read_bytes().startswith(b"\x89PNG")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    assert "flambeau[demo]" in _demo_report.write_curve(values, 2, tmp_path)
    with (tmp_path / "losses.csv").open() as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == values


@pytest.mark.parametrize("rich", [True, False])
def test_progress_on_a_terminal(rich: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    if rich:
        pytest.importorskip("rich", reason="draws the bar")
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("TERM", "xterm")
    else:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    report = _demo_report.Report(3)
    report._terminal = True
    with report.epoch(0, 0, 2):
        report.step(1, 64, 0.5)
        report.step(2, 64, 0.25)
    printed = capsys.readouterr().out
    assert "epoch 1/3" in printed
    if not rich:
        assert "2/2  loss 0.2500" in printed


class StopAfter(_demo_report.Report):
    """Presses Ctrl-C after so many steps."""

    def __init__(self, epochs: int, stop: _demo_training.Stop, steps: int) -> None:
        super().__init__(epochs)
        self.stop, self.left = stop, steps

    def step(self, batch: int, samples: int, loss: float) -> None:
        self.left -= 1
        self.stop.asked = self.left <= 0


@pytest.mark.parametrize("steps", [1, 45, 46, 60])
def test_going_on_gives_the_losses_of_an_unbroken_run(steps: int, capsys: Any) -> None:
    options = ["--epochs", "2", "--batch-size", "32"]
    assert cli.main(["demo", *options, "--out", "whole"]) == 0
    settings = _demo_training.Settings(epochs=2, batch_size=32)
    stop = _demo_training.Stop()
    report = StopAfter(2, stop, steps)
    training = _demo_training.Run(settings, _demo_tasks.load("mlp", Path("data"), report.say))
    Path("parts").mkdir()
    assert not _demo_training._train(training, report, stop, Path("parts"))
    flambeau.save(training.state(), Path("parts/checkpoint.pth"))
    assert len(losses("parts")) == steps
    assert cli.main(["demo", "--resume", "--out", "parts"]) == 0  # the rest of the options is in the checkpoint
    assert losses("parts") == losses("whole")
    first, second = (flambeau.load(f"{out}/checkpoint.pth") for out in ("whole", "parts"))
    assert first["scores"] == second["scores"]
    for name, value in first["model"].items():
        assert flambeau.equal(value, second["model"][name])


@pytest.mark.parametrize("model, options", [
    ("resnet18", ["--batch-size", "256"]), ("transformer", ["--batch-size", "256"]),
    ("mlp", ["--precision", "bfloat16"])])
def test_every_model_trains_and_leaves_a_curve_and_a_checkpoint(model: str, options: list[str], capsys: Any,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_demo_text, "_MIRRORS", [])
    Path("scenes").mkdir()
    with gzip.open(_demo_text._ASSET, "rt", encoding="utf-8") as file:
        Path("scenes/input.txt").write_text(file.read()[:20_000])
    assert cli.main(["demo", "--model", model, "--epochs", "1", "--data", "scenes", *options]) == 0
    printed = capsys.readouterr().out
    out = Path("runs/demo" if model == "mlp" else f"runs/demo-{model}")
    assert f"checkpoint: {out}/checkpoint.pth" in printed and f"loss curve: {out}/loss" in printed
    found = losses(str(out))
    assert found[-1] < found[0]
    if model == "transformer":
        assert "what it writes:" in printed
        assert re.match(r"^test loss \d\.\d{4}$", printed.splitlines()[-1])
    else:
        assert LAST_LINE.match(printed.splitlines()[-1])
    assert cli.main(["demo", "--model", model, "--resume", "--data", "scenes"]) == 0  # done: says so once more
    assert capsys.readouterr().out.splitlines()[-1] == printed.splitlines()[-1]


@pytest.mark.parametrize("content, text", [(b"\xff\xfe", "is not a text in UTF-8"), (b"too short", "has 9 letters")])
def test_a_text_that_cannot_be_used_is_one_line(content: bytes, text: str, capsys: Any) -> None:
    Path("data").mkdir()
    Path("data/input.txt").write_bytes(content)
    assert cli.main(["demo", "--model", "transformer"]) == 2
    printed = capsys.readouterr()
    assert text in printed.err and printed.err.count("\n") == 1


def test_without_the_text_it_learns_from_the_scenes_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_demo_text, "_MIRRORS", [])
    said: list[str] = []
    task = _demo_tasks.load("transformer", Path("data"), said.append)
    assert task.name == "Coriolanus" and "90,018 letters to train on" in task.describe()
    assert "scenes that come with this package" in said[-1]


def test_a_finished_run_goes_on_for_more_epochs(capsys: Any) -> None:
    assert cli.main(["demo", "--epochs", "2", "--out", "more"]) == 0
    assert cli.main(["demo", "--epochs", "1", "--out", "less"]) == 0
    assert cli.main(["demo", "--resume", "--epochs", "2", "--out", "less"]) == 0
    assert losses("less") == losses("more")
    capsys.readouterr()
    assert cli.main(["demo", "--resume", "--out", "less"]) == 0
    assert LAST_LINE.match(capsys.readouterr().out.splitlines()[-1])
    assert cli.main(["demo", "--resume", "--seed", "9", "--out", "less"]) == 2
    assert "--seed 9 differs from 0" in capsys.readouterr().err


def test_ctrl_c_saves_and_says_how_to_go_on(mnist_like: Path) -> None:
    command = [*COMMAND, "demo", "--epochs", "400", "--data", str(mnist_like), "--out", "stopped"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("epoch 2/"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == ""
    line = output.splitlines()[-1]
    assert line.startswith("Go on with: python -m flambeau demo --resume ")
    again = line.removeprefix("Go on with: python -m flambeau ").replace("--epochs=400", "--epochs=1").split()
    done = subprocess.run([*COMMAND, *again], capture_output=True, text=True, check=True)
    assert LAST_LINE.match(done.stdout.splitlines()[-1])


@pytest.fixture
def mnist_like(tmp_path: Path) -> Path:
    """A folder with a small data set in MNIST's format, made of the digits in the package."""
    folder = tmp_path / "mnist_like"
    folder.mkdir()
    for prefix, train in (("train", True), ("t10k", False)):
        digits = datasets.Digits(train=train)
        count = len(digits)
        canvas = flambeau.zeros(count, 28, 28, dtype=flambeau.uint8)
        canvas[:, 10:18, 10:18] = digits.data
        header = b"".join(number.to_bytes(4, "big") for number in (2051, count, 28, 28))
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + canvas.numpy().tobytes())
        header = b"".join(number.to_bytes(4, "big") for number in (2049, count))
        labels = digits.targets.to(flambeau.uint8).numpy().tobytes()
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels)
    return folder


@pytest.mark.slow
def test_demo_reaches_the_accuracy_that_it_promises(mnist_folder: Path, capsys: Any) -> None:
    assert cli.main(["demo", "--data", str(mnist_folder), "--out", "full"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert LAST_LINE.match(line)
    assert float(line.split()[-1]) >= 0.975


def test_the_demo_needs_no_environment() -> None:
    """The parser and every module of the command load without the extras being imported."""
    code = (
        "import sys, flambeau.cli; flambeau.cli.build_parser(); "
        "print(sorted({'rich', 'matplotlib', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"
