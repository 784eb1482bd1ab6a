"""What is found under `torch.special` only: entropies, the normal distribution, Bessel functions, polynomials.

None needs a kernel. Bessel functions are integrals of smooth functions, which sums over a few dozen points give to all
digits (the midpoint rule for periodic ones, the doubly exponential rule for the others), and asymptotic series for
large arguments; they are summed in float64 where the device has it.
Sources: https://dlmf.nist.gov/10.9 (integrals), https://dlmf.nist.gov/10.17 and 10.40 (series), 18.9 (recurrences).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import binary, composite, int_to_float, unary
from flambeau.dtypes import COMPLEX, FLOAT
from flambeau.errors import ArgumentError, DtypeError, message
from flambeau.ir import expr as ir
from flambeau.ops import _samples, construct, rules
from flambeau.ops.selection import where
from flambeau.tensor import Tensor

_REAL: dict[str, Any] = {"promote": int_to_float, "excluded": (COMPLEX,), "method": False, "namespace": "special",
                         "inplace": False}
_FAR = 50.0                  # from here on the asymptotic series are exact to the last digit
_POINTS = 64                 # of the midpoint rule below that
_AT_ONCE = 1 << 14          # elements of the terms of a sum that are computed together
_ROOT_HALF = math.sqrt(0.5)


# ---------------------------------------------------------------------------------------------- entropy, probabilities
@unary(**_REAL, name="special_entr", vjp={"input": lambda g, input: g * (-1 - input.log())}, domain=(0.1, 2),
       expr=lambda x: ir.where(ir.isnan(x), x, ir.where(x > 0, -x * ir.log(x), ir.where(ir.eq(x, 0), x, -math.inf))))
def entr(input: Tensor) -> Tensor:
    """The entropy of each element: `-x * log(x)`, 0 at 0 and minus infinity below.

    >>> import flambeau as torch
    >>> torch.special.entr(torch.tensor([-1., 0., 1.]))
    tensor([-inf, 0., -0.])
    """


@binary(**_REAL, name="special_xlog1py", domain=((0, 4), (0.1, 4)),
        expr=lambda x, y: ir.where(ir.isnan(y), y, ir.where(ir.eq(x, 0), 0, x * ir.log1p(y))),
        vjp={"input": lambda g, input, other: _times_log1p(g, other).masked_fill((input == 0) & (other <= -1), 0),
             "other": lambda g, input, other: g * input / (other + 1)})
def xlog1py(input: Any, other: Any) -> Tensor:
    """`x * log1p(y)`, 0 where `x` is 0 even if the logarithm is not finite.

    >>> import flambeau as torch
    >>> torch.special.xlog1py(torch.tensor([0., 2.]), torch.tensor([-1., 0.]))
    tensor([0., 0.])
    """


def _times_log1p(g: Tensor, other: Any) -> Tensor:
    return g * (other.log1p() if isinstance(other, Tensor) else math.log1p(other) if other > -1 else -math.inf)


@unary(**_REAL, name="special_erfcx", vjp={
    "input": lambda g, input, result: g * (2 * input * result - 2 / math.sqrt(math.pi))})
def erfcx(input: Tensor) -> Tensor:
    """`exp(x * x) * erfc(x)`, which stays finite where the factors do not.

    >>> import flambeau as torch
    >>> torch.special.erfcx(torch.tensor([0., 100.]))
    tensor([1.0000, 0.0056])
    """
    x = _wide(input)
    near = x.clamp(max=5)
    far = x.clamp(min=5)
    fraction = far                        # Laplace's continued fraction, from its end
    for k in range(60, 0, -1):
        fraction = far + k / 2 / fraction
    result = where(x < 5, (near * near).exp() * near.erfc(), 1 / (fraction * math.sqrt(math.pi)))
    return result.to(input._kind.dtype)


@unary(**_REAL, name="special_ndtr", expr=lambda x: 0.5 * ir.erfc(x * -_ROOT_HALF), vjp={
    "input": lambda g, input: g * ((input * input * -0.5).exp() / math.sqrt(2 * math.pi))})
def ndtr(input: Tensor) -> Tensor:
    """The probability that a standard normal variable is below the element.

    >>> import flambeau as torch
    >>> torch.special.ndtr(torch.tensor([0.]))
    tensor([0.5000])
    """


@unary(**_REAL, name="special_log_ndtr", vjp={
    "input": lambda g, input: g / erfcx(input * -_ROOT_HALF) * math.sqrt(2 / math.pi)})
def log_ndtr(input: Tensor) -> Tensor:
    """The logarithm of `ndtr`, exact for elements far below 0, too.

    >>> import flambeau as torch
    >>> torch.special.log_ndtr(torch.tensor([-100.]))
    tensor([-5005.5244])
    """
    low, high = input.clamp(max=-1), input.clamp(min=-1)
    return where(input < -1, (erfcx(low * -_ROOT_HALF) / 2).log() - low * low / 2,
                 ((high * _ROOT_HALF).erfc() * -0.5).log1p())


# ---------------------------------------------------------------------------------------------- Bessel functions
def _wide(x: Tensor) -> Tensor:
    """The tensor in float64, where the device has it."""
    return x.to(dtypes.float64) if dtypes.float64 in x._kind.capabilities.storage_dtypes else x


def _weighed(term: Callable[..., Tensor], points: Sequence[tuple[float, ...]], like: Tensor) -> Tensor:
    """The sum of a weight times a term over many points, each given as (weight, *what the term gets).

    Of small tensors all terms are computed at once, along a dimension before the others; of large ones, one by one.
    """
    at_once = max(1, min(len(points), _AT_ONCE // max(like.numel(), 1)))
    total: Any = 0
    for start in range(0, len(points), at_once):
        columns = zip(*points[start:start + at_once], strict=True)
        weight, *rest = (construct.tensor(column, dtype=like._kind.dtype, device=like.device).reshape(
            -1, *(1,) * like.dim()) for column in columns)
        total = total + (weight * term(*rest)).sum(0)
    return total


def _mean(term: Callable[..., Tensor], like: Tensor) -> Tensor:
    """The mean over (0, pi) of a function that continues as a periodic one, by the midpoint rule.

    The term gets the sine of the angle, 1 - its cosine, and the angle.
    """
    angles = [(k + 0.5) * math.pi / _POINTS for k in range(_POINTS)]
    return _weighed(term, [(1 / _POINTS, math.sin(each), 2 * math.sin(each / 2) ** 2, each) for each in angles], like)


def _series(x: Tensor, order: int, sign: int) -> tuple[Any, Any]:
    """The even and the odd terms of Hankel's series in 1 / x, with alternating signs for `sign` -1."""
    even: Any = 0
    odd: Any = 0
    term: Any = x.new_ones(x._array.shape)
    for k in range(20):
        turn = 1 if sign > 0 or k % 4 < 2 else -1
        if k % 2:
            odd = odd + turn * term
        else:
            even = even + turn * term
        term = term * ((4 * order * order - (2 * k + 1) ** 2) / (8 * (k + 1))) / x
    return even, odd


