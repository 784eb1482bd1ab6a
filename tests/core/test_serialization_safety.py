"""Files made to do harm, and files that are broken: each is refused with a proper error, and none of its code runs."""

from __future__ import annotations

import copyreg
import io
import pickle
import random
import struct
import zipfile
from typing import Any

import pytest

import flambeau
from flambeau.serialization.storage import UntypedStorage

CANARY: list[str] = []
REFUSALS = (RuntimeError, pickle.UnpicklingError, EOFError)


def trip(*arguments: Any) -> list[str]:
    """What the malicious files try to call."""
    CANARY.append("called")
    return CANARY


class Bait:
    """A class whose every way in springs the trap."""

    def __init__(self, *arguments: Any) -> None:
        trip()

    def __new__(cls, *arguments: Any) -> Bait:
        trip()
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        trip()


@pytest.fixture(autouse=True)
def nothing_was_called():
    CANARY.clear()
    yield
    assert CANARY == []


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(name: str) -> bytes:
    """The opcode that fetches a name, in the form of protocol 2."""
    module, _, attribute = name.rpartition(".")
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def archive(structure: bytes, **records: bytes) -> io.BytesIO:
    """A file with this pickle."""
    file = io.BytesIO()
    everything = {"data.pkl": structure, "byteorder": b"little", "data/0": bytes(24), "version": b"3\n"} | records
    with zipfile.ZipFile(file, "w") as opened:
        for name, data in everything.items():
            opened.writestr("archive/" + name, data)
    file.seek(0)
    return file


def older(structure: bytes) -> io.BytesIO:
    """The same in the format before the zip one."""
    head = b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return io.BytesIO(head + structure + pickle.dumps(["0"], 2) + struct.pack("<q", 6) + bytes(24))


def good_file() -> bytes:
    file = io.BytesIO()
    x = flambeau.arange(6.)
    flambeau.save({"x": x, "y": x[2:], "z": [flambeau.ones(40)]}, file)
    return file.getvalue()


HERE = __name__
TRIP, BAIT = named(f"{HERE}.trip"), named(f"{HERE}.Bait")
STORAGE = b"(" + text("storage") + named("torch.FloatStorage") + text("0") + text("cpu") + b"K\x06tQ"
UNTYPED = b"(" + text("storage") + named("torch.storage.UntypedStorage") + text("0") + text("cpu") + b"K\x18tQ"
ORDERED = named("collections.OrderedDict") + b")R"
DEEP = b")" + b"\x85" * 100_000
WIDE = b"K\x00" + b"2\x86" * 60  # a pair of twins of twins ...: 2**60 parts for whoever walks it


def tensor(storage: bytes = STORAGE, offset: bytes = b"K\x00", size: bytes = b"K\x06\x85", stride: bytes = b"K\x01\x85",
           grad: bytes = b"\x89", hooks: bytes = ORDERED, more: bytes = b"") -> bytes:
    """A tensor as files describe it, with any part replaced."""
    arguments = storage + offset + size + stride + grad + hooks + more
    return named("torch._utils._rebuild_tensor_v2") + b"(" + arguments + b"tR"


