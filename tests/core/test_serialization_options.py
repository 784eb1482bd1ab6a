"""What can be set about saving and loading; files that are mapped and not read; saves that are killed."""

from __future__ import annotations

import io
import mmap
import os
import re
import signal
import subprocess
import sys
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import serialization
from flambeau.serialization import _files, options
from saved_files import repacked, saved


def test_the_names_are_pytorchs(oracle):
    import torch.serialization as theirs

    assert [name for name in theirs.__all__ if not hasattr(serialization, name)] == []


# -- checksums

def test_files_without_checksums(oracle, tmp_path: Path):
    value = {"x": flambeau.arange(100.)}
    path = tmp_path / "x.pt"
    serialization.set_crc32_options(False)
    try:
        assert serialization.get_crc32_options() is False
        flambeau.save(value, path)
    finally:
        serialization.set_crc32_options(True)
    with zipfile.ZipFile(path) as archive:
        assert {each.CRC for each in archive.infolist()} == {0}
    assert flambeau.load(path)["x"].tolist() == oracle.load(path)["x"].tolist() == list(range(100))
    oracle.serialization.set_crc32_options(False)
    try:
        oracle.save({"x": oracle.arange(3)}, path)
    finally:
        oracle.serialization.set_crc32_options(True)
    assert flambeau.load(path)["x"].tolist() == [0, 1, 2]


# -- without the bytes

def test_saving_and_loading_without_the_bytes(oracle, tmp_path: Path):
    path = tmp_path / "x.pt"
    with serialization.skip_data():
        flambeau.save(flambeau.ones(3), path)
        with pytest.raises(RuntimeError, match="skip_data"):
            flambeau.save(1, path, _use_new_zipfile_serialization=False)
    assert flambeau.load(path).tolist() == oracle.load(path).tolist() == [0, 0, 0]
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("x/data/0").header_offset
    content = bytearray(path.read_bytes())
    begin = content.index(bytes(12), place + 64)
    content[begin:begin + 12] = flambeau.tensor([1., 2., 3.]).numpy().tobytes()
    path.write_bytes(content)
    loaded = flambeau.load(path).tolist()
    assert loaded in ([1, 2, 3], oracle.load(path).tolist())
    flambeau.save(flambeau.ones(3), path)
    with serialization.skip_data(materialize_fake_tensors=True):
        assert flambeau.load(path).tolist() == [0, 0, 0]
    oracle_path = tmp_path / "theirs.pt"
    with oracle.serialization.skip_data():
        oracle.save(oracle.ones(3), oracle_path)
    assert flambeau.load(oracle_path).shape == (3,)


# -- byte order

def test_the_byte_order_of_files_that_do_not_say_theirs():
    file = saved(flambeau.tensor([1, 2], dtype=flambeau.int16))
    silent = repacked(file, {"byteorder": None})
    assert flambeau.load(silent).tolist() == [1, 2]
    for endianness, expected in (("BIG", [256, 512]), ("LITTLE", [1, 2]), ("NATIVE", [1, 2])):
        serialization.set_default_load_endianness(serialization.LoadEndianness[endianness])
        try:
            assert serialization.get_default_load_endianness().name == endianness
            silent.seek(0)
            assert flambeau.load(silent).tolist() == expected
        finally:
            serialization.set_default_load_endianness(None)
    with pytest.raises(TypeError, match="set_default_load_endianness"):
        serialization.set_default_load_endianness("big")


# -- mapping

