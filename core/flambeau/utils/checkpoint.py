"""Trading compute for memory: forget what a function saved for backward, and run it again when it is needed.

The graph of the first run stays (so gradients reach whatever the function closes over); only the saved tensors are
dropped. The first one that backward asks for runs the function again and collects what that run saves, in the same
order. The random state is restored for the second run, so dropout drops the same elements; autocast is as it was.
Source: https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

from flambeau import random, walk
from flambeau.amp import state as autocast_state
from flambeau.autograd.function import Function
from flambeau.autograd.grad_mode import enable_grad
from flambeau.autograd.graph import saved_tensors_hooks
from flambeau.errors import ArgumentValueError, GraphError
from flambeau.tensor import Tensor


class CheckpointError(GraphError):
    """The second run of a checkpointed function did something else than the first."""


class _EnoughError(Exception):
    """Stops the second run once it has saved what is asked for."""


class _Frame:
    """One checkpointed call: how to run it again, and what that saved."""

    def __init__(self, run: Callable[[], Any], preserve_rng_state: bool, early_stop: bool) -> None:
        self.run = run
        self.state = random.default_states() if preserve_rng_state else None
        self.autocast = autocast_state.again()
        self.early_stop = early_stop
        self.shapes: list[Any] = []
        self.again: list[Tensor] | None = None

    def pack(self, tensor: Tensor) -> int:
        """Forget a tensor that the first run saves; its number is all that stays."""
        self.shapes.append((tensor.shape, tensor.dtype))
        return len(self.shapes) - 1

    def unpack(self, number: int) -> Tensor:
        """The tensor of that number, from a second run."""
        if self.again is None:
            self.again = []
            self._run_again(self.again)
        found = self.again[number]
        if (found.shape, found.dtype) != self.shapes[number]:
            raise CheckpointError(f"checkpoint: tensor {number} saved for backward differs between the two runs; "
                                  f"first: {self.shapes[number]}, then: {(found.shape, found.dtype)}")
        return found

    def _run_again(self, collected: list[Tensor]) -> None:
        def collect(tensor: Tensor) -> Tensor:
            collected.append(tensor.detach())
            if self.early_stop and len(collected) == len(self.shapes):
                raise _EnoughError
            return collected[-1]

        with random.fork_rng(enabled=self.state is not None):
            if self.state is not None:
                random.set_default_states(self.state)
            try:
                with enable_grad(), self.autocast(), saved_tensors_hooks(collect, lambda kept: kept):
                    self.run()
            except _EnoughError:
                pass  # everything asked for was collected
        if len(collected) != len(self.shapes):
            raise CheckpointError(f"checkpoint: a different number of tensors was saved in the two runs: "
                                  f"{len(self.shapes)}, then {len(collected)}; the function must do the same twice")


class _Reentrant(Function):
    """The older way: no graph in the first run, a walk inside the walk in the second."""

    @staticmethod
    def forward(ctx: Any, run: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        ctx.run, ctx.args = run, args
        ctx.state = random.default_states() if preserve else None
        ctx.autocast = autocast_state.again()
        return run(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        inputs = [each.detach().requires_grad_(each.requires_grad) if isinstance(each, Tensor) else each
                  for each in ctx.args]
        with random.fork_rng(enabled=ctx.state is not None), enable_grad(), ctx.autocast():
            if ctx.state is not None:
                random.set_default_states(ctx.state)
            outputs = ctx.run(*inputs)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        wanted = [(output, grad) for output, grad in zip(outputs, grads, strict=True)
                  if isinstance(output, Tensor) and output.requires_grad]
        if not wanted:
            raise GraphError("none of output has requires_grad=True, this checkpoint() is not necessary")
        walk.backward([output for output, _ in wanted], [grad for _, grad in wanted])
        return (None, None, *(each.grad if isinstance(each, Tensor) else None for each in inputs))


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None,
               context_fn: Callable[[], tuple[Any, Any]] | None = None, determinism_check: str = "default",
               debug: bool = False, early_stop: bool = True, preserve_rng_state: bool = True, **kwargs: Any) -> Any:
    """Run `function(*args, **kwargs)` without keeping what it saves for backward.

    `use_reentrant=False` (the default here) keeps the graph and supports everything backward does; True is the older
    form for tensor arguments. `context_fn` gives two context managers, for the first and the second run.

    >>> import flambeau as torch
    >>> from flambeau.utils.checkpoint import checkpoint
    >>> x = torch.ones(2, requires_grad=True)
    >>> checkpoint(lambda t: (t * 2).tanh(), x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([0.1413, 0.1413])
    """
    for each in (*args, *kwargs.values()):
        if preserve_rng_state and isinstance(each, Tensor):
            random.default_of(each.device)   # it shall exist, so that its state is kept with the others'
    if use_reentrant:
        if kwargs or context_fn is not None:
            raise ArgumentValueError("checkpoint: keyword arguments and context_fn need use_reentrant=False; "
                                     f"given: {', '.join(kwargs) or 'context_fn'}")
        return _Reentrant.apply(function, preserve_rng_state, *args)
    first, second = (nullcontext(), nullcontext()) if context_fn is None else context_fn()

    def again() -> Any:
        with second:
            return function(*args, **kwargs)

    frame = _Frame(again, preserve_rng_state, early_stop)
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None,
                          **kwargs: Any) -> Any:
    """Run a chain of modules in `segments` pieces, each but the last checkpointed."""
    modules: Sequence[Callable[..., Any]] = list(functions.children()) if hasattr(functions, "children") \
        else list(functions)
    size = max(len(modules) // segments, 1)
    starts = [size * index for index in range(segments)]
    bounds = [*starts[:segments], len(modules)]

    def piece(low: int, high: int) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for module in modules[low:high]:
                value = module(value)
            return value
        return run

    for low, high in pairwise(bounds[:-1]):
        input = checkpoint(piece(low, high), input, use_reentrant=use_reentrant, **kwargs)
    return piece(bounds[-2], bounds[-1])(input)
