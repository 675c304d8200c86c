"""Kernels that are divided by the sum over their taps, and so sum to one by construction."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.kernels._periodic import FRACTION
from warptheory.kernels._pieces import POSITION, Piece, Pieces

# The definition grows with the square of the number of taps; at this many it takes a second or two.
MOST_TAPS = 36


class Bumps(NamedTuple):
    """The weights g(f − j) before normalisation, up to a common factor, for lower ≤ f < upper, by tap j."""

    lower: sp.Rational
    upper: sp.Rational
    by_tap: Mapping[int, sp.Expr]


def check_taps(taps: int, argument: str, received: object) -> None:
    """Refuse a width that reaches too many pixels.

    Args:
        taps: number of pixels that a position reads.
        argument: the parameter that sets the width, named in the error.
        received: its value.

    Raises:
        ArgumentError: more than `MOST_TAPS` taps.
    """
    if taps > MOST_TAPS:
        raise ArgumentError(
            argument, expected=f"a width that reaches at most {MOST_TAPS} pixels", received=f"{received} ({taps})"
        )


def normalise(cells: Sequence[Bumps]) -> Pieces:
    """Return the pieces of k(u) = g(u)/Σₘ g(u − m).

    Args:
        cells: the weights, cell by cell of [0, 1), as expressions in `FRACTION`.
    """
    pieces = []
    for cell in cells:
        total = sp.Add(*cell.by_tap.values())
        for tap, bump in cell.by_tap.items():
            share = bump / total
            tidy = sp.cancel(share) if share.is_rational_function(FRACTION) else share
            pieces.append(Piece(cell.lower - tap, cell.upper - tap, tidy.xreplace({FRACTION: POSITION + tap})))
    return tuple(sorted(pieces, key=lambda piece: piece.lower))
