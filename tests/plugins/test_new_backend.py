"""A third party's beginning: the generated package, and the page that leads from it to a passing suite.

The package is installed by pip, editable, into an environment of its own that sees the packages of this one. The page's
commands run there in their order, and its blocks with a file's name as caption are appended to that file: what stands
on the page works as it stands.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

import source_tree as tree
from flambeau import cli
from flambeau.registry import OPERATORS, primitives
from flambeau_template import command

PAGE = tree.ROOT / "docs" / "writing-a-backend.rst"
BLOCK = re.compile(
    r"^\.\. code-block:: (sh|python|toml)\n(?:   :caption: (\S+)\n)?\n((?:    .*\n|\n)+)", flags=re.MULTILINE
)
LONGEST_CLASS = 150


def blocks() -> list[tuple[str, str, str]]:
    """The page's code blocks: language, the file they belong to, text."""
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    return [(language, file, re.sub(r"^ {4}", "", text, flags=re.MULTILINE)) for language, file, text in found]


# ------------------------------------------------------------------------------------------- what is written


def test_files_are_written_under_the_new_name(tmp_path: Path):
    written = command.write("my_lamp2", tmp_path / "lamp", 'Ada "Countess" Lovelace')
    assert sorted(path for path in written) == sorted(
        path.relative_to(tmp_path / "lamp") for path in (tmp_path / "lamp").rglob("*") if path.is_file()
    )
    names = {path.as_posix() for path in written}
    assert {"pyproject.toml", ".github/workflows/ci.yml", "src/flambeau_my_lamp2/backend.py"} <= names
    texts = "".join((tmp_path / "lamp" / path).read_text(encoding="utf-8") for path in written)
    assert not re.search("new_?device|Your Name", texts, re.IGNORECASE)
    project = tomllib.loads((tmp_path / "lamp" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "flambeau-my-lamp2" and project["authors"] == [{"name": 'Ada "Countess" Lovelace'}]
    assert project["entry-points"]["flambeau.backends"] == {"my_lamp2": "flambeau_my_lamp2:MyLamp2Backend"}
    assert [path.name for path in tmp_path.iterdir()] == ["lamp"], "nothing is left beside it"


def test_class_is_short():
    path = command.PROJECT / "src" / "flambeau_newdevice" / "backend.py"
    (found,) = (node for node in tree.parse(path).body if isinstance(node, ast.ClassDef))
    assert found.end_lineno is not None and found.end_lineno - found.lineno + 1 < LONGEST_CLASS


def test_expectations_name_the_kernels_and_nothing_else():
    """And the kernels are those without which nothing runs, and a few more; each is a primitive."""
    path = command.PROJECT / "src" / "flambeau_newdevice" / "kernels.py"
    (table,) = (node.value for node in tree.parse(path).body if isinstance(node, ast.AnnAssign))
    assert isinstance(table, ast.Dict)
    kernels = {ast.literal_eval(key) for key in table.keys if key is not None}
    first, second, *rest = tomllib.loads(path.with_name("conformance.toml").read_text(encoding="utf-8"))["expect"]
    assert (first["cases"], first["outcome"]) == ("primitives/*/*", "fallback")
    assert (second["cases"], second["outcome"]) == ("transfers/devices/kernels", "xfail")
    assert {each["cases"] for each in rest} == {f"primitives/{name}/*" for name in kernels}
    assert {each["outcome"] for each in rest} == {"pass"}
    assert 12 <= len(kernels) <= 16 and kernels <= set(primitives())
    assert {name for name in primitives() if OPERATORS[name].no_fallback} <= kernels


@pytest.mark.parametrize(
    "name, words",
    [
        ("cpu", "is taken; taken are cpu"),
        ("Lamp", "small letters"),
        ("lamp:0", "small letters"),
        ("2lamps", "small letters"),
        ("lamp-1", "small letters"),
        ("class", "small letters"),
        ("", "small letters"),
        ("optim", "is installed already"),
        ("numpy", "is installed already"),
    ],
)
def test_a_name_that_cannot_be(name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    with pytest.raises(ValueError, match=words):
        command.check_name(name)


def test_the_command_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert cli.main(["new-backend", "cpu", str(tmp_path / "new")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and "taken are cpu" in printed.err


def test_folders_that_are_not_empty(tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    for folder in ("full", "full/mine", "full/mine/below"):
        assert cli.main(["new-backend", "lamp", str(tmp_path / folder)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine"]
    (tmp_path / "empty").mkdir()
    assert cli.main(["new-backend", "lamp", str(tmp_path / "empty")]) == 0
    assert (tmp_path / "empty" / "pyproject.toml").is_file()
    assert "pip install" in capsys.readouterr().out


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*arguments: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "_write", full)
    with pytest.raises(ValueError, match="No space left"):
        command.write("lamp", tmp_path / "lamp")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- the page, as a new user


class Environment:
    """A virtual environment with this one's packages, in which `pip install` takes what is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        site = next((folder / "venv").glob("lib/python*/site-packages"))
        here = sysconfig.get_path("purelib")
        (site / "parent.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        bin_ = folder / "bin"
        bin_.mkdir()
        for name, module in (("python", ""), ("flambeau", "-m flambeau"), ("pytest", "-m pytest")):
            self._script(bin_ / name, f'exec "{self.python}" {module} "$@"')
        offline = "--no-deps --no-build-isolation --no-index --disable-pip-version-check --quiet"
        self._script(bin_ / "pip", f'exec "{sys.executable}" -m pip --python "{self.python}" "$@" {offline}')

    @staticmethod
    def _script(path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def run(self, commands: str) -> str:
        """What a shell prints that goes through these commands, stopping where one fails."""
        done = subprocess.run(
            ["sh", "-e", "-c", commands],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    pytest.importorskip("setuptools", reason="builds the package, offline")
    pytest.importorskip("pip", reason="installs it")
    if os.name != "posix":
        pytest.skip("the page's commands are a POSIX shell's")
    return Environment(tmp_path_factory.mktemp("new_backend"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_page_leads_to_a_passing_suite(environment: Environment):
    """Every command of the page, in its order; before each, the blocks above it are in their files."""
    folder = environment.folder / "flambeau-lantern"
    outputs: list[str] = []
    for language, file, text in blocks():
        if language == "sh":
            enter = "" if not outputs else f"cd {folder}\n"
            outputs.append(environment.run(enter + text))
        elif file:
            assert (folder / file).is_file(), file
            with (folder / file).open("a", encoding="utf-8") as target:
                target.write("\n" + text)
    everything = "\n".join(outputs)
    assert "tensor(6., device='lantern:0')" in everything
    assert re.search(r"\d+ primitives; lantern has a kernel for 15; \d+ run on the host", everything)
    assert len(outputs) >= 6
    assert {"report.json", "report.html"} <= {path.name for path in folder.iterdir()}


@pytest.mark.timeout(600)
def test_readme_of_the_package_is_true(environment: Environment):
    command.write("lamp", environment.folder / "flambeau-lamp")
    readme = (environment.folder / "flambeau-lamp" / "README.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    quick = commands.replace("conformance --device lamp", "conformance --device lamp --level primitives")
    printed = environment.run("cd flambeau-lamp\n" + quick)
    assert re.search(r"^lamp +1 device +flambeau-lamp 0.1.0$", printed, flags=re.MULTILINE)


@pytest.mark.timeout(600)
def test_lines_of_the_projects_readme(environment: Environment, tmp_path: Path):
    text = (tree.ROOT / "README.md").read_text(encoding="utf-8")
    commands = text.partition("### Your hardware")[2].partition("```sh\n")[2].partition("```")[0]
    assert commands.startswith("flambeau new-backend") and commands.count("\n") == 3
    printed = Environment(tmp_path).run(commands)      # not `environment`, where another test has taken the name
    assert re.search(r"\d+ passed", printed)
