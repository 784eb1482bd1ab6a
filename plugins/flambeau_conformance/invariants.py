"""Results that are only unique up to a sign or an order: what of them can be compared.

A singular vector may have either sign, a basis of a null space may be any. What is compared is what does not depend on
that choice: the values, and the product of the factors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from flambeau.registry import OpDef
from flambeau.tensor import Tensor
from flambeau_conformance.sampling import Call

if TYPE_CHECKING:
    from flambeau_conformance.engine import Context
    from flambeau_conformance.oracle import Expected

Arrays = list[Any]


def _adjoint(array: Any) -> Any:
    return np.conj(np.swapaxes(array, -1, -2))


def _singular(arrays: Arrays) -> Arrays:
    u, s, vh = arrays
    rank = s.shape[-1]
    return [s, (u[..., :, :rank] * s[..., None, :]) @ vh[..., :rank, :], _adjoint(u) @ u, vh @ _adjoint(vh)]


def _singular_legacy(arrays: Arrays) -> Arrays:
    u, s, v = arrays
    return _singular([u, s, _adjoint(v)])


def _triangular(arrays: Arrays) -> Arrays:
    q, r = arrays
    return [np.abs(r), *([] if 0 in q.shape else [q @ r, _adjoint(q) @ q])]


def _eigen(arrays: Arrays) -> Arrays:
    values, vectors = arrays
    return [values, (vectors * values[..., None, :]) @ _adjoint(vectors), _adjoint(vectors) @ vectors]


INVARIANTS: dict[str, Callable[[Arrays], Arrays]] = {
    "linalg_svd": _singular, "svd": _singular_legacy, "linalg_qr": _triangular, "qr": _triangular,
    "linalg_eigh": _eigen,
}


def check(context: Context, record: OpDef, results: list[Any], expected: Expected, call: Call) -> None:
    """Compare the invariants of a result with those of the oracle's."""
    fetched = [context.fetch(each) for each in results if isinstance(each, Tensor)]
    wide = [each.astype(np.complex128 if np.iscomplexobj(each) else np.float64) for each in fetched]
    better = [np.asarray(each) for each in (expected.precise or expected.results)]
    reduce = INVARIANTS[record.name]
    kind = next(each.dtype.name for each in results if isinstance(each, Tensor))
    tolerance = context.tolerances.of(record, kind)
    from flambeau_conformance.engine import Failure
    from flambeau_conformance.tolerance import difference
    for number, (mine, theirs) in enumerate(zip(reduce(wide), reduce(better), strict=True)):
        wrong = difference(mine, theirs, tolerance)
        if wrong is not None:
            raise Failure(f"invariant {number} of the results: {wrong}")
