"""Where loaded storages go: what `map_location` means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flambeau.device import device
from flambeau.errors import ArgumentTypeError
from flambeau.serialization.options import default_restore_location
from flambeau.serialization.storage import UntypedStorage

Place = Callable[[UntypedStorage, str], UntypedStorage]


def placing(map_location: Any) -> Place:
    """The function that puts a storage, read to the host, where it belongs; its second argument is the saved place."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, str | device):
        return lambda storage, location: default_restore_location(storage, str(map_location))
    if isinstance(map_location, Mapping):
        return lambda storage, location: default_restore_location(storage, str(map_location.get(location, location)))
    if not callable(map_location):
        raise ArgumentTypeError(f"load: map_location must be a device, its name, a mapping of names, a function or "
                                f"None, not {type(map_location).__name__}")

    def place(storage: UntypedStorage, location: str) -> UntypedStorage:
        chosen = map_location(storage, location)
        if chosen is None:
            return default_restore_location(storage, location)
        if isinstance(chosen, UntypedStorage):
            return chosen
        raise ArgumentTypeError("load: a map_location function must return the storage that it was given, one made "
                                f"from it with cpu(), cuda() or to(device), or None, not {type(chosen).__name__}")
    return place
