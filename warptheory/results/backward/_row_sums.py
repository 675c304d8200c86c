"""Sums of absolute weights along a row of W: what one output reads of all inputs.

An output at fraction f reads with the weights ∏ᵢ k(fᵢ − mᵢ), whose absolute values add up to ∏ᵢ Λ(fᵢ), Λ(f) =
Σₘ |k(f − m)|. The largest such sum is the norm ‖W‖_∞. Λ is piecewise, like the kernel: on every piece on which no
weight changes its sign it is a sum of the weights themselves.
"""

import itertools
from functools import cache

import numpy as np
import sympy as sp
from numpy import ndarray

from warptheory.kernels import FRACTION, Cell, Kernel, PeriodicFunction
from warptheory.results.backward._reading import kernel_values
from warptheory.symbolic import NotReducible
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate


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


def largest_value(function: PeriodicFunction) -> sp.Expr:
    """Return the maximum over the ends of the cells and the points where the derivative vanishes, unevaluated."""
    candidates = set()
    for cell in function.cells:
        slope = sp.diff(cell.expression, FRACTION)
        inside = [root for root in _roots(slope) if cell.lower < root < cell.upper]
        points = [cell.lower, *inside, cell.upper]
        candidates |= {cell.expression.subs(FRACTION, point) for point in points}
    ordered = sorted(candidates)
    return ordered[0] if len(ordered) == 1 else sp.Max(*ordered, evaluate=False)


class OfAbsoluteRowSum(Node):
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


class MeanRowSum(OfAbsoluteRowSum):
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


class LargestRowSum(OfAbsoluteRowSum):
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
