"""Records of random draws: what a backend's kernel, or a decomposition into random words, must give.

A draw is a factory whose last parameters are the generator and the kind of the result. Its kernel gets the backend's
own generator, and accepts `out=`, an array to fill: PyTorch fills strided memory in the order of the memory, and so
must a backend that wants to repeat its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flambeau import dtypes
from flambeau.discovery import Kind
from flambeau.dispatch import modes, operator
from flambeau.dispatch.decorators import publish
from flambeau.dispatch.inplace import check_overwrite, write_inplace
from flambeau.dispatch.run import bump
from flambeau.errors import ArgumentError, FlambeauError, message
from flambeau.graph import STATE
from flambeau.ops import _samples, philox
from flambeau.ops.factory import empty_array, without_kernel
from flambeau.random import Generator, default_of, handle
from flambeau.registry import OpDef
from flambeau.shapes import Shape
from flambeau.tensor import Tensor, make

ACTIVE = modes.ACTIVE
STACK = modes.STACK


def draw(*, decomposed: bool = False, samples: Any = None) -> Callable[[Callable[..., Any]], Callable[..., Tensor]]:
    """The record of a draw; with `decomposed`, the function's body makes the tensor where there is no kernel."""
    def decorate(function: Callable[..., Any]) -> Callable[..., Tensor]:
        record = OpDef(function.__name__.removeprefix("_"), "operator" if decomposed else "primitive", function,
                       decomposition=function if decomposed else None, vjp="none", method=False, no_fallback=True,
                       dtype_rule="any", samples=samples)
        return publish(record, _bind(record))
    return decorate


def _bind(record: OpDef) -> Callable[..., Tensor]:
    name = record.name

    def call(*args: Any, out: Any = None) -> Tensor:
        if ACTIVE and STACK.modes:
            return modes.through(record, call, args, {} if out is None else {"out": out})
        kind: Kind = args[-1]
        kernel = kind.kernels.get(name)
        if kernel is None:
            return _filled(without_kernel(record, args, kind), out)
        *numbers, generator, _ = args
        try:
            if out is None:
                array = kernel(*numbers, raw_of(generator, kind), kind.dtype, kind.index)
            else:
                array = kernel(*numbers, raw_of(generator, kind), kind.dtype, kind.index, out=out)
        except FlambeauError:
            raise
        except (ValueError, RuntimeError) as error:
            if isinstance(error, NotImplementedError):
                raise
            raise ArgumentError(message(name, str(error))) from error
        if array is NotImplemented:
            return _filled(without_kernel(record, args, kind), out)
        return make(array, kind)
    return call


def _filled(result: Tensor, out: Any) -> Tensor:
    if out is None:
        return result
    result._kind.backend.copy(out, result._array)
    return make(out, result._kind)


def raw_of(generator: Generator | None, kind: Kind) -> Any:
    """The generator that kernels are given for draws of this kind. RuntimeError for one of another device."""
    if generator is None:
        return default_of(kind.device).raw
    if generator.device != kind.device:
        raise ArgumentError(f"Expected a '{kind.device}' device type for generator but found '{generator.device}'")
    return generator.raw


# ---------------------------------------------------------------------------------------------- records
@draw(decomposed=True)
def _uniform(size: Shape, low: float, high: float, generator: Generator | None, kind: Kind) -> Tensor:
    """Numbers from [low, high)."""
    return philox.uniform(size, low, high, raw_of(generator, kind), kind)


def _samples_normal(make: Any) -> _samples.Calls:
    yield (make(2, 3), make.positive(3)), {}
    yield (make(2, 3), 2.0), {}
    yield (1.0, 2.0, (2, 3)), {"dtype": make.dtype, "device": make.device}


@draw(samples=_samples_normal, decomposed=True)
def _normal(size: Shape, mean: float, std: float, generator: Generator | None, kind: Kind) -> Tensor:
    """Normal numbers."""
    return philox.normal(size, mean, std, raw_of(generator, kind), kind)


def _samples_randint(make: Any) -> _samples.Calls:
    yield (5, (2, 3)), {"device": make.device}
    yield (-3, 4, (2, 3)), {"device": make.device}


@draw(samples=_samples_randint, decomposed=True)
def _randint(size: Shape, low: int, high: int, generator: Generator | None, kind: Kind) -> Tensor:
    """Whole numbers from [low, high)."""
    return philox.randint(size, low, high, raw_of(generator, kind), kind)


def _unit(size: Shape, generator: Generator | None, kind: Kind) -> Tensor:
    """Numbers from [0, 1) with at least the digits of float32."""
    wide = kind.compute if kind.dtype.is_floating_point else kind.to(dtypes.float32)
    return _uniform(size, 0.0, 1.0, generator, wide)


