"""Copies and casts on OpenCL: layouts, overlaps, and every pair of dtypes to the last bit, as PyTorch casts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import flambeau
from flambeau import discovery, dtypes
from flambeau_numpy.dtypes import TO_NUMPY

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")


@pytest.fixture(scope="module")
def backend(opencl):
    return discovery.kind_of(dtypes.float32, opencl).backend


def strides_of(array):
    return tuple(each // array.itemsize for each in array.strides)


def values_of(kind, rng):
    """All numbers of a small dtype; of a large one some of every size, and the awkward ones."""
    theirs = TO_NUMPY[kind]
    if kind is dtypes.bool_:
        return np.array([True, False, True] * 9)
    if kind.itemsize <= 2:
        return np.arange(1 << 8 * kind.itemsize, dtype=f"u{kind.itemsize}").view(theirs)
    if kind.category == dtypes.INTEGER:
        info = np.iinfo(theirs)
        whole = rng.integers(info.min, info.max, 3000, theirs, endpoint=True)
        return np.concatenate([whole, np.arange(3000).astype(theirs), np.array([info.min, info.max], theirs)])
    bits = rng.integers(0, 1 << 32, 20000, np.uint32).view(np.float32)
    usual = (rng.standard_normal(9994) * np.exp(rng.standard_normal(9994) * 6)).astype(np.float32)
    with np.errstate(all="ignore"):
        special = np.array([np.inf, -np.inf, np.nan, 0, -0.0, 1 + 2.0 ** -11], np.float32)
        return np.concatenate([bits, usual, special]).astype(theirs.type(0).real.dtype).view(theirs)


def cast_by_torch(array, target):
    source = torch.frombuffer(bytearray(array.tobytes()), dtype=getattr(torch, discovery_name(array)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = source.to(getattr(torch, target.name))
    return np.frombuffer(result.view(torch.uint8).numpy().tobytes(), TO_NUMPY[target])


def discovery_name(array):
    return next(ours.name for ours, theirs in TO_NUMPY.items() if theirs == array.dtype)


def same(got, wanted):
    """Where two arrays have the same bits, or are both not a number."""
    equal = (got.view(np.uint8).reshape(len(got), -1) == wanted.view(np.uint8).reshape(len(got), -1)).all(1)
    if got.dtype.kind in "iub":
        return equal
    with np.errstate(all="ignore"):
        a, b = got.astype(np.complex128), wanted.astype(np.complex128)
    imaginary = (a.imag == b.imag) | np.isnan(a.imag) & np.isnan(b.imag)
    return equal | np.isnan(a.real) & np.isnan(b.real) & imaginary


@pytest.mark.parametrize("source", dtypes.ALL, ids=str)
def test_casts_are_pytorchs(backend, source):
    array = values_of(source, np.random.default_rng(0))
    given = backend.from_host(array, 0)
    for target in dtypes.ALL:
        into = backend.empty(array.shape, target, 0)
        backend.copy(into, given)
        got, wanted = backend.to_host(into), cast_by_torch(array, target)
        fine = same(got, wanted)
        if target.category == dtypes.INTEGER and source.category > dtypes.INTEGER:   # beyond the range: as it happens
            limits = np.iinfo(TO_NUMPY[target])
            with np.errstate(all="ignore"):
                real = array.astype(np.complex128).real
            fine |= ~((real > float(limits.min) - 1) & (real < limits.max))
        assert fine.all(), (source, target, array[~fine][:4], got[~fine][:4], wanted[~fine][:4])


@pytest.mark.parametrize("kind", [dtypes.uint8, dtypes.bfloat16, dtypes.float32, dtypes.float64, dtypes.complex128],
                         ids=str)
def test_copies_between_layouts(backend, kind):
    rng = np.random.default_rng(1)

    def placed(shape, largest=3):
        """An array in a memory of its own, its dimensions in any order and with gaps, and that memory."""
        order, step = rng.permutation(len(shape)), rng.integers(1, largest, len(shape))
        memory = np.zeros(tuple(shape[d] * step[d] for d in order), TO_NUMPY[kind])
        return memory, memory.transpose(np.argsort(order))[tuple(slice(None, None, each) for each in step)]

    for shape in [(3,), (7, 5), (70, 90), (130, 65), (2, 40, 33), (3, 4, 5, 6), (2,) * 10, (1, 5, 1)] * 6:
        target, to = placed(shape)
        source, of = placed(shape)
        of[...] = rng.integers(0, 250, shape)
        if rng.integers(3) == 0:
            of = np.broadcast_to(of[:1], shape)
        there, here = backend.from_host(target, 0), backend.from_host(source, 0)
        backend.copy(backend.as_strided(there, shape, strides_of(to), 0),
                     backend.as_strided(here, of.shape, strides_of(of), 0))
        to[...] = of
        np.testing.assert_array_equal(backend.to_host(there).view(np.uint8), target.view(np.uint8))


def test_overlapping_memory_is_read_first(opencl):
    x = flambeau.arange(100., device=opencl)
    x[1:].copy_(x[:-1])
    np.testing.assert_array_equal(x.cpu().numpy(), [0, *range(99)])
    square = flambeau.arange(9, device=opencl).reshape(3, 3)
    square.copy_(square.t())
    np.testing.assert_array_equal(square.cpu().numpy(), np.arange(9).reshape(3, 3).T)
    halves = flambeau.arange(8, device=opencl)
    halves[:4].copy_(halves[4:])   # the same memory, but apart
    np.testing.assert_array_equal(halves.cpu().numpy(), [4, 5, 6, 7, 4, 5, 6, 7])


def test_strided_casts(opencl):
    values = np.arange(24, dtype=np.float32).reshape(4, 6) - 7.5
    x = flambeau.tensor(values, device=opencl)
    np.testing.assert_array_equal(x.t()[1::2].to(flambeau.int32).cpu().numpy(), values.T[1::2].astype(np.int32))
    out = flambeau.zeros(6, 8, dtype=flambeau.float16, device=opencl)
    out[:, ::2].copy_(x.t())
    np.testing.assert_array_equal(out.cpu().numpy()[:, ::2], values.T.astype(np.float16))
    assert not out[:, 1::2].any()
    out[:, 1::2] = x[0, 0]
    assert bool((out[:, 1::2] == -7.5).all())


def test_shapes_that_do_not_broadcast_are_refused(opencl):
    with pytest.raises(RuntimeError, match="size"):
        flambeau.zeros(3, device=opencl).copy_(flambeau.zeros(4, device=opencl))
