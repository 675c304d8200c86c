"""Sums of absolute weights along a row of W: what one output reads of all inputs.

An output at fraction f reads with the weights ∏ᵢ k(fᵢ − mᵢ), whose absolute values add up to ∏ᵢ Λ(fᵢ), Λ(f) =
Σₘ |k(f − m)|. The largest such sum is the norm ‖W‖_∞. Λ is piecewise, like the kernel: on every piece on which no
weight changes its sign it is a sum of the weights themselves.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory import warping
from warptheory.kernels import FRACTION, Kernel, PeriodicFunction
from warptheory.kernels._periodic import Cell
from warptheory.symbolic import Derivation, NotReducible, Statistic, Step
from warptheory.symbolic._nodes import Node, Opaque
from warptheory.symbolic._quadrature import Environment, Evaluate
from warptheory.symbolic._reading import kernel_values


@dataclass(frozen=True)
class AbsoluteRowSum(Statistic):
    """The sum of absolute weights of a row of W, its mean over uniform fractions or its supremum ‖W‖_∞.

    Attributes:
        kernel: the interpolation kernel.
        dim: number d of axes.
        largest: whether the supremum is meant.
    """

    kernel: Kernel
    dim: int
    largest: bool = False

    def derive(self) -> Derivation:
        """Return the steps to the number; raises as `Statistic.derive`."""
        node = LargestRowSum if self.largest else MeanRowSum
        kernel, function = Opaque(self.kernel), absolute_tap_sum(self.kernel)
        pieces = "on every piece the weights have one sign: Λ(f) = Σₘ |k(f − m)|"
        if self.largest:
            line = _largest_value(function)
            name, reason = "Candidates", f"{pieces}, largest where Λ′ = 0 or where pieces meet"
        else:
            line = sp.Integral(function.at(FRACTION), (FRACTION, 0, 1))
            name, reason = "Take the signs", pieces
        number = line.doit() if self.largest else function.mean()
        return Derivation(
            str(self),
            (
                Step("Row", "the sum of absolute weights of an output at fraction f", node(kernel, self.dim)),
                Step(
                    "Separate the axes",
                    "|∏k| = ∏|k|, a product of functions of one fraction each",
                    node(kernel, 1) ** self.dim,
                ),
                Step(name, reason, line**self.dim),
                Step("Evaluate", "exactly", number**self.dim),
            ),
        )

    def __str__(self) -> str:
        return "‖W‖_∞ = sup Σₘ |W[n, m]|" if self.largest else "E Σₘ |W[n, m]|"


@cache
def absolute_tap_sum(kernel: Kernel) -> PeriodicFunction:
    """Return Λ(f) = Σₘ |k(f − m)|, the sum of absolute weights along one axis, exactly.

    Raises:
        NotReducible: a kernel that reads every pixel, or weights of unknown sign that are not polynomials.
    """
    if not kernel.is_compact or kernel.prefilter is not None:
        raise NotReducible(
            sp.Symbol(f"the row sums of {kernel.name}"),
            "it reads every pixel; a kernel of finite support is needed, such as linear or keys",
        )
    signed = [_signed_cells(weight) for weight in kernel.taps.values()]
    if all(sign >= 0 for cells in signed for sign, _ in cells):
        return kernel.tap_sum((0,))  # absolute values change nothing
    return PeriodicFunction.sum(
        PeriodicFunction.from_cells(cell._replace(expression=sign * cell.expression) for sign, cell in cells)
        for cells in signed
    )


def _signed_cells(weight: PeriodicFunction) -> list[tuple[int, Cell]]:
    """Cut the cells where the weight changes sign; return each with its sign."""
    cells = []
    for cell in weight.cells:
        inside = [root for root in _roots(cell.expression) if cell.lower < root < cell.upper]
        for low, high in itertools.pairwise([cell.lower, *inside, cell.upper]):
            sign = sp.sign(cell.expression.subs(FRACTION, (low + high) / 2))
            cells.append((int(sign), Cell(low, high, cell.expression)))
    return cells


def _roots(expression: sp.Expr) -> list[sp.Expr]:
    """Return where a rational function of f may change sign, ascending; nowhere for what is positive everywhere."""
    if expression.is_positive or expression.is_negative:
        return []
    if not expression.is_rational_function(FRACTION):
        raise NotReducible(expression, "the sign of this function of the fraction is not known")
    polynomials = [sp.Poly(part, FRACTION) for part in sp.fraction(sp.together(expression))]
    return sorted({root for polynomial in polynomials if polynomial.degree() > 0 for root in sp.real_roots(polynomial)})


def _largest_value(function: PeriodicFunction) -> sp.Expr:
    """Return the maximum over the ends of the cells and the points where the derivative vanishes, unevaluated."""
    candidates = set()
    for cell in function.cells:
        slope = sp.diff(cell.expression, FRACTION)
        inside = [root for root in _roots(slope) if cell.lower < root < cell.upper]
        points = [cell.lower, *inside, cell.upper]
        candidates |= {cell.expression.subs(FRACTION, point) for point in points}
    ordered = sorted(candidates)
    return ordered[0] if len(ordered) == 1 else sp.Max(*ordered, evaluate=False)


class _OfAbsoluteRowSum(Node):
    """A number that Σₘ |∏ᵢ k(fᵢ − mᵢ)|, a function of the fractions, leads to: args (kernel, dim)."""

    @property
    def dim(self) -> int:
        """Number d of axes."""
        return int(self.args[1])

    @property
    def fractions(self) -> tuple[sp.Symbol, ...]:
        """The fraction along each axis."""
        return tuple(sp.Symbol(f"f_{axis + 1}" if self.dim > 1 else "f") for axis in range(self.dim))

    @property
    def row_sum(self) -> sp.Expr:
        """The sum itself, to be printed."""
        taps = [sp.Symbol(f"m_{axis + 1}" if self.dim > 1 else "m", integer=True) for axis in range(self.dim)]
        factors = [sp.Function("k")(f - m) for f, m in zip(self.fractions, taps, strict=True)]
        return sp.Sum(sp.Abs(sp.Mul(*factors)), *((m, -sp.oo, sp.oo) for m in taps))

    def at(self, fractions: ndarray) -> ndarray:
        """Return the sum at every combination of fractions of shape (d, P), by the definition; shape (P, …, P)."""
        kernel = self.args[0].content
        taps = np.arange(min(kernel.taps), max(kernel.taps) + 1)
        weights = [kernel_values(kernel, line[:, None] - taps) for line in fractions]
        total = np.zeros((fractions.shape[1],) * self.dim)
        for combination in itertools.product(range(len(taps)), repeat=self.dim):
            product = np.ones(())
            for axis, tap in enumerate(combination):
                product = product[..., None] * weights[axis][:, tap]
            total = total + np.abs(product)
        return total


class MeanRowSum(_OfAbsoluteRowSum):
    """The mean over uniform fractions of a row's sum of absolute weights."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the integral."""
        return sp.Integral(self.row_sum, *((f, 0, 1) for f in self.fractions))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Integrate by Gauss–Legendre panels between multiples of 1/4; a scalar."""
        nodes, weights = np.polynomial.legendre.leggauss(12)
        points = ((np.arange(4)[:, None] + (nodes + 1) / 2) / 4).ravel()
        total = self.at(np.tile(points, (self.dim, 1)))
        for _ in range(self.dim):
            total = total @ np.tile(weights / 8, 4)
        return float(total)


class LargestRowSum(_OfAbsoluteRowSum):
    """The supremum over the fractions of a row's sum of absolute weights."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the supremum."""
        return sp.Function(r"\sup_f" if latex else "sup_f")(self.row_sum)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float | ndarray:
        """Search a grid of fractions, then finer ones around the best; maxima are flat, hence exact; a scalar."""
        centre, width = np.full(self.dim, 0.5), 0.5
        for _ in range(12):
            steps = np.linspace(-width, width, 33)
            lines = np.clip(centre[:, None] + steps, 0.0, 1.0 - 2.0**-40)
            sums = self.at(lines)
            best = np.unravel_index(int(np.argmax(sums)), sums.shape)
            centre = np.array([lines[axis, place] for axis, place in enumerate(best)])
            width /= 8
        return float(sums.max())


