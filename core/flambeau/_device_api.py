"""The namespace of a device type: `torch.cuda`, `torch.xpu`, and that of any other backend's name.

Nothing here knows a device: the questions go to whichever backend serves the type. Without one `is_available()` is
False, counts are 0, and whatever needs a device raises the error of `discovery`, which names what to install.

The public methods of `DeviceApi` are the names of all these namespaces. Modules such as `flambeau.cuda` are there so
that `import` finds them, and hold only what is different about theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from flambeau import _device_graphs as graphs, _device_marks as marks, discovery, random, streams
from flambeau._device_memory import Memory
from flambeau.errors import OutOfMemoryError
from flambeau.random import Generator
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


class DeviceApi(Memory):
    """The namespace of one device type, as a module whose functions are methods."""

    OutOfMemoryError = OutOfMemoryError
    StreamContext = streams.StreamContext
    Stream: Any
    ExternalStream: Any
    Event: Any
    CUDAGraph: Any
    graph: Any
    nvtx = marks
    has_half = True
    has_magma = False

    def __init__(self, name: str) -> None:
        super().__init__(f"flambeau.{name}", f"Devices of type {name!r}: which there are, their memory, their streams.")
        self._name = name
        self._fractions = {}
        for public, each in (streams.classes(name) | graphs.classes(name)).items():
            setattr(self, public, each)

    def __reduce__(self) -> tuple[Callable[[str], DeviceApi], tuple[str]]:
        return api, (self._name,)   # so that its functions can be pickled

    # -- what is there
    def device_count(self) -> int:
        """How many devices of this type there are."""
        return discovery.device_count(self._name)

    def is_initialized(self) -> bool:
        """Whether the backend of this type is loaded and has a device."""
        return self._name in discovery._backends and self.is_available()

    def init(self) -> None:
        """Load the backend of this type. RuntimeError where there is none."""
        discovery.backend_for(self._name)

    def current_device(self) -> int:
        """The index that a device string without one means. RuntimeError where there is no device."""
        return self._index()

    def set_device(self, device: Any) -> None:
        """Make a device the current one; a negative index changes nothing."""
        if isinstance(device, int) and device < 0:
            return
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

    def get_arch_list(self) -> list[str]:
        """The capabilities of the devices that are there, as "sm_90": programs are compiled for them when they run."""
        found = [self.get_device_properties(index).extra for index in range(self.device_count())]
        return sorted({each.get("gcnArchName") or f"sm_{each['major']}{each['minor']}" for each in found
                       if "gcnArchName" in each or "major" in each})

    def can_device_access_peer(self, device: Any, peer_device: Any) -> bool:
        """Whether a device reads the memory of another one directly; copies go through the host where it does not."""
        one, other = self._index(device), self._index(peer_device)
        return one == other or discovery.backend_for(self._name).peer_access(one, other)

    def utilization(self, device: Any = None) -> int:
        """How busy a device is, in percent. NotImplementedError: backends do not tell."""
        return self._untold("utilization", device)

    def temperature(self, device: Any = None) -> int:
        """A device's temperature, in degrees Celsius. NotImplementedError: backends do not tell."""
        return self._untold("temperature", device)

    def power_draw(self, device: Any = None) -> int:
        """What a device draws, in milliwatts. NotImplementedError: backends do not tell."""
        return self._untold("power_draw", device)

    def clock_rate(self, device: Any = None) -> int:
        """The clock of a device, in MHz. NotImplementedError: backends do not tell."""
        return self._untold("clock_rate", device)

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

    def is_tf32_supported(self) -> bool:
        """Whether the current device multiplies float32 matrices in the format TF32, where programs allow that."""
        return self.is_available() and bool(self.get_device_properties().extra.get("tf32", False))

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
    @property
    def default_generators(self) -> tuple[Generator, ...]:
        """The generators that devices use when they are given none, one for each."""
        return tuple(random.default_of(self._device(index)) for index in range(self.device_count()))

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

    def set_rng_state_all(self, new_states: Iterable[Tensor]) -> None:
        """Let the generators of all devices of this type continue from states."""
        for index, state in enumerate(new_states):
            self.set_rng_state(state, index)

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

    # -- graphs
    def is_current_stream_capturing(self) -> bool:
        """Whether work on the current device is being recorded instead of run."""
        return self.is_available() and streams.current_queue(self._device()).capturing

    def graph_pool_handle(self) -> tuple[int, int]:
        """A name for memory that several graphs may share, which are never replayed at the same time."""
        self._device()
        return graphs.new_pool()

    def make_graphed_callables(self, callables: Any, sample_args: Any, num_warmup_iters: int = 3,
                               allow_unused_input: bool = False, pool: Any = None) -> Any:
        """Functions or modules whose forward and backward passes are recorded once, and replayed at each call.

        They take and give tensors; those of `sample_args`, one tuple for each callable, have the shapes of all later
        arguments. A module is changed in place. NotImplementedError where the backend does not record.
        """
        self._device()
        return graphs.graphed(self, callables, sample_args, num_warmup_iters, allow_unused_input, pool)

    # -- typed tensors
    def __getattr__(self, name: str) -> Any:
        from flambeau.ops.legacy import NAMES, typed_class
        if name in NAMES:   # `torch.cuda.FloatTensor` and its like
            return typed_class(name, self._name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    # PyTorch has these functions in modules of such names, too.
    @property
    def memory(self) -> DeviceApi:
        """This namespace."""
        return self

    random = streams = graphs = memory

    def __dir__(self) -> list[str]:
        named = {name for each in (DeviceApi, *DeviceApi.__mro__[1:3]) for name in vars(each)}
        return sorted(name for name in {*named, *vars(self)} if not name.startswith("_"))


_apis: dict[str, DeviceApi] = {}


def versions() -> Mapping[str, str]:
    """What the accelerator's backend says that it stands on: {"cuda": "13.0"}, say; empty where there is none."""
    from flambeau.accelerator import current_accelerator
    found = current_accelerator()
    return {} if found is None else discovery.backend_for(found.type).versions()


def api(name: str) -> DeviceApi:
    """The namespace of a device type, whether something serves it or not."""
    found = _apis.get(name)
    return _apis.setdefault(name, DeviceApi(name)) if found is None else found


def members(name: str, *more: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of the module that stands for a namespace and has `more` names of its own: what it
    does not define itself is a module within it."""
    space = api(name)

    def find(attribute: str) -> Any:
        if attribute.startswith("_"):
            raise AttributeError(f"module {space.__name__!r} has no attribute {attribute!r}")
        return import_module(f"{space.__name__}.{attribute}") if attribute in more else getattr(space, attribute)

    def names() -> list[str]:
        return sorted({*space.__dir__(), *more})
    return find, names
