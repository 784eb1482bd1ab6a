"""`torch.cuda.CUDAGraph` and what makes it: work of a stream, recorded once and replayed as often as wanted.

A backend records (`Queue.begin_capture`); here are PyTorch's handles on that. What is replayed works on the very memory
that it was recorded with, so programs copy new data into the old tensors. Random numbers are drawn with the seeds of
the recording: each replay draws the same ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from flambeau import discovery, streams
from flambeau.device import device as device_type
from flambeau.errors import ArgumentError, ArgumentTypeError, UnsupportedError, message
from flambeau.queues import Queue, Recording
from flambeau.tensor import Tensor

Pool = tuple[int, int]
_pools = itertools.count(1)


def new_pool() -> Pool:
    """A name for memory that recordings share."""
    return (0, next(_pools))


class Graph:
    """Work of one device's stream, recorded once and replayed: what `CUDAGraph` and `torch.accelerator.Graph` share."""

    def __init__(self, name: str) -> None:
        self._type = name
        discovery.resolve(device_type(name))
        self._recording: Recording | None = None
        self._where: device_type | None = None
        self._queue: Queue | None = None    # while it records
        self._pool: Pool | None = None

    def _begin(self, pool: Pool | None, mode: str) -> None:
        if self._queue is not None or self._recording is not None:
            raise ArgumentError(message("capture_begin", "this graph has recorded something, or still does",
                                        next_step="use a new one, or reset() it"))
        if mode not in ("default", "global", "thread_local", "relaxed"):
            raise ArgumentError(message("capture_begin", "Unknown capture error mode", given=repr(mode),
                                        allowed="'global', 'thread_local', 'relaxed'"))
        where = discovery.resolve(device_type(self._type))
        queue = streams.current_queue(where)
        if queue.number == 0:
            raise ArgumentError(message("capture_begin", "graphs must be captured on a non-default stream",
                                        next_step=f"with torch.{self._type}.graph(g): ... chooses one"))
        self._pool = new_pool() if pool is None else pool
        queue.begin_capture(self._pool)
        self._queue, self._where = queue, where

    def capture_end(self) -> None:
        """Stop recording. RuntimeError where it does not record."""
        queue, self._queue = self._queue, None
        if queue is None:
            raise ArgumentError(message("capture_end", "this graph does not record", next_step="call capture_begin()"))
        self._recording = queue.end_capture()

    def _recorded(self, what: str) -> Recording:
        if self._recording is None:
            raise ArgumentError(message(what, "this graph has recorded nothing",
                                        next_step="record between capture_begin() and capture_end()"))
        return self._recording

    def instantiate(self) -> None:
        """Nothing to do: a recording can be replayed as soon as it is made. RuntimeError without one."""
        self._recorded("instantiate")

    def replay(self) -> None:
        """Run what was recorded again, on the current stream; the call does not wait. RuntimeError without it."""
        recording = self._recorded("replay")
        assert self._where is not None
        recording.replay(streams.current_queue(self._where))

    def reset(self) -> None:
        """Drop what was recorded, and the memory that is its own."""
        self._recording = None

    def pool(self) -> Pool:
        """A name for the memory of this graph, for others that may share it. RuntimeError before it has recorded."""
        if self._pool is None:
            raise ArgumentError(message("pool", "this graph has recorded nothing, so it has no memory"))
        return self._pool

    def enable_debug_mode(self) -> None:
        """Accepted: there is nothing more to be kept."""

    def debug_dump(self, debug_path: str) -> None:
        """NotImplementedError: what was recorded cannot be shown."""
        raise UnsupportedError(message("debug_dump", "what was recorded is the driver's, and cannot be written"))


