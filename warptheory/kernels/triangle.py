"""The triangle of any half-width from one pixel on, normalised by the sum over its taps, as in DCLS ("max")."""

import itertools

import sympy as sp

from warptheory.core.expressions import Number
from warptheory.kernels._normalised import Bumps, check_taps, normalise
from warptheory.kernels._parameters import canonical_call, positive
from warptheory.kernels._periodic import FRACTION
from warptheory.kernels._piecewise import PiecewiseKernel, reproduced_degree, taps_of

EXAMPLES = ("triangle(2.25)", "triangle(2)")  # of other parameters, for which the contract of kernels is checked too


def triangle(width: Number = 1.5) -> PiecewiseKernel:
    """Build k(u) = g(u)/Σₘ g(u − m), g(u) = max(w − |u|, 0); w = 1 is linear interpolation.

    Args:
        width: the half-width w, in pixels, at least 1 (below, some positions would read nothing).

    Raises:
        ArgumentError: width is not a finite number from one on, or too wide.
    """
    half_width = positive("width", width, least=sp.Integer(1))
    check_taps(2 * int(sp.ceiling(half_width)), "width", width)
    # The set of taps changes where f − m = ±w, and the signs of f − m at the ends of [0, 1) only.
    edges = sorted({half_width % 1, -half_width % 1, sp.Integer(0), sp.Integer(1)})
    cells = [Bumps(low, high, _bumps((low + high) / 2, half_width)) for low, high in itertools.pairwise(edges)]
    pieces = normalise(cells)
    return PiecewiseKernel(
        name=canonical_call(triangle, width=half_width),
        pieces=pieces,
        reproduces=reproduced_degree(taps_of(pieces)),
        source="I. Khalfaoui-Hassani, T. Pellegrini, T. Masquelier, arXiv 2306.00817",
    )


def _bumps(middle: sp.Rational, half_width: sp.Rational) -> dict[int, sp.Expr]:
    """Return w − |f − m| for the taps m that a fraction near `middle` reads."""
    first, last = int(sp.ceiling(middle - half_width)), int(sp.floor(middle + half_width))
    return {tap: half_width - sp.sign(middle - tap) * (FRACTION - tap) for tap in range(first, last + 1)}
