"""Reductions, extrema, scans, sorting and statistics, compared with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from both import compare, draw

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

DIMS = [{}, {"dim": 0}, {"dim": (0, 2)}, {"dim": -1, "keepdim": True}]
REDUCTIONS = ["sum", "mean", "amax", "amin", "nansum", "nanmean", "all", "any", "std", "var"]
ALONG = ["max", "min", "argmax", "argmin", "median", "nanmedian", "mode", "prod", "logsumexp"]
SCANS = ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "sort", "argsort", "diff"]


@pytest.mark.parametrize("kwargs", DIMS, ids=str)
@pytest.mark.parametrize("op", REDUCTIONS)
def test_reductions(op, kwargs):
    compare(lambda library, x: getattr(x, op)(**kwargs), draw(2, 3, 4), name=op != "nanmean")


@pytest.mark.parametrize("kwargs", [{"dim": 0}, {"dim": 1, "keepdim": True}, {"dim": -1}], ids=str)
@pytest.mark.parametrize("op", ALONG)
def test_reductions_along_one_dimension(op, kwargs):
    compare(lambda library, x: getattr(x, op)(**kwargs), draw(3, 4, 2))


@pytest.mark.parametrize("op", ["max", "min", "argmax", "argmin", "median", "nanmedian", "prod", "norm"])
def test_reductions_of_everything(op):
    compare(lambda library, x: getattr(x, op)(), draw(3, 4))


@pytest.mark.parametrize("op", ["sum", "mean", "amax", "prod", "max", "argmax", "var", "cumsum", "sort"])
def test_numbers_have_one_dimension_to_reduce(op):
    if op == "var":
        compare(lambda library, x: x.var(correction=0), np.float64(3.0), second=False)
    else:
        compare(lambda library, x: getattr(x, op)(-1), np.float64(3.0), name=op not in ("sum", "mean", "prod"))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("op", SCANS)
def test_scans(op, dim):
    compare(lambda library, x: getattr(x, op)(dim=dim), draw(3, 4, 2))


@pytest.mark.parametrize("op", ["prod", "cumprod"])
def test_products_with_zeros(op):
    x = draw(3, 4)
    x[0, 1] = x[2, 0] = x[2, 3] = 0
    compare(lambda library, x: getattr(x, op)(1), x)


@pytest.mark.parametrize("op", ["sort", "argsort", "median", "nanmedian", "cummax", "cummin", "max", "min", "argmax",
                                "argmin", "amax", "amin", "nansum"])
def test_nan_is_larger_than_everything(op):
    x = draw(3, 5)
    x[0, 1] = x[1, 0] = x[1, 4] = np.nan
    compare(lambda library, x: getattr(x.detach(), op)(dim=1), x)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool", "float32"])
@pytest.mark.parametrize("op", ["sum", "prod", "all", "any", "count_nonzero", "amax", "cumsum"])
def test_dtypes_of_results(op, dtype):
    x = np.array([[0, 1, 2], [1, 1, 1]]).astype(dtype)
    compare(lambda library, x: getattr(x.detach(), op)(1), x)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats_are_summed_in_float32(dtype):
    for library in (flambeau, torch):
        x = library.full((4096,), 1.0, dtype=getattr(library, dtype))
        assert x.sum().item() == 4096
        assert str(x.mean().dtype) == f"torch.{dtype}"


def test_float32_columns_are_summed_exactly_enough():
    x = np.full((200_000, 3), 0.1, np.float32)
    for keepdim in (False, True):
        found = flambeau.from_numpy(x).sum(0, keepdim).numpy()
        assert found.shape == ((1, 3) if keepdim else (3,))
        np.testing.assert_allclose(found.reshape(3), x.astype(np.float64).sum(0), rtol=1e-5)


@pytest.mark.parametrize("kwargs", [{}, {"dim": 1, "correction": 0}, {"unbiased": False}, {"dim": (0, 1)}], ids=str)
@pytest.mark.parametrize("op", ["var_mean", "std_mean"])
def test_pairs_of_statistics(op, kwargs):
    compare(lambda library, x: getattr(library, op)(x, **kwargs), draw(3, 4), name=False)


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles(interpolation):
    compare(lambda library, x: x.quantile(library.tensor([0.1, 0.6], dtype=library.float64), dim=1,
                                          interpolation=interpolation), draw(3, 5), name=False)
    compare(lambda library, x: x.nanquantile(0.3, dim=0, keepdim=True, interpolation=interpolation),
            np.array([[1.0, np.nan], [3.0, 2.0], [5.0, np.nan]]), name=False)


@pytest.mark.parametrize("function", [
    lambda library, x: x.topk(2, dim=0), lambda library, x: x.topk(2, largest=False), lambda library, x: x.kthvalue(2),
    lambda library, x: x.sort(descending=True), lambda library, x: x.aminmax(dim=0)])
def test_selection_by_rank(function):
    compare(function, draw(4, 5), name=False)


def test_topk_of_long_rows():
    compare(lambda library, x: x.topk(3), draw(2, 300))


@pytest.mark.parametrize("function", [
    lambda library, x: x.cov(), lambda library, x: x.corrcoef(), lambda library, x: library.trapezoid(x, dx=0.5),
    lambda library, x: library.cumulative_trapezoid(x), lambda library, x: library.histc(x.detach(), 4),
    lambda library, x: x.norm(3, dim=1), lambda library, x: library.dist(x, x * 0.5, 1),
    lambda library, x: library.renorm(x, 2, 0, 0.5), lambda library, x: x.count_nonzero()])
def test_other_statistics(function):
    compare(function, draw(3, 4), name=False)


def test_named_results_print_as_pytorch_prints_them():
    found = flambeau.tensor([[1.0, 5.0]]).max(dim=1)
    expected = torch.tensor([[1.0, 5.0]]).max(dim=1)
    assert repr(found) == repr(expected)
    assert found.values is found[0]
    assert type(found) is flambeau.return_types.max


def test_out_takes_results_and_numpy_names_work():
    x = flambeau.from_numpy(draw(3, 4))
    values, indices = flambeau.empty(0, dtype=flambeau.float64), flambeau.empty(0, dtype=flambeau.int64)
    result = flambeau.max(x, 1, out=(values, indices))
    assert result.values is values
    assert values.tolist() == x.max(1).values.tolist()
    assert x.sum(axis=1, keepdims=True).shape == (3, 1)


@pytest.mark.parametrize(("function", "error"), [
    (lambda library: library.zeros(0).max(), RuntimeError), (lambda library: library.zeros(0, 3).max(0), IndexError),
    (lambda library: library.zeros(0).argmax(), IndexError), (lambda library: library.zeros(2, 0).amax(1), IndexError),
    (lambda library: library.zeros(3).sum(1), IndexError), (lambda library: library.zeros(3).sum((0, 0)), RuntimeError),
    (lambda library: library.ones(2, dtype=library.int64).mean(), RuntimeError),
    (lambda library: library.zeros(3).topk(4), RuntimeError),
    (lambda library: library.zeros(3).kthvalue(0), RuntimeError),
    (lambda library: library.zeros(3).quantile(2.0), RuntimeError),
    (lambda library: library.ones(2, dtype=library.int64).var(), RuntimeError)])
def test_errors_are_those_of_pytorch(function, error):
    with pytest.raises(error):
        function(torch)
    with pytest.raises(error):
        function(flambeau)


def test_empty_sums():
    for library in (flambeau, torch):
        assert library.zeros(0).sum().item() == 0
        assert library.zeros(0).prod().item() == 1
        assert np.isnan(library.zeros(0).mean().item())
        assert library.zeros(0, 3).amax(1).shape == (0,)


def test_equality():
    x = flambeau.tensor([1.0, 2.0])
    assert flambeau.equal(x, x.clone()) is True
    assert not flambeau.equal(x, flambeau.tensor([1.0]))
    assert flambeau.allclose(x, x + 1e-9)
    assert not flambeau.allclose(x, x + 1)
