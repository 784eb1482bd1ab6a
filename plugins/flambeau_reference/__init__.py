"""The reference backend: strict, slow, small, and the simplest complete example of a backend.

Read `array`, `contract`, `kernels` and `backend`, in this order. `devices` and `dense` have fake devices for testing:
without float64, with few dtypes, with little memory, with asynchronous errors, without strided views; `streams` has one
that shows every race between two streams.
"""

from flambeau_reference.backend import ReferenceBackend
from flambeau_reference.contract import ContractError
from flambeau_reference.dense import DenseReferenceBackend
from flambeau_reference.devices import (
    AsynchronousBackend,
    AsynchronousError,
    SingleBackend,
    SmallBackend,
    TinyBackend,
)
from flambeau_reference.streams import StreamsBackend

__all__ = ["AsynchronousBackend", "AsynchronousError", "ContractError", "DenseReferenceBackend", "ReferenceBackend",
           "SingleBackend", "SmallBackend", "StreamsBackend", "TinyBackend"]
