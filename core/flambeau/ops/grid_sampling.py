"""Images read at places that a grid names, and the grids of affine maps.

Sampling is separable: along each dimension a place has one (nearest), two (linear) or four (cubic) neighbours with
weights. The image is read at every combination of them, by `weighted_places`, and so is its gradient.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from flambeau import dtypes
from flambeau.dispatch import composite, front, operator
from flambeau.errors import ArgumentError, ArgumentValueError, DtypeError, ShapeError, UnsupportedError
from flambeau.graph import Node
from flambeau.ops import _samples, creation
from flambeau.ops.joining import stack
from flambeau.ops.weighted_places import picked_products, weighted_pick, weighted_put
from flambeau.shapes import Shape
from flambeau.tensor import Tensor

GRID_SAMPLE_INTERPOLATION_MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
GRID_SAMPLE_PADDING_MODES = {"zeros": 0, "border": 1, "reflection": 2}
_LINEAR, _NEAREST, _CUBIC = range(3)
_ZEROS, _BORDER, _REFLECTION = range(3)


# ---------------------------------------------------------------------------------------------- one dimension
class Tap(NamedTuple):
    """One neighbour along a dimension: its place, whether it is in the image, its weight and that one's derivative."""

    place: Tensor
    inside: Tensor
    weight: Tensor
    slope: Tensor | None


