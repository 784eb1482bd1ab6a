"""Sampling at places, pooling in its rarer forms, distances of rows: against PyTorch, over random sizes."""

from __future__ import annotations

import random

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


def _run(library, call, arrays):
    library.manual_seed(3)
    tensors = [library.tensor(each, requires_grad=True) for each in arrays]
    results = call(library, *tensors)
    results = list(results) if isinstance(results, tuple) else [results]
    found = [each.detach().numpy() for each in results]
    weights = library.tensor(np.cos(np.arange(found[0].size)).reshape(found[0].shape).astype(found[0].dtype))
    (results[0] * weights).sum().backward()
    return found + [each.grad.numpy() for each in tensors]


def same(call, *arrays, what=""):
    """Results and gradients of a call in both libraries."""
    for mine, theirs in zip(_run(flambeau, call, arrays), _run(torch, call, arrays), strict=True):
        assert mine.dtype == theirs.dtype, what
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-8, err_msg=str(what))


def _randn(seed, *shape):
    return np.random.RandomState(seed).randn(*shape)


# ---------------------------------------------------------------------------------------------- grids
def test_grid_sample():
    rng = random.Random(1)
    for number in range(120):
        ndim = rng.choice((2, 2, 3))
        mode = rng.choice(("bilinear", "nearest", "bicubic")[:2 if ndim == 3 else 3])
        options = (mode, rng.choice(("zeros", "border", "reflection")), rng.random() < 0.5)
        samples = rng.randint(1, 3)
        image = _randn(number, samples, 2, *(rng.randint(1, 6) for _ in range(ndim)))
        grid = np.random.RandomState(number).uniform(
            -1.7, 1.7, (samples, *(rng.randint(1, 4) for _ in range(ndim)), ndim))
        if number % 4 == 0:
            grid = np.round(grid * 2) / 2 + (1e-3 if mode == "nearest" else 0)   # centres and borders
        same(lambda lib, x, g, o=options: lib.nn.functional.grid_sample(x, g, *o), image, grid,
             what=(options, image.shape))


def test_grid_sample_has_second_derivatives():
    image = flambeau.tensor(_randn(0, 1, 2, 4, 5), requires_grad=True)
    grid = flambeau.tensor(_randn(1, 1, 2, 3, 2) * 0.4, requires_grad=True)

    def slope(x, g):
        result = flambeau.nn.functional.grid_sample(x, g, "bicubic", align_corners=False)
        return flambeau.autograd.grad((result ** 2).sum(), (x, g), create_graph=True)
    second = flambeau.autograd.grad(sum((each ** 2).sum() for each in slope(image, grid)), (image, grid))
    step = 1e-6
    for leaf, found in zip((image, grid), second, strict=True):
        away = flambeau.tensor(_randn(2, *leaf.shape))
        ends = [sum((each ** 2).sum().item() for each in slope(*(
            (each + away * (sign * step)).detach().requires_grad_() if each is leaf else each
            for each in (image, grid)))) for sign in (1, -1)]
        assert (found * away).sum().item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_places_outside_are_zeros_whatever_is_at_the_border():
    image = flambeau.full((1, 1, 2, 2), float("inf"))
    grid = flambeau.tensor([[[[-5.0, 0.0], [float("nan"), 0.0]]]])
    assert flambeau.nn.functional.grid_sample(image, grid, align_corners=False).tolist() == [[[[0.0, 0.0]]]]


def test_affine_grid():
    for size, align_corners in (((2, 1, 3, 4), False), ((2, 1, 3, 4), True), ((1, 2, 2, 3, 4), False),
                                ((1, 1, 1, 3), False), ((1, 2, 3, 2, 5), True)):
        theta = _randn(0, size[0], len(size) - 2, len(size) - 1)
        same(lambda lib, x, s=size, a=align_corners: lib.nn.functional.affine_grid(x, s, a), theta, what=size)


REFUSED = {
    "mode": lambda F, t: F.grid_sample(t(1, 1, 2, 2), t(1, 1, 1, 2), "cubic", align_corners=False),
    "padding": lambda F, t: F.grid_sample(t(1, 1, 2, 2), t(1, 1, 1, 2), "nearest", "mirror", False),
    "last dimension": lambda F, t: F.grid_sample(t(1, 1, 2, 2), t(1, 1, 1, 3), align_corners=False),
    "batch": lambda F, t: F.grid_sample(t(1, 1, 2, 2), t(2, 1, 1, 2), align_corners=False),
    "bicubic of 5D": lambda F, t: F.grid_sample(t(1, 1, 2, 2, 2), t(1, 1, 1, 1, 3), "bicubic", align_corners=False),
    "empty": lambda F, t: F.grid_sample(t(1, 1, 0, 2), t(1, 1, 1, 2), align_corners=False),
    "dtypes": lambda F, t: F.grid_sample(t(1, 1, 2, 2).double(), t(1, 1, 1, 2), align_corners=False),
    "matrices": lambda F, t: F.affine_grid(t(1, 2, 2), (1, 1, 2, 2), False),
    "integers": lambda F, t: F.affine_grid(t(1, 2, 3).long(), (1, 1, 2, 2), False),
    "dimensions": lambda F, t: F.affine_grid(t(1, 2, 3), (1, 1, 2), False),
    "no size": lambda F, t: F.affine_grid(t(1, 2, 3), (1, 1, 0, 2), False),
    "neither": lambda F, t: F.fractional_max_pool2d(t(1, 5, 5), 2),
    "too large": lambda F, t: F.fractional_max_pool2d(t(1, 5, 5), 2, 5),
    "too large in 3D": lambda F, t: F.fractional_max_pool3d(t(1, 5, 5, 5), 2, 4),
    "draws": lambda F, t: F.fractional_max_pool2d(t(1, 2, 5, 5), 2, 2, _random_samples=t(1, 3, 2)),
    "draws' dtype": lambda F, t: F.fractional_max_pool2d(t(1, 2, 5, 5), 2, 2, _random_samples=t(1, 2, 2).double()),
    "pdist of 3D": lambda F, t: F.pdist(t(2, 3, 4)),
    "pdist, negative p": lambda F, t: F.pdist(t(2, 3), -1),
    "conv_tbc": lambda F, t: F.conv_tbc(t(5, 2, 3), t(2, 4, 4), t(4)),
    "avg_pool3d": lambda F, t: F.avg_pool3d(t(1, 1, 2, 2), 2, ceil_mode=True),
}