@draw(decomposed=True)
def _random(size: Shape, low: int | None, high: int | None, generator: Generator | None, kind: Kind) -> Tensor:
    """Whole numbers from `low` (0) to `high`, not included; without it, to the largest of the dtype."""
    dtype = kind.dtype
    if dtype.is_floating_point:
        last = (1 << philox.DIGITS[dtype.name]) + 1
    else:
        last = 2 if dtype is dtypes.bool_ else 1 << 8 * dtype.itemsize - dtype.is_signed
    return _randint(size, low or 0, last if high is None else high, generator, kind)


@draw(decomposed=True)
def _exponential(size: Shape, lambd: float, generator: Generator | None, kind: Kind) -> Tensor:
    """Numbers of the exponential distribution of rate `lambd`."""
    return ((1.0 - _unit(size, generator, kind)).log().abs() / lambd).to(kind.dtype)


@draw(decomposed=True)
def _log_normal(size: Shape, mean: float, std: float, generator: Generator | None, kind: Kind) -> Tensor:
    """Exponentials of normal numbers."""
    return _normal(size, mean, std, generator, kind).exp()


@draw(decomposed=True)
def _cauchy(size: Shape, median: float, sigma: float, generator: Generator | None, kind: Kind) -> Tensor:
    """Numbers of the Cauchy distribution."""
    angle = (_unit(size, generator, kind) - 0.5) * math.pi
    return (angle.sin() / angle.cos() * sigma + median).to(kind.dtype)


@draw(decomposed=True)
def _geometric(size: Shape, p: float, generator: Generator | None, kind: Kind) -> Tensor:
    """Trials up to the first success of probability `p`."""
    return ((1.0 - _unit(size, generator, kind)).log() / math.log1p(-p)).ceil().to(kind.dtype)


@draw(decomposed=True)
def _coins(size: Shape, p: float, generator: Generator | None, kind: Kind) -> Tensor:
    """Ones with probability `p`, else zeros."""
    return (_unit(size, generator, kind) < p).to(kind.dtype)


@draw(decomposed=True)
def _dropout_mask(size: Shape, p: float, generator: Generator | None, kind: Kind) -> Tensor:
    """0 with probability `p`, else 1 / (1 - p)."""
    return _coins(size, 1.0 - p, generator, kind) * (1.0 / (1.0 - p) if p < 1 else 0.0)


def _samples_randperm(make: Any) -> _samples.Calls:
    yield (7,), {"device": make.device}


@draw(samples=_samples_randperm, decomposed=True)
def _randperm(n: int, generator: Generator | None, kind: Kind) -> Tensor:
    """The whole numbers below `n` in random order."""
    return _randint((n,), 0, 1 << 63, generator, kind.to(dtypes.int64)).sort().indices.to(kind.dtype)


def _samples_bernoulli(make: Any) -> _samples.Calls:
    yield (make(2, 3, low=0, high=1),), {}
    yield (make(2, 3), 0.3), {}


@operator(vjp={"input": lambda g: g.new_zeros(g._array.shape)}, dtype_rule="any", method=False, no_fallback=True,
          samples=_samples_bernoulli)
def _bernoulli(input: Tensor, generator: Any) -> Tensor:
    """Ones with the probabilities given, else zeros. The generator is what kernels are given."""
    kind = input._kind
    unit = _unit(input._array.shape, handle(generator, kind.device), kind)
    return (unit < input.detach().to(unit.dtype)).to(kind.dtype)


def _samples_multinomial(make: Any) -> _samples.Calls:
    yield (make.probabilities(2, 5), 3), {}
    yield (make.probabilities(4), 6, True), {}


@operator(samples=_samples_multinomial, vjp="none", dtype_rule="any", method=False, no_fallback=True)
def _multinomial(input: Tensor, num_samples: int, replacement: bool, generator: Any) -> Tensor:
    """Indices drawn in proportion to weights."""
    return philox.multinomial(input, num_samples, replacement, generator)


@operator(vjp={"input": lambda g: g.new_zeros(g._array.shape)}, method=False,
          samples=_samples.together(((2, 3), (2, 3))))
def _refill(input: Tensor, value: Tensor) -> Tensor:
    """What stands in the graph for a tensor that was overwritten with random numbers."""
    return value


def fill_with(op: str, record: Callable[..., Tensor], input: Tensor, *numbers: Any,
              generator: Generator | None) -> Tensor:
    """Overwrite a tensor with draws, in the order of its memory."""
    kind, shape = input._kind, input._array.shape
    if input._edge is not None and STATE.enabled and input.requires_grad:
        value = make(empty_array(kind, shape, input), kind)
        record(shape, *numbers, generator, kind, out=value._array)
        return write_inplace(_refill.op, (input, value), lambda: value, input)  # type: ignore[attr-defined]
    if input._view is not None:
        check_overwrite(op, input, input)
    record(shape, *numbers, generator, kind, out=input._array)
    bump(input)
    return input