@dataclass(frozen=True)
class RowSumSimulation:
    """Sums of absolute weights of the rows of W, from its matrix on a periodic grid.

    Attributes:
        statistic: what is estimated. Its mean is taken at random fractions; the supremum over a grid of
            fractions, multiples of one pixel over the size, that holds all combinations along the axes,
            each at a random distance in whole pixels.
    """

    statistic: AbsoluteRowSum

    @property
    def size(self) -> int:
        """Number of pixels along an axis."""
        return {1: 64, 2: 16, 3: 12}[self.statistic.dim]

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of entries of a matrix."""
        return int((self.size * len(self.statistic.kernel.taps)) ** self.statistic.dim)

    @property
    def symbols(self) -> set[str]:
        """No symbol needs a number."""
        return set()

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw mean or largest absolute row sums of independent matrices.

        Args:
            generator: source of every random number.
            rows: number of matrices.
            values: not used.
            device: device on which the operator runs.

        Returns:
            Absolute row sums, without unit, shape (rows,), float64.
        """
        dim, grid = self.statistic.dim, (self.size,) * self.statistic.dim
        if self.statistic.largest:
            fractions = np.stack(np.meshgrid(*[np.arange(self.size) / self.size] * dim, indexing="ij"))
            moved = fractions + generator.integers(-self.size, self.size, (rows, dim, *grid))
        else:
            moved = generator.uniform(-0.5, 0.5, (rows, dim, *grid))
        offsets = torch.from_numpy(moved).to(device)
        matrix = warping.warp_matrix(offsets, kernel=self.statistic.kernel, boundary="periodic")
        sums = _absolute_row_sums(matrix)
        return sums.amax(1) if self.statistic.largest else sums.mean(1)


def _absolute_row_sums(matrix: Tensor) -> Tensor:
    batch, row, _ = matrix.indices()
    sums = torch.zeros(matrix.shape[0] * matrix.shape[1], dtype=torch.float64, device=matrix.device)
    sums.index_add_(0, batch * matrix.shape[1] + row, matrix.values().abs())
    return sums.reshape(matrix.shape[:2])
