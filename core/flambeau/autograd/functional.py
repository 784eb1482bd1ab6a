"""Jacobians, Hessians and their products with vectors, by repeated walks.

Source: https://docs.pytorch.org/docs/stable/autograd.html#functional-higher-level-api
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import walk
from flambeau.autograd.grad_mode import enable_grad
from flambeau.errors import GraphError
from flambeau.tensor import Tensor


def _prepare(inputs: Any, create_graph: bool) -> tuple[bool, tuple[Tensor, ...]]:
    """(was a single tensor, fresh leaves or, to keep the caller's graph, views of the inputs)."""
    single = isinstance(inputs, Tensor)
    tensors = (inputs,) if single else tuple(inputs)
    if create_graph:
        return single, tuple(each.view_as(each) if each.requires_grad else each.detach().requires_grad_()
                             for each in tensors)
    return single, tuple(each.detach().clone().requires_grad_() for each in tensors)


def _outputs(value: Any, name: str) -> tuple[bool, tuple[Tensor, ...]]:
    single = isinstance(value, Tensor)
    outputs = (value,) if single else tuple(value)
    if not all(isinstance(each, Tensor) for each in outputs):
        raise GraphError(f"{name}: the function must return a Tensor or a tuple of Tensors")
    return single, outputs


def _or_zeros(grads: Any, like: tuple[Tensor, ...], strict: bool, name: str) -> tuple[Tensor, ...]:
    if strict and any(each is None for each in grads):
        raise GraphError(f"{name}: the outputs do not depend on one of the inputs, which strict mode does not allow")
    return tuple(each.new_zeros(each.shape) if grad is None else grad for each, grad in zip(like, grads, strict=True))


def _shape_back(single: bool, values: tuple[Any, ...]) -> Any:
    return values[0] if single else values


def vjp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), the product of `v` with its Jacobian). `v` has the outputs' shapes; None for a scalar output.

    >>> import flambeau as torch
    >>> torch.autograd.functional.vjp(lambda x: x * x, torch.tensor([1., 2.]), torch.ones(2))[1]
    tensor([2., 4.])
    """
    with enable_grad():
        single, args = _prepare(inputs, create_graph)
        single_out, outputs = _outputs(func(*args), "vjp")
        seeds = None if v is None else ((v,) if isinstance(v, Tensor) else tuple(v))
        found = walk.grad(outputs, args, seeds, create_graph=create_graph, allow_unused=True)
        grads = _or_zeros(found, args, strict, "vjp")
    if not create_graph:
        outputs, grads = tuple(each.detach() for each in outputs), tuple(each.detach() for each in grads)
    return _shape_back(single_out, outputs), _shape_back(single, grads)


def jacobian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False,
             vectorize: bool = False, strategy: str = "reverse-mode") -> Any:
    """The derivatives of every output element: shape (*output, *input), nested in tuples for several of either.

    >>> import flambeau as torch
    >>> torch.autograd.functional.jacobian(lambda x: x * x, torch.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    from flambeau.ops.joining import stack
    with enable_grad():
        single, args = _prepare(inputs, create_graph)
        single_out, outputs = _outputs(func(*args), "jacobian")
        rows = []
        for output in outputs:
            flat = output.reshape(-1)
            grads = []
            for index in range(flat.numel()):
                found = walk.grad(flat[index], args, retain_graph=True, create_graph=create_graph,
                                  allow_unused=True) if flat.requires_grad else (None,) * len(args)
                grads.append(_or_zeros(found, args, strict, "jacobian"))
            rows.append(tuple(
                stack([each[which] for each in grads]).reshape((*output.shape, *arg.shape)) if grads
                else output.new_zeros((*output.shape, *arg.shape)) for which, arg in enumerate(args)))
    if not create_graph:
        rows = [tuple(each.detach() for each in row) for row in rows]
    return _shape_back(single_out, tuple(_shape_back(single, row) for row in rows))


def hessian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False,
            vectorize: bool = False, outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The second derivatives of a function with one element: shape (*input, *input).

    >>> import flambeau as torch
    >>> torch.autograd.functional.hessian(lambda x: (x ** 3).sum(), torch.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    def gradient(*args: Tensor) -> Any:
        found = jacobian(func, args, create_graph=True, strict=strict)
        return tuple(each.reshape(arg.shape) for each, arg in zip(found, args, strict=True))

    single = isinstance(inputs, Tensor)
    found = jacobian(gradient, (inputs,) if single else inputs, create_graph=create_graph, strict=strict)
    return found[0][0] if single else found


def hvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), the product of its Hessian with `v`), for a function with one element."""
    with enable_grad():
        single, args = _prepare(inputs, create_graph)
        _, outputs = _outputs(func(*args), "hvp")
        firsts = _or_zeros(walk.grad(outputs, args, create_graph=True, allow_unused=True), args, strict, "hvp")
        seeds = None if v is None else ((v,) if isinstance(v, Tensor) else tuple(v))
        live = [index for index, each in enumerate(firsts) if each.requires_grad]
        found: tuple[Any, ...] = (None,) * len(args)
        if live:
            found = walk.grad([firsts[index] for index in live], args,
                              None if seeds is None else [seeds[index] for index in live],
                              create_graph=create_graph, allow_unused=True)
        grads = _or_zeros(found, args, strict, "hvp")
    if not create_graph:
        outputs, grads = tuple(each.detach() for each in outputs), tuple(each.detach() for each in grads)
    return outputs[0], _shape_back(single, grads)


vhp = hvp  # the Hessian is symmetric


def jvp(func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False,
        strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), the product of its Jacobian with `v`), by differentiating the vjp with respect to its seed."""
    with enable_grad():
        _, args = _prepare(inputs, create_graph)
        single_out, outputs = _outputs(func(*args), "jvp")
        seeds = tuple(each.new_zeros(each.shape).requires_grad_() for each in outputs)
        firsts = _or_zeros(walk.grad(outputs, args, seeds, create_graph=True, allow_unused=True), args, strict, "jvp")
        directions = tuple(each.new_ones(each.shape) for each in args) if v is None else (
            (v,) if isinstance(v, Tensor) else tuple(v))
        live = [index for index, each in enumerate(firsts) if each.requires_grad]
        found = walk.grad([firsts[index] for index in live], seeds, [directions[index] for index in live],
                          create_graph=create_graph, allow_unused=True) if live else (None,) * len(seeds)
        grads = _or_zeros(found, seeds, strict, "jvp")
    if not create_graph:
        outputs, grads = tuple(each.detach() for each in outputs), tuple(each.detach() for each in grads)
    return _shape_back(single_out, outputs), _shape_back(single_out, grads)
