"""The views as copies: `permute_copy` and its like, for programs that must not share memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.dispatch import composite
from flambeau.ops import indexing, shape, views
from flambeau.tensor import Tensor


def _copying(name: str, view: Callable[..., Any]) -> Callable[..., Any]:
    """The operator `<name>_copy`: the results of a view, cloned."""
    def call(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        found = view(input, *args, **kwargs)
        return found.clone() if isinstance(found, Tensor) else tuple([each.clone() for each in found])
    call.__name__ = call.__qualname__ = f"{name}_copy"
    call.__doc__ = f"`{name}` as a copy: the result has memory of its own."
    return composite(method=False, out=True)(call)


def _slice(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    return indexing.slice_dim(input, dim % (input.dim() or 1), start, end, step)


for _name, _view in (
        ("alias", shape._alias), ("as_strided", views.as_strided), ("diagonal", views.diagonal),
        ("expand", shape.expand), ("permute", shape.permute), ("select", indexing.select), ("slice", _slice),
        ("split", views.split), ("split_with_sizes", views.split_with_sizes), ("squeeze", shape.squeeze),
        ("t", shape.t), ("transpose", shape.transpose), ("unbind", views.unbind), ("unfold", views.unfold),
        ("unsqueeze", shape.unsqueeze), ("view", shape.view), ("view_as_complex", views.view_as_complex),
        ("view_as_real", views.view_as_real)):
    _copying(_name, _view)
