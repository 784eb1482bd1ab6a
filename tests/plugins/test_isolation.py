"""Plugins that break do not disturb the others: each is disabled with its reason, and only its own device is lost.

Two working backends of strangers, "abacus" and "tally", are installed beside a set of broken ones, as far as Python can
tell: modules on the path and the metadata that pip leaves. Each program runs in an interpreter of its own, with a short
deadline for those that hang.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flambeau import discovery
from flambeau.backend import API_VERSIONS

OUTSIDE = Path(__file__).parent / "outside"
PATIENCE, HURRY = 60, 1   # seconds: the deadline for what works on a busy machine, and for what is known to hang

SUBCLASS = """\
from abacus_backend import AbacusBackend
class {class_name}(AbacusBackend):
    name = "{name}"
    def flambeau_register_ops(self):  # abacus brings its operator; it is taken once
        pass
"""


def subclass(name: str, body: str = "") -> str:
    """A module with a backend like the abacus under another name, and what is different about it."""
    return SUBCLASS.format(class_name="TheBackend", name=name) + textwrap.indent(textwrap.dedent(body), "    ")


HANG = "import threading\nthreading.Event().wait()\n"
LATE = "import time\ntime.sleep(2.5)\n"
BROKEN = {
    "no_import": ("import a_library_that_is_not_there\n", "ModuleNotFoundError: No module named 'a_library"),
    "no_class": ("TheBackend = 3\n", "must name a subclass of flambeau.backend.Backend, not 3"),
    "ends": ("import sys\nsys.exit('goodbye')\n", "ended the program with sys.exit(goodbye)"),
    "interrupts": ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    "hangs": (HANG, "hung while being imported: not done after 1 seconds; set FLAMBEAU_PLUGIN_TIMEOUT"),
    "newer": (subclass("newer", "api_versions = (7, 8)"), "version 7 and 8 of the backend contract, this Flambeau "),
    "versionless": (subclass("versionless", "api_versions = '1'"), "api_versions is '1'; allowed: a tuple"),
    "misnamed": (subclass("named"), "TheBackend.name is 'named', but it is offered as 'misnamed'"),
    "kernelless": (subclass("kernelless", "kernels = None"), "TheBackend.kernels is None; it must be a dict"),
    "unmade": (subclass("unmade", "def __init__(self):\n    raise OSError('no\\ndriver')"), "OSError: no driver"),
    "hangs_made": (subclass("hangs_made", "def __init__(self):\n" + textwrap.indent(HANG, "    ")),
                   "hung while its constructor ran"),
    "uncounted": (subclass("uncounted", "def device_count(self):\n    return 1 // 0"),
                  "ZeroDivisionError: integer division or modulo by zero (while device_count() ran)"),
    "miscounted": (subclass("miscounted", "def device_count(self):\n    return None"), "device_count() gave None"),
    "hangs_count": (subclass("hangs_count", "def device_count(self):\n" + textwrap.indent(HANG, "    ")),
                    "hung while device_count() ran"),
    "nameless": (subclass("nameless", "def properties(self, index):\n    return {}['name']"), "KeyError: 'name'"),
    "propertyless": (subclass("propertyless", "def properties(self, index):\n    return 'big'"),
                     "properties(0) gave 'big'; allowed: DeviceProperties"),
    "hangs_properties": (subclass("hangs_properties", "def properties(self, index):\n"
                                  "    if index == 0:\n        return super().properties(0)\n"
                                  + textwrap.indent(HANG, "    ")), "hung while properties(1) ran"),
    "9lives": ("", "Invalid device string"),
}  # fmt: skip
"""Plugins by device string: the text of the module, and what has to stand in the reason."""

BAD_OPERATOR = """
@hookimpl
def flambeau_register_ops(self):
    from flambeau import discovery
    from flambeau.dispatch import unary
    from flambeau.tensor import Tensor
    @unary(vjp="none")
    def doubled_by_the_broken(input: Tensor) -> Tensor:
        '''Twice the number.'''
    discovery.add_kernel("cpu", "doubled_by_the_broken", lambda a, out=None: a * 2)
    @unary(vjp={vjp})
    def {name}(input: Tensor) -> Tensor:
        '''Nothing that works.'''
