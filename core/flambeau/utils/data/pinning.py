"""Batches in page-locked memory: `DataLoader(pin_memory=True)`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

from flambeau.tensor import Tensor


def pin_memory(data: Any, device: Any = None) -> Any:
    """What a batch holds, with its tensors in page-locked memory: tensors in mappings and sequences, and whatever has a
    method `pin_memory`. Text, and anything else, stays what it is.

    >>> import flambeau as torch
    >>> from flambeau.utils.data.pinning import pin_memory
    >>> pin_memory({"name": "a", "number": 3})
    {'name': 'a', 'number': 3}
    """
    if isinstance(data, Tensor) or hasattr(data, "pin_memory"):
        return data.pin_memory()
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        return _mapping(data)
    if isinstance(data, tuple):
        found = [pin_memory(each) for each in data]
        return type(data)(*found) if hasattr(data, "_fields") else found   # a list, as in PyTorch
    if isinstance(data, Sequence):
        return _sequence(data)
    return data


def _mapping(data: Mapping[Any, Any]) -> Any:
    found = {key: pin_memory(value) for key, value in data.items()}
    if isinstance(data, MutableMapping):
        result = copy.copy(data)   # which keeps what else the type holds
        result.update(found)
        return result
    try:
        return type(data)(found)  # type: ignore[call-arg]  # as most mappings are made
    except TypeError:
        return found


def _sequence(data: Sequence[Any]) -> Any:
    found = [pin_memory(each) for each in data]
    if isinstance(data, MutableSequence):
        result = copy.copy(data)
        for index, each in enumerate(found):
            result[index] = each
        return result
    try:
        return type(data)(found)  # type: ignore[call-arg]
    except TypeError:
        return found
