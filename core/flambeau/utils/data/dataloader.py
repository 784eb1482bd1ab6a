"""DataLoader: batches from a dataset, in this process or from worker processes.

Everything random happens in this process, in PyTorch's order: starting an iteration draws the base seed from the
loader's generator (None: the global stream) whether workers exist or not, and the sampler draws when it is first
asked. So the batches, and whatever the program draws afterwards, do not depend on the number of workers.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flambeau.ops.pinning import accelerator
from flambeau.random import Generator
from flambeau.utils.data.collate import default_collate, default_convert
from flambeau.utils.data.dataset import IterableDataset
from flambeau.utils.data.fetch import make_fetch
from flambeau.utils.data.info import get_worker_info
from flambeau.utils.data.pinning import pin_memory
from flambeau.utils.data.position import Position
from flambeau.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed

if TYPE_CHECKING:
    from flambeau.utils.data.resuming import Progress
    from flambeau.utils.data.workers import WorkerIterator

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T_co = TypeVar("T_co", covariant=True)

_FIXED = frozenset({"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"})


class _DatasetKind:
    """The two kinds of datasets, as PyTorch numbers them."""

    Map = 0
    Iterable = 1


class DataLoader(Generic[T_co]):
    """Iterate over a dataset in batches.

    Args:
        dataset: a map-style dataset (`__getitem__`, `__len__`) or an `IterableDataset`.
        batch_size: samples per batch; None hands out single samples.
        shuffle: a new random order in every epoch.
        sampler, batch_sampler: any iterable of indices, or of lists of indices, in place of `shuffle`, or of
            everything that shapes a batch.
        num_workers: processes that load ahead; 0 loads here, when a batch is asked for.
        collate_fn: joins a list of samples to a batch (`default_collate`).
        pin_memory: hand batches out in page-locked memory, from which `.to(device, non_blocking=True)` does not wait.
            Where there is no accelerator nothing changes, with a warning. `pin_memory_device` is accepted.
        drop_last: leave out a last batch that is not full.
        timeout: seconds to wait for a worker's batch; 0 waits as long as the worker lives.
        worker_init_fn: called with the worker's number in each worker, after seeding.
        multiprocessing_context: start method (or context) for the workers; the platform's default otherwise.
        generator: the random stream for shuffling and for the workers' seeds; None is the global one.
        prefetch_factor: batches loaded ahead by each worker (2).
        persistent_workers: keep the workers from one epoch to the next.
        in_order: hand batches out in the sampler's order; False hands them out as they arrive.

    Options that exclude each other are a ValueError. An exception in a worker is raised here with the worker's
    traceback; a worker that dies is a RuntimeError. Worker seeds are base seed + worker number.

    >>> import flambeau as torch
    >>> from flambeau.utils.data import DataLoader, TensorDataset
    >>> data = TensorDataset(torch.arange(5), torch.arange(5) * 10)
    >>> for x, y in DataLoader(data, batch_size=2):
    ...     print(x.tolist(), y.tolist())
    [0, 1] [0, 10]
    [2, 3] [20, 30]
    [4] [40]
    """

    snapshot_every_n_steps = 1  # how often a worker sends the state of its stream along; see StatefulDataLoader

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        _check_batching(dataset, batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset = dataset
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self.multiprocessing_context = multiprocessing_context
        self._set_sampling(batch_size, bool(shuffle), sampler, batch_sampler, drop_last)
        self.collate_fn = collate_fn or (default_convert if self.batch_sampler is None else default_collate)
        self._kept: WorkerIterator | None = None
        self._progress: Progress | None = None
        self._resume: dict[str, Any] | None = None
        self._reported_length: int | None = None
        self._ready = True
        _warn_many_workers(num_workers)

    def _set_sampling(
        self,
        batch_size: int | None,
        shuffle: bool,
        sampler: Iterable[Any] | None,
        batch_sampler: Iterable[Any] | None,
        drop_last: bool,
    ) -> None:
        if sampler is None:
            sampler = self._default_sampler(shuffle)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler

    def _default_sampler(self, shuffle: bool) -> Iterable[Any]:
        if isinstance(self.dataset, IterableDataset):
            # A stream has no indices: it is asked for "the next" until it ends, whatever length it reports.
            return itertools.repeat(None)
        return RandomSampler(self.dataset, generator=self.generator) if shuffle else SequentialSampler(self.dataset)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and getattr(self, "_ready", False):
            raise ValueError(
                f"{name} attribute should not be set after DataLoader is initialized; make a new DataLoader"
            )
        if name == "multiprocessing_context" and value is not None:
            value = _checked_context(value, self.num_workers)
        super().__setattr__(name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _dataset_kind(self) -> int:
        return _DatasetKind.Iterable if isinstance(self.dataset, IterableDataset) else _DatasetKind.Map

    @property
    def _index_sampler(self) -> Iterable[Any]:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        resume, self._resume = self._resume, None
        if self.num_workers == 0:
            return _LocalIterator(self, resume)
        from flambeau.utils.data.workers import WorkerIterator

        if not self.persistent_workers:
            return WorkerIterator(self, resume)
        if self._kept is None or self._kept.closed or resume is not None:
            self._kept = WorkerIterator(self, resume)
        else:
            self._kept.restart()
        return self._kept

    def __len__(self) -> int:
        if not isinstance(self.dataset, IterableDataset):
            return len(self._index_sampler)  # type: ignore[arg-type]  # TypeError for an unsized sampler
        length = self._reported_length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """Where the latest iteration is, as plain data that `torch.save` writes and `torch.load` reads safely.

        The state holds the place in the sampler's order, what the workers' random streams and the dataset's own state
        (if it has a `state_dict`) were after the batch handed out last, and the random stream that the next epochs
        draw from: the loader's `generator` or, without one, the global stream.

        >>> import flambeau as torch
        >>> from flambeau.utils.data import DataLoader
        >>> loader = DataLoader(range(5), batch_size=2)
        >>> first = next(iter(loader))
        >>> again = DataLoader(range(5), batch_size=2)
        >>> again.load_state_dict(loader.state_dict())
        >>> [batch.tolist() for batch in again]
        [[2, 3], [4]]
        """
        from flambeau.utils.data import resuming

        return resuming.state_of_loader(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next iteration go on where the loader was whose `state_dict()` this is.

        It yields the remaining batches, and the epochs after it are those of the run that was not interrupted. The
        loader must be built as that one was. Without a `generator`, the global random stream is put back to what it
        was when the state was saved; a program that keeps `torch.get_rng_state()` too sets it after this call.

        Raises ValueError for what is no such state, RuntimeError (here or when the iteration begins) where the
        dataset, the sampler or the number of workers do not fit it.
        """
        from flambeau.utils.data import resuming

        self._resume = resuming.load_into_loader(self, state_dict)

    def __getstate__(self) -> dict[str, Any]:
        # An iteration stays in its process: a copy of the loader starts with its first batch.
        return {**self.__dict__, "_kept": None, "_progress": None}


