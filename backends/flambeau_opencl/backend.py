"""The backend class."""

from __future__ import annotations

from typing import Any, ClassVar

import pyopencl as cl

from flambeau.backend import DeviceProperties
from flambeau.errors import ArgumentError, message
from flambeau.queues import Queue
from flambeau_clike.backend import ClikeBackend
from flambeau_clike.lanes import Stream
from flambeau_opencl import platforms
from flambeau_opencl.device import Device, pretended
from flambeau_opencl.streams import CommandQueue


class OpenCLBackend(ClikeBackend):
    """Every OpenCL device of the machine, GPUs first."""

    name: ClassVar[str] = "opencl"
    wanted: ClassVar[str] = ""      # what a subclass for some devices only looks for
    _devices: list[Device]          # type: ignore[assignment]  # those that `serve` was given

    def __init__(self) -> None:
        handles, self._remarks = platforms.devices()
        without = pretended()
        self._others = [platforms.described(each) for each in handles if not self.accepts(each)]
        self.serve([Device(each, f"{self.name}:{index}", without)
                    for index, each in enumerate(filter(self.accepts, handles))])

    @classmethod
    def accepts(cls, handle: Any) -> bool:
        """Whether a device of the driver's is one of this backend's."""
        return True

    # -- devices
    def properties(self, index: int) -> DeviceProperties:
        device = self._devices[index]
        handle, traits = device.handle, device.traits
        return DeviceProperties(handle.name.strip(), device.total_memory, {
            "type": "cpu" if traits.cpu else "gpu" if handle.type & cl.device_type.GPU else "accelerator",
            "vendor": handle.vendor, "driver": handle.driver_version, "platform": handle.platform.name,
            "version": handle.version, "multi_processor_count": traits.units, "fp64": traits.fp64,
            "unified_memory": traits.unified, "local_memory": traits.local_memory,
            "max_allocation": traits.max_allocation})

    def diagnosis(self) -> str:
        if self._others:
            return (f"OpenCL finds no {self.wanted} here. Next step: use device=\"opencl\", which has "
                    f"{', '.join(self._others)}, or install the driver of the {self.wanted}")
        looked = f"{self.wanted}s are looked for through OpenCL: " if self.wanted else ""
        return looked + platforms.advice(self._remarks)

    # -- queues
    def new_queue(self, index: int, priority: int, native: Any = None) -> Queue:
        device = self._devices[index]
        if native is None:
            return Stream(self, index, device.new_lane(priority), priority)
        try:
            queue = native if isinstance(native, cl.CommandQueue) else cl.CommandQueue.from_int_ptr(int(native))
        except (TypeError, ValueError, cl.Error) as error:
            raise ArgumentError(message(
                f"device {device.label!r}", "no command queue", given=repr(native),
                allowed="a pyopencl.CommandQueue, or the address of a cl_command_queue")) from error
        return Stream(self, index, device.foreign_lane(CommandQueue(device, queue)), priority)
