"""Views and index expressions, written once for tensors and once for NumPy's arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class View:
    """A view of a tensor of shape (3, 4, 6), and NumPy's of an array of that shape."""

    tensor: Function
    array: Function
    overlaps: bool = False   # several of its elements lie at one place
    several: bool = False    # it gives a tuple of views


def _unfolded(array: Any, dim: int, size: int, step: int) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(array, size, dim, writeable=True)
    return windows[(slice(None),) * dim + (slice(None, None, step),)]


VIEWS: dict[str, View] = {
    "alias": View(lambda x: x[...], lambda a: a[...]),
    "transpose": View(lambda x: x.transpose(0, 2), lambda a: a.swapaxes(0, 2)),
    "transpose-negative": View(lambda x: x.transpose(-1, -2), lambda a: a.swapaxes(-1, -2)),
    "permute": View(lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "permute-negative": View(lambda x: x.permute(-1, 0, -2), lambda a: a.transpose(-1, 0, -2)),
    "movedim": View(lambda x: x.movedim(0, 2), lambda a: np.moveaxis(a, 0, 2)),
    "swapaxes": View(lambda x: x.swapaxes(1, 2), lambda a: a.swapaxes(1, 2)),
    "mT": View(lambda x: x.mT, lambda a: a.swapaxes(1, 2)),
    "t": View(lambda x: x[1].t(), lambda a: a[1].T),
    "view": View(lambda x: x.view(12, 6), lambda a: a.reshape(12, 6) if a.flags.c_contiguous else _refuse()),
    "view-unknown": View(lambda x: x.view(3, -1, 2, 2), lambda a: a.reshape(3, 6, 2, 2) if a.flags.c_contiguous
                         else _refuse()),
    "view-split": View(lambda x: x.transpose(0, 1).view(4, 3, 2, 3), lambda a: np.lib.stride_tricks.as_strided(
        a, (4, 3, 2, 3), (a.strides[1], a.strides[0], 3 * a.strides[2], a.strides[2]))
        if a.shape == (3, 4, 6) else _refuse()),
    "flatten": View(lambda x: x.flatten(1), lambda a: a.reshape(3, 24) if a.flags.c_contiguous else _refuse()),
    "unflatten": View(lambda x: x.unflatten(2, (2, 3)), lambda a: np.lib.stride_tricks.as_strided(
        a, (3, 4, 2, 3), (a.strides[0], a.strides[1], 3 * a.strides[2], a.strides[2]))
        if a.shape == (3, 4, 6) else _refuse()),
    "squeeze": View(lambda x: x[:, 1:2].squeeze(1), lambda a: a[:, 1:2].squeeze(1)),
    "squeeze-all": View(lambda x: x[1:2, :, 2:3].squeeze(), lambda a: a[1:2, :, 2:3].squeeze()),
    "unsqueeze": View(lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    "unsqueeze-last": View(lambda x: x.unsqueeze(-1), lambda a: a[..., None]),
    "select": View(lambda x: x.select(1, 2), lambda a: a[:, 2]),
    "select-negative": View(lambda x: x.select(-1, -2), lambda a: a[..., -2]),
    "narrow": View(lambda x: x.narrow(1, 1, 2), lambda a: a[:, 1:3]),
    "narrow-negative": View(lambda x: x.narrow(2, -3, 2), lambda a: a[:, :, -3:-1]),
    "slice": View(lambda x: x[1:, :3, 2:], lambda a: a[1:, :3, 2:]),
    "slice-step": View(lambda x: x[::2, 1::2, ::3], lambda a: a[::2, 1::2, ::3]),
    "slice-negative": View(lambda x: x[-2:, :-1, -4:-1], lambda a: a[-2:, :-1, -4:-1]),
    "slice-empty": View(lambda x: x[2:1], lambda a: a[2:1]),
    "slice-beyond": View(lambda x: x[1:100, -100:3], lambda a: a[1:100, -100:3]),
    "index": View(lambda x: x[1], lambda a: a[1]),
    "index-negative": View(lambda x: x[-1, :, -2], lambda a: a[-1, :, -2]),
    "index-element": View(lambda x: x[2, 1, 2], lambda a: a[2, 1, 2, ...]),
    "index-none": View(lambda x: x[None, :, 1, None], lambda a: a[None, :, 1, None]),
    "index-ellipsis": View(lambda x: x[..., 1:3, 2], lambda a: a[..., 1:3, 2]),
    "diagonal": View(lambda x: x.diagonal(), lambda a: np.lib.stride_tricks.as_strided(
        a, (a.shape[2], min(a.shape[:2])), (a.strides[2], a.strides[0] + a.strides[1]))),
    "diagonal-offset": View(lambda x: x.diagonal(1, 1, 2), lambda a: np.lib.stride_tricks.as_strided(
        a[:, :, 1:], (a.shape[0], min(a.shape[1], a.shape[2] - 1)), (a.strides[0], a.strides[1] + a.strides[2]))),
    "diagonal-below": View(lambda x: x.diagonal(-2, 1, 2), lambda a: np.lib.stride_tricks.as_strided(
        a[:, 2:], (a.shape[0], min(a.shape[1] - 2, a.shape[2])), (a.strides[0], a.strides[1] + a.strides[2]))),
    "unfold": View(lambda x: x.unfold(2, 3, 1), lambda a: _unfolded(a, 2, 3, 1), overlaps=True),
    "unfold-step": View(lambda x: x.unfold(1, 2, 2), lambda a: _unfolded(a, 1, 2, 2)),
    "expand": View(lambda x: x.expand(2, 3, 4, 6) if tuple(x.shape) == (3, 4, 6) else x.expand(2, *x.shape),
                   lambda a: np.lib.stride_tricks.as_strided(a, (2, *a.shape), (0, *a.strides)), overlaps=True),
    "expand-inner": View(lambda x: x[:, :1].expand(-1, 5, -1), lambda a: np.lib.stride_tricks.as_strided(
        a, (a.shape[0], 5, a.shape[2]), (a.strides[0], 0, a.strides[2])), overlaps=True),
    "expand_as": View(lambda x: x[1].expand_as(x), lambda a: np.lib.stride_tricks.as_strided(
        a[1], a.shape, (0, *a.strides[1:])), overlaps=True),
    "as_strided": View(lambda x: x.as_strided((4, 3), (2, 9), x.storage_offset() + 3),
                       lambda a: np.lib.stride_tricks.as_strided(a.reshape(-1)[3:], (4, 3), (
                           2 * a.itemsize, 9 * a.itemsize)) if a.flags.c_contiguous else _refuse()),
    "split": View(lambda x: x.split(4, 2), lambda a: [a[:, :, :4], a[:, :, 4:]] if a.shape[2] == 6 else _refuse(),
                  several=True),
    "split-sizes": View(lambda x: x.split([1, 3], 1), lambda a: [a[:, :1], a[:, 1:]] if a.shape[1] == 4 else _refuse(),
                        several=True),
    "chunk": View(lambda x: x.chunk(2, -1), lambda a: [a[:, :, :3], a[:, :, 3:]] if a.shape[2] == 6 else _refuse(),
                  several=True),
    "tensor_split": View(lambda x: x.tensor_split(3, 1), lambda a: np.array_split(a, 3, 1), several=True),
    "unbind": View(lambda x: x.unbind(1), lambda a: [a[:, each] for each in range(a.shape[1])], several=True),
    "iter": View(lambda x: list(x), lambda a: list(a), several=True),
}


def _refuse() -> Any:
    raise ValueError("not a view of this layout")


def _places(*values: int) -> Any:
    return np.array(values, np.int64)


def _mask(*shape: int) -> Any:
    return (np.arange(int(np.prod(shape))) % 3 != 1).reshape(shape)


# (tensor or array of shape (3, 4, 6), how to make an index of the same library) -> elements
READS: dict[str, Callable[[Any, Any], Any]] = {
    "int": lambda x, i: x[1], "ints": lambda x, i: x[2, -1], "slice": lambda x, i: x[1:, ::2, -3:],
    "ellipsis": lambda x, i: x[..., 3], "none": lambda x, i: x[:, None, 1], "empty": lambda x, i: x[3:],
    "tensor": lambda x, i: x[i(_places(2, 0, 2))], "negative": lambda x, i: x[i(_places(-1, -3))],
    "inner": lambda x, i: x[:, i(_places(3, 1, 1))], "last": lambda x, i: x[..., i(_places(0, 3, -2, 1))],
    "two": lambda x, i: x[i(_places(0, 2)), i(_places(3, 1))],
    "apart": lambda x, i: x[i(_places(0, 2)), :, i(_places(3, 1))],
    "behind": lambda x, i: x[:, i(_places(0, 2)), i(_places(3, 1))],
    "grid": lambda x, i: x[i(_places(0, 2).reshape(2, 1)), i(_places(3, 1, 0))],
    "three": lambda x, i: x[i(_places(0, 2)), i(_places(3, 1)), i(_places(2, 2))],
    "2-d": lambda x, i: x[i(_places(0, 1, 2, 0).reshape(2, 2))],
    "0-d": lambda x, i: x[1] if isinstance(x, np.ndarray) else x[i(np.array(1))],
    "none-found": lambda x, i: x[i(_places())], "mixed": lambda x, i: x[1:, i(_places(2, 0))],
    "int-and-tensor": lambda x, i: x[1, i(_places(2, 0))], "step-and-tensor": lambda x, i: x[::2, i(_places(2, 0)), 1:],
    "mask": lambda x, i: x[i(_mask(3, 4, 6))], "mask-first": lambda x, i: x[i(_mask(3))],
    "mask-two": lambda x, i: x[i(_mask(3, 4))], "mask-inner": lambda x, i: x[:, i(_mask(4))],
    "mask-last": lambda x, i: x[..., i(_mask(6))], "mask-none": lambda x, i: x[i(np.zeros(3, bool))],
    "mask-and-tensor": lambda x, i: x[i(_mask(3)), i(_places(1, 2))],
    "list": lambda x, i: x[[0, 2]], "int32": lambda x, i: x[i(np.array([2, 0], np.int32))] if isinstance(
        x, np.ndarray) else x[i(np.array([2, 0], np.int64))],
}

# (target, how to make an index, values(*shape) of the same library) -> None
WRITES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "int": lambda x, i, v: x.__setitem__(1, v(4, 6)), "element": lambda x, i, v: x.__setitem__((2, 3, 3), v()),
    "slice": lambda x, i, v: x.__setitem__((slice(1, None), slice(None, None, 2)), v(2, 2, 6)),
    "broadcast": lambda x, i, v: x.__setitem__((slice(None), 1), v(6)),
    "broadcast-column": lambda x, i, v: x.__setitem__((Ellipsis, slice(2, 5)), v(4, 1)),
    "number": lambda x, i, v: x.__setitem__((0, slice(1, 3)), 1), "all": lambda x, i, v: x.__setitem__(Ellipsis, 1),
    "0-d": lambda x, i, v: x.__setitem__((slice(None), slice(None), 2), v()),
    "leading-ones": lambda x, i, v: x.__setitem__((0, 1), v(1, 6)),
    "none": lambda x, i, v: x.__setitem__((0, None, 1), v(1, 6)),
    "empty": lambda x, i, v: x.__setitem__(slice(3, 3), 1),
    "tensor": lambda x, i, v: x.__setitem__(i(_places(2, 0)), v(2, 4, 6)),
    "tensor-number": lambda x, i, v: x.__setitem__(i(_places(2, 0)), 1),
    "tensor-broadcast": lambda x, i, v: x.__setitem__(i(_places(2, 0)), v(6)),
    "negative": lambda x, i, v: x.__setitem__(i(_places(-1)), v(1, 4, 6)),
    "inner": lambda x, i, v: x.__setitem__((slice(None), i(_places(3, 1))), v(3, 2, 6)),
    "two": lambda x, i, v: x.__setitem__((i(_places(0, 2)), i(_places(3, 1))), v(2, 6)),
    "apart": lambda x, i, v: x.__setitem__((i(_places(0, 2)), slice(None), i(_places(3, 1))), v(2, 4)),
    "three": lambda x, i, v: x.__setitem__((i(_places(0, 2)), i(_places(3, 1)), i(_places(2, 3))), v(2)),
    "mixed": lambda x, i, v: x.__setitem__((slice(1, None), i(_places(2, 0)), slice(None, None, 3)), v(2, 2, 2)),
    "int-and-tensor": lambda x, i, v: x.__setitem__((1, i(_places(2, 0))), v(2, 6)),
    "mask": lambda x, i, v: x.__setitem__(i(_mask(3, 4, 6)), 1),
    "mask-values": lambda x, i, v: x.__setitem__(i(_mask(3, 4, 6)), v(48)),
    "mask-first": lambda x, i, v: x.__setitem__(i(_mask(3)), v(2, 4, 6)),
    "mask-two": lambda x, i, v: x.__setitem__(i(_mask(3, 4)), v(8, 6)),
    "mask-inner": lambda x, i, v: x.__setitem__((slice(None), i(_mask(4))), 1),
    "mask-none": lambda x, i, v: x.__setitem__(i(np.zeros((3, 4), bool)), 1),
    "view-of-view": lambda x, i, v: x[1:, 2].__setitem__((slice(None), slice(None, None, 2)), v(2, 3)),
    "select-chain": lambda x, i, v: x[2][1].__setitem__(slice(0, 2), v(2)),
}


# ---------------------------------------------------------------------------------------------- chains
@dataclass(frozen=True, slots=True)
class Step:
    """One view of a chain, for tensors and arrays alike."""

    name: str
    run: Function
    overlaps: bool = False


def draw_step(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    """A view that a tensor of this shape has, whatever its strides."""
    ndim = len(shape)
    choices = [_expand_step] if ndim < 5 else []
    if ndim:
        choices += [_slice_step, _slice_step, _slice_step, _unsqueeze_step]
    if ndim > 1:
        choices += [_permute_step, _permute_step, _select_step, _diagonal_step]
    if any(size > 2 for size in shape) and ndim < 5:
        choices.append(_unfold_step)
    return choices[int(rng.integers(len(choices)))](rng, shape)


def _slice_step(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    keys = []
    for size in shape:
        start = int(rng.integers(0, max(size - 1, 1)))
        keys.append(slice(start, int(rng.integers(start + 1, size + 1)) if size else 0, int(rng.integers(1, 3))))
    key = tuple(keys)
    return Step(f"[{', '.join(f'{each.start}:{each.stop}:{each.step}' for each in key)}]", lambda x: x[key])


def _permute_step(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    order = tuple(int(each) for each in rng.permutation(len(shape)))
    return Step(f"permute{order}", lambda x: x.transpose(order) if isinstance(x, np.ndarray) else x.permute(order))


def _select_step(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    dim = int(rng.integers(len(shape)))
    place = int(rng.integers(-shape[dim], shape[dim])) if shape[dim] else 0
    key = (slice(None),) * dim + ((place,) if shape[dim] else (slice(None),)) + (Ellipsis,)
    return Step(f"select({dim}, {place})", lambda x: x[key])


def _unsqueeze_step(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    dim = int(rng.integers(len(shape) + 1))
    return Step(f"unsqueeze({dim})", lambda x: np.expand_dims(x, dim) if isinstance(
        x, np.ndarray) else x.unsqueeze(dim))


def _expand_step(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    count = int(rng.integers(2, 4))

    def run(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return np.lib.stride_tricks.as_strided(x, (count, *shape), (0, *x.strides))
        return x.expand(count, *shape)
    return Step(f"expand({count}, ...)", run, overlaps=True)


def _diagonal_step(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    one, other = (int(each) for each in rng.permutation(len(shape))[:2])

    def run(x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return x.diagonal(0, one, other)
        rest = [each for each in range(x.ndim) if each not in (one, other)]
        return np.lib.stride_tricks.as_strided(
            x, (*[x.shape[each] for each in rest], min(x.shape[one], x.shape[other])),
            (*[x.strides[each] for each in rest], x.strides[one] + x.strides[other]))
    return Step(f"diagonal(0, {one}, {other})", run)


def _unfold_step(rng: np.random.Generator, shape: tuple[int, ...]) -> Step:
    dim = int(rng.choice([each for each, size in enumerate(shape) if size > 2]))

    def run(x: Any) -> Any:
        return _unfolded(x, dim, 2, 1) if isinstance(x, np.ndarray) else x.unfold(dim, 2, 1)
    return Step(f"unfold({dim}, 2, 1)", run, overlaps=True)
