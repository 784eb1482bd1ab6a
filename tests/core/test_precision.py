"""What float32 arithmetic may give up, in its three ways to be said: they see one another as PyTorch's do."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

import flambeau
from flambeau import settings

# Each switch by where it is; a program sets them in any order and looks at all of them.
SWITCHES = {
    "b.fp32_precision": ["ieee", "tf32", "bf16", "none"],
    "b.cuda.matmul.fp32_precision": ["ieee", "tf32", "bf16", "none", "half"],
    "b.cuda.matmul.allow_tf32": [True, False, 1],
    "b.cudnn.fp32_precision": ["ieee", "tf32", "bf16", "none"],
    "b.cudnn.conv.fp32_precision": ["ieee", "tf32", "none"],
    "b.cudnn.rnn.fp32_precision": ["ieee", "tf32", "none"],
    "b.cudnn.allow_tf32": [True, False, "yes"],
    "b.mkldnn.fp32_precision": ["ieee", "bf16", "none"],
    "b.mkldnn.matmul.fp32_precision": ["ieee", "tf32", "bf16", "none"],
    "b.mkldnn.conv.fp32_precision": ["ieee", "bf16", "none"],
    "torch.float32_matmul_precision": ["highest", "high", "medium", "low", 1],
}
PROGRAM = """
import json, sys, warnings
import {library} as torch
warnings.simplefilter("ignore")
b = torch.backends
switches, statements = json.load(sys.stdin)

def attempt(call):
    try:
        return call()
    except Exception as error:
        return next(each.__name__ for each in type(error).__mro__ if each.__module__ == "builtins")

def look(name):
    if name == "torch.float32_matmul_precision":
        return torch.get_float32_matmul_precision()
    return eval(name)

def put(name, value):
    if name == "torch.float32_matmul_precision":
        return torch.set_float32_matmul_precision(value)
    holder, _, last = name.rpartition(".")
    setattr(eval(holder), last, value)

print(json.dumps([[attempt(lambda: put(name, value)), {{each: attempt(lambda: look(each)) for each in switches}}]
                  for name, value in statements]))
"""


def run(library: str, statements: list[tuple[str, object]]) -> list[object]:
    """What a program sees that starts afresh: after each statement, all switches."""
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(library=library)], check=True, text=True,
                          input=json.dumps([list(SWITCHES), statements]), capture_output=True)
    return json.loads(done.stdout)


def test_switches_see_one_another_as_pytorchs_do(oracle):
    choose = random.Random(5)
    statements = [(name, value) for name in (choose.choice(list(SWITCHES)) for _ in range(1500))
                  for value in [choose.choice(SWITCHES[name])]]
    pairs = zip(statements, run("flambeau", statements), run(oracle.__name__, statements), strict=True)
    for number, (statement, ours, theirs) in enumerate(pairs):
        assert ours == theirs, (number, statement)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The switches as they are at first, and as they were again afterwards."""
    before = settings._table
    monkeypatch.setattr(settings, "_table", settings._Table())
    for holder in (settings.matmul, settings.convolution):
        for name in holder.__slots__:
            monkeypatch.setattr(holder, name, getattr(type(holder)(), name))
    yield
    settings._table = before
    before.set((), "")


def test_what_backends_read(fresh):
    assert (settings.matmul.tf32, settings.convolution.tf32, settings.convolution.rnn_tf32) == (False, True, True)
    flambeau.set_float32_matmul_precision("high")
    assert settings.matmul.tf32 and flambeau.backends.cuda.matmul.allow_tf32
    flambeau.backends.cuda.matmul.allow_tf32 = False
    assert not settings.matmul.tf32 and flambeau.backends.cuda.matmul.fp32_precision == "ieee"
    flambeau.backends.cudnn.allow_tf32 = False
    assert not settings.convolution.tf32 and not settings.convolution.rnn_tf32
    flambeau.backends.cudnn.conv.fp32_precision = "tf32"
    assert settings.convolution.tf32 and not settings.convolution.rnn_tf32
    flambeau.backends.fp32_precision = "tf32"
    assert settings.convolution.rnn_tf32 and not settings.matmul.tf32
    with flambeau.backends.flags(fp32_precision="ieee"):
        assert not settings.convolution.rnn_tf32
    assert settings.convolution.rnn_tf32


