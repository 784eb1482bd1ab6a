"""The counter-based generator Philox4x32-10, for devices whose backend has no generator of its own.

Its whole state is a seed and an offset: the random words of element `i` of a draw are a function of (seed, offset, i)
alone. So a device may compute them in any order, and every device computes the same ones. The arithmetic is written
with operators that Python's integers and integer tensors share, and stays below 2**63 throughout.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

from __future__ import annotations

import os
import struct
import threading
from typing import Any

from flambeau import discovery
from flambeau.dtypes import uint8
from flambeau.errors import ArgumentError, message

WORDS = 4              # 32-bit words that each element of a draw may use; what a draw adds to the offset
_ROUNDS = 10
_FACTORS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF
_STATE = struct.Struct("<QQ")


def _multiply(word: Any, factor: int) -> tuple[Any, Any]:
    """The high and the low word of the product of two 32-bit words, from products of 48 bits."""
    low = word * (factor & 0xFFFF)
    middle = word * (factor >> 16) + (low >> 16)
    return middle >> 16, (middle & 0xFFFF) * 0x10000 + (low & 0xFFFF)


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """The four random words of a counter of four words, each a Python integer or an int64 tensor of them.

    >>> from flambeau.philox import philox
    >>> [format(word, "08x") for word in philox((0, 0, 0, 0), (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    first, second, third, fourth = counter
    for step in range(_ROUNDS):
        keys = [(part + step * weyl) & _MASK for part, weyl in zip(key, _WEYL, strict=True)]
        high0, low0 = _multiply(first, _FACTORS[0])
        high1, low1 = _multiply(third, _FACTORS[1])
        first, second, third, fourth = high1 ^ second ^ keys[0], low1, high0 ^ fourth ^ keys[1], low0
    return first, second, third, fourth


class PhiloxGenerator:
    """A stream of Philox words: a seed, and an offset that says how many words each element has used so far.

    A kernel that draws calls `take()` once and computes element `i` from the counter (offset / 4, i), each of two
    words, low word first, with the seed as the key.
    """

    __slots__ = ("_lock", "_offset", "_seed")

    def __init__(self, seed: int = 0, offset: int = 0) -> None:
        self._lock = threading.Lock()
        self._seed, self._offset = seed % (1 << 64), offset

    def take(self) -> tuple[int, int]:
        """The seed and offset for one draw; the next draw gets another offset."""
        with self._lock:
            offset = self._offset
            self._offset = (offset + WORDS) % (1 << 64)
            return self._seed, offset

    def manual_seed(self, seed: int) -> PhiloxGenerator:
        """Start the stream anew from a seed in [-2**63, 2**64)."""
        if not -(1 << 63) <= seed < 1 << 64:
            raise ArgumentError(message("manual_seed", "Overflow when unpacking long", given=str(seed),
                                        allowed="[-2**63, 2**64)", next_step="reduce the seed to 64 bits"))
        with self._lock:
            self._seed, self._offset = seed % (1 << 64), 0
        return self

    def seed(self) -> int:
        """Start the stream anew from 53 bits of the operating system's randomness; returns that seed."""
        chosen = int.from_bytes(os.urandom(8), "little") >> 11
        self.manual_seed(chosen)
        return chosen

    def initial_seed(self) -> int:
        """The seed the stream was started from, in [0, 2**64)."""
        return self._seed

    def get_state(self) -> Any:
        """The state as a host array of 16 bytes: seed and offset, as PyTorch's CUDA generator gives it."""
        with self._lock:
            data = _STATE.pack(self._seed, self._offset)
        host = discovery.host()
        return host.to_host(host.from_buffer(bytearray(data), uint8, len(data), 0))

    def set_state(self, state: Any) -> PhiloxGenerator:
        """Continue from a state that `get_state` gave, as a buffer of bytes. RuntimeError for anything else."""
        data = memoryview(state).tobytes()
        if len(data) != _STATE.size:
            raise ArgumentError(message("set_state", "RNG state is wrong size", given=f"{len(data)} bytes",
                                        allowed=f"{_STATE.size} bytes", next_step="pass what get_state of a generator "
                                        "of this device returned"))
        seed, offset = _STATE.unpack(data)
        if offset % WORDS:
            raise ArgumentError(message("set_state", f"offset must be a multiple of {WORDS}", given=str(offset)))
        with self._lock:
            self._seed, self._offset = seed, offset
        return self

    def clone_state(self) -> PhiloxGenerator:
        """Another generator in the same state, independent from here on."""
        with self._lock:
            return PhiloxGenerator(self._seed, self._offset)
