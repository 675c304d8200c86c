"""B5: the norms of W. Rows are bounded, columns are not: some inputs receive many gradients at once."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from scipy import sparse
from scipy.sparse import linalg as sparse_linalg
from torch import Tensor

from warptheory import warping
from warptheory.kernels import FRACTION, PeriodicFunction
from warptheory.results._experiment import DerivedExperiment
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results.backward._balls_in_bins import GeneratingFunction, LargestLoad, SumOfTails, whole_size
from warptheory.results.backward._compound_poisson import (
    SIZE,
    THRESHOLD,
    ColumnTail,
    MixtureTail,
    PoissonMaximum,
    equal_weights_steps,
    uniform_weights_steps,
    weight_law,
)
from warptheory.results.backward._reading import WideLimit, support_size
from warptheory.results.backward._row_sums import (
    LargestRowSum,
    MeanRowSum,
    OfAbsoluteRowSum,
    absolute_tap_sum,
    largest_value,
)
from warptheory.symbolic import NotReducible, Step
from warptheory.symbolic.nodes import Opaque

result = Result(
    "B5",
    "Norms: rows are bounded, columns are not",
    "‖W‖_∞ = sup_f Λ(f)ᵈ with Λ(f) = Σₘ |k(f − m)|: 1 for non-negative weights, (5/4)ᵈ for cubic convolution. "
    "‖W‖₁, the largest column sum, is unbounded: with positions uniform over N pixels it is the largest load of "
    "balls in bins for the nearest kernel, log N / log log N, and one column sum is compound Poisson, of |S|ᵈ "
    "expected readings; of many columns the largest exceeds t with the probability 1 − exp(−Nᵈ P(S > t)). ‖W‖₂ ≤ "
    "√(‖W‖₁ ‖W‖_∞) (Schur), with equality for the nearest kernel, whose ‖W‖₂² is the largest load.",
    assumptions=(
        "Row sums: none; their mean is for fractions that are uniform and independent along the axes.",
        "Column sums: the offsets are independent over the pixels, so wide that positions are uniform over the grid, "
        "which is periodic; in one column of a large grid, weights are ≥ 0.",
    ),
    source="arXiv 2511.20800, backward pass; I. Schur, J. reine angew. Math. 140, 1911 (the bound); M. Raab, A. "
    "Steger, Balls into bins, RANDOM 1998; theory label B5",
    meaning="A kernel without negative weights never amplifies an output, but the gradient of a single input "
    "grows with the number of outputs that read it. Bound it by smooth offsets, or by small ones: offsets "
    "of up to R pixels let (2R + 1)ᵈ outputs read an input at most.",
    kernels=("keys", "linear", "nearest"),
    notation={
        "N": "the number of pixels",
        "t": "the size of a column sum",
    },
)

# Pixels along an axis, by the number of axes: where loads are counted, where there are many, for dense matrices.
_LOADS = {1: whole(256, 32, 512), 2: whole(16, 6, 22), 3: whole(6, 4, 8)}
_MANY = {1: whole(4096, 1024, 6144), 2: whole(64, 24, 80)}
_MATRICES = {1: whole(64, 24, 96), 2: whole(8, 5, 10), 3: whole(4, 4, 5)}


class RowSumExperiment(DerivedExperiment):
    """Sums of absolute weights of the rows of W, from its matrix on a periodic grid."""

    symbols = frozenset[str]()
    pixels: ClassVar[Mapping[int, int]] = {1: 64, 2: 16, 3: 12}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of entries of a matrix."""
        return int((self.grid[0] * len(self.kernel.taps)) ** self.setting.dim)

    def from_separate_axes(
        self, node: type[OfAbsoluteRowSum], name: str, reason: str, line: sp.Expr, number: sp.Expr
    ) -> tuple[Step, ...]:
        """Return the steps from a number that Σₘ |W[n, m]| leads to, to one axis.

        Args:
            node: the number that is meant.
            name: name of the step that finds it along one axis.
            reason: its reason.
            line: what it finds.
            number: the value of that.
        """
        kernel, dim = Opaque(self.kernel), self.setting.dim
        pieces = "on every piece the weights have one sign: Λ(f) = Σₘ |k(f − m)|"
        return (
            Step("Row", "the sum of absolute weights of an output at fraction f", node(kernel, dim)),
            Step(
                "Separate the axes", "|∏k| = ∏|k|, a product of functions of one fraction each", node(kernel, 1) ** dim
            ),
            Step(name, pieces + reason, line**dim),
            Step("Evaluate", "exactly", number**dim),
        )

    def row_sums(self, offsets: Float[np.ndarray, "rows d *T"], device: str) -> Float[Tensor, "rows N"]:
        """Return Σₘ |W[n, m]| of every output, shape (rows, outputs)."""
        matrix = warping.warp_matrix(torch.from_numpy(offsets).to(device), kernel=self.kernel, boundary="periodic")
        batch, row, _ = matrix.indices()
        sums = torch.zeros(matrix.shape[0] * matrix.shape[1], dtype=torch.float64, device=matrix.device)
        sums.index_add_(0, batch * matrix.shape[1] + row, matrix.values().abs())
        return sums.reshape(matrix.shape[:2])


