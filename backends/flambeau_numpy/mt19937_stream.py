"""The Mersenne Twister behind the "cpu" device's random numbers: seeding, state and bare draws.

NumPy's MT19937 has the same seeding and tempering as PyTorch's; what differs is bookkeeping. PyTorch's 5056
bytes of state hold the seed, a count of draws `left` before the next refill, the index `next` of the coming
draw, 624 words (each in 8 bytes), and the normal number that an odd count of draws left over, in float64 and
in float32 (the latter is never set by its CPU code, and only carried along here).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled, mt19937_words

__all__ = ["DEFAULT_SEED", "STATE_BYTES", "Stream"]

DEFAULT_SEED = 67280421310721
STATE_BYTES = 5056

Array = NDArray[Any]

_N = 624
_HEADER = struct.Struct("<QiiQ")  # seed, left, seeded, next
_TAIL = struct.Struct("<dddi4xfB3x")  # normal x, y, rho, valid; float normal, valid


class Stream:
    """A stream of 32-bit draws with PyTorch's state; `lock` is held over draws that belong together."""

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self.lock = threading.RLock()
        self._bits = np.random.MT19937(0)
        self._seeder = np.random.RandomState(self._bits)
        self._draw_raw = self._bits.random_raw
        self._words = np.random.Generator(self._bits)
        self._live: Array | None = None  # the state where NumPy keeps it, once a compiled loop works on it
        self._seed = 0
        self._untouched = True  # no draw since seeding: PyTorch's `next` is 0 then, not 624
        self._next_normal: float | None = None
        self._next_float_normal: tuple[float, int] = (0.0, 0)
        self.manual_seed(seed)

    # ---------------------------------------------------------------- the state

    def manual_seed(self, seed: int) -> Self:
        """Start the stream anew. `seed` is in [-2**63, 2**64); a negative one counts from 2**64 down.

        The stream depends on the low 32 bits of the seed only; `initial_seed` gives all 64 back.
        """
        if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
            raise RuntimeError(
                f"manual_seed expected a whole number, but got {type(seed).__name__}; pass an int"
            )
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise ValueError(
                f"manual_seed expected a seed in [-2**63, 2**64), but got {seed}; reduce it to 64 bits"
            )
        with self.lock:
            self._seed = seed % 2**64
            self._seeder.seed(self._seed & 0xFFFFFFFF)
            self._untouched = True
            self._next_normal = None
            self._next_float_normal = (0.0, 0)
        return self

    def seed(self) -> int:
        """Start the stream anew from 53 bits of the operating system's randomness; return that seed."""
        seed = int.from_bytes(os.urandom(8), "little") & 0x1FFFFFFFFFFFFF
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed the stream was started from, in [0, 2**64)."""
        return self._seed

    def get_state(self) -> NDArray[np.uint8]:
        """The state: 5056 bytes (uint8), laid out as PyTorch's CPU generator lays it out."""
        with self.lock:
            state: Any = self._bits.state["state"]
            position = 0 if self._untouched else int(state["pos"])
            left = 1 if self._untouched else _N + 1 - position
            normal = self._next_normal
            parts = (
                _HEADER.pack(self._seed, left, 1, position),
                state["key"].astype("<u8").tobytes(),
                _TAIL.pack(0.0, normal or 0.0, 0.0, normal is not None, *self._next_float_normal),
            )
        return np.frombuffer(bytearray(b"".join(parts)), np.uint8)

    def set_state(self, state: bytes | Array) -> Self:
        """Continue from a state that `get_state`, here or in PyTorch, gave.

        Raises TypeError for an array that is not of bytes, RuntimeError for bytes that are not such a state.
        """
        if isinstance(state, np.ndarray) and state.dtype != np.uint8:
            raise TypeError(f"set_state expected uint8, but got {state.dtype}; pass what get_state returned")
        data = state.tobytes() if isinstance(state, np.ndarray) else bytes(state)
        if len(data) != STATE_BYTES:
            raise RuntimeError(
                f"set_state expected {STATE_BYTES} bytes, but got {len(data)}; "
                "pass what get_state of a CPU generator returned"
            )
        seed, left, seeded, position = _HEADER.unpack_from(data)
        key = np.frombuffer(data, "<u8", _N, _HEADER.size).astype(np.uint32)
        _, normal, _, has_normal, float_normal, has_float = _TAIL.unpack_from(data, _HEADER.size + 8 * _N)
        untouched = left == 1 and position == 0
        if seeded != 1 or not (untouched or (0 < left <= _N and left + position == _N + 1)):
            raise RuntimeError(
                "set_state expected the state of a Mersenne Twister, but its counters are "
                f"seeded={seeded}, left={left}, next={position}; pass what get_state returned"
            )
        with self.lock:
            inner: Any = {"key": key, "pos": _N if untouched else position}
            self._bits.state = {"bit_generator": "MT19937", "state": inner}
            self._seed, self._untouched = seed, untouched
            self._next_normal = normal if has_normal else None
            self._next_float_normal = (float_normal, has_float)
        return self

    def clone_state(self) -> Self:
        """Another generator in the same state, independent from here on."""
        return type(self)().set_state(self.get_state())

    # ---------------------------------------------------------------- the stream

    def _raw(self, count: int) -> Array:
        """The next `count` draws of 32 bits, each in a uint64."""
        if count:
            self._untouched = False
        return self._draw_raw(count)

    def _raw32(self, count: int) -> Array:
        return self._raw(count).astype(np.uint32)

    def _raw64(self, count: int) -> Array:
        """The next `count` numbers of 64 bits: the first draw of a pair is the high half."""
        loop = compiled(mt19937_words, count) if count > 500 and _LITTLE_ENDIAN else None
        if loop is not None and self._live is None:
            self._live = _live_state(self._bits)
        if loop is not None and len(self._live):  # type: ignore[arg-type]
            self._untouched = False
            words = np.empty(count, np.uint64)
            loop(self._live, words)
            return words
        if _WHOLE_WORDS and count > 500:  # its call costs more than a few pairs
            self._untouched = False
            words = self._words.integers(0, _HIGHEST, count, np.uint64, True)
            return words
        raw = self._raw(2 * count)
        high = raw[0::2] << 32
        high |= raw[1::2]
        return high

    def _unit32(self, count: int) -> Array:
        """float32 uniforms in [0, 1)."""
        mantissa = self._raw32(count)
        mantissa &= 0xFFFFFF
        unit = mantissa.view(np.int32).astype(np.float32)
        unit *= np.float32(2.0**-24)
        return unit

    def _unit64(self, count: int) -> Array:
        """float64 uniforms in [0, 1)."""
        raw = self._raw(2 * count)
        mantissa = raw[0::2] & 0x1FFFFF
        mantissa <<= 32
        mantissa |= raw[1::2]
        unit = mantissa.view(np.int64).astype(np.float64)
        unit *= 2.0**-53
        return unit


_HIGHEST = (1 << 64) - 1
_LITTLE_ENDIAN = sys.byteorder == "little"


def _live_state(bits: np.random.MT19937) -> Array:
    """The 624 words and the position of a generator, as a view of its own memory; empty if they do not lie there."""
    address = bits.ctypes.state_address
    view = np.ctypeslib.as_array((ctypes.c_uint32 * (_N + 1)).from_address(address))
    state: Any = bits.state["state"]
    same = view[_N] == state["pos"] and bool((view[:_N] == state["key"]).all())
    return view if same else view[:0]


def _whole_words() -> bool:
    """Whether NumPy's full-range integers are pairs of raw draws, high half first: quicker than pairing them here.

    NumPy promises the raw stream for ever but not what its distributions do with it, hence the look.
    """
    one, two = np.random.MT19937(7), np.random.MT19937(7)
    raw = one.random_raw(8)
    words = np.random.Generator(two).integers(0, _HIGHEST, 4, np.uint64, True)
    return bool(((raw[0::2] << 32 | raw[1::2]) == words).all()) and one.random_raw() == two.random_raw()


_WHOLE_WORDS = _whole_words()
