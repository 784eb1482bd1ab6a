"""Saving and loading: everything that a file can hold comes back, here and in PyTorch, and stays shared if it was."""

from __future__ import annotations

import collections
import copy
import io
import pickle
import sys
import zipfile
from typing import Any

import pytest

import flambeau
from flambeau import serialization
from flambeau.serialization.storage import UntypedStorage
from saved_files import content, counting, repacked, round_trip, saved, share_memory

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "bfloat16",
          "float32", "float64", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
          "float8_e5m2fnuz"]
IN_OLD_FORMAT = DTYPES[:6] + DTYPES[9:15]


# -- every dtype, both ways

def torch_bytes(tensor: Any) -> bytes:
    return bytes(tensor.untyped_storage())


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back(dtype, protocol):
    x = counting(dtype)
    y = round_trip(x, pickle_protocol=protocol)
    assert y.dtype is x.dtype and y.shape == (2, 3) and y.stride() == (3, 1)
    assert content(y) == content(x)


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "older"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorch_loads_every_dtype(dtype, new_format, oracle):
    if not new_format and dtype not in IN_OLD_FORMAT:
        with pytest.raises(RuntimeError, match="cannot hold"):
            saved(counting(dtype), _use_new_zipfile_serialization=False)
        return
    x = counting(dtype)
    y = oracle.load(saved({"x": x}, _use_new_zipfile_serialization=new_format), weights_only=True)["x"]
    assert y.dtype == getattr(oracle, dtype) and tuple(y.shape) == (2, 3)
    assert torch_bytes(y) == content(x)


@pytest.mark.parametrize("dtype, new_format", [
    *((dtype, True) for dtype in DTYPES), *((dtype, False) for dtype in IN_OLD_FORMAT)])
def test_every_dtype_of_pytorch_loads(dtype, new_format, oracle):
    file = io.BytesIO()
    x = oracle.load(saved(counting(dtype)))
    oracle.save([x, x.t()], file, _use_new_zipfile_serialization=new_format)
    file.seek(0)
    y, transposed = flambeau.load(file)
    assert y.dtype is getattr(flambeau, dtype) and transposed.stride() == (1, 3)
    assert content(y) == torch_bytes(x)
    assert share_memory(y, transposed)


def test_pytorch_maps_our_file_into_memory(tmp_path, oracle):
    tensors = {str(i): flambeau.arange(i + 1, dtype=flambeau.float64) for i in range(5)}
    flambeau.save(tensors, tmp_path / "a.pth")
    loaded = oracle.load(tmp_path / "a.pth", mmap=True)
    assert {key: value.tolist() for key, value in loaded.items()} == {k: v.tolist() for k, v in tensors.items()}


def test_storages_are_aligned(tmp_path, oracle):
    flambeau.save([flambeau.ones(i) for i in range(1, 8)], tmp_path / "a.pth")
    reader = oracle._C.PyTorchFileReader(str(tmp_path / "a.pth"))
    offsets = [reader.get_record_offset(f"data/{i}") for i in range(7)]
    assert all(offset % 64 == 0 for offset in offsets)


def test_our_mmap(tmp_path):
    x = flambeau.arange(100.)
    path = tmp_path / "a.pth"
    flambeau.save({"x": x, "part": x[10:20], "bytes": counting("uint8"), "empty": flambeau.empty(0)}, path)
    before = path.read_bytes()
    loaded = flambeau.load(path, mmap=True)
    assert loaded["x"].tolist() == x.tolist() and loaded["empty"].numel() == 0
    loaded["x"][10] = -1.
    assert loaded["part"][0].item() == -1.
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="path"):
        flambeau.load(saved(x), mmap=True)
    flambeau.save(x, path, _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="zip format"):
        flambeau.load(path, mmap=True)


@pytest.mark.parametrize("dtype", ["float32", "int64", "complex64", "uint8"])
def test_other_byte_order(dtype):
    x = counting(dtype)
    part = x.dtype.itemsize // 2 if x.dtype.is_complex else x.dtype.itemsize
    data = content(x)
    swapped = b"".join(data[i:i + part][::-1] for i in range(0, len(data), part))
    other = "big" if sys.byteorder == "little" else "little"
    file = repacked(saved(x), {"byteorder": other.encode(), "data/0": swapped})
    assert content(flambeau.load(file)) == data