class TypedGraph(Graph):
    """Work of one device's stream, recorded between `capture_begin` and `capture_end`, run again by `replay`.

    RuntimeError where there is no device; NotImplementedError from `capture_begin` where its backend does not record.
    """

    _name: str

    def __init__(self, keep_graph: bool = False) -> None:
        super().__init__(self._name)

    def capture_begin(self, pool: Pool | None = None, capture_error_mode: str = "global",
                      check_input_liveness: bool = False) -> None:
        """Record what the current stream is given from now on. RuntimeError for the stream that the device comes with,
        or where the graph holds something already."""
        self._begin(pool, capture_error_mode)


_own_streams: dict[device_type, Any] = {}


def _own_stream(name: str) -> Any:
    """A device's stream for recordings: always the same one, so that they can share memory."""
    where = discovery.resolve(device_type(name))
    found = _own_streams.get(where)
    if found is None or found._queue.backend is not discovery.backend_for(name):   # the name is another backend's now
        found = _own_streams[where] = streams.Stream(where)
    return found


class Capture:
    """A block whose work on the current device a graph records, on a stream of its own."""

    _name: str

    def __init__(self, cuda_graph: TypedGraph, pool: Pool | None = None, stream: Any = None,
                 capture_error_mode: str = "global", enable_annotations: bool = False,
                 check_input_liveness: bool = False) -> None:
        self.cuda_graph, self.pool, self.capture_error_mode = cuda_graph, pool, capture_error_mode
        self.capture_stream = _own_stream(self._name) if stream is None else stream

    def __enter__(self) -> None:
        backend = discovery.backend_for(self._name)
        backend.synchronize(self.capture_stream.device_index)
        backend.empty_cache()
        streams.enter(self.capture_stream._queue)
        try:
            self.cuda_graph.capture_begin(self.pool, self.capture_error_mode)
        except BaseException:
            streams.leave()
            raise

    def __exit__(self, *exc: object) -> None:
        try:
            self.cuda_graph.capture_end()
        finally:
            streams.leave()


def classes(name: str) -> dict[str, type]:
    """The classes CUDAGraph and graph of one device type's namespace."""
    found = {public: type(public, (base,), {"_name": name, "__doc__": base.__doc__})
             for public, base in (("CUDAGraph", TypedGraph), ("graph", Capture))}
    for each in found.values():
        each.__module__ = f"flambeau.{name}"
    return found


# ---------------------------------------------------------------------------------------------- callables
def graphed(space: Any, callables: Any, sample_args: Any, warmups: int, allow_unused: bool, pool: Pool | None) -> Any:
    """Callables, one or a tuple of them, that replay; see `DeviceApi.make_graphed_callables`."""
    several = isinstance(callables, tuple)
    functions = callables if several else (callables,)
    samples = sample_args if several else (sample_args,)
    if len(functions) != len(samples):
        raise ArgumentError(message("make_graphed_callables", "one tuple of sample_args for each callable",
                                    given=f"{len(functions)} callables, {len(samples)} tuples"))
    pool = new_pool() if pool is None else pool
    recorded = [_Recorded(space, function, tuple(args), warmups, allow_unused, pool)
                for function, args in zip(functions, samples, strict=True)]
    for each in recorded:
        each.record_forward()
    for each in reversed(recorded):    # as they will run, so that they can share memory
        each.record_backward()
    result = tuple(each.public() for each in recorded)
    return result if several else result[0]