def long(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


CODE = {
    "os.system": named("os.system") + text("true") + b"\x85R.",
    "posix.system": named("posix.system") + text("true") + b"\x85R.",
    "subprocess": named("subprocess.Popen") + text("true") + b"\x85R.",
    "eval": named("builtins.eval") + text("1") + b"\x85R.",
    "exec of Python 2's name": named("__builtin__.exec") + text("1") + b"\x85R.",
    "getattr": named("builtins.getattr") + named("torch.Tensor") + text("__class__") + b"\x86R.",
    "__import__": named("builtins.__import__") + text("os") + b"\x85R.",
    "open": named("builtins.open") + text("/dev/null") + b"\x85R.",
    "type": named("builtins.type") + text("T") + b")}\x87R.",
    "operator": named("operator.attrgetter") + text("a") + b"\x85R.",
    "functools.partial": named("functools.partial") + TRIP + b"\x85R.",
    "a class of the program": BAIT + b")R.",
    "a function of the program": TRIP + b")R.",
    "only a name": TRIP + b".",
    "a module of torch": named("torch.utils.x") + b")R.",
    "torch.load": named("torch.load") + text("x") + b"\x85R.",
    "a module through torch": named("torch.os.system") + text("true") + b"\x85R.",
    "a dotted name": b"ctorch\nTensor.__reduce_ex__\n)R.",
    "a dotted builtin": b"c__builtin__\nset.__class__\n)R.",
    "storage with a pickle inside": named("torch.storage._load_from_bytes") + text("x") + b"\x85R.",
    "our own modules": named("flambeau.serialization.load") + text("x") + b"\x85R.",
    "our own command line": named("flambeau.cli.main") + b")R.",
    "numpy": named("numpy.core.multiarray._reconstruct") + b")R.",
    "STACK_GLOBAL": text(HERE) + text("trip") + b"\x93)R.",
    "STACK_GLOBAL of no strings": b"K\x01K\x02\x93.",
    "INST": b"(i" + HERE.encode() + b"\nBait\n.",
    "OBJ": b"(" + BAIT + b"o.",
    "NEWOBJ": BAIT + b")\x81.",
    "NEWOBJ of a class from the list": named("torch.Tensor") + b")\x81.",
    "NEWOBJ of a dict": named("collections.OrderedDict") + b")\x81.",
    "NEWOBJ_EX": BAIT + b")}\x92.",
    "EXT1": b"\x82\xf0)R.",
    "EXT2": b"\x83\xf0\x00)R.",
    "EXT4": b"\x84\xf0\x00\x00\x00)R.",
    "NEXT_BUFFER": b"\x97.",
    "READONLY_BUFFER": b"\x98.",
    "an unknown opcode": b"\xff.",
    "protocol 0 string": b"S'a'\n.",
    "protocol 0 int": b"I1\n.",
    "protocol 9": b"\x80\x09N.",
    "call of a dtype": named("torch.float32") + b")R.",
    "call of Tensor": named("torch.Tensor") + b")R.",
    "call of Parameter": named("torch.nn.parameter.Parameter") + b")R.",
    "call of a storage class": named("torch.FloatStorage") + b")R.",
    "call of a string": text("abc") + b")R.",
    "call of a tensor": tensor() + b")R.",
    "call of a list": b"])R.",
    "call of a deep tuple": DEEP + b")R.",
    "call with a list": named("collections.OrderedDict") + b"]R.",
    "state of a tensor": tensor() + b"}" + text("_array") + b"Nsb.",
    "state of a function": named("torch._utils._rebuild_tensor_v2") + b"}" + text("__code__") + b"Nsb.",
    "state of a class": named("torch.Tensor") + b"}" + text("__add__") + TRIP + b"sb.",
    "slots of a class": named("torch.Tensor") + b"N}" + text("__add__") + b"Ns\x86b.",
    "state of a list": b"]}b.",
    "dunder state of a dict": ORDERED + b"}" + text("__class__") + b"Nsb.",
    "state that is no dict": ORDERED + b"]b.",
    "state with numbers": ORDERED + b"}K\x01K\x01sb.",
    "item of a class": named("torch.Tensor") + b"K\x01K\x01s.",
    "item of a tensor": tensor() + b"K\x01K\x01s.",
    "item of a list": b"]K\x00K\x01s.",
    "append to a dict": b"}K\x01a.",
    "append to bytes": named("builtins.bytearray") + b")RK\x01a.",
    "add to a list": b"](K\x01\x90.",
    "a list as a key": b"}]K\x01s.",
    "a deep key": b"}" + DEEP + b"K\x01s.",
    "a wide key": b"}" + WIDE + b"K\x01s.",
    "a wide set": b"\x8f(" + WIDE + b"\x90.",
    "a wide member": named("builtins.set") + b"]" + WIDE + b"a\x85R.",
    "a wide ordered key": named("collections.OrderedDict") + b"](" + WIDE + b"K\x01\x86e\x85R.",
    "another codec": named("_codecs.encode") + text("a") + text("rot13") + b"\x86R.",
    "a codec of bytes": named("_codecs.encode") + b"C\x01a" + text("zlib") + b"\x86R.",
    "bytes over 255": named("_codecs.encode") + text("\u20ac") + text("latin1") + b"\x86R.",
    "a huge bytearray": named("builtins.bytearray") + long(10**15) + b"\x85R.",
    "huge bytes": named("builtins.bytes") + long(10**15) + b"\x85R.",
    "a bytearray of a codec": named("builtins.bytearray") + text("a") + text("rot13") + b"\x86R.",
    "complex from text": named("builtins.complex") + text("1") + b"\x85R.",
    "a set of text": named("builtins.set") + text("ab") + b"\x85R.",
    "a size of text": named("torch.Size") + text("ab") + b"\x85R.",
    "a size of tensors": named("torch.Size") + b"]" + tensor() + b"a\x85R.",
    "a device of a tensor": named("torch.device") + tensor() + b"\x85R.",
    "a device that is none": named("torch.device") + text("a b:c") + b"\x85R.",
}

BROKEN = {
    "nothing": b"",
    "no end": b"\x80\x02N",
    "nothing on the stack": b".",
    "too much on the stack": b"NN.",
    "an open mark": b"N(N.",
    "no mark": b"t.",
    "pop of nothing": b"0.",
    "TUPLE2 of one": b"N\x86.",
    "TUPLE3 of nothing": b"\x87.",
    "an odd dict": b"(Nd.",
    "odd items": b"}(Nu.",
    "recall of nothing": b"h\x05.",
    "long recall of nothing": b"j\xff\xff\xff\xff.",
    "recall before": b"h\x00q\x00.",
    "memo of nothing": b"q\x00.",
    "a name without end": b"cos",
    "a name of 100 KB": b"c" + b"a" * 100_000 + b"\nb\n.",
    "a name that is no text": b"c\xff\xfe\nb\n.",
    "text that is no text": b"X\x02\x00\x00\x00\xff\xff.",
    "text longer than the file": b"X\xff\xff\xff\xffa.",
    "text of 2**62 bytes": b"\x8d" + struct.pack("<Q", 2**62) + b"a.",
    "bytes of 2**63 bytes": b"\x8e" + struct.pack("<Q", 2**63) + b"a.",
    "a bytearray of 2**62 bytes": b"\x96" + struct.pack("<Q", 2**62) + b"a.",
    "an int of 2 GB": b"\x8b\xff\xff\xff\x7fa.",
    "an int of negative length": b"\x8b\xff\xff\xff\xffa.",
    "old text of negative length": b"T\xff\xff\xff\xffa.",
    "a frame of 2**60 bytes": b"\x95" + struct.pack("<Q", 2**60) + b"N.",
    "half a number": b"J\x01",
    "half a float": b"G\x00\x00.",
}

REFERENCE = {
    "PERSID": b"Pabc\n.",
    "text": text("storage") + b"Q.",
    "a list": b"(" + text("storage") + named("torch.FloatStorage") + text("0") + text("cpu") + b"K\x06lQ.",
    "nothing": b"NQ.",
    "too short": text("storage") + b"\x85Q.",
    "too long": STORAGE[:-2] + b"NNtQ.",
    "another kind": STORAGE.replace(text("storage"), text("module")) + b".",
    "a dtype for the class": STORAGE.replace(named("torch.FloatStorage"), named("torch.float32")) + b".",
    "text for the class": STORAGE.replace(named("torch.FloatStorage"), text("FloatStorage")) + b".",
    "a class of the program": STORAGE.replace(named("torch.FloatStorage"), BAIT) + b".",
    "an unknown key": STORAGE.replace(text("0"), text("1")) + b".",
    "a path as key": STORAGE.replace(text("0"), text("../../../etc/passwd")) + b".",
    "another record as key": STORAGE.replace(text("0"), text("../data.pkl")) + b".",
    "a number as key": STORAGE.replace(text("0"), b"K\x00") + b".",
    "a number as location": STORAGE.replace(text("cpu"), b"K\x00") + b".",
    "no such device": STORAGE.replace(text("cpu"), text("absent:0")) + b".",
    "no device at all": STORAGE.replace(text("cpu"), text("\n../x")) + b".",
    "a negative count": STORAGE.replace(b"K\x06", long(-1)) + b".",
    "a float count": STORAGE.replace(b"K\x06", b"G" + struct.pack(">d", 6.)) + b".",
    "a bool count": STORAGE.replace(b"K\x06", b"\x88") + b".",
    "one element too many": STORAGE.replace(b"K\x06", b"K\x07") + b".",
    "2**60 elements": STORAGE.replace(b"K\x06", long(2**60)) + b".",
    "2**70 elements": STORAGE.replace(b"K\x06", long(2**70)) + b".",
    "more elements the second time": b"]" + STORAGE + b"a" + STORAGE.replace(b"K\x06", b"K\x07") + b"a.",
    "larger elements the second time": b"]" + STORAGE + b"a" + STORAGE.replace(b"FloatS", b"DoubleS") + b"a.",
}

LAYOUT = {
    "too many elements": tensor(size=b"K\x07\x85"),
    "beyond through the offset": tensor(offset=b"K\x01"),
    "beyond through the stride": tensor(stride=b"K\x02\x85"),
    "before the beginning": tensor(offset=long(-1)),
    "a negative stride": tensor(offset=b"K\x05", stride=long(-1) + b"\x85"),
    "a negative size": tensor(size=long(-6) + b"\x85"),
    "2**62 elements": tensor(size=long(2**62) + b"\x85"),
    "2**62 elements without stride": tensor(size=long(2**62) + b"\x85", stride=b"K\x00\x85"),
    "2**64 elements without stride": tensor(size=long(2**64) + b"\x85", stride=b"K\x00\x85"),
    "a product that overflows": tensor(size=long(2**32) * 2 + b"\x86", stride=b"K\x00K\x00\x86"),
    "an empty one with huge sizes": tensor(size=b"K\x00" + long(2**40) * 2 + b"\x87", stride=b"K\x00" * 3 + b"\x87"),
    "a huge stride": tensor(size=b"K\x01\x85", stride=long(2**62) + b"\x85"),
    "a reach that overflows": tensor(size=b"K\x03\x85", stride=long(2**63 - 1) + b"\x85"),
    "an empty one beyond": tensor(offset=b"K\x07", size=b"K\x00\x85"),
    "an empty one far beyond": tensor(offset=long(2**62), size=b"K\x00\x85"),
    "fewer strides": tensor(stride=b")"),
    "more strides": tensor(stride=b"K\x01K\x01\x86"),
    "100 dimensions": tensor(size=b"(" + b"K\x01" * 100 + b"t", stride=b"(" + b"K\x01" * 100 + b"t"),
    "a size of text": tensor(size=text("6") + b"\x85"),
    "a size of floats": tensor(size=b"G" + struct.pack(">d", 6.) + b"\x85"),
    "a size of bools": tensor(size=b"\x88\x85"),
    "a size that is text": tensor(size=text("6")),
    "a size that is a number": tensor(size=b"K\x06"),
    "an offset of text": tensor(offset=text("0")),
    "an offset of None": tensor(offset=b"N"),
    "a storage that is bytes": tensor(storage=b"C\x18" + bytes(24)),
    "a storage that is a tensor": tensor(storage=tensor()),
    "a gradient flag of text": tensor(grad=text("yes")),
    "hooks": tensor(hooks=b"}K\x01" + TRIP + b"s"),
    "hooks of plain data": tensor(hooks=b"}K\x01K\x01s"),
    "hooks that are a list": tensor(hooks=b"]"),
    "unknown metadata": tensor(more=b"}" + text("surprise") + b"\x88s"),
    "metadata that is a list": tensor(more=b"]"),
    "too much": tensor(more=b"NN"),
    "too little": named("torch._utils._rebuild_tensor_v2") + STORAGE + b"\x85R",
    "a gradient for integers": tensor(STORAGE.replace(b"FloatS", b"IntS"), grad=b"\x88"),
    "a parameter of a number": named("torch._utils._rebuild_parameter") + b"K\x01\x88" + ORDERED + b"\x87R",
    "version 3 without a dtype": named("torch._utils._rebuild_tensor_v3") + tensor(more=text("float32"))[34:],
    "version 2 without a dtype": tensor(UNTYPED, size=b"K\x19\x85"),
}


def from_type(function: bytes, kind: bytes, arguments: bytes, state: bytes) -> bytes:
    return named("torch._tensor._rebuild_from_type_v2") + b"(" + function + kind + arguments + state + b"tR"


V2, TENSOR_CLASS = named("torch._utils._rebuild_tensor_v2"), named("torch.Tensor")
ARGUMENTS = b"(" + STORAGE + b"K\x00K\x06\x85K\x01\x85\x89" + ORDERED + b"t"

SUBCLASS = {
    "a function that is not for tensors": from_type(named("builtins.bytearray"), TENSOR_CLASS, b")", b"}"),
    "itself": from_type(named("torch._tensor._rebuild_from_type_v2"), TENSOR_CLASS, b")", b"}"),
    "a deep tuple as function": from_type(DEEP, TENSOR_CLASS, b")", b"}"),
    "text as function": from_type(text("f"), TENSOR_CLASS, b")", b"}"),
    "another class": from_type(V2, named("collections.OrderedDict"), ARGUMENTS, b"}"),
    "a class of the program": from_type(V2, BAIT, ARGUMENTS, b"}"),
    "wrong arguments": from_type(V2, TENSOR_CLASS, b"NN\x86", b"}"),
    "an internal attribute": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"}" + text("_array") + b"Ns"),
    "a method": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"}" + text("add") + b"Ns"),
    "a property": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"}" + text("grad") + b"Ns"),
    "a dunder": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"}" + text("__class__") + b"Ns"),
    "a new dunder": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"}" + text("__cuda_array_interface__") + b"Ns"),
    "slots": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"N}" + text("_kind") + b"Ns\x86"),
    "a number as state": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"K\x01"),
    "a number as a name": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"}K\x01Ns"),
    "state of three": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"NNN\x87"),
    "state of lists": from_type(V2, TENSOR_CLASS, ARGUMENTS, b"](Ne](Ne\x86"),
}

