"""Saving and loading: everything that a file can hold comes back, here and in PyTorch, and stays shared if it was."""

from __future__ import annotations

import collections
import copy
import io
import os
import pickle
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import serialization
from flambeau.serialization import _archive
from flambeau.serialization.storage import TypedStorage, UntypedStorage

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16", "bfloat16",
          "float32", "float64", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
          "float8_e5m2fnuz"]
IN_OLD_FORMAT = DTYPES[:6] + DTYPES[9:15]


class Stranger:
    """A class that no allow-list knows."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stranger) and other.value == self.value

    __hash__ = None


def saved(value: Any, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    flambeau.save(value, file, **options)
    file.seek(0)
    return file


def round_trip(value: Any, **options: Any) -> Any:
    return flambeau.load(saved(value, **options))


def content(tensor: Any) -> bytes:
    """All bytes of a tensor's storage, whatever its dtype."""
    return bytes(UntypedStorage.of(tensor).buffer())


def share_memory(a: Any, b: Any) -> bool:
    return UntypedStorage.of(a) is UntypedStorage.of(b)


def counting(dtype: str) -> Any:
    """Six elements whose bytes all differ from zero and are values of the dtype."""
    from flambeau.dtypes import by_name

    itemsize = by_name(dtype).itemsize
    data = bytes([1, 0, 1, 1, 0, 1]) if dtype == "bool" else bytes(range(1, 6 * itemsize + 1))
    return UntypedStorage.from_buffer(memoryview(bytearray(data))).tensor(by_name(dtype), (2, 3), (3, 1), 0)


def torch_bytes(tensor: Any) -> bytes:
    return bytes(tensor.untyped_storage())


# -- every dtype, both ways

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


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "older"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_of_pytorch_loads(dtype, new_format, oracle):
    if not new_format and dtype not in IN_OLD_FORMAT:
        pytest.skip("PyTorch cannot read its own older format for this dtype")
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
    with pytest.raises(ValueError, match="file path"):
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


def repacked(file: io.BytesIO, changes: dict[str, bytes]) -> io.BytesIO:
    """The same archive with some records replaced."""
    result = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name.partition("/")[2], old.read(name)))
    result.seek(0)
    return result


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
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)


# -- map_location

def from_device(name: str) -> io.BytesIO:
    """A file saved on another device."""
    file = saved({"x": flambeau.arange(3.), "y": flambeau.ones(2)})
    with zipfile.ZipFile(file) as archive:
        structure = archive.read("archive/data.pkl")
    cpu, other = (b"X" + len(text).to_bytes(4, "little") + text for text in (b"cpu", name.encode()))
    assert cpu in structure
    return repacked(file, {"data.pkl": structure.replace(cpu, other)})


@pytest.mark.parametrize("map_location", [
    "cpu", flambeau.device("cpu"), {"cuda:0": "cpu"}, lambda storage, location: storage,
    lambda storage, location: storage.cpu(), lambda storage, location: storage.to("cpu")],
    ids=["str", "device", "dict", "function", "function cpu", "function to"])
def test_map_location(map_location):
    loaded = flambeau.load(from_device("cuda:0"), map_location=map_location)
    assert loaded["x"].tolist() == [0., 1., 2.] and loaded["x"].device == flambeau.device("cpu")


@pytest.mark.parametrize("map_location", [None, {"cuda:1": "cpu"}, "nowhere", "no device!",
                                          lambda storage, location: None],
                         ids=["none", "other key", "unknown", "no name", "function"])
def test_missing_device(map_location):
    with pytest.raises(RuntimeError, match="map_location"):
        flambeau.load(from_device("absent:0"), map_location=map_location)


def test_missing_device_in_a_function():
    with pytest.raises(RuntimeError, match="absent"):
        flambeau.load(from_device("cuda:0"), map_location=lambda storage, location: storage.to("absent"))


def test_map_location_function_sees_what_was_saved():
    seen = []

    def place(storage, location):
        seen.append((type(storage), storage.nbytes(), location, str(storage.device)))
        return storage

    flambeau.load(from_device("cuda:0"), map_location=place)
    assert seen == [(UntypedStorage, 12, "cuda:0", "cpu"), (UntypedStorage, 8, "cuda:0", "cpu")]


def test_bad_map_location():
    with pytest.raises(TypeError, match="map_location"):
        flambeau.load(saved(1), map_location=3)
    with pytest.raises(TypeError, match="storage"):
        flambeau.load(from_device("cuda:0"), map_location=lambda storage, location: "cpu")


def test_storages_as_values():
    storage = UntypedStorage.of(flambeau.arange(3))
    result = round_trip([TypedStorage(storage, flambeau.int64), storage])
    assert [(type(each), each.size()) for each in result] == [(TypedStorage, 3), (TypedStorage, 24)]
    assert result[0].untyped() is result[1].untyped()


# -- files

