"""utils.data: the batches, their order and the random stream are PyTorch's; workers never outlive their program."""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau.utils import data
from flambeau.utils.data import fetch, transport, workers
from flambeau.utils.data.dataset import take

Pair = collections.namedtuple("Pair", "left right")


def oracle() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is the oracle")


def plain(value: Any) -> Any:
    """Tensors as (dtype, nested lists), containers kept: comparable between the two libraries."""
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return str(value.dtype).rpartition(".")[2], value.tolist()
    if isinstance(value, dict):
        return type(value), {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(item) for item in value]
    return value


def both(program: Any) -> tuple[Any, Any]:
    """`program(torch)` here and with PyTorch, from the same seed, each with a draw from the global stream after it."""
    results = []
    for module in (flambeau, oracle()):
        if module is not flambeau:
            import torch.utils.data  # noqa: F401
        module.manual_seed(7)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how many workers fit this machine is not the subject
            result = plain(program(module))
        results.append((result, module.rand(3).tolist()))
    return results[0], results[1]


# ------------------------------------------------------------------------------------- the order, value by value


@pytest.mark.parametrize("workers_", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_two_epochs_equal_pytorch(workers_: int, shuffle: bool, own_generator: bool, drop_last: bool) -> None:
    def program(torch: Any) -> Any:
        d = torch.utils.data
        dataset = d.TensorDataset(torch.arange(46.0).reshape(23, 2), torch.arange(23))
        loader = d.DataLoader(
            dataset, batch_size=4, shuffle=shuffle, num_workers=workers_, drop_last=drop_last,
            generator=torch.Generator().manual_seed(3) if own_generator else None,
        )  # fmt: skip
        return [list(loader) for _ in range(2)]

    ours, theirs = both(program)
    assert ours == theirs


@pytest.mark.parametrize(
    "make",
    [
        lambda torch, d: d.RandomSampler(range(50)),
        lambda torch, d: d.RandomSampler(range(50), num_samples=120),
        lambda torch, d: d.RandomSampler(range(50), num_samples=100),
        lambda torch, d: d.RandomSampler(range(50), replacement=True),
        lambda torch, d: d.RandomSampler(range(50), replacement=True, num_samples=64),
        lambda torch, d: d.RandomSampler(range(50), generator=torch.Generator().manual_seed(11)),
        lambda torch, d: d.SubsetRandomSampler(list(range(0, 60, 3))),
        lambda torch, d: d.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 40),
        lambda torch, d: d.WeightedRandomSampler([0.9, 0.4, 0.05, 0.2, 0.3, 0.1], 5, replacement=False),
        lambda torch, d: d.BatchSampler(d.RandomSampler(range(11)), 4, True),
        lambda torch, d: [len(part) for part in d.random_split(range(31), [0.5, 0.25, 0.25])],
        lambda torch, d: [list(part) for part in d.random_split(range(31), [20, 11])],
    ],
)
def test_draws_equal_pytorch(make: Any) -> None:
    ours, theirs = both(lambda torch: [list(make(torch, torch.utils.data)) for _ in range(2)])
    assert ours == theirs


def test_epochs_and_the_stream_do_not_depend_on_the_number_of_workers() -> None:
    def run(number: int) -> Any:
        flambeau.manual_seed(1)
        loader = data.DataLoader(list(range(20)), batch_size=3, shuffle=True, num_workers=number)
        return [batch.tolist() for batch in loader], flambeau.rand(2).tolist()

    assert run(0) == run(1) == run(2)


