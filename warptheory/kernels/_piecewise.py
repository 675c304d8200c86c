"""Kernels of finite support, defined by exact expressions on adjacent pieces."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import sympy as sp

from warptheory.core.checks import check_integer
from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import check_name, real
from warptheory.kernels._kernel import FREQUENCY, SHIFT, Kernel, check_orders
from warptheory.kernels._periodic import FRACTION, Cell, NoClosedFormError, PeriodicFunction, vanishes
from warptheory.kernels._pieces import (
    POSITION,
    Piece,
    Pieces,
    are_polynomial,
    at_position,
    check_pieces,
    correlate,
    reflect,
)
from warptheory.kernels._quadrature import NumericalIntegral, opaque_function


@dataclass(frozen=True)
class PiecewiseKernel(Kernel):
    """A kernel of finite support.

    The definition checks itself when it is built: its pieces are adjacent, and it reproduces
    polynomials exactly up to the degree it claims and no further, so that a mistyped coefficient
    is refused.

    Attributes:
        name: the call that makes the kernel.
        pieces: adjacent pieces in ascending order; k is zero outside them. At a boundary between
            two pieces the right-hand one holds.
        reproduces: largest degree q with Σₘ mᵠ k(p − m) = pᵠ for every p; 0 is the partition of
            unity, −1 claims nothing.
        source: where the definition is published.

    Raises:
        ArgumentError: the pieces are not adjacent, or `reproduces` is not what they do.
    """

    name: str
    pieces: Pieces
    reproduces: int
    source: str

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_pieces("pieces", self.pieces)
        for left, right in zip(self.pieces, self.pieces[1:], strict=False):
            if left.upper != right.lower:
                raise ArgumentError(
                    "pieces",
                    expected="adjacent pieces",
                    received=f"a piece up to {left.upper}, then one from {right.lower}",
                )
        degree = reproduced_degree(self.taps, limit=self.reproduces + 1)
        if degree != self.reproduces:
            raise ArgumentError(
                "reproduces",
                expected=f"{degree}, the degree that the pieces of {self.name!r} reproduce",
                received=self.reproduces,
            )

    @cached_property
    def taps(self) -> Mapping[int, PeriodicFunction]:
        """The weights k(f − j) of the pixels j around a position with fraction f, by j."""
        return taps_of(self.pieces)

    @property
    def reach(self) -> int:
        """Number of pixels beyond which k is zero."""
        return max(map(abs, self.taps)) + 1

    @property
    def _extent(self) -> str:
        return f"{self.pieces[0].lower} ≤ u < {self.pieces[-1].upper} pixels"

    def value(self, position: sp.Expr = POSITION, order: int = 0) -> sp.Expr:
        """Return k⁽ᵒʳᵈᵉʳ⁾(position) as a sympy expression; arguments as in `Kernel`."""
        return at_position(self._derived(order), real("position", position))

    @cached_property
    def spectrum(self) -> sp.Expr:
        """k̂(ω) = ∫ k(u) e^{−iωu} du; a closed form for polynomial pieces, an integral for others.

        Raises:
            NoClosedFormError: pieces that are neither polynomials nor even.
        """
        if not are_polynomial(self.pieces):
            if not self._is_even:
                raise NoClosedFormError(f"the spectrum of {self.name}: its pieces are neither polynomials nor even")
            wave = sp.cos(FREQUENCY * POSITION)
            return NumericalIntegral(_opaque(self, 0)(POSITION) * wave, self._support)
        mass = sum(sp.integrate(p.expression, (POSITION, p.lower, p.upper)) for p in self.pieces)
        transform = sp.expand(sum(_transform(piece) for piece in self.pieces))
        return sp.Piecewise((mass, sp.Eq(FREQUENCY, 0)), (sp.factor(transform), True))

    @property
    def _is_even(self) -> bool:
        return all(
            (ours.lower, ours.upper) == (theirs.lower, theirs.upper) and _are_equal(ours.expression, theirs.expression)
            for ours, theirs in zip(self.pieces, reflect(self.pieces), strict=True)
        )

    @cached_property
    def autocorrelation(self) -> sp.Expr:
        """a_k(Δ) = ∫ k(u) k(u + Δ) du; a closed form for polynomial pieces, an integral for others."""
        return self.correlation(0, 0)

    def correlation(self, first: int, second: int, shift: sp.Expr = SHIFT) -> sp.Expr:
        """Return ∫ k⁽ᶠⁱʳˢᵗ⁾(u) k⁽ˢᵉᶜᵒⁿᵈ⁾(u + Δ) du; a closed form for polynomial pieces, an integral for others."""
        shift = real("shift", shift)
        if are_polynomial(self.pieces):
            return at_position(self.correlation_pieces(first, second), shift)
        one, other = (_opaque(self, order) for order in (first, second))
        return NumericalIntegral(one(POSITION) * other(POSITION + shift), self._support)

    def correlation_pieces(self, first: int, second: int) -> Pieces:
        """Return Δ ↦ ∫ k⁽ᶠⁱʳˢᵗ⁾(u) k⁽ˢᵉᶜᵒⁿᵈ⁾(u + Δ) du of a kernel of polynomial pieces, as pieces in `POSITION`."""
        return _correlate(self, first, second)

    def _derived(self, order: int) -> Pieces:
        check_integer("order", order, least=0)
        return tuple(p._replace(expression=sp.diff(p.expression, POSITION, order)) for p in self.pieces)

    @property
    def _support(self) -> tuple[sp.Symbol, sp.Rational, sp.Rational]:
        return (POSITION, self.pieces[0].lower, self.pieces[-1].upper)

    def tap_sum(self, orders: Sequence[int]) -> PeriodicFunction:
        """Return F(f) = Σₘ ∏ᵢ k⁽ᵒʳᵈᵉʳˢ⁽ⁱ⁾⁾(f − m), a function of the fraction; arguments as in `Kernel`."""
        return _tap_sum(self, check_orders(orders))


def _are_equal(first: sp.Expr, second: sp.Expr) -> bool:
    """Return whether two quotients are equal as functions of the powers, exponentials and waves in them."""
    (above, below), (other_above, other_below) = map(sp.fraction, (first, second))
    return bool(sp.expand(above * other_below - other_above * below) == 0)


def taps_of(pieces: Sequence[Piece]) -> dict[int, PeriodicFunction]:
    """Return the weights k(f − j) of the pixels j around a position with fraction f, by j."""
    edges = sorted({edge % 1 for piece in pieces for edge in (piece.lower, piece.upper)} | {sp.Integer(0)})
    cells = list(itertools.pairwise([*edges, sp.Integer(1)]))
    first = int(sp.floor(1 - pieces[-1].upper))
    last = int(sp.ceiling(1 - pieces[0].lower)) - 1
    weights = {
        tap: PeriodicFunction.from_cells(
            Cell(low, high, _on(pieces, low - tap, high - tap, FRACTION - tap)) for low, high in cells
        )
        for tap in range(first, last + 1)
    }
    return {tap: weight for tap, weight in weights.items() if weight != PeriodicFunction.constant(sp.Integer(0))}


def _on(pieces: Sequence[Piece], low: sp.Expr, high: sp.Expr, position: sp.Expr) -> sp.Expr:
    """Return the expression that holds on [low, high), evaluated at `position`."""
    for piece in pieces:
        if piece.lower <= low and high <= piece.upper:
            return piece.expression.xreplace({POSITION: position})
    return sp.Integer(0)


def reproduced_degree(taps: Mapping[int, PeriodicFunction], limit: int | None = None) -> int:
    """Return the largest degree q such that Σⱼ jᵠ k(f − j) = fᵠ and so for all lower ones; −1 if none.

    Args:
        taps: weights by tap.
        limit: stop there. By default the number of taps, which no kernel can reach.
    """
    bound = len(taps) if limit is None else limit
    for degree in range(bound + 1):
        moment = PeriodicFunction.sum(
            PeriodicFunction.constant(sp.Integer(tap) ** degree) * weight for tap, weight in taps.items()
        )
        if not all(vanishes(cell._replace(expression=cell.expression - FRACTION**degree)) for cell in moment.cells):
            return degree - 1
    return bound


def _transform(piece: Piece) -> sp.Expr:
    """Return ∫ p(u) e^{−iωu} du over a polynomial piece, ω ≠ 0, by repeated integration by parts."""

    def primitive(bound: sp.Expr) -> sp.Expr:
        polynomial, rate, total = piece.expression, -sp.I * FREQUENCY, sp.Integer(0)
        order = 0
        while polynomial != 0:
            total += (-1) ** order * polynomial.subs(POSITION, bound) / rate ** (order + 1)
            polynomial, order = sp.diff(polynomial, POSITION), order + 1
        return total * (sp.cos(FREQUENCY * bound) - sp.I * sp.sin(FREQUENCY * bound))

    return primitive(piece.upper) - primitive(piece.lower)


@cache
def _opaque(kernel: PiecewiseKernel, order: int) -> Callable[[sp.Expr], sp.Expr]:
    """Return a derivative of the kernel as a function that prints as its name, in integrals without a closed form."""
    function: Callable[[sp.Expr], sp.Expr] = opaque_function(("k", "Dk", "D2k", "D3k")[order], kernel._derived(order))
    return function


@cache
def _correlate(kernel: PiecewiseKernel, first: int, second: int) -> Pieces:
    return correlate(kernel._derived(first), kernel._derived(second))


@cache
def _tap_sum(kernel: PiecewiseKernel, orders: tuple[int, ...]) -> PeriodicFunction:
    if len(orders) == 1 and kernel.reproduces >= 0:
        # The partition of unity, and its derivatives: shown when the kernel was built, and not to be found again.
        return PeriodicFunction.constant(sp.Integer(int(orders[0] == 0)))
    return PeriodicFunction.sum(weight.product_of_derivatives(orders) for weight in kernel.taps.values())
