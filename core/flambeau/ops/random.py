"""Random numbers: factories, in-place draws, and sampling. On the host the numbers are PyTorch's for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import composite, front
from flambeau.dispatch.run import write_out
from flambeau.errors import ArgumentError, ArgumentTypeError, DeviceError, DtypeError, UnsupportedError, message
from flambeau.ops import _samples, draws
from flambeau.ops.creation import kind_like
from flambeau.ops.factory import as_size, empty_array, factory_kind, finish
from flambeau.random import Generator
from flambeau.tensor import Tensor, attach, make

Draw = Callable[..., Tensor]


def _like(input: Tensor, record: Draw, numbers: tuple[Any, ...], generator: Generator | None, dtype: Any, device: Any,
          memory_format: Any) -> Tensor:
    """Draws in a tensor like another one, whose order of dimensions is kept (it decides the order of the draws)."""
    kind = kind_like(input, dtype, device)
    if record in (draws._uniform, draws._normal):
        _check_fractions("normal" if record is draws._normal else "uniform", kind.dtype)
    shape = input._array.shape
    if memory_format is not None or shapes.is_contiguous(shape, input._kind.backend.layout(input._array)[0]):
        return record(shape, *numbers, generator, kind)
    array = empty_array(kind, shape, input)
    record(shape, *numbers, generator, kind, out=array)
    return make(array, kind)


def check_whole(op: str, dtype: dtypes.dtype, low: int, high: int) -> None:
    """Refuse whole numbers from [low, high) in a dtype that cannot hold all of them, or has none."""
    if dtype.is_complex or dtype.storage_only:
        raise DtypeError(message(op, "check_random_bounds handles only integral, floating-point and boolean types",
                                 given=str(dtype), next_step="draw in another dtype and convert"))
    if dtype.is_floating_point:
        return
    bits = 1 if dtype is dtypes.bool_ else 8 * dtype.itemsize
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if dtype.is_signed else (0, (1 << bits) - 1)
    for name, bound in (("from", low), ("to - 1", high - 1)):
        if not least <= bound <= most:
            raise ArgumentError(message(op, f"{name} is out of bounds for {dtype}", given=f"{name}={bound}",
                                        allowed=f"{least} to {most}"))


# ---------------------------------------------------------------------------------------------- factories
def _samples_floats(make: Any) -> _samples.Calls:
    yield (2, 3), {"dtype": make.dtype, "device": make.device}
    yield ((4,),), {"device": make.device}


@composite(samples=_samples_floats, method=False)
def rand(*shape: Any, size: Any = None, generator: Generator | None = None, out: Tensor | None = None,
         names: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
         pin_memory: bool = False) -> Tensor:
    """Uniform random numbers from [0, 1).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rand.html

    >>> import flambeau as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.rand(2)
    tensor([0.4963, 0.7682])
    """
    kind = _float_kind("rand", out, dtype, device)
    return finish(draws._uniform(as_size(shape, size, "rand"), 0.0, 1.0, generator, kind), out, requires_grad, layout,
                  "rand", pin_memory)


@composite(samples=_samples_floats, method=False)
def randn(*shape: Any, size: Any = None, generator: Generator | None = None, out: Tensor | None = None,
          names: Any = None, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
          pin_memory: bool = False) -> Tensor:
    """Normal random numbers with mean 0 and variance 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.randn.html

    >>> import flambeau as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.randn(2)
    tensor([ 1.5410, -0.2934])
    """
    kind = _float_kind("randn", out, dtype, device)
    return finish(draws._normal(as_size(shape, size, "randn"), 0.0, 1.0, generator, kind), out, requires_grad, layout,
                  "randn", pin_memory)


def _float_kind(op: str, out: Tensor | None, dtype: Any, device: Any) -> Any:
    if dtype is None and out is not None:
        dtype = out._kind.dtype
    kind = factory_kind(dtype, device)
    _check_fractions(op, kind.dtype)
    return kind


def _check_fractions(op: str, wanted: dtypes.dtype) -> None:
    """Refuse dtypes that cannot hold what is drawn."""
    if not wanted.is_differentiable:
        raise UnsupportedError(message(op, f"not implemented for {wanted}", allowed="floating and complex dtypes",
                                       next_step="torch.randint gives whole numbers"))


@front(draws._randint)
def randint(*args: Any, low: int | None = None, high: int | None = None, size: Any = None,
            generator: Generator | None = None, out: Tensor | None = None, dtype: Any = None, layout: Any = None,
            device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Whole random numbers from [low, high): `randint(high, size)` or `randint(low, high, size)`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.randint.html

    >>> import flambeau as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.randint(10, (4,))
    tensor([4, 9, 3, 0])
    """
    numbers = list(args)
    if numbers and not isinstance(numbers[-1], (int, Tensor)) and size is None:
        size = numbers.pop()
    if len(numbers) == 2:
        low, high = numbers
    elif numbers:
        low, high = (low, numbers[0]) if high is None else (numbers[0], high)
    if high is None or size is None:
        raise ArgumentTypeError("randint() missing 'high' or 'size'; call randint(high, size) or "
                                "randint(low, high, size)")
    first, last = 0 if low is None else int(low), int(high)
    if first >= last:
        raise ArgumentError(f"random_ expects 'from' to be less than 'to', but got from={first} >= to={last}")
    kind = factory_kind(out._kind.dtype if dtype is None and out is not None else dtype, device, dtypes.int64)
    check_whole("randint", kind.dtype, first, last)
    result = draws._randint(as_size((size,), None, "randint"), first, last, generator, kind)
    return finish(result, out, requires_grad, layout, "randint", pin_memory)


