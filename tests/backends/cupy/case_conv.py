"""Convolutions of the CUDA backend on the simulated machine: every tile, in every direction, against the host's."""

from __future__ import annotations

import numpy as np
import pytest

import cuda_machine
import flambeau as torch
from flambeau import discovery
from flambeau_clike import launch as launching
from flambeau_clike.kernels import conv, implicit
from flambeau_clike.kernels.windows import Windows
from flambeau_clike.transfers import from_host, to_host

# samples, groups, channels of a group of the input and of the output, size, kernel, stride, padding, dilation
FORMS = {
    "2d": (2, 1, 5, 18, (9, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    "2d, all unlike": (2, 2, 3, 7, (11, 10), (3, 2), (2, 3), (2, 1), (1, 2)),
    "2d, strides beyond the kernel": (2, 1, 6, 5, (9, 8), (2, 1), (4, 3), (1, 0), (1, 1)),
    "2d, stride and dilation": (1, 1, 5, 6, (13, 12), (3, 4), (2, 4), (3, 2), (2, 2)),
    "1d": (3, 1, 9, 20, (33,), (5,), (2,), (2,), (1,)),
    "3d": (2, 1, 5, 6, (5, 4, 6), (3, 2, 3), (2, 1, 2), (1, 0, 1), (1, 2, 1)),
    "more than a tile": (2, 1, 17, 70, (9, 9), (3, 3), (1, 1), (1, 1), (1, 1)),
    "depthwise": (2, 6, 1, 1, (9, 7), (3, 3), (2, 1), (1, 1), (1, 2)),
    "depthwise, more outputs": (2, 3, 1, 2, (7, 9), (3, 2), (1, 2), (0, 1), (2, 1)),
    "depthwise, 1d and long": (3, 4, 1, 1, (300,), (4,), (1,), (3,), (1,)),
    "depthwise, 3d": (2, 2, 2, 3, (5, 4, 6), (3, 2, 3), (2, 1, 2), (1, 0, 1), (1, 2, 1)),
    "one element": (2, 1, 5, 6, (6, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
    "one element, with a border": (2, 1, 5, 6, (3, 3), (1, 1), (2, 2), (1, 1), (1, 1)),
}
TILED = [name for name in FORMS if "depthwise" not in name]


def values(shape, dtype, seed):
    """Numbers that are not alike."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check(device, form, dtype="float32", directions=("apply", "back", "weights")):
    """The convolution and its gradients, against those of the host's backend."""
    samples, groups, ins, outs, size, kernel, *rest = form
    host, words = discovery.host().kernels, (*map(tuple, rest), groups)
    x, w = values((samples, groups * ins, *size), dtype, 0), values((groups * outs, ins, *kernel), dtype, 1)
    bias = values((groups * outs * 2,), dtype, 2)[::2]
    out = host["convolution"](x, w, bias, *words)
    g = values(out.shape, dtype, 3)
    x_, w_, bias_, g_ = (from_host(each, device) for each in (x, w, bias, g))
    tolerance = 1e-4 if dtype == "float32" else 1e-11
    if "apply" in directions:
        np.testing.assert_allclose(to_host(conv.convolution(x_, w_, bias_, *words)), out, tolerance, tolerance)
    if "back" in directions:
        found = to_host(conv.convolution_input_grad(g_, w_, size, *words))
        np.testing.assert_allclose(found, host["convolution_input_grad"](g, w, size, *words), tolerance, tolerance)
    if "weights" in directions:
        found = to_host(conv.convolution_weight_grad(x_, g_, kernel, *words))
        np.testing.assert_allclose(found, host["convolution_weight_grad"](x, g, kernel, *words), 10 * tolerance,
                                   10 * tolerance)


@pytest.fixture
def device():
    """The device's record; what it runs must be what a GPU runs."""
    found = discovery.backend_for("cuda")._devices[0]
    assert not found.traits.cpu
    return found


def launched(run):
    """The names of the kernels that something queues."""
    cuda_machine.launches.clear()
    run()
    return list(cuda_machine.launches)


@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients(device, form):
    check(device, FORMS[form])


@pytest.mark.parametrize(("tile", "dtype"), [*[(tile, "float32") for tile in implicit.CHOICES],
                                             (implicit.CHOICES[1], "float64"), (implicit.CHOICES[-1], "float64")])
def test_every_tile(device, tile, dtype, monkeypatch):
    monkeypatch.setattr(implicit, "fitting", lambda device, itemsize: (tile,))
    for form in ("2d, all unlike", "3d", "more than a tile"):
        names = launched(lambda form=form: check(device, FORMS[form], dtype))
        assert sum("conv_tiles_" + "_".join(map(str, tile)) in name for name in names) == 3
        assert not [name for name in names if "columns" in name]


@pytest.mark.parametrize("form", ["2d, all unlike", "3d", "more than a tile"])
def test_sums_in_parts(device, form, monkeypatch):
    monkeypatch.setattr(implicit, "LEAST", 8)
    monkeypatch.setattr(implicit, "TRAFFIC", -100)      # parts are free
    implicit._prepared.cache_clear()
    names = launched(lambda: check(device, FORMS[form]))
    implicit._prepared.cache_clear()
    assert sum("conv_sum" in name for name in names) >= 2


@pytest.mark.parametrize("form", ["2d, all unlike", "3d", "depthwise"])
def test_indices_of_64_bits(device, form, monkeypatch):
    monkeypatch.setattr(launching, "NARROW", 0)
    check(device, FORMS[form])


def test_what_goes_where(device):
    assert any("conv_direct_weights" in name for name in launched(lambda: check(device, FORMS["depthwise"])))
    assert not any("conv" in name for name in launched(lambda: check(device, FORMS["one element"], "float32",
                                                                     ("apply", "back"))))


def test_the_columns_when_they_are_asked_for(device, monkeypatch):
    monkeypatch.setenv(implicit.SETTING, "columns")
    names = launched(lambda: check(device, FORMS["2d"]))
    assert any("columns" in name for name in names) and not any("tiles" in name for name in names)


def test_the_same_results_every_time(device):
    def run():
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(6, 8, 3, stride=2, padding=1).to("cuda")
        x = torch.randn(2, 6, 13, 13, device="cuda", requires_grad=True)
        layer(x).square().sum().backward()
        return [each.cpu().numpy().tobytes() for each in (x.grad, layer.weight.grad, layer.bias.grad)]

    assert run() == run()


def test_empty(device):
    x = torch.ones(0, 6, 5, 5, device="cuda", requires_grad=True)
    w = torch.ones(7, 6, 3, 3, device="cuda", requires_grad=True)
    torch.nn.functional.conv2d(x, w).sum().backward()
    assert not w.grad.cpu().numpy().any() and x.grad.shape == x.shape


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transposed_with_sizes_left_over(device, dtype):
    x, w = torch.from_numpy(values((2, 6, 5, 4), dtype, 0)), torch.from_numpy(values((6, 5, 3, 3), dtype, 1))
    options = {"stride": (3, 2), "padding": 1, "output_padding": (2, 1), "dilation": (1, 2)}
    wanted = torch.nn.functional.conv_transpose2d(x, w, None, **options)
    found = torch.nn.functional.conv_transpose2d(x.cuda(), w.cuda(), None, **options)
    np.testing.assert_allclose(found.cpu().numpy(), wanted.numpy(), 1e-4, 1e-4)


# ---------------------------------------------------------------------------------------------- the plan
def planned(what, samples, ins, outs, size, units=132, groups=1, width=3, itemsize=4):
    """The plan of a convolution that keeps its size, on a device with so many compute units."""
    border = (width // 2,) * 2
    w = Windows((size, size), (size, size), (width, width), (1, 1), border, (1, 1))
    problem = implicit.Problem(what, w, samples, groups, ins, outs)
    return implicit.plan(problem, implicit._fitting(48 << 10, 1024, itemsize), units)


@pytest.mark.parametrize("itemsize", [4, 8])
def test_all_tiles_fit_everywhere(itemsize):
    assert implicit._fitting(24 << 10, 256, itemsize) == tuple([each for each in implicit.CHOICES
                                                                if each.holds(itemsize)])
    assert all(each.m * each.k % each.members == each.n * each.k % each.members == 0 for each in implicit.CHOICES)
    assert implicit._fitting(0, 1024, itemsize) == ()


def test_tiles_follow_the_work():
    assert planned("apply", 32, 256, 256, 56).tile == implicit.CHOICES[0]      # much work: large tiles
    assert planned("apply", 32, 3, 16, 56).tile.m <= 32                        # few rows: none that are mostly empty
    few = planned("apply", 1, 512, 512, 7)                                     # few results, long sums: parts of them
    assert few.parts > 1 and few.groups >= 132
    weights = planned("weights", 64, 64, 64, 56)
    assert weights.parts > 1 and weights.parts * weights.length >= 64 * 56 * 56
    assert planned("apply", 32, 256, 256, 56).parts == 1

