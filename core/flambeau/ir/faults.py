"""Faults: what a kernel can find wrong with its data while it runs, long after its call has returned.

A kernel stores a number (`FAIL(INDEX_OUT_OF_RANGE)`), the device raises the error when somebody waits for it. This is
the one table of both: the names that kernels use, as macros of every dialect, and the errors that they become.
"""

from __future__ import annotations

from typing import NamedTuple

from flambeau.errors import ArgumentError, DimensionError, FlambeauError


class Fault(NamedTuple):
    """One kind of fault: its number, its name in kernels, and the error, of the type that PyTorch raises."""

    code: int
    name: str
    error: type[FlambeauError]
    problem: str
    next_step: str = ""


_TABLE: tuple[tuple[str, type[FlambeauError], str, str], ...] = (
    ("INDEX_OUT_OF_RANGE", DimensionError, "index out of range", "check the indices against the size they index"),
    ("DIVISION_BY_ZERO", ArgumentError, "ZeroDivisionError: integers have no quotient by zero",
     "convert them to floats"),
    ("NEGATIVE_POWER", ArgumentError, "Integers to negative integer powers are not allowed",
     "convert the tensor to a floating dtype"),
    ("TARGET_OUT_OF_RANGE", DimensionError, "Target is out of bounds",
     "targets are from 0 up to below the number of classes"),
    ("BAD_WEIGHTS", ArgumentError, "probability tensor contains either `inf`, `nan` or element < 0",
     "weights are finite and not negative"),
    ("BAD_PROBABILITY", ArgumentError, "Expected p_in >= 0 && p_in <= 1", "clamp the probabilities to [0, 1]"),
    ("NEGATIVE_COUNT", ArgumentError, "repeats can not be negative", "counts are 0 or more"),
    ("NO_WEIGHT", ArgumentError, "invalid multinomial distribution (sum of probabilities <= 0)",
     "each row needs a positive weight"),
    ("PLACE_OUT_OF_RANGE", ArgumentError, "index is out of bounds", "check the indices against the size they index"),
    ("PLACE_OUT_OF_BOUNDS", ArgumentError, "index is out of bounds for the dimension",
     "check the indices against the size of the dimension"),    # what PyTorch raises RuntimeError for: gather, scatter
    ("SINGULAR", ArgumentError, "the input matrix is singular", "add a small multiple of the identity"),
)

FAULTS: dict[int, Fault] = {code: Fault(code, *row) for code, row in enumerate(_TABLE, 1)}
HEADER = "".join(f"#define {each.name} {each.code}\n" for each in FAULTS.values())   # before every program
