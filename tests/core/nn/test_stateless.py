"""Modules as functions of their parameters, fused layers, and modules that are not drawn, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from flambeau import nn


def near(ours, theirs):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


def both(oracle, call):
    found = []
    for library in (flambeau, oracle):
        library.manual_seed(6)
        found.append(call(library))
    return found


# ---------------------------------------------------------------------------------------------- functional_call
def tied(t):
    class Tied(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = t.nn.Linear(2, 2)
            self.second = t.nn.Linear(2, 2)
            self.second.weight = self.first.weight
            self.register_buffer("count", t.zeros(()))

        def forward(self, x, factor=1):
            self.count = self.count + 1
            return self.second(self.first(x)) * factor
    return Tied()


def test_calls_with_other_parameters(oracle):
    def call(t):
        module = tied(t)
        before = {key: value.clone() for key, value in module.state_dict().items()}
        weight = t.eye(2).requires_grad_()
        given = {"first.weight": weight, "count": t.tensor(5.0)}
        result = t.func.functional_call(module, given, t.ones(1, 2), {"factor": 2})
        result.sum().backward()
        assert given["count"].item() == 6 and module.count.item() == 0
        assert all(t.equal(value, before[key]) for key, value in module.state_dict().items())
        assert module.first.weight is module.second.weight and isinstance(module.first.weight, t.nn.Parameter)
        apart = t.func.functional_call(module, ({"first.weight": weight}, {"count": t.tensor(1.0)}), (t.ones(1, 2),),
                                       tie_weights=False)
        whole = t.func.functional_call(module, dict(module.named_parameters()) | dict(module.named_buffers()),
                                       t.ones(1, 2), strict=True)
        return [result, weight.grad, apart, whole]
    for ours, theirs in zip(*both(oracle, call), strict=True):
        near(ours, theirs)


def test_errors_of_calls(oracle):
    for library in (flambeau, oracle):
        call, module, x = library.func.functional_call, tied(library), library.ones(1, 2)
        with pytest.raises(ValueError, match=r"multiple values for keys \['first.weight', 'second.weight'\]"):
            call(module, {"first.weight": library.eye(2), "second.weight": library.ones(2, 2)}, x)
        with pytest.raises(ValueError, match="appeared in multiple dictionaries"):
            call(module, [{"count": x}, {"count": x}], x)
        with pytest.raises(ValueError, match="Expected all elements"):
            call(module, [1], x)
        with pytest.raises(ValueError, match="to be a dict, or a list/tuple"):
            call(module, 3, x)
        with pytest.raises(RuntimeError, match="Missing key"):
            call(module, {"count": x}, x, strict=True)
        with pytest.raises(RuntimeError, match="Unexpected key"):
            call(module, {"other": x}, x, strict=True)
        with pytest.raises(TypeError, match=r"is not an instance of torch\.Tensor"):
            call(module, {"count": 3}, x)
        with pytest.raises(AttributeError):
            call(module, {"third.weight": x}, x)
        with pytest.raises(RuntimeError, match="DataParallel"):
            call(library.nn.DataParallel(module), {}, x)
        assert module(x).shape == (1, 2)
        with pytest.warns(FutureWarning, match=r"torch\.func\.functional_call"):
            library.nn.utils.stateless.functional_call(module, {}, x)


def test_stacking(oracle):
    def call(t):
        models = [t.nn.Sequential(t.nn.Linear(2, 3), t.nn.BatchNorm1d(3)) for _ in range(3)]
        parameters, buffers = t.func.stack_module_state(models)
        assert all(each.requires_grad and each.is_leaf for each in parameters.values())
        with pytest.raises(RuntimeError, match="at least one model"):
            t.func.stack_module_state([])
        with pytest.raises(RuntimeError, match="same training/eval mode"):
            t.func.stack_module_state([models[0], t.nn.Sequential().eval()])
        with pytest.raises(RuntimeError, match="same class"):
            t.func.stack_module_state([models[0], t.nn.Linear(1, 1)])
        models[0][0].weight.requires_grad_(False)
        with pytest.raises(RuntimeError, match=r"0\.weight from each model"):
            t.func.stack_module_state(models)
        plain = t.func.replace_all_batch_norm_modules_(models[0])
        assert plain is models[0] and plain[1].running_mean is None and not plain[1].track_running_stats
        return {**parameters, **buffers}
    ours, theirs = both(oracle, call)
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        near(value, theirs[key])


# ---------------------------------------------------------------------------------------------- fusion
def test_fusion(oracle):
    def statistics(t, norm):
        with t.no_grad():
            for number, each in enumerate((norm.weight, norm.bias, norm.running_mean, norm.running_var)):
                if each is not None:
                    each.copy_(t.arange(each.numel()) * 0.3 + 0.2 * number + 0.1)
        return norm.eval()

    def call(t):
        n, found = t.nn, []
        for conv, transpose in ((n.Conv2d(2, 4, 3, groups=2), False), (n.Conv1d(2, 3, 2, bias=False), False),
                                (n.ConvTranspose2d(2, 3, 2), True)):
            norm = getattr(n, f"BatchNorm{conv.weight.dim() - 2}d")(conv.out_channels, affine=not transpose)
            fused = n.utils.fuse_conv_bn_eval(conv.eval(), statistics(t, norm), transpose)
            x = t.ones(1, 2, *[5] * (conv.weight.dim() - 2)).cumsum(-1)
            assert type(fused) is type(conv) and t.allclose(fused(x), norm(conv(x)), atol=1e-5)
            found += [fused.weight, fused.bias]
            assert fused.weight.requires_grad and isinstance(fused.bias, n.Parameter)
        for features in (3, 1):
            linear, norm = n.Linear(2, 3).eval(), statistics(t, n.BatchNorm1d(features))
            fused = n.utils.fuse_linear_bn_eval(linear, norm)
            found += [fused.weight, fused.bias]
        with pytest.raises(AssertionError, match="only for eval"):
            n.utils.fuse_linear_bn_eval(n.Linear(2, 3), norm)
        with pytest.raises(AssertionError, match="To fuse"):
            n.utils.fuse_linear_bn_eval(linear, n.BatchNorm1d(2).eval())
        with pytest.raises(AssertionError, match="must not be None"):
            n.utils.fuse_conv_bn_eval(conv, n.BatchNorm2d(3, track_running_stats=False).eval())
        return found
    for ours, theirs in zip(*both(oracle, call), strict=True):
        near(ours, theirs)


# ---------------------------------------------------------------------------------------------- the rest
def test_skip_init(oracle):
    for library in (flambeau, oracle):
        skip_init = library.nn.utils.skip_init
        library.manual_seed(0)
        layer = skip_init(library.nn.Linear, 3, 2, dtype=library.float64)
        assert layer.weight.shape == (2, 3) and layer.weight.dtype == library.float64 and layer.weight.requires_grad
        drawn = library.rand(1).item()
        library.manual_seed(0)
        assert library.rand(1).item() == drawn
        with pytest.raises(RuntimeError, match="Expected a Module"):
            skip_init(dict)
        with pytest.raises(RuntimeError, match="must support a 'device' arg"):
            skip_init(library.nn.ReLU)
    assert str(nn.utils.skip_init(nn.Linear, 1, 1, device="reference:1").weight.device) == "reference:1"


def test_memory_formats(oracle):
    for library in (flambeau, oracle):
        n = library.nn
        model = n.Sequential(n.Conv2d(4, 4, 3), n.Sequential(n.ConvTranspose2d(4, 4, 3)), n.Conv3d(2, 2, 3))
        assert n.utils.convert_conv2d_weight_memory_format(model, library.channels_last) is model
        assert model[0].weight.is_contiguous(memory_format=library.channels_last)
        assert model[1][0].weight.is_contiguous(memory_format=library.channels_last)
        assert model[2].weight.is_contiguous()
        n.utils.convert_conv3d_weight_memory_format(model, library.channels_last_3d)
        assert model[2].weight.is_contiguous(memory_format=library.channels_last_3d)