def _scaled_i(input: Tensor, order: int) -> Tensor:
    """exp(-abs(x)) I(x) for order 0 or 1."""
    x = _wide(input).abs()
    near, far = x.clamp(max=_FAR), x.clamp(min=_FAR)
    inside = _mean(lambda _, sagitta, angle: (near * -sagitta).exp() * (1 - sagitta if order else 1), near)
    even, odd = _series(far, order, 1)
    result = where(x < _FAR, inside, (even - odd) / (far * (2 * math.pi)).sqrt())
    return result * _wide(input).sign() if order else result



@unary(promote=int_to_float, excluded=(COMPLEX,), vjp={"input": lambda g, input: g * i1(input)})
def i0(input: Tensor) -> Tensor:
    """The modified Bessel function of the first kind of order 0.

    >>> import flambeau as torch
    >>> torch.i0(torch.tensor([0., 1.]))
    tensor([1.0000, 1.2661])
    """
    return (_scaled_i(input, 0) * _wide(input).abs().exp()).to(input._kind.dtype)


@unary(**_REAL, name="special_i0e", vjp={
    "input": lambda g, input, result: g * (i1e(input) - input.sign() * result)})
def i0e(input: Tensor) -> Tensor:
    """`exp(-abs(x)) * i0(x)`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.special.i0e.html

    >>> import flambeau as torch
    >>> torch.special.i0e(torch.tensor([0., 1.]))
    tensor([1.0000, 0.4658])
    """
    return _scaled_i(input, 0).to(input._kind.dtype)


