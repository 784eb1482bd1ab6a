"""What the stand-in raises: CUDA's errors under CuPy's names, and an error of its own for bugs of the caller's."""

from __future__ import annotations

INVALID_VALUE, OUT_OF_MEMORY, INVALID_DEVICE, NO_PEER, INVALID_HANDLE = 1, 2, 101, 217, 400
NOT_FOUND, NOT_READY, PEER_ALREADY, PEER_NOT_ENABLED = 500, 600, 704, 705
CAPTURE_UNSUPPORTED, CAPTURE_INVALIDATED, CAPTURE_UNMATCHED, CAPTURE_UNJOINED = 900, 901, 903, 904
CAPTURE_IMPLICIT, CAPTURED_EVENT = 906, 907

_TEXTS = {    # status: the runtime's name, the driver's name, what both say
    1: ("InvalidValue", "INVALID_VALUE", "invalid argument"),
    2: ("MemoryAllocation", "OUT_OF_MEMORY", "out of memory"),
    101: ("InvalidDevice", "INVALID_DEVICE", "invalid device ordinal"),
    217: ("PeerAccessUnsupported", "PEER_ACCESS_UNSUPPORTED",
          "peer access is not supported between these two devices"),
    400: ("InvalidResourceHandle", "INVALID_HANDLE", "invalid resource handle"),
    500: ("SymbolNotFound", "NOT_FOUND", "named symbol not found"),
    600: ("NotReady", "NOT_READY", "device not ready"),
    704: ("PeerAccessAlreadyEnabled", "PEER_ACCESS_ALREADY_ENABLED", "peer access is already enabled"),
    705: ("PeerAccessNotEnabled", "PEER_ACCESS_NOT_ENABLED", "peer access has not been enabled"),
    719: ("LaunchFailure", "LAUNCH_FAILED", "unspecified launch failure"),
    900: ("StreamCaptureUnsupported", "STREAM_CAPTURE_UNSUPPORTED",
          "operation not permitted when stream is capturing"),
    901: ("StreamCaptureInvalidated", "STREAM_CAPTURE_INVALIDATED",
          "operation failed due to a previous error during capture"),
    903: ("StreamCaptureUnmatched", "STREAM_CAPTURE_UNMATCHED", "capture was not initiated in this stream"),
    904: ("StreamCaptureUnjoined", "STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"),
    906: ("StreamCaptureImplicit", "STREAM_CAPTURE_IMPLICIT",
          "operation would make the legacy stream depend on a capturing blocking stream"),
    907: ("CapturedEvent", "CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"),
}
_BLAS = {1: "NOT_INITIALIZED", 3: "ALLOC_FAILED", 7: "INVALID_VALUE", 8: "ARCH_MISMATCH", 11: "MAPPING_ERROR",
         13: "EXECUTION_FAILED", 14: "INTERNAL_ERROR", 15: "NOT_SUPPORTED"}


class MachineError(RuntimeError):
    """What a GPU would answer by hanging, or by wrong numbers. It is none of CUDA's errors, so no handler takes it."""


class _Numbered(RuntimeError):
    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(self.text(status))

    @staticmethod
    def text(status: int) -> str:
        raise NotImplementedError

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (self.status,)


class CUDARuntimeError(_Numbered):
    @staticmethod
    def text(status: int) -> str:
        return f"cudaError{_TEXTS[status][0]}: {_TEXTS[status][2]}"


class CUDADriverError(_Numbered):
    @staticmethod
    def text(status: int) -> str:
        return f"CUDA_ERROR_{_TEXTS[status][1]}: {_TEXTS[status][2]}"


class CUBLASError(_Numbered):
    @staticmethod
    def text(status: int) -> str:
        return f"CUBLAS_STATUS_{_BLAS[status]}"


class OutOfMemoryError(MemoryError):
    """cupy.cuda.memory.OutOfMemoryError: what arrays that CuPy makes itself raise."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")
        self._size, self._total, self._limit = size, total, limit


class CompileException(Exception):
    def __init__(self, msg: str, source: str, name: str, options: tuple[str, ...], backend: str = "nvrtc") -> None:
        self._msg, self.source, self.name, self.options, self.backend = msg, source, name, options, backend
        super().__init__()

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self._msg, self.source, self.name, self.options, self.backend)

    def __str__(self) -> str:
        return self.get_message()

    def get_message(self) -> str:
        return self._msg

    def dump(self, f: object) -> None:
        lines = self.source.split("\n")
        for number, line in enumerate(lines, 1):
            f.write(f"{number:{len(str(len(lines)))}} {line}\n")  # type: ignore[attr-defined]
