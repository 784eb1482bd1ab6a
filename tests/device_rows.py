"""What `device_check.py` measures: each row is one computation, written once for Flambeau and PyTorch, some for CuPy.

`FAMILIES` has a row or more for each family of kernels, whose values are compared with PyTorch's; `BENCHMARKS` has what
people ask about a GPU first. A processor gets an eighth of each large dimension (`REDUCED`), a device that is simulated
next to nothing (`TINY`): what runs there is this code, no GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Call = Callable[..., Any]
FULL, REDUCED, TINY = "full", "reduced", "tiny"


class Given(NamedTuple):
    """An operand: numbers of a kind, of a shape, and the shape for devices that are simulated."""

    shape: tuple[int, ...]
    kind: str = "normal"        # "uniform", "bool", "half", "double", or "below 10" for whole numbers
    small: tuple[int, ...] = ()

    def make(self, size: str, numbers: np.random.Generator) -> np.ndarray:
        """The numbers, on the host."""
        shape = self.shape
        if size != FULL:
            shape = self.small if size == TINY else tuple(each // 8 if each >= 512 else each for each in shape)
        if self.kind.startswith("below "):
            bound, most = int(self.kind.split()[1]), {TINY: 16, REDUCED: 64}.get(size)
            return numbers.integers(0, min(bound, most or bound), shape)
        if self.kind == "bool":
            return numbers.random(shape) < 0.5
        values = numbers.random(shape) if self.kind == "uniform" else numbers.standard_normal(shape)
        return values.astype({"half": np.float16, "double": np.float64}.get(self.kind, np.float32))


@dataclass(frozen=True)
class Row:
    """One computation: `call(library, *operands)`, with `gradients` of the floating operands, too."""

    family: str
    name: str
    given: tuple[Given, ...]
    call: Call
    cupy: Call | None = None
    gradients: bool = False
    tolerance: float = 1e-4          # of the largest value; whole numbers must be equal
    before: Call | None = None       # switches a library (True) before the row, and back (False) after it
    on_host: bool = False            # the operands stay on the host
    pinned: bool = False             # there, in memory that the device can read by itself

    @property
    def label(self) -> str:
        """What the report calls it."""
        return self.name if self.family == "benchmark" else f"{self.family}: {self.name}"


@dataclass
class Library:
    """A library on a device: what makes its arrays of NumPy's, and waits for what it has queued."""

    name: str
    module: Any
    put: Call
    wait: Callable[[], Any]
    host: Call                       # the other way round: a NumPy array
    device: str = ""
    pins: bool = True                # whether it can have pinned memory
    timed: bool = True               # whether it is on the same device

    def prepared(self, row: Row, arrays: Sequence[np.ndarray]) -> Callable[[], Any]:
        """The row as a function of nothing."""
        if self.name == "cupy":
            operands = [each if row.on_host else self.put(each) for each in arrays]
            return lambda: row.cupy(self.module, *operands)      # type: ignore[misc]  # asked only where there is one
        operands = [self.module.from_numpy(each) if row.on_host else self.put(each) for each in arrays]
        if row.pinned and self.pins:
            operands = [each.pin_memory() for each in operands]
        call = row.call
        if not row.gradients:
            return lambda: call(Placed(self), *operands)
        leaves = [each.requires_grad_() for each in operands if each.is_floating_point()]

        def both() -> Any:
            result = call(Placed(self), *operands)
            return (result, *self.module.autograd.grad(result, leaves, result.detach().cos()))
        return both


class Placed:
    """A library's module, with `place`: where a row makes what it makes itself."""

    def __init__(self, library: Library) -> None:
        self._module, self.place = library.module, library.device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def timed(call: Callable[[], Any], wait: Callable[[], Any], seconds: float) -> float:
    """Microseconds per call: the best of several batches, each waited for as a whole."""
    call()
    wait()
    begun = time.perf_counter()
    call()
    wait()
    batch = max(1, min(1000, int(0.01 / max(time.perf_counter() - begun, 1e-6))))
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        begun = time.perf_counter()
        for _ in range(batch):
            call()
        wait()
        best = min(best, (time.perf_counter() - begun) / batch)
    return best * 1e6


def values(library: Library, found: Any) -> list[np.ndarray]:
    """What a row gave, as NumPy arrays."""
    each = found if isinstance(found, (tuple, list)) else (found,)
    return [library.host(one) for one in each]


