"""Tests of hypotheses about draws, with NumPy alone.

The seeds are fixed, so that a device which draws as it should passes always; the limits are those of one error in
some hundred thousand, so that another seed would do as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from flambeau_conformance.levels._values import Array

COUNT = 20_000


def kolmogorov_smirnov(values: Array, cdf: Callable[[Array], Array], what: str, grain: float = 0.0) -> None:
    """The empirical distribution lies near the exact one; `grain` is what rounding to the dtype may move."""
    ordered = np.sort(values.astype(np.float64))
    assert np.isfinite(ordered).all(), f"{what}: not every number is finite"
    n = len(ordered)
    exact = cdf(ordered)
    steps = np.arange(1, n + 1) / n
    distance = max(float((steps - exact).max()), float((exact - steps + 1 / n).max()))
    limit = 2.4 / math.sqrt(n) + grain
    assert distance <= limit, f"{what}: differs from the distribution by {distance:.4f}, allowed {limit:.4f}"


def chi_square(counts: Array, expected: Array, what: str) -> None:
    """Counts of outcomes agree with the expected ones; an outcome that cannot happen has not happened."""
    assert not counts[expected == 0].any(), f"{what}: something came up that cannot"
    seen, wanted = counts[expected > 0], expected[expected > 0]
    statistic = float(((seen - wanted) ** 2 / wanted).sum())
    freedom = max(len(wanted) - 1, 1)
    limit = freedom + 5 * math.sqrt(2 * freedom) + 8
    assert statistic <= limit, f"{what}: chi-square {statistic:.1f} with {freedom} degrees of freedom"


def moments(values: Array, mean: float, deviation: float, what: str) -> None:
    """Mean and standard deviation."""
    wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
    found = abs(wide.mean() - mean)
    limit = 5 * deviation / math.sqrt(wide.size)
    assert found <= limit, f"{what}: the mean is off by {found:.5f}, allowed {limit:.5f}"
    assert abs(wide.std() / deviation - 1) < 0.05, f"{what}: standard deviation {wide.std():.4f} for {deviation:.4f}"


def independent(values: Array, what: str) -> None:
    """No linear dependence at short distances, and pairs of neighbours fill the square evenly."""
    values = values[:len(values) // 2 * 2].astype(np.float64)
    order = np.lexsort((np.random.default_rng(0).random(len(values)), values))   # equal values in any order
    ranks = np.empty(len(values))
    ranks[order] = np.arange(len(values)) / len(values)
    centred = ranks - ranks.mean()
    for lag in (1, 2, 3, 4, 16, 64, 624):
        found = float((centred[lag:] * centred[:-lag]).mean() / centred.var())
        assert abs(found) < 5 / math.sqrt(len(values)), f"{what}: correlation {found:.4f} at distance {lag}"
    grid = np.histogram2d(ranks[::2], ranks[1::2], bins=8, range=[[0, 1], [0, 1]])[0].ravel()
    chi_square(grid, np.full(64, grid.sum() / 64), what + ", pairs")


def normal_cdf(x: Array) -> Array:
    """The distribution of normal numbers, from the error function of Python's library at 2,001 points."""
    points = np.linspace(-6, 6, 2001)
    return np.interp(x, points, [0.5 * (1 + math.erf(each / math.sqrt(2))) for each in points])
