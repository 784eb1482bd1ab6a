"""Process-wide settings that PyTorch has at its top level and that change little or nothing here.

Most are only kept and given back, so that programs which set them run on. What float32 arithmetic may give up for
speed PyTorch has three ways to say (`allow_tf32`, `set_float32_matmul_precision` and the newer `fp32_precision`), which
see one another: here all of them are views of one table. A backend reads what comes out of it, and the other switches
of `torch.backends`, from the slots of `matmul` and `convolution`, which costs an attribute per call:

>>> from flambeau import settings
>>> settings.matmul.tf32, settings.convolution.tf32
(False, True)

They are permissions: a device without such a format computes with all bits.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

from flambeau import discovery
from flambeau.errors import ArgumentError, ArgumentTypeError, UnsupportedError, message

_threads: dict[str, int] = {}
_state: dict[str, Any] = {"deterministic": False}


def get_num_threads() -> int:
    """How many threads operators may use: what `set_num_threads` was told, else the number of processors.

    >>> import flambeau as torch
    >>> torch.get_num_threads() >= 1
    True
    """
    return _threads.get("intra", os.cpu_count() or 1)


def set_num_threads(num: int) -> None:
    """Let an operator on the host use up to `num` threads; small ones use one in any case.

    >>> import flambeau as torch
    >>> torch.set_num_threads(torch.get_num_threads())
    """
    _set_threads("intra", num)
    discovery.host().set_threads(num)


def get_num_interop_threads() -> int:
    """How many operators may run side by side: what `set_num_interop_threads` was told, else the processors."""
    return _threads.get("inter", os.cpu_count() or 1)


def set_num_interop_threads(num: int) -> None:
    """Keep a wish for the number of operators that run side by side."""
    _set_threads("inter", num)


def _set_threads(which: str, num: int) -> None:
    if not isinstance(num, int) or num <= 0:
        raise ArgumentError(message("set_num_threads", "expects a positive integer", given=repr(num)))
    _threads[which] = num


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Keep the wish for deterministic algorithms; on the host all of them are."""
    _state["deterministic"] = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was told."""
    return bool(_state["deterministic"])


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by level: 0 or "default" is off, the others on."""
    _state["deterministic"] = debug_mode not in (0, "default")


def set_flush_denormal(mode: bool) -> bool:
    """Whether denormal numbers could be set to be flushed to zero: they cannot."""
    return False


def compiled_with_cxx11_abi() -> bool:
    """There is no C++ here; True, which is what programs hope for."""
    return True


