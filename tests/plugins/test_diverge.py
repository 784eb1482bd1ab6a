"""`flambeau diverge`: the operator and the line that it blames, and the case that it writes.

The device under test is the host's backend under another name with one thing broken, so that what is to be found is
known exactly.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

import flambeau
from flambeau import discovery
from flambeau_conformance import divergence, saved_cases, suite
from flambeau_conformance.diverge_command import add_parser, main
from flambeau_conformance.divergence import Lockstep, ulps
from flambeau_conformance.engine import execute
from flambeau_conformance.recorded import record
from guest import Guest

PROGRAM = """\
import sys
import flambeau as torch
from flambeau import nn

torch.manual_seed(0)
x = torch.randn(24, 6)
y = (x[:, 0] > 0).long()
model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for batch in torch.arange(24).split(8):
    optimizer.zero_grad()
    out = model(x[batch])                                    # line 12
    loss = nn.functional.cross_entropy(out, y[batch])        # line 13
    loss.backward()                                          # line 14
    optimizer.step()                                         # line 15
table = torch.zeros(3, 4)
table.index_add_(0, torch.tensor([0, 0]), torch.ones(2, 4))  # line 17
turned = table.t().clone()                                   # line 18
turned[1] = 2.0                                              # line 19
turned[:, 0].fill_(300.0)                                    # line 20
print("done", torch.softmax(turned, 0).sum().item())         # line 21
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