PICKLES = {f"{group}: {name}": pickled for group, pickles in {
    "code": CODE, "broken": BROKEN, "reference": REFERENCE,
    "layout": {name: pickled + b"." for name, pickled in LAYOUT.items()},
    "subclass": {name: pickled + b"." for name, pickled in SUBCLASS.items()}}.items()
    for name, pickled in pickles.items()}


def test_the_building_blocks_are_good():
    """What the malicious pickles are made from loads as long as nothing is wrong with it."""
    for file in (archive(tensor() + b"."), older(b"\x80\x02" + tensor() + b"."),
                 archive(from_type(V2, TENSOR_CLASS, ARGUMENTS, b"}" + text("note") + b"K\x01s") + b".")):
        assert flambeau.load(file).tolist() == [0.] * 6
    file = archive(TRIP + b")R.")
    assert flambeau.load(file, weights_only=False) is CANARY and CANARY.pop() == "called"


@pytest.mark.parametrize("name", PICKLES)
def test_malicious_pickle(name):
    with pytest.raises(REFUSALS):
        flambeau.load(archive(PICKLES[name]))


@pytest.mark.parametrize("name", [name for name in PICKLES if name != "reference: an unknown key"])
def test_malicious_pickle_in_the_older_format(name):
    with pytest.raises(REFUSALS):
        flambeau.load(older(PICKLES[name]))


