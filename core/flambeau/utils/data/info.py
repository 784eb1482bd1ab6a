"""What a worker process knows about itself.

It stands apart from `workers` so that a dataset can ask `get_worker_info()` without multiprocessing being imported.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class WorkerInfo(NamedTuple):
    """One worker process of a `DataLoader`, as seen from inside it.

    `id` counts from 0 to `num_workers - 1`; `seed` is the loader's base seed plus `id`; `dataset` is this process's
    own copy, so changing it here changes nothing elsewhere.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_current: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Say which worker process this is; None in the process that runs the program.

    An iterable dataset uses it to give every worker its own part of the data.

    >>> from flambeau.utils.data import get_worker_info
    >>> get_worker_info() is None
    True
    """
    return _current


def set_worker_info(info: WorkerInfo) -> None:
    """Called once, by a worker process when it starts."""
    global _current
    _current = info
