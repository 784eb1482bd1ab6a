"""The documentation's code runs: each page is a doctest, from its first example to its last, in one namespace."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import source_tree as tree

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
MUST_HAVE_EXAMPLES = ("docs/quickstart.rst", "docs/architecture.rst", "README.md")
PAGES = sorted((tree.ROOT / "docs").rglob("*.rst")) + [tree.ROOT / "README.md", tree.ROOT / "CONTRIBUTING.md"]


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
