"""How many additions and multiplications the products take: two for each pair of numbers that meet.

What is not a product is next to nothing beside them, and counts none, as in PyTorch's counter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from flambeau.registry import OpDef
from flambeau.tensor import Tensor

Formula = Callable[[tuple[Any, ...], Any], int]


def _product(args: tuple[Any, ...], result: Any) -> int:
    """Of two arrays of matrices: each element of the result is a sum over the first one's last dimension."""
    return 2 * result.numel() * args[0].shape[-1]


def _added_product(args: tuple[Any, ...], result: Any) -> int:
    return 2 * result.numel() * args[1].shape[-1]


def _sum_of_products(args: tuple[Any, ...], result: Any) -> int:
    return 2 * args[1].numel() * args[2].shape[-1]


def _weight_gradient(args: tuple[Any, ...], result: Any) -> int:
    return 2 * args[0].numel() * args[1].shape[-1]


def _convolution(args: tuple[Any, ...], result: Any) -> int:
    """Each element of the result is a sum over one filter."""
    weight = args[1]
    return 2 * result.numel() * math.prod(weight.shape[1:])


def _transposed_convolution(args: tuple[Any, ...], result: Any) -> int:
    """Each element of the input is spread over one filter."""
    return 2 * args[0].numel() * math.prod(args[1].shape[1:])


def _filter_gradient(args: tuple[Any, ...], result: Any) -> int:
    return 2 * args[1].numel() * math.prod(result.shape[1:])


def _attention(args: tuple[Any, ...], result: Any) -> int:
    """Two products: of queries with keys, and of weights with values."""
    query, key, value = args[:3]
    return 2 * math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _attention_backward(args: tuple[Any, ...], result: Any) -> int:
    """Five products: the scores once more, and the gradients of weights, values, queries and keys."""
    query, key, value = args[1:4]
    return 2 * math.prod(query.shape[:-1]) * key.shape[-2] * (3 * query.shape[-1] + 2 * value.shape[-1])


FORMULAS: dict[str, Formula] = {
    "matmul": _product, "mm": _product, "bmm": _product, "mv": _product, "dot": _product, "linear": _product,
    "linear_weight_grad": _weight_gradient, "addmm": _added_product, "addmv": _added_product,
    "baddbmm": _added_product, "addbmm": _sum_of_products,
    "convolution": _convolution, "convolution_transposed": _transposed_convolution,
    "convolution_input_grad": _transposed_convolution, "convolution_weight_grad": _filter_gradient,
    "attention": _attention, "attention_backward": _attention_backward,
}


def flops_of(record: OpDef, args: tuple[Any, ...], result: Any) -> int:
    """Floating-point operations of one call; 0 for what is no product."""
    formula = FORMULAS.get(record.name)
    if formula is None:
        return 0
    first = result if isinstance(result, Tensor) else result[0]
    return int(formula(args, first))
