"""Window functions: weights that fade a stretch of a signal in and out.

All are made in float64 where the device has it and rounded once. A symmetric window of M points ends as it begins; a
periodic one (`sym=False`) is the first M points of a symmetric one of M + 1.
Source: https://docs.pytorch.org/docs/stable/signal.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from flambeau import dtypes
from flambeau.dispatch import composite
from flambeau.errors import ArgumentError, ArgumentTypeError, ArgumentValueError
from flambeau.layouts import strided
from flambeau.ops import _samples, creation
from flambeau.ops.factory import factory_kind, finish
from flambeau.ops.special_functions import i0
from flambeau.tensor import Tensor


def _window(op: str, M: int, sym: bool, shape: Callable[[Tensor, float], Any], options: dict[str, Any],
            older: bool = False) -> Tensor:
    """A window: `shape` gives the weights from the positions 0, 1, ... and the distance from first to last."""
    dtype, layout, device, requires_grad = (options.pop(key, None) for key in (
        "dtype", "layout", "device", "requires_grad"))
    if options:
        raise ArgumentTypeError(f"{op}() got an unexpected keyword argument {next(iter(options))!r}")
    if layout is not None and layout is not strided:
        raise ArgumentValueError(f"{op} is implemented for strided tensors only, got: {layout}")
    if M < 0:
        raise ArgumentValueError(f"{op} requires non-negative window length, got M={M}")
    kind = factory_kind(dtype, device)
    if not older and kind.dtype not in (dtypes.float32, dtypes.float64):
        raise ArgumentValueError(f"{op} expects float32 or float64 dtypes, got: {kind.dtype}")
    storable = kind.capabilities.storage_dtypes
    wide = kind.to(dtypes.float64) if dtypes.float64 in storable else kind
    if M == 1:
        result = creation.ones(1, dtype=kind.dtype, device=kind.device)
    else:
        positions = creation.arange(M, dtype=wide.dtype, device=wide.device)
        result = shape(positions, float(M - 1 if sym else M)).to(kind.dtype) if M else positions.to(kind.dtype)
    return finish(result, None, bool(requires_grad), None, op)


def _points(**options: Any) -> _samples.Samples:
    """Samples of a window: a symmetric one and one that continues periodically, and the smallest."""
    def samples(make: Any) -> _samples.Calls:
        yield (6,), {**options, "dtype": dtypes.float32, "device": make.device}
        yield (7,), {**options, "sym": False, "device": make.device}
        yield (1,), {**options, "device": make.device}
    return samples


def _lengths(**options: Any) -> _samples.Samples:
    """Samples of a window under one of the older names, with the dtype under test where that floats."""
    def samples(make: Any) -> _samples.Calls:
        yield (6,), {"dtype": make.dtype, "device": make.device}
        yield (7,), {**options, "periodic": False, "device": make.device}
    return samples


def _cosines(a: Sequence[float]) -> Callable[[Tensor, float], Any]:
    def shape(k: Tensor, length: float) -> Any:
        total: Any = 0
        for order, each in enumerate(a):
            total = total + (k * (2 * math.pi * order / length)).cos() * ((-1) ** order * each)
        return total
    return shape


@composite(method=False, namespace="signal.windows", name="signal_windows_general_cosine",
           samples=_points(a=[0.5, 0.3, 0.2]))
def general_cosine(M: int, *, a: Sequence[float], sym: bool = True, **options: Any) -> Tensor:
    """A sum of cosines with the weights `a` and alternating signs.

    >>> import flambeau as torch
    >>> torch.signal.windows.general_cosine(3, a=[0.5, 0.5])
    tensor([0., 1., 0.])
    """
    if not isinstance(a, (tuple, list)):
        raise ArgumentTypeError("general_cosine: Coefficients must be a list/tuple")
    if not a:
        raise ArgumentValueError("general_cosine: Coefficients cannot be empty")
    return _window("general_cosine", M, sym, _cosines(a), options)


@composite(samples=_points(alpha=0.6), method=False, namespace="signal.windows", name="signal_windows_general_hamming")
def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Tensor:
    """`alpha - (1 - alpha) * cos(2 pi k / (M - 1))`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.general_hamming.html

    >>> import flambeau as torch
    >>> torch.signal.windows.general_hamming(4)
    tensor([0.0800, 0.7700, 0.7700, 0.0800])
    """
    return _window("general_hamming", M, sym, _cosines((alpha, 1 - alpha)), options)


@composite(samples=_points(), method=False, namespace="signal.windows", name="signal_windows_hamming")
def hamming(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Hamming's window: a raised cosine on a step of 0.08.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.hamming.html

    >>> import flambeau as torch
    >>> torch.signal.windows.hamming(4)
    tensor([0.0800, 0.7700, 0.7700, 0.0800])
    """
    return _window("hamming", M, sym, _cosines((0.54, 0.46)), options)


