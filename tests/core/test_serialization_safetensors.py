"""safetensors files, as the `safetensors` package has them, and checkpoints in several files; nothing half-read."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import nn
from flambeau.serialization import load_sharded, safetensors, save_sharded, sharded

Header = dict[str, Any]


def tensors(torch: Any) -> dict[str, Any]:
    made = {name: torch.arange(6).reshape(2, 3).to(getattr(torch, name)) for name in (
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")}
    return {**made, "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "turned": torch.ones(2, 3).t(),
            "naïve": torch.ones(1)}


def equal(ours: Any, theirs: Any) -> bool:
    return (list(ours.shape) == list(theirs.shape) and str(ours.dtype) == str(theirs.dtype)
            and ours.double().tolist() == theirs.double().tolist())


def test_the_package_reads_what_we_write_and_the_other_way_round(tmp_path: Path):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    package = pytest.importorskip("safetensors", reason="the format's own package")
    import safetensors.torch as theirs

    here, there = tmp_path / "here.safetensors", tmp_path / "there.safetensors"
    safetensors.save_file(tensors(flambeau), here, metadata={"format": "pt"})
    ordered = {name: each.contiguous() for name, each in tensors(torch).items()}
    theirs.save_file(ordered, there, metadata={"format": "pt"})
    ours_read, theirs_read = safetensors.load_file(there), theirs.load_file(here)
    assert set(ours_read) == set(theirs_read) == set(ordered)
    for name, tensor in ordered.items():
        assert equal(ours_read[name], tensor) and equal(theirs_read[name], tensor), name
    with package.safe_open(here, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    with safetensors.safe_open(there) as file:
        assert file.metadata() == {"format": "pt"} and file.keys() == sorted(ordered) == list(file)
        part = file.get_slice("float32")
        assert part.get_shape() == [2, 3] and part.get_dtype() == "F32" and part[1].tolist() == [3, 4, 5]
        with pytest.raises(RuntimeError, match="does not contain"):
            file.get_tensor("absent")
    assert equal(safetensors.load(theirs.save(ordered))["turned"], ordered["turned"])
    assert equal(theirs.load(safetensors.save(tensors(flambeau)))["bfloat16"], ordered["bfloat16"])


def test_what_is_loaded_can_be_changed_and_the_file_stays(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    safetensors.save_file({"x": flambeau.zeros(4)}, path)
    loaded = safetensors.load_file(path)
    loaded["x"].add_(1)
    assert loaded["x"].tolist() == [1] * 4 and safetensors.load_file(path)["x"].tolist() == [0] * 4
    data = safetensors.save({"x": flambeau.zeros(4)})
    safetensors.load(data)["x"].add_(1)
    assert safetensors.load(data)["x"].tolist() == [0] * 4


def file_of(header: Header | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize("content", [
    b"", b"1234", file_of(b"{"), file_of(b"[1]"), file_of(b"\xff"), file_of({}, length=1 << 62), file_of({}, length=99),
    file_of({"a": ENTRY}), file_of({"a": ENTRY}, bytes(9)), file_of({"a": {**ENTRY, "dtype": "F99"}}, bytes(8)),
    file_of({"a": {**ENTRY, "shape": [3]}}, bytes(8)), file_of({"a": {**ENTRY, "shape": [-2]}}, bytes(8)),
    file_of({"a": {**ENTRY, "shape": [1 << 40, 1 << 40]}}, bytes(8)), file_of({"a": {**ENTRY, "shape": 2}}, bytes(8)),
    file_of({"a": ENTRY, "b": ENTRY}, bytes(8)), file_of({"a": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)),
    file_of({"a": {**ENTRY, "data_offsets": [8, 0]}}, bytes(8)), file_of({"a": {"dtype": "F32"}}, bytes(8)),
    file_of({"a": 3}), file_of({"__metadata__": {"a": 1}}), file_of(b'{"a":' + json.dumps(ENTRY).encode() + b',"a":'
                                                                      + json.dumps(ENTRY).encode() + b"}", bytes(8)),
    file_of(b"[" * 100_000)])
def test_damaged_files_are_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.load_file(path)
    with pytest.raises(RuntimeError):
        safetensors.load(content)


def test_tensors_at_odd_places_are_read():
    header = {"b": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
              "a": {"dtype": "F32", "shape": [1], "data_offsets": [1, 5]}}
    assert safetensors.load(file_of(header, b"\x07" + struct.pack("<f", 1.5)))["a"].tolist() == [1.5]


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path):
    x = flambeau.zeros(2, 2)
    for wrong, kind, text in (({"a": x, "b": x.t()}, RuntimeError, "share memory"), ({"a": 3}, TypeError, "invalid"),
                              ([x], TypeError, "mapping"), ({1: x}, TypeError, "invalid"),
                              ({"a": x.to(flambeau.complex128)}, RuntimeError, "complex128")):
        with pytest.raises(kind, match=text):
            safetensors.save_file(wrong, tmp_path / "x")
    with pytest.raises(TypeError, match="metadata"):
        safetensors.save_file({"a": x}, tmp_path / "x", metadata={"a": 1})
    assert os.listdir(tmp_path) == []


# -- several files

class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.inner = nn.Linear(8, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("steps", flambeau.tensor(3))


def same_state(one: Any, other: Any) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(flambeau.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("size, count", [("5GB", 1), ("700B", 2), (300, 3), ("1B", 4)])
def test_a_round_trip_in_files(safe: bool, size: Any, count: int, tmp_path: Path):
    model, other = Tied(), Tied()
    names = save_sharded(model, tmp_path, size, safe_serialization=safe)
    assert sorted(os.listdir(tmp_path)) == sorted(names) and len(names) == (count if count == 1 else count + 1)
    assert load_sharded(other, tmp_path) == ([], [])
    assert same_state(model, other) and other.head.weight is other.embed.weight
    state = load_sharded(None, tmp_path)
    assert set(state) == set(model.state_dict())
    assert flambeau.equal(state["head.weight"], model.head.weight)
    if count > 1:
        index = json.loads((tmp_path / names[-1]).read_text())
        assert index["metadata"]["total_size"] == 4 * (160 + 64 + 8) + 8
        assert set(index["weight_map"]) == set(model.state_dict()) - ({"head.weight"} if safe else set())
        assert load_sharded(Tied(), tmp_path / names[-1]) == ([], [])


def test_a_checkpoint_of_another_writer(tmp_path: Path):
    """As Hugging Face's libraries write them: no marks of ours, tied weights left out."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    pytest.importorskip("safetensors", reason="the format's own package")
    from safetensors.torch import save_file

    state = {name: torch.tensor(each.tolist()) for name, each in Tied().state_dict().items() if name != "head.weight"}
    where = {}
    for i, name in enumerate(state, start=1):
        where[name] = f"model-{i:05d}-of-{len(state):05d}.safetensors"
        save_file({name: state[name]}, tmp_path / where[name], metadata={"format": "pt"})
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    model = Tied()
    assert load_sharded(model, tmp_path) == ([], [])
    assert model.head.weight.tolist() == state["embed.weight"].tolist()