@pytest.fixture
def broken():
    """Offer the device with a change made to it."""

    def offer(change=lambda backend: None):
        class Changed(Guest):
            def __init__(self):
                super().__init__()
                change(self)

        discovery.unregister_backend(Guest.name)
        discovery.register_backend(Changed)

    yield offer
    discovery.unregister_backend(Guest.name)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a program and run it under the command; (exit status, what was printed)."""
    monkeypatch.chdir(tmp_path)

    def run(capsys, text: str = PROGRAM, *words: str):
        (tmp_path / "program.py").write_text(text)
        parser = argparse.ArgumentParser()
        add_parser(parser.add_subparsers())
        status = main(parser.parse_args(["diverge", "program.py", "--device", Guest.name, *words]))
        return status, capsys.readouterr().out

    return run


def kernel(name: str, change):
    """A change of a backend: the result of one kernel goes through `change`."""

    def apply(backend):
        before = backend.kernels[name]
        backend.kernels[name] = lambda *args, **kwargs: change(before(*args, **kwargs))

    return apply


def too_large(array):
    return np.multiply(array, 1.01, dtype=array.dtype)


def steps_too_far(backend):
    before = backend.kernels["adam_step_"]

    def step(params, *rest):
        result = before(params, *rest)
        params[1] += 0.01
        return result

    backend.kernels["adam_step_"] = step


def ignores_repetition(backend):
    def index_add(array, dim, index, source, alpha):
        array[index] += source * alpha

    backend.kernels["index_add_"] = index_add


def transposes_nothing(backend):
    backend.kernels["t"] = lambda array, *rest: array


def fills_too_much(backend):
    before = backend.copy

    def copy(target, source):
        before(target, source)
        if target.ndim == 1 and target.shape == (4,) and np.all(source == 300):
            target[-1] = 0

    backend.copy = copy


def changes_its_input(backend):
    before = backend.kernels["linear"]

    def linear(input, *rest):
        result = before(input, *rest)
        input[0, 0] += 1
        return result

    backend.kernels["linear"] = linear


def decomposed_wrongly(backend):
    del backend.kernels["softmax"]
    kernel("sub", too_large)(backend)


FAULTS = {
    "kernel": (kernel("tanh", too_large), "tanh,", "program.py:12", "result: 64 of 64 elements"),
    "none": (kernel("argmax", lambda each: each), "", "", "agreed"),
    "backward": (kernel("tanh_backward", too_large), "tanh_b", "program.py:14", "TanhBackward0 of program.py:12"),
    "whole step": (steps_too_far, "adam_step_,", "program.py:15", "params[1]: 8 of 8"),
    "in place": (ignores_repetition, "index_add_,", "program.py:17", "4 of 12 elements"),
    "view": (transposes_nothing, "t,", "program.py:18", "result: shape [3, 4], expected [4, 3]"),
    "copy to strides": (fills_too_much, "fill_,", "program.py:20", "expected 300.0"),
    "changed input": (changes_its_input, "linear,", "program.py:12", "input: 1 of 48 elements"),
    "decomposition": (decomposed_wrongly, "sub,", "program.py:21", "inside the decomposition of softmax"),
    "dtype": (kernel("tanh", lambda array: array.astype(np.float64)), "tanh,", "program.py:12", "dtype float64"),
    "values": (kernel("gt", np.logical_not), "gt,", "program.py:7", "must be equal"),
}


@pytest.mark.parametrize(("fault", "op", "place", "words"), FAULTS.values(), ids=FAULTS)
def test_it_names_the_operator_and_the_line(fault, op, place, words, broken, program, capsys):
    broken(fault)
    status, text = program(capsys)
    assert (f"divergence: {op}" if op else "agreed") in text and place in text and words in text, text
    assert status == (1 if op else 0)


@pytest.mark.parametrize("name", ["kernel", "whole step", "in place", "view", "copy to strides", "decomposition"])
def test_the_case_it_writes_fails_there_and_passes_on_the_host(name, broken, program, capsys):
    broken(FAULTS[name][0])
    program(capsys)
    (case,) = divergence.load_cases("conformance_cases")
    assert case.id.startswith(("operators/", "views/")) and "/saved-" in case.id
    outcomes = {}
    for device in (Guest.name, "cpu"):
        with suite.session(device) as session:
            outcomes[device] = execute(case, session)
    assert outcomes["cpu"].status == "pass", outcomes["cpu"].message
    assert outcomes["cpu"].samples > 0
    assert outcomes[Guest.name].status == "fail"


def test_a_program_runs_as_python_runs_it(broken, program, capsys):
    broken()
    status, text = program(capsys, PROGRAM, "--", "7")
    assert status == 7
    assert text.startswith("done 2.99")
    assert "operator calls agreed on guest:0 and cpu" in text and "random draws" in text
    assert not Path("conformance_cases").exists()
    assert flambeau.get_default_device().type == "cpu"


def test_options_before_and_after_the_script_are_ours_up_to_two_dashes(broken, program, capsys):
    broken()
    text = "import sys\nimport flambeau\nflambeau.ones(2).exp()\nprint(sys.argv, __name__, __file__)\n"
    _, printed = program(capsys, text, "--lr", "1", "--out", "there", "--", "--device", "x")
    assert "['program.py', '--lr', '1', '--device', 'x'] __main__ program.py" in printed


def test_a_program_that_never_uses_the_device_is_a_failure(broken, program, capsys):
    broken()
    assert program(capsys, "import flambeau\nflambeau.ones(2, device='cpu').exp()\n")[0] == 1


def test_handlers_of_the_program_do_not_hide_a_divergence(broken, program, capsys):
    broken(kernel("exp", too_large))
    text = "import flambeau\ntry:\n    flambeau.ones(2).exp()\nexcept:\n    pass\nprint('on')\n"
    status, printed = program(capsys, text)
    assert status == 1 and "divergence: exp" in printed and "on" in printed


def test_a_call_that_only_the_device_refuses_is_a_divergence(broken, program, capsys):
    def refuse(array):
        raise RuntimeError("no such launch")

    broken(kernel("exp", refuse))
    status, printed = program(capsys, "import flambeau\nflambeau.ones(2).exp()\n")
    assert status == 1 and "raised" in printed and "no such launch" in printed


def test_a_call_that_both_refuse_is_the_programs_own_error(broken, program, capsys):
    broken()
    status = program(capsys, "import flambeau\nflambeau.ones(2) + flambeau.ones(3)\n")[0]
    assert status == 1


def test_the_last_step_of_out_is_seen(broken, program, capsys):
    def change(backend):
        backend.copy = lambda target, source: None

    broken(change)
    text = "import flambeau as torch\nx = torch.ones(2, 3)\ntorch.sum(x, 0, out=torch.zeros(3))\n"
    status, printed = program(capsys, text)
    assert status == 1 and "divergence: copy_" in printed and "program.py:3" in printed


def test_the_first_nan_is_found(broken, program, capsys):
    broken()
    text = "import flambeau as torch\nx = torch.zeros(3) * 2\nx = x.masked_fill(x > 1, float('inf'))\ny = x.log()\n"
    assert program(capsys, text)[0] == 0
    status, printed = program(capsys, text, "--nan")
    assert status == 1 and "divergence: log" in printed and "program.py:4" in printed and "nan" in printed


def one_after_another(array, dim, keepdim, dtype):
    assert not keepdim
    return np.add.accumulate(array, axis=dim[0]).take(-1, axis=dim[0])


def test_long_sums_in_another_order_are_no_divergence(broken, program, capsys):
    def change(backend):
        backend.kernels["sum"] = one_after_another

    text = "import flambeau as torch\ntorch.manual_seed(0)\nx = torch.randn(20000, 2) * 100\n(x - x.mean(0)).sum(0)\n"
    broken(change)
    status, printed = program(capsys, text)
    assert status == 0 and "after a second look" in printed, printed
    broken(kernel("sum", lambda array: array + array.dtype.type(1)))
    assert program(capsys, text)[0] == 1


def test_own_tolerances_replace_the_table(broken, program, capsys):
    broken(kernel("exp", too_large))
    text = "import flambeau as torch\ntorch.ones(3).exp()\n"
    assert program(capsys, text, "--rtol", "0.1")[0] == 0
    assert program(capsys, text, "--rtol", "0.001")[0] == 1


def test_memory_shared_by_arguments_stays_shared(broken):
    broken()
    x = flambeau.arange(6.0, device=Guest.name)
    recorded = record(flambeau.add.op, (x[1:], x[:-1]), {}, x.device)
    one, two = recorded.build(flambeau.device("cpu"))[0]
    one.zero_()
    assert two.tolist() == [0.0, 0.0, 0.0, 0.0, 0.0] and one.storage_offset() == 1
    mode = Lockstep(x.device, flambeau.device("cpu"))
    with mode:
        x[1:].add_(x[:-1])
    assert mode.found is None and x.tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 9.0]


def test_one_tensor_given_twice_stays_one(broken):
    broken()
    x = flambeau.arange(3.0, device=Guest.name)
    one, two = record(flambeau.add.op, (x, x), {}, x.device).build(flambeau.device("cpu"))[0]
    assert one is two
    with Lockstep(x.device, flambeau.device("cpu")) as mode:
        x.copy_(x)
        x.mul_(x)
    assert mode.found is None and mode.compared == 2


def test_tensors_in_slices_are_arguments(broken):
    broken()
    x = flambeau.arange(6.0, device=Guest.name)
    ends = flambeau.tensor([1, 3], device=Guest.name)
    with Lockstep(x.device, flambeau.device("cpu")) as mode:
        part = x[ends[0] : ends[1]]
    assert part.tolist() == [1.0, 2.0] and mode.found is None and mode.compared > 0


def test_rules_of_the_core_are_no_divergence(broken, program, capsys):
    """What autograd refuses, and operands on two devices, are the program's mistakes on any device."""
    broken()
    text = """\
import flambeau as torch
w = torch.ones(2, requires_grad=True)
for wrong in (lambda: w.add_(1), lambda: w + torch.ones(2, device="cpu"), lambda: w.exp().numpy()):
    try:
        wrong()
    except (RuntimeError, TypeError) as error:
        print(type(error).__name__)
"""
    status, printed = program(capsys, text)
    assert status == 0 and printed.startswith("GraphError\nDeviceError\n")


