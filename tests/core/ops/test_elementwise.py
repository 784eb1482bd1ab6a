"""Pointwise operators against PyTorch: values, dtypes, gradients of first and second order, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

ANY = (-3.0, 3.0)
UNARY = {
    "neg": ANY, "abs": ANY, "sign": ANY, "sgn": ANY, "reciprocal": (0.2, 3), "sqrt": (0.1, 4), "rsqrt": (0.1, 4),
    "square": ANY, "exp": ANY, "exp2": ANY, "expm1": ANY, "log": (0.1, 4), "log2": (0.1, 4), "log10": (0.1, 4),
    "log1p": (-0.9, 4), "sin": ANY, "cos": ANY, "tan": (-1, 1), "asin": (-0.9, 0.9), "acos": (-0.9, 0.9), "atan": ANY,
    "sinh": ANY, "cosh": ANY, "tanh": ANY, "asinh": ANY, "acosh": (1.1, 4), "atanh": (-0.9, 0.9), "floor": ANY,
    "ceil": ANY, "round": ANY, "trunc": ANY, "frac": ANY, "sigmoid": ANY, "logit": (0.1, 0.9), "erf": ANY, "erfc": ANY,
    "erfinv": (-0.9, 0.9), "lgamma": (0.1, 6), "digamma": (0.1, 6), "relu": ANY, "deg2rad": ANY, "rad2deg": ANY,
    "sinc": ANY, "nan_to_num": ANY, "angle": ANY, "positive": ANY, "isnan": ANY, "isinf": ANY, "isfinite": ANY,
    "logical_not": ANY, "signbit": ANY, "isposinf": ANY, "isneginf": ANY, "isreal": ANY, "selu": ANY, "celu": ANY,
    "hardshrink": ANY,
}
FUNCTIONAL = ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign",
              "hardtanh", "hardswish", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink", "logsigmoid", "glu")
BINARY = {
    "add": ANY, "sub": ANY, "mul": ANY, "div": (0.5, 3), "floor_divide": (0.5, 3), "remainder": (0.5, 3),
    "fmod": (0.5, 3), "pow": (0.2, 2), "maximum": ANY, "minimum": ANY, "fmax": ANY, "fmin": ANY, "atan2": ANY,
    "hypot": ANY, "copysign": ANY, "logaddexp": ANY, "logaddexp2": ANY, "xlogy": (0.2, 3), "eq": ANY, "ne": ANY,
    "lt": ANY, "le": ANY, "gt": ANY, "ge": ANY, "logical_and": ANY, "logical_or": ANY, "logical_xor": ANY,
    "nextafter": ANY, "heaviside": ANY, "float_power": (0.2, 2), "rsub": ANY, "isclose": ANY, "ldexp": (0, 2),
}
COMPLEX = ("neg", "abs", "sgn", "reciprocal", "sqrt", "rsqrt", "square", "exp", "expm1", "log", "log2", "log10",
           "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
           "asinh", "acosh", "atanh", "sigmoid",
           "sinc", "angle", "conj", "isnan", "isfinite", "isreal", "logical_not")
DTYPES = ("float32", "float64", "int64", "uint8", "bool", "bfloat16", "float16")


def draw(*shape: int, limits: tuple[float, float] = ANY, dtype: str = "float64", seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    values = rng.uniform(*limits, shape)
    if dtype.startswith("complex"):
        values = values + 1j * rng.uniform(*limits, shape)
    if dtype in ("int64", "uint8"):
        values = np.abs(np.round(values)) + (limits[0] > 0)
    return values


def both(values: Any, dtype: str, grad: bool = False) -> tuple[Any, Any]:
    """The same tensor in both libraries."""
    theirs = torch.tensor(values.tolist(), dtype=torch.float64 if not np.iscomplexobj(values) else torch.complex128)
    ours = flambeau.from_numpy(theirs.numpy().copy())
    ours, theirs = ours.to(getattr(flambeau, dtype)), theirs.to(getattr(torch, dtype))
    return (ours.requires_grad_(grad), theirs.requires_grad_(grad)) if grad else (ours, theirs)


def assert_same(ours: Any, theirs: Any, factor: float = 1.0) -> None:
    assert str(ours.dtype) == str(theirs.dtype)
    assert tuple(ours.shape) == tuple(theirs.shape)
    epsilon = {"torch.float16": 2e-3, "torch.bfloat16": 1e-2, "torch.float32": 2e-6, "torch.complex64": 2e-6}
    tolerance = factor * epsilon.get(str(theirs.dtype), 1e-10)
    wide = theirs.detach().resolve_conj().resolve_neg()
    if theirs.dtype in (torch.float16, torch.bfloat16):
        ours, wide = ours.to(flambeau.float32), wide.float()
    np.testing.assert_allclose(ours.detach().numpy(), wide.numpy(force=True), rtol=tolerance, atol=tolerance)


def outcome(function: Any, *args: Any, **kwargs: Any) -> tuple[Any, type[BaseException] | None]:
    try:
        return function(*args, **kwargs), None
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        return None, type(error)


def assert_same_outcome(ours: Any, theirs: Any) -> None:
    (mine, error), (expected, their_error) = ours, theirs
    if their_error is not None:
        assert error is not None, "PyTorch raises here"
        assert issubclass(error, RuntimeError) == issubclass(their_error, RuntimeError)
    else:
        assert error is None, error
        assert_same(mine, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: str) -> None:
    ours, theirs = both(draw(3, 4, limits=UNARY[name]), dtype)
    assert_same_outcome(outcome(getattr(flambeau, name), ours), outcome(getattr(torch, name), theirs))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: str) -> None:
    ours, theirs = zip(*(both(draw(*shape, limits=BINARY[name], dtype=dtype, seed=seed), dtype)
                         for seed, shape in enumerate([(3, 4), (4,)])), strict=True)
    assert_same_outcome(outcome(getattr(flambeau, name), *ours), outcome(getattr(torch, name), *theirs))


@pytest.mark.parametrize("name", COMPLEX)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex(name: str, dtype: str) -> None:
    ours, theirs = both(draw(3, 4, dtype=dtype), dtype)
    assert_same(getattr(flambeau, name)(ours), getattr(torch, name)(theirs), 10)


def gradients(library: Any, function: Any, tensors: list[Any], seed: Any) -> tuple[list[Any], list[Any]]:
    """First gradients for a cotangent, and the gradients of their weighted sum."""
    result = function(*tensors)
    first = library.autograd.grad(result, tensors, seed.to(result.dtype), create_graph=True)
    total = sum((each * each.conj()).real.sum() if each.is_complex() else (each * each).sum() for each in first)
    if not total.requires_grad:
        return list(first), []
    second = library.autograd.grad(total, tensors, allow_unused=True)
    return list(first), [each for each in second if each is not None]


def check_gradients(function: Any, drawn: list[Any], dtype: str = "float64",
                    shape: tuple[int, ...] | None = None) -> None:
    import flambeau.autograd
    pairs = [both(each, dtype, grad=True) for each in drawn]
    seeds = both(draw(*(shape or drawn[0].shape), seed=9, dtype=dtype), dtype)
    ours = gradients(flambeau, lambda *args: function(flambeau, *args), [pair[0] for pair in pairs], seeds[0])
    theirs = gradients(torch, lambda *args: function(torch, *args), [pair[1] for pair in pairs], seeds[1])
    for mine, expected in zip(ours, theirs, strict=True):
        for each, other in zip(mine, expected, strict=False):
            assert_same(each, other, 1e3)


DIFFERENTIABLE = [name for name in UNARY if not name.startswith(("is", "logical", "signbit"))]


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name != "positive"])
def test_unary_gradients(name: str) -> None:
    check_gradients(lambda library, x: getattr(library, name)(x), [draw(3, 4, limits=UNARY[name])])


@pytest.mark.parametrize("name", [name for name in BINARY if name not in (
    "floor_divide", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "nextafter",
    "heaviside", "isclose")])
def test_binary_gradients(name: str) -> None:
    check_gradients(lambda library, x, y: getattr(library, name)(x, y),
                    [draw(3, 4, limits=BINARY[name]), draw(4, limits=BINARY[name], seed=1)])


@pytest.mark.parametrize("name", [name for name in FUNCTIONAL if name != "hardsigmoid"])  # no second order in PyTorch
def test_activation_gradients(name: str) -> None:
    check_gradients(lambda library, x: getattr(library.nn.functional, name)(x), [draw(3, 4, limits=(-7, 7))],
                    shape=(3, 2) if name == "glu" else None)


@pytest.mark.parametrize("name", [name for name in COMPLEX if not name.startswith(("is", "logical"))])
def test_complex_gradients(name: str) -> None:
    drawn = [draw(3, 4, dtype="complex128", limits=(0.2, 1.2))]
    real = name in ("abs", "angle")

    def function(library: Any, x: Any) -> Any:
        result = getattr(library, name)(x)
        return library.complex(result, result * 0) if real else result
    check_gradients(function, drawn, "complex128")


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
def test_complex_binary_gradients(name: str) -> None:
    check_gradients(lambda library, x, y: getattr(library, name)(x, y),
                    [draw(3, 4, dtype="complex128", limits=(0.3, 1.5)),
                     draw(4, dtype="complex128", limits=(0.3, 1.5), seed=1)], "complex128")


@pytest.mark.parametrize("name", FUNCTIONAL)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_activations(name: str, dtype: str) -> None:
    ours, theirs = both(draw(3, 4, limits=(-7, 7)), dtype)
    assert_same(getattr(flambeau.nn.functional, name)(ours), getattr(torch.nn.functional, name)(theirs))


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "mish", "hardtanh",
                                  "hardswish", "hardsigmoid"])
def test_activations_in_place(name: str) -> None:
    ours, theirs = both(draw(3, 4, limits=(-7, 7)), "float32")
    result = getattr(flambeau.nn.functional, name)(ours, inplace=True)
    assert result is ours
    assert_same(ours, getattr(torch.nn.functional, name)(theirs))


def test_large_arrays_are_computed_in_blocks() -> None:
    ours, theirs = both(draw(3, 70, 101), "float32")
    for name in ("gelu", "silu", "hardswish", "mish"):
        assert_same(getattr(flambeau.nn.functional, name)(ours.transpose(0, 1)),
                    getattr(torch.nn.functional, name)(theirs.transpose(0, 1)))


CALLS = {
    "add alpha": lambda t, x, y: t.add(x, y, alpha=2), "sub alpha": lambda t, x, y: x.sub(y, alpha=0.5),
    "rsub number": lambda t, x, y: t.rsub(x, 5, alpha=2),
    "div floor": lambda t, x, y: t.div(x, y, rounding_mode="floor"),
    "div trunc": lambda t, x, y: t.div(x, y, rounding_mode="trunc"), "pow 0": lambda t, x, y: x ** 0,
    "pow 3": lambda t, x, y: x ** 3, "pow -2": lambda t, x, y: x ** -2, "pow half": lambda t, x, y: x.abs() ** 0.5,
    "base 2": lambda t, x, y: 2 ** y, "over": lambda t, x, y: 3 / x, "from": lambda t, x, y: 3 - x,
    "mod": lambda t, x, y: x % 0.7, "clamp": lambda t, x, y: x.clamp(-1, 1),
    "clamp min": lambda t, x, y: x.clamp(min=0.5),
    "clamp max": lambda t, x, y: t.clamp(x, max=0.5), "clamp tensors": lambda t, x, y: t.clamp(x, -y.abs(), y.abs()),
    "clip": lambda t, x, y: x.clip(0, 1), "lerp": lambda t, x, y: t.lerp(x, y, 0.3),
    "lerp tensor": lambda t, x, y: t.lerp(x, y, y), "addcmul": lambda t, x, y: t.addcmul(x, x, y, value=0.5),
    "addcdiv": lambda t, x, y: t.addcdiv(x, x, y, value=0.5), "where": lambda t, x, y: t.where(x > y, x, y),
    "where number": lambda t, x, y: t.where(x > 0, x, 2.0), "method where": lambda t, x, y: x.where(x > y, 0.0),
    "masked_fill": lambda t, x, y: x.masked_fill(x > 1, -5.0), "round": lambda t, x, y: t.round(x, decimals=2),
    "logit": lambda t, x, y: t.logit(x, eps=0.2),
    "gelu tanh": lambda t, x, y: t.nn.functional.gelu(x, approximate="tanh"),
    "leaky": lambda t, x, y: t.nn.functional.leaky_relu(x, 0.2), "elu": lambda t, x, y: t.nn.functional.elu(x, 1.5),
    "softplus": lambda t, x, y: t.nn.functional.softplus(x, 2, 3), "prelu": lambda t, x, y: t.prelu(x, y[:1].abs()),
    "threshold": lambda t, x, y: t.nn.functional.threshold(x, 0.1, 20.0), "xlogy": lambda t, x, y: t.xlogy(x, 2.0),
    "copysign": lambda t, x, y: t.copysign(x, -1.0), "prelu channels": lambda t, x, y: t.prelu(x, y.abs()),
    "softshrink": lambda t, x, y: t.nn.functional.softshrink(x, 0.2), "celu": lambda t, x, y: t.celu(x, 0.5),
    "hardtanh": lambda t, x, y: t.nn.functional.hardtanh(x, -0.5, 0.7),
    "polar": lambda t, x, y: t.polar(x.abs(), y).real,
}


@pytest.mark.parametrize("call", CALLS)
def test_calls_and_their_gradients(call: str) -> None:
    drawn = [draw(3, 4, limits=(0.1, 2.4) if call.startswith(("lo", "pow h")) else ANY), draw(4, seed=1)]
    ours, theirs = zip(*(both(each, "float32") for each in drawn), strict=True)
    assert_same(CALLS[call](flambeau, *ours), CALLS[call](torch, *theirs), 5)

    def function(library: Any, x: Any, y: Any) -> Any:
        return CALLS[call](library, x, y) + 0 * x + 0 * y
    check_gradients(function, drawn)


@pytest.mark.parametrize("call", [
    "x - x", "True - x", "-x", "+x", "x // 0", "x % 0", "i // 0", "i % 0", "i ** -1", "i.fmod(0)", "f & 1", "~f",
    "i & 1.5", "x ** x", "i.add(i, alpha=1.5)", "i.add_(1.5)", "i.div_(2)", "x.add_(1)", "i + 'a'", "i + None",
    "i < 'a'",
    "t.add(i, 'a')", "t.where(f, f, f)", "i.masked_fill(i, 1)", "c < c", "t.maximum(c, c)", "t.clamp(i)", "x.relu()",
    "t.nn.functional.gelu(i)", "t.complex(f, i)", "t.polar(f, i)", "t.nextafter(i, i)",
    "t.div(f, f, rounding_mode='up')",
    "f.masked_fill(x, f)", "t.lerp(f, f.double(), 0.5)", "t.addcdiv(i, i, i)", "t.nn.functional.celu(f, 0.0)",
    "t.heaviside(i, f)", "t.nn.functional.softshrink(f, -1.0)", "f + t.ones(3)", "f.add_(t.ones(2, 2))",
    "t.eq(1, f)", "t.logical_and(f, 1)", "c.abs_()", "t.isclose(f, f.double())", "i << 1.5"])
def test_errors_are_pytorchs(call: str) -> None:
    def names(library: Any) -> dict[str, Any]:
        return {"t": library, "x": library.tensor([True, False]), "i": library.tensor([1, 2]),
                "f": library.tensor([1.0, 2.0]), "c": library.tensor([1j, 2j])}
    with pytest.raises((RuntimeError, TypeError, ValueError)) as expected:
        eval(call, names(torch))
    wanted = next(each for each in (RuntimeError, TypeError, ValueError) if issubclass(expected.type, each))
    with pytest.raises(wanted):
        eval(call, names(flambeau))


@pytest.mark.parametrize("expression", [
    "x ** 2", "x ** x", "2 ** x", "x + x", "x - x", "2 - x", "x * x", "x / x", "x / 2", "x % 2", "x % x", "-x",
    "x.abs()",
    "x.relu()", "x.sigmoid()", "x.tanh()", "x.exp()", "x.clamp(0, 1)", "t.where(x > 0, x, x)",
    "x.masked_fill(x > 0, 0.0)",
    "x.square()", "x.atan2(x)", "x.log1p()", "t.nn.functional.gelu(x)", "t.nn.functional.leaky_relu(x)",
    "t.nn.functional.silu(x)", "t.nn.functional.relu6(x)", "t.nn.functional.selu(x)", "t.nn.functional.logsigmoid(x)",
    "t.addcmul(x, x, x)", "t.lerp(x, x, 0.5)", "x.round()", "t.prelu(x, x[:1])", "x.logaddexp2(x)", "x.deg2rad()"])
def test_names_of_graph_nodes(expression: str) -> None:
    ours = eval(expression, {"t": flambeau, "x": flambeau.tensor([1.0, 2.0], requires_grad=True)})
    theirs = eval(expression, {"t": torch, "x": torch.tensor([1.0, 2.0], requires_grad=True)})
    assert ours.grad_fn.name() == theirs.grad_fn.name()


class _Other:
    def __radd__(self, other: Any) -> str:
        return "radd"

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_python_operators_let_other_classes_speak() -> None:
    x = flambeau.tensor([1.0])
    assert x + _Other() == "radd"
    assert (x == _Other()) is True
    assert (x == "a") is False
    assert (x != None) is True  # noqa: E711 - the operator is what is tested
    with pytest.raises(TypeError, match="unsupported operand"):
        x + "a"


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "//", "%", "**"])
@pytest.mark.parametrize("left", ["x", "2", "2.5", "s"])
def test_python_operators(operator: str, left: str) -> None:
    values = [{"x": library.tensor([1, 2, 3]), "s": library.tensor(3.5),
               "y": library.tensor([4, 5, 6], dtype=library.int32)}
              for library in (flambeau, torch)]
    ours, theirs = (eval(f"{left} {operator} y", each) for each in values)
    assert_same(ours, theirs)


def test_result_type() -> None:
    for left in ([1], [1.0], 1, 1.0, True, [True]):
        for right in ([1], [1.0], 1.5, 2, 1j):
            ours, theirs = (library.result_type(*(library.tensor(each) if isinstance(each, list) else each
                                                  for each in (left, right))) for library in (flambeau, torch))
            assert str(ours) == str(theirs)


def test_special_functions_over_their_range() -> None:
    values = np.concatenate([np.linspace(-30, 30, 1201), np.linspace(-2, 2, 401), [np.inf, -np.inf, np.nan, 0.0, -0.0]])
    for name in ("erf", "erfc", "digamma", "lgamma"):
        ours = getattr(flambeau, name)(flambeau.from_numpy(values)).numpy()
        theirs = getattr(torch, name)(torch.from_numpy(values)).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=2e-12, atol=2e-14)
    inside = np.concatenate([np.linspace(-1, 1, 801), 1 - np.logspace(-15, -1, 30)])
    np.testing.assert_allclose(flambeau.erfinv(flambeau.from_numpy(inside)).numpy(),
                               torch.erfinv(torch.from_numpy(inside)).numpy(), rtol=1e-9)
    for order in range(4):
        positive = np.linspace(0.1, 30, 200)
        np.testing.assert_allclose(flambeau.polygamma(order, flambeau.from_numpy(positive)).numpy(),
                                   torch.polygamma(order, torch.from_numpy(positive)).numpy(), rtol=1e-8, atol=1e-14)
