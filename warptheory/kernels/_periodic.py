"""Functions of period one, given by exact expressions on the cells of [0, 1).

Everything that depends on the sampling position through its fraction alone is such a function: a
tap's weight, ρ(f) = Σₘ k(f − m)², δ(f) = Σₘ k′(f − m)². Products, derivatives, means and Fourier
coefficients of them are exact.
"""

import itertools
import operator
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import mpmath
import sympy as sp

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.core.expressions import check_name, expression, real
from warptheory.kernels._quadrature import NumericalIntegral


class NoClosedFormError(WarpTheoryError):
    """A functional of a kernel has no closed form that the library derives; the message says which."""


_DIGITS = 40


class FractionSymbol(sp.Symbol):
    """A symbol for the fraction of a position, in [0, 1); another symbol of its name is not equal to it."""

    def __new__(cls, name: str) -> "FractionSymbol":
        """Make the symbol of that name."""
        symbol: FractionSymbol = super().__new__(cls, check_name("name", name), nonnegative=True)
        return symbol

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, bool]]:
        return (self.name,), {}


FRACTION = FractionSymbol("f")


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

    def __post_init__(self) -> None:
        if not all(isinstance(part, sp.Expr) for cell in self.cells for part in cell):
            raise ArgumentError("cells", expected="cells of sympy expressions", received=repr(self.cells))

    @classmethod
    def from_cells(cls, cells: Iterable[Cell]) -> "PeriodicFunction":
        """Build from cells in ascending order, simplifying each and merging equal neighbours."""
        return cls._merged(cell._replace(expression=expression("cells", cell.expression)) for cell in cells)

    @classmethod
    def _merged(cls, cells: Iterable[Cell]) -> "PeriodicFunction":
        merged: list[Cell] = []
        for cell in cells:
            tidy = _tidy(cell.expression)
            if merged and merged[-1].expression == tidy:
                merged[-1] = Cell(merged[-1].lower, cell.upper, tidy)
            else:
                merged.append(Cell(cell.lower, cell.upper, tidy))
        return cls(tuple(merged))

    @classmethod
    def constant(cls, value: sp.Expr) -> "PeriodicFunction":
        """Return the function that is `value` everywhere."""
        return cls((Cell(sp.Integer(0), sp.Integer(1), expression("value", value)),))

    @classmethod
    def sum(cls, functions: Iterable["PeriodicFunction"]) -> "PeriodicFunction":
        """Return the sum of functions, zero if there are none."""
        return reduce(operator.add, functions, cls.constant(sp.Integer(0)))

    def __mul__(self, other: "PeriodicFunction") -> "PeriodicFunction":
        return self._combine(other, operator.mul)

    def __add__(self, other: "PeriodicFunction") -> "PeriodicFunction":
        return self._combine(other, operator.add)

    def _combine(
        self, other: "PeriodicFunction", operation: Callable[[sp.Expr, sp.Expr], sp.Expr]
    ) -> "PeriodicFunction":
        edges = sorted({edge for cell in (*self.cells, *other.cells) for edge in (cell.lower, cell.upper)})
        return PeriodicFunction._merged(
            Cell(low, high, operation(self.on(low, high), other.on(low, high)))
            for low, high in itertools.pairwise(edges)
        )

    def on(self, low: sp.Expr, high: sp.Expr) -> sp.Expr:
        """Return the expression that holds on an interval inside one cell."""
        low, high = real("low", low), real("high", high)
        return next(cell.expression for cell in self.cells if cell.lower <= low and high <= cell.upper)

    def differentiate(self) -> "PeriodicFunction":
        """Return the derivative in f, cell by cell; at a cell's lower edge it is the right-hand one."""
        return PeriodicFunction._merged(
            cell._replace(expression=sp.diff(cell.expression, FRACTION)) for cell in self.cells
        )

    def product_of_derivatives(self, orders: Iterable[int]) -> "PeriodicFunction":
        """Return ∏ᵢ F⁽ᵒʳᵈᵉʳˢ⁽ⁱ⁾⁾."""
        product = PeriodicFunction.constant(sp.Integer(1))
        for order in orders:
            factor = self
            for _ in range(order):
                factor = factor.differentiate()
            product = product * factor
        return product

    def at(self, fraction: sp.Expr) -> sp.Expr:
        """Return the value at an expression that lies in [0, 1)."""
        fraction = real("fraction", fraction)
        branches = [(cell.expression.subs(FRACTION, fraction), fraction < cell.upper) for cell in self.cells[:-1]]
        last = self.cells[-1].expression.subs(FRACTION, fraction)
        return sp.Piecewise(*branches, (last, True)) if branches else last

    def from_left(self, fraction: sp.Expr) -> sp.Expr:
        """Return the limit from below at a number in (0, 1]."""
        fraction = real("fraction", fraction)
        cell = next(cell for cell in self.cells if cell.lower < fraction <= cell.upper)
        return cell.expression.subs(FRACTION, fraction)

    def mean(self) -> sp.Expr:
        """Return ∫₀¹ F(f) df: exactly, or as unevaluated integrals where there is no closed form."""
        return sp.Add(*map(_integral, self.cells))

    def primitive(self) -> "PeriodicFunction":
        """Return Q(f) = ∫₀ᶠ (F − ∫F), which has period one and is zero at whole pixels.

        Raises:
            NoClosedFormError: a cell's expression is not a polynomial.
        """
        mean = self.mean()
        reached: sp.Expr = sp.Integer(0)
        cells = []
        for cell in self.cells:
            _check_polynomial(cell.expression, "the mean over an interval is")
            primitive = sp.integrate(cell.expression - mean, FRACTION)
            start = reached - primitive.subs(FRACTION, cell.lower)
            cells.append(cell._replace(expression=primitive + start))
            reached = start + primitive.subs(FRACTION, cell.upper)
        return PeriodicFunction._merged(cells)

    def reflect(self) -> "PeriodicFunction":
        """Return F(1 − f) = F(−f), up to the values at the cells' edges."""
        return PeriodicFunction._merged(
            Cell(1 - cell.upper, 1 - cell.lower, cell.expression.subs(FRACTION, 1 - FRACTION))
            for cell in reversed(self.cells)
        )

    def fourier_coefficient(self, frequency: sp.Symbol) -> sp.Expr:
        """Return c_j = ∫₀¹ F(f) e^{−2πijf} df.

        Args:
            frequency: a symbol j that is declared a non-zero integer.

        Raises:
            NoClosedFormError: a cell's expression is not a polynomial.
        """
        rate = -2 * sp.pi * sp.I * expression("frequency", frequency)
        # Factored, not simplified: sympy's simplify is wrong for some powers of −1 with an integer exponent j.
        return sp.factor(sp.expand(sum(_exponential_integral(cell, rate) for cell in self.cells)))


