"""The largest column sum of W for the nearest kernel: a column counts the outputs that are nearest to its pixel.

With positions uniform over the grid the outputs are balls and the pixels are bins. The norm ‖W‖₂ is at most the root of
the largest column sum and the largest row sum (Schur), and for this kernel equal to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg
from torch import Tensor

from warptheory import warping
from warptheory.results.backward._column_tail import SIZE, THRESHOLD, ColumnSumTail
from warptheory.symbolic import Derivation, Statistic, Step
from warptheory.symbolic._balls_in_bins import GeneratingFunction, LargestLoad, SumOfTails, whole_size
from warptheory.symbolic._nodes import Node
from warptheory.symbolic._quadrature import Environment, Evaluate


@dataclass(frozen=True)
class LargestColumnSum(Statistic):
    """The expected largest column sum of W for the nearest kernel on a torus of Nᵈ pixels.

    Attributes:
        dim: number d of axes.
    """

    dim: int = 1

    def derive(self) -> Derivation:
        """Return the steps to the sum over the generating function."""
        pixels = SIZE**self.dim
        return Derivation(
            str(self),
            (
                Step("Largest column", "a column sum counts the outputs nearest to a pixel", LargestLoad(pixels)),
                Step(
                    "Add the tails",
                    "positions are independent and uniform, so the counts are multinomial; E X = Σ P(X > k)",
                    SumOfTails(pixels),
                ),
                Step(
                    "Generating function",
                    "M!/∏jₘ! of the Mᴹ placements, M = Nᵈ, have the counts jₘ, each at most k",
                    GeneratingFunction(pixels),
                ),
            ),
        )

    def __str__(self) -> str:
        return f"E maxₘ Σₙ W[n, m], d = {self.dim}"


@dataclass(frozen=True)
class SquaredNorm(Statistic):
    """The expected squared norm ‖W‖₂² for the nearest kernel on a torus of Nᵈ pixels.

    Attributes:
        dim: number d of axes.
    """

    dim: int = 1

    def derive(self) -> Derivation:
        """Return the steps of the largest column sum, which it is."""
        first, *others = LargestColumnSum(self.dim).derive().steps
        attained = Step(
            "Attain Schur's bound",
            "a row of W is a unit vector, so that WᵀW is diagonal, and holds how often a pixel is read: ‖W‖₂² = ‖W‖₁",
            first.expression,
        )
        return Derivation(str(self), (attained, *others))

    def __str__(self) -> str:
        return f"E ‖W‖₂², d = {self.dim}"


@dataclass(frozen=True)
class SchurBound(Statistic):
    """The probability that ‖W‖₂² ≤ ‖W‖₁‖W‖_∞."""

    def derive(self) -> Derivation:
        """Return the one step of Schur's test, whose inequality is checked."""
        u, v, c = sp.symbols("u v c", positive=True)
        gap = sp.expand((sp.sqrt(c) * u - v / sp.sqrt(c)) ** 2 - (c * u**2 + v**2 / c - 2 * u * v))
        if gap != 0:
            raise ArithmeticError("2uv ≤ cu² + v²/c has to be a square")
        reason = (
            "2 uᵀWv ≤ Σ |W[n, m]| (c u[n]² + v[m]²/c) ≤ c‖W‖_∞‖u‖² + ‖W‖₁‖v‖²/c for every c > 0, as 2uv ≤ cu² + v²/c; "
            "the least of the right side over c is 2√(‖W‖₁‖W‖_∞)‖u‖‖v‖: for every W, and so with probability"
        )
        return Derivation(str(self), (Step("Schur's test", reason, sp.Integer(1)),))

    def __str__(self) -> str:
        return "P(‖W‖₂² ≤ ‖W‖₁ ‖W‖_∞)"


