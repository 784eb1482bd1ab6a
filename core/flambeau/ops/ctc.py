"""Connectionist temporal classification: the probability of a label sequence, summed over all alignments.

Between the labels of a target and around them stand blanks, which makes 2 S + 1 states; `alpha` is the logarithm of
the probability to be in a state after so many inputs, `beta` that of what is still to come. Both recursions run over
time, for all states of all samples at once. The gradient is PyTorch's: that of inputs which were normalised by
`log_softmax`, so that it sums to zero over the classes. Source: Graves et al., "Connectionist temporal
classification", 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau import dispatch, dtypes
from flambeau.errors import ArgumentError, ArgumentTypeError, GraphError, ShapeError, UnsupportedDtypeError
from flambeau.ops import _faces
from flambeau.ops._losses import REDUCTIONS, checked_reduction, reduced
from flambeau.ops._samples import Calls
from flambeau.ops.construct import tensor
from flambeau.ops.creation import arange
from flambeau.ops.joining import cat, stack
from flambeau.tensor import Tensor

Lengths = Tensor | Sequence[int]

_LOWEST = float("-inf")


# ---------------------------------------------------------------------------------------------- samples
def _fixed(make: Any, data: Any) -> Any:
    return make.fixed(data, dtype=dtypes.int64)


def _samples_core(make: Any) -> Calls:
    """Two samples of lengths 5 and 4, whose targets have 2 and 3 labels, two of them equal; what differences of the
    gradient would measure is not PyTorch's gradient, see above."""
    if make.dtype.is_floating_point and make.dtype.itemsize > 2:
        labels, inputs, targets = [[1, 1, 0], [2, 3, 1]], [5, 4], [2, 3]
        yield (make(5, 2, 4, low=-3, high=-0.25, requires_grad=False), _fixed(make, labels), _fixed(make, inputs),
               _fixed(make, targets), 0, False), {}


def _samples_backward(make: Any) -> Calls:
    """Probabilities of the states that no alignment could have, but alike in every decomposition and kernel."""
    for args, _ in _samples_core(make):
        for zero_infinity in (False, True):
            losses = make.fixed([4.0, 6.0 if not zero_infinity else float("inf")], requires_grad=False)
            alphas = make(2, 5, 7, low=-6, high=-1, requires_grad=False)
            yield (make(2, requires_grad=False), *args[:4], losses, alphas, 0, zero_infinity), {}


def _samples(make: Any) -> Calls:
    """Padded targets, one sample without a batch, and a target that does not fit. (Targets one after the other are not
    here: PyTorch reads them wrongly where they are not contiguous.)"""
    if not make.dtype.is_floating_point or make.dtype.itemsize == 2:
        return
    for reduction in REDUCTIONS:
        yield (make(5, 2, 4, low=-3, high=-0.25), _fixed(make, [[1, 1, 0], [2, 3, 1]]), _fixed(make, [5, 4]),
               _fixed(make, [2, 3])), {"reduction": reduction}
    yield (make(5, 2, 4, low=-3, high=-0.25), _fixed(make, [[1, 0, 1], [0, 0, 2]]), (4, 5), (1, 3)), {"blank": 3}
    yield (make(4, 3, low=-3, high=-0.25), _fixed(make, [1, 2]), _fixed(make, 4), _fixed(make, 2)), {}
    yield (make(3, 2, 4, low=-3, high=-0.25), _fixed(make, [[1, 1], [2, 3]]), (2, 3), (2, 2)), {
        "zero_infinity": True, "reduction": "sum"}


# ---------------------------------------------------------------------------------------------- recursions
def _states(labels: Tensor, blank: int) -> tuple[Tensor, Tensor]:
    """The label of each state (N, 2 S + 1), and whether it can follow the one before the last: not so for the blanks,
    nor for a label that repeats."""
    batch, count = labels._array.shape
    between = labels.new_full((batch, count), blank)
    states = cat([stack([between, labels], 2).reshape(batch, 2 * count), labels.new_full((batch, 1), blank)], 1)
    before = cat([states.new_full((batch, 2), blank), states], 1).narrow(1, 0, 2 * count + 1)
    return states, states != before


def _shifted(values: Tensor, by: int) -> Tensor:
    """Moved by some states to the right (or left), with minus infinity coming in."""
    batch, count = values._array.shape
    new = values.new_full((batch, min(abs(by), count)), _LOWEST)
    if by > 0:
        return cat([new, values], 1).narrow(1, 0, count)
    return cat([values, new], 1).narrow(1, new._array.shape[1], count)


