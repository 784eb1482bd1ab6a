"""Memory in the namespace of a device type: what is counted of it, as numbers and as a table, and how it is given back.

All numbers are the backend's (`Backend.memory_stats`). What it does not count is 0 here, and not in the table.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

from flambeau import discovery
from flambeau.device import device as device_type
from flambeau.errors import ArgumentValueError, DeviceError, UnsupportedError, message

# PyTorch's names of what backends count.
_STATS = {"allocated": "allocated_bytes.all.current", "peak": "allocated_bytes.all.peak",
          "reserved": "reserved_bytes.all.current", "reserved_peak": "reserved_bytes.all.peak"}
_MORE = {"allocated": "active_bytes.all.current", "peak": "active_bytes.all.peak",
         "allocations": "allocation.all.allocated", "driver_allocations": "segment.all.allocated",
         "retries": "num_alloc_retries", "out_of_memory": "num_ooms"}
_ROWS = (("Allocated memory", "allocated", "peak"), ("Active memory", "allocated", "peak"),
         ("Reserved memory", "reserved", "reserved_peak"), ("Cached memory", "cached", ""))
_COUNTS = (("Allocations so far", "allocations"), ("of them by the driver", "driver_allocations"),
           ("Retries with an empty cache", "retries"), ("Out of memory", "out_of_memory"))


class Devices(ModuleType):
    """What all parts of a namespace ask: which device an argument means."""

    _name: str

    def is_available(self) -> bool:
        """Whether a device of this type can be used right now."""
        return discovery.is_available(self._name)

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


class Memory(Devices):
    """The functions about memory."""

    _fractions: dict[int, float]

    def memory_stats(self, device: Any = None) -> dict[str, int]:
        """What the backend counts of its memory, under PyTorch's names; empty where nothing is counted.

        Bytes are "allocated_bytes.all.current" and ".peak", and the same of "active_bytes" and "reserved_bytes"; counts
        are "num_alloc_retries" and "num_ooms". What else a backend counts has the name that it gives.
        """
        said = self._counts(device)
        found = {public: said[name] for names in (_STATS, _MORE) for name, public in names.items() if name in said}
        return found | {name: value for name, value in said.items() if name not in _STATS}

    def memory_stats_as_nested_dict(self, device: Any = None) -> dict[str, Any]:
        """`memory_stats` with a dictionary for each part of a name."""
        result: dict[str, Any] = {}
        for name, value in self.memory_stats(device).items():
            *path, last = name.split(".")
            inner = result
            for each in path:
                inner = inner.setdefault(each, {})
            inner[last] = value
        return result

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

    def memory_cached(self, device: Any = None) -> int:
        """The old name of `memory_reserved`. FutureWarning."""
        self._renamed("memory_cached", "memory_reserved")
        return self.memory_reserved(device)

    def max_memory_cached(self, device: Any = None) -> int:
        """The old name of `max_memory_reserved`. FutureWarning."""
        self._renamed("max_memory_cached", "max_memory_reserved")
        return self.max_memory_reserved(device)

    def _renamed(self, old: str, new: str) -> None:
        warnings.warn(f"{self._name}.{old} has another name now: {new}", FutureWarning, stacklevel=3)

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """(free, total) bytes of a device, as far as its backend knows."""
        index = self._index(device)
        said, total = self._counts(index), discovery.backend_for(self._name).properties(index).total_memory
        return said.get("free", max(total - said.get("reserved", 0), 0)), total

    def device_memory_used(self, device: Any = None) -> int:
        """Bytes of a device that are in use, as far as its backend knows."""
        free, total = self.mem_get_info(device)
        return total - free

    def memory_usage(self, device: Any = None) -> int:
        """How busy a device's memory is, in percent. NotImplementedError: backends do not tell."""
        return self._untold("memory_usage", device)

    def _untold(self, what: str, device: Any) -> int:
        where = self._device(device)
        raise UnsupportedError(message(f"{self._name}.{what}", "the device's backend does not tell", given=str(where),
                                       next_step="the monitor that comes with the device's driver shows it"))

    def memory_summary(self, device: Any = None, abbreviated: bool = False) -> str:
        """What is counted of a device's memory, as a table; with `abbreviated`, without the counts of events."""
        if not self.is_available():
            return f"no device of type {self._name!r}: no memory"
        where = self._device(device)
        said = self._counts(where)
        properties = discovery.backend_for(self._name).properties(where.index or 0)
        free = self.mem_get_info(where)[0]
        rows = [(label, _size(said[now]), _size(said[peak]) if peak in said else "")
                for label, now, peak in _ROWS if now in said]
        if not abbreviated:
            rows += [(label, str(said[name]), "") for label, name in _COUNTS if name in said]
        return _table(f"Memory of {where}, {properties.name}",
                      f"{_size(free)} free of {_size(properties.total_memory)}", rows)

    def set_per_process_memory_fraction(self, fraction: float, device: Any = None) -> None:
        """Let allocations beyond a part of the device's memory fail. NotImplementedError where the backend cannot."""
        if not isinstance(fraction, float) or not 0 <= fraction <= 1:
            raise ArgumentValueError(message("set_per_process_memory_fraction", "no fraction", given=repr(fraction),
                                             allowed="a float from 0 to 1"))
        index = self._index(device)
        backend = discovery.backend_for(self._name)
        backend.limit_memory(index, int(backend.properties(index).total_memory * fraction))
        self._fractions[index] = fraction

    def get_per_process_memory_fraction(self, device: Any = None) -> float:
        """What `set_per_process_memory_fraction` was told of a device; 1.0 at first."""
        return self._fractions.get(self._index(device), 1.0)

    def empty_cache(self) -> None:
        """Give cached memory back to the driver, where the backend holds any."""
        if self._name in discovery._backends and self.is_available():
            discovery.backend_for(self._name).empty_cache()

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        """Start the peaks anew from what is in use."""
        index = self._index(device)
        discovery.backend_for(self._name).reset_peak_memory_stats(index)

    def reset_max_memory_allocated(self, device: Any = None) -> None:
        """`reset_peak_memory_stats` by an old name. FutureWarning."""
        self._renamed("reset_max_memory_allocated", "reset_peak_memory_stats, which resets all peaks")
        self.reset_peak_memory_stats(device)

    def reset_max_memory_cached(self, device: Any = None) -> None:
        """`reset_peak_memory_stats` by an old name. FutureWarning."""
        self._renamed("reset_max_memory_cached", "reset_peak_memory_stats, which resets all peaks")
        self.reset_peak_memory_stats(device)

    def reset_accumulated_memory_stats(self, device: Any = None) -> None:
        """Start accumulated counts anew: backends count from the start on."""
        self._index(device)

    def get_allocator_backend(self) -> str:
        """How PyTorch calls an allocator of the library's own: "native"."""
        return "native"

    def ipc_collect(self) -> None:
        """Nothing to do: memory is not shared between processes."""


def _size(count: int) -> str:
    """Bytes for people."""
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB"))
    unit = next(units)
    for larger in units:
        if abs(size) < 10240:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}"


def _table(title: str, under: str, rows: list[tuple[str, str, str]]) -> str:
    """Three columns in a frame."""
    lines = [f" {label:<28} | {now:>12} | {peak:>12} " for label, now, peak in (("Metric", "Current", "Peak"), *rows)]
    width = max(len(lines[0]), len(title) + 2, len(under) + 2)
    thick, thin = "=" * width, "-" * width
    body = [thick, title.center(width), under.center(width), thin, lines[0], thin, *lines[1:], thick]
    return "\n".join(f"|{line:<{width}}|" for line in body) + "\n"
