"""Programs: families of kernels in one text, built when one of them is first launched."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Sequence
from string import Template
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from flambeau_clike.device import Device


class Family:
    """Kernels that differ in a few words, such as types: `template` is rendered for each combination of `over`.

    `over` lists (placeholder, words); a template names its kernel `$NAME`. All kernels of a family
    make one program, for building costs most drivers far more per program than per kernel (see `Programs.apart`).
    `shared` is text before them. `only` says which combinations there are; those with `f64` or `c128` are left out on
    devices without them.
    """

    def __init__(self, name: str, template: str, over: Sequence[tuple[str, Sequence[str]]] = (), *, shared: str = "",
                 only: Callable[..., bool] | None = None) -> None:
        self.name, self.shared = name, shared
        self._template, self._over, self._only = Template(template), tuple(over), only

    def kernel_name(self, words: tuple[str, ...]) -> str:
        """The name of one kernel."""
        return "_".join((self.name, *words))

    def text(self, fp64: bool, only: tuple[str, ...] | None = None) -> str:
        """The program, or the part of it that has one kernel: words beyond those of `over` name kernels of one text."""
        names = [name for name, _ in self._over]
        parts = [self.shared]
        for words in itertools.product(*[words for _, words in self._over]) if only is None else (only[:len(names)],):
            if (fp64 or not {"f64", "c128"} & set(words)) and (self._only is None or self._only(*words)):
                wanted = dict(zip(names, words, strict=True))
                parts.append(self._template.substitute(wanted, NAME=self.kernel_name(words)))
        return "\n".join(parts)


class Programs:
    """The programs of one device, and their kernels. A subclass says how its driver makes a kernel of a text.

    `apart` says that kernels are built one by one: where a compiler works on all that a program has, and a program
    costs it little. Pointwise operators are built by the dtype then.
    """

    apart: ClassVar[bool] = False

    def __init__(self, device: Device) -> None:
        self._device = device
        self.kernels: dict[tuple[Family, tuple[str, ...], bool], Any] = {}
        self._texts: dict[Family, str] = {}
        self.lock = threading.RLock()

    def create(self, text: str, name: str, kernel: str, wide: bool = False, what: str = "") -> Any:
        """A new kernel object of a text's program, which is built if need be; `wide`: with 64-bit indices.

        BackendError with the source and the compiler's log where it does not build. Errors name `what` asked for it.
        The object takes arguments by `set_arg(position, buffer)` and `_set_arg_buf(position, bytes)`.
        """
        raise NotImplementedError

    def kernel(self, family: Family, words: tuple[str, ...], wide: bool = False, what: str = "") -> Any:
        """The kernel of a family, made if need be."""
        key = (family, words, wide)
        found = self.kernels.get(key)
        if found is None:
            with self.lock:
                found = self.kernels.get(key)
                if found is None:
                    text = self._text(family, words)
                    found = self.kernels[key] = self.create(text, family.name, family.kernel_name(words), wide, what)
        return found

    def _text(self, family: Family, words: tuple[str, ...]) -> str:
        fp64 = self._device.traits.fp64
        if self.apart:
            return family.text(fp64, words)
        if family not in self._texts:
            self._texts[family] = family.text(fp64)
        return self._texts[family]


def excerpt(source: str, log: str, around: int = 4, most: int = 3) -> str:
    """A compiler's log, and the lines of the source around the first errors that it names."""
    lines = source.splitlines()
    found = [int(first or second) for first, second in _ERROR.findall(log)]
    shown = [number for number in dict.fromkeys(found) if 0 < number <= len(lines)][:most]
    log = log.partition("Build on ")[2] or log     # what pyopencl puts before it says nothing
    parts = [log if len(log) <= 4000 else log[:4000] + " ..."]
    for number in shown:
        first, last = max(1, number - around), min(len(lines), number + around)
        parts.append(f"source, line {number}:")
        parts += [f"{'>' if each == number else ' '}{each:5d}  {lines[each - 1]}" for each in range(first, last + 1)]
    return "\n".join(parts)


# "<kernel>:12:5: error: ..." is what most compilers write, "error: /tmp/x.cl:12:5: ..." what PoCL does
_ERROR = re.compile(r":(\d+):(?:\d+:)?\s*(?:fatal )?error|error: [^\n:]*:(\d+):")
