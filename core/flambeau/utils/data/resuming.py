"""A loader's state: what it takes to go on with the next batch in another process, and to draw the same epochs after.

Plain data only (dicts, lists, numbers, bytes, and whatever a dataset's or sampler's own `state_dict` holds), so that
a checkpoint with it can be loaded with the allow-list alone. Nothing is recorded while a program does not ask, except
what cannot be found out later: how far each worker's random streams had come when its batch was made.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import flambeau
from flambeau.utils.data import streams
from flambeau.utils.data.dataset import IterableDataset
from flambeau.utils.data.fetch import Fetch, is_stateful, state_of
from flambeau.utils.data.position import (
    Position,
    generator_states,
    generators_of,
    set_generators,
    stateful_sampler,
    uses_global_stream,
)

if TYPE_CHECKING:
    from flambeau.utils.data.dataloader import DataLoader

State = dict[str, Any]
FORMAT = 1


class Progress:
    """How far an iteration has come. It outlives its iterator, for programs ask after they left the loop."""

    def __init__(self, position: Position, base_seed: int, resume: State | None) -> None:
        epoch: State = (resume or {}).get("epoch") or {}
        self.position = position
        self.base_seed = base_seed
        self.yielded = 0
        self.finished = False
        self.fetch: Fetch | None = None   # of an iteration in this process
        self.workers: list[State] = []    # of workers: what each was like after its last batch that was handed out
        self.active: list[bool] = []
        self.turn = 0
        self.taken: int = epoch["sampler"]["taken"] if epoch else 0
        self.beyond = set(epoch.get("beyond", ()))   # numbers of batches that were handed out before their turn

    def count(self) -> None:
        """A batch was handed out that was made in this process."""
        self.yielded += 1
        if self.fetch is not None:
            self.finish(self.taken)

    def finish(self, number: int) -> None:
        """The batch with this number was handed out, or turned out to be none."""
        self.beyond.add(number)
        while self.taken in self.beyond:
            self.beyond.remove(self.taken)
            self.taken += 1
        self.position.forget(self.taken)

    def state(self) -> State:
        """The part of the loader's state that belongs to this epoch."""
        state: State = {"sampler": self.position.state(self.taken), "beyond": sorted(self.beyond)}
        if self.fetch is not None:
            return {**state, "fetch": self.fetch.place()}
        return {**state, "workers": copy.deepcopy(self.workers), "active": list(self.active), "turn": self.turn}


def state_of_loader(loader: DataLoader[Any]) -> State:
    """What the public `state_dict` returns."""
    if loader._resume is not None:  # loaded, and not yet iterated
        return copy.deepcopy(loader._resume)
    state: State = {
        "format": FORMAT, "num_workers": loader.num_workers, "epoch": None,
        "generators": generator_states(generators_of(loader)),
        "global": streams.from_tensor(flambeau.get_rng_state()) if uses_global_stream(loader) else None}
    progress = loader._progress
    if progress is not None and not progress.finished:
        return {**state, "base_seed": progress.base_seed, "epoch": progress.state()}
    owner = stateful_sampler(loader)
    if owner is not None:
        state["sampler"] = state_of(owner)
    if loader.num_workers == 0 and is_stateful(loader.dataset):
        state["dataset"] = state_of(loader.dataset)
    if progress is not None and loader._kept is not None and not loader._kept.closed:
        state["base_seed"] = progress.base_seed
        state["workers"] = [between_epochs(worker) for worker in progress.workers]
    return state


def between_epochs(worker: State) -> State:
    """What is left of a worker's state when its epoch ends: its random streams and its dataset."""
    kept = {"dataset": worker["fetch"]["dataset"]} if "dataset" in worker.get("fetch", {}) else {}
    return copy.deepcopy({**{name: worker[name] for name in ("streams",) if name in worker}, "fetch": kept})


def load_into_loader(loader: DataLoader[Any], state: Any) -> State:
    """What the public `load_state_dict` does; returns what the next iteration needs."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"DataLoader.load_state_dict: expected what state_dict() of a loader returned, got "
                         f"{type(state).__name__}{_shown_keys(state)}")
    state = copy.deepcopy(state)
    if loader.num_workers != state["num_workers"]:
        _change_workers(loader, state)
    set_generators(generators_of(loader), state["generators"])
    if state["global"] is not None and uses_global_stream(loader):
        flambeau.set_rng_state(streams.to_tensor(state["global"]))
    for name, owner in (("sampler", stateful_sampler(loader)), ("dataset", loader.dataset)):
        if name in state:
            if not is_stateful(owner):
                raise RuntimeError(f"DataLoader.load_state_dict: the state has one of the {name}'s own, and this "
                                   f"loader's {name} has no load_state_dict; build the loader as it was")
            owner.load_state_dict(state[name])
    return state


def _change_workers(loader: DataLoader[Any], state: State) -> None:
    """Go on with another number of workers, which only makes no difference where samples are asked for by index."""
    epoch = state["epoch"]
    own = epoch is not None and any(each.get("fetch") for each in (*epoch.get("workers", ()), epoch))
    if own or (isinstance(loader.dataset, IterableDataset) and epoch is not None):
        raise RuntimeError(f"DataLoader.load_state_dict: the state was saved in the middle of an epoch with "
                           f"num_workers={state['num_workers']}, each with a part of the data, and this loader has "
                           f"num_workers={loader.num_workers}; give it as many")
    state["num_workers"] = loader.num_workers
    state.pop("workers", None)
    if epoch is not None:
        state["epoch"] = {"sampler": epoch["sampler"], "beyond": epoch["beyond"]}


def _shown_keys(state: Any) -> str:
    return f" with the keys {list(state)[:8]}" if isinstance(state, dict) else ""
