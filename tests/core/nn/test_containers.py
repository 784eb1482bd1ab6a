"""Containers behave as lists and dictionaries and register what they hold."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import flambeau
from flambeau import nn


def test_sequential_runs_in_order_and_slices():
    a, b, c = nn.Linear(1, 1), nn.ReLU(), nn.Tanh()
    net = nn.Sequential(a, b, c)
    x = flambeau.ones(1, 1)
    assert flambeau.equal(net(x), c(b(a(x))))
    assert net[0] is a and net[-1] is c and list(net[1:]) == [b, c] and len(net) == 3
    assert type(net[:2]) is nn.Sequential
    with pytest.raises(IndexError, match="index 3 is out of range"):
        net[3]


def test_sequential_changes():
    a, b, c = nn.Linear(1, 1), nn.ReLU(), nn.Tanh()
    net = nn.Sequential(a)
    assert net.append(c) is net and list(net.insert(1, b)) == [a, b, c]
    assert list(net.insert(-1, a)) == [a, b, a, c]
    assert net.pop(2) is a and [n for n, _ in net.named_children()] == ["0", "1", "2"]
    del net[0]
    assert list(net._modules) == ["0", "1"] and list(net) == [b, c]
    net[0] = a
    assert list(net.extend(nn.Sequential(b))) == [a, c, b]
    assert list(nn.Sequential(a) + nn.Sequential(b)) == [a, b]
    assert list(nn.Sequential(a) * 2) == [a, a]
    net += nn.Sequential(c)
    assert list(net) == [a, c, b, c]
    del net[1:3]
    assert list(net) == [a, c]
    with pytest.raises(IndexError, match="out of range"):
        net.insert(9, a)
    with pytest.raises(ValueError, match="Sequential class"):
        net + 3
    with pytest.raises(ValueError, match="Non-positive"):
        net * 0


def test_sequential_of_named_modules():
    net = nn.Sequential(OrderedDict(conv=nn.Identity(), act=nn.ReLU()))
    assert net.conv is net[0] and [n for n, _ in net.named_children()] == ["conv", "act"]


def test_module_list():
    a, b, c = nn.Linear(1, 1), nn.ReLU(), nn.Tanh()
    held = nn.ModuleList([a, b])
    held.append(c)
    held.insert(0, c)
    assert list(held) == [c, a, b, c] and held[-2] is b and b in held
    assert held.pop(0) is c and list(held[:2]) == [a, b] and type(held[:1]) is nn.ModuleList
    held += [a]
    assert list(held) == [a, b, c, a] and list(held + [b])[-1] is b
    held[1] = c
    del held[0]
    assert list(held) == [c, c, a] and len(list(held.parameters())) == 2
    with pytest.raises(TypeError, match="iterable"):
        held.extend(3)
    with pytest.raises(NotImplementedError):
        held(1)


def test_module_list_prints_runs_together():
    held = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Sequential(nn.Tanh())])
    assert repr(held) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Sequential(\n    (0): Tanh()\n  )\n)"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_module_dict():
    a, b = nn.Linear(1, 1), nn.ReLU()
    held = nn.ModuleDict({"a": a})
    held["b"] = b
    assert list(held) == ["a", "b"] and held["b"] is b and "a" in held and len(held) == 2
    assert list(held.keys()) == ["a", "b"] and list(held.values()) == [a, b] and dict(held.items()) == {"a": a, "b": b}
    held.update([("c", b)])
    assert held.pop("c") is b
    del held["a"]
    assert list(held.parameters()) == []
    held.clear()
    assert len(held) == 0
    with pytest.raises(TypeError, match="key/value pairs"):
        held.update(3)
    with pytest.raises(ValueError, match="has length 1; 2 is required"):
        held.update([("a",)])


def test_parameter_list():
    held = nn.ParameterList([flambeau.ones(2), 3])
    assert isinstance(held[0], nn.Parameter) and held[1] == 3 and len(held) == 2
    held.append(nn.Parameter(flambeau.zeros(1)))
    held += [flambeau.ones(1)]
    assert len(list(held.parameters())) == 3 and held[-1].item() == 1
    held[0] = flambeau.zeros(2)
    assert held[0].tolist() == [0, 0] and len(held[1:]) == 3
    assert repr(nn.ParameterList([flambeau.ones(2, 3), 3])) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [torch.float32 of size 2x3]\n"
        "    (1): Object of type: int\n"
        ")"
    )
    with pytest.raises(RuntimeError, match="should not be called"):
        held(1)


def test_parameter_dict():
    held = nn.ParameterDict({"a": flambeau.ones(2)})
    held["b"] = "text"
    assert isinstance(held["a"], nn.Parameter) and list(held) == ["a", "b"] and "b" in held
    assert held.get("c", 7) == 7 and held.setdefault("c", flambeau.ones(1)).item() == 1
    assert [name for name, _ in held.named_parameters()] == ["a", "c"]
    assert held.pop("b") == "text" and held.popitem()[0] == "c" and list(reversed(held)) == ["a"]
    merged = held | nn.ParameterDict({"z": flambeau.ones(1)})
    assert list(merged.keys()) == ["a", "z"] and len(held) == 1
    held.clear()
    assert len(held) == 0
    with pytest.raises(KeyError):
        held["a"]
    with pytest.raises(TypeError, match="not a string"):
        held[1] = 2
