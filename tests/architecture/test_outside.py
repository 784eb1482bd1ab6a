"""A new primitive operator is one place and a line per kernel; a new backend is one class and one entry point.

Both come from `tests/architecture/outside`, which is not part of the source tree: the test puts them on the path of a
fresh interpreter as an installed distribution would be, with an entry point and nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import source_tree as tree

OUTSIDE = tree.ROOT / "tests" / "architecture" / "outside"

ABACUS = """
import flambeau as torch

x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).to("abacus")
assert str(x.device) == "abacus:0" and type(x._array).__name__ == "Beads"
assert (x + x.t().t() * 2).tolist() == [[3.0, 6.0, 9.0], [12.0, 15.0, 18.0]]

column = x[:, 1]                                   # a view: writing to it changes x
column.mul_(10)
assert x.tolist() == [[1.0, 20.0, 3.0], [4.0, 50.0, 6.0]]
assert column._base is x

w = torch.tensor([1.0, 2.0, 3.0]).to("abacus").requires_grad_()
(x * w).sum().backward(torch.tensor(1.0).to("abacus"))
assert w.grad.device == x.device and w.grad.tolist() == [5.0, 70.0, 9.0]

other = torch.ones(3).to("abacus:1")
try:
    other + w
except RuntimeError as error:
    assert "abacus:0" in str(error) and "abacus:1" in str(error), error
else:
    raise AssertionError("operands on two devices were added")
"""

OPERATOR = """
import flambeau as torch
from flambeau import discovery
from flambeau.registry import OPERATORS

discovery.backend_for("abacus")                    # loading the plugin registers its operator
from new_operator import harmonic_mean
assert OPERATORS["harmonic_mean"] is harmonic_mean.op and torch.harmonic_mean is harmonic_mean

a = torch.tensor([2.0, 3.0]).to("abacus").requires_grad_()
b = torch.tensor([6.0, 6.0]).to("abacus")
c = harmonic_mean(a, b)
assert c.tolist() == [3.0, 4.0] and c.grad_fn.name() == "HarmonicMeanBackward0"
c.backward(torch.tensor([8.0, 9.0]).to("abacus"))
assert a.grad.tolist() == [9.0, 8.0]

cpu = discovery.backend_for("cpu")
cpu.kernels["harmonic_mean"] = lambda a, b: 2 * a * b / (a + b)   # the line for a backend that has none
c = harmonic_mean(torch.tensor([2, 3]), torch.tensor(6.0))
assert c.dtype == torch.float32 and c.tolist() == [3.0, 4.0]
legs = torch.ones(3).double().requires_grad_(), torch.full((1,), 2.0).double().requires_grad_()
assert torch.autograd.gradcheck(harmonic_mean, legs) and torch.autograd.gradgradcheck(harmonic_mean, legs)
"""

BROKEN = """
import flambeau as torch
try:
    torch.ones(1).to("broken")
except RuntimeError as error:
    assert "broken" in str(error) and "no such driver" in str(error), error
else:
    raise AssertionError("a broken plugin gave a device")
assert torch.ones(2).to("abacus").sum().item() == 2.0 and torch.ones(2).sum().item() == 2.0
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that looks as if two distributions were installed into it, one of them broken."""
    (tmp_path / "broken_backend.py").write_text('raise OSError("no such driver")\n')
    for name, entry in (("abacus", "abacus_backend:AbacusBackend"), ("broken", "broken_backend:Backend")):
        information = tmp_path / f"flambeau_{name}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: flambeau-{name}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[flambeau.backends]\n{name} = {entry}\n")
    return tmp_path


@pytest.mark.parametrize("program", [ABACUS, OPERATOR, BROKEN], ids=["backend", "operator", "broken plugin"])
def test_from_outside(program: str, site: Path):
    path = os.pathsep.join([str(site), str(OUTSIDE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_outside_is_outside():
    """Nothing in the source tree knows of either."""
    names = ("abacus", "harmonic_mean")
    for path in tree.modules(*tree.SOURCE_ROOTS):
        text = path.read_text(encoding="utf-8").lower()
        assert not any(name in text for name in names), tree.relative(path)
