"""Einstein summation: parsed here, computed with permutations, sums and products of batches of matrices.

Two operands at a time are contracted, from left to right, or along the path that opt_einsum finds where it is
installed and there are more than two.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from flambeau import dispatch
from flambeau.errors import ArgumentError, ShapeError
from flambeau.ops import _faces
from flambeau.ops._samples import Calls
from flambeau.tensor import Tensor

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _sublists(operands: tuple[Any, ...]) -> tuple[str, list[Tensor]]:
    """The other way of writing: operand, list of ints, ..., and a list for the result."""
    tensors = list(operands[:len(operands) // 2 * 2:2])
    names = ["".join("..." if each is Ellipsis else _LETTERS[each] for each in subscripts)
             for subscripts in operands[1::2]]
    equation = ",".join(names)
    if len(operands) % 2:
        equation += "->" + "".join("..." if each is Ellipsis else _LETTERS[each] for each in operands[-1])
    return equation, tensors


def _spell(equation: str, tensors: list[Tensor]) -> tuple[list[str], str]:
    """One letter per dimension of every operand and of the result, with dots replaced by letters of their own."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise ArgumentError(f"einsum(): more operands were provided than specified in the equation, or fewer; given: "
                            f"{len(tensors)} operands for {len(terms)} terms in {equation!r}")
    used = set(equation)
    spare = [each for each in _LETTERS if each not in used]
    dots = 0
    for term, tensor in zip(terms, tensors, strict=True):
        if "..." in term:
            dots = max(dots, tensor.dim() - len(term) + 3)
    batch = "".join(spare[:dots])
    spelled = []
    for position, (term, tensor) in enumerate(zip(terms, tensors, strict=True)):
        if "..." in term:
            width = tensor.dim() - len(term) + 3
            term = term.replace("...", batch[dots - width:] if width > 0 else "")
        if len(term) != tensor.dim() or not all(each in _LETTERS for each in term):
            raise ArgumentError(f"einsum(): the number of subscripts in the equation ({len(term)}) does not match the "
                                f"number of dimensions ({tensor.dim()}) for operand {position}; given: {equation!r}")
        spelled.append(term)
    if arrow:
        result = right.replace("...", batch)
    else:
        every = "".join(spelled)
        result = batch + "".join(sorted(each for each in set(every) if every.count(each) == 1 and each not in batch))
    for each in result:
        if result.count(each) > 1 or not any(each in term for term in spelled):
            raise ArgumentError(f"einsum(): output subscript {each} appears more than once in the output or does not "
                                f"appear in the equation for any input operand; given: {equation!r}")
    return spelled, result


def _without_repeats(term: str, tensor: Tensor) -> tuple[str, Tensor]:
    """Take diagonals where a letter stands twice."""
    for each in dict.fromkeys(term):
        while term.count(each) > 1:
            first = term.index(each)
            second = term.index(each, first + 1)
            if tensor._array.shape[first] != tensor._array.shape[second]:
                raise ShapeError(f"einsum(): subscript {each} is repeated for operand but the sizes don't match, "
                                 f"{tensor._array.shape[second]} != {tensor._array.shape[first]}")
            tensor = tensor.diagonal(0, first, second)
            term = term[:first] + term[first + 1:second] + term[second + 1:] + each
    return term, tensor


def _check_sizes(terms: list[str], tensors: list[Tensor]) -> None:
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, tensors, strict=True):
        for each, size in zip(term, tensor._array.shape, strict=True):
            known = sizes.get(each, 1)
            if size != 1 and known != 1 and size != known:
                raise ShapeError(f"einsum(): operands do not broadcast with remapped shapes: subscript {each} has "
                                 f"sizes {known} and {size}")
            sizes[each] = max(known, size) if size and known else 0


def _sum_out(term: str, tensor: Tensor, keep: set[str]) -> tuple[str, Tensor]:
    gone = tuple(index for index, each in enumerate(term) if each not in keep)
    if gone:
        tensor = tensor.sum(gone, dtype=tensor._kind.dtype)
        term = "".join(each for each in term if each in keep)
    return term, tensor


