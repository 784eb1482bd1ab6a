"""What the levels about draws, promotion, layers and training share: values on the way to a device and back.

A value goes to the device as NumPy's and comes back as NumPy's, and is compared there: not one of these steps asks the
device under test whether two things are equal. bfloat16, which NumPy does not know, travels as float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import flambeau

Array = np.ndarray[Any, Any]

# relative and absolute error of a chain of some dozen operations in this dtype
STEPS = {"float64": (1e-10, 1e-11), "complex128": (1e-10, 1e-11), "float32": (2e-4, 2e-5), "complex64": (2e-4, 2e-5),
         "float16": (1e-2, 2e-3), "bfloat16": (6e-2, 1e-2)}


def numpy_dtype(dtype: Any) -> Any:
    """The NumPy dtype that holds a dtype's values on the host."""
    return np.dtype("float32" if dtype.name == "bfloat16" else dtype.name)


def put(ctx: Any, array: Any, dtype: Any = None) -> flambeau.Tensor:
    """A new tensor with these values on the device under test, cast on the host."""
    value = flambeau.tensor(np.array(array))
    return (value if dtype is None else value.to(dtype)).to(ctx.device)


def host(tensor: Any) -> Array:
    """A tensor's values, Flambeau's or PyTorch's, as a NumPy array of its own."""
    if isinstance(tensor, flambeau.Tensor):
        held = tensor._kind.backend.dtype_of(tensor._array)
        assert held is tensor.dtype, f"a tensor that says it is {tensor.dtype} holds {held}"
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    return np.array(tensor.resolve_conj().resolve_neg().numpy())


def as_torch(ctx: Any, array: Any, dtype: Any = None) -> Any:
    """The same values in PyTorch, on its host."""
    value = ctx.torch.from_numpy(np.array(array))
    return value if dtype is None else value.to(getattr(ctx.torch, dtype.name))


def check_kind(ctx: Any, actual: Any, dtype: str, shape: Any, what: str) -> None:
    """Dtype, shape and device of a result."""
    assert isinstance(actual, flambeau.Tensor), f"{what}: gave {type(actual).__name__}, not a tensor"
    name = str(actual.dtype).removeprefix("torch.")
    assert name == dtype, f"{what}: dtype {name}, expected {dtype}"
    assert tuple(actual.shape) == tuple(shape), f"{what}: shape {tuple(actual.shape)}, expected {tuple(shape)}"
    assert actual.device == ctx.device, f"{what}: on {actual.device}, expected {ctx.device}"


def same(actual: Any, expected: Array, what: str) -> None:
    """The very same numbers, a nan being the same as a nan."""
    found = host(actual) if hasattr(actual, "detach") else np.asarray(actual)
    expected = np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    equal = (found == expected) | ((found != found) & (expected != expected))
    if not equal.all():
        where = np.argwhere(~np.atleast_1d(equal))[0]
        at = tuple(int(each) for each in where)
        raise AssertionError(
            f"{what}: {int((~equal).sum())} of {equal.size} numbers differ, first at {at}: "
            f"{np.atleast_1d(found)[at]!r}, expected {np.atleast_1d(expected)[at]!r}")


def near(actual: Any, expected: Any, what: str, dtype: str | None = None, factor: float = 1.0) -> None:
    """The same numbers within the error of a chain of operations in the dtype (by default the result's own)."""
    found = host(actual) if hasattr(actual, "detach") else np.asarray(actual)
    wanted = host(expected) if hasattr(expected, "detach") else np.asarray(expected)
    name = dtype or (str(actual.dtype).removeprefix("torch.") if hasattr(actual, "detach") else found.dtype.name)
    assert found.shape == wanted.shape, f"{what}: shape {found.shape}, expected {wanted.shape}"
    if name not in STEPS:
        same(found, wanted, what)
        return
    relative, absolute = STEPS[name]
    wide = np.complex128 if found.dtype.kind == "c" or wanted.dtype.kind == "c" else np.float64
    a, b = found.astype(wide), wanted.astype(wide)
    finite = np.isfinite(a) & np.isfinite(b)
    with np.errstate(all="ignore"):
        limit = factor * (absolute + relative * np.abs(b))
        good = np.where(finite, np.abs(a - b) <= limit, (a == b) | (np.isnan(a) & np.isnan(b)))
    if not good.all():
        at = tuple(int(each) for each in np.argwhere(~np.atleast_1d(good))[0])
        raise AssertionError(f"{what}: {int((~good).sum())} of {good.size} numbers are beyond tolerance, first at "
                             f"{at}: {np.atleast_1d(found)[at]!r}, expected {np.atleast_1d(wanted)[at]!r}")


def refused(call: Callable[[], Any], what: str, *errors: type[BaseException]) -> None:
    """The call must raise one of these builtin errors."""
    allowed = errors or (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError)
    try:
        call()
    except allowed:
        return
    raise AssertionError(f"{what}: was accepted, and must raise "
                         f"{' or '.join(each.__name__ for each in errors) or 'an error'}")
