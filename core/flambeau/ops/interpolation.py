"""Resizing of one to three spatial dimensions: nearest, linear, cubic, filtered, and means over areas.

All modes but the last are one operator, `resample`, and so are their gradients: what a table of places and weights
gathers, the same table read the other way adds up.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from flambeau import dtypes, shapes
from flambeau.dispatch import composite, operator
from flambeau.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    ShapeError,
    UnsupportedDtypeError,
    UnsupportedError,
)
from flambeau.graph import Node
from flambeau.ops import _faces, _samples, construct, pooling
from flambeau.ops.resampling import NEAREST, taps
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

Scales = tuple[float | None, ...]

# the modes by how many spatial dimensions they take: their names inside, and what PyTorch calls them in a graph
_MODES = {"nearest": "nearest", "nearest-exact": "nearest-exact", "linear": "linear", "bilinear": "linear",
          "trilinear": "linear", "bicubic": "cubic", "lanczos": "lanczos-aa"}
_DIMENSIONS = {"linear": (1,), "bilinear": (2,), "trilinear": (3,), "bicubic": (2,), "lanczos": (2,),
               "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3)}
_FILTERED = ("bilinear", "bicubic", "lanczos")
_LINEAR_NAMES = ("", "Linear", "Bilinear", "Trilinear")
_MODES_SAID = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"


def _node_name(node: Node) -> str:
    ndim = len(node.shape) - 2
    mode, _, filtered = (node.saved[1] if node.saved else "nearest").partition("-")
    name = {"nearest": "Nearest", "linear": _LINEAR_NAMES[ndim], "cubic": "Bicubic", "lanczos": "Lanczos",
            "area": ""}[mode]
    if mode == "area":
        return f"AdaptiveAvgPool{ndim}DBackward0"
    return f"Upsample{name}{'Exact' if filtered == 'exact' else ''}{ndim}D{'Aa' if filtered == 'aa' else ''}Backward0"


def _samples_resample(make: Any) -> _samples.Calls:
    none = (None, None)
    yield (make(2, 1, 3, 4), (5, 2), "linear", False, none), {}
    yield (make(1, 2, 3), (6,), "nearest", False, (None,)), {}
    yield (make(1, 2, 4), (7,), "cubic", True, (None,)), {}
    yield (make(1, 1, 5, 4), (3, 2), "cubic-aa", False, none), {}
    yield (make(1, 2, 5, 3), (3, 4), "linear", True, none, True), {}
    yield (make(1, 2, 5), (3,), "nearest-exact", False, (1.5,), True), {}


def _only_moves(input: Any, out: Shape, mode: str, align_corners: bool, scales: Scales,
                transposed: bool = False) -> bool:
    return mode in NEAREST and not transposed


@operator(namespace="internal", grad_name=_node_name, dtype_rule=_only_moves, samples=_samples_resample, vjp={
    "input": lambda g, input_shape, mode, align_corners, scales, transposed: resample(
        g, input_shape[2:], mode, align_corners, scales, not transposed)})
def resample(input: Tensor, out: Shape, mode: str, align_corners: bool, scales: Scales,
             transposed: bool = False) -> Tensor:
    """(N, C, *spatial) resized to (N, C, *out); `transposed` for the gradient of what resizes `out` to `spatial`.

    The modes are those of `resampling.taps`.
    """
    if input._kind.emulated and not _only_moves(input, out, mode, align_corners, scales, transposed):
        wide = input.to(input._kind.compute.dtype)   # one rounding, of the result
        return resample(wide, out, mode, align_corners, scales, transposed).to(input._kind.dtype)
    single = input._kind.dtype is not dtypes.float64
    spatial = input._array.shape[2:]
    growth = sorted(range(len(out)), key=lambda axis: out[axis] / max(spatial[axis], 1))
    for axis in growth:    # the dimension that shrinks most comes first
        size, wanted = spatial[axis], out[axis]
        table = taps(mode, *((wanted, size) if transposed else (size, wanted)), align_corners, scales[axis], single)
        input = (_spread if transposed else _gathered)(input, axis + 2, wanted, *table)
    return input.clone() if input._array.shape[2:] == spatial else input


def _is_identity(size: int, width: int, places: Shape) -> bool:
    return width == 1 and places == tuple(range(size))


def _gathered(input: Tensor, dim: int, out: int, width: int, places: Shape, weights: Sequence[float]) -> Tensor:
    if _is_identity(input._array.shape[dim], width, places):
        return input
    picked = input.index_select(dim, construct.tensor(places, dtype=dtypes.int64, device=input.device))
    if width == 1:
        return picked
    weight = input.new_tensor(weights).reshape((out, width, *(1,) * (input.dim() - dim - 1)))
    return (picked.unflatten(dim, (out, width)) * weight).sum(dim + 1)


def _spread(g: Tensor, dim: int, size: int, width: int, places: Shape, weights: Sequence[float]) -> Tensor:
    have = g._array.shape
    if have[dim] == size and _is_identity(size, width, places):
        return g
    if width > 1:
        weight = g.new_tensor(weights).reshape((have[dim], width, *(1,) * (g.dim() - dim - 1)))
        g = (g.unsqueeze(dim + 1) * weight).flatten(dim, dim + 1)
    index = construct.tensor(places, dtype=dtypes.int64, device=g.device)
    return g.new_zeros((*have[:dim], size, *have[dim + 1:])).index_add(dim, index, g)


def _fixed_point(weights: Sequence[float]) -> tuple[int, list[int]]:
    """How many bits are behind the point, and the weights as 16-bit integers of that unit."""
    bits = 0
    while bits < 22 and int(0.5 + max(weights) * (1 << bits + 1)) < 1 << 15:
        bits += 1
    return bits, [int(math.copysign(0.5, each) + each * (1 << bits)) for each in weights]


def _merged(width: int, places: Shape, weights: Sequence[float]) -> list[float]:
    """Weights of one place, which the ends of an image repeat, as one weight at its first mention."""
    merged = [0.0] * len(weights)
    for at, (place, weight) in enumerate(zip(places, weights, strict=True)):
        row = at - at % width
        merged[places.index(place, row, at + 1)] += weight
    return merged


def _resample_bytes(input: Tensor, out: Shape, mode: str, align_corners: bool, scales: Scales) -> Tensor:
    """Images of bytes: each dimension in whole numbers, columns first, and rounded to bytes after each."""
    values = input.to(dtypes.int32)
    for axis in reversed(range(len(out))):
        dim, size = axis + 2, input._array.shape[axis + 2]
        width, places, weights = taps(mode, size, out[axis], align_corners, scales[axis], False)
        if not _is_identity(size, width, places):
            bits, whole = _fixed_point(_merged(width, places, weights))
            sums = _gathered(values, dim, out[axis], width, places, whole)
            values = ((sums * (whole[0] if width == 1 else 1) + (1 << bits - 1)) >> bits).clamp(0, 255).to(dtypes.int32)
    return values.to(dtypes.uint8)


# ---------------------------------------------------------------------------------------------- the public face
def _sizes(input: Tensor, size: Any, scale_factor: Any, again: bool) -> tuple[Any, Scales]:
    """The wanted size, and the factors by which positions go; one of the two arguments is given."""
    spatial = tuple(input.shape[2:])
    count = len(spatial)
    if size is not None:
        if scale_factor is not None:
            raise ArgumentValueError("interpolate: only one of size or scale_factor should be defined")
        if again:
            raise ArgumentValueError("recompute_scale_factor is not meaningful with an explicit size.")
        wanted = _per_dimension(input, size, "output size", "size")
        if not all(shapes.is_int(each) for each in wanted):
            raise ArgumentTypeError("expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, "
                                    f"int, int], but got size with types {[type(each) for each in wanted]}")
        return tuple([int(each) for each in wanted]), (None,) * count
    if scale_factor is None:
        raise ArgumentValueError("interpolate: either size or scale_factor should be defined")
    factors = tuple([float(each) for each in _per_dimension(input, scale_factor, "scale_factor", "scale_factor")])
    out = tuple([int(each * factor) for each, factor in zip(spatial, factors, strict=True)])
    return out, (None,) * count if again else factors


def _per_dimension(input: Tensor, given: Any, noun: str, name: str) -> tuple[Any, ...]:
    spatial = list(input.shape[2:])
    if not isinstance(given, (list, tuple)):
        return (given,) * len(spatial)
    if len(given) != len(spatial):
        raise ArgumentValueError("Input and output must have the same number of spatial dimensions, but got input with "
                                 f"spatial dimensions of {spatial} and {noun} of {given}; give {name} one number, or "
                                 "one for each of them")
    return tuple(given)


def _check_mode(input: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    if align_corners is not None and mode in ("nearest", "area", "nearest-exact"):
        raise ArgumentValueError("align_corners option can only be set with the interpolating modes: linear | bilinear "
                                 f"| bicubic | trilinear; given: mode={mode!r}")
    if antialias and not (mode in _FILTERED and input.dim() == 4):
        raise ArgumentValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires "
                                 f"a 4-D tensor as input; given: mode={mode!r} and {input.dim()} dimensions")
    allowed = _DIMENSIONS.get(mode, ())
    if input.dim() - 2 not in allowed:
        if len(allowed) == 1 and input.dim() in (3, 4, 5):
            raise UnsupportedError(f"Got {input.dim()}D input, but {mode} mode needs {allowed[0] + 2}D input")
        raise UnsupportedError("Input Error: Only 3D, 4D and 5D input Tensors supported (got "
                          f"{input.dim()}D) for the modes: {_MODES_SAID} (got {mode})")
    if mode == "lanczos" and align_corners:
        raise ArgumentValueError("Lanczos mode does not support align_corners=True")
    if mode == "lanczos" and not antialias:
        raise ArgumentValueError("Lanczos mode requires antialias=True")


def _check_input(input: Tensor, out: Shape, mode: str) -> None:
    kind = input._kind.dtype
    bytes_too = kind is dtypes.uint8 and (mode in NEAREST or input.dim() == 4)
    if not (kind.is_floating_point or bytes_too):
        raise UnsupportedDtypeError(f"interpolate: \"upsample_{mode}\" not implemented for "
                                    f"'{_faces.scalar_name(kind)}'; convert the input, for example with x.float()")
    spatial = tuple(input.shape[2:])
    if min((*spatial, *out)) <= 0:
        raise ShapeError("Input and output sizes should be greater than 0, but got input "
                         f"{list(spatial)} and output {list(out)}")
    if input.shape[1] == 0:
        raise ShapeError(f"Non-empty {input.dim()}D data tensor expected but got a tensor with sizes "
                         f"{list(input.shape)}")


def _samples_interpolate(make: Any) -> _samples.Calls:
    yield (make(1, 2, 3), 5), {}
    yield (make(1, 2, 3, 4),), {"scale_factor": (1.5, 0.6), "mode": "bilinear"}
    yield (make(1, 1, 4, 3), (3, 5)), {"mode": "bicubic", "align_corners": True}
    yield (make(1, 1, 2, 3, 2),), {"scale_factor": 2, "mode": "trilinear", "recompute_scale_factor": True}
    yield (make(1, 2, 5, 4), (2, 3)), {"mode": "area"}
    yield (make(1, 1, 5, 6), (3, 4)), {"mode": "lanczos", "antialias": True}


@composite(namespace="nn.functional", method=False, samples=_samples_interpolate)
def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Tensor:
    """(N, C, *spatial) resized to `size`, or by `scale_factor`.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W), of a floating point dtype or uint8.
        size: the spatial size wanted, one number or one per dimension.
        scale_factor: what sizes are multiplied by, in place of `size`; the same factor decides about positions.
        mode: "nearest", "nearest-exact" and "area" for any input; "linear" for 3D, "trilinear" for 5D, and for 4D
        "bilinear", "bicubic" and, with `antialias`, "lanczos".
        align_corners: whether the centres of the corner elements stay in place, rather than their outer corners.
        recompute_scale_factor: take the factor for positions from the sizes.
        antialias: widen the filter where the result is smaller.

    Raises ValueError for arguments that exclude each other, NotImplementedError for modes that an input does not
    have, RuntimeError for sizes of 0.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html

    >>> import flambeau as torch
    >>> torch.nn.functional.interpolate(torch.tensor([[[1., 3.]]]), scale_factor=2, mode="linear")
    tensor([[[1.0000, 1.5000, 2.5000, 3.0000]]])
    """
    out, scales = _sizes(input, size, scale_factor, bool(recompute_scale_factor))
    _check_mode(input, mode, align_corners, antialias)
    if mode == "area":
        count = input.dim() - 2
        return pooling._adaptive_avg_pool(f"adaptive_avg_pool{count}d", count, input, out)
    _check_input(input, out, mode)
    name = _MODES[mode] + ("-aa" if antialias and mode != "lanczos" else "")
    if input._kind.dtype is dtypes.uint8 and name not in NEAREST:
        return _resample_bytes(input, out, name, bool(align_corners), scales)
    if name == "nearest" and len(out) == 2:   # where PyTorch goes by the sizes, whatever the factor
        scales = tuple([None if wanted in (size, 2 * size) else scale for size, wanted, scale
                        in zip(input.shape[2:], out, scales, strict=True)])
    result: Tensor = resample(input, out, name, bool(align_corners), scales)
    return result


def _deprecated(name: str) -> None:
    warnings.warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=3)


@composite(namespace="nn.functional", method=False, samples=lambda make: iter(()))
def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: bool | None = None) -> Tensor:
    """`interpolate`, under its old name: warns.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.upsample.html

    >>> import flambeau as torch, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     torch.nn.functional.upsample(torch.ones(1, 1, 2), 3).shape
    torch.Size([1, 1, 3])
    """
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


@composite(namespace="nn.functional", method=False, samples=lambda make: iter(()))
def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with the nearest element, under its old name: warns.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.upsample_nearest.html

    >>> import flambeau as torch, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     torch.nn.functional.upsample_nearest(torch.tensor([[[1., 2.]]]), 4)
    tensor([[[1., 1., 2., 2.]]])
    """
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, "nearest")


@composite(namespace="nn.functional", method=False, samples=lambda make: iter(()))
def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` between corners that stay in place, under its old name: warns.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.upsample_bilinear.html

    >>> import flambeau as torch, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     torch.nn.functional.upsample_bilinear(torch.tensor([[[[1., 3.]]]]), (1, 3))
    tensor([[[[1., 2., 3.]]]])
    """
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, "bilinear", True)