def _over(result: Tensor, input: Tensor) -> Tensor:
    """result / input, 1/2 at 0: of functions that begin as x / 2."""
    zero = input == 0
    return (result / input.masked_fill(zero, 1)).masked_fill(zero, 0.5)


@unary(**_REAL, name="special_i1", vjp={
    "input": lambda g, input, result: g * (i0(input) - _over(result, input))})
def i1(input: Tensor) -> Tensor:
    """The modified Bessel function of the first kind of order 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.special.i1.html

    >>> import flambeau as torch
    >>> torch.special.i1(torch.tensor([0., 1.]))
    tensor([0.0000, 0.5652])
    """
    return (_scaled_i(input, 1) * _wide(input).abs().exp()).to(input._kind.dtype)


@unary(**_REAL, name="special_i1e", vjp={
    "input": lambda g, input, result: g * (i0e(input) - _over(result, input) - input.sign() * result)})
def i1e(input: Tensor) -> Tensor:
    """`exp(-abs(x)) * i1(x)`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.special.i1e.html

    >>> import flambeau as torch
    >>> torch.special.i1e(torch.tensor([0., 1.]))
    tensor([0.0000, 0.2079])
    """
    return _scaled_i(input, 1).to(input._kind.dtype)


def _doubly_exponential(term: Callable[..., Tensor], like: Tensor) -> Tensor:
    """The integral over (0, 1) of a smooth function. The term gets where it is, x, and sin(pi x)."""
    points = []
    step = 1 / 48
    for k in range(-152, 153):
        angle = math.pi / 2 * math.sinh(k * step)
        weight = math.pi / 4 * math.cosh(k * step) / math.cosh(angle) ** 2 * step
        place = 1 / (1 + math.exp(-2 * angle))
        points.append((weight, place, math.sin(math.pi * place)))
    return _weighed(term, points, like)


def _scaled_k(input: Tensor, order: int) -> Tensor:
    """exp(x) K(x) for order 0 or 1: infinite at 0, nan below."""
    x = _wide(input)
    safe = x.masked_fill(~(x > 0), 1).clamp(max=1e300)
    reach = (745 / safe + 1).acosh()

    def term(part: Tensor) -> Tensor:
        t = reach * part
        decay = (safe * -2 * (t / 2).sinh().square()).exp()
        return decay * t.cosh() if order else decay
    result = _trapezoid(term, safe) * reach
    return where(x > 0, result, where(x == 0, math.inf, math.nan))


def _trapezoid(term: Callable[..., Tensor], like: Tensor, count: int = 400) -> Tensor:
    """The integral over (0, 1) of an even function that has vanished at 1."""
    return _weighed(term, [((1 if k else 0.5) / count, k / count) for k in range(count)], like)


def _j(input: Tensor, order: int) -> Tensor:
    x = _wide(input)
    size = x.abs()
    near, far = size.clamp(max=_FAR), size.clamp(min=_FAR)
    inside = _mean(lambda sine, _, angle: (near * sine - order * angle).cos(), near)
    even, odd = _series(far, order, -1)
    phase = far - (order / 2 + 0.25) * math.pi
    outside = (2 / math.pi / far).sqrt() * (even * phase.cos() - odd * phase.sin())
    result = where(size < _FAR, inside, outside)    # nan at infinity, as in PyTorch
    return result * x.sign() if order else result


