"""hub: files are downloaded whole or not at all, into PyTorch's own folder."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import urllib.error
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import flambeau
from flambeau import hub
from web_server import serving


@pytest.fixture(autouse=True)
def _no_folder_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ran before in this process, nobody has called `set_dir`."""
    monkeypatch.setattr(hub._files, "_folder", None)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """The address of a server and the folder that it serves; downloads go into a folder of the test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as address:
        yield address, folder


def test_folder_is_pytorchs(oracle: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for variable, value in (("TORCH_HOME", "~/here"), ("TORCH_HOME", str(tmp_path)), ("XDG_CACHE_HOME", "/cache")):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        assert flambeau.hub.get_dir() == oracle.hub.get_dir()
        monkeypatch.setenv(variable, value)
        assert flambeau.hub.get_dir() == oracle.hub.get_dir()
    hub.set_dir(tmp_path / "mine")
    assert hub.get_dir() == str(tmp_path / "mine")


def test_download_to_a_file(server: tuple[str, Path], tmp_path: Path, capsys: Any):
    address, folder = server
    (folder / "data.bin").write_bytes(b"x" * 300_000)
    digest = hashlib.sha256(b"x" * 300_000).hexdigest()
    hub.download_url_to_file(address + "data.bin", tmp_path / "data.bin", digest[:10], progress=False)
    assert (tmp_path / "data.bin").read_bytes() == b"x" * 300_000
    assert capsys.readouterr().err == ""
    hub.download_url_to_file(address + "data.bin", str(tmp_path / "data.bin"))
    assert "data.bin (0.3 MB)" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match=r'invalid hash value \(expected "00", got "'):
        hub.download_url_to_file(address + "data.bin", tmp_path / "other.bin", "00", progress=False)
    for name, problem in (("absent.bin", "404"), ("cut.bin", "incomplete answer: 9 bytes of 1000")):
        with pytest.raises(urllib.error.URLError, match=problem) as error:
            hub.download_url_to_file(address + name, tmp_path / "data.bin", progress=False)
        assert "by hand" in str(error.value)
    assert (tmp_path / "data.bin").read_bytes() == b"x" * 300_000  # what was there before stays
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data.bin", "served"]
    with pytest.raises(urllib.error.URLError, match="refused"):
        hub.download_url_to_file("http://127.0.0.1:9/data.bin", tmp_path / "data.bin", progress=False)


def test_state_dict_from_an_address(server: tuple[str, Path], tmp_path: Path, oracle: ModuleType):
    address, folder = server
    oracle.save({"weight": oracle.arange(3.0)}, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    (folder / "new.pth").rename(folder / f"net-{digest[:8]}.pth")
    found = hub.load_state_dict_from_url(f"{address}net-{digest[:8]}.pth?x=1", check_hash=True, map_location="cpu")
    assert found["weight"].tolist() == [0.0, 1.0, 2.0]
    assert [each.name for each in (tmp_path / "home/hub/checkpoints").iterdir()] == [f"net-{digest[:8]}.pth"]
    hub.load_state_dict_from_url(f"{address}net-{digest[:8]}.pth", model_dir=tmp_path / "a" / "b", file_name="own.pth")
    assert [each.name for each in (tmp_path / "a" / "b").iterdir()] == ["own.pth"]
    again = hub.load_state_dict_from_url("http://127.0.0.1:9/gone.pth", str(tmp_path / "a" / "b"), file_name="own.pth")
    assert again.keys() == found.keys()


# -------------------------------------------------------------------------------------------------------- repositories

HUBCONF = """
dependencies = ["json"]
from beside import SIZE

def net(scale=1, *, shift=0):
    '''A number.'''
    return SIZE * scale + shift

def _hidden():
    pass
"""


@pytest.fixture
def repository(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive of a repository somebody/nets with a branch main, where GitHub would have it."""
    address, folder = server
    archive = folder / "somebody" / "nets" / "zipball" / "main"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("somebody-nets-1234/hubconf.py", HUBCONF)
        file.writestr("somebody-nets-1234/beside.py", "SIZE = 7")
    branches = [{"name": "main", "commit": {"sha": "1234abcd"}}]
    (folder / "somebody" / "nets" / "branches").write_text(json.dumps(branches))
    (folder / "somebody" / "nets" / "tags").write_text("[]")
    tree = folder / "somebody" / "nets" / "tree" / "main"
    tree.mkdir(parents=True)
    monkeypatch.setattr(hub._repositories, "_GITHUB", address)
    monkeypatch.setattr(hub._repositories, "_API", address)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    return archive


def test_models_of_a_repository(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    asked: list[str] = []
    answers = iter(["no", "y"])
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or next(answers))
    with pytest.raises(RuntimeError, match=r"Untrusted repository"):
        hub.load("somebody/nets", "net")
    assert hub.load("somebody/nets", "net", 2, shift=1) == 15
    home = tmp_path / "home" / "hub"
    assert sorted(each.name for each in home.iterdir()) == ["somebody_nets_main", "trusted_list"]
    repository.unlink()  # from now on the copy on this machine is used
    assert hub.list("somebody/nets:main") == ["net"]
    assert "Using cache found in" in capsys.readouterr().err
    assert hub.help("somebody/nets:main", "net") == "A number."
    assert len(asked) == 2 and "somebody/nets" in asked[0]
    monkeypatch.setattr(hub._repositories, "_GITHUB", "http://127.0.0.1:9/")
    assert hub.load("somebody/nets", "net", verbose=False) == 7  # without a network, too
    with pytest.raises(RuntimeError, match="no internet connection"):
        hub.load("somebody/other", "net", trust_repo=True)
    with pytest.raises(ValueError, match="Cannot find fork in"):
        hub.load("somebody/nets:fork", "net")
    with pytest.raises(urllib.error.URLError, match="refused"):
        hub.load("somebody/nets:main", "net", force_reload=True, skip_validation=True)
    assert hub.load("somebody/nets:main", "net") == 7


def test_models_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    (tmp_path / "beside.py").write_text("SIZE = 3")
    before = list(sys.path)
    assert hub.load(tmp_path, "net", source="local") == 3
    assert sys.path == before
    with pytest.raises(RuntimeError, match="Cannot find callable nets in hubconf"):
        hub.load(str(tmp_path), "nets", source="local")
    with pytest.raises(ValueError, match='Unknown source: "web"'):
        hub.load(tmp_path, "net", source="web")
    with pytest.raises(ValueError, match="names no repository"):
        hub.load("nets", "net")
    (tmp_path / "hubconf.py").write_text("dependencies = ['surely_absent']\ndef net(): pass")
    with pytest.raises(RuntimeError, match="Missing dependencies: surely_absent"):
        hub.load(tmp_path, "net", source="local")


def test_names_and_arguments_are_pytorchs(oracle: ModuleType):
    assert sorted(hub.__all__) == sorted(oracle.hub.__all__)
    for name in hub.__all__:
        ours, theirs = (inspect.signature(getattr(each, name)).parameters for each in (hub, oracle.hub))
        assert [(each.name, each.default) for each in ours.values()] == [
            (each.name, each.default) for each in theirs.values()]  # fmt: skip
