"""Loaders that are stopped in the middle of an epoch and resumed: the rest of the epoch, and the epochs after it."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy
import pytest

import flambeau
from flambeau.utils import data
from flambeau.utils.data import streams


class Noisy(data.Dataset):  # type: ignore[type-arg]
    """Draws from every global stream for each sample, as augmentation does."""

    def __init__(self, count: int = 14) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return index, flambeau.rand(1), random.random(), float(numpy.random.rand())


class Shared(data.IterableDataset):  # type: ignore[type-arg]
    """A stream that its workers share out; it has no state of its own."""

    def __init__(self, count: int = 17) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        info = data.get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        for value in range(first, self.count, step):
            yield value, (random.random() if info else 0.0)


class Counting(Shared):
    """The same with a state: it never goes over samples that it has passed."""

    def __init__(self, count: int = 17) -> None:
        super().__init__(count)
        self.next = 0
        self.passes = 0

    def __iter__(self) -> Iterator[Any]:
        info = data.get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        while first + self.next * step < self.count:
            self.next += 1
            yield first + (self.next - 1) * step, self.passes
        self.next = 0
        self.passes += 1

    def state_dict(self) -> dict[str, int]:
        return {"next": self.next, "passes": self.passes}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.next, self.passes = state["next"], state["passes"]


class Restless(data.Sampler[int]):
    """Draws its order when its iteration begins, from Python's stream."""

    def __init__(self, count: int = 14) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        return iter(random.sample(range(self.count), self.count))

    def __len__(self) -> int:
        return self.count


class Remembering(data.Sampler[int]):
    """A sampler with a state of its own, different in each pass."""

    def __init__(self, count: int = 14) -> None:
        self.count, self.passed, self.at = count, 0, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        while self.at < self.count:
            self.at += 1
            yield (self.at * 5 + self.passed) % self.count
        self.at = 0
        self.passed += 1

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at, "passed": self.passed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at, self.passed = state["at"], state["passed"]


def generator() -> Any:
    return flambeau.Generator().manual_seed(5)


RECIPES: dict[str, Any] = {
    "tensors": lambda: (data.TensorDataset(flambeau.arange(14)), {"shuffle": True}),
    "in order": lambda: (list(range(14)), {}),
    "drop_last": lambda: (list(range(14)), {"shuffle": True, "drop_last": True}),
    "generator": lambda: (list(range(14)), {"shuffle": True, "generator": generator()}),
    "sampler's generator": lambda: (list(range(14)), {"sampler": data.RandomSampler(range(14), generator=generator())}),
    "loader's generator": lambda: (list(range(14)), {
        "sampler": data.RandomSampler(range(14)), "generator": generator()}),
    "replacement": lambda: (list(range(14)), {"sampler": data.RandomSampler(
        range(14), replacement=True, num_samples=70, generator=generator())}),
    "weights": lambda: (list(range(3)), {"sampler": data.WeightedRandomSampler([1.0, 2.0, 3.0], 14)}),
    "subset": lambda: (list(range(14)), {"sampler": data.SubsetRandomSampler(range(2, 12))}),
    "batch sampler": lambda: (list(range(14)), {"batch_sampler": data.BatchSampler(Restless(), 3, False)}),
    "sampler with a state": lambda: (list(range(14)), {"sampler": Remembering()}),
    "distributed": lambda: (list(range(14)), {"sampler": data.DistributedSampler(range(14), 2, 1)}),
    "single samples": lambda: (list(range(14)), {"batch_size": None, "shuffle": True}),
    "noisy": lambda: (Noisy(), {"shuffle": True}),
    "stream": lambda: (Shared(), {}),
    "stream with a state": lambda: (Counting(), {}),
    "out of order": lambda: (list(range(14)), {"shuffle": True, "in_order": False}),
    "every 2": lambda: (Counting(), {"snapshot_every_n_steps": 2}),
}


def build(name: str, workers: int, **more: Any) -> Any:
    dataset, options = RECIPES[name]()
    if "batch_sampler" not in options:
        options.setdefault("batch_size", 3)
    if workers == 0:
        options.pop("in_order", None)
    return data.StatefulDataLoader(dataset, num_workers=workers, **options, **more)


def plain(batches: Any) -> list[str]:
    return [repr(batch) for batch in batches]


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    flambeau.save(state, file)
    file.seek(0)
    return flambeau.load(file, weights_only=True)


def scramble() -> None:
    """Another process: nothing of this one's random streams is left."""
    flambeau.manual_seed(99)
    random.seed(99)
    numpy.random.seed(99)