@pytest.mark.parametrize("name", [name for name in CODE if name != "a device that is none"])  # device()'s own error
def test_malicious_pickle_is_an_unpickling_error_that_helps(name):
    with pytest.raises(pickle.UnpicklingError, match=r"Weights only load failed.*weights_only=False"):
        flambeau.load(archive(CODE[name]))


def test_refused_global_is_named():
    with pytest.raises(pickle.UnpicklingError) as caught:
        flambeau.load(archive(CODE["os.system"]))
    message = str(caught.value)
    assert "'os.system'" in message and "safe_globals" in message and "allowed:" in message


def test_registered_extension_is_not_reached():
    copyreg.add_extension(HERE, "trip", 0xF0)
    try:
        with pytest.raises(pickle.UnpicklingError, match="EXT1"):
            flambeau.load(archive(b"\x82\xf0)R."))
    finally:
        copyreg.remove_extension(HERE, "trip", 0xF0)


def test_loading_imports_nothing():
    import sys

    before = set(sys.modules)
    for name in ("antigravity.x", "torch.hub.load", "flambeau.__main__.main", "this.c"):
        with pytest.raises(pickle.UnpicklingError):
            flambeau.load(archive(named(name) + b")R."))
    assert set(sys.modules) - before <= {"pickletools"}


