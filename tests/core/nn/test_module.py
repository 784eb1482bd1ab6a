"""Module: registration, traversal, attributes, conversion, modes, printing, copying."""

from __future__ import annotations

import copy
import pickle

import pytest

import flambeau
from flambeau import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.second = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        self.scale = nn.Parameter(flambeau.ones(1))
        self.register_buffer("mean", flambeau.zeros(1))
        self.register_buffer("scratch", flambeau.zeros(2), persistent=False)

    def forward(self, x):
        return self.second(self.first(x)) * self.scale + self.mean


def names(pairs):
    return [name for name, _ in pairs]


def test_members_are_found_in_order_of_registration():
    net = Net()
    assert names(net.named_parameters()) == [
        "scale", "first.weight", "first.bias", "second.0.weight", "second.0.bias",
    ]  # fmt: skip
    assert names(net.named_parameters(prefix="net", recurse=False)) == ["net.scale"]
    assert names(net.named_buffers()) == ["mean", "scratch"]
    assert names(net.named_children()) == ["first", "second"]
    assert names(net.named_modules()) == ["", "first", "second", "second.0", "second.1"]
    assert [type(m) for m in net.children()] == [nn.Linear, nn.Sequential]
    assert len(list(net.parameters())) == 5 and len(list(net.buffers())) == 2


def test_shared_members_count_once_unless_asked_otherwise():
    net = nn.Module()
    net.a = nn.Linear(1, 1, bias=False)
    net.b = net.a
    net.tied = net.a.weight
    assert names(net.named_parameters()) == ["tied"]
    assert names(net.named_parameters(remove_duplicate=False)) == ["tied", "a.weight", "b.weight"]
    assert names(net.named_modules()) == ["", "a"]
    assert names(net.named_modules(remove_duplicate=False)) == ["", "a", "b"]


def test_a_name_moves_between_kinds_of_members():
    net = nn.Module()
    net.x = 1
    net.x = nn.Parameter(flambeau.ones(1))
    assert names(net.named_parameters()) == ["x"]
    assert "x" not in net.__dict__
    net.x = None
    assert net.x is None and list(net.parameters()) == []
    net.child = nn.ReLU()
    net.child = nn.Parameter(flambeau.ones(1))
    assert names(net.named_children()) == [] and names(net.named_parameters()) == ["child"]
    net.b = nn.Buffer(flambeau.ones(1), persistent=False)
    assert names(net.named_buffers()) == ["b"] and list(net.state_dict()) == ["child"]
    net.b = flambeau.zeros(1)
    assert net.b.item() == 0 and names(net.named_buffers()) == ["b"]
    del net.child, net.b
    assert list(net.state_dict()) == [] and not hasattr(net, "child") and not hasattr(net, "b")


@pytest.mark.parametrize(
    "value, kind, text",
    [
        (("weight", 3), TypeError, "cannot assign 'int' as parameter 'weight'"),
        (("act", 3), TypeError, "cannot assign 'int' as child module 'act'"),
        (("stat", 3), TypeError, "cannot assign 'int' as buffer 'stat'"),
    ],
)
def test_assigning_the_wrong_kind_to_a_registered_name(value, kind, text):
    net = nn.Linear(1, 1)
    net.act = nn.ReLU()
    net.register_buffer("stat", flambeau.ones(1))
    with pytest.raises(kind, match=text):
        setattr(net, *value)


