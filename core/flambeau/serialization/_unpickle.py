"""An interpreter for pickles that knows data only.

A pickle is a program for a small stack machine, and Python's own machine lets it import anything and call what it
imports. This one is written the other way round: what is not known is refused.

- Names are looked up in an allow-list; nothing is ever imported for a file.
- A call goes to a *constructor* that checks its arguments, registered for the very object that the name stands for;
  whatever else is on the stack cannot be called.
- Items are added to plain lists, dicts and sets only, and state is set on a few types only, so the program cannot
  reach a method or an attribute of anything that lives outside the file.
- Every length is checked against the bytes that are there, and dict keys must be small and flat (hashing a deeply
  nested tuple would overflow the C stack).

Opcodes: https://docs.python.org/3/library/pickletools.html
"""

from __future__ import annotations

import pickle
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from flambeau.errors import FlambeauError

MAX_KEY_PARTS = 1000
HIGHEST_PROTOCOL = 5
LONGEST_LINE = 1000


class UnsafePickleError(FlambeauError, pickle.UnpicklingError):
    """A pickle that is broken, or asks for something that the allow-list does not contain."""


class Globals(Protocol):
    """The allow-list as the interpreter sees it."""

    def find(self, module: str, name: str) -> Any:
        """The object that a name stands for; UnsafePickleError if it is not allowed."""

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """The result of a call; UnsafePickleError if the function or the arguments are not allowed."""

    def make(self, cls: Any, arguments: tuple[Any, ...]) -> Any:
        """A new instance without a call of `__init__`; UnsafePickleError if the class is not allowed."""

    def set_state(self, instance: Any, state: Any) -> None:
        """Set an instance's state; UnsafePickleError if its class is not allowed."""

    def is_container(self, value: Any, kind: type) -> bool:
        """Whether items may be added to this list, dict or set."""


class SafeUnpickler:
    """Runs one pickle; `position` is where it ended."""

    def __init__(self, data: bytes | memoryview, allowed: Globals, persistent_load: Callable[[Any], Any],
                 position: int = 0, encoding: str = "utf-8") -> None:
        self.data = memoryview(data)
        self.position = position
        self.allowed = allowed
        self.persistent_load = persistent_load
        self.encoding = encoding
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Run to the end and return the result."""
        steps = _STEPS
        data = self.data
        try:
            while True:
                code = data[self.position]
                self.position += 1
                if code == STOP:
                    return self._result()
                step = steps.get(code)
                if step is None:
                    raise UnsafePickleError(f"opcode {_opcode_name(code)} at byte {self.position - 1} is not one that "
                                            "data needs")
                step(self)
        except IndexError as error:
            raise UnsafePickleError(f"the pickle is damaged: at byte {self.position} it ends too early or takes more "
                                    "from its stack than it has put there") from error

    def _result(self) -> Any:
        result = self.stack.pop()
        if self.stack or self.marked:
            raise UnsafePickleError("the pickle is damaged: it ends with something left on its stack")
        return result

    # -- reading
    def take(self, count: int) -> memoryview:
        """The next bytes; the claim is checked before anything is allocated."""
        end = self.position + count
        if end > len(self.data):
            raise UnsafePickleError(f"the pickle is damaged: it claims {count} bytes at {self.position} and has "
                                    f"{len(self.data) - self.position}")
        piece = self.data[self.position:end]
        self.position = end
        return piece

    def number(self, layout: struct.Struct) -> Any:
        """The next number of this layout."""
        return layout.unpack(self.take(layout.size))[0]

    def text(self, count: int) -> str:
        """The next bytes as UTF-8."""
        try:
            return str(self.take(count), "utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise UnsafePickleError(f"the pickle is damaged: a string is no UTF-8 ({error})") from error

    def old_text(self, count: int) -> str | bytes:
        """A string of Python 2's."""
        piece = bytes(self.take(count))
        if self.encoding == "bytes":
            return piece
        try:
            return piece.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise UnsafePickleError(f"a string of Python 2's is not {self.encoding} ({error}); "
                                    "pass encoding='latin1' or encoding='bytes' to load") from error

    def line(self) -> str:
        """The text up to the next line feed."""
        begin = self.position
        piece = bytes(self.data[begin:begin + LONGEST_LINE])
        length = piece.find(b"\n")
        if length < 0:
            raise UnsafePickleError(f"the pickle is damaged: no end of the name at byte {begin}")
        self.position = begin + length + 1
        return self._ascii(piece[:length])

    @staticmethod
    def _ascii(piece: bytes) -> str:
        try:
            return piece.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnsafePickleError(f"the pickle is damaged: a name is no UTF-8 ({error})") from error

    def pop_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        items = self.stack
        self.stack = self.marked.pop()
        return items


