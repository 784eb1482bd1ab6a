"""cupy.cuda.runtime on the processor: the functions of CuPy's module that a backend calls, under the same parameters.

Constants come from the list of names (`names.txt`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cuda_machine import engine
from cuda_machine.engine import DEVICE, HOST, Event, Graph, Stream
from cuda_machine.errors import (
    INVALID_DEVICE,
    INVALID_HANDLE,
    INVALID_VALUE,
    NO_PEER,
    NOT_READY,
    PEER_ALREADY,
    PEER_NOT_ENABLED,
    CUDARuntimeError,
)

NAME = "processor standing in for a CUDA device (simulated)"
VERSION = 13000
is_hip = False
_peers: set[tuple[int, int]] = set()


def _device(index: int) -> int:
    if not 0 <= index < engine.settings.devices:
        raise CUDARuntimeError(INVALID_DEVICE)
    return index


# ------------------------------------------------------------------------------------------------- devices
def driverGetVersion() -> int:
    return VERSION


def runtimeGetVersion() -> int:
    return VERSION


def getDeviceCount() -> int:
    return engine.settings.devices


def getDevice() -> int:
    return engine.device()


def setDevice(device: int) -> None:
    engine.choose(device)


def getDeviceProperties(device: int) -> dict[str, Any]:
    _device(device)
    major, minor = engine.settings.capability
    return {
        "name": NAME.encode(), "totalGlobalMem": engine.settings.memory, "sharedMemPerBlock": 48 << 10,
        "sharedMemPerBlockOptin": 99 << 10, "sharedMemPerMultiprocessor": 100 << 10, "regsPerBlock": 65536,
        "regsPerMultiprocessor": 65536, "warpSize": 32, "maxThreadsPerBlock": 1024, "maxThreadsDim": (1024, 1024, 64),
        "maxGridSize": (2147483647, 65535, 65535), "totalConstMem": 65536, "major": major, "minor": minor,
        "textureAlignment": 512, "multiProcessorCount": engine.settings.units, "integrated": 0, "canMapHostMemory": 1,
        "concurrentKernels": 1, "ECCEnabled": 0, "pciBusID": device, "pciDeviceID": 0, "pciDomainID": 0,
        "tccDriver": 0, "memoryBusWidth": 64, "l2CacheSize": 4 << 20, "maxThreadsPerMultiProcessor": 2048,
        "isMultiGpuBoard": 0, "cooperativeLaunch": 0, "asyncEngineCount": 2, "unifiedAddressing": 1,
        "streamPrioritiesSupported": 1, "managedMemory": 0, "maxBlocksPerMultiProcessor": 32,
        "uuid": b"simulated-device"[:15] + bytes([device]),
    }


def deviceGetAttribute(attrib: int, device: int) -> int:
    props = getDeviceProperties(device)
    names = {1: "maxThreadsPerBlock", 8: "sharedMemPerBlock", 10: "warpSize", 12: "regsPerBlock",
             16: "multiProcessorCount", 18: "integrated", 31: "concurrentKernels", 38: "l2CacheSize",
             39: "maxThreadsPerMultiProcessor", 40: "asyncEngineCount", 41: "unifiedAddressing", 75: "major",
             76: "minor", 81: "sharedMemPerMultiprocessor", 83: "managedMemory", 97: "sharedMemPerBlockOptin"}
    if attrib not in names:
        raise CUDARuntimeError(INVALID_VALUE)
    return int(props[names[attrib]])


def deviceGetPCIBusId(device: int) -> str:
    return f"0000:{_device(device):02X}:00.0"


def deviceSynchronize() -> None:
    engine.synchronize_device()


def deviceCanAccessPeer(device: int, peerDevice: int) -> int:
    return int(_device(device) != _device(peerDevice) and engine.settings.peers)


def deviceEnablePeerAccess(peerDevice: int) -> None:
    here = engine.device()
    if not deviceCanAccessPeer(here, peerDevice):
        raise CUDARuntimeError(NO_PEER if peerDevice != here else INVALID_DEVICE)
    if (here, peerDevice) in _peers:
        raise CUDARuntimeError(PEER_ALREADY)
    _peers.add((here, peerDevice))


def deviceDisablePeerAccess(peerDevice: int) -> None:
    if (engine.device(), peerDevice) not in _peers:
        raise CUDARuntimeError(PEER_NOT_ENABLED)
    _peers.remove((engine.device(), peerDevice))


# ------------------------------------------------------------------------------------------------- memory
def memGetInfo() -> tuple[int, int]:
    return engine.settings.memory - engine.used.get(engine.device(), 0), engine.settings.memory


def malloc(size: int) -> int:
    engine.refuse_in_capture()
    return engine.allocate(size) if size else 0


def free(ptr: int) -> None:
    if ptr:
        engine.refuse_in_capture()
        piece = engine.find(ptr)
        engine.synchronize_device(None if piece is None else piece.device)
        engine.release(ptr)


def mallocAsync(size: int, stream: int) -> int:
    engine.stream(stream)
    return engine.allocate(size) if size else 0


def freeAsync(ptr: int, stream: int) -> None:
    engine.within(ptr, 0, DEVICE)
    engine.queue(stream, lambda: engine.release(ptr))


def hostAlloc(size: int, flags: int) -> int:
    return engine.allocate(size, HOST)


def freeHost(ptr: int) -> None:
    for place in range(engine.settings.devices):
        engine.synchronize_device(place)
    engine.release(ptr, HOST)


class PointerAttributes:
    def __init__(self, device: int, devicePointer: int, hostPointer: int, type: int = -1) -> None:
        self.device, self.devicePointer, self.hostPointer, self.type = device, devicePointer, hostPointer, type


def pointerGetAttributes(ptr: int) -> PointerAttributes:
    piece = engine.find(ptr)
    if piece is None:
        return PointerAttributes(-2, 0, ptr, 0)
    return PointerAttributes(piece.device, ptr, ptr if piece.kind == HOST else 0, piece.kind)


def _move(dst: int, src: int, size: int) -> None:
    engine.view(dst, size)[:] = engine.view(src, size)


def _copy(dst: int, src: int, size: int, kind: int) -> tuple[Callable[[], None], bool]:
    """How a copy runs, and whether it must be over at once: the driver never holds on to memory it has not pinned."""
    if not 0 <= kind <= 4:
        raise CUDARuntimeError(INVALID_VALUE)
    into = engine.within(dst, size, DEVICE if kind in (1, 3) else 0)
    out_of = engine.within(src, size, DEVICE if kind in (2, 3) else 0)
    if out_of is None and size:
        kept = engine.view(src, size).copy()

        def move() -> None:
            engine.view(dst, size)[:] = kept

        return move, into is None
    return (lambda: _move(dst, src, size)), into is None


def memcpy(dst: int, src: int, size: int, kind: int) -> None:
    engine.refuse_in_capture()
    engine.queue(0, _copy(dst, src, size, kind)[0])
    engine.synchronize(0)


def memcpyAsync(dst: int, src: int, size: int, kind: int, stream: int) -> None:
    run, at_once = _copy(dst, src, size, kind)
    engine.queue(stream, run)
    if at_once and not streamIsCapturing(stream):
        engine.stream(stream).drain()


def memcpyPeer(dst: int, dstDevice: int, src: int, srcDevice: int, size: int) -> None:
    memcpyPeerAsync(dst, dstDevice, src, srcDevice, size, 0)
    engine.synchronize(0)


def memcpyPeerAsync(dst: int, dstDevice: int, src: int, srcDevice: int, size: int, stream: int) -> None:
    for address, place in ((dst, dstDevice), (src, srcDevice)):
        piece = engine.within(address, size, DEVICE)
        if piece is not None and piece.device != _device(place):
            raise CUDARuntimeError(INVALID_VALUE)
    engine.queue(stream, lambda: _move(dst, src, size))


def memset(ptr: int, value: int, size: int) -> None:
    memsetAsync(ptr, value, size, 0)


def memsetAsync(ptr: int, value: int, size: int, stream: int) -> None:
    engine.within(ptr, size, DEVICE)

    def run() -> None:
        engine.view(ptr, size)[:] = value & 255

    engine.queue(stream, run)


# ------------------------------------------------------------------------------------------------- streams
def streamCreate() -> int:
    return streamCreateWithPriority(0, 0)


def streamCreateWithFlags(flags: int) -> int:
    return streamCreateWithPriority(flags, 0)


def streamCreateWithPriority(flags: int, priority: int) -> int:
    return engine.register(Stream(engine.device(), flags, min(0, max(priority, -5))))


def streamDestroy(stream: int) -> None:
    engine.stream(stream).drain()
    engine.forget(stream, Stream)


def streamSynchronize(stream: int) -> None:
    engine.synchronize(stream)


def streamQuery(stream: int) -> int:
    one = engine.stream(stream)
    return engine.query(engine.Mark(one, one.queued))


def streamGetFlags(stream: int) -> int:
    return engine.stream(stream).flags


def streamGetPriority(stream: int) -> int:
    return engine.stream(stream).priority


def streamWaitEvent(stream: int, event: int, flags: int = 0) -> None:
    engine.wait(stream, engine.resolve(event, Event))


def launchHostFunc(stream: int, callback: Callable[[Any], None], arg: Any) -> None:
    engine.queue(stream, lambda: callback(arg))


def streamAddCallback(stream: int, callback: Callable[[int, int, Any], None], arg: Any, flags: int = 0) -> None:
    engine.queue(stream, lambda: callback(stream, 0, arg))


def streamIsCapturing(stream: int) -> bool:
    return engine.stream(stream).graph is not None


def streamBeginCapture(stream: int, mode: int = 2) -> None:
    engine.begin_capture(stream, mode)


def streamEndCapture(stream: int) -> int:
    return engine.register(engine.end_capture(stream))


class _Executable:
    def __init__(self, graph: Graph) -> None:
        self.work = tuple(graph.work)

    def run(self) -> None:
        for work in self.work:
            work()


def graphInstantiate(graph: int) -> int:
    return engine.register(_Executable(engine.resolve(graph, Graph)))


def graphUpload(graphExec: int, stream: int) -> None:
    engine.resolve(graphExec, _Executable)


def graphLaunch(graphExec: int, stream: int) -> None:
    engine.queue(stream, engine.resolve(graphExec, _Executable).run)


def graphDestroy(graph: int) -> None:
    engine.forget(graph, Graph)


def graphExecDestroy(graphExec: int) -> None:
    engine.forget(graphExec, _Executable)


# ------------------------------------------------------------------------------------------------- events
def eventCreate() -> int:
    return eventCreateWithFlags(0)


def eventCreateWithFlags(flags: int) -> int:
    return engine.register(Event(engine.device(), flags))


def eventDestroy(event: int) -> None:
    engine.forget(event, Event)


def eventRecord(event: int, stream: int) -> None:
    engine.record(engine.resolve(event, Event), stream)


def eventQuery(event: int) -> int:
    return engine.query(engine.uncaptured(engine.resolve(event, Event)))


def eventSynchronize(event: int) -> None:
    mark = engine.uncaptured(engine.resolve(event, Event))
    with engine.lock:
        if mark is not None:
            mark.wait()


def eventElapsedTime(start: int, end: int) -> float:
    events = [engine.resolve(each, Event) for each in (start, end)]
    marks = [engine.uncaptured(each) for each in events]
    if any(mark is None or each.flags & 2 for mark, each in zip(marks, events, strict=True)):
        raise CUDARuntimeError(INVALID_HANDLE)
    if not all(mark is not None and mark.reached for mark in marks):
        raise CUDARuntimeError(NOT_READY)
    first, last = (0.0 if mark is None else mark.time for mark in marks)
    return (last - first) * 1000
