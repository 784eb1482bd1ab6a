"""Small programs of views, changes in place and gradients; each gives a tensor whose values are worked out by hand.

They get `tensor(nested list)`, which puts float32 values on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import flambeau

Make = Callable[[Any], Any]
PROGRAMS: dict[str, Callable[[Make], Any]] = {}
EXPECTED: dict[str, Any] = {}


def _gives(*expected: Any) -> Callable[[Callable[[Make], Any]], Callable[[Make], Any]]:
    def enter(function: Callable[[Make], Any]) -> Callable[[Make], Any]:
        name = function.__name__.strip("_").replace("_", "-")
        PROGRAMS[name] = function
        EXPECTED[name] = np.array(expected[0] if len(expected) == 1 else expected, np.float32)
        return function
    return enter


@_gives([2, 0, 2])
def _assign_number(tensor: Make) -> Any:
    """A number that overwrites an element stops its gradient."""
    x = tensor([1, 2, 3]).requires_grad_()
    y = x * 2
    y[1] = 5.0
    y.sum().backward()
    return x.grad


@_gives([4, 2])
def _assign_tensor(tensor: Make) -> Any:
    """A tensor that is put in gets the gradient of where it went."""
    x = tensor([1, 1, 1, 1])
    v = tensor([3, 4]).requires_grad_()
    y = x * 1
    y[2:] = v
    (y * tensor([7, 7, 4, 2])).sum().backward()
    return v.grad


@_gives([12, 27, 48])
def _power_in_place(tensor: Make) -> Any:
    """x -> x * x in place -> times x: 3 x^2."""
    x = tensor([2, 3, 4]).requires_grad_()
    y = x * 1
    y *= x
    y *= x
    y.sum().backward()
    return x.grad


@_gives([[0, 6], [0, 6]])
def _column_of_a_view(tensor: Make) -> Any:
    """A change through a view of a view of what is no leaf."""
    x = tensor([[1, 2], [3, 4]]).requires_grad_()
    y = x * 2
    y.t()[0].zero_()
    (y * 3).sum().backward()
    return x.grad


@_gives([3, 3])
def _view_before_change(tensor: Make) -> Any:
    """A view that was made before its base changed sees the new values and the new history."""
    x = tensor([1, 2]).requires_grad_()
    y = x * 1
    view = y[:]
    y.mul_(3)
    view.sum().backward()
    return x.grad


@_gives([1, 1, 5])
def _view_then_other_view(tensor: Make) -> Any:
    """A change through one view is in the history of another."""
    x = tensor([1, 2, 3]).requires_grad_()
    y = x * 1
    first, second = y[1:], y[2:]
    second.mul_(5)
    (first.sum() + y[0]).backward()
    return x.grad


@_gives([1, 2, 2, 1])
def _overlapping_windows(tensor: Make) -> Any:
    """Elements that several windows hold get the gradient of each."""
    x = tensor([1, 2, 3, 4]).requires_grad_()
    x.unfold(0, 2, 1).sum().backward()
    return x.grad


@_gives([6, 6])
def _expanded_gradient(tensor: Make) -> Any:
    """Expanded dimensions are added up."""
    x = tensor([1, 2]).requires_grad_()
    (x.expand(3, 2) * 2).sum().backward()
    return x.grad


@_gives([7, 20])
def _accumulation(tensor: Make) -> Any:
    """Gradients add up over calls of backward()."""
    x = tensor([1, 2]).requires_grad_()
    (x * tensor([3, 5])).sum().backward()
    (x * tensor([4, 15])).sum().backward()
    return x.grad


@_gives([2, 4, 6])
def _change_after_use(tensor: Make) -> Any:
    """An operand that is changed in place after a call that does not need it does no harm."""
    x = tensor([1, 2, 3]).requires_grad_()
    y = x * 1
    z = y + 1
    y.zero_()
    (z * tensor([2, 4, 6])).sum().backward()
    return x.grad


@_gives([1, 9, 9, 4])
def _masked(tensor: Make) -> Any:
    x = tensor([1, 2, 3, 4])
    x[(x > 1) & (x < 4)] = 9
    return x


@_gives([0, 2, 2, 0])
def _masked_gradient(tensor: Make) -> Any:
    x = tensor([1, 2, 3, 4]).requires_grad_()
    y = x * 2
    y.masked_fill_(y.detach() % 8 == 0, 0)
    y[0] = 1
    y.sum().backward()
    return x.grad


@_gives([5, 7, 0])
def _no_grad_change(tensor: Make) -> Any:
    """A leaf may be changed under no_grad; the graph does not see it."""
    x = tensor([1, 2, 3]).requires_grad_()
    with flambeau.no_grad():
        x.mul_(2)
        x[2] = 0
    (x * tensor([5, 7, 0])).sum().backward()
    return x.grad


@_gives([2, 4, 0])
def _no_grad_values(tensor: Make) -> Any:
    x = tensor([1, 2, 3]).requires_grad_()
    with flambeau.no_grad():
        x.mul_(2)
        x[2] = 0
    return x


@_gives([[1, 1, 1], [0, 0, 0]])
def _select_gradient(tensor: Make) -> Any:
    x = tensor([[1, 2, 3], [4, 5, 6]]).requires_grad_()
    x[0].sum().backward()
    return x.grad


@_gives([3, 1, 2])
def _swap(tensor: Make) -> Any:
    """A right-hand side that reads what is being written is read first."""
    x = tensor([1, 2, 3])
    x[...] = x[flambeau.tensor([2, 0, 1], device=x.device)]
    return x


@_gives([1, 1, 2, 3])
def _overlapping_copy(tensor: Make) -> Any:
    """A copy within one memory behaves as if the source had been copied away first."""
    x = tensor([1, 2, 3, 4])
    x[1:] = x[:-1].clone()
    return x


@_gives([[1, 4], [2, 5], [3, 6]])
def _become_transposed(tensor: Make) -> Any:
    return tensor([[1, 2, 3], [4, 5, 6]]).t_()


@_gives([10, 20])
def _out_of_view(tensor: Make) -> Any:
    """`out=` that is a view writes into its base."""
    base = tensor([0, 0, 0])
    flambeau.mul(tensor([1, 2]), 10, out=base[1:])
    return base[1:]


@_gives([0, 10, 20])
def _out_base(tensor: Make) -> Any:
    base = tensor([0, 0, 0])
    flambeau.mul(tensor([1, 2]), 10, out=base[1:])
    return base


@_gives([24, 54])
def _second_order(tensor: Make) -> Any:
    """The second derivative through a change in place: x^4 gives 12 x^2, times 1 / 2 and 1 / 2."""
    x = tensor([2, 3]).requires_grad_()
    y = x * x
    y.mul_(y)
    first = flambeau.autograd.grad(y.sum(), x, create_graph=True)[0]
    (first * 0.5).sum().backward()
    return x.grad


@_gives([8, 8, 8])
def _retained_view(tensor: Make) -> Any:
    """A view's own gradient, retained."""
    x = tensor([1, 2, 3, 4]).requires_grad_()
    view = (x * 2)[1:]
    view.retain_grad()
    (view * 8).sum().backward()
    return view.grad


@_gives([1, 2, 3, 4, 0, 0])
def _slice_scatter_free(tensor: Make) -> Any:
    """A detached view shares memory."""
    x = tensor([1, 2, 3, 4, 5, 6])
    x.detach()[4:].zero_()
    return x


@_gives([2, 3, 4])
def _data_changes(tensor: Make) -> Any:
    """`.data` changes the values and not the version."""
    x = tensor([1, 2, 3])
    x.data.add_(1)
    return x + x._version


@_gives([1, 4, 27])
def _self_power(tensor: Make) -> Any:
    """An operator whose operands and target are one tensor."""
    x = tensor([1, 2, 3])
    return x.pow_(x)


@_gives([[2, 4], [4, 8]])
def _transposed_sum(tensor: Make) -> Any:
    """x += x.T reads all of x before it writes."""
    x = tensor([[1, 1], [3, 4]])
    x.add_(x.t())
    return x
