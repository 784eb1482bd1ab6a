"""Methods and Python operators of `Tensor`, derived from the table of operators.

`install` runs once all operator modules are imported; a plugin that adds operators calls it again.
"""

from __future__ import annotations

from flambeau.registry import ALIASES, OPERATORS
from flambeau.tensor import TensorMethods


def install() -> None:
    """Attach every record that is a method, and its in-place form, to `Tensor`."""
    for name, record in (*OPERATORS.items(), *ALIASES.items()):
        if record.method and not hasattr(TensorMethods, name):
            setattr(TensorMethods, name, record.public)
        if record.inplace_call is not None and not hasattr(TensorMethods, name + "_"):
            setattr(TensorMethods, name + "_", record.inplace_call)