class Augmented(data.Dataset):  # type: ignore[type-arg]
    """Draws in the worker, from each of the global streams that a transform might use."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        import numpy

        info = self.torch.utils.data.get_worker_info()
        return index, self.torch.rand(2), random.random(), float(numpy.random.rand()), info.id, info.seed % 2**31


def test_worker_streams_equal_pytorch() -> None:
    ours, theirs = both(lambda torch: list(torch.utils.data.DataLoader(Augmented(torch), batch_size=2, num_workers=2)))
    assert ours == theirs


# ------------------------------------------------------------------------------------------------- collation


def nested(torch: Any) -> list[Any]:
    numpy = pytest.importorskip("numpy", reason="arrays are collated too")
    return [
        [1, 2, 3],
        [1.5, 2.5],
        [True, False],
        ["a", "b"],
        [b"a", b"b"],
        [(1, 2.0), (3, 4.0)],
        [[1, 2], [3, 4]],
        [{"a": 1, "b": (2, "x")}, {"a": 3, "b": (4, "y")}],
        [collections.OrderedDict(z=1, a=2), collections.OrderedDict(z=3, a=4)],
        [Pair(1, 2.0), Pair(3, 4.0)],
        [torch.tensor([1, 2]), torch.tensor([3, 4])],
        [numpy.ones((2, 2), numpy.float32), numpy.zeros((2, 2), numpy.float32)],
        [numpy.float32(1), numpy.float32(2)],
        [numpy.float64(1), numpy.float64(2)],
        [numpy.int16(1), numpy.int16(2)],
    ]


@pytest.mark.parametrize("case", range(15))
def test_collate_equals_pytorch(case: int) -> None:
    ours, theirs = both(lambda torch: torch.utils.data.default_collate(nested(torch)[case]))
    assert ours == theirs


def test_convert_equals_pytorch() -> None:
    numpy = pytest.importorskip("numpy", reason="arrays are converted")
    sample = {"a": numpy.arange(3), "b": (1, "x"), "c": [numpy.float32(2.0)], "d": Pair(numpy.array(1), "t")}
    ours, theirs = both(lambda torch: torch.utils.data.default_convert(sample))
    assert ours == theirs


def test_collate_refuses_what_it_cannot_join() -> None:
    with pytest.raises(TypeError, match="found <class 'object'>"):
        data.default_collate([object(), object()])
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([[1, 2], [3]])


def test_collate_keeps_a_mapping_type_with_its_own_state() -> None:
    batch = data.default_collate([collections.defaultdict(list, a=1), collections.defaultdict(list, a=2)])
    assert batch.default_factory is list
    assert batch["a"].tolist() == [1, 2]


# ------------------------------------------------------------------------------------------------- datasets


@pytest.mark.parametrize("indices", [[0, 1, 2], [4, 0, 4], [-1, 2], [3]])
def test_rows_taken_at_once_equal_rows_stacked(indices: list[int]) -> None:
    dataset = data.TensorDataset(flambeau.arange(10.0).reshape(5, 2), flambeau.arange(5))
    whole = dataset.__getbatch__(indices)
    one_by_one = data.default_collate([dataset[i] for i in indices])
    assert plain(whole) == plain(one_by_one)


def test_a_tensor_dataset_is_not_read_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(dataset: Any, indices: Any) -> Any:
        raise AssertionError("read row by row")

    monkeypatch.setattr(fetch, "fetch_samples", forbidden)
    dataset = data.TensorDataset(flambeau.arange(10))
    subset = data.Subset(dataset, [1, 3, 5])
    assert [x.tolist() for (x,) in data.DataLoader(dataset, batch_size=5)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert [x.tolist() for (x,) in data.DataLoader(subset, batch_size=2)] == [[1, 3], [5]]
    with pytest.raises(AssertionError, match="row by row"):
        next(iter(data.DataLoader(dataset, collate_fn=lambda samples: samples)))


def test_a_batch_never_shares_memory_with_the_dataset() -> None:
    source = flambeau.zeros(4, 2)
    for (batch,) in data.DataLoader(data.TensorDataset(source), batch_size=2):
        batch.add_(1)
    assert source.sum().item() == 0


def test_rows_beyond_the_end_are_an_index_error() -> None:
    with pytest.raises(IndexError):
        take([flambeau.arange(3)], [2, 3])


class Doubled(data.TensorDataset):
    def __getitem__(self, index: Any) -> Any:
        return tuple(2 * x for x in super().__getitem__(index))


def test_a_subclass_that_changes_samples_is_asked_for_them() -> None:
    dataset = Doubled(flambeau.arange(4))
    assert [x.tolist() for (x,) in data.DataLoader(dataset, batch_size=4)] == [[0, 2, 4, 6]]
    subset = data.Subset(dataset, [3, 1])
    assert [x.tolist() for (x,) in data.DataLoader(subset, batch_size=2)] == [[6, 2]]


def test_getitems_is_preferred() -> None:
    class Many(data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 4

        def __getitems__(self, indices: list[int]) -> list[int]:
            return [10 * i for i in indices]

    assert [x.tolist() for x in data.DataLoader(Many(), batch_size=3)] == [[0, 10, 20], [30]]


def test_concat_stack_chain_and_addition() -> None:
    both_ = data.ConcatDataset([[1, 2], [3]])
    assert [both_[i] for i in (0, 1, 2, -1, -3)] == [1, 2, 3, 3, 1]
    for bad in (3, 30):
        with pytest.raises(IndexError):
            both_[bad]
    with pytest.raises(ValueError, match="absolute value"):
        both_[-4]
    assert len(data.TensorDataset(flambeau.arange(2)) + data.TensorDataset(flambeau.arange(3))) == 5
    stacked = data.StackDataset(x=[1, 2], y=data.Subset("ab", [1, 0]))
    assert stacked.__getitems__([1, 0]) == [{"x": 2, "y": "a"}, {"x": 1, "y": "b"}]
    assert list(Stream(2) + Stream(1)) == [0, 1, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda torch, d: d.TensorDataset(torch.zeros(2), torch.zeros(3)),
        lambda torch, d: d.ConcatDataset([]),
        lambda torch, d: d.StackDataset(),
        lambda torch, d: d.StackDataset([1], [1, 2]),
        lambda torch, d: d.random_split(range(5), [2, 2]),
        lambda torch, d: d.RandomSampler([]),
        lambda torch, d: d.RandomSampler([1], replacement=1),
        lambda torch, d: d.WeightedRandomSampler([1.0], 0),
        lambda torch, d: d.WeightedRandomSampler([[1.0]], 1),
        lambda torch, d: d.BatchSampler([1], 0, False),
        lambda torch, d: d.BatchSampler([1], 1, 1),
        lambda torch, d: d.DataLoader([1], num_workers=-1),
        lambda torch, d: d.DataLoader([1], timeout=-1),
        lambda torch, d: d.DataLoader([1], prefetch_factor=2),
        lambda torch, d: d.DataLoader([1], persistent_workers=True),
        lambda torch, d: d.DataLoader([1], sampler=[0], shuffle=True),
        lambda torch, d: d.DataLoader([1], batch_sampler=[[0]], batch_size=2),
        lambda torch, d: d.DataLoader([1], batch_size=None, drop_last=True),
        lambda torch, d: d.DataLoader([1], multiprocessing_context="fork"),
        lambda torch, d: d.DataLoader([1], num_workers=1, multiprocessing_context="spoon"),
        lambda torch, d: d.DataLoader([1], num_workers=1, multiprocessing_context=3),
        lambda torch, d: setattr(d.DataLoader([1]), "batch_size", 3),
    ],
)
def test_errors_are_of_pytorchs_type(make: Any) -> None:
    torch = oracle()
    with pytest.raises(Exception) as theirs:
        make(torch, torch.utils.data)
    with pytest.raises(theirs.type):
        make(flambeau, data)


def test_a_subset_with_half_an_override_is_refused() -> None:
    class Half(data.Subset):  # type: ignore[type-arg]
        def __getitem__(self, index: Any) -> Any:
            return 0

    with pytest.raises(NotImplementedError, match="__getitems__"):
        Half([1, 2], [0])


def test_more_workers_than_processors_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="100000 worker processes"):
        data.DataLoader([1], num_workers=100_000)


# ---------------------------------------------------------------------------------------------------- streams


class Stream(data.IterableDataset):  # type: ignore[type-arg]
    def __init__(self, count: int, shared: bool = False) -> None:
        self.count = count
        self.shared = shared

    def __iter__(self) -> Any:
        info = data.get_worker_info()
        first, step = (info.id, info.num_workers) if info and self.shared else (0, 1)
        return iter(range(first, self.count, step))


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_stream_in_batches(drop_last: bool) -> None:
    loader = data.DataLoader(Stream(5), batch_size=2, drop_last=drop_last)
    expected = [[0, 1], [2, 3]] + ([] if drop_last else [[4]])
    assert [x.tolist() for x in loader] == expected
    assert list(data.DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]


@pytest.mark.parametrize("count", [0, 1, 7, 8])
def test_workers_share_a_stream_out(count: int) -> None:
    loader = data.DataLoader(Stream(count, shared=True), batch_size=2, num_workers=2)
    assert sorted(value for x in loader for value in x.tolist()) == list(range(count))


def test_a_stream_longer_than_it_said_warns() -> None:
    class Liar(Stream):
        def __len__(self) -> int:
            return 1

    loader = data.DataLoader(Liar(2), batch_size=None)
    assert len(loader) == 1
    with pytest.warns(UserWarning, match="reported to be 1"):
        list(loader)


# ---------------------------------------------------------------------------------------------------- workers


class Troubled(data.Dataset):  # type: ignore[type-arg]
    """Sample 5 makes trouble of the given kind; sample 0 is slow."""

    def __init__(self, trouble: str) -> None:
        self.trouble = trouble

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        if index == 0:
            time.sleep(0.2)
        if index == 5:
            return getattr(self, self.trouble)(index)
        return index

    def none(self, index: int) -> int:
        return index

    def value_error(self, index: int) -> int:
        raise ValueError(f"sample {index} is broken")

    def key_error(self, index: int) -> int:
        raise KeyError("absent")

    def odd_error(self, index: int) -> int:
        class Odd(Exception):
            def __init__(self, a: int, b: int) -> None:
                super().__init__(a, b)

        raise Odd(1, 2)

    def unpicklable(self, index: int) -> Any:
        return lambda: index

    def killed(self, index: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return index

    def exits(self, index: int) -> int:
        os._exit(3)

    def stuck(self, index: int) -> int:
        time.sleep(600)
        return index


def troubled(trouble: str, **options: Any) -> list[Any]:
    return list(data.DataLoader(Troubled(trouble), batch_size=None, num_workers=2, **options))


def test_order_is_kept_though_a_worker_is_slow() -> None:
    assert troubled("none") == list(range(12))
    arrived = troubled("none", in_order=False)
    assert sorted(arrived) == list(range(12))
    assert arrived[0] != 0


@pytest.mark.parametrize(
    "trouble, kind, text",
    [
        ("value_error", ValueError, r"(?s)in DataLoader worker process 1.*Traceback.*sample 5 is broken"),
        ("key_error", KeyError, r"(?s)worker process 1\.\nOriginal Traceback.*absent"),
        ("odd_error", RuntimeError, r"(?s)Traceback.*raise Odd"),
        ("unpicklable", RuntimeError, r"(?i)pickle"),
        ("killed", RuntimeError, r"pid\(s\) \d+\) exited unexpectedly \(killed by signal 9\)"),
        ("exits", RuntimeError, r"exited unexpectedly \(exit status 3\)"),
    ],
)
def test_trouble_in_a_worker_is_raised_here(trouble: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        troubled(trouble)


def test_a_timeout_is_an_error_and_ends_a_stuck_worker() -> None:
    with pytest.raises(RuntimeError, match="timed out after 1"):
        troubled("stuck", timeout=1)


def test_worker_init_fn_runs_and_its_error_is_raised() -> None:
    def fail(worker: int) -> None:
        raise ValueError(f"no luck for {worker}")

    with pytest.raises(ValueError, match="no luck for 0"):
        troubled("none", worker_init_fn=fail)

    def shift(worker: int) -> None:
        info = data.get_worker_info()
        assert info is not None
        info.dataset.offset = 100 * (worker + 1)

    class Shifted(Troubled):
        offset = 0

        def __getitem__(self, index: int) -> int:
            return index + self.offset

    loader = data.DataLoader(Shifted("none"), batch_size=None, num_workers=2, worker_init_fn=shift)
    assert list(loader)[:4] == [100, 201, 102, 203]
    assert data.get_worker_info() is None


class Pids(data.Dataset):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[int, int]:
        return index, os.getpid()


def test_persistent_workers_stay_and_start_each_epoch_anew() -> None:
    loader = data.DataLoader(Pids(), batch_size=None, num_workers=2, persistent_workers=True)
    first = list(loader)
    for batch in loader:  # left in the middle, with tasks under way
        if batch[0] == 1:
            break
    again = list(loader)
    assert first == again
    assert [index for index, _ in again] == list(range(8))
    assert len({pid for _, pid in again}) == 2


def test_workers_are_gone_when_the_iterator_is() -> None:
    iterator = iter(data.DataLoader(Pids(), batch_size=None, num_workers=2))
    assert isinstance(iterator, workers.WorkerIterator)
    pids = [process.pid for process in iterator._processes]
    next(iterator)
    del iterator
    assert not any(alive(pid) for pid in pids)


def test_large_batches_and_large_tasks_pass_the_pipes() -> None:
    big = data.TensorDataset(flambeau.arange(400_000))
    sizes = [len(x) for (x,) in data.DataLoader(big, batch_size=100_000, num_workers=2, shuffle=True)]
    assert sizes == [100_000] * 4


def test_a_row_travels_without_the_tensor_that_it_is_a_row_of() -> None:
    row = flambeau.zeros(1000, 100)[7]
    assert len(transport.pack([row]).data) < 10_000
    loader = data.DataLoader(data.TensorDataset(flambeau.arange(6.0).reshape(3, 2)), batch_size=None, num_workers=1)
    assert [row.tolist() for (row,) in loader] == [[0, 1], [2, 3], [4, 5]]


# ------------------------------------------------------------------------------------- no process is left behind

SCRIPT = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)    # a shell starts background programs with it ignored
import flambeau
from flambeau.utils.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        if index >= 4:
            time.sleep(600 if sys.argv[1] == "blocked" else 0.01)
        return os.getpid()

if __name__ == "__main__":
    options = {"multiprocessing_context": sys.argv[2]} if len(sys.argv) > 2 else {}
    loader = DataLoader(Slow(), batch_size=None, num_workers=2, **options)
    pids = set()
    for number, pid in enumerate(loader):
        pids.add(pid)
        if number == 3:
            print(*pids, flush=True)
            if sys.argv[1] == "leave":
                break
            if sys.argv[1] == "exit":
                sys.exit(0)
"""


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def running(tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The script in a session of its own, and its workers' numbers; all of it is gone in the end."""
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2
    with process:
        try:
            yield process, pids
        finally:
            process.kill()  # where a test has failed it still runs


def assert_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 15
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker was left behind"
        time.sleep(0.05)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@needs_proc
@pytest.mark.parametrize("how", ["run", "blocked"])
@pytest.mark.parametrize("whom", ["group", "parent", "kill"])
def test_no_process_is_left_after_a_signal(tmp_path: Path, how: str, whom: str) -> None:
    with running(tmp_path, how) as (process, pids):
        if whom == "group":  # Ctrl-C in a terminal
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT if whom == "parent" else signal.SIGKILL)
        _, errors = process.communicate(timeout=30)
    assert_gone(pids)
    if whom != "kill":
        assert errors.count("Traceback") == 1, errors  # the program's own; the workers keep quiet
        assert "KeyboardInterrupt" in errors


