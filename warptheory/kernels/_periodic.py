"""Functions of period one, given by exact expressions on the cells of [0, 1).

Everything that depends on the sampling position through its fraction alone is such a function: a
tap's weight, ρ(f) = Σₘ k(f − m)², δ(f) = Σₘ k′(f − m)². Products, derivatives, means and Fourier
coefficients of them are exact.
"""

import itertools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import sympy as sp

from warptheory.core.errors import WarpTheoryError


class NoClosedFormError(WarpTheoryError):
    """A functional of a kernel has no closed form that the library derives; the message says which."""


FRACTION = sp.Symbol("f", nonnegative=True)


class Cell(NamedTuple):
    """One expression in the fraction f, valid for lower ≤ f < upper."""

    lower: sp.Expr
    upper: sp.Expr
    expression: sp.Expr


@dataclass(frozen=True)
class PeriodicFunction:
    """A function of period one.

    Attributes:
        cells: adjacent cells that cover [0, 1) in ascending order.
    """

    cells: tuple[Cell, ...]

    @classmethod
    def from_cells(cls, cells: Iterable[Cell]) -> "PeriodicFunction":
        """Build from cells in ascending order, simplifying each and merging equal neighbours."""
        merged: list[Cell] = []
        for cell in cells:
            expression = _tidy(cell.expression)
            if merged and merged[-1].expression == expression:
                merged[-1] = Cell(merged[-1].lower, cell.upper, expression)
            else:
                merged.append(Cell(cell.lower, cell.upper, expression))
        return cls(tuple(merged))

    @classmethod
    def constant(cls, value: sp.Expr) -> "PeriodicFunction":
        """Return the function that is `value` everywhere."""
        return cls((Cell(sp.Integer(0), sp.Integer(1), sp.sympify(value)),))

    def __mul__(self, other: "PeriodicFunction") -> "PeriodicFunction":
        return self._combine(other, operator.mul)

    def __add__(self, other: "PeriodicFunction") -> "PeriodicFunction":
        return self._combine(other, operator.add)

    def _combine(
        self, other: "PeriodicFunction", operation: Callable[[sp.Expr, sp.Expr], sp.Expr]
    ) -> "PeriodicFunction":
        edges = sorted({edge for cell in (*self.cells, *other.cells) for edge in (cell.lower, cell.upper)})
        return PeriodicFunction.from_cells(
            Cell(low, high, operation(self._on(low, high), other._on(low, high)))
            for low, high in itertools.pairwise(edges)
        )

    def _on(self, low: sp.Expr, high: sp.Expr) -> sp.Expr:
        return next(cell.expression for cell in self.cells if cell.lower <= low and high <= cell.upper)

    def differentiate(self) -> "PeriodicFunction":
        """Return the derivative in f, cell by cell; at a cell's lower edge it is the right-hand one."""
        return PeriodicFunction.from_cells(
            cell._replace(expression=sp.diff(cell.expression, FRACTION)) for cell in self.cells
        )

    def at(self, fraction: sp.Expr) -> sp.Expr:
        """Return the value at an expression that lies in [0, 1)."""
        branches = [(cell.expression.subs(FRACTION, fraction), fraction < cell.upper) for cell in self.cells[:-1]]
        last = self.cells[-1].expression.subs(FRACTION, fraction)
        return sp.Piecewise(*branches, (last, True)) if branches else last

    def mean(self) -> sp.Expr:
        """Return ∫₀¹ F(f) df exactly."""
        return sum(sp.integrate(cell.expression, (FRACTION, cell.lower, cell.upper)) for cell in self.cells)

    def fourier_coefficient(self, frequency: sp.Symbol) -> sp.Expr:
        """Return c_j = ∫₀¹ F(f) e^{−2πijf} df.

        Args:
            frequency: a symbol j that is declared a non-zero integer.

        Raises:
            NoClosedFormError: a cell's expression is not a polynomial.
        """
        rate = -2 * sp.pi * sp.I * frequency
        # Factored, not simplified: sympy's simplify is wrong for some powers of −1 with an integer exponent j.
        return sp.factor(sp.expand(sum(_exponential_integral(cell, rate) for cell in self.cells)))


def _tidy(expression: sp.Expr) -> sp.Expr:
    """Write polynomials in f expanded and leave anything else as it is."""
    return sp.expand(expression) if expression.is_polynomial(FRACTION) else expression


def _exponential_integral(cell: Cell, rate: sp.Expr) -> sp.Expr:
    """Return ∫ F(f) e^{rate·f} df over a cell.

    Repeated integration by parts ends: ∫Fe^{rf} = e^{rf} Σₖ (−1)ᵏ F⁽ᵏ⁾ / rᵏ⁺¹.
    """
    expression = cell.expression
    if not expression.is_polynomial(FRACTION):
        raise NoClosedFormError(f"Fourier coefficients are derived for polynomial pieces, not for {expression}")
    primitive = sp.Integer(0)
    order = 0
    while expression != 0:
        primitive += (-1) ** order * expression / rate ** (order + 1)
        expression = sp.diff(expression, FRACTION)
        order += 1
    primitive *= sp.exp(rate * FRACTION)
    return primitive.subs(FRACTION, cell.upper) - primitive.subs(FRACTION, cell.lower)
