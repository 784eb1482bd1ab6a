"""Pointwise kernels of the OpenCL backend: contract, special values, large arrays, threads, operators of others."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau import registry
from flambeau.dispatch import binary
from flambeau.ir import expr as ir


@pytest.fixture(scope="module")
def kernels(opencl: str) -> Any:
    """The backend's table."""
    return flambeau.empty(1, device=opencl)._kind.backend.kernels


def on(device: str, values: Any) -> Any:
    """A tensor on the device."""
    return flambeau.from_numpy(np.asarray(values)).to(device)


# ---------------------------------------------------------------------------------------------- the contract
def test_numbers_in_place_of_arrays(opencl: str, kernels: Any) -> None:
    x = on(opencl, np.array([100, 1], np.int8))
    assert (x + 27).tolist() == [127, 28]
    assert (5 - x).tolist() == [-95, 4]
    with pytest.raises(OverflowError, match="range"):
        kernels["add"](x._array, 300)
    assert (x + 300).tolist() == (x.cpu() + 300).tolist()
    assert (on(opencl, np.ones(2, np.float32)) * 1e300).tolist() == [np.inf, np.inf]


def test_out_may_be_an_operand(opencl: str, kernels: Any) -> None:
    x, y = on(opencl, np.arange(20.0)), on(opencl, np.ones(20))
    assert kernels["add"](x._array, y._array, out=x._array) is x._array
    assert x.tolist() == list(range(1, 21))
    kernels["exp"](y._array, out=y._array)
    np.testing.assert_allclose(y.cpu().numpy(), np.e)
    x[::2].add_(1)
    assert x.tolist()[:4] == [2, 2, 4, 4]


def test_out_of_another_shape_or_shapes_that_do_not_fit(opencl: str, kernels: Any) -> None:
    x, y = on(opencl, np.arange(3.0)), on(opencl, np.arange(4.0))
    with pytest.raises(ValueError, match="the result has shape"):
        kernels["add"](x._array, x._array, out=y._array)
    with pytest.raises(flambeau.errors.ShapeError, match="add: The size of tensor a"):
        kernels["add"](x._array, y._array)


def test_division_by_zero_is_reported_when_waited_for(opencl: str) -> None:
    x = on(opencl, np.array([1, 2], np.int32))
    x // on(opencl, np.array([1, 0], np.int32))
    with pytest.raises(RuntimeError, match=r"ZeroDivisionError.*floor_divide"):
        x.cpu()
    assert (x // 2).tolist() == [0, 1]


def test_powers_with_special_exponents(opencl: str) -> None:
    x = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, 1e-40], np.float32)
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    for exponent in (0, 1, 2, 3, -1, -2, 0.5, -0.5, 2.5, -3, np.inf):
        wanted = torch.from_numpy(x) ** exponent
        np.testing.assert_allclose((on(opencl, x) ** exponent).cpu().numpy(), wanted.numpy(), rtol=1e-6)
    integers = on(opencl, np.array([2, -3, 0], np.int64))
    assert (integers ** 3).tolist() == [8, -27, 0]
    assert (integers ** on(opencl, np.array([-1, 2, 0]))).tolist() == [0, 9, 1]
    with pytest.raises(RuntimeError, match="negative integer powers"):
        integers ** -1


# ---------------------------------------------------------------------------------------------- sizes and layouts
@pytest.mark.parametrize("size", [1, 7, 8, 9, 1023, 5001, 70_001])
def test_vectors_and_what_is_left_of_them(opencl: str, size: int) -> None:
    x = np.linspace(-3, 3, size).astype(np.float32)
    for name in ("exp", "erf", "tanh"):
        found = getattr(on(opencl, x), name)().cpu().numpy()
        np.testing.assert_allclose(found, getattr(flambeau.from_numpy(x), name)().numpy(), rtol=2e-6, atol=1e-7)


