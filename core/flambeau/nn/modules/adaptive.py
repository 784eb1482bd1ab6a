"""Adaptive softmax: for very many classes of which few are frequent.

The frequent classes stand in the head, with one entry for each cluster of rarer ones; the words of a cluster are told
apart by a smaller projection of the input, computed only for the samples whose target is in the cluster. Source: Grave
et al., "Efficient softmax approximation for GPUs", 2017.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from flambeau.errors import ArgumentError, ArgumentValueError
from flambeau.nn import functional as F
from flambeau.nn.modules.container import ModuleList, Sequential
from flambeau.nn.modules.linear import Linear
from flambeau.nn.modules.module import Module
from flambeau.ops.joining import cat
from flambeau.tensor import Tensor

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probability of the target class among many classes, and the mean loss.

    Args:
        in_features: size of the input's last dimension.
        n_classes: number of classes, numbered from the most frequent on.
        cutoffs: where the clusters begin: increasing numbers from 1 to ``n_classes - 1``.
        div_value: by which the projection shrinks from cluster to cluster.
        head_bias: whether the head has a bias.
        device: where the parameters live.
        dtype: the parameters' dtype.

    Shapes: input (N, in_features) or (in_features), targets (N) or (). Raises ValueError for other cutoffs.

    >>> import flambeau as torch
    >>> layer = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs=[5, 10])
    >>> layer(torch.zeros(3, 16), torch.tensor([0, 7, 19])).output
    tensor([-1.9459, -3.5553, -4.2485], grad_fn=<AddBackward0>)
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        _check_cutoffs(cutoffs, n_classes)
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for number, (low, high) in enumerate(pairwise(self.cutoffs), 1):
            width = int(in_features // div_value**number)
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, device=device, dtype=dtype),
                    Linear(width, high - low, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw the starting values."""
        self.head.reset_parameters()
        for layer in self.tail.modules():
            if isinstance(layer, Linear):
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> Any:
        """``(output, loss)``: the log-probability of each target, and minus their mean.

        Raises RuntimeError where shapes do not fit or a target is outside the range.
        """
        _check_shapes(input_, target_)
        alone = target_.dim() == 0
        input, target = (input_.unsqueeze(0), target_.unsqueeze(0)) if alone else (input_, target_)
        output = self._target_log_prob(input, target)
        loss = (-output).mean()
        return _ASMoutput(output.squeeze(0) if alone else output, loss)

    def _target_log_prob(self, input: Tensor, target: Tensor) -> Tensor:
        found = input.new_zeros(target.size(0))   # what the clusters say
        entries = target.clone()                  # the entry of the head
        seen = int((target < self.shortlist_size).sum()) - int((target < 0).sum())
        for number, (low, high) in enumerate(pairwise(self.cutoffs)):
            rows = ((target >= low) & (target < high)).nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            seen += rows.numel()
            logs = F.log_softmax(self.tail[number](input.index_select(0, rows)), dim=1)
            within = logs.gather(1, (target.index_select(0, rows) - low).unsqueeze(1)).squeeze(1)
            found = found.index_copy(0, rows, within)
            entries = entries.index_fill(0, rows, self.shortlist_size + number)
        if seen != target.size(0):
            raise ArgumentError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{target.min().item()}, "
                f"{target.max().item()}] were found. "
            )
        return found + F.log_softmax(self.head(input), dim=1).gather(1, entries.unsqueeze(1)).squeeze(1)

    def _get_full_log_prob(self, input: Tensor, head_output: Tensor) -> Tensor:
        """The log-probabilities of all classes, from the input and the head's output."""
        head = F.log_softmax(head_output, dim=1)
        parts = [head[:, : self.shortlist_size]]
        for number in range(self.n_clusters):
            logs = F.log_softmax(self.tail[number](input), dim=1)
            parts.append(logs + head[:, self.shortlist_size + number].unsqueeze(1))
        return cat(parts, 1)

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all classes: (N, in_features) to (N, n_classes).

        >>> import flambeau as torch
        >>> layer = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs=[5, 10])
        >>> round(layer.log_prob(torch.zeros(1, 16)).exp().sum().item(), 4)
        1.0
        """
        return self._get_full_log_prob(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each sample: (N, in_features) to (N).

        The clusters are computed only for samples that the head gives to one of them.

        >>> import flambeau as torch
        >>> torch.nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs=[5, 10]).predict(torch.zeros(1, 16))
        tensor([0])
        """
        head_output = self.head(input)
        best = head_output.argmax(dim=1)
        rare = best >= self.shortlist_size
        if not bool(rare.any()):
            return best
        if bool(rare.all()):
            return self._get_full_log_prob(input, head_output).argmax(dim=1)
        best[rare] = self._get_full_log_prob(input[rare], head_output[rare]).argmax(dim=1)
        return best


def _check_cutoffs(cutoffs: list[int], classes: int) -> None:
    if not cutoffs:
        raise ArgumentValueError("cutoffs should be a sequence of length larger than 0")
    if any(int(each) != each for each in cutoffs) or any(a >= b for a, b in pairwise([0, *cutoffs, classes])):
        raise ArgumentValueError(
            "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value "
            f"is between 1 and n_classes-1; given: {cutoffs} of {classes} classes"
        )


def _check_shapes(input: Tensor, target: Tensor) -> None:
    if target.dim() > 1:
        raise ArgumentError("0D or 1D target tensor expected, multi-target not supported")
    if target.dim() == 1 and input.size(0) != target.size(0):
        raise ArgumentError("Input and target should have the same size in the batch dimension.")
    if input.dim() != target.dim() + 1:
        raise ArgumentError(
            f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but found inputs with size "
            f"{input.size()}"
        )