class LoaderIterator(Iterator[Any]):
    """What both kinds of iteration share: the base seed, the sampler's position and the count of batches."""

    def __init__(self, loader: DataLoader[Any], resume: dict[str, Any] | None) -> None:
        self._loader = loader
        self._base_seed: int = -1
        self._begin(resume)
        self._pins = bool(loader.pin_memory) and _can_pin()

    def _begin(self, resume: dict[str, Any] | None) -> None:
        """Begin an epoch, or go on in one; the first draws its seed after the sampler's iteration has begun."""
        from flambeau.utils.data.resuming import Progress

        loader = self._loader
        epoch = resume and resume.get("epoch")
        position = Position(loader, epoch and epoch["sampler"])
        if resume is not None and "base_seed" in resume:
            self._base_seed = resume["base_seed"]
        elif self._base_seed < 0:
            self._base_seed = draw_seed(loader.generator)
        self._progress = loader._progress = Progress(position, self._base_seed, resume)

    def __len__(self) -> int:
        return len(self._loader._index_sampler)  # type: ignore[arg-type]

    def __getstate__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled; pickle the DataLoader instead")

    def _hand_out(self, batch: Any) -> Any:
        """Count a batch, and give it as the program wants it."""
        self._count()
        return pin_memory(batch) if self._pins else batch

    def _count(self) -> None:
        """Count a batch, and say so once when a stream turns out longer than it reported."""
        self._progress.count()
        reported = self._loader._reported_length
        if reported is not None and self._progress.yielded > reported:
            warnings.warn(
                f"Length of IterableDataset {self._loader.dataset} was reported to be {reported}, but "
                f"{self._progress.yielded} samples have been fetched. With worker processes, each iterates a copy of "
                "its own: share the data out with get_worker_info()",
                stacklevel=4,
            )