def _pair(one: tuple[str, Tensor], two: tuple[str, Tensor], keep: set[str]) -> tuple[str, Tensor]:
    """Contract two operands: letters in neither `keep` are summed."""
    a, x = _sum_out(*one, keep | set(two[0]))
    b, y = _sum_out(*two, keep | set(a))
    x_size, y_size = dict(zip(a, x._array.shape, strict=True)), dict(zip(b, y._array.shape, strict=True))
    # a size of 1 against another is broadcasting: that dimension is no factor of the product
    for each in [letter for letter in a if letter in y_size and letter not in keep]:
        if x_size[each] != y_size[each]:
            if x_size[each] == 1:
                x, a = x.squeeze(a.index(each)), a.replace(each, "")
                b, y = _sum_out(b, y, set(b) - {each})
            else:
                y, b = y.squeeze(b.index(each)), b.replace(each, "")
                a, x = _sum_out(a, x, set(a) - {each})
    shared = [each for each in a if each in b]
    batch, summed = [each for each in shared if each in keep], [each for each in shared if each not in keep]
    left, right = [each for each in a if each not in b], [each for each in b if each not in a]
    x = x.permute([a.index(each) for each in (*batch, *left, *summed)])
    y = y.permute([b.index(each) for each in (*batch, *summed, *right)])
    if not summed and not (left and right):
        # elementwise: no product of matrices is needed
        x = x.reshape((*x._array.shape, *(1,) * len(right)))
        y = y.reshape((*y._array.shape[:len(batch)], *(1,) * len(left), *y._array.shape[len(batch):]))
        return "".join((*batch, *left, *right)), x * y
    count = len(batch)
    sizes = [max(p, q) if p and q else 0 for p, q in zip(x._array.shape[:count], y._array.shape[:count], strict=True)]
    x = x.expand((*sizes, *x._array.shape[count:]))
    y = y.expand((*sizes, *y._array.shape[count:]))
    total = _faces.count(tuple(sizes), range(count))
    inner = _faces.count(x._array.shape, range(count + len(left), x.dim()))
    rows = x._array.shape[count:count + len(left)]
    columns = y._array.shape[count + len(summed):]
    x = x.reshape((total, _faces.count(rows, range(len(rows))), inner))
    y = y.reshape((total, inner, _faces.count(columns, range(len(columns)))))
    product = x.bmm(y) if count else x.squeeze(0).mm(y.squeeze(0))
    return "".join((*batch, *left, *right)), product.reshape((*sizes, *rows, *columns))


def _path(terms: list[str], result: str, tensors: list[Tensor]) -> list[tuple[int, ...]]:
    if len(terms) > 2 and importlib.util.find_spec("opt_einsum") is not None:
        import opt_einsum
        path: list[tuple[int, ...]] = opt_einsum.contract_path(
            ",".join(terms) + "->" + result, *[each._array.shape for each in tensors], shapes=True)[0]
        if all(len(each) == 2 for each in path):
            return path
    count = len(terms)   # the first two, then the product (which comes last) with the next
    steps: list[tuple[int, ...]] = [(0, last) for last in range(count - 2, 0, -1)]
    return [(0, 1), *steps] if count > 1 else []


def _samples(make: Any) -> Calls:
    yield ("bij,bkj->kib", make(2, 3, 4), make(2, 2, 4)), {}
    yield ("...ij,kj...", make(2, 3, 4), make(3, 4, 2)), {}
    yield ("iij,jk->ik", make(3, 3, 2), make(2, 4)), {}
    yield ("i,ij,jk->k", make(2), make(2, 3), make(3, 4)), {}
    yield (make(2, 3), [0, 1], make(3, 4), [1, 2], [2, 0]), {}
    if make.dtype.is_differentiable:    # PyTorch sums letters of one operand alone in int64, and then refuses
        yield ("iij,jk", make(3, 3, 2), make(2, 4)), {}


@dispatch.composite(method=False, samples=_samples)
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products of elements, by letters for dimensions: "ij,jk->ik" is the product of two matrices.

    Letters that the result lacks are summed, a letter twice in one operand is its diagonal, "..." stands for the
    remaining dimensions, which are broadcast. Operands and lists of ints in turn are accepted as well.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.einsum.html

    >>> import flambeau as torch
    >>> torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.ones(3, 1))
    tensor([[3.],
            [3.]])
    """
    if isinstance(equation, Tensor):
        equation, tensors = _sublists((equation, *operands))
    else:
        tensors = list(operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands)
    if not tensors:
        raise ArgumentError("einsum(): must provide at least one operand")
    terms, result = _spell(equation, tensors)
    pairs = [_without_repeats(term, tensor) for term, tensor in zip(terms, tensors, strict=True)]
    _check_sizes([term for term, _ in pairs], [tensor for _, tensor in pairs])
    for step in _path([term for term, _ in pairs], result, [tensor for _, tensor in pairs]):
        second, first = (pairs.pop(index) for index in sorted(step, reverse=True))
        keep = set(result).union(*(term for term, _ in pairs))
        made = _pair(first, second, keep)
        pairs.append(made)   # where opt_einsum's paths, too, expect it
    term, tensor = _sum_out(*pairs[0], set(result))
    return tensor.permute([term.index(each) for each in result])


__all__ = [name for name, value in list(globals().items())
           if hasattr(value, "op") and value.op.namespace == "torch" and not name.startswith("_")]