def _y(input: Tensor, order: int) -> Tensor:
    x = _wide(input)
    safe = x.masked_fill(~(x > 0), 1)
    near, far = safe.clamp(max=_FAR), safe.clamp(min=_FAR)
    reach = (745 / near).asinh()
    wave = _doubly_exponential(lambda part, sine: (near * sine - part * (order * math.pi)).sin(), near)

    def term(part: Tensor, _: Tensor) -> Tensor:
        rise = (reach * part).sinh()
        decay = (near * -rise).exp()
        return decay * rise if order else decay
    inside = wave - _doubly_exponential(term, near) * reach * (2 / math.pi)
    even, odd = _series(far, order, -1)
    phase = far - (order / 2 + 0.25) * math.pi
    outside = (2 / math.pi / far).sqrt() * (even * phase.sin() + odd * phase.cos())
    result = where(x < _FAR, inside, outside)
    return where(x > 0, result, where(x == 0, -math.inf, math.nan))


def _near_and_far(make: Any) -> _samples.Calls:
    """Not in between, from 2 to 20: there PyTorch's own values have errors up to 4e-7, also in float64."""
    yield (make(2, 3),), {}
    yield (make(3, low=25, high=30),), {}


def _undifferentiable(name: str, doc: str, function: Callable[[Tensor], Tensor], domain: Any = None,
                     samples: Any = None) -> Any:
    """A function whose derivative PyTorch does not give either."""
    def call(input: Tensor) -> Tensor:
        return function(input).to(input._kind.dtype)
    call.__name__ = call.__qualname__ = f"special_{name}"
    call.__doc__ = doc
    return unary(**_REAL, vjp={}, domain=domain, samples=samples)(call)


def _j0_over(input: Tensor) -> Tensor:
    x = _wide(input)
    small = x.abs() < 0.5
    safe = x.masked_fill(small, 1)
    square = x.masked_fill(~small, 0).square()
    series: Any = 1
    for k in range(9, 0, -1):
        series = 1 - square / (2 * k * (2 * k + 1)) * series
    return where(small, series, safe.sin() / safe).masked_fill(x.abs() == math.inf, 0)


_OF = {"i": "The modified Bessel function of the first kind", "k": "The modified Bessel function of the second kind",
       "j": "The Bessel function of the first kind", "y": "The Bessel function of the second kind"}
bessel_j0 = _undifferentiable("bessel_j0", f"{_OF['j']} of order 0.", lambda x: _j(x, 0), (-2, 2), _near_and_far)
bessel_j1 = _undifferentiable("bessel_j1", f"{_OF['j']} of order 1.", lambda x: _j(x, 1), (-2, 2), _near_and_far)
bessel_y0 = _undifferentiable("bessel_y0", f"{_OF['y']} of order 0; nan below 0.", lambda x: _y(x, 0), (0.1, 2),
                              _near_and_far)
bessel_y1 = _undifferentiable("bessel_y1", f"{_OF['y']} of order 1; nan below 0.", lambda x: _y(x, 1), (0.1, 2),
                              _near_and_far)
modified_bessel_i0 = _undifferentiable("modified_bessel_i0", f"{_OF['i']} of order 0.",
                                       lambda x: _scaled_i(x, 0) * _wide(x).abs().exp())
modified_bessel_i1 = _undifferentiable("modified_bessel_i1", f"{_OF['i']} of order 1.",
                                       lambda x: _scaled_i(x, 1) * _wide(x).abs().exp())
modified_bessel_k0 = _undifferentiable("modified_bessel_k0", f"{_OF['k']} of order 0.",
                                       lambda x: _scaled_k(x, 0) * (-_wide(x)).exp(), (0.1, 9))
modified_bessel_k1 = _undifferentiable("modified_bessel_k1", f"{_OF['k']} of order 1.",
                                       lambda x: _scaled_k(x, 1) * (-_wide(x)).exp(), (0.1, 9))