def test_large_operands_of_all_layouts(opencl: str) -> None:
    a = np.random.default_rng(0).random((211, 307)).astype(np.float32)
    x = on(opencl, a)
    square = x[:, :211]
    for found, wanted in (
            (square + square.T, a[:, :211] + a[:, :211].T), (square.T.exp(), np.exp(a[:, :211].T)),
            (x[::2, ::3].exp(), np.exp(a[::2, ::3])), (x + x[0], a + a[0]), (x - x[:, :1], a - a[:, :1]),
            (x[0] * x[:, :1], a[0] * a[:, :1]), (x.T + x.T, a.T + a.T), (x[1:] / x[0], a[1:] / a[0])):
        np.testing.assert_allclose(found.cpu().numpy(), wanted, rtol=1e-6)


def test_results_have_the_shapes_of_their_own_calls(opencl: str) -> None:
    for shape in ((12,), (3, 4), (2, 6), (12, 1)):
        x = flambeau.ones(shape, device=opencl)
        for found in (x + x, x.exp(), flambeau.where(x > 0, x, 2.0), flambeau.lerp(x, x, 0.5), 1 - x, x + x[:1]):
            assert tuple(found.shape) == shape


def test_calls_of_several_sizes_and_offsets_in_turn(opencl: str) -> None:
    a = np.arange(6000.0)
    x = on(opencl, a)
    for start, size in ((0, 5), (3, 9), (0, 5), (0, 4000), (7, 9), (3, 9), (1, 4000)) * 2:
        part, wanted = x[start:start + size], a[start:start + size]
        assert (part + part).tolist() == (wanted + wanted).tolist()
        assert (part * 3.0).tolist() == (wanted * 3).tolist()
        columns, wanted = part.reshape(-1, 1), wanted.reshape(-1, 1)
        assert (columns - x[:3]).tolist() == (wanted - a[:3]).tolist()
        assert flambeau.where(columns > x[:3], columns, 2.0).tolist() == np.where(wanted > a[:3], wanted, 2).tolist()


def test_more_dimensions_than_a_kernel_takes(opencl: str) -> None:
    a = np.arange(2.0 ** 10).reshape((2,) * 10)
    order = (9, 0, 8, 1, 7, 2, 6, 3, 5, 4)
    x = on(opencl, a)
    assert np.array_equal((x + x.permute(order)).cpu().numpy(), a + a.transpose(order))


def test_kernels_with_indices_of_64_bits_build_and_run(opencl: str) -> None:
    import pyopencl

    from flambeau_clike.kernels.pointwise import Operator
    x = on(opencl, np.arange(10, dtype=np.float32))
    device = x._array.device
    kernel = Operator.of(registry.OPERATORS["exp"]).kernel(device, x._array.dtype, "a", True)
    result = flambeau.empty(10, device=opencl)
    kernel.set_args(result._array.memory.buffer, np.int64(0), x._array.memory.buffer, np.int64(0), np.int64(10))
    pyopencl.enqueue_nd_range_kernel(device.queue, kernel, (2,), (1,))
    np.testing.assert_allclose(result.cpu().numpy(), np.exp(np.arange(10)), rtol=1e-6)


# ---------------------------------------------------------------------------------------------- special values
_REAL = ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
         "cosh", "tanh", "asinh", "acosh", "atanh", "sqrt", "rsqrt", "reciprocal", "erf", "erfc", "erfinv", "lgamma",
         "digamma", "sigmoid", "floor", "ceil", "trunc", "round", "sign", "abs", "signbit", "isnan", "isinf")
_VALUES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -3.0, 1e-30, -1e-30, 1e30, -1e30, 88.0, -104.0, 1e-7, 2.5, 3.5, 12.25,
           np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", _REAL)
