"""Programs: families, build failures that can be read, binaries on disk that nothing can spoil."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

import flambeau
from flambeau import discovery
from flambeau.errors import BackendError

pytest.importorskip("pyopencl", reason="pyopencl is not installed: pip install 'flambeau[opencl]'")
from flambeau_clike.launch import launch
from flambeau_clike.program import Family, excerpt
from flambeau_opencl import cache as caches
from flambeau_opencl.cache import BinaryCache, cache_for
from flambeau_opencl.device import Device

PLUS = """
KERNEL $NAME(ARRAY($T, out), i64 value, i64 n) {
    OPEN($T, out);
    FOR_EACH(i, n) out[i] = ($T)value;
}"""


@pytest.fixture
def device(opencl) -> Device:
    return Device(discovery.backend_for(opencl)._devices[0].handle, "opencl:test")


def family(name: str = "plus", template: str = PLUS) -> Family:
    return Family(name, template, (("T", ("i32", "f32", "f64")),))


# ---------------------------------------------------------------------------------------------- building
def test_one_program_for_a_family(device):
    plus = family()
    kernels = [device.programs.kernel(plus, (kind,)) for kind in ("i32", "f32")]
    assert [each.function_name for each in kernels] == ["plus_i32", "plus_f32"]
    assert len(device.programs.built) == 1
    assert device.programs.kernel(plus, ("i32",)) is kernels[0]


def test_wide_indices_are_another_program(device):
    plus = family()
    assert device.programs.kernel(plus, ("i32",), True) is not device.programs.kernel(plus, ("i32",))
    assert len(device.programs.built) == 2


def test_a_build_that_fails_shows_where(opencl):
    broken = Family("broken_one", "KERNEL $NAME(ARRAY(f32, out), i64 n) {\n  OPEN(f32, out);\n  out[0] = nowhere;\n}")
    x = flambeau.zeros(3, device=opencl)
    with pytest.raises(BackendError) as caught:
        launch(broken, (), 3, x._array, 3, op="frobnicate")
    text = str(caught.value)
    assert "frobnicate(float32 [3])" in text
    assert "'opencl:0'" in text
    assert "nowhere" in text.partition("source, line")[2]      # the line itself
    assert "-DCHUNKED" in text or not x._array.device.traits.cpu
    assert (x + 1).tolist() == [1, 1, 1]


def test_a_kernel_that_the_family_does_not_have(device):
    with pytest.raises(BackendError, match="there is no kernel plus_u8"):
        device.programs.kernel(family(), ("u8",))


def test_excerpts():
    source = "\n".join(f"line {number}" for number in range(1, 31))
    text = excerpt(source, "x.cl:12:5: error: no such thing\nx.cl:13:1: warning: unused\nx.cl:99:1: error: beyond")
    assert "source, line 12:" in text
    assert ">   12  line 12" in text
    assert "    8  line 8" in text
    assert "line 7\n" not in text
    assert "line 17" not in text
    assert len(excerpt(source, "x" * 10_000)) < 5000


# ---------------------------------------------------------------------------------------------- on disk
@pytest.fixture
def stored(device, tmp_path):
    """A cache with one program, and what the program was made from."""
    cache = BinaryCache(device, tmp_path / "deep" / "cache")
    device.programs.cache = cache
    device.programs.kernel(family(), ("i32",))
    (path,) = cache.directory.iterdir()
    return cache, path


def again(device: Device, cache: BinaryCache) -> int:
    """Build the family on another device object, run it, and say how many files there are then."""
    other = Device(device.handle, "opencl:test2")
    other.programs.cache = BinaryCache(other, cache.directory)
    from flambeau_clike.array import Array
    out = Array(other.allocate(20), flambeau.int32, (5,))
    launch(family(), ("i32",), 5, out, 7, 5)
    from flambeau_clike.transfers import to_host
    assert to_host(out).tolist() == [7] * 5
    return len(list(cache.directory.iterdir()))


def test_binaries_are_used_again(device, stored, monkeypatch):
    cache, path = stored
    before = path.stat()
    os.utime(path, (1, 1))
    monkeypatch.setattr(BinaryCache, "store", lambda *args: pytest.fail("built from source"))
    assert again(device, cache) == 1
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime > 1      # it is young again


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "other", "magic only"])
def test_a_damaged_file_is_built_anew(device, stored, damage):
    cache, path = stored
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "half": data[:len(data) // 2], "other": b"what is this?",
                      "flipped": data[:-1] + bytes([data[-1] ^ 1]), "magic only": caches._MAGIC}[damage])
    assert again(device, cache) == 1
    assert caches._checked(path.read_bytes()) is not None     # it is whole again


def test_a_binary_that_the_driver_refuses_is_built_anew(device, stored):
    import hashlib
    cache, path = stored
    path.write_bytes(caches._MAGIC + hashlib.sha256(b"no binary").digest() + b"no binary")
    assert again(device, cache) == 1


def test_what_a_binary_depends_on(device, tmp_path):
    cache = BinaryCache(device, tmp_path)
    paths = {cache.path("a", "b"), cache.path("a", "c"), cache.path("b", "b"), cache.path("ab", "")}
    assert len(paths) == 4
    cache._about += "a new driver"
    assert cache.path("a", "b") not in paths


def test_the_directory_has_a_bound(device, tmp_path):
    cache = BinaryCache(device, tmp_path, bound=10_000)
    for number in range(8):
        path = tmp_path / f"{number}{caches._SUFFIX}"
        path.write_bytes(bytes(2000))
        os.utime(path, (number, number))
    (tmp_path / "somebody's").write_bytes(bytes(50_000))
    cache._trim()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"{number}{caches._SUFFIX}" for number in (5, 6, 7)] + ["somebody's"]


def test_no_directory_is_no_error(device, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = BinaryCache(device, tmp_path / "file")
    device.programs.cache = cache
    assert device.programs.kernel(family(), ("i32",)).function_name == "plus_i32"


@pytest.mark.parametrize("setting", ["off", "auto", "on", "directory"])
def test_the_setting(device, monkeypatch, tmp_path, setting):
    from pyopencl.characterize import has_src_build_cache
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(caches.SETTING, str(tmp_path) if setting == "directory" else setting)
    cache = cache_for(device)
    if setting == "off" or (setting == "auto" and has_src_build_cache(device.handle)):
        assert cache is None
    else:
        assert cache is not None
        assert cache.directory == tmp_path if setting == "directory" else cache.directory.name == "opencl"


PROCESS = """
from flambeau import discovery
from flambeau_clike.program import Family
device = discovery.backend_for("opencl")._devices[0]
for number in range(3):
    family = Family(f"plus{number}", {template!r}, (("T", ("i32",)),))
    print(device.programs.kernel(family, ("i32",)).function_name)