@result.quantity("infinity norm")
class InfinityNorm(RowSumExperiment):
    """‖W‖_∞, the largest sum of absolute weights of a row.

    Drawn over fractions that are multiples of one pixel over the size, all combinations along the axes, each at a
    random distance in whole pixels.
    """

    text = "‖W‖_∞ = sup Σₘ |W[n, m]|"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to the number; raises as `absolute_tap_sum`."""
        line = largest_value(absolute_tap_sum(self.kernel))
        reason = ", largest where Λ′ = 0 or where pieces meet"
        return self.from_separate_axes(LargestRowSum, "Candidates", reason, line, line.doit())

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw norms of independent matrices, without unit; shape (rows,)."""
        size, shape = self.grid[0], (rows, self.setting.dim, *self.grid)
        fractions = np.stack(np.meshgrid(*[np.arange(size) / size] * self.setting.dim, indexing="ij"))
        return self.row_sums(fractions + generator.integers(-size, size, shape), device).amax(1)


@result.quantity("mean absolute row sum")
class MeanAbsoluteRowSum(RowSumExperiment):
    """The mean sum of absolute weights of a row, fractions uniform."""

    text = "E Σₘ |W[n, m]|"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to the number; raises as `absolute_tap_sum`."""
        function = absolute_tap_sum(self.kernel)
        line = sp.Integral(function.at(FRACTION), (FRACTION, 0, 1))
        return self.from_separate_axes(MeanRowSum, "Take the signs", "", line, function.mean())

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw mean row sums of independent matrices, without unit; shape (rows,)."""
        offsets = generator.uniform(-0.5, 0.5, (rows, self.setting.dim, *self.grid))
        return self.row_sums(offsets, device).mean(1)


class TorusExperiment(DerivedExperiment):
    """W on a torus of Nᵈ pixels, positions uniform over it."""

    symbols = frozenset({SIZE.name})

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels Nᵈ."""
        return int(whole_size(values[SIZE.name]) ** self.setting.dim)

    def check_nearest(self, reason: str) -> None:
        """Check that weights are 0 and 1.

        Raises:
            NotReducible: another kernel than nearest.
        """
        if self.setting.kernel != "nearest":
            raise NotReducible(sp.Symbol(self.setting.kernel), reason)

    def wide_offsets(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float]
    ) -> tuple[Float[Tensor, "rows d *T"], tuple[int, ...]]:
        """Draw offsets that place every pixel uniformly over the torus, shape (rows, d, *T); return its size too."""
        size = whole_size(values[SIZE.name])
        grid = (size,) * self.setting.dim
        return torch.from_numpy(generator.uniform(0, size, (rows, self.setting.dim, *grid))), grid


class LargestColumnExperiment(TorusExperiment):
    """The largest column sum of W."""

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the largest column sums of independent operators, without unit; shape (rows,)."""
        offsets, grid = self.wide_offsets(generator, rows, values)
        return warping.hit_counts(offsets.to(device), grid, self.kernel, "periodic").flatten(1).amax(1)


