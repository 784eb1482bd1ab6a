"""Loops compiled by Numba, where the extra `jit` is installed: for kernels that are many passes over memory in NumPy.

Each does per element what its NumPy form does per array, in the same order and precision, so that results are the
same with and without Numba. It is imported at the first use that is worth it, and what it compiles is kept on disk.
FLAMBEAU_JIT=0 leaves it out.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

WORTH = 1 << 14   # elements from which a compiled loop beats a dozen ufunc calls by enough to import Numba for it

_available = importlib.util.find_spec("numba") is not None and os.environ.get("FLAMBEAU_JIT", "1") != "0"
_compiled: dict[Callable[..., None], Callable[..., None]] = {}


def compiled(loop: Callable[..., None], count: int) -> Callable[..., None] | None:
    """The compiled form of one of the loops below, or None where it is not to be had.

    A call on few elements never imports Numba, but uses it once something larger has.
    """
    found = _compiled.get(loop)
    if found is None:
        if not _available or (count < WORTH and not _compiled):
            return None
        import numba
        found = _compiled[loop] = numba.njit(cache=True, nogil=True, error_model="numpy")(loop)
    return found


def adam(param: Any, grad: Any, average: Any, square: Any, beta1: Any, weight1: Any, beta2: Any, weight2: Any,
         root: Any, shift: Any) -> None:
    """`optimizer._adam_block` for flat arrays, without AMSGrad and with the folded step size."""
    for i in range(param.size):
        g = grad[i]
        a = average[i] * beta1 + g * weight1
        s = square[i] * beta2 + g * g * weight2
        p = param[i] + a / (np.sqrt(s) * root + shift)
        # All loads, then all stores: interleaved, the loop takes two to three times as long for many alignments.
        average[i] = a
        square[i] = s
        param[i] = p


def dropout_factors(words: Any, mask: Any, limit: Any, scale: Any, out: Any) -> None:
    """`scale` where the masked word is below the limit, else 0."""
    nothing = scale - scale
    for i in range(words.size):
        out[i] = scale if words[i] & mask < limit else nothing


def mt19937_words(state: Any, out: Any) -> None:
    """The next `out.size` numbers of 64 bits of a Mersenne Twister, each of two draws, the first its high half.

    `state` is 624 words and the position, as NumPy keeps them; it is advanced. Source: Matsumoto and Nishimura, 1998.
    """
    draws = out.view(np.uint32)
    upper, lower, matrix, one = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF), np.uint32(1)
    position = np.int64(state[624])
    done = 0
    while done < draws.size:
        if position >= 624:
            for i in range(227):
                y = (state[i] & upper) | (state[i + 1] & lower)
                state[i] = state[i + 397] ^ (y >> one) ^ ((y & one) * matrix)
            for i in range(227, 623):
                y = (state[i] & upper) | (state[i + 1] & lower)
                state[i] = state[i - 227] ^ (y >> one) ^ ((y & one) * matrix)
            y = (state[623] & upper) | (state[0] & lower)
            state[623] = state[396] ^ (y >> one) ^ ((y & one) * matrix)
            position = 0
        count = min(624 - position, draws.size - done)
        for i in range(count):
            y = state[position + i]
            y ^= y >> np.uint32(11)
            y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
            y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
            draws[done + i] = y ^ (y >> np.uint32(18))
        position += count
        done += count
    state[624] = position
    half = np.uint64(32)
    for i in range(out.size):
        out[i] = (out[i] << half) | (out[i] >> half)