@pytest.mark.parametrize("as_path", [str, Path], ids=["str", "Path"])
def test_paths(tmp_path, as_path):
    path = as_path(tmp_path / "model.pth")
    flambeau.save({"a": 1}, path)
    assert flambeau.load(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["model.pth"]
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist()[0] == "model/data.pkl"


def test_any_writable_object():
    class Sink:
        data = b""

        def write(self, data):
            self.data += bytes(data)

    sink = Sink()
    flambeau.save({"x": flambeau.arange(5)}, sink)
    assert flambeau.load(io.BytesIO(sink.data))["x"].tolist() == [0, 1, 2, 3, 4]


def test_file_objects_that_were_read_before(tmp_path):
    with open(tmp_path / "a.pth", "w+b") as file:
        file.write(b"a heading")
        flambeau.save(flambeau.arange(3), file)
        file.seek(9)
        assert flambeau.load(file).tolist() == [0, 1, 2]


def test_wrong_file_arguments(tmp_path):
    with pytest.raises(TypeError, match="file object"):
        flambeau.load(3)
    with pytest.raises(TypeError, match="file object"):
        flambeau.save(3, 3)
    with pytest.raises(FileNotFoundError):
        flambeau.load(tmp_path / "missing.pth")
    with pytest.raises(RuntimeError, match="Parent directory"):
        flambeau.save(1, tmp_path / "missing" / "a.pth")


def test_same_content_gives_the_same_file():
    value = {"x": flambeau.arange(3.), "n": [1, 2]}
    assert saved(value).getvalue() == saved(value).getvalue()


class Interrupted(BaseException):
    """Stands for Ctrl-C."""


@pytest.mark.parametrize("error", [OSError("No space left on device"), Interrupted()], ids=["disk full", "interrupt"])
@pytest.mark.parametrize("existing", [True, False], ids=["over a file", "new"])
def test_failure_while_writing_keeps_what_was_there(tmp_path, monkeypatch, error, existing):
    path = tmp_path / "a.pth"
    if existing:
        flambeau.save({"old": flambeau.ones(3)}, path)
    before = path.read_bytes() if existing else None
    add, names = _archive._add, []

    def failing(archive, name, data):
        names.append(name)
        if name.endswith("data/1"):
            raise error
        add(archive, name, data)

    monkeypatch.setattr(_archive, "_add", failing)
    with pytest.raises(type(error)):
        flambeau.save([flambeau.ones(3), flambeau.zeros(3)], path)
    assert "a/data/0" in names
    assert os.listdir(tmp_path) == (["a.pth"] if existing else [])
    assert not existing or path.read_bytes() == before


def test_failure_while_pickling_touches_nothing(tmp_path):
    path = tmp_path / "a.pth"
    flambeau.save(1, path)
    before = path.stat()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        flambeau.save([flambeau.ones(2), lambda: 0], path)
    assert path.stat() == before and os.listdir(tmp_path) == ["a.pth"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits and rarely symbolic links")
def test_permissions_and_links_are_kept(tmp_path):
    real = tmp_path / "real.pth"
    flambeau.save(1, real)
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert stat.S_IMODE(real.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    real.chmod(0o640)
    link = tmp_path / "link.pth"
    link.symlink_to(real)
    flambeau.save(2, link)
    assert link.is_symlink() and flambeau.load(real) == 2
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_saving_does_not_copy_the_storage(tmp_path):
    import tracemalloc

    x = flambeau.zeros(1 << 22)
    tracemalloc.start()
    flambeau.save(x, tmp_path / "a.pth")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes // 8


# -- the allow-list

def test_safe_globals():
    file = saved([Stranger(3)])
    assert serialization.get_safe_globals() == []
    with pytest.raises(pickle.UnpicklingError, match=r"Stranger.*safe_globals"):
        flambeau.load(file)
    file.seek(0)
    assert serialization.get_unsafe_globals_in_checkpoint(file) == [f"{__name__}.Stranger"]
    with serialization.safe_globals([Stranger]):
        file.seek(0)
        assert flambeau.load(file) == [Stranger(3)]
        assert serialization.get_safe_globals() == [Stranger]
    assert serialization.get_safe_globals() == []
    file.seek(0)
    assert flambeau.load(file, weights_only=False) == [Stranger(3)]


def test_safe_globals_by_name():
    serialization.add_safe_globals([(Stranger, "somewhere.Else"), Stranger])
    serialization.add_safe_globals([Stranger])
    try:
        assert len(serialization.get_safe_globals()) == 2
        pickled = pickle.dumps(Stranger(4), 2).replace(f"c{__name__}\nStranger".encode(), b"csomewhere\nElse")
        assert flambeau.load(repacked(saved(1), {"data.pkl": pickled})) == Stranger(4)
    finally:
        serialization.clear_safe_globals()
    assert serialization.get_safe_globals() == []


def test_safe_globals_refuses_what_is_no_class():
    with pytest.raises(TypeError, match="class"):
        serialization.add_safe_globals(["os.system"])
    with pytest.raises(TypeError, match="class"):
        serialization.safe_globals([(Stranger, 3)])


def test_pickle_module_needs_trust():
    with pytest.raises(RuntimeError, match="weights_only"):
        flambeau.load(saved(1), pickle_module=pickle, weights_only=True)
    assert flambeau.load(saved([Stranger(1)]), pickle_module=pickle) == [Stranger(1)]


def test_saving_with_another_pickle_module():
    import types

    other = types.ModuleType("other")
    other.Pickler, other.Unpickler = pickle.Pickler, pickle.Unpickler
    x = flambeau.arange(4.)
    y, transposed, dtype = flambeau.load(saved([x, x.reshape(2, 2).t(), x.dtype], pickle_module=other),
                                         pickle_module=other)
    assert y.tolist() == x.tolist() and share_memory(y, transposed) and dtype is flambeau.float32


def test_text_of_python_2():
    pickled = b"\x80\x02U\x03a\xe4b."
    file = repacked(saved(1), {"data.pkl": pickled})
    assert flambeau.load(file, encoding="latin1") == "aäb"
    file.seek(0)
    assert flambeau.load(file, encoding="bytes") == b"a\xe4b"
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match="encoding"):
        flambeau.load(file)


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


def test_import_is_light():
    program = ("import sys, flambeau.serialization; "
               "print([name for name in sys.modules if name.startswith('flambeau.serialization._')])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
