"""Sorting, and what comes down to it: the k-th and the largest k elements, medians, modes.

nan is larger than everything. One primitive, `sort`; whatever selects elements by rank has the same gradient, a
scatter of the gradient to the places that were selected.
"""

from __future__ import annotations

from typing import Any

from flambeau import dispatch
from flambeau.dtypes import BOOL
from flambeau.errors import ArgumentError, DimensionError, DtypeError, UnsupportedDtypeError
from flambeau.ops import _faces, _samples
from flambeau.ops.argreduction import placed
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

_SortResult = _faces.return_type("sort", "values", "indices")
_TopkResult = _faces.return_type("topk", "values", "indices")
_KthvalueResult = _faces.return_type("kthvalue", "values", "indices")
_MedianResult = _faces.return_type("median", "values", "indices")
_NanmedianResult = _faces.return_type("nanmedian", "values", "indices")
_ModeResult = _faces.return_type("mode", "values", "indices")

_PAIR = ("values", "indices")


_sort_samples = _samples.on(((3, 4),), ((2, 3, 4), 0, True), ((2, 3, 4), {"dim": -2, "stable": True}), of="distinct")


@dispatch.primitive(outputs=_PAIR, samples=_sort_samples, vjp={
    "input": lambda g, indices, input_shape, dim: placed(g[0], indices, input_shape, dim, True)})
def _sort(input: Tensor, dim: int, descending: bool, stable: bool) -> Shape:
    """The elements in order along a dimension, and where they were."""
    return input.shape


def _order_arguments(op: str, input: Tensor, dim: Any, descending: bool, stable: Any) -> tuple[int, bool, bool]:
    if _faces.as_tensor_argument(op, "input", input)._kind.dtype.is_complex:
        error = DtypeError if op in ("sort", "topk", "argsort", "msort") else UnsupportedDtypeError
        raise error(f"{op}: not implemented for {input._kind.dtype}: complex numbers have no order")
    if isinstance(dim, bool):   # sort(descending)
        dim, descending = -1, dim
    return _faces.one_dim(op, dim, len(input._array.shape)), bool(descending), bool(stable)


@_faces.face(_sort)
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: Any = False) -> Any:
    """The elements in order along `dim`, as a named tuple of values and int64 indices.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.sort.html

    >>> import flambeau as torch
    >>> values, indices = torch.tensor([3., 1., 2.]).sort()
    >>> values, indices
    (tensor([1., 2., 3.]), tensor([1, 2, 0]))
    """
    return _SortResult(*_sort(input, *_order_arguments("sort", input, dim, descending, stable)))


@_faces.reducing(samples=_samples.on(((3, 4),), ((2, 3, 4), 0), ((2, 3, 4), -2, True), of="distinct"))
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that `sort` gives.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.argsort.html

    >>> import flambeau as torch
    >>> torch.tensor([3., 1., 2.]).argsort()
    tensor([1, 2, 0])
    """
    return _sort(input.detach(), *_order_arguments("argsort", input, dim, descending, stable))[1]


@_faces.reducing(samples=_samples.on(((3, 4),), of="distinct"))
def msort(input: Tensor) -> Tensor:
    """The elements in order along the first dimension.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.msort.html

    >>> import flambeau as torch
    >>> torch.msort(torch.tensor([[3., 1.], [2., 4.]]))
    tensor([[2., 1.],
            [3., 4.]])
    """
    return _sort(input, *_order_arguments("msort", input, 0, False, False))[0]


_topk_samples = _samples.on(((3, 5), 2), ((5, 3), 3, 0, False), ((3, 5), 1, -1, True, False), of="distinct")


@dispatch.operator(outputs=_PAIR, samples=_topk_samples, vjp={
    "input": lambda g, indices, input_shape, dim: placed(g[0], indices, input_shape, dim, True)})
def _topk(input: Tensor, k: int, dim: int, largest: bool, sorted: bool) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) elements along a dimension, in order."""
    values, indices = _sort(input, dim, largest, False)
    if not input._array.shape:
        return values, indices
    return values.narrow(dim, 0, k).clone(), indices.narrow(dim, 0, k).clone()