def check(name: str, workers: int, stop: int, leave: bool, **more: Any) -> None:
    flambeau.manual_seed(3)
    random.seed(3)
    numpy.random.seed(3)
    start = streams.capture()
    loader = build(name, workers, **more)
    first, second = plain(loader), plain(loader)
    streams.restore(start)
    loader = build(name, workers, **more)
    head, state = [], None
    for number, batch in enumerate(loader, start=1):
        head.append(repr(batch))
        if number == stop:
            state, now = loader.state_dict(), streams.capture()
            if leave:
                break
    if state is None or leave:
        state, now = loader.state_dict(), streams.capture()
    state = through_a_file(state)
    scramble()
    resumed = build(name, workers, **more)
    streams.restore(now)  # as programs do with what they keep of the streams
    resumed.load_state_dict(state)
    tail = plain(resumed)
    if name == "out of order" and workers:
        assert sorted(head[:stop] + tail) == sorted(first), (name, workers, stop)
        return
    seen = head[:stop] if stop <= len(first) else []
    assert seen + tail == (first if stop <= len(first) else second), (name, workers, stop)
    if stop <= len(first):
        assert plain(resumed) == second, (name, workers, stop)


@pytest.mark.parametrize("name", RECIPES)
def test_the_rest_and_the_next_epoch_are_those_of_the_unbroken_run(name: str) -> None:
    for stop, leave in itertools.product((1, 3), (True, False)):
        check(name, 0, stop, leave)
    check(name, 0, 1000, False)  # asked for between two epochs
    check(name, 2, 3, True)


@pytest.mark.parametrize("name", ["noisy", "stream", "stream with a state", "tensors"])
def test_with_workers_at_every_batch(name: str) -> None:
    for stop in (1, 2, 4, 5):
        check(name, 2, stop, stop % 2 == 0)
    check(name, 1, 2, True)
    check(name, 2, 1000, False)


@pytest.mark.parametrize("name", ["noisy", "stream with a state"])
def test_persistent_workers(name: str) -> None:
    for stop in (2, 1000):
        check(name, 2, stop, stop == 2, persistent_workers=True)


def test_before_the_first_batch_and_before_the_first_iteration() -> None:
    for workers in (0, 2):
        flambeau.manual_seed(1)
        loader = build("tensors", workers)
        state = loader.state_dict()
        whole = plain(loader)
        again = build("tensors", workers)
        again.load_state_dict(state)
        assert again.state_dict() == state
        assert plain(again) == whole
        flambeau.manual_seed(1)
        loader = build("tensors", workers)
        iterator = iter(loader)
        state = loader.state_dict()
        del iterator
        again = build("tensors", workers)
        again.load_state_dict(state)
        assert plain(again) == whole


def test_the_programs_own_draws_do_not_matter() -> None:
    def run(steps: int, state: Any = None, stream: Any = None) -> Any:
        loader = data.DataLoader(list(range(12)), batch_size=2, shuffle=True)
        if state is not None:
            loader.load_state_dict(state)
            flambeau.set_rng_state(stream)
        seen = []
        for _epoch in range(2):
            for batch in loader:
                seen.append((batch.tolist(), flambeau.rand(1).item()))
                if len(seen) == steps:
                    return seen, loader.state_dict(), flambeau.get_rng_state()
        return seen

    flambeau.manual_seed(8)
    whole = run(1000)
    flambeau.manual_seed(8)
    head, state, stream = run(4)
    scramble()
    assert head + run(1000, state, stream) == whole


def test_another_number_of_workers() -> None:
    flambeau.manual_seed(2)
    loader = build("generator", 2)
    whole = plain(build("generator", 0))
    for _, _ in zip(range(2), loader, strict=False):
        pass
    state = loader.state_dict()
    consumed = state["epoch"]["sampler"]["taken"]
    for workers in (0, 1):
        other = build("generator", workers)
        other.load_state_dict(state)
        assert plain(other) == whole[consumed:]
    loader = build("stream", 2)
    next(iter(loader))
    with pytest.raises(RuntimeError, match="num_workers=2"):
        build("stream", 0).load_state_dict(loader.state_dict())


def test_what_does_not_fit_is_refused() -> None:
    loader = data.DataLoader([1, 2, 3], shuffle=True)
    for wrong in ({}, {"format": 2}, None, {"step": 3}):
        with pytest.raises(ValueError, match="state_dict"):
            loader.load_state_dict(wrong)
    for _ in loader:
        break
    smaller = data.DataLoader([1], shuffle=True)
    state = loader.state_dict()
    state["epoch"]["sampler"]["taken"] = 2
    smaller.load_state_dict(state)
    with pytest.raises(RuntimeError, match="2 had been taken"):
        iter(smaller)
    with pytest.raises(RuntimeError, match="generators"):
        data.DataLoader([1, 2, 3], shuffle=True, generator=generator()).load_state_dict(loader.state_dict())
    with pytest.raises(ValueError, match="snapshot_every_n_steps"):
        data.StatefulDataLoader([1], snapshot_every_n_steps=0)


def test_a_loader_with_a_past_can_be_copied() -> None:
    import copy

    loader = data.DataLoader(list(range(4)), batch_size=2)
    next(iter(loader))
    assert plain(copy.deepcopy(loader)) == plain(loader)
