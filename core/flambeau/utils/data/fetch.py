"""Fetching one batch: the step that runs in this process or in a worker, and knows nothing of either.

A fetch can say where it is, in plain data, so that a run that was interrupted goes on with the very next batch. For a
map-style dataset the place is the sampler's; a stream either tells its own (`state_dict`), or is iterated again up to
where it was.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from flambeau.utils.data.collate import default_collate
from flambeau.utils.data.dataset import IterableDataset, fetch_samples

Place = dict[str, Any]


def is_stateful(value: Any) -> bool:
    """Whether an object can say where it is and be put there again.

    >>> is_stateful([1, 2])
    False
    """
    return callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))


def state_of(value: Any) -> Any:
    """A stateful object's state as it is now: a copy, for the object may go on changing what it returned."""
    return copy.deepcopy(value.state_dict())


class MapFetch:
    """Fetches from a dataset with indices: called with an index, or a list of them, it gives the finished batch."""

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], place: Place | None) -> None:
        self._dataset = dataset
        self._batched = batched
        self._collate = collate_fn
        self._whole = getattr(dataset, "__getbatch__", None) if collate_fn is default_collate else None
        self.ran_user_code = False   # the dataset's or the collation's, which may have drawn random numbers
        if place is not None and "dataset" in place:
            dataset.load_state_dict(place["dataset"])

    def __call__(self, indices: Any) -> Any:
        if not self._batched:
            self.ran_user_code = True
            return self._collate(self._dataset[indices])
        # Whole-batch indexing is only promised for plain ints: a sampler may yield slices, tensors or keys.
        if self._whole is not None and type(indices) is list and set(map(type, indices)) == {int}:
            batch = self._whole(indices)
            if batch is not NotImplemented:
                return batch
        self.ran_user_code = True
        return self._collate(fetch_samples(self._dataset, indices))

    def place(self) -> Place:
        """Where the dataset is, if it says."""
        return {"dataset": state_of(self._dataset)} if is_stateful(self._dataset) else {}


class StreamFetch:
    """Fetches from a stream: called with an index, or a list of them, it takes as many samples as that has.

    StopIteration ends it. The stream's iteration begins here; with a `place`, it goes on there.
    """

    ran_user_code = True

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool,
                 place: Place | None) -> None:
        self._dataset = dataset
        self._batched = batched
        self._collate = collate_fn
        self._drop_last = drop_last
        self._samples = 0
        self._ended = False
        if place is not None and "dataset" in place:
            dataset.load_state_dict(place["dataset"])
        self._stream: Iterator[Any] = iter(dataset)
        if place is not None and "samples" in place:  # else a new pass of a dataset that was put somewhere
            self._go_to(place)

    def _go_to(self, place: Place) -> None:
        self._ended = place["ended"]
        self._samples = place["samples"]
        if "iterator" in place:
            self._stream.load_state_dict(place["iterator"])  # type: ignore[attr-defined]
        skipped = self._samples - place.get("samples_at_state", 0)
        passed = sum(1 for _ in itertools.islice(self._stream, skipped))
        if passed < skipped:
            raise RuntimeError(f"DataLoader: the stream ended after {passed} samples, and the saved state says that "
                               f"{skipped} had been taken; give the loader the dataset that the state was saved with")

    def __call__(self, slots: Any) -> Any:
        if self._ended:
            raise StopIteration
        if not self._batched:
            sample = next(self._stream)
            self._samples += 1
            return self._collate(sample)
        samples = list(itertools.islice(self._stream, len(slots)))
        self._samples += len(samples)
        self._ended = len(samples) < len(slots)
        if not samples or (self._drop_last and self._ended):
            raise StopIteration
        return self._collate(samples)

    def place(self) -> Place:
        """Where the stream is: how many samples were taken, and what the dataset or its iterator say themselves."""
        found = {name: state_of(value) for name, value in (("dataset", self._dataset), ("iterator", self._stream))
                 if is_stateful(value)}
        if found:
            found["samples_at_state"] = self._samples
        return self.progress() | found

    def progress(self) -> Place:
        """How far the stream has been read since its last `place`."""
        return {"samples": self._samples, "ended": self._ended}


Fetch = MapFetch | StreamFetch


def make_fetch(dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool,
               place: Place | None = None) -> Fetch:
    """The fetch for this kind of dataset; for an iterable one it begins its iteration, or goes on at `place`.

    >>> make_fetch("flambeau", True, "".join, False)([0, 2, 3])
    'fam'
    """
    if isinstance(dataset, IterableDataset):
        return StreamFetch(dataset, batched, collate_fn, drop_last, place)
    return MapFetch(dataset, batched, collate_fn, place)
