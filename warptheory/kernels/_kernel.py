"""An interpolation kernel: one definition as exact pieces, everything else derived from it."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.kernels._periodic import FRACTION, Cell, PeriodicFunction

POSITION = sp.Symbol("u", real=True)
FREQUENCY = sp.Symbol("omega", real=True)
SHIFT = sp.Symbol("Delta", real=True)


class Piece(NamedTuple):
    """One expression in the position u, valid for lower ≤ u < upper."""

    lower: sp.Rational
    upper: sp.Rational
    expression: sp.Expr


@dataclass(frozen=True)
class Kernel:
    """An interpolation kernel k(u), u in pixels; a d-dimensional kernel is ∏ k(uᵢ).

    The definition checks itself when it is built: its pieces are adjacent, and it reproduces
    polynomials exactly up to the degree it claims and no further, so that a mistyped coefficient
    is refused.

    Attributes:
        name: the kernel's name in the catalogue.
        pieces: adjacent pieces in ascending order; k is zero outside them. At a boundary between
            two pieces the right-hand one holds.
        reproduces: largest degree q with Σₘ mᵠ k(p − m) = pᵠ for every p; 0 is the partition of
            unity, −1 claims nothing.
        source: where the definition is published.

    Raises:
        ArgumentError: the pieces are not adjacent, or `reproduces` is not what they do.
    """

    name: str
    pieces: tuple[Piece, ...]
    reproduces: int
    source: str

    def __post_init__(self) -> None:
        for left, right in zip(self.pieces, self.pieces[1:], strict=False):
            if left.upper != right.lower:
                raise ArgumentError(
                    "pieces",
                    expected="adjacent pieces",
                    received=f"a piece up to {left.upper}, then one from {right.lower}",
                )
        degree = self._reproduced_degree(limit=self.reproduces + 1)
        if degree != self.reproduces:
            raise ArgumentError(
                "reproduces",
                expected=f"{degree}, the degree that the pieces of {self.name!r} reproduce",
                received=self.reproduces,
            )

    def _reproduced_degree(self, limit: int) -> int:
        """Return the largest degree ≤ limit that is reproduced, −1 if constants are not."""
        for degree in range(limit + 1):
            moment = sum(
                (PeriodicFunction.constant(sp.Integer(tap) ** degree) * weight for tap, weight in self.taps.items()),
                start=PeriodicFunction.constant(sp.Integer(0)),
            )
            if any(sp.simplify(cell.expression - FRACTION**degree) != 0 for cell in moment.cells):
                return degree - 1
        return limit

    @cached_property
    def taps(self) -> dict[int, PeriodicFunction]:
        """The weights k(f − j) of the pixels j around a position with fraction f, by j."""
        edges = sorted(
            {edge % 1 for piece in self.pieces for edge in (piece.lower, piece.upper)} | {sp.Integer(0), sp.Integer(1)}
        )
        first = int(sp.floor(1 - self.pieces[-1].upper))
        last = int(sp.ceiling(1 - self.pieces[0].lower)) - 1
        cells = list(itertools.pairwise(edges))
        weights = {
            tap: PeriodicFunction.from_cells(
                Cell(low, high, self._on(low - tap, high - tap, FRACTION - tap)) for low, high in cells
            )
            for tap in range(first, last + 1)
        }
        return {tap: weight for tap, weight in weights.items() if weight != PeriodicFunction.constant(sp.Integer(0))}

    def _on(self, low: sp.Expr, high: sp.Expr, position: sp.Expr) -> sp.Expr:
        """Return the expression that holds on [low, high), evaluated at `position`."""
        for piece in self.pieces:
            if piece.lower <= low and high <= piece.upper:
                return piece.expression.subs(POSITION, position)
        return sp.Integer(0)

    def value(self, position: sp.Expr = POSITION, order: int = 0) -> sp.Expr:
        """Return k⁽ᵒʳᵈᵉʳ⁾(position) as a sympy expression; at a knot the right-hand value.

        Args:
            position: a real expression, in pixels.
            order: number of derivatives; jumps of k contribute nothing (the operator's derivative
                ignores them too).
        """
        branches = [(sp.Integer(0), position < self.pieces[0].lower)]
        branches += [
            (sp.diff(p.expression, POSITION, order).subs(POSITION, position), position < p.upper) for p in self.pieces
        ]
        return sp.Piecewise(*branches, (sp.Integer(0), True))

    @property
    def derivative(self) -> sp.Expr:
        """k′(u) as a sympy expression in `POSITION`."""
        return self.value(order=1)

    @cached_property
    def spectrum(self) -> sp.Expr:
        """k̂(ω) = ∫ k(u) e^{−iωu} du as a sympy expression in `FREQUENCY`, ω in radians per pixel."""
        omega = sp.Symbol("omega", real=True, nonzero=True)
        transform = sum(
            sp.integrate(p.expression * sp.exp(-sp.I * omega * POSITION), (POSITION, p.lower, p.upper))
            for p in self.pieces
        )
        mass = sum(sp.integrate(p.expression, (POSITION, p.lower, p.upper)) for p in self.pieces)
        away_from_zero = sp.simplify(sp.simplify(transform).rewrite(sp.cos)).subs(omega, FREQUENCY)
        return sp.Piecewise((mass, sp.Eq(FREQUENCY, 0)), (away_from_zero, True))

    def tap_sum(self, orders: Sequence[int]) -> PeriodicFunction:
        """Return F(f) = Σₘ ∏ᵢ k⁽ᵒʳᵈᵉʳˢ⁽ⁱ⁾⁾(f − m), a function of the fraction.

        Args:
            orders: derivative order of each factor; (0, 0) gives ρ, (1, 1) gives δ.
        """
        return _tap_sum(self, tuple(sorted(orders)))

    @cached_property
    def autocorrelation(self) -> sp.Expr:
        """a_k(Δ) = ∫ k(u) k(u + Δ) du as a sympy expression in `SHIFT`, Δ in pixels."""
        edges = [edge for piece in self.pieces for edge in (piece.lower, piece.upper)]
        knots = sorted({a - b for a in edges for b in edges})
        branches = [(sp.Integer(0), knots[0] > SHIFT)]
        for low, high in itertools.pairwise(knots):
            branches.append((self._overlap((low + high) / 2), high > SHIFT))
        return sp.Piecewise(*branches, (sp.Integer(0), True))

    def _overlap(self, middle: sp.Rational) -> sp.Expr:
        """Return ∫ k(u) k(u + Δ) du for Δ near `middle`, where the order of all knots is fixed."""

        def at_middle(bound: sp.Expr) -> sp.Expr:
            return bound.subs(SHIFT, middle)

        total = sp.Integer(0)
        for first in self.pieces:
            for second in self.pieces:
                lower = max(first.lower, second.lower - SHIFT, key=at_middle)
                upper = min(first.upper, second.upper - SHIFT, key=at_middle)
                if at_middle(lower) < at_middle(upper):
                    product = first.expression * second.expression.subs(POSITION, POSITION + SHIFT)
                    total += sp.integrate(sp.expand(product), (POSITION, lower, upper))
        return sp.expand(total)

    def functionals(self) -> "Functionals":
        """Return ρ(f), δ(f), ρ̄, δ̄, κ₄ and a_k, derived from the definition."""
        rho, delta = self.tap_sum((0, 0)), self.tap_sum((1, 1))
        return Functionals(
            rho=rho.at(FRACTION),
            delta=delta.at(FRACTION),
            rho_bar=rho.mean(),
            delta_bar=delta.mean(),
            kappa4=self.tap_sum((0, 0, 0, 0)).mean(),
            autocorrelation=self.autocorrelation,
        )


@cache
def _tap_sum(kernel: Kernel, orders: tuple[int, ...]) -> PeriodicFunction:
    total = PeriodicFunction.constant(sp.Integer(0))
    for weight in kernel.taps.values():
        product = PeriodicFunction.constant(sp.Integer(1))
        for order in orders:
            factor = weight
            for _ in range(order):
                factor = factor.differentiate()
            product = product * factor
        total = total + product
    return total


@dataclass(frozen=True)
class Functionals:
    """The numbers and functions of one axis through which a kernel enters every second-order result.

    Attributes:
        rho: ρ(f) = Σₘ k(f − m)², in the fraction f ∈ [0, 1).
        delta: δ(f) = Σₘ k′(f − m)², per pixel².
        rho_bar: ρ̄ = ∫₀¹ ρ = ∫ k².
        delta_bar: δ̄ = ∫₀¹ δ; jumps of the kernel contribute nothing.
        kappa4: κ₄ = ∫ k⁴.
        autocorrelation: a_k(Δ) = ∫ k(u) k(u + Δ) du, Δ in pixels.
    """

    rho: sp.Expr
    delta: sp.Expr
    rho_bar: sp.Expr
    delta_bar: sp.Expr
    kappa4: sp.Expr
    autocorrelation: sp.Expr

    def as_floats(self) -> dict[str, float]:
        """Return ρ̄, δ̄ and κ₄ as floats, by attribute name."""
        return {name: float(getattr(self, name)) for name in ("rho_bar", "delta_bar", "kappa4")}