@pytest.mark.parametrize("case", REFUSED)
def test_errors_are_of_pytorchs_type(case):
    with pytest.raises(Exception) as theirs:
        REFUSED[case](torch.nn.functional, torch.ones)
    with pytest.raises(theirs.type):
        REFUSED[case](flambeau.nn.functional, flambeau.ones)


@pytest.mark.parametrize("call", [lambda F, t: F.grid_sample(t(1, 1, 2, 2), t(1, 1, 1, 2)),
                                  lambda F, t: F.affine_grid(t(1, 2, 3), (1, 1, 2, 2)),
                                  lambda F, t: F.affine_grid(t(1, 2, 3), (1, 1, 1, 2), True)])
def test_warnings_about_corners(call):
    with pytest.warns(UserWarning, match=r"1\.3\.0"):
        call(torch.nn.functional, torch.ones)
    with pytest.warns(UserWarning, match=r"1\.3\.0"):
        call(flambeau.nn.functional, flambeau.ones)


def test_modes_have_pytorchs_numbers():
    for name in ("GRID_SAMPLE_INTERPOLATION_MODES", "GRID_SAMPLE_PADDING_MODES"):
        assert getattr(flambeau.nn.functional, name) == getattr(torch.nn.functional, name)


# ---------------------------------------------------------------------------------------------- pooling
def test_fractional_pooling_draws_what_pytorch_draws():
    rng = random.Random(2)
    for number in range(40):
        ndim = rng.choice((2, 3))
        shape = [rng.randint(1, 3) for _ in range(rng.choice((1, 2)))] + [rng.randint(4, 8) for _ in range(ndim)]
        options = {"output_size": rng.choice((1, 2, (3, 2, 1)[:ndim]))} if rng.random() < 0.5 else {
            "output_ratio": tuple(rng.uniform(0.3, 0.7) for _ in range(ndim))}
        same(lambda lib, x, n=ndim, o=options: getattr(lib.nn.functional, f"fractional_max_pool{n}d_with_indices")(
            x, 2, **o), _randn(number, *shape), what=(shape, options))


def test_other_pooling():
    rng = random.Random(4)
    for number in range(40):
        ndim = rng.choice((1, 2, 3))
        values = _randn(number, *(rng.randint(1, 3) for _ in range(rng.choice((1, 2)))),
                        *(rng.randint(2, 8) for _ in range(ndim)))
        out = rng.choice((1, 2, tuple(rng.randint(1, 6) for _ in range(ndim))))
        power = rng.choice((1, 2, 4.0, float("inf"), -float("inf")))
        stride, ceil_mode = rng.choice((None, 1, 2)), rng.random() < 0.5
        for name, call in {
            f"adaptive_max_pool{ndim}d_with_indices": lambda f, x, o=out: f(x, o),
            f"adaptive_avg_pool{ndim}d": lambda f, x, o=out: f(x, o),
            f"max_pool{ndim}d_with_indices": lambda f, x, c=ceil_mode: f(x, 2, 1, ceil_mode=c),
            f"lp_pool{ndim}d": lambda f, x, p=power, s=stride, c=ceil_mode: f(x, p, 2, s, c),
        }.items():
            same(lambda lib, x, n=name, c=call: c(getattr(lib.nn.functional, n), x), values,
                 what=(name, values.shape, out, power))


# ---------------------------------------------------------------------------------------------- the rest
def test_distances_of_rows():
    values = _randn(0, 5, 3)
    values[1] = values[0]
    for p in (0, 0.5, 1, 1.5, 2, 3, float("inf")):
        same(lambda lib, x, p=p: lib.pdist(x, p), values if p != 0.5 else values[1:], what=p)
    assert flambeau.nn.functional.pdist(flambeau.ones(1, 3)).shape == (0,)


def test_convolution_of_time_first():
    for pad in (0, 2):
        same(lambda lib, x, w, b, p=pad: lib.conv_tbc(x, w, b, p), _randn(0, 5, 2, 3), _randn(1, 2, 3, 4),
             _randn(2, 4), what=pad)


def test_random_slopes_are_pytorchs():
    values = _randn(0, 40).astype(np.float32)
    found = [lib.nn.functional.rrelu_(lib.tensor(values), 0.1, 0.9, True).numpy()
             for lib in (flambeau, torch) if lib.manual_seed(5)]
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_channels_in_turn():
    values = flambeau.arange(12.0).reshape(1, 6, 2)
    assert flambeau.native_channel_shuffle(values, 3).tolist() == flambeau.channel_shuffle(values, 3).tolist()
