"""What the levels about draws, promotion, layers and training share: values on the way to a device and back.

A value goes to the device as NumPy's and comes back as NumPy's, and is compared there: not one of these steps asks the
device under test whether two things are equal. bfloat16, which NumPy does not know, travels as float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import flambeau
from flambeau_conformance.calling import REFUSALS
from flambeau_conformance.levels._shared import dtype_of, raises
from flambeau_conformance.sampling import Value
from flambeau_conformance.tolerance import EXACT, Tolerance, difference

Array = np.ndarray[Any, Any]

# The error of a chain of some dozen operations in a dtype.
STEPS = {"float64": Tolerance(1e-10, 1e-11), "float32": Tolerance(2e-4, 2e-5), "float16": Tolerance(1e-2, 2e-3),
         "bfloat16": Tolerance(6e-2, 1e-2)}
STEPS |= {"complex128": STEPS["float64"], "complex64": STEPS["float32"]}


def put(ctx: Any, array: Any, dtype: Any = None, layout: str = "contiguous") -> flambeau.Tensor:
    """A new tensor with these values on the device under test, cast by NumPy."""
    array = np.asarray(array)
    return ctx.put(Value(array, dtype or dtype_of(array)), layout)


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


def same(actual: Any, expected: Any, what: str) -> None:
    """The very same numbers, a nan being the same as a nan."""
    _compare(actual, expected, what, EXACT)


def near(actual: Any, expected: Any, what: str, dtype: str | None = None, factor: float = 1.0) -> None:
    """The same numbers within the error of a chain of operations in the dtype (by default the result's own)."""
    name = dtype or str(actual.dtype).removeprefix("torch.")
    _compare(actual, expected, what, STEPS[name].times(factor) if name in STEPS else EXACT)


def _compare(actual: Any, expected: Any, what: str, tolerance: Tolerance) -> None:
    found, wanted = (host(each) if hasattr(each, "detach") else np.asarray(each) for each in (actual, expected))
    assert found.shape == wanted.shape, f"{what}: shape {found.shape}, expected {wanted.shape}"
    wrong = difference(found, wanted, tolerance)
    assert wrong is None, f"{what}: {wrong}"


def refused(call: Callable[[], Any], what: str, *errors: type[BaseException]) -> None:
    """The call must raise one of these builtin errors."""
    raises(errors or REFUSALS, call, what)
