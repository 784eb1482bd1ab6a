"""Looking up and writing by index on OpenCL, compared with NumPy's kernels: values, order, and indices out of range."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau
from flambeau import discovery, dtypes
from flambeau_numpy.kernels import embedding, indexing

DTYPES = ["bool", "uint8", "int16", "int64", "float32", "float64", "complex64"]
SHAPES = [((7,), 0), ((3, 4), 0), ((3, 4), 1), ((5, 6, 7), 1), ((300, 40), 0), ((40, 300), 1), ((2, 70, 300), 1)]


@pytest.fixture(scope="module")
def backend(opencl):
    return discovery.kind_of(dtypes.float32, opencl).backend


def some(rng, shape, dtype):
    if dtype == "bool":
        return rng.random(shape) < 0.5
    whole = rng.integers(0 if dtype[0] == "u" else -9, 9, shape)   # sums of these are exact in any order
    return whole.astype(dtype) if dtype[0] != "c" else (whole + 1j * rng.permutation(whole)).astype(dtype)


def both(backend, name, table, *args):
    """A kernel's results here and by NumPy."""
    def there(each):
        if isinstance(each, list):
            return [there(part) for part in each]
        if not isinstance(each, np.ndarray):
            return each
        wide = np.repeat(each, 2, -1) if each.ndim else each   # with gaps
        array = backend.from_host(wide, 0)
        return backend.as_strided(array, each.shape, tuple(s // each.itemsize for s in wide[..., ::2].strides)
                                  if each.ndim else (), 0)
    mine = backend.to_host(backend.kernels[name](*map(there, args)))
    wanted = table[name](*args)
    np.testing.assert_array_equal(mine, wanted, err_msg=name)
    assert mine.dtype == wanted.dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, dim", SHAPES, ids=str)
def test_along_a_dimension(backend, dtype, shape, dim):
    rng = np.random.default_rng(0)
    a = some(rng, shape, dtype)
    picked = tuple(max(1, size - 1) if d != dim else size + 2 for d, size in enumerate(shape))
    index = rng.integers(0, shape[dim], picked)
    src = some(rng, picked, dtype)
    both(backend, "gather", indexing.KERNELS, a, dim, index)
    both(backend, "scatter", indexing.KERNELS, a, dim, index, src)
    both(backend, "scatter_add", indexing.KERNELS, a, dim, index, src)
    both(backend, "scatter_value", indexing.KERNELS, a, dim, index, True)
    reductions = ["sum", "prod"] if dtype != "bool" else []
    if dtype[0] not in "cb":
        reductions += ["amax", "amin", "mean"]
    for reduce in reductions:
        for include_self in (True, False):
            if reduce == "prod" and dtype[0] in "fc":
                continue   # rounds according to the order
            both(backend, "scatter_reduce", indexing.KERNELS, a, dim, index, src, reduce, include_self)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, dim", SHAPES, ids=str)
def test_whole_slices(backend, dtype, shape, dim):
    rng = np.random.default_rng(1)
    a = some(rng, shape, dtype)
    index = rng.integers(0, shape[dim], 2 * shape[dim])
    source = some(rng, (*shape[:dim], len(index), *shape[dim + 1:]), dtype)
    both(backend, "index_select", indexing.KERNELS, a, dim, index)
    both(backend, "index_add", indexing.KERNELS, a, dim, index, source, 1)
    both(backend, "index_copy", indexing.KERNELS, a, dim, index, source)
    both(backend, "index_fill", indexing.KERNELS, a, dim, index, True)
    if dtype != "bool":
        both(backend, "index_add", indexing.KERNELS, a, dim, index, source, 3)


@pytest.mark.parametrize("size, width", [(20, 4), (5000, 33)])
def test_tables(backend, size, width):
    rng = np.random.default_rng(2)
    weight, indices = some(rng, (50, width), "float32"), rng.integers(0, 50, (2, size // 2))
    both(backend, "embedding", embedding.KERNELS, weight, indices, -1, False)
    g = some(rng, (2, size // 2, width), "float32")
    both(backend, "embedding_weight_grad", embedding.KERNELS, g, indices, 50, -1, False)
    both(backend, "embedding_weight_grad", embedding.KERNELS, g, indices, 50, 7, False)


def test_what_is_not_a_number_wins(opencl):
    nan = float("nan")
    x = flambeau.tensor([1.0, nan, 3.0], device=opencl)
    src, index = flambeau.tensor([nan, 5.0, 2.0], device=opencl), flambeau.tensor([0, 1, 2], device=opencl)
    for reduce, last in (("amax", 3.0), ("amin", 2.0)):
        np.testing.assert_array_equal(x.scatter_reduce(0, index, src, reduce).cpu().numpy(), [nan, nan, last])


def test_filling_by_a_tensor_and_from_the_end(opencl):
    x = flambeau.zeros(3, 2, device=opencl)
    filled = x.index_fill(0, flambeau.tensor([-1], device=opencl), flambeau.tensor(5, device=opencl))
    np.testing.assert_array_equal(filled.cpu().numpy(), [[0, 0], [0, 0], [5, 5]])


def test_memory_shared_with_the_source(opencl):
    x = flambeau.arange(6, device=opencl)
    x.index_add_(0, flambeau.arange(5, device=opencl) + 1, x[:5])
    np.testing.assert_array_equal(x.cpu().numpy(), [0, 1, 3, 5, 7, 9])
    x.scatter_(0, x[:2], x[4:])   # index and source are what is written to
    np.testing.assert_array_equal(x.cpu().numpy(), [7, 9, 3, 5, 7, 9])


@pytest.mark.parametrize("call, error", [
    (lambda x, i: x.gather(0, i.reshape(1, 1)), RuntimeError),
    (lambda x, i: x.scatter_add(0, i.reshape(1, 1), x[:1, :1]), RuntimeError),
    (lambda x, i: x.index_select(1, i), IndexError),
    (lambda x, i: x.index_add(0, i, x[:1]), RuntimeError),
    (lambda x, i: flambeau.nn.functional.embedding(i, x), IndexError)])
@pytest.mark.parametrize("index", [-1, 4, 1 << 40])
def test_an_index_out_of_range_is_told_of_late(opencl, call, error, index):
    x = flambeau.ones(4, 4, device=opencl)
    with pytest.raises(error, match="out of"):
        call(x, flambeau.tensor([index], device=opencl)).cpu()
    np.testing.assert_array_equal((x + 1).cpu().numpy(), np.full((4, 4), 2))   # the device works on


@pytest.mark.parametrize("shape", [(9000,), (9000, 3)], ids=str)
def test_long_indices(backend, shape):
    rng = np.random.default_rng(3)
    a, src, index = some(rng, (50, *shape[1:]), "float32"), some(rng, shape, "float32"), rng.integers(0, 50, shape[0])
    both(backend, "index_add", indexing.KERNELS, a, 0, index, src, 1)
    both(backend, "index_copy", indexing.KERNELS, a, 0, index, src)
    both(backend, "index_put", indexing.KERNELS, a, [index - 50], src, True)
    both(backend, "index_put", indexing.KERNELS, a, [index - 25], src, False)