def difference(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The largest difference, in parts of the largest value; infinite for other shapes or other whole numbers."""
    if [each.shape for each in found] != [each.shape for each in wanted]:
        return float("inf")
    worst = 0.0
    for mine, theirs in zip(found, wanted, strict=True):
        if theirs.dtype.kind in "bui":
            worst = max(worst, 0.0 if np.array_equal(mine, theirs) else float("inf"))
        elif theirs.size:
            wide = np.complex128 if theirs.dtype.kind == "c" else np.float64
            apart = np.abs(mine.astype(wide) - theirs.astype(wide)).max()
            worst = max(worst, float(apart / max(np.abs(theirs.astype(wide)).max(), 1e-30)))
            if np.isnan(apart):
                return float("inf")
    return worst


# ------------------------------------------------------------------------------------------- every family of kernels
MANY = Given((1 << 22,), small=(1000,))
POSITIVE = Given((1 << 22,), "uniform", (1000,))
TABLE = Given((4096, 1024), small=(8, 40))
IMAGES = Given((32, 64, 28, 28), small=(2, 3, 9, 9))
FILTERS = Given((64, 64, 3, 3), small=(4, 3, 3, 3))
SQUARE = Given((1024, 1024), small=(20, 20))
HEADS = Given((4, 8, 512, 64), small=(1, 2, 20, 8))
MATRICES = Given((64, 24, 24), "double", (2, 5, 5))
ROWS = Given((4096,), "below 4096", (8,))


def _spd(library: Any, a: Any) -> Any:
    """Matrices that have a Cholesky factor, from any."""
    return a @ a.transpose(-2, -1) + 30.0 * library.eye(a.shape[-1], dtype=a.dtype, device=a.device)


def _moments(a: Any) -> Any:
    return a.mean().unsqueeze(0), a.var().unsqueeze(0)


def _optimized(library: Any, name: str, a: Any, **options: Any) -> Any:
    """Three steps of an optimizer from the same start."""
    parameter = a.clone().requires_grad_()
    optimizer = getattr(library.optim, name)([parameter], **options)
    for _ in range(3):
        optimizer.zero_grad()
        (parameter * parameter).sum().backward()
        optimizer.step()
    return parameter.detach()


def _functional(name: str, *more: Any, **options: Any) -> Call:
    return lambda library, *each: getattr(library.nn.functional, name)(*each, *more, **options)


def _pointwise() -> list[Row]:
    unary = "exp log1p sqrt sin tanh sigmoid erf lgamma neg floor isnan".split()
    rows = [Row("pointwise", name, (POSITIVE,), lambda library, a, name=name: getattr(library, name)(a))
            for name in unary]
    rows += [Row("pointwise", name, (MANY,), _functional(name), gradients=True) for name in ("gelu", "silu", "relu")]
    return [*rows,
            Row("pointwise", "add", (MANY, MANY), lambda library, a, b: a + b, lambda xp, a, b: a + b),
            Row("pointwise", "div", (MANY, POSITIVE), lambda library, a, b: a / (b + 1)),
            Row("pointwise", "pow", (POSITIVE,), lambda library, a: a ** 1.7),
            Row("pointwise", "atan2 broadcast", (TABLE, Given((1024,), small=(40,))),
                lambda library, a, b: library.atan2(a, b)),
            Row("pointwise", "comparison and where", (MANY, MANY), lambda library, a, b: library.where(a > b, a, b)),
            Row("pointwise", "of a transposed matrix", (SQUARE, SQUARE), lambda library, a, b: a.t() * b),
            Row("pointwise", "float16", (Given((1 << 22,), "half", (1000,)),), lambda library, a: a * a + a,
                tolerance=2e-3)]


def _moved() -> list[Row]:
    return [
        Row("movement", "transposed copy", (Given((4096, 4096), small=(30, 20)),),
            lambda library, a: a.t().contiguous()),
        Row("movement", "cast to float16", (MANY,), lambda library, a: a.half(), tolerance=1e-3),
        Row("joining", "cat", (TABLE, TABLE), lambda library, a, b: library.cat([a, b], 1)),
        Row("joining", "stack, flip, roll", (TABLE,),
            lambda library, a: library.roll(library.stack([a, a.flip(1)]), 3, 2)),
        Row("joining", "tril, pad", (SQUARE,), lambda library, a: library.nn.functional.pad(a.tril(), (1, 2, 3, 4))),
        Row("creation", "full, arange, eye", (SQUARE,), lambda library, a: (
            library.full((1000,), 2.5, device=a.device), library.arange(1 << 12, device=a.device),
            library.eye(50, device=a.device))),
        Row("select", "masked_fill", (MANY, Given(MANY.shape, "bool", MANY.small)),
            lambda library, a, mask: a.masked_fill(mask, 7.0)),
        Row("select", "masked_select", (MANY, Given(MANY.shape, "bool", MANY.small)),
            lambda library, a, mask: a[mask]),
        Row("gather", "index_select", (TABLE, ROWS), lambda library, a, rows: a.index_select(
            0, rows % a.shape[0])),
        Row("gather", "gather", (TABLE, Given((4096, 64), "below 1024", (8, 6))),
            lambda library, a, rows: a.gather(1, rows)),
        Row("gather", "embedding", (TABLE, ROWS), lambda library, a, rows: library.nn.functional.embedding(
            rows % a.shape[0], a), gradients=True),
        Row("indexing", "a[rows, columns]", (TABLE, ROWS, ROWS),
            lambda library, a, rows, columns: a[rows % a.shape[0], columns % a.shape[1]]),
        Row("indexing", "a[rows] = b", (TABLE,),
            lambda library, a: a.clone().index_put_((library.arange(4, device=a.device),), a[4:8])),
        Row("scatter", "index_add", (TABLE, TABLE, ROWS), lambda library, a, b, rows: a.index_add(
            0, rows % a.shape[0], b), tolerance=1e-3),
        Row("scatter", "scatter", (TABLE, TABLE),
            lambda library, a, b: a.scatter(0, library.zeros_like(b[:1], dtype=library.int64), b)),
    ]


def _reduced() -> list[Row]:
    return [
        Row("reduction", "sum", (MANY,), lambda library, a: a.sum(), lambda xp, a: a.sum(), tolerance=1e-3),
        Row("reduction", "mean of rows", (TABLE,), lambda library, a: a.mean(1)),
        Row("reduction", "mean of columns", (TABLE,), lambda library, a: a.mean(0)),
        Row("reduction", "max and where", (TABLE,), lambda library, a: tuple(a.max(1))),
        Row("reduction", "norm", (TABLE,), lambda library, a: library.linalg.vector_norm(a, dim=1)),
        Row("reduction", "argmin", (TABLE,), lambda library, a: a.argmin(0)),
        Row("scan", "cumsum", (TABLE,), lambda library, a: a.cumsum(1), lambda xp, a: a.cumsum(1)),
        Row("scan", "cummax", (TABLE,), lambda library, a: tuple(a.cummax(0))),
        Row("sorting", "sort", (TABLE,), lambda library, a: a.sort(1).values, lambda xp, a: xp.sort(a, 1)),
        Row("sorting", "topk", (TABLE,), lambda library, a: a.topk(5, 1).values),
        Row("search", "nonzero", (Given(MANY.shape, "bool", MANY.small),), lambda library, a: a.nonzero()),
        Row("search", "unique", (Given((1 << 20,), "below 5000", (100,)),), lambda library, a: library.unique(a)),
        Row("search", "searchsorted", (POSITIVE, POSITIVE),
            lambda library, a, b: library.searchsorted(a[:1000].sort().values, b)),
        Row("softmax", "softmax", (TABLE,), _functional("softmax", 1), gradients=True),
        Row("softmax", "log_softmax over rows", (TABLE,), _functional("log_softmax", 0), gradients=True),
        Row("loss", "cross_entropy", (TABLE, Given((4096,), "below 1024", (8,))), _functional("cross_entropy"),
            gradients=True),
        Row("loss", "mse_loss", (TABLE, TABLE), _functional("mse_loss"), gradients=True),
        Row("normalization", "layer_norm", (TABLE,),
            lambda library, a: library.nn.functional.layer_norm(a, a.shape[1:]), gradients=True, tolerance=1e-3),
        Row("normalization", "batch_norm", (IMAGES,), lambda library, a: library.nn.functional.batch_norm(
            a, None, None, training=True), gradients=True, tolerance=1e-3),
        Row("normalization", "rms_norm", (TABLE,),
            lambda library, a: library.nn.functional.rms_norm(a, a.shape[1:]), gradients=True, tolerance=1e-3),
    ]


def _multiplied() -> list[Row]:
    image, filters = IMAGES, FILTERS
    return [
        Row("matmul", "mm", (SQUARE, SQUARE), lambda library, a, b: a @ b, lambda xp, a, b: a @ b),
        Row("matmul", "transposed", (SQUARE, SQUARE), lambda library, a, b: a.t() @ b.t()),
        Row("matmul", "bmm", (Given((32, 256, 256), small=(2, 9, 9)),) * 2, lambda library, a, b: a @ b),
        Row("matmul", "linear", (TABLE, Given((512, 1024), small=(5, 40)), Given((512,), small=(5,))),
            _functional("linear"), gradients=True),
        Row("matmul", "float64", (Given((512, 512), "double", (9, 9)),) * 2, lambda library, a, b: a @ b,
            tolerance=1e-10),
        Row("matmul", "int64", (Given((256, 256), "below 100", (9, 9)),) * 2, lambda library, a, b: a @ b,
            lambda xp, a, b: a @ b),     # PyTorch has none on CUDA
        Row("matmul", "of every other column", (SQUARE, SQUARE), lambda library, a, b: a[:, ::2] @ b[::2, 1::2]),
        Row("conv", "conv2d", (image, filters), _functional("conv2d", padding=1), gradients=True, tolerance=1e-3),
        Row("conv", "conv2d, stride 2, groups", (image, Given((64, 32, 3, 3), small=(3, 1, 3, 3))),
            lambda library, a, w: library.nn.functional.conv2d(a, w, stride=2, groups=a.shape[1] // w.shape[1]),
            gradients=True, tolerance=1e-3),
        Row("conv", "conv_transpose2d", (image, Given((64, 16, 3, 3), small=(3, 2, 3, 3))),
            _functional("conv_transpose2d", stride=2), gradients=True, tolerance=1e-3),
        Row("pooling", "max_pool2d", (image,), _functional("max_pool2d", 2), gradients=True),
        Row("pooling", "avg_pool2d", (image,), _functional("avg_pool2d", 2), gradients=True),
        Row("attention", "attention", (HEADS, HEADS, HEADS), _functional("scaled_dot_product_attention"),
            gradients=True, tolerance=1e-3),
        Row("attention", "causal attention", (HEADS, HEADS, HEADS),
            _functional("scaled_dot_product_attention", is_causal=True), gradients=True, tolerance=1e-3),
        Row("linalg", "cholesky", (MATRICES,), lambda library, a: library.linalg.cholesky(_spd(library, a))),
        Row("linalg", "solve", (MATRICES, MATRICES), lambda library, a, b: library.linalg.solve(_spd(library, a), b)),
        Row("linalg", "slogdet", (MATRICES,), lambda library, a: tuple(library.linalg.slogdet(a))),
        Row("linalg", "qr", (MATRICES,), lambda library, a: library.linalg.qr(a).R.abs()),
        Row("linalg", "eigvalsh", (MATRICES,), lambda library, a: library.linalg.eigvalsh(_spd(library, a))),
        Row("linalg", "svdvals", (MATRICES,), lambda library, a: library.linalg.svdvals(a)),
        Row("linalg", "solve, 512 rows", (Given((512, 512), "double", (5, 5)),) * 2,
            lambda library, a, b: library.linalg.solve(_spd(library, a), b)),
    ]


def _stepped() -> list[Row]:
    return [
        Row("optimizer", "three steps of Adam", (MANY,), lambda library, a: _optimized(library, "Adam", a, lr=0.01)),
        Row("optimizer", "three steps of AdamW", (MANY,), lambda library, a: _optimized(library, "AdamW", a, lr=0.01)),
        Row("optimizer", "three steps of SGD", (MANY,),
            lambda library, a: _optimized(library, "SGD", a, lr=0.01, momentum=0.9)),
        Row("random", "rand: mean and variance", (MANY,),
            lambda library, a: _moments(library.rand(1 << 22, device=a.device)), tolerance=0.02),
        Row("random", "randn: variance", (MANY,),
            lambda library, a: _moments(library.randn(1 << 22, device=a.device))[1], tolerance=0.02),
        Row("random", "dropout: how many stay", (POSITIVE,), lambda library, a: (
            library.nn.functional.dropout(library.ones(1 << 22, device=a.device), 0.25) > 0).float().mean(),
            tolerance=0.02),
    ]


FAMILIES = [*_pointwise(), *_moved(), *_reduced(), *_multiplied(), *_stepped()]


# ------------------------------------------------------------------------------------------- what people ask first
LONG = Given((1 << 24,), small=(1000,))
TEN = Given((10,), small=(10,))
WIDE = Given((4096, 4096), small=(20, 20))
WIDE_HALF = Given((4096, 4096), "half", (20, 20))


def _tf32(library: Any, on: bool) -> None:
    library.backends.cuda.matmul.allow_tf32 = on


def _softmax_of_cupy(xp: Any, a: Any) -> Any:
    grown = xp.exp(a - a.max(1, keepdims=True))
    return grown / grown.sum(1, keepdims=True)


def _layer_norm_of_cupy(xp: Any, a: Any) -> Any:
    away = a - a.mean(1, keepdims=True)
    return away / xp.sqrt((away * away).mean(1, keepdims=True) + 1e-5)


class _Steps:
    """Steps of an optimizer whose parameters and gradients are there already; one for each library."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def __call__(self, library: Any, a: Any) -> Any:
        optimizer = self._made.get(id(a))
        if optimizer is None:
            parameters = [library.nn.Parameter(a.clone()) for _ in range(16)]
            for each in parameters:
                each.grad = a.clone()
            optimizer = self._made[id(a)] = library.optim.Adam(parameters, lr=1e-3)
        optimizer.step()
        return optimizer.param_groups[0]["params"][0].detach()


class _Classifier:
    """A training step of the demo's classifier, batch 64."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def __call__(self, library: Any, images: Any, labels: Any) -> Any:
        nn = library.nn
        if id(images) not in self._made:
            library.manual_seed(0)
            model = nn.Sequential(
                nn.Linear(images.shape[1], 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64), nn.ReLU(),
                nn.Linear(64, 10)).to(images.device)
            self._made[id(images)] = model, library.optim.Adam(model.parameters(), lr=1e-3)
        model, optimizer = self._made[id(images)]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()


def _benchmark(name: str, given: Sequence[Given], call: Call, cupy: Call | None = None, **more: Any) -> Row:
    return Row("benchmark", name, tuple(given), call, cupy, **more)


NOT_COMPARED = float("inf")      # random weights, or a state that each call changes

BENCHMARKS = [
    _benchmark("launch: a + b of 10 floats", (TEN, TEN), lambda library, a, b: a + b, lambda xp, a, b: a + b),
    _benchmark("a + b, 16M float32", (LONG, LONG), lambda library, a, b: a + b, lambda xp, a, b: a + b),
    _benchmark("exp, 16M float32", (LONG,), lambda library, a: a.exp(), lambda xp, a: xp.exp(a)),
    _benchmark("sum, 16M float32", (LONG,), lambda library, a: a.sum(), lambda xp, a: a.sum(), tolerance=1e-2),
    _benchmark("matmul 4096, float32", (WIDE, WIDE), lambda library, a, b: a @ b, lambda xp, a, b: a @ b),
    _benchmark("matmul 4096, float32 as TF32", (WIDE, WIDE), lambda library, a, b: a @ b, before=_tf32,
               tolerance=5e-3),
    _benchmark("matmul 4096, float16", (WIDE_HALF, WIDE_HALF), lambda library, a, b: a @ b, lambda xp, a, b: a @ b,
               tolerance=5e-3),
    _benchmark("softmax 4096x1024", (TABLE,), _functional("softmax", 1), _softmax_of_cupy),
    _benchmark("layer_norm 4096x1024", (TABLE,), lambda library, a: library.nn.functional.layer_norm(a, a.shape[1:]),
               _layer_norm_of_cupy, tolerance=1e-3),
    _benchmark("conv2d 32x64x28x28, 64 of 3x3", (IMAGES, FILTERS), _functional("conv2d", padding=1), tolerance=1e-3),
    _benchmark("conv2d, forward and backward", (IMAGES, FILTERS), _functional("conv2d", padding=1), gradients=True,
               tolerance=1e-3),
    _benchmark("attention 4x8x512x64", (HEADS, HEADS, HEADS), _functional("scaled_dot_product_attention"),
               tolerance=1e-3),
    _benchmark("attention, forward and backward", (HEADS, HEADS, HEADS),
               _functional("scaled_dot_product_attention"), gradients=True, tolerance=1e-3),
    _benchmark("Adam step, 16 parameters of 1M", (Given((1 << 20,), small=(100,)),), _Steps(),
               tolerance=NOT_COMPARED),
    _benchmark("training step of the demo's classifier", (Given((64, 784), small=(4, 784)),
               Given((64,), "below 10", (4,))), _Classifier(), tolerance=NOT_COMPARED),
    _benchmark("sort 4096x1024", (TABLE,), lambda library, a: a.sort(1).values, lambda xp, a: xp.sort(a, 1)),
    _benchmark("cumsum 4096x1024", (TABLE,), lambda library, a: a.cumsum(1), lambda xp, a: a.cumsum(1)),
    _benchmark("host to device, 64 MiB", (LONG,), lambda library, a: a.to(library.place),
               lambda xp, a: xp.array(a), on_host=True),
    _benchmark("host to device, 64 MiB pinned", (LONG,), lambda library, a: a.to(library.place, non_blocking=True),
               on_host=True, pinned=True),
    _benchmark("device to host, 64 MiB", (LONG,), lambda library, a: a.cpu(), lambda xp, a: xp.asnumpy(a)),
]
