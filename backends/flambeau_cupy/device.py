"""A CUDA device: what its driver says of it, its streams and memory, and how it reports errors."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import cupy
from cupy.cuda import driver, runtime

from flambeau_clike.device import Device as BaseDevice, Traits
from flambeau_clike.lanes import Lane
from flambeau_cupy import streams
from flambeau_cupy.cublas import CuBlas, available
from flambeau_cupy.program import Programs
from flambeau_cupy.streams import CudaLane, Queue

LIMIT = "FLAMBEAU_CUDA_MEMORY_LIMIT"
_EXHAUSTED = frozenset({"cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY"})
_NO_ROOM = 2      # cudaErrorMemoryAllocation, which CuPy has no name for
_HINTS = {
    "cudaErrorIllegalAddress": "a kernel reached beyond its memory, and the context is lost: start the program anew",
    "cudaErrorLaunchFailure": "a kernel failed, and the context is lost: start the program anew",
    "cudaErrorECCUncorrectable": "the GPU's memory has failed; start the program anew, and see `nvidia-smi -q`",
    "cudaErrorInsufficientDriver": "install a newer driver, or CuPy for an older CUDA",
}


class Device(BaseDevice):
    """One device; `index` is CUDA's number of it."""

    error = (runtime.CUDARuntimeError, driver.CUDADriverError)
    setting = LIMIT
    enqueue = staticmethod(streams.enqueue)

    def __init__(self, index: int, count: int, label: str) -> None:
        self.index, self._several = index, count > 1
        self.said = runtime.getDeviceProperties(index)
        self.simulated = "simulated" in name(self.said)      # no GPU is called so, but what tests put in its place
        super().__init__(label, traits(self.said), int(self.said["totalGlobalMem"]), Programs)
        if available():
            library = CuBlas(self)
            self.libraries, self.narrow = [library], library.narrow

    def open_lane(self, priority: int = 0) -> Lane:
        runtime.setDevice(self.index)
        stream = cupy.cuda.Stream(non_blocking=True, priority=priority)
        return CudaLane(self, Queue(stream, self.index, self._several))

    @cached_property
    def default(self) -> Lane:
        """CUDA's default stream."""
        with self._opening:
            found = self.__dict__.get("default")
            if found is None:
                runtime.setDevice(self.index)
                found = CudaLane(self, Queue(cupy.cuda.Stream.null, self.index, self._several))
            return found

    def new_buffer(self, size: int) -> Any:
        self.queue.enter()
        try:
            # CuPy's object gives the memory back when its last reference goes, and not, as a destructor in Python does,
            # when a cycle that it hangs on is found: the block may be wanted again from there.
            return cupy.cuda.Memory(size)
        except MemoryError:     # CuPy's own OutOfMemoryError
            return None
        except runtime.CUDARuntimeError as error:
            if error.status != _NO_ROOM:
                raise self.faults.translated(error, f"an allocation of {size} bytes") from error
            return None

    def explained(self, error: Exception) -> tuple[str, bool, str]:
        name = str(error).partition(":")[0]
        return str(error), name in _EXHAUSTED, _HINTS.get(name, "")

    @property
    def cache_folder(self) -> Path | None:
        try:
            from platformdirs import user_cache_path
        except ModuleNotFoundError:     # an extra of ours: CuPy may be here without it
            return None
        return user_cache_path("flambeau") / "cuda"

    @property
    def about(self) -> str:
        return "\0".join((name(self.said), str(runtime.driverGetVersion()), str(runtime.runtimeGetVersion())))


def name(said: dict[str, Any]) -> str:
    """The name of a device, from its properties."""
    found = said["name"]
    return found.decode() if isinstance(found, bytes) else str(found)


def traits(said: dict[str, Any]) -> Traits:
    """The traits of a device, from its properties."""
    return Traits(
        cpu=False, fp64=True, fp16=True, int64_atomics=True, subgroups=True, images=False,
        unified=bool(said.get("integrated", 0)), coherent=False, units=max(1, int(said["multiProcessorCount"])),
        group=256, largest_group=int(said.get("maxThreadsPerBlock", 1024)),
        local_memory=int(said.get("sharedMemPerBlock", 48 << 10)), max_allocation=int(said["totalGlobalMem"]),
        image_size=(0, 0))