def _clipped(place: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Inside the image, and the derivative: none at its ends."""
    inside = (place > 0) & (place < size - 1)
    return place.clamp(0, size - 1), inside.to(place._kind.dtype)


def _reflected(place: Tensor, size: int, align_corners: bool) -> tuple[Tensor, Tensor]:
    """Mirrored at the outermost centres, or at the borders, as often as it takes; and the derivative."""
    low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
    if span == 0:
        return creation.zeros_like(place), creation.zeros_like(place)
    away = place - low
    sign = (away >= 0).to(place._kind.dtype) * 2 - 1
    away = away.abs()
    flips = (away / span).floor()
    rest = away.fmod(span)
    odd = flips.fmod(2) != 0
    return (span - rest).where(odd, rest) + low, (-sign).where(odd, sign)


def _kept_inside(place: Tensor, size: int, padding: int, align_corners: bool) -> tuple[Tensor, Any]:
    """A place that the padding mode has moved into the image, and the derivative of that."""
    if padding == _ZEROS:
        return place, 1
    if padding == _BORDER:
        return _clipped(place, size)
    place, slope = _reflected(place, size, align_corners)
    place, inside = _clipped(place, size)
    return place, slope * inside


def _tap(at: Tensor, size: int, weight: Tensor, slope: Tensor | None) -> Tap:
    """A neighbour at a whole place; one outside of the image has no weight."""
    inside = (at >= 0) & (at <= size - 1)
    outside = ~inside
    index = at.masked_fill(outside, 0).to(dtypes.int64)
    slope = None if slope is None else slope.masked_fill(outside, 0)
    return Tap(index, inside, weight.masked_fill(outside, 0), slope)


def _cubic_taps(place: Tensor, size: int, padding: int, align_corners: bool, factor: float) -> list[Tap]:
    first, a = place.floor(), -0.75
    taps = []
    for offset in (-1, 0, 1, 2):
        sign = 1.0 if offset < 1 else -1.0      # of how the distance changes with the place
        x = (place - first - offset) * sign
        if offset in (0, 1):
            weight, slope = ((a + 2) * x - (a + 3)) * x * x + 1, (3 * (a + 2) * x - 2 * (a + 3)) * x
        else:
            weight, slope = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a, (3 * a * x - 10 * a) * x + 8 * a
        at, _ = _kept_inside(first + offset, size, padding, align_corners)
        taps.append(_tap(at, size, weight, slope * (sign * factor)))
    return taps


def _taps(coordinate: Tensor, size: int, mode: int, padding: int, align_corners: bool) -> list[Tap]:
    """The neighbours of places that are given between -1 and 1."""
    factor = (size - 1) / 2 if align_corners else size / 2
    place = (coordinate + 1) * factor if align_corners else ((coordinate + 1) * size - 1) / 2
    if mode == _CUBIC:
        return _cubic_taps(place, size, padding, align_corners, factor)
    place, moved = _kept_inside(place, size, padding, align_corners)
    if mode == _NEAREST:
        at = place.round()
        return [_tap(at, size, creation.ones_like(at), None)]
    first = place.floor()
    slope = (creation.ones_like(place) * factor) * moved
    return [_tap(first, size, first + 1 - place, -slope), _tap(first + 1, size, place - first, slope)]


# ---------------------------------------------------------------------------------------------- all dimensions
def _corners(spatial: Shape, grid: Tensor, mode: int, padding: int, align_corners: bool) -> Any:
    """For every combination of neighbours: its place in the flattened image, and its neighbour per dimension."""
    ndim = len(spatial)
    flat = grid.reshape(grid.shape[0], -1, ndim)
    per_dimension = [_taps(flat[..., ndim - 1 - axis], spatial[axis], mode, padding, align_corners)
                     for axis in range(ndim)]
    for corner in itertools.product(*per_dimension):
        place, inside = corner[-1].place, corner[-1].inside
        for axis, tap in enumerate(corner[:-1]):
            place = place + tap.place * math.prod(spatial[axis + 1:])
            inside = inside & tap.inside
        yield place.masked_fill(~inside, math.prod(spatial)), corner


def _product(factors: Sequence[Tensor]) -> Tensor:
    result = factors[0]
    for each in factors[1:]:
        result = result * each
    return result


def _backward(g: Tensor, input: Tensor, grid: Tensor, mode: int, padding: int, align_corners: bool,
              needs: tuple[bool, bool]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of the image and of the grid."""
    spatial = tuple(input.shape[2:])
    corners = list(_corners(spatial, grid, mode, padding, align_corners))
    places = stack([place for place, _ in corners], 1)
    own, given = None, g.flatten(2)
    if needs[0]:
        weights = stack([_product([tap.weight for tap in corner]) for _, corner in corners], 1)
        own = weighted_put(given, places, weights, math.prod(spatial)).reshape(input.shape)
    if not needs[1]:
        return own, None
    if mode == _NEAREST:
        return own, creation.zeros_like(grid)
    values = picked_products(given, input.flatten(2), places).unbind(1)
    slopes = []
    for axis in reversed(range(len(spatial))):
        terms = [_product([value, *(tap.slope if each == axis else tap.weight for each, tap in enumerate(corner))])
                 for value, (_, corner) in zip(values, corners, strict=True)]
        slopes.append(sum(terms[1:], terms[0]))
    return own, stack(slopes, 2).reshape(grid.shape)


# ---------------------------------------------------------------------------------------------- operators
def _node_name(node: Node) -> str:
    return f"GridSampler{len(node.shape) - 2}DBackward0"


def _precise(make: Any) -> bool:
    """Whether a dtype tells places from one another."""
    return bool(make.dtype.is_floating_point and make.dtype.itemsize >= 4)


def _places(make: Any, *shape: int) -> Any:
    """A grid of which some places are outside, none of them where a derivative jumps."""
    count = math.prod(shape)
    values: list[Any] = [((7 * each + 3) % 19) / 19 * 2.6 - 1.27 for each in range(count)]
    for size in reversed(shape[1:]):
        values = [values[at:at + size] for at in range(0, len(values), size)]
    return make.fixed(values)


def _samples_grid(make: Any) -> _samples.Calls:
    if _precise(make):
        for mode, padding, align_corners in ((0, 0, False), (1, 1, True), (2, 2, False)):
            yield (make(1, 2, 3, 4), _places(make, 1, 2, 3, 2), mode, padding, align_corners), {}
        yield (make(2, 1, 2, 3, 2), _places(make, 2, 1, 2, 2, 3), 0, 2, False), {}


@operator(method=False, samples=_samples_grid, grad_name=_node_name, vjp={
    ("input", "grid"): lambda g, input, grid, interpolation_mode, padding_mode, align_corners, needs: _backward(
        g, input, grid, interpolation_mode, padding_mode, align_corners, needs)})
def _grid_sampler(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                  align_corners: bool) -> Tensor:
    """What is at the places of all combinations of neighbours, weighted and added up."""
    if input._kind.emulated:   # places need the precision, and there is one rounding, of the result
        wide = input._kind.compute.dtype
        return _grid_sampler(input.to(wide), grid.to(wide), interpolation_mode, padding_mode,
                             align_corners).to(input._kind.dtype)
    corners = list(_corners(tuple(input.shape[2:]), grid, interpolation_mode, padding_mode, align_corners))
    weights = stack([_product([tap.weight for tap in corner]) for _, corner in corners], 1)
    values = weighted_pick(input.flatten(2), stack([place for place, _ in corners], 1), weights)
    return values.reshape((*input.shape[:2], *grid.shape[1:-1]))


def _check(input: Tensor, grid: Tensor, interpolation_mode: int) -> None:
    shapes = f"input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
    if input.device != grid.device:
        raise ArgumentError("grid_sampler(): expected input and grid to be on same device, but input is on "
                            f"{input.device} and grid is on {grid.device}")
    if input.dim() not in (4, 5) or input.dim() != grid.dim():
        raise ShapeError("grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got "
                         + shapes)
    if input.shape[0] != grid.shape[0]:
        raise ShapeError(f"grid_sampler(): expected grid and input to have same batch size, but got {shapes}")
    if grid.shape[-1] != input.dim() - 2:
        raise ShapeError(f"grid_sampler(): expected grid to have size {input.dim() - 2} in last dimension, but got "
                         f"grid with sizes {list(grid.shape)}")
    if 0 in input.shape[2:]:
        raise ShapeError("grid_sampler(): expected input to have non-empty spatial dimensions, but got " + shapes)
    if input.dim() == 5 and interpolation_mode == _CUBIC:
        raise ArgumentError("grid_sampler(): bicubic interpolation only supports 4D input")
    if not input.is_floating_point():
        raise DtypeError(f"grid_sampler(): expected a floating point input; given: {input.dtype}; convert it, for "
                         "example with x.float()")
    if input._kind.dtype is not grid._kind.dtype:
        raise DtypeError("grid_sampler(): expected input and grid to have the same dtype, but input has "
                         f"{input.dtype} and grid has {grid.dtype}")


def _sampled(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    _check(input, grid, interpolation_mode)
    if not (input.numel() and grid.numel()):
        return input.new_zeros((*input.shape[:2], *grid.shape[1:-1])) + 0 * (input.sum() + grid.sum())
    result: Tensor = _grid_sampler(input, grid, interpolation_mode, padding_mode, bool(align_corners))
    return result


@front(_grid_sampler)
def grid_sampler(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                 align_corners: bool) -> Tensor:
    """`nn.functional.grid_sample` with its modes as numbers: 0 for the first that it names, and so on.

    >>> import flambeau as torch
    >>> torch.grid_sampler(torch.tensor([[[[1., 3.]]]]), torch.zeros(1, 1, 1, 2), 0, 0, False)
    tensor([[[[2.]]]])
    """
    return _sampled(input, grid, interpolation_mode, padding_mode, align_corners)


def _samples_of(ndim: int) -> _samples.Samples:
    def samples(make: Any) -> _samples.Calls:
        if _precise(make):
            yield (make(1, 2, *(3, 4, 2)[:ndim]), _places(make, 1, *(2, 3, 1)[:ndim], ndim), 0, 1, False), {}
    return samples


@composite(method=False, samples=_samples_of(2))
def grid_sampler_2d(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                    align_corners: bool) -> Tensor:
    """`grid_sampler` of (N, C, H, W).

    >>> import flambeau as torch
    >>> torch.grid_sampler_2d(torch.tensor([[[[1., 3.]]]]), torch.ones(1, 1, 1, 2), 1, 1, False)
    tensor([[[[3.]]]])
    """
    return _sampled(input, grid, interpolation_mode, padding_mode, align_corners)


@composite(method=False, samples=_samples_of(3))
def grid_sampler_3d(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                    align_corners: bool) -> Tensor:
    """`grid_sampler` of (N, C, D, H, W).

    >>> import flambeau as torch
    >>> torch.grid_sampler_3d(torch.ones(1, 2, 3, 4, 5), torch.zeros(1, 1, 1, 2, 3), 0, 0, False).shape
    torch.Size([1, 2, 1, 1, 2])
    """
    return _sampled(input, grid, interpolation_mode, padding_mode, align_corners)


_CHANGED = ("Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please "
            "specify align_corners=True if the old behavior is desired.")


def _samples_sample(make: Any) -> _samples.Calls:
    if _precise(make):
        yield (make(1, 2, 3, 4), _places(make, 1, 2, 3, 2)), {"align_corners": False}
        yield (make(1, 1, 3, 4), _places(make, 1, 2, 3, 2), "bicubic", "border", True), {}
        yield (make(1, 1, 2, 3, 2), _places(make, 1, 2, 2, 2, 3), "nearest", "reflection", False), {}


@composite(namespace="nn.functional", method=False, samples=_samples_sample)
def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Tensor:
    """(N, C, H, W) or (N, C, D, H, W) read at the places of a grid.

    Args:
        input: the images.
        grid: (N, ..., 2) or (N, ..., 3), the places as (x, y) or (x, y, z) between -1 and 1.
        mode: "bilinear" (trilinear for 5D), "nearest", or "bicubic" (4D only).
        padding_mode: what is outside: "zeros", the "border", or a "reflection".
        align_corners: whether -1 and 1 are the centres of the outermost elements, or their outer borders.

    Gradients go to the images and to the grid. ValueError for an unknown mode, RuntimeError for sizes that do not go
    together.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.grid_sample.html

    >>> import flambeau as torch
    >>> grid = torch.tensor([[[[-1., 0.], [0., 0.]]]])
    >>> torch.nn.functional.grid_sample(torch.tensor([[[[1., 3.]]]]), grid, align_corners=True)
    tensor([[[[1., 2.]]]])
    """
    if mode not in GRID_SAMPLE_INTERPOLATION_MODES:
        raise ArgumentValueError("nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
                                 f"but got: '{mode}'")
    if padding_mode not in GRID_SAMPLE_PADDING_MODES:
        raise ArgumentValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or "
                                 f"'reflection', but got: '{padding_mode}'")
    if align_corners is None:
        warnings.warn(_CHANGED + " See the documentation of grid_sample for details.", stacklevel=2)
    return _sampled(input, grid, GRID_SAMPLE_INTERPOLATION_MODES[mode], GRID_SAMPLE_PADDING_MODES[padding_mode],
                    bool(align_corners))


# ---------------------------------------------------------------------------------------------- grids of affine maps
def _base(like: Tensor, spatial: Shape, align_corners: bool) -> Tensor:
    """(elements, ndim + 1): the place of every element, x first, and 1."""
    ndim = len(spatial)
    columns = []
    for axis in reversed(range(ndim)):
        steps = spatial[axis]
        line = creation.linspace(-1, 1, steps, dtype=like.dtype, device=like.device) if steps > 1 else \
            like.new_zeros((1,))
        if not align_corners:
            line = line * ((steps - 1) / steps)
        columns.append(line.reshape((-1, *(1,) * (ndim - 1 - axis))).expand(spatial).reshape(-1))
    return stack([*columns, creation.ones_like(columns[0])], 1)


def _samples_affine(make: Any) -> _samples.Calls:
    if _precise(make):
        yield (make(2, 2, 3), (2, 1, 3, 4), False), {}
        yield (make(1, 3, 4), (1, 2, 2, 1, 3), True), {}


@operator(method=False, samples=_samples_affine, vjp={
    "theta": lambda g, size, align_corners: (_base(g, size[2:], align_corners).transpose(0, 1)
                                             @ g.reshape(g.shape[0], -1, len(size) - 2)).transpose(1, 2)})
def affine_grid_generator(theta: Tensor, size: Shape, align_corners: bool) -> Tensor:
    """`nn.functional.affine_grid` without its checks.

    >>> import flambeau as torch
    >>> torch.affine_grid_generator(torch.eye(2, 3).unsqueeze(0), (1, 1, 1, 2), True)
    tensor([[[[-1.,  0.],
              [ 1.,  0.]]]])
    """
    spatial = tuple(size[2:])
    base = _base(theta, spatial, align_corners)
    return (base @ theta.transpose(1, 2)).reshape(size[0], *spatial, len(spatial))


def _samples_grid_of(make: Any) -> _samples.Calls:
    if _precise(make):
        yield (make(2, 2, 3), [2, 1, 3, 4]), {"align_corners": False}


@composite(namespace="nn.functional", method=False, samples=_samples_grid_of)
def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid for `grid_sample` that reads images through affine maps.

    Args:
        theta: (N, 2, 3) or (N, 3, 4), a map per image: from places in the result to places in the image.
        size: (N, C, H, W) or (N, C, D, H, W) of the result.
        align_corners: whether -1 and 1 are the centres of the outermost elements, or their outer borders.

    The result is (N, H, W, 2) or (N, D, H, W, 3). ValueError for matrices that do not go with the size.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.affine_grid.html

    >>> import flambeau as torch
    >>> torch.nn.functional.affine_grid(torch.eye(2, 3).unsqueeze(0), (1, 1, 1, 2), align_corners=False)
    tensor([[[[-0.5000,  0.0000],
              [ 0.5000,  0.0000]]]])
    """
    if align_corners is None:
        warnings.warn(_CHANGED + " See the documentation of affine_grid for details.", stacklevel=2)
    if not theta.is_floating_point():
        raise ArgumentValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    wanted = tuple([int(each) for each in size])
    if len(wanted) not in (4, 5):
        raise UnsupportedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, "
                               f"respectively. Got size {size}.")
    ndim = len(wanted) - 2
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (ndim, ndim + 1):
        raise ArgumentValueError(f"Expected a batch of {ndim}D affine matrices of shape Nx{ndim}x{ndim + 1} for size "
                                 f"{size}. Got {theta.shape}.")
    if align_corners and min(wanted[2:]) == 1:
        warnings.warn("Since version 1.3.0, affine_grid behavior has changed for unit-size grids when "
                      "align_corners=True. This is not an intended use case of affine_grid. See the documentation of "
                      "affine_grid for details.", stacklevel=2)
    elif min(wanted) <= 0:
        raise ArgumentValueError(f"Expected non-zero, positive output size. Got {size}")
    if theta.shape[0] != wanted[0]:
        raise ShapeError(f"Expected a batch of {wanted[0]} affine matrices for size {size}. Got {theta.shape}.")
    result: Tensor = affine_grid_generator(theta, wanted, bool(align_corners))
    return result
