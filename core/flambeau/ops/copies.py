"""The views as copies: `permute_copy` and its like, for programs that must not share memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.dispatch import composite
from flambeau.dtypes import dtype
from flambeau.ops import _samples, indexing, shape, views
from flambeau.tensor import Tensor


def _copying(name: str, view: Callable[..., Any], samples: Any = None) -> Callable[..., Any]:
    """The operator `<name>_copy`: the results of a view, cloned. Its samples are those of the view."""
    def call(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        found = view(input, *args, **kwargs)
        return found.clone() if isinstance(found, Tensor) else tuple([each.clone() for each in found])
    call.__name__ = call.__qualname__ = f"{name}_copy"
    call.__doc__ = f"`{name}` as a copy: the result has memory of its own."
    return composite(method=False, out=True, samples=samples or view.op.samples)(call)  # type: ignore[attr-defined]


def _slice(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    return indexing.slice_dim(input, dim % (input.dim() or 1), start, end, step)


for _name, _look in (
        ("alias", shape._alias), ("as_strided", views.as_strided), ("diagonal", views.diagonal),
        ("expand", shape.expand), ("permute", shape.permute), ("select", indexing.select),
        ("split_with_sizes", views.split_with_sizes), ("squeeze", shape.squeeze),
        ("t", shape.t), ("transpose", shape.transpose), ("unbind", views.unbind), ("unfold", views.unfold),
        ("unsqueeze", shape.unsqueeze), ("view_as_complex", views.view_as_complex),
        ("view_as_real", views.view_as_real)):
    _copying(_name, _look)


def _view(input: Tensor, *size: Any) -> Tensor:
    """A copy can have any shape; only its being a view depends on the strides."""
    if len(size) == 1 and isinstance(size[0], dtype):
        return shape.view(input, size[0])
    return shape.reshape(input, *size)


_copying("view", _view, shape.view.op.samples)  # type: ignore[attr-defined]
_copying("slice", _slice, _samples.on(((4, 3),), ((4, 3), -1, 1, 3), ((5, 2), 0, 1, None, 2)))
_copying("split", views.split, _samples.on(((5, 3), 2), ((5, 3), 2, -1)))
