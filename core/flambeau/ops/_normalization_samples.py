"""Sample arguments of the normalisations, named after the records.

The internal gradients get the statistics of their input: a kernel uses what it is given, the decomposition computes
them anew. So that they are exact in every dtype, those inputs are chosen: each group of four numbers has variance 3
or 0, hence with an eps of 1 a standard deviation of 2 or 1.
"""

from __future__ import annotations

from typing import Any

from flambeau.ops._samples import Calls

_ROWS = [[4.0, 0.0, 0.0, 0.0], [-2.0, 2.0, -2.0, -2.0], [3.0, 3.0, 3.0, 3.0]]
_MEANS, _FACTORS = [[1.0], [-1.0], [3.0]], [[0.5], [0.5], [1.0]]


def _constant(make: Any, *shape: int, low: float = -2) -> Any:
    return make(*shape, low=low, high=2, requires_grad=False)


def _given(make: Any, data: Any) -> Any:
    return make.fixed(data, requires_grad=False)    # who holds the statistics fixed cannot vary their input


# ---------------------------------------------------------------------------------------------- the last dimensions
def native_layer_norm(make: Any) -> Calls:
    """Of one and of two dimensions, with and without scale and shift."""
    yield (make(3, 4), (4,), make(4), make(4), 1e-5), {}
    yield (make(2, 3, 4), (3, 4), None, None, 0.5), {}


def layer_norm(make: Any) -> Calls:
    """The same with the arguments of the public function."""
    yield (make(3, 4), (4,)), {}
    yield (make(2, 3, 4), [3, 4], make(3, 4), make(3, 4)), {"eps": 0.5}
    yield (make(2, 3, 4), (4,), make(4)), {}


def layer_norm_backward(make: Any) -> Calls:
    """Of the gradient's own arguments: (grad, input, mean, rstd, weight, normalized_shape, eps)."""
    statistics = _given(make, _ROWS), _given(make, _MEANS), _given(make, _FACTORS)
    yield (make(3, 4), *statistics, make(4), (4,), 1.0), {}
    yield (make(2, 2), _given(make, [[4.0, 0.0], [0.0, 0.0]]), _given(make, [[1.0]]), _given(make, [[0.5]]), None,
           (2, 2), 1.0), {}


def fused_rms_norm(make: Any) -> Calls:
    """Of one and of two dimensions, with and without scale."""
    yield (make(3, 4), (4,), make(4), 1e-5), {}
    yield (make(2, 3, 4), (3, 4), None, 0.5), {}


def rms_norm(make: Any) -> Calls:
    """The same with the arguments of the public function."""
    yield (make(3, 4), (4,)), {}
    yield (make(2, 3, 4), [3, 4], make(3, 4)), {"eps": 0.5}


def rms_norm_backward(make: Any) -> Calls:
    """Of the gradient's own arguments: (grad, input, rstd, weight, normalized_shape, eps)."""
    rows = [[3.0, 1.0, -1.0, 1.0], [1.0, 1.0, -1.0, -3.0], [0.0, 0.0, 0.0, 0.0]]
    yield (make(3, 4), _given(make, rows), _given(make, _FACTORS), make(4), (4,), 1.0), {}
    yield (make(3, 4), _given(make, rows), _given(make, _FACTORS), None, (4,), 1.0), {}


# ---------------------------------------------------------------------------------------------- groups of channels
def native_group_norm(make: Any) -> Calls:
    """Of groups of two channels of two and of three, with and without scale and shift."""
    yield (make(2, 4, 3), make(4), make(4), 2, 4, 3, 2, 1e-5), {}
    yield (make(2, 6, 2, 1), None, None, 2, 6, 2, 3, 0.5), {}


def group_norm(make: Any) -> Calls:
    """The same with the arguments of the public function."""
    yield (make(2, 4, 3), 2, make(4), make(4)), {"eps": 0.5}
    yield (make(2, 6, 2, 1), 3), {}
    yield (make(3, 4), 2, make(4)), {}