def test_ulps_count_numbers_between():
    assert ulps(1.0, 1.0 + 2**-23, "float32") == 1
    assert ulps(-(2.0**-149), 2.0**-149, "float32") == 2
    assert ulps(1.0, 1.0 + 2**-7, "bfloat16") == 1
    assert ulps(float("nan"), 1.0, "float32") is None


def altered(source: Path, target: Path, change) -> Path:
    """A case file with its header changed."""
    with np.load(source) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["case"].tobytes())
    change(header)
    arrays["case"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(target, **arrays)
    return target


@pytest.fixture
def case_file(broken, program, capsys) -> Path:
    broken(kernel("tanh", too_large))
    program(capsys)
    return next(Path("conformance_cases").glob("*.npz"))


def outcome(case):
    with suite.session("cpu") as session:
        return execute(case, session)


def test_a_case_file_is_data_and_is_checked(case_file: Path, tmp_path: Path):
    def unknown(header):
        header["op"] = "os.system"

    with pytest.raises(ValueError, match=r"os\.system"):
        saved_cases.load_case(altered(case_file, tmp_path / "unknown.npz", unknown))

    def outside(header):
        header["args"][0]["tensor"]["offset"] = 10**6

    found = outcome(saved_cases.load_case(altered(case_file, tmp_path / "outside.npz", outside)))
    assert found.status == "error" and "memory does not hold" in found.message

    def strange(header):
        header["args"][0] = {"import": "os"}

    found = outcome(saved_cases.load_case(altered(case_file, tmp_path / "strange.npz", strange)))
    assert found.status == "error" and "unknown form" in found.message

    np.savez(tmp_path / "pickled.npz", case=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="cannot be read"):
        saved_cases.load_case(tmp_path / "pickled.npz")


def test_cases_are_never_overwritten(case_file: Path, program, capsys):
    before = case_file.read_bytes()
    program(capsys)
    assert case_file.read_bytes() == before
    assert len(divergence.load_cases("conformance_cases")) == 2
    assert divergence.load_cases("nowhere") == []


def test_dtypes_that_an_archive_cannot_name(broken, program, capsys):
    broken(kernel("clone", lambda array: array + array.dtype.type(1)))
    text = "import flambeau as torch\ntorch.ones(3, dtype=torch.bfloat16).clone()\n"
    assert program(capsys, text)[0] == 1
    (case,) = divergence.load_cases("conformance_cases")
    assert case.dtype is flambeau.bfloat16 and outcome(case).status == "pass"
