"""Products of matrices and vectors.

One primitive, `matmul` over batches of matrices; the forms with names of their own (mm, bmm, mv, dot, linear) are
operators, because each has its own cheapest kernel and its own name in the graph. `matmul`'s face picks the form from
the numbers of dimensions. Operands are not promoted: they must have one dtype, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

from flambeau import dispatch, shapes
from flambeau.dtypes import BOOL, INTEGER, scalar_name
from flambeau.errors import ArgumentTypeError, DtypeError, ShapeError, UnsupportedDtypeError
from flambeau.ops import _faces
from flambeau.ops._samples import Calls, Samples, together
from flambeau.ops.reduction import _sum
from flambeau.shapes import Shape, describe
from flambeau.tensor import Tensor


def _conj(x: Tensor) -> Tensor:
    return x.conj() if x._kind.dtype.is_complex else x


def _adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions."""
    return _conj(x).transpose(-2, -1)


def same_dtype(op: str, *operands: Tensor) -> None:
    """Refuse operands that are no tensors, or of different dtypes."""
    for each in operands:
        if not isinstance(each, Tensor):
            raise ArgumentTypeError(f"{op}(): argument must be Tensor, not {type(each).__name__}; given: {each!r}")
    first = operands[0]._kind.dtype
    for each in operands[1:]:
        if each._kind.dtype is not first:
            raise DtypeError(f"{op}: mat1 and mat2 must have the same dtype, but got {scalar_name(first)} and "
                             f"{scalar_name(each._kind.dtype)}; convert one of them with .to()")
    if first.category == BOOL:
        raise UnsupportedDtypeError(f"{op}: not implemented for 'Bool'; convert the operands, for example to "
                                    "torch.int64")


def _check_ndim(op: str, name: str, x: Tensor, ndim: int) -> None:
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(f"{op}(): argument '{name}' must be Tensor, not {type(x).__name__}")
    if len(x._array.shape) != ndim:
        what = {1: "a vector", 2: "a matrix", 3: "a 3D tensor"}[ndim]
        raise ShapeError(f"{op}: {name} must be {what}; given: {len(x._array.shape)}D tensor of shape "
                         f"{describe(x._array.shape)}; reshape it, or use matmul")


def _cannot_multiply(op: str, a: Shape, b: Shape) -> ShapeError:
    if len(a) == 2 and len(b) == 2:
        return ShapeError(f"{op}: mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]}); the "
                          "columns of the first must be the rows of the second")
    return ShapeError(f"{op}: size mismatch, got input {describe(a)} and other {describe(b)}: the last size of the "
                      f"first ({a[-1]}) must be the {'last but one' if len(b) > 1 else 'only'} size of the second "
                      f"({b[-2:][0]}), and batches must broadcast")


# ---------------------------------------------------------------------------------------------- the primitive
def _matmul_other(g: Tensor, input: Tensor, ndim: int) -> Tensor:
    """The gradient of the second factor; of a single matrix at once, rather than per batch and summed."""
    if ndim == 2 and len(input._array.shape) > 2:
        rows = _faces.count(input._array.shape, range(len(input._array.shape) - 1))
        input, g = input.reshape(rows, input._array.shape[-1]), g.reshape(rows, g._array.shape[-1])
    return _adjoint(input).matmul(g)


_samples_matmul = together(((2, 1, 3, 4), (5, 4, 2)), ((2, 3, 4), (4, 2)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,)))


@dispatch.primitive(grad_name="UnsafeViewBackward0", samples=_samples_matmul, vjp={
    "input": lambda g, other: g.matmul(_adjoint(other)),
    "other": lambda g, input, other_shape: _matmul_other(g, input, len(other_shape))})
def _matmul(input: Tensor, other: Tensor) -> Shape:
    """Products of matrices in the last two dimensions; dimensions before them are broadcast."""
    a, b = tuple(input.shape), tuple(other.shape)
    if a[-1] != b[-2]:
        raise _cannot_multiply("matmul", a, b)
    return (*shapes.broadcast_shapes(a[:-2], b[:-2], op="matmul"), a[-2], b[-1])


def _shape_mm(input: Tensor, mat2: Tensor) -> Shape:
    a, b = input._array.shape, mat2._array.shape
    if a[1] != b[0]:
        raise _cannot_multiply("mm", a, b)
    return a[0], b[1]


@dispatch.operator(samples=together(((2, 3), (3, 4))), shape_rule=_shape_mm, vjp={
    "input": lambda g, mat2: mm(g, _adjoint(mat2)),
    "mat2": lambda g, input: mm(_adjoint(input), g)})
