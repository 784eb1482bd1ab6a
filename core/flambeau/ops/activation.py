"""The nonlinearities as `nn.functional` offers them: with `inplace=`, and with PyTorch's defaults and checks."""

from __future__ import annotations

from typing import Any

from flambeau.dispatch import composite, front
from flambeau.dtypes import BOOL, INTEGER, float64, scalar_name
from flambeau.errors import ArgumentError, ArgumentValueError, DtypeError, ShapeError, UnsupportedDtypeError, message
from flambeau.ops import _samples, nonlinear, rules
from flambeau.ops.nonlinear import sigmoid, tanh
from flambeau.tensor import Tensor, attach

_relu_inplace, _selu_inplace = rules.inplace(nonlinear._relu), rules.inplace(nonlinear._selu)
_celu_inplace, _threshold_inplace = rules.inplace(nonlinear._celu), rules.inplace(nonlinear._threshold)
_elu_inplace, _leaky_inplace = rules.inplace(nonlinear._elu), rules.inplace(nonlinear._leaky_relu)
_hardtanh_inplace = rules.inplace(nonlinear._hardtanh)

def _check_floating(op: str, input: Tensor) -> None:
    """Refuse what a float parameter would promote: the result has the input's dtype."""
    if isinstance(input, Tensor) and not input._kind.dtype.is_floating_point:
        raise UnsupportedDtypeError(message(op, f"\"{op}\" not implemented for '{scalar_name(input._kind.dtype)}'",
                                            allowed="floating dtypes",
                                            next_step="convert the input, for example x.to(torch.float32)"))


def _whole(op: str, number: float, input: Tensor) -> int:
    """A number as an integer tensor holds it: cut off, and refused where it does not fit."""
    target = input._kind.dtype
    found, bits = int(number), 8 * target.itemsize - target.is_signed
    if not -target.is_signed << bits <= found < 1 << bits:
        raise ArgumentError(message(op, f"value cannot be converted to type {target} without overflow",
                                    given=repr(number)))
    return found


# `x.relu()` is the record's call itself; the function has one more argument.
attach(nonlinear._relu, "relu")


@front(nonlinear._relu)
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """The larger of each element and 0.

    >>> import flambeau as torch
    >>> torch.nn.functional.relu(torch.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    return _relu_inplace(input) if inplace else nonlinear._relu(input)


@composite(samples=_samples.on(((2, 3),), of="distinct"), method=False, namespace="nn.functional")
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Each element limited to [0, 6].

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.relu6.html

    >>> import flambeau as torch
    >>> torch.nn.functional.relu6(torch.tensor([-1., 3., 8.]))
    tensor([0., 3., 6.])
    """
    return hardtanh(input, 0.0, 6.0, inplace)