"""


def hookimpl(name: str, body: str) -> str:
    return "from flambeau.hookspecs import hookimpl\n" + subclass(name, body)


BROKEN |= {
    "taken": (hookimpl("taken", BAD_OPERATOR.format(vjp="'none'", name="exp")),
              "an operator named 'exp' exists already"),
    "misspelt": (hookimpl("misspelt", BAD_OPERATOR.format(vjp='{"inptu": lambda g: g}', name="other_op")),
                 "ValueError: tuple.index(x): x not in tuple"),
    "unkept": (hookimpl("unkept", BAD_OPERATOR.format(vjp='{"input": lambda g, inptu: g}', name="other_op")),
               "operator other_op: a vjp names 'inptu'"),
    "hangs_operators": (hookimpl("hangs_operators", BAD_OPERATOR.format(vjp="'none'", name="other_op")
                                 + textwrap.indent(HANG, "    ")), "hung while its operators were registered"),
}  # fmt: skip

GOOD = """
def works():
    for name in ("abacus", "tally", "cpu"):
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).to(name).requires_grad_()
        (x.t()[0] * 3).sum().backward()
        assert x.grad.tolist() == [[3.0, 0.0], [3.0, 0.0]] and x.grad.device.type == name
works()
"""

ONE_BROKEN = """
def error_of(call):
    try:
        call()
    except RuntimeError as error:
        return str(error)
    raise AssertionError("no error")
before = set(OPERATORS)
hurry()
for attempt in range(2):
    said = error_of(lambda: torch.ones(1, device=NAME))
    assert PHRASE in said, said
    if NAME[0].isalpha():
        said = error_of(lambda: torch.ones(1).to(NAME))
        assert PHRASE in said and NAME in said and "disabled" in said, said
os.environ[discovery.TIMEOUT] = "60"
row = next(row for row in discovery.report() if row["name"] == NAME)
if NAME[0].isalpha():
    assert PHRASE in row["reason"] and not row["devices"] and row["origin"] == "broken-plugins 0.1", row
assert not torch.accelerator.is_available() or torch.accelerator.current_accelerator().type in ("abacus", "tally")
works()
assert set(OPERATORS) == before, set(OPERATORS) ^ before
assert not hasattr(torch.Tensor, "doubled_by_the_broken")
assert "doubled_by_the_broken" not in discovery.backend_for("cpu").kernels
"""

PREAMBLE = f"""
import os
import flambeau as torch
from flambeau import discovery
from flambeau.registry import OPERATORS
def hurry():
    os.environ[discovery.TIMEOUT] = "{HURRY}"
"""


def install(folder: Path, distribution: str, version: str, plugins: dict[str, str], group: str = discovery.GROUP):
    """Leave the metadata of a distribution with these entry points, by name."""
    information = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = "".join(f"{name} = {value}\n" for name, value in plugins.items())
    (information / "entry_points.txt").write_text(f"[{group}]\n{lines}")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which two working backends are installed."""
    (tmp_path / "tally_backend.py").write_text(subclass("tally"))
    install(tmp_path, "flambeau-abacus", "1.0", {"abacus": "abacus_backend:AbacusBackend"})
    install(tmp_path, "flambeau-tally", "2.0", {"tally": "tally_backend:TheBackend"})
    return tmp_path


def install_broken(site: Path, *names: str) -> None:
    for name in names:
        (site / f"broken_{name}.py").write_text(BROKEN[name][0])
    install(site, "broken-plugins", "0.1", {name: f"broken_{name}:TheBackend" for name in names})