def test_deep_structures_end_well():
    value = flambeau.load(archive(b"]" * 100_000 + b"a" * 99_999 + b"."))
    depth = 1
    while value:
        value = value[0]
        depth += 1
    assert depth == 100_000


# -- the archive

def test_no_file_of_ours():
    with pytest.raises(EOFError):
        flambeau.load(io.BytesIO())
    for data in (b"hello", b"\x00" * 600, b"\x80\x02K\x01.", b"PK\x03\x04" + b"x" * 50, b"PK\x05\x06" + bytes(18),
                 b"x" * 257 + b"ustar" + b"x" * 300, b"\x93NUMPY\x01\x00"):
        with pytest.raises(REFUSALS):
            flambeau.load(io.BytesIO(data))


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "older"])
def test_every_truncation(new_format):
    file = io.BytesIO()
    flambeau.save({"x": flambeau.arange(6.), "n": [1, "a"]}, file, _use_new_zipfile_serialization=new_format)
    whole = file.getvalue()
    for length in range(0, len(whole), 7):
        with pytest.raises(REFUSALS):
            flambeau.load(io.BytesIO(whole[:length]))


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "older"])
def test_flipped_bits_never_surprise(new_format):
    """A damaged file either still loads or is refused with one of the documented errors."""
    file = io.BytesIO()
    flambeau.save({"x": flambeau.arange(6.), "n": [1, "a"]}, file, _use_new_zipfile_serialization=new_format)
    whole = file.getvalue()
    source = random.Random(0)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(whole)
        for _ in range(source.choice((1, 1, 2, 5))):
            damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        try:
            flambeau.load(io.BytesIO(bytes(damaged)))
        except REFUSALS:
            refused += 1
    assert refused > 500


