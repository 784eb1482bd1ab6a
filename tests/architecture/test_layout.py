"""The shape of the house: short files, short functions, no backend in core, nothing heavy at import.

Import layers are import-linter's (pyproject.toml); what stands here is what it cannot see.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import source_tree as tree

LONGEST_FILE = 600
LONGEST_FUNCTION = 40

LONG_FILES: dict[str, str] = {}
"""Files that may be longer, each with its reason."""

LONG_FUNCTIONS: dict[str, str] = {}
"""Functions ("path:name") that may be longer, each with its reason."""

DEVICE_NAME_TESTS: dict[str, str] = {
    "core/flambeau/tensor.py:Tensor.is_cuda": "PyTorch's property asks for this very name",
    "core/flambeau/tensor.py:Tensor.is_mps": "PyTorch's property asks for this very name",
    "core/flambeau/tensor.py:Tensor.is_xpu": "PyTorch's property asks for this very name",
    "core/flambeau/printing.py:_suffixes": "PyTorch's repr leaves out this very name",
    "core/flambeau/ops/legacy.py:type_name": "PyTorch's type strings leave out this very name",
}
"""Comparisons with a device's name ("path:function") that are right, each with its reason."""

ALLOWED_IN_CORE = frozenset({"flambeau", "pluggy"})
OPTIONAL_IN_CORE = frozenset({"rich", "matplotlib", "PIL", "platformdirs", "opt_einsum", "tensorboard", "google"})
"""What core may use inside the function that needs it, never at import; none of it computes on arrays."""

HEAVY = frozenset(
    {"torch", "cupy", "pyopencl", "numba", "scipy", "rich", "matplotlib", "PIL", "pytest", "hypothesis",
     "tensorboard", "google"}
    | {
        "multiprocessing",
        "asyncio",
        "concurrent.futures",
        "urllib.request",
        "http.client",
        "unittest",
        "sqlite3",
        "xml",
    }
)
"""What `import flambeau` must not load: array libraries other than NumPy, and what only some programs need."""

CORE_MODULES = tree.modules("core")
ALL_MODULES = tree.modules(*tree.SOURCE_ROOTS)


def pyproject() -> dict:
    return tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def device_names() -> frozenset[str]:
    """The names that no condition in core may mention: our own backends', and those that other projects use."""
    registered = pyproject()["project"]["entry-points"]["flambeau.backends"]
    modules = {value.partition(":")[0] for value in registered.values()}
    return frozenset(registered) | modules | {"numpy", "cupy", "pyopencl", "opencl", "cuda", "mps", "xpu", "reference"}


def test_there_are_sources_to_check():
    assert len(CORE_MODULES) > 10
    assert len(ALL_MODULES) > len(CORE_MODULES)


def test_files_are_short():
    lengths = {tree.relative(path): path.read_text(encoding="utf-8").count("\n") for path in ALL_MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE and name not in LONG_FILES} == {}
    assert [name for name in LONG_FILES if lengths.get(name, 0) <= LONGEST_FILE] == [], "no longer needs its exception"


def test_functions_are_short():
    lengths = {
        f"{tree.relative(path)}:{name}": tree.body_length(function)
        for path in ALL_MODULES
        for name, function in tree.functions(path)
    }
    too_long = {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION}
    assert {name: lines for name, lines in too_long.items() if name not in LONG_FUNCTIONS} == {}
    assert [name for name in LONG_FUNCTIONS if name not in too_long] == [], "no longer needs its exception"


@pytest.mark.parametrize("path", ALL_MODULES, ids=tree.relative)
def test_module_says_what_it_is_for(path: Path):
    assert ast.get_docstring(tree.parse(path)), "a module docstring says what the module is for and why it is so"


@pytest.mark.parametrize("path", CORE_MODULES, ids=tree.relative)
def test_core_imports_no_array_library(path: Path):
    """Core sees arrays through a backend only: the standard library, pluggy, and extras inside a function."""
    refused = []
    for module, line, at_import in tree.imports(path):
        package = module.partition(".")[0]
        allowed = package in sys.stdlib_module_names or package in ALLOWED_IN_CORE
        if not allowed and (at_import or package not in OPTIONAL_IN_CORE):
            refused.append(f"line {line}: {module}")
    assert refused == []


def conditions_on(path: Path, names: frozenset[str]) -> Iterator[tuple[str, int, str]]:
    """Comparisons, `match` cases and prefix tests with one of these strings: function, line, the string."""

    def strings(node: ast.AST) -> Iterator[str]:
        for each in ast.walk(node):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                yield each.value

    def visit(node: ast.AST, where: str) -> Iterator[tuple[str, int, str]]:
        if isinstance(node, ast.ClassDef | tree.Function):
            where = f"{where}.{node.name}".lstrip(".")
        tested: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            tested = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            tested = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
            tested = list(node.args)
        for each in tested:
            for value in strings(each):
                if value.partition(":")[0] in names:
                    yield where, node.lineno, value
        for child in ast.iter_child_nodes(node):
            yield from visit(child, where)

    yield from visit(tree.parse(path), "")


def test_condition_finder_finds_conditions(tmp_path: Path):
    """The rule below is only as good as its finder."""
    path = tmp_path / "sample.py"
    path.write_text(
        "def f(d):\n"
        "    if d.type == 'cuda' or d in ('opencl', 'cpu'): pass\n"
        "    if str(d).startswith('cuda:'): pass\n"
        "    match d:\n"
        "        case 'opencl': pass\n"
        "    return {'cuda': 1}, f('cpu'), d == 'gpu'\n"
    )
    found = [(line, value) for _, line, value in conditions_on(path, frozenset({"cuda", "opencl", "cpu"}))]
    assert found == [(2, "cuda"), (2, "opencl"), (2, "cpu"), (3, "cuda:"), (5, "opencl")]


def test_no_backend_name_is_a_condition_in_core():
    names = device_names()
    found = {
        f"{tree.relative(path)}:{function}": f"line {line}: {value!r}"
        for path in CORE_MODULES
        for function, line, value in conditions_on(path, names)
    }
    assert {where: what for where, what in found.items() if where not in DEVICE_NAME_TESTS} == {}
    assert [where for where in DEVICE_NAME_TESTS if where not in found] == [], "no longer needs its exception"


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys, json; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout))


def test_import_loads_nothing_heavy():
    """What NumPy and pluggy load themselves is theirs; the rest of the list must stay away."""
    base = modules_after("import numpy, ml_dtypes, pluggy")
    loaded = modules_after("import flambeau; flambeau.ones(3).sum().item()")
    assert "flambeau" in loaded
    assert sorted(HEAVY & (loaded - base)) == []


def test_import_order_does_not_matter():
    """A program may import a submodule first: each works in a fresh interpreter without the package's help."""
    for module in ("flambeau.nn.functional", "flambeau.optim", "flambeau.utils.data", "flambeau.vision.transforms"):
        assert module in modules_after(f"import {module}")
