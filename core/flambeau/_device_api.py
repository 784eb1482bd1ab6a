"""What `torch.cuda`, `torch.xpu` and their like have in common: questions to whichever backend serves a device type.

Nothing here knows a device: without a backend for the type, `is_available()` is False, counts are 0, and whatever
needs a device raises the error of `discovery`, which names what to install.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flambeau import discovery, random
from flambeau.device import device as device_type
from flambeau.errors import ArgumentTypeError, DeviceError, UnsupportedError, message
from flambeau.tensor import Tensor


class Properties:
    """What a device says of itself: `name`, `total_memory`, and whatever else its backend tells."""

    def __init__(self, said: Any) -> None:
        self.name: str = said.name
        self.total_memory: int = said.total_memory
        self.extra: dict[str, Any] = dict(said.extra)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["extra"][name]
        except KeyError:
            raise AttributeError(f"the device's backend says nothing of {name!r}; it tells: name, total_memory, "
                                 f"{', '.join(self.__dict__.get('extra', ()))}") from None

    def __repr__(self) -> str:
        extra = "".join(f", {name}={value!r}" for name, value in self.extra.items())
        return f"_DeviceProperties(name={self.name!r}, total_memory={self.total_memory}{extra})"


class DeviceApi:
    """The functions of one device type's namespace, as methods."""

    def __init__(self, name: str) -> None:
        self.name = name

    # -- what is there
    def is_available(self) -> bool:
        """Whether a device of this type can be used right now."""
        return discovery.is_available(self.name)

    def device_count(self) -> int:
        """How many devices of this type there are."""
        return discovery.device_count(self.name)

    def is_initialized(self) -> bool:
        """Whether the backend of this type is loaded and has a device."""
        return self.name in discovery._backends and self.is_available()

    def init(self) -> None:
        """Load the backend of this type. RuntimeError where there is none."""
        discovery.backend_for(self.name)

    def index_of(self, device: Any = None) -> int:
        """The index that an argument `device` names: None is the current one. RuntimeError if it is not there."""
        if device is None:
            wanted = device_type(self.name)
        elif isinstance(device, int):
            wanted = device_type(self.name, device) if device >= 0 else device_type(self.name)
        else:
            wanted = device_type(device)
            if wanted.type != self.name:
                raise DeviceError(f"Expected a {self.name} device, but got: {wanted}")
        return discovery.resolve(wanted).index or 0

    def current_device(self) -> int:
        """The index that a device string without one means. RuntimeError where there is no device."""
        return self.index_of()

    def set_device(self, device: Any) -> None:
        """Make a device the current one."""
        discovery.set_current_index(self.name, self.index_of(device))

    def get_device_properties(self, device: Any = None) -> Properties:
        """What a device says of itself."""
        index = self.index_of(device)
        return Properties(discovery.backend_for(self.name).properties(index))

    def get_device_name(self, device: Any = None) -> str:
        """The name of a device."""
        return self.get_device_properties(device).name

    def get_device_capability(self, device: Any = None) -> Any:
        """What a device's backend tells of its capability: (major, minor) where there is such a thing."""
        properties = self.get_device_properties(device)
        return (properties.extra.get("major", 0), properties.extra.get("minor", 0))

    def synchronize(self, device: Any = None) -> None:
        """Wait until everything queued on a device has run."""
        index = self.index_of(device)
        discovery.backend_for(self.name).synchronize(index)

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        """Whether tensors of bfloat16 can be stored on devices of this type."""
        from flambeau.dtypes import bfloat16
        if not self.is_available():
            return False
        capabilities = discovery.backend_for(self.name).capabilities
        emulated = bfloat16 in capabilities.emulated
        return bfloat16 in capabilities.storage_dtypes and (including_emulation or not emulated)

    @contextmanager
    def device(self, device: Any) -> Iterator[None]:
        """Make a device the current one inside a block; None or -1 changes nothing."""
        if device is None or device == -1:
            yield
            return
        before = discovery.current_index(self.name)
        self.set_device(device)
        try:
            yield
        finally:
            discovery.set_current_index(self.name, before)

    def device_of(self, obj: Any) -> Any:
        """`device` for the device of a tensor; nothing changes for a tensor elsewhere."""
        mine = isinstance(obj, Tensor) and obj.device.type == self.name
        return self.device(obj.device if mine else None)

    # -- random numbers
    def manual_seed(self, seed: int) -> None:
        """Seed the current device's generator; nothing happens where there is no device."""
        if self.is_available():
            random.default_of(discovery.resolve(device_type(self.name))).manual_seed(int(seed))

    def manual_seed_all(self, seed: int) -> None:
        """Seed the generators of all devices of this type."""
        for index in range(self.device_count()):
            random.default_of(discovery.resolve(device_type(self.name, index))).manual_seed(int(seed))

    def seed(self) -> None:
        """Seed the current device's generator from the system's randomness."""
        if self.is_available():
            random.default_of(discovery.resolve(device_type(self.name))).seed()

    def seed_all(self) -> None:
        """Seed the generators of all devices of this type from the system's randomness."""
        for index in range(self.device_count()):
            random.default_of(discovery.resolve(device_type(self.name, index))).seed()

    def initial_seed(self) -> int:
        """The seed of the current device's generator."""
        return random.default_of(device_type(self.name, self.index_of())).initial_seed()

    def get_rng_state(self, device: Any = None) -> Tensor:
        """The state of a device's generator."""
        return random.default_of(device_type(self.name, self.index_of(device))).get_state()

    def set_rng_state(self, new_state: Tensor, device: Any = None) -> None:
        """Let a device's generator continue from a state."""
        random.default_of(device_type(self.name, self.index_of(device))).set_state(new_state)

    def get_rng_state_all(self) -> list[Tensor]:
        """The states of the generators of all devices of this type."""
        return [self.get_rng_state(index) for index in range(self.device_count())]

    def set_rng_state_all(self, new_states: list[Tensor]) -> None:
        """Let the generators of all devices of this type continue from states."""
        for index, state in enumerate(new_states):
            self.set_rng_state(state, index)

    # -- memory
    def memory_stats(self, device: Any = None) -> dict[str, int]:
        """What the backend counts of its memory, in bytes; empty where there is no device or nothing is counted."""
        if not self.is_available():
            return {}
        return dict(discovery.backend_for(self.name).memory_stats(self.index_of(device)))

    def memory_allocated(self, device: Any = None) -> int:
        """Bytes in use by tensors."""
        return self.memory_stats(device).get("allocated", 0)

    def max_memory_allocated(self, device: Any = None) -> int:
        """The most bytes that were in use by tensors."""
        return self.memory_stats(device).get("peak", 0)

    def memory_reserved(self, device: Any = None) -> int:
        """Bytes held from the driver."""
        return self.memory_stats(device).get("reserved", 0)

    max_memory_reserved = memory_reserved

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """(free, total) bytes of a device, as far as its backend counts."""
        total = self.get_device_properties(device).total_memory
        return total - self.memory_reserved(device), total

    def memory_summary(self, device: Any = None, abbreviated: bool = False) -> str:
        """`memory_stats` as text."""
        return "\n".join(f"{name}: {value} bytes" for name, value in self.memory_stats(device).items())

    def empty_cache(self) -> None:
        """Give cached memory back to the driver, where the backend can."""
        release = getattr(discovery._backends.get(self.name), "empty_cache", None)
        if release is not None:
            release()

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        """Start the peak count anew, where the backend can."""
        reset = getattr(discovery._backends.get(self.name), "reset_peak_memory_stats", None)
        if reset is not None:
            reset(self.index_of(device))

    # -- streams
    def stream_class(self, what: str) -> type:
        """A class that stands for streams or events until there are any: making one says what to do instead."""
        name = self.name

        class Missing:
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                raise UnsupportedError(message(
                    f"{name}.{what}", f"there are no {what.lower()}s to make yet: work runs in the order of the calls",
                    next_step=f"torch.{name}.synchronize() waits for all of it"))
        Missing.__name__ = Missing.__qualname__ = what
        Missing.__doc__ = f"Not there yet: making a {what} raises UnsupportedError."
        return Missing

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        """Accepted with None, which is the only stream there is."""
        if stream is not None:
            raise ArgumentTypeError(f"{self.name}.stream: there is one stream only; pass None")
        yield

    # -- typed tensors
    def typed(self, name: str) -> Any:
        """The class `torch.cuda.FloatTensor` and its like; AttributeError for another name."""
        from flambeau.ops.legacy import NAMES, typed_class
        if name in NAMES:
            return typed_class(name, self.name)
        raise AttributeError(f"module 'flambeau.{self.name}' has no attribute {name!r}")