SCRIPT = """
import resource, sys
import flambeau as torch
from flambeau.serialization.safetensors import load_file, save_file

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20

x = torch.ones(12 << 20)  # 48 MiB
torch.save(x, "x.pt")
save_file({"x": x}, "x.safetensors")
del x
torch.load("x.pt", mmap=True), load_file("x.safetensors")  # whatever is imported late
mapped = lambda: torch.load("x.pt", mmap=True)
for load in (mapped, lambda: load_file("x.safetensors")["x"], lambda: torch.load("x.pt")):
    before = resident()
    loaded = load()
    after = resident()
    total = loaded.sum().item()
    print(after - before, resident() - before, total)
    del loaded
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc for the resident memory")
def test_a_mapped_file_is_not_read_at_load(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=tmp_path)
    mapped, safe, read = ([float(each) for each in line.split()] for line in done.stdout.splitlines())
    assert mapped[2] == safe[2] == read[2] == 12 << 20
    assert mapped[0] <= 4 and safe[0] <= 4 and read[0] >= 40, done.stdout
    assert mapped[1] >= 40 and safe[1] >= 40, done.stdout


def test_mapping_options(tmp_path: Path):
    path = tmp_path / "x.pt"
    flambeau.save(flambeau.zeros(3), path)
    flambeau.load(path, mmap=True).add_(1)
    assert flambeau.load(path).tolist() == [0, 0, 0]
    with serialization.set_default_mmap_options(mmap.MAP_SHARED):
        loaded = flambeau.load(path, mmap=True)
        loaded.add_(1)
        assert serialization.get_default_mmap_options() == mmap.MAP_SHARED
    assert serialization.get_default_mmap_options() == mmap.MAP_PRIVATE
    with zipfile.ZipFile(path) as archive:
        record = archive.getinfo("x/data/0")
    assert record.file_size == 12
    assert flambeau.load(path, mmap=True).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"MAP_PRIVATE or mmap\.MAP_SHARED, but got 77"):
        serialization.set_default_mmap_options(77)
    options.load_options.mmap = True
    try:
        with pytest.raises(ValueError, match="needs a path"):
            flambeau.load(saved(1))
    finally:
        options.load_options.mmap = False


# -- devices of one's own

def test_a_package_of_ones_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(options, "_packages", [])
    seen = []

    def restore(storage: Any, location: str) -> Any:
        seen.append(location)
        return storage if location == "mine:0" else None

    serialization.register_package(20, lambda storage: "late", lambda storage, location: None)
    serialization.register_package(3, lambda storage: "mine:0" if storage.nbytes() == 8 else None, restore)
    storage = flambeau.zeros(2).untyped_storage()
    assert serialization.location_tag(storage) == "mine:0"
    assert serialization.location_tag(flambeau.zeros(1).untyped_storage()) == "late"
    file = saved(flambeau.ones(2))
    assert flambeau.load(file).tolist() == [1, 1] and seen == ["mine:0"]
    assert serialization.default_restore_location(storage, "cpu") is storage
    with pytest.raises(RuntimeError, match="don't know how to restore data location of UntypedStorage"):
        serialization.default_restore_location(storage, "elsewhere")


def test_small_helpers(oracle):
    assert str(serialization.StorageType("HalfStorage")) == "StorageType(dtype=torch.float16)"
    assert issubclass(serialization.SourceChangeWarning, Warning)
    for version, wanted in (("2.13.0+cpu", (2, 13)), ("2.0", (2, 1)), ("x.y", (1,)), ("1", (1, 2))):
        module = types.ModuleType("m")
        module.__version__ = version  # type: ignore[attr-defined]
        results = []
        for each in (serialization, oracle.serialization):
            try:
                results.append(each.check_module_version_greater_or_equal(module, wanted))
            except RuntimeError as error:
                results.append(str(error))
        assert str(results[0])[:40] == str(results[1])[:40]
    with pytest.warns(UserWarning, match="malformed"):
        assert serialization.check_module_version_greater_or_equal(module, (1, 2), error_if_malformed=False)
    for location in ("cpu", "hpu:3"):
        with pytest.raises(RuntimeError):
            serialization.validate_hpu_device(location)


# -- saves that are killed

SAVER = """
import sys
import flambeau as torch

first = torch.load(sys.argv[1])["version"]
for version in range(first + 1, 10_000):
    value = {"version": version, "x": torch.full((200_000,), float(version))}
    print(version, flush=True)
    torch.save(value, sys.argv[1])
"""


def leftovers(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir() if each.name.endswith(".tmp")]


def test_a_killed_save_leaves_the_old_file_or_the_new_one(tmp_path: Path):
    path = tmp_path / "x.pt"
    flambeau.save({"version": 0, "x": flambeau.zeros(1)}, path)
    found = 0
    for kill in range(3):
        process = subprocess.Popen([sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process, process.stdout:
            last = int(process.stdout.readline())
            if kill % 2:
                last = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            last = max([last, *map(int, process.stdout.read().split())])
        loaded = flambeau.load(path)
        assert loaded["version"] in (last - 1, last)
        assert set(loaded["x"].tolist()) == {float(loaded["version"])}
        assert len(leftovers(tmp_path)) <= 1  # the save after a kill removes what the kill left
        found += len(leftovers(tmp_path))
    flambeau.save({"version": 0}, path)
    assert leftovers(tmp_path) == []


def test_leftovers_are_told_from_saves_under_way(tmp_path: Path):
    dead = [tmp_path / ".x.pt.0123456789ab.tmp", tmp_path / ".x.pt.ffffffffffff.tmp"]
    others = [tmp_path / ".y.pt.0123456789ab.tmp", tmp_path / ".x.pt.tmp", tmp_path / ".x.pt.0123456789abc.tmp"]
    for each in (*dead, *others):
        each.write_bytes(b"half")
    with _files.open_for_writing(tmp_path / "x.pt") as (file, _):
        under_way = set(leftovers(tmp_path)) - {each.name for each in others}
        assert len(under_way) == 1 and re.fullmatch(r"\.x\.pt\.[0-9a-f]{12}\.tmp", under_way.pop())
        flambeau.save(1, tmp_path / "x.pt")  # another save to the same path does not take it for a leftover
        assert len(leftovers(tmp_path)) == len(others) + 1
        file.write(b"whole")
    assert (tmp_path / "x.pt").read_bytes() == b"whole"
    assert set(leftovers(tmp_path)) == {each.name for each in others}


def test_places_to_save_to(tmp_path: Path):
    for target in (tmp_path / "a.pt", str(tmp_path / "b.pt")):
        flambeau.save([1], target)
        assert flambeau.load(target) == [1]
    with open(tmp_path / "c.pt", "w+b") as file:
        flambeau.save([2], file)
        file.seek(0)
        assert flambeau.load(file) == [2]
    buffer = io.BytesIO()
    flambeau.save([3], buffer)
    buffer.seek(0)
    assert flambeau.load(buffer) == [3]
    os.symlink(tmp_path / "a.pt", tmp_path / "link.pt")
    flambeau.save([4], tmp_path / "link.pt")
    assert flambeau.load(tmp_path / "a.pt") == [4] and (tmp_path / "link.pt").is_symlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flambeau.save([5], tmp_path / "a.pt")