# -- what a file can hold

VALUES = {
    "numbers": [0, 1, -1, 255, 256, 65536, -2**31, 2**40, 2**100, -2**100, 1.5, -0.0, float("inf"), True, None, 2 - 1j],
    "text": ["", "a", "ä\u20ac\U0001f525", "x" * 300, b"", b"\x00\xff", b"y" * 300, bytearray(b"ab"), bytearray()],
    "containers": {"list": [[], [1, [2]]], "tuple": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "set": {1, 2},
                   "frozen": frozenset((1, "a")), (1, "key"): {}, 5: None, 1.5: "float key"},
    "ordered": collections.OrderedDict([("b", 1), ("a", collections.OrderedDict())]),
    "counter": collections.Counter("abbccc"),
    "empty": {},
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "older"])
@pytest.mark.parametrize("name", VALUES)
def test_plain_values(name, new_format, protocol):
    value = VALUES[name]
    result = round_trip(value, pickle_protocol=protocol, _use_new_zipfile_serialization=new_format)
    assert result == value and type(result) is type(value) and repr(result) == repr(value)


@pytest.mark.parametrize("name", ["numbers", "text", "ordered", "counter", "empty"])
def test_plain_values_in_pytorch(name, oracle):
    assert oracle.load(saved(VALUES[name])) == VALUES[name]
    file = io.BytesIO()
    oracle.save(VALUES[name], file)
    file.seek(0)
    assert flambeau.load(file) == VALUES[name] or name == "text"  # PyTorch writes b"" in a way that it refuses itself


@pytest.mark.parametrize("make", [
    lambda lib: lib.Size([2, 3]), lambda lib: lib.Size([]), lambda lib: lib.device("cpu"),
    lambda lib: lib.device("cuda", 1), lambda lib: lib.float32, lambda lib: lib.bool, lambda lib: lib.bfloat16,
    lambda lib: lib.uint16], ids=["size", "no size", "cpu", "cuda:1", "float32", "bool", "bfloat16", "uint16"])
def test_library_values(make, oracle):
    ours, theirs = make(flambeau), make(oracle)
    assert round_trip([ours]) == [ours] and type(round_trip(ours)) is type(ours)
    assert oracle.load(saved([ours])) == [theirs]
    file = io.BytesIO()
    oracle.save([theirs], file)
    file.seek(0)
    assert flambeau.load(file) == [ours]


def test_recursive_structure():
    value: dict[str, Any] = {"list": []}
    value["list"].append(value)
    result = round_trip(value)
    assert result["list"][0] is result


# -- layouts, sharing, gradients

def test_views_share_one_storage():
    x = flambeau.arange(12.).reshape(3, 4)
    file = saved({"x": x, "t": x.t(), "row": x[1], "column": x[:, 2], "alias": x.detach()})
    with zipfile.ZipFile(file) as archive:
        assert [name for name in archive.namelist() if "/data/" in name] == ["archive/data/0"]
    file.seek(0)
    y = flambeau.load(file)
    assert y["column"].stride() == (4,) and y["column"].storage_offset() == 2
    y["x"][1, 2] = -1.
    assert y["row"].tolist() == [4., 5., -1., 7.] and y["t"][2, 1].item() == -1. and y["column"][1].item() == -1.
    z = round_trip(y)
    assert share_memory(z["x"], z["column"]) and z["x"].tolist() == y["x"].tolist()


def test_views_stay_shared_in_pytorch(oracle):
    x = flambeau.arange(12.).reshape(3, 4)
    y = oracle.load(saved([x, x.t(), x[1:, 1:3], x.expand(2, 3, 4)]))
    assert len({each.untyped_storage().data_ptr() for each in y}) == 1
    assert [each.tolist() for each in y] == [each.tolist() for each in (x, x.t(), x[1:, 1:3], x.expand(2, 3, 4))]
    assert y[3].stride() == (0, 4, 1)