@needs_proc
@pytest.mark.parametrize("arguments", [("leave",), ("exit",), ("leave", "spawn"), ("exit", "forkserver")])
def test_no_process_is_left_after_leaving_early(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with running(tmp_path, *arguments) as (process, pids):
        _, errors = process.communicate(timeout=30)
    assert_gone(pids)
    assert process.returncode == 0
    assert errors == ""


# ------------------------------------------------------------------------------------- names, and parts for processes


def test_the_names_are_pytorchs() -> None:
    theirs = oracle().utils.data
    pipes = {"DFIterDataPipe", "DataChunk", "IterDataPipe", "MapDataPipe", "argument_validation", "functional_datapipe",
             "guaranteed_datapipes_determinism", "non_deterministic", "runtime_validation",
             "runtime_validation_disabled"}  # fmt: skip  # data pipes, which PyTorch no longer develops
    assert {name for name in theirs.__all__ if not hasattr(data, name)} == pipes
    from flambeau.utils.data import _utils, dataloader
    from flambeau.utils.data._utils.collate import default_collate_fn_map

    assert _utils.collate.default_collate is data.default_collate is dataloader.default_collate
    assert _utils.worker.get_worker_info is data.get_worker_info is dataloader.get_worker_info
    assert float in default_collate_fn_map and _utils.pin_memory.pin_memory("text") == "text"
    loader = data.DataLoader([1])
    assert isinstance(iter(loader), dataloader._SingleProcessDataLoaderIter)
    assert issubclass(dataloader._MultiProcessingDataLoaderIter, dataloader._BaseDataLoaderIter)
    assert loader._dataset_kind == data._DatasetKind.Map and loader._auto_collation
    assert data.DataLoader(Stream(1), batch_size=None)._dataset_kind == data._DatasetKind.Iterable


def test_a_collation_of_ones_own_type(monkeypatch: pytest.MonkeyPatch) -> None:
    from flambeau.utils.data._utils import collate

    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    def join(batch: Any, *, collate_fn_map: Any = None) -> Any:
        return flambeau.tensor([point.x for point in batch])

    batch = [{"p": Point(1), "n": 1}, {"p": Point(2), "n": 2}]
    table = {Point: join, **collate.default_collate_fn_map}
    assert collate.collate(batch, collate_fn_map=table)["p"].tolist() == [1, 2]
    monkeypatch.setitem(collate.default_collate_fn_map, Point, join)
    loaded = next(iter(data.DataLoader(batch, batch_size=2)))
    assert loaded["p"].tolist() == loaded["n"].tolist() == [1, 2]


def test_a_distributed_sampler_equals_pytorchs() -> None:
    for count, replicas, shuffle, drop_last in [
        (11, 3, True, False), (11, 3, True, True), (12, 3, False, False), (2, 5, True, False), (2, 5, False, True),
        (7, 1, True, False),
    ]:  # fmt: skip
        for rank in range(replicas):
            given = {"num_replicas": replicas, "rank": rank, "shuffle": shuffle, "seed": 4, "drop_last": drop_last}
            pair = [module.utils.data.DistributedSampler(range(count), **given) for module in (flambeau, oracle())]
            for epoch in (0, 3):
                for sampler in pair:
                    sampler.set_epoch(epoch)
                assert list(pair[0]) == list(pair[1]) and len(pair[0]) == len(pair[1])
    with pytest.raises(ValueError, match="Invalid rank 3"):
        data.DistributedSampler(range(3), 3, 3)
    with pytest.raises((RuntimeError, ValueError), match=r"process group|num_replicas"):
        data.DistributedSampler(range(3))


def test_an_error_in_a_worker_reads_as_pytorchs() -> None:
    class Broken:
        def __init__(self, kind: type[Exception]) -> None:
            self.kind = kind

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            raise self.kind("the sample is broken")

    for kind in (ValueError, KeyError, IndexError, FileNotFoundError, ZeroDivisionError):
        heads = []
        for module in (flambeau, oracle()):
            with pytest.raises(kind) as caught:
                list(module.utils.data.DataLoader(Broken(kind), num_workers=1))
            text = str(caught.value)
            heads.append((text[: text.index("Traceback")], text.strip().rpartition("\n")[2]))
        assert heads[0] == heads[1]


def test_seeds_in_workers_are_pytorchs() -> None:
    class Seeds:
        def __init__(self, torch: Any) -> None:
            self.torch = torch

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return str(self.torch.initial_seed())

    ours, theirs = both(lambda torch: list(torch.utils.data.DataLoader(Seeds(torch), num_workers=2)))
    assert ours == theirs
