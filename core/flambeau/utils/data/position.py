"""Where an epoch is in the sampler's order, and how to get back there.

A sampler is a plain iterable that draws random numbers when it pleases, so its place is found again by repeating:
the random streams are put back to what they were when its iteration began, and the batches already seen are drawn
once more (indices only, which costs next to nothing). A sampler that has a `state_dict` of its own is asked instead.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import flambeau
from flambeau.utils.data import streams
from flambeau.utils.data.distributed import DistributedSampler
from flambeau.utils.data.fetch import is_stateful, state_of
from flambeau.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

if TYPE_CHECKING:
    from flambeau.utils.data.dataloader import DataLoader

State = dict[str, Any]
_SEQUENTIAL = {SequentialSampler, itertools.repeat, BatchSampler}
_OURS = {*_SEQUENTIAL, RandomSampler, SubsetRandomSampler, WeightedRandomSampler, DistributedSampler}
_MISSING = object()


def samplers_of(loader: DataLoader[Any]) -> list[Any]:
    """What decides the order of a loader's samples: its batch sampler, if it has one, and the sampler within."""
    outer = loader._index_sampler
    inner = getattr(outer, "sampler", None)
    return [outer] if inner is None else [outer, inner]


def stateful_sampler(loader: DataLoader[Any]) -> Any:
    """The sampler that can say itself where it is; None where the place is found by repeating."""
    return next((each for each in samplers_of(loader) if is_stateful(each)), None)


def generators_of(loader: DataLoader[Any]) -> list[Any]:
    """The generators that a loader and its samplers were given, each once."""
    owners = (loader, *samplers_of(loader))
    found = {id(each): each for each in (getattr(owner, "generator", None) for owner in owners) if each is not None}
    return list(found.values())


def generator_states(generators: list[Any]) -> list[bytes]:
    """The state of each generator.

    >>> generator_states([])
    []
    """
    return [streams.from_tensor(each.get_state()) for each in generators]


def set_generators(generators: list[Any], states: list[bytes]) -> None:
    """Let the generators go on from states that `generator_states` gave."""
    if len(generators) != len(states):
        raise RuntimeError(f"DataLoader.load_state_dict: the state is of a loader with {len(states)} generators, this "
                           f"one has {len(generators)}; build the loader as it was when the state was saved")
    for each, state in zip(generators, states, strict=True):
        each.set_state(streams.to_tensor(state))


def uses_global_stream(loader: DataLoader[Any]) -> bool:
    """Whether an epoch of this loader draws from the global random stream."""
    return any(getattr(owner, "generator", _MISSING) is None for owner in (loader, *samplers_of(loader)))


class Position:
    """The sampler's iteration in one epoch: gives the batches' indices, and can say where it is."""

    def __init__(self, loader: DataLoader[Any], state: State | None = None) -> None:
        self._sampler: Any = loader._index_sampler
        self._generators = generators_of(loader)
        kinds = {type(each) for each in samplers_of(loader)}
        self._draws = not kinds <= _SEQUENTIAL
        self._is_ours = kinds <= _OURS
        self._is_global = uses_global_stream(loader)
        self._owner: Any = stateful_sampler(loader)
        self._ahead: deque[tuple[int, Any]] = deque()   # the sampler's own states, after each number of batches
        self._taken = 0
        self._drawn_ahead: list[Any] = []
        self._begin: State | None = None
        self._first: State | None = None   # what the sampler may draw from when it is first asked for indices
        self._started = False
        if state is None:
            # Our own samplers draw nothing before they are asked for the first index.
            self._begin = None if self._is_ours else self._random()
            self._iterator: Iterator[Any] = iter(self._sampler)
        elif "own" in state:
            self._load_own(state)
        else:
            self._repeat(state)
        self._note()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._drawn_ahead:
            return self._drawn_ahead.pop()
        if not self._started:
            self._started, self._first = True, self._random()
        indices = next(self._iterator)
        self._taken += 1
        self._note()
        return indices

    def state(self, taken: int) -> State:
        """What a new `Position` needs to go on after the first `taken` batches."""
        self.forget(taken)
        if self._ahead and self._ahead[0][0] == taken:
            return {"taken": taken, "own": self._ahead[0][1]}
        return {"taken": taken, "begin": self._begin, "started": self._started,
                "first": self._first if self._started else self._random()}

    def _random(self) -> State | None:
        """Everything that the sampler may draw from, as it is now; None where it draws nothing."""
        if not self._draws or self._owner is not None:
            return None
        if self._is_ours:  # and from this library's generators only
            ours = streams.from_tensor(flambeau.get_rng_state()) if self._is_global else b""
            return {"global": ours, "generators": generator_states(self._generators)}
        return {"streams": streams.capture(), "generators": generator_states(self._generators)}

    def _set_random(self, state: State | None) -> None:
        if state is None:
            return
        if "streams" in state:
            streams.restore(state["streams"])
        elif state["global"]:
            flambeau.set_rng_state(streams.to_tensor(state["global"]))
        set_generators(self._generators, state["generators"])

    def _note(self) -> None:
        owner = self._owner if self._owner is not None else self._iterator
        if is_stateful(owner):
            self._ahead.append((self._taken, state_of(owner)))

    def forget(self, taken: int) -> None:
        """Nobody will ask for a state before `taken` batches any more."""
        while self._ahead and self._ahead[0][0] < taken:
            self._ahead.popleft()

    def _load_own(self, state: State) -> None:
        self._taken = state["taken"]
        if self._owner is not None:
            self._owner.load_state_dict(state["own"])
        self._iterator = iter(self._sampler)
        if self._owner is None:
            self._iterator.load_state_dict(state["own"])  # type: ignore[attr-defined]

    def _repeat(self, state: State) -> None:
        """Draw what was drawn before; the process's streams go on as they are, the loader's generators from there."""
        self._begin, taken = state["begin"], state["taken"]
        now = streams.capture() if self._draws else None
        self._set_random(self._begin)
        self._iterator = iter(self._sampler)
        self._set_random(state["first"])
        if state["started"]:
            self._started, self._first = True, state["first"]
            passed = sum(1 for _ in itertools.islice(self._iterator, taken))
            if passed < taken:
                raise RuntimeError(f"DataLoader: the sampler gave {passed} batches, and the saved state says that "
                                   f"{taken} had been taken; build the loader with the dataset and the sampler that "
                                   "it had when the state was saved")
            # What a sampler draws with its first batch was drawn before the state was saved, even if that batch was
            # not handed out yet.
            self._drawn_ahead = [] if taken else list(itertools.islice(self._iterator, 1))
            self._taken = taken + len(self._drawn_ahead)
        if now is not None:
            streams.restore(now)
