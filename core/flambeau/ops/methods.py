"""Methods of `Tensor`, derived from the table of operators.

`install` runs once all operator modules are imported; from then on each new record, of a plugin or a program, is
attached as it is made. What a module attached by hand (`tensor.attach`) is left alone.
"""

from __future__ import annotations

from flambeau._methods import TensorMethods
from flambeau.registry import ALIASES, LISTENERS, OPERATORS, WITHDRAWALS, OpDef


def install() -> None:
    """Attach every record that is a method, and its in-place form, to `Tensor`; and every later one."""
    for name, record in (*OPERATORS.items(), *ALIASES.items()):
        _attach(name, record)
    LISTENERS.append(lambda record: _attach(record.name, record))
    WITHDRAWALS.append(_detach)


def _attach(name: str, record: OpDef) -> None:
    if record.internal:
        return
    if record.method:
        present = getattr(TensorMethods, name, None)
        if present is None or present is record.call:  # nothing there, or the core that now gets its front
            setattr(TensorMethods, name, record.public)
    is_member = record.method or hasattr(TensorMethods, name)
    if record.inplace_call is not None and is_member and not hasattr(TensorMethods, name + "_"):
        setattr(TensorMethods, name + "_", record.inplace_call)


def _detach(record: OpDef) -> None:
    """Take back what `_attach` did for a record."""
    for name, member in ((record.name, record.public), (record.name + "_", record.inplace_call)):
        if member is not None and vars(TensorMethods).get(name) is member:
            delattr(TensorMethods, name)
