"""Datasets: what one sample is, and how many there are.

A map-style dataset answers `dataset[i]` and `len(dataset)`; an iterable one only `iter(dataset)`. Two optional
methods make batches cheaper. `__getitems__(indices)`, which PyTorch has too, returns a list of samples. A dataset
whose samples lie in tensors can go further with `__getbatch__(indices)`: it returns what the default collation would
have made of the samples, in one indexing call per tensor, or NotImplemented where it cannot promise the same result.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import flambeau
from flambeau.random import Generator
from flambeau.tensor import Tensor

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Dataset(Generic[T_co]):
    """Base of map-style datasets: override `__getitem__` and, so that it can be shuffled, `__len__`.

    >>> from flambeau.utils.data import Dataset
    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index**2
    >>> Squares()[3]
    9
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(
            f"{type(self).__name__}.__getitem__ is missing; a map-style dataset must define it "
            "(derive from IterableDataset for data that can only be iterated)"
        )

    def __add__(self, other: Dataset[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Base of datasets that can only be iterated: streams, files too big to index, generators.

    With worker processes every worker iterates a copy of its own; use `get_worker_info()` to share the data out.

    >>> from flambeau.utils.data import DataLoader, IterableDataset
    >>> class Countdown(IterableDataset):
    ...     def __iter__(self):
    ...         return iter([3, 2, 1])
    >>> [batch.tolist() for batch in DataLoader(Countdown(), batch_size=2)]
    [[3, 2], [1]]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}.__iter__ is missing; an IterableDataset must define it")

    def __add__(self, other: Dataset[Any]) -> ChainDataset[Any]:  # type: ignore[override]  # a stream is chained
        return ChainDataset([self, other])


def is_plain(dataset: Any, owner: type) -> bool:
    """Whether `dataset` indexes exactly as `owner` does: no subclass gave `__getitem__` or `__getitems__` anew.

    >>> from flambeau.utils.data import Dataset
    >>> is_plain(Dataset(), Dataset)
    True
    """
    names = ("__getitem__", "__getitems__")
    return all(getattr(type(dataset), name, None) is getattr(owner, name, None) for name in names)


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Tensors that belong together row by row: sample `i` is the tuple of every tensor's row `i`.

    All tensors must have the same size of the first dimension.

    >>> import flambeau as torch
    >>> from flambeau.utils.data import TensorDataset
    >>> data = TensorDataset(torch.arange(6).reshape(3, 2), torch.tensor([0, 1, 0]))
    >>> data[1]
    (tensor([2, 3]), tensor(1))
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise IndexError("TensorDataset: no tensor given; give at least one")
        sizes = [tensor.size(0) for tensor in tensors]
        if len(set(sizes)) != 1:
            # PyTorch raises AssertionError here, and ported tests look for it.
            raise AssertionError(
                f"TensorDataset: Size mismatch between tensors; the first dimensions are {sizes}, they must be equal"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getbatch__(self, indices: list[int]) -> Any:
        if not is_plain(self, TensorDataset):
            return NotImplemented
        return take(self.tensors, indices)

    def __len__(self) -> int:
        return int(self.tensors[0].size(0))


def take(tensors: Iterable[Tensor], indices: list[int]) -> list[Tensor]:
    """Rows `indices` of every tensor, as new tensors: stacking the rows one by one gives the same.

    >>> import flambeau as torch
    >>> take([torch.tensor([10, 20, 30])], [2, 0])
    [tensor([30, 10])]
    """
    first, count = indices[0], len(indices)
    # Consecutive rows (no shuffling): a copied slice is several times quicker than picking rows. It must be a copy,
    # for the batch may be changed in place. A slice stops quietly at the end, where an index must not.
    consecutive = first >= 0 and indices == list(range(first, first + count))
    if consecutive and all(first + count <= len(tensor) for tensor in tensors):
        return [tensor[first : first + count].clone() for tensor in tensors]
    index = flambeau.as_tensor(indices)
    return [tensor[index] for tensor in tensors]


class StackDataset(Dataset[Any]):
    """Datasets of equal length side by side: sample `i` is the tuple (or dict) of every dataset's sample `i`.

    >>> from flambeau.utils.data import StackDataset
    >>> StackDataset([10, 20], ["a", "b"])[1]
    (20, 'b')
    >>> StackDataset(image=[10, 20], text=["a", "b"])[0]
    {'image': 10, 'text': 'a'}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError(
                "StackDataset: give datasets either by position (samples are tuples) or by name (samples are "
                f"dicts), and at least one; got {len(args)} by position and {len(kwargs)} by name"
            )
        self.datasets: Any = args or kwargs
        lengths = [len(dataset) for dataset in (args or kwargs.values())]
        if len(set(lengths)) != 1:
            raise ValueError(f"StackDataset: Size mismatch between datasets; their lengths are {lengths}")
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        named = isinstance(self.datasets, dict)
        columns = [fetch_samples(d, indices) for d in (self.datasets.values() if named else self.datasets)]
        for column in columns:
            if len(column) != len(indices):
                raise ValueError(
                    f"StackDataset: Nested dataset's output size mismatch. Expected {len(indices)}, got {len(column)}"
                )
        rows = zip(*columns, strict=True)
        return [dict(zip(self.datasets, row, strict=True)) for row in rows] if named else list(rows)

    def __len__(self) -> int:
        return self._length


def fetch_samples(dataset: Any, indices: list[int]) -> list[Any]:
    """The samples at `indices`, through `__getitems__` where the dataset has it.

    >>> fetch_samples("flambeau", [0, 3])
    ['f', 'm']
    """
    many = getattr(dataset, "__getitems__", None)
    samples: list[Any] = many(indices) if callable(many) else [dataset[index] for index in indices]
    return samples


class ConcatDataset(Dataset[T_co]):
    """Datasets one after the other: indices run through the first, then the second, and so on.

    >>> from flambeau.utils.data import ConcatDataset
    >>> both = ConcatDataset([[1, 2, 3], [4, 5]])
    >>> len(both), both[3], both[-1]
    (5, 4, 5)
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("ConcatDataset: datasets should not be an empty iterable; give at least one")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset; use ChainDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T_co:
        if index < 0:
            if -index > len(self):
                raise ValueError(
                    f"ConcatDataset: absolute value of index should not exceed dataset length; "
                    f"got {index} of {len(self)} samples"
                )
            index += len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        if which == len(self.datasets):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} samples")
        start = self.cumulative_sizes[which - 1] if which else 0
        sample: T_co = self.datasets[which][index - start]
        return sample


class ChainDataset(IterableDataset[T_co]):
    """Iterable datasets one after the other.

    >>> from flambeau.utils.data import ChainDataset, IterableDataset
    >>> class Letters(IterableDataset):
    ...     def __init__(self, text):
    ...         self.text = text
    ...     def __iter__(self):
    ...         return iter(self.text)
    >>> "".join(ChainDataset([Letters("flam"), Letters("beau")]))
    'flambeau'
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def _checked(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError(
                    f"ChainDataset only supports IterableDataset, got {type(dataset).__name__}; use ConcatDataset"
                )
            yield dataset

    def __iter__(self) -> Iterator[T_co]:
        return itertools.chain.from_iterable(self._checked())

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self._checked())


class Subset(Dataset[T_co]):
    """The samples of `dataset` at `indices`, in that order.

    >>> from flambeau.utils.data import Subset
    >>> list(Subset("flambeau", [0, 3, 4]))
    ['f', 'm', 'b']
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        kind = type(self)
        if kind.__getitem__ is not Subset.__getitem__ and kind.__getitems__ is Subset.__getitems__:
            # The loader asks __getitems__ first: an overridden __getitem__ alone would silently be passed over.
            raise NotImplementedError(
                f"{kind.__name__} overrides __getitem__ but not __getitems__, which the DataLoader prefers; "
                "add `def __getitems__(self, indices): return [self[i] for i in indices]`"
            )
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        inner = [self.indices[i] for i in index] if isinstance(index, list) else self.indices[index]
        sample: T_co = self.dataset[inner]
        return sample

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        return fetch_samples(self.dataset, [self.indices[i] for i in indices])

    def __getbatch__(self, indices: list[int]) -> Any:
        whole = getattr(self.dataset, "__getbatch__", None)
        if whole is None or not is_plain(self, Subset):
            return NotImplemented
        mapped = [self.indices[i] for i in indices]
        return whole(mapped) if set(map(type, mapped)) == {int} else NotImplemented

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset[Any]]:
    """Split a dataset at random into parts that do not overlap.

    `lengths` are sizes that add up to `len(dataset)`, or fractions that add up to 1 (what rounding leaves over goes
    to the parts in turn). The permutation is `randperm(len(dataset), generator=generator)`, as in PyTorch.

    >>> import flambeau as torch
    >>> from flambeau.utils.data import random_split
    >>> train, test = random_split(range(10), [0.7, 0.3], generator=torch.Generator().manual_seed(42))
    >>> len(train), len(test), sorted([*train, *test])
    (7, 3, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    total = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        sizes = _sizes_from_fractions(lengths, total)
    else:
        sizes = list(lengths)  # type: ignore[arg-type]  # whole numbers, or the check below refuses them
    if sum(sizes) != total:
        raise ValueError(
            f"random_split: Sum of input lengths does not equal the length of the input dataset! "
            f"The lengths {list(lengths)} add up to {sum(sizes)}, the dataset has {total} samples"
        )
    order = flambeau.randperm(total, generator=generator).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def _sizes_from_fractions(fractions: Sequence[float], total: int) -> list[int]:
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"random_split: Fraction at index {i} is not between 0 and 1, got {fraction}")
    sizes = [math.floor(total * fraction) for fraction in fractions]
    for i in range(total - sum(sizes)):
        sizes[i % len(sizes)] += 1
    for i, size in enumerate(sizes):
        if size == 0:
            warnings.warn(f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=3)
    return sizes
