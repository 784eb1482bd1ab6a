"""Sample arguments of operators, shared by records of one family or of a module that has no room for its own.

A samples function gets a maker, asks it for values, and yields the (args, kwargs) of calls of the record's public
function; an internal record's are canonical. The maker is no tensor library and what it gives is opaque: whoever runs
the samples decides about device, dtype and layout in memory. Sizes differ between dimensions, so that a dimension
that was taken for another shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flambeau import dtypes

Calls = Iterator[tuple[tuple[Any, ...], dict[str, Any]]]
Samples = Callable[[Any], Calls]

_NAN, _INF = float("nan"), float("inf")


def on(*calls: tuple[Any, ...], of: str = "__call__") -> Samples:
    """Samples of an operator of one tensor: each call is its shape, other arguments, and keywords in a dict at the end.

    `of` names another method of the maker, for example "distinct" or "positive".
    """
    def samples(make: Any) -> Calls:
        for shape, *rest in calls:
            keywords = rest.pop() if rest and isinstance(rest[-1], dict) else {}
            yield (getattr(make, of)(*shape), *rest), keywords
    return samples


def plain(*calls: tuple[Any, ...]) -> Samples:
    """Samples of an operator without tensors: each call is its arguments, and keywords in a dict at the end."""
    def samples(make: Any) -> Calls:
        for call in calls:
            keywords = call[-1] if call and isinstance(call[-1], dict) else {}
            yield call[:len(call) - bool(keywords)], keywords
    return samples


def together(*calls: tuple[tuple[int, ...], ...]) -> Samples:
    """Samples of an operator of several tensors: each call is their shapes."""
    def samples(make: Any) -> Calls:
        for shapes in calls:
            yield tuple([make(*shape) for shape in shapes]), {}
    return samples


def listed(*calls: tuple[Any, ...]) -> Samples:
    """Samples of an operator of a list of tensors: each call is a tuple of their shapes, then other arguments."""
    def samples(make: Any) -> Calls:
        for shapes, *rest in calls:
            yield ([make(*shape) for shape in shapes], *rest), {}
    return samples


# ---------------------------------------------------------------------------------------------- reductions
over_dims = on(((3, 4),), ((2, 3, 4), 1), ((2, 3, 4), (0, -1), True), ((),))
over_dim = on(((3, 4), 0), ((2, 3, 4), -2, True))
extremes = on(((3, 4),), ((2, 3, 4), 1), ((2, 3, 4), (0, -1), True), of="distinct")
places = on(((3, 4),), ((2, 3, 4), 1), ((2, 3, 4), -1, True), of="distinct")
canonical_dim = on(((3, 4), 1, False), ((2, 3, 4), 0, True), of="distinct")
along_dim = on(((3, 4), 1), ((2, 3, 4), 0), ((2, 3, 4), -2))
running = on(((3, 4), 1), ((2, 3, 4), 0), ((2, 3, 4), -2), of="distinct")
moments = on(((3, 4),), ((2, 3, 4), 1), ((2, 3, 4), (0, -1), {"correction": 0, "keepdim": True}), ((3, 4), False))


def sums(make: Any) -> Calls:
    """Of a reduction over dimensions that may compute in another dtype."""
    yield from over_dims(make)
    yield (make(2, 3, 4), -2), {"dtype": make.dtype}


def sums_of_numbers(make: Any) -> Calls:
    """Of a reduction that skips nan."""
    yield from sums(make)
    if make.dtype.is_floating_point:
        yield (make.fixed([[1, _NAN, 3], [2, 5, _NAN]]), -1), {}


def products(make: Any) -> Calls:
    """Of a reduction over all, or over one dimension."""
    yield (make(3, 4, low=0.5, high=2),), {}
    yield (make(2, 3, 4), 1), {}
    yield (make(2, 3, 4), -1, True), {"dtype": make.dtype}


def cumulated(make: Any) -> Calls:
    """Of a running reduction that may compute in another dtype."""
    yield from along_dim(make)
    yield (make(3, 4), -1), {"dtype": make.dtype}


# ---------------------------------------------------------------------------------------------- shapes
def reshaped(make: Any) -> Calls:
    """Of an operator that takes shape or size from a second tensor of as many elements."""
    yield (make(2, 3, 4), make(4, 6)), {}


def expanded(make: Any) -> Calls:
    """Of an operator that broadcasts to the shape of a second tensor."""
    yield (make(3, 1), make(2, 3, 4)), {}


lifted = together(((),), ((3,),), ((2, 3),), ((), (3,), (2, 3, 4)))


# ---------------------------------------------------------------------------------------------- indexing
index_basic = on(((2, 3, 4), (1, slice(0, 2), ...)), ((2, 3, 4), (..., slice(None, None, 2), -1)))
index_basic_backward = on(((2, 4), (2, 3, 4), (slice(None), 1, ...)))


def index(make: Any) -> Calls:
    """Of the lookup behind brackets: places, None for a whole dimension, a mask."""
    yield (make(3, 4), [make.index(5, high=3)]), {}
    yield (make(2, 3, 4), [None, make.index(2, 1, high=3), make.index(3, high=4)]), {}
    yield (make(2, 3, 4), [make.index(2, high=2), None, make.index(2, high=4)]), {}
    yield (make(3, 4), [make.fixed([[True, False, True, True], [False] * 4, [True, True, False, False]],
                                   dtype=dtypes.bool_)]), {}


def index_put(make: Any) -> Calls:
    """Of writing behind brackets; where places repeat, values are added."""
    places = make.fixed([2, 0], dtype=dtypes.int64)
    yield (make(3, 4), (places,), make(2, 4)), {}
    yield (make(3, 4), (places, make.fixed([1, 3], dtype=dtypes.int64)), make(2), False), {}
    yield (make(3, 4), (make.fixed([2, 0, 2], dtype=dtypes.int64),), make(3, 4)), {"accumulate": True}


# ---------------------------------------------------------------------------------------------- gather and scatter
def gather(make: Any) -> Calls:
    """Of lookups along a dimension by an index as large as the result."""
    yield (make(3, 4), 0, make.index(2, 4, high=3)), {}
    yield (make(2, 3, 4), -1, make.index(2, 3, 5, high=4)), {}


def _apart(make: Any) -> Any:
    """Places along dimension 1 of size 4 that differ within each row."""
    return make.fixed([[3, 0], [1, 2], [0, 1]], dtype=dtypes.int64)


def scatter(make: Any) -> Calls:
    """Of writing along a dimension, of tensors and of a number, and of both ways to combine."""
    yield (make(3, 4), 1, _apart(make), make(3, 2)), {}
    yield (make(3, 4), -1, _apart(make), 2), {}
    yield (make(3, 4), 1, _apart(make), make(3, 3)), {"reduce": "add"}
    yield (make(3, 4), 1, _apart(make)), {"value": 3, "reduce": "multiply"}


def scatter_value(make: Any) -> Calls:
    """Of writing one number along a dimension."""
    yield (make(3, 4), 1, _apart(make), 2), {}


def scatter_add(make: Any) -> Calls:
    """Of adding along a dimension at places that repeat."""
    yield (make(3, 4), 0, make.index(5, 4, high=3), make(5, 4)), {}
    yield (make(2, 3, 4), -1, make.index(2, 3, 5, high=4), make(2, 3, 5)), {}


def scatter_reduce(make: Any) -> Calls:
    """Of every way to reduce what meets at one place, with and without what was there."""
    places = make.fixed([[0, 1, 0, 2], [2, 1, 1, 0]], dtype=dtypes.int64)
    for reduce in ("sum", "prod", "mean", "amax", "amin"):
        low, high = (0.5, 2) if reduce == "prod" else (None, None)
        yield (make(2, 3, low=low, high=high), 1, places, make(2, 4, low=low, high=high), reduce), {}
    yield (make(2, 3), -1, places, make(2, 4), "mean"), {"include_self": False}
    yield (make(2, 3), -1, places, make(2, 4), "amax"), {"include_self": False}


def take_along_dim(make: Any) -> Calls:
    """Of lookups whose index broadcasts, and flat ones."""
    yield (make(3, 4), make.index(3, 2, high=4), 1), {}
    yield (make(2, 3, 4), make.index(1, 2, 4, high=3), -2), {}
    yield (make(3, 4), make.index(5, high=12)), {}


def index_select(make: Any) -> Calls:
    """Of whole slices picked along a dimension."""
    yield (make(3, 4), 0, make.index(5, high=3)), {}
    yield (make(2, 3, 4), -1, make.index(2, high=4)), {}


def index_add(make: Any) -> Calls:
    """Of slices added along a dimension at places that repeat."""
    yield (make(3, 4), 0, make.index(5, high=3), make(5, 4)), {}
    yield (make(2, 3, 4), -2, make.index(2, high=3), make(2, 2, 4)), {"alpha": 2}


def index_copy(make: Any) -> Calls:
    """Of slices replaced along a dimension."""
    yield (make(3, 4), 0, make.fixed([2, 0], dtype=dtypes.int64), make(2, 4)), {}
    yield (make(2, 3, 4), -1, make.fixed([3, 1, 0], dtype=dtypes.int64), make(2, 3, 3)), {}


def index_fill(make: Any) -> Calls:
    """Of slices filled with a number."""
    yield (make(3, 4), 0, make.index(2, high=3), 2), {}
    yield (make(2, 3, 4), -1, make.index(2, high=4), 1), {}
    yield (make(3, 4), 1, make.index(2, high=4), make()), {}


def index_fill_tensor(make: Any) -> Calls:
    """Of slices filled with a 0-d tensor."""
    yield (make(3, 4), 1, make.index(2, high=4), make()), {}


def take(make: Any) -> Calls:
    """Of flat lookups."""
    yield (make(3, 4), make.index(2, 3, high=12)), {}
    yield (make(2, 3), make.fixed([-1, 0, 5], dtype=dtypes.int64)), {}


def put(make: Any) -> Calls:
    """Of flat writing; where places repeat, values are added."""
    yield (make(3, 4), make.fixed([[7, 0], [11, 3]], dtype=dtypes.int64), make(2, 2)), {}
    yield (make(3, 4), make.fixed([5, 1, 5], dtype=dtypes.int64), make(3)), {"accumulate": True}


def _half(make: Any) -> Any:
    return make.fixed([[True, False, True, False], [False, False, True, True], [True, False, False, False]],
                      dtype=dtypes.bool_)


def masked_select(make: Any) -> Calls:
    """Of a mask of the same shape and one that broadcasts."""
    yield (make(3, 4), _half(make)), {}
    yield (make(2, 3, 4), _half(make)), {}


def masked_scatter(make: Any) -> Calls:
    """Of a mask whose places are filled in order."""
    yield (make(3, 4), _half(make), make(7)), {}
    yield (make(2, 3, 4), _half(make), make(4, 3)), {}


# ---------------------------------------------------------------------------------------------- arithmetic
def scaled(make: Any) -> Calls:
    """Of a sum or a difference with a factor."""
    yield (make(2, 3), make(3)), {}
    yield (make(2, 1), make(3)), {"alpha": 2}
    yield (make(2, 3), 2), {"alpha": 3}


def div(make: Any) -> Calls:
    """Of quotients, in all ways of rounding."""
    for mode in (None, "floor", "trunc"):
        if mode is None or not make.dtype.is_complex:
            yield (make(2, 3), make(3, low=1, high=4)), {"rounding_mode": mode}
            yield (make(2, 3), 3), {"rounding_mode": mode}


def quotients(make: Any) -> Calls:
    """Of quotients that are rounded, away from the steps."""
    if make.dtype.is_signed:
        yield (make.fixed([[3.25, -2.5, 7.5], [-1.75, 6.25, -3.5]]), make.fixed([2, 3, -2])), {}
        yield (make.fixed([[3.25, -2.5, 7.5], [-1.75, 6.25, -3.5]]), 2), {}


def powers(make: Any) -> Calls:
    """Of powers of tensors by tensors and numbers, and of a number."""
    yield (make(2, 3, low=0.5, high=3), make(3, low=0, high=3)), {}
    for number in (2, 3, 4, 1, 0, 0.5, -1, -2):    # kernels have ways of their own for some
        yield (make(2, 3, low=0.5, high=3), number), {}
    yield (2, make(2, 3, low=0, high=3)), {}


def parts(make: Any) -> Calls:
    """Of two real tensors that make a complex one: there is none of float16's precision."""
    if make.dtype is not dtypes.float16:
        yield (make(2, 3, low=0.5, high=4), make(2, 3)), {}
        yield (make(2, 1, low=0.5, high=4), make(3)), {}


def infinities(make: Any) -> Calls:
    """Of nan and the infinities, where the dtype has them."""
    if make.dtype.is_floating_point:
        special = [[_NAN, 1.0, _INF], [-_INF, -2.0, 0.0]]
        yield (make.fixed(special),), {}
        yield (make.fixed(special),), {"nan": 3.0, "posinf": 4.0, "neginf": -5.0}
    yield (make(2, 3),), {}
