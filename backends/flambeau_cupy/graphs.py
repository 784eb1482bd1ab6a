"""CUDA graphs: what a stream was given, recorded and run again as one.

What is allocated while a stream records is taken out of the cache for good: the graph writes there whenever it runs.
It is kept by the recording and by the arrays in it, and goes back to the driver with the last of them.
"""

from __future__ import annotations

from typing import Any

from flambeau.errors import DeviceError, message
from flambeau.queues import Queue, Recording
from flambeau_clike.lanes import Stream
from flambeau_clike.memory import Block


class Graph(Recording):
    """A graph of CUDA's, and the memory that it works on."""

    def __init__(self, graph: Any, blocks: list[Block]) -> None:
        self._graph, self._blocks = graph, blocks

    def replay(self, queue: Queue) -> None:
        assert isinstance(queue, CudaStream)
        native = queue.lane.queue
        native.enter()
        self._graph.launch(native.stream)


class CudaStream(Stream):
    """A stream, which can record."""

    def begin_capture(self, pool: Any = None) -> None:
        lane = self.lane
        if lane is lane.device.default:
            raise DeviceError(message(f"device {lane.device.label!r}", "the default stream cannot record",
                                      next_step="make another one current: torch.cuda.stream(torch.cuda.Stream())"))
        lane.queue.enter()
        lane.recorded = []
        try:
            lane.queue.stream.begin_capture()
        except lane.device.error as error:
            lane.recorded = None
            raise lane.device.faults.translated(error, "starting to record") from error
        self.capturing = True

    def end_capture(self) -> Recording:
        lane, blocks = self.lane, self.lane.recorded or []
        self.capturing, lane.recorded = False, None
        lane.device.allocator.give_away(blocks)
        try:
            return Graph(lane.queue.stream.end_capture(), blocks)
        except lane.device.error as error:
            raise lane.device.faults.translated(error, "recording") from error
