"""Samplers: the order in which a loader asks for samples.

The draws are PyTorch's, one for one, so that the same seed gives the same order: a `RandomSampler` without a
generator takes one 64-bit seed from the global stream when its iteration begins and shuffles with a generator of its
own, which keeps the global stream independent of the dataset's length.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import flambeau
from flambeau.dtypes import float64, int64
from flambeau.random import Generator

T_co = TypeVar("T_co", covariant=True)

_REPLACEMENT_BLOCK = 32  # PyTorch draws with replacement in blocks of this size


def draw_seed(generator: Generator | None) -> int:
    """One non-negative 63-bit number from `generator` (None: the global stream).

    >>> import flambeau as torch
    >>> 0 <= draw_seed(torch.Generator().manual_seed(0)) < 2**63
    True
    """
    return int(flambeau.empty((), dtype=int64).random_(generator=generator).item())


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


class Sampler(Generic[T_co]):
    """Base of samplers: override `__iter__`, which yields indices, and `__len__`.

    >>> from flambeau.utils.data import DataLoader, Sampler
    >>> class Backwards(Sampler):
    ...     def __init__(self, data):
    ...         self.data = data
    ...     def __iter__(self):
    ...         return iter(range(len(self.data) - 1, -1, -1))
    >>> [x.item() for x in DataLoader([10, 20, 30], sampler=Backwards([10, 20, 30]))]
    [30, 20, 10]
    """

    def __init__(self, data_source: Sized | None = None) -> None:
        # Takes and ignores a dataset: older programs call super().__init__(data_source).
        pass

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__}.__iter__ is missing; a sampler must define it")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... in order.

    >>> from flambeau.utils.data import SequentialSampler
    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Every sample once in random order, or `num_samples` draws.

    With `replacement` each draw is independent; without it, more draws than samples go through several permutations.

    >>> import flambeau as torch
    >>> from flambeau.utils.data import RandomSampler
    >>> sorted(RandomSampler("abc", generator=torch.Generator().manual_seed(1)))
    [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        self._spare: list[Generator] = []
        _check_count("num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices one iteration yields; follows the dataset's length unless it was given."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        if self.generator is not None:
            yield from self._draw(self.generator)
            return
        # One of its own for each iteration that is under way; making a generator costs more than a small epoch.
        generator = self._spare.pop() if self._spare else Generator()
        yield from self._draw(generator.manual_seed(draw_seed(None)))
        self._spare.append(generator)

    def _draw(self, generator: Generator) -> Iterator[int]:
        count = len(self.data_source)
        rounds, rest = divmod(self.num_samples, _REPLACEMENT_BLOCK if self.replacement else count)
        if self.replacement:
            for size in itertools.chain(itertools.repeat(_REPLACEMENT_BLOCK, rounds), [rest]):
                yield from flambeau.randint(high=count, size=(size,), generator=generator).tolist()
        else:
            for _ in range(rounds):
                yield from flambeau.randperm(count, generator=generator).tolist()
            # Drawn even when nothing is left over, as PyTorch does: the generator's state is part of the result.
            yield from flambeau.randperm(count, generator=generator).tolist()[:rest]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order.

    >>> from flambeau.utils.data import SubsetRandomSampler
    >>> sorted(SubsetRandomSampler([5, 7, 9]))
    [5, 7, 9]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in flambeau.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, drawn with the given weights (which need not add up to 1).

    >>> from flambeau.utils.data import WeightedRandomSampler
    >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], 3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        _check_count("num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = flambeau.as_tensor(weights, dtype=float64)
        if self.weights.ndim != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = flambeau.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler; `drop_last` leaves out a shorter last one.

    >>> from flambeau.utils.data import BatchSampler
    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        _check_count("batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while len(batch := list(itertools.islice(indices, self.batch_size))) == self.batch_size:
            yield batch
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]  # an unsized sampler has no number of batches
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
