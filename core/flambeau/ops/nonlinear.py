"""The nonlinearities of neural networks as records. `activation` has their faces in `nn.functional`.

Those that training spends its time in have a record for their gradient too (`relu_backward`, `gelu_backward`, ...), so
that a backend computes it in one pass. Such a record has a decomposition and no gradient of its own: higher
derivatives go through the decomposition.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.dispatch import binary, int_to_float, pointwise, unary
from flambeau.dtypes import BOOL, COMPLEX
from flambeau.ir import expr as ir
from flambeau.ops import _samples, rules
from flambeau.ops.selection import where
from flambeau.tensor import Tensor

_HIDDEN: dict[str, Any] = {"inplace": False, "method": False, "namespace": "internal",
                           "samples": _samples.together(((2, 3), (2, 3)), ((), ()))}
_FUNCTIONAL: dict[str, Any] = {"method": False, "namespace": "nn.functional", "excluded": rules.FLOATS_ONLY}
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
_INV_SQRT2, _INV_SQRT_2PI = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)
_SQRT_2_PI, _CUBIC = math.sqrt(2 / math.pi), 0.044715


# ---------------------------------------------------------------------------------------------- relu
@binary(**_HIDDEN, expr=lambda g, y: ir.where(y <= 0, 0, g))
def _relu_backward(grad: Tensor, result: Tensor) -> Tensor:
    """The gradient of relu: what came, where the result is above 0."""
    return grad.masked_fill(result <= 0, 0)


@unary(promote=rules.refusing_bool("relu: Boolean inputs not supported for relu; convert, for example x.float()"),
       excluded=(COMPLEX,), vjp={"input": lambda g, result: _relu_backward(g, result)},
       expr=lambda x: ir.where(x < 0, 0, x))
def _relu(input: Tensor) -> Tensor:
    """The larger of each element and 0."""


# ---------------------------------------------------------------------------------------------- sigmoid and tanh
@binary(**_HIDDEN, expr=lambda g, y: g * ir.conj(y * (1 - y)))
def _sigmoid_backward(grad: Tensor, result: Tensor) -> Tensor:
    """The gradient of sigmoid."""
    return grad * rules.conj(result * (1 - result))


@unary(promote=int_to_float, vjp={"input": lambda g, result: _sigmoid_backward(g, result)},
       expr=lambda x: 1 / (1 + ir.exp(-x)))
def sigmoid(input: Tensor) -> Tensor:
    """The logistic function, `1 / (1 + exp(-x))`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sigmoid.html

    >>> import flambeau as torch
    >>> torch.sigmoid(torch.tensor([0., 2.]))
    tensor([0.5000, 0.8808])
    """


@binary(**_HIDDEN, expr=lambda g, y: g * ir.conj(1 - y * y))
def _tanh_backward(grad: Tensor, result: Tensor) -> Tensor:
    """The gradient of tanh."""
    return grad * rules.conj(1 - result * result)


@unary(promote=int_to_float, vjp={"input": lambda g, result: _tanh_backward(g, result)}, expr=ir.tanh)
def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.tanh.html

    >>> import flambeau as torch
    >>> torch.tanh(torch.tensor([0., 1.]))
    tensor([0.0000, 0.7616])
    """
    side = rules.half_plane(input) if input._kind.dtype.is_complex else input.sign()
    shrunk = (input * side * -2).expm1()
    return -shrunk / (shrunk + 2) * side


def _logsigmoid_expr(x: Any) -> Any:
    return ir.minimum(x, 0) - ir.log1p(ir.exp(-ir.apply("abs", x)))


@unary(**_FUNCTIONAL, vjp={"input": lambda g, input: g * (-input).sigmoid()}, expr=_logsigmoid_expr,
       grad_name="LogSigmoidBackward0")
def logsigmoid(input: Tensor) -> Tensor:
    """The logarithm of the logistic function, without overflow.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.logsigmoid.html

    >>> import flambeau as torch
    >>> torch.nn.functional.logsigmoid(torch.tensor([0., -1000.]))
    tensor([-6.9315e-01, -1.0000e+03])
    """


# ---------------------------------------------------------------------------------------------- gelu, silu, mish
def _gelu_expr(x: Any) -> Any:
    return x * 0.5 * (1 + ir.erf(x * _INV_SQRT2))


def _gelu_tanh_expr(x: Any) -> Any:
    return x * 0.5 * (1 + ir.tanh(_SQRT_2_PI * (x + _CUBIC * x * x * x)))


def _gelu_slope(g: Any, x: Any) -> Any:
    return g * ((ir.erf(x * _INV_SQRT2) + 1) * 0.5 + x * (ir.exp(x * x * -0.5) * _INV_SQRT_2PI))


@binary(**_HIDDEN, expr=_gelu_slope)
def _gelu_backward(grad: Tensor, input: Tensor) -> Tensor:
    """The gradient of the exact gelu."""
    below = ((input * _INV_SQRT2).erf() + 1) * 0.5
    density = (input * input * -0.5).exp() * _INV_SQRT_2PI
    return grad * (below + input * density)


