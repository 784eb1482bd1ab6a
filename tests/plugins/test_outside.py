"""A stranger's package: a new backend is a class and an entry point, a new operator a record and a line per kernel.

Both are in `tests/plugins/outside`, which is no part of the source tree, and not a line of the library is changed for
them. Each program below runs in an interpreter of its own in which that package is installed, as far as Python can
tell: its modules are on the path and beside them lies the metadata that pip leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import source_tree as tree

OUTSIDE = Path(__file__).parent / "outside"
ENTRY_POINTS = """\
[flambeau.backends]
abacus = abacus_backend:AbacusBackend
broken = broken_backend:Backend
old = old_backend:OldBackend
"""
OLD = """\
from abacus_backend import AbacusBackend
class OldBackend(AbacusBackend):
    name = "old"
    api_versions = (0,)
"""

BACKEND = """
x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).to("abacus")
assert str(x.device) == "abacus:0" and type(x._array).__name__ == "Beads"
assert (x + x.t().t() * 2).tolist() == [[3.0, 6.0, 9.0], [12.0, 15.0, 18.0]]
assert torch.ones(2, 3, device="abacus:1").sum().item() == 6.0      # a factory, from one kernel

column = x[:, 1]                                   # a view: writing to it changes x
column.mul_(10)
assert x.tolist() == [[1.0, 20.0, 3.0], [4.0, 50.0, 6.0]]
assert column._base is x
x.t()[0] = 7.0
assert x.tolist() == [[7.0, 20.0, 3.0], [7.0, 50.0, 6.0]]
"""

GRADIENTS = """
x = torch.tensor([[1.0, 20.0, 3.0], [4.0, 50.0, 6.0]]).to("abacus")
w = torch.tensor([1.0, 2.0, 3.0]).to("abacus").requires_grad_()
loss = (x * w).sum()                               # w is broadcast
loss.backward()
assert w.grad.device == x.device and w.grad.tolist() == [5.0, 70.0, 9.0]

y = torch.tensor([[1., 2.], [3., 4.]], device="abacus").requires_grad_()
first, = torch.autograd.grad((y * y * y).sum(), y, create_graph=True)
first.sum().backward()
assert y.grad.tolist() == [[6.0, 12.0], [18.0, 24.0]]
"""

FALLBACK = """
import warnings
x = torch.ones(3, device="abacus")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert torch.exp(x).device == x.device and abs(torch.exp(x)[0].item() - 2.718282) < 1e-6
assert [each.category.__name__ for each in caught] == ["FallbackWarning"]    # said once, for two calls
counted = torch.fallback_counts()["exp"]
assert counted["calls"] == 2 and counted["bytes"] == 2 * 2 * 3 * 4, counted   # there and back
try:
    with torch.fallback("error"):
        torch.cos(x)
except NotImplementedError as error:
    assert "cos" in str(error) and "abacus" in str(error)
else:
    raise AssertionError("an operator ran on the host although the policy forbids it")
"""

OPERATOR = """
from flambeau import discovery
from flambeau.registry import OPERATORS

discovery.backend_for("abacus")                    # loading the plugin registers its operator
record = OPERATORS["harmonic_mean"]
assert torch.harmonic_mean is record.public and torch.Tensor.harmonic_mean is record.public

for device in ("abacus", "cpu"):
    a = torch.tensor([2.0, 3.0], device=device).requires_grad_()
    b = torch.tensor([6.0, 6.0], device=device)
    c = torch.harmonic_mean(a, b)
    assert c.tolist() == [3.0, 4.0] and c.grad_fn.name() == "HarmonicMeanBackward0"
    c.backward(torch.tensor([8.0, 9.0], device=device))
    assert a.grad.tolist() == [9.0, 8.0]
    d = a.detach().clone()
    assert d.harmonic_mean_(b) is d and d.tolist() == [3.0, 4.0]
    e = torch.empty(2, device=device)
    assert torch.harmonic_mean(a.detach(), b, out=e) is e and e.tolist() == [3.0, 4.0]

c = torch.harmonic_mean(torch.tensor([2, 3]), torch.tensor(6.0))              # integers are promoted
assert c.dtype == torch.float32 and c.tolist() == [3.0, 4.0]
legs = torch.ones(3).double().requires_grad_(), torch.full((1,), 2.0).double().requires_grad_()
assert torch.autograd.gradcheck(torch.harmonic_mean, legs)
assert torch.autograd.gradgradcheck(torch.harmonic_mean, legs)
"""

ERRORS = """
def error_of(call):
    try:
        call()
    except RuntimeError as error:
        return str(error)
    raise AssertionError("no error")

first, second = torch.ones(3, device="abacus"), torch.ones(3, device="abacus:1")
assert "abacus:0" in error_of(lambda: first + second) and "abacus:1" in error_of(lambda: first + second)
assert "cpu" in error_of(lambda: torch.ones(3) + first)
assert "2 devices" in error_of(lambda: torch.ones(2, device="abacus:7"))
assert "abacus" in error_of(lambda: torch.ones(2, device="nowhere"))
refused = error_of(lambda: torch.ones(2, dtype=torch.float16, device="abacus"))
assert "float16" in refused and "float32" in refused
"""

BROKEN = """
from flambeau import discovery
for name, phrase in (("broken", "no such driver"), ("old", "version 0")):
    try:
        torch.ones(1).to(name)
    except RuntimeError as error:
        assert name in str(error) and phrase in str(error), error
    else:
        raise AssertionError("a plugin that cannot work gave a device")
assert torch.ones(2).to("abacus").sum().item() == 2.0 and torch.ones(2).sum().item() == 2.0

rows = {row["name"]: row for row in discovery.report()}
assert "no such driver" in rows["broken"]["reason"] and not rows["broken"]["devices"]
assert rows["abacus"]["origin"] == "flambeau-abacus 1.0" and len(rows["abacus"]["devices"]) == 2
"""

PROGRAMS = {
    "backend": BACKEND,
    "gradients": GRADIENTS,
    "fallback": FALLBACK,
    "operator": OPERATOR,
    "errors": ERRORS,
    "broken plugins": BROKEN,
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that looks as if a distribution had been installed into it; two of its three plugins cannot load."""
    (tmp_path / "broken_backend.py").write_text('raise OSError("no such driver")\n')
    (tmp_path / "old_backend.py").write_text(OLD)
    information = tmp_path / "flambeau_abacus-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: flambeau-abacus\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_from_outside(program: str, site: Path):
    path = os.pathsep.join([str(site), str(OUTSIDE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import flambeau as torch\n" + program],
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
