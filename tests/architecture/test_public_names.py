"""The public names are PyTorch's: what is internal to the library does not show where a program looks.

Names are found through the table of operators, not listed, so a record that forgot to say that it is internal would
become a function of the package and a method of every tensor. `hasattr(torch, name)` is how programs tell what they run
on, so a name too many is as wrong as one too few.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

import flambeau

OURS = {
    "fallback": "the policy for operators without a kernel",
    "fallback_counts": "what ran on the host",
    "vision": "data sets and transforms, which PyTorch has in a package of its own",
    "get_printoptions": "what set_printoptions set",
    "ComplexFloatTensor": "the legacy type's name that .type() gives",
    "ComplexDoubleTensor": "the legacy type's name that .type() gives",
    "nn.functional.feature_dropout": "PyTorch has it under torch only",
}
"""Public names that PyTorch does not have, each with what it is."""


def names(module: ModuleType, prefix: str) -> set[str]:
    """The public names of a module: those that it lists, or all but the submodules that came with importing it."""
    found = set(getattr(module, "__all__", ())) or {name for name in dir(module) if not name.startswith("_")}
    return {prefix + name for name in found if not isinstance(getattr(module, name), ModuleType)}


@pytest.mark.parametrize("module", ["", "nn.functional", "linalg"])
def test_functions_are_pytorchs(module: str, oracle: ModuleType):
    prefix = module + "." if module else ""
    ours = importlib.import_module(f"flambeau.{module}".rstrip("."))
    theirs = importlib.import_module(f"torch.{module}".rstrip("."))
    extra = {name for name in names(ours, prefix) if not hasattr(theirs, name.removeprefix(prefix))}
    assert sorted(extra - OURS.keys()) == []


def test_methods_are_pytorchs(oracle: ModuleType):
    extra = {name for name in dir(flambeau.Tensor) if not name.startswith("_") and not hasattr(oracle.Tensor, name)}
    assert sorted(extra) == []


def test_every_name_found_can_be_used():
    """`dir` promises no name that looking up does not find."""
    from flambeau.nn import functional

    assert [name for name in dir(flambeau) if not hasattr(flambeau, name)] == []
    assert [name for name in dir(functional) if not hasattr(functional, name)] == []


def test_internal_operators_stay_inside():
    from flambeau.nn import functional
    from flambeau.registry import OPERATORS

    internal = [record for record in OPERATORS.values() if record.internal]
    assert len(internal) > 20
    for record in internal:
        for place in (flambeau, functional, flambeau.Tensor):
            assert getattr(getattr(place, record.name, None), "op", None) is not record, (place, record)