def test_special_values_are_those_of_pytorch(opencl: str, name: str, dtype: str) -> None:
    """In any company: kernels compute several neighbours at once."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    x = np.random.default_rng(0).permutation(np.tile(np.array(_VALUES, dtype), 20))
    found = getattr(on(opencl, x), name)().cpu().numpy()
    wanted = getattr(torch, name)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=64 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


_COMPLEX = ("sqrt", "exp", "log", "log1p", "expm1", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
            "asinh", "acosh", "atanh", "reciprocal", "abs", "angle", "sgn", "sigmoid")


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", _COMPLEX)
def test_complex_functions_are_those_of_pytorch(opencl: str, name: str, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    parts = (0.0, -0.0, 0.5, -2.0, 1e-4, 30.0)
    x = np.array([complex(a, b) for a in parts for b in parts], dtype)
    found = getattr(on(opencl, x), name)().cpu().numpy()
    wanted = getattr(torch, name)(torch.from_numpy(x)).numpy()
    usual = np.isfinite(wanted)
    assert np.array_equal(np.isfinite(found), usual)
    found, wanted = found[usual], wanted[usual]
    assert (np.abs(found - wanted) <= 64 * np.finfo(dtype).eps * np.abs(wanted)).all()


# ---------------------------------------------------------------------------------------------- threads and strangers
def test_two_threads_launch_the_same_kernels(opencl: str) -> None:
    problems: list[Any] = []

    def work(start: int) -> None:
        x = flambeau.full((50,), float(start), device=opencl)
        problems.extend(k for k in range(200) if (x + float(k)).tolist() != [float(start + k)] * 50)
    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in (1, 2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []


def test_an_operator_registered_later_has_a_kernel(opencl: str, kernels: Any) -> None:
    made: list[Any] = []
    with registry.journal(made):
        @binary(name="test_squares_apart", vjp="none", method=False, inplace=False,
                expr=lambda x, y: ir.sqrt(x * x + y))
        def apart(input: Any, other: Any) -> Any:
            """The root of a square and something."""
    try:
        assert "test_squares_apart" in kernels
        x = on(opencl, np.array([3.0, 4.0]))
        assert apart(x, 0.0).tolist() == [3, 4]
    finally:
        registry.withdraw(made)
    assert "test_squares_apart" not in kernels


# ---------------------------------------------------------------------------------------------- functions of vectors
@pytest.mark.parametrize("name", ["sin", "cos"])
@pytest.mark.parametrize("reach", [1.0, 8192.0, 1e5])
def test_sines_to_a_few_units_in_the_last_place(opencl: str, name: str, reach: float) -> None:
    multiples = np.arange(-5000, 5000) * (np.pi / 2)
    values = np.concatenate([np.random.default_rng(0).uniform(-reach, reach, 10_000), multiples]).astype(np.float32)
    found = getattr(on(opencl, values), name)().cpu().numpy()
    wanted = getattr(np, name)(values.astype(np.float64))
    assert np.abs((found - wanted) / np.spacing(np.abs(wanted).astype(np.float32))).max() < 4


def test_the_sine_of_what_is_hardly_a_number(opencl: str) -> None:
    values = np.tile(np.array([-0.0, 0.0, 1e-40, -1e-20], np.float32), 4)
    found = on(opencl, values).sin().cpu().numpy()
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(values))
    values[[0, 5]] = np.inf, np.nan
    assert np.isnan(on(opencl, values).sin().cpu().numpy()).nonzero()[0].tolist() == [0, 5]


@pytest.mark.parametrize(("exponent", "scale"), [(1.3, 1.0), (1.3, 1e5), (-7.7, 3.0), (40.0, 1.0), (20.5, 100.0)])
def test_powers_to_the_last_place(opencl: str, exponent: float, scale: float) -> None:
    values = np.random.default_rng(0).uniform(0, scale, 10_000).astype(np.float32)
    with np.errstate(over="ignore"):
        wanted = (values.astype(np.float64) ** np.float64(np.float32(exponent))).astype(np.float32)
    np.testing.assert_array_max_ulp((on(opencl, values) ** exponent).cpu().numpy(), wanted, 1)


def test_powers_of_every_sign(opencl: str) -> None:
    special = np.array([-np.inf, -2, -1, -0.5, -0.0, 0.0, 0.5, 1, 3, np.inf, np.nan, 1e38, -1e-38], np.float32)
    base, exponent = (each.ravel() for each in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        wanted = np.power(base, exponent)
    np.testing.assert_allclose((on(opencl, base) ** on(opencl, exponent)).cpu().numpy(), wanted, rtol=1e-6)