def run(program: str, site: Path, *command: str, timeout: float = PATIENCE) -> str:
    """What a program (or a command of the command line) prints, run where the plugins of `site` are installed."""
    path = os.pathsep.join([str(site), str(OUTSIDE), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-W", "error", *(command or ("-c", PREAMBLE + program))],
        env={**os.environ, "PYTHONPATH": path, discovery.TIMEOUT: str(timeout)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_plugin(name: str, site: Path):
    install_broken(site, name)
    run(f"NAME, PHRASE = {(name, BROKEN[name][1])!r}\n" + GOOD + ONE_BROKEN, site)


def test_all_of_them_at_once(site: Path):
    """Every reason is reported, by the command that people run, and what works works before and after."""
    named = [name for name in BROKEN if not name.startswith("hangs_")]  # one that hangs is enough to wait for
    install_broken(site, *named)
    disabled = "[each['name'] for each in discovery.report() if each['reason']]"
    run(GOOD + f"hurry()\nassert set({disabled}) >= set({named})\nworks()", site)
    text = run("", site, "-m", "flambeau", "doctor", timeout=5)
    for name in named:
        assert re.search(rf"^{name} +disabled +broken-plugins 0.1$", text, re.MULTILINE)
    assert re.search(r"^abacus +2 devices +flambeau-abacus 1.0$", text, re.MULTILINE)


COPIES = """
import itertools
values = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
places = ["abacus:0", "abacus:1", "tally:0", "tally:1", "cpu"]
for source, target in itertools.product(places, places):
    x = torch.tensor(values).to(source)
    y = x.t()[1:].to(target)                           # a view: strides and an offset must be honoured
    assert str(y.device) == target and y.tolist() == [[2.0, 5.0], [3.0, 6.0]], (source, target)
    z = torch.zeros(2, 3, dtype=torch.float64, device=target)
    z.copy_(x)
    assert z.tolist() == values and z.dtype == torch.float64, (source, target)
    w = x.clone().requires_grad_()
    (w.to(target) * 2).sum().backward()                # the gradient comes back to where the leaf is
    assert str(w.grad.device) == source and w.grad.tolist() == [[2.0] * 3] * 2, (source, target)
types = {type(torch.ones(1, device=each).to(each)._kind.backend).__module__ for each in places}
assert len(types) == 3, types
"""


def test_tensors_go_between_any_two_devices(site: Path):
    install_broken(site, "no_import", "uncounted")
    run(COPIES, site)


def test_late_result_is_ignored(site: Path):
    late = textwrap.indent(LATE, "    ") + textwrap.dedent(BAD_OPERATOR.format(vjp="'none'", name="other_op"))
    (site / "late_backend.py").write_text(
        "from flambeau.hookspecs import hookimpl\n"
        + subclass("late", "def device_count(self):\n" + late.replace("\n@hookimpl", "\n    return 2\n@hookimpl"))
    )
    install(site, "late", "1.0", {"late": "late_backend:TheBackend"})
    run(
        GOOD
        + """
import threading
works()
hurry()
try:
    torch.ones(1, device="late")
except RuntimeError as error:
    assert "hung while device_count() ran" in str(error)
else:
    raise AssertionError("it was not there in time")
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(10)
assert not discovery.is_available("late") and "late" not in discovery._backends
assert "other_op" not in OPERATORS and "doubled_by_the_broken" not in discovery.backend_for("cpu").kernels
""",
        site,
    )


def test_threads_wait_for_one_load_and_for_no_other(site: Path):
    """Eight threads ask for a device that takes its time: it is loaded once; another device does not wait for it."""
    (site / "slow_backend.py").write_text(
        "import time\n"
        + subclass("slow", "made = 0\ndef __init__(self):\n    type(self).made += 1\n    time.sleep(0.5)")
    )
    install(site, "slow", "1.0", {"slow": "slow_backend:TheBackend"})
    run(
        """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    asked = [pool.submit(lambda: torch.ones(2, device="slow").sum().item()) for _ in range(8)]
    assert torch.ones(2, device="tally").sum().item() == 2.0 and "slow" not in discovery._backends
    assert [each.result() for each in asked] == [2.0] * 8
assert discovery.backend_for("slow").made == 1
""",
        site,
    )


def test_plugin_may_use_other_devices_while_it_loads(site: Path):
    body = "probe = torch.ones(2).to('tally').sum().item()\n"
    (site / "user_backend.py").write_text("import flambeau as torch\n" + body + subclass("user"))
    (site / "self_backend.py").write_text("import flambeau as torch\n" + body.replace("tally", "selfish"))
    install(site, "user", "1.0", {"user": "user_backend:TheBackend", "selfish": "self_backend:TheBackend"})
    run(
        """
assert torch.ones(2, device="user").sum().item() == 2.0
try:
    torch.ones(2, device="selfish")
except RuntimeError as error:
    assert "its plugin asks for the device while it is being imported" in str(error), error
else:
    raise AssertionError("a device served before it was there")
""",
        site,
    )


def test_device_at_import_of_the_plugin_s_own_module(site: Path):
    """Who imports the plugin's module holds its import lock: another thread would wait for ever."""
    (site / "tally_backend.py").write_text(subclass("tally") + "\nimport flambeau\nX = flambeau.ones(2).to('tally')\n")
    run("import tally_backend\nassert tally_backend.X.tolist() == [1.0, 1.0]", site)


def test_two_devices_of_a_module_that_hangs(site: Path):
    """The second finds the first's import unfinished, and must not wait for it outside the deadline."""
    (site / "hanging.py").write_text(HANG)
    install(site, "hanging", "1.0", {"first": "hanging:First", "second": "hanging:Second"})
    run(
        GOOD
        + """
hurry()
reasons = {row["name"]: row["reason"] for row in discovery.report()}   # others may be late, too
assert "hung" in reasons["first"] and "hung" in reasons["second"], reasons
works()
""",
        site,
    )


def test_two_plugins_for_one_name(site: Path):
    """The first by distribution serves it, whatever the order on the path; this project's own come before all."""
    (site / "b_backend.py").write_text("raise OSError('not this one')\n")
    install(site, "zebra", "3.0", {"tally": "b_backend:TheBackend", "cpu": "b_backend:TheBackend"})
    install(site, "another", "4.0", {"cpu": "b_backend:TheBackend"})
    run(
        """
rows = {row["name"]: row for row in discovery.report()}
assert rows["tally"]["origin"] == "flambeau-tally 2.0" and rows["tally"]["outvoted"] == ["zebra 3.0"]
assert rows["cpu"]["outvoted"] == ["another 4.0", "zebra 3.0"] and rows["cpu"]["devices"]
""",
        site,
    )
    text = run("", site, "-m", "flambeau", "doctor")
    assert "tally is offered by zebra 3.0, too, which is not used: flambeau-tally 2.0 comes first" in text


def test_unreadable_metadata_hides_nothing(site: Path):
    (site / "scribble-1.0.dist-info").mkdir()
    (site / "scribble-1.0.dist-info" / "entry_points.txt").write_text("[flambeau.backends]\nnonsense\n")
    run(GOOD, site)


@pytest.mark.parametrize("given", ["soon", "-1", "0", "nan"])
def test_a_deadline_that_is_none(given: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(discovery.TIMEOUT, given)
    with pytest.raises(ValueError, match=f"FLAMBEAU_PLUGIN_TIMEOUT.*{given}"):
        discovery._seconds()


@pytest.mark.parametrize(
    "theirs, ours, result",
    [
        ((1,), (1,), 1),
        ((1, 2, 3), (2, 3, 4), 3),
        ({2, 9}, (1, 2), 2),
        ((3, 4), (1, 2), "version 3 and 4 .* speaks 1 and 2; update Flambeau"),
        ((1,), (2, 3), "version 1 .* speaks 2 and 3; update the backend's package"),
        ((1, 4), (2, 3), "update both"),
        ((), (1,), "version none"),
    ],
)
def test_versions_are_negotiated(theirs, ours, result, monkeypatch: pytest.MonkeyPatch):
    class Speaks(discovery.Backend):
        name = "speaks"
        api_versions = theirs

    monkeypatch.setattr(discovery, "API_VERSIONS", ours)
    if isinstance(result, int):
        discovery._negotiate("speaks", Speaks)
        assert Speaks.api_version == result
    else:
        with pytest.raises(RuntimeError, match=result):
            discovery._negotiate("speaks", Speaks)


def test_a_class_that_says_nothing_speaks_the_first_version(monkeypatch: pytest.MonkeyPatch):
    """Not the newest: when the contract changes, old packages must be refused, not misunderstood."""

    class Silent(discovery.Backend):
        name = "silent"

    discovery._negotiate("silent", Silent)
    assert 1 in API_VERSIONS and Silent.api_version == 1
    monkeypatch.setattr(discovery, "API_VERSIONS", (2,))
    with pytest.raises(RuntimeError, match="update the backend's package"):
        discovery._negotiate("silent", Silent)