class PoissonMaximum(Node):
    """E max of Nᵈ column sums that are large independently of each other: args (P(S > t), t, Nᵈ)."""

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """Symbols of the tail and the number, without t."""
        return (self.args[0].free_symbols - {self.args[1]}) | self.args[2].free_symbols

    def display(self, *, latex: bool) -> sp.Expr:
        """Return ∫ (1 − exp(−Nᵈ P(S > t))) dt."""
        tail, threshold, number = self.args
        return sp.Integral(1 - sp.exp(-number * tail), (threshold, 0, sp.oo))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Integrate by panels of half a unit, up to where the tail is negligible."""
        tail, threshold, number = self.args
        count = float(evaluate(number, environment))
        nodes, weights = np.polynomial.legendre.leggauss(4)
        total, start, panel = 0.0, 0.0, 0.0
        while start < 4 or panel > _NEGLIGIBLE * _PANEL:
            points = start + _PANEL * (nodes + 1) / 2
            tails = [float(evaluate(tail, {**environment, threshold: float(point)})) for point in points]
            panel = float(_PANEL / 2 * np.dot(weights, -np.expm1(-count * np.array(tails))))
            total, start = total + panel, start + _PANEL
        return total


_PANEL, _NEGLIGIBLE = 0.5, 1e-6


@dataclass(frozen=True)
class LargestColumnSumOfMany(Statistic):
    """The expected largest column sum of W on a large torus, for a kernel with weights ≥ 0.

    Attributes:
        tail: the law of one column.
    """

    tail: ColumnSumTail

    def derive(self) -> Derivation:
        """Return the step from the law of one column; raises as its `derive`."""
        one = self.tail.derive().steps[1].expression  # the law of rare events, of which the closed form is a series
        reason = (
            "for many pixels a level t that only some columns exceed is exceeded by a Poisson number of them, of mean "
            "Nᵈ P(S > t) (law of rare events; columns without a common output are independent); E max = ∫P(max > t)dt"
        )
        return Derivation(
            str(self), (Step("Rare columns", reason, PoissonMaximum(one, THRESHOLD, SIZE**self.tail.dim)),)
        )

    def __str__(self) -> str:
        return f"E maxₘ Σₙ W[n, m], N → ∞, {self.tail.kernel.name}, d = {self.tail.dim}"


@dataclass(frozen=True)
class LargestColumnSimulation:
    """The largest column sum of W on a torus of Nᵈ pixels, positions uniform over it.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
    """

    kernel: str = "nearest"
    dim: int = 1

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels Nᵈ."""
        return int(whole_size(values[SIZE.name]) ** self.dim)

    @property
    def symbols(self) -> set[str]:
        """The size N."""
        return {SIZE.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the largest column sums of independent operators.

        Args:
            generator: source of every random number.
            rows: number of operators.
            values: N, the number of pixels along an axis.
            device: device on which the operator runs.

        Returns:
            Largest column sums, without unit, shape (rows,), float64.
        """
        offsets, grid = _wide_offsets(generator, rows, values, self.dim)
        return warping.hit_counts(offsets.to(device), grid, self.kernel, "periodic").flatten(1).amax(1)


@dataclass(frozen=True)
class NormSimulation:
    """Norms of the matrix of W on a torus of Nᵈ pixels, positions uniform over it; ‖W‖₂ is that of SciPy's `svds`.

    Attributes:
        kernel: name of the kernel.
        dim: number d of axes.
        bound: whether the share of operators within Schur's bound is meant, in place of the mean of ‖W‖₂².
    """

    kernel: str
    dim: int
    bound: bool

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of entries of a matrix."""
        return int(whole_size(values[SIZE.name]) ** (2 * self.dim))

    @property
    def symbols(self) -> set[str]:
        """The size N."""
        return {SIZE.name}

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw matrices; shape (rows,)."""
        offsets, grid = _wide_offsets(generator, rows, values, self.dim)
        found = []
        for one in offsets:
            matrix = warping.warp_matrix(one[None].to(device), grid, self.kernel, "periodic")[0].coalesce().cpu()
            rows_and_columns = matrix.indices().numpy()
            entries = sparse.csr_array((matrix.values().numpy(), rows_and_columns), shape=(len(matrix), len(matrix)))
            start = generator.standard_normal(entries.shape[0])
            norm = float(sparse_linalg.svds(entries, k=1, v0=start, return_singular_vectors=False)[0])
            sizes = abs(entries)
            limit = sizes.sum(0).max() * sizes.sum(1).max()
            found.append(norm**2 <= limit * (1 + _ROUNDING) if self.bound else norm**2)
        return torch.tensor(found, dtype=torch.float64)


_ROUNDING = 1e-10


def _wide_offsets(
    generator: np.random.Generator, rows: int, values: Mapping[str, float], dim: int
) -> tuple[Float[Tensor, "rows d *T"], tuple[int, ...]]:
    """Draw offsets that place every pixel uniformly over the torus; return its size too."""
    size = whole_size(values[SIZE.name])
    grid = (size,) * dim
    return torch.from_numpy(generator.uniform(0, size, (rows, dim, *grid))), grid
