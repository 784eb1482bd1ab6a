"""The accelerator of this process: the one device type, beside the host, that installed backends serve.

Where several are there, the one that PyTorch would prefer comes first, then the others by name. A simulated device, as
the reference devices are, is none, nor is the host's own processor under another name.

>>> import flambeau as torch
>>> torch.accelerator.is_available() == (torch.accelerator.current_accelerator(True) is not None)
True
"""

from __future__ import annotations

import importlib
from typing import Any

from flambeau import _device_graphs as graphs, discovery, streams
from flambeau._device_api import DeviceApi, api
from flambeau.device import device as device_type
from flambeau.errors import DeviceError

_FIRST = ("cuda", "xpu", "mps")


def _names() -> list[str]:
    offered = [name for name in discovery._offers() if _computes(name)]
    return sorted(offered, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))


def _computes(name: str) -> bool:
    """Whether there is a device that is hardware beside the host's processor behind a device name."""
    try:
        backend = discovery.backend_for(name)
    except DeviceError:
        return False  # disabled: it is nothing to compute on
    each = [backend.capabilities_of(index) for index in range(discovery.device_count(name))]
    return any(one.accelerator and not (one.host or one.simulated) for one in each)


def current_accelerator(check_available: bool = False) -> device_type | None:
    """The accelerator's device type, or None where there is none with a device."""
    return next((device_type(name) for name in _names()), None)


def is_available() -> bool:
    """Whether there is an accelerator with a device."""
    return current_accelerator() is not None


def _api() -> DeviceApi:
    found = current_accelerator()
    if found is None:
        raise DeviceError("Cannot access accelerator device when none is available; `python -m flambeau devices` lists "
                          "what this machine has, `doctor` why something is not there")
    return api(found.type)


def device_count() -> int:
    """How many devices the accelerator has; 0 where there is none."""
    found = current_accelerator()
    return 0 if found is None else discovery.device_count(found.type)


def current_device_index() -> int:
    """The index of the current device. RuntimeError where there is none."""
    return _api().current_device()


def set_device_index(device: Any, /) -> None:
    """Make a device the current one."""
    _api().set_device(device)


def device_index(device: Any, /) -> Any:
    """Make a device the current one inside a block; with None nothing changes."""
    return _api().device(device)


def get_device_capability(device: Any = None, /) -> dict[str, Any]:
    """What a device can do: "supported_dtypes", those that it stores."""
    where = _api()._device(device)
    stored = discovery.backend_for(where.type).capabilities_of(where.index or 0).storage_dtypes
    return {"supported_dtypes": set(stored)}


def synchronize(device: Any = None, /) -> None:
    """Wait until everything queued on a device has run."""
    _api().synchronize(device)


def current_stream(device: Any = None, /) -> streams.Stream:
    """The stream to which this thread's work on a device goes."""
    found: streams.Stream = streams.Stream._of(streams.current_queue(_api()._device(device)))
    return found


def set_stream(stream: streams.Stream) -> None:
    """Make a stream the current one of this thread, and its device the current one. Prefer a `with` block."""
    _api().set_stream(stream)


current_device_idx = current_device_index
set_device_idx = set_device_index


class Graph(graphs.Graph):
    """Work of the accelerator's current stream, recorded in a `with` block, or from `capture_begin` to `capture_end`.

    RuntimeError where there is no accelerator; NotImplementedError where its backend does not record.
    """

    def __init__(self, keep_graph: bool = False, *, pool: graphs.Pool | None = None,
                 capture_error_mode: str = "default") -> None:
        super().__init__(_api()._name)
        self.graph_pool, self.capture_error_mode = pool, capture_error_mode

    def capture_begin(self) -> None:
        """Record what the current stream is given from now on; see `torch.cuda.CUDAGraph.capture_begin`."""
        self._begin(self.graph_pool, self.capture_error_mode)

    def __enter__(self) -> None:
        synchronize()
        empty_cache()
        self.capture_begin()

    def __exit__(self, *exc: object) -> None:
        self.capture_end()


# ---------------------------------------------------------------------------------------------- memory
def empty_cache() -> None:
    """Give cached memory back to the driver, where the backend holds any."""
    _api().empty_cache()


def empty_host_cache() -> None:
    """Give cached memory of the host back: none is held."""
    _api()


def memory_stats(device_index: Any = None, /) -> dict[str, int]:
    """What the backend counts of its memory; see `torch.cuda.memory_stats`."""
    return _api().memory_stats(device_index)


def memory_allocated(device_index: Any = None, /) -> int:
    """Bytes in use by tensors."""
    return _api().memory_allocated(device_index)


def max_memory_allocated(device_index: Any = None, /) -> int:
    """The most bytes that were in use by tensors."""
    return _api().max_memory_allocated(device_index)


def memory_reserved(device_index: Any = None, /) -> int:
    """Bytes held from the driver."""
    return _api().memory_reserved(device_index)


def max_memory_reserved(device_index: Any = None, /) -> int:
    """The most bytes that were held from the driver, where the backend counts that."""
    return _api().max_memory_reserved(device_index)


def reset_peak_memory_stats(device_index: Any = None, /) -> None:
    """Start the peaks anew from what is in use."""
    _api().reset_peak_memory_stats(device_index)


def reset_accumulated_memory_stats(device_index: Any = None, /) -> None:
    """Start accumulated counts anew: there are none."""
    _api().reset_accumulated_memory_stats(device_index)


def get_memory_info(device_index: Any = None, /) -> tuple[int, int]:
    """(free, total) bytes of a device, as far as its backend knows."""
    return _api().mem_get_info(device_index)


# ---------------------------------------------------------------------------------------------- namespaces
def get_device_module(device: Any = None) -> Any:
    """The namespace of a device type, `torch.cuda` for "cuda:0": every type that a backend serves has one.

    RuntimeError for any other.

    >>> import flambeau as torch
    >>> torch.get_device_module("cuda").__name__
    'flambeau.cuda'
    """
    wanted = current_accelerator() or device_type("cpu") if device is None else device_type(device)
    if wanted.type in _MODULES:
        return importlib.import_module(f"flambeau.{wanted.type}")
    if wanted.type in discovery._offers():
        return api(wanted.type)
    raise DeviceError(f"Device '{wanted.type}' does not have a corresponding module registered as "
                      f"'torch.{wanted.type}'; `python -m flambeau devices` lists what backends serve")


_MODULES = ("cpu", *_FIRST)
