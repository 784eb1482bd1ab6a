"""Collation: from a list of samples to one batch.

Samples may be nested tuples, dicts and named tuples; the leaves are stacked and the structure is kept. Which function
joins which kind of leaf stands in `default_collate_fn_map`, which a program may extend, as in PyTorch. Arrays of other
libraries are known by `__array_interface__`, so that no array library needs to be imported here.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from functools import cache
from typing import Any

import flambeau
from flambeau.dtypes import float64
from flambeau.tensor import Tensor

CollateMap = Mapping[Any, Callable[..., Any]]

_UNCONVERTIBLE = "SUO"  # array kinds without a tensor: byte strings, text, Python objects


@cache
def _array_library() -> tuple[Any, Callable[[Sequence[Any]], Any]]:
    """The type of the arrays that `Tensor.numpy()` gives, and the function of their library that stacks them."""
    kind = type(flambeau.empty(0).numpy())
    stack: Callable[[Sequence[Any]], Any] = importlib.import_module(kind.__module__.partition(".")[0]).stack
    return kind, stack


def _is_array(value: Any) -> bool:
    # PIL images have the interface too, but are no arrays: they have no dtype.
    named = hasattr(value, "__array_interface__") and hasattr(value, "dtype")
    return named and not isinstance(value, (str, bytes, Tensor))


def _rebuild(sample: Any, items: dict[Any, Any] | list[Any]) -> Any:
    """`items` in a container like `sample`; a plain dict or list where its type cannot be built or copied."""
    try:
        if isinstance(sample, MutableMapping):
            # A copy keeps what a mapping type carries beside its items, such as a default factory.
            clone = copy.copy(sample)
            clone.update(items)
            return clone
        if isinstance(sample, MutableSequence):
            twin = copy.copy(sample)
            for i, item in enumerate(items):
                twin[i] = item
            return twin
        return type(sample)(items)
    except TypeError:
        return items


def default_convert(data: Any) -> Any:
    """Turn the arrays in one sample into tensors; numbers, text and unknown objects stay as they are.

    This is what a loader does with a sample when automatic batching is off. Tuples become lists.

    >>> from flambeau.utils.data import default_convert
    >>> default_convert({"size": 3, "names": ("a", "b")})
    {'size': 3, 'names': ['a', 'b']}
    """
    if isinstance(data, Tensor):
        return data
    if _is_array(data):
        return data if data.dtype.kind in _UNCONVERTIBLE else flambeau.as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuild(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple):
        items = [default_convert(item) for item in data]
        return type(data)(*items) if hasattr(data, "_fields") else items
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _rebuild(data, [default_convert(item) for item in data])
    return data


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Join samples by the functions in `collate_fn_map`, keeping the structure of the first sample.

    Each function is called as `function(leaves, collate_fn_map=collate_fn_map)`.

    Raises RuntimeError where sequences differ in length and TypeError for a leaf of unknown type.

    >>> collate([(1, "a"), (2, "b")], collate_fn_map={int: lambda xs, **_: sum(xs), str: lambda xs, **_: "".join(xs)})
    [3, 'ab']
    """
    sample = batch[0]
    table = collate_fn_map or {}
    join = table.get(type(sample))
    if join is None and _is_array(sample):
        join = collate_numpy_array_fn
    if join is None:
        join = next((function for kind, function in table.items() if isinstance(sample, kind)), None)
    if join is not None:
        return join(batch, collate_fn_map=collate_fn_map)
    if isinstance(sample, Mapping):
        joined = {key: collate([item[key] for item in batch], collate_fn_map=collate_fn_map) for key in sample}
        return _rebuild(sample, joined)
    if isinstance(sample, Sequence):
        return _collate_sequences(batch, collate_fn_map)
    raise _unknown(type(sample))


def _unknown(kind: Any) -> TypeError:
    return TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {kind}; "
        "give the DataLoader a collate_fn that can join them"
    )


def _collate_sequences(batch: Sequence[Any], table: CollateMap | None) -> Any:
    sample = batch[0]
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*(collate(column, collate_fn_map=table) for column in zip(*batch, strict=True)))
    sizes = {len(item) for item in batch}
    if len(sizes) != 1:
        raise RuntimeError(
            f"default_collate: each element in list of batch should be of equal size; found the sizes {sorted(sizes)}"
        )
    joined = [collate(column, collate_fn_map=table) for column in zip(*batch, strict=True)]
    return joined if isinstance(sample, tuple) else _rebuild(sample, joined)


def collate_tensor_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    return flambeau.stack(list(batch), 0)


def collate_numpy_array_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    dtype = batch[0].dtype
    if dtype.kind in _UNCONVERTIBLE:
        raise _unknown(dtype)
    kind, stack = _array_library()
    first = batch[0]
    if all(type(array) is kind and array.dtype == first.dtype and array.shape == first.shape for array in batch):
        return flambeau.from_numpy(stack(batch))  # several times as quick as a tensor of each
    return flambeau.stack([flambeau.as_tensor(array) for array in batch], 0)


def collate_float_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    return flambeau.as_tensor(batch, dtype=float64)


def collate_int_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    return flambeau.as_tensor(batch)


def collate_str_fn(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    return batch


default_collate_fn_map: dict[Any, Callable[..., Any]] = {
    Tensor: collate_tensor_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch: Sequence[Any]) -> Any:
    """Join samples into a batch: tensors, arrays and numbers are stacked along a new first dimension.

    Floats become float64 and ints int64 tensors; strings stay a list; dicts, lists and named tuples keep their type,
    plain tuples become lists. An unknown type is a TypeError.

    >>> from flambeau.utils.data import default_collate
    >>> default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ('a', 'b')]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