@front(draws._randperm)
def randperm(n: int, *, generator: Generator | None = None, out: Tensor | None = None, dtype: Any = None,
             layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """The whole numbers from 0 to n - 1 in random order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.randperm.html

    >>> import flambeau as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.randperm(4)
    tensor([0, 1, 3, 2])
    """
    kind = factory_kind(out._kind.dtype if dtype is None and out is not None else dtype, device, dtypes.int64)
    if n < 0:
        raise ArgumentError(f"randperm: n must be non-negative, got {n}")
    return finish(draws._randperm(int(n), generator, kind), out, requires_grad, layout, "randperm", pin_memory)


@composite(samples=_samples.on(((2, 3),)), method=False)
def rand_like(input: Tensor, *, generator: Generator | None = None, dtype: Any = None, layout: Any = None,
              device: Any = None, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """Uniform random numbers from [0, 1) in a tensor like `input`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.rand_like.html

    >>> import flambeau as torch
    >>> torch.rand_like(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    return finish(_like(input, draws._uniform, (0.0, 1.0), generator, dtype, device, memory_format), None,
                  requires_grad, layout, "rand_like")


@composite(samples=_samples.on(((2, 3),)), method=False)
def randn_like(input: Tensor, *, generator: Generator | None = None, dtype: Any = None, layout: Any = None,
               device: Any = None, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    """Normal random numbers in a tensor like `input`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.randn_like.html

    >>> import flambeau as torch
    >>> torch.randn_like(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    return finish(_like(input, draws._normal, (0.0, 1.0), generator, dtype, device, memory_format), None,
                  requires_grad, layout, "randn_like")


@composite(samples=_samples.on(((2, 3), 5), ((2, 3), 2, 7)), method=False)
def randint_like(input: Tensor, low: Any, high: Any = None, *, generator: Generator | None = None, dtype: Any = None,
                 layout: Any = None, device: Any = None, requires_grad: bool = False,
                 memory_format: Any = None) -> Tensor:
    """Whole random numbers from [low, high), or [0, low) for one bound, in a tensor like `input`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.randint_like.html

    >>> import flambeau as torch
    >>> torch.randint_like(torch.ones(2, 3), 5).shape
    torch.Size([2, 3])
    """
    bounds = (0, int(low)) if high is None else (int(low), int(high))
    if bounds[0] >= bounds[1]:
        raise ArgumentError(f"random_ expects 'from' to be less than 'to', but got from={bounds[0]} >= to={bounds[1]}")
    check_whole("randint_like", kind_like(input, dtype, device).dtype, *bounds)
    return finish(_like(input, draws._randint, bounds, generator, dtype, device, memory_format), None, requires_grad,
                  layout, "randint_like")


# ---------------------------------------------------------------------------------------------- sampling
@front(draws._normal)
def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
           out: Tensor | None = None, dtype: Any = None, layout: Any = None, device: Any = None,
           requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Normal random numbers: with a mean and a standard deviation for each, or with two numbers and a `size`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.normal.html

    >>> import flambeau as torch
    >>> torch.normal(torch.zeros(3), 1.0).shape, torch.normal(0.0, 1.0, (2, 2)).shape
    (torch.Size([3]), torch.Size([2, 2]))
    """
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        result = _normal_from(mean, std, generator)
        return result if out is None else write_out("normal", out, result)
    if size is None:
        raise ArgumentTypeError("normal() missing 'size'; two numbers need one, or pass tensors")
    _check_std(std)
    kind = _float_kind("normal", out, dtype, device)
    result = draws._normal(as_size((size,), None, "normal"), float(mean), float(std), generator, kind)
    return finish(result, out, requires_grad, layout, "normal", pin_memory)


def _check_positive(op: str, name: str, value: float) -> None:
    if not value > 0:
        raise ArgumentError(f"{op} expects {name} > 0.0, but found {name}={value}")


def _check_std(std: float) -> None:
    if not std >= 0:
        raise ArgumentError(f"normal expects std >= 0.0, but found std {std}")


def _normal_from(mean: Any, std: Any, generator: Generator | None) -> Tensor:
    like: Tensor = mean if isinstance(mean, Tensor) else std
    kind = like._kind
    _check_fractions("normal", kind.dtype)
    own = kind.kernels.get("normal_from")
    mean, std = (each.detach() if isinstance(each, Tensor) else float(each) for each in (mean, std))
    if isinstance(std, Tensor):
        if std.is_complex():
            raise ArgumentError("normal expects standard deviation to be non-complex")
    else:
        _check_std(std)
    if own is not None:
        if isinstance(mean, Tensor) and isinstance(std, Tensor) and mean._kind.device is not std._kind.device:
            raise DeviceError(message("normal", "Expected all tensors to be on the same device",
                                      given=f"{mean.device} and {std.device}", next_step="move one with .to()"))
        arrays = [each._array if isinstance(each, Tensor) else each for each in (mean, std)]
        return make(own(*arrays, draws.raw_of(generator, kind)), kind)
    shape = shapes.broadcast_shapes(*(each._array.shape for each in (mean, std) if isinstance(each, Tensor)))
    return draws._normal(shape, 0.0, 1.0, generator, kind) * std + mean


@front(draws._bernoulli)
def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None,
              out: Tensor | None = None) -> Tensor:
    """Ones with the probabilities in `input` (or all with probability `p`), else zeros, in the input's dtype.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bernoulli.html

    >>> import flambeau as torch
    >>> torch.bernoulli(torch.tensor([0., 1.]))
    tensor([0., 1.])
    """
    if input._kind.dtype.is_complex:
        raise UnsupportedError(message("bernoulli", f"not implemented for {input.dtype}", allowed="real dtypes"))
    if p is not None:
        result = _like(input, draws._coins, (float(p),), generator, None, None, None)
    else:
        if not input._kind.dtype.is_floating_point:
            raise UnsupportedError(message("bernoulli", f"not implemented for {input.dtype}", allowed="floating dtypes",
                                     next_step="convert the probabilities with .float()"))
        result = draws._bernoulli(input, draws.raw_of(generator, input._kind))
    return result if out is None else write_out("bernoulli", out, result)


attach(bernoulli)


@front(draws._multinomial)
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None,
                out: Tensor | None = None) -> Tensor:
    """Indices drawn in proportion to the weights in each row of `input`, (n,) or (m, n); (..., num_samples) int64.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.multinomial.html

    >>> import flambeau as torch
    >>> torch.multinomial(torch.tensor([0., 1., 0.]), 2, replacement=True)
    tensor([1, 1])
    """
    result = draws._multinomial(input, num_samples, bool(replacement), draws.raw_of(generator, input._kind))
    return result if out is None else write_out("multinomial", out, result)


attach(multinomial)


# ---------------------------------------------------------------------------------------------- in place
@attach
def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None,
             **old_names: float) -> Tensor:
    """Overwrite with uniform random numbers from [from, to). Returns the tensor."""
    low = float(old_names.pop("from", from_))
    if old_names:
        raise ArgumentTypeError(f"uniform_() got an unexpected keyword argument {next(iter(old_names))!r}")
    if low > to:
        raise ArgumentError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    return draws.fill_with("uniform", draws._uniform, self, low, float(to), generator=generator)


@attach
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with normal random numbers. Returns the tensor."""
    _check_std(std)
    return draws.fill_with("normal", draws._normal, self, float(mean), float(std), generator=generator)


@attach
def random_(self: Tensor, *bounds: int, generator: Generator | None = None, **names: int) -> Tensor:
    """Overwrite with whole random numbers: `random_()`, `random_(to)`, `random_(from, to)`. Returns the tensor."""
    low, high = names.get("from"), names.get("to")
    if len(bounds) == 1:
        low, high = (low, bounds[0]) if high is None else (bounds[0], high)
    elif bounds:
        low, high = bounds
    if high is not None and (low or 0) >= high:
        raise ArgumentError(f"random_ expects 'from' to be less than 'to', but got from={low or 0} >= to={high}")
    if high is not None:
        check_whole("random_", self._kind.dtype, low or 0, high)
    return draws.fill_with("random", draws._random, self, low, high, generator=generator)


@attach
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of the exponential distribution of rate `lambd`. Returns the tensor."""
    _check_positive("exponential_", "lambda", lambd)
    return draws.fill_with("exponential", draws._exponential, self, float(lambd), generator=generator)


@attach
def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with exponentials of normal numbers. Returns the tensor."""
    _check_positive("log_normal_", "std", std)
    return draws.fill_with("log_normal", draws._log_normal, self, float(mean), float(std), generator=generator)


@attach
def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with numbers of the Cauchy distribution. Returns the tensor."""
    _check_positive("cauchy_", "sigma", sigma)
    return draws.fill_with("cauchy", draws._cauchy, self, float(median), float(sigma), generator=generator)


@attach
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with the trials up to the first success of probability `p`. Returns the tensor."""
    return draws.fill_with("geometric", draws._geometric, self, float(p), generator=generator)


@attach
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Overwrite with ones with probability `p`, a number or a tensor of probabilities, else zeros."""
    if not isinstance(p, Tensor):
        if not 0 <= p <= 1:
            raise ArgumentError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        return draws.fill_with("coins", draws._coins, self, float(p), generator=generator)
    chances = p.detach().expand(self._array.shape)
    return self.copy_(draws._bernoulli(chances, draws.raw_of(generator, self._kind)))
