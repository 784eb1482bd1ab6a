"""Counting the floating-point operations of a program: those of its products, per module and operator.

Source: PyTorch's `torch.utils.flop_counter`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from flambeau.dispatch import Mode
from flambeau.nn.modules.module import (
    Module,
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from flambeau.registry import OpDef
from flambeau.utils._flops import flops_of

__all__ = ["FlopCounterMode"]


class FlopCounterMode(Mode):
    """Counts additions and multiplications of matrix products and convolutions, forward and backward.

    Args:
        mods: deprecated and not needed: modules are found when they are called.
        depth: levels of modules in the table.
        display: print the table at the end of the block.
        custom_mapping: further formulas, from an operator's name to a function of (arguments, result).

    >>> import flambeau as torch
    >>> from flambeau.utils.flop_counter import FlopCounterMode
    >>> with FlopCounterMode(display=False) as counter:
    ...     _ = torch.nn.Linear(3, 4)(torch.ones(2, 3))
    >>> counter.get_total_flops()
    48
    """

    def __init__(self, mods: Any = None, depth: int = 2, display: bool = True,
                 custom_mapping: dict[str, Callable[..., int]] | None = None) -> None:
        self.depth, self.display, self.custom = depth, display, custom_mapping or {}
        self.flop_counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._names: dict[Module, str] = {}
        self._within: list[str] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts.clear()
        self._within = ["Global"]
        self._hooks = [register_module_forward_pre_hook(self._enter_module),
                       register_module_forward_hook(self._leave_module, always_call=True)]
        super().__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        for hook in self._hooks:
            hook.remove()
        if self.display:
            print(self.get_table(self.depth))  # noqa: T201 -- asked for

    def _enter_module(self, module: Module, args: Any) -> None:
        if module not in self._names:
            root = type(module).__name__
            for path, each in module.named_modules():
                self._names[each] = f"{root}.{path}" if path else root
        self._within.append(self._names[module])

    def _leave_module(self, module: Module, args: Any, result: Any) -> None:
        if self._within[-1] == self._names.get(module):
            self._within.pop()

    def intercept(self, record: OpDef, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Count one call, for each module that it is in."""
        result = call(*args, **kwargs)
        custom = self.custom.get(record.name)
        count = flops_of(record, args, result) if custom is None else custom(args, result)
        if count:
            for name in dict.fromkeys(self._within):
                self.flop_counts[name][record.name] += count
        return result

    def get_total_flops(self) -> int:
        """All that was counted."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[str, int]]:
        """By module, "Global" for all, and by operator."""
        return {module: dict(counts) for module, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """The counts as text, with each module's share."""
        depth = self.depth if depth is None else depth
        total = self.get_total_flops()
        rows = [("Module", "FLOP", "% Total")]
        for module in ["Global", *sorted(name for name in self.flop_counts if name != "Global")]:
            level = 0 if module == "Global" else module.count(".") + 1
            if level > depth:
                continue
            rows.append(("  " * level + module, _short(sum(self.flop_counts[module].values())),
                         _share(sum(self.flop_counts[module].values()), total)))
            rows += [("  " * level + f" - {name}", _short(count), _share(count, total))
                     for name, count in self.flop_counts[module].items()]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _short(count: int) -> str:
    for letter, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if count >= factor:
            return f"{count / factor:.3f}{letter}"
    return str(count)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "0%"
