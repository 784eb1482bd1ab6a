"""Devices as values, and the namespaces that tell the truth about devices that are not there."""

# ruff: noqa: E501 - the lists of cases read best without breaks

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import flambeau

NAMESPACES = ["cuda", "xpu", "mps"]


def test_a_device_that_is_not_there_is_a_value_but_holds_no_tensor():
    device = flambeau.device("cuda:1")
    assert (device.type, device.index) == ("cuda", 1)
    if flambeau.cuda.is_available():
        pytest.skip("there is such a device here")
    for make in (lambda: flambeau.zeros(1, device="cuda"), lambda: flambeau.ones(1).cuda(),
                 lambda: flambeau.tensor([1.], device=device), lambda: flambeau.ones(1).to("cuda")):
        with pytest.raises(RuntimeError, match=r"device 'cuda(:1)?': .*(pip install|Next step: )"):
            make()


@pytest.mark.parametrize("name", NAMESPACES)
def test_a_namespace_answers_without_a_device(name):
    space = getattr(flambeau, name)
    assert space is importlib.import_module(f"flambeau.{name}")
    assert space.is_available() == (space.device_count() > 0)
    if space.is_available():
        pytest.skip("there is such a device here")
    space.manual_seed(1)
    space.empty_cache()
    with pytest.raises(RuntimeError, match=name):
        space.synchronize()


def test_questions_about_memory_have_answers_without_a_device():
    if flambeau.cuda.is_available():
        pytest.skip("there is such a device here")
    assert flambeau.cuda.memory_allocated() == flambeau.cuda.max_memory_allocated() == 0
    assert flambeau.cuda.memory_stats() == {}
    assert flambeau.cuda.is_bf16_supported() is False
    assert flambeau.cuda.is_initialized() is False
    flambeau.cuda.manual_seed_all(3)
    for ask in (flambeau.cuda.current_device, flambeau.cuda.get_device_name, flambeau.cuda.get_device_properties,
                lambda: flambeau.cuda.set_device(0), lambda: flambeau.cuda.FloatTensor(2)):
        with pytest.raises(RuntimeError, match="cuda"):
            ask()
    with flambeau.cuda.device(None):
        assert flambeau.cuda.device_count() == 0


def test_the_host_is_a_namespace_too():
    assert flambeau.cpu.is_available()
    assert flambeau.cpu.device_count() == 1
    flambeau.cpu.synchronize()


def test_the_accelerator():
    found = flambeau.accelerator.current_accelerator()
    assert flambeau.accelerator.is_available() == (found is not None)
    assert flambeau.accelerator.device_count() == (0 if found is None else flambeau.get_device_module(found).device_count())
    assert flambeau.get_device_module("cuda") is flambeau.cuda
    with pytest.raises(RuntimeError, match="module"):
        flambeau.get_device_module("nowhere")


def test_switches_are_kept():
    import flambeau.backends.cudnn as cudnn

    assert flambeau.backends.cudnn is cudnn
    before = cudnn.benchmark
    with cudnn.flags(benchmark=True):
        assert cudnn.benchmark is True
    assert cudnn.benchmark is before
    flambeau.backends.cuda.matmul.allow_tf32 = True
    assert flambeau.backends.cuda.matmul.allow_tf32 is True
    flambeau.backends.cuda.matmul.allow_tf32 = False
    assert flambeau.backends.mps.is_available() == flambeau.mps.is_available()
    assert flambeau.backends.mkldnn.is_available() is flambeau.backends.openmp.is_available() is False


def test_threads_and_other_settings_are_given_back():
    before = flambeau.get_num_threads()
    flambeau.set_num_threads(3)
    assert flambeau.get_num_threads() == 3
    flambeau.set_num_threads(before)
    with pytest.raises(RuntimeError, match="positive"):
        flambeau.set_num_threads(0)
    flambeau.set_float32_matmul_precision("high")
    assert flambeau.get_float32_matmul_precision() == "high"
    flambeau.set_float32_matmul_precision("highest")
    with pytest.raises(NotImplementedError, match="compile"):
        flambeau.compile(lambda x: x)


def test_a_default_device_for_a_block():
    with flambeau.device("cpu"):
        assert flambeau.zeros(1).device.type == "cpu"
    with flambeau.device("nowhere"), pytest.raises(RuntimeError, match="nowhere"):
        flambeau.zeros(1)
    assert flambeau.zeros(1).device == flambeau.device("cpu")


def test_a_plain_import_reaches_every_submodule_and_loads_nothing_heavy():
    program = ("import sys, flambeau as torch\n"
               "heavy = {'multiprocessing', 'asyncio', 'rich', 'urllib.request', 'torch', 'matplotlib'} & set(sys.modules)\n"
               "assert not heavy, heavy\n"
               "torch.nn, torch.optim, torch.utils.data, torch.autograd, torch.vision, torch.cuda, torch.backends\n"
               "torch.no_grad, torch.save, torch.random.manual_seed, torch.version.__version__\n")
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_namespace_lists_operators_and_refuses_what_is_not_there():
    assert {"add", "rand", "nn", "FloatTensor", "no_grad"} <= set(dir(flambeau))
    with pytest.raises(AttributeError, match="nonsense"):
        flambeau.nonsense
    assert not hasattr(flambeau, "cross_entropy")  # of nn.functional only


def test_the_version_knows_of_no_build_for_an_accelerator():
    assert flambeau.version.cuda is None
    assert flambeau.version.hip is None
    assert flambeau.version.debug is False


@pytest.mark.parametrize("module", ["cuda", "xpu", "mps", "nn", "utils", "optim", "autograd", "backends"])
@pytest.mark.parametrize("name", ["tunable", "nothing_of_the_kind"])
def test_asking_for_what_is_not_there_is_answered(module, name):
    """Programs probe with hasattr, which knows AttributeError only."""
    assert not hasattr(getattr(flambeau, module), name)