@_faces.face(_topk)
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The `k` largest (or smallest) elements along `dim`, as a named tuple of values and int64 indices.

    RuntimeError for a `k` beyond the size of the dimension.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.topk.html

    >>> import flambeau as torch
    >>> torch.tensor([3., 1., 2.]).topk(2).values
    tensor([3., 2.])
    """
    dim = _order_arguments("topk", input, dim, False, False)[0]
    if input._kind.dtype.category == BOOL:
        raise DtypeError("topk: does not support bool dtypes; convert the input, for example x.to(torch.uint8)")
    size = input._array.shape[dim] if input._array.shape else 1
    if not 0 <= k <= size:
        raise ArgumentError(f"topk: selected index k out of range; given: k={k}, allowed: 0 to {size}")
    return _TopkResult(*_topk(input, k, dim, bool(largest), bool(sorted)))


# ---------------------------------------------------------------------------------------------- by rank
_kth_samples = _samples.on(((3, 5), 2), ((5, 3), 4, 0, True), of="distinct")


@dispatch.operator(outputs=_PAIR, samples=_kth_samples, vjp={
    "input": lambda g, indices, input_shape, dim, keepdim: placed(g[0], indices, input_shape, dim, keepdim)})
def _kthvalue(input: Tensor, k: int, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The k-th smallest element along a dimension."""
    values, indices = _sort(input, dim, False, True)
    if not input._array.shape:
        return values, indices
    return _picked(values, indices, dim, k - 1, keepdim)


