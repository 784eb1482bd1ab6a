"""What must be refused, operator by operator: small programs that end in an error, here as in PyTorch.

A program gets the library, `make` (host array to tensor) and the device, so that PyTorch runs the very same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from flambeau import dtypes as fd
from flambeau.dtypes import dtype

Make = Callable[[Any], Any]
Run = Callable[[Any, Make, Any], Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One program that must end in an error of these types."""

    op: str
    variant: str
    run: Run
    error: type[BaseException] | tuple[type[BaseException], ...]
    needs: tuple[dtype, ...] = (fd.float32, fd.int64, fd.bool_)
    changes: bool = False    # whether its operands may have been changed before it fails
    quick: bool = False

    @property
    def expected(self) -> str:
        """The allowed types, for people."""
        return self.error.__name__ if isinstance(self.error, type) else " or ".join(e.__name__ for e in self.error)


def _f(*shape: int) -> Any:
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _i(*values: int) -> Any:
    return np.array(values, np.int64)


def _mask(*shape: int) -> Any:
    return np.arange(int(np.prod(shape))).reshape(shape) % 2 == 0


def _linear_algebra() -> Iterator[Refusal]:
    for op, shapes in {
            "matmul": (((2, 3), (4, 5)), ((3,), (4,)), ((2, 3), (2,)), ((2, 2, 3), (3, 3, 4)), ((), (2,))),
            "mm": (((2, 3), (4, 5)), ((2, 3), (3,)), ((2, 2, 3), (3, 4))), "mv": (((2, 3), (2,)), ((2,), (2,))),
            "bmm": (((2, 2, 3), (3, 3, 4)), ((2, 3), (3, 4)), ((2, 2, 3), (2, 4, 4))),
            "dot": (((3,), (4,)), ((2, 3), (2, 3))), "outer": (((2, 2), (3,)),),
            "kron": (), "inner": (((2, 3), (2, 4)),), "vdot": (((3,), (4,)),)}.items():
        for one, other in shapes:
            def run(lib: Any, make: Make, device: Any, op: str = op, one: Any = one, other: Any = other) -> Any:
                return getattr(lib, op)(make(_f(*one)), make(_f(*other)))
            yield Refusal(op, f"{_name(one)}-{_name(other)}", run, RuntimeError, quick=op == "matmul")
    for op in ("cholesky", "inv", "det", "eigh", "solve", "slogdet"):
        def square(lib: Any, make: Make, device: Any, op: str = op) -> Any:
            return getattr(lib.linalg, op)(make(_f(2, 3)), *([make(_f(2))] if op == "solve" else []))
        yield Refusal(f"linalg_{op}", "not-square", square, RuntimeError)
    yield Refusal("linalg_inv", "singular", lambda lib, make, device: lib.linalg.inv(
        make(np.zeros((2, 2), np.float32))),
                  RuntimeError)
    yield Refusal("linalg_solve", "singular", lambda lib, make, device: lib.linalg.solve(
        make(np.ones((2, 2), np.float32)), make(_f(2))), RuntimeError)
    yield Refusal("linalg_cholesky", "indefinite", lambda lib, make, device: lib.linalg.cholesky(
        make(np.array([[1, 2], [2, 1]], np.float32))), RuntimeError)
    yield Refusal("matmul", "dtypes", lambda lib, make, device: make(_f(2, 2)) @ make(_i(1, 2)), RuntimeError)
    yield Refusal("addmm", "shapes", lambda lib, make, device: lib.addmm(make(_f(5)), make(_f(2, 3)), make(_f(3, 4))),
                  RuntimeError)
    yield Refusal("einsum", "sizes", lambda lib, make, device: lib.einsum("ij,jk->ik", make(_f(2, 3)), make(_f(4, 5))),
                  RuntimeError)
    yield Refusal("einsum", "operands", lambda lib, make, device: lib.einsum("ij,jk->ik", make(_f(2, 3))),
                  (RuntimeError, ValueError))


