"""The profiler: what it records, what it shows, and the files that it writes."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import nn
from flambeau.profiler import ProfilerAction, ProfilerActivity, profile, record_function, schedule
from flambeau.utils.flop_counter import FlopCounterMode


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 3))


def step(network: Any) -> None:
    with record_function("forward"):
        loss = network(flambeau.ones(8, 10)).sum()
    loss.backward()


def test_operators_ranges_and_backward_nodes_are_events_within_one_another() -> None:
    with profile(record_shapes=True, profile_memory=True) as prof:
        step(model())
    events = prof.events()
    names = [event.name for event in events]
    assert names.count("aten::linear") == 2 and names.count("aten::relu") == 1
    forward = events[names.index("forward")]
    assert forward.is_user_annotation and forward.cpu_parent is None
    within = [child.name for child in forward.cpu_children]
    assert within.count("aten::linear") == 2 and "aten::sum" in within
    first = events[names.index("aten::linear")]
    assert first.input_shapes == [[8, 10], [20, 10], [20]] and first.input_dtypes == ["float32"] * 3
    assert first.cpu_memory_usage == 8 * 20 * 4
    nodes = [name for name in names if name.startswith("autograd::engine::evaluate_function: ")]
    assert "autograd::engine::evaluate_function: AddmmBackward0" in nodes
    for event in events:
        assert event.cpu_time_total >= sum(child.cpu_time_total for child in event.cpu_children)
    total = sum(event.self_cpu_time_total for event in events)
    outermost = sum(event.cpu_time_total for event in events if event.cpu_parent is None)
    assert total == pytest.approx(outermost)


def test_averages_and_the_table() -> None:
    with profile(record_shapes=True, profile_memory=True, with_flops=True) as prof:
        step(model())
    by_name = {each.key: each for each in prof.key_averages()}
    assert by_name["aten::linear"].count == 2
    assert by_name["aten::linear"].flops == 2 * 8 * (10 * 20 + 20 * 3)
    by_shape = [each for each in prof.key_averages(group_by_input_shape=True) if each.key == "aten::linear"]
    assert sorted(map(str, (each.input_shapes for each in by_shape))) == [
        "[[8, 10], [20, 10], [20]]", "[[8, 20], [3, 20], [3]]"]
    text = prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=3)
    lines = text.splitlines()
    assert lines[1].split("  ")[-1].strip() == "Total MFLOPs" and "CPU Mem" in lines[1]
    assert len(lines) == 3 + 3 + 2
    times = [each.self_cpu_time_total for each in sorted(by_name.values(), key=lambda each: -each.self_cpu_time_total)]
    assert times == sorted(times, reverse=True)
    assert text.rstrip().splitlines()[-1].startswith("Self CPU time total: ")
    assert prof.events().total_average().cpu_time_total == pytest.approx(prof.events().self_cpu_time_total)
    with pytest.raises(AttributeError, match=r"cannot sort by 'speed'; allowed: count"):
        prof.key_averages().table(sort_by="speed")


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_the_trace_file(name: str, tmp_path: Path) -> None:
    with profile(record_shapes=True, with_stack=True) as prof:
        step(model())
    prof.add_metadata_json("run", "seven")
    prof.export_chrome_trace(str(tmp_path / name))
    data = (tmp_path / name).read_bytes()
    trace = json.loads(gzip.decompress(data) if name.endswith("gz") else data)
    assert trace["run"] == "seven"
    rows = {row["name"]: row for row in trace["traceEvents"] if row["ph"] == "X"}
    assert rows["forward"]["cat"] == "user_annotation"
    assert rows["aten::relu"]["args"]["Input Dims"] == [[8, 20]]
    assert __file__ in rows["aten::relu"]["args"]["Call stack"]
    inside, outside = rows["aten::relu"], rows["forward"]
    assert outside["ts"] <= inside["ts"] <= inside["ts"] + inside["dur"] <= outside["ts"] + outside["dur"] + 1e-3
    prof.export_stacks(str(tmp_path / "stacks.txt"))
    assert "test_profiler.py" in (tmp_path / "stacks.txt").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stacks.txt", name]


@pytest.mark.parametrize("options", [
    {"wait": 1, "warmup": 1, "active": 2}, {"wait": 0, "warmup": 0, "active": 1, "repeat": 2},
    {"wait": 2, "warmup": 1, "active": 1, "repeat": 1, "skip_first": 3},
    {"wait": 2, "warmup": 1, "active": 1, "skip_first": 2, "skip_first_wait": 1}])
def test_schedules_are_those_of_pytorch(options: dict[str, int]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    with pytest.warns(UserWarning, match="warmup") if not options["warmup"] else contextlib.nullcontext():
        mine = schedule(**options)
    with pytest.warns(UserWarning, match="warmup") if not options["warmup"] else contextlib.nullcontext():
        wanted = torch.profiler.schedule(**options)
    assert [mine(at).name for at in range(14)] == [wanted(at).name for at in range(14)]


def test_a_schedule_decides_which_steps_are_recorded(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def ready(prof: Any) -> None:
        seen.append([event.name for event in prof.events() if event.name.startswith("ProfilerStep")])
    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=ready) as prof:
        for number in range(9):
            flambeau.ones(number + 1).sum()
            prof.step()
    assert seen == [["ProfilerStep#2", "ProfilerStep#3"], ["ProfilerStep#6", "ProfilerStep#7"]]
    with profile(on_trace_ready=flambeau.profiler.tensorboard_trace_handler(str(tmp_path), "me")):
        flambeau.ones(3).sum()
    assert [path.name.split(".")[0] for path in tmp_path.iterdir()] == ["me"]
    with pytest.raises(ValueError, match="cannot be negative"):
        schedule(wait=-1, warmup=0, active=1)


def test_nothing_is_recorded_outside_and_in_other_threads() -> None:
    def elsewhere() -> None:
        x = flambeau.ones(3, requires_grad=True)
        (x * 2).sum().backward()
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        flambeau.ones(2).exp()
    flambeau.ones(2).sin()
    names = [event.name for event in prof.events()]
    assert "aten::exp" in names and not {"aten::mul", "aten::sin"} & set(names)
    assert not any("Backward" in name for name in names)
    with pytest.raises(RuntimeError, match="nothing has been recorded"):
        profile().events()


def test_an_error_within_the_block_ends_the_profile() -> None:
    with pytest.raises(RuntimeError), profile() as prof:
        flambeau.ones(2, 3) @ flambeau.ones(2, 3)
    assert prof.events()[-1].end_ns >= prof.events()[-1].start_ns
    with profile() as again:
        flambeau.ones(2).exp()
    assert [event.name for event in again.events()][-1] == "aten::exp"


def test_the_older_face() -> None:
    older = flambeau.autograd.profiler
    with older.profile(record_shapes=True) as prof, older.record_function("part"):
        flambeau.ones(4).cos()
    assert "part" in prof.table(sort_by="cpu_time_total") and prof.self_cpu_time_total > 0
    assert flambeau.autograd.profiler.profile(enabled=False).__enter__().function_events is None
    assert flambeau.profiler.ProfilerActivity.CPU in flambeau.profiler.supported_activities()
    assert ProfilerAction.NONE.value == 0


@record_function("decorated")
def decorated() -> Any:
    return flambeau.ones(2).tan()


def test_a_decorated_function_is_a_range() -> None:
    with profile() as prof:
        decorated()
        decorated()
    ranges = [event for event in prof.events() if event.name == "decorated"]
    assert len(ranges) == 2
    assert all("aten::tan" in [child.name for child in each.cpu_children] for each in ranges)


def test_a_device_that_works_by_itself_is_timed() -> None:
    with profile(profile_memory=True) as prof:
        x = flambeau.ones(64, 64, device="reference_async")
        (x @ x).sum().item()
    table = prof.key_averages().table(sort_by="device_time_total")
    assert "Self REFERENCE_ASYNC" in table
    product = next(event for event in prof.events() if event.name in ("aten::mm", "aten::matmul"))
    assert product.device == "reference_async:0" or product.device == "reference_async"
    assert product.device_time_total >= 0 and product.markers is None


# ---------------------------------------------------------------------------------------------- counting
def test_products_count_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    from torch.utils.flop_counter import FlopCounterMode as Theirs

    def program(library: Any) -> None:
        layers = library.nn
        net = layers.Sequential(layers.Conv2d(3, 4, 3, padding=1), layers.ReLU(), layers.Conv2d(4, 6, 2, stride=2),
                                layers.Flatten(), layers.Linear(6 * 16, 5))
        x = library.ones(2, 3, 8, 8, requires_grad=True)
        net(x).sum().backward()
        library.bmm(library.ones(3, 4, 5), library.ones(3, 5, 6))
    with FlopCounterMode(display=False) as mine:
        program(flambeau)
    with Theirs(display=False) as wanted:
        program(torch)
    assert mine.get_total_flops() == wanted.get_total_flops()
    counts = mine.get_flop_counts()
    assert sum(counts["Sequential.0"].values()) == wanted.get_flop_counts()["Sequential.0"][
        torch.ops.aten.convolution]


def test_the_counter_shows_modules(capsys: Any) -> None:
    with FlopCounterMode() as counter:
        model()(flambeau.ones(8, 10))
    printed = capsys.readouterr().out
    assert printed.strip() == counter.get_table().strip()
    assert "Sequential.2" in printed and "100.00%" in printed
    query = flambeau.ones(2, 4, 5, 8)
    with FlopCounterMode(display=False) as counter:
        nn.functional.scaled_dot_product_attention(query, query, query)
    assert counter.get_total_flops() == 2 * (2 * 4 * 5 * 5 * 8) * 2
    with FlopCounterMode(display=False, custom_mapping={"relu": lambda args, result: result.numel()}) as counter:
        flambeau.ones(7).relu()
    assert counter.get_flop_counts() == {"Global": {"relu": 7}}