def _gelu_tanh_slope(g: Any, x: Any) -> Any:
    squared = x * x
    bent = ir.tanh((x + x * squared * _CUBIC) * _SQRT_2_PI)
    return g * 0.5 * (1 + bent + x * ((1 - bent * bent) * (squared * (3 * _CUBIC) + 1) * _SQRT_2_PI))


@binary(**_HIDDEN, expr=_gelu_tanh_slope)
def _gelu_tanh_backward(grad: Tensor, input: Tensor) -> Tensor:
    """The gradient of the gelu that is approximated with tanh."""
    squared = input * input
    bent = ((input + input * squared * _CUBIC) * _SQRT_2_PI).tanh()
    slope = (1 - bent * bent) * (squared * (3 * _CUBIC) + 1) * _SQRT_2_PI
    return grad * 0.5 * (1 + bent + input * slope)


@unary(**_FUNCTIONAL, vjp={"input": lambda g, input: _gelu_backward(g, input)}, expr=_gelu_expr,
       samples=_samples.on(((2, 3),), ((2, 3), {"approximate": "tanh"})))
def _gelu(input: Tensor) -> Tensor:
    """The element times the chance that a normal variate is below it."""


@unary(**_FUNCTIONAL, vjp={"input": lambda g, input: _gelu_tanh_backward(g, input)}, expr=_gelu_tanh_expr,
       grad_name="GeluBackward0")
def _gelu_tanh(input: Tensor) -> Tensor:
    """Gelu, approximated with tanh."""


def _silu_slope(g: Any, x: Any) -> Any:
    gate = 1 / (1 + ir.exp(-x))
    return g * ir.conj(gate * (1 + x * (1 - gate)))


@binary(**_HIDDEN, expr=_silu_slope)
def _silu_backward(grad: Tensor, input: Tensor) -> Tensor:
    """The gradient of silu."""
    gate = input.sigmoid()
    return grad * rules.conj(gate * (1 + input * (1 - gate)))


@unary(method=False, namespace="nn.functional", excluded=rules.INEXACT_ONLY, expr=lambda x: x / (1 + ir.exp(-x)),
       vjp={"input": lambda g, input: _silu_backward(g, input)})
def _silu(input: Tensor) -> Tensor:
    """The element times its logistic function.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.silu.html

    >>> import flambeau as torch
    >>> torch.nn.functional.silu(torch.tensor([0., 1.]))
    tensor([0.0000, 0.7311])
    """


def _mish_slope(g: Tensor, input: Tensor) -> Tensor:
    bent = _softplus(input, 1.0, 20.0).tanh()
    return g * (bent + input * input.sigmoid() * (1 - bent * bent))


@unary(**_FUNCTIONAL, vjp={"input": _mish_slope},
       expr=lambda x: x * ir.tanh(ir.where(x > 20.0, x, ir.log1p(ir.exp(x)))))
def _mish(input: Tensor) -> Tensor:
    """The element times the tanh of its softplus.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.mish.html

    >>> import flambeau as torch
    >>> torch.nn.functional.mish(torch.tensor([0., 1.]))
    tensor([0.0000, 0.8651])
    """


# ---------------------------------------------------------------------------------------------- with a parameter

@binary(**_FUNCTIONAL, expr=lambda x, a: ir.where(x > 0, x, x * a), domain=((-4, 4), (0, 1)),
        vjp={"input": lambda g, input, negative_slope: where(input > 0, g, g * negative_slope)},
        samples=_samples.on(((2, 3),), ((2, 3), 0.25)))
def _leaky_relu(input: Tensor, negative_slope: float) -> Tensor:
    """The element, times `negative_slope` below 0."""


def _elu_slope(g: Tensor, input: Tensor, alpha: Any, scale: Any, input_scale: Any) -> Tensor:
    below = (input * input_scale).exp() * (alpha * scale * input_scale)
    return where(input > 0, g * scale, g * below)


@pointwise(samples=_samples.on(((2, 3),), ((2, 3), 0.5)), **_FUNCTIONAL, vjp={"input": _elu_slope},
           expr=lambda x, a, s, i: ir.where(x > 0, x * s, ir.expm1(x * i) * (a * s)),
           domain=((-4, 4), (0.5, 2), (0.5, 2), (0.5, 2)))
def _elu(input: Tensor, alpha: float, scale: float = 1.0, input_scale: float = 1.0) -> Tensor:
    """`scale` times the element, or times `alpha * (exp(input_scale * x) - 1)` below 0."""


@binary(method=False, excluded=rules.FLOATS_ONLY, expr=lambda x, a: ir.where(x > 0, x, ir.expm1(x / a) * a),
        vjp={"input": lambda g, input, alpha: where(input > 0, g, g * (input / alpha).exp())},
        domain=((-4, 4), (0.5, 2)), samples=_samples.on(((2, 3),), ((2, 3), 0.5)))
def _celu(input: Tensor, alpha: float) -> Tensor:
    """The element, or `alpha * (exp(x / alpha) - 1)` below 0."""