def group_norm_backward(make: Any) -> Calls:
    """Of the gradient's own arguments: (grad, input, mean, rstd, weight, num_groups, eps)."""
    halves = [[row[:2], row[2:]] for row in (*_ROWS, [0.0, 0.0, -4.0, 0.0])]     # of two channels
    samples = [[*halves[0], *halves[1]], [*halves[2], *halves[3]]]                # (2, 4, 2)
    statistics = [[[1.0], [-1.0]], [[3.0], [-1.0]]], [[[0.5], [0.5]], [[1.0], [0.5]]]
    for weight in (make(4), None):
        yield (make(2, 4, 2), _given(make, samples), *(_given(make, each) for each in statistics), weight, 2, 1.0), {}


# ---------------------------------------------------------------------------------------------- the batch
def native_batch_norm(make: Any) -> Calls:
    """(input, weight, bias, running_mean, running_var, training, momentum, eps); running values are changed."""
    yield (make(4, 3), make(3), make(3), _constant(make, 3), _constant(make, 3, low=0.5), True, 0.25, 0.5), {}
    yield (make(2, 3, 4), None, None, None, None, True, 0.1, 1e-5), {}
    yield (make(2, 3, 4), make(3), make(3), _constant(make, 3), _constant(make, 3, low=0.5), False, 0.1, 0.5), {}


def batch_norm(make: Any) -> Calls:
    """The same with the arguments of the public function."""
    yield (make(4, 3), _constant(make, 3), _constant(make, 3, low=0.5), make(3), make(3), True), {
        "momentum": 0.25, "eps": 0.5}
    yield (make(2, 3, 4), None, None), {"training": True}
    yield (make(2, 3, 2, 2), _constant(make, 3), _constant(make, 3, low=0.5), make(3), make(3)), {}


def batch_norm_backward(make: Any) -> Calls:
    """Of the gradient's own arguments: (grad, input, weight, mean, var, training, eps)."""
    columns = [list(each) for each in zip(*_ROWS, strict=True)]
    statistics = _given(make, [1.0, -1.0, 3.0]), _given(make, [3.0, 3.0, 0.0])
    yield (make(4, 3), _given(make, columns), make(3), *statistics, True, 1.0), {}
    yield (make(4, 3), _given(make, columns), None, *statistics, True, 1.0), {}
    yield (make(2, 3, 4), make(2, 3, 4), make(3), make(3), make(3, low=0.5, high=2), False, 1e-5), {}


def instance_norm(make: Any) -> Calls:
    """Of each sample by itself, and of running values."""
    yield (make(2, 3, 4),), {}
    yield (make(2, 3, 4), _constant(make, 3), _constant(make, 3, low=0.5), make(3), make(3)), {
        "momentum": 0.25, "eps": 0.5}
    yield (make(2, 3, 4), _constant(make, 3), _constant(make, 3, low=0.5)), {"use_input_stats": False}


# ---------------------------------------------------------------------------------------------- neighbours and norms
def local_response_norm(make: Any) -> Calls:
    """Of odd and even numbers of neighbours."""
    yield (make(2, 5, 3), 3), {}
    yield (make(2, 4, 2, 3), 2), {"alpha": 0.5, "beta": 0.5, "k": 2.0}


def normalize(make: Any) -> Calls:
    """Of orders and dimensions; of norms that are and are not below eps."""
    yield (make(2, 3, 4),), {}
    yield (make(3, 4), 1.0, 0), {}
    yield (make(3, 4), 3), {"dim": -1, "eps": 4.5}


def cosine_similarity(make: Any) -> Calls:
    """Of dimensions and broadcasting; of norms below eps."""
    yield (make(2, 3, 4), make(2, 3, 4)), {}
    yield (make(3, 4), make(2, 1, 4)), {"dim": -1}
    yield (make(3, 2), make(3, 2)), {"dim": 0, "eps": 4.0}


def pairwise_distance(make: Any) -> Calls:
    """Of orders and broadcasting."""
    yield (make(3, 4), make(3, 4)), {}
    yield (make(2, 3, 4), make(3, 4)), {"p": 1, "keepdim": True}
    yield (make(3, 4), make(4)), {"p": 3, "eps": 0.25}
