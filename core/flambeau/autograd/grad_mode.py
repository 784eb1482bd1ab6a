"""Switching recording on and off, for a block, a function, or from here on.

Each is a context manager and a decorator (of generators, too). The switch is per thread.
Source: https://docs.pytorch.org/docs/stable/autograd.html#locally-disabling-gradient-computation
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from flambeau.dispatch.modes import Mode
from flambeau.graph import STATE
from flambeau.registry import OpDef
from flambeau.tensor import Tensor


class _Switch:
    """A context manager that sets `STATE.enabled`; as a decorator, it does so for each call."""

    wanted = False

    def __new__(cls, function: Any = None, *args: Any) -> Any:
        self = object.__new__(cls)
        if callable(function):  # used as a decorator without parentheses
            return self(function)
        return self

    def __enter__(self) -> None:
        self._before = STATE.enabled
        STATE.enabled = self.wanted

    def __exit__(self, *exc: object) -> None:
        STATE.enabled = self._before

    def _again(self) -> _Switch:
        """A fresh instance for one call of a decorated function."""
        return object.__new__(type(self))

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(function, type):
            raise TypeError(f"{type(self).__name__} decorates functions, not classes; given: {function.__name__}")
        import functools
        import inspect
        if inspect.isgeneratorfunction(function):
            return functools.wraps(function)(lambda *args, **kwargs: _stepwise(self, function(*args, **kwargs)))

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)
        return call


def _stepwise(switch: _Switch, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a generator with the switch set only while it runs, not while its caller does."""
    sent: Any = None
    try:
        while True:
            with switch._again():
                try:
                    value = generator.send(sent)
                except StopIteration as stop:
                    return stop.value
            try:
                sent = yield value
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever is thrown in goes on into the generator
                with switch._again():
                    try:
                        value = generator.throw(error)
                    except StopIteration as stop:
                        return stop.value
                sent = yield value
    finally:
        generator.close()


class no_grad(_Switch):  # noqa: N801 - PyTorch's name
    """No recording inside.

    >>> import flambeau as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.no_grad():
    ...     (x * 2).requires_grad
    False
    """


class enable_grad(_Switch):  # noqa: N801 - PyTorch's name
    """Recording inside, also within `no_grad`.

    >>> import flambeau as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.no_grad(), torch.enable_grad():
    ...     (x * 2).requires_grad
    True
    """

    wanted = True


class set_grad_enabled(_Switch):  # noqa: N801 - PyTorch's name
    """Recording on or off, from the call on, and until the end of the block if there is one.

    >>> import flambeau as torch
    >>> with torch.set_grad_enabled(False):
    ...     torch.is_grad_enabled()
    False
    """

    def __new__(cls, mode: bool) -> Any:
        self = object.__new__(cls)
        self.wanted = bool(mode)
        self._before = STATE.enabled
        STATE.enabled = self.wanted
        return self

    def __enter__(self) -> None:
        STATE.enabled = self.wanted

    def _again(self) -> set_grad_enabled:
        again = object.__new__(set_grad_enabled)
        again.wanted, again._before = self.wanted, STATE.enabled
        return again

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        STATE.enabled = self._before  # a decorator leaves the present setting alone
        return _Switch.__call__(self, function)


def is_grad_enabled() -> bool:
    """Whether operators are recorded in this thread."""
    return STATE.enabled


class _MarkInference(Mode):
    """Marks what is made under `inference_mode`."""

    def intercept(self, record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = call(*args, **kwargs)
        if not STATE.inference:  # switched off again, within
            return result
        for each in result if isinstance(result, tuple) else (result,):
            if isinstance(each, Tensor) and not any(each is arg for arg in args):
                base = each._base  # a view of a normal tensor is a normal tensor
                each._inference = base is None or base._inference
        return result


class inference_mode(_Switch):  # noqa: N801 - PyTorch's name
    """`no_grad`, and what is made inside says so by `is_inference()` and is refused where a gradient needs it later.

    >>> import flambeau as torch
    >>> with torch.inference_mode():
    ...     y = torch.ones(2) * 2
    >>> y.is_inference(), y.requires_grad
    (True, False)
    """

    mode: bool

    def __new__(cls, mode: Any = True) -> Any:
        self = object.__new__(cls)
        self.mode = True if callable(mode) else bool(mode)
        return self(mode) if callable(mode) else self

    def __enter__(self) -> None:
        self._states = STATE.enabled, STATE.inference
        STATE.enabled = not self.mode  # False switches recording on, whatever is around
        STATE.inference = self.mode
        self._marker = _MarkInference() if self.mode else None
        if self._marker is not None:
            self._marker.__enter__()

    def __exit__(self, *exc: object) -> None:
        if self._marker is not None:
            self._marker.__exit__()
        STATE.enabled, STATE.inference = self._states

    def _again(self) -> inference_mode:
        again = object.__new__(inference_mode)
        again.mode = self.mode
        return again


def is_inference_mode_enabled() -> bool:
    """Whether `inference_mode` is on in this thread."""
    return STATE.inference