@composite(samples=_points(), method=False, namespace="signal.windows", name="signal_windows_hann")
def hann(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Hann's window: a raised cosine.

    >>> import flambeau as torch
    >>> torch.signal.windows.hann(4, sym=False)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window("hann", M, sym, _cosines((0.5, 0.5)), options)


@composite(samples=_points(), method=False, namespace="signal.windows", name="signal_windows_blackman")
def blackman(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Blackman's window: three cosines.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.blackman.html

    >>> import flambeau as torch
    >>> torch.signal.windows.blackman(5).shape
    torch.Size([5])
    """
    return _window("blackman", M, sym, _cosines((0.42, 0.5, 0.08)), options)


@composite(samples=_points(), method=False, namespace="signal.windows", name="signal_windows_nuttall")
def nuttall(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Nuttall's window: four cosines with the smallest side lobes.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.nuttall.html

    >>> import flambeau as torch
    >>> torch.signal.windows.nuttall(4)
    tensor([3.6280e-04, 5.2923e-01, 5.2923e-01, 3.6280e-04])
    """
    return _window("nuttall", M, sym, _cosines((0.3635819, 0.4891775, 0.1365995, 0.0106411)), options)


@composite(samples=_points(), method=False, namespace="signal.windows", name="signal_windows_bartlett")
def bartlett(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """A triangle from 0 to 1 and back.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.bartlett.html

    >>> import flambeau as torch
    >>> torch.signal.windows.bartlett(4)
    tensor([0.0000, 0.6667, 0.6667, 0.0000])
    """
    return _window("bartlett", M, sym, lambda k, length: 1 - (k * (2 / length) - 1).abs(), options)


@composite(samples=_points(), method=False, namespace="signal.windows", name="signal_windows_cosine")
def cosine(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Half a period of a sine, sampled between its zeros.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.cosine.html

    >>> import flambeau as torch
    >>> torch.signal.windows.cosine(4)
    tensor([0.3827, 0.9239, 0.9239, 0.3827])
    """
    return _window("cosine", M, sym, lambda k, length: ((k + 0.5) * (math.pi / (length + 1))).sin(), options)


@composite(samples=_points(std=2.5), method=False, namespace="signal.windows", name="signal_windows_gaussian")
def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """A bell curve of standard deviation `std`, in samples.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.gaussian.html

    >>> import flambeau as torch
    >>> torch.signal.windows.gaussian(4)
    tensor([0.3247, 0.8825, 0.8825, 0.3247])
    """
    if std <= 0:
        raise ArgumentValueError(f"gaussian: Standard deviation must be positive, got: {std} instead.")
    return _window("gaussian", M, sym, lambda k, length: (((k - length / 2) / std).square() * -0.5).exp(), options)


@composite(samples=_points(tau=2.0), method=False, namespace="signal.windows", name="signal_windows_exponential")
def exponential(M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """`exp(-abs(k - center) / tau)`; a `center` other than the middle may be given for `sym=False` only.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.exponential.html

    >>> import flambeau as torch
    >>> torch.signal.windows.exponential(4)
    tensor([0.2231, 0.6065, 0.6065, 0.2231])
    """
    if tau <= 0:
        raise ArgumentValueError(f"exponential: Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ArgumentValueError("exponential: Center must be None for symmetric windows")
    return _window("exponential", M, sym, lambda k, length: (
        (k - (length / 2 if center is None else center)).abs() * (-1 / tau)).exp(), options)


def _kaiser(beta: float) -> Callable[[Tensor, float], Any]:
    def shape(k: Tensor, length: float) -> Any:
        inner = (1 - (k * (2 / length) - 1).square()).clamp(min=0).sqrt()
        return i0(inner * beta) / i0(creation.full((), beta, dtype=k._kind.dtype, device=k.device))
    return shape


@composite(samples=_points(beta=5.0), method=False, namespace="signal.windows", name="signal_windows_kaiser")
def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Tensor:
    """Kaiser's window: nearly the most energy in the main lobe, whose width `beta` sets.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.signal.windows.kaiser.html

    >>> import flambeau as torch
    >>> torch.signal.windows.kaiser(4)
    tensor([5.2773e-05, 5.1884e-01, 5.1884e-01, 5.2773e-05])
    """
    if beta < 0:
        raise ArgumentValueError(f"kaiser: beta must be non-negative, got: {beta} instead.")
    return _window("kaiser", M, sym, _kaiser(beta), options)


# ---------------------------------------------------------------------------------------------- the older names
def _older(op: str, length: int, periodic: bool, shape: Callable[[Tensor, float], Any],
           options: dict[str, Any]) -> Tensor:
    options.pop("pin_memory", None)
    if length < 0:
        raise ArgumentError(f"{op} requires non-negative window_length, got window_length={length}")
    dtype = options.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        raise ArgumentError(f"{op} expects floating point dtypes, got: {dtype}")
    return _window(op, length, not periodic, shape, options, older=True)


@composite(samples=_lengths(), method=False)
def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`signal.windows.hann`, periodic unless said otherwise.

    >>> import flambeau as torch
    >>> torch.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _older("hann_window", window_length, periodic, _cosines((0.5, 0.5)), options)


@composite(samples=_lengths(alpha=0.6, beta=0.3), method=False)
def hamming_window(window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46,
                   **options: Any) -> Tensor:
    """`alpha - beta * cos(2 pi k / window_length)`.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.hamming_window.html

    >>> import flambeau as torch
    >>> torch.hamming_window(4)
    tensor([0.0800, 0.5400, 1.0000, 0.5400])
    """
    return _older("hamming_window", window_length, periodic, _cosines((alpha, beta)), options)


@composite(samples=_lengths(), method=False)
def blackman_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`signal.windows.blackman`, periodic unless said otherwise.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.blackman_window.html

    >>> import flambeau as torch
    >>> torch.blackman_window(4)[2]
    tensor(1.)
    """
    return _older("blackman_window", window_length, periodic, _cosines((0.42, 0.5, 0.08)), options)


@composite(samples=_lengths(), method=False)
def bartlett_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`signal.windows.bartlett`, periodic unless said otherwise.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bartlett_window.html

    >>> import flambeau as torch
    >>> torch.bartlett_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _older("bartlett_window", window_length, periodic, lambda k, length: 1 - (k * (2 / length) - 1).abs(),
                  options)


@composite(samples=_lengths(beta=5.0), method=False)
def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, **options: Any) -> Tensor:
    """`signal.windows.kaiser`, periodic unless said otherwise.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.kaiser_window.html

    >>> import flambeau as torch
    >>> torch.kaiser_window(4)
    tensor([5.2773e-05, 2.1567e-01, 1.0000e+00, 2.1567e-01])
    """
    return _older("kaiser_window", window_length, periodic, _kaiser(beta), options)