def _mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices."""
    return _matmul(input, mat2)


@dispatch.front(_mm, out=True)
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices of one dtype, without broadcasting.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mm.html

    >>> import flambeau as torch
    >>> torch.mm(torch.ones(2, 3), torch.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    _check_ndim("mm", "self", input, 2)
    _check_ndim("mm", "mat2", mat2, 2)
    if input._kind is not mat2._kind or input._kind.dtype.category == BOOL:
        same_dtype("mm", input, mat2)
    return _mm(input, mat2)


def _shape_bmm(input: Tensor, mat2: Tensor) -> Shape:
    a, b = input._array.shape, mat2._array.shape
    if a[0] != b[0] or a[2] != b[1]:
        raise ShapeError(f"bmm: Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but "
                         f"got: [{b[0]}, {b[1]}].")
    return a[0], a[1], b[2]


@dispatch.operator(samples=together(((2, 3, 4), (2, 4, 5))), shape_rule=_shape_bmm, vjp={
    "input": lambda g, mat2: g.bmm(_adjoint(mat2)),
    "mat2": lambda g, input: _adjoint(input).bmm(g)})
def _bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of the matrices of two batches."""
    return _matmul(input, mat2)


@dispatch.front(_bmm, out=True)
def bmm(input: Tensor, mat2: Tensor, out_dtype: Any = None) -> Tensor:
    """The products of the matrices of two batches of one size: (b, n, m) with (b, m, p).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.bmm.html

    >>> import flambeau as torch
    >>> torch.bmm(torch.ones(2, 1, 3), torch.ones(2, 3, 1)).shape
    torch.Size([2, 1, 1])
    """
    _check_ndim("bmm", "batch1", input, 3)
    _check_ndim("bmm", "batch2", mat2, 3)
    same_dtype("bmm", input, mat2)
    if input._array.shape[0] != mat2._array.shape[0]:
        _shape_bmm(input, mat2)
    return _bmm(input, mat2)


def _shape_mv(input: Tensor, vec: Tensor) -> Shape:
    a, b = input._array.shape, vec._array.shape
    if a[1] != b[0]:
        raise ShapeError(f"mv: size mismatch, got input ({a[0]}x{a[1]}) and vec ({b[0]}); they must share a size")
    return (a[0],)


@dispatch.operator(samples=together(((2, 3), (3,))), shape_rule=_shape_mv, vjp={
    "input": lambda g, vec: outer(g, _conj(vec)),
    "vec": lambda g, input: mv(_adjoint(input), g)})
def _mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    return _matmul(input, vec.unsqueeze(1)).squeeze(1)


@dispatch.front(_mv, out=True)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.mv.html

    >>> import flambeau as torch
    >>> torch.mv(torch.ones(2, 3), torch.ones(3))
    tensor([3., 3.])
    """
    _check_ndim("mv", "input", input, 2)
    _check_ndim("mv", "vec", vec, 1)
    same_dtype("mv", input, vec)
    return _mv(input, vec)


def _shape_dot(input: Tensor, tensor: Tensor) -> Shape:
    if input._array.shape != tensor._array.shape:
        raise ShapeError("dot: inconsistent tensor size, expected tensor "
                         f"{describe(input._array.shape)} and src {describe(tensor._array.shape)} to have the same "
                         "number of elements")
    return ()


@dispatch.operator(samples=together(((3,), (3,))), shape_rule=_shape_dot, vjp={
    "input": lambda g, tensor: g * _conj(tensor), "tensor": lambda g, input: g * _conj(input)})
def _dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of products of two vectors."""
    return _matmul(input.unsqueeze(0), tensor.unsqueeze(1)).reshape(())


