"""PyTorch programs run with only their imports changed; where PyTorch is installed, they must print what it prints.

The programs lie beside this file, written for PyTorch. `translate` changes the lines that import it, nothing else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAMS = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("test_"))
HAVE_TORCH = importlib.util.find_spec("torch") is not None
DATA = os.environ.get("FLAMBEAU_DATA", "")
NEEDS_DATA = {"mnist_classifier"}


def translate(source: str) -> str:
    """The program with PyTorch's imports replaced by Flambeau's."""
    source = re.sub(r"^import torch$", "import flambeau as torch", source, flags=re.MULTILINE)
    source = re.sub(r"^(import|from) torchvision", r"\1 flambeau.vision", source, flags=re.MULTILINE)
    return re.sub(r"^(import|from) torch\b", r"\1 flambeau", source, flags=re.MULTILINE)


def run(source: str, name: str) -> tuple[str, str]:
    """What a program prints on standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        exec(compile(source, name, "exec"), {"__name__": "__main__"})  # noqa: S102 - running programs is the test
    return out.getvalue(), err.getvalue()


@pytest.fixture
def torchvision(monkeypatch):
    """The data sets and transforms that the program for PyTorch gets: ours, giving PyTorch's tensors."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    import types

    from flambeau.vision import datasets, transforms

    class MNIST:
        def __init__(self, *args, **kwargs):
            self.inner = datasets.MNIST(*args, **kwargs)

        def __len__(self):
            return len(self.inner)

        def __getitem__(self, index):
            image, label = self.inner[index]
            return torch.from_numpy(image.numpy().copy()), label

    module = types.ModuleType("torchvision")
    module.datasets, module.transforms = types.SimpleNamespace(MNIST=MNIST), transforms
    monkeypatch.setitem(sys.modules, "torchvision", module)


def needs(name: str) -> None:
    if name in NEEDS_DATA and not DATA:
        pytest.skip("FLAMBEAU_DATA does not name a folder with MNIST")


def test_translation_touches_imports_only():
    source = "import torch\nfrom torch import nn\nimport torch.nn as nn\nx = torch.ones(1)  # import torch\n"
    assert translate(source) == ("import flambeau as torch\nfrom flambeau import nn\nimport flambeau.nn as nn\n"
                                 "x = torch.ones(1)  # import torch\n")


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_runs(name):
    needs(name)
    out, _ = run(translate((HERE / f"{name}.py").read_text()), name)
    assert out


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.skipif(not HAVE_TORCH, reason="PyTorch is the oracle and is not installed")
def test_program_prints_what_it_prints_with_pytorch(name, torchvision):
    needs(name)
    source = (HERE / f"{name}.py").read_text()
    mine, my_losses = run(translate(source), name)
    theirs, their_losses = run(source, name)
    assert mine == theirs
    if "losses" in their_losses:
        pairs = list(zip(my_losses.split()[1:], their_losses.split()[1:], strict=True))
        assert len(pairs) >= 100
        worst = max(abs(float(a) - float(b)) for a, b in pairs[:100])
        assert worst <= 1e-4, f"the first 100 losses differ by up to {worst}"
