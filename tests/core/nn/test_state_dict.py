"""State dicts: contents, loading, what does not fit, hooks, and exchange with PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import flambeau
from flambeau import nn


def make(nn):
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 2, 3),
            norm=nn.BatchNorm2d(2),
            rest=nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(2, 3, bias=False)),
            table=nn.Embedding(4, 2),
            layer=nn.LayerNorm(2),
        )
    )


def test_names_shapes_and_metadata_are_those_of_pytorch(oracle):
    ours, theirs = make(nn).state_dict(), make(oracle.nn).state_dict()
    assert type(ours) is OrderedDict
    assert [(k, tuple(v.shape), str(v.dtype)) for k, v in ours.items()] == [
        (k, tuple(v.shape), str(v.dtype)) for k, v in theirs.items()
    ]
    assert dict(ours._metadata) == dict(theirs._metadata)


def test_values_pass_both_ways(oracle):
    ours, theirs = make(nn), make(oracle.nn)
    ours.load_state_dict({k: flambeau.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    for (name, mine), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert mine.tolist() == other.tolist(), name
    theirs.load_state_dict({k: oracle.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})


def test_entries_share_memory_and_carry_no_graph():
    m = nn.Linear(1, 1)
    entry = m.state_dict()["weight"]
    assert not entry.requires_grad and type(entry) is flambeau.Tensor
    entry.zero_()
    assert m.weight.item() == 0
    assert m.state_dict(keep_vars=True)["weight"] is m.weight
    assert list(m.state_dict(prefix="fc.")) == ["fc.weight", "fc.bias"]
    filled = {}
    assert m.state_dict(destination=filled) is filled and list(filled) == ["weight", "bias"]


def test_what_does_not_fit_is_listed():
    m = nn.Linear(2, 2)
    with pytest.raises(RuntimeError) as caught:
        m.load_state_dict({"weight": flambeau.ones(3, 3), "x": flambeau.ones(1)})
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Linear:\n"
        '\tMissing key(s) in state_dict: "bias". \n'
        '\tUnexpected key(s) in state_dict: "x". \n'
        "\tsize mismatch for weight: copying a param with shape torch.Size([3, 3]) from checkpoint, the shape in "
        "current model is torch.Size([2, 2])."
    )
    with pytest.raises(RuntimeError, match=r"expected torch\.Tensor or Tensor-like object from checkpoint"):
        m.load_state_dict({"weight": 3}, strict=False)
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like"):
        m.load_state_dict(3)


def test_not_strict_reports():
    m = nn.Linear(2, 2)
    result = m.load_state_dict({"weight": flambeau.ones(2, 2), "x": flambeau.ones(1)}, strict=False)
    assert result.missing_keys == ["bias"] and result.unexpected_keys == ["x"]
    assert repr(result) == "_IncompatibleKeys(missing_keys=['bias'], unexpected_keys=['x'])"
    assert repr(m.load_state_dict(m.state_dict())) == "<All keys matched successfully>"


def test_assign_takes_the_tensors_themselves():
    m = nn.BatchNorm1d(2)
    state = {k: v.double() if v.is_floating_point() else v for k, v in nn.BatchNorm1d(2).state_dict().items()}
    m.load_state_dict(state, assign=True)
    assert isinstance(m.weight, nn.Parameter) and m.weight.requires_grad
    assert m.weight.dtype == flambeau.float64 and m.running_mean is state["running_mean"]
    state["weight"].fill_(3)
    assert m.weight.tolist() == [3, 3]


def test_scalars_of_old_checkpoints():
    m = nn.Module()
    m.scale = nn.Parameter(flambeau.tensor(1.0))
    m.load_state_dict({"scale": flambeau.tensor([2.0])})
    assert m.scale.item() == 2


def test_old_batch_norm_has_no_count():
    m = nn.BatchNorm1d(1)
    state = m.state_dict()
    del state["num_batches_tracked"]
    state._metadata[""]["version"] = 1
    m.load_state_dict(state)
    assert m.num_batches_tracked.item() == 0


def test_hooks():
    log = []
    m = nn.Sequential(nn.Linear(1, 1))
    m.register_state_dict_pre_hook(lambda module, prefix, keep_vars: log.append(("pre", prefix, keep_vars)))
    m[0].register_state_dict_post_hook(lambda module, state, prefix, meta: state.pop(prefix + "bias") and None)
    state = m.state_dict()
    assert log == [("pre", "", False)] and list(state) == ["0.weight"]

    def rename(module, state_dict, prefix, meta, strict, missing, unexpected, errors):
        assert module is m[0]
        state_dict[prefix + "bias"] = flambeau.zeros(1)

    m[0].register_load_state_dict_pre_hook(rename)
    m.register_load_state_dict_post_hook(lambda module, keys: log.append(("post", keys.missing_keys)))
    m.load_state_dict(state, strict=False)
    assert log[-1] == ("post", []) and m[0].bias.item() == 0


def test_a_post_hook_must_return_nothing():
    m = nn.Linear(1, 1)
    m.register_state_dict_post_hook(lambda *a: {})
    with pytest.raises(RuntimeError, match="state_dict post-hook must return None"):
        m.state_dict()


def test_extra_state():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    m = nn.Sequential(Counts())
    m[0].count = 3
    twin = nn.Sequential(Counts())
    twin.load_state_dict(m.state_dict())
    assert twin[0].count == 3
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0\._extra_state"'):
        twin.load_state_dict({})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        nn.Sequential(nn.Linear(1, 1)).load_state_dict(
            {"0._extra_state": 1, "0.weight": flambeau.ones(1, 1), "0.bias": flambeau.ones(1)}
        )


def test_positional_arguments_warn():
    with pytest.warns(FutureWarning, match="Positional args are being deprecated"):
        assert list(nn.Linear(1, 1).state_dict(None, "p.")) == ["p.weight", "p.bias"]


def test_prefixes_of_wrappers_are_stripped():
    from flambeau.nn.modules.utils import consume_prefix_in_state_dict_if_present

    state = nn.ModuleDict({"module": nn.Linear(1, 1)}).state_dict()
    consume_prefix_in_state_dict_if_present(state, "module.")
    assert list(state) == ["weight", "bias"]
    nn.Linear(1, 1).load_state_dict(state)