def _name(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


_SHAPES: dict[str, tuple[Run, Any]] = {
    "reshape/elements": (lambda lib, make, device: make(_f(2, 3)).reshape(4, 2), RuntimeError),
    "reshape/two-unknown": (lambda lib, make, device: make(_f(2, 3)).reshape(-1, -1), RuntimeError),
    "reshape/unknown": (lambda lib, make, device: make(_f(2, 3)).reshape(-1, 4), RuntimeError),
    "reshape/empty-unknown": (lambda lib, make, device: make(_f(0, 3)).reshape(-1, 0), RuntimeError),
    "view/strides": (lambda lib, make, device: make(_f(2, 3)).t().view(6), RuntimeError),
    "view/elements": (lambda lib, make, device: make(_f(2, 3)).view(5), RuntimeError),
    "expand/size": (lambda lib, make, device: make(_f(2, 3)).expand(4, 3), RuntimeError),
    "expand/fewer": (lambda lib, make, device: make(_f(2, 3)).expand(3), RuntimeError),
    "expand/leading": (lambda lib, make, device: make(_f(2, 3)).expand(-1, 2, 3), RuntimeError),
    "permute/count": (lambda lib, make, device: make(_f(2, 3)).permute(0), RuntimeError),
    "permute/twice": (lambda lib, make, device: make(_f(2, 3)).permute(0, 0), RuntimeError),
    "permute/range": (lambda lib, make, device: make(_f(2, 3)).permute(0, 2), IndexError),
    "transpose/range": (lambda lib, make, device: make(_f(2, 3)).transpose(0, 2), IndexError),
    "t/3-d": (lambda lib, make, device: make(_f(2, 3, 4)).t(), RuntimeError),
    "squeeze/range": (lambda lib, make, device: make(_f(2, 3)).squeeze(2), IndexError),
    "unsqueeze/range": (lambda lib, make, device: make(_f(2, 3)).unsqueeze(4), IndexError),
    "flatten/order": (lambda lib, make, device: make(_f(2, 3, 4)).flatten(2, 1), RuntimeError),
    "unflatten/size": (lambda lib, make, device: make(_f(2, 6)).unflatten(1, (4, 2)), RuntimeError),
    "movedim/range": (lambda lib, make, device: make(_f(2, 3)).movedim(0, 5), IndexError),
    "diagonal/same": (lambda lib, make, device: make(_f(2, 3)).diagonal(0, 1, 1), RuntimeError),
    "unfold/size": (lambda lib, make, device: make(_f(5)).unfold(0, 6, 1), RuntimeError),
    "unfold/step": (lambda lib, make, device: make(_f(5)).unfold(0, 2, 0), RuntimeError),
    "narrow/length": (lambda lib, make, device: make(_f(5)).narrow(0, 3, 4), (RuntimeError, IndexError)),
    "narrow/start": (lambda lib, make, device: make(_f(5)).narrow(0, 6, 0), (RuntimeError, IndexError)),
    "split/sizes": (lambda lib, make, device: make(_f(5)).split([2, 2]), RuntimeError),
    "split/negative": (lambda lib, make, device: make(_f(5)).split(-1), RuntimeError),
    "chunk/zero": (lambda lib, make, device: make(_f(5)).chunk(0), RuntimeError),
    "unbind/scalar": (lambda lib, make, device: make(_f()).unbind(), (RuntimeError, IndexError)),
    "as_strided/storage": (lambda lib, make, device: make(_f(6)).as_strided((3, 3), (3, 1)), RuntimeError),
    "as_strided/offset": (lambda lib, make, device: make(_f(6)).as_strided((2,), (1,), 5), RuntimeError),
    "as_strided/empty-storage": (lambda lib, make, device: lib.empty(0, device=device).as_strided((2,), (1,)),
                                 RuntimeError),
    "as_strided/negative": (lambda lib, make, device: make(_f(6)).as_strided((2,), (-1,), 5), RuntimeError),
    "as_strided/lengths": (lambda lib, make, device: make(_f(6)).as_strided((2, 2), (1,)), RuntimeError),
    "cat/ranks": (lambda lib, make, device: lib.cat([make(_f(2, 3)), make(_f(2))]), RuntimeError),
    "cat/sizes": (lambda lib, make, device: lib.cat([make(_f(2, 3)), make(_f(2, 4))]), RuntimeError),
    "cat/inner": (lambda lib, make, device: lib.cat([make(_f(2, 3)), make(_f(3, 3))], 1), RuntimeError),
    "cat/none": (lambda lib, make, device: lib.cat([]), (RuntimeError, ValueError)),
    "cat/scalar": (lambda lib, make, device: lib.cat([make(_f()), make(_f())]), RuntimeError),
    "cat/dim": (lambda lib, make, device: lib.cat([make(_f(2)), make(_f(2))], 1), IndexError),
    "stack/shapes": (lambda lib, make, device: lib.stack([make(_f(2)), make(_f(3))]), RuntimeError),
    "stack/none": (lambda lib, make, device: lib.stack([]), (RuntimeError, ValueError)),
    "stack/dim": (lambda lib, make, device: lib.stack([make(_f(2))], 3), IndexError),
    "hstack/shapes": (lambda lib, make, device: lib.hstack([make(_f(2, 2)), make(_f(3, 2))]), RuntimeError),
    "vstack/shapes": (lambda lib, make, device: lib.vstack([make(_f(2, 2)), make(_f(3, 3))]), RuntimeError),
    "broadcast_to/shape": (lambda lib, make, device: lib.broadcast_to(make(_f(2)), (3,)), RuntimeError),
    "repeat/fewer": (lambda lib, make, device: make(_f(2, 3)).repeat(2), RuntimeError),
    "tile/negative": (lambda lib, make, device: make(_f(2)).tile(-1), RuntimeError),
    "flip/range": (lambda lib, make, device: make(_f(2, 3)).flip(2), IndexError),
    "flip/twice": (lambda lib, make, device: make(_f(2, 3)).flip(1, 1), RuntimeError),
    "roll/range": (lambda lib, make, device: make(_f(2, 3)).roll(1, 2), IndexError),
    "pixel_shuffle/channels": (lambda lib, make, device: lib.pixel_shuffle(make(_f(1, 3, 2, 2)), 2), RuntimeError),
    "zeros/negative": (lambda lib, make, device: lib.zeros(-1, device=device), RuntimeError),
    "zeros/text": (lambda lib, make, device: lib.zeros("a", device=device), TypeError),
    "arange/step": (lambda lib, make, device: lib.arange(0, 3, 0, device=device), RuntimeError),
    "arange/sign": (lambda lib, make, device: lib.arange(0, 3, -1, device=device), RuntimeError),
    "linspace/steps": (lambda lib, make, device: lib.linspace(0, 1, -1, device=device), RuntimeError),
    "tensor/ragged": (lambda lib, make, device: lib.tensor([[1, 2], [3]], device=device), ValueError),
    "tensor/text": (lambda lib, make, device: lib.tensor("a", device=device), (TypeError, ValueError)),
    "device/text": (lambda lib, make, device: lib.zeros(1, device="no such device!"), RuntimeError),
}


def _table(table: dict[str, tuple[Run, Any]], changes: bool = False) -> Iterator[Refusal]:
    for name, (run, error) in table.items():
        op, _, variant = name.partition("/")
        yield Refusal(op, variant, run, error, changes=changes, quick=op in ("reshape", "index"))


def _reductions() -> Iterator[Refusal]:
    for op in ("sum", "mean", "amax", "argmax", "std", "cumsum", "softmax", "max", "sort", "logsumexp", "prod", "norm",
               "median", "topk", "any", "var", "log_softmax", "cummax", "unbind", "argsort"):
        for dim in (2, -3):
            def run(lib: Any, make: Make, device: Any, op: str = op, dim: int = dim) -> Any:
                x = make(_f(2, 3))
                return lib.topk(x, 1, dim) if op == "topk" else getattr(lib, op)(x, dim=dim)
            yield Refusal(op, f"dim{dim}", run, IndexError, quick=op == "sum")


_REDUCTIONS: dict[str, tuple[Run, Any]] = {
    "sum/twice": (lambda lib, make, device: make(_f(2, 3)).sum((0, 0)), RuntimeError),
    "sum/scalar-dim": (lambda lib, make, device: make(_f()).sum(1), IndexError),
    "amax/empty": (lambda lib, make, device: make(_f(0)).amax(), (RuntimeError, IndexError)),
    "max/empty": (lambda lib, make, device: make(_f(0)).max(), RuntimeError),
    "argmax/empty": (lambda lib, make, device: make(_f(0)).argmax(), (RuntimeError, IndexError)),
    "mean/integers": (lambda lib, make, device: make(_i(1, 2)).mean(), RuntimeError),
    "std/integers": (lambda lib, make, device: make(_i(1, 2)).std(), RuntimeError),
    "softmax/integers": (lambda lib, make, device: make(_i(1, 2)).softmax(0), RuntimeError),
    "topk/count": (lambda lib, make, device: make(_f(3)).topk(4), RuntimeError),
    "kthvalue/count": (lambda lib, make, device: make(_f(3)).kthvalue(4), (RuntimeError, IndexError)),
    "quantile/range": (lambda lib, make, device: make(_f(3)).quantile(1.5), RuntimeError),
    "histc/range": (lambda lib, make, device: lib.histc(make(_f(3)), 4, 5, 1), RuntimeError),
    "bincount/negative": (lambda lib, make, device: lib.bincount(make(_i(1, -2))), RuntimeError),
    "bincount/float": (lambda lib, make, device: lib.bincount(make(_f(3))), RuntimeError),
    "cross/size": (lambda lib, make, device: lib.linalg.cross(make(_f(4)), make(_f(4))), RuntimeError),
    "searchsorted/shapes": (lambda lib, make, device: lib.searchsorted(make(_f(2, 3)), make(_f(3, 3))), RuntimeError),
}


_INDEXING: dict[str, tuple[Run, Any]] = {
    "index/position": (lambda lib, make, device: make(_f(3, 4))[3], IndexError),
    "index/negative": (lambda lib, make, device: make(_f(3, 4))[-4], IndexError),
    "index/inner": (lambda lib, make, device: make(_f(3, 4))[:, 4], IndexError),
    "index/too-many": (lambda lib, make, device: make(_f(3, 4))[0, 0, 0], IndexError),
    "index/two-ellipses": (lambda lib, make, device: make(_f(3, 4))[..., ..., 0, 0, 0], IndexError),
    "index/negative-step": (lambda lib, make, device: make(_f(3, 4))[::-1], ValueError),
    "index/zero-step": (lambda lib, make, device: make(_f(3, 4))[::0], ValueError),
    "index/float": (lambda lib, make, device: make(_f(3, 4))[1.5], (TypeError, IndexError)),
    "index/scalar": (lambda lib, make, device: make(_f())[0], IndexError),
    "index/float-tensor": (lambda lib, make, device: make(_f(3, 4))[make(_f(2))], IndexError),
    "index/tensor-range": (lambda lib, make, device: make(_f(3, 4))[make(_i(0, 3))], IndexError),
    "index/tensor-negative": (lambda lib, make, device: make(_f(3, 4))[make(_i(0, -4))], IndexError),
    "index/tensor-inner": (lambda lib, make, device: make(_f(3, 4))[:, make(_i(4))], IndexError),
    "index/mask-shape": (lambda lib, make, device: make(_f(3, 4))[make(_mask(4))], IndexError),
    "index/mask-inner": (lambda lib, make, device: make(_f(3, 4))[make(_mask(3, 3))], IndexError),
    "index/broadcast": (lambda lib, make, device: make(_f(3, 4))[make(_i(0, 1)), make(_i(0, 1, 2))], IndexError),
    "select/range": (lambda lib, make, device: make(_f(3, 4)).select(0, 3), IndexError),
    "index_select/range": (lambda lib, make, device: make(_f(3, 4)).index_select(0, make(_i(0, 3))),
                           (IndexError, RuntimeError)),
    "index_select/2-d": (lambda lib, make, device: make(_f(3, 4)).index_select(0, make(_i(0).reshape(1, 1))),
                         (IndexError, RuntimeError)),
    "index_select/float": (lambda lib, make, device: make(_f(3, 4)).index_select(0, make(_f(2))), RuntimeError),
    "gather/range": (lambda lib, make, device: make(_f(3, 4)).gather(1, make(_i(4).reshape(1, 1))), RuntimeError),
    "gather/rank": (lambda lib, make, device: make(_f(3, 4)).gather(1, make(_i(1))), RuntimeError),
    "gather/size": (lambda lib, make, device: make(_f(3, 4)).gather(1, make(_i(0, 0, 0, 0).reshape(4, 1))),
                    RuntimeError),
    "gather/float": (lambda lib, make, device: make(_f(3, 4)).gather(1, make(_f(1, 1))), RuntimeError),
    "take/range": (lambda lib, make, device: make(_f(3, 4)).take(make(_i(12))), IndexError),
    "take_along_dim/range": (lambda lib, make, device: lib.take_along_dim(make(_f(3, 4)), make(_i(5).reshape(1, 1)),
                                                                          1), (RuntimeError, IndexError)),
    "masked_select/shape": (lambda lib, make, device: make(_f(3, 4)).masked_select(make(_mask(5))), RuntimeError),
    "masked_select/float": (lambda lib, make, device: make(_f(3)).masked_select(make(_f(3))), RuntimeError),
    "scatter/range": (lambda lib, make, device: make(_f(3, 4)).scatter(1, make(_i(4).reshape(1, 1)), 1.0),
                      RuntimeError),
    "scatter_add/range": (lambda lib, make, device: make(_f(3, 4)).scatter_add(
        1, make(_i(-5).reshape(1, 1)), make(_f(1, 1))), RuntimeError),
    "scatter/dtype": (lambda lib, make, device: make(_f(3, 4)).scatter(1, make(_i(0).reshape(1, 1)),
                                                                       make(_i(1).reshape(1, 1))), RuntimeError),
    "index_add/sizes": (lambda lib, make, device: make(_f(3, 4)).index_add(0, make(_i(0, 1)), make(_f(3, 4))),
                        (RuntimeError, IndexError)),
    "index_add/range": (lambda lib, make, device: make(_f(3, 4)).index_add(0, make(_i(3)), make(_f(1, 4))),
                        (RuntimeError, IndexError)),
    "index_copy/range": (lambda lib, make, device: make(_f(3, 4)).index_copy(0, make(_i(3)), make(_f(1, 4))),
                         (RuntimeError, IndexError)),
    "index_fill/range": (lambda lib, make, device: make(_f(3, 4)).index_fill(0, make(_i(3)), 1.0),
                         (RuntimeError, IndexError)),
    "embedding/range": (lambda lib, make, device: lib.nn.functional.embedding(make(_i(3)), make(_f(3, 4))),
                        (IndexError, RuntimeError)),
    "embedding/negative": (lambda lib, make, device: lib.nn.functional.embedding(make(_i(-1)), make(_f(3, 4))),
                           (IndexError, RuntimeError)),
    "one_hot/range": (lambda lib, make, device: lib.nn.functional.one_hot(make(_i(3)), 3), RuntimeError),
    "where/shape": (lambda lib, make, device: lib.where(make(_mask(3)), make(_f(4)), make(_f(4))), RuntimeError),
    "tril_indices/negative": (lambda lib, make, device: lib.tril_indices(-1, 2, device=device), RuntimeError),
}


def _set(key: Callable[[Make], Any], value: Callable[[Make], Any]) -> Run:
    def run(lib: Any, make: Make, device: Any) -> Any:
        x = make(_f(3, 4))
        x[key(make)] = value(make)
        return x
    return run


_WRITING: dict[str, tuple[Run, Any]] = {
    "index_put/position": (_set(lambda make: 3, lambda make: 1.0), IndexError),
    "index_put/shape": (_set(lambda make: slice(0, 2), lambda make: make(_f(3, 4))), RuntimeError),
    "index_put/row-shape": (_set(lambda make: 0, lambda make: make(_f(3))), RuntimeError),
    "index_put/tensor-range": (_set(lambda make: make(_i(0, 5)), lambda make: 1.0), IndexError),
    "index_put/mask-shape": (_set(lambda make: make(_mask(2)), lambda make: 1.0), IndexError),
    "index_put/mask-values": (_set(lambda make: make(_mask(3, 4)), lambda make: make(_f(5))), RuntimeError),
    "index_put/values": (_set(lambda make: make(_i(0, 1)), lambda make: make(_f(3, 3))), RuntimeError),
    "index_put/negative-step": (_set(lambda make: slice(None, None, -1), lambda make: 1.0), ValueError),
    "index_put/text": (_set(lambda make: 0, lambda make: "a"), TypeError),
    "copy_/shape": (lambda lib, make, device: make(_f(3)).copy_(make(_f(4))), RuntimeError),
    "copy_/number": (lambda lib, make, device: make(_f(3)).copy_("a"), TypeError),
    "add_/shape": (lambda lib, make, device: make(_f(3)).add_(make(_f(2, 3))), RuntimeError),
    "add_/dtype": (lambda lib, make, device: make(_i(1, 2)).add_(1.5), RuntimeError),
    "add_/dtype-tensor": (lambda lib, make, device: make(_i(1, 2)).add_(make(_f(2))), RuntimeError),
    "add_/bool": (lambda lib, make, device: make(_mask(2)).add_(1), RuntimeError),
    "div_/integers": (lambda lib, make, device: make(_i(1, 2)).div_(2), RuntimeError),
    "sqrt_/integers": (lambda lib, make, device: make(_i(1, 2)).sqrt_(), RuntimeError),
    "mul_/expanded": (lambda lib, make, device: make(_f(1)).expand(3).mul_(2), RuntimeError),
    "fill_/2-d": (lambda lib, make, device: make(_f(3)).fill_(make(_f(2))), RuntimeError),
    "masked_fill_/mask": (lambda lib, make, device: make(_f(3)).masked_fill_(make(_f(3)), 1.0), RuntimeError),
    "masked_fill_/shape": (lambda lib, make, device: make(_f(3)).masked_fill_(make(_mask(4)), 1.0), RuntimeError),
    "masked_fill_/value": (lambda lib, make, device: make(_f(3)).masked_fill_(make(_mask(3)), make(_f(3))),
                           RuntimeError),
    "scatter_/range": (lambda lib, make, device: make(_f(3, 4)).scatter_(1, make(_i(4).reshape(1, 1)), 1.0),
                       RuntimeError),
    "index_add_/range": (lambda lib, make, device: make(_f(3, 4)).index_add_(0, make(_i(3)), make(_f(1, 4))),
                         (RuntimeError, IndexError)),
    "clamp_/bounds": (lambda lib, make, device: make(_f(3)).clamp_(), (RuntimeError, ValueError)),
    "add/out-dtype": (lambda lib, make, device: lib.add(make(_f(2)), make(_f(2)), out=make(_i(1, 2))), RuntimeError),
    "add/out-type": (lambda lib, make, device: lib.add(make(_f(2)), make(_f(2)), out="a"), TypeError),
    "sum/out-dtype": (lambda lib, make, device: lib.sum(make(_f(2, 2)), 0, out=make(_i(1, 2))), RuntimeError),
    "sort/out-count": (lambda lib, make, device: lib.sort(make(_f(2)), out=make(_f(2))), TypeError),
    "matmul/out-dtype": (lambda lib, make, device: lib.matmul(make(_f(2, 2)), make(_f(2, 2)), out=make(
        np.zeros((2, 2), np.int64))), RuntimeError),
}


def _leaf(lib: Any, make: Make) -> Any:
    return make(_f(3)).requires_grad_()


def _twice(lib: Any, make: Make, device: Any) -> Any:
    x = _leaf(lib, make)
    y = (x * x).sum()
    y.backward()
    return y.backward()


def _modified(lib: Any, make: Make, device: Any) -> Any:
    y = _leaf(lib, make) * 2
    z = y.exp().mul(y)
    y.add_(1)
    return z.sum().backward()


def _modified_by_view(lib: Any, make: Make, device: Any) -> Any:
    y = _leaf(lib, make) * 2
    z = (y * y).sum()
    y[1:].zero_()
    return z.backward()


def _modified_output(lib: Any, make: Make, device: Any) -> Any:
    y = _leaf(lib, make).exp()
    y.mul_(2)
    return y.sum().backward()


_GRADIENTS: dict[str, tuple[Run, Any]] = {
    "backward/no-graph": (lambda lib, make, device: make(_f()).backward(), RuntimeError),
    "backward/elements": (lambda lib, make, device: (_leaf(lib, make) * 2).backward(), RuntimeError),
    "backward/shape": (lambda lib, make, device: (_leaf(lib, make) * 2).backward(make(_f(2))), RuntimeError),
    "backward/twice": (_twice, RuntimeError),
    "backward/modified": (_modified, RuntimeError),
    "backward/modified-by-view": (_modified_by_view, RuntimeError),
    "backward/modified-output": (_modified_output, RuntimeError),
    "grad/unused": (lambda lib, make, device: lib.autograd.grad((_leaf(lib, make) * 2).sum(), _leaf(lib, make)),
                    RuntimeError),
    "grad/no-graph": (lambda lib, make, device: lib.autograd.grad(make(_f()), _leaf(lib, make)), RuntimeError),
    "requires_grad/non-leaf": (lambda lib, make, device: (_leaf(lib, make) * 2).requires_grad_(False), RuntimeError),
    "numpy/requires_grad": (lambda lib, make, device: _leaf(lib, make).numpy(), (RuntimeError, TypeError)),
    "resize_/requires_grad": (lambda lib, make, device: _leaf(lib, make).resize_(2), RuntimeError),
    "add/out-requires_grad": (lambda lib, make, device: lib.add(_leaf(lib, make), 1, out=make(_f(3))), RuntimeError),
    "fill_/leaf": (lambda lib, make, device: _leaf(lib, make).fill_(1), RuntimeError),
    "zero_/leaf": (lambda lib, make, device: _leaf(lib, make).zero_(), RuntimeError),
    "copy_/leaf": (lambda lib, make, device: _leaf(lib, make).copy_(make(_f(3))), RuntimeError),
    "index_put/leaf": (lambda lib, make, device: _leaf(lib, make).__setitem__(0, 1.0), RuntimeError),
    "mul_/unbound-view": (lambda lib, make, device: (_leaf(lib, make) * 2).unbind()[0].mul_(2), RuntimeError),
}


def functional(name: str, *arrays: Any, **kwargs: Any) -> Run:
    """A call of a function of nn.functional, with tensors for the arrays among its arguments."""
    return lambda lib, make, device: getattr(lib.nn.functional, name)(
        *[make(each) if isinstance(each, np.ndarray) else each for each in arrays], **kwargs)


_NETWORKS: dict[str, tuple[Run, Any]] = {
    "linear/features": (functional("linear", _f(2, 3), _f(4, 5)), RuntimeError),
    "conv1d/channels": (functional("conv1d", _f(1, 3, 5), _f(2, 2, 3)), RuntimeError),
    "conv2d/channels": (functional("conv2d", _f(1, 3, 5, 5), _f(2, 4, 3, 3)), RuntimeError),
    "conv2d/kernel": (functional("conv2d", _f(1, 1, 2, 2), _f(1, 1, 3, 3)), RuntimeError),
    "conv2d/rank": (functional("conv2d", _f(3, 5), _f(2, 3, 3, 3)), RuntimeError),
    "conv2d/groups": (functional("conv2d", _f(1, 3, 5, 5), _f(2, 1, 3, 3), groups=2), RuntimeError),
    "conv2d/stride": (functional("conv2d", _f(1, 1, 5, 5), _f(1, 1, 3, 3), stride=0), RuntimeError),
    "conv2d/bias": (functional("conv2d", _f(1, 1, 5, 5), _f(2, 1, 3, 3), _f(3)), RuntimeError),
    "conv_transpose2d/channels": (functional("conv_transpose2d", _f(1, 3, 5, 5), _f(2, 4, 3, 3)), RuntimeError),
    "max_pool2d/kernel": (functional("max_pool2d", _f(1, 1, 2, 2), 3), RuntimeError),
    "max_pool2d/padding": (functional("max_pool2d", _f(1, 1, 4, 4), 2, padding=2), RuntimeError),
    "avg_pool2d/kernel": (functional("avg_pool2d", _f(1, 1, 2, 2), 3), RuntimeError),
    "batch_norm/one": (functional("batch_norm", _f(1, 3), None, None, training=True), ValueError),
    "batch_norm/running": (functional("batch_norm", _f(4, 3), _f(2), _f(2)), RuntimeError),
    "layer_norm/shape": (functional("layer_norm", _f(2, 3), (4,)), RuntimeError),
    "group_norm/groups": (functional("group_norm", _f(2, 3), 2), RuntimeError),
    "cross_entropy/batch": (functional("cross_entropy", _f(3, 4), _i(0, 1)), ValueError),
    "cross_entropy/range": (functional("cross_entropy", _f(2, 4), _i(0, 4)), (IndexError, RuntimeError)),
    "nll_loss/range": (functional("nll_loss", _f(2, 4), _i(0, -2)), (IndexError, RuntimeError)),
    "mse_loss/reduction": (functional("mse_loss", _f(3), _f(3), reduction="no"), ValueError),
    "binary_cross_entropy/shape": (functional("binary_cross_entropy", _f(3) / 4, _f(4) / 5), ValueError),
    "dropout/probability": (functional("dropout", _f(3), 1.5), ValueError),
    "pad/dims": (functional("pad", _f(3), (1, 1, 1, 1)), RuntimeError),
    "pad/odd": (functional("pad", _f(3), (1,)), RuntimeError),
    "pad/reflect": (functional("pad", _f(1, 1, 3), (3, 3), mode="reflect"), RuntimeError),
    "pad/negative": (functional("pad", _f(3), (-2, -2)), RuntimeError),
    "glu/odd": (functional("glu", _f(3)), RuntimeError),
    "embedding/float": (functional("embedding", _f(2), _f(3, 4)), RuntimeError),
    "cosine_similarity/shapes": (functional("cosine_similarity", _f(2, 3), _f(2, 4)), RuntimeError),
}


_VALUES: dict[str, tuple[Run, Any]] = {
    "item/elements": (lambda lib, make, device: make(_f(2)).item(), RuntimeError),
    "item/none": (lambda lib, make, device: make(_f(0)).item(), RuntimeError),
    "bool/elements": (lambda lib, make, device: bool(make(_f(2))), RuntimeError),
    "bool/none": (lambda lib, make, device: bool(make(_f(0))), RuntimeError),
    "float/elements": (lambda lib, make, device: float(make(_f(2))), (ValueError, RuntimeError)),
    "int/elements": (lambda lib, make, device: int(make(_f(2))), (ValueError, RuntimeError)),
    "index/protocol": (lambda lib, make, device: [1, 2, 3][make(_f())], TypeError),
    "len/scalar": (lambda lib, make, device: len(make(_f())), TypeError),
    "iter/scalar": (lambda lib, make, device: list(make(_f())), TypeError),
    "floor_divide/zero": (lambda lib, make, device: make(_i(1, 2)) // make(_i(0, 1)), RuntimeError),
    "remainder/zero": (lambda lib, make, device: make(_i(1, 2)) % make(_i(0, 1)), RuntimeError),
    "fmod/zero": (lambda lib, make, device: lib.fmod(make(_i(1, 2)), 0), RuntimeError),
    "pow/negative": (lambda lib, make, device: make(_i(1, 2)) ** -1, RuntimeError),
    "div/rounding": (lambda lib, make, device: lib.div(make(_f(2)), 2, rounding_mode="up"), RuntimeError),
    "sub/bool": (lambda lib, make, device: make(_mask(2)) - make(_mask(2)), RuntimeError),
    "neg/bool": (lambda lib, make, device: -make(_mask(2)), RuntimeError),
    "bitwise_and/float": (lambda lib, make, device: make(_f(2)) & make(_f(2)), RuntimeError),
    "bitwise_not/float": (lambda lib, make, device: ~make(_f(2)), (RuntimeError, TypeError)),
    "shift/float": (lambda lib, make, device: make(_f(2)) << 1, (RuntimeError, TypeError)),
    "add/text": (lambda lib, make, device: make(_f(2)) + "a", TypeError),
    "add/none": (lambda lib, make, device: make(_f(2)) + None, TypeError),
    "add/list": (lambda lib, make, device: lib.add(make(_f(2)), [1, 2]), TypeError),
    "add/alpha": (lambda lib, make, device: lib.add(make(_i(1, 2)), make(_i(1, 2)), alpha=1.5), RuntimeError),
    "clamp/none": (lambda lib, make, device: make(_f(2)).clamp(), (RuntimeError, ValueError)),
    "lerp/dtype": (lambda lib, make, device: lib.lerp(make(_f(2)), make(_i(1, 2)), 0.5), RuntimeError),
    "to/text": (lambda lib, make, device: make(_f(2)).to("no such thing!"), RuntimeError),
    "to/type": (lambda lib, make, device: make(_f(2)).to([1]), TypeError),
    "type/name": (lambda lib, make, device: make(_f(2)).type("torch.NoTensor"), (ValueError, RuntimeError)),
    "multinomial/negative": (lambda lib, make, device: lib.multinomial(make(-_f(2)), 1), RuntimeError),
    "multinomial/count": (lambda lib, make, device: lib.multinomial(make(_f(2)), 3), RuntimeError),
    "normal/negative": (lambda lib, make, device: lib.normal(0.0, -1.0, (2,), device=device), RuntimeError),
    "randint/empty": (lambda lib, make, device: lib.randint(3, 3, (2,), device=device), RuntimeError),
    "randperm/negative": (lambda lib, make, device: lib.randperm(-1, device=device), RuntimeError),
    "complex/dtypes": (lambda lib, make, device: lib.complex(make(_f(2)), make(_i(1, 2))), RuntimeError),
    "view_as_complex/size": (lambda lib, make, device: lib.view_as_complex(make(_f(3))), RuntimeError),
    "view_as_real/real": (lambda lib, make, device: lib.view_as_real(make(_f(2))), RuntimeError),
    "imag/real": (lambda lib, make, device: lib.imag(make(_f(2))), RuntimeError),
    "cumsum/text": (lambda lib, make, device: make(_f(2)).cumsum("a"), TypeError),
    "attribute/unknown": (lambda lib, make, device: make(_f(2)).no_such_method(), AttributeError),
}


_TABLES = (_SHAPES, _REDUCTIONS, _INDEXING, _WRITING, _NETWORKS, _VALUES)

REFUSED: tuple[Refusal, ...] = (
    *_linear_algebra(), *_reductions(), *(each for table in _TABLES for each in _table(table)),
    *_table(_GRADIENTS, changes=True))
