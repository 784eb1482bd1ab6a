"""Resizing against PyTorch: values and gradients over random sizes, bytes to the last bit, errors, deprecated names."""

from __future__ import annotations

import random

import numpy as np
import pytest

import flambeau
from flambeau.ops.resampling import taps

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

MODES = {1: ("nearest", "nearest-exact", "linear", "area"),
         2: ("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos", "area"),
         3: ("nearest", "nearest-exact", "trilinear", "area")}


def _draw(rng: random.Random) -> tuple[tuple[int, ...], dict]:
    ndim = rng.choice((1, 2, 2, 2, 3))
    mode = rng.choice(MODES[ndim])
    options: dict = {"mode": mode}
    if mode == "lanczos" or (mode in ("bilinear", "bicubic") and rng.random() < 0.4):
        options["antialias"] = True
    elif mode.endswith(("linear", "cubic")):
        options["align_corners"] = rng.random() < 0.5
    shape = (rng.randint(1, 2), rng.randint(1, 3), *(rng.randint(2, 9) for _ in range(ndim)))
    if rng.random() < 0.6 or ndim == 3 or options.get("antialias"):
        options["size"] = tuple(rng.randint(2, 12) for _ in range(ndim))
    else:
        options["scale_factor"] = rng.choice((2, 0.5, 1.5, tuple(rng.uniform(0.5, 3) for _ in range(ndim))))
        options["recompute_scale_factor"] = rng.choice((None, True, False))
    return shape, options


def _run(library, values, options):
    x = library.tensor(values, requires_grad=True)
    result = library.nn.functional.interpolate(x, **options)
    weights = library.tensor(np.cos(np.arange(result.numel())).reshape(tuple(result.shape)).astype(values.dtype))
    (result * weights).sum().backward()
    return result.grad_fn.name(), result.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients(dtype):
    rng = random.Random(7)
    for number in range(150):
        shape, options = _draw(rng)
        values = np.random.RandomState(number).randn(*shape).astype(dtype)
        name, *expected = _run(torch, values, options)
        our_name, *found = _run(flambeau, values, options)
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=1e-3 if dtype == "float32" else 1e-9, atol=2e-5,
                                       err_msg=f"{shape} {options}")
        if options["mode"] != "area":
            assert our_name == name


def test_second_derivatives_go_on():
    x = flambeau.tensor(np.random.RandomState(0).randn(1, 2, 4, 3), requires_grad=True)
    y = flambeau.nn.functional.interpolate(x, (5, 4), mode="bilinear")
    first, = flambeau.autograd.grad((y ** 2).sum(), x, create_graph=True)
    second, = flambeau.autograd.grad((first ** 2).sum(), x)
    t = torch.tensor(x.detach().numpy(), requires_grad=True)
    u = torch.nn.functional.interpolate(t, (5, 4), mode="bilinear")
    third, = torch.autograd.grad((u ** 2).sum(), t, create_graph=True)
    fourth, = torch.autograd.grad((third ** 2).sum(), t)
    np.testing.assert_allclose(second.numpy(), fourth.numpy(), rtol=1e-9)


def test_bytes_are_equal_to_the_last():
    rng = random.Random(3)
    for number in range(60):
        mode = rng.choice(("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos"))
        options = {"antialias": mode == "lanczos" or (mode.startswith("bi") and rng.random() < 0.5)}
        shape = (1, rng.choice((1, 3)), rng.randint(2, 9), rng.randint(2, 9))
        size = (rng.randint(2, 12), rng.randint(2, 12))
        values = np.random.RandomState(number).randint(0, 256, shape).astype(np.uint8)
        found = flambeau.nn.functional.interpolate(flambeau.tensor(values), size, mode=mode, **options).numpy()
        expected = torch.nn.functional.interpolate(torch.tensor(values), size, mode=mode, **options).numpy()
        np.testing.assert_array_equal(found, expected, err_msg=f"{mode} {options} {shape} {size}")


