"""The namespace of a device type: `torch.cuda`, `torch.xpu`, and that of any other backend's name.

Nothing here knows a device: the questions go to whichever backend serves the type. Without one `is_available()` is
False, counts are 0, and whatever needs a device raises the error of `discovery`, which names what to install.

The public methods of `DeviceApi` are the names of all these namespaces. Modules such as `flambeau.cuda` are there so
that `import` finds them, and hold only what is different about theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from flambeau import discovery, random, streams
from flambeau.device import device as device_type
from flambeau.errors import ArgumentValueError, DeviceError, OutOfMemoryError, message
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


class DeviceApi(ModuleType):
    """The namespace of one device type, as a module whose functions are methods."""

    OutOfMemoryError = OutOfMemoryError
    StreamContext = streams.StreamContext
    Stream: Any
    ExternalStream: Any
    Event: Any

    def __init__(self, name: str) -> None:
        super().__init__(f"flambeau.{name}", f"Devices of type {name!r}: which there are, their memory, their streams.")
        self._name = name
        for public, each in streams.classes(name).items():
            setattr(self, public, each)

    def __reduce__(self) -> tuple[Callable[[str], DeviceApi], tuple[str]]:
        return api, (self._name,)   # so that its functions can be pickled

    # -- what is there
    def is_available(self) -> bool:
        """Whether a device of this type can be used right now."""
        return discovery.is_available(self._name)

    def device_count(self) -> int:
        """How many devices of this type there are."""
        return discovery.device_count(self._name)

    def is_initialized(self) -> bool:
        """Whether the backend of this type is loaded and has a device."""
        return self._name in discovery._backends and self.is_available()

    def init(self) -> None:
        """Load the backend of this type. RuntimeError where there is none."""
        discovery.backend_for(self._name)

    def _device(self, device: Any = None) -> device_type:
        """The device that an argument names: None is the current one. RuntimeError if it is not there."""
        if device is None:
            wanted = device_type(self._name)
        elif isinstance(device, int):
            wanted = device_type(self._name, device) if device >= 0 else device_type(self._name)
        else:
            wanted = device_type(device)
            if wanted.type != self._name:
                raise DeviceError(f"Expected a {self._name} device, but got: {wanted}")
        return discovery.resolve(wanted)

    def _index(self, device: Any = None) -> int:
        return self._device(device).index or 0

    def current_device(self) -> int:
        """The index that a device string without one means. RuntimeError where there is no device."""
        return self._index()

    def set_device(self, device: Any) -> None:
        """Make a device the current one."""
        discovery.set_current_index(self._name, self._index(device))

    def get_device_properties(self, device: Any = None) -> Properties:
        """What a device says of itself."""
        index = self._index(device)
        return Properties(discovery.backend_for(self._name).properties(index))

    def get_device_name(self, device: Any = None) -> str:
        """The name of a device."""
        return self.get_device_properties(device).name

    def get_device_capability(self, device: Any = None) -> Any:
        """What a device's backend tells of its capability: (major, minor) where there is such a thing."""
        properties = self.get_device_properties(device)
        return (properties.extra.get("major", 0), properties.extra.get("minor", 0))

    def synchronize(self, device: Any = None) -> None:
        """Wait until everything queued on a device has run."""
        index = self._index(device)
        discovery.backend_for(self._name).synchronize(index)

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        """Whether tensors of bfloat16 can be stored on devices of this type."""
        from flambeau.dtypes import bfloat16
        if not self.is_available():
            return False
        capabilities = discovery.backend_for(self._name).capabilities_of(self._index())
        emulated = bfloat16 in capabilities.emulated
        return bfloat16 in capabilities.storage_dtypes and (including_emulation or not emulated)

    @contextmanager
    def device(self, device: Any) -> Iterator[None]:
        """Make a device the current one inside a block; None or -1 changes nothing."""
        if device is None or device == -1:
            yield
            return
        before = discovery.current_index(self._name)
        self.set_device(device)
        try:
            yield
        finally:
            discovery.set_current_index(self._name, before)

    def device_of(self, obj: Any) -> Any:
        """`device` for the device of a tensor; nothing changes for a tensor elsewhere."""
        mine = isinstance(obj, Tensor) and obj.device.type == self._name
        return self.device(obj.device if mine else None)

    # -- random numbers
    def manual_seed(self, seed: int) -> None:
        """Seed the current device's generator; nothing happens where there is no device."""
        if self.is_available():
            random.default_of(self._device()).manual_seed(int(seed))

    def manual_seed_all(self, seed: int) -> None:
        """Seed the generators of all devices of this type."""
        for index in range(self.device_count()):
            random.default_of(self._device(index)).manual_seed(int(seed))

    def seed(self) -> None:
        """Seed the current device's generator from the system's randomness."""
        if self.is_available():
            random.default_of(self._device()).seed()

    def seed_all(self) -> None:
        """Seed the generators of all devices of this type from the system's randomness."""
        for index in range(self.device_count()):
            random.default_of(self._device(index)).seed()

    def initial_seed(self) -> int:
        """The seed of the current device's generator."""
        return random.default_of(self._device()).initial_seed()

    def get_rng_state(self, device: Any = None) -> Tensor:
        """The state of a device's generator."""
        return random.default_of(self._device(device)).get_state()

    def set_rng_state(self, new_state: Tensor, device: Any = None) -> None:
        """Let a device's generator continue from a state."""
        random.default_of(self._device(device)).set_state(new_state)

    def get_rng_state_all(self) -> list[Tensor]:
        """The states of the generators of all devices of this type."""
        return [self.get_rng_state(index) for index in range(self.device_count())]

    def set_rng_state_all(self, new_states: list[Tensor]) -> None:
        """Let the generators of all devices of this type continue from states."""
        for index, state in enumerate(new_states):
            self.set_rng_state(state, index)

    # -- memory
    def memory_stats(self, device: Any = None) -> dict[str, int]:
        """What the backend counts of its memory, under PyTorch's names; empty where nothing is counted.

        Bytes are "allocated_bytes.all.current" and ".peak", and the same of "reserved_bytes"; what else a backend
        counts has the name that it gives.
        """
        said = self._counts(device)
        found = {public: said[name] for name, public in _STATS.items() if name in said}
        return found | {name: value for name, value in said.items() if name not in _STATS}

    def _counts(self, device: Any) -> dict[str, int]:
        if not self.is_available():
            return {}
        return dict(discovery.backend_for(self._name).memory_stats(self._index(device)))

    def memory_allocated(self, device: Any = None) -> int:
        """Bytes in use by tensors; 0 where the backend does not count."""
        return self._counts(device).get("allocated", 0)

    def max_memory_allocated(self, device: Any = None) -> int:
        """The most bytes that were in use by tensors since the start or `reset_peak_memory_stats`."""
        return self._counts(device).get("peak", 0)

    def memory_reserved(self, device: Any = None) -> int:
        """Bytes held from the driver."""
        return self._counts(device).get("reserved", 0)

    def max_memory_reserved(self, device: Any = None) -> int:
        """The most bytes that were held from the driver, where the backend counts that."""
        said = self._counts(device)
        return max(said.get("reserved_peak", 0), said.get("reserved", 0))

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """(free, total) bytes of a device, as far as its backend knows."""
        said, total = self._counts(device), self.get_device_properties(device).total_memory
        return said.get("free", max(total - said.get("reserved", 0), 0)), total

    def device_memory_used(self, device: Any = None) -> int:
        """Bytes of a device that are in use, as far as its backend knows."""
        free, total = self.mem_get_info(device)
        return total - free

    def memory_summary(self, device: Any = None, abbreviated: bool = False) -> str:
        """`memory_stats` as text."""
        return "\n".join(f"{name}: {value}" for name, value in self.memory_stats(device).items())

    def set_per_process_memory_fraction(self, fraction: float, device: Any = None) -> None:
        """Let allocations beyond a part of the device's memory fail. NotImplementedError where the backend cannot."""
        if not isinstance(fraction, float) or not 0 <= fraction <= 1:
            raise ArgumentValueError(message("set_per_process_memory_fraction", "no fraction", given=repr(fraction),
                                             allowed="a float from 0 to 1"))
        index = self._index(device)
        backend = discovery.backend_for(self._name)
        backend.limit_memory(index, int(backend.properties(index).total_memory * fraction))

    def empty_cache(self) -> None:
        """Give cached memory back to the driver, where the backend holds any."""
        if self.is_initialized():
            discovery.backend_for(self._name).empty_cache()

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        """Start the peaks anew from what is in use."""
        discovery.backend_for(self._name).reset_peak_memory_stats(self._index(device))

    def reset_accumulated_memory_stats(self, device: Any = None) -> None:
        """Start accumulated counts anew: there are none."""
        self._index(device)

    def ipc_collect(self) -> None:
        """Nothing to do: memory is not shared between processes."""

    def can_device_access_peer(self, device: Any, peer_device: Any) -> bool:
        """Whether a device reads the memory of another one: copies go through the host."""
        return self._index(device) == self._index(peer_device)

    # -- streams
    def current_stream(self, device: Any = None) -> Any:
        """The stream to which this thread's work on a device goes."""
        return self.Stream._of(streams.current_queue(self._device(device)))

    def default_stream(self, device: Any = None) -> Any:
        """The stream that a device comes with."""
        return self.Stream._of(streams.default_queue(self._device(device)))

    def set_stream(self, stream: Any) -> None:
        """Make a stream the current one of this thread, and its device the current one. Prefer a `with` block."""
        if stream is not None:
            queue = streams.stream_of(stream, "set_stream")
            self.set_device(queue.index)
            streams.use(queue)

    def stream(self, stream: Any) -> streams.StreamContext:
        """A block in which a stream is the current one; with None nothing changes."""
        return streams.StreamContext(stream)

    def get_stream_from_external(self, data_ptr: Any, device: Any = None) -> Any:
        """The stream over one that another library has made."""
        return self.ExternalStream(data_ptr, device)

    def is_current_stream_capturing(self) -> bool:
        """Whether work is being recorded instead of run: never."""
        return False

    # -- typed tensors
    def __getattr__(self, name: str) -> Any:
        from flambeau.ops.legacy import NAMES, typed_class
        if name in NAMES:   # `torch.cuda.FloatTensor` and its like
            return typed_class(name, self._name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted(name for name in {*vars(DeviceApi), *vars(self)} if not name.startswith("_"))


_STATS = {"allocated": "allocated_bytes.all.current", "peak": "allocated_bytes.all.peak",
          "reserved": "reserved_bytes.all.current", "reserved_peak": "reserved_bytes.all.peak"}
_apis: dict[str, DeviceApi] = {}


def api(name: str) -> DeviceApi:
    """The namespace of a device type, whether something serves it or not."""
    found = _apis.get(name)
    return _apis.setdefault(name, DeviceApi(name)) if found is None else found


def members(name: str, *more: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of the module that stands for a namespace and has `more` names of its own."""
    space = api(name)

    def find(attribute: str) -> Any:
        if attribute.startswith("_"):
            raise AttributeError(f"module {space.__name__!r} has no attribute {attribute!r}")
        return getattr(space, attribute)

    def names() -> list[str]:
        return sorted({*space.__dir__(), *more})
    return find, names