def vanishes(cell: Cell) -> bool:
    """Return whether a cell's expression is identically zero."""
    expression = cell.expression
    if expression.is_polynomial(FRACTION):
        return bool(sp.expand(expression) == 0)
    merged = _merge_fractions(expression)
    if merged == 0:
        return True
    # Numbers refute quickly what sympy would simplify for long; only what looks like zero is worth a proof.
    number = sp.lambdify([FRACTION], merged, "mpmath", cse=True)
    with mpmath.workdps(_DIGITS):
        for share in (sp.Rational(1, 3), sp.Rational(3, 7)):
            fraction = cell.lower + share * (cell.upper - cell.lower)
            if abs(number(mpmath.mpf(int(fraction.p)) / int(fraction.q))) > mpmath.mpf(10) ** (-_DIGITS // 2):
                return False
    return bool(sp.simplify(merged) == 0)


def _merge_fractions(expression: sp.Expr) -> sp.Expr:
    """Add the numerators of terms with one denominator, as of quotients by a common normaliser."""
    numerators: defaultdict[sp.Expr, list[sp.Expr]] = defaultdict(list)
    for term in sp.Add.make_args(expression):
        numerator, denominator = sp.fraction(term, exact=True)
        numerators[denominator].append(numerator)
    return sp.Add(*(sp.Add(*found) / denominator for denominator, found in numerators.items()))


def _integral(cell: Cell) -> sp.Expr:
    """Return the integral over a cell.

    Rational functions and sums of waves have primitives that sympy finds at once; with Gaussians and
    products of sines it may not return.
    """
    expression = cell.expression
    if expression.is_polynomial(FRACTION) and (polynomial := sp.Poly(expression, FRACTION)).domain in (sp.ZZ, sp.QQ):
        # The same number as below, without a search for the rule.
        primitive = polynomial.integrate()
        number: sp.Expr = primitive.eval(cell.upper) - primitive.eval(cell.lower)
        return number
    if expression.is_rational_function(FRACTION) or all(map(_is_wave, sp.Add.make_args(expression))):
        return sp.integrate(expression, (FRACTION, cell.lower, cell.upper))
    return NumericalIntegral(expression, (FRACTION, cell.lower, cell.upper))


def _is_wave(term: sp.Expr) -> bool:
    """Return whether a term is constant, or a multiple of sin(af + b) or cos(af + b)."""
    _, wave = term.as_independent(FRACTION)
    if wave == 1:
        return True
    return isinstance(wave, sp.sin | sp.cos) and sp.degree(wave.args[0], FRACTION) == 1


def _tidy(expression: sp.Expr) -> sp.Expr:
    """Write polynomials in f expanded and leave anything else as it is."""
    return sp.expand(expression) if expression.is_polynomial(FRACTION) else expression


def _check_polynomial(expression: sp.Expr, what: str) -> None:
    if not expression.is_polynomial(FRACTION):
        raise NoClosedFormError(
            f"{what} derived for polynomial pieces, not for {textwrap.shorten(str(expression), 80)}; "
            "at a given fraction, and for offsets uniform over whole pixels or constant, none are needed"
        )


def _exponential_integral(cell: Cell, rate: sp.Expr) -> sp.Expr:
    """Return ∫ F(f) e^{rate·f} df over a cell.

    Repeated integration by parts ends: ∫Fe^{rf} = e^{rf} Σₖ (−1)ᵏ F⁽ᵏ⁾ / rᵏ⁺¹.
    """
    expression = cell.expression
    _check_polynomial(expression, "Fourier coefficients are")
    # sp.diff would ask for signs first, which takes seconds where coefficients contain roots.
    polynomial = sp.Poly(expression, FRACTION)
    bounds = (cell.lower, cell.upper)
    primitives = [sp.Integer(0), sp.Integer(0)]
    order = 0
    while not polynomial.is_zero:
        for end, bound in enumerate(bounds):
            primitives[end] += (-1) ** order * polynomial.eval(bound) / rate ** (order + 1)
        polynomial, order = polynomial.diff(), order + 1
    lower, upper = (primitive * sp.exp(rate * bound) for primitive, bound in zip(primitives, bounds, strict=True))
    return upper - lower