"""


DAMAGED = """
import flambeau
x = flambeau.ones(4, device="opencl")
print((x + x).tolist(), flambeau.cat([x, x]).sum().item())
"""


@pytest.mark.parametrize("left", [0, 100])
def test_a_driver_that_has_damaged_its_own_cache(device, tmp_path, left):
    """PoCL finds no kernel in a file that was cut short, and would never again; programs are built under another
    name."""
    if "portable computing language" not in device.handle.platform.name.lower():
        pytest.skip("about PoCL's cache")
    environment = {**os.environ, "POCL_CACHE_DIR": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DAMAGED]
    for _ in range(3):      # what it builds the second time is damaged, too
        output = subprocess.run(command, env=environment, capture_output=True, check=False, text=True, timeout=120)
        assert output.returncode == 0, output.stderr
        assert output.stdout.split("\n")[0] == "[2.0, 2.0, 2.0, 2.0] 8.0"
        files = list(tmp_path.rglob("program.bc"))
        assert files
        for each in files:
            os.truncate(each, left)


def test_a_program_without_its_kernels_is_built_anew(device, monkeypatch):
    import pyopencl as cl
    real, tried = cl.Kernel, []

    def fails(program, name):
        tried.append(program)
        if len(tried) < 3:
            raise cl.LogicError("INVALID_KERNEL_NAME")
        return real(program, name)
    monkeypatch.setattr(cl, "Kernel", fails)
    assert device.programs.kernel(family(), ("i32",)).function_name == "plus_i32"
    assert len({id(each) for each in tried}) == 3


@pytest.mark.slow
def test_concurrent_processes(opencl, tmp_path):
    """Several processes build the same programs in one directory at once."""
    environment = {**os.environ, caches.SETTING: str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROCESS.format_map({"template": PLUS, "number": "{number}"})]
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)) for _ in range(3)]
        for each in running:
            output, errors = each.communicate(timeout=120)
            assert each.returncode == 0, errors.decode()
            assert output.split() == [b"plus0_i32", b"plus1_i32", b"plus2_i32"]
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert all(each.suffix == caches._SUFFIX and caches._checked(each.read_bytes()) for each in files)