def _log_sum(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """log(exp a + exp b + exp c), also where all are minus infinity."""
    top = a.maximum(b).maximum(c)
    base = top.masked_fill(top == _LOWEST, 0)
    return ((a - base).exp() + (b - base).exp() + (c - base).exp()).log() + base


def _gathered(log_probs: Tensor, states: Tensor) -> Tensor:
    """The log-probability of each state's label at each time: (T, N, 2 S + 1)."""
    return log_probs.gather(2, states.expand(log_probs._array.shape[0], *states._array.shape))


def _no_second_order(name: str) -> Any:
    raise GraphError(f"derivative for {name} is not implemented: ctc_loss has gradients of first order only")


@dispatch.operator(method=False, namespace="internal", samples=_samples_backward, vjp={
    "grad": lambda h: _no_second_order("ctc_loss_backward"),
    "log_probs": lambda h: _no_second_order("ctc_loss_backward")})
def _ctc_loss_backward(grad: Tensor, log_probs: Tensor, labels: Tensor, input_lengths: Tensor, target_lengths: Tensor,
                       losses: Tensor, alphas: Tensor, blank: int, zero_infinity: bool) -> Tensor:
    """The probability of each class by itself, minus that of being in one of its states, given the target."""
    states, can_skip = _states(labels, blank)
    logs = _gathered(log_probs, states)
    time, batch, count = logs._array.shape
    places = arange(count, device=logs.device)
    last = (2 * target_lengths).unsqueeze(1)
    ends = (places == last) | (places == last - 1)
    can_be_skipped_to = cat([can_skip, can_skip.new_zeros((batch, 2))], 1).narrow(1, 2, count)
    beta = logs.new_full((batch, count), _LOWEST)
    found: list[Tensor] = []
    for t in reversed(range(time)):
        skipped = _shifted(beta, -2).masked_fill(~can_be_skipped_to, _LOWEST)
        going_on = _log_sum(beta, _shifted(beta, -1), skipped)
        at_end = (input_lengths == t + 1).unsqueeze(1) & ends
        beta = logs[t] + going_on.masked_fill(at_end, 0)
        found.append(alphas.select(1, t) + beta + losses.unsqueeze(1) - logs[t])
    occupied = stack(found[::-1], 0).exp().masked_fill(logs == _LOWEST, 0)
    classes = log_probs.new_zeros(log_probs._array.shape).scatter_add(
        2, states.expand(time, batch, count), occupied)
    infinite = losses == float("inf")
    grad = grad.masked_fill(infinite, 0 if zero_infinity else float("nan"))
    if zero_infinity:
        classes = classes.masked_fill(infinite.reshape(1, -1, 1), 0)
    over = (arange(time, device=logs.device).unsqueeze(1) >= input_lengths).unsqueeze(2)
    return ((log_probs.exp() - classes) * grad.reshape(1, -1, 1)).masked_fill(over, 0)


@dispatch.operator(outputs=("losses", "alphas"), method=False, namespace="internal", grad_name="CtcLossBackward0",
                   samples=_samples_core, vjp={
    "log_probs": lambda g, log_probs, labels, input_lengths, target_lengths, losses, alphas, blank, zero_infinity:
        None if g[0] is None else _ctc_loss_backward(g[0], log_probs, labels, input_lengths, target_lengths, losses,
                                                     alphas, blank, zero_infinity)})
def _ctc_loss_forward(log_probs: Tensor, labels: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int,
                      zero_infinity: bool) -> tuple[Tensor, Tensor]:
    """The loss of each sample, infinite where a target does not fit, and alpha (N, T, 2 S + 1).

    Labels are (N, S), filled up with any class. `zero_infinity` is about the gradient only.
    """
    states, can_skip = _states(labels, blank)
    logs = _gathered(log_probs, states)
    time, batch, count = logs._array.shape
    places = arange(count, device=logs.device)
    starts = (places < 2) & (places <= target_lengths.unsqueeze(1))   # without labels there is a blank only
    alpha = logs[0].masked_fill(~starts, _LOWEST)
    found = [alpha]
    for t in range(1, time):
        skipped = _shifted(alpha, 2).masked_fill(~can_skip, _LOWEST)
        alpha = _log_sum(alpha, _shifted(alpha, 1), skipped) + logs[t]
        found.append(alpha)
    alphas = stack(found, 1)
    rows = arange(batch, device=logs.device)
    final = alphas[rows, (input_lengths - 1).clamp(min=0)]
    last = (2 * target_lengths).unsqueeze(1)
    in_blank = final.gather(1, last).squeeze(1)
    in_label = final.gather(1, (last - 1).clamp(min=0)).squeeze(1).masked_fill(target_lengths == 0, _LOWEST)
    losses = -_log_sum(in_blank, in_label, in_label.new_full((batch,), _LOWEST))
    nothing = (target_lengths == 0).to(losses._kind.dtype).log().neg()   # no input: 0 for no labels, else infinite
    return nothing.where(input_lengths == 0, losses), alphas


# ---------------------------------------------------------------------------------------------- what people call
def _as_lengths(name: str, lengths: Any, batch: int) -> list[int]:
    """Lengths as Python numbers, one for each sample."""
    if isinstance(lengths, Tensor):
        if lengths._kind.dtype.category != dtypes.INTEGER:
            raise ArgumentError(f"ctc_loss: {name} must be integral; given: {lengths.dtype}")
        numbers = lengths.reshape(-1).tolist()
    elif isinstance(lengths, Sequence):
        numbers = [int(each) for each in lengths]
    else:
        raise ArgumentTypeError(f"ctc_loss(): {name} must be a tensor or a sequence of ints; given: "
                                f"{type(lengths).__name__}")
    if len(numbers) != batch:
        raise ArgumentError(f"ctc_loss: {name} must be of size batch_size; given: {len(numbers)} for {batch} samples")
    return list(numbers)


def _check_range(name: str, lengths: list[int], most: int | None = None) -> None:
    if min(lengths) < 0:
        raise ArgumentError(f"ctc_loss: Expected {name} to have value at least 0, but got value {min(lengths)}")
    if most is not None and max(lengths) > most:
        raise ArgumentError(f"ctc_loss: Expected {name} to have value at most {most}, but got value {max(lengths)}")


def _labels(targets: Tensor, lengths: list[int]) -> Tensor:
    """The targets as (N, longest), zeros behind the end of each. RuntimeError where they do not fit the lengths."""
    batch, longest = len(lengths), max(lengths)
    if targets.dim() not in (1, 2):
        raise ShapeError(f"ctc_loss: Expected 1 to 2 dimensions, but got {targets.dim()}-dimensional tensor for "
                         "argument #2 'targets'")
    shape = targets._array.shape
    wanted = [sum(lengths)] if len(shape) == 1 else [batch]
    if shape[0] != wanted[0]:
        raise ShapeError(f"ctc_loss: Expected tensor to have size {wanted[0]} at dimension 0, but got size {shape[0]} "
                         "for argument #2 'targets'")
    if len(shape) == 2 and shape[1] < longest:
        raise ShapeError(f"ctc_loss: Expected tensor to have size at least {longest} at dimension 1, but got size "
                         f"{shape[1]} for argument #2 'targets'")
    targets = targets.to(dtypes.int64)
    if not longest:
        return targets.new_zeros((batch, 0))
    columns = arange(longest, device=targets.device)
    outside = columns >= tensor(lengths, device=targets.device).unsqueeze(1)
    if len(shape) == 1:
        starts = [sum(lengths[:number]) for number in range(batch)]
        places = tensor(starts, device=targets.device).unsqueeze(1) + columns
        return targets[places.masked_fill(outside, 0)].masked_fill(outside, 0)
    return targets.narrow(1, 0, longest).masked_fill(outside, 0)


@dispatch.composite(namespace="nn.functional", method=False, samples=_samples)
def ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Lengths, target_lengths: Lengths, blank: int = 0,
             reduction: Any = "mean", zero_infinity: bool = False) -> Tensor:
    """Minus the log-probability of label sequences, summed over all ways to align them with the inputs.

    Log-probabilities are (T, N, C), or (T, C) for one sample; targets (N, S), or all of them one after the other;
    lengths one number per sample. `blank` is the class for "no label". The mean is of each loss over its target's
    length, then over the batch. `zero_infinity` makes the loss of targets that do not fit, and its gradient, 0.
    The gradient is that of inputs normalised by log_softmax; there is none of second order, as in PyTorch.
    RuntimeError where shapes, lengths and `blank` do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.ctc_loss.html

    >>> import flambeau as torch
    >>> logs = torch.zeros(4, 1, 3).log_softmax(2)
    >>> torch.nn.functional.ctc_loss(logs, torch.tensor([[1, 2]]), (4,), (2,), reduction="sum")
    tensor(1.6864)
    """
    reduction = checked_reduction("ctc_loss", reduction)
    single = log_probs.dim() == 2
    if single:
        log_probs = log_probs.unsqueeze(1)
    if log_probs.dim() != 3:
        raise ShapeError(f"ctc_loss: Expected 3-dimensional tensor, but got {log_probs.dim()}-dimensional tensor for "
                         "argument #1 'log_probs'; it is (time, batch, classes)")
    if not log_probs._kind.dtype.is_floating_point:
        raise UnsupportedDtypeError(f"ctc_loss: \"ctc_loss\" not implemented for "
                                    f"'{_faces.scalar_name(log_probs._kind.dtype)}'; convert log_probs to floats")
    time, batch, classes = log_probs._array.shape
    if not log_probs.numel():
        raise ArgumentError(f"ctc_loss: log_probs tensor must not be empty; given: {list(log_probs._array.shape)}")
    inputs = _as_lengths("input_lengths", input_lengths, batch)
    lengths = _as_lengths("target_lengths", target_lengths, batch)
    if not 0 <= blank < classes:
        raise ArgumentError(f"ctc_loss: blank must be in label range; given: {blank} of {classes} classes")
    _check_range("input_lengths", inputs, time)
    _check_range("target_lengths", lengths)
    labels = _labels(targets, lengths)
    on = log_probs.device
    found = tensor(lengths, device=on)
    losses = _ctc_loss_forward(log_probs, labels, tensor(inputs, device=on), found, int(blank), bool(zero_infinity))[0]
    if zero_infinity:
        losses = losses.new_zeros(()).where(losses == float("inf"), losses)
    if reduction == "mean":
        return (losses / found.clamp(min=1).to(losses._kind.dtype)).mean()
    return losses.squeeze(0) if single and reduction == "none" else reduced(losses, reduction)


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