def test_strictness(tmp_path: Path):
    save_sharded({"weight": flambeau.ones(2, 2), "more": flambeau.ones(1)}, tmp_path, 8)
    model = nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match=r"(?s)Linear.*Missing key.*'bias'.*Unexpected key.*'more'"):
        load_sharded(model, tmp_path)
    assert load_sharded(model, tmp_path, strict=False) == (["bias"], ["more"])
    assert model.weight.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_sharded(nn.Linear(3, 2), tmp_path, strict=False)


def test_a_later_save_replaces_all_files_of_the_former(tmp_path: Path):
    (tmp_path / "model-notes.txt").write_text("kept")
    save_sharded(Tied(), tmp_path, 300)
    assert save_sharded(nn.Linear(2, 2), tmp_path) == ["model.safetensors"]
    assert sorted(os.listdir(tmp_path)) == ["model-notes.txt", "model.safetensors"]


def test_files_of_two_saves_are_not_mixed(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    names = save_sharded(Tied(), one, 300)
    save_sharded(Tied(), two, 300)
    os.replace(two / names[1], one / names[1])
    with pytest.raises(RuntimeError, match="another save"):
        load_sharded(Tied(), one)
    os.unlink(one / names[1])
    with pytest.raises(FileNotFoundError, match=names[1]):
        load_sharded(Tied(), one)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_sharded(None, tmp_path)


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": {"a": "../b"}}', '{"weight_map": {"a": 1}}'])
def test_a_damaged_index_is_refused(index: str, tmp_path: Path):
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(RuntimeError, match="load_sharded"):
        load_sharded(None, tmp_path)


def test_views_of_one_storage_become_tensors_of_their_own(tmp_path: Path):
    x = flambeau.arange(6.)
    save_sharded({"whole": x, "part": x[2:4]}, tmp_path)
    assert load_sharded(None, tmp_path)["part"].tolist() == [2, 3]


def test_sizes():
    for wrong in (0, -1, "0", "5 parrots", None, True, "GB"):
        with pytest.raises(ValueError, match="max_shard_size"):
            sharded.parse_size(wrong)  # type: ignore[arg-type]