class _LocalIterator(LoaderIterator):
    """Loads in this process, a batch when it is asked for."""

    def __init__(self, loader: DataLoader[Any], resume: dict[str, Any] | None) -> None:
        super().__init__(loader, resume)
        epoch = resume and resume.get("epoch")
        self._fetch = make_fetch(loader.dataset, loader.batch_sampler is not None, loader.collate_fn, loader.drop_last,
                                 epoch and epoch.get("fetch"))
        self._progress.fetch = self._fetch

    def __next__(self) -> Any:
        try:
            batch = self._fetch(next(self._progress.position))
        except StopIteration:
            self._progress.finished = True
            raise
        return self._hand_out(batch)


# The names that programs know these by.
_BaseDataLoaderIter = LoaderIterator
_SingleProcessDataLoaderIter = _LocalIterator


def __getattr__(name: str) -> Any:
    if name == "_MultiProcessingDataLoaderIter":
        from flambeau.utils.data.workers import WorkerIterator

        return WorkerIterator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _can_pin() -> bool:
    """Whether there is an accelerator that page-locked memory is for; a warning where there is none."""
    if accelerator() is not None:
        return True
    warnings.warn("'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't "
                  "be used; leave it out", UserWarning, stacklevel=5)
    return False


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool) -> None:
    if num_workers < 0:
        raise ValueError(
            f"num_workers option should be non-negative, got {num_workers}; use num_workers=0 to load in this process"
        )
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative, got {timeout}")
    if num_workers == 0:
        if prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing; let num_workers > 0 to enable "
                "it, otherwise set prefetch_factor to None"
            )
        if persistent_workers:
            raise ValueError("persistent_workers option needs num_workers > 0")
    elif prefetch_factor is not None and prefetch_factor < 1:
        raise ValueError(f"prefetch_factor option should be positive, got {prefetch_factor}")


def _check_batching(
    dataset: Any,
    batch_size: int | None,
    shuffle: bool | None,
    sampler: Iterable[Any] | None,
    batch_sampler: Iterable[Any] | None,
    drop_last: bool,
) -> None:
    if isinstance(dataset, IterableDataset):
        for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
            if value is not None:
                raise ValueError(
                    f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}; "
                    "a stream decides its own order"
                )
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
    if batch_size is None and batch_sampler is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")


def _checked_context(value: Any, num_workers: int) -> Any:
    import multiprocessing
    from multiprocessing.context import BaseContext

    if num_workers == 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
            f"num_workers={num_workers}"
        )
    if isinstance(value, str):
        allowed = multiprocessing.get_all_start_methods()
        if value not in allowed:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {allowed!r}, but got "
                f"multiprocessing_context={value!r}"
            )
        return multiprocessing.get_context(value)
    if not isinstance(value, BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start "
            f"method, but got multiprocessing_context={value}"
        )
    return value


def _warn_many_workers(num_workers: int) -> None:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_workers > usable:
        warnings.warn(
            f"This DataLoader will create {num_workers} worker processes in total, but this process may use only "
            f"{usable} processors; more workers than that make loading slower, not faster",
            stacklevel=3,
        )
