"""Layers that pad, resize, shuffle, fold and pool, against PyTorch's: values, gradients, printing, state, errors."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

SIZES = (6, 5, 4)


def _pads():
    for kind, more in (("Constant", (1.5,)), ("Zero", ()), ("Reflection", ()), ("Replication", ()), ("Circular", ())):
        for spatial in (1, 2, 3):
            for padding in (1, (2, 0, 1, 2, 0, 1)[:2 * spatial], (-1, 1) * spatial):
                yield f"{kind}Pad{spatial}d", (padding, *more), {}, (2, 3, *SIZES[:spatial])


def _pools():
    for spatial in (1, 2, 3):
        shape = (2, 3, *SIZES[:spatial])
        yield f"LPPool{spatial}d", (2, 2), {}, shape
        yield f"LPPool{spatial}d", (4.0, 3), {"stride": 1, "ceil_mode": True}, shape
        if spatial > 1:
            yield f"FractionalMaxPool{spatial}d", (2,), {"output_size": 2}, shape
            yield f"FractionalMaxPool{spatial}d", (2,), {"output_ratio": 0.5, "return_indices": True}, shape


CASES = [
    *_pads(), *_pools(),
    ("PixelShuffle", (2,), {}, (2, 8, 2, 3)),
    ("PixelUnshuffle", (3,), {}, (1, 2, 6, 3)),
    ("ChannelShuffle", (3,), {}, (2, 6, 2)),
    ("Fold", ((3, 4), 2), {}, (2, 8, 6)),
    ("Fold", ((4, 5), (2, 3)), {"padding": (1, 0), "stride": (2, 1)}, (6, 9)),
    ("Unfold", ((2, 3),), {"dilation": 2, "padding": 1, "stride": (1, 2)}, (2, 2, 5, 6)),
    ("Upsample", (5,), {}, (1, 2, 3)),
    ("Upsample", (), {"scale_factor": (2, 0.5), "mode": "bilinear"}, (1, 2, 3, 4)),
    ("Upsample", (), {"scale_factor": 1.5, "mode": "trilinear", "recompute_scale_factor": True}, (1, 1, 2, 3, 2)),
    ("UpsamplingNearest2d", (), {"scale_factor": 3}, (1, 2, 3, 2)),
    ("UpsamplingBilinear2d", ((5, 3),), {}, (1, 2, 3, 2)),
    ("LocalResponseNorm", (3,), {"alpha": 0.3}, (2, 5, 4)),
    ("CrossMapLRN2d", (3,), {"alpha": 0.3, "k": 2}, (2, 6, 3, 2)),
    ("CrossMapLRN2d", (4, 0.5, 0.6), {}, (1, 5, 2, 2)),
]


def _outcome(library, name, args, options, values):
    layer = getattr(library.nn, name)(*args, **options)
    x = library.tensor(values, requires_grad=True)
    library.manual_seed(11)
    results = layer(x)
    results = results if isinstance(results, tuple) else (results,)
    weights = library.tensor(np.cos(np.arange(results[0].numel())).reshape(tuple(results[0].shape)))
    (results[0] * weights).sum().backward()
    return repr(layer), list(layer.state_dict()), [each.detach().numpy() for each in results] + [x.grad.numpy()]


def test_layers_do_what_pytorchs_do():
    for name, args, options, shape in CASES:
        values = np.random.RandomState(len(shape)).randn(*shape)
        text, keys, expected = _outcome(torch, name, args, options, values)
        our_text, our_keys, found = _outcome(flambeau, name, args, options, values)
        assert our_text == text
        assert our_keys == keys
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-9, err_msg=f"{name}{args} {options}")


def test_signatures_and_attributes():
    for name, args, options, _ in CASES:
        ours, theirs = getattr(flambeau.nn, name), getattr(torch.nn, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name
        mine, wanted = ours(*args, **options), theirs(*args, **options)
        public = {key: value for key, value in vars(wanted).items() if not key.startswith("_") and key != "training"}
        assert {key: getattr(mine, key) for key in public} == public, name


def test_layers_can_be_copied_and_pickled():
    for name, args, options, _ in CASES[::5]:
        layer = getattr(flambeau.nn, name)(*args, **options)
        assert repr(copy.deepcopy(layer)) == repr(pickle.loads(pickle.dumps(layer))) == repr(layer)


def test_unpooling_undoes_pooling():
    for spatial in (1, 2, 3):
        found = []
        for library in (flambeau, torch):
            x = library.tensor(np.random.RandomState(spatial).randn(2, 3, *SIZES[:spatial]), requires_grad=True)
            values, places = getattr(library.nn, f"MaxPool{spatial}d")(2, return_indices=True)(x)
            layer = getattr(library.nn, f"MaxUnpool{spatial}d")(2)
            back = layer(values, places, output_size=x.shape)
            (back ** 3).sum().backward()
            found.append((repr(layer), back.detach().numpy(), x.grad.numpy()))
        assert found[0][0] == found[1][0]
        for mine, theirs in zip(found[0][1:], found[1][1:], strict=True):
            np.testing.assert_allclose(mine, theirs)


def test_drawn_places_can_be_given():
    draws = np.random.RandomState(0).rand(2, 3, 2)
    values = np.random.RandomState(1).randn(2, 3, 7, 6)
    found = []
    for library in (flambeau, torch):
        layer = library.nn.FractionalMaxPool2d(2, (3, 4), _random_samples=library.tensor(draws))
        assert list(layer.state_dict()) == ["_random_samples"]
        found.append(layer(library.tensor(values)).numpy())
    np.testing.assert_array_equal(*found)


REFUSED = {
    "CircularPad1d of 4D": lambda n, t: n.CircularPad1d(1)(t(1, 1, 3, 3)),
    "ReflectionPad2d too wide": lambda n, t: n.ReflectionPad2d(3)(t(1, 3, 3)),
    "ReplicationPad2d of 2D": lambda n, t: n.ReplicationPad2d(1)(t(3, 3)),
    "PixelShuffle": lambda n, t: n.PixelShuffle(2)(t(1, 3, 2, 2)),
    "PixelUnshuffle": lambda n, t: n.PixelUnshuffle(2)(t(1, 1, 3, 2)),
    "ChannelShuffle": lambda n, t: n.ChannelShuffle(4)(t(1, 6, 2)),
    "Fold": lambda n, t: n.Fold((3, 4), 2)(t(1, 8, 7)),
    "Unfold": lambda n, t: n.Unfold(5)(t(1, 1, 3, 3)),
    "Upsample": lambda n, t: n.Upsample(scale_factor=2, mode="bilinear")(t(1, 1, 3)),
    "FractionalMaxPool2d, neither": lambda n, t: n.FractionalMaxPool2d(2),
    "FractionalMaxPool2d, both": lambda n, t: n.FractionalMaxPool2d(2, 2, 0.5),
    "FractionalMaxPool2d, ratio": lambda n, t: n.FractionalMaxPool2d(2, output_ratio=1.5),
    "FractionalMaxPool3d, window": lambda n, t: n.FractionalMaxPool3d(0, 2),
    "CrossMapLRN2d": lambda n, t: n.CrossMapLRN2d(2)(t(1, 2, 3)),
    "LocalResponseNorm": lambda n, t: n.LocalResponseNorm(2)(t(2, 3)),
    "MaxUnpool2d": lambda n, t: n.MaxUnpool2d(2)(t(1, 2, 2), t(1, 2, 2).long() * 99),
}


@pytest.mark.parametrize("case", REFUSED)
def test_errors_are_of_pytorchs_type(case):
    with pytest.raises(Exception) as theirs:
        REFUSED[case](torch.nn, torch.ones)
    with pytest.raises(theirs.type):
        REFUSED[case](flambeau.nn, flambeau.ones)