@dispatch.front(_dot, out=True)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of products of two vectors of one length; nothing is conjugated.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.dot.html

    >>> import flambeau as torch
    >>> torch.dot(torch.tensor([2., 3.]), torch.tensor([2., 1.]))
    tensor(7.)
    """
    for each in (input, tensor):
        if not isinstance(each, Tensor):
            raise ArgumentTypeError(f"dot(): argument 'tensor' must be Tensor, not {type(each).__name__}")
        if len(each._array.shape) != 1:
            raise ShapeError(f"dot: 1D tensors expected, but got {input.dim()}D and {tensor.dim()}D tensors; "
                             "use matmul")
    if input._kind is not tensor._kind:
        raise DtypeError("dot: expected both vectors to have same dtype, but found "
                         f"{input._kind.dtype} and {tensor._kind.dtype}; convert one of them with .to()")
    if input._array.shape != tensor._array.shape:
        _shape_dot(input, tensor)
    return _dot(input, tensor)


@dispatch.composite(out=True, samples=together(((3,), (3,))))
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """`dot` with the first vector conjugated.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.vdot.html

    >>> import flambeau as torch
    >>> torch.vdot(torch.tensor([2., 3.]), torch.tensor([2., 1.]))
    tensor(7.)
    """
    return dot(_conj(input), other)


# ---------------------------------------------------------------------------------------------- any dimensions
@dispatch.front(_matmul, out=True)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The product of matrices, vectors, or batches of them; `a @ b`.

    Vectors stand for rows (first) or columns (second) and vanish from the result; dimensions before the last two are
    broadcast. Both operands have one dtype. RuntimeError where sizes do not fit.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.matmul.html

    >>> import flambeau as torch
    >>> torch.matmul(torch.ones(5, 2, 3), torch.ones(3, 4)).shape
    torch.Size([5, 2, 4])
    """
    if not isinstance(input, Tensor) or not isinstance(other, Tensor):
        wrong = other if isinstance(input, Tensor) else input
        raise ArgumentTypeError(f"matmul(): argument 'other' (position 2) must be Tensor, not {type(wrong).__name__}")
    a, b = input._array.shape, other._array.shape
    first, second = len(a), len(b)
    if input._kind is not other._kind or input._kind.dtype.category == BOOL:
        same_dtype("matmul", input, other)
    if first == 2 and second == 2:
        return _mm(input, other)
    if not first or not second:
        raise ShapeError(f"matmul: both arguments to matmul need to be at least 1D, but they are {first}D and "
                         f"{second}D; use * for numbers")
    if a[-1] != b[-2:][0]:
        raise _cannot_multiply("matmul", a, b)
    if second == 1:
        return _matmul_vector(input, other)
    if first == 1:
        return mv(other.t(), input) if second == 2 else _matmul(input.unsqueeze(0), other).squeeze(-2)
    return _matmul(input, other)


def _matmul_vector(input: Tensor, vector: Tensor) -> Tensor:
    a = input._array.shape
    if len(a) == 1:
        return dot(input, vector)
    if len(a) == 2:
        return _mv(input, vector)
    return _mv(input.reshape(_faces.count(a, range(len(a) - 1)), a[-1]), vector).view(a[:-1])


