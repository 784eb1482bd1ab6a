"""The random streams of a process as one piece of bytes: taken, kept in a checkpoint, put back.

Samplers, datasets and transforms draw from three global streams: this library's, Python's `random` and that of the
library whose arrays `Tensor.numpy()` gives. Whoever wants to repeat what they drew needs all three. Bytes, because a
checkpoint that holds only plain data can be loaded without trusting it.
"""

from __future__ import annotations

import importlib
import random
import struct
from functools import cache
from types import ModuleType
from typing import Any

import flambeau

_PYTHON = struct.Struct("<625I?d")      # 624 words and the position in them; a normal draw kept for later
_ARRAYS = struct.Struct("<?624IiBd")    # whether there is anything; words, position, likewise
_WORDS = 624
_TWISTER = "MT19937"


@cache
def array_stream() -> ModuleType:
    """The module with the global stream of the library whose arrays `Tensor.numpy()` gives."""
    library = type(flambeau.empty(0).numpy()).__module__.partition(".")[0]
    return importlib.import_module(f"{library}.random")


def capture() -> bytes:
    """The state of the three global streams.

    >>> import random
    >>> before = capture()
    >>> value = random.random()
    >>> restore(before)
    >>> random.random() == value
    True
    """
    _, words, gauss = random.getstate()
    python = _PYTHON.pack(*words, gauss is not None, gauss or 0.0)
    return python + _capture_arrays() + from_tensor(flambeau.get_rng_state())


def _capture_arrays() -> bytes:
    kind, words, position, has_gauss, gauss = array_stream().get_state()
    if kind != _TWISTER:  # a program may put another generator there; its state has no fixed layout
        return _ARRAYS.pack(False, *([0] * _WORDS), 0, 0, 0.0)
    return _ARRAYS.pack(True, *words.tolist(), position, has_gauss, gauss)


def restore(state: bytes) -> None:
    """Let the three global streams go on from what `capture` returned. ValueError for anything else."""
    begin, end = _PYTHON.size, _PYTHON.size + _ARRAYS.size
    if not isinstance(state, bytes) or len(state) <= end:
        raise ValueError("restore: no state of random streams, or half of one; the checkpoint is damaged")
    *words, has_gauss, gauss = _PYTHON.unpack_from(state)
    random.setstate((3, tuple(words), gauss if has_gauss else None))
    present, *words, position, has_gauss, gauss = _ARRAYS.unpack_from(state, begin)
    if present:
        array_stream().set_state((_TWISTER, words, position, has_gauss, gauss))
    flambeau.set_rng_state(to_tensor(state[end:]))


def seed(base_seed: int, worker: int) -> None:
    """Give a worker streams of its own, the same in every run with the same base seed: PyTorch's, draw for draw."""
    random.seed(base_seed + worker)
    flambeau.manual_seed(base_seed + worker)
    # Transforms written for PyTorch often draw from the array library's stream. It is seeded as PyTorch does, with
    # four words mixed out of both numbers.
    entropy = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    arrays = array_stream()
    arrays.seed(arrays.SeedSequence(entropy).generate_state(4))


def from_tensor(state: Any) -> bytes:
    """A generator's state as bytes.

    >>> import flambeau as torch
    >>> len(from_tensor(torch.get_rng_state()))
    5056
    """
    return bytes(state.numpy().tobytes())


def to_tensor(state: bytes) -> Any:
    """What `Generator.set_state` takes, from bytes.

    >>> to_tensor(b"ab")
    tensor([97, 98], dtype=torch.uint8)
    """
    return flambeau.frombuffer(bytearray(state), dtype=flambeau.uint8)
