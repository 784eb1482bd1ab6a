"""Layers that learn their sizes from the first input, and parameters without a shape, against PyTorch."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

import flambeau
from flambeau import nn

# name, arguments, options, the shape of an input
LAYERS = [
    ("LazyLinear", (3,), {}, (2, 5)), ("LazyLinear", (3,), {"bias": False}, (5,)),
    ("LazyConv1d", (4, 3), {"groups": 2}, (1, 2, 6)), ("LazyConv2d", (4, 3), {"padding": 1}, (2, 5, 5)),
    ("LazyConv3d", (2, 2), {"bias": False, "stride": 2}, (1, 3, 4, 4, 4)),
    ("LazyConvTranspose1d", (4, 3), {"groups": 2}, (1, 2, 4)),
    ("LazyConvTranspose2d", (4, 3), {"stride": 2, "output_padding": 1}, (1, 3, 4, 4)),
    ("LazyConvTranspose3d", (2, 2), {"bias": False}, (3, 2, 2, 2)),
    ("LazyBatchNorm1d", (), {}, (4, 3)), ("LazyBatchNorm2d", (), {"affine": False}, (4, 3, 2, 2)),
    ("LazyBatchNorm3d", (), {"track_running_stats": False}, (4, 3, 2, 2, 2)),
    ("LazyBatchNorm2d", (1e-3, None), {"bias": False}, (4, 3, 2, 2)),
    ("LazyInstanceNorm1d", (), {}, (2, 3, 4)), ("LazyInstanceNorm2d", (), {"affine": False}, (2, 3, 4, 4)),
    ("LazyInstanceNorm3d", (), {"momentum": 0.3}, (2, 3, 2, 4, 4)),
]


def described(value):
    """A tensor's values, or how it prints where it has none."""
    return repr(value) if "Uninitialized" in repr(value) else value.detach().tolist()


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS)
def test_the_first_call_makes_an_ordinary_layer(oracle, name, args, options, shape):
    values = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    found = []
    for library in (flambeau, oracle):
        library.manual_seed(4)
        layer = getattr(library.nn, name)(*args, **options)
        before = repr(layer), {key: described(each) for key, each in layer.state_dict().items()}
        waits = layer.has_uninitialized_params()
        x = library.from_numpy(values.copy()).requires_grad_()
        result = layer(x)
        (result * result).sum().backward()
        assert type(layer) is getattr(library.nn, name.removeprefix("Lazy"))
        found.append((before, waits, repr(layer), list(layer.state_dict()),
                      [type(p).__name__ for p in layer.parameters()]))
        found.append([result, x.grad, *layer.state_dict().values(), *(p.grad for p in layer.parameters())])
    assert found[0] == found[2]
    for mine, theirs in zip(found[1], found[3], strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_afterwards_calls_are_plain():
    layer = nn.LazyLinear(2)
    layer(flambeau.ones(1, 3))
    assert not layer._has_hooks and not layer._forward_pre_hooks and "_load_hook" not in layer.__dict__
    seen = []
    kept = nn.LazyLinear(2)
    kept.register_forward_hook(lambda *_: seen.append(1))
    kept(flambeau.ones(1, 3))
    kept(flambeau.ones(1, 3))
    assert seen == [1, 1]


def test_state_dicts_travel_in_every_direction(oracle):
    for library in (flambeau, oracle):
        lazy, other, ready = library.nn.LazyLinear(2), library.nn.LazyLinear(2), library.nn.Linear(3, 2)
        assert str(lazy.load_state_dict(other.state_dict())) == "<All keys matched successfully>"
        assert lazy.has_uninitialized_params()
        lazy.load_state_dict(ready.state_dict())
        assert not lazy.has_uninitialized_params() and repr(lazy).startswith("LazyLinear(in_features=0")
        x = library.ones(1, 3)
        assert lazy(x).tolist() == ready(x).tolist() and repr(lazy) == repr(ready)
        with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
            ready.load_state_dict(other.state_dict())
        third = library.nn.LazyLinear(2)
        third.load_state_dict(ready.state_dict())
        with pytest.raises(AssertionError, match="is not equal to in_features"):
            third(library.ones(1, 7))
        norm = library.nn.LazyBatchNorm1d()
        norm.load_state_dict(library.nn.BatchNorm1d(3).state_dict())
        assert norm.running_mean.shape == (3,)


def test_copies_and_files(oracle):
    for library in (flambeau, oracle):
        for make in (copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
            layer = make(library.nn.LazyLinear(2, dtype=library.float64))
            assert repr(layer.weight) == "<UninitializedParameter>"
            again = copy.deepcopy(layer).double()
            assert again(library.ones(1, 4).double()).shape == (1, 2) and layer.has_uninitialized_params()
            assert repr(again) == "Linear(in_features=4, out_features=2, bias=True)"
        file = io.BytesIO()
        library.save(library.nn.LazyLinear(2).state_dict(), file)
        file.seek(0)
        assert repr(library.load(file, weights_only=False)["bias"]) == "<UninitializedParameter>"


def test_moving_and_converting(oracle):
    for library in (flambeau, oracle):
        layer = library.nn.LazyBatchNorm1d()
        assert layer.to(library.float64).running_var.dtype is library.float64
        assert layer.half().weight.dtype is library.float16
        assert layer.float().double().bias.dtype is library.float64 and layer.cpu().weight.device.type == "cpu"
        layer(library.ones(2, 3).double())
        assert {each.dtype for each in layer.parameters()} == {library.float64}
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            library.nn.LazyLinear(2).to_empty(device="cpu")


def test_parameters_without_a_shape(oracle):
    for library in (flambeau, oracle):
        p = library.nn.UninitializedParameter(dtype=library.float64)
        assert repr(p) == "<UninitializedParameter>" and p.requires_grad and p.is_leaf and p.dtype is library.float64
        assert isinstance(p, library.nn.Parameter) and library.nn.parameter.is_lazy(p) and p.data.shape == (0,)
        assert p.size() == (0,) and repr(library.nn.UninitializedBuffer()) == "<UninitializedBuffer>"
        for use in (lambda t, p: p + 1, lambda t, p: t.sum(p), lambda t, p: p.sum(), lambda t, p: t.stack([p])):
            with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
                use(library, p)
        for use in (lambda p: p.shape, lambda p: p.share_memory_()):
            with pytest.raises(RuntimeError, match="uninitialized parameter or buffer"):
                use(p)
        p.materialize((2, 3))
        assert type(p) is library.nn.Parameter and p.shape == (2, 3) and p.dtype is library.float64
        (p * 2).sum().backward()
        assert p.grad.tolist() == [[2.0] * 3] * 2
        b = library.nn.UninitializedBuffer(persistent=False)
        assert not b.persistent and not b.requires_grad
        b.materialize((1,), dtype=library.int64)
        assert type(b) is library.Tensor and b.dtype is library.int64


def test_a_lazy_module_of_ones_own(oracle):
    for library in (flambeau, oracle):
        mixin = library.nn.modules.lazy.LazyModuleMixin

        class Scale(mixin, library.nn.Module):
            def __init__(self, library):
                super().__init__()
                self.library = library
                self.scale = library.nn.UninitializedParameter()

            def initialize_parameters(self, x, ready=True):
                if ready:
                    self.scale.materialize(x.shape[-1:])
                    with self.library.no_grad():
                        self.scale.fill_(2)

            def forward(self, x, ready=True):
                return x * self.scale

        with pytest.raises(RuntimeError, match="module Scale has not been fully initialized"):
            Scale(library)(library.ones(2), ready=False)
        layer = Scale(library)
        assert layer(library.ones(3), ready=True).tolist() == [2, 2, 2] and type(layer) is Scale

        class Forgetful(mixin, library.nn.Module):
            pass

        with pytest.raises(NotImplementedError, match="initialize_parameters is not implemented for Forgetful"):
            Forgetful()(1)


@pytest.mark.parametrize(("error", "words", "call"), [
    (RuntimeError, r"Expected 3D \(unbatched\) or 4D \(batched\) input to LazyConv2d", lambda t: t.nn.LazyConv2d(4, 3)(
        t.ones(2, 5))),
    (ValueError, "divisible by groups", lambda t: t.nn.LazyConv2d(4, 3, groups=2)(t.ones(3, 5, 5))),
    (ValueError, "expected 4D input", lambda t: t.nn.LazyBatchNorm2d()(t.ones(2, 3, 4))),
    (ValueError, "expected 2D or 3D input", lambda t: t.nn.LazyInstanceNorm1d()(t.ones(2, 3, 4, 5))),
])
def test_errors(oracle, error, words, call):
    for library in (flambeau, oracle):
        with pytest.raises(error, match=words):
            call(library)


def test_what_factories_are_given(oracle):
    for library in (flambeau, oracle):
        make = library.nn.factory_kwargs
        assert make(None) == {} and make({"device": "cpu"}) == {"device": "cpu"}
        both = make({"dtype": library.half, "factory_kwargs": {"device": "cpu"}})
        assert both == {"dtype": library.half, "device": "cpu"}
        with pytest.raises(TypeError, match="unexpected kwargs"):
            make({"size": 1})
        with pytest.raises(TypeError, match="dtype specified twice"):
            make({"dtype": 1, "factory_kwargs": {"dtype": 1}})