scaled_modified_bessel_k0 = _undifferentiable("scaled_modified_bessel_k0", f"`exp(x)` times {_OF['k'].lower()} of "
                                              "order 0.", lambda x: _scaled_k(x, 0), (0.1, 9))
scaled_modified_bessel_k1 = _undifferentiable("scaled_modified_bessel_k1", f"`exp(x)` times {_OF['k'].lower()} of "
                                              "order 1.", lambda x: _scaled_k(x, 1), (0.1, 9))
spherical_bessel_j0 = _undifferentiable("spherical_bessel_j0", "The spherical Bessel function of the first kind of "
                                        "order 0: `sin(x) / x`.", _j0_over)


# ---------------------------------------------------------------------------------------------- polynomials
def _samples_polynomial(make: Any) -> _samples.Calls:
    yield (make(2, 3, low=-0.9, high=0.9), 3), {}
    yield (make(2, 3, low=0, high=0.9), make.fixed([[0, 1, 4], [2, 3, 5]], requires_grad=False)), {}
    yield (make(3, low=-0.9, high=0.9), make.fixed([[2], [-1]], dtype=dtypes.int64)), {}


def _polynomial(name: str, what: str, first: Callable[[Any], Any], step: Callable[[int, Any, Any, Any], Any]) -> Any:
    """The operator of a family of polynomials, by the recurrence that gives one of degree k from the two before."""
    def call(input: Any, n: Any) -> Tensor:
        common = rules.common_of(input, n)
        if common.category < FLOAT:
            common = dtypes.get_default_dtype()
        one = next((each for each in (input, n) if isinstance(each, Tensor)), None)
        if one is None:
            raise ArgumentError(message(f"special.{name}", "at least one argument must be a Tensor"))
        x, degree = (_wide(each.to(common)) if isinstance(each, Tensor) else
                     _wide(construct.tensor(each, dtype=common, device=one.device)) for each in (input, n))
        degree = degree.trunc()
        last = int(degree.max().item()) if degree.numel() else 0
        before, now = x * 0 + 1, first(x)
        result = where(degree < 0, 0, where(degree == 0, before, now))
        for k in range(2, last + 1):
            before, now = now, step(k, x, before, now)
            result = where(degree == k, now, result)
        return result.to(common)
    call.__name__ = call.__qualname__ = f"special_{name}"
    call.__doc__ = f"{what} of degree `n` at `input`; 0 for a negative degree."
    return composite(method=False, namespace="special", out=True, samples=_samples_polynomial)(call)


def _chebyshev(k: int, x: Any, before: Any, now: Any) -> Any:
    return 2 * x * now - before


def _shifted(k: int, x: Any, before: Any, now: Any) -> Any:
    return 2 * (2 * x - 1) * now - before


chebyshev_polynomial_t = _polynomial("chebyshev_polynomial_t", "Chebyshev's polynomial of the first kind",
                                     lambda x: x, _chebyshev)
chebyshev_polynomial_u = _polynomial("chebyshev_polynomial_u", "Chebyshev's polynomial of the second kind",
                                     lambda x: 2 * x, _chebyshev)
chebyshev_polynomial_v = _polynomial("chebyshev_polynomial_v", "Chebyshev's polynomial of the third kind",
                                     lambda x: 2 * x - 1, _chebyshev)
chebyshev_polynomial_w = _polynomial("chebyshev_polynomial_w", "Chebyshev's polynomial of the fourth kind",
                                     lambda x: 2 * x + 1, _chebyshev)
shifted_chebyshev_polynomial_t = _polynomial("shifted_chebyshev_polynomial_t", "The shifted Chebyshev polynomial of "
                                             "the first kind", lambda x: 2 * x - 1, _shifted)
shifted_chebyshev_polynomial_u = _polynomial("shifted_chebyshev_polynomial_u", "The shifted Chebyshev polynomial of "
                                             "the second kind", lambda x: 4 * x - 2, _shifted)
