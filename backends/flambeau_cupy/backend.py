"""The backend class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from flambeau.backend import DeviceProperties
from flambeau.errors import ArgumentError, message
from flambeau.queues import Queue
from flambeau_clike.backend import ClikeBackend
from flambeau_clike.lanes import Stream
from flambeau_cupy import drivers

if TYPE_CHECKING:
    from flambeau_cupy.device import Device


class CupyBackend(ClikeBackend):
    """Every CUDA device of the machine."""

    name: ClassVar[str] = "cuda"
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
            "unified_memory": traits.unified, "max_allocation": traits.max_allocation})

    def diagnosis(self) -> str:
        return drivers.advice(self._problem)

    # -- queues
    def new_queue(self, index: int, priority: int, native: Any = None) -> Queue:
        device = self._devices[index]
        if native is None:
            return Stream(self, index, device.new_lane(priority), priority)
        import cupy

        from flambeau_cupy.streams import CudaLane, Queue as Native
        try:
            stream = cupy.cuda.ExternalStream(int(getattr(native, "ptr", native)))
        except (TypeError, ValueError) as error:
            raise ArgumentError(message(f"device {device.label!r}", "no stream", given=repr(native),
                                        allowed="a cupy.cuda.Stream, or the address of a cudaStream_t")) from error
        lane = CudaLane(device, Native(stream, index, len(self._devices) > 1))
        return Stream(self, index, device.foreign_lane(lane), priority)


def _version(number: int) -> str:
    """CUDA's versions for people: 13010 is 13.1."""
    return f"{number // 1000}.{number % 1000 // 10}"
