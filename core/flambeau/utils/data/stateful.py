"""`StatefulDataLoader`: torchdata's name for a loader that can be stopped in the middle of an epoch and resumed.

Every `DataLoader` here can do that. This class has torchdata's one additional argument, so that programs
written for it run.
"""

from __future__ import annotations

from typing import Any, TypeVar

from flambeau.utils.data.dataloader import DataLoader

__all__ = ["StatefulDataLoader"]

T_co = TypeVar("T_co", covariant=True)


class StatefulDataLoader(DataLoader[T_co]):
    """A `DataLoader` with `state_dict()` and `load_state_dict()`.

    `snapshot_every_n_steps` says how often a worker sends along what its stream's `state_dict` returns, which may be
    large; in between, a resumed worker reads the few samples since then once more. All else is `DataLoader`'s.

    >>> import flambeau as torch
    >>> from flambeau.utils.data import StatefulDataLoader
    >>> def loader():
    ...     return StatefulDataLoader(range(8), batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(5))
    >>> whole = [batch.tolist() for batch in loader()]
    >>> first = loader()
    >>> for number, batch in enumerate(first, start=1):
    ...     if number == 2:
    ...         break
    >>> resumed = loader()
    >>> resumed.load_state_dict(first.state_dict())
    >>> [batch.tolist() for batch in resumed] == whole[2:]
    True
    """

    def __init__(self, *args: Any, snapshot_every_n_steps: int | None = 1, **kwargs: Any) -> None:
        if snapshot_every_n_steps is not None and snapshot_every_n_steps < 1:
            raise ValueError(f"snapshot_every_n_steps should be a positive number of batches or None, got "
                             f"{snapshot_every_n_steps}")
        self.snapshot_every_n_steps = snapshot_every_n_steps or 1
        super().__init__(*args, **kwargs)
