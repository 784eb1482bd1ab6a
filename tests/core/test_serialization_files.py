"""Where saved things go and come from: devices, paths, file objects, and what a file may name."""

from __future__ import annotations

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
from saved_files import content, repacked, round_trip, saved, share_memory


class Stranger:
    """A class that no allow-list knows."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stranger) and other.value == self.value

    __hash__ = None


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


@pytest.fixture
def elsewhere():
    """The name of a device type whose memory is not the host's, with two devices."""
    import dataclasses

    from flambeau import discovery

    class Elsewhere(type(discovery.host())):
        name = "elsewhere"
        capabilities = dataclasses.replace(discovery.host().capabilities, host=False)

        def device_count(self):
            return 2

        def to_host(self, array):
            return array.copy()

    discovery.register_backend(Elsewhere)
    yield "elsewhere"
    discovery.unregister_backend("elsewhere")


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "older"])
def test_other_device(elsewhere, new_format, oracle):
    x = flambeau.arange(6.)
    file = saved([x, x[2:], x.reshape(2, 3).t()], _use_new_zipfile_serialization=new_format)
    there = flambeau.load(file, map_location=elsewhere + ":1")
    assert [str(each.device) for each in there] == ["elsewhere:1"] * 3
    assert share_memory(there[0], there[1]) and share_memory(there[0], there[2])
    back = saved(there, _use_new_zipfile_serialization=new_format)
    again = flambeau.load(back)
    assert [str(each.device) for each in again] == ["elsewhere:1"] * 3 and share_memory(again[0], again[2])
    back.seek(0)
    home = flambeau.load(back, map_location={elsewhere + ":1": "cpu"})
    assert [each.tolist() for each in home] == [x.tolist(), x[2:].tolist(), [[0., 3.], [1., 4.], [2., 5.]]]
    back.seek(0)
    assert oracle.load(back, map_location="cpu")[2].tolist() == home[2].tolist()
    back.seek(0)
    moved = flambeau.load(back, map_location=lambda storage, location: storage.to("elsewhere:0"))
    assert str(moved[0].device) == "elsewhere:0"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))],
                         ids=["deepcopy", "pickle"])
def test_copies_on_another_device(elsewhere, copied):
    x = flambeau.load(saved(flambeau.arange(4.)), map_location=elsewhere)
    y, tail = copied([x, UntypedStorage.of(x).tensor(flambeau.float32, (2,), (1,), 2)])
    assert str(y.device) == "elsewhere:0" and share_memory(y, tail) and not share_memory(x, y)
    assert content(y) == content(x) and content(tail) == content(x)


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
    with pytest.raises(RuntimeError, match="does not exist"):
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


def test_import_is_light():
    program = ("import sys, flambeau.serialization; "
               "print([name for name in sys.modules if name.startswith('flambeau.serialization._')])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
