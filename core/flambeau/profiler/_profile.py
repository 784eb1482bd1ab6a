"""The profiler as programs use it: a block, and a schedule of which steps are recorded."""

from __future__ import annotations

import enum
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from flambeau import discovery
from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.profiler import _trace
from flambeau.profiler._events import EventList, FunctionEvent
from flambeau.profiler._recorder import Options, Recorder


class ProfilerActivity(enum.Enum):
    """Whose work is recorded: the host's, and that of a kind of device."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What the profiler does in one step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """What can be recorded here: the host, and the devices whose backends have events.

    >>> import flambeau as torch
    >>> torch.profiler.ProfilerActivity.CPU in torch.profiler.supported_activities()
    True
    """
    names = {row["name"] for row in discovery.report() if row["devices"]}
    named = {each for each in ProfilerActivity if each.name.lower() in names}
    others = any(not discovery.backend_for(name).capabilities.host for name in names)
    return {ProfilerActivity.CPU, *named, *({ProfilerActivity.PrivateUse1} if others else ())}


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
             skip_first_wait: int = 0) -> Callable[[int], ProfilerAction]:
    """Which steps are recorded: after `skip_first`, in turns, `wait` steps off, `warmup` on for nothing, `active` kept.

    Args:
        wait, warmup, active: steps of a turn, each at least 0, `active` at least 1.
        repeat: turns; 0 for no end.
        skip_first: steps before the first turn.
        skip_first_wait: not 0 to leave out the first turn's `wait`.

    >>> import flambeau as torch
    >>> plan = torch.profiler.schedule(wait=1, warmup=1, active=2, repeat=1)
    >>> [plan(step).name for step in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if min(wait, warmup, repeat, skip_first, skip_first_wait) < 0 or active < 1:
        raise ArgumentValueError(
            "schedule: steps cannot be negative, and at least one must be active; given: "
            f"wait={wait}, warmup={warmup}, active={active}, repeat={repeat}, skip_first={skip_first}")
    if warmup == 0:
        warnings.warn("schedule: Profiler won't be using warmup, this can skew profiler results; the first step that "
                      "is recorded has what is done once in it", stacklevel=2)

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise ArgumentValueError(f"schedule: the number of a step cannot be negative; given: {step}")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        turn, place = divmod(step, wait + warmup + active)
        if repeat and turn >= repeat:
            return ProfilerAction.NONE
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        last = place == wait + warmup + active - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD
    return action


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False,
                              use_python_export: bool = False) -> Callable[[profile], None]:
    """For `on_trace_ready`: writes each trace into a folder, under names that TensorBoard's profiler finds."""
    def handle(prof: profile) -> None:
        folder = Path(dir_name)
        folder.mkdir(parents=True, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        ending = ".json.gz" if use_gzip else ".json"
        prof.export_chrome_trace(str(folder / f"{worker}.{time.time_ns()}.pt.trace{ending}"))
    return handle


def _always(step: int) -> ProfilerAction:
    return ProfilerAction.RECORD


class profile:  # noqa: N801 - PyTorch's name
    """Record operators, backward nodes and named ranges while the block runs.

    Args:
        activities: a set of ProfilerActivity; all that is supported if not given. Without a device's activity its
            time is not measured.
        schedule: from the number of a step to a ProfilerAction, as `schedule` makes; all steps are recorded without.
        on_trace_ready: called with the profiler when a turn of the schedule ends, or at the end of the block.
        record_shapes: keep the shapes and dtypes of inputs.
        profile_memory: keep how many bytes calls allocate.
        with_stack: keep the lines of the program that called.
        with_flops: estimate the floating-point operations of products.
        with_modules, experimental_config, execution_trace_observer, custom_trace_id_callback,
            post_processing_timeout_s: accepted as in PyTorch; nothing here depends on them.
        acc_events: keep the events of earlier turns, too.
        use_cuda: deprecated: the same as asking for the activity of CUDA.

    Only the thread that enters the block is recorded, with the backward walks that it starts.

    >>> import flambeau as torch
    >>> with torch.profiler.profile(record_shapes=True) as prof:
    ...     product = torch.ones(2, 3) @ torch.ones(3, 4)
    >>> [event.input_shapes for event in prof.events() if event.name == "aten::mm"]
    [[[2, 3], [3, 4]]]
    """

    def __init__(self, *, activities: Iterable[Any] | None = None,
                 schedule: Callable[[int], ProfilerAction] | None = None,
                 on_trace_ready: Callable[..., Any] | None = None, record_shapes: bool = False,
                 profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
                 with_modules: bool = False, experimental_config: Any = None, execution_trace_observer: Any = None,
                 acc_events: bool = False, use_cuda: bool | None = None,
                 custom_trace_id_callback: Callable[[], str] | None = None,
                 post_processing_timeout_s: float | None = None) -> None:
        self.activities = set(activities) if activities is not None else supported_activities()
        if use_cuda:
            self.activities.add(ProfilerActivity.CUDA)
        if not self.activities:
            raise ArgumentError("profile: no activity is asked for; allowed: "
                                f"{', '.join(sorted(each.name for each in supported_activities()))}")
        self.schedule, self.record_steps = schedule or _always, schedule is not None
        self.on_trace_ready, self.acc_events = on_trace_ready, acc_events
        self.record_shapes, self.profile_memory = record_shapes, profile_memory
        self.with_stack, self.with_flops, self.with_modules = with_stack, with_flops, with_modules
        self.step_num, self.current_action = 0, self.schedule(0)
        self._metadata: dict[str, Any] = {}
        self._recorder: Recorder | None = None
        self._step: FunctionEvent | None = None
        self._recorded: list[FunctionEvent] = []
        self._fresh = False  # whether what is recorded has not been handed to `on_trace_ready` yet

    # ------------------------------------------------------------------------------------------ running
    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, as the block does."""
        self._follow()

    def stop(self) -> None:
        """End, as the block does."""
        self._finish()
        if self._fresh:
            self._hand_over()

    def step(self) -> None:
        """Say that a step of the program is done; the next one may be recorded or not."""
        if self.current_action is ProfilerAction.RECORD_AND_SAVE:
            self._finish()
            self._hand_over()
        self.step_num += 1
        self.current_action = self.schedule(self.step_num)
        self._follow()

    def _follow(self) -> None:
        """Record or not, as the present action wants."""
        if self.current_action in (ProfilerAction.NONE, ProfilerAction.WARMUP):
            self._finish()
            return
        if self._recorder is None:
            if not self.acc_events:
                self._recorded = []
            device = any(each is not ProfilerActivity.CPU for each in self.activities)
            options = Options(self.record_shapes, self.profile_memory, self.with_stack, self.with_flops, device)
            self._recorder = Recorder(options).__enter__()
        elif self._step is not None:
            self._recorder.end(self._step)
        if self.record_steps:
            self._step = self._recorder.begin(f"ProfilerStep#{self.step_num}", annotation=True)

    def _finish(self) -> None:
        if self._recorder is not None:
            self._recorder.__exit__(None, None, None)
            self._recorded = [*self._recorded, *self._recorder.events]
            self._recorder, self._step, self._fresh = None, None, True

    def _hand_over(self) -> None:
        self._fresh = False
        if self.on_trace_ready is not None:
            self.on_trace_ready(self)

    # ------------------------------------------------------------------------------------------ what came out
    def events(self) -> EventList:
        """All events of the turn recorded last, in the order in which they began."""
        if self._recorder is None and not self._recorded and not self._fresh:
            raise ArgumentError("events: nothing has been recorded; the block must have ended, or a step that the "
                                "schedule records")
        found = self._recorder.events if self._recorder is not None else self._recorded
        devices = [event.use_device for event in found if event.use_device is not None]
        return EventList(found, profile_memory=self.profile_memory, with_flops=self.with_flops,
                         use_device=devices[0] if devices else None)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """The events summed by name, and by shapes or innermost lines of the program if wanted."""
        return self.events().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_chrome_trace(self, path: str) -> None:
        """Write the events for chrome://tracing and https://ui.perfetto.dev; gzipped where the name ends in .gz."""
        _trace.write(path, self.events(), self._metadata)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the program's lines with their microseconds, for tools that draw flame graphs; needs `with_stack`."""
        lines = [f"{';'.join(frame.replace(' ', '_') for frame in reversed(event.stack))} "
                 f"{int(getattr(event, metric))}" for event in self.events() if event.stack]
        Path(path).write_text("\n".join([*lines, ""]), encoding="utf-8")

    def add_metadata(self, key: str, value: str) -> None:
        """Put a text into the trace file."""
        self._metadata[key] = value

    add_metadata_json = add_metadata

    def preset_metadata_json(self, key: str, value: str) -> None:
        """The same, before the block."""
        self._metadata[key] = value

    def get_trace_id(self) -> str | None:
        """A name for what was recorded last."""
        return f"{os.getpid()}-{self.step_num}" if self._recorded else None
