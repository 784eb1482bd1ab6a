"""Kernels written once against a NumPy-like module, for every backend whose arrays such a module computes on.

What is here is what a vendor's library stands behind on a GPU (LAPACK and cuSOLVER, BLAS and cuBLAS, the sorts of
NumPy and Thrust), and what reads the same for every array library and is on nobody's hot path. Kernels that live by
one library's strengths (ufunc methods and `out=` in NumPy, a compiler in CUDA) are in that library's backend.

A kernel is a plain function whose first parameter is the module, `def linalg_inv(xp, a)`. What array libraries do not
share it takes as a *helper*: a keyword-only parameter whose default is the portable way. `bind` gives the kernels of
the contract for one module, with helpers or whole kernels replaced by name.
"""

from flambeau_xp.binding import BEYOND, HELPERS, KERNELS, STANDARD, bind

__all__ = ["BEYOND", "HELPERS", "KERNELS", "STANDARD", "bind"]
