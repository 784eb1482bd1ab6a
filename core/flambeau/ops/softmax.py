"""softmax and its logarithm: normalised exponentials along a dimension.

The gradients are operators of their own, so that a backend can compute them in one pass; their decompositions give
the higher derivatives.
"""

from __future__ import annotations

import warnings
from typing import Any

from flambeau import dispatch, dtypes, shapes
from flambeau.errors import ArgumentTypeError, UnsupportedDtypeError
from flambeau.ops import _faces
from flambeau.ops._samples import Calls
from flambeau.tensor import Tensor


def _samples(make: Any) -> Calls:
    yield (make(3, 4), 1), {}
    yield (make(2, 3, 4), 0), {}
    yield (make(2, 3, 4),), {"dim": -2}
    yield (make.index(3, 4, high=4), -1), {"dtype": make.dtype}


def _samples_backward(make: Any) -> Calls:
    yield (make(3, 4), make.probabilities(3, 4), 1), {}
    yield (make(2, 3, 4), make(2, 3, 4, low=0.1, high=0.6), -2), {}


def _samples_log_backward(make: Any) -> Calls:
    yield (make(3, 4), make(3, 4, low=-4, high=-0.1), 1), {}
    yield (make(2, 3, 4), make(2, 3, 4, low=-4, high=-0.1), -2), {}


def _samples_gumbel(make: Any) -> Calls:
    """Differences so large that whatever is drawn, the sample is the same."""
    yield (make.fixed([[0.0, 8192.0, 0.0], [0.0, 0.0, 8192.0]]),), {"tau": 0.5}
    yield (make.fixed([[0.0, 8192.0, 0.0], [8192.0, 0.0, 8192.0 * 2]]),), {"hard": True, "dim": 0}


@dispatch.operator(method=False, samples=_samples_backward)
def _softmax_backward_data(grad: Tensor, result: Tensor, dim: int) -> Tensor:
    """The gradient of softmax, from that of its result."""
    weighted = grad * result
    return weighted - result * weighted.sum(dim, keepdim=True)


@dispatch.operator(samples=_samples, vjp={
    "input": lambda g, result, dim: _softmax_backward_data(g, result, dim)})
def _softmax(input: Tensor, dim: int) -> Tensor:
    """Exponentials along a dimension, divided by their sum; shifted by the largest, so that nothing overflows."""
    if 0 in input._array.shape:
        return input.clone()
    dims = (dim,) if input._array.shape else ()
    exponentials = (input - input.detach().amax(dims, keepdim=True)).exp()
    return exponentials / exponentials.sum(dims, keepdim=True)


@dispatch.operator(method=False, samples=_samples_log_backward)
def _log_softmax_backward_data(grad: Tensor, result: Tensor, dim: int) -> Tensor:
    """The gradient of log_softmax, from that of its result."""
    return grad - result.exp() * grad.sum(dim, keepdim=True)


@dispatch.operator(samples=_samples, vjp={
    "input": lambda g, result, dim: _log_softmax_backward_data(g, result, dim)})
def _log_softmax(input: Tensor, dim: int) -> Tensor:
    """The logarithm of softmax, computed without dividing."""
    if 0 in input._array.shape:
        return input.clone()
    dims = (dim,) if input._array.shape else ()
    shifted = input - input.detach().amax(dims, keepdim=True)
    return shifted - shifted.exp().sum(dims, keepdim=True).log()


def _prepare(op: str, input: Tensor, dim: Any, dtype: Any, stacklevel: int) -> tuple[Tensor, int]:
    """Check and complete the arguments that the whole family has."""
    if not isinstance(input, Tensor):
        raise ArgumentTypeError(f"{op}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    ndim = len(input._array.shape)
    if dim is None:
        warnings.warn(f"Implicit dimension choice for {op} has been deprecated. Change the call to include dim=X as "
                      "an argument.", stacklevel=stacklevel + 1)
        dim = 0 if ndim in (0, 1, 3) else 1
    if dtype is not None:
        input = input.to(dtypes.as_dtype(dtype))
    if not input._kind.dtype.is_floating_point:
        raise UnsupportedDtypeError(f"{op}: \"{op}_kernel_impl\" not implemented for "
                         f"'{_faces.scalar_name(input._kind.dtype)}'; give dtype=, or convert the input")
    return input, dim if dim.__class__ is int and 0 <= dim < ndim else _faces.one_dim(op, dim, ndim)


@_faces.face(_softmax)
def softmax(input: Tensor, dim: int | None = None, _stacklevel: Any = 3, dtype: Any = None) -> Tensor:
    """Exponentials along `dim`, divided by their sum: positive numbers that add to 1. `dtype` casts the input first.

    RuntimeError for integers without `dtype`.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html

    >>> import flambeau as torch
    >>> torch.softmax(torch.tensor([0., 0.]), dim=0)
    tensor([0.5000, 0.5000])
    """
    if dtype is None and isinstance(_stacklevel, dtypes.dtype):   # softmax(x, 1, torch.float64)
        _stacklevel, dtype = 3, _stacklevel
    return _softmax(*_prepare("softmax", input, dim, dtype, _stacklevel))


@_faces.face(_log_softmax)
def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: Any = 3, dtype: Any = None) -> Tensor:
    """The logarithm of `softmax`, more exact than taking it afterwards. `dtype` casts the input first.

    RuntimeError for integers without `dtype`.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html

    >>> import flambeau as torch
    >>> torch.log_softmax(torch.tensor([0., 0.]), dim=0)
    tensor([-0.6931, -0.6931])
    """
    if dtype is None and isinstance(_stacklevel, dtypes.dtype):   # softmax(x, 1, torch.float64)
        _stacklevel, dtype = 3, _stacklevel
    return _log_softmax(*_prepare("log_softmax", input, dim, dtype, _stacklevel))


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples)
def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """`softmax` of the negated input.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softmin.html

    >>> import flambeau as torch
    >>> torch.nn.functional.softmin(torch.tensor([1., 1.]), dim=0)
    tensor([0.5000, 0.5000])
    """
    input, dim = _prepare("softmin", input, dim, dtype, _stacklevel)
    return _softmax(-input, dim)


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples_gumbel)
def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample from the Gumbel-softmax distribution, one-hot if `hard` (with the gradient of the soft sample).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.gumbel_softmax.html

    >>> import flambeau as torch
    >>> torch.nn.functional.gumbel_softmax(torch.zeros(2, 3), hard=True).sum(-1)
    tensor([1., 1.])
    """
    if not logits._kind.dtype.is_floating_point:
        raise UnsupportedDtypeError("gumbel_softmax: \"exponential_\" not implemented for "
                                    f"'{_faces.scalar_name(logits._kind.dtype)}'; convert the logits")
    noise = -logits.detach().clone().exponential_().log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().argmax(shapes.wrap_dim(dim, soft.dim()), keepdim=True)
    one_hot = soft.new_zeros(soft._array.shape).scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