def check_key(key: Any) -> Any:
    """Refuse dict keys and set members that cannot be hashed, or only at a price. Returns the key."""
    parts = [key]
    count = 0
    while parts:
        part = parts.pop()
        count += 1
        if count > MAX_KEY_PARTS:
            raise UnsafePickleError(f"a dict key or set member with more than {MAX_KEY_PARTS} parts")
        if isinstance(part, tuple | frozenset):
            parts.extend(part)
        elif type(part).__hash__ is None:
            raise UnsafePickleError(f"the pickle is damaged: a {type(part).__name__} as a dict key or set member")
    return key


# -- the steps: one small function per opcode, or a maker of functions for opcodes that differ in a constant

Step = Callable[[SafeUnpickler], None]
STOP = ord(".")
_U8, _U16, _I32, _U32, _U64 = (struct.Struct("<" + each) for each in "BHiIQ")
_FLOAT = struct.Struct(">d")


def _protocol(u: SafeUnpickler) -> None:
    version = u.number(_U8)
    if version > HIGHEST_PROTOCOL:
        raise UnsafePickleError(f"pickle protocol {version} is not known; allowed: 0 to {HIGHEST_PROTOCOL}")


def _frame(u: SafeUnpickler) -> None:
    length = u.number(_U64)
    if length > len(u.data) - u.position:
        raise UnsafePickleError(f"the pickle is damaged: a frame of {length} bytes is longer than the rest")


def _constant(value: Any) -> Step:
    def push(u: SafeUnpickler) -> None:
        u.stack.append(value)
    return push


def _empty(kind: Callable[[], Any]) -> Step:
    def push(u: SafeUnpickler) -> None:
        u.stack.append(kind())
    return push


def _number(layout: struct.Struct) -> Step:
    def push(u: SafeUnpickler) -> None:
        u.stack.append(u.number(layout))
    return push


def _sized(layout: struct.Struct, read: Callable[[SafeUnpickler, int], Any]) -> Step:
    def push(u: SafeUnpickler) -> None:
        count = u.number(layout)
        if count < 0:
            raise UnsafePickleError(f"the pickle is damaged: a length of {count}")
        u.stack.append(read(u, count))
    return push


def _long(u: SafeUnpickler, count: int) -> int:
    return int.from_bytes(u.take(count), "little", signed=True)


def _bytes(u: SafeUnpickler, count: int) -> bytes:
    return bytes(u.take(count))


def _bytearray(u: SafeUnpickler, count: int) -> bytearray:
    return bytearray(u.take(count))


def _mark(u: SafeUnpickler) -> None:
    u.marked.append(u.stack)
    u.stack = []


def _pop(u: SafeUnpickler) -> None:
    if u.stack:
        u.stack.pop()
    else:
        u.pop_mark()


def _pop_mark(u: SafeUnpickler) -> None:
    u.pop_mark()


def _duplicate(u: SafeUnpickler) -> None:
    u.stack.append(u.stack[-1])


def _collect(kind: Callable[[list[Any]], Any]) -> Step:
    def push(u: SafeUnpickler) -> None:
        items = u.pop_mark()
        u.stack.append(kind(items))
    return push


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise UnsafePickleError("the pickle is damaged: a dict with a key and no value")
    return {check_key(items[i]): items[i + 1] for i in range(0, len(items), 2)}


def _members(items: list[Any]) -> frozenset[Any]:
    return frozenset(check_key(item) for item in items)


def _tuple_of(count: int) -> Step:
    def push(u: SafeUnpickler) -> None:
        stack = u.stack
        if len(stack) < count:
            raise IndexError
        stack[-count:] = [tuple(stack[-count:])]
    return push


def _target(u: SafeUnpickler, kind: type) -> Any:
    target = u.stack[-1]
    if not u.allowed.is_container(target, kind):
        raise UnsafePickleError(f"it adds items to a {type(target).__name__}, where only a {kind.__name__} can be")
    return target


def _append(u: SafeUnpickler) -> None:
    item = u.stack.pop()
    _target(u, list).append(item)


def _appends(u: SafeUnpickler) -> None:
    items = u.pop_mark()
    _target(u, list).extend(items)


def _set_item(u: SafeUnpickler) -> None:
    value = u.stack.pop()
    key = u.stack.pop()
    _target(u, dict)[check_key(key)] = value


def _set_items(u: SafeUnpickler) -> None:
    items = _pairs(u.pop_mark())
    target = _target(u, dict)
    for key, value in items.items():
        target[key] = value


def _add_items(u: SafeUnpickler) -> None:
    items = _members(u.pop_mark())
    _target(u, set).update(items)


def _global(u: SafeUnpickler) -> None:
    module = u.line()
    u.stack.append(u.allowed.find(module, u.line()))


