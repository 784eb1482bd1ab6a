"""Programs: families of kernels in one text, built when one of them is first launched."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from string import Template
from typing import TYPE_CHECKING, Any

import pyopencl as cl

from flambeau.ir.dialect import OPENCL
from flambeau.errors import BackendError, message

if TYPE_CHECKING:
    from flambeau_opencl.device import Device


class Family:
    """Kernels that differ in a few words, such as types: `template` is rendered for each combination of `over`.

    `over` lists (placeholder, words); a template names its kernel `$NAME`. Building costs drivers far more per program
    than per kernel, so all kernels of a family make one program. `shared` is text before them. `only` says which
    combinations there are; those with `f64` or `c128` are left out on devices without them.
    """

    def __init__(self, name: str, template: str, over: Sequence[tuple[str, Sequence[str]]] = (), *, shared: str = "",
                 only: Callable[..., bool] | None = None) -> None:
        self.name, self.shared = name, shared
        self._template, self._over, self._only = Template(template), tuple(over), only

    def kernel_name(self, words: tuple[str, ...]) -> str:
        """The name of one kernel."""
        return "_".join((self.name, *words))

    def text(self, fp64: bool) -> str:
        """The program."""
        names = [name for name, _ in self._over]
        parts = [self.shared]
        for words in itertools.product(*[words for _, words in self._over]):
            if (fp64 or not {"f64", "c128"} & set(words)) and (self._only is None or self._only(*words)):
                parts.append(self._template.substitute(dict(zip(names, words, strict=True)),
                                                       NAME=self.kernel_name(words)))
        return "\n".join(parts)


class Programs:
    """The programs of one device, and their kernels."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.built: dict[tuple[str, bool], Any] = {}
        self.kernels: dict[tuple[Family, tuple[str, ...], bool], Any] = {}
        self.lock = threading.RLock()

    def kernel(self, family: Family, words: tuple[str, ...], wide: bool = False) -> Any:
        """A kernel of a family, built if need be; `wide`: with 64-bit indices."""
        key = (family, words, wide)
        found = self.kernels.get(key)
        if found is None:
            program = self.build(family.text(self.device.traits.fp64), family.name, wide)
            found = self.kernels[key] = cl.Kernel(program, family.kernel_name(words))
        return found

    def build(self, text: str, name: str, wide: bool = False) -> Any:
        """The program of a text; BackendError with the source and the compiler's log where it does not build."""
        with self.lock:
            program = self.built.get((text, wide))
            if program is None:
                program = self.built[text, wide] = self._build(text, name, wide)
        return program

    def _build(self, text: str, name: str, wide: bool) -> Any:
        traits = self.device.traits
        options = [*(["-DCHUNKED"] if traits.cpu else []), *(["-DFP64"] if traits.fp64 else []),
                   *(["-DWIDE"] if wide else [])]
        source = OPENCL.header + text
        try:
            return cl.Program(self.device.context, source).build(options=options)
        except cl.RuntimeError as error:
            numbered = "\n".join(f"{number:4d}  {line}" for number, line in enumerate(source.splitlines(), 1))
            raise BackendError(message(f"{name}: the program does not build on {self.device.label}", str(error),
                                       given="\n" + numbered)) from error
