"""Averages of weights against PyTorch."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest

import flambeau
from flambeau.optim import swa_utils


def model(torch):
    nn = torch.nn
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    made.register_buffer("count", torch.tensor([1, 5]))
    return made


FUNCTIONS = {
    "default": lambda u: {},
    "ema": lambda u: {"avg_fn": u.get_ema_avg_fn(0.9)},
    "swa": lambda u: {"avg_fn": u.get_swa_avg_fn()},
    "many, ema": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.75)},
    "many, swa": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
    "one's own": lambda u: {"avg_fn": lambda average, value, number: 0.5 * average + value * (number > 1)},
}


def averaged(torch, name, use_buffers):
    utils = torch.optim.swa_utils
    trained = model(torch)
    result = utils.AveragedModel(trained, use_buffers=use_buffers, **FUNCTIONS[name](utils))
    rng = np.random.default_rng(0)
    for _ in range(4):
        with torch.no_grad():
            for value in [*trained.parameters(), trained[1].running_mean, trained[1].running_var]:
                value.copy_(torch.from_numpy(rng.random(tuple(value.shape)).astype(np.float32)))
            trained.count += 1
        result.update_parameters(trained)
    return result, trained


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_averages(oracle, name, use_buffers):
    ours, trained = averaged(flambeau, name, use_buffers)
    if name == "many, swa" and use_buffers:
        assert ours.module.count.tolist() == [2, 6]  # rounded down at each step; PyTorch has no such mean of integers
        return
    theirs, _ = averaged(oracle, name, use_buffers)
    mine, expected = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(expected)
    for key, value in mine.items():
        assert str(value.dtype) == str(expected[key].dtype)
        np.testing.assert_allclose(value.numpy(), expected[key].numpy(), rtol=1e-6, err_msg=key)
    assert ours.n_averaged.item() == 4
    assert [each.requires_grad for each in ours.parameters()] == [each.requires_grad for each in theirs.parameters()]
    again = swa_utils.AveragedModel(trained)
    again.load_state_dict(copy.deepcopy(mine))
    x = flambeau.ones(2, 3)
    np.testing.assert_array_equal(again.eval()(x).detach().numpy(), ours.eval()(x).detach().numpy())


def test_batch_statistics(oracle):
    rng = np.random.default_rng(1)
    batches = [rng.standard_normal((5, 3)).astype(np.float32) for _ in range(3)]
    weights = {key: rng.random(tuple(value.shape)).astype(np.float32)
               for key, value in model(flambeau).state_dict().items() if value.is_floating_point()}
    results = []
    for torch in (flambeau, oracle):
        trained = model(torch)
        trained.load_state_dict({**trained.state_dict(), **{k: torch.from_numpy(v) for k, v in weights.items()}})
        trained.eval()
        torch.optim.swa_utils.update_bn([(torch.from_numpy(batch), 0) for batch in batches], trained)
        assert not trained.training and trained[1].momentum == 0.1
        torch.optim.swa_utils.update_bn([torch.from_numpy(batch) for batch in batches], trained, device="cpu")
        results.append([trained[1].running_mean, trained[1].running_var, trained[1].num_batches_tracked])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5)
    plain = flambeau.nn.Linear(1, 1)
    swa_utils.update_bn(iter([]), plain)


def test_errors_and_signatures(oracle):
    for torch in (flambeau, oracle):
        utils = torch.optim.swa_utils
        for make in (utils.get_ema_avg_fn, utils.get_ema_multi_avg_fn):
            with pytest.raises(ValueError, match=r"Invalid decay value 1.5 provided"):
                make(1.5)
        with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
            utils.AveragedModel(torch.nn.Linear(1, 1), avg_fn=max, multi_avg_fn=max)
    for name in swa_utils.__all__:
        ours, theirs = (inspect.signature(getattr(u, name)).parameters.values()
                        for u in (swa_utils, oracle.optim.swa_utils))
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def test_integers_are_averaged_too(oracle):
    results = []
    for torch in (flambeau, oracle):
        average = torch.tensor([4, 10])
        torch.optim.swa_utils.get_ema_multi_avg_fn(0.5)([average], [torch.tensor([1, 40])], 2)
        results.append(average.tolist())
    assert results[0] == results[1]
    for number in (2, flambeau.tensor(2)):
        average = flambeau.tensor([4, 10])
        swa_utils.get_swa_multi_avg_fn()([average], [flambeau.tensor([1, 40])], number)
        assert average.tolist() == [3, 20]