def test_one_storage_under_two_dtypes(oracle):
    storage = UntypedStorage.from_buffer(memoryview(bytearray(range(16))))
    pair = [storage.tensor(flambeau.int32, (4,), (1,), 0), storage.tensor(flambeau.int16, (8,), (1,), 0)]
    ours = round_trip(pair)
    theirs = oracle.load(saved(pair))
    assert [each.tolist() for each in ours] == [each.tolist() for each in theirs] == [each.tolist() for each in pair]


def test_empty_and_zero_dimensional(oracle):
    for value in (flambeau.tensor(3.5), flambeau.empty(0), flambeau.empty(2, 0, 3), flambeau.arange(5)[5:]):
        assert round_trip(value).tolist() == value.tolist() == oracle.load(saved(value)).tolist()
        assert round_trip(value).shape == value.shape


def test_requires_grad_and_parameters(oracle):
    x = flambeau.ones(2, requires_grad=True)
    parameter = flambeau.nn.Parameter(flambeau.ones(3))
    frozen = flambeau.nn.Parameter(flambeau.ones(3), requires_grad=False)
    parameter.tag = "mine"
    y, p, f = round_trip([x, parameter, frozen])
    assert y.requires_grad and y.is_leaf and type(y) is flambeau.Tensor
    assert type(p) is flambeau.nn.Parameter and p.requires_grad and p.tag == "mine"
    assert type(f) is flambeau.nn.Parameter and not f.requires_grad
    y, p, f = oracle.load(saved([x, parameter, frozen]))
    assert y.requires_grad and type(p) is oracle.nn.Parameter and p.tag == "mine" and not f.requires_grad
    file = io.BytesIO()
    oracle.save([y, p, f], file)
    file.seek(0)
    y, p, f = flambeau.load(file)
    assert y.requires_grad and type(p) is flambeau.nn.Parameter and p.tag == "mine" and not f.requires_grad


def test_tensor_with_attributes(oracle):
    x = flambeau.ones(2)
    x.note = {"kept": [1]}
    assert round_trip(x).note == {"kept": [1]} == oracle.load(saved(x)).note


def test_bookkeeping_is_not_saved(oracle):
    """What the library keeps on a tensor (gradient, versions, hooks, views) is no attribute of the user's."""
    x = flambeau.ones(4, requires_grad=True)
    x.register_hook(lambda gradient: None)
    y = x * 2
    y.retain_grad()
    y.sum().backward()
    z = flambeau.zeros(3)
    z[1:].add_(1)
    with flambeau.inference_mode():
        w = flambeau.ones(2)[:1]
    file = saved([x, y, z, w])
    with zipfile.ZipFile(file) as archive:
        assert b"_rebuild_from_type" not in archive.read("archive/data.pkl")
    file.seek(0)
    loaded = flambeau.load(file)
    assert [each.tolist() for each in loaded] == [each.tolist() for each in oracle.load(saved([x, y, z, w]))]
    assert all(each.is_leaf and each.grad is None for each in loaded)


def test_conjugate_of_pytorch(oracle):
    x = oracle.tensor([1 + 2j, 3 - 1j])
    for lazy in (x.conj(), x.conj().imag):
        file = io.BytesIO()
        oracle.save(lazy, file)
        file.seek(0)
        assert flambeau.load(file).tolist() == lazy.tolist()


def test_non_contiguous_and_overlapping_layouts(oracle):
    x = oracle.arange(24.).reshape(2, 3, 4)
    for layout in (x.permute(2, 0, 1), x[:, ::2, 1:], x[1, 2].expand(3, 4), oracle.as_strided(x, (3, 3), (1, 1), 2)):
        file = io.BytesIO()
        oracle.save(layout, file)
        file.seek(0)
        y = flambeau.load(file)
        assert y.tolist() == layout.tolist() and y.stride() == layout.stride()
        assert y.storage_offset() == layout.storage_offset()


def test_generator_state():
    generator = flambeau.Generator()
    generator.manual_seed(7)
    state = round_trip({"rng": generator.get_state()})["rng"]
    assert state.dtype is flambeau.uint8 and state.tolist() == generator.get_state().tolist()


# -- plain pickle and copies

