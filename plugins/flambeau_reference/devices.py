"""Fake devices: the reference device, each with one thing that real hardware does or does not do.

A program, or the library itself, that runs on all of them makes no assumption that a new accelerator would break.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import flambeau.dtypes as fd
from flambeau.errors import FlambeauError, message
from flambeau_reference.backend import ReferenceBackend


class SingleBackend(ReferenceBackend):
    """No double precision, as on many graphics processors."""

    name: ClassVar[str] = "reference_single"
    capabilities = replace(ReferenceBackend.capabilities,
                           storage_dtypes=frozenset(fd.ALL) - {fd.float64, fd.complex128})


class SmallBackend(ReferenceBackend):
    """Few dtypes, as on a device for inference."""

    name: ClassVar[str] = "reference_small"
    capabilities = replace(ReferenceBackend.capabilities, emulated={}, autocast_dtype="float32",
                           storage_dtypes=frozenset({fd.float32, fd.int64, fd.int32, fd.uint8, fd.bool_}))


class TinyBackend(ReferenceBackend):
    """Four MiB of memory."""

    name: ClassVar[str] = "reference_tiny"
    memory: ClassVar[int] = 4 << 20


class AsynchronousError(FlambeauError, RuntimeError):
    """What a kernel found wrong with its data after its call had returned."""


class AsynchronousIndexError(AsynchronousError, IndexError):
    """The same of an index that was out of range, for programs that catch that."""


class AsynchronousBackend(ReferenceBackend):
    """Kernels return before they have looked at their data; what is wrong with it is told at the next synchronization.

    The device works on after an error: whatever was computed from the bad result is undefined, all else is not.
    """

    name: ClassVar[str] = "reference_async"
    capabilities = replace(ReferenceBackend.capabilities, asynchronous=True)

    def __init__(self) -> None:
        super().__init__()
        self.late = [[] for _ in range(self.devices)]

    def synchronize(self, index: int) -> None:
        super().synchronize(index)
        errors = self.late[index].copy()
        if errors:
            self.late[index].clear()
            kernel, error = errors[0]
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            kind = AsynchronousIndexError if isinstance(error, IndexError) else AsynchronousError
            raise kind(message(
                kernel, f"failed on device '{self.name}:{index}' after its call had returned{more}", given=str(error),
                next_step="this line only waited; synchronize after each call to find the one")) from error