@result.quantity("largest column sum", kernels=("nearest",), values=lambda setting: {SIZE.name: _LOADS[setting.dim]})
class LargestColumnSum(LargestColumnExperiment):
    """The expected largest column sum of the nearest kernel: outputs are balls, pixels are bins."""

    text = "E maxₘ Σₙ W[n, m]"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to the sum over the generating function; raises as `check_nearest`."""
        self.check_nearest("loads are counts for the nearest kernel")
        pixels = SIZE**self.setting.dim
        return (
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
        )


@result.quantity(
    "largest column sum, many pixels",
    smallest_effect=0.02,
    kernels=("linear",),
    dims=(1, 2),
    values=lambda setting: {SIZE.name: _MANY[setting.dim]},
)
class LargestColumnSumOfMany(LargestColumnExperiment):
    """The expected largest column sum on a large torus, for a kernel with weights ≥ 0."""

    text = "E maxₘ Σₙ W[n, m] as N → ∞"

    def steps(self) -> tuple[Step, ...]:
        """Return the step from the law of one column; raises as its steps."""
        one = ColumnSumTail(self.setting).steps()[1].expression  # the law of rare events; its closed form is a series
        reason = (
            "for many pixels a level t that only some columns exceed is exceeded by a Poisson number of them, of mean "
            "Nᵈ P(S > t) (law of rare events; columns without a common output are independent); E max = ∫P(max > t)dt"
        )
        return (Step("Rare columns", reason, PoissonMaximum(one, THRESHOLD, SIZE**self.setting.dim)),)


class NormExperiment(TorusExperiment):
    """Norms of the matrix of W; ‖W‖₂ is that of SciPy's `svds`."""

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of entries of a matrix."""
        return super().row_elements(values) ** 2

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw matrices; shape (rows,)."""
        offsets, grid = self.wide_offsets(generator, rows, values)
        found = []
        for one in offsets:
            matrix = warping.warp_matrix(one[None].to(device), grid, self.kernel, "periodic")[0].coalesce().cpu()
            rows_and_columns = matrix.indices().numpy()
            entries = sparse.csr_array((matrix.values().numpy(), rows_and_columns), shape=(len(matrix), len(matrix)))
            start = generator.standard_normal(entries.shape[0])
            norm = float(sparse_linalg.svds(entries, k=1, v0=start, return_singular_vectors=False)[0])
            found.append(self.seen(norm, abs(entries)))
        return torch.tensor(found, dtype=torch.float64)

    @abstractmethod
    def seen(self, norm: float, sizes: sparse.csr_array) -> float:
        """Return the number of a matrix of norm ‖W‖₂ and the absolute entries `sizes`."""


