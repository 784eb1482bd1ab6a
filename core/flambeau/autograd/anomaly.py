"""Anomaly mode: a backward error or nan names the forward line that made the node.

Source: https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection
"""

from __future__ import annotations

from flambeau.graph import AROUND, WATCHERS, Anomaly
from flambeau.walk import apply_with_trace


def _set(enabled: bool, check_nan: bool) -> None:
    if enabled and not Anomaly.enabled:
        WATCHERS.append(Anomaly)
        AROUND.append(apply_with_trace)
    elif Anomaly.enabled and not enabled:
        WATCHERS.remove(Anomaly)
        AROUND.remove(apply_with_trace)
    Anomaly.enabled, Anomaly.check_nan = enabled, check_nan


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Turn anomaly mode on or off, from the call on, and until the end of the block if there is one."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = Anomaly.enabled, Anomaly.check_nan
        _set(bool(mode), check_nan)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        _set(*self._before)


class detect_anomaly:  # noqa: N801 - PyTorch's name
    """Anomaly mode inside the block.

    >>> import flambeau as torch
    >>> x = torch.tensor([0.0], requires_grad=True)
    >>> with torch.autograd.detect_anomaly():
    ...     y = (x / x).sum()
    ...     y.backward()
    Traceback (most recent call last):
    ...
    flambeau.errors.GraphError: Function 'DivBackward0' returned nan values in its 0th output.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan

    def __enter__(self) -> None:
        self._before = Anomaly.enabled, Anomaly.check_nan
        _set(True, self._check_nan)

    def __exit__(self, *exc: object) -> None:
        _set(*self._before)


def is_anomaly_enabled() -> bool:
    """Whether anomaly mode is on."""
    return Anomaly.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly mode looks for nan in gradients."""
    return Anomaly.check_nan