def _picked(values: Tensor, indices: Tensor, dim: int, place: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    if keepdim:
        return values.narrow(dim, place, 1).clone(), indices.narrow(dim, place, 1).clone()
    return values.select(dim, place).clone(), indices.select(dim, place).clone()


@dispatch.front(_kthvalue)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The `k`-th smallest element along `dim`, counted from 1, with its index, as a named tuple.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.kthvalue.html

    >>> import flambeau as torch
    >>> torch.tensor([3., 1., 2.]).kthvalue(2).values
    tensor(2.)
    """
    dim = _order_arguments("kthvalue", input, dim, False, False)[0]
    shape = input._array.shape
    size = shape[dim] if shape else 1
    if not 1 <= k <= size:
        if size == 0:
            raise DimensionError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
        raise ArgumentError(f"kthvalue(): selected number k out of range for dimension {dim}; given: k={k}, allowed: "
                            f"1 to {size}")
    result = _KthvalueResult(*_kthvalue(input, k, dim, keepdim))
    return result if out is None else _faces.write_apart("kthvalue", out, result, input)


def _median_name(along: int) -> Any:
    def grad_name(node: Any) -> str:
        return f"{'Nanmedian' if node.saved and node.saved[-1] else 'Median'}Backward{along}"
    return grad_name


@dispatch.operator(outputs=_PAIR, method=False, grad_name=_median_name(1), vjp={
    "input": lambda g, indices, input_shape, dim, keepdim, skip_nan:
        placed(g[0], indices, input_shape, dim, keepdim)},
                   samples=_samples.on(((3, 4), 1, False, False), ((2, 3, 4), 0, True, True), of="distinct"))
def _median_dim(input: Tensor, dim: int, keepdim: bool, skip_nan: bool) -> tuple[Tensor, Tensor]:
    """The lower median along a dimension: of all elements (nan if there is one), or of those that are not nan."""
    if not input._array.shape:
        return input.clone(), _sort(input, 0, False, False)[1]
    values, indices = _sort(input, dim, False, True)
    size = input._array.shape[dim]
    if not input._kind.dtype.is_floating_point:
        return _picked(values, indices, dim, (size - 1) // 2, keepdim)
    present = (values == values).detach().sum(dim, keepdim=True)
    middle = (present - 1).clamp(min=0).floor_divide(2)
    if not skip_nan:   # the first nan, if there is one
        middle = middle.where(present == size, present)
    values, indices = values.gather(dim, middle), indices.gather(dim, middle)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


@dispatch.operator(outputs=_PAIR, method=False, grad_name=_median_name(0), vjp={
    "input": lambda g, indices, input_shape, skip_nan:
        placed(g[0], indices, (_faces.count(input_shape, range(len(input_shape))),), 0, False).reshape(input_shape)},
                   samples=_samples.on(((3, 4), False), ((3, 5), True), of="distinct"))
def _median_all(input: Tensor, skip_nan: bool) -> tuple[Tensor, Tensor]:
    """The lower median of all elements, and where it is in the flattened tensor."""
    return _median_dim(input.reshape(-1), 0, False, skip_nan)


def _median(op: str, result_type: Any, input: Tensor, dim: Any, keepdim: bool, skip_nan: bool) -> Any:
    if input._kind.dtype.is_complex:
        raise UnsupportedDtypeError(f"{op}: not implemented for {input._kind.dtype}: complex numbers have no order")
    if dim is None:
        if 0 in input._array.shape:
            if input._kind.dtype.is_floating_point:
                return input.sum() * float("nan")
            return input.new_zeros(()) + -(1 << (8 * input.itemsize - 1))
        return _median_all(input, skip_nan)[0]
    dim = _faces.one_dim(op, dim, input.dim())
    _faces.check_nonempty(op, input._array.shape, (dim,) if input._array.shape else ())
    return result_type(*_median_dim(input, dim, keepdim, skip_nan))


@_faces.reducing(samples=_samples.places)
def median(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The lower median of all elements, or along `dim` with its index as a named tuple; nan if there is one.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.median.html

    >>> import flambeau as torch
    >>> torch.tensor([4., 1., 3., 2.]).median()
    tensor(2.)
    """
    return _median("median", _MedianResult, input, dim, keepdim, False)


@_faces.reducing(samples=_samples.places)
def nanmedian(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """`median` of the elements that are not nan.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nanmedian.html

    >>> import flambeau as torch
    >>> torch.tensor([float("nan"), 1., 3.]).nanmedian()
    tensor(1.)
    """
    return _median("nanmedian", _NanmedianResult, input, dim, keepdim, True)


def _samples_mode(make: Any) -> _samples.Calls:
    yield (make.fixed([[3, 1, 1, 2], [2, 3, 2, 3]]),), {}
    yield (make.fixed([[3, 1], [2, 1], [3, 0]]), 0, True), {}


@dispatch.operator(samples=_samples_mode, outputs=_PAIR, vjp={
    "input": lambda g, indices, input_shape, dim, keepdim: placed(g[0], indices, input_shape, dim, keepdim)})
def _mode(input: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The most frequent element along a dimension, the smallest of those, and the last place where it is."""
    if not input._array.shape:
        return input.clone(), _sort(input, 0, False, False)[1]
    values, indices = _sort(input, dim, False, True)
    same = values.unsqueeze(dim) == values.unsqueeze(dim + 1)
    counts = same.sum(dim + 1)
    first = counts.argmax(dim, keepdim=True)              # values are in order: the smallest of the most frequent
    last = first + counts.gather(dim, first) - 1          # the sort is stable: its last place in the input
    values, indices = values.gather(dim, last), indices.gather(dim, last)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


@_faces.face(_mode)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along `dim` (the smallest of equals), with an index, as a named tuple.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mode.html

    >>> import flambeau as torch
    >>> torch.tensor([1, 2, 2, 3]).mode().values
    tensor(2)
    """
    dim = _order_arguments("mode", input, dim, False, False)[0]
    _faces.check_nonempty("mode", input._array.shape, (dim,) if input._array.shape else ())
    return _ModeResult(*_mode(input, dim, keepdim))


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