class _Recorded:
    """One callable with the graphs of its two passes, and the tensors that they read and write."""

    def __init__(self, space: Any, function: Callable[..., Any], args: tuple[Any, ...], warmups: int,
                 allow_unused: bool, pool: Pool) -> None:
        from flambeau.nn import Module
        self.space, self.function, self.allow_unused, self.pool = space, function, allow_unused, pool
        self.module = function if isinstance(function, Module) else None
        for each in args:
            if not isinstance(each, Tensor):
                raise ArgumentTypeError(message("make_graphed_callables", "arguments must be tensors",
                                                given=type(each).__name__))
        self.inputs: tuple[Tensor, ...] = args
        given = tuple(self.module.parameters()) if self.module is not None else ()
        self.parameters = tuple(each for each in given if each.requires_grad)
        self.sources = self.inputs + self.parameters
        self.wanted = [each for each in self.sources if each.requires_grad]
        self.forward_graph, self.backward_graph = space.CUDAGraph(), space.CUDAGraph()
        stream = space.Stream()
        stream.wait_stream(space.current_stream())
        with stream:
            for _ in range(warmups):
                outputs = self._call()[0]
                self._gradients(outputs, [each.new_ones(each.shape) for each in outputs if each.requires_grad])
        space.current_stream().wait_stream(stream)

    def _call(self) -> tuple[tuple[Tensor, ...], Any]:
        """The outputs as a tuple, and the type to give them as: None for a tensor alone."""
        result = self.function(*self.inputs)
        if isinstance(result, Tensor):
            return (result,), None
        if isinstance(result, (tuple, list)) and all(isinstance(each, Tensor) for each in result):
            return tuple(result), type(result)
        raise ArgumentTypeError(message("make_graphed_callables", "callables must give tensors",
                                        given=type(result).__name__, allowed="a tensor, or a tuple or list of them"))

    def _gradients(self, outputs: Sequence[Tensor], seeds: list[Tensor]) -> Sequence[Tensor | None]:
        from flambeau.autograd import grad
        roots = [each for each in outputs if each.requires_grad]
        if not roots or not self.wanted:
            return [None] * len(self.wanted)
        return grad(roots, self.wanted, seeds, allow_unused=self.allow_unused)

    def record_forward(self) -> None:
        with self.space.graph(self.forward_graph, self.pool):
            self.outputs, self.kind = self._call()

    def record_backward(self) -> None:
        self.seeds = [each.new_zeros(each.shape) if each.requires_grad else None for each in self.outputs]
        seeds = [each for each in self.seeds if each is not None]
        with self.space.graph(self.backward_graph, self.pool):
            found = iter(self._gradients(self.outputs, seeds))
        self.gradients = [next(found) if each.requires_grad else None for each in self.sources]
        self.outputs = tuple(each.detach() for each in self.outputs)

    def forward(self, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Copy the inputs to where they are read, and replay."""
        for static, new in zip(self.inputs, given, strict=False):
            if static is not new:
                static.detach().copy_(new)
        self.forward_graph.replay()
        return tuple(each.detach() for each in self.outputs)

    def backward(self, gradients: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """Copy the gradients to where they are read, and replay."""
        for static, new in zip(self.seeds, gradients, strict=True):
            if static is not None:
                static.copy_(new)
        self.backward_graph.replay()
        return tuple(None if each is None else each.detach() for each in self.gradients)

    def public(self) -> Any:
        """What the program calls: a function, or the module with another `forward`."""
        from flambeau.autograd import Function
        from flambeau.autograd.function import once_differentiable
        recorded = self

        class Graphed(Function):
            @staticmethod
            def forward(ctx: Any, *given: Tensor) -> Any:
                return recorded.forward(given)

            @staticmethod
            @once_differentiable
            def backward(ctx: Any, *gradients: Tensor) -> Any:
                return recorded.backward(gradients)

        def replay(*args: Tensor) -> Any:
            if len(args) != len(recorded.inputs):
                raise ArgumentTypeError(message("make_graphed_callables", "another number of arguments",
                                                given=str(len(args)), allowed=str(len(recorded.inputs))))
            result = Graphed.apply(*args, *recorded.parameters)
            return result[0] if recorded.kind is None else recorded.kind(result)

        return replay if self.module is None else _patched(self.module, replay)


def _patched(module: Any, replay: Callable[..., Any]) -> Any:
    """The module, which replays while it is in the mode, training or not, in which it was recorded."""
    training, before = module.training, module.forward

    def forward(*args: Any) -> Any:
        return replay(*args) if module.training == training else before(*args)
    module.forward = forward
    return module
