"""A simulated accelerator with all that the contract has as an option: streams, counts, recordings, page-locked
memory, peers and versions. What programs ask of `torch.cuda` is tested on it where there is no such device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flambeau import discovery
from flambeau.backend import DeviceProperties
from flambeau.errors import ArgumentError
from flambeau.queues import Queue, Recording
from flambeau_reference import StreamsBackend
from flambeau_reference.streams import StrictQueue


class Replay(Recording):
    """Calls of kernels with their arrays: run again, what they give goes where it went the first time."""

    def __init__(self, backend: Simulated, calls: list[tuple[Callable[..., Any], tuple[Any, ...], Any, Any]]) -> None:
        self.backend, self.calls = backend, calls

    def replay(self, queue: Queue) -> None:
        for kernel, args, out, result in self.calls:
            again = kernel(*args) if out is None else kernel(*args, out=out)
            pairs = zip(result, again, strict=True) if isinstance(result, tuple) else ((result, again),)
            for target, source in pairs:
                if target is not source:
                    self.backend.copy(target, source)


class RecordingQueue(StrictQueue):
    def begin_capture(self, pool: Any = None) -> None:
        self.backend.calls, self.backend.pool, self.capturing = [], pool, True

    def end_capture(self) -> Recording:
        calls, self.backend.calls, self.capturing = self.backend.calls, None, False
        self.backend.synchronize(self.index)    # on hardware nothing has run: there is nothing that may be too early
        return Replay(self.backend, calls)


class Kernel:
    """A kernel whose calls are recorded."""

    def __init__(self, backend: Simulated, kernel: Callable[..., Any]) -> None:
        self.backend, self.kernel = backend, kernel

    def __call__(self, *args: Any, out: Any = None) -> Any:
        result = self.kernel(*args) if out is None else self.kernel(*args, out=out)
        if self.backend.calls is not None and result is not NotImplemented:
            self.backend.calls.append((self.kernel, args, out, result))
        return result


class Simulated(StreamsBackend):
    """Two devices; the first reads the memory of the second."""

    name = "simulated"
    capabilities = replace(StreamsBackend.capabilities, simulated=False)
    calls: list[Any] | None = None
    pool: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.kernels = {name: each if name in ("reinterpret", "item") else Kernel(self, each)
                        for name, each in self.kernels.items()}
        self.locked: list[tuple[int, int]] = []
        self.log: list[str] = []

    def properties(self, index: int) -> DeviceProperties:
        return DeviceProperties("Simulated Card", self.memory, {
            "major": 9, "minor": index, "multi_processor_count": 4, "warp_size": 32, "uuid": f"card-{index}",
            "gcnArchName": "", "tf32": not index})

    def versions(self) -> Mapping[str, str]:
        return {"cuda": "13.0", "cudnn": "9.10.2"}

    def memory_stats(self, index: int) -> Mapping[str, int]:
        return {**super().memory_stats(index), "allocations": 7, "retries": 1, "out_of_memory": 2}

    def peer_access(self, index: int, other: int) -> bool:
        return (index, other) == (0, 1)

    def new_queue(self, index: int, priority: int, native: Any = None) -> Queue:
        return super().new_queue(index, priority, native) if native else RecordingQueue(self, index, priority)

    # -- copies
    def pinned(self, size: int) -> Any:
        buffer = np.zeros(size, np.uint8)
        self.locked.append((buffer.ctypes.data, buffer.ctypes.data + size))
        return buffer

    def is_pinned(self, array: Any) -> bool:
        return any(first <= array.ctypes.data < last for first, last in self.locked)

    def from_host_later(self, array: Any, index: int) -> Any:
        self.log.append("pinned, later" if self.is_pinned(array) else "later")
        return super().from_host_later(array, index)

    def to_host_later(self, array: Any) -> Any:
        self.log.append("to host, later")
        return super().to_host_later(array)

    def to_device(self, array: Any, index: int) -> Any:
        self.log.append(f"to {index}")
        return super().to_device(array, index)

    def from_host(self, array: Any, index: int) -> Any:
        if self.calls is not None:
            raise ArgumentError("from_host: not while work is recorded")
        return super().from_host(array, index)

    def to_host(self, array: Any) -> Any:
        if self.calls is not None:
            raise ArgumentError("to_host: not while work is recorded")
        return super().to_host(array)

    def copy(self, target: Any, source: Any) -> None:
        super().copy(target, source)
        if self.calls is not None:
            self.calls.append((super().copy, (target, source), None, None))


@pytest.fixture
def simulated() -> Iterator[str]:
    """The simulated device beside all others; gives its name."""
    discovery.register_backend(Simulated)
    yield Simulated.name
    discovery.unregister_backend(Simulated.name)


@pytest.fixture
def accelerator(simulated: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The simulated device as the machine's accelerator; gives its backend."""
    kept = {name: each for name, each in discovery._offers().items() if name in ("cpu", "reference", simulated)}
    monkeypatch.setattr(discovery, "_offered", kept)
    return discovery.backend_for(simulated)