@pytest.mark.parametrize(
    "call, kind, text",
    [
        (lambda m: m.register_parameter("a.b", None), KeyError, "name can't contain"),
        (lambda m: m.register_parameter("", None), KeyError, "can't be empty"),
        (lambda m: m.register_parameter("forward", None), KeyError, "already exists"),
        (lambda m: m.register_parameter(3, None), TypeError, "should be a string. Got int"),
        (lambda m: m.register_parameter("p", flambeau.ones(1)), TypeError, "torch.nn.Parameter or None required"),
        (lambda m: m.register_buffer("weight", flambeau.ones(1)), KeyError, "already exists"),
        (lambda m: m.register_buffer("b", 3), TypeError, "torch Tensor or None required"),
        (lambda m: m.add_module("b", 3), TypeError, "int is not a Module subclass"),
        (lambda m: m.add_module("a.b", m), KeyError, "got: a.b"),
        (lambda m: m.nope, AttributeError, "'Linear' object has no attribute 'nope'"),
        (lambda m: m.train("yes"), ValueError, "boolean"),
        (lambda m: m.to(flambeau.int32), TypeError, "only accepts floating point or complex"),
        (lambda m: m.to(colour=3), TypeError, "colour"),
        (lambda m: m.compile(), NotImplementedError, "eagerly"),
        (lambda m: nn.Module()(1), NotImplementedError, 'missing the required "forward"'),
        (lambda m: nn.Module(1), TypeError, "takes 1 positional argument but 2 were given"),
        (lambda m: nn.Module(a=1), TypeError, "unexpected keyword argument 'a'"),
        (lambda m: m.get_submodule("x"), AttributeError, "Linear has no attribute `x`"),
        (lambda m: m.get_submodule("in_features"), AttributeError, "not an nn.Module"),
        (lambda m: m.get_parameter("in_features"), AttributeError, "not an nn.Parameter"),
        (lambda m: m.get_buffer("weight"), AttributeError, "not a buffer"),
        (lambda m: m.set_submodule("", m), ValueError, "without a target name"),
        (lambda m: m.set_submodule("x", 3), ValueError, "not an nn.Module"),
        (lambda m: m.set_submodule("x", m, strict=True), AttributeError, "has no attribute `x`"),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as caught:
        call(nn.Linear(1, 1))
    assert text in caught.value.args[0]


@pytest.mark.parametrize(
    "make, what",
    [
        (lambda: nn.Parameter(flambeau.ones(1)), "parameters"),
        (lambda: nn.ReLU(), "module"),
        (lambda: nn.Buffer(flambeau.ones(1)), "buffer"),
    ],
)
def test_members_before_init_are_refused(make, what):
    class Early(nn.Module):
        def __init__(self):
            self.member = make()

    with pytest.raises(AttributeError, match=rf"cannot assign {what} before Module.__init__\(\) call"):
        Early()


def test_dotted_paths():
    net = Net()
    assert net.get_submodule("second.0") is net.second[0]
    assert net.get_submodule("") is net
    assert net.get_parameter("second.0.bias") is net.second[0].bias
    assert net.get_buffer("mean") is net.mean
    net.set_submodule("second.1", nn.Tanh())
    assert isinstance(net.second[1], nn.Tanh)


def test_dir_lists_members_but_not_numbers():
    listed = dir(Net().second)
    assert "forward" in listed and "0" not in listed
    assert {"first", "scale", "mean"} <= set(dir(Net()))


def test_conversion_keeps_the_parameter_objects():
    net = Net()
    weight = net.first.weight
    net(flambeau.ones(1, 2)).sum().backward()
    assert net.double() is net
    assert net.first.weight is weight and weight.dtype == flambeau.float64
    assert weight.grad.dtype == flambeau.float64 and net.mean.dtype == flambeau.float64
    net.to(flambeau.float16)
    assert weight.dtype == flambeau.float16
    net.to(flambeau.ones(1))
    assert weight.dtype == flambeau.float32
    net.to("cpu", flambeau.float64)
    assert weight.dtype == flambeau.float64
    net.to(device=flambeau.device("cpu"), dtype=flambeau.bfloat16)
    assert weight.dtype == flambeau.bfloat16
    assert net.float().cpu().first.weight is weight and weight.requires_grad and weight.is_leaf


def test_integer_buffers_keep_their_dtype():
    assert nn.BatchNorm1d(2).half().num_batches_tracked.dtype == flambeau.int64


def test_modes_gradients_and_apply():
    net = Net()
    assert net.training and not net.eval().second.training and net.train().second[1].training
    net(flambeau.ones(1, 2)).sum().backward()
    assert net.scale.grad is not None
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.item() == 0
    net.zero_grad()
    assert net.scale.grad is None
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "Linear", "ReLU", "Sequential", "Net"]
    assert net.share_memory() is net


def test_parameters_share_the_data_they_are_made_from():
    data = flambeau.ones(2)
    parameter = nn.Parameter(data)
    data[0] = 5
    assert parameter.tolist() == [5, 1]
    assert type(parameter + 1) is flambeau.Tensor
    assert type(parameter.detach()) is flambeau.Tensor
    assert repr(nn.Parameter(flambeau.ones(2), requires_grad=False)) == "Parameter containing:\ntensor([1., 1.])"
    assert nn.Parameter().shape == (0,)


def test_deepcopy_keeps_ties_and_cuts_memory():
    net = Net()
    net.tied = net.first.weight
    twin = copy.deepcopy(net)
    assert twin.tied is twin.first.weight and twin.tied is not net.tied
    with flambeau.no_grad():
        twin.tied.zero_()
    assert net.tied.abs().sum().item() > 0
    assert repr(twin) == repr(net)
    assert isinstance(copy.deepcopy(nn.Buffer(flambeau.ones(1), persistent=False)), nn.Buffer)


def test_pickle_round_trip():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
    twin = pickle.loads(pickle.dumps(net))
    assert isinstance(twin[0].weight, nn.Parameter) and twin[0].weight.requires_grad and not twin.training
    x = flambeau.ones(2, 2)
    assert flambeau.equal(net(x), twin(x))


def test_repr():
    class Odd(nn.Module):
        def extra_repr(self):
            return "one\ntwo"

    net = nn.Sequential(nn.Linear(1, 2), nn.Sequential(nn.ReLU()), Odd())
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Linear(in_features=1, out_features=2, bias=True)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        "  (2): Odd(\n"
        "    one\n"
        "    two\n"
        "  )\n"
        ")"
    )
