"""B5: the norms of W. Rows are bounded, columns are not: some inputs receive many gradients at once."""

from collections.abc import Callable
from typing import Any

import sympy as sp

from warptheory import kernels
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.backward._column_tail import THRESHOLD, ColumnSumTail, ColumnTailSimulation
from warptheory.results.backward._largest_column import (
    SIZE,
    LargestColumnSimulation,
    LargestColumnSum,
    LargestColumnSumOfMany,
    NormSimulation,
    SchurBound,
    SquaredNorm,
)
from warptheory.results.backward._row_sums import AbsoluteRowSum, RowSumSimulation
from warptheory.symbolic import NotReducible, Statistic


def infinity_norm(setting: Setting) -> AbsoluteRowSum:
    """State ‖W‖_∞."""
    return AbsoluteRowSum(kernels.get(setting.kernel), setting.dim, largest=True)


def mean_row_sum(setting: Setting) -> AbsoluteRowSum:
    """State the mean sum of absolute weights of a row."""
    return AbsoluteRowSum(kernels.get(setting.kernel), setting.dim)


def largest_column_sum(setting: Setting) -> LargestColumnSum:
    """State the expected largest column sum of the nearest kernel."""
    if setting.kernel != "nearest":
        raise NotReducible(sp.Symbol(setting.kernel), "loads are counts for the nearest kernel")
    return LargestColumnSum(setting.dim)


def largest_column_sum_of_many(setting: Setting) -> LargestColumnSumOfMany:
    """State the expected largest column sum on a large grid."""
    return LargestColumnSumOfMany(column_sum_tail(setting))


def squared_norm(setting: Setting) -> SquaredNorm:
    """State the expected squared norm ‖W‖₂² of the nearest kernel."""
    if setting.kernel != "nearest":
        raise NotReducible(sp.Symbol(setting.kernel), "WᵀW is diagonal for the nearest kernel alone")
    return SquaredNorm(setting.dim)


def schur_bound(setting: Setting) -> SchurBound:
    """State the probability that ‖W‖₂² ≤ ‖W‖₁‖W‖_∞."""
    return SchurBound()


def column_sum_tail(setting: Setting) -> ColumnSumTail:
    """State the probability that a column sums to more than t."""
    return ColumnSumTail(kernels.get(setting.kernel), setting.dim)


def _simulation_of(make: Callable[[Any], Any]) -> Callable[[Statistic, Setting], Any]:
    return lambda statistic, setting: make(statistic)


# Pixels along an axis, by the number of axes: where loads are counted, where there are many, for dense matrices.
_LOADS = {1: whole(256, 32, 512), 2: whole(16, 6, 22), 3: whole(6, 4, 8)}
_MANY = {1: whole(4096, 1024, 6144), 2: whole(64, 24, 80)}
_MATRICES = {1: whole(64, 24, 96), 2: whole(8, 5, 10), 3: whole(4, 4, 5)}

RESULT = Result(
    label="B5",
    title="Norms: rows are bounded, columns are not",
    statement=(
        "‖W‖_∞ = sup_f Λ(f)ᵈ with Λ(f) = Σₘ |k(f − m)|: 1 for non-negative weights, (5/4)ᵈ for cubic convolution. "
        "‖W‖₁, the largest column sum, is unbounded: with positions uniform over N pixels it is the largest load of "
        "balls in bins for the nearest kernel, log N / log log N, and one column sum is compound Poisson, of |S|ᵈ "
        "expected readings; of many columns the largest exceeds t with the probability 1 − exp(−Nᵈ P(S > t)). ‖W‖₂ ≤ "
        "√(‖W‖₁ ‖W‖_∞) (Schur), with equality for the nearest kernel, whose ‖W‖₂² is the largest load."
    ),
    assumptions=(
        "Row sums: none; their mean is for fractions that are uniform and independent along the axes.",
        "Column sums: the offsets are independent over the pixels, so wide that positions are uniform over the grid, "
        "which is periodic; in one column of a large grid, weights are ≥ 0.",
    ),
    source=(
        "arXiv 2511.20800, backward pass; I. Schur, J. reine angew. Math. 140, 1911 (the bound); M. Raab, A. Steger, "
        "Balls into bins, RANDOM 1998; theory label B5"
    ),
    quantities=(
        Quantity("infinity norm", infinity_norm, simulation=_simulation_of(RowSumSimulation)),
        Quantity("mean absolute row sum", mean_row_sum, simulation=_simulation_of(RowSumSimulation)),
        Quantity(
            "largest column sum",
            largest_column_sum,
            kernels=("nearest",),
            values=lambda setting: {SIZE.name: _LOADS[setting.dim]},
            simulation=lambda _, s: LargestColumnSimulation(s.kernel, s.dim),
        ),
        Quantity(
            "largest column sum, many pixels",
            largest_column_sum_of_many,
            smallest_effect=0.02,
            kernels=("linear",),
            dims=(1, 2),
            values=lambda setting: {SIZE.name: _MANY[setting.dim]},
            simulation=lambda _, s: LargestColumnSimulation(s.kernel, s.dim),
        ),
        # A singular value takes as long as thousands of pixels.
        Quantity(
            "squared norm",
            squared_norm,
            smallest_effect=0.1,
            kernels=("nearest",),
            values=lambda setting: {SIZE.name: _MATRICES[setting.dim]},
            simulation=lambda _, s: NormSimulation(s.kernel, s.dim, bound=False),
        ),
        Quantity(
            "share within Schur's bound",
            schur_bound,
            smallest_effect=0.1,
            kernels=("linear", "keys"),
            values=lambda setting: {SIZE.name: _MATRICES[setting.dim]},
            simulation=lambda _, s: NormSimulation(s.kernel, s.dim, bound=True),
        ),
        Quantity(
            "tail of a column sum",
            column_sum_tail,
            smallest_effect=0.02,
            kernels=("linear", "nearest", "bspline3"),
            values=lambda setting: {THRESHOLD.name: Range(1.6, 1.1, 2.4)},
            simulation=_simulation_of(ColumnTailSimulation),
        ),
    ),
    kernels=("keys", "linear", "nearest"),
)
