"""Comparing gradients with finite differences.

For every input element the function is evaluated at two neighbours (central differences) and the column of the
Jacobian so found is compared with what the backward walk gives. Needs float64: in float32 the differences drown.
Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from flambeau import walk
from flambeau.errors import FlambeauError
from flambeau.graph import STATE
from flambeau.tensor import Tensor


class GradcheckError(FlambeauError, RuntimeError):
    """Analytical and numerical gradients that differ."""


def _tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, Tensor) else tuple(value)


def _differentiable(values: Sequence[Any]) -> list[Tensor]:
    return [each for each in values if isinstance(each, Tensor) and each.requires_grad]


def _numerical(fn: Callable[..., Any], inputs: tuple[Any, ...], which: Tensor, eps: float) -> list[list[Tensor]]:
    """Per element of `which`, per output: the derivative of the output, by central differences."""
    columns = []
    flat = which.data.reshape(-1) if which.is_contiguous() else None
    if flat is None:
        raise GradcheckError("gradcheck: inputs must be contiguous; call .contiguous() on them")
    steps = [eps, 1j * eps] if which.is_complex() else [eps]
    for index in range(flat.numel()):
        original = flat[index].item()
        parts = []
        for step in steps:
            flat[index] = original + step
            above = [each.detach().clone() for each in _tuple(fn(*inputs))]
            flat[index] = original - step
            below = [each.detach().clone() for each in _tuple(fn(*inputs))]
            flat[index] = original
            parts.append([(a - b) / (2 * eps) for a, b in zip(above, below, strict=True)])
        columns.append(parts)
    return [[column[part][output] for column in columns for part in range(len(steps))]
            for output in range(len(columns[0][0]) if columns else 0)]


def _analytical(output: Tensor, inputs: list[Tensor], seed: Tensor) -> list[Tensor]:
    found = walk.grad(output, inputs, seed, retain_graph=True, allow_unused=True)
    return [each.detach() * 0 if grad is None else grad for each, grad in zip(inputs, found, strict=True)]


def _seeds(output: Tensor) -> list[tuple[int, Tensor]]:
    """One cotangent per output element; for a complex output also the imaginary ones."""
    seeds = []
    units = (1.0, 1j) if output.is_complex() else (1.0,)
    for index in range(output.numel()):
        for unit in units:
            seed = output.detach().new_zeros(output.numel())
            seed[index] = unit
            seeds.append((index, seed.reshape(output.shape)))
    return seeds


def _compare(output: Tensor, number: int, inputs: list[Tensor], numerical: list[list[list[Tensor]]],
             atol: float, rtol: float, nondet_tol: float) -> str:
    """An empty string if all derivatives of one output agree, else what differs."""
    for index, seed in _seeds(output):
        first = _analytical(output, inputs, seed)
        again = _analytical(output, inputs, seed)
        for position, (grad, other, which) in enumerate(zip(first, again, inputs, strict=True)):
            if bool(((grad - other).abs() > nondet_tol).any()):
                return (f"Backward is not reentrant: output {number}, input {position} gives different gradients in "
                        "two runs")
            imaginary = output.is_complex() and seed.reshape(-1)[index].imag.item() != 0
            expected = _expected(numerical[position][number] if numerical[position] else [], index, which, imaginary)
            values = grad.reshape(-1).tolist()
            for element, (mine, theirs) in enumerate(zip(values, expected, strict=True)):
                if abs(mine - theirs) > atol + rtol * abs(theirs):
                    return (f"Jacobian mismatch for output {number} with respect to input {position}: "
                            f"d out[{index}] / d in[{element}] is {theirs:.6g} numerically and {mine:.6g} by backward")
    return ""


def _expected(columns: list[Tensor], index: int, which: Tensor, imaginary: bool) -> list[Any]:
    """The gradient of one output element by finite differences, in PyTorch's convention for complex numbers."""
    values = [column.reshape(-1)[index].item() for column in columns]
    real = [(each.imag if imaginary else each.real) if isinstance(each, complex) else each for each in values]
    if not which.is_complex():
        return real
    return [complex(real[2 * each], real[2 * each + 1]) for each in range(len(real) // 2)]


def gradcheck(func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
              check_grad_dtypes: bool = False, check_batched_grad: bool = False,
              check_batched_forward_grad: bool = False, check_forward_ad: bool = False,
              check_backward_ad: bool = True, fast_mode: bool = False, masked: bool | None = None) -> bool:
    """Whether the gradients of `func` at `inputs` agree with finite differences.

    Inputs that require grad should be float64 or complex128. Raises `GradcheckError` (a RuntimeError) on a mismatch,
    or returns False with `raise_exception=False`. Forward mode and batched gradients are not checked.

    >>> import flambeau as torch
    >>> x = torch.tensor([0.5, 1.0], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradcheck(torch.tanh, x)
    True
    """
    arguments = _tuple(inputs)
    wanted = _differentiable(arguments)
    problem = "" if wanted else ("gradcheck expects at least one input tensor to require gradient; call "
                                 "requires_grad_() on those to check")
    if not wanted:
        raise ValueError(problem)
    for each in wanted:
        if each.dtype.name not in ("float64", "complex128"):
            warnings.warn(f"gradcheck: an input of {each.dtype} requires gradient; finite differences need double "
                          "precision, so this will likely fail", UserWarning, stacklevel=2)
    outputs = [each for each in _tuple(func(*arguments)) if isinstance(each, Tensor)]
    checked = [(number, each) for number, each in enumerate(outputs) if each.requires_grad]
    with_grad = STATE.enabled
    try:
        STATE.enabled = False
        numerical = [_numerical(func, arguments, each, eps) for each in wanted]
    finally:
        STATE.enabled = with_grad
    if not checked and any(bool((column != 0).any()) for per in numerical for columns in per for column in columns):
        problem = "Numerical gradient for function expected to be zero: no output requires gradient"
    for number, output in checked:
        problem = problem or _compare(output, number, wanted, numerical, atol, rtol, nondet_tol)
    if problem and raise_exception:
        raise GradcheckError(problem)
    return not problem


def gradgradcheck(func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6,
                  atol: float = 1e-5, rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False,
                  raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
                  check_grad_dtypes: bool = False, check_batched_grad: bool = False, check_fwd_over_rev: bool = False,
                  check_rev_over_rev: bool = True, fast_mode: bool = False, masked: bool = False) -> bool:
    """Whether second derivatives agree with finite differences of the first ones.

    >>> import flambeau as torch
    >>> x = torch.tensor([0.5, 1.0], dtype=torch.float64, requires_grad=True)
    >>> torch.autograd.gradgradcheck(torch.tanh, x)
    True
    """
    arguments = _tuple(inputs)
    outputs = [each for each in _tuple(func(*arguments)) if isinstance(each, Tensor) and each.requires_grad]
    if grad_outputs is None:
        # fixed and irregular, so that no symmetry hides a mistake
        grad_outputs = tuple((each.detach() * 0 + 0.3 * (number + 1) + 0.1 * _ramp(each)).requires_grad_()
                             for number, each in enumerate(outputs))
    seeds = _tuple(grad_outputs)
    count = len(seeds)

    def first(*args: Any) -> tuple[Tensor, ...]:
        inner, cotangents = args[:-count], args[-count:]
        enabled, STATE.enabled = STATE.enabled, True
        try:
            again = [each for each in _tuple(func(*inner)) if isinstance(each, Tensor) and each.requires_grad]
            found = walk.grad(again, _differentiable(inner), cotangents, create_graph=True, allow_unused=True)
        finally:
            STATE.enabled = enabled
        return tuple(each for each in found if each is not None)

    return gradcheck(first, (*arguments, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
                     nondet_tol=nondet_tol)


def _ramp(tensor: Tensor) -> Tensor:
    """Different small values for the elements of a tensor."""
    ramp = tensor.detach() * 0
    flat = ramp.reshape(-1)
    for index in range(flat.numel()):
        flat[index] = ((index * 7 + 3) % 11) / 11
    return ramp
