"""What every test starts from: one thread, no window, the global state as a program finds it, real data if there is."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import source_tree as tree

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: more threads only wait for one another
os.environ.setdefault("MPLBACKEND", "agg")  # a test never opens a window


@pytest.fixture(autouse=True)
def global_state() -> Iterator[None]:
    """Put back what a failing test may leave behind, so that no other test fails with it."""
    yield
    import flambeau

    flambeau.set_default_dtype(flambeau.float32)
    flambeau.set_default_device(None)
    flambeau.set_grad_enabled(True)


@pytest.fixture
def oracle():
    """PyTorch, or a skip where it is not installed."""
    return pytest.importorskip("torch", reason="PyTorch is the oracle")


@pytest.fixture
def mnist_folder() -> Path:
    """The folder that holds the MNIST files, from FLAMBEAU_DATA, or a skip where there is none."""
    base = os.environ.get("FLAMBEAU_DATA")
    for folder in (Path(base or ".") / "mnist", Path(base or ".")):
        if base and list(folder.glob("train-images-idx3-ubyte*")):
            return folder
    pytest.skip("FLAMBEAU_DATA names no folder with the MNIST files")


@pytest.fixture(scope="session")
def operator_pages() -> ModuleType:
    """The Sphinx extension that writes the reference and the support matrix; it needs no Sphinx for that."""
    spec = importlib.util.spec_from_file_location(
        "operator_pages", tree.ROOT / "docs" / "extensions" / "operator_pages.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