def test_mutated_pickles_never_surprise():
    """The checksum does not protect the pickle from somebody who computes it anew."""
    parts = [*PICKLES.values(), tensor() + b".", b"\x80\x04" + tensor() + b"."]
    source = random.Random(1)
    for _ in range(3000):
        a, b = source.choice(parts), source.choice(parts)
        if max(len(a), len(b)) > 5000:
            continue
        mixed = bytearray(a[:source.randrange(len(a) + 1)] + b[source.randrange(len(b) + 1):])
        if mixed and source.random() < 0.5:
            mixed[source.randrange(len(mixed))] = source.randrange(256)
        try:
            flambeau.load(archive(bytes(mixed)))
        except REFUSALS:
            continue


def rewritten(change: Any) -> io.BytesIO:
    """A good file after `change(list of (name, data, ZipInfo))`, written again."""
    entries = []
    with zipfile.ZipFile(io.BytesIO(good_file())) as opened:
        entries.extend((zipfile.ZipInfo(name), opened.read(name)) for name in opened.namelist())
    change(entries)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for info, data in entries:
            opened.writestr(info, data)
    file.seek(0)
    return file


def test_duplicate_records():
    def twice(entries):
        entries.append((zipfile.ZipInfo("archive/data.pkl"), b"N."))

    with pytest.warns(UserWarning, match="Duplicate name"):
        file = rewritten(twice)
    with pytest.raises(RuntimeError, match="twice"):
        flambeau.load(file)


@pytest.mark.parametrize("name", ["../evil", "archive/../evil", "/etc/passwd", "archive//data/0", "archive\\data\\7",
                                  "archive/./x", "archive/x\x00y", "elsewhere/data/0", "archive/", "C:/x"])
def test_record_names_that_play_tricks(name):
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name
    file = rewritten(lambda entries: entries.append((info, b"x")))
    with pytest.raises(RuntimeError, match="record"):
        flambeau.load(file)


@pytest.mark.parametrize("record", ["data.pkl", "version", "data/0"])
def test_missing_records(record):
    def drop(entries):
        entries[:] = [each for each in entries if each[0].filename != "archive/" + record]

    with pytest.raises(RuntimeError, match="record"):
        flambeau.load(rewritten(drop))


@pytest.mark.parametrize("version", [b"", b"99\n", b"-1", b"three", b"9" * 5000, b"\xb2"])
def test_unknown_version(version):
    with pytest.raises(RuntimeError, match="version"):
        flambeau.load(archive(b"N.", version=version))


def test_unknown_byte_order():
    with pytest.raises(RuntimeError, match="byte order"):
        flambeau.load(archive(b"N.", byteorder=b"middle"))