@front(nonlinear._selu)
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The scaled exponential linear unit, with the constants of self-normalising networks.

    >>> import flambeau as torch
    >>> torch.selu(torch.tensor([-1., 2.]))
    tensor([-1.1113,  2.1014])
    """
    return _selu_inplace(input) if inplace else nonlinear._selu(input)


@rules.inplace_front(nonlinear._celu)
def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return celu(input, alpha, inplace=True)


@front(nonlinear._celu)
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """The element, or `alpha * (exp(x / alpha) - 1)` below 0. `alpha` is not 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.celu.html

    >>> import flambeau as torch
    >>> torch.nn.functional.celu(torch.tensor([-1., 1.]))
    tensor([-0.6321,  1.0000])
    """
    _check_floating("celu", input)
    if alpha == 0:
        raise ArgumentError(message("celu", "ZeroDivisionError: alpha cannot be 0 for CELU", given=repr(alpha)))
    return (_celu_inplace if inplace else nonlinear._celu)(input, alpha)


@rules.inplace_front(nonlinear._elu)
def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return _elu_inplace(input, alpha, 1.0, 1.0)


@front(nonlinear._elu)
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """The exponential linear unit: the element, or `alpha * (exp(x) - 1)` below 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.elu.html

    >>> import flambeau as torch
    >>> torch.nn.functional.elu(torch.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000])
    """
    _check_floating("elu", input)
    return elu_(input, alpha) if inplace else nonlinear._elu(input, alpha, 1.0, 1.0)


@rules.inplace_front(nonlinear._leaky_relu)
def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return _leaky_inplace(input, negative_slope)


@front(nonlinear._leaky_relu)
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """The element, times `negative_slope` below 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.leaky_relu.html

    >>> import flambeau as torch
    >>> torch.nn.functional.leaky_relu(torch.tensor([-1., 2.]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    _check_floating("leaky_relu", input)
    return leaky_relu_(input, negative_slope) if inplace else nonlinear._leaky_relu(input, negative_slope)


@composite(samples=_samples.on(((2, 3),), ((2, 3), 0.25, 0.75)), method=False, namespace="torch nn.functional")
def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
          inplace: bool = False) -> Tensor:
    """`leaky_relu` with a random slope from [lower, upper) for each element in training, else with their mean.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.rrelu.html

    >>> import flambeau as torch
    >>> torch.nn.functional.rrelu(torch.tensor([-8., 2.]), 0.25, 0.75)
    tensor([-4.,  2.])
    """
    _check_floating("rrelu", input)
    if lower > upper:
        raise ArgumentError(f"rrelu: lower bound should be less than or equal to upper bound; given: {lower} and "
                            f"{upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slopes = _random_slopes(input.detach(), lower, upper)
    return input.mul_(slopes) if inplace else input * slopes


def _random_slopes(x: Tensor, lower: float, upper: float) -> Tensor:
    """1 above 0, elsewhere a draw: on a host one for each such element, as PyTorch's generator gives them."""
    if not x._kind.backend.capabilities.host:
        return x.new_empty(x._array.shape).uniform_(lower, upper).masked_fill(x > 0, 1)
    below = x <= 0
    drawn = x.new_empty(int(below.sum().item()), dtype=float64).uniform_(lower, upper)
    return x.new_ones(x._array.shape).masked_scatter(below, drawn.to(x._kind.dtype))


@composite(samples=_samples.on(((2, 3),), ((2, 3), 0.25, 0.75)), method=False, namespace="torch nn.functional")
def rrelu_(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, True)


@front(nonlinear._hardtanh)
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Each element limited to a range.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.hardtanh.html

    >>> import flambeau as torch
    >>> torch.nn.functional.hardtanh(torch.tensor([-2., 0.5, 2.]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min_val > max_val:
        raise ArgumentValueError(message("hardtanh", "min_val cannot be greater than max_val",
                                         given=f"min_val={min_val}, max_val={max_val}"))
    kind = input._kind.dtype
    if kind.category == BOOL:
        raise DtypeError(message("hardtanh", "Bool inputs not supported for hardtanh",
                                 next_step="convert, for example x.float()"))
    if kind.category == INTEGER:
        min_val, max_val = int(min_val), int(max_val)
        if not kind.is_signed and (min_val < 0 or max_val < 0):
            raise ArgumentError(message("hardtanh", "cannot do hardtanh on an unsigned type with negative limits",
                                        given=f"min_val={min_val}, max_val={max_val}"))
    return (_hardtanh_inplace if inplace else nonlinear._hardtanh)(input, min_val, max_val)


@front(nonlinear._threshold, out=True)
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """The element, or `value` where it is not above `threshold`.

    >>> import flambeau as torch
    >>> torch.threshold(torch.tensor([0.1, 2.]), 0.5, 20.)
    tensor([20.,  2.])
    """
    if input._kind.dtype.category == BOOL:
        _check_floating("threshold", input)
    if input._kind.dtype.category == INTEGER:
        threshold, value = _whole("threshold", threshold, input), _whole("threshold", value, input)
    return (_threshold_inplace if inplace else nonlinear._threshold)(input, threshold, value)


@front(nonlinear._gelu, out=True)
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """The element times the chance that a normal variate is below it; `approximate="tanh"` for the cheaper formula.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.gelu.html

    >>> import flambeau as torch
    >>> torch.nn.functional.gelu(torch.tensor([-1., 2.]))
    tensor([-0.1587,  1.9545])
    """
    if approximate == "none":
        return nonlinear._gelu(input)
    if approximate == "tanh":
        return nonlinear._gelu_tanh(input)
    raise ArgumentError(message("gelu", "approximate argument must be either none or tanh.", given=repr(approximate)))


def _maybe_inplace(core: Any) -> Any:
    changed = rules.inplace(core)

    def face(input: Tensor, inplace: bool = False) -> Tensor:
        return changed(input) if inplace else core(input)
    face.__name__ = face.__qualname__ = core.op.name
    face.__doc__ = core.op.doc
    return front(core)(face)


silu = _maybe_inplace(nonlinear._silu)
mish = _maybe_inplace(nonlinear._mish)
hardswish = _maybe_inplace(nonlinear._hardswish)
hardsigmoid = _maybe_inplace(nonlinear._hardsigmoid)
logsigmoid = nonlinear.logsigmoid


@front(nonlinear._softplus, out=True)
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """`log(1 + exp(beta x)) / beta`; the element itself where `beta x` is above `threshold`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softplus.html

    >>> import flambeau as torch
    >>> torch.nn.functional.softplus(torch.tensor([0., 30.]))
    tensor([ 0.6931, 30.0000])
    """
    _check_floating("softplus", input)
    return nonlinear._softplus(input, beta, threshold)


@front(nonlinear._softshrink, out=True)
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """The element moved by `lambd` towards 0, or 0 within `lambd` of it.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softshrink.html

    >>> import flambeau as torch
    >>> torch.nn.functional.softshrink(torch.tensor([-2., 0.25, 2.]))
    tensor([-1.5000,  0.0000,  1.5000])
    """
    _check_floating("softshrink", input)
    if lambd < 0:
        raise ArgumentError(message("softshrink", "lambda must be greater or equal to 0, but found to be "
                                    f"{lambd}", next_step="pass a non-negative lambd"))
    return nonlinear._softshrink(input, lambd)


@composite(samples=_samples.on(((2, 3),)), method=False, namespace="nn.functional")
def softsign(input: Tensor) -> Tensor:
    """`x / (1 + |x|)`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.softsign.html

    >>> import flambeau as torch
    >>> torch.nn.functional.softsign(torch.tensor([-1., 0., 3.]))
    tensor([-0.5000,  0.0000,  0.7500])
    """
    return input / (input.abs() + 1)


@composite(samples=_samples.on(((2, 3),)), method=False, namespace="nn.functional")
def tanhshrink(input: Tensor) -> Tensor:
    """`x - tanh(x)`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.tanhshrink.html

    >>> import flambeau as torch
    >>> torch.nn.functional.tanhshrink(torch.tensor([0., 1.]))
    tensor([0.0000, 0.2384])
    """
    return input - tanh(input)


def _samples_prelu(make: Any) -> _samples.Calls:
    yield (make(2, 3), make.positive(3)), {}
    yield (make(2, 3, 2), make.positive(1)), {}


@composite(samples=_samples_prelu)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """The element, times a learned weight below 0; `weight` has one element, or one per channel (dimension 1).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.prelu.html

    >>> import flambeau as torch
    >>> torch.prelu(torch.tensor([-1., 2.]), torch.tensor([0.5]))
    tensor([-0.5000,  2.0000])
    """
    shape, count = input._array.shape, weight.numel()
    if len(weight._array.shape) > 1:
        raise ShapeError(message("prelu", "Expected `weight` to be a scalar or 1D tensor, but got ndim = "
                                 f"{len(weight._array.shape)}"))
    if count != 1:
        channels = shape[1] if len(shape) > 1 else 1
        if not shape or channels != count:
            raise ShapeError(message("prelu", "Mismatch of parameter numbers and input channel size. Found parameter "
                                     f"numbers = {count} and channel size = {channels}."))
        weight = weight.reshape((count,) + (1,) * (len(shape) - 2))
    elif weight._array.shape and not shape:
        weight = weight.reshape(())
    return nonlinear._prelu_kernel(input, weight)


@composite(samples=_samples.on(((3, 4),), ((2, 3), 0), ((2, 4, 3), -2)), method=False, namespace="nn.functional")
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half of a dimension times the logistic function of the second.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.glu.html

    >>> import flambeau as torch
    >>> torch.nn.functional.glu(torch.tensor([1., 2., 0., 0.]))
    tensor([0.5000, 1.0000])
    """
    shape = input._array.shape
    if not shape:
        raise ShapeError("glu does not support 0-dimensional tensors")
    if shape[dim] % 2:
        raise ShapeError(message("glu", f"Halving dimension must be even, but dimension {dim} is size {shape[dim]}"))
    half = shape[dim] // 2
    return input.narrow(dim, 0, half) * sigmoid(input.narrow(dim, half, half))


@front(nonlinear._hardshrink, out=True)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """The element, or 0 within `lambd` of 0.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hardshrink.html

    >>> import flambeau as torch
    >>> torch.hardshrink(torch.tensor([0.2, -2.]))
    tensor([ 0., -2.])
    """
    _check_floating("hardshrink", input)
    return nonlinear._hardshrink(input, lambd)


__all__ = rules.public(globals())