def typename(obj: Any) -> str:
    """The full name of an object's type; of a tensor, that of `x.type()`.

    >>> import flambeau as torch
    >>> torch.typename(torch.ones(1)), torch.typename(1)
    ('torch.FloatTensor', 'int')
    """
    from flambeau.tensor import Tensor
    if isinstance(obj, Tensor):
        return str(obj.type())
    cls = type(obj)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def compile(model: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Not there yet. UnsupportedError (a NotImplementedError)."""
    raise UnsupportedError(message("compile", "programs cannot be compiled yet",
                                   next_step="call the function or module itself: it gives the same results"))


# ------------------------------------------------------------------------------------ precision: what backends read
Place = tuple[str, str]   # of whom ("generic", "device" or "host"), of what ("all", "matmul", "conv", "rnn")


class Matmul:
    """What products of matrices may do: read by backends, written by this module."""

    __slots__ = ("bf16_reduced", "bf16_split_k", "fp16_accumulation", "fp16_reduced", "fp16_split_k", "tf32")

    def __init__(self) -> None:
        self.tf32 = False                # float32 operands may be rounded to TF32's 10 bits
        self.fp16_reduced = True         # sums of float16 products may be put together in float16
        self.fp16_split_k = True         # ... by parts of the inner dimension
        self.bf16_reduced = True         # likewise of bfloat16
        self.bf16_split_k = True
        self.fp16_accumulation = False   # sums of float16 products may be float16 throughout


class Convolution:
    """What convolutions may do: read by backends, written by this module and the switches of `torch.backends.cudnn`."""

    __slots__ = ("benchmark", "benchmark_limit", "depthwise_kernel", "deterministic", "enabled", "rnn_tf32", "tf32")

    def __init__(self) -> None:
        self.tf32 = True
        self.rnn_tf32 = True
        self.enabled = True              # the vendor's library may be used
        self.benchmark = False           # its algorithms may be tried out
        self.benchmark_limit = 10
        self.deterministic = False
        self.depthwise_kernel = "auto"


class Attention:
    """What programs say of the ways to compute attention, of which a device has one."""

    __slots__ = ("fastpath", "kernels")

    def __init__(self) -> None:
        self.kernels = {"cudnn": True, "flash": True, "mem_efficient": True, "math": True, "overrideable": True}
        self.fastpath = True             # padding may give zeros in `nn.TransformerEncoder` outside of training


matmul = Matmul()
convolution = Convolution()
attention = Attention()

_ALLOWED = {"generic": ("ieee", "tf32", "bf16", "none"), "device": ("ieee", "tf32", "none"),
            "host": ("ieee", "tf32", "bf16", "none")}
_CONVOLUTIONS = (("device", "conv"), ("device", "rnn"))


class _Table:
    """What the program has said, of each place; "none" is nothing, and the next wider place decides."""

    def __init__(self) -> None:
        self.said: dict[Place, str] = {}
        self.matmul = "highest"          # by the older functions
        self.convolutions_tf32 = True    # by the older switch

    def get(self, place: Place) -> str:
        """What holds in a place."""
        for each in (place, (place[0], "all"), ("generic", "all")):
            found = self.said.get(each, "none")
            if found != "none":
                return found if found in _ALLOWED[place[0]] else "none"
        return "tf32" if place in _CONVOLUTIONS and place not in self.said else "none"

    def set(self, places: tuple[Place, ...], value: str) -> None:
        """Say something of places, and let the slots that backends read know it."""
        self.said.update(dict.fromkeys(places, value))
        matmul.tf32 = self.get(("device", "matmul")) == "tf32"
        convolution.tf32, convolution.rnn_tf32 = (self.get(each) == "tf32" for each in _CONVOLUTIONS)


_table = _Table()


# -------------------------------------------------------------------------------------- precision: the newer switch
def fp32_precision(place: Place) -> str:
    """What is allowed in a place: "ieee", "tf32", "bf16", or "none" where nothing was said."""
    return _table.get(place)


def set_fp32_precision(place: Place, value: str) -> None:
    """Allow something in a place. RuntimeError for what is no precision, or none that the place can have."""
    if value not in _ALLOWED["generic"]:
        raise ArgumentError(message("fp32_precision", f"Unknown precision: {value}",
                                    allowed=", ".join(map(repr, _ALLOWED[place[0]]))))
    if value not in _ALLOWED[place[0]]:
        raise ArgumentError(message("fp32_precision", f"an accelerator does not support precision {value!r}",
                                    allowed=", ".join(map(repr, _ALLOWED[place[0]]))))
    _table.set((place,), value)


# ---------------------------------------------------------------------------------------- precision: the older ones
_MIXED = "older and newer ways to set the precision were mixed, and say different things"
_MEND = "set torch.backends.cuda.matmul.fp32_precision and torch.backends.cudnn.conv.fp32_precision only"


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was told; "highest" at first. RuntimeError where `fp32_precision` says
    something else.

    >>> import flambeau as torch
    >>> torch.get_float32_matmul_precision()
    'highest'
    """
    said, host = _table.matmul, _table.get(("host", "matmul"))
    wrong = said == "highest" and _table.get(("device", "matmul")) == "tf32"
    if wrong or (host == "bf16" and said != "medium") or (host == "tf32" and said != "high"):
        raise ArgumentError(message("get_float32_matmul_precision", _MIXED, next_step=_MEND))
    return said


def set_float32_matmul_precision(precision: str) -> None:
    """How precisely matrices of float32 must be multiplied: "highest" (all bits), "high" (TF32 will do) or "medium".

    Devices that have nothing faster compute with all bits. Anything else changes nothing, with a warning.

    >>> import flambeau as torch
    >>> torch.set_float32_matmul_precision("high")
    >>> torch.backends.cuda.matmul.allow_tf32
    True
    >>> torch.set_float32_matmul_precision("highest")
    """
    if not isinstance(precision, str):
        raise ArgumentError(f"set_float32_matmul_precision expects a str, but got {type(precision).__name__}")
    if precision not in ("highest", "high", "medium"):
        warnings.warn(f"set_float32_matmul_precision: {precision} is not one of 'highest', 'high', or 'medium'; the "
                      "call has no effect", UserWarning, stacklevel=2)
        return
    _table.matmul = precision
    _table.set((("device", "matmul"),), "ieee" if precision == "highest" else "tf32")
    _table.set((("host", "matmul"),), {"highest": "ieee", "high": "tf32", "medium": "bf16"}[precision])


def matmul_allows_tf32() -> bool:
    """`torch.backends.cuda.matmul.allow_tf32`. RuntimeError where `fp32_precision` says something else."""
    allowed = _table.get(("device", "matmul")) == "tf32"
    if allowed != (_table.matmul != "highest"):
        raise ArgumentError(message("allow_tf32", _MIXED, next_step=_MEND))
    return allowed


def allow_matmul_tf32(value: bool) -> None:
    """Set it, and with it what `get_float32_matmul_precision` gives."""
    as_bool(value, "set_allow_tf32_cublas")
    _table.matmul = "high" if value else "highest"
    _table.set((("device", "matmul"),), "tf32" if value else "ieee")


def convolutions_allow_tf32() -> bool:
    """`torch.backends.cudnn.allow_tf32`. RuntimeError where `fp32_precision` says something else."""
    allowed = {_table.get(each) == "tf32" for each in _CONVOLUTIONS}
    if allowed != {_table.convolutions_tf32}:
        raise ArgumentError(message("cudnn.allow_tf32", _MIXED, next_step=_MEND))
    return _table.convolutions_tf32


def allow_convolution_tf32(value: bool) -> None:
    """Set it."""
    _table.convolutions_tf32 = as_bool(value, "set_allow_tf32_cudnn")
    _table.set(_CONVOLUTIONS, "tf32" if value else "none")


def as_bool(value: Any, what: str) -> bool:
    """The value of a switch. RuntimeError if it is no bool, as in PyTorch."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{what} expects a bool, but got {type(value).__name__}")
    return value


def reduction(value: Any, what: str) -> tuple[bool, bool]:
    """Whether partial sums may have fewer bits, and whether the inner dimension may be split: from a bool or two.
    TypeError for anything else."""
    given = (value,) if isinstance(value, bool) else value
    if not isinstance(given, (tuple, list)) or not 1 <= len(given) <= 2 or not all(
            isinstance(each, bool) for each in given):
        raise ArgumentTypeError(message(what, "expects a bool, or a tuple of one or two", given=repr(value)))
    reduced, split_k = given[0], given[1] if len(given) == 2 else True
    if reduced and not split_k:
        raise ArgumentError(message(what, "allow_splitk=False is not supported when reduced precision reductions are "
                                    "enabled", given=repr(value), allowed="True, False, (False, False)"))
    return reduced, split_k