def test_infinities_stay_with_their_neighbours():
    values = np.ones((1, 1, 6, 40), np.float32)
    values[0, 0, 2, 5] = np.inf
    for options in ({"mode": "bilinear"}, {"mode": "bicubic"}, {"mode": "nearest"}):
        found = flambeau.nn.functional.interpolate(flambeau.tensor(values), (9, 70), **options).numpy()
        assert np.isfinite(found[..., 20:]).all()
        assert not np.isfinite(found[..., :20]).all()


def test_a_place_below_a_whole_number_in_single_precision():
    single, double = taps("nearest", 41, 61, False, 1.5, True), taps("nearest", 41, 61, False, 1.5, False)
    for dtype, (_, places, _) in ((np.float32, single), (np.float64, double)):
        values = np.arange(41, dtype=dtype).reshape(1, 1, 41)
        expected = torch.nn.functional.interpolate(torch.tensor(values), scale_factor=1.5).numpy()
        np.testing.assert_array_equal(values[0, 0][list(places)], expected[0, 0])


REFUSED = {
    "neither": ((1, 1, 4), {}),
    "both": ((1, 1, 4), {"size": 3, "scale_factor": 2}),
    "align_corners of nearest": ((1, 1, 4), {"size": 3, "align_corners": True}),
    "length of size": ((1, 1, 4, 4), {"size": (3,)}),
    "length of factor": ((1, 1, 4, 4), {"scale_factor": (2.0,)}),
    "kind of size": ((1, 1, 4, 4), {"size": (2.5, 3)}),
    "recomputed": ((1, 1, 4), {"size": 3, "recompute_scale_factor": True}),
    "antialias": ((1, 1, 4), {"size": 3, "mode": "linear", "antialias": True}),
    "lanczos without": ((1, 1, 4, 4), {"size": 3, "mode": "lanczos"}),
    "lanczos corners": ((1, 1, 4, 4), {"size": 3, "mode": "lanczos", "antialias": True, "align_corners": True}),
    "bilinear 3D": ((1, 1, 4), {"size": 3, "mode": "bilinear"}),
    "linear 4D": ((1, 1, 4, 4), {"size": 3, "mode": "linear"}),
    "trilinear 4D": ((1, 1, 4, 4), {"size": 3, "mode": "trilinear"}),
    "2D": ((4, 4), {"size": 3}),
    "unknown mode": ((1, 1, 4, 4), {"size": 3, "mode": "quadratic"}),
    "no size": ((1, 1, 4, 4), {"size": 0}),
    "no factor": ((1, 1, 4, 4), {"scale_factor": 0.1, "mode": "bilinear"}),
    "empty input": ((1, 2, 0, 4), {"size": 3}),
    "no channels": ((1, 0, 3, 4), {"size": 3}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_errors_are_of_pytorchs_type(case):
    shape, options = REFUSED[case]
    with pytest.raises(Exception) as theirs:
        torch.nn.functional.interpolate(torch.ones(shape), **options)
    with pytest.raises(theirs.type):
        flambeau.nn.functional.interpolate(flambeau.ones(shape), **options)


def test_other_dtypes_are_refused():
    for dtype in (flambeau.int32, flambeau.bool, flambeau.complex64):
        with pytest.raises(NotImplementedError, match="not implemented for"):
            flambeau.nn.functional.interpolate(flambeau.ones(1, 1, 4, dtype=dtype), 3)


@pytest.mark.parametrize("name", ["upsample", "upsample_nearest", "upsample_bilinear"])
def test_old_names_warn(name):
    values = np.random.RandomState(0).randn(1, 2, 3, 4)
    with pytest.warns(UserWarning, match="interpolate"):
        found = getattr(flambeau.nn.functional, name)(flambeau.tensor(values), (5, 6))
    with pytest.warns(UserWarning, match="interpolate"):
        expected = getattr(torch.nn.functional, name)(torch.tensor(values), (5, 6))
    np.testing.assert_allclose(found.numpy(), expected.numpy())