def _softplus_expr(x: Any, beta: Any, threshold: Any) -> Any:
    return ir.where(x * beta > threshold, x, ir.log1p(ir.exp(x * beta)) / beta)


@pointwise(**_FUNCTIONAL, expr=_softplus_expr, domain=((-4, 4), (0.5, 2), (2, 20)),
           vjp={"input": lambda g, input, beta, threshold:
                where(input * beta > threshold, g, g * (input * beta).sigmoid())},
           samples=_samples.on(((2, 3),), ((2, 3), 2.0, 1.5)))
def _softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """`log(1 + exp(beta x)) / beta`; the element itself where `beta x` is above `threshold`."""


@pointwise(method=False, namespace="nn.functional", excluded=(BOOL, COMPLEX),
           expr=lambda x, low, high: ir.minimum(ir.maximum(x, low), high), domain=((-4, 4), (-2, 0), (0, 2)),
           vjp={"input": lambda g, input, min_val, max_val: g.masked_fill((input <= min_val) | (input >= max_val), 0)},
           samples=_samples.on(((2, 3),), ((2, 3), -2.5, 1.5), of="distinct"))
def _hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """The element, limited to a range; outside of it and at its ends the gradient is 0."""


@unary(**_FUNCTIONAL, expr=lambda x: ir.minimum(ir.maximum(x + 3, 0), 6) / 6,
       vjp={"input": lambda g, input: (g / 6).masked_fill((input <= -3) | (input >= 3), 0)})
def _hardsigmoid(input: Tensor) -> Tensor:
    """A line from 0 at -3 to 1 at 3.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.hardsigmoid.html

    >>> import flambeau as torch
    >>> torch.nn.functional.hardsigmoid(torch.tensor([-4., 0., 4.]))
    tensor([0.0000, 0.5000, 1.0000])
    """


@unary(**_FUNCTIONAL, expr=lambda x: x * ir.minimum(ir.maximum(x + 3, 0), 6) / 6,
       vjp={"input": lambda g, input: where(input >= 3, g, g * (input / 3 + 0.5)).masked_fill(input <= -3, 0)})
def _hardswish(input: Tensor) -> Tensor:
    """The element times its hardsigmoid.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.hardswish.html

    >>> import flambeau as torch
    >>> torch.nn.functional.hardswish(torch.tensor([-4., 0., 4.]))
    tensor([-0., 0., 4.])
    """


@binary(inplace=False, excluded=rules.FLOATS_ONLY, domain=((-4, 4), (0, 1)),
        expr=lambda x, lambd: ir.where(ir.logical_and(x >= -lambd, x <= lambd), 0, x),
        vjp={"input": lambda g, input, lambd: g.masked_fill((input >= -lambd) & (input <= lambd), 0)},
        samples=_samples.on(((2, 3),), ((2, 3), 1.25)))
def _hardshrink(input: Tensor, lambd: float) -> Tensor:
    """The element, or 0 within `lambd` of 0."""


@binary(samples=_samples.on(((2, 3),), ((2, 3), 1.25)), **{**_FUNCTIONAL, "inplace": False}, domain=((-4, 4), (0, 1)),
        expr=lambda x, lambd: ir.where(x > lambd, x - lambd, ir.where(x < -lambd, x + lambd, x * 0)),
        vjp={"input": lambda g, input, lambd: g.masked_fill((input >= -lambd) & (input <= lambd), 0)})
def _softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """The element moved by `lambd` towards 0, or 0 within `lambd` of it."""


@pointwise(method=False, excluded=(BOOL, COMPLEX), domain=((-4, 4), (-1, 1), (-2, 2)),
           expr=lambda x, threshold, value: ir.where(x <= threshold, value, x),
           vjp={"input": lambda g, input, threshold: g.masked_fill(input <= threshold, 0)},
           samples=_samples.on(((2, 3), 0.5, 20.0), ((2, 3), -1.5, 2.0)))
def _threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """The element, or `value` where it is not above `threshold`."""


@binary(**{**_FUNCTIONAL, "inplace": False}, grad_name="PreluKernelBackward0", domain=((-4, 4), (0, 1)),
        expr=lambda x, w: ir.where(x > 0, x, x * w),
        vjp={"input": lambda g, input, weight: where(input > 0, g, g * weight),
             "weight": lambda g, input: (g * input).masked_fill(input > 0, 0)})
def _prelu_kernel(input: Tensor, weight: Tensor) -> Tensor:
    """The element, times its weight below 0."""


@unary(method=False, excluded=rules.FLOATS_ONLY, grad_name="EluBackward0",
       vjp={"input": lambda g, input: _elu_slope(g, input, _SELU_ALPHA, _SELU_SCALE, 1.0)},
       expr=lambda x: ir.where(x > 0, x * _SELU_SCALE, ir.expm1(x) * (_SELU_ALPHA * _SELU_SCALE)))
def _selu(input: Tensor) -> Tensor:
    """Elu with the two constants that keep mean and variance of a deep network's activations."""


__all__ = rules.public(globals())