@dispatch.composite(out=True, samples=together(((2,), (3,))))
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of the elements of two vectors, as a matrix.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.outer.html

    >>> import flambeau as torch
    >>> torch.outer(torch.tensor([1., 2.]), torch.tensor([3., 4.]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    for name, each in (("self", input), ("vec2", vec2)):
        if len(each._array.shape) != 1:
            raise ShapeError(f"outer: Expected 1-D argument {name}, but got {each.dim()}-D; use flatten()")
    return input.unsqueeze(1) * vec2


ger = dispatch.alias("ger", outer)


# ---------------------------------------------------------------------------------------------- with an addend
def _scaled(x: Tensor, factor: Any) -> Tensor:
    """x * factor, in the dtype of x: for integers and bools the factor is made one, too."""
    category = x._kind.dtype.category
    if category <= INTEGER:
        factor = bool(factor) if category == BOOL else int(factor)
    return x if factor == 1 else x * factor


def _affine(op: str, input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """beta * input + alpha * product; with beta 0 the input does not matter, not even its nan."""
    same_dtype(op, product, input)
    if not shapes.is_expandable(input._array.shape, product._array.shape):
        raise ShapeError(f"{op}: the expanded size of the tensor {describe(product._array.shape)} must match the "
                         f"existing size {describe(input._array.shape)}; it is broadcast to the product's shape")
    product = _scaled(product, alpha)
    return product if beta == 0 else product + _scaled(input, beta)


def _with_addend(full: Shape, part: Shape, *factors: Shape) -> Samples:
    """Samples of beta * addend + alpha * product: an addend of the result's shape, one that broadcasts, and none."""
    def samples(make: Any) -> Calls:
        yield (make(*full), *[make(*each) for each in factors]), {"beta": 2, "alpha": 3}
        yield (make(*part), *[make(*each) for each in factors]), {}
        yield (make(*part), *[make(*each) for each in factors]), {"beta": 0, "alpha": 2}
    return samples


def _conjugate(number: Any) -> Any:
    return number.conjugate()


@dispatch.operator(inplace=True, samples=_with_addend((2, 4), (4,), (2, 3), (3, 4)), vjp={
    "input": lambda g, beta: _scaled(g, _conjugate(beta)),
    "mat1": lambda g, mat2, alpha: _scaled(mm(g, _adjoint(mat2)), _conjugate(alpha)),
    "mat2": lambda g, mat1, alpha: _scaled(mm(_adjoint(mat1), g), _conjugate(alpha))})
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addmm.html

    >>> import flambeau as torch
    >>> torch.addmm(torch.ones(2), torch.ones(2, 3), torch.ones(3, 2))
    tensor([[4., 4.],
            [4., 4.]])
    """
    return _affine("addmm", input, mm(mat1, mat2), beta, alpha)


@dispatch.operator(inplace=True, samples=_with_addend((2,), (1,), (2, 3), (3,)), vjp={
    "input": lambda g, beta: _scaled(g, _conjugate(beta)),
    "mat": lambda g, vec, alpha: _scaled(outer(g, _conj(vec)), _conjugate(alpha)),
    "vec": lambda g, mat, alpha: _scaled(mv(_adjoint(mat), g), _conjugate(alpha))})
def addmv(input: Tensor, mat: Tensor, vec: Tensor, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat @ vec).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addmv.html

    >>> import flambeau as torch
    >>> torch.addmv(torch.ones(2), torch.ones(2, 3), torch.ones(3))
    tensor([4., 4.])
    """
    return _affine("addmv", input, mv(mat, vec), beta, alpha)


@dispatch.operator(inplace=True, samples=_with_addend((2, 3, 2), (3, 1), (2, 3, 4), (2, 4, 2)), vjp={
    "input": lambda g, beta: _scaled(g, _conjugate(beta)),
    "batch1": lambda g, batch2, alpha: _scaled(bmm(g, _adjoint(batch2)), _conjugate(alpha)),
    "batch2": lambda g, batch1, alpha: _scaled(bmm(_adjoint(batch1), g), _conjugate(alpha))})
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2), matrix by matrix.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.baddbmm.html

    >>> import flambeau as torch
    >>> torch.baddbmm(torch.ones(1), torch.ones(2, 1, 3), torch.ones(2, 3, 1)).flatten()
    tensor([4., 4.])
    """
    return _affine("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@dispatch.operator(inplace=True, samples=_with_addend((3, 2), (2,), (2, 3, 4), (2, 4, 2)), vjp={
    "input": lambda g, beta: _scaled(g, _conjugate(beta)),
    "batch1": lambda g, batch2, alpha: _scaled(g.matmul(_adjoint(batch2)), _conjugate(alpha)),
    "batch2": lambda g, batch1, alpha: _scaled(_adjoint(batch1).matmul(g), _conjugate(alpha))})
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * the sum over the batch of (batch1 @ batch2).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addbmm.html

    >>> import flambeau as torch
    >>> torch.addbmm(torch.ones(1), torch.ones(2, 1, 3), torch.ones(2, 3, 1))
    tensor([[7.]])
    """
    product = bmm(batch1, batch2)
    return _affine("addbmm", input, product.sum(0, dtype=product._kind.dtype), beta, alpha)


@dispatch.operator(inplace=True, samples=_with_addend((2, 3), (3,), (2,), (3,)), vjp={
    "input": lambda g, beta: _scaled(g, _conjugate(beta)),
    "vec1": lambda g, vec2, alpha: _scaled(mv(g, _conj(vec2)), _conjugate(alpha)),
    "vec2": lambda g, vec1, alpha: _scaled(mv(g.t(), _conj(vec1)), _conjugate(alpha))})
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.addr.html

    >>> import flambeau as torch
    >>> torch.addr(torch.zeros(2, 1), torch.ones(2), torch.ones(1))
    tensor([[1.],
            [1.]])
    """
    product = _scaled(outer(vec1, vec2), alpha)
    if not shapes.is_expandable(input._array.shape, product._array.shape):
        raise ShapeError(f"addr: cannot broadcast {describe(input._array.shape)} to {describe(product._array.shape)}")
    return product if beta == 0 else product + _scaled(input, beta)


# ---------------------------------------------------------------------------------------------- the linear layer
def _linear_name(node: Any) -> str:
    """A node's name as PyTorch has it: there, more than two dimensions are a view of a product of matrices."""
    if len(node.shape) == 2:
        return "AddmmBackward0" if node.edges[2] is not None else "MmBackward0"
    return "ViewBackward0" if node.edges[2] is not None else "UnsafeViewBackward0"


@dispatch.operator(namespace="internal", method=False, grad_name="MmBackward0",
                   samples=together(((3, 5), (3, 4)), ((2, 3, 5), (2, 3, 4))), vjp={
    "g": lambda h, input: _linear(input, h, None),
    "input": lambda h, g: g.matmul(_conj(h))})
def linear_weight_grad(g: Tensor, input: Tensor) -> Tensor:
    """g.T @ conj(input) over all rows, laid out as the weight is."""
    a = input._array.shape
    if len(a) != 2:
        rows = _faces.count(a, range(len(a) - 1))
        g, input = g.reshape(rows, g._array.shape[-1]), input.reshape(rows, a[-1])
    return mm(g.t(), _conj(input))


def _linear_bias_gradient(g: Tensor) -> Tensor:
    ndim = len(g._array.shape)
    return g if ndim == 1 else _sum(g, tuple(range(ndim - 1)), False, g._kind.dtype)


def _shape_linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> Shape:
    a, w = input._array.shape, weight._array.shape
    if a[-1] != w[-1]:
        rows = 1
        for size in a[:-1]:
            rows *= size
        raise ShapeError(f"linear: mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and {w[-1]}x{w[0]}); "
                         f"the last size of the input ({a[-1]}) must be in_features ({w[-1]})")
    if bias is not None and not shapes.is_expandable(bias._array.shape, (w[0],)):
        raise ShapeError(f"linear: bias of shape {describe(bias._array.shape)} does not fit out_features ({w[0]})")
    return (*a[:-1], w[0])


@dispatch.operator(namespace="nn.functional", method=False, shape_rule=_shape_linear, grad_name=_linear_name,
                   samples=together(((3, 4), (5, 4), (5,)), ((2, 3, 4), (5, 4)), ((4,), (3, 4), (3,)), ((2, 4), (4,))),
                   vjp={
    "input": lambda g, weight: g.matmul(_conj(weight)),
    "weight": lambda g, input: linear_weight_grad(g, input),
    "bias": _linear_bias_gradient})
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """input @ weight.T + bias, for a weight of two dimensions."""
    product = input.matmul(weight.transpose(0, 1))
    return product if bias is None else product + bias


@dispatch.front(_linear, out=True)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias: the last dimension is mapped from in_features to out_features.

    `weight` is (out_features, in_features) or (in_features,), `bias` (out_features,) or None.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear.html

    >>> import flambeau as torch
    >>> torch.nn.functional.linear(torch.ones(1, 3), torch.ones(2, 3), torch.tensor([0., 1.]))
    tensor([[3., 4.]])
    """
    try:
        kind = input._kind
        if weight._kind is not kind or (bias is not None and bias._kind is not kind) or kind.dtype.category == BOOL:
            same_dtype("linear", *(each for each in (input, weight, bias) if each is not None))
        if len(weight._array.shape) == 2 and input._array.shape:
            return _linear(input, weight, bias)
    except AttributeError:
        for each in (input, weight):
            if not isinstance(each, Tensor):
                raise ArgumentTypeError(f"linear(): argument must be Tensor, not {type(each).__name__}") from None
        raise
    product = matmul(input, weight.t() if len(weight._array.shape) == 2 else weight)
    return product if bias is None else product + bias


@dispatch.composite(namespace="nn.functional", method=False,
                    samples=together(((2, 3), (2, 4), (5, 3, 4), (5,)), ((2, 3, 2), (2, 3, 4), (3, 2, 4))))
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input1 @ weight[k] @ input2 + bias[k] for every output k, over the last dimensions.

    `weight` is (out_features, in1_features, in2_features).
    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.bilinear.html

    >>> import flambeau as torch
    >>> torch.nn.functional.bilinear(torch.ones(1, 2), torch.ones(1, 3), torch.ones(4, 2, 3)).shape
    torch.Size([1, 4])
    """
    if input1._array.shape[:-1] != input2._array.shape[:-1]:
        raise ShapeError(f"bilinear(): input dimensions do not match: got {describe(input1._array.shape)} and "
                         f"{describe(input2._array.shape)}; all but the last must be equal")
    if weight._array.shape[1:] != (input1._array.shape[-1], input2._array.shape[-1]):
        raise ShapeError(f"bilinear(): input sizes do not match weight sizes: {describe(input1._array.shape)}, "
                         f"{describe(input2._array.shape)}, weight {describe(weight._array.shape)}")
    first = input1.reshape(-1, 1, 1, input1._array.shape[-1])
    result = first.matmul(weight).matmul(input2.reshape(-1, 1, input2._array.shape[-1], 1))
    result = result.reshape((*input1._array.shape[:-1], weight._array.shape[0]))
    return result if bias is None else result + bias


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
