"""Functions given by exact expressions on adjacent intervals of the line, and correlations of them."""

import itertools
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import sympy as sp

from warptheory.core.errors import ArgumentError

POSITION = sp.Symbol("u", real=True)
_SHIFT = sp.Dummy("Delta", real=True)


class Piece(NamedTuple):
    """One expression in the position u, valid for lower ≤ u < upper."""

    lower: sp.Rational
    upper: sp.Rational
    expression: sp.Expr


Pieces = tuple[Piece, ...]


def check_pieces(argument: str, pieces: Sequence[Any]) -> None:
    """Check that pieces are made of SymPy's objects, which nothing has to read.

    Raises:
        ArgumentError: no pieces, or bounds that are no rationals, or expressions that are none.
    """
    kinds = (sp.Rational, sp.Rational, sp.Expr)
    if not pieces or not all(isinstance(piece, Piece) and all(map(isinstance, piece, kinds)) for piece in pieces):
        expected = "pieces with rational bounds and a sympy expression"
        raise ArgumentError(argument, expected=expected, received=repr(pieces))


def at_position(pieces: Sequence[Piece], position: sp.Expr) -> sp.Expr:
    """Return the function's value at a real expression; zero outside the pieces."""
    branches: list[tuple[sp.Expr, Any]] = [(sp.Integer(0), position < pieces[0].lower)]
    branches += [(piece.expression.subs(POSITION, position), position < piece.upper) for piece in pieces]
    return sp.Piecewise(*branches, (sp.Integer(0), True))


def reflect(pieces: Sequence[Piece]) -> Pieces:
    """Return the function u ↦ F(−u); knots, which change sides, are of no account here."""
    return tuple(
        Piece(-piece.upper, -piece.lower, piece.expression.subs(POSITION, -POSITION)) for piece in reversed(pieces)
    )


def are_polynomial(pieces: Sequence[Piece]) -> bool:
    """Return whether every piece is a polynomial in u."""
    return all(piece.expression.is_polynomial(POSITION) for piece in pieces)


def correlate(first: Sequence[Piece], second: Sequence[Piece]) -> Pieces:
    """Return Δ ↦ ∫ F(u) G(u + Δ) du exactly, for polynomial pieces.

    Args:
        first: pieces of F.
        second: pieces of G.

    Returns:
        Pieces of the correlation, with `POSITION` for Δ.
    """
    products = [(one, other, _primitive(one, other)) for one in first for other in second]
    knots = sorted({b - a for a in _edges(first) for b in _edges(second)})
    return tuple(Piece(low, high, _overlap(products, (low + high) / 2)) for low, high in itertools.pairwise(knots))


def convolve(first: Sequence[Piece], second: Sequence[Piece]) -> Pieces:
    """Return x ↦ ∫ F(u) G(x − u) du exactly, for polynomial pieces."""
    return correlate(reflect(first), second)


def _edges(pieces: Sequence[Piece]) -> set[sp.Rational]:
    return {edge for piece in pieces for edge in (piece.lower, piece.upper)}


def _primitive(one: Piece, other: Piece) -> list[sp.Poly]:
    """Return the coefficients of ∫ F(u) G(u + Δ) du of two pieces by powers of u, the highest first, in Δ."""
    product = one.expression * other.expression.subs(POSITION, POSITION + _SHIFT)
    return [sp.Poly(coefficient, _SHIFT) for coefficient in sp.Poly(product, POSITION).integrate().all_coeffs()]


def _overlap(products: Sequence[tuple[Piece, Piece, list[sp.Poly]]], middle: sp.Rational) -> sp.Expr:
    """Return ∫ F(u) G(u + Δ) du for Δ near `middle`, where the order of all knots is fixed."""

    def at_middle(bound: sp.Poly) -> sp.Expr:
        value: sp.Expr = bound.eval(middle)
        return value

    total = sp.Poly(0, _SHIFT)
    for one, other, primitive in products:
        ends = [[sp.Poly(bound, _SHIFT) for bound in (a, b - _SHIFT)] for a, b in zip(one[:2], other[:2], strict=True)]
        lower, upper = max(ends[0], key=at_middle), min(ends[1], key=at_middle)
        if at_middle(lower) < at_middle(upper):
            total += _at(primitive, upper) - _at(primitive, lower)
    overlap: sp.Expr = total.as_expr().subs(_SHIFT, POSITION)
    return overlap


def _at(coefficients: Sequence[sp.Poly], bound: sp.Poly) -> sp.Poly:
    return reduce(lambda value, coefficient: value * bound + coefficient, coefficients)
