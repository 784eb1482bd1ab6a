"""A sampler for training on several processes: each gets its own part of every epoch.

The parts are made alike everywhere from the seed and the epoch's number alone, so that the processes need not talk.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from typing import Any, TypeVar

import flambeau
from flambeau.random import Generator
from flambeau.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]

T_co = TypeVar("T_co", covariant=True)


def _from_group(function: str, argument: str) -> int:
    """What the process group says, where there is one."""
    try:
        group: Any = importlib.import_module("flambeau.distributed")
    except ModuleNotFoundError as error:
        if error.name != "flambeau.distributed":
            raise
        raise RuntimeError(
            "DistributedSampler: Requires distributed package to be available, or a process group, to find out "
            f"{argument}; without one, give it: DistributedSampler(dataset, num_replicas=..., rank=...)"
        ) from None
    return int(getattr(group, function)())


class DistributedSampler(Sampler[T_co]):
    """The indices of one of `num_replicas` processes: every `num_replicas`-th of the epoch's order.

    Args:
        dataset: anything with a length.
        num_replicas, rank: how many processes there are and which this is; without them the process group is asked.
        shuffle: a random order, made from `seed` and the epoch's number, the same in all processes.
        drop_last: leave out what does not divide evenly; otherwise the first indices are given once more.

    Call `set_epoch` before each epoch; without it, every epoch has the same order.

    Raises ValueError for a rank that does not exist, RuntimeError without a process group to ask.

    >>> from flambeau.utils.data import DistributedSampler
    >>> [list(DistributedSampler(range(5), num_replicas=2, rank=rank, shuffle=False)) for rank in (0, 1)]
    [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(self, dataset: Any, num_replicas: int | None = None, rank: int | None = None, shuffle: bool = True,
                 seed: int = 0, drop_last: bool = False) -> None:
        if num_replicas is None:
            num_replicas = _from_group("get_world_size", "num_replicas")
        if rank is None:
            rank = _from_group("get_rank", "rank")
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        count = len(dataset)
        self.num_samples = count // num_replicas if drop_last else math.ceil(count / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self) -> Iterator[Any]:
        count = len(self.dataset)
        if self.shuffle:
            generator = Generator()
            generator.manual_seed(self.seed + self.epoch)
            order = flambeau.randperm(count, generator=generator).tolist()
        else:
            order = list(range(count))
        while 0 < len(order) < self.total_size:  # again from the start, as often as it takes
            order += order[: self.total_size - len(order)]
        mine: list[int] = order[: self.total_size][self.rank :: self.num_replicas]
        if len(mine) != self.num_samples:
            raise AssertionError(f"DistributedSampler: found {len(mine)} indices, expected {self.num_samples}: the "
                                 "dataset's length has changed; make a new sampler")
        return iter(mine)

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; each has an order of its own, the same in all processes.

        >>> from flambeau.utils.data import DistributedSampler
        >>> sampler = DistributedSampler(range(4), num_replicas=1, rank=0)
        >>> first = list(sampler)
        >>> sampler.set_epoch(1)
        >>> first == list(sampler)
        False
        """
        self.epoch = epoch
