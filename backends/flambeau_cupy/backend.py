"""The backend class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from flambeau.backend import DeviceProperties
from flambeau.errors import ArgumentError, message
from flambeau.queues import Queue
from flambeau_clike.array import Array
from flambeau_clike.backend import ClikeBackend
from flambeau_cupy import drivers
from flambeau_cupy.graphs import CudaStream

if TYPE_CHECKING:
    from flambeau_cupy.device import Device


class CupyBackend(ClikeBackend):
    """Every CUDA device of the machine."""

    name: ClassVar[str] = "cuda"
    stream_type = CudaStream
    _devices: list[Device]          # type: ignore[assignment]  # those that `serve` was given

    def __init__(self) -> None:
        self._problem = ""
        self._versions: dict[str, str] = {}
        self.serve(self._found())
        if self._devices:
            from flambeau_cupy import arrays, libraries
            self.kernels.update(arrays.protocols(self._devices), data_ptr=arrays.address)
            self.kernels.update(libraries.kernels(self.kernels))

    def _found(self) -> list[Device]:
        import cupy
        from cupy.cuda import runtime

        from flambeau_cupy.device import Device
        try:
            count = int(runtime.getDeviceCount())
        except runtime.CUDARuntimeError as error:
            self._problem = str(error)
            return []
        self._versions = {"cupy": cupy.__version__, "cuda": _version(runtime.runtimeGetVersion()),
                          "driver": _version(runtime.driverGetVersion())}
        return [Device(index, count, f"cuda:{index}") for index in range(count)]

    # -- devices
    def properties(self, index: int) -> DeviceProperties:
        device = self._devices[index]
        said, traits = device.said, device.traits
        from flambeau_cupy.device import name
        return DeviceProperties(name(said), device.total_memory, {
            "type": "gpu", "vendor": "NVIDIA", "major": int(said["major"]), "minor": int(said["minor"]),
            "multi_processor_count": traits.units, "warp_size": int(said.get("warpSize", 32)),
            "max_threads_per_block": traits.largest_group, "local_memory": traits.local_memory,
            "is_integrated": int(said.get("integrated", 0)), "platform": "CUDA", "version": self._versions["cuda"],
            "driver": self._versions["driver"], "cupy": self._versions["cupy"], "fp64": True,
            "unified_memory": traits.unified, "max_allocation": traits.max_allocation, "tf32": int(said["major"]) >= 8,
            **_told(said)})

    def diagnosis(self) -> str:
        return drivers.advice(self._problem)

    def versions(self) -> Mapping[str, str]:
        return {name: version for name, version in self._versions.items() if name in ("cuda", "hip")}

    # -- between the host and devices
    def to_device(self, array: Array, index: int) -> Array:
        from flambeau_cupy.hosts import to_device
        return to_device(array, self._devices[index])

    def peer_access(self, index: int, other: int) -> bool:
        from cupy.cuda import runtime
        return index == other or bool(runtime.deviceCanAccessPeer(index, other))

    def pinned(self, size: int) -> Any:
        from flambeau_cupy.hosts import pinned
        return pinned(size) if self._devices else None

    def is_pinned(self, array: Any) -> bool:
        from flambeau_cupy.hosts import is_pinned
        return bool(self._devices) and is_pinned(array)

    def from_host_later(self, array: Any, index: int) -> Array:
        from flambeau_cupy.hosts import from_host_later
        return from_host_later(array, self._devices[index])

    def to_host_later(self, array: Array) -> Any:
        from flambeau_cupy.hosts import to_host_later
        return to_host_later(array)

    # -- queues
    def new_queue(self, index: int, priority: int, native: Any = None) -> Queue:
        device = self._devices[index]
        if native is None:
            return self.stream_type(self, index, device.new_lane(priority), priority)
        import cupy

        from flambeau_cupy.streams import CudaLane, Queue as Native
        try:
            stream = cupy.cuda.ExternalStream(int(getattr(native, "ptr", native)))
        except (TypeError, ValueError) as error:
            raise ArgumentError(message(f"device {device.label!r}", "no stream", given=repr(native),
                                        allowed="a cupy.cuda.Stream, or the address of a cudaStream_t")) from error
        lane = CudaLane(device, Native(stream, index, len(self._devices) > 1))
        return self.stream_type(self, index, device.foreign_lane(lane), priority)


def _told(said: Mapping[str, Any]) -> dict[str, Any]:
    """What only some drivers say."""
    text = {name: said[name] for name in ("uuid", "gcnArchName") if said.get(name)}
    return {name: value.decode(errors="replace") if isinstance(value, bytes) and name != "uuid" else value
            for name, value in text.items()}


def _version(number: int) -> str:
    """CUDA's versions for people: 13010 is 13.1."""
    return f"{number // 1000}.{number % 1000 // 10}"
