"""The documentation's code runs, and what is generated for it says what the records say.

A page is a doctest, from its first example to its last, in one namespace. The recipes of CONTRIBUTING are a package:
a block whose first line names a file is that file, and the tests among the files are run as their author would run
them.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import source_tree as tree

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
MUST_HAVE_EXAMPLES = ("docs/quickstart.rst", "docs/architecture.rst", "README.md")
CONTRIBUTING = tree.ROOT / "CONTRIBUTING.md"
PAGES = [
    *sorted(path for path in (tree.ROOT / "docs").rglob("*.rst") if not path.parent.name.startswith("_")),
    tree.ROOT / "README.md",
]
FILE_BLOCK = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def page_test(path: Path) -> doctest.DocTest:
    """A page's examples; in Markdown a fence closes an example, which doctest would take for expected output."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    return doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, path.name, str(path), 0)


@pytest.mark.parametrize("name", MUST_HAVE_EXAMPLES)
def test_page_has_examples(name: str):
    assert len(page_test(tree.ROOT / name).examples) >= 3


@pytest.mark.parametrize("path", PAGES, ids=tree.relative)
def test_examples_of(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(page_test(path), out=output.append)
    assert runner.failures == 0, "".join(output)


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """The package that the recipes make, with the metadata that pip would leave beside it."""
    blocks = FILE_BLOCK.findall(CONTRIBUTING.read_text(encoding="utf-8"))
    names = [name for name, _ in blocks]
    assert len(set(names)) == len(names) > 4
    for name, text in blocks:
        (tmp_path / name).write_text(text, encoding="utf-8")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    information = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in each.items()) for group, each in groups]
    (information / "entry_points.txt").write_text("".join(lines))
    return tmp_path


@pytest.mark.parametrize("files", ["signed_square.py test_signed_square.py", "test_kernels.py", "test_slate.py"])
def test_recipes_of_contributing(files: str, recipes: Path):
    """Each recipe in an interpreter of its own: the kernel of the second must not be there in the others."""
    (recipes / "pyproject.toml").unlink()  # it would be taken for pytest's configuration
    path = os.pathsep.join([str(recipes), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--doctest-modules"]
    done = subprocess.run(
        [*command, *files.split()],
        cwd=recipes,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b[1-9]\d* passed", done.stdout) and "skipped" not in done.stdout


@pytest.mark.parametrize("marker", ["run", "test"])
def test_readme_has_the_marked_commands(marker: str):
    """Tools take the set-up commands from under their markers: a block that moves away from its marker is lost."""
    readme = (tree.ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(rf"<!-- fresh: {marker} -->\n```sh\n(.+\n)+```\n", readme)) == 1


def test_every_decision_record_is_in_the_index():
    index = (tree.ROOT / "docs" / "adr" / "index.rst").read_text(encoding="utf-8")
    records = sorted(path.stem for path in (tree.ROOT / "docs" / "adr").glob("[0-9]*.rst"))
    assert records
    assert re.findall(r"^   (\d{4}-\S+)$", index, flags=re.MULTILINE) == records


def test_reference_has_every_public_operator_once(operator_pages: ModuleType, tmp_path: Path):
    from flambeau.registry import OPERATORS

    operator_pages.write_pages(tmp_path)
    texts = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.glob("operators-*.rst")}
    found = re.findall(r"^\.\. py:\w+:: ([\w.]+)\(", "\n".join(texts.values()), flags=re.MULTILINE)
    public = {operator_pages.faces(record)[0] for record in OPERATORS.values() if operator_pages.faces(record)}
    assert sorted(found) == sorted(public)
    assert {"flambeau.add", "flambeau.nn.functional.linear", "flambeau.linalg.inv", "flambeau.Tensor.view"} <= public
    index = (tmp_path / "operators.rst").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^   (operators-\w+)$", index, flags=re.MULTILINE)) == sorted(texts)


def test_support_matrix_says_how_each_operator_runs(operator_pages: ModuleType, tmp_path: Path):
    from flambeau import discovery
    from flambeau.registry import OPERATORS, primitives

    operator_pages.write_pages(tmp_path)
    page = (tmp_path / "support.rst").read_text(encoding="utf-8")
    matrix = page.partition("\nOperators\n---------\n")[2]      # above it stand the devices that have a report
    rows = re.findall(r"^   \* - ``(\w+)``$", matrix, flags=re.MULTILINE)
    assert rows == sorted(name for name, record in OPERATORS.items() if record.family != "composite")
    host = discovery.backend_for("cpu")
    how = {name: operator_pages.support(OPERATORS[name], host) for name in rows}
    assert [name for name in primitives() if how[name] != "native"] == [], "the host owes every primitive"


def test_pages_are_written_only_when_they_change(operator_pages: ModuleType, tmp_path: Path):
    operator_pages.write_pages(tmp_path)
    (tmp_path / "operators-gone.rst").write_text("Gone\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.rst")}
    operator_pages.write_pages(tmp_path)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.rst")}
    assert {path.stem for path in before.keys() - after.keys()} == {"operators-gone"}
    assert all(before[path] == when for path, when in after.items())


WITHOUT_EXAMPLE = {
    **dict.fromkeys("view_as reshape_as expand_as".split(), "the docstring is the call that it stands for"),
    **dict.fromkeys("atleast_1d narrow_copy rrelu_".split(), "the operator named in it has one"),
    **dict.fromkeys("native_layer_norm native_group_norm native_batch_norm".split(), "what the public norms call"),
}
"""Public operators whose docstring has no example, each with the reason."""


def test_public_operators_have_examples(operator_pages: ModuleType):
    """Where a person wrote the docstring; the constructor of a family may write a sentence for each member."""
    from flambeau.registry import OPERATORS

    written = {text for path in tree.modules("core") for _, text, _ in tree.docstrings(path)}
    public = {name: record for name, record in OPERATORS.items() if operator_pages.faces(record)}
    bare = {name for name, record in public.items() if ">>>" not in record.doc and record.doc in written}
    assert sorted(bare - WITHOUT_EXAMPLE.keys()) == []
    assert sorted(WITHOUT_EXAMPLE.keys() - bare) == [], "no longer needs its exception"
    assert [name for name, record in OPERATORS.items() if not record.doc.strip()] == []