@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_pickle(dtype, protocol):
    x = counting(dtype)
    y, transposed = pickle.loads(pickle.dumps((x, x.t()), protocol))
    assert y.dtype is x.dtype and content(y) == content(x)
    assert share_memory(y, transposed) and not share_memory(x, y)


def test_plain_pickle_of_parameters():
    x = flambeau.nn.Parameter(flambeau.ones(2), requires_grad=False)
    y = pickle.loads(pickle.dumps(x))
    assert type(y) is flambeau.nn.Parameter and not y.requires_grad and y.tolist() == [1., 1.]


def test_deepcopy_and_copy():
    x = flambeau.arange(4.)
    x.note = ["n"]
    y, tail = copy.deepcopy([x, x[2:]])
    assert share_memory(y, tail) and not share_memory(x, y)
    y[2] = 9.
    assert tail.tolist() == [9., 3.] and x.tolist() == [0., 1., 2., 3.]
    assert y.note == ["n"] and y.note is not x.note
    assert share_memory(copy.copy(x), x)


def test_deepcopy_keeps_gradients_and_refuses_results():
    x = flambeau.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad and y.grad.tolist() == [3., 3.] and y.grad is not x.grad
    with pytest.raises(RuntimeError, match="leaves"):
        copy.deepcopy(x * 2)


# -- modules and optimisers

def small_model(lib: Any) -> Any:
    return lib.nn.Sequential(lib.nn.Linear(4, 3), lib.nn.ReLU(), lib.nn.BatchNorm2d(2), lib.nn.Conv2d(1, 2, 3))


def test_state_dict_both_ways(oracle):
    theirs = small_model(oracle)
    file = io.BytesIO()
    oracle.save(theirs.state_dict(), file)
    file.seek(0)
    state = flambeau.load(file)
    ours = small_model(flambeau)
    ours.load_state_dict(state)
    assert state._metadata["2"] == {"version": 2}
    back = oracle.load(saved(ours.state_dict()))
    assert list(back) == list(theirs.state_dict())
    assert all(back[key].equal(value) for key, value in theirs.state_dict().items())
    theirs.load_state_dict(back)


def test_whole_module_both_ways(oracle):
    ours = flambeau.nn.Sequential(flambeau.nn.Linear(4, 3), flambeau.nn.ReLU()).eval()
    theirs = oracle.load(saved(ours), weights_only=False)
    assert type(theirs) is oracle.nn.Sequential and not theirs.training
    assert theirs(oracle.ones(4)).tolist() == pytest.approx(ours(flambeau.ones(4)).tolist())
    file = io.BytesIO()
    oracle.save(theirs, file)
    file.seek(0)
    back = flambeau.load(file, weights_only=False)
    assert type(back) is flambeau.nn.Sequential and type(back[0].weight) is flambeau.nn.Parameter
    assert back(flambeau.ones(4)).tolist() == pytest.approx(ours(flambeau.ones(4)).tolist())
    allowed = [flambeau.nn.Sequential, flambeau.nn.Linear, flambeau.nn.ReLU]
    with serialization.safe_globals(allowed):
        file.seek(0)
        assert flambeau.load(file)[0].weight.tolist() == ours[0].weight.tolist()


def test_optimiser_state_both_ways(oracle):
    def step(lib):
        model = lib.nn.Linear(2, 1)
        optimiser = lib.optim.Adam(model.parameters(), lr=0.1)
        model(lib.ones(1, 2)).sum().backward()
        optimiser.step()
        return optimiser

    ours, theirs = step(flambeau), step(oracle)
    theirs.load_state_dict(oracle.load(saved(ours.state_dict())))
    file = io.BytesIO()
    oracle.save(theirs.state_dict(), file)
    file.seek(0)
    ours.load_state_dict(flambeau.load(file))
    assert ours.state_dict()["param_groups"][0]["lr"] == 0.1


def test_missing_counterpart():
    file = repacked(saved(1), {"data.pkl": b"\x80\x02ctorch.nn.nothing\nLikeThis\n."})
    with pytest.raises(AttributeError, match="state_dict"):
        flambeau.load(file, weights_only=False)
