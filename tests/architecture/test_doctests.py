"""Every example in a docstring runs and prints what it says it prints.

Docstrings are taken from the sources, not from the imported objects: an operator's decorator may replace the function
that carries it, and `doctest`'s own finder would then silently find nothing.
"""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import source_tree as tree
from flambeau import hub

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def examples(path: Path, names: dict | None = None) -> list[doctest.DocTest]:
    """The examples of one file, one test for each docstring that has any; each has its own copy of `names`."""
    parser = doctest.DocTestParser()
    found = []
    for name, text, line in tree.docstrings(path):
        test = parser.get_doctest(text, dict(names or {}), name or "module", str(path), line - 1)
        if test.examples:
            found.append(test)
    return found


MODULES_WITH_EXAMPLES = [path for path in tree.modules(*tree.SOURCE_ROOTS) if examples(path)]


def test_there_are_examples():
    assert len(MODULES_WITH_EXAMPLES) > 5


@pytest.mark.parametrize("path", MODULES_WITH_EXAMPLES, ids=tree.relative)
def test_examples_of(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub._files, "_folder", None)  # an example chooses one; later tests must not find it
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    module = importlib.import_module(tree.module_name(path))
    for test in examples(path, vars(module)):  # an example sees its module's names, as doctest has it
        runner.run(test, out=output.append)
    assert runner.failures == 0, "".join(output)
