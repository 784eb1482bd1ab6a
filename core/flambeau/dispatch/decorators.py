"""The decorators that turn a function into an operator's record.

Each gives back the callable that people use; the record is its attribute `op`. What the function's body means differs::

    @unary, @binary, @pointwise    no body: the scalar expression is in `expr`, or the body is a decomposition
    @view                          the body computes (shape, strides, offset) from those of the input
    @views                         the body lists the (record, arguments) of the views it gives
    @primitive                     the body checks the arguments and gives the result's shape: it runs only to explain
                                   an error, and where shapes are wanted without data
    @operator                      the body is the decomposition into other operators
    @front(core)                   the public face of one of the above: handles arguments, calls the core
    @composite                     the body is all there is; it handles arguments and calls operators

A leading underscore of the function's name does not belong to the operator's name: `_sum` is the core of `sum`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.dispatch import modes, policies
from flambeau.dispatch.inplace import bind_inplace, bind_inplace_composite, bind_inplace_operator
from flambeau.dispatch.pointwise import arithmetic, bind_binary, bind_pointwise, bind_unary
from flambeau.dispatch.run import bind, write_outs
from flambeau.dispatch.views import bind_view, bind_views
from flambeau.registry import ALIASES, OpDef, announce, register

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]

ACTIVE = modes.ACTIVE
STACK = modes.STACK


def publish(record: OpDef, call: Function) -> Function:
    """Enter a record in the table and dress its callable: name, documentation, signature."""
    register(record)
    record.call = record.public = call
    function = record.function
    call.__name__ = call.__qualname__ = record.name
    call.__doc__ = function.__doc__
    call.__module__ = function.__module__
    call.__wrapped__ = function  # type: ignore[attr-defined]  # what inspect.signature shows
    call.op = record  # type: ignore[attr-defined]
    return call


def _name(function: Function, options: dict[str, Any]) -> str:
    """The operator's name: the option `name`, or the function's without a leading underscore."""
    return str(options.pop("name", function.__name__.removeprefix("_")))


def _has_body(function: Function) -> bool:
    """Whether a function does anything but carry a docstring."""
    constants = [each for each in function.__code__.co_consts if each is not None and each is not function.__doc__]
    return bool(constants or function.__code__.co_names or len(function.__code__.co_code) > _EMPTY)


def _nothing(input: Any) -> None:
    """Nothing."""


_EMPTY = len(_nothing.__code__.co_code)


def _pointwise(binder: Callable[[OpDef], Function], family: str, options: dict[str, Any]) -> Decorator:
    options.setdefault("promote", arithmetic)
    options.setdefault("inplace", True)

    def decorate(function: Function) -> Function:
        record = OpDef(_name(function, options), family, function,
                       decomposition=function if _has_body(function) else None, **options)
        call = publish(record, binder(record))
        if record.inplace:
            record.inplace_call = bind_inplace(record)
        announce(record)
        return call
    return decorate


def unary(**options: Any) -> Decorator:
    """A pointwise operator of one tensor."""
    return _pointwise(bind_unary, "unary", options)


def binary(**options: Any) -> Decorator:
    """A pointwise operator of two operands, either of which may be a Python number."""
    return _pointwise(bind_binary, "binary", options)


def pointwise(**options: Any) -> Decorator:
    """A pointwise operator of any number of operands."""
    return _pointwise(bind_pointwise, "pointwise", options)


def view(**options: Any) -> Decorator:
    """A view of one tensor."""
    def decorate(function: Function) -> Function:
        record = OpDef(_name(function, options), "view", function, **options)
        call = publish(record, bind_view(record))
        announce(record)
        return call
    return decorate


def views(**options: Any) -> Decorator:
    """Several views of one tensor."""
    def decorate(function: Function) -> Function:
        record = OpDef(_name(function, options), "views", function, **options)
        call = publish(record, bind_views(record))
        announce(record)
        return call
    return decorate


def primitive(**options: Any) -> Decorator:
    """An operator that every backend owes a kernel for."""
    def decorate(function: Function) -> Function:
        record = OpDef(_name(function, options), "primitive", function, shape_rule=function, **options)
        record.inplace_call = bind_inplace_operator(record) if record.inplace else None
        call = publish(record, bind(record))
        announce(record)
        return call
    return decorate


def operator(**options: Any) -> Decorator:
    """An operator with a decomposition; a backend may have a kernel for it."""
    def decorate(function: Function) -> Function:
        record = OpDef(_name(function, options), "operator", function, decomposition=function, **options)
        record.inplace_call = bind_inplace_operator(record) if record.inplace else None
        call = publish(record, bind(record))
        announce(record)
        return call
    return decorate


def composite(**options: Any) -> Decorator:
    """A function of other operators, with `out=` if `out=True`, an in-place form if `inplace=True`."""
    has_out = options.pop("out", False)

    def decorate(function: Function) -> Function:
        record = OpDef(_name(function, options), "composite", function, decomposition=function,
                       **options)
        record.inplace_call = bind_inplace_composite(record) if record.inplace else None
        call = _entrance(record, function, has_out)
        if call is not function:
            publish(record, call)
        else:
            register(record)
            record.call = record.public = function
            function.op = record  # type: ignore[attr-defined]
        announce(record)
        return call
    return decorate


def front(core: Function, *, out: bool = False) -> Decorator:
    """The public face of an operator whose canonical arguments are not what people write.

    The core keeps the record; the function decorated here becomes what `torch.<name>` and the method are, fills in
    and wraps arguments, and calls the core. With `out=True` it gets the keyword `out`.
    """
    record: OpDef = core.op  # type: ignore[attr-defined]

    def decorate(function: Function) -> Function:
        call = _entrance(record, function, out)
        if call is not function:
            call.__name__ = call.__qualname__ = function.__name__
            call.__doc__, call.__module__ = function.__doc__, function.__module__
            call.__wrapped__ = function  # type: ignore[attr-defined]
        record.public = call
        record.doc = function.__doc__ or ""
        call.op = record  # type: ignore[attr-defined]
        announce(record)
        return call
    return decorate


def _entrance(record: OpDef, function: Function, has_out: bool) -> Function:
    """What is called for a face or a composite: with `out=`, with a way through modes, or the function itself."""
    listed = record.name in policies.LISTED

    def call_with_out(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if ACTIVE and listed and STACK.modes:
            result = modes.through_face(record, call_with_out, args, {"out": out, **kwargs})
            if result is not NotImplemented:
                return result
        result = function(*args, **kwargs)
        return result if out is None else write_outs(record.name, out, result)

    def call(*args: Any, **kwargs: Any) -> Any:
        if ACTIVE and STACK.modes:
            result = modes.through_face(record, call, args, kwargs)
            if result is not NotImplemented:
                return result
        return function(*args, **kwargs)

    return call_with_out if has_out else call if listed else function


def alias(name: str, call: Function) -> Function:
    """Another name for an operator, as function and method: `absolute = alias("absolute", abs)`."""
    ALIASES[name] = call.op  # type: ignore[attr-defined]
    return call
