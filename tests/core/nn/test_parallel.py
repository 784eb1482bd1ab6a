"""Modules on several devices: the simulated ones, where this machine has no others."""

from __future__ import annotations

from collections import namedtuple

import pytest

import flambeau
from flambeau import nn
from flambeau.nn import parallel

PLACES = ["reference:0", "reference:1"]
Point = namedtuple("Point", "x y")


class Net(nn.Module):
    """A module with a buffer that calls change, and arguments of all kinds."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
        self.seen = []

    def forward(self, x, scale=None, factor=1):
        self.seen.append(x.device)
        result = self.layers(x) * factor
        if scale is None:
            return {"result": result, "size": x.sum()}
        return {"result": result * scale, "size": x.sum().reshape(1)}


def test_pass_through_on_the_host(oracle):
    for library in (flambeau, oracle):
        library.manual_seed(0)
        model = library.nn.DataParallel(library.nn.Linear(2, 1))
        if library is oracle and oracle.cuda.is_available():
            pytest.skip("PyTorch would use the GPU")
        assert list(model.state_dict()) == ["module.weight", "module.bias"]
        assert model.device_ids == []
        assert model(library.ones(3, 2)).shape == (3, 1)
        assert repr(model) == ("DataParallel(\n  (module): Linear(in_features=2, out_features=1, bias=True)\n)")


def test_two_devices_give_what_one_gives():
    flambeau.manual_seed(0)
    alone = Net().eval()
    model = Net().eval()
    model.load_state_dict(alone.state_dict())
    model = nn.DataParallel(model.to(PLACES[0]), PLACES)
    x = flambeau.randn(5, 3)
    scale = flambeau.arange(5.0).reshape(5, 1)
    expected = alone(x, scale=scale, factor=2)
    found = model(x.to(PLACES[0]), scale=scale, factor=2)
    assert str(found["result"].device) == PLACES[0]
    assert flambeau.allclose(found["result"].cpu(), expected["result"], atol=1e-6)
    assert flambeau.allclose(found["size"].sum().cpu(), expected["size"][0], atol=1e-5)
    assert sorted(map(str, model.module.seen)) == PLACES
    found["result"].square().sum().backward()
    expected["result"].square().sum().backward()
    for ours, wanted in zip(model.parameters(), alone.parameters(), strict=True):
        assert str(ours.grad.device) == PLACES[0]
        assert flambeau.allclose(ours.grad.cpu(), wanted.grad, atol=1e-5)
    model.zero_grad()
    with flambeau.no_grad():
        assert not model(x, scale)["result"].requires_grad


def test_numbers_are_joined_to_a_vector():
    with pytest.warns(UserWarning, match="gather along dimension 0"):
        found = nn.DataParallel(Net().to(PLACES[0]), PLACES)(flambeau.ones(4, 3))
    assert found["size"].tolist() == [6.0, 6.0]


def test_buffers_of_the_first_part_are_kept():
    model = nn.DataParallel(nn.BatchNorm1d(2).to(PLACES[0]), PLACES)
    model(flambeau.tensor([[1.0, 2.0], [3.0, 4.0], [50.0, 60.0], [70.0, 80.0]]))
    assert model.module.num_batches_tracked.item() == 1
    assert flambeau.allclose(model.module.running_mean.cpu(), flambeau.tensor([0.2, 0.3]))


def test_a_module_in_the_wrong_place():
    with pytest.raises(RuntimeError, match=r"module must have its parameters and buffers on device reference:0"):
        nn.DataParallel(nn.Linear(2, 1).to(PLACES[1]), PLACES)(flambeau.ones(2, 2))
    assert str(nn.DataParallel(nn.Linear(2, 1).to(PLACES[1]), [0]).module.weight.device) == PLACES[0]


def test_one_call():
    layer = nn.Linear(2, 1).to(PLACES[0])
    x = flambeau.ones(4, 2, device=PLACES[0])
    found = parallel.data_parallel(layer, x, [0, 1], output_device=1)
    assert str(found.device) == PLACES[1]
    assert found.cpu().tolist() == layer(x).cpu().tolist()
    assert parallel.data_parallel(nn.Identity(), (x,), module_kwargs={}) is not None


def test_scatter_and_gather():
    x = flambeau.arange(6.0, requires_grad=True)
    parts = parallel.scatter({"a": x, "b": (x, [x, 3]), "c": Point(x, "text"), "d": ()}, PLACES)
    assert [str(part["a"].device) for part in parts] == PLACES
    assert parts[1]["b"][1][1] == 3 and parts[1]["c"].y == "text" and parts[0]["d"] == ()
    together = parallel.gather([part["c"]._replace(y=None) for part in parts], "cpu")
    assert together.x.tolist() == x.tolist() and together.y is None
    together.x.sum().backward()
    assert x.grad.tolist() == [1.0] * 6
    assert len(parallel.scatter(flambeau.ones(1), PLACES)) == 1
    with pytest.raises(ValueError, match="same number of keys"):
        parallel.gather([{"a": x}, {}], "cpu")


def test_replicas():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    first, second = parallel.replicate(net, PLACES)
    assert second[0].weight is second[1].weight
    assert str(second[1].bias.device) == PLACES[1] and not second[0].weight.is_leaf
    assert parallel.replicate(net, PLACES[1:], detach=True)[0][0].weight.requires_grad is False
    with pytest.warns(UserWarning, match="no effect"):
        second.zero_grad()
    with pytest.raises(AssertionError, match="number of modules 2 is not equal"):
        parallel.parallel_apply([first, second], [1])


def test_names(oracle):
    later = {"DistributedDataParallel"}
    assert set(parallel.__all__) == set(oracle.nn.parallel.__all__) - later