def test_compressed_records_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("archive/data.pkl", b"N" * 1000 + b".")
        opened.writestr("archive/version", b"3")
    file.seek(0)
    with pytest.raises(RuntimeError, match="compressed"):
        flambeau.load(file)


def test_torchscript_is_refused_with_advice():
    with pytest.raises(RuntimeError, match=r"TorchScript.*state_dict"):
        flambeau.load(archive(b"N.", **{"constants.pkl": b"N."}))


def test_wrong_checksum():
    data = good_file()
    begin = data.index(bytes(flambeau_bytes(flambeau.ones(40))))
    with pytest.raises(RuntimeError, match="checksum"):
        flambeau.load(io.BytesIO(data[:begin] + b"\x01" + data[begin + 1:]))


def flambeau_bytes(x: Any) -> memoryview:
    return UntypedStorage.of(x).buffer()


def patched(name: bytes, field: int, layout: str, value: int) -> io.BytesIO:
    """A good file with a number in the directory's entry for a record replaced."""
    data = bytearray(good_file())
    entry = data.rindex(name) - 46
    assert data[entry:entry + 4] == b"PK\x01\x02"
    struct.pack_into(layout, data, entry + field, value)
    return io.BytesIO(bytes(data))


@pytest.mark.parametrize("field, layout, value", [
    (8, "<H", 1), (10, "<H", 8), (10, "<H", 99), (20, "<I", 2**31), (24, "<I", 2**31), (24, "<I", 1), (42, "<I", 0),
    (42, "<I", 2**31), (42, "<I", 7), (28, "<H", 60000), (30, "<H", 60000)],
    ids=["encrypted", "deflated", "unknown method", "stored size", "size", "size less", "place of another",
         "place outside", "place inside another", "name length", "extra length"])
def test_directory_that_lies(field, layout, value):
    with pytest.raises(RuntimeError, match=r"zip archive|record"):
        flambeau.load(patched(b"archive/data/0", field, layout, value))


def test_sizes_that_lie_together():
    data = bytearray(good_file())
    entry = data.rindex(b"archive/data/0") - 46
    for field in (20, 24):
        struct.pack_into("<I", data, entry + field, 2**31)
    with pytest.raises(RuntimeError, match="directory"):
        flambeau.load(io.BytesIO(bytes(data)))
    for field in (20, 24):
        struct.pack_into("<I", data, entry + field, 400)
    with pytest.raises(RuntimeError, match="overlap"):
        flambeau.load(io.BytesIO(bytes(data)))


def test_mmap_checks_sizes_too(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(archive(LAYOUT["too many elements"] + b".").getvalue())
    with pytest.raises(RuntimeError, match="out of bounds"):
        flambeau.load(path, mmap=True)
    path.write_bytes(archive(REFERENCE["one element too many"]).getvalue())
    with pytest.raises(RuntimeError, match="record has only"):
        flambeau.load(path, mmap=True)


def test_older_format_contradictions():
    claims = {"another key": pickle.dumps(["1"], 2) + struct.pack("<q", 6) + bytes(24),
              "no keys": pickle.dumps([], 2), "no list": pickle.dumps("0", 2),
              "keys twice": pickle.dumps(["0", "0"], 2) + (struct.pack("<q", 6) + bytes(24)) * 2,
              "fewer": pickle.dumps(["0"], 2) + struct.pack("<q", 5) + bytes(20),
              "more": pickle.dumps(["0"], 2) + struct.pack("<q", 2**61) + bytes(24),
              "negative": pickle.dumps(["0"], 2) + struct.pack("<q", -6) + bytes(24),
              "short": pickle.dumps(["0"], 2) + struct.pack("<q", 6) + bytes(23)}
    whole = older(b"\x80\x02" + tensor() + b".").getvalue()
    head = whole[:whole.rindex(pickle.dumps(["0"], 2))]
    for tail in claims.values():
        with pytest.raises(RuntimeError, match="storage"):
            flambeau.load(io.BytesIO(head + tail))
    storage = STORAGE.replace(b"K\x06tQ", long(2**50) + b"tQ")
    with pytest.raises(RuntimeError, match="more than the file"):
        flambeau.load(older(b"\x80\x02" + storage + b"."))