def _stack_global(u: SafeUnpickler) -> None:
    name = u.stack.pop()
    module = u.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise UnsafePickleError("the pickle is damaged: a name that is no string")
    u.stack.append(u.allowed.find(module, name))


def _call(u: SafeUnpickler) -> None:
    arguments = u.stack.pop()
    function = u.stack.pop()
    u.stack.append(u.allowed.call(function, _arguments(arguments)))


def _new(u: SafeUnpickler) -> None:
    arguments = u.stack.pop()
    cls = u.stack.pop()
    u.stack.append(u.allowed.make(cls, _arguments(arguments)))


def _arguments(value: Any) -> tuple[Any, ...]:
    if type(value) is not tuple:
        raise UnsafePickleError(f"the pickle is damaged: a call with a {type(value).__name__} for its arguments")
    return value


def _build(u: SafeUnpickler) -> None:
    state = u.stack.pop()
    u.allowed.set_state(u.stack[-1], state)


def _memoize_at(layout: struct.Struct) -> Step:
    def store(u: SafeUnpickler) -> None:
        u.memo[u.number(layout)] = u.stack[-1]
    return store


def _memoize(u: SafeUnpickler) -> None:
    u.memo[len(u.memo)] = u.stack[-1]


def _recall(layout: struct.Struct) -> Step:
    def push(u: SafeUnpickler) -> None:
        index = u.number(layout)
        if index not in u.memo:
            raise UnsafePickleError(f"the pickle is damaged: it recalls number {index}, which it never stored")
        u.stack.append(u.memo[index])
    return push


def _persistent(u: SafeUnpickler) -> None:
    reference = u.stack.pop()
    u.stack.append(u.persistent_load(reference))


_STEPS: dict[int, Step] = {code[0]: step for code, step in {
    pickle.PROTO: _protocol, pickle.FRAME: _frame,
    pickle.NONE: _constant(None), pickle.NEWTRUE: _constant(True), pickle.NEWFALSE: _constant(False),
    pickle.BININT: _number(_I32), pickle.BININT1: _number(_U8), pickle.BININT2: _number(_U16),
    pickle.BINFLOAT: _number(_FLOAT), pickle.LONG1: _sized(_U8, _long), pickle.LONG4: _sized(_I32, _long),
    pickle.BINUNICODE: _sized(_U32, SafeUnpickler.text), pickle.SHORT_BINUNICODE: _sized(_U8, SafeUnpickler.text),
    pickle.BINUNICODE8: _sized(_U64, SafeUnpickler.text), pickle.BINSTRING: _sized(_I32, SafeUnpickler.old_text),
    pickle.SHORT_BINSTRING: _sized(_U8, SafeUnpickler.old_text), pickle.BINBYTES: _sized(_U32, _bytes),
    pickle.SHORT_BINBYTES: _sized(_U8, _bytes), pickle.BINBYTES8: _sized(_U64, _bytes),
    pickle.BYTEARRAY8: _sized(_U64, _bytearray),
    pickle.MARK: _mark, pickle.POP: _pop, pickle.POP_MARK: _pop_mark, pickle.DUP: _duplicate,
    pickle.EMPTY_TUPLE: _constant(()), pickle.TUPLE1: _tuple_of(1), pickle.TUPLE2: _tuple_of(2),
    pickle.TUPLE3: _tuple_of(3), pickle.TUPLE: _collect(tuple),
    pickle.EMPTY_LIST: _empty(list), pickle.LIST: _collect(list), pickle.APPEND: _append, pickle.APPENDS: _appends,
    pickle.EMPTY_DICT: _empty(dict), pickle.DICT: _collect(_pairs), pickle.SETITEM: _set_item,
    pickle.SETITEMS: _set_items, pickle.EMPTY_SET: _empty(set), pickle.ADDITEMS: _add_items,
    pickle.FROZENSET: _collect(_members),
    pickle.GLOBAL: _global, pickle.STACK_GLOBAL: _stack_global, pickle.REDUCE: _call, pickle.NEWOBJ: _new,
    pickle.BUILD: _build, pickle.BINPERSID: _persistent,
    pickle.BINPUT: _memoize_at(_U8), pickle.LONG_BINPUT: _memoize_at(_U32), pickle.MEMOIZE: _memoize,
    pickle.BINGET: _recall(_U8), pickle.LONG_BINGET: _recall(_U32)}.items()}


def _opcode_name(code: int) -> str:
    import pickletools

    return next((each.name for each in pickletools.opcodes if each.code == chr(code)), f"{code:#04x}")


PLAIN_CONTAINERS: dict[type, tuple[type, ...]] = {
    list: (list,), dict: (dict, OrderedDict, Counter), set: (set,)}
