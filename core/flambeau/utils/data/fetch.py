"""Fetching one batch: the step that runs in this process or in a worker, and knows nothing of either."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from flambeau.utils.data.collate import default_collate
from flambeau.utils.data.dataset import IterableDataset, fetch_samples

Fetch = Callable[[Any], Any]
"""From what the sampler gave (an index, or a list of them) to the finished batch; StopIteration ends a stream."""


def make_fetch(dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> Fetch:
    """The fetch function for this kind of dataset; for an iterable one it begins its iteration.

    >>> make_fetch("flambeau", True, "".join, False)([0, 2, 3])
    'fam'
    """
    if isinstance(dataset, IterableDataset):
        return _stream_fetch(dataset, batched, collate_fn, drop_last)
    if not batched:
        return lambda index: collate_fn(dataset[index])
    whole = getattr(dataset, "__getbatch__", None) if collate_fn is default_collate else None

    def fetch(indices: Any) -> Any:
        # Whole-batch indexing is only promised for plain ints: a sampler may yield slices, tensors or keys.
        if whole is not None and type(indices) is list and set(map(type, indices)) == {int}:
            batch = whole(indices)
            if batch is not NotImplemented:
                return batch
        return collate_fn(fetch_samples(dataset, indices))

    return fetch


def _stream_fetch(dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> Fetch:
    stream = iter(dataset)
    ended = False

    def fetch(slots: Any) -> Any:
        nonlocal ended
        if ended:
            raise StopIteration
        if not batched:
            return collate_fn(next(stream))
        samples = list(itertools.islice(stream, len(slots)))
        ended = len(samples) < len(slots)
        if not samples or (drop_last and ended):
            raise StopIteration
        return collate_fn(samples)

    return fetch
