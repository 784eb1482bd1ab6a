"""vision.ops: the blocks that models are made of do what their names say, with PyTorch's layers as the yardstick."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau import nn
from flambeau.vision import ops


def twin(module: Any, theirs: Any, oracle: ModuleType, x: Any) -> None:
    """Copy the parameters into PyTorch's module, in order, and compare the outputs."""
    flambeau.manual_seed(0)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.data.uniform_(0.1, 1)
    own, other = module.state_dict(), theirs.state_dict()
    assert [tuple(value.shape) for value in own.values()] == [tuple(value.shape) for value in other.values()]
    pairs = zip(other, own.values(), strict=True)
    theirs.load_state_dict({key: oracle.from_numpy(value.numpy().copy()) for key, value in pairs})
    found = module.eval()(flambeau.from_numpy(x)).detach().numpy()
    assert np.allclose(found, theirs.eval()(oracle.from_numpy(x)).detach().numpy(), atol=1e-5)


def picture(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def test_convolution_with_normalisation_and_activation(oracle: ModuleType):
    layers = oracle.nn
    twin(ops.Conv2dNormActivation(3, 4), layers.Sequential(
        layers.Conv2d(3, 4, 3, 1, 1, bias=False), layers.BatchNorm2d(4), layers.ReLU()), oracle, picture(2, 3, 8, 8))
    twin(ops.Conv2dNormActivation(4, 8, (5, 3), 2, groups=2, dilation=2, norm_layer=None, activation_layer=nn.SiLU),
         layers.Sequential(layers.Conv2d(4, 8, (5, 3), 2, (4, 2), (2, 2), 2), layers.SiLU()), oracle,
         picture(2, 4, 12, 12))  # fmt: skip
    twin(ops.Conv3dNormActivation(1, 2, 3, 2, activation_layer=None), layers.Sequential(
        layers.Conv3d(1, 2, 3, 2, 1, bias=False), layers.BatchNorm3d(2)), oracle, picture(1, 1, 6, 6, 6))
    block = ops.Conv2dNormActivation(3, 4, 1, padding=0, inplace=None, activation_layer=nn.GELU, bias=True)
    assert block.out_channels == 4 and block[0].bias is not None and len(block) == 3


def test_squeeze_and_excitation_and_perceptron(oracle: ModuleType):
    class Excitation(oracle.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = oracle.nn.Conv2d(6, 2, 1), oracle.nn.Conv2d(2, 6, 1)

        def forward(self, x: Any) -> Any:
            hidden = oracle.nn.functional.silu(self.fc1(x.mean((2, 3), keepdim=True)))
            return x * oracle.nn.functional.hardsigmoid(self.fc2(hidden))

    twin(ops.SqueezeExcitation(6, 2, partial(nn.SiLU, inplace=True), nn.Hardsigmoid), Excitation(), oracle,
         picture(2, 6, 5, 5))  # fmt: skip
    layers = oracle.nn
    twin(ops.MLP(4, [8, 8, 2], norm_layer=nn.LayerNorm, dropout=0.3), layers.Sequential(
        layers.Linear(4, 8), layers.LayerNorm(8), layers.ReLU(), layers.Dropout(), layers.Linear(8, 8),
        layers.LayerNorm(8), layers.ReLU(), layers.Dropout(), layers.Linear(8, 2)), oracle, picture(3, 4))  # fmt: skip
    assert list(ops.MLP(4, [8, 2], bias=False).state_dict()) == ["0.weight", "3.weight"]


def test_frozen_batch_norm_is_batch_norm_in_eval_mode(oracle: ModuleType):
    frozen, theirs = ops.FrozenBatchNorm2d(3), oracle.nn.BatchNorm2d(3)
    theirs.running_var.uniform_(0.5, 2)
    theirs.running_mean.normal_()
    frozen.load_state_dict({key: flambeau.from_numpy(value.detach().numpy().copy())
                            for key, value in theirs.state_dict().items()})  # fmt: skip
    x = picture(2, 3, 4, 4)
    found = frozen(flambeau.from_numpy(x)).numpy()
    assert np.allclose(found, theirs.eval()(oracle.from_numpy(x)).detach().numpy(), atol=1e-5)
    assert list(frozen.parameters()) == [] and repr(frozen) == "FrozenBatchNorm2d(3, eps=1e-05)"


def test_stochastic_depth():
    flambeau.manual_seed(0)
    ones = flambeau.ones(1000, 2, 3)
    rows = ops.stochastic_depth(ones, 0.25, "row")
    values = rows[:, 0, 0]
    assert flambeau.equal(rows, values.reshape(-1, 1, 1).expand_as(rows))
    kept = values != 0
    assert 700 < kept.sum().item() < 800 and flambeau.allclose(values[kept], flambeau.tensor(4 / 3))
    whole = [ops.stochastic_depth(ones[:2], 0.5, "batch").unique().tolist() for _ in range(40)]
    assert [0.0] in whole and [2.0] in whole and len({tuple(each) for each in whole}) == 2
    layer = ops.StochasticDepth(1.0, "row")
    assert layer(ones).abs().sum().item() == 0 and layer.eval()(ones) is ones
    assert repr(layer) == "StochasticDepth(p=1.0, mode=row)"
    with pytest.raises(ValueError, match="between 0 and 1"):
        ops.stochastic_depth(ones, 1.5, "row")
    with pytest.raises(ValueError, match="'batch' or 'row'"):
        ops.stochastic_depth(ones, 0.5, "column")


def test_permute():
    assert tuple(ops.Permute([0, 2, 1])(flambeau.zeros(2, 3, 4)).shape) == (2, 4, 3)