# A singular value takes as long as thousands of pixels.
@result.quantity(
    "squared norm",
    smallest_effect=0.1,
    kernels=("nearest",),
    values=lambda setting: {SIZE.name: _MATRICES[setting.dim]},
)
class SquaredNorm(NormExperiment):
    """The expected squared norm ‖W‖₂² of the nearest kernel."""

    text = "E ‖W‖₂²"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of the largest column sum, which it is; raises as `check_nearest`."""
        self.check_nearest("WᵀW is diagonal for the nearest kernel alone")
        first, *others = LargestColumnSum(self.setting).steps()
        reason = (
            "a row of W is a unit vector, so that WᵀW is diagonal, and holds how often a pixel is read: ‖W‖₂² = ‖W‖₁"
        )
        return Step("Attain Schur's bound", reason, first.expression), *others

    def seen(self, norm: float, sizes: sparse.csr_array) -> float:
        """Return ‖W‖₂²."""
        return norm**2


_ROUNDING = 1e-10


@result.quantity(
    "share within Schur's bound",
    smallest_effect=0.1,
    kernels=("linear", "keys"),
    values=lambda setting: {SIZE.name: _MATRICES[setting.dim]},
)
class SchurBound(NormExperiment):
    """The probability that ‖W‖₂² ≤ ‖W‖₁‖W‖_∞."""

    text = "P(‖W‖₂² ≤ ‖W‖₁ ‖W‖_∞)"

    def steps(self) -> tuple[Step, ...]:
        """Return the one step of Schur's test, whose inequality is checked."""
        u, v, c = sp.symbols("u v c", positive=True)
        gap = sp.expand((sp.sqrt(c) * u - v / sp.sqrt(c)) ** 2 - (c * u**2 + v**2 / c - 2 * u * v))
        if gap != 0:
            raise ArithmeticError("2uv ≤ cu² + v²/c has to be a square")
        reason = (
            "2 uᵀWv ≤ Σ |W[n, m]| (c u[n]² + v[m]²/c) ≤ c‖W‖_∞‖u‖² + ‖W‖₁‖v‖²/c for every c > 0, as 2uv ≤ cu² + v²/c; "
            "the least of the right side over c is 2√(‖W‖₁‖W‖_∞)‖u‖‖v‖: for every W, and so with probability"
        )
        return (Step("Schur's test", reason, sp.Integer(1)),)

    def seen(self, norm: float, sizes: sparse.csr_array) -> float:
        """Return 1 within the bound, and else 0."""
        limit = sizes.sum(0).max() * sizes.sum(1).max()
        return float(norm**2 <= limit * (1 + _ROUNDING))


@result.quantity(
    "tail of a column sum",
    smallest_effect=0.02,
    kernels=("linear", "nearest", "bspline3"),
    values={THRESHOLD.name: Range(1.6, 1.1, 2.4)},
)
class ColumnSumTail(DerivedExperiment):
    """The probability that a column of W sums to more than t, for weights ≥ 0 and positions uniform over a wide torus.

    Drawn is the share of columns that do: the splat of ones.
    """

    text = "P(Σₙ W[n, m] > t)"
    symbols = frozenset({THRESHOLD.name})
    # So many that the binomial readings are Poisson up to a tenth of the smallest effect.
    pixels: ClassVar[Mapping[int, int]] = {1: 4096, 2: 128, 3: 32}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps to the closed form, or to the compound Poisson law where there is none.

        Raises:
            NotReducible: weights of both signs, or a kernel that reads every pixel.
        """
        if absolute_tap_sum(self.kernel) != PeriodicFunction.constant(sp.Integer(1)):
            raise NotReducible(sp.Symbol(self.kernel.name), "column sums are derived for weights ≥ 0 that sum to one")
        kernel, dim = Opaque(self.kernel), self.setting.dim
        mean = support_size(self.kernel) ** dim
        rare = (
            Step(
                "Torus",
                "each of Nᵈ outputs reads the pixel with probability |S|ᵈ/Nᵈ, at a uniform place in the support",
                WideLimit(ColumnTail(kernel, dim, THRESHOLD, SIZE**dim), SIZE, dim),
            ),
            Step(
                "Law of rare events",
                f"the number R of readings is binomial, and Poisson of mean |S|ᵈ = {mean} in the limit",
                ColumnTail(kernel, dim, THRESHOLD, sp.oo),
            ),
        )
        try:
            law = weight_law(self.kernel, dim)
        except NotReducible:
            return rare
        mixture = MixtureTail(kernel, dim, THRESHOLD)
        closed = equal_weights_steps if law.is_constant else uniform_weights_steps
        return (
            *rare,
            Step("Condition on R", "weights are independent of their number", mixture),
            *closed(mean, law.top),
        )

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the shares of independent grids, in [0, 1]; shape (rows,)."""
        positions = generator.uniform(0, self.grid[0], (rows, self.setting.dim, *self.grid))
        counts = warping.hit_counts(torch.from_numpy(positions).to(device), self.grid, self.kernel, boundary="periodic")
        return (counts > values[THRESHOLD.name]).to(torch.float64).flatten(1).mean(1)
