"""The switches of oneDNN, PyTorch's library for the host: kept, for the array library below computes as it does."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from flambeau.backends._switches import Precision, precision, precision_of

enabled = True
matmul: Precision = precision_of("host", "matmul")
conv: Precision = precision_of("host", "conv")
rnn: Precision = precision_of("host", "rnn")

if TYPE_CHECKING:
    fp32_precision: str


def is_available() -> bool:
    """False: there is no oneDNN in this library."""
    return False


class _Mkldnn(ModuleType):
    fp32_precision = precision("host", "all", "generic")   # set for everybody, in PyTorch as well


sys.modules[__name__].__class__ = _Mkldnn
