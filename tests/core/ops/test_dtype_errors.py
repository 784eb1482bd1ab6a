"""Dtypes that an operator is not defined for: the error is NotImplementedError, a RuntimeError, as in PyTorch."""

import pytest

import flambeau
from flambeau.errors import DtypeError, FlambeauError, UnsupportedError

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

CALLS = [
    lambda torch: torch.ones(2, dtype=torch.complex64).erf(),
    lambda torch: torch.ones(2, dtype=torch.bool) // torch.ones(2, dtype=torch.bool),
    lambda torch: torch.ones(2) & torch.ones(2),
    lambda torch: torch.ones(2, dtype=torch.complex64).median(),
    lambda torch: torch.ones(2, dtype=torch.complex64).amax(),
    lambda torch: torch.ones(2, dtype=torch.complex64).kthvalue(1),
    lambda torch: torch.ones(2, dtype=torch.complex64).cummax(0),
    lambda torch: torch.ones(2, dtype=torch.int64).softmax(0),
    lambda torch: torch.nn.functional.elu(torch.ones(2, dtype=torch.int64)),
    lambda torch: torch.nn.functional.layer_norm(torch.ones(2, 2, dtype=torch.int64), (2,)),
    lambda torch: torch.ones(2, dtype=torch.int64).logcumsumexp(0),
    lambda torch: torch.ones(2, 2, dtype=torch.bool) @ torch.ones(2, 2, dtype=torch.bool),
    lambda torch: torch.pow(torch.ones(2, dtype=torch.bool), torch.ones(2, dtype=torch.bool)),
    lambda torch: torch.nn.functional.avg_pool2d(torch.ones(1, 2, 2, dtype=torch.bool), 2),
]


@pytest.mark.parametrize("call", CALLS)
def test_unsupported_dtype_is_not_implemented(call):
    for library in (torch, flambeau):
        with pytest.raises(NotImplementedError, match="not implemented for"):
            call(library)


def test_the_error_can_be_caught_by_each_of_its_names():
    for error in (DtypeError, UnsupportedError, FlambeauError, RuntimeError):
        with pytest.raises(error, match="\"erf\" not implemented for 'ComplexFloat'"):
            flambeau.ones(2, dtype=flambeau.complex64).erf()


def test_out_must_have_the_dtype_of_a_gather_and_memory_of_its_own():
    for library in (torch, flambeau):
        x, index = library.arange(4.0), library.tensor([1, 0])
        with pytest.raises(RuntimeError, match="dtype"):
            library.gather(x, 0, index, out=library.empty(2, dtype=library.float64))
        for call in (lambda t, x, i, out: t.gather(x, 0, i, out=out), lambda t, x, i, out: t.take(x, i, out=out),
                     lambda t, x, i, out: t.masked_select(x, x > 1, out=out)):
            with pytest.raises(RuntimeError, match="single memory location"):
                call(library, x, index, x[:2])


TARGETS = [
    ("binary_cross_entropy", "int64", "Found dtype Long but expected Float"),
    ("binary_cross_entropy", "float64", "Found dtype Double but expected Float"),
    ("binary_cross_entropy_with_logits", "int64", "can't be cast to the desired output type Long"),
    ("binary_cross_entropy_with_logits", "int32", "can't be cast to the desired output type Int"),
]


@pytest.mark.parametrize("loss, dtype, words", TARGETS)
def test_targets_of_another_dtype(loss, dtype, words):
    for library in (flambeau, torch):
        with pytest.raises(RuntimeError, match=words):
            getattr(library.nn.functional, loss)(library.ones(3), library.ones(3, dtype=getattr(library, dtype)))


def test_rows_outside_the_table_are_an_index_error():
    for library in (flambeau, torch):
        with pytest.raises(IndexError, match="index out of range in self"):
            library.nn.Embedding(3, 2)(library.tensor([3]))


def test_sizes_that_do_not_broadcast_are_named_from_the_last():
    for library in (flambeau, torch):
        with pytest.raises(RuntimeError, match=r"a \(3\) must match the size of tensor b \(5\) at .* dimension 1"):
            library.ones(2, 3) + library.ones(4, 5)