shifted_chebyshev_polynomial_v = _polynomial("shifted_chebyshev_polynomial_v", "The shifted Chebyshev polynomial of "
                                             "the third kind", lambda x: 4 * x - 3, _shifted)
shifted_chebyshev_polynomial_w = _polynomial("shifted_chebyshev_polynomial_w", "The shifted Chebyshev polynomial of "
                                             "the fourth kind", lambda x: 4 * x - 1, _shifted)
hermite_polynomial_h = _polynomial("hermite_polynomial_h", "The physicist's Hermite polynomial", lambda x: 2 * x,
                                   lambda k, x, before, now: 2 * x * now - 2 * (k - 1) * before)
hermite_polynomial_he = _polynomial("hermite_polynomial_he", "The probabilist's Hermite polynomial", lambda x: x,
                                    lambda k, x, before, now: x * now - (k - 1) * before)
laguerre_polynomial_l = _polynomial("laguerre_polynomial_l", "Laguerre's polynomial", lambda x: 1 - x,
                                    lambda k, x, before, now: ((2 * k - 1 - x) * now - (k - 1) * before) / k)
legendre_polynomial_p = _polynomial("legendre_polynomial_p", "Legendre's polynomial", lambda x: x,
                                    lambda k, x, before, now: ((2 * k - 1) * x * now - (k - 1) * before) / k)


# ---------------------------------------------------------------------------------------------- gamma and zeta
def _samples_mvlgamma(make: Any) -> _samples.Calls:
    for p in (1, 3):
        yield (make(2, 3, low=1.5, high=6), p), {}


@composite(samples=_samples_mvlgamma)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension `p`, for elements above (p - 1) / 2.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mvlgamma.html

    >>> import flambeau as torch
    >>> torch.mvlgamma(torch.tensor([2.]), 2)
    tensor([0.4516])
    """
    if p < 1:
        raise ArgumentError(f"mvlgamma: p has to be greater than or equal to 1; given: p={p}")
    if input._kind.dtype is dtypes.bool_:
        raise DtypeError("mvlgamma: the input tensor may not be a boolean tensor; convert it")
    total: Any = p * (p - 1) / 4 * math.log(math.pi)
    for k in range(p):
        total = total + (input - k / 2).lgamma()
    return total


_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)   # B2, B4, ..., B16


@binary(**_REAL, name="special_zeta", vjp={}, domain=((1.5, 4), (0.5, 4)))
def zeta(input: Tensor, other: Tensor) -> Tensor:
    """Hurwitz's zeta function: the sum of `(k + other) ** -input` over k from 0 on.

    >>> import flambeau as torch
    >>> torch.special.zeta(torch.tensor([2.]), torch.tensor([1.]))
    tensor([1.6449])
    """
    like = input if isinstance(input, Tensor) else other
    s, q = (_wide(each) if isinstance(each, Tensor) else _wide(construct.tensor(
        float(each), dtype=like._kind.dtype, device=like.device)) for each in (input, other))
    first = q
    total: Any = _weighed(lambda k: (first + k) ** -s, [(1, k) for k in range(12)], first + s)
    q = first + 12                 # Euler and Maclaurin's rest is exact enough from here
    total = total + q ** (1 - s) / (s - 1) + q ** -s / 2
    factor = s * q ** (-s - 1) / 2
    for k, number in enumerate(_BERNOULLI):
        total = total + number * factor
        factor = factor * (s + 2 * k + 1) * (s + 2 * k + 2) / (q * q) / ((2 * k + 3) * (2 * k + 4))
    total = where((first <= 0) & (first == first.floor()), math.inf, total)
    total = total.masked_fill((first < 0) & (first != first.floor()) & (s != s.floor()), math.nan)
    return where(s == 1, math.inf, where(s < 1, math.nan, total)).to(like._kind.dtype)


__all__ = ["i0", "mvlgamma"]
