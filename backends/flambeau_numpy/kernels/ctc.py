"""Connectionist temporal classification: both recursions over time, a handful of calls per step.

The states of all samples stand side by side, with two more to the left (or right) that have no probability, so that
those from which a state is reached are three slices of one array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau_numpy.quiet import quiet

_LOWEST = -np.inf


def _states(labels: Any, blank: int) -> tuple[Any, Any]:
    """The label of each state (N, 2 S + 1), and minus infinity where it cannot follow the one before the last."""
    batch, count = labels.shape
    states = np.full((batch, 2 * count + 1), blank, labels.dtype)
    states[:, 1::2] = labels
    penalty = np.zeros(states.shape)
    penalty[:, 2:][states[:, 2:] == states[:, :-2]] = _LOWEST
    return states, penalty


def _gathered(log_probs: Any, states: Any) -> Any:
    return log_probs[:, np.arange(len(states))[:, None], states]


def _recursion(logs: Any, penalty: Any, over: Any) -> None:
    """Fill `over` (T, N, states + 2), whose first step is there, step by step."""
    first, second = np.empty(logs.shape[1:], logs.dtype), np.empty(logs.shape[1:], logs.dtype)
    for before, after, step in zip(over[:-1], over[1:], logs[1:], strict=True):
        np.add(before[:, :-2], penalty, first)
        np.logaddexp(before[:, 2:], before[:, 1:-1], second)
        np.logaddexp(first, second, first)
        np.add(first, step, after[:, 2:])


def _ctc_loss_forward(log_probs: Any, labels: Any, input_lengths: Any, target_lengths: Any, blank: int,
                      zero_infinity: bool) -> Any:
    states, penalty = _states(labels, blank)
    logs = _gathered(log_probs, states)
    time, batch, count = logs.shape
    over = np.full((time, batch, count + 2), _LOWEST, logs.dtype)
    over[0, :, 2] = logs[0, :, 0]
    if count > 1:
        over[0, :, 3] = np.where(target_lengths > 0, logs[0, :, 1], _LOWEST)
    _recursion(logs, penalty.astype(logs.dtype), over)
    rows = np.arange(batch)
    final = over[np.maximum(input_lengths - 1, 0), rows]
    last = 2 * target_lengths + 2
    losses = -np.logaddexp(final[rows, last], final[rows, last - 1])
    nothing = np.where(target_lengths == 0, -0.0, np.inf)
    losses = np.where(input_lengths == 0, nothing, losses).astype(logs.dtype)
    return losses, np.ascontiguousarray(over[:, :, 2:].transpose(1, 0, 2))


def _betas(logs: Any, penalty: Any, input_lengths: Any, target_lengths: Any) -> Any:
    """What is still to come, (T, N, states): the recursion backwards, begun at the end of each sample."""
    time, batch, count = logs.shape
    over = np.full((time + 1, batch, count + 2), _LOWEST, logs.dtype)
    later = np.full(penalty.shape, _LOWEST, logs.dtype)
    later[:, :-2] = penalty[:, 2:]      # of the state that is skipped to
    first, second = np.empty((batch, count), logs.dtype), np.empty((batch, count), logs.dtype)
    ends: dict[int, Any] = {}
    for number, length in enumerate(input_lengths.tolist()):
        ends.setdefault(length - 1, []).append(number)
    for t in range(time - 1, -1, -1):
        before = over[t + 1]
        np.add(before[:, 2:], later, first)
        np.logaddexp(before[:, :-2], before[:, 1:-1], second)
        np.logaddexp(first, second, first)
        for number in ends.get(t, ()):
            last = 2 * target_lengths[number]
            first[number, max(last - 1, 0):last + 1] = 0
        np.add(first, logs[t], over[t, :, :-2])
    return over[:-1, :, :-2]


def _ctc_loss_backward(grad: Any, log_probs: Any, labels: Any, input_lengths: Any, target_lengths: Any, losses: Any,
                       alphas: Any, blank: int, zero_infinity: bool) -> Any:
    states, penalty = _states(labels, blank)
    logs = _gathered(log_probs, states)
    time, batch, classes = log_probs.shape
    occupied = _betas(logs, penalty.astype(logs.dtype), input_lengths, target_lengths) + alphas.transpose(1, 0, 2)
    occupied += losses[:, None]
    occupied -= logs
    np.exp(occupied, occupied)
    occupied[logs == _LOWEST] = 0
    places = (np.arange(time * batch) * classes).reshape(time, batch, 1) + states
    summed = np.bincount(places.reshape(-1), occupied.reshape(-1), time * batch * classes)
    result = np.exp(log_probs)
    result -= summed.reshape(result.shape).astype(result.dtype)
    infinite = np.isinf(losses)
    result *= np.where(infinite, 0 if zero_infinity else np.nan, grad).astype(result.dtype)[:, None]
    if zero_infinity:
        result[:, infinite] = 0
    result[np.arange(time)[:, None] >= input_lengths] = 0
    return result


KERNELS: dict[str, Any] = {"ctc_loss_forward": quiet(_ctc_loss_forward), "ctc_loss_backward": quiet(_ctc_loss_backward)}