def test_a_precision_that_there_is_not(fresh):
    with pytest.warns(UserWarning, match="low is not one of"):
        flambeau.set_float32_matmul_precision("low")
    assert flambeau.get_float32_matmul_precision() == "highest"
    with pytest.raises(RuntimeError, match="expects a str, but got int"):
        flambeau.set_float32_matmul_precision(3)
    with pytest.raises(RuntimeError, match=r"does not support precision 'bf16'; allowed: 'ieee', 'tf32', 'none'"):
        flambeau.backends.cudnn.fp32_precision = "bf16"
    flambeau.backends.cuda.matmul.fp32_precision = "tf32"
    for ask in (flambeau.get_float32_matmul_precision, lambda: flambeau.backends.cuda.matmul.allow_tf32):
        with pytest.raises(RuntimeError, match=r"mixed.*set torch\.backends\.cuda\.matmul\.fp32_precision"):
            ask()
    for group in (flambeau.backends.cuda.matmul, flambeau.backends.cudnn.conv):
        with pytest.raises(AttributeError):
            group.allow_everything = True
        with pytest.raises(AttributeError):
            group.allow_everything


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_partial_sums(fresh, oracle, dtype):
    name = f"allow_{dtype}_reduced_precision_reduction"
    for torch in (flambeau, oracle):
        matmul = torch.backends.cuda.matmul
        assert getattr(matmul, name) and getattr(matmul, f"{name}_split_k")
        for value, wanted in ((False, (False, True)), ((False, False), (False, False)), ([False], (False, True)),
                              (True, (True, True))):
            setattr(matmul, name, value)
            assert (getattr(matmul, name), getattr(matmul, f"{name}_split_k")) == wanted
        for wrong in (1, (), (True, 1), (True, True, True)):
            with pytest.raises(TypeError, match=name):
                setattr(matmul, name, wrong)
        with pytest.raises(RuntimeError, match="allow_splitk=False is not supported"):
            setattr(matmul, name, (True, False))
    flambeau.backends.cuda.matmul.allow_fp16_accumulation = True
    assert settings.matmul.fp16_accumulation
    flambeau.backends.cuda.matmul.allow_fp16_accumulation = False


def test_switches_of_convolutions(fresh, oracle):
    for torch in (flambeau, oracle):
        cudnn = torch.backends.cudnn
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (True, False, False, True)
        with cudnn.flags(enabled=True, benchmark=True, deterministic=True, allow_tf32=False):
            assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, True, True)
            assert not cudnn.allow_tf32
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (True, False, False, True)
        for name in ("enabled", "benchmark", "deterministic", "allow_tf32"):
            with pytest.raises(RuntimeError, match="expects a bool, but got int"):
                setattr(cudnn, name, 1)
        cudnn.benchmark = True
    assert settings.convolution.benchmark is True
    flambeau.backends.cudnn.benchmark_limit = 3
    assert settings.convolution.benchmark_limit == 3
    with pytest.raises(RuntimeError, match="expects an int"):
        flambeau.backends.cudnn.benchmark_limit = True
    flambeau.backends.cudnn.benchmark, flambeau.backends.cudnn.benchmark_limit = False, 10
    oracle.backends.cudnn.benchmark = False


def test_wishes_about_attention():
    cuda = flambeau.backends.cuda
    with pytest.warns(FutureWarning, match="sdp_kernel"), cuda.sdp_kernel(enable_flash=False, enable_cudnn=False):
        assert (cuda.flash_sdp_enabled(), cuda.math_sdp_enabled(), cuda.cudnn_sdp_enabled()) == (False, True, False)
    assert cuda.flash_sdp_enabled() and cuda.cudnn_sdp_enabled() and cuda.mem_efficient_sdp_enabled()
    cuda.enable_cudnn_sdp(False)
    assert not cuda.cudnn_sdp_enabled()
    cuda.enable_cudnn_sdp(True)
    assert not cuda.is_flash_attention_available()
