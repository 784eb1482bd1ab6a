"""Generators of random numbers, and the default one of each device.

A `Generator` is a handle on the generator that its device's backend has (on the host one that repeats PyTorch's
numbers draw for draw) or, where it has none, on the core's counter-based one. `torch.manual_seed` seeds the default
generators of all devices, those of devices not yet used when they come.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau import discovery
from flambeau.device import device as device_type
from flambeau.dtypes import uint8
from flambeau.errors import ArgumentTypeError
from flambeau.philox import PhiloxGenerator
from flambeau.tensor import Tensor, make

DEFAULT_SEED = 67280421310721

_lock = threading.RLock()
_defaults: dict[device_type, Generator] = {}
_seed: int | None = None   # what `manual_seed` said last: devices that are used later start from it


def _raw(where: device_type) -> Any:
    """The backend's own default generator on a device, or a counter-based one started from a random seed."""
    found = discovery.backend_for(where.type).default_generator(where.index or 0)
    if found is None:
        found = PhiloxGenerator()
        found.seed()
    return found


class Generator:
    """A stream of random numbers on one device.

    >>> import flambeau as torch
    >>> g = torch.Generator().manual_seed(1)
    >>> a = torch.rand(2, generator=g)
    >>> bool((a == torch.rand(2, generator=g.manual_seed(1))).all())
    True
    """

    __slots__ = ("device", "raw")
    __module__ = "flambeau"

    device: device_type
    raw: Any   # what kernels are given: the backend's generator, or a PhiloxGenerator

    def __init__(self, device: Any = "cpu") -> None:
        self.device = discovery.resolve(device)
        self.raw = _raw(self.device).clone_state().manual_seed(DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream anew from a seed; returns the generator."""
        self.raw.manual_seed(seed.item() if isinstance(seed, Tensor) else seed)
        return self

    def seed(self) -> int:
        """Start the stream anew from a seed that the system chooses, and return it."""
        return int(self.raw.seed())

    def initial_seed(self) -> int:
        """The seed that the stream was started from."""
        return int(self.raw.initial_seed())

    def get_state(self) -> Tensor:
        """The state as a tensor of bytes, on the host."""
        host = discovery.host()
        return make(host.wrap(self.raw.get_state()), discovery.kind_of(uint8, "cpu"))

    def set_state(self, new_state: Tensor) -> Generator:
        """Continue from a state that `get_state` gave. TypeError for anything but a tensor of bytes."""
        if not isinstance(new_state, Tensor) or new_state.dtype is not uint8:
            given = new_state.type() if isinstance(new_state, Tensor) else type(new_state).__name__
            raise ArgumentTypeError(f"set_state: expected a torch.ByteTensor, but got {given}")
        self.raw.set_state(discovery.host().to_host(new_state.cpu()._array))
        return self

    def clone_state(self) -> Generator:
        """Another generator that goes on from the same state, on its own."""
        return handle(self.raw.clone_state(), self.device)

    graphsafe_get_state = clone_state

    def __deepcopy__(self, memo: dict[int, Any]) -> Generator:
        return self.clone_state()

    def __reduce__(self) -> Any:
        return _restored, (self.device, self.get_state())

    def __repr__(self) -> str:
        return f"<torch.Generator on {str(self.device)!r}, seed {self.initial_seed()}>"


def handle(raw: Any, where: device_type) -> Generator:
    """A `Generator` on what a backend's kernels are given."""
    result = object.__new__(Generator)
    result.device, result.raw = where, raw
    return result


def _restored(where: device_type, state: Tensor) -> Generator:
    return Generator(where).set_state(state)


def default_of(where: device_type) -> Generator:
    """The generator that a device's random operators use when they are given none."""
    found = _defaults.get(where)
    if found is None:
        with _lock:
            found = _defaults.get(where)
            if found is None:
                canonical = discovery.resolve(where)
                found = handle(_raw(canonical), canonical)
                if _seed is not None:
                    found.manual_seed(_seed)
                _defaults[canonical] = found
    return found


class _DefaultGenerator(Generator):
    """The host's default generator, made when it is first used."""

    __slots__ = ()

    def __init__(self) -> None:
        self.device = device_type("cpu")

    def __getattr__(self, name: str) -> Any:
        if name != "raw":
            raise AttributeError(f"'Generator' object has no attribute {name!r}")
        with _lock:
            try:
                return object.__getattribute__(self, "raw")  # another thread was first
            except AttributeError:
                found = _raw(self.device)
            if _seed is not None:
                found.manual_seed(_seed)
            self.raw = found
            return found


default_generator: Generator = _DefaultGenerator()
_defaults[default_generator.device] = default_generator


def manual_seed(seed: int) -> Generator:
    """Seed the default generators of all devices; returns the host's.

    >>> import flambeau as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.rand(2)
    tensor([0.4963, 0.7682])
    """
    global _seed
    value = int(seed)
    with _lock:  # a generator that another thread makes meanwhile shall not miss the seed
        for each in tuple(_defaults.values()):
            each.manual_seed(value)
        _seed = value
    return default_generator


def seed() -> int:
    """Seed the default generators of all devices from the system's randomness, and return the seed."""
    value = int.from_bytes(os.urandom(8), "little") & 0x1FFFFFFFFFFFFF
    manual_seed(value)
    return value


def initial_seed() -> int:
    """The seed of the host's default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the host's default generator, as a tensor of bytes.

    >>> import flambeau as torch
    >>> state = torch.get_rng_state()
    >>> a = torch.rand(1)
    >>> torch.set_rng_state(state)
    >>> bool((torch.rand(1) == a).all())
    True
    """
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Let the host's default generator continue from a state that `get_rng_state` gave."""
    default_generator.set_state(new_state)


def default_states() -> list[tuple[Generator, Tensor]]:
    """The default generators of all devices in use, each with its state."""
    return [(each, each.get_state()) for each in tuple(_defaults.values())]


def set_default_states(states: list[tuple[Generator, Tensor]]) -> None:
    """Let default generators go on from the states that `default_states` gave."""
    for each, state in states:
        each.set_state(state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, _caller: str = "fork_rng", _devices_kw: str = "devices",
             device_type: str = "cuda") -> Iterator[None]:
    """Inside the block draw as usual; afterwards the default generators go on as if nothing had been drawn.

    >>> import flambeau as torch
    >>> _ = torch.manual_seed(0)
    >>> with torch.random.fork_rng():
    ...     _ = torch.rand(10)
    >>> torch.rand(2)
    tensor([0.4963, 0.7682])
    """
    if not enabled:
        yield
        return
    states = default_states()
    try:
        yield
    finally:
        set_default_states(states)
