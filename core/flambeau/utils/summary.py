"""A model on one page: layers, shapes, parameters, multiply-adds and memory.

The model is called once, without gradients, and hooks note what goes in and out of every module; so what is shown is
what happens for this input, also where the forward is not a chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import flambeau
from flambeau.errors import ArgumentError
from flambeau.nn.modules.module import Module
from flambeau.tensor import Tensor
from flambeau.utils._pytree import tree_iter
from flambeau.utils.flop_counter import FlopCounterMode

__all__ = ["Row", "Summary", "summary"]


class Row(NamedTuple):
    """One module, at its first call."""

    path: str  # empty for the model itself
    kind: str
    depth: int
    inputs: str
    outputs: str
    parameters: int  # of the module and all within it
    own: int  # of the module itself
    multiply_adds: int
    result_bytes: int  # of what it makes; 0 for a module whose parts are listed below it
    calls: int


class Summary:
    """What `summary` found; `print` shows it."""

    def __init__(self, rows: Sequence[Row], model: Module, input_bytes: int, multiply_adds: int, depth: int) -> None:
        self.rows, self.depth, self.input_bytes, self.multiply_adds = list(rows), depth, input_bytes, multiply_adds
        self.total_params = sum(each.numel() for each in model.parameters())
        self.trainable_params = sum(each.numel() for each in model.parameters() if each.requires_grad)
        self.param_bytes = sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))
        self.result_bytes = sum(row.result_bytes for row in rows)

    def __str__(self) -> str:
        rows = [row for row in self.rows if row.depth <= self.depth]
        cells = [("Layer", "Input", "Output", "Parameters", "Multiply-adds"), *(
            ("  " * row.depth + _label(row), row.inputs, row.outputs,
             f"{row.parameters:,}" if row.parameters else "--",
             f"{row.multiply_adds:,}" if row.multiply_adds else "--") for row in rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(5)]
        rule = "-" * (sum(widths) + 8)
        lines = ["  ".join(cell.rjust(width) if column > 2 else cell.ljust(width)
                           for column, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
                 for line in cells]
        frozen = self.total_params - self.trainable_params
        return "\n".join([
            lines[0], rule, *lines[1:], rule,
            f"Parameters: {self.total_params:,} ({self.trainable_params:,} to train, {frozen:,} fixed)",
            f"Multiply-adds: {self.multiply_adds:,}",
            f"Memory: {_megabytes(self.input_bytes)} of input, {_megabytes(self.result_bytes)} of results for the "
            f"backward pass, {_megabytes(self.param_bytes)} of parameters and buffers"])


def summary(model: Module, input_size: Sequence[Any] | None = None, *, input_data: Any = None, depth: int = 3,
            dtype: Any = None, device: Any = None) -> Summary:
    """Call a model once, and say what is in it.

    Args:
        model: any module.
        input_size: the shape of the input, or a list of shapes for several inputs; filled with random numbers.
        input_data: the input itself, or a tuple of inputs, instead of `input_size`.
        depth: levels of modules that are shown.
        dtype: of the random inputs; float32 if not given. For an integer dtype they are zeros.
        device: where to compute; where the model's parameters are if not given.

    Multiply-adds are those of matrix products and convolutions. The memory of results counts what each module without
    parts of its own makes. The model is not changed: it is called in evaluation mode and put back.

    >>> import flambeau as torch
    >>> from flambeau.utils.summary import summary
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    >>> print(summary(model, (4, 8)))
    Layer               Input    Output   Parameters  Multiply-adds
    ---------------------------------------------------------------
    Sequential          [4, 8]   [4, 2]          178            640
      0: Linear(8, 16)  [4, 8]   [4, 16]         144            512
      1: ReLU           [4, 16]  [4, 16]          --             --
      2: Linear(16, 2)  [4, 16]  [4, 2]           34            128
    ---------------------------------------------------------------
    Parameters: 178 (178 to train, 0 fixed)
    Multiply-adds: 640
    Memory: 0.00 MB of input, 0.00 MB of results for the backward pass, 0.00 MB of parameters and buffers
    """
    inputs = _inputs(model, input_size, input_data, dtype, device)
    training = {module: module.training for module in model.modules()}
    watch = _Watch(model)
    counter = FlopCounterMode(display=False)
    model.eval()
    try:
        with flambeau.no_grad(), watch, counter:
            model(*inputs)
    finally:
        for module, before in training.items():
            module.training = before
    counts = counter.get_flop_counts()
    root = type(model).__name__
    products = {path: sum(counts.get(f"{root}.{path}" if path else root, {}).values()) // 2 for path in watch.paths}
    rows = [_row(path, module, watch, products[path]) for module, path in watch.seen.items()]
    input_bytes = sum(each.numel() * each.element_size() for each in _tensors(inputs))
    return Summary(rows, model, input_bytes, counter.get_total_flops() // 2, depth)


def _inputs(model: Module, size: Sequence[Any] | None, data: Any, dtype: Any, device: Any) -> tuple[Any, ...]:
    if (size is None) == (data is None):
        raise ArgumentError("summary: either input_size or input_data is needed; given: "
                            + ("both" if data is not None else "neither"))
    if device is None:
        device = next((each.device for each in model.parameters()), "cpu")
    if data is not None:
        return tuple(each.to(device) if isinstance(each, Tensor) else each
                     for each in (data if isinstance(data, tuple) else (data,)))
    assert size is not None
    shapes = [size] if not size or isinstance(size[0], int) else size
    dtype = flambeau.float32 if dtype is None else dtype
    make = flambeau.rand if dtype.is_floating_point else flambeau.zeros
    return tuple(make(tuple(shape), dtype=dtype, device=device) for shape in shapes)


class _Watch:
    """Notes the first call of every module, in the order in which they begin."""

    def __init__(self, model: Module) -> None:
        self.paths = dict(model.named_modules())
        self._path_of = {module: path for path, module in self.paths.items()}
        self.seen: dict[Module, str] = {}
        self.calls: dict[Module, int] = {}
        self.inputs: dict[Module, str] = {}
        self.outputs: dict[Module, str] = {}
        self.bytes: dict[Module, int] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> None:
        for module in self._path_of:
            self._hooks.append(module.register_forward_pre_hook(self._begin, with_kwargs=True))
            self._hooks.append(module.register_forward_hook(self._end))

    def __exit__(self, *exc: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _begin(self, module: Module, args: Any, kwargs: Any) -> None:
        self.calls[module] = self.calls.get(module, 0) + 1
        if module not in self.seen:
            self.seen[module] = self._path_of[module]
            self.inputs[module] = _shapes([args, kwargs])

    def _end(self, module: Module, args: Any, result: Any) -> None:
        self.outputs.setdefault(module, _shapes(result))
        made = sum(each.numel() * each.element_size() for each in _tensors(result))
        self.bytes[module] = self.bytes.get(module, 0) + made


def _row(path: str, module: Module, watch: _Watch, multiply_adds: int) -> Row:
    parts = any(True for _ in module.children())
    return Row(
        path, _kind(module), path.count(".") + 1 if path else 0, watch.inputs[module], watch.outputs.get(module, ""),
        sum(each.numel() for each in module.parameters()),
        sum(each.numel() for each in module.parameters(recurse=False)), multiply_adds,
        0 if parts else watch.bytes.get(module, 0), watch.calls[module])


def _kind(module: Module) -> str:
    """The module's class, with the sizes of its weight where it has one: `Linear(8, 16)`."""
    name = type(module).__name__
    first = [getattr(module, key, None) for key in ("in_features", "in_channels", "num_embeddings", "num_features")]
    last = [getattr(module, key, None) for key in ("out_features", "out_channels", "embedding_dim")]
    sizes = [str(value) for group in (first, last) for value in group if isinstance(value, int)]
    return f"{name}({', '.join(sizes)})" if sizes and not any(True for _ in module.children()) else name


def _label(row: Row) -> str:
    times = f" x {row.calls}" if row.calls > 1 else ""
    return f"{row.path.rpartition('.')[2]}: {row.kind}{times}" if row.path else row.kind


def _tensors(value: Any) -> Iterator[Tensor]:
    return (each for each in tree_iter(value) if isinstance(each, Tensor))


def _shapes(value: Any) -> str:
    return ", ".join(str(list(each.shape)) for each in _tensors(value)) or "--"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.2f} MB"
